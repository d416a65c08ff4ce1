// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* Memory slots: every guest page is the host page that the slot says. */
#include "lib/sweep.h"

/* More than one 2 MiB table holds, at addresses that no large page fits */
enum { PAGES = 1100, ODD = 3 };

TEST(each_page_is_its_own)
{
	uint8_t *mem = mem_new((PAGES + ODD) * PAGE_SIZE) + ODD * PAGE_SIZE;
	struct vcpu *vcpu = GUEST_ANY_NEW(sweep);
	const uint64_t gpa = SWEEP_GPA + 0x1ff000;

	ASSERT_OK(vm_set_slot(vcpu->vm, 1, gpa, PAGES * PAGE_SIZE, mem, 0));
	guest_fill(vcpu, gpa, PAGES, 1);
	EXPECT_EQ(host_mismatches(mem, PAGES, 1), 0);
	host_fill(mem, PAGES, 50000);
	EXPECT_EQ(guest_mismatches(vcpu, gpa, PAGES, 50000), 0);
}

/* Slots with holes between them, in no order */
TEST(many_slots)
{
	enum { SLOTS = 30, STRIDE = 2 };
	uint8_t *mem = mem_new(SLOTS * PAGE_SIZE);
	struct vcpu *vcpu = GUEST_ANY_NEW(sweep);

	for (size_t i = 0; i < SLOTS; i++) {
		const size_t at = i * 7 % SLOTS;

		ASSERT_OK(vm_set_slot(vcpu->vm, 1 + i, SWEEP_GPA + STRIDE * at * PAGE_SIZE,
				      PAGE_SIZE, mem + at * PAGE_SIZE, 0));
	}
	for (size_t at = 0; at < SLOTS; at++)
		guest_fill(vcpu, SWEEP_GPA + STRIDE * at * PAGE_SIZE, 1, 100 + at);
	EXPECT_EQ(host_mismatches(mem, SLOTS, 100), 0);
	for (size_t at = 0; at < SLOTS; at++) {
		const uint64_t hole = SWEEP_GPA + (STRIDE * at + 1) * PAGE_SIZE;

		sweep_start(vcpu, sweep_write, hole, 1, 5);
		ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
		EXPECT_EQ(vcpu->run->mmio.phys_addr, hole);
		ASSERT_END(vcpu);
	}
}

static void expect_nothing_there(struct vcpu *vcpu, uint64_t gpa)
{
	sweep_start(vcpu, sweep_peek, gpa, 1, 0);
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(vcpu->run->mmio.phys_addr, gpa);
	EXPECT_EQ(vcpu->run->mmio.is_write, 0);
	memset(vcpu->run->mmio.data, 0xff, 8);
	ASSERT_END(vcpu);
	EXPECT_EQ(sweep_peeked(vcpu), ~0UL);
}

TEST(a_deleted_slot_is_gone)
{
	enum { SMALL = 600 };
	uint8_t *mem = mem_new(SMALL * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, SMALL);

	guest_fill(vcpu, SWEEP_GPA, SMALL, 1);
	ASSERT_OK(vm_set_slot(vcpu->vm, 1, SWEEP_GPA, 0, mem, 0));
	expect_nothing_there(vcpu, SWEEP_GPA);
	expect_nothing_there(vcpu, SWEEP_GPA + (SMALL - 1) * PAGE_SIZE);
	EXPECT_EQ(host_mismatches(mem, SMALL, 1), 0);
	ASSERT_OK(vm_set_slot(vcpu->vm, 1, SWEEP_GPA, SMALL * PAGE_SIZE, mem, 0));
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, SMALL, 1), 0);
}

/* After an access that found nothing, a new slot there is seen at once. */
TEST(a_new_slot_in_place_of_mmio)
{
	uint8_t *mem = mem_new(PAGE_SIZE);
	struct vcpu *vcpu = GUEST_ANY_NEW(sweep);

	for (uint64_t i = 1; i <= 3; i++) {
		expect_nothing_there(vcpu, SWEEP_GPA);
		host_fill(mem, 1, i);
		ASSERT_OK(vm_set_slot(vcpu->vm, 1, SWEEP_GPA, PAGE_SIZE, mem, 0));
		EXPECT_EQ(guest_peek(vcpu, SWEEP_GPA), i);
		ASSERT_OK(vm_set_slot(vcpu->vm, 1, SWEEP_GPA, 0, mem, 0));
	}
}

TEST(a_moved_slot_is_at_its_new_place_only)
{
	enum { SMALL = 20 };
	const uint64_t there = SWEEP_GPA + 0x10000000;
	uint8_t *mem = mem_new(SMALL * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, SMALL);

	guest_fill(vcpu, SWEEP_GPA, SMALL, 1);
	ASSERT_OK(vm_set_slot(vcpu->vm, 1, there, SMALL * PAGE_SIZE, mem, 0));
	EXPECT_EQ(guest_mismatches(vcpu, there, SMALL, 1), 0);
	expect_nothing_there(vcpu, SWEEP_GPA);
}

/* Two slots over the same memory show the same. */
TEST(two_views_of_one_memory)
{
	enum { SMALL = 20 };
	const uint64_t there = SWEEP_GPA + 0x10000000;
	uint8_t *mem = mem_new(SMALL * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, SMALL);

	ASSERT_OK(vm_set_slot(vcpu->vm, 2, there, SMALL * PAGE_SIZE, mem, 0));
	guest_fill(vcpu, SWEEP_GPA, SMALL, 1);
	EXPECT_EQ(guest_mismatches(vcpu, there, SMALL, 1), 0);
	guest_fill(vcpu, there, SMALL, 77);
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, SMALL, 77), 0);
}

/* Has the guest see an address above 4 GiB: on x86 through a directory of its own. */
static void map_above_4_gib(struct vm *vm, uint64_t gpa)
{
#ifdef __x86_64__
	enum { DIRECTORY = GUEST_DATA };
	const uint64_t entry = gpa | PTE_P | PTE_W | PTE_PS | PTE_A | PTE_D;
	const uint64_t table = DIRECTORY | PTE_P | PTE_W | PTE_A;

	vm_write(vm, GUEST_PDPT + 8 * (gpa >> 30), &table, sizeof(table));
	vm_write(vm, DIRECTORY, &entry, sizeof(entry));
#else
	(void)vm;
	(void)gpa;
#endif
}

TEST(above_4_gib)
{
	enum { SMALL = 20 };
	const uint64_t gpa = 0x180000000;
	uint8_t *mem = mem_new(SMALL * PAGE_SIZE);
	struct vcpu *vcpu = GUEST_ANY_NEW(sweep);

	map_above_4_gib(vcpu->vm, gpa);
	ASSERT_OK(vm_set_slot(vcpu->vm, 1, gpa, SMALL * PAGE_SIZE, mem, 0));
	guest_fill(vcpu, gpa, SMALL, 1);
	EXPECT_EQ(host_mismatches(mem, SMALL, 1), 0);
	expect_nothing_there(vcpu, gpa + SMALL * PAGE_SIZE);
}

#ifdef __x86_64__
/* Bytes from device memory into slot 1, in the end a HLT; the VMM answers each with VALUE. */
GUEST64(fill_in, "rep movsb\nhlt\n");

enum { DEVICE = 0x80000000, VALUE = 0x5a };

static struct vcpu *filling(uint8_t *mem, size_t size)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, fill_in);
	struct kvm_regs regs = vcpu_regs(vcpu);

	ASSERT_OK(vm_set_slot(vcpu->vm, 1, SWEEP_GPA, size, mem, 0));
	regs.rsi = DEVICE;
	regs.rdi = SWEEP_GPA;
	regs.rcx = size;
	vcpu_set_regs(vcpu, &regs);
	return vcpu;
}

/* The slot goes between the two halves of an instruction: its write finds device memory. */
TEST(a_deleted_slot_gets_no_write_of_an_instruction_under_way)
{
	uint8_t *mem = mem_new(PAGE_SIZE);
	struct vcpu *vcpu = filling(mem, PAGE_SIZE);

	for (uint64_t i = 0; i < 3; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
		EXPECT_EQ(vcpu->run->mmio.phys_addr, DEVICE + i);
		EXPECT_EQ(vcpu->run->mmio.is_write, 0);
		vcpu->run->mmio.data[0] = VALUE;
	}
	ASSERT_OK(vm_set_slot(vcpu->vm, 1, SWEEP_GPA, 0, mem, 0));
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(vcpu->run->mmio.phys_addr, SWEEP_GPA + 2);
	EXPECT_EQ(vcpu->run->mmio.is_write, 1);
	EXPECT_EQ(vcpu->run->mmio.data[0], VALUE);
	EXPECT_EQ(mem[1], VALUE);
	EXPECT_EQ(mem[2], 0);
}
#endif
