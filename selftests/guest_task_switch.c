// SPDX-License-Identifier: GPL-2.0
/* Hardware task switches of a 32-bit guest: always an exit, done by the KVM. */
#include <string.h>

#include "lib/x86.h"

/* 32-bit TSS, SDM volume 3, 8.2.1 */
struct tss32 {
	uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
	uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi;
	uint32_t es, cs, ss, ds, fs, gs, ldt, io_map;
};

enum { SEL_OTHER = 0x38, OTHER_TSS = 0x10000, OTHER_STACK = 0x13000 };

#define DESC_TSS32_AVAILABLE 0x0000890000000067ULL

GUEST32(tasks,
	"mov $0x1111, %ebx\n"
	"ljmp $0x38, $0\n"
	"tasks_back: mov %ebx, %eax\n" REPORT "hlt\n"
	"tasks_other: mov %ecx, %eax\n" REPORT
	"str %ax\nmovzwl %ax, %eax\n" REPORT
	"ljmp $0x28, $0\n"
	"tasks_again: mov $0x4444, %eax\n" REPORT);
extern const uint8_t tasks_back[], tasks_other[], tasks_again[];

TEST(jump_there_and_back)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_PROTECTED, tasks);
	struct vm *vm = vcpu->vm;
	struct tss32 tss = {
		.eip = GUEST_ADDR(tasks, tasks_other), .eflags = RFLAGS_FIXED, .ecx = 0x2222,
		.esp = OTHER_STACK, .cs = SEL_CODE, .ss = SEL_DATA, .ds = SEL_DATA,
		.es = SEL_DATA, .fs = SEL_DATA, .gs = SEL_DATA,
	};
	const uint64_t descriptor = DESC_TSS32_AVAILABLE | (uint64_t)OTHER_TSS << 16;
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	vm_write(vm, GUEST_GDT + SEL_OTHER, &descriptor, sizeof(descriptor));
	vm_write(vm, OTHER_TSS, &tss, sizeof(tss));
	sregs.gdt.limit = SEL_OTHER + 7;
	vcpu_set_sregs(vcpu, &sregs);

	ASSERT_REPORT(vcpu, 0x2222);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(sregs.tr.selector, SEL_OTHER);
	EXPECT_EQ(sregs.tr.base, OTHER_TSS);
	EXPECT_TRUE(sregs.cr0 & CR0_TS);
	EXPECT_EQ(vcpu_regs(vcpu).rsp, OTHER_STACK);
	/* The state of the first task lies in its TSS. */
	memcpy(&tss, vm->ram + GUEST_TSS, sizeof(tss));
	EXPECT_EQ(tss.ebx, 0x1111);
	EXPECT_EQ(tss.eip, GUEST_ADDR(tasks, tasks_back));
	EXPECT_EQ(tss.esp, GUEST_STACK);
	EXPECT_REPORT(vcpu, SEL_OTHER);

	ASSERT_REPORT(vcpu, 0x1111);
	EXPECT_EQ(vcpu_sregs(vcpu).tr.selector, SEL_TSS);
	memcpy(&tss, vm->ram + OTHER_TSS, sizeof(tss));
	EXPECT_EQ(tss.eip, GUEST_ADDR(tasks, tasks_again));
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}
