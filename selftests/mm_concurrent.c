// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any cpus=2 */
/* Several vCPU threads fault at once, also while the host takes pages away. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/sweep.h"

enum { VCPUS = 4, PAGES = 600, ROUNDS = 8 };

/* The registers of sweep: adds 1 in each page */
GUEST_ANY(count, "1: lock incq (%rdi)\nadd $0x1000, %rdi\ndec %rcx\njnz 1b\nhlt\n",
	  MMU_ON "1: ldxr x4, [x1]\nadd x4, x4, #1\nstxr w5, x4, [x1]\ncbnz w5, 1b\n"
	  "add x1, x1, #0x1000\nsubs x2, x2, #1\nb.ne 1b\n" DONE);

enum { COUNT_CODE = GUEST_CODE + 0x1000 };

static void *run_to_end(void *arg)
{
	struct vcpu *vcpu = arg;

	ASSERT_END(vcpu);
	return NULL;
}

static void run_all(struct vcpu **vcpus, uint64_t pc, uint64_t first)
{
	pthread_t threads[VCPUS];

	for (int i = 0; i < VCPUS; i++) {
		sweep_begin(vcpus[i], pc, SWEEP_GPA, PAGES, first);
		ASSERT_EQ(pthread_create(&threads[i], NULL, run_to_end, vcpus[i]), 0);
	}
	for (int i = 0; i < VCPUS; i++)
		ASSERT_EQ(pthread_join(threads[i], NULL), 0);
}

static void make_vcpus(struct vcpu **vcpus, uint8_t *mem)
{
	vcpus[0] = sweep_new(mem, PAGES);
	VM_LOAD_AT(vcpus[0]->vm, COUNT_CODE, count);
	for (int i = 1; i < VCPUS; i++) {
		vcpus[i] = vcpu_new(vcpus[0]->vm, i);
		vcpu_begin(vcpus[i], COUNT_CODE);
	}
}

TEST_LIMIT(every_vcpu_reaches_the_same_pages, 60)
{
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpus[VCPUS];

	make_vcpus(vcpus, mem);
	for (int round = 0; round < ROUNDS; round++) {
		run_all(vcpus, COUNT_CODE, 0);
		for (size_t i = 0; i < PAGES; i++)
			ASSERT_EQ(*(uint64_t *)(mem + i * PAGE_SIZE), VCPUS);
		ASSERT_OK(madvise(mem, PAGES * PAGE_SIZE, MADV_DONTNEED));
	}
}

struct storm {
	uint8_t *mem;
	atomic_bool stop;
	atomic_ulong rounds;
};

/* Takes pages away here and there until told to stop. */
static void *take_away(void *arg)
{
	struct storm *storm = arg;
	size_t at = 0;

	while (!atomic_load(&storm->stop)) {
		const size_t pages = 1 + at % 13;

		ASSERT_OK(madvise(storm->mem + at * PAGE_SIZE, pages * PAGE_SIZE, MADV_DONTNEED));
		at = (at + 37) % (PAGES - 13);
		atomic_fetch_add(&storm->rounds, 1);
	}
	return NULL;
}

/* Afterwards nobody has a stale page: host and every vCPU see one memory. */
TEST_LIMIT(while_pages_are_taken_away, 60)
{
	struct storm storm = { .mem = mem_private(PAGES * PAGE_SIZE) };
	const uint64_t write_pc = GUEST_ADDR(sweep, sweep_write);
	struct vcpu *vcpus[VCPUS];
	pthread_t thread;

	make_vcpus(vcpus, storm.mem);
	ASSERT_EQ(pthread_create(&thread, NULL, take_away, &storm), 0);
	for (int round = 0; round < ROUNDS || !atomic_load(&storm.rounds); round++) {
		run_all(vcpus, write_pc, 1);
		for (uint64_t i = 0; i < PAGES; i++) {
			const uint64_t value = *(volatile uint64_t *)(storm.mem + i * PAGE_SIZE);

			ASSERT_TRUE(value == 0 || value == i + 1);
		}
	}
	atomic_store(&storm.stop, true);
	ASSERT_EQ(pthread_join(thread, NULL), 0);
	host_fill(storm.mem, PAGES, 3000);
	for (int i = 0; i < VCPUS; i++)
		EXPECT_EQ(guest_mismatches(vcpus[i], SWEEP_GPA, PAGES, 3000), 0);
	for (int i = 0; i < VCPUS; i++) {
		guest_fill(vcpus[i], SWEEP_GPA, PAGES, 4000 + i);
		EXPECT_EQ(host_mismatches(storm.mem, PAGES, 4000 + i), 0);
	}
}

/*
 * Runs until the end; memory that is not there for a moment is tried again. While the C library forks it blocks signals,
 * so that a SIGCHLD, though nobody asks for it, may interrupt one of these threads.
 */
static void *run_on(void *arg)
{
	struct vcpu *vcpu = arg;

	for (;;) {
		if (vcpu_run(vcpu) == 0) {
			if (vcpu_at_end(vcpu))
				return NULL;
			ASSERT_EXIT(vcpu, KVM_EXIT_MMIO);
		} else {
			ASSERT_TRUE(errno == EFAULT || errno == EINTR);
		}
	}
}

static void start_fill(struct vcpu **vcpus, pthread_t *threads, uint64_t first)
{
	for (int i = 0; i < VCPUS; i++) {
		sweep_start(vcpus[i], sweep_write, SWEEP_GPA, PAGES, first);
		ASSERT_EQ(pthread_create(&threads[i], NULL, run_on, vcpus[i]), 0);
	}
}

static void join_all(pthread_t *threads)
{
	for (int i = 0; i < VCPUS; i++)
		ASSERT_EQ(pthread_join(threads[i], NULL), 0);
}

static void expect_one_memory(struct vcpu **vcpus, uint8_t *mem)
{
	host_fill(mem, PAGES, 3000);
	for (int i = 0; i < VCPUS; i++)
		EXPECT_EQ(guest_mismatches(vcpus[i], SWEEP_GPA, PAGES, 3000), 0);
	guest_fill(vcpus[0], SWEEP_GPA, PAGES, 4000);
	EXPECT_EQ(host_mismatches(mem, PAGES, 4000), 0);
}

TEST_LIMIT(while_the_protection_changes, 60)
{
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpus[VCPUS];
	pthread_t threads[VCPUS];

	make_vcpus(vcpus, mem);
	for (uint64_t round = 0; round < ROUNDS; round++) {
		start_fill(vcpus, threads, round);
		for (int i = 0; i < 10; i++) {
			ASSERT_OK(mprotect(mem, PAGES * PAGE_SIZE, PROT_READ));
			ASSERT_OK(mprotect(mem, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE));
		}
		join_all(threads);
		EXPECT_EQ(host_mismatches(mem, PAGES, round), 0);
	}
	expect_one_memory(vcpus, mem);
}

TEST_LIMIT(while_the_slot_comes_and_goes, 60)
{
	if (kvm_is_c())
		SKIP("C KVM warns in its own MMU (tdp_mmu.c) now and then");
	const uint64_t size = PAGES * PAGE_SIZE;
	uint8_t *mem = mem_private(size);
	struct vcpu *vcpus[VCPUS];
	pthread_t threads[VCPUS];

	make_vcpus(vcpus, mem);
	for (uint64_t round = 0; round < ROUNDS; round++) {
		start_fill(vcpus, threads, round);
		for (int i = 0; i < 3; i++) {
			ASSERT_OK(vm_set_slot(vcpus[0]->vm, 1, SWEEP_GPA, 0, mem, 0));
			ASSERT_OK(vm_set_slot(vcpus[0]->vm, 1, SWEEP_GPA, size, mem, 0));
		}
		join_all(threads);
	}
	expect_one_memory(vcpus, mem);
}

/* Each fork write-protects everything under the running vCPUs. */
TEST_LIMIT(while_the_process_forks, 60)
{
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpus[VCPUS];
	pthread_t threads[VCPUS];
	pid_t child;

	make_vcpus(vcpus, mem);
	for (uint64_t round = 0; round < ROUNDS; round++) {
		start_fill(vcpus, threads, round);
		child = ASSERT_OK(fork());
		if (!child) {
			host_fill(mem, PAGES, 7777);
			_exit(0);
		}
		join_all(threads);
		ASSERT_EQ(waitpid(child, NULL, 0), child);
		EXPECT_EQ(host_mismatches(mem, PAGES, round), 0);
	}
	expect_one_memory(vcpus, mem);
}

#ifdef __x86_64__
/* Bytes from device memory into the slot: each write is done by the KVM itself. */
GUEST64(fill_in, "1: mov $0x40000000, %edi\nmov $64, %ecx\nrep movsb\njmp 1b\n");

enum { DEVICE = 0x80000000 };

struct filling {
	struct vcpu *vcpu;
	atomic_ulong reads;
	atomic_bool stop;
};

/* Answers reads with another number each time; writes come while there is no slot. */
static void *answer(void *arg)
{
	struct filling *filling = arg;
	struct kvm_run *run = filling->vcpu->run;
	struct kvm_regs regs = vcpu_regs(filling->vcpu);

	regs.rsi = DEVICE;
	vcpu_set_regs(filling->vcpu, &regs);
	while (!atomic_load(&filling->stop)) {
		ASSERT_RUN(filling->vcpu, KVM_EXIT_MMIO);
		if (!run->mmio.is_write)
			run->mmio.data[0] = atomic_fetch_add(&filling->reads, 1);
	}
	return NULL;
}

static void wait_for_reads(struct filling *filling, unsigned long count)
{
	const unsigned long start = atomic_load(&filling->reads);

	while (atomic_load(&filling->reads) - start < count)
		sched_yield();
}

/* What the slot was does not change any more, once KVM_SET_USER_MEMORY_REGION has returned. */
TEST_LIMIT(a_deleted_slot_is_not_written, 60)
{
	enum { DELETIONS = 200, SIZE = 64 };
	uint8_t *mem = mem_private(PAGE_SIZE), before[SIZE];
	struct filling filling = { .vcpu = GUEST_NEW(MODE_LONG, fill_in) };
	struct vm *vm = filling.vcpu->vm;
	pthread_t thread;

	ASSERT_OK(vm_set_slot(vm, 1, SWEEP_GPA, PAGE_SIZE, mem, 0));
	ASSERT_EQ(pthread_create(&thread, NULL, answer, &filling), 0);
	for (int i = 0; i < DELETIONS; i++) {
		wait_for_reads(&filling, 1 + i % 7);
		ASSERT_OK(vm_set_slot(vm, 1, SWEEP_GPA, 0, mem, 0));
		memcpy(before, mem, SIZE);
		wait_for_reads(&filling, 5);
		ASSERT_EQ(memcmp(before, mem, SIZE), 0);
		ASSERT_OK(vm_set_slot(vm, 1, SWEEP_GPA, PAGE_SIZE, mem, 0));
	}
	atomic_store(&filling.stop, true);
	ASSERT_EQ(pthread_join(thread, NULL), 0);
}
#endif
