// SPDX-License-Identifier: GPL-2.0
/* 32-bit paging and PAE paging, set by the host and by the guest, with MMIO decoded under them. */
#include "lib/x86.h"

enum {
	TABLES = 0x10000,	/* directory or PDPT */
	DIRECTORY = 0x11000,	/* under a PDPT */
	OTHER_TABLES = 0x14000,
	OTHER_DIRECTORY = 0x15000,
	/* What both modes map to guest physical 0x1000000 by one 4 MiB (2 MiB) page */
	WINDOW = 0x40000000,
	WINDOW_GPA = 0x1000000,
};

static void put32(struct vm *vm, uint64_t gpa, uint32_t value)
{
	vm_write(vm, gpa, &value, sizeof(value));
}

static void put64(struct vm *vm, uint64_t gpa, uint64_t value)
{
	vm_write(vm, gpa, &value, sizeof(value));
}

static struct vcpu *paging_guest(const uint8_t *code, const uint8_t *end, uint64_t cr4)
{
	struct vcpu *vcpu = guest_new(MODE_PROTECTED, code, end);
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	sregs.cr3 = TABLES;
	sregs.cr4 |= cr4;
	sregs.cr0 |= CR0_PG;
	vcpu_set_sregs(vcpu, &sregs);
	return vcpu;
}

/* Low memory one to one, and the window */
static void put_pae_tables(struct vm *vm, uint64_t pdpt, uint64_t directory, uint64_t window)
{
	const uint64_t large = PTE_P | PTE_W | PTE_PS | PTE_A | PTE_D;

	put64(vm, pdpt, directory | PTE_P);
	put64(vm, pdpt + 8, (directory + PAGE_SIZE) | PTE_P);
	put64(vm, pdpt + 16, 0);
	put64(vm, pdpt + 24, 0);
	put64(vm, directory, large);
	put64(vm, directory + PAGE_SIZE, window | large);
}

static void expect_mmio_write(struct vcpu *vcpu, uint64_t gpa, uint32_t value)
{
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(vcpu->run->mmio.phys_addr, gpa);
	EXPECT_EQ(*(uint32_t *)vcpu->run->mmio.data, value);
}

GUEST32(device, "mov $0x1234, %eax\nmov %eax, 0x40000010\nmov 0x40000020, %eax\n" REPORT);

static void expect_device(struct vcpu *vcpu)
{
	expect_mmio_write(vcpu, WINDOW_GPA + 0x10, 0x1234);
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(vcpu->run->mmio.phys_addr, WINDOW_GPA + 0x20);
	*(uint32_t *)vcpu->run->mmio.data = 0x5678;
	EXPECT_REPORT(vcpu, 0x5678);
}

TEST(paging_32_bit)
{
	const uint32_t large = PTE_P | PTE_W | PTE_PS | PTE_A | PTE_D;
	struct vcpu *vcpu = paging_guest(device, device_end, CR4_PSE);

	put32(vcpu->vm, TABLES, large);
	put32(vcpu->vm, TABLES + 4 * (WINDOW >> 22), WINDOW_GPA | large);
	expect_device(vcpu);
}

TEST(paging_pae)
{
	struct vcpu *vcpu = guest_new(MODE_PROTECTED, device, device_end);
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	/* The entries of the PDPT are loaded with CR3, so they come first. */
	put_pae_tables(vcpu->vm, TABLES, DIRECTORY, WINDOW_GPA);
	sregs.cr3 = TABLES;
	sregs.cr4 |= CR4_PAE;
	sregs.cr0 |= CR0_PG;
	vcpu_set_sregs(vcpu, &sregs);
	expect_device(vcpu);
}

/* The guest turns PAE on and goes to another PDPT, with exits in between. */
GUEST32(turns_on,
	"mov %cr4, %eax\nor $0x20, %eax\nmov %eax, %cr4\n"
	"mov $0x10000, %eax\nmov %eax, %cr3\n"
	"mov %cr0, %eax\nor $0x80000000, %eax\nmov %eax, %cr0\n"
	"mov $1, %eax\n" REPORT
	"mov %eax, 0x40000010\n"
	"mov $0x14000, %eax\nmov %eax, %cr3\n"
	"mov $2, %eax\n" REPORT
	"mov %eax, 0x40000010\nhlt\n");

TEST(pae_turned_on_by_the_guest)
{
	const uint64_t other = 0x3000000;
	struct vcpu *vcpu = GUEST_NEW(MODE_PROTECTED, turns_on);

	put_pae_tables(vcpu->vm, TABLES, DIRECTORY, WINDOW_GPA);
	put_pae_tables(vcpu->vm, OTHER_TABLES, OTHER_DIRECTORY, other);
	ASSERT_REPORT(vcpu, 1);
	expect_mmio_write(vcpu, WINDOW_GPA + 0x10, 1);
	ASSERT_REPORT(vcpu, 2);
	EXPECT_EQ(vcpu_sregs(vcpu).cr3, OTHER_TABLES);
	expect_mmio_write(vcpu, other + 0x10, 2);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

/* A memory operand that the guest's own tables do not map faults in the guest. */
GUEST32(unmapped, "mov %eax, 0x80000000\nhlt\nunmapped_handler: pop %eax\n" REPORT
		  "mov %cr2, %eax\n" REPORT);
extern const uint8_t unmapped_handler[];

TEST(page_fault_under_32_bit_paging)
{
	const uint32_t large = PTE_P | PTE_W | PTE_PS | PTE_A | PTE_D;
	struct vcpu *vcpu = paging_guest(unmapped, unmapped_end, CR4_PSE);

	put32(vcpu->vm, TABLES, large);
	vm_set_gate(vcpu->vm, MODE_PROTECTED, PF_VECTOR, GUEST_ADDR(unmapped, unmapped_handler));
	EXPECT_REPORT(vcpu, 2);
	EXPECT_REPORT(vcpu, 0x80000000);
}
