// SPDX-License-Identifier: GPL-2.0
/* machine: again=enable_apicv=1 */
/* KVM_GET_LAPIC and KVM_SET_LAPIC. */
#include "lib/apic.h"

static int set(struct vcpu *vcpu, const struct kvm_lapic_state *lapic)
{
	return ioctl(vcpu->fd, KVM_SET_LAPIC, lapic);
}

TEST(needs_the_irqchip)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);
	struct kvm_lapic_state lapic = { 0 };

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic), EINVAL);
	EXPECT_ERRNO(set(vcpu, &lapic), EINVAL);
}

/* After reset, SDM volume 3, 11.4.7.1; LINT0 of the first one is open for the 8259A. */
static void expect_fresh(struct vcpu *vcpu, uint32_t lint0, uint64_t base)
{
	const uint32_t lvts[] = {
		APIC_LVT_TIMER, APIC_LVT_THERMAL, APIC_LVT_PERF, APIC_LVT_LINT1, APIC_LVT_ERROR,
	};
	const uint32_t zero[] = {
		APIC_TPR, APIC_PPR, APIC_LDR, APIC_ESR, APIC_ICR, APIC_ICR2, APIC_TIMER_INITIAL,
		APIC_TIMER_CURRENT, APIC_TIMER_DIVIDE,
	};
	const struct kvm_lapic_state lapic = vcpu_lapic(vcpu);

	EXPECT_EQ(lapic_reg(&lapic, APIC_ID), vcpu->id << 24);
	EXPECT_EQ(lapic_reg(&lapic, APIC_VERSION) & 0xff, 0x14);
	EXPECT_TRUE((lapic_reg(&lapic, APIC_VERSION) >> 16 & 0xff) >= 5);
	EXPECT_EQ(lapic_reg(&lapic, APIC_SVR), 0xff);
	EXPECT_EQ(lapic_reg(&lapic, APIC_DFR), 0xffffffff);
	EXPECT_EQ(lapic_reg(&lapic, APIC_LVT_LINT0), lint0);
	for (unsigned int i = 0; i < ARRAY_SIZE(lvts); i++)
		EXPECT_EQ(lapic_reg(&lapic, lvts[i]), LVT_MASKED);
	for (unsigned int i = 0; i < ARRAY_SIZE(zero); i++)
		EXPECT_EQ(lapic_reg(&lapic, zero[i]), 0);
	for (uint32_t word = 0; word < 8; word++) {
		EXPECT_EQ(lapic_reg(&lapic, APIC_ISR + 16 * word), 0);
		EXPECT_EQ(lapic_reg(&lapic, APIC_TMR + 16 * word), 0);
		EXPECT_EQ(lapic_reg(&lapic, APIC_IRR + 16 * word), 0);
	}
	EXPECT_EQ(vcpu_sregs(vcpu).apic_base, base);
}

TEST(fresh)
{
	struct vm *vm = guest_vm(CHIPS);
	const uint64_t base = APIC_BASE | APIC_BASE_ENABLED;

	expect_fresh(vcpu_new(vm, 0), LVT_EXTINT, base | APIC_BASE_BSP);
	expect_fresh(vcpu_new(vm, 1), LVT_MASKED, base);
	expect_fresh(vcpu_new(vm, 5), LVT_MASKED, base);
}

/* KVM_SET_BOOT_CPU_ID makes another one the first. */
TEST(fresh_boot_cpu)
{
	struct vm *vm = guest_vm(CHIPS);
	const uint64_t base = APIC_BASE | APIC_BASE_ENABLED;

	ASSERT_OK(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 1));
	expect_fresh(vcpu_new(vm, 0), LVT_MASKED, base);
	expect_fresh(vcpu_new(vm, 1), LVT_EXTINT, base | APIC_BASE_BSP);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 0), EBUSY);
}

TEST(round_trip)
{
	struct vcpu *vcpu = vcpu_new(guest_vm(CHIPS), 0);
	const struct kvm_lapic_state fresh = vcpu_lapic(vcpu);
	struct kvm_lapic_state lapic = fresh, got;
	const struct {
		uint32_t reg, value;
	} set_to[] = {
		{ APIC_TPR, 0x20 }, { APIC_LDR, 0x01000000 }, { APIC_SVR, 0x1ff },
		{ APIC_ICR, 0x00c41 }, { APIC_ICR2, 0x03000000 }, { APIC_LVT_TIMER, 0x200ec },
		{ APIC_LVT_LINT0, LVT_MASKED | LVT_EXTINT }, { APIC_LVT_LINT1, LVT_NMI },
		{ APIC_LVT_ERROR, 0xfe }, { APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1 },
		{ APIC_IRR + 0x20, 2 }, { APIC_ISR + 0x40, 0x10 }, { APIC_TMR + 0x20, 2 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(set_to); i++)
		lapic_set_reg(&lapic, set_to[i].reg, set_to[i].value);
	ASSERT_OK(set(vcpu, &lapic));
	got = vcpu_lapic(vcpu);
	for (unsigned int i = 0; i < ARRAY_SIZE(set_to); i++)
		EXPECT_EQ(lapic_reg(&got, set_to[i].reg), set_to[i].value);
	/* The priority in use follows from the others; in C KVM not before the vCPU runs. */
	if (!kvm_is_c())
		EXPECT_EQ(lapic_reg(&got, APIC_PPR), 0x80);
	ASSERT_OK(set(vcpu, &fresh));
	got = vcpu_lapic(vcpu);
	EXPECT_MEM(&got, &fresh, sizeof(fresh));
}

/* A count that was saved goes on to fall. */
TEST(a_running_timer)
{
	struct vcpu *vcpu = vcpu_new(guest_vm(CHIPS), 0);
	struct kvm_lapic_state lapic = vcpu_lapic(vcpu);
	const uint32_t initial = 0xf0000000, current = 0x80000000;

	lapic_set_reg(&lapic, APIC_SVR, 0x1ff);
	lapic_set_reg(&lapic, APIC_LVT_TIMER, LVT_MASKED | LVT_PERIODIC | VEC_A);
	lapic_set_reg(&lapic, APIC_TIMER_INITIAL, initial);
	lapic_set_reg(&lapic, APIC_TIMER_CURRENT, current);
	ASSERT_OK(set(vcpu, &lapic));
	lapic = vcpu_lapic(vcpu);
	EXPECT_EQ(lapic_reg(&lapic, APIC_TIMER_INITIAL), initial);
	EXPECT_TRUE(lapic_reg(&lapic, APIC_TIMER_CURRENT) <= current);
	EXPECT_TRUE(lapic_reg(&lapic, APIC_TIMER_CURRENT) > 0);
}

static void set_base(struct vcpu *vcpu, uint64_t bits)
{
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	sregs.apic_base |= bits;
	vcpu_set_sregs(vcpu, &sregs);
}

/* In x2APIC mode the ID is the vCPU's, in the format of xAPIC mode as long as it fits there. */
TEST(x2apic)
{
	struct vm *vm = guest_vm(CHIPS);
	struct vcpu *vcpu;
	struct kvm_lapic_state lapic;

	vcpu_new(vm, 0);
	vcpu = vcpu_new(vm, 3);
	set_base(vcpu, APIC_BASE_X2APIC);
	lapic = vcpu_lapic(vcpu);
	EXPECT_EQ(lapic_reg(&lapic, APIC_ID), 3 << 24);
	EXPECT_EQ(lapic_reg(&lapic, APIC_LDR), 1 << 3);
	EXPECT_OK(set(vcpu, &lapic));
	/* Another value, as of a VMM that kept the ID it once wrote, is passed over. */
	lapic_set_reg(&lapic, APIC_ID, 4 << 24);
	EXPECT_OK(set(vcpu, &lapic));
	lapic = vcpu_lapic(vcpu);
	EXPECT_EQ(lapic_reg(&lapic, APIC_ID), 3 << 24);
}

/* KVM_CAP_X2APIC_API: IDs of 32 bits */
TEST(x2apic_with_long_ids)
{
	const struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X2APIC_API, .args[0] = KVM_X2APIC_API_USE_32BIT_IDS,
	};
	struct vm *vm = guest_vm(CHIPS);
	struct vcpu *vcpu;
	struct kvm_lapic_state lapic;

	if (!(kvm_check(vm->fd, KVM_CAP_X2APIC_API) & KVM_X2APIC_API_USE_32BIT_IDS))
		SKIP("the device offers no 32-bit IDs");
	ASSERT_OK(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	vcpu = vcpu_new(vm, 3);
	set_base(vcpu, APIC_BASE_X2APIC);
	lapic = vcpu_lapic(vcpu);
	EXPECT_EQ(lapic_reg(&lapic, APIC_ID), 3);
	EXPECT_OK(set(vcpu, &lapic));
	lapic_set_reg(&lapic, APIC_ID, 3 << 24);
	EXPECT_ERRNO(set(vcpu, &lapic), EINVAL);
}

/* Whatever a VMM sets, the vCPU goes on to work. */
TEST(any_state_can_be_set)
{
	struct vcpu *vcpu = vcpu_new(guest_vm(CHIPS), 0);
	struct kvm_lapic_state lapic;
	uint32_t random = 4711;

	for (int round = 0; round < 100; round++) {
		for (unsigned int i = 0; i < sizeof(lapic.regs); i++) {
			random = random * 1103515245 + 12345;
			lapic.regs[i] = random >> 16;
		}
		ASSERT_OK(set(vcpu, &lapic));
		vcpu_lapic(vcpu);
	}
}

TEST(bad_pointers)
{
	struct vcpu *vcpu = vcpu_new(guest_vm(CHIPS), 0);

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_LAPIC, 16), EFAULT);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_LAPIC, 16), EFAULT);
}
