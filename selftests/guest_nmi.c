// SPDX-License-Identifier: GPL-2.0
/* KVM_NMI: delivered whatever RFLAGS.IF says, and once at a time. */
#include "lib/traps.h"

GUEST64(code, "1: hlt\njmp 1b\n"
	      "code_nmi: mov $1, %eax\n" REPORT "mov $2, %eax\n" REPORT "iretq\n");
LABEL(code_nmi);

static struct vcpu *nmi_guest(void)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(code);

	vm_set_gate(vcpu->vm, MODE_LONG, NMI_VECTOR, GUEST_ADDR(code, code_nmi));
	return vcpu;
}

TEST(delivered_with_interrupts_off)
{
	struct vcpu *vcpu = nmi_guest();

	for (int i = 0; i < 5; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		EXPECT_EQ(vcpu->run->if_flag, 0);
		ASSERT_OK(ioctl(vcpu->fd, KVM_NMI));
		ASSERT_REPORT(vcpu, 1);
		ASSERT_REPORT(vcpu, 2);
	}
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

/* A second one waits until the handler of the first returns. */
TEST(blocked_until_iret)
{
	struct vcpu *vcpu = nmi_guest();

	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	ASSERT_OK(ioctl(vcpu->fd, KVM_NMI));
	ASSERT_REPORT(vcpu, 1);
	ASSERT_OK(ioctl(vcpu->fd, KVM_NMI));
	ASSERT_REPORT(vcpu, 2);
	ASSERT_REPORT(vcpu, 1);
	ASSERT_REPORT(vcpu, 2);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

/* The return address of an NMI is that of the interrupted code. */
TEST(frame_on_the_stack)
{
	struct vcpu *vcpu = nmi_guest();
	uint64_t *frame;

	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	ASSERT_OK(ioctl(vcpu->fd, KVM_NMI));
	ASSERT_REPORT(vcpu, 1);
	frame = (uint64_t *)(vcpu->vm->ram + vcpu_regs(vcpu).rsp);
	EXPECT_EQ(frame[0], GUEST_CODE + 1);
	EXPECT_EQ(frame[1], SEL_CODE);
	EXPECT_EQ(frame[3], GUEST_STACK);
}

/* An NMI and an interrupt at the same time */
GUEST64(both, "sti\nhlt\nhlt\n"
	      "both_nmi: mov $1, %eax\n" REPORT "iretq\n"
	      "both_irq: mov $2, %eax\n" REPORT "iretq\n");
LABEL(both_nmi);
LABEL(both_irq);

TEST(together_with_an_interrupt)
{
	const struct kvm_interrupt irq = { .irq = 0x40 };
	struct vcpu *vcpu = GUEST_NEW_TRAPS(both);
	uint32_t seen = 0;

	vm_set_gate(vcpu->vm, MODE_LONG, NMI_VECTOR, GUEST_ADDR(both, both_nmi));
	vm_set_gate(vcpu->vm, MODE_LONG, irq.irq, GUEST_ADDR(both, both_irq));
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	ASSERT_OK(ioctl(vcpu->fd, KVM_NMI));
	ASSERT_OK(ioctl(vcpu->fd, KVM_INTERRUPT, &irq));
	/* Which is first is the KVM's choice; none is lost, none comes twice. */
	for (int i = 0; i < 2; i++) {
		ASSERT_OK(vcpu_run(vcpu));
		ASSERT_EXIT(vcpu, KVM_EXIT_IO);
		seen |= *(uint32_t *)io_data(vcpu);
	}
	EXPECT_EQ(seen, 3);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}
