// SPDX-License-Identifier: GPL-2.0
/* machine: arch=arm64 cpus=4 again=vmid_bits=3 */
/* More VMs than there may be VMIDs, on all CPUs at once: none sees another's memory by way of a TLB. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "lib/arm64.h"

enum { VMS = 64, PAGES = 16, ROUNDS = 400 };

/* Adds up a word of each page, for ever. */
GUEST64(add_up,
	MMU_ON
	"1: mov x1, #0x10000\n"
	"mov x0, #0\n"
	"mov x2, #16\n"
	"2: ldr x3, [x1]\n"
	"add x0, x0, x3\n"
	"add x1, x1, #0x1000\n"
	"subs x2, x2, #1\n"
	"b.ne 2b\n"
	REPORT
	"b 1b\n");

static struct vcpu *vcpus[VMS];
static atomic_bool busy[VMS];
static atomic_uint wrong;

static uint64_t word_of(unsigned int number)
{
	return 0x1000003UL * (number + 1);
}

static void run_one(unsigned int number)
{
	struct vcpu *vcpu = vcpus[number];

	/* A few rounds of the guest, so that its translations are cached. */
	for (int i = 0; i < 3; i++)
		if (vcpu_run(vcpu) || vcpu->run->exit_reason != KVM_EXIT_MMIO ||
		    *(uint64_t *)vcpu->run->mmio.data != PAGES * word_of(number))
			wrong++;
}

static void *run_many(void *argument)
{
	uintptr_t seed = (uintptr_t)argument;
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(seed % sysconf(_SC_NPROCESSORS_ONLN), &cpu);
	sched_setaffinity(0, sizeof(cpu), &cpu);
	for (int i = 0; i < ROUNDS; i++) {
		unsigned int number;

		seed = seed * 6364136223846793005 + 1442695040888963407;
		number = (seed >> 33) % VMS;
		if (atomic_exchange(&busy[number], true))
			continue;
		run_one(number);
		atomic_store(&busy[number], false);
	}
	return NULL;
}

TEST_LIMIT(more_vms_than_vmids, 120)
{
	pthread_t threads[4];

	for (unsigned int i = 0; i < VMS; i++) {
		vcpus[i] = GUEST_NEW(add_up);
		for (unsigned int page = 0; page < PAGES; page++) {
			const uint64_t word = word_of(i);

			vm_write(vcpus[i]->vm, GUEST_DATA + page * 0x1000, &word, sizeof(word));
		}
	}
	for (uintptr_t i = 0; i < ARRAY_SIZE(threads); i++)
		ASSERT_TRUE(!pthread_create(&threads[i], NULL, run_many, (void *)i));
	for (unsigned int i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(wrong, 0);
}
