// SPDX-License-Identifier: GPL-2.0
/* machine: again=enable_apicv=1 */
/* PV EOI: a bit in memory that saves the guest the write to the APIC. */
#include "lib/pv.h"

enum { PIN = 10, COUNT = 50 };

static __attribute__((aligned(4))) volatile uint32_t eoi_word;
static volatile int count, saved;

/* What Linux does: only if the bit was not set is the APIC written. */
static bool end_of_interrupt(void)
{
	bool was_set;

	__asm__ volatile("btrl $0, %1\nsetc %0" : "=q"(was_set), "+m"(eoi_word) : : "memory", "cc");
	if (!was_set)
		apic_eoi();
	return was_set;
}

HANDLER(on_interrupt)
{
	count++;
	saved += end_of_interrupt();
}

/* A level's EOI has to reach the I/O APIC. */
HANDLER(on_level)
{
	count++;
	GUEST_TRUE(!end_of_interrupt());
}

static struct vcpu *eoi_guest(void (*fn)(void))
{
	struct vm *vm = guest_vm(CHIPS);

	PV_NEEDS(vm->kvm, PV_EOI);
	guest_gate(vm, VEC_A, on_interrupt);
	guest_gate(vm, VEC_B, on_level);
	return guest_cpu(vm, 0, fn);
}

static void enable(void)
{
	const uint64_t value = (uintptr_t)&eoi_word | PV_ENABLE;

	apic_enable();
	guest_wrmsr(MSR_PV_EOI, value);
	GUEST_EQ(guest_rdmsr(MSR_PV_EOI), value);
}

static void take(void)
{
	enable();
	for (int i = 1; i <= COUNT; i++) {
		apic_icr(0, ICR_SELF | VEC_A);
		guest_window();
		GUEST_EQ(count, i);
		/* However it was ended, it is over. */
		GUEST_TRUE(!apic_bit(APIC_ISR, VEC_A));
		GUEST_EQ(apic_read(APIC_PPR), 0);
	}
	guest_wrmsr(MSR_PV_EOI, 0);
	GUEST_EQ(guest_rdmsr(MSR_PV_EOI), 0);
	saved = 0;
	apic_icr(0, ICR_SELF | VEC_A);
	guest_window();
	GUEST_EQ(count, COUNT + 1);
	GUEST_EQ(saved, 0);
}

TEST(interrupts_end) { EXPECT_DONE(eoi_guest(take)); }

/* In service and pending: after one the other follows, whether an EOI was written or not. */
static void follow(void)
{
	enable();
	for (int i = 1; i <= COUNT; i++) {
		apic_icr(0, ICR_SELF | VEC_A);
		apic_icr(0, ICR_SELF | VEC_B);
		guest_wait(count == 2 * i);
	}
}

HANDLER(on_second)
{
	count++;
	end_of_interrupt();
}

TEST(two_at_a_time)
{
	struct vcpu *vcpu = eoi_guest(follow);

	guest_gate(vcpu->vm, VEC_B, on_second);
	EXPECT_DONE(vcpu);
}

static void level(void)
{
	enable();
	ioapic_entry(PIN, VEC_B | ENTRY_LEVEL, 0);
	for (int i = 1; i <= 5; i++) {
		guest_step(i);
		guest_wait(count == i);
		GUEST_TRUE(!(ioapic_read(IOAPIC_ENTRY + 2 * PIN) & ENTRY_REMOTE_IRR));
	}
}

TEST(not_for_levels)
{
	struct vcpu *vcpu = eoi_guest(level);

	for (int i = 1; i <= 5; i++) {
		ASSERT_STEP(vcpu, i);
		irq_pulse(vcpu->vm, PIN);
	}
	EXPECT_DONE(vcpu);
}

static void bad_address(void)
{
	/* The word must be aligned. */
	GUEST_TRUE(guest_wrmsr_faults(MSR_PV_EOI, ((uintptr_t)&eoi_word + 2) | PV_ENABLE));
}

TEST(address_must_be_aligned) { EXPECT_DONE(eoi_guest(bad_address)); }
