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
#define DR6_BS 0x4000UL
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
	trap_frame(vcpu)->rflags |= RFLAGS_RF;	/* goes on past the breakpoint */
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

/*
 * RF lets one instruction through and is clear behind it, also behind one that the KVM does for the
 * guest: breakpoints on it and on the next both hit.
 */
#define TWO_BREAKPOINTS(name, instruction)					\
	"lea " #name "_at(%rip), %rax\nmov %rax, %dr0\n"			\
	"lea " #name "_next(%rip), %rax\nmov %rax, %dr1\n"			\
	"mov $0xa, %eax\nmov %rax, %dr7\n"					\
	#name "_at: " instruction "\n"						\
	#name "_next: mov $2, %eax\n" REPORT

GUEST64(behind_cpuid, TWO_BREAKPOINTS(behind_cpuid, "cpuid"));
LABEL(behind_cpuid_at);
LABEL(behind_cpuid_next);

TEST(execution_breakpoints_on_and_behind_cpuid)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(behind_cpuid);

	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(behind_cpuid, behind_cpuid_at));
	trap_frame(vcpu)->rflags |= RFLAGS_RF;
	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(behind_cpuid, behind_cpuid_next));
	trap_frame(vcpu)->rflags |= RFLAGS_RF;
	EXPECT_REPORT(vcpu, 2);
}

GUEST64(behind_out, TWO_BREAKPOINTS(behind_out, "outb %al, $0x80"));
LABEL(behind_out_at);
LABEL(behind_out_next);

TEST(execution_breakpoints_on_and_behind_out)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(behind_out);

	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(behind_out, behind_out_at));
	trap_frame(vcpu)->rflags |= RFLAGS_RF;
	ASSERT_RUN(vcpu, KVM_EXIT_IO);
	EXPECT_EQ(vcpu->run->io.port, 0x80);
	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(behind_out, behind_out_next));
	trap_frame(vcpu)->rflags |= RFLAGS_RF;
	EXPECT_REPORT(vcpu, 2);
}

GUEST64(behind_mmio, TWO_BREAKPOINTS(behind_mmio, "movb %al, 0x40000000"));
LABEL(behind_mmio_at);
LABEL(behind_mmio_next);

TEST(execution_breakpoints_on_and_behind_an_access_to_mmio)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(behind_mmio);

	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(behind_mmio, behind_mmio_at));
	trap_frame(vcpu)->rflags |= RFLAGS_RF;
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(vcpu->run->mmio.phys_addr, 0x40000000);
	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(behind_mmio, behind_mmio_next));
	trap_frame(vcpu)->rflags |= RFLAGS_RF;
	EXPECT_REPORT(vcpu, 2);
}

/* A breakpoint on the operand of MOV SS waits until behind the next instruction. */
#define WATCH_SS "mov $0x10000, %eax\nmov %rax, %dr0\nmov $0x70002, %eax\nmov %rax, %dr7\n"

GUEST64(ss_int1, WATCH_SS "mov 0x10000, %ss\n.byte 0xf1\nss_int1_next: mov $2, %eax\n" REPORT);
LABEL(ss_int1_next);

TEST(mov_ss_from_a_watched_place_before_int1)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(ss_int1);
	const uint16_t ss = SEL_DATA;

	vm_write(vcpu->vm, 0x10000, &ss, sizeof(ss));
	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(ss_int1, ss_int1_next));
	EXPECT_REPORT(vcpu, 2);
}

GUEST64(ss_step, WATCH_SS "pushfq\norl $0x100, (%rsp)\npopfq\n"
		 "mov 0x10000, %ss\n.byte 0xf1\nss_step_next: mov $2, %eax\n" REPORT);
LABEL(ss_step_next);

TEST(mov_ss_from_a_watched_place_before_int1_while_stepping)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(ss_step);
	const uint16_t ss = SEL_DATA;

	vm_write(vcpu->vm, 0x10000, &ss, sizeof(ss));
	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(ss_step, ss_step_next));
	trap_frame(vcpu)->rflags &= ~RFLAGS_TF;
	EXPECT_REPORT(vcpu, 2);
}

GUEST64(ss_out, WATCH_SS "mov 0x10000, %ss\noutb %al, $0x80\nss_out_next: mov $2, %eax\n" REPORT);
LABEL(ss_out_next);

TEST(mov_ss_from_a_watched_place_before_out)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(ss_out);
	const uint16_t ss = SEL_DATA;

	vm_write(vcpu->vm, 0x10000, &ss, sizeof(ss));
	ASSERT_RUN(vcpu, KVM_EXIT_IO);
	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(ss_out, ss_out_next));
	EXPECT_REPORT(vcpu, 2);
}

/* Behind an instruction that the VMM does a step comes before interrupts and NMIs, and is not lost to them. */
GUEST64(step_out, "pushfq\norl $0x300, (%rsp)\npopfq\noutb %al, $0x80\nstep_out_next: nop\n"
		  "step_out_event: mov $9, %eax\n" REPORT "iretq\n");
LABEL(step_out_next);
LABEL(step_out_event);

static struct vcpu *step_to_out(uint8_t vector)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(step_out);

	vm_set_gate(vcpu->vm, MODE_LONG, vector, GUEST_ADDR(step_out, step_out_event));
	ASSERT_RUN(vcpu, KVM_EXIT_IO);
	return vcpu;
}

TEST(a_step_before_an_interrupt)
{
	const struct kvm_interrupt interrupt = { .irq = 0x40 };
	struct vcpu *vcpu = step_to_out(interrupt.irq);

	ASSERT_OK(ioctl(vcpu->fd, KVM_INTERRUPT, &interrupt));
	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(step_out, step_out_next));
	trap_frame(vcpu)->rflags &= ~RFLAGS_TF;
	EXPECT_REPORT(vcpu, 9);
}

TEST(a_step_before_an_nmi)
{
	struct vcpu *vcpu = step_to_out(NMI_VECTOR);

	ASSERT_OK(ioctl(vcpu->fd, KVM_NMI));
	/* It interrupts the handler of the step before that can tell. */
	ASSERT_REPORT(vcpu, 9);
	EXPECT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(step_out, step_out_next));
}

/* Completes the OUT that the VMM was told of; the step behind it waits. */
static struct vcpu *step_over_out(void)
{
	struct vcpu *vcpu = step_to_out(0x40);

	vcpu->run->immediate_exit = 1;
	ASSERT_ERRNO(vcpu_run(vcpu), EINTR);
	vcpu->run->immediate_exit = 0;
	return vcpu;
}

TEST(a_step_among_the_events)
{
	struct vcpu *vcpu = step_over_out();
	struct kvm_debugregs registers;
	struct kvm_vcpu_events events;

	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events));
	EXPECT_EQ(events.exception.injected, 1);
	EXPECT_EQ(events.exception.nr, DB_VECTOR);
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &registers));
	EXPECT_EQ(registers.dr6, DR6_CLEAR | DR6_BS);
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events));
	EXPECT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(step_out, step_out_next));
}

TEST(a_step_goes_with_its_state)
{
	struct vcpu *vcpu = step_over_out();
	struct kvm_regs regs = vcpu_regs(vcpu);

	regs.rip = GUEST_ADDR(step_out, step_out_event);
	regs.rflags = RFLAGS_FIXED;
	vcpu_set_regs(vcpu, &regs);
	EXPECT_REPORT(vcpu, 9);
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

static void poke(pid_t child, int reg, unsigned long value)
{
	const size_t at = offsetof(struct user, u_debugreg) + reg * sizeof(long);

	ASSERT_OK(ptrace(PTRACE_POKEUSER, child, at, value));
}

/* Runs fn in a child with a breakpoint of the host on writes to watched; one write must hit it. */
static void trace(void (*fn)(void))
{
	pid_t child = ASSERT_OK(fork());
	int status;

	if (!child) {
		ASSERT_OK(ptrace(PTRACE_TRACEME, 0, 0, 0));
		raise(SIGSTOP);
		fn();
		_exit(0);
	}
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

/* The guest sees nothing of the host's breakpoint. */
static void idle_guests(void)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(values), *other = GUEST_NEW_TRAPS(silent);

	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	ASSERT_RUN(other, KVM_EXIT_HLT);
	expect_values(vcpu, 0x11000, 0x1000);
	expect_values(other, 0, 0);
	watched = 1;		/* stops here */
	expect_values(vcpu, 0x11000, 0x1000);
}

TEST(the_host_keeps_its_own)
{
	trace(idle_guests);
}

/* Both have DR0 armed: each hits its own. */
static void watching_guest(void)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(watch);

	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(watch, watch_next));
	watched = 1;		/* stops here */
	EXPECT_REPORT(vcpu, DR6_CLEAR | DR6_B0);
	EXPECT_REPORT(vcpu, 0x10000);
}

TEST(both_have_one_armed)
{
	trace(watching_guest);
}

/* The guest writes where, in its own address space, the host's breakpoint would be. */
GUEST64(same_address, "mov %eax, (%rbx)\nmov $3, %eax\n" REPORT);

static void writing_guest(void)
{
	const uint64_t address = (uint64_t)&watched;
	struct vcpu *vcpu = GUEST_NEW_TRAPS(same_address);
	struct kvm_regs regs = vcpu_regs(vcpu);

	ASSERT_OK(vm_set_slot(vcpu->vm, 1, address & -PAGE_SIZE, PAGE_SIZE, mem_new(PAGE_SIZE), 0));
	regs.rbx = address;
	vcpu_set_regs(vcpu, &regs);
	EXPECT_REPORT(vcpu, 3);
	watched = 1;		/* stops here */
}

TEST(the_host_breakpoint_does_not_hit_in_the_guest)
{
	if ((uint64_t)&watched >> 32)
		SKIP("the variable lies above the 4 GiB that the guest maps");
	trace(writing_guest);
}
