// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* A guest that never stops by itself shares its CPU with the rest of the host. */
#include <stdatomic.h>
#include <sys/wait.h>

#include "lib/spin.h"

/* Progress shared with a child process */
static atomic_ulong *shared_counter(void)
{
	return mem_new(PAGE_SIZE);
}

TEST(beside_a_busy_process)
{
	atomic_ulong *work = shared_counter();
	struct vcpu *vcpu = spin_new();
	pid_t child = ASSERT_OK(fork());
	pthread_t thread;

	if (!child)
		for (;;)
			atomic_fetch_add(work, 1);
	thread = spin_run(vcpu);
	for (int i = 0; i < 5; i++) {
		const unsigned long before = atomic_load(work);

		spin_wait(vcpu);
		while (atomic_load(work) == before)
			sched_yield();
	}
	spin_stop(thread);
	ASSERT_OK(kill(child, SIGKILL));
	ASSERT_EQ(waitpid(child, NULL, 0), child);
}

/* Two guests on the CPUs there are; each gets its turn. */
TEST(two_spinning_guests)
{
	struct vcpu *one = spin_new(), *two = spin_new();
	pthread_t first = spin_run(one), second = spin_run(two);

	for (int i = 0; i < 10; i++) {
		spin_wait(one);
		spin_wait(two);
	}
	spin_stop(first);
	spin_stop(second);
}

/* Timers of the host fire while the guest has the CPU. */
TEST(the_host_sleeps_and_wakes)
{
	struct vcpu *vcpu = spin_new();
	pthread_t thread = spin_run(vcpu);

	for (int i = 0; i < 10; i++) {
		EXPECT_OK(usleep(20000));
		spin_wait(vcpu);
	}
	spin_stop(thread);
}
