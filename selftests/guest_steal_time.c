// SPDX-License-Identifier: GPL-2.0
/* Steal time: how long a vCPU was ready to run and did not. */
#include "lib/pv.h"

struct steal_time {
	uint64_t steal;
	uint32_t version, flags;
	uint8_t preempted, pad0[3];
	uint32_t pad[11];
};

static __attribute__((aligned(64))) volatile struct steal_time area;
static volatile bool stop;

static struct vcpu *steal_guest(void (*fn)(void))
{
	struct vm *vm = guest_vm(CHIPS);

	PV_NEEDS(vm->kvm, PV_STEAL_TIME);
	return guest_cpu(vm, 0, fn);
}

static void enable(void)
{
	const uint64_t value = (uintptr_t)&area | PV_ENABLE;

	guest_wrmsr(MSR_STEAL_TIME, value);
	GUEST_EQ(guest_rdmsr(MSR_STEAL_TIME), value);
}

static void read_area(void)
{
	uint64_t last = 0;

	enable();
	for (int i = 0; i < 10; i++) {
		guest_step(i);
		GUEST_TRUE(area.version != 0);
		GUEST_EQ(area.version & 1, 0);
		GUEST_TRUE(area.steal >= last);
		GUEST_EQ(area.preempted, 0);
		last = area.steal;
	}
}

TEST(is_kept)
{
	struct vcpu *vcpu = steal_guest(read_area);

	for (int i = 0; i < 10; i++)
		ASSERT_STEP(vcpu, i);
	EXPECT_DONE(vcpu);
}

static void wait_for_steal(void)
{
	enable();
	guest_spin(area.steal != 0);
}

static void *burn(void *arg)
{
	while (!stop)
		;
	return arg;
}

/* Another thread takes the one processor for part of the time. */
TEST_LIMIT(grows_beside_a_busy_thread, 60)
{
	struct vcpu *vcpu = steal_guest(wait_for_steal);
	pthread_t thread;

	ASSERT_EQ(pthread_create(&thread, NULL, burn, NULL), 0);
	EXPECT_DONE(vcpu);
	stop = true;
	guest_join(thread);
}

static void disable(void)
{
	enable();
	guest_step(1);
	guest_wrmsr(MSR_STEAL_TIME, 0);
	area = (struct steal_time){ 0 };
	guest_step(2);
	GUEST_EQ(area.version, 0);
}

TEST(stopped)
{
	struct vcpu *vcpu = steal_guest(disable);

	ASSERT_STEP(vcpu, 1);
	ASSERT_STEP(vcpu, 2);
	EXPECT_DONE(vcpu);
}

static void reserved_bits(void)
{
	for (int bit = 1; bit <= 5; bit++)
		GUEST_TRUE(guest_wrmsr_faults(MSR_STEAL_TIME,
					      (uintptr_t)&area | PV_ENABLE | 1 << bit));
}

TEST(reserved_bits) { EXPECT_DONE(steal_guest(reserved_bits)); }
