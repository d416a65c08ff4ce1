// SPDX-License-Identifier: GPL-2.0
/* KVM_INTERRUPT, KVM_NMI, request_interrupt_window: interrupts that the VMM injects. */
#include "lib/waits.h"

static int interrupt(struct vcpu *vcpu, uint32_t vector)
{
	struct kvm_interrupt irq = { .irq = vector };

	return ioctl(vcpu->fd, KVM_INTERRUPT, &irq);
}

TEST(vectors_have_8_bits)
{
	struct vcpu *vcpu = vcpu_new(vm_new(1), 0);

	EXPECT_ERRNO(interrupt(vcpu, 256), EINVAL);
	EXPECT_ERRNO(interrupt(vcpu, -1), EINVAL);
}

TEST(interrupt_wakes_a_halted_guest)
{
	struct vcpu *vcpu = waiting();

	ASSERT_REPORT(vcpu, 1);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu->run->ready_for_interrupt_injection, 1);
	ASSERT_OK(interrupt(vcpu, VECTOR));
	EXPECT_REPORT(vcpu, 2);
	EXPECT_REPORT(vcpu, 3);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

TEST(pending_interrupt_shows_in_sregs)
{
	struct vcpu *vcpu = waiting();
	struct kvm_sregs sregs;

	ASSERT_REPORT(vcpu, 1);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	ASSERT_OK(interrupt(vcpu, VECTOR));
	sregs = vcpu_sregs(vcpu);
	for (int word = 0; word < 4; word++)
		EXPECT_EQ(sregs.interrupt_bitmap[word], word == VECTOR / 64 ? 1UL << VECTOR % 64 : 0);
	EXPECT_REPORT(vcpu, 2);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(sregs.interrupt_bitmap[VECTOR / 64], 0);
}

TEST(interrupt_comes_in_through_sregs)
{
	struct vcpu *vcpu = waiting();
	struct kvm_sregs sregs;

	ASSERT_REPORT(vcpu, 1);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	sregs = vcpu_sregs(vcpu);
	sregs.interrupt_bitmap[VECTOR / 64] |= 1UL << VECTOR % 64;
	vcpu_set_sregs(vcpu, &sregs);
	EXPECT_REPORT(vcpu, 2);
	EXPECT_REPORT(vcpu, 3);
}

/* Two instructions with interrupts off, then sti; nop: the window opens after the nop. */
GUEST64(opens, "mov $1, %eax\n" REPORT "sti\n nop\n nop\n cli\n mov $2, %eax\n" REPORT "hlt\n");

TEST(window_is_told_when_it_opens)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, opens);
	const uint64_t first_nop = GUEST_CODE + 8;

	ASSERT_REPORT(vcpu, 1);
	vcpu->run->request_interrupt_window = 1;
	ASSERT_RUN(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(vcpu->run->if_flag, 1);
	EXPECT_EQ(vcpu->run->ready_for_interrupt_injection, 1);
	EXPECT_TRUE(vcpu_regs(vcpu).rip >= first_nop && vcpu_regs(vcpu).rip <= first_nop + 2);
	vcpu->run->request_interrupt_window = 0;
	EXPECT_REPORT(vcpu, 2);
}

TEST(window_not_asked_for_is_not_told)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, opens);

	EXPECT_REPORT(vcpu, 1);
	EXPECT_REPORT(vcpu, 2);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

TEST(open_window_is_told_at_once)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, opens);
	struct kvm_regs regs = vcpu_regs(vcpu);

	regs.rflags |= RFLAGS_IF;
	vcpu_set_regs(vcpu, &regs);
	vcpu->run->request_interrupt_window = 1;
	EXPECT_RUN(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(vcpu_regs(vcpu).rip, GUEST_CODE);
}

TEST(nmi_wakes_a_halted_guest)
{
	struct vcpu *vcpu = waiting();

	ASSERT_REPORT(vcpu, 1);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	ASSERT_OK(ioctl(vcpu->fd, KVM_NMI, 0));
	EXPECT_REPORT(vcpu, 2);
	EXPECT_REPORT(vcpu, 3);
}

/* With interrupts off: the handler reports 2 before the first instruction. */
TEST(nmi_needs_no_interrupt_flag)
{
	struct vcpu *vcpu = waiting();

	ASSERT_OK(ioctl(vcpu->fd, KVM_NMI, 0));
	EXPECT_REPORT(vcpu, 2);
	EXPECT_REPORT(vcpu, 1);
}

/* The second is held until the handler's IRET; more than two would be merged. */
TEST(second_nmi_waits_for_the_first)
{
	struct vcpu *vcpu = waiting();

	ASSERT_OK(ioctl(vcpu->fd, KVM_NMI, 0));
	ASSERT_REPORT(vcpu, 2);
	ASSERT_OK(ioctl(vcpu->fd, KVM_NMI, 0));
	EXPECT_REPORT(vcpu, 2);
	EXPECT_REPORT(vcpu, 1);
}

/* The lowest and highest vectors that are not exceptions, and two between */
TEST(any_vector_with_a_gate_arrives)
{
	static const uint8_t vectors[] = { 0x20, 0x80, 0xef, 0xff };

	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		struct vcpu *vcpu = waiting();

		vm_set_gate(vcpu->vm, MODE_LONG, vectors[i], GUEST_ADDR(waits, waits_handler));
		ASSERT_REPORT(vcpu, 1);
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		ASSERT_OK(interrupt(vcpu, vectors[i]));
		EXPECT_REPORT(vcpu, 2);
		EXPECT_REPORT(vcpu, 3);
		guest_free(vcpu);
	}
}
