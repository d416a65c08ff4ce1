// SPDX-License-Identifier: GPL-2.0
/* KVM_INTERRUPT, and the window that a VMM waits for to use it. */
#include "lib/traps.h"

enum { VECTOR = 0x40, OTHER = 0x51 };

#define HANDLER(name) #name "_irq: push %rax\nmov $0x99, %eax\n" REPORT "pop %rax\niretq\n"

static int interrupt(struct vcpu *vcpu, uint32_t vector)
{
	struct kvm_interrupt irq = { .irq = vector };

	return ioctl(vcpu->fd, KVM_INTERRUPT, &irq);
}

GUEST64(waits, "1: sti\nhlt\nwaits_next: cli\njmp 1b\n" HANDLER(waits));
LABEL(waits_next);
LABEL(waits_irq);

TEST(wakes_a_halted_guest)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(waits);

	vm_set_gate(vcpu->vm, MODE_LONG, VECTOR, GUEST_ADDR(waits, waits_irq));
	for (int i = 0; i < 10; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		ASSERT_OK(interrupt(vcpu, VECTOR));
		ASSERT_REPORT(vcpu, 0x99);
		EXPECT_EQ(vcpu->run->if_flag, 0);
	}
}

/* The guest turns interrupts on only some exits later. */
GUEST64(closed, "cli\nmov $1, %eax\n" REPORT "mov $2, %eax\n" REPORT
		"sti\nclosed_shadow: mov $3, %eax\n" REPORT "hlt\n" HANDLER(closed));
LABEL(closed_irq);

TEST(window_opens_after_sti)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(closed);

	vm_set_gate(vcpu->vm, MODE_LONG, VECTOR, GUEST_ADDR(closed, closed_irq));
	ASSERT_REPORT(vcpu, 1);
	EXPECT_EQ(vcpu->run->ready_for_interrupt_injection, 0);
	vcpu->run->request_interrupt_window = 1;
	ASSERT_REPORT(vcpu, 2);
	EXPECT_EQ(vcpu->run->ready_for_interrupt_injection, 0);
	ASSERT_RUN(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(vcpu->run->ready_for_interrupt_injection, 1);
	EXPECT_EQ(vcpu->run->if_flag, 1);
	vcpu->run->request_interrupt_window = 0;
	ASSERT_OK(interrupt(vcpu, VECTOR));
	ASSERT_REPORT(vcpu, 0x99);
	EXPECT_REPORT(vcpu, 3);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

/* One that is open already is told at once. */
GUEST64(open, "sti\nnop\nmov $1, %eax\n" REPORT "1: hlt\njmp 1b\n");

TEST(window_that_is_open)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, open);

	ASSERT_REPORT(vcpu, 1);
	vcpu->run->request_interrupt_window = 1;
	ASSERT_RUN(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(vcpu->run->ready_for_interrupt_injection, 1);
}

/*
 * Delivery pushes onto a page that the guest never used and the host never
 * touched: it faults half-way and must be taken up again.
 */
GUEST64(fresh_stack, "mov $0x1e800, %esp\n1: sti\nhlt\ncli\njmp 1b\n" HANDLER(fresh_stack));
LABEL(fresh_stack_irq);

TEST(delivery_survives_a_memory_fault)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(fresh_stack);

	vm_set_gate(vcpu->vm, MODE_LONG, VECTOR, GUEST_ADDR(fresh_stack, fresh_stack_irq));
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	ASSERT_OK(interrupt(vcpu, VECTOR));
	ASSERT_REPORT(vcpu, 0x99);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

GUEST16(real, "1: sti\nhlt\ncli\njmp 1b\nreal_irq: mov $0x77, %eax\n" REPORT "iret\n");
LABEL(real_irq);

TEST(in_real_mode)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_REAL, real);

	vm_set_gate(vcpu->vm, MODE_REAL, OTHER, GUEST_ADDR(real, real_irq));
	for (int i = 0; i < 3; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		ASSERT_OK(interrupt(vcpu, OTHER));
		ASSERT_REPORT(vcpu, 0x77);
	}
}

TEST(a_vector_has_8_bits)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, waits);

	EXPECT_ERRNO(interrupt(vcpu, 256), EINVAL);
	EXPECT_ERRNO(interrupt(vcpu, -1), EINVAL);
}

/* The host's own interrupts leave the guest and go to the host alone. */
GUEST64(busy, "sti\nmov $20000000, %ecx\n1: dec %ecx\njnz 1b\nmov $4, %eax\n" REPORT);

TEST(host_interrupts_do_not_reach_the_guest)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(busy);

	EXPECT_REPORT(vcpu, 4);
}
