// SPDX-License-Identifier: GPL-2.0
/* Real mode: arithmetic, segments, the vector table. */
#include "lib/x86.h"

GUEST16(sum, "mov $0x3f8, %dx\nadd %bl, %al\nadd $'0', %al\nout %al, (%dx)\n"
	     "mov $'\\n', %al\nout %al, (%dx)\nhlt\n");

TEST(two_and_two)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_REAL, sum);
	struct kvm_regs regs = vcpu_regs(vcpu);

	regs.rax = 2;
	regs.rbx = 2;
	vcpu_set_regs(vcpu, &regs);
	EXPECT_OUT(vcpu, 0x3f8, 1, '4');
	EXPECT_OUT(vcpu, 0x3f8, 1, '\n');
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_sregs(vcpu).cr0 & CR0_PE, 0);
}

/* The base of a segment is its selector times 16. */
GUEST16(segments, "mov $0x1100, %ax\nmov %ax, %ds\nmov $0x1200, %ax\nmov %ax, %es\n"
		  "movl 0x10, %eax\n" REPORT "movl %es:0x20, %eax\n" REPORT);

TEST(segment_bases)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_REAL, segments);
	const uint32_t ds_value = 0x11223344, es_value = 0x55667788;

	vm_write(vcpu->vm, 0x11010, &ds_value, sizeof(ds_value));
	vm_write(vcpu->vm, 0x12020, &es_value, sizeof(es_value));
	EXPECT_REPORT(vcpu, ds_value);
	EXPECT_REPORT(vcpu, es_value);
	EXPECT_EQ(vcpu_sregs(vcpu).ds.base, 0x11000);
	EXPECT_EQ(vcpu_sregs(vcpu).es.selector, 0x1200);
}

GUEST16(interrupt, "mov $5, %eax\nint $0x21\n" REPORT "hlt\n"
		   "interrupt_handler: add $6, %eax\niret\n");
extern const uint8_t interrupt_handler[];

TEST(software_interrupt)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_REAL, interrupt);

	vm_set_gate(vcpu->vm, MODE_REAL, 0x21, GUEST_ADDR(interrupt, interrupt_handler));
	EXPECT_REPORT(vcpu, 11);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

GUEST16(divide, "xor %cx, %cx\nmov $1, %eax\ndiv %cx\nhlt\n"
		"divide_handler: mov $0xdead, %eax\n" REPORT);
extern const uint8_t divide_handler[];

TEST(divide_error_by_the_vector_table)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_REAL, divide);

	vm_set_gate(vcpu->vm, MODE_REAL, DE_VECTOR, GUEST_ADDR(divide, divide_handler));
	EXPECT_REPORT(vcpu, 0xdead);
}

/* A code segment other than 0 */
GUEST16(far_jump, "ljmp $0xc00, $(far_jump_there - far_jump)\nhlt\n"
		  "far_jump_there: xor %eax, %eax\nmov %cs, %ax\n" REPORT);

TEST(far_jump_loads_cs)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_REAL, far_jump);

	EXPECT_REPORT(vcpu, 0xc00);
	EXPECT_EQ(vcpu_sregs(vcpu).cs.base, 0xc000);
}

/* A limit that protected mode loaded holds on in real mode. */
GUEST16(unreal, "mov $" GUEST_AT(unreal, unreal_gdt) ", %bx\nlgdtl (%bx)\n"
		"mov %cr0, %eax\nor $1, %al\nmov %eax, %cr0\n"
		"mov $0x10, %bx\nmov %bx, %fs\n"
		"and $0xfe, %al\nmov %eax, %cr0\n"
		"mov $0x1fff0, %ebx\nmovl %fs:(%ebx), %eax\n" REPORT "hlt\n"
		".balign 4\nunreal_gdt: .word 0x2f\n.long 0x1000\n");

TEST(segment_beyond_64_kib)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_REAL, unreal);
	const uint32_t value = 0x600df00d;

	vm_tables(vcpu->vm, MODE_PROTECTED);
	vm_write(vcpu->vm, 0x1fff0, &value, sizeof(value));
	EXPECT_REPORT(vcpu, value);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_sregs(vcpu).fs.limit, 0xffffffff);
}

/* What an interrupt or exception pushes in real mode */
struct real_frame { uint16_t ip, cs, flags; };

#define GP_HANDLER "mov $0xdead, %eax\n" REPORT "iret\n"

static struct real_frame *real_frame(struct vcpu *vcpu)
{
	return (struct real_frame *)(vcpu->vm->ram + (uint16_t)vcpu_regs(vcpu).rsp);
}

/* A protection fault at that address reaches the handler, with no error code on the stack. */
static void expect_real_gp(struct vcpu *vcpu, uint32_t ip)
{
	ASSERT_REPORT(vcpu, 0xdead);
	ASSERT_EQ(vcpu_regs(vcpu).rsp, GUEST_STACK - sizeof(struct real_frame));
	EXPECT_EQ(real_frame(vcpu)->ip, ip);
	EXPECT_EQ(real_frame(vcpu)->cs, 0);
	EXPECT_TRUE(real_frame(vcpu)->flags & RFLAGS_FIXED);
}

/* The handler's IRET goes on behind the instruction, with the stack as before. */
static void expect_real_return(struct vcpu *vcpu, unsigned int length)
{
	real_frame(vcpu)->ip += length;
	ASSERT_REPORT(vcpu, 0xbeef);
	EXPECT_EQ(vcpu_regs(vcpu).rsp, GUEST_STACK);
}

GUEST16(read_msr, "mov $0x3fff, %ecx\nread_msr_at: rdmsr\nmov $0xbeef, %eax\n" REPORT
		  "read_msr_handler: " GP_HANDLER);
extern const uint8_t read_msr_at[], read_msr_handler[];

TEST(reading_an_unknown_msr_faults)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_REAL, read_msr);

	vm_set_gate(vcpu->vm, MODE_REAL, GP_VECTOR, GUEST_ADDR(read_msr, read_msr_handler));
	expect_real_gp(vcpu, GUEST_ADDR(read_msr, read_msr_at));
	expect_real_return(vcpu, 2);
}

GUEST16(write_msr, "mov $0x3fff, %ecx\nwrite_msr_at: wrmsr\nmov $0xbeef, %eax\n" REPORT
		   "write_msr_handler: " GP_HANDLER);
extern const uint8_t write_msr_at[], write_msr_handler[];

TEST(writing_an_unknown_msr_faults)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_REAL, write_msr);

	vm_set_gate(vcpu->vm, MODE_REAL, GP_VECTOR, GUEST_ADDR(write_msr, write_msr_handler));
	expect_real_gp(vcpu, GUEST_ADDR(write_msr, write_msr_at));
	expect_real_return(vcpu, 2);
}

/* Paging needs protection. */
GUEST16(paging, "mov $0x80000030, %eax\npaging_at: mov %eax, %cr0\nmov $0xbeef, %eax\n" REPORT
		"paging_handler: " GP_HANDLER);
extern const uint8_t paging_at[], paging_handler[];

TEST(paging_alone_faults)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_REAL, paging);

	vm_set_gate(vcpu->vm, MODE_REAL, GP_VECTOR, GUEST_ADDR(paging, paging_handler));
	expect_real_gp(vcpu, GUEST_ADDR(paging, paging_at));
	EXPECT_EQ(vcpu_sregs(vcpu).cr0 & (CR0_PE | CR0_PG), 0);
	expect_real_return(vcpu, 3);
}
