// SPDX-License-Identifier: GPL-2.0
/* SYSCALL, SYSRET and SWAPGS between the guest's rings, beside the host's own. */
#include <unistd.h>

#include "lib/traps.h"

enum { USER_STACK = 0x18000 };

/* Ring 0 sets the MSRs up and leaves for ring 3, which calls three times. */
GUEST64(calls,
	"mov $0xc0000080, %ecx\nrdmsr\nor $1, %eax\nwrmsr\n"	/* EFER.SCE */
	"mov $0xc0000081, %ecx\nxor %eax, %eax\n"
	"mov $0x00130008, %edx\nwrmsr\n"			/* STAR */
	"inc %ecx\nlea calls_entry(%rip), %rax\nxor %edx, %edx\nwrmsr\n"	/* LSTAR */
	"mov $0xc0000084, %ecx\nmov $0x200, %eax\nwrmsr\n"	/* SFMASK: IF */
	"mov $0xc0000101, %ecx\nmov $0x1111, %eax\nwrmsr\n"	/* GS_BASE */
	"inc %ecx\nmov $0x2222, %eax\nwrmsr\n"			/* KERNEL_GS_BASE */
	"push $0x1b\npush $0x18000\npush $0x3202\npush $0x23\n"	/* SS, RSP, RFLAGS (IOPL 3), CS */
	"lea calls_user(%rip), %rax\npush %rax\niretq\n"
	"calls_user:\n"
	"mov $10, %eax\n"
	"1: syscall\n"
	"calls_returned: inc %eax\n"
	"jmp 1b\n"
	"calls_entry: swapgs\n" REPORT "swapgs\nsysretq\n");
LABEL(calls_entry);
LABEL(calls_returned);

static void expect_call(struct vcpu *vcpu, uint32_t number)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	ASSERT_REPORT(vcpu, number);
	sregs = vcpu_sregs(vcpu);
	regs = vcpu_regs(vcpu);
	EXPECT_EQ(sregs.cs.selector, SEL_CODE);
	EXPECT_EQ(sregs.gs.base, 0x2222);
	EXPECT_EQ(regs.rcx, GUEST_ADDR(calls, calls_returned));
	EXPECT_EQ(regs.r11 & 0x3202, 0x3202);
	EXPECT_EQ(regs.rflags & RFLAGS_IF, 0);
	EXPECT_EQ(regs.rsp, USER_STACK);
}

TEST(syscall_and_sysret)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(calls);

	for (uint32_t i = 0; i < 3; i++) {
		expect_call(vcpu, 10 + i);
		/* The host's own system calls use the same MSRs. */
		EXPECT_OK(getppid());
	}
}

/* Two guests with different entry points take turns. */
GUEST64(pad, ".skip 256, 0x90\n");

TEST(two_guests_take_turns)
{
	const size_t shift = pad_end - pad;
	struct vcpu *one = GUEST_NEW_TRAPS(calls), *two = GUEST_NEW_TRAPS(pad);

	VM_LOAD_AT(two->vm, GUEST_CODE + shift, calls);
	for (uint32_t i = 0; i < 3; i++) {
		expect_call(one, 10 + i);
		ASSERT_REPORT(two, 10 + i);
		EXPECT_EQ(vcpu_regs(two).rcx, GUEST_ADDR(calls, calls_returned) + shift);
		EXPECT_EQ(vcpu_sregs(two).gs.base, 0x2222);
	}
}
