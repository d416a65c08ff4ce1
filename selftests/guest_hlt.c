// SPDX-License-Identifier: GPL-2.0
/* HLT without an in-kernel interrupt controller leaves to the VMM. */
#include "lib/x86.h"

GUEST64(halts, "mov $1, %ebx\nhlt\nhalts_next: mov $2, %ebx\nhlt\nmov $3, %eax\n" REPORT);
extern const uint8_t halts_next[];

TEST(goes_on_behind_the_instruction)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, halts);

	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_regs(vcpu).rbx, 1);
	EXPECT_EQ(vcpu_regs(vcpu).rip, GUEST_ADDR(halts, halts_next));
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_regs(vcpu).rbx, 2);
	EXPECT_REPORT(vcpu, 3);
}

GUEST64(enabled, "sti\nhlt\ncli\nhlt\n");

/* What a VMM looks at to decide whether the guest can be woken */
TEST(tells_whether_interrupts_are_enabled)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, enabled);

	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu->run->if_flag, 1);
	EXPECT_EQ(vcpu->run->ready_for_interrupt_injection, 1);
	EXPECT_TRUE(vcpu_regs(vcpu).rflags & RFLAGS_IF);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu->run->if_flag, 0);
	EXPECT_EQ(vcpu->run->ready_for_interrupt_injection, 0);
}
