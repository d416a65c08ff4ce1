// SPDX-License-Identifier: GPL-2.0
/* machine: again=enable_apicv=1 */
/* The timer of the local APIC: SDM volume 3, 11.5.4 "APIC Timer". */
#include "lib/apic.h"

static volatile int ticks;

HANDLER(on_tick)
{
	ticks++;
	apic_eoi();
}

static void run(void (*fn)(void), bool by_msr)
{
	struct vcpu *vcpu = guest_cpu(guest_vm(CHIPS), 0, fn);

	x2apic = by_msr;
	guest_gate(vcpu->vm, VEC_A, on_tick);
	EXPECT_DONE(vcpu);
}

/* Nothing within this time is taken for never. */
#define WHILE 5000000

static void timer(uint32_t lvt, uint32_t count)
{
	apic_write(APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, lvt);
	apic_write(APIC_TIMER_INITIAL, count);
}

static void one_shot(void)
{
	apic_enable();
	timer(VEC_A, WHILE);
	GUEST_EQ(apic_read(APIC_TIMER_INITIAL), WHILE);
	guest_wait(ticks);
	/* It has run down, and stays there. */
	GUEST_EQ(apic_read(APIC_TIMER_CURRENT), 0);
	GUEST_EQ(apic_read(APIC_TIMER_INITIAL), WHILE);
	guest_window();
	GUEST_EQ(ticks, 1);
	GUEST_TRUE(!apic_bit(APIC_IRR, VEC_A));
	/* Written again it runs again. */
	apic_write(APIC_TIMER_INITIAL, WHILE);
	guest_wait(ticks == 2);
}

TEST(one_shot_xapic) { run(one_shot, false); }
TEST(one_shot_x2apic) { run(one_shot, true); }

static void to_a_running_guest(void)
{
	apic_enable();
	timer(VEC_A, WHILE);
	guest_spin(ticks);
	timer(VEC_A | LVT_PERIODIC, WHILE);
	guest_spin(ticks == 4);
}

TEST(reaches_a_running_guest) { run(to_a_running_guest, false); }

static void periodic(void)
{
	apic_enable();
	timer(VEC_A | LVT_PERIODIC, WHILE);
	guest_wait(ticks == 5);
	/* 0 stops it. */
	apic_write(APIC_TIMER_INITIAL, 0);
	GUEST_EQ(apic_read(APIC_TIMER_CURRENT), 0);
	guest_window();
	ticks = 0;
	timer(VEC_A | LVT_PERIODIC, WHILE);
	guest_wait(ticks == 1);
}

TEST(periodic_xapic) { run(periodic, false); }
TEST(periodic_x2apic) { run(periodic, true); }

#define LONG_COUNT 4000000000U

static void current_count_falls(void)
{
	uint32_t last, now;

	apic_enable();
	timer(VEC_A | LVT_MASKED, LONG_COUNT);
	last = apic_read(APIC_TIMER_CURRENT);
	GUEST_TRUE(last <= LONG_COUNT && last > 0);
	for (int i = 0; i < 5; i++) {
		now = apic_read(APIC_TIMER_CURRENT);
		GUEST_TRUE(now < last);
		last = now;
	}
	apic_write(APIC_TIMER_INITIAL, 0);
	GUEST_EQ(apic_read(APIC_TIMER_CURRENT), 0);
}

TEST(current_count_falls_xapic) { run(current_count_falls, false); }
TEST(current_count_falls_x2apic) { run(current_count_falls, true); }

/* The divider makes it slower: 128 times as slow it goes only so far in the same time. */
static void divided(void)
{
	const uint32_t by_128 = 0xa;
	uint64_t tsc, fast, slow;

	apic_enable();
	timer(VEC_A | LVT_MASKED, LONG_COUNT);
	tsc = guest_rdtsc();
	while (guest_rdtsc() - tsc < 1000000)
		;
	fast = LONG_COUNT - apic_read(APIC_TIMER_CURRENT);
	apic_write(APIC_TIMER_DIVIDE, by_128);
	GUEST_EQ(apic_read(APIC_TIMER_DIVIDE), by_128);
	apic_write(APIC_TIMER_INITIAL, LONG_COUNT);
	slow = LONG_COUNT - apic_read(APIC_TIMER_CURRENT);
	GUEST_TRUE(slow < fast);
}

TEST(divider) { run(divided, false); }

/* A masked one counts and stays silent. */
static void masked(void)
{
	apic_enable();
	timer(VEC_A | LVT_MASKED, 1000);
	while (apic_read(APIC_TIMER_CURRENT))
		;
	guest_window();
	GUEST_EQ(ticks, 0);
	GUEST_TRUE(!apic_bit(APIC_IRR, VEC_A));
}

TEST(masked_xapic) { run(masked, false); }
TEST(masked_x2apic) { run(masked, true); }

/* How far the TSC goes while the host may do something else */
#define DEADLINE 2000000

static void deadline(void)
{
	uint64_t at;

	apic_enable();
	apic_write(APIC_LVT_TIMER, VEC_A | LVT_DEADLINE);
	__asm__ volatile("mfence" : : : "memory");
	at = guest_rdtsc() + DEADLINE;
	guest_wrmsr(MSR_TSC_DEADLINE, at);
	guest_wait(ticks == 1);
	GUEST_TRUE(guest_rdtsc() >= at);
	GUEST_EQ(guest_rdmsr(MSR_TSC_DEADLINE), 0);
	/* The count registers are dead in this mode. */
	apic_write(APIC_TIMER_INITIAL, WHILE);
	GUEST_EQ(apic_read(APIC_TIMER_CURRENT), 0);
	/* Again, and to a running guest */
	guest_wrmsr(MSR_TSC_DEADLINE, guest_rdtsc() + DEADLINE);
	guest_spin(ticks == 2);
}

TEST(deadline_xapic) { run(deadline, false); }
TEST(deadline_x2apic) { run(deadline, true); }

static void deadline_in_the_past(void)
{
	apic_enable();
	apic_write(APIC_LVT_TIMER, VEC_A | LVT_DEADLINE);
	guest_wrmsr(MSR_TSC_DEADLINE, 1);
	guest_wait(ticks == 1);
	GUEST_EQ(guest_rdmsr(MSR_TSC_DEADLINE), 0);
}

TEST(deadline_that_has_passed) { run(deadline_in_the_past, false); }

static void deadline_disarmed(void)
{
	const uint64_t far = guest_rdtsc() + (1UL << 40);

	apic_enable();
	apic_write(APIC_LVT_TIMER, VEC_A | LVT_DEADLINE);
	guest_wrmsr(MSR_TSC_DEADLINE, far);
	GUEST_EQ(guest_rdmsr(MSR_TSC_DEADLINE), far);
	guest_wrmsr(MSR_TSC_DEADLINE, 0);
	GUEST_EQ(guest_rdmsr(MSR_TSC_DEADLINE), 0);
	/* The mode is left: the deadline is forgotten. */
	guest_wrmsr(MSR_TSC_DEADLINE, far);
	apic_write(APIC_LVT_TIMER, VEC_A);
	GUEST_EQ(guest_rdmsr(MSR_TSC_DEADLINE), 0);
	guest_window();
	GUEST_EQ(ticks, 0);
}

TEST(deadline_can_be_disarmed) { run(deadline_disarmed, false); }

/* In the other modes the MSR does nothing. */
static void deadline_in_another_mode(void)
{
	apic_enable();
	apic_write(APIC_LVT_TIMER, VEC_A);
	guest_wrmsr(MSR_TSC_DEADLINE, 1);
	GUEST_EQ(guest_rdmsr(MSR_TSC_DEADLINE), 0);
	guest_window();
	GUEST_EQ(ticks, 0);
}

TEST(deadline_needs_its_mode) { run(deadline_in_another_mode, false); }

/* A tick that comes with interrupts off waits in IRR. */
static void pending(void)
{
	apic_enable();
	timer(VEC_A, 1000);
	while (!apic_bit(APIC_IRR, VEC_A))
		;
	GUEST_EQ(ticks, 0);
	guest_window();
	GUEST_EQ(ticks, 1);
	GUEST_TRUE(!apic_bit(APIC_IRR, VEC_A));
}

TEST(waits_for_interrupts_on_xapic) { run(pending, false); }
TEST(waits_for_interrupts_on_x2apic) { run(pending, true); }

/* An APIC disabled by software masks all of its local interrupts. */
static void disabled(void)
{
	apic_enable();
	apic_write(APIC_LVT_TIMER, VEC_A);
	apic_write(APIC_SVR, VEC_SPURIOUS);
	GUEST_EQ(apic_read(APIC_LVT_TIMER), VEC_A | LVT_MASKED);
	/* The mask cannot be taken off before it is enabled again. */
	apic_write(APIC_LVT_TIMER, VEC_A);
	GUEST_EQ(apic_read(APIC_LVT_TIMER), VEC_A | LVT_MASKED);
	apic_write(APIC_SVR, SVR_ENABLED | VEC_SPURIOUS);
	GUEST_EQ(apic_read(APIC_LVT_TIMER), VEC_A | LVT_MASKED);
	timer(VEC_A, 1000);
	guest_wait(ticks == 1);
}

TEST(software_disable_masks) { run(disabled, false); }
