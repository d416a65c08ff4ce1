// SPDX-License-Identifier: GPL-2.0
/* KVM_CAP_SPLIT_IRQCHIP: local APICs in the kernel, the other chips in the VMM. */
#include "lib/apic.h"

enum { MAX_PINS_BY_ROUTES = 4096 };

TEST(is_offered)
{
	EXPECT_TRUE(kvm_check(kvm_open(), KVM_CAP_SPLIT_IRQCHIP) > 0);
}

TEST(as_many_pins_as_routes)
{
	EXPECT_ERRNO(split_irqchip(vm_create(), MAX_PINS_BY_ROUTES + 1), EINVAL);
	EXPECT_ERRNO(split_irqchip(vm_create(), -1UL), EINVAL);
	EXPECT_OK(split_irqchip(vm_create(), 0));
	EXPECT_OK(split_irqchip(vm_create(), SPLIT_PINS));
	EXPECT_OK(split_irqchip(vm_create(), kvm_check(kvm_open(), KVM_CAP_IRQ_ROUTING)));
}

TEST(only_once)
{
	struct vm *vm = vm_create();

	ASSERT_OK(split_irqchip(vm, SPLIT_PINS));
	EXPECT_ERRNO(split_irqchip(vm, SPLIT_PINS), EEXIST);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_IRQCHIP), EEXIST);
}

TEST(not_beside_a_whole_one)
{
	struct vm *vm = vm_create();

	ASSERT_OK(ioctl(vm->fd, KVM_CREATE_IRQCHIP));
	EXPECT_ERRNO(split_irqchip(vm, SPLIT_PINS), EEXIST);
}

TEST(before_the_vcpus)
{
	struct vm *vm = vm_create();

	vcpu_create(vm, 0);
	EXPECT_ERRNO(split_irqchip(vm, SPLIT_PINS), EEXIST);
}

TEST(flags)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_SPLIT_IRQCHIP, .flags = 1, .args[0] = SPLIT_PINS,
	};

	EXPECT_ERRNO(ioctl(vm_create()->fd, KVM_ENABLE_CAP, &cap), EINVAL);
}

TEST(no_timer_chip)
{
	const struct kvm_pit_config pit = { 0 };
	struct vm *vm = vm_create();

	ASSERT_OK(split_irqchip(vm, SPLIT_PINS));
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_PIT2, &pit), ENOENT);
}

/* Each vCPU has its local APIC; LINT0 of the first is not open by itself in another way. */
TEST(local_apics)
{
	struct vm *vm = vm_create();
	struct kvm_lapic_state lapic;
	struct vcpu *vcpu;

	ASSERT_OK(split_irqchip(vm, SPLIT_PINS));
	vcpu = vcpu_new(vm, 0);
	lapic = vcpu_lapic(vcpu);
	EXPECT_EQ(lapic_reg(&lapic, APIC_SVR), 0xff);
	EXPECT_EQ(lapic_reg(&lapic, APIC_LVT_LINT0), LVT_EXTINT);
	EXPECT_EQ(vcpu_mp_state(vcpu), KVM_MP_STATE_RUNNABLE);
	EXPECT_EQ(vcpu_mp_state(vcpu_new(vm, 1)), KVM_MP_STATE_UNINITIALIZED);
}
