// SPDX-License-Identifier: GPL-2.0
/* Debug registers: breakpoints of the guest, beside those of the host. */
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#undef PAGE_SIZE	/* of <sys/user.h>; the same value */
#include "lib/traps.h"

#define DR6_CLEAR 0xffff0ff0UL
#define DR6_B0 1UL
#define DR7_FIXED 0x400UL
#define DR7_WRITE4_0 0xd0002UL		/* global enable of DR0, 4-byte writes */

GUEST64(execute,
	"lea execute_there(%rip), %rax\nmov %rax, %dr0\n"
	"mov $2, %eax\nmov %rax, %dr7\n"
	"mov $1, %eax\n" REPORT
	"execute_there: mov $2, %eax\n" REPORT);
LABEL(execute_there);

TEST(execution_breakpoint_in_the_guest)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(execute);

	/* It lives across an exit to the VMM. */
	ASSERT_REPORT(vcpu, 1);
	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(execute, execute_there));
	trap_frame(vcpu)->rflags |= 1 << 16;	/* RF: goes on past the breakpoint */
	EXPECT_REPORT(vcpu, 2);
}

GUEST64(watch,
	"mov $0x10000, %eax\nmov %rax, %dr0\n"
	"mov $0xd0002, %eax\nmov %rax, %dr7\n"
	"xor %eax, %eax\ncpuid\n"
	"movl $5, 0x10000\n"
	"watch_next: mov %dr6, %rax\n" REPORT
	"mov %dr0, %rax\n" REPORT);
LABEL(watch_next);

TEST(data_breakpoint_in_the_guest)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(watch);

	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(watch, watch_next));
	EXPECT_REPORT(vcpu, DR6_CLEAR | DR6_B0);
	EXPECT_REPORT(vcpu, 0x10000);
}

GUEST64(values,
	"mov $0x11000, %eax\nmov %rax, %dr0\nmov $0x12000, %eax\nmov %rax, %dr1\n"
	"mov $0x13000, %eax\nmov %rax, %dr2\nmov $0x14000, %eax\nmov %rax, %dr3\n"
	"1: hlt\n"
	"mov %dr0, %r8\nmov %dr1, %r9\nmov %dr2, %r10\nmov %dr3, %r11\nmov %dr7, %r12\n"
	"jmp 1b\n");
GUEST64(silent, "1: hlt\nmov %dr0, %r8\nmov %dr1, %r9\nmov %dr2, %r10\nmov %dr3, %r11\n"
		"mov %dr7, %r12\njmp 1b\n");

static void expect_values(struct vcpu *vcpu, uint64_t base, uint64_t step)
{
	struct kvm_regs regs;

	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	regs = vcpu_regs(vcpu);
	EXPECT_EQ(regs.r8, base);
	EXPECT_EQ(regs.r9, base + step);
	EXPECT_EQ(regs.r10, base + 2 * step);
	EXPECT_EQ(regs.r11, base + 3 * step);
	EXPECT_EQ(regs.r12, DR7_FIXED);
}

TEST(each_vcpu_has_its_own)
{
	struct vcpu *one = GUEST_NEW_TRAPS(values), *two = GUEST_NEW_TRAPS(silent);

	ASSERT_RUN(one, KVM_EXIT_HLT);
	ASSERT_RUN(two, KVM_EXIT_HLT);
	for (int i = 0; i < 3; i++) {
		expect_values(one, 0x11000, 0x1000);
		expect_values(two, 0, 0);
	}
}

/* Bits 63:32 of DR7 are reserved: a protection fault. */
GUEST64(reserved, "mov $0x100000000, %rax\nreserved_at: mov %rax, %dr7\n");
LABEL(reserved_at);

TEST(reserved_bits_fault)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(reserved);

	EXPECT_TRAP(vcpu, GP_VECTOR, 0, GUEST_ADDR(reserved, reserved_at));
}

static volatile uint32_t watched;

/* The traced child: runs a guest, which sees nothing of the host's breakpoint. */
static void traced(void)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(values), *other = GUEST_NEW_TRAPS(silent);

	ASSERT_OK(ptrace(PTRACE_TRACEME, 0, 0, 0));
	raise(SIGSTOP);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	ASSERT_RUN(other, KVM_EXIT_HLT);
	expect_values(vcpu, 0x11000, 0x1000);
	expect_values(other, 0, 0);
	watched = 1;		/* stops here */
	expect_values(vcpu, 0x11000, 0x1000);
	_exit(0);
}

static void poke(pid_t child, int reg, unsigned long value)
{
	const size_t at = offsetof(struct user, u_debugreg) + reg * sizeof(long);

	ASSERT_OK(ptrace(PTRACE_POKEUSER, child, at, value));
}

TEST(the_host_keeps_its_own)
{
	pid_t child = ASSERT_OK(fork());
	int status;

	if (!child)
		traced();
	ASSERT_EQ(waitpid(child, &status, 0), child);
	ASSERT_TRUE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	poke(child, 0, (unsigned long)&watched);
	poke(child, 7, DR7_WRITE4_0);
	ASSERT_OK(ptrace(PTRACE_CONT, child, 0, 0));
	ASSERT_EQ(waitpid(child, &status, 0), child);
	ASSERT_TRUE(WIFSTOPPED(status));
	EXPECT_EQ(WSTOPSIG(status), SIGTRAP);
	ASSERT_OK(ptrace(PTRACE_CONT, child, 0, 0));
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
