// SPDX-License-Identifier: GPL-2.0
/* KVM_CAP_HALT_POLL: how long a vCPU that has halted looks for an interrupt before it sleeps. */
#include "lib/apic.h"
#include "lib/stats.h"

enum {
	WAITS = 100,
	/* Nanoseconds, which the local APIC's timer counts; the slowest machine has halted by then. */
	SHORT_WAIT = 1000000,
	LONG_LOOK = 20000000,
};

static volatile int interrupts;

HANDLER(on_timer)
{
	interrupts++;
	apic_eoi();
}

static void halt_often(void)
{
	apic_enable();
	apic_write(APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, VEC_A);
	for (int i = 1; i <= WAITS; i++) {
		apic_write(APIC_TIMER_INITIAL, SHORT_WAIT);
		guest_wait(interrupts >= i);
	}
}

static int enable(struct vm *vm, uint64_t longest)
{
	const struct kvm_enable_cap request = { .cap = KVM_CAP_HALT_POLL, .args[0] = longest };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &request);
}

/* Runs the guest, and returns a descriptor for its vCPU's counters. */
static int run(uint64_t longest)
{
	struct vcpu *vcpu = guest_cpu(guest_vm(CHIPS), 0, halt_often);

	guest_gate(vcpu->vm, VEC_A, on_timer);
	ASSERT_OK(enable(vcpu->vm, longest));
	EXPECT_DONE(vcpu);
	EXPECT_EQ(interrupts, WAITS);
	return stats_open(vcpu->fd);
}

TEST(never)
{
	int stats = run(0);

	EXPECT_EQ(stats_value(stats, "halt_attempted_poll"), 0);
	EXPECT_EQ(stats_value(stats, "halt_successful_poll"), 0);
}

/* Short waits are looked for, once it has shown that they are short. */
TEST(for_long)
{
	int stats = run(LONG_LOOK);
	uint64_t tried = stats_value(stats, "halt_attempted_poll");
	uint64_t found = stats_value(stats, "halt_successful_poll");

	EXPECT_TRUE(found > 0);
	EXPECT_TRUE(found <= tried);
	EXPECT_TRUE(tried <= WAITS);
}

TEST(errors)
{
	struct vm *vm = vm_create();
	const struct kvm_enable_cap flags = { .cap = KVM_CAP_HALT_POLL, .flags = 1 };

	EXPECT_EQ(kvm_check(vm->fd, KVM_CAP_HALT_POLL), 1);
	EXPECT_ERRNO(enable(vm, 1UL << 32), EINVAL);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_ENABLE_CAP, &flags), EINVAL);
	EXPECT_OK(enable(vm, UINT32_MAX));
}
