/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest that counts in memory without end, interrupts on, so that
 * nothing but the host stops it; and threads that run such guests.
 */
#ifndef SELFTESTS_SPIN_H
#define SELFTESTS_SPIN_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "any.h"

/* RBX or X1: the address of the counter */
GUEST_ANY(spin, "sti\n1: lock incq (%rbx)\njmp 1b\n",
	  "msr daifclr, #2\n1: ldr x0, [x1]\nadd x0, x0, #1\nstr x0, [x1]\nb 1b\n");

#define SPIN_COUNTER(id) (GUEST_DATA + 64 * (id))

static inline volatile uint64_t *spin_counter(struct vcpu *vcpu)
{
	return (volatile uint64_t *)(vcpu->vm->ram + SPIN_COUNTER(vcpu->id));
}

static inline void spin_start(struct vcpu *vcpu)
{
	vcpu_begin(vcpu, GUEST_CODE);
	vcpu_set_argument(vcpu, SPIN_COUNTER(vcpu->id));
}

static inline struct vcpu *spin_new(void)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(spin);

	spin_start(vcpu);
	return vcpu;
}

/* One more vCPU of that VM */
static inline struct vcpu *spin_add(struct vm *vm, unsigned long id)
{
	struct vcpu *vcpu = vcpu_new(vm, id);

	spin_start(vcpu);
	return vcpu;
}

/* Waits until the guest has counted on from now. */
static inline void spin_wait(struct vcpu *vcpu)
{
	const uint64_t start = *spin_counter(vcpu);

	while (*spin_counter(vcpu) - start < 1000)
		sched_yield();
}

#define SPIN_SIGNAL SIGUSR1

static inline void spin_on_signal(int signal)
{
	(void)signal;
}

/* KVM_RUN ends by the signal. */
static inline void *spin_thread(void *arg)
{
	struct vcpu *vcpu = arg;

	EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
	EXPECT_EXIT(vcpu, KVM_EXIT_INTR);
	return NULL;
}

/* Starts a thread in KVM_RUN and waits until the guest counts. */
static inline pthread_t spin_run(struct vcpu *vcpu)
{
	struct sigaction action = { .sa_handler = spin_on_signal };
	pthread_t thread;

	ASSERT_OK(sigaction(SPIN_SIGNAL, &action, NULL));
	ASSERT_EQ(pthread_create(&thread, NULL, spin_thread, vcpu), 0);
	spin_wait(vcpu);
	return thread;
}

/* Gets the thread out of KVM_RUN and ends it. */
static inline void spin_stop(pthread_t thread)
{
	ASSERT_EQ(pthread_kill(thread, SPIN_SIGNAL), 0);
	ASSERT_EQ(pthread_join(thread, NULL), 0);
}

#endif
