// SPDX-License-Identifier: GPL-2.0
/* Exceptions that guest code raises reach the guest's own handlers. */
#include "lib/traps.h"

GUEST64(divide, "xor %edx, %edx\nxor %ecx, %ecx\nmov $1, %eax\n"
		"divide_at: div %ecx\n" REPORT);
LABEL(divide_at);

TEST(divide_error)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(divide);

	ASSERT_TRAP(vcpu, DE_VECTOR, 0, GUEST_ADDR(divide, divide_at));
	trap_skip(vcpu, 2);
	EXPECT_REPORT(vcpu, 1);
}

GUEST64(breakpoint, "int3\nbreakpoint_next: mov $7, %eax\n" REPORT);
LABEL(breakpoint_next);

TEST(breakpoint_is_a_trap)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(breakpoint);

	ASSERT_TRAP(vcpu, BP_VECTOR, 0, GUEST_ADDR(breakpoint, breakpoint_next));
	EXPECT_REPORT(vcpu, 7);
}

GUEST64(undefined, "nop\nundefined_at: ud2\n");
LABEL(undefined_at);

TEST(invalid_opcode)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(undefined);

	EXPECT_TRAP(vcpu, UD_VECTOR, 0, GUEST_ADDR(undefined, undefined_at));
}

GUEST64(protection, "mov $0x1238, %eax\nprotection_at: mov %ax, %ds\n");
LABEL(protection_at);

TEST(general_protection_with_selector)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(protection);

	EXPECT_TRAP(vcpu, GP_VECTOR, 0x1238, GUEST_ADDR(protection, protection_at));
}

/* The handler of a fault finds RF set, also where the KVM raises it, and that of a trap does not. */
GUEST64(resumed, "mov $0x40007777, %ecx\nresumed_at: rdmsr\nint3\nresumed_next: nop\n");
LABEL(resumed_at);
LABEL(resumed_next);

TEST(faults_set_the_resume_flag)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(resumed);

	ASSERT_TRAP(vcpu, GP_VECTOR, 0, GUEST_ADDR(resumed, resumed_at));
	EXPECT_TRUE(trap_frame(vcpu)->rflags & RFLAGS_RF);
	trap_skip(vcpu, 2);
	ASSERT_TRAP(vcpu, BP_VECTOR, 0, GUEST_ADDR(resumed, resumed_next));
	EXPECT_TRUE(!(trap_frame(vcpu)->rflags & RFLAGS_RF));
}

/* An address that the tables of the standard layout do not map */
GUEST64(page_fault, "mov $0x8000000123, %rbx\nmov $9, %eax\n"
		    "page_fault_at: movb %al, (%rbx)\n" REPORT);
LABEL(page_fault_at);

TEST(page_fault_of_the_guest_tables)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(page_fault);
	const uint64_t not_present_write = 2;

	ASSERT_TRAP(vcpu, PF_VECTOR, not_present_write, GUEST_ADDR(page_fault, page_fault_at));
	EXPECT_EQ(vcpu_sregs(vcpu).cr2, 0x8000000123);
	trap_skip(vcpu, 2);
	EXPECT_REPORT(vcpu, 9);
}

GUEST64(software, "mov $3, %eax\nint $0x80\n" REPORT
		  "software_handler: add $1, %eax\niretq\n");
LABEL(software_handler);

TEST(software_interrupt)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(software);

	vm_set_gate(vcpu->vm, MODE_LONG, 0x80, GUEST_ADDR(software, software_handler));
	EXPECT_REPORT(vcpu, 4);
}

/* The trap flag: a debug exception after each instruction */
GUEST64(stepped, "pushfq\norl $0x100, (%rsp)\npopfq\nnop\n"
		 "stepped_once: nop\nstepped_twice: nop\n");
LABEL(stepped_once);
LABEL(stepped_twice);

TEST(trap_flag_steps)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(stepped);

	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(stepped, stepped_once));
	EXPECT_TRUE(trap_frame(vcpu)->rflags & RFLAGS_TF);
	EXPECT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(stepped, stepped_twice));
}

/* The trap flag is honoured behind instructions that leave the guest, too. */
GUEST64(stepped_exits, "pushfq\norl $0x100, (%rsp)\npopfq\ncpuid\n"
		       "stepped_cpuid: outb %al, $0x80\nstepped_out: nop\n");
LABEL(stepped_cpuid);
LABEL(stepped_out);

TEST(trap_flag_steps_over_exits)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(stepped_exits);

	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(stepped_exits, stepped_cpuid));
	ASSERT_RUN(vcpu, KVM_EXIT_IO);
	EXPECT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(stepped_exits, stepped_out));
}

/* INT1 (opcode 0xf1): a debug exception, once, that returns behind it */
#define INT1 ".byte 0xf1\n"

GUEST64(int1, INT1 "int1_next: mov $7, %eax\n" REPORT);
LABEL(int1_next);

TEST(int1_is_a_trap)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(int1);

	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(int1, int1_next));
	EXPECT_REPORT(vcpu, 7);
}

/* MOV SS holds debug exceptions off until behind the next instruction; that one raises its own. */
GUEST64(held_off, "mov $0x10, %ecx\npushfq\norl $0x100, (%rsp)\npopfq\n"
		  "mov %ecx, %ss\n" INT1 "held_off_next: mov $7, %eax\n" REPORT);
LABEL(held_off_next);

TEST(int1_behind_mov_ss_while_stepping)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(held_off);

	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(held_off, held_off_next));
	EXPECT_TRUE(trap_frame(vcpu)->rflags & RFLAGS_TF);
	trap_frame(vcpu)->rflags &= ~RFLAGS_TF;
	EXPECT_REPORT(vcpu, 7);
}

/* STI holds off interrupts only, but its shadow looks the same. */
GUEST64(behind_sti, "pushfq\norl $0x100, (%rsp)\npopfq\n"
		    "sti\nbehind_sti_at: " INT1 "behind_sti_next: mov $7, %eax\n" REPORT);
LABEL(behind_sti_at);
LABEL(behind_sti_next);

TEST(int1_behind_sti_while_stepping)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(behind_sti);

	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(behind_sti, behind_sti_at));
	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(behind_sti, behind_sti_next));
	trap_frame(vcpu)->rflags &= ~RFLAGS_TF;
	EXPECT_REPORT(vcpu, 7);
}
