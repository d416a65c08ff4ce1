// SPDX-License-Identifier: GPL-2.0
/* KVM_SET_REGS reaches the guest and KVM_GET_REGS shows what it did. */
#include "lib/x86.h"

GUEST64(negate,
	"not %rax\nnot %rbx\nnot %rcx\nnot %rdx\nnot %rsi\nnot %rdi\nnot %rsp\nnot %rbp\n"
	"not %r8\nnot %r9\nnot %r10\nnot %r11\nnot %r12\nnot %r13\nnot %r14\nnot %r15\n"
	"stc\nhlt\n");

TEST(general_registers_both_ways)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, negate);
	const uint64_t base = 0x123456789abcdef0;
	struct kvm_regs regs = {
		.rax = base + 0, .rbx = base + 1, .rcx = base + 2, .rdx = base + 3,
		.rsi = base + 4, .rdi = base + 5, .rsp = base + 6, .rbp = base + 7,
		.r8 = base + 8, .r9 = base + 9, .r10 = base + 10, .r11 = base + 11,
		.r12 = base + 12, .r13 = base + 13, .r14 = base + 14, .r15 = base + 15,
		.rip = GUEST_CODE, .rflags = RFLAGS_FIXED,
	};

	vcpu_set_regs(vcpu, &regs);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	regs = vcpu_regs(vcpu);
	EXPECT_EQ(regs.rax, ~(base + 0));
	EXPECT_EQ(regs.rbx, ~(base + 1));
	EXPECT_EQ(regs.rcx, ~(base + 2));
	EXPECT_EQ(regs.rdx, ~(base + 3));
	EXPECT_EQ(regs.rsi, ~(base + 4));
	EXPECT_EQ(regs.rdi, ~(base + 5));
	EXPECT_EQ(regs.rsp, ~(base + 6));
	EXPECT_EQ(regs.rbp, ~(base + 7));
	EXPECT_EQ(regs.r8, ~(base + 8));
	EXPECT_EQ(regs.r9, ~(base + 9));
	EXPECT_EQ(regs.r10, ~(base + 10));
	EXPECT_EQ(regs.r11, ~(base + 11));
	EXPECT_EQ(regs.r12, ~(base + 12));
	EXPECT_EQ(regs.r13, ~(base + 13));
	EXPECT_EQ(regs.r14, ~(base + 14));
	EXPECT_EQ(regs.r15, ~(base + 15));
	EXPECT_EQ(regs.rip, GUEST_CODE + (negate_end - negate));
	EXPECT_EQ(regs.rflags, RFLAGS_FIXED | 1);
}

GUEST64(ring, "1: add $1, %rax\nhlt\njmp 1b\n");

/* A stop between two runs changes nothing by itself. */
TEST(registers_live_across_runs)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, ring);

	for (uint64_t i = 1; i <= 50; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		ASSERT_EQ(vcpu_regs(vcpu).rax, i);
	}
}
