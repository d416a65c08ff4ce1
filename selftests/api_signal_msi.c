// SPDX-License-Identifier: GPL-2.0
/* KVM_SIGNAL_MSI: an interrupt message from the VMM. */
#include "lib/apic.h"

static struct vcpu *vcpu_with(enum chips chips)
{
	return vcpu_new(guest_vm(chips), 0);
}

/* As a guest does, for what has to be delivered. */
static void software_enable(struct vcpu *vcpu)
{
	struct kvm_lapic_state lapic = vcpu_lapic(vcpu);

	lapic_set_reg(&lapic, APIC_SVR, SVR_ENABLED | VEC_SPURIOUS);
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic));
}

static uint32_t irr(struct vcpu *vcpu, uint8_t vector)
{
	const struct kvm_lapic_state lapic = vcpu_lapic(vcpu);

	return lapic_reg(&lapic, APIC_IRR + vector / 32 * 16) >> vector % 32 & 1;
}

TEST(needs_an_irqchip)
{
	EXPECT_ERRNO(signal_msi(vcpu_with(NO_CHIPS)->vm, MSI_TO(0), VEC_A), EINVAL);
}

/* The number of vCPUs that it has reached is told; 0 if their APICs are disabled. */
static void expect_delivery(enum chips chips)
{
	struct vcpu *vcpu = vcpu_with(chips);

	EXPECT_EQ(ASSERT_OK(signal_msi(vcpu->vm, MSI_TO(0), VEC_A)), 0);
	EXPECT_EQ(irr(vcpu, VEC_A), 0);
	software_enable(vcpu);
	EXPECT_EQ(ASSERT_OK(signal_msi(vcpu->vm, MSI_TO(0), VEC_A)), 1);
	EXPECT_EQ(irr(vcpu, VEC_A), 1);
	EXPECT_EQ(irr(vcpu, VEC_B), 0);
}

TEST(delivery) { expect_delivery(CHIPS); }
TEST(delivery_with_a_split_irqchip) { expect_delivery(CHIPS_SPLIT); }

TEST(to_nobody)
{
	struct vcpu *vcpu = vcpu_with(CHIPS);

	software_enable(vcpu);
	EXPECT_EQ(ASSERT_OK(signal_msi(vcpu->vm, MSI_TO(9), VEC_A)), 0);
	EXPECT_EQ(irr(vcpu, VEC_A), 0);
}

TEST(to_all)
{
	struct vcpu *vcpu = vcpu_with(CHIPS), *second = vcpu_new(vcpu->vm, 1);

	software_enable(vcpu);
	software_enable(second);
	EXPECT_EQ(ASSERT_OK(signal_msi(vcpu->vm, MSI_TO(0xff), VEC_A)), 2);
	EXPECT_EQ(irr(vcpu, VEC_A), 1);
	EXPECT_EQ(irr(second, VEC_A), 1);
}

/* Logical, flat: the bits of the destination are the vCPUs that have them in LDR. */
TEST(logical)
{
	struct vcpu *vcpus[] = { vcpu_with(CHIPS), NULL };

	vcpus[1] = vcpu_new(vcpus[0]->vm, 1);
	for (int i = 0; i < 2; i++) {
		struct kvm_lapic_state lapic;

		software_enable(vcpus[i]);
		lapic = vcpu_lapic(vcpus[i]);
		lapic_set_reg(&lapic, APIC_LDR, 1U << (24 + i));
		ASSERT_OK(ioctl(vcpus[i]->fd, KVM_SET_LAPIC, &lapic));
	}
	EXPECT_EQ(ASSERT_OK(signal_msi(vcpus[0]->vm, MSI_TO(2) | MSI_LOGICAL, VEC_A)), 1);
	EXPECT_EQ(irr(vcpus[0], VEC_A), 0);
	EXPECT_EQ(irr(vcpus[1], VEC_A), 1);
	EXPECT_EQ(ASSERT_OK(signal_msi(vcpus[0]->vm, MSI_TO(3) | MSI_LOGICAL, VEC_B)), 2);
	/* With a redirection hint, or as lowest priority, it reaches one of them. */
	EXPECT_EQ(ASSERT_OK(signal_msi(vcpus[0]->vm, MSI_TO(3) | MSI_LOGICAL | MSI_REDIRECT,
				       ICR_LOWEST | VEC_C)), 1);
	EXPECT_EQ(irr(vcpus[0], VEC_C) + irr(vcpus[1], VEC_C), 1);
}

TEST(flags)
{
	struct vm *vm = vcpu_with(CHIPS)->vm;
	struct kvm_msi msi = { .address_lo = MSI_TO(0), .data = VEC_A };

	msi.flags = ~KVM_MSI_VALID_DEVID;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi), EINVAL);
	msi.flags = 0x100;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi), EINVAL);
}

/* With 32-bit IDs the high address holds bits 8 to 31 of the destination. */
TEST(high_address)
{
	const struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X2APIC_API, .args[0] = KVM_X2APIC_API_USE_32BIT_IDS,
	};
	struct vm *vm = guest_vm(CHIPS);
	struct kvm_msi msi = { .address_lo = MSI_TO(0), .address_hi = 0x10, .data = VEC_A };

	ASSERT_OK(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	vcpu_new(vm, 0);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi), EINVAL);
}

/* Any vector, mode and destination can be sent and does no harm. */
TEST(any_message)
{
	struct vcpu *vcpu = vcpu_with(CHIPS);
	uint32_t random = 99;

	software_enable(vcpu);
	for (int i = 0; i < 2000; i++) {
		struct kvm_msi msi = { .address_lo = MSI_ADDRESS };

		random = random * 1103515245 + 12345;
		msi.address_lo |= random >> 8 & 0xffffc;
		random = random * 1103515245 + 12345;
		msi.data = random >> 8;
		ioctl(vcpu->vm->fd, KVM_SIGNAL_MSI, &msi);
	}
	vcpu_lapic(vcpu);
}

TEST(bad_pointer)
{
	EXPECT_ERRNO(ioctl(vcpu_with(CHIPS)->vm->fd, KVM_SIGNAL_MSI, 16), EFAULT);
}

TEST(is_offered)
{
	EXPECT_EQ(kvm_check(kvm_open(), KVM_CAP_SIGNAL_MSI), 1);
}
