// SPDX-License-Identifier: GPL-2.0
/* Access to addresses without memory: KVM_EXIT_MMIO for the plain moves. */
#include <string.h>

#include "lib/traps.h"

enum { MMIO = 0x40000000 };

static void expect_mmio(struct vcpu *vcpu, uint64_t gpa, uint32_t len, uint8_t is_write)
{
	const struct kvm_run *run = vcpu->run;

	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(run->mmio.phys_addr, gpa);
	EXPECT_EQ(run->mmio.len, len);
	EXPECT_EQ(run->mmio.is_write, is_write);
}

static void expect_write(struct vcpu *vcpu, uint64_t gpa, uint32_t len, uint64_t value)
{
	uint64_t got = 0;

	expect_mmio(vcpu, gpa, len, 1);
	memcpy(&got, vcpu->run->mmio.data, len);
	EXPECT_EQ(got, value);
}

static void answer_read(struct vcpu *vcpu, uint64_t gpa, uint32_t len, uint64_t value)
{
	expect_mmio(vcpu, gpa, len, 0);
	memcpy(vcpu->run->mmio.data, &value, len);
}

GUEST64(writes,
	"mov $0x40000000, %ebx\n"
	"mov $0x1122334455667788, %rax\n"
	"mov %al, (%rbx)\n"
	"mov %ah, 1(%rbx)\n"
	"mov %ax, 2(%rbx)\n"
	"mov %eax, 4(%rbx)\n"
	"mov %rax, 8(%rbx)\n"
	"mov %rax, %r9\nmov %r9b, 0x100(%rbx)\n"
	"movb $0x5a, (%rbx)\n"
	"movw $0x5a5b, (%rbx)\n"
	"movl $0x5a5b5c5d, (%rbx)\n"
	"movq $-2, (%rbx)\n"
	"hlt\n");

TEST(write_of_each_size)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, writes);

	expect_write(vcpu, MMIO, 1, 0x88);
	expect_write(vcpu, MMIO + 1, 1, 0x77);
	expect_write(vcpu, MMIO + 2, 2, 0x7788);
	expect_write(vcpu, MMIO + 4, 4, 0x55667788);
	expect_write(vcpu, MMIO + 8, 8, 0x1122334455667788);
	expect_write(vcpu, MMIO + 0x100, 1, 0x88);
	expect_write(vcpu, MMIO, 1, 0x5a);
	expect_write(vcpu, MMIO, 2, 0x5a5b);
	expect_write(vcpu, MMIO, 4, 0x5a5b5c5d);
	expect_write(vcpu, MMIO, 8, -2);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

GUEST64(reads,
	"mov $0x40000000, %esi\n"
	"mov $-1, %rax\nmov $-1, %rbx\nmov $-1, %rcx\nmov $-1, %rdx\nmov $-1, %r10\n"
	"mov (%rsi), %al\n"
	"mov 1(%rsi), %bh\n"
	"mov 2(%rsi), %cx\n"
	"mov 4(%rsi), %edx\n"
	"mov 8(%rsi), %r10\n"
	"hlt\n");

/* As for any register: 8 and 16 bits leave the rest, 32 bits clear it. */
TEST(read_of_each_size)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, reads);
	struct kvm_regs regs;

	answer_read(vcpu, MMIO, 1, 0xa1);
	answer_read(vcpu, MMIO + 1, 1, 0xa2);
	answer_read(vcpu, MMIO + 2, 2, 0xa3a4);
	answer_read(vcpu, MMIO + 4, 4, 0xa5a6a7a8);
	answer_read(vcpu, MMIO + 8, 8, 0xb1b2b3b4b5b6b7b8);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	regs = vcpu_regs(vcpu);
	EXPECT_EQ(regs.rax, 0xffffffffffffffa1);
	EXPECT_EQ(regs.rbx, 0xffffffffffffa2ff);
	EXPECT_EQ(regs.rcx, 0xffffffffffffa3a4);
	EXPECT_EQ(regs.rdx, 0xa5a6a7a8);
	EXPECT_EQ(regs.r10, 0xb1b2b3b4b5b6b7b8);
}

/* Every way to form an address */
GUEST64(addresses,
	"mov $0x40000000, %ebx\nmov $0x10, %r12d\n"
	"movl $1, 0x20(%rbx,%r12,4)\n"
	"movl $2, -0x10(%rbx,%r12,1)\n"
	"mov %rbx, %r13\nmovl $3, (%r13)\n"
	"movl $4, 0x40000040\n"
	"mov $5, %eax\nmovabs %eax, 0x40000050\n"
	"movl $6, %gs:(%r12)\n"
	"movl $7, (%ebx)\n"
	"hlt\n");

TEST(forms_of_addresses)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, addresses);
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	sregs.gs.base = MMIO + 0x1000;
	vcpu_set_sregs(vcpu, &sregs);
	expect_write(vcpu, MMIO + 0x60, 4, 1);
	expect_write(vcpu, MMIO, 4, 2);
	expect_write(vcpu, MMIO, 4, 3);
	expect_write(vcpu, MMIO + 0x40, 4, 4);
	expect_write(vcpu, MMIO + 0x50, 4, 5);
	expect_write(vcpu, MMIO + 0x1010, 4, 6);
	expect_write(vcpu, MMIO, 4, 7);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

GUEST32(protected, "mov $0x40000000, %ebx\nmov $0x12345678, %eax\nmov %eax, (%ebx)\n"
		   "mov %ax, %fs:0x40000004\nmov 8(%ebx), %ecx\nmov %ecx, %eax\n" REPORT);

TEST(in_protected_mode)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_PROTECTED, protected);

	expect_write(vcpu, MMIO, 4, 0x12345678);
	expect_write(vcpu, MMIO + 4, 2, 0x5678);
	answer_read(vcpu, MMIO + 8, 4, 0xcafe);
	EXPECT_REPORT(vcpu, 0xcafe);
}

/* The end of the RAM of 32 pages lies at 0x20000. */
GUEST16(real, "mov $0x2000, %ax\nmov %ax, %es\nmov $0x1234, %ax\nmov %ax, %es:0x10\n"
	      "mov %es:0x12, %al\nmovzx %al, %eax\n" REPORT);

TEST(in_real_mode)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_REAL, real);

	expect_write(vcpu, 0x20010, 2, 0x1234);
	answer_read(vcpu, 0x20012, 1, 0xee);
	EXPECT_REPORT(vcpu, 0xee);
}

/* An access that crosses from one page to the next comes in parts. */
GUEST64(crossing, "mov $0x40000ffd, %ebx\nmov $0x1122334455667788, %rax\nmov %rax, (%rbx)\n"
		  "mov (%rbx), %rcx\nhlt\n");

TEST(across_a_page_boundary)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, crossing);

	expect_write(vcpu, MMIO + 0xffd, 3, 0x667788);
	expect_write(vcpu, MMIO + 0x1000, 5, 0x1122334455);
	answer_read(vcpu, MMIO + 0xffd, 3, 0xc3c2c1);
	answer_read(vcpu, MMIO + 0x1000, 5, 0xc8c7c6c5c4);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_regs(vcpu).rcx, 0xc8c7c6c5c4c3c2c1);
}

/* From the last RAM page into nothing */
GUEST64(edge, "mov $0x1fffe, %ebx\nmovl $0x44332211, (%rbx)\nmov (%rbx), %eax\n" REPORT);

TEST(across_the_end_of_ram)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, edge);

	expect_write(vcpu, 0x20000, 2, 0x4433);
	EXPECT_EQ(vcpu->vm->ram[0x1fffe], 0x11);
	EXPECT_EQ(vcpu->vm->ram[0x1ffff], 0x22);
	answer_read(vcpu, 0x20000, 2, 0x8877);
	EXPECT_REPORT(vcpu, 0x88772211);
}

/* The instruction itself lies across two pages. */
GUEST64(straddling, ".skip 0xffe - 8, 0x90\nmov $0x40000000, %ebx\nnop\nnop\nnop\n"
		    "movl $0x12345678, 0x10(%rbx)\nhlt\n");

TEST(instruction_across_two_pages)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, straddling);

	expect_write(vcpu, MMIO + 0x10, 4, 0x12345678);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

/* A string instruction runs out of RAM in the middle. */
GUEST64(run_out, "mov $0x1fffd, %edi\nmov $0x77, %eax\nmov $6, %ecx\ncld\nrep stosb\nhlt\n");

TEST(string_from_ram_into_nothing)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, run_out);

	for (uint64_t i = 0; i < 3; i++)
		expect_write(vcpu, 0x20000 + i, 1, 0x77);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_MEM(vcpu->vm->ram + 0x1fffc, "\0\x77\x77\x77", 4);
	EXPECT_EQ(vcpu_regs(vcpu).rcx, 0);
}

/* The trap flag is honoured behind an instruction that the KVM executed. */
#define STEP_ON "pushfq\norl $0x100, (%rsp)\npopfq\n"

GUEST64(step_read, "mov $0x40000000, %ebx\n" STEP_ON "mov (%rbx), %eax\nstep_read_next: nop\n");
LABEL(step_read_next);

TEST(trap_flag_steps_over_a_read)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(step_read);

	answer_read(vcpu, MMIO, 4, 5);
	EXPECT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(step_read, step_read_next));
}

GUEST64(step_write, "mov $0x40000000, %ebx\n" STEP_ON "mov %eax, (%rbx)\nstep_write_next: nop\n");
LABEL(step_write_next);

TEST(trap_flag_steps_over_a_write)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(step_write);

	if (kvm_is_c())
		SKIP("C KVM loses the debug exception behind a write that goes to the VMM");
	expect_write(vcpu, MMIO, 4, 0);
	EXPECT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(step_write, step_write_next));
}
