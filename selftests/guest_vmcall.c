// SPDX-License-Identifier: GPL-2.0
/* VMCALL: a hypercall that is not known fails; VMX instructions are not there. */
#include "lib/traps.h"

GUEST64(call, "mov $0x1234567812345678, %rax\nvmcall\nhlt\n");

TEST(unknown_hypercall)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, call);
	const uint64_t kvm_enosys = -1000;

	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_regs(vcpu).rax, kvm_enosys);
}

/* Below long mode the result has 32 bits. */
GUEST32(call32, "mov $-1, %eax\nvmcall\nhlt\n");

TEST(unknown_hypercall_in_protected_mode)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_PROTECTED, call32);

	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_regs(vcpu).rax, (uint32_t)-1000);
}

GUEST64(user_call, "push $0x1b\npush $0x18000\npush $0x3002\npush $0x23\n"
		   "lea 1f(%rip), %rax\npush %rax\niretq\n"
		   "1: mov $1, %eax\nvmcall\n" REPORT);

TEST(not_from_user_mode)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, user_call);
	const uint32_t kvm_eperm = -1;

	EXPECT_REPORT(vcpu, kvm_eperm);
}

GUEST64(vmx, "vmx_on: vmxon (%rsp)\nvmx_clear: vmclear (%rsp)\nvmx_off: vmxoff\n"
	     "vmx_launch: vmlaunch\nmov $3, %eax\n" REPORT);
LABEL(vmx_on);
LABEL(vmx_clear);
LABEL(vmx_off);
LABEL(vmx_launch);

TEST(vmx_instructions_are_undefined)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(vmx);

	ASSERT_TRAP(vcpu, UD_VECTOR, 0, GUEST_ADDR(vmx, vmx_on));
	trap_skip(vcpu, vmx_clear - vmx_on);
	ASSERT_TRAP(vcpu, UD_VECTOR, 0, GUEST_ADDR(vmx, vmx_clear));
	trap_skip(vcpu, vmx_off - vmx_clear);
	ASSERT_TRAP(vcpu, UD_VECTOR, 0, GUEST_ADDR(vmx, vmx_off));
	trap_skip(vcpu, vmx_launch - vmx_off);
	ASSERT_TRAP(vcpu, UD_VECTOR, 0, GUEST_ADDR(vmx, vmx_launch));
	trap_skip(vcpu, 3);
	EXPECT_REPORT(vcpu, 3);
}
