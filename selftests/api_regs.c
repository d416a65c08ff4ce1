// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_REGS and KVM_SET_REGS. */
#include <string.h>

#include "lib/x86.h"

TEST(start_is_the_reset_state)
{
	struct vcpu *vcpu = vcpu_create(vm_create(), 0);
	struct kvm_regs regs = vcpu_regs(vcpu);

	/* SDM volume 3, table 11-1 */
	EXPECT_EQ(regs.rip, 0xfff0);
	EXPECT_EQ(regs.rflags, RFLAGS_FIXED);
	EXPECT_EQ(regs.rax, 0);
	EXPECT_EQ(regs.rsp, 0);
}

TEST(every_register_is_kept)
{
	struct vcpu *vcpu = vcpu_new(vm_new(1), 0);
	struct kvm_regs set, got;
	uint64_t *word = (uint64_t *)&set;

	for (size_t i = 0; i < sizeof(set) / sizeof(*word); i++)
		word[i] = 0x1111111100000001UL * (i + 1);
	set.rflags = RFLAGS_FIXED | 0x8d5;
	vcpu_set_regs(vcpu, &set);
	got = vcpu_regs(vcpu);
	EXPECT_MEM(&got, &set, sizeof(set));
}

TEST(fixed_flag_is_always_set)
{
	struct vcpu *vcpu = vcpu_new(vm_new(1), 0);
	struct kvm_regs regs = { .rflags = 0 };

	vcpu_set_regs(vcpu, &regs);
	EXPECT_EQ(vcpu_regs(vcpu).rflags, RFLAGS_FIXED);
}

TEST(two_vcpus_do_not_share_them)
{
	struct vm *vm = vm_new(1);
	struct vcpu *first = vcpu_new(vm, 0), *second = vcpu_new(vm, 1);
	struct kvm_regs regs = { .rax = 1, .rsp = 2, .rip = 3, .rflags = RFLAGS_FIXED };

	vcpu_set_regs(first, &regs);
	regs = (struct kvm_regs){ .rax = 11, .rsp = 12, .rip = 13, .rflags = RFLAGS_FIXED };
	vcpu_set_regs(second, &regs);
	regs = vcpu_regs(first);
	EXPECT_EQ(regs.rax, 1);
	EXPECT_EQ(regs.rsp, 2);
	EXPECT_EQ(regs.rip, 3);
	regs = vcpu_regs(second);
	EXPECT_EQ(regs.rax, 11);
	EXPECT_EQ(regs.rsp, 12);
	EXPECT_EQ(regs.rip, 13);
}

/* Reports r8d xor r15d, then ecx. */
GUEST64(uses_registers, "mov %r8d, %eax\n xor %r15d, %eax\n" REPORT
			"mov %ecx, %eax\n" REPORT "mov $0x123456789abcdef0, %rbx\n hlt\n");

TEST(guest_sees_them_and_changes_them)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, uses_registers);
	struct kvm_regs regs = vcpu_regs(vcpu);

	regs.r8 = 0x0f0f0f0f;
	regs.r15 = 0xffffffff;
	regs.rcx = 77;
	vcpu_set_regs(vcpu, &regs);
	EXPECT_REPORT(vcpu, 0xf0f0f0f0);
	EXPECT_REPORT(vcpu, 77);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
	regs = vcpu_regs(vcpu);
	EXPECT_EQ(regs.rbx, 0x123456789abcdef0);
	EXPECT_EQ(regs.r8, 0x0f0f0f0f);
	EXPECT_EQ(regs.rip, GUEST_CODE + (uses_registers_end - uses_registers));
}

GUEST64(between_exits, REPORT "add %ebx, %eax\n" REPORT "hlt\n");

TEST(changes_between_exits_count)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, between_exits);
	struct kvm_regs regs;

	EXPECT_REPORT(vcpu, 0);
	regs = vcpu_regs(vcpu);
	regs.rax = 5;
	regs.rbx = 6;
	vcpu_set_regs(vcpu, &regs);
	EXPECT_REPORT(vcpu, 11);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}
