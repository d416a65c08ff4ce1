// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any cpus=2 */
/* Dirty logs: KVM_GET_DIRTY_LOG names every page that was written, and no other. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lib/sweep.h"

/* More than one word of the log, and not whole words */
enum { SLOT = 1, PAGES = 200, WORD_BITS = 64 };

static size_t log_words(size_t pages)
{
	return (pages + WORD_BITS - 1) / WORD_BITS;
}

/* KVM_GET_DIRTY_LOG as it is: 0, or -1 and errno */
static int log_get(struct vm *vm, uint32_t slot, void *bitmap)
{
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bitmap };

	return ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
}

/* The log of a slot with that many pages; the caller frees it */
static uint64_t *log_take(struct vm *vm, uint32_t slot, size_t pages)
{
	uint64_t *bitmap = calloc(log_words(pages) + 1, sizeof(*bitmap));

	ASSERT_TRUE(bitmap);
	memset(bitmap, 0xaa, (log_words(pages) + 1) * sizeof(*bitmap));
	ASSERT_OK(log_get(vm, slot, bitmap));
	EXPECT_EQ(bitmap[log_words(pages)], 0xaaaaaaaaaaaaaaaa);
	return bitmap;
}

static bool log_has(const uint64_t *bitmap, size_t page)
{
	return bitmap[page / WORD_BITS] >> page % WORD_BITS & 1;
}

/* The log has the pages from first to end, no others, and is empty then. */
static void expect_log(struct vm *vm, uint32_t slot, size_t pages, size_t first, size_t end)
{
	uint64_t *bitmap = log_take(vm, slot, pages);
	size_t wrong = 0;

	for (size_t i = 0; i < log_words(pages) * WORD_BITS; i++)
		wrong += log_has(bitmap, i) != (first <= i && i < end);
	EXPECT_EQ(wrong, 0);
	free(bitmap);
	bitmap = log_take(vm, slot, pages);
	for (size_t i = 0; i < log_words(pages); i++)
		EXPECT_EQ(bitmap[i], 0);
	free(bitmap);
}

static int set_flags(struct vcpu *vcpu, size_t pages, uint8_t *mem, uint32_t flags)
{
	return vm_set_slot(vcpu->vm, SLOT, SWEEP_GPA, pages * PAGE_SIZE, mem, flags);
}

static struct vcpu *logged_new(uint8_t *mem, size_t pages)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(sweep);

	ASSERT_OK(set_flags(vcpu, pages, mem, KVM_MEM_LOG_DIRTY_PAGES));
	return vcpu;
}

TEST(writes_of_the_guest)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = logged_new(mem, PAGES);

	expect_log(vcpu->vm, SLOT, PAGES, 0, 0);
	for (int round = 0; round < 3; round++) {
		guest_fill(vcpu, SWEEP_GPA + 60 * PAGE_SIZE, 70, round);
		expect_log(vcpu->vm, SLOT, PAGES, 60, 130);
	}
	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	expect_log(vcpu->vm, SLOT, PAGES, 0, PAGES);
	EXPECT_EQ(host_mismatches(mem, PAGES, 1), 0);
}

TEST(reads_leave_no_mark)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = logged_new(mem, PAGES);

	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	expect_log(vcpu->vm, SLOT, PAGES, 0, PAGES);
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 1), 0);
	expect_log(vcpu->vm, SLOT, PAGES, 0, 0);
	guest_fill(vcpu, SWEEP_GPA + 3 * PAGE_SIZE, 2, 5);
	expect_log(vcpu->vm, SLOT, PAGES, 3, 5);
}

/* The read fault of a page that is writable for the VMM does not make it writable for the guest. */
TEST(first_reads_leave_no_mark)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = logged_new(mem, PAGES);

	if (kvm_is_c())
		SKIP("C KVM makes it writable and marks it");
	host_fill(mem, PAGES, 1);
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 1), 0);
	expect_log(vcpu->vm, SLOT, PAGES, 0, 0);
	guest_fill(vcpu, SWEEP_GPA + 3 * PAGE_SIZE, 2, 5);
	expect_log(vcpu->vm, SLOT, PAGES, 3, 5);
}

/* The flag is set when the pages have long been mapped writable. */
TEST(logging_starts_late)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	EXPECT_ERRNO(log_get(vcpu->vm, SLOT, mem), ENOENT);
	ASSERT_OK(set_flags(vcpu, PAGES, mem, KVM_MEM_LOG_DIRTY_PAGES));
	expect_log(vcpu->vm, SLOT, PAGES, 0, 0);
	guest_fill(vcpu, SWEEP_GPA + 100 * PAGE_SIZE, 3, 7);
	expect_log(vcpu->vm, SLOT, PAGES, 100, 103);
}

/* Pages of 2 MiB are logged by 4 KiB. */
TEST(large_pages)
{
	enum { LARGE = 3 * 512 };
	uint8_t *mem = mem_private(LARGE * PAGE_SIZE);
	struct vcpu *vcpu;

	if (madvise(mem, LARGE * PAGE_SIZE, MADV_HUGEPAGE))
		SKIP("the host has no transparent huge pages");
	vcpu = sweep_new(mem, LARGE);
	guest_fill(vcpu, SWEEP_GPA, LARGE, 1);
	ASSERT_OK(set_flags(vcpu, LARGE, mem, KVM_MEM_LOG_DIRTY_PAGES));
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, LARGE, 1), 0);
	expect_log(vcpu->vm, SLOT, LARGE, 0, 0);
	guest_fill(vcpu, SWEEP_GPA + 700 * PAGE_SIZE, 1, 1);
	expect_log(vcpu->vm, SLOT, LARGE, 700, 701);
	guest_fill(vcpu, SWEEP_GPA + 500 * PAGE_SIZE, 300, 1);
	expect_log(vcpu->vm, SLOT, LARGE, 500, 800);
	ASSERT_OK(set_flags(vcpu, LARGE, mem, 0));
	guest_fill(vcpu, SWEEP_GPA, LARGE, 9);
	EXPECT_EQ(host_mismatches(mem, LARGE, 9), 0);
}

/* 512 MiB of guest memory over little of the host's */
TEST(a_big_slot)
{
	enum { BIG = 512 << 8, LAST = BIG - 5 };
	uint8_t *mem = mmap(NULL, BIG * PAGE_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct vcpu *vcpu;

	ASSERT_OK((long)mem);
	vcpu = logged_new(mem, BIG);
	guest_fill(vcpu, SWEEP_GPA + LAST * PAGE_SIZE, 5, 1);
	expect_log(vcpu->vm, SLOT, BIG, LAST, BIG);
	guest_fill(vcpu, SWEEP_GPA + 70000 * PAGE_SIZE, 9, 1);
	expect_log(vcpu->vm, SLOT, BIG, 70000, 70009);
}

#ifdef __x86_64__
/* Bytes from device memory, which the hypervisor itself writes into the slot */
GUEST64(fill_in, "rep movsb\nhlt\n");

enum { DEVICE = 0x80000000 };

TEST(emulated_writes)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, fill_in);
	struct kvm_regs regs = vcpu_regs(vcpu);

	ASSERT_OK(set_flags(vcpu, PAGES, mem, KVM_MEM_LOG_DIRTY_PAGES));
	regs.rsi = DEVICE;
	regs.rdi = SWEEP_GPA + 8 * PAGE_SIZE - 4;
	regs.rcx = 8;
	vcpu_set_regs(vcpu, &regs);
	for (uint64_t i = 0; i < 8; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
		EXPECT_EQ(vcpu->run->mmio.is_write, 0);
		vcpu->run->mmio.data[0] = 0x5a;
	}
	ASSERT_END(vcpu);
	EXPECT_EQ(mem[8 * PAGE_SIZE - 4], 0x5a);
	EXPECT_EQ(mem[8 * PAGE_SIZE + 3], 0x5a);
	expect_log(vcpu->vm, SLOT, PAGES, 7, 9);
}

/* The processor marks an entry of the guest's page tables, which lie in a logged slot. */
TEST(page_table_marks)
{
	const uint64_t at = GUEST_PD + 8 * (SWEEP_GPA >> 21);
	const uint64_t entry = SWEEP_GPA | PTE_P | PTE_W | PTE_PS;
	uint8_t *mem = mem_new(PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, 1);
	struct vm *vm = vcpu->vm;

	vm_write(vm, at, &entry, sizeof(entry));
	ASSERT_OK(vm_set_slot(vm, 0, 0, vm->ram_size, vm->ram, KVM_MEM_LOG_DIRTY_PAGES));
	guest_fill(vcpu, SWEEP_GPA, 1, 1);
	EXPECT_EQ(*(uint64_t *)(vm->ram + at), entry | PTE_A | PTE_D);
	EXPECT_TRUE(log_has(log_take(vm, 0, GUEST_PAGES), at / PAGE_SIZE));
}

#endif

TEST(the_flag_goes_and_comes_back)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = logged_new(mem, PAGES);
	uint64_t bitmap[PAGES / WORD_BITS + 1];

	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	ASSERT_OK(set_flags(vcpu, PAGES, mem, 0));
	EXPECT_ERRNO(log_get(vcpu->vm, SLOT, bitmap), ENOENT);
	guest_fill(vcpu, SWEEP_GPA, PAGES, 2);
	ASSERT_OK(set_flags(vcpu, PAGES, mem, KVM_MEM_LOG_DIRTY_PAGES));
	expect_log(vcpu->vm, SLOT, PAGES, 0, 0);
	guest_fill(vcpu, SWEEP_GPA + PAGE_SIZE, 1, 2);
	expect_log(vcpu->vm, SLOT, PAGES, 1, 2);
}

TEST(a_moved_slot_keeps_its_log)
{
	const uint64_t there = SWEEP_GPA + 0x10000000;
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = logged_new(mem, PAGES);

	guest_fill(vcpu, SWEEP_GPA + 20 * PAGE_SIZE, 2, 1);
	ASSERT_OK(vm_set_slot(vcpu->vm, SLOT, there, PAGES * PAGE_SIZE, mem,
			      KVM_MEM_LOG_DIRTY_PAGES));
	expect_log(vcpu->vm, SLOT, PAGES, 20, 22);
	guest_fill(vcpu, there + 30 * PAGE_SIZE, 2, 1);
	expect_log(vcpu->vm, SLOT, PAGES, 30, 32);
}

TEST(errors)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = logged_new(mem, PAGES);
	uint64_t bitmap[PAGES / WORD_BITS + 1];
	struct vm *vm = vcpu->vm;

	EXPECT_ERRNO(log_get(vm, 0, bitmap), ENOENT);
	EXPECT_ERRNO(log_get(vm, SLOT + 1, bitmap), ENOENT);
	EXPECT_ERRNO(log_get(vm, 0xffff, bitmap), EINVAL);
	EXPECT_ERRNO(log_get(vm, 0xffff0000 | SLOT, bitmap), EINVAL);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_GET_DIRTY_LOG, NULL), EFAULT);
	EXPECT_ERRNO(log_get(vm, SLOT, NULL), EFAULT);
	EXPECT_OK(log_get(vm, SLOT, bitmap));
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_DIRTY_LOG, bitmap), EINVAL);
}

/* A log that could not be handed over is there the next time. */
TEST(a_bad_bitmap_loses_nothing)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = logged_new(mem, PAGES);

	if (kvm_is_c())
		SKIP("C KVM clears its log first");
	guest_fill(vcpu, SWEEP_GPA + 60 * PAGE_SIZE, 10, 1);
	EXPECT_ERRNO(log_get(vcpu->vm, SLOT, NULL), EFAULT);
	guest_fill(vcpu, SWEEP_GPA + 70 * PAGE_SIZE, 10, 1);
	expect_log(vcpu->vm, SLOT, PAGES, 60, 80);
}

/* The registers of sweep, the first number as the count of rounds: adds 1 in each page */
GUEST_ANY(count,
	"2: mov %rdi, %rsi\n"
	"mov %rcx, %rdx\n"
	"1: lock incq (%rsi)\n"
	"add $0x1000, %rsi\n"
	"dec %rdx\n"
	"jnz 1b\n"
	"dec %rax\n"
	"jnz 2b\n"
	"hlt\n",
	MMU_ON
	"2: mov x6, x1\n"
	"mov x7, x2\n"
	"1: ldxr x4, [x6]\n"
	"add x4, x4, #1\n"
	"stxr w5, x4, [x6]\n"
	"cbnz w5, 1b\n"
	"add x6, x6, #0x1000\n"
	"subs x7, x7, #1\n"
	"b.ne 1b\n"
	"subs x3, x3, #1\n"
	"b.ne 2b\n"
	DONE);

enum { VCPUS = 2, ROUNDS = 300 };

static atomic_int running;

static void *run_to_end(void *arg)
{
	ASSERT_END((struct vcpu *)arg);
	atomic_fetch_sub(&running, 1);
	return NULL;
}

/* Copies what the log names, as a migration does: in the end the copy is the memory. */
static void copy_dirty(struct vm *vm, const uint8_t *mem, uint64_t *copy)
{
	uint64_t *bitmap = log_take(vm, SLOT, PAGES);

	for (size_t i = 0; i < PAGES; i++)
		if (log_has(bitmap, i))
			copy[i] = *(const volatile uint64_t *)(mem + i * PAGE_SIZE);
	free(bitmap);
}

TEST_LIMIT(while_vcpus_write, 60)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpus[VCPUS] = { GUEST_ANY_NEW(count) };
	uint64_t copy[PAGES] = { 0 };
	pthread_t threads[VCPUS];

	ASSERT_OK(set_flags(vcpus[0], PAGES, mem, KVM_MEM_LOG_DIRTY_PAGES));
	atomic_store(&running, VCPUS);
	for (int i = 0; i < VCPUS; i++) {
		if (i > 0) {
			vcpus[i] = vcpu_new(vcpus[0]->vm, i);
			vcpu_begin(vcpus[i], GUEST_CODE);
		}
		sweep_begin(vcpus[i], GUEST_CODE, SWEEP_GPA, PAGES, ROUNDS);
		ASSERT_EQ(pthread_create(&threads[i], NULL, run_to_end, vcpus[i]), 0);
	}
	while (atomic_load(&running))
		copy_dirty(vcpus[0]->vm, mem, copy);
	copy_dirty(vcpus[0]->vm, mem, copy);
	for (int i = 0; i < VCPUS; i++)
		ASSERT_EQ(pthread_join(threads[i], NULL), 0);
	for (size_t i = 0; i < PAGES; i++)
		EXPECT_EQ(copy[i], VCPUS * ROUNDS);
	expect_log(vcpus[0]->vm, SLOT, PAGES, 0, 0);
}

/* --- KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: the VMM takes marks itself --- */

static int manual_mode(struct vm *vm, uint64_t mode)
{
	const struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args[0] = mode,
	};

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static int log_clear(struct vm *vm, uint64_t first, uint32_t pages, void *bitmap)
{
	struct kvm_clear_dirty_log log = {
		.slot = SLOT, .first_page = first, .num_pages = pages, .dirty_bitmap = bitmap,
	};

	return ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &log);
}

/* The log has the pages from first to end and no others, and keeps them. */
static void expect_marks(struct vm *vm, size_t first, size_t end)
{
	uint64_t *bitmap = log_take(vm, SLOT, PAGES);
	size_t wrong = 0;

	for (size_t i = 0; i < log_words(PAGES) * WORD_BITS; i++)
		wrong += log_has(bitmap, i) != (first <= i && i < end);
	EXPECT_EQ(wrong, 0);
	free(bitmap);
}

TEST(manual_modes)
{
	struct vm *vm = vm_create();

	EXPECT_EQ(kvm_check(vm->fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2),
		  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);
	EXPECT_ERRNO(manual_mode(vm, KVM_DIRTY_LOG_INITIALLY_SET), EINVAL);
	EXPECT_ERRNO(manual_mode(vm, 4), EINVAL);
	EXPECT_OK(manual_mode(vm, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE |
				  KVM_DIRTY_LOG_INITIALLY_SET));
	EXPECT_OK(manual_mode(vm, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE));
	EXPECT_OK(manual_mode(vm, 0));
}

TEST(marks_stay_until_they_are_cleared)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = GUEST_ANY_NEW(sweep);
	struct vm *vm = vcpu->vm;
	uint64_t bits[4];

	ASSERT_OK(manual_mode(vm, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE));
	ASSERT_OK(set_flags(vcpu, PAGES, mem, KVM_MEM_LOG_DIRTY_PAGES));
	guest_fill(vcpu, SWEEP_GPA + 60 * PAGE_SIZE, 10, 1);
	expect_marks(vm, 60, 70);
	expect_marks(vm, 60, 70);
	/* Only what the bitmap names, of the pages that the request names */
	memset(bits, 0xff, sizeof(bits));
	ASSERT_OK(log_clear(vm, 64, 64, bits));
	expect_marks(vm, 60, 64);
	bits[0] = 1UL << 60 | 1UL << 61;
	ASSERT_OK(log_clear(vm, 0, 64, bits));
	expect_marks(vm, 62, 64);
	bits[0] = 0;
	ASSERT_OK(log_clear(vm, 0, 64, bits));
	expect_marks(vm, 62, 64);
	/* What was cleared is marked anew by the next write, what was not stays marked. */
	guest_fill(vcpu, SWEEP_GPA + 61 * PAGE_SIZE, 5, 2);
	expect_marks(vm, 61, 66);
	memset(bits, 0xff, sizeof(bits));
	ASSERT_OK(log_clear(vm, 0, PAGES, bits));
	expect_marks(vm, 0, 0);
	guest_fill(vcpu, SWEEP_GPA, PAGES, 3);
	expect_marks(vm, 0, PAGES);
	/* The last pages, which are no whole word */
	ASSERT_OK(log_clear(vm, 192, PAGES - 192, bits));
	expect_marks(vm, 0, 192);
	EXPECT_EQ(host_mismatches(mem, PAGES, 3), 0);
}

/* All marks are there at first, so that nothing needs to fault until some are cleared. */
TEST(all_marks_at_first)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);
	struct vm *vm = vcpu->vm;
	uint64_t bits[4];

	memset(bits, 0xff, sizeof(bits));
	ASSERT_OK(manual_mode(vm, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE |
				  KVM_DIRTY_LOG_INITIALLY_SET));
	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	ASSERT_OK(set_flags(vcpu, PAGES, mem, KVM_MEM_LOG_DIRTY_PAGES));
	expect_marks(vm, 0, PAGES);
	guest_fill(vcpu, SWEEP_GPA, PAGES, 2);
	expect_marks(vm, 0, PAGES);
	ASSERT_OK(log_clear(vm, 0, PAGES, bits));
	expect_marks(vm, 0, 0);
	guest_fill(vcpu, SWEEP_GPA + 10 * PAGE_SIZE, 100, 3);
	expect_marks(vm, 10, 110);
}

TEST(what_can_be_cleared)
{
	struct vcpu *vcpu = logged_new(mem_new(PAGES * PAGE_SIZE), PAGES);
	struct vm *vm = vcpu->vm;
	uint8_t *nowhere = mem_new(PAGE_SIZE);
	uint64_t bits[4] = { 0 };

	/* Without the mode, too */
	EXPECT_OK(log_clear(vm, 0, PAGES, bits));
	EXPECT_OK(log_clear(vm, 0, 0, bits));
	EXPECT_OK(log_clear(vm, 128, 64, bits));
	EXPECT_ERRNO(log_clear(vm, 1, 64, bits), EINVAL);
	EXPECT_ERRNO(log_clear(vm, 0, 63, bits), EINVAL);
	EXPECT_ERRNO(log_clear(vm, 192, 9, bits), EINVAL);
	EXPECT_OK(log_clear(vm, 192, 8, bits));
	EXPECT_ERRNO(log_clear(vm, 256, 0, bits), EINVAL);
	EXPECT_ERRNO(log_clear(vm, 0, 256, bits), EINVAL);
	EXPECT_ERRNO(log_clear(vm, 1UL << 63, 64, bits), EINVAL);
	ASSERT_OK(munmap(nowhere, PAGE_SIZE));
	EXPECT_ERRNO(log_clear(vm, 0, 64, nowhere), EFAULT);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG,
			   &(struct kvm_clear_dirty_log){ .slot = 0, .dirty_bitmap = bits }),
		     ENOENT);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG,
			   &(struct kvm_clear_dirty_log){ .slot = 0x7fff, .dirty_bitmap = bits }),
		     EINVAL);
}
