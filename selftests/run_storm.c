// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* A storm of signals: no exit is lost, none comes twice, no data is mixed up. */
#include <stdatomic.h>

#include "lib/spin.h"

enum { NUMBERS = 300, SIGNALS_BETWEEN = 200 };

struct storm {
	pthread_t target;
	atomic_bool stop;
	atomic_ulong sent;
};

static void *send_signals(void *arg)
{
	struct storm *storm = arg;

	while (!atomic_load(&storm->stop)) {
		ASSERT_EQ(pthread_kill(storm->target, SPIN_SIGNAL), 0);
		atomic_fetch_add(&storm->sent, 1);
		sched_yield();
	}
	return NULL;
}

static pthread_t storm_start(struct storm *storm)
{
	struct sigaction action = { .sa_handler = spin_on_signal };
	pthread_t thread;

	storm->target = pthread_self();
	ASSERT_OK(sigaction(SPIN_SIGNAL, &action, NULL));
	ASSERT_EQ(pthread_create(&thread, NULL, send_signals, storm), 0);
	return thread;
}

static void storm_stop(struct storm *storm, pthread_t thread)
{
	atomic_store(&storm->stop, true);
	ASSERT_EQ(pthread_join(thread, NULL), 0);
}

/* KVM_RUN until it is not a signal that ends it */
static void run_through(struct vcpu *vcpu)
{
	while (vcpu_run(vcpu) == -1) {
		ASSERT_EQ(errno, EINTR);
	}
}

/* Counts up: on x86 out and in (answered with one more); then MMIO write, MMIO read (the same) */
GUEST_ANY(exits, "sti\nmov $0x40000000, %ebx\nxor %eax, %eax\n"
		 "1: outl %eax, $0x10\ninl $0x12, %eax\nmov %eax, (%rbx)\nmov (%rbx), %eax\n"
		 "xor %ecx, %ecx\n2: inc %ecx\ncmp $500, %ecx\njne 2b\njmp 1b\n",
	  "mov x1, #0x40000000\nmov x0, #0\n"
	  "1: str w0, [x1]\nldr w0, [x1]\n"
	  "mov x2, #500\n2: subs x2, x2, #1\nb.ne 2b\nb 1b\n");

static uint32_t one_more(struct vcpu *vcpu, uint32_t number)
{
	struct kvm_run *run = vcpu->run;

#ifdef __x86_64__
	run_through(vcpu);
	ASSERT_EXIT(vcpu, KVM_EXIT_IO);
	ASSERT_EQ(run->io.direction, KVM_EXIT_IO_OUT);
	ASSERT_EQ(*(uint32_t *)io_data(vcpu), number);
	run_through(vcpu);
	ASSERT_EXIT(vcpu, KVM_EXIT_IO);
	ASSERT_EQ(run->io.direction, KVM_EXIT_IO_IN);
	*(uint32_t *)io_data(vcpu) = ++number;
#endif
	run_through(vcpu);
	ASSERT_EXIT(vcpu, KVM_EXIT_MMIO);
	ASSERT_EQ(run->mmio.is_write, 1);
	ASSERT_EQ(*(uint32_t *)run->mmio.data, number);
	run_through(vcpu);
	ASSERT_EXIT(vcpu, KVM_EXIT_MMIO);
	ASSERT_EQ(run->mmio.is_write, 0);
	*(uint32_t *)run->mmio.data = ++number;
	return number;
}

TEST_LIMIT(exits_keep_their_order, 60)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(exits);
	struct storm storm = { .stop = false };
	pthread_t thread = storm_start(&storm);
	uint32_t number = 0;

	while (number < NUMBERS || atomic_load(&storm.sent) < SIGNALS_BETWEEN)
		number = one_more(vcpu, number);
	storm_stop(&storm, thread);
}

#ifdef __x86_64__
/* A string output under signals has every byte once. */
GUEST64(string, "sti\nmov $0x3f8, %edx\ncld\n1: mov $0x10000, %esi\nmov $256, %ecx\n"
		"rep outsb\njmp 1b\n");

TEST_LIMIT(strings_have_every_byte_once, 60)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, string);
	struct storm storm = { .stop = false };
	pthread_t thread;
	uint8_t next = 0;

	for (int i = 0; i < 256; i++)
		vcpu->vm->ram[GUEST_DATA + i] = i;
	thread = storm_start(&storm);
	for (int i = 0; i < NUMBERS || atomic_load(&storm.sent) < SIGNALS_BETWEEN; i++) {
		run_through(vcpu);
		ASSERT_EXIT(vcpu, KVM_EXIT_IO);
		ASSERT_EQ(vcpu->run->io.size, 1);
		for (uint32_t k = 0; k < vcpu->run->io.count; k++)
			ASSERT_EQ(((uint8_t *)io_data(vcpu))[k], next++);
	}
	storm_stop(&storm, thread);
}
#endif
