// SPDX-License-Identifier: GPL-2.0
/* A guest that goes through the modes by itself: real, protected, long and back. */
#include "lib/x86.h"

/* Segments that the standard GDT lacks */
enum { SEL_CODE32 = 0x38, SEL_CODE16 = 0x40, SEL_DATA16 = 0x48, GDT_END = 0x50 };

GUEST16(modes,
	"mov $1, %eax\n" REPORT
	"cli\n"
	"mov $" GUEST_AT(modes, gdt_register) ", %bx\n"
	"lgdtl (%bx)\n"
	"mov %cr0, %eax\n"
	"or $1, %eax\n"
	"mov %eax, %cr0\n"
	"ljmpl $0x38, $" GUEST_AT(modes, protected) "\n"
	".code32\n"
	"protected:\n"
	"mov $0x10, %eax\n"
	"mov %eax, %ds\nmov %eax, %es\nmov %eax, %ss\n"
	"mov $0xc000, %esp\n"
	"mov $2, %eax\n" REPORT
	"mov %cr4, %eax\n"
	"or $0x20, %eax\n"			/* PAE */
	"mov %eax, %cr4\n"
	"mov $0x4000, %eax\n"
	"mov %eax, %cr3\n"
	"mov $0xc0000080, %ecx\n"
	"rdmsr\n"
	"or $0x100, %eax\n"			/* LME */
	"wrmsr\n"
	"mov %cr0, %eax\n"
	"or $0x80000000, %eax\n"
	"mov %eax, %cr0\n"
	"ljmpl $0x08, $" GUEST_AT(modes, long_mode) "\n"
	".code64\n"
	"long_mode:\n"
	"mov $0x300000000, %rax\n"
	"shr $32, %rax\n" REPORT
	"push $0x38\n"
	"lea compatibility(%rip), %rax\n"
	"push %rax\n"
	"lretq\n"
	".code32\n"
	"compatibility:\n"
	"mov $4, %eax\n" REPORT
	"mov %cr0, %eax\n"
	"and $0x7fffffff, %eax\n"
	"mov %eax, %cr0\n"
	"rdmsr\n"
	"and $0xfffffeff, %eax\n"
	"wrmsr\n"
	"mov $5, %eax\n" REPORT
	"ljmpl $0x40, $" GUEST_AT(modes, protected16) "\n"
	".code16\n"
	"protected16:\n"
	"mov $0x48, %ax\n"
	"mov %ax, %ds\nmov %ax, %es\nmov %ax, %ss\n"
	"mov %cr0, %eax\n"
	"and $0xfffffffe, %eax\n"
	"mov %eax, %cr0\n"
	"ljmp $0, $" GUEST_AT(modes, real) "\n"
	"real:\n"
	"xor %ax, %ax\n"
	"mov %ax, %ds\nmov %ax, %es\nmov %ax, %ss\n"
	"mov $6, %eax\n" REPORT
	"hlt\n"
	".balign 4\n"
	"gdt_register:\n"
	".word 0x4f\n"
	".long 0x1000\n");

static struct vcpu *modes_guest(void)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_REAL, modes);
	const uint64_t code32 = 0x00cf9b000000ffff, code16 = 0x00009b000000ffff,
		       data16 = 0x000093000000ffff;

	vm_tables(vcpu->vm, MODE_LONG);
	vm_write(vcpu->vm, GUEST_GDT + SEL_CODE32, &code32, sizeof(code32));
	vm_write(vcpu->vm, GUEST_GDT + SEL_CODE16, &code16, sizeof(code16));
	vm_write(vcpu->vm, GUEST_GDT + SEL_DATA16, &data16, sizeof(data16));
	return vcpu;
}

TEST(real_protected_long_and_back)
{
	struct vcpu *vcpu = modes_guest();
	struct kvm_sregs sregs;

	ASSERT_REPORT(vcpu, 1);
	EXPECT_EQ(vcpu_sregs(vcpu).cr0 & (CR0_PE | CR0_PG), 0);

	ASSERT_REPORT(vcpu, 2);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(sregs.cr0 & (CR0_PE | CR0_PG), CR0_PE);
	EXPECT_EQ(sregs.cs.selector, SEL_CODE32);
	EXPECT_EQ(sregs.cs.db, 1);
	EXPECT_EQ(sregs.gdt.limit, GDT_END - 1);

	ASSERT_REPORT(vcpu, 3);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(sregs.cr0 & (CR0_PE | CR0_PG), CR0_PE | CR0_PG);
	EXPECT_EQ(sregs.efer & (EFER_LME | EFER_LMA), EFER_LME | EFER_LMA);
	EXPECT_EQ(sregs.cs.l, 1);
	EXPECT_EQ(sregs.cr3, GUEST_PML4);

	ASSERT_REPORT(vcpu, 4);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(sregs.efer & EFER_LMA, EFER_LMA);
	EXPECT_EQ(sregs.cs.l, 0);

	ASSERT_REPORT(vcpu, 5);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(sregs.efer & (EFER_LME | EFER_LMA), 0);
	EXPECT_EQ(sregs.cr0 & (CR0_PE | CR0_PG), CR0_PE);

	ASSERT_REPORT(vcpu, 6);
	EXPECT_EQ(vcpu_sregs(vcpu).cr0 & (CR0_PE | CR0_PG), 0);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

/* What a stop shows can be set again and goes on alike, in every mode. */
TEST(state_goes_out_and_in_between)
{
	struct vcpu *vcpu = modes_guest();

	for (uint32_t step = 1; step <= 6; step++) {
		ASSERT_REPORT(vcpu, step);
		/* A port write is finished by the next KVM_RUN; let it be. */
		vcpu->run->immediate_exit = 1;
		EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
		vcpu->run->immediate_exit = 0;

		struct kvm_regs regs = vcpu_regs(vcpu);
		struct kvm_sregs sregs = vcpu_sregs(vcpu);

		vcpu_set_sregs(vcpu, &sregs);
		vcpu_set_regs(vcpu, &regs);
	}
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}
