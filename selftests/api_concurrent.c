// SPDX-License-Identifier: GPL-2.0
/* Several threads on the same VM and vCPU: one at a time where it must be, none stuck. */
/* machine: arch=any cpus=2 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/any.h"

#define ROUNDS 200

static atomic_int ready;

/* Lets the threads of a test start together. */
static void rendezvous(int threads)
{
	atomic_fetch_add(&ready, 1);
	while (atomic_load(&ready) % threads)
		sched_yield();
}

static pthread_t start(void *(*fn)(void *), void *argument)
{
	pthread_t thread;

	ASSERT_EQ(pthread_create(&thread, NULL, fn, argument), 0);
	return thread;
}

static void *create_ids(void *argument)
{
	struct vm *vm = argument;
	long created = 0;

	rendezvous(2);
	for (unsigned long id = 0; id < 32; id++) {
		if (ioctl(vm->fd, KVM_CREATE_VCPU, id) >= 0)
			created++;
		else
			EXPECT_EQ(errno, EEXIST);
	}
	return (void *)created;
}

TEST(an_id_is_given_once)
{
	struct vm *vm = vm_create();
	pthread_t other = start(create_ids, vm);
	long mine = (long)create_ids(vm);
	void *theirs;

	pthread_join(other, &theirs);
	EXPECT_EQ(mine + (long)theirs, 32);
}

static void *set_one_slot(void *argument)
{
	struct vm *vm = argument;
	void *mem = mem_new(PAGE_SIZE);
	long set = 0;

	rendezvous(2);
	for (uint32_t page = 0; page < ROUNDS; page++) {
		/* Both want the same addresses, from slots of their own. */
		uint32_t slot = page + (gettid() == getpid() ? 0 : ROUNDS);

		if (!vm_set_slot(vm, slot, page * PAGE_SIZE, PAGE_SIZE, mem, 0))
			set++;
		else
			EXPECT_EQ(errno, EEXIST);
	}
	return (void *)set;
}

TEST(an_address_is_given_once)
{
	struct vm *vm = vm_create();
	pthread_t other = start(set_one_slot, vm);
	long mine = (long)set_one_slot(vm);
	void *theirs;

	pthread_join(other, &theirs);
	EXPECT_EQ(mine + (long)theirs, ROUNDS);
}

#ifdef __x86_64__
/* RCX counts, RDX follows it: between two instructions they differ, between two runs never. */
GUEST64(follows, "1: inc %rcx\n mov %rcx, %rdx\n" REPORT "jmp 1b\n");

static void *watch_registers(void *argument)
{
	struct vcpu *vcpu = argument;

	rendezvous(2);
	for (int i = 0; i < ROUNDS; i++) {
		struct kvm_regs regs = vcpu_regs(vcpu);

		EXPECT_EQ(regs.rdx, regs.rcx);
	}
	return NULL;
}

TEST(registers_are_read_between_runs)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, follows);
	pthread_t watcher = start(watch_registers, vcpu);

	rendezvous(2);
	for (int i = 0; i < ROUNDS; i++)
		EXPECT_RUN(vcpu, KVM_EXIT_IO);
	pthread_join(watcher, NULL);
	EXPECT_EQ(vcpu_regs(vcpu).rcx, ROUNDS);
}
#endif

GUEST_ANY(counts, "1: inc %eax\n" REPORT "jmp 1b\n", "1: add x0, x0, #1\n" REPORT "b 1b\n");

static void *run_too(void *argument)
{
	rendezvous(2);
	for (int i = 0; i < ROUNDS; i++)
		EXPECT_OK(vcpu_run(argument));
	return NULL;
}

TEST(two_threads_run_one_vcpu_in_turn)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(counts);
	pthread_t other = start(run_too, vcpu);

	run_too(vcpu);
	pthread_join(other, NULL);
	EXPECT_EQ(vcpu_result(vcpu), 2 * ROUNDS);
}

static void *churn_slots(void *argument)
{
	struct vcpu *vcpu = argument;
	void *mem = mem_new(4 * PAGE_SIZE);

	rendezvous(2);
	for (int i = 0; i < ROUNDS; i++) {
		EXPECT_OK(vm_set_slot(vcpu->vm, 1, 1UL << 30, 4 * PAGE_SIZE, mem, 0));
		EXPECT_OK(vm_set_slot(vcpu->vm, 1, 1UL << 31, 4 * PAGE_SIZE, mem, 0));
		EXPECT_OK(vm_set_slot(vcpu->vm, 1, 0, 0, NULL, 0));
	}
	return NULL;
}

TEST_LIMIT(slots_change_beside_a_running_guest, 60)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(counts);
	pthread_t other = start(churn_slots, vcpu);
	uint64_t runs = 0;

	rendezvous(2);
	while (pthread_tryjoin_np(other, NULL) == EBUSY) {
		ASSERT_RUN(vcpu, ANY_REPORT_EXIT);
		runs++;
	}
	EXPECT_EQ(vcpu_result(vcpu), runs);
}

/* Counts in memory, so that the host can tell that it runs. */
GUEST_ANY(spins, "sti\n 1: incl 0x10000\n jmp 1b\n",
	  "mov x1, #0x10000\n1: ldr w0, [x1]\nadd w0, w0, #1\nstr w0, [x1]\nb 1b\n");

static void nothing(int signal)
{
	(void)signal;
}

static void *run_until_signal(void *argument)
{
	rendezvous(2);
	EXPECT_ERRNO(vcpu_run(argument), EINTR);
	return NULL;
}

/* The descriptor number goes away; the running thread keeps the vCPU. */
TEST(closing_under_a_running_thread)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(spins);
	struct sigaction action = { .sa_handler = nothing };
	pthread_t runner;

	ASSERT_OK(sigaction(SIGUSR1, &action, NULL));
	runner = start(run_until_signal, vcpu);
	rendezvous(2);
	while (!*(volatile uint32_t *)(vcpu->vm->ram + GUEST_DATA))
		sched_yield();
	ASSERT_OK(close(vcpu->fd));
	ASSERT_OK(close(vcpu->vm->fd));
	while (pthread_tryjoin_np(runner, NULL) == EBUSY) {
		pthread_kill(runner, SIGUSR1);
		usleep(10000);
	}
	EXPECT_EXIT(vcpu, KVM_EXIT_INTR);
}

static void *create_and_destroy(void *argument)
{
	(void)argument;
	rendezvous(4);
	for (int i = 0; i < 25; i++)
		guest_smoke();
	return NULL;
}

TEST_LIMIT(four_threads_make_and_free_vms, 60)
{
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		threads[i] = start(create_and_destroy, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
}
