// SPDX-License-Identifier: GPL-2.0
/* PSCI: vCPUs that turn each other, and the machine, on and off. */
/* machine: arch=arm64 cpus=2 */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "lib/psci.h"

CALLER(caller);
GUEST64(second, "mrs x1, mpidr_el1\n" REPORT "mov x0, x1\n" REPORT DONE);

enum { SECOND = GUEST_DATA };

static struct vm *two_vcpus(struct vcpu **first, struct vcpu **other)
{
	struct vm *vm = vm_new(GUEST_PAGES);

	VM_LOAD(vm, caller);
	VM_LOAD_AT(vm, SECOND, second);
	*first = vcpu_with(vm, 0, FEATURE(PSCI_0_2));
	*other = vcpu_create(vm, 1);
	ASSERT_OK(vcpu_init(*other, FEATURE(PSCI_0_2) | FEATURE(POWER_OFF)));
	return vm;
}

TEST(turned_on_before_it_runs)
{
	struct vcpu *first, *other;

	two_vcpus(&first, &other);
	EXPECT_EQ(call0(first, PSCI_AFFINITY_INFO | WIDE, 1, 0, 0), 1);
	EXPECT_EQ(call0(first, PSCI_AFFINITY_INFO | WIDE, 0, 0, 0), 0);
	EXPECT_EQ(call0(first, PSCI_AFFINITY_INFO | WIDE, 0, 1, 0), 0);
	EXPECT_EQ(call0(first, PSCI_AFFINITY_INFO | WIDE, 2, 0, 0), INVALID_PARAMETERS);
	EXPECT_EQ(call0(first, PSCI_AFFINITY_INFO | WIDE, 0, 4, 0), INVALID_PARAMETERS);
	vcpu_set_reg(other, REG_X(9), 9);
	EXPECT_EQ(call0(first, PSCI_CPU_ON | WIDE, 1, SECOND, 0x123456789abcdef), 0);
	EXPECT_EQ(call0(first, PSCI_CPU_ON | WIDE, 1, SECOND, 0), ALREADY_ON);
	EXPECT_EQ(call0(first, PSCI_AFFINITY_INFO | WIDE, 1, 0, 0), 0);
	EXPECT_EQ(vcpu_mp_state(other), KVM_MP_STATE_RUNNABLE);
	EXPECT_EQ(vcpu_reg(other, REG_PC), SECOND);
	EXPECT_EQ(vcpu_reg(other, REG_X(0)), 0x123456789abcdef);
	EXPECT_EQ(vcpu_reg(other, REG_X(9)), 0);
	EXPECT_EQ(vcpu_reg(other, REG_PSTATE), PSTATE_EL1H | PSTATE_DAIF);
	EXPECT_REPORT(other, 0x123456789abcdef);
	EXPECT_REPORT(other, 0x80000001);
	EXPECT_DONE(other);
}

/* It begins where it was told, however the VMM comes to run it. */
TEST(turned_on_and_made_runnable)
{
	struct vcpu *first, *other;

	two_vcpus(&first, &other);
	EXPECT_EQ(call0(first, PSCI_CPU_ON | WIDE, 1, SECOND, 7), 0);
	EXPECT_OK(vcpu_set_mp_state(other, KVM_MP_STATE_RUNNABLE));
	EXPECT_REPORT(other, 7);
	EXPECT_REPORT(other, 0x80000001);
	EXPECT_DONE(other);
}

/* The machine goes off before it has begun: a reset makes it begin like any other. */
TEST(turned_on_and_reset)
{
	struct vcpu *first, *other;

	two_vcpus(&first, &other);
	EXPECT_EQ(call0(first, PSCI_CPU_ON | WIDE, 1, SECOND, 7), 0);
	call_prepare(first, PSCI_SYSTEM_OFF, 0, 0, 0);
	ASSERT_RUN(first, KVM_EXIT_SYSTEM_EVENT);
	EXPECT_OK(vcpu_init(other, FEATURE(PSCI_0_2)));
	EXPECT_EQ(vcpu_reg(other, REG_X(0)), 0);
	EXPECT_EQ(vcpu_reg(other, REG_PC), 0);
}

TEST(processors_that_there_are_not)
{
	struct vcpu *first, *other;

	two_vcpus(&first, &other);
	EXPECT_EQ(call0(first, PSCI_CPU_ON | WIDE, 2, SECOND, 0), INVALID_PARAMETERS);
	EXPECT_EQ(call0(first, PSCI_CPU_ON | WIDE, 1UL << 31 | 1, SECOND, 0), INVALID_PARAMETERS);
	EXPECT_EQ(call0(first, PSCI_CPU_ON | WIDE, 0, SECOND, 0), ALREADY_ON);
	/* Of 32 bits: upper halves do not count. */
	EXPECT_EQ(call0(first, PSCI_CPU_ON, 1UL << 32 | 1, 1UL << 40 | SECOND, 5), 0);
	EXPECT_EQ(vcpu_reg(other, REG_PC), SECOND);
}

/* MPIDR_EL1 is its name, whatever the VMM makes of it. */
TEST(another_name)
{
	struct vcpu *first, *other;

	two_vcpus(&first, &other);
	vcpu_set_reg(other, REG_MPIDR, 0x80000500);
	EXPECT_EQ(call0(first, PSCI_CPU_ON | WIDE, 1, SECOND, 0), INVALID_PARAMETERS);
	EXPECT_EQ(call0(first, PSCI_CPU_ON | WIDE, 0x500, SECOND, 0), 0);
}

/* A thread in KVM_RUN of a vCPU that is off */
static void *run_other(void *arg)
{
	struct vcpu *other = arg;

	EXPECT_REPORT(other, 7);
	EXPECT_REPORT(other, 0x80000001);
	EXPECT_DONE(other);
	return NULL;
}

TEST(turned_on_while_it_waits)
{
	struct vcpu *first, *other;
	pthread_t thread;

	two_vcpus(&first, &other);
	ASSERT_EQ(pthread_create(&thread, NULL, run_other, other), 0);
	usleep(50000);
	EXPECT_EQ(call0(first, PSCI_CPU_ON | WIDE, 1, SECOND, 7), 0);
	pthread_join(thread, NULL);
}

static volatile sig_atomic_t interrupted;

static void on_alarm(int signal)
{
	interrupted = signal;
}

static void alarm_soon(void)
{
	struct sigaction action = { .sa_handler = on_alarm };

	sigaction(SIGALRM, &action, NULL);
	interrupted = 0;
	ualarm(100000, 0);
}

/* CPU_OFF: the vCPU waits in KVM_RUN until the VMM interrupts it. */
TEST(off)
{
	struct vcpu *first, *other;

	two_vcpus(&first, &other);
	call_prepare(first, PSCI_CPU_OFF, 0, 0, 0);
	alarm_soon();
	EXPECT_ERRNO(vcpu_run(first), EINTR);
	EXPECT_TRUE(interrupted);
	EXPECT_EQ(first->run->exit_reason, KVM_EXIT_INTR);
	EXPECT_EQ(vcpu_mp_state(first), KVM_MP_STATE_STOPPED);
	EXPECT_OK(vcpu_set_mp_state(first, KVM_MP_STATE_RUNNABLE));
	EXPECT_EQ(call_results(first).x[0], 0);
}

static void expect_event(struct vcpu *vcpu, uint32_t type, uint64_t flags)
{
	ASSERT_RUN(vcpu, KVM_EXIT_SYSTEM_EVENT);
	EXPECT_EQ(vcpu->run->system_event.type, type);
	EXPECT_EQ(vcpu->run->system_event.ndata, 1);
	EXPECT_EQ(vcpu->run->system_event.data[0], flags);
}

TEST(events)
{
	static const struct { uint32_t function; uint64_t x1; uint32_t type; uint64_t flags; } events[] = {
		{ PSCI_SYSTEM_OFF, 0, KVM_SYSTEM_EVENT_SHUTDOWN, 0 },
		{ PSCI_SYSTEM_RESET, 0, KVM_SYSTEM_EVENT_RESET, 0 },
		{ PSCI_SYSTEM_RESET2, 0, KVM_SYSTEM_EVENT_RESET,
		  KVM_SYSTEM_EVENT_RESET_FLAG_PSCI_RESET2 },
		{ PSCI_SYSTEM_RESET2 | WIDE, 1u << 31, KVM_SYSTEM_EVENT_RESET,
		  KVM_SYSTEM_EVENT_RESET_FLAG_PSCI_RESET2 },
		{ PSCI_SYSTEM_OFF2, 0, KVM_SYSTEM_EVENT_SHUTDOWN,
		  KVM_SYSTEM_EVENT_SHUTDOWN_FLAG_PSCI_OFF2 },
		{ PSCI_SYSTEM_OFF2 | WIDE, 1, KVM_SYSTEM_EVENT_SHUTDOWN,
		  KVM_SYSTEM_EVENT_SHUTDOWN_FLAG_PSCI_OFF2 },
	};
	struct vcpu *first, *other;

	for (unsigned int i = 0; i < ARRAY_SIZE(events); i++) {
		two_vcpus(&first, &other);
		EXPECT_OK(vcpu_set_mp_state(other, KVM_MP_STATE_RUNNABLE));
		call_prepare(first, events[i].function, events[i].x1, 0, 0);
		expect_event(first, events[i].type, events[i].flags);
		EXPECT_EQ(vcpu_mp_state(first), KVM_MP_STATE_STOPPED);
		EXPECT_EQ(vcpu_mp_state(other), KVM_MP_STATE_STOPPED);
		EXPECT_EQ(vcpu_reg(first, REG_X(0)), INTERNAL_FAILURE);
		EXPECT_OK(vcpu_init(first, FEATURE(PSCI_0_2)));
		EXPECT_EQ(vcpu_mp_state(first), KVM_MP_STATE_RUNNABLE);
	}
}

TEST(arguments_of_events)
{
	struct vcpu *first, *other;

	two_vcpus(&first, &other);
	EXPECT_EQ(call0(first, PSCI_SYSTEM_RESET2, 1, 0, 0), INVALID_PARAMETERS);
	EXPECT_EQ(call0(first, PSCI_SYSTEM_OFF2, 2, 0, 0), INVALID_PARAMETERS);
	EXPECT_EQ(call0(first, PSCI_SYSTEM_OFF2, 0, 1, 0), INVALID_PARAMETERS);
}

/* SYSTEM_SUSPEND is the VMM's to carry out; the guest's registers are as they were. */
TEST(suspend)
{
	struct vcpu *first, *other;
	struct vm *vm = two_vcpus(&first, &other);
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ARM_SYSTEM_SUSPEND };

	EXPECT_EQ(kvm_check(vm->fd, KVM_CAP_ARM_SYSTEM_SUSPEND), 1);
	ASSERT_OK(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	EXPECT_EQ(call0(first, PSCI_FEATURES, PSCI_SYSTEM_SUSPEND, 0, 0), 0);
	call_prepare(first, PSCI_SYSTEM_SUSPEND | WIDE, SECOND, 5, 0);
	ASSERT_RUN(first, KVM_EXIT_SYSTEM_EVENT);
	EXPECT_EQ(first->run->system_event.type, KVM_SYSTEM_EVENT_SUSPEND);
	EXPECT_EQ(vcpu_mp_state(first), KVM_MP_STATE_RUNNABLE);
	EXPECT_EQ(vcpu_reg(first, REG_X(0)), PSCI_SYSTEM_SUSPEND | WIDE);
	EXPECT_EQ(vcpu_reg(first, REG_X(1)), SECOND);
}

/* Other vCPUs that run are stopped with the machine. */
GUEST64(spins, "1: b 1b\n");

static void *run_spinning(void *arg)
{
	struct vcpu *vcpu = arg;

	vcpu_run(vcpu);
	return (void *)(intptr_t)errno;
}

TEST(a_running_vcpu_is_turned_off)
{
	struct vcpu *first, *other;
	struct vm *vm = two_vcpus(&first, &other);
	struct sigaction action = { .sa_handler = on_alarm };
	pthread_t thread;
	void *error;

	VM_LOAD_AT(vm, SECOND, spins);
	sigaction(SIGUSR1, &action, NULL);
	EXPECT_EQ(call0(first, PSCI_CPU_ON | WIDE, 1, SECOND, 0), 0);
	ASSERT_EQ(pthread_create(&thread, NULL, run_spinning, other), 0);
	usleep(50000);
	call_prepare(first, PSCI_SYSTEM_OFF, 0, 0, 0);
	expect_event(first, KVM_SYSTEM_EVENT_SHUTDOWN, 0);
	usleep(50000);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, &error);
	EXPECT_EQ((intptr_t)error, EINTR);
	EXPECT_EQ(vcpu_mp_state(other), KVM_MP_STATE_STOPPED);
}
