// SPDX-License-Identifier: GPL-2.0
/* Segment and table registers that the guest loads itself. */
#include "lib/traps.h"

enum { SEL_LOW = 0x38, SEL_LDT = 0x40, LOW_BASE = 0x10000, LDT_BASE = 0x12000, LDT_LIMIT = 0x27 };

static void put(struct vm *vm, uint64_t gpa, uint64_t value)
{
	vm_write(vm, gpa, &value, sizeof(value));
}

GUEST32(loads,
	"mov $0x38, %eax\nmov %eax, %fs\nmov %fs:0x10, %eax\n" REPORT
	"mov $0x40, %eax\nlldt %ax\nxor %eax, %eax\nsldt %ax\n" REPORT
	"xor %eax, %eax\nmov %eax, %gs\nmov $3, %eax\n" REPORT
	"sgdt 0x10020\nsidt 0x10030\nhlt\n");

TEST(fs_ldt_and_tables)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_PROTECTED, loads);
	struct kvm_sregs sregs = vcpu_sregs(vcpu);
	const uint32_t value = 0xfeed;

	put(vcpu->vm, GUEST_GDT + SEL_LOW, 0x004093010000ffff);	/* data, base 0x10000, 64 KiB */
	put(vcpu->vm, GUEST_GDT + SEL_LDT, 0x0000820120000027);	/* LDT at 0x12000 */
	vm_write(vcpu->vm, LOW_BASE + 0x10, &value, sizeof(value));
	sregs.gdt.limit = SEL_LDT + 7;
	vcpu_set_sregs(vcpu, &sregs);

	ASSERT_REPORT(vcpu, value);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(sregs.fs.selector, SEL_LOW);
	EXPECT_EQ(sregs.fs.base, LOW_BASE);
	EXPECT_EQ(sregs.fs.limit, 0xffff);
	EXPECT_EQ(sregs.fs.g, 0);

	ASSERT_REPORT(vcpu, SEL_LDT);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(sregs.ldt.base, LDT_BASE);
	EXPECT_EQ(sregs.ldt.limit, LDT_LIMIT);

	ASSERT_REPORT(vcpu, 3);
	EXPECT_EQ(vcpu_sregs(vcpu).gs.unusable, 1);

	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(*(uint16_t *)(vcpu->vm->ram + 0x10020), SEL_LDT + 7);
	EXPECT_MEM(vcpu->vm->ram + 0x10022, "\x00\x10\x00\x00", 4);
	EXPECT_EQ(*(uint16_t *)(vcpu->vm->ram + 0x10030), PAGE_SIZE - 1);
	EXPECT_MEM(vcpu->vm->ram + 0x10032, "\x00\x20\x00\x00", 4);
}

/* A segment limit is enforced. */
GUEST32(limited, "mov $0x38, %eax\nmov %eax, %fs\nmov %fs:0xfffd, %eax\n"
		 "limited_handler: pop %ebx\npop %eax\n" REPORT);
LABEL(limited_handler);

TEST(limit_is_enforced)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_PROTECTED, limited);
	struct kvm_sregs sregs = vcpu_sregs(vcpu);
	const uint32_t load_at = GUEST_CODE + 7;

	put(vcpu->vm, GUEST_GDT + SEL_LOW, 0x004093010000ffff);
	sregs.gdt.limit = SEL_LDT + 7;
	vcpu_set_sregs(vcpu, &sregs);
	vm_set_gate(vcpu->vm, MODE_PROTECTED, GP_VECTOR, GUEST_ADDR(limited, limited_handler));
	EXPECT_REPORT(vcpu, load_at);
}

GUEST64(tables, "lgdt 0x10000\nlidt 0x10010\nmov $0x28, %eax\n"
		"andb $0xfd, 0x1802d\nltr %ax\nstr %ax\n" REPORT);

TEST(lgdt_lidt_and_ltr_in_long_mode)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, tables);
	struct vm *vm = vcpu->vm;
	const uint16_t gdt_limit = SEL_TSS + 15, idt_limit = 0x1ff;
	const uint64_t gdt = 0x18000, idt = 0x19000;
	struct kvm_sregs sregs;

	vm_write(vm, gdt, vm->ram + GUEST_GDT, gdt_limit + 1);
	vm_write(vm, 0x10000, &gdt_limit, 2);
	vm_write(vm, 0x10002, &gdt, 8);
	vm_write(vm, 0x10010, &idt_limit, 2);
	vm_write(vm, 0x10012, &idt, 8);
	ASSERT_REPORT(vcpu, SEL_TSS);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(sregs.gdt.base, gdt);
	EXPECT_EQ(sregs.gdt.limit, gdt_limit);
	EXPECT_EQ(sregs.idt.base, idt);
	EXPECT_EQ(sregs.idt.limit, idt_limit);
	EXPECT_EQ(sregs.tr.base, GUEST_TSS);
	EXPECT_EQ(sregs.tr.type, 0xb);
	EXPECT_EQ(vm->ram[gdt + SEL_TSS + 5], 0x8b);
}
