// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any cpus=2 */
/* vCPU threads move between the host's CPUs, between runs and in the middle. */
#define _GNU_SOURCE
#include <string.h>

#include "lib/spin.h"
#include "lib/sweep.h"

enum { CPUS = 2, MOVES = 60 };

static void move_to(pthread_t thread, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	ASSERT_EQ(pthread_setaffinity_np(thread, sizeof(set), &set), 0);
}

TEST(between_runs)
{
	enum { PAGES = 50 };
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	for (int i = 0; i < MOVES; i++) {
		move_to(pthread_self(), i % CPUS);
		guest_fill(vcpu, SWEEP_GPA, PAGES, i);
		move_to(pthread_self(), (i + 1) % CPUS);
		ASSERT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, i), 0);
	}
}

/* Several guests moved about at the same time, while they run */
TEST_LIMIT(while_running, 60)
{
	enum { VCPUS = 3 };
	struct vcpu *vcpus[VCPUS];
	pthread_t threads[VCPUS];

	for (int i = 0; i < VCPUS; i++) {
		vcpus[i] = spin_new();
		threads[i] = spin_run(vcpus[i]);
	}
	for (int move = 0; move < MOVES; move++) {
		for (int i = 0; i < VCPUS; i++)
			move_to(threads[i], (move + i) % CPUS);
		spin_wait(vcpus[move % VCPUS]);
	}
	for (int i = 0; i < VCPUS; i++) {
		spin_stop(threads[i]);
		EXPECT_EQ(vcpu_argument(vcpus[i]), SPIN_COUNTER(0));
	}
}

#ifdef __x86_64__
/* MSRs, SSE and debug registers come along. */
GUEST64(state,
	"mov $0xc0000102, %ecx\nmov $0x1234, %eax\nxor %edx, %edx\nwrmsr\n"
	"mov $0xc0000082, %ecx\nmov $0x5678, %eax\nwrmsr\n"
	"mov $0x4321, %eax\nmov %rax, %dr1\nmovq %rax, %xmm7\n"
	"1: hlt\n"
	"mov $0xc0000102, %ecx\nrdmsr\nmov %eax, %r8d\n"
	"mov $0xc0000082, %ecx\nrdmsr\nmov %eax, %r9d\n"
	"mov %dr1, %r10\nmovq %xmm7, %r11\n"
	"jmp 1b\n");

TEST(registers_come_along)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, state);

	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	for (int i = 0; i < MOVES; i++) {
		struct kvm_regs regs;

		move_to(pthread_self(), i % CPUS);
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		regs = vcpu_regs(vcpu);
		EXPECT_EQ(regs.r8, 0x1234);
		EXPECT_EQ(regs.r9, 0x5678);
		EXPECT_EQ(regs.r10, 0x4321);
		EXPECT_EQ(regs.r11, 0x4321);
	}
}

/* The time stamp counter does not go back for the guest. */
GUEST64(count, "1: rdtsc\nshl $32, %rdx\nor %rdx, %rax\nhlt\njmp 1b\n");

TEST(tsc_does_not_go_back)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, count);
	uint64_t last = 0;

	for (int i = 0; i < MOVES; i++) {
		move_to(pthread_self(), i % CPUS);
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		ASSERT_TRUE(vcpu_regs(vcpu).rax > last);
		last = vcpu_regs(vcpu).rax;
	}
}
#endif
