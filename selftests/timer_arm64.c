// SPDX-License-Identifier: GPL-2.0
/* The virtual and the physical timer of an arm64 guest. */
/* machine: arch=arm64 cpus=2 */
#include "lib/stats.h"
#include "lib/vgic.h"

enum { VIRTUAL = 27, PHYSICAL = 30, MAIN = 0xaaa, LATER = 0xbbb };

/* Reports the interrupt, turns both timers off and ends it. */
IRQ_VECTORS(timers_off,
	    ACKNOWLEDGE REPORT
	    "msr cntv_ctl_el0, xzr\n"
	    "msr cntp_ctl_el0, xzr\n"
	    "isb\n"
	    END_OF_INTERRUPT);

/* A timer a 50th of a second ahead */
#define START(timer)								\
	"mrs x1, cntfrq_el0\n"							\
	"mov x2, #50\n"								\
	"udiv x1, x1, x2\n"							\
	"msr " timer "_tval_el0, x1\n"						\
	"mov x1, #1\n"								\
	"msr " timer "_ctl_el0, x1\n"						\
	"isb\n"

GUEST64(wait_virtual,
	GIC_ON IRQS_ON
	"1:\n" START("cntv")
	"wfi\n"
	"mov x0, #0xaaa\n" REPORT
	"b 1b\n");

GUEST64(wait_physical,
	GIC_ON IRQS_ON
	"1:\n" START("cntp")
	"wfi\n"
	"mov x0, #0xaaa\n" REPORT
	"b 1b\n");

/* Spins until the handler has set X19 */
IRQ_VECTORS(timers_off_and_flag,
	    ACKNOWLEDGE REPORT
	    "msr cntv_ctl_el0, xzr\n"
	    "isb\n"
	    "mov x19, #1\n"
	    END_OF_INTERRUPT);

GUEST64(spin_virtual,
	GIC_ON IRQS_ON
	"1: mov x19, #0\n" START("cntv")
	"2: cbz x19, 2b\n"
	"mov x0, #0xaaa\n" REPORT
	"b 1b\n");

static void comes_and_goes(struct vcpu *vcpu, uint64_t intid)
{
	for (int i = 0; i < 4; i++) {
		ASSERT_REPORT(vcpu, intid);
		ASSERT_REPORT(vcpu, MAIN);
	}
}

TEST_LIMIT(the_virtual_timer_ends_a_wfi, 60)
{
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(wait_virtual, timers_off, &vcpu, 1);

	comes_and_goes(vcpu, VIRTUAL);
	vgic_guest_free(vgic, &vcpu, 1);
}

TEST_LIMIT(the_physical_timer_ends_a_wfi, 60)
{
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(wait_physical, timers_off, &vcpu, 1);

	comes_and_goes(vcpu, PHYSICAL);
	vgic_guest_free(vgic, &vcpu, 1);
}

/* Waits as above with a limit for looking, in nanoseconds, before the thread sleeps; the vCPU's counters. */
static void wait_often(uint64_t longest, uint64_t *tried, uint64_t *found)
{
	struct kvm_enable_cap limit = { .cap = KVM_CAP_HALT_POLL, .args[0] = longest };
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(wait_virtual, timers_off, &vcpu, 1), stats = stats_open(vcpu->fd);

	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_ENABLE_CAP, &limit));
	for (int i = 0; i < 5; i++)
		comes_and_goes(vcpu, VIRTUAL);
	*tried = stats_value(stats, "halt_attempted_poll");
	*found = stats_value(stats, "halt_successful_poll");
	vgic_guest_free(vgic, &vcpu, 1);
}

TEST_LIMIT(a_vcpu_in_wfi_sleeps_at_once, 60)
{
	uint64_t tried, found;

	wait_often(0, &tried, &found);
	EXPECT_EQ(tried, 0);
	EXPECT_EQ(found, 0);
}

/* Once it has shown that its waits are short */
TEST_LIMIT(a_vcpu_in_wfi_looks_before_it_sleeps, 60)
{
	uint64_t tried, found;

	wait_often(1000000000, &tried, &found);
	EXPECT_TRUE(found > 0);
	EXPECT_TRUE(found <= tried);
}

TEST_LIMIT(the_virtual_timer_interrupts_a_loop, 60)
{
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(spin_virtual, timers_off_and_flag, &vcpu, 1);

	comes_and_goes(vcpu, VIRTUAL);
	vgic_guest_free(vgic, &vcpu, 1);
}

/* The handler leaves the timer on: its line stays high. */
IRQ_VECTORS(report_only, ACKNOWLEDGE REPORT END_OF_INTERRUPT);

GUEST64(start_and_spin,
	GIC_ON IRQS_ON START("cntv")
	"1: b 1b\n");

TEST_LIMIT(a_timer_interrupts_until_it_is_off, 60)
{
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(start_and_spin, report_only, &vcpu, 1);

	for (int i = 0; i < 5; i++)
		ASSERT_REPORT(vcpu, VIRTUAL);
	vgic_guest_free(vgic, &vcpu, 1);
}

/* The timer fires with interrupts masked, and is moved away before they are taken. */
GUEST64(fire_and_withdraw,
	GIC_ON
	"1: mov x1, #0\n"
	"msr cntv_cval_el0, x1\n"
	"mov x1, #1\n"
	"msr cntv_ctl_el0, x1\n"
	"isb\n"
	"mrs x0, cntv_ctl_el0\n" REPORT
	"mov x1, #-1\n"
	"lsr x1, x1, #1\n"
	"msr cntv_cval_el0, x1\n"
	"isb\n"
	"mrs x0, cntv_ctl_el0\n" REPORT
	IRQS_ON
	"mov x0, #0xaaa\n" REPORT
	IRQS_OFF
	"mov x1, #0\n"
	"msr cntv_cval_el0, x1\n"
	"isb\n"
	"mov x0, #0xbbb\n" REPORT
	IRQS_ON
	"b .\n");

TEST_LIMIT(a_timer_that_is_moved_away_does_not_interrupt, 60)
{
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(fire_and_withdraw, timers_off, &vcpu, 1);

	ASSERT_REPORT(vcpu, 5);
	ASSERT_REPORT(vcpu, 1);
	ASSERT_REPORT(vcpu, MAIN);
	ASSERT_REPORT(vcpu, LATER);
	ASSERT_REPORT(vcpu, VIRTUAL);
	vgic_guest_free(vgic, &vcpu, 1);
}

/* The virtual counter starts near 0 with the VM; it never runs backwards. */
GUEST64(counters,
	"1: isb\n"
	"mrs x0, cntvct_el0\n" REPORT
	"b 1b\n");

TEST(the_virtual_counter_goes_on)
{
	struct vcpu *vcpu = GUEST_NEW(counters);
	uint64_t last = 0, now, frequency;

	__asm__("mrs %0, cntfrq_el0" : "=r"(frequency));
	for (int i = 0; i < 100; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
		now = *(uint64_t *)vcpu->run->mmio.data;
		EXPECT_TRUE(now >= last);
		EXPECT_TRUE(now < 60 * frequency);
		last = now;
	}
	guest_free(vcpu);
}

/* One offset for both counters: what the guest accesses of the physical timer is then emulated. */
GUEST64(counters_and_physical,
	GIC_ON
	"isb\n"
	"mrs x0, cntpct_el0\n" REPORT
	"mrs x0, cntvct_el0\n" REPORT
	START("cntp")
	"mrs x0, cntp_ctl_el0\n" REPORT
	"mrs x0, cntp_tval_el0\n" REPORT
	IRQS_ON
	"1: wfi\n"
	"b 1b\n");

static uint64_t next_report(struct vcpu *vcpu)
{
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	return *(uint64_t *)vcpu->run->mmio.data;
}

TEST_LIMIT(both_counters_have_an_offset, 60)
{
	struct kvm_arm_counter_offset offset = { .reserved = 1 };
	uint64_t frequency, physical, virtual, left;
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(counters_and_physical, timers_off, &vcpu, 1);

	__asm__("mrs %0, cntfrq_el0" : "=r"(frequency));
	EXPECT_ERRNO(ioctl(vcpu->vm->fd, KVM_ARM_SET_COUNTER_OFFSET, &offset), EINVAL);
	offset.reserved = 0;
	__asm__("isb\nmrs %0, cntvct_el0" : "=r"(offset.counter_offset));
	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_ARM_SET_COUNTER_OFFSET, &offset));
	physical = next_report(vcpu);
	virtual = next_report(vcpu);
	EXPECT_TRUE(physical < 30 * frequency);
	EXPECT_TRUE(virtual >= physical && virtual < 30 * frequency);
	EXPECT_EQ(next_report(vcpu) & 1, 1);
	left = next_report(vcpu);
	EXPECT_TRUE((int32_t)left <= (int64_t)(frequency / 50));
	ASSERT_REPORT(vcpu, PHYSICAL);
	vgic_guest_free(vgic, &vcpu, 1);
}

GUEST64(long_past,
	GIC_ON
	"mov x0, #0xaaa\n" REPORT
	"mov x1, #4\nmsr cntp_cval_el0, x1\n"
	"mov x1, #1\nmsr cntp_ctl_el0, x1\nisb\n"
	"mrs x0, cntp_cval_el0\n" REPORT
	"wfi\n"
	IRQS_ON
	"1: b 1b\n");

/* The guest starts the timer for a time of 4 once its physical counter is at `count`. */
static void timer_of_the_past(uint64_t count)
{
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(long_past, timers_off, &vcpu, 1);

	ASSERT_REPORT(vcpu, MAIN);
	vcpu_set_reg(vcpu, KVM_REG_ARM_PTIMER_CNT, count);
	ASSERT_REPORT(vcpu, 4);
	ASSERT_REPORT(vcpu, PHYSICAL);
	EXPECT_EQ(vcpu_reg(vcpu, KVM_REG_ARM_PTIMER_CVAL), 4);
	vgic_guest_free(vgic, &vcpu, 1);
}

TEST_LIMIT(the_physical_timer_of_a_counter_behind, 60)
{
	uint64_t count;

	__asm__("isb\nmrs %0, cntvct_el0" : "=r"(count));
	timer_of_the_past(count / 2);
}

/* A time that the guest's counter has passed longer ago than the processor's counter has been going */
TEST_LIMIT(the_physical_timer_of_a_counter_far_ahead, 60)
{
	/*
	 * It gives the processor the sum of time and offset, which here is far ahead of the
	 * processor's counter: the line that its own comparison raised falls before the guest
	 * can acknowledge it.
	 */
	if (kvm_is_c())
		SKIP("C KVM's timer is not due for the processor");
	timer_of_the_past(1UL << 63);
}

/* A reset takes the timers' interrupts along; the rest of the GIC is the VMM's to reset. */
TEST(a_reset_while_the_interrupt_is_active)
{
	struct kvm_vcpu_init init;
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(wait_virtual, timers_off, &vcpu, 1);

	ASSERT_REPORT(vcpu, VIRTUAL);
	vcpu_settle(vcpu);
	EXPECT_EQ(vgic_redist(vgic, 0, GICR_SGI + 0x300), 1u << VIRTUAL);
	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_ARM_PREFERRED_TARGET, &init));
	ASSERT_OK(ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init));
	EXPECT_EQ(vgic_redist(vgic, 0, GICR_SGI + 0x300), 0);
	vgic_guest_free(vgic, &vcpu, 1);
}
