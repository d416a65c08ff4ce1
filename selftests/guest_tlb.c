// SPDX-License-Identifier: GPL-2.0
/* Translations: INVLPG and CR3 writes of the guest, and vCPUs with different tables. */
#include "lib/x86.h"

enum {
	VIEW = 0x200000,	/* virtual address that the tests map as they like */
	VIEW_PTE = GUEST_PD + 8,
	TABLE = 0x11000,
	PAGE_A = 0x14000,
	PAGE_B = 0x15000,
	OTHER_PML4 = 0x16000,
	OTHER_PDPT = 0x17000,
	OTHER_PD = 0x18000,
	OTHER_TABLE = 0x19000,
};

#define PRESENT (PTE_P | PTE_W | PTE_U | PTE_A)

static void put(struct vm *vm, uint64_t gpa, uint64_t value)
{
	vm_write(vm, gpa, &value, sizeof(value));
}

static void prepare(struct vm *vm)
{
	put(vm, VIEW_PTE, TABLE | PRESENT);
	put(vm, TABLE, PAGE_A | PRESENT | PTE_D);
	put(vm, PAGE_A, 0xaaaa);
	put(vm, PAGE_B, 0xbbbb);
	/* The same but for the one page */
	vm_write(vm, OTHER_PML4, vm->ram + GUEST_PML4, PAGE_SIZE);
	vm_write(vm, OTHER_PDPT, vm->ram + GUEST_PDPT, PAGE_SIZE);
	vm_write(vm, OTHER_PD, vm->ram + GUEST_PD, PAGE_SIZE);
	put(vm, OTHER_PML4, OTHER_PDPT | PRESENT);
	put(vm, OTHER_PDPT, OTHER_PD | PRESENT);
	put(vm, OTHER_PD + 8, OTHER_TABLE | PRESENT);
	put(vm, OTHER_TABLE, PAGE_B | PRESENT | PTE_D);
}

#define LOOK "mov 0x200000, %eax\n" REPORT

GUEST64(remaps, LOOK
	"movl $0x15067, 0x11000\ninvlpg 0x200000\n" LOOK
	"movl $0x14067, 0x11000\nmov %cr3, %rax\nmov %rax, %cr3\n" LOOK
	"mov $0x16000, %eax\nmov %rax, %cr3\n" LOOK
	"mov $0x4000, %eax\nmov %rax, %cr3\n" LOOK);

TEST(invlpg_and_cr3)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, remaps);

	prepare(vcpu->vm);
	EXPECT_REPORT(vcpu, 0xaaaa);
	EXPECT_REPORT(vcpu, 0xbbbb);
	EXPECT_REPORT(vcpu, 0xaaaa);
	EXPECT_REPORT(vcpu, 0xbbbb);
	EXPECT_REPORT(vcpu, 0xaaaa);
}

GUEST64(looks, "1:" LOOK "jmp 1b\n");

/* Two vCPUs of a VM on one CPU do not use each other's translations. */
TEST(two_vcpus)
{
	struct vcpu *one = GUEST_NEW(MODE_LONG, looks), *two = vcpu_new(one->vm, 1);
	struct kvm_sregs sregs;

	prepare(one->vm);
	vcpu_start(two, MODE_LONG, GUEST_CODE);
	sregs = vcpu_sregs(two);
	sregs.cr3 = OTHER_PML4;
	vcpu_set_sregs(two, &sregs);
	for (int i = 0; i < 5; i++) {
		EXPECT_REPORT(one, 0xaaaa);
		EXPECT_REPORT(two, 0xbbbb);
	}
}

/* Nor do two VMs. */
TEST(two_vms)
{
	struct vcpu *one = GUEST_NEW(MODE_LONG, looks), *two = GUEST_NEW(MODE_LONG, looks);

	prepare(one->vm);
	prepare(two->vm);
	put(two->vm, PAGE_A, 0xcccc);
	for (int i = 0; i < 5; i++) {
		EXPECT_REPORT(one, 0xaaaa);
		EXPECT_REPORT(two, 0xcccc);
	}
}

/* A CR3 that the host sets drops what the guest had. */
TEST(cr3_by_the_host)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, looks);
	struct kvm_sregs sregs;

	prepare(vcpu->vm);
	for (int i = 0; i < 3; i++) {
		EXPECT_REPORT(vcpu, 0xaaaa);
		sregs = vcpu_sregs(vcpu);
		sregs.cr3 = OTHER_PML4;
		vcpu_set_sregs(vcpu, &sregs);
		EXPECT_REPORT(vcpu, 0xbbbb);
		sregs.cr3 = GUEST_PML4;
		vcpu_set_sregs(vcpu, &sregs);
	}
}
