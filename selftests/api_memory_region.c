// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* KVM_SET_USER_MEMORY_REGION: what it takes and with which errno it refuses. */
#include "lib/kvm.h"

#define SIZE (4 * PAGE_SIZE)
#define GPA 0x100000UL

/* Highest number of pages in a slot, include/linux/kvm_host.h */
#define SLOT_MAX_PAGES ((1UL << 31) - 1)

TEST(creates_moves_and_deletes)
{
	struct vm *vm = vm_create();
	void *mem = mem_new(SIZE);

	EXPECT_OK(vm_set_slot(vm, 0, GPA, SIZE, mem, 0));
	EXPECT_OK(vm_set_slot(vm, 0, 2 * GPA, SIZE, mem, 0));
	EXPECT_OK(vm_set_slot(vm, 1, GPA, SIZE, mem, 0));
	EXPECT_OK(vm_set_slot(vm, 0, 0, 0, NULL, 0));
	EXPECT_OK(vm_set_slot(vm, 0, 2 * GPA, SIZE, mem, 0));
}

TEST(setting_the_same_again_changes_nothing)
{
	struct vm *vm = vm_create();
	void *mem = mem_new(SIZE);

	EXPECT_OK(vm_set_slot(vm, 0, GPA, SIZE, mem, 0));
	EXPECT_OK(vm_set_slot(vm, 0, GPA, SIZE, mem, 0));
}

TEST(deleting_needs_a_slot)
{
	struct vm *vm = vm_create();
	void *mem = mem_new(SIZE);

	EXPECT_ERRNO(vm_set_slot(vm, 0, GPA, 0, mem, 0), EINVAL);
	EXPECT_OK(vm_set_slot(vm, 0, GPA, SIZE, mem, 0));
	EXPECT_OK(vm_set_slot(vm, 0, GPA, 0, mem, 0));
	EXPECT_ERRNO(vm_set_slot(vm, 0, GPA, 0, mem, 0), EINVAL);
}

TEST(size_and_host_address_stay)
{
	struct vm *vm = vm_create();
	uint8_t *mem = mem_new(2 * SIZE);

	ASSERT_OK(vm_set_slot(vm, 0, GPA, SIZE, mem, 0));
	EXPECT_ERRNO(vm_set_slot(vm, 0, GPA, SIZE / 2, mem, 0), EINVAL);
	EXPECT_ERRNO(vm_set_slot(vm, 0, GPA, 2 * SIZE, mem, 0), EINVAL);
	EXPECT_ERRNO(vm_set_slot(vm, 0, GPA, SIZE, mem + SIZE, 0), EINVAL);
}

TEST(overlap_is_refused)
{
	struct vm *vm = vm_create();
	void *mem = mem_new(2 * SIZE);

	ASSERT_OK(vm_set_slot(vm, 0, GPA, SIZE, mem, 0));
	EXPECT_ERRNO(vm_set_slot(vm, 1, GPA, SIZE, mem, 0), EEXIST);
	EXPECT_ERRNO(vm_set_slot(vm, 1, GPA + SIZE - PAGE_SIZE, SIZE, mem, 0), EEXIST);
	EXPECT_ERRNO(vm_set_slot(vm, 1, GPA - SIZE + PAGE_SIZE, SIZE, mem, 0), EEXIST);
	EXPECT_ERRNO(vm_set_slot(vm, 1, GPA + PAGE_SIZE, PAGE_SIZE, mem, 0), EEXIST);
	EXPECT_ERRNO(vm_set_slot(vm, 1, GPA - PAGE_SIZE, 2 * SIZE, mem, 0), EEXIST);
	EXPECT_OK(vm_set_slot(vm, 1, GPA + SIZE, SIZE, mem, 0));
	EXPECT_OK(vm_set_slot(vm, 2, GPA - SIZE, SIZE, mem, 0));
}

TEST(moving_onto_another_is_refused)
{
	struct vm *vm = vm_create();
	void *mem = mem_new(SIZE);

	ASSERT_OK(vm_set_slot(vm, 0, GPA, SIZE, mem, 0));
	ASSERT_OK(vm_set_slot(vm, 1, 2 * GPA, SIZE, mem, 0));
	EXPECT_ERRNO(vm_set_slot(vm, 1, GPA + PAGE_SIZE, SIZE, mem, 0), EEXIST);
	/* The failed move left both where they were. */
	EXPECT_ERRNO(vm_set_slot(vm, 2, 2 * GPA, SIZE, mem, 0), EEXIST);
	EXPECT_ERRNO(vm_set_slot(vm, 2, GPA, SIZE, mem, 0), EEXIST);
}

TEST(moving_over_its_own_place_works)
{
	struct vm *vm = vm_create();
	void *mem = mem_new(SIZE);

	ASSERT_OK(vm_set_slot(vm, 0, GPA, SIZE, mem, 0));
	EXPECT_OK(vm_set_slot(vm, 0, GPA + PAGE_SIZE, SIZE, mem, 0));
	EXPECT_OK(vm_set_slot(vm, 1, GPA, PAGE_SIZE, mem, 0));
}

TEST(same_host_memory_may_back_two_slots)
{
	struct vm *vm = vm_create();
	void *mem = mem_new(SIZE);

	EXPECT_OK(vm_set_slot(vm, 0, GPA, SIZE, mem, 0));
	EXPECT_OK(vm_set_slot(vm, 1, 2 * GPA, SIZE, mem, 0));
}

TEST(pages_must_be_whole)
{
	struct vm *vm = vm_create();
	uint8_t *mem = mem_new(SIZE);

	EXPECT_ERRNO(vm_set_slot(vm, 0, GPA + 1, SIZE, mem, 0), EINVAL);
	EXPECT_ERRNO(vm_set_slot(vm, 0, GPA + PAGE_SIZE / 2, SIZE, mem, 0), EINVAL);
	EXPECT_ERRNO(vm_set_slot(vm, 0, GPA, SIZE - 1, mem, 0), EINVAL);
	EXPECT_ERRNO(vm_set_slot(vm, 0, GPA, PAGE_SIZE / 2, mem, 0), EINVAL);
	EXPECT_ERRNO(vm_set_slot(vm, 0, GPA, PAGE_SIZE, mem + 1, 0), EINVAL);
}

TEST(unknown_flags_are_refused)
{
	struct vm *vm = vm_create();
	void *mem = mem_new(SIZE);

	for (int bit = 3; bit < 32; bit++)
		EXPECT_ERRNO(vm_set_slot(vm, 0, GPA, SIZE, mem, 1U << bit), EINVAL);
}

TEST(wrapping_ranges_are_refused)
{
	struct vm *vm = vm_create();
	uint8_t *mem = mem_new(SIZE);

	EXPECT_ERRNO(vm_set_slot(vm, 0, -PAGE_SIZE, SIZE, mem, 0), EINVAL);
	EXPECT_ERRNO(vm_set_slot(vm, 0, GPA, -PAGE_SIZE, mem, 0), EINVAL);
	EXPECT_ERRNO(vm_set_slot(vm, 0, GPA, 1UL << 63, mem, 0), EINVAL);
	EXPECT_ERRNO(vm_set_slot(vm, 0, GPA, SIZE, (void *)-PAGE_SIZE, 0), EINVAL);
}

TEST(kernel_addresses_are_refused)
{
	struct vm *vm = vm_create();

	EXPECT_ERRNO(vm_set_slot(vm, 0, GPA, SIZE, (void *)0xffff888000000000UL, 0), EINVAL);
	EXPECT_ERRNO(vm_set_slot(vm, 0, GPA, SIZE, (void *)(1UL << 63), 0), EINVAL);
#ifdef __x86_64__
	/* The last page of the lower half, of which no process has anything */
	EXPECT_ERRNO(vm_set_slot(vm, 0, GPA, SIZE, (void *)0x7ffffffff000UL, 0), EINVAL);
#endif
}

TEST(unmapped_host_memory_is_accepted)
{
	struct vm *vm = vm_create();
	void *mem = mem_new(SIZE);

	ASSERT_OK(munmap(mem, SIZE));
	EXPECT_OK(vm_set_slot(vm, 0, GPA, SIZE, mem, 0));
}

TEST(too_many_pages_are_refused)
{
	struct vm *vm = vm_create();

	EXPECT_ERRNO(vm_set_slot(vm, 0, 0, (SLOT_MAX_PAGES + 1) * PAGE_SIZE, (void *)PAGE_SIZE, 0),
		     EINVAL);
}

TEST(slot_numbers_below_the_limit_only)
{
	struct vm *vm = vm_create();
	uint32_t limit = kvm_check(vm->fd, KVM_CAP_NR_MEMSLOTS);
	void *mem = mem_new(PAGE_SIZE);

	EXPECT_OK(vm_set_slot(vm, limit - 1, GPA, PAGE_SIZE, mem, 0));
	/* C KVM keeps three numbers past the limit for itself and takes them here. */
	EXPECT_ERRNO(vm_set_slot(vm, limit + 4, 2 * GPA, PAGE_SIZE, mem, 0), EINVAL);
	EXPECT_ERRNO(vm_set_slot(vm, 0xffff, 2 * GPA, PAGE_SIZE, mem, 0), EINVAL);
	EXPECT_ERRNO(vm_set_slot(vm, 0xffffffff, 2 * GPA, PAGE_SIZE, mem, 0), EINVAL);
}

TEST(address_spaces_only_as_reported)
{
	struct vm *vm = vm_create();
	uint32_t spaces = kvm_check(vm->fd, KVM_CAP_MULTI_ADDRESS_SPACE);
	void *mem = mem_new(PAGE_SIZE);

	if (!spaces)
		spaces = 1;
	EXPECT_ERRNO(vm_set_slot(vm, spaces << 16, GPA, PAGE_SIZE, mem, 0), EINVAL);
}

TEST(five_hundred_slots)
{
	struct vm *vm = vm_create();
	void *mem = mem_new(PAGE_SIZE);

	/* Every second page, first from below, then the gaps from above */
	for (uint32_t slot = 0; slot < 250; slot++)
		ASSERT_OK(vm_set_slot(vm, slot, 2 * slot * PAGE_SIZE, PAGE_SIZE, mem, 0));
	for (uint32_t slot = 499; slot >= 250; slot--)
		ASSERT_OK(vm_set_slot(vm, slot, (2 * (slot - 250) + 1) * PAGE_SIZE, PAGE_SIZE, mem,
				      0));
	for (uint32_t page = 0; page < 500; page += 7)
		EXPECT_ERRNO(vm_set_slot(vm, 500, page * PAGE_SIZE, PAGE_SIZE, mem, 0), EEXIST);
	for (uint32_t slot = 0; slot < 500; slot += 3)
		ASSERT_OK(vm_set_slot(vm, slot, 0, 0, NULL, 0));
	EXPECT_OK(vm_set_slot(vm, 500, 0, PAGE_SIZE, mem, 0));
}

TEST(read_only_flag_cannot_change)
{
	struct vm *vm = vm_create();
	void *mem = mem_new(SIZE);

	if (!kvm_check(vm->fd, KVM_CAP_READONLY_MEM))
		SKIP("no read-only slots");
	ASSERT_OK(vm_set_slot(vm, 0, GPA, SIZE, mem, KVM_MEM_READONLY));
	EXPECT_ERRNO(vm_set_slot(vm, 0, GPA, SIZE, mem, 0), EINVAL);
	ASSERT_OK(vm_set_slot(vm, 1, 2 * GPA, SIZE, mem, 0));
	EXPECT_ERRNO(vm_set_slot(vm, 1, 2 * GPA, SIZE, mem, KVM_MEM_READONLY), EINVAL);
}

TEST(dirty_logging_comes_and_goes)
{
	struct vm *vm = vm_create();
	void *mem = mem_new(SIZE);

	ASSERT_OK(vm_set_slot(vm, 0, GPA, SIZE, mem, 0));
	if (vm_set_slot(vm, 0, GPA, SIZE, mem, KVM_MEM_LOG_DIRTY_PAGES)) {
		EXPECT_EQ(errno, EINVAL);
		SKIP("no dirty logging");
	}
	EXPECT_OK(vm_set_slot(vm, 0, GPA, SIZE, mem, 0));
}

#ifdef __x86_64__
/* Pages for shadow page tables: with EPT there are none, but VMMs ask for some. */
TEST(shadow_pages)
{
	struct vm *vm = vm_create();

	EXPECT_EQ(kvm_check(vm->fd, KVM_CAP_MMU_SHADOW_CACHE_CONTROL), 1);
	EXPECT_OK(ioctl(vm->fd, KVM_SET_NR_MMU_PAGES, 64));
	EXPECT_OK(ioctl(vm->fd, KVM_SET_NR_MMU_PAGES, 1UL << 40));
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_NR_MMU_PAGES, 63), EINVAL);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_NR_MMU_PAGES, 0), EINVAL);
}
#endif
