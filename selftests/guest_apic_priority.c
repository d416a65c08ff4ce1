// SPDX-License-Identifier: GPL-2.0
/* machine: again=enable_apicv=1 */
/* Priorities of interrupts: SDM volume 3, 11.8.3 "Interrupt, Task, and Processor Priority". */
#include "lib/apic_order.h"

static void run(void (*fn)(void), bool by_msr)
{
	EXPECT_DONE(order_guest(guest_vm(CHIPS), fn, by_msr));
}

static void highest_first(void)
{
	static const char want[] = { VEC_C, VEC_B_HIGH, VEC_B, VEC_A };

	apic_enable();
	send(VEC_B);
	send(VEC_A);
	send(VEC_C);
	send(VEC_B_HIGH);
	guest_window();
	guest_window();
	guest_window();
	guest_window();
	expect_order(want, ARRAY_SIZE(want));
}

TEST(the_highest_vector_goes_first_xapic) { run(highest_first, false); }
TEST(the_highest_vector_goes_first_x2apic) { run(highest_first, true); }

static void task_priority(void)
{
	apic_enable();
	apic_write(APIC_TPR, 0x50);
	GUEST_EQ(apic_read(APIC_PPR), 0x50);
	send(VEC_B);
	guest_window();
	GUEST_EQ(count, 0);
	GUEST_TRUE(apic_bit(APIC_IRR, VEC_B));
	send(VEC_C);
	guest_window();
	GUEST_EQ(count, 1);
	GUEST_EQ(order[0], VEC_C);
	/* Only the class counts. */
	apic_write(APIC_TPR, 0x4f);
	guest_window();
	GUEST_EQ(count, 2);
	GUEST_EQ(order[1], VEC_B);
}

TEST(task_priority_xapic) { run(task_priority, false); }
TEST(task_priority_x2apic) { run(task_priority, true); }

static uint64_t read_cr8(void)
{
	uint64_t cr8;

	__asm__ volatile("mov %%cr8, %0" : "=r"(cr8) : : "memory");
	return cr8;
}

static void write_cr8(uint64_t cr8)
{
	__asm__ volatile("mov %0, %%cr8" : : "r"(cr8) : "memory");
}

static void cr8(void)
{
	apic_enable();
	write_cr8(5);
	GUEST_EQ(read_cr8(), 5);
	GUEST_EQ(apic_read(APIC_TPR), 0x50);
	GUEST_EQ(apic_read(APIC_PPR), 0x50);
	send(VEC_B);
	guest_window();
	GUEST_EQ(count, 0);
	write_cr8(4);
	guest_window();
	GUEST_EQ(count, 1);
	apic_write(APIC_TPR, 0x7a);
	GUEST_EQ(read_cr8(), 7);
	GUEST_EQ(apic_read(APIC_TPR), 0x7a);
	write_cr8(0);
	GUEST_EQ(apic_read(APIC_TPR), 0);
}

TEST(cr8_xapic) { run(cr8, false); }
TEST(cr8_x2apic) { run(cr8, true); }

/* A task priority that falls lets a halted guest's interrupt in at once. */
static void pending_on_halt(void)
{
	apic_enable();
	write_cr8(15);
	send(VEC_A);
	guest_window();
	GUEST_EQ(count, 0);
	write_cr8(0);
	guest_wait(count == 1);
}

TEST(lowered_before_a_halt) { run(pending_on_halt, false); }

static void processor_priority(void)
{
	apic_enable();
	apic_write(APIC_TPR, 0x3a);
	GUEST_EQ(apic_read(APIC_PPR), 0x3a);
	send(VEC_B);
	guest_window();
	GUEST_EQ(count, 1);
	/* In service a class counts without its subclass. */
	GUEST_EQ(ppr_seen, VEC_B & 0xf0);
	GUEST_EQ(apic_read(APIC_PPR), 0x3a);
}

TEST(processor_priority_xapic) { run(processor_priority, false); }
TEST(processor_priority_x2apic) { run(processor_priority, true); }

/* Within a handler a higher class comes through, the same and lower ones do not. */
static void nest(void)
{
	send(VEC_A);
	send(VEC_B_HIGH);
	guest_window();
	GUEST_EQ(count, 1);
	send(VEC_C);
	guest_window();
	GUEST_EQ(count, 2);
	GUEST_EQ(order[1], VEC_C);
	GUEST_EQ(apic_read(APIC_PPR), VEC_B & 0xf0);
}

static void nesting(void)
{
	static const char want[] = { VEC_B, VEC_C, VEC_B_HIGH, VEC_A };

	apic_enable();
	nested = nest;
	send(VEC_B);
	guest_window();
	guest_window();
	guest_window();
	expect_order(want, ARRAY_SIZE(want));
}

TEST(nesting_xapic) { run(nesting, false); }
TEST(nesting_x2apic) { run(nesting, true); }

/* EOI ends the highest of those in service. */
static void eoi_order(void)
{
	apic_enable();
	eoi_by_handler = false;
	send(VEC_A);
	guest_window();
	send(VEC_C);
	guest_window();
	GUEST_EQ(count, 2);
	GUEST_TRUE(apic_bit(APIC_ISR, VEC_A) && apic_bit(APIC_ISR, VEC_C));
	GUEST_EQ(apic_read(APIC_PPR), VEC_C & 0xf0);
	apic_eoi();
	GUEST_TRUE(apic_bit(APIC_ISR, VEC_A) && !apic_bit(APIC_ISR, VEC_C));
	GUEST_EQ(apic_read(APIC_PPR), VEC_A & 0xf0);
	apic_eoi();
	GUEST_TRUE(!apic_bit(APIC_ISR, VEC_A));
	GUEST_EQ(apic_read(APIC_PPR), 0);
	/* With nothing in service it does nothing. */
	apic_eoi();
	GUEST_EQ(apic_read(APIC_PPR), 0);
	send(VEC_A);
	guest_window();
	GUEST_EQ(count, 3);
	apic_eoi();
}

TEST(eoi_takes_the_highest_xapic) { run(eoi_order, false); }
TEST(eoi_takes_the_highest_x2apic) { run(eoi_order, true); }

/* One vector may be in service and pending once more. */
static void twice(void)
{
	apic_enable();
	eoi_by_handler = false;
	send(VEC_A);
	guest_window();
	send(VEC_A);
	send(VEC_A);
	guest_window();
	GUEST_EQ(count, 1);
	GUEST_TRUE(apic_bit(APIC_IRR, VEC_A));
	apic_eoi();
	guest_window();
	GUEST_EQ(count, 2);
	apic_eoi();
	guest_window();
	GUEST_EQ(count, 2);
}

TEST(one_in_service_and_one_pending) { run(twice, false); }

static void tell_cr8(void)
{
	apic_enable();
	for (int i = 0; i < 16; i++) {
		write_cr8(i);
		guest_step(i);
	}
}

/* Each exit tells the VMM CR8 in kvm_run. */
TEST(kvm_run_shows_cr8)
{
	struct vcpu *vcpu = guest_cpu(guest_vm(CHIPS), 0, tell_cr8);

	for (int i = 0; i < 16; i++) {
		ASSERT_STEP(vcpu, i);
		EXPECT_EQ(vcpu->run->cr8, i);
		EXPECT_EQ(vcpu_sregs(vcpu).cr8, i);
	}
	EXPECT_DONE(vcpu);
}
