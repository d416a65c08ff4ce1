// SPDX-License-Identifier: GPL-2.0
/* machine: cpus=2 */
/*
 * kvmclock and stolen time where something else acts meanwhile: KVM_SET_CLOCK, a write of the TSC, a thread that takes the
 * processor. What they are while nothing does is in guest_kvmclock.c and guest_steal_time.c.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/x86.h"

#define MSR_TSC 0x10
#define MSR_WALL_CLOCK 0x11
#define MSR_WALL_CLOCK_NEW 0x4b564d00
#define MSR_SYSTEM_TIME_NEW 0x4b564d01
#define MSR_STEAL_TIME 0x4b564d03
#define MSR_POLL_CONTROL 0x4b564d05
#define ENABLE 1

#define SECOND 1000000000ULL
#define GUEST_STOPPED 2

#define TIME_GPA (GUEST_DATA + 0x100)
#define WALL_GPA (GUEST_DATA + 0x1000 - 6)	/* over the end of a page */
#define STEAL_GPA (GUEST_DATA + 0x2000)
#define PAIR_GPA (GUEST_DATA + 0x3000 - 20)	/* likewise */
#define FLAGS_GPA (GUEST_DATA + 0x4000)	/* the guest has begun; it is to end */

struct time_info {
	uint32_t version, pad0;
	uint64_t tsc, time;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad[2];
};

struct steal_time {
	uint64_t steal;
	uint32_t version, flags;
	uint8_t preempted, pad8[3];
	uint32_t pad[11];
};

/* Writes EDX:EAX to MSR ECX; then has the TSC in RAX at every HLT */
GUEST64(wrmsr_then_tsc, "wrmsr\nhlt\n1: rdtsc\nshl $32, %rdx\nor %rdx, %rax\nhlt\njmp 1b\n");
GUEST64(wrmsr, "1: wrmsr\nhlt\njmp 1b\n");
GUEST64(hypercall, "1: vmcall\nhlt\njmp 1b\n");
/* Writes an MSR, sets the first byte of FLAGS_GPA, and spins until the second is set */
GUEST64(spin, "wrmsr\nsti\nmovb $1, 0x14000\n1: cmpb $0, 0x14001\nje 1b\nhlt\n");

static void write_msr(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	struct kvm_regs regs = vcpu_regs(vcpu);

	regs.rcx = msr;
	regs.rax = (uint32_t)value;
	regs.rdx = value >> 32;
	vcpu_set_regs(vcpu, &regs);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
}

static volatile struct time_info *time_info(struct vcpu *vcpu)
{
	return (volatile struct time_info *)(vcpu->vm->ram + TIME_GPA);
}

static uint64_t time_at(const volatile struct time_info *info, uint64_t tsc)
{
	uint64_t delta = tsc - info->tsc;

	delta = info->shift < 0 ? delta >> -info->shift : delta << info->shift;
	return info->time + (uint64_t)((unsigned __int128)delta * info->mul >> 32);
}

static struct kvm_clock_data get_clock(struct vcpu *vcpu)
{
	struct kvm_clock_data data;

	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_GET_CLOCK, &data));
	return data;
}

static void set_clock(struct vcpu *vcpu, uint64_t ns)
{
	struct kvm_clock_data data = { .clock = ns };

	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_SET_CLOCK, &data));
}

static uint64_t guest_ns(struct vcpu *vcpu)
{
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	return time_at(time_info(vcpu), vcpu_regs(vcpu).rax);
}

static void expect_between(uint64_t low, uint64_t value, uint64_t high)
{
	if (value < low || value > high)
		test_fail(__FILE__, __LINE__, "expected %llu to %llu, got %llu",
			  (unsigned long long)low, (unsigned long long)high,
			  (unsigned long long)value);
}

TEST(clock_off_writes_nothing)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, wrmsr);

	write_msr(vcpu, MSR_SYSTEM_TIME_NEW, TIME_GPA);
	EXPECT_EQ(time_info(vcpu)->mul, 0);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0), EINVAL);
	write_msr(vcpu, MSR_SYSTEM_TIME_NEW, 0x123456789001);
	write_msr(vcpu, MSR_SYSTEM_TIME_NEW, TIME_GPA | ENABLE);
	EXPECT_TRUE(time_info(vcpu)->mul != 0);
}

TEST(tsc_write_shows)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, wrmsr_then_tsc);

	write_msr(vcpu, MSR_SYSTEM_TIME_NEW, TIME_GPA | ENABLE);
	ASSERT_EQ(msr_set(vcpu->fd, MSR_TSC, 1ULL << 50), 1);
	struct kvm_clock_data before = get_clock(vcpu);
	uint64_t ns = guest_ns(vcpu);

	expect_between(before.clock, ns, get_clock(vcpu).clock);
}

TEST(stopped_guests_are_told)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, wrmsr_then_tsc);

	write_msr(vcpu, MSR_SYSTEM_TIME_NEW, TIME_GPA | ENABLE);
	EXPECT_OK(ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0));
	guest_ns(vcpu);
	EXPECT_TRUE(time_info(vcpu)->flags & GUEST_STOPPED);
	set_clock(vcpu, SECOND);
	guest_ns(vcpu);
	EXPECT_TRUE(time_info(vcpu)->flags & GUEST_STOPPED);
	time_info(vcpu)->flags &= ~GUEST_STOPPED;
	set_clock(vcpu, SECOND);
	guest_ns(vcpu);
	EXPECT_EQ(time_info(vcpu)->flags & GUEST_STOPPED, 0);
}

static void wall(uint32_t msr)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, wrmsr);
	uint32_t words[3];
	uint64_t epoch, now = (uint64_t)time(NULL) * SECOND;

	memset(vcpu->vm->ram + WALL_GPA, 0x55, sizeof(words));
	write_msr(vcpu, msr, WALL_GPA);
	memcpy(words, vcpu->vm->ram + WALL_GPA, sizeof(words));
	EXPECT_EQ(words[0] & 1, 0);
	epoch = words[1] * SECOND + words[2];
	expect_between(now - SECOND, epoch + get_clock(vcpu).clock, now + 3 * SECOND);
}

TEST(wall_clock)
{
	wall(MSR_WALL_CLOCK_NEW);
	wall(MSR_WALL_CLOCK);
}

TEST(clock_pairing)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, hypercall);
	struct kvm_regs regs = vcpu_regs(vcpu);
	struct { int64_t sec, nsec; uint64_t tsc; uint32_t flags, pad[9]; } pair;
	uint64_t tsc, then = time(NULL);

	memset(vcpu->vm->ram + PAIR_GPA, 0x55, sizeof(pair));
	regs.rax = 9;
	regs.rbx = PAIR_GPA;
	regs.rcx = 0;
	vcpu_set_regs(vcpu, &regs);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_regs(vcpu).rax, 0);
	memcpy(&pair, vcpu->vm->ram + PAIR_GPA, sizeof(pair));
	expect_between(then, pair.sec, then + 3);
	EXPECT_TRUE(pair.nsec >= 0 && pair.nsec < (int64_t)SECOND);
	EXPECT_EQ(msr_get(vcpu->fd, MSR_TSC, &tsc), 1);
	EXPECT_TRUE(pair.tsc < tsc);
	EXPECT_EQ(pair.flags | pair.pad[8], 0);
	regs.rcx = 1;
	vcpu_set_regs(vcpu, &regs);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_regs(vcpu).rax, (uint64_t)-95);
	regs.rcx = 0;
	regs.rbx = 1ULL << 40;
	vcpu_set_regs(vcpu, &regs);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_regs(vcpu).rax, (uint64_t)-14);
}

static struct vcpu *running;

static void *run(void *arg)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(1, &set);
	sched_setaffinity(0, sizeof(set), &set);
	ASSERT_RUN(running, KVM_EXIT_HLT);
	return arg;
}

static volatile bool hogging;

static void *hog(void *arg)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(1, &set);
	sched_setaffinity(0, sizeof(set), &set);
	while (hogging)
		;
	return arg;
}

static void start(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	struct kvm_regs regs = vcpu_regs(vcpu);

	regs.rcx = msr;
	regs.rax = value;
	regs.rdx = 0;
	vcpu_set_regs(vcpu, &regs);
	running = vcpu;
}

TEST_LIMIT(stolen_time_grows, 60)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, spin);
	volatile struct steal_time *steal = (void *)(vcpu->vm->ram + STEAL_GPA);
	volatile uint8_t *flag = vcpu->vm->ram + FLAGS_GPA;
	pthread_t guest, other;
	uint64_t before;
	bool preempted = false;

	steal->steal = 12345;
	start(vcpu, MSR_STEAL_TIME, STEAL_GPA | ENABLE);
	ASSERT_EQ(pthread_create(&guest, NULL, run, NULL), 0);
	while (!flag[0])
		usleep(1000);
	before = steal->steal;
	EXPECT_TRUE(before >= 12345);
	EXPECT_EQ(steal->version & 1, 0);
	hogging = true;
	ASSERT_EQ(pthread_create(&other, NULL, hog, NULL), 0);
	for (int i = 0; i < 3000 && (!preempted || steal->steal - before < 1000000); i++) {
		preempted |= steal->preempted & 1;
		usleep(1000);
	}
	hogging = false;
	EXPECT_TRUE(preempted);
	EXPECT_TRUE(steal->steal - before >= 1000000);
	pthread_join(other, NULL);
	flag[1] = 1;
	pthread_join(guest, NULL);
	EXPECT_EQ(steal->preempted, 0);
	EXPECT_EQ(steal->version & 1, 0);
}

TEST_LIMIT(set_clock_reaches_a_running_guest, 60)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, spin);
	volatile uint8_t *flag = vcpu->vm->ram + FLAGS_GPA;
	pthread_t guest;

	start(vcpu, MSR_SYSTEM_TIME_NEW, TIME_GPA | ENABLE);
	ASSERT_EQ(pthread_create(&guest, NULL, run, NULL), 0);
	while (!flag[0])
		usleep(1000);
	set_clock(vcpu, 77777 * SECOND);
	for (int i = 0; i < 1000 && time_info(vcpu)->time < 77777 * SECOND; i++)
		usleep(1000);
	expect_between(77777 * SECOND, time_info(vcpu)->time, 77780 * SECOND);
	EXPECT_EQ(time_info(vcpu)->version & 1, 0);
	flag[1] = 1;
	pthread_join(guest, NULL);
}

TEST(poll_control)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, wrmsr);
	uint64_t value;

	EXPECT_EQ(msr_get(vcpu->fd, MSR_POLL_CONTROL, &value), 1);
	EXPECT_EQ(value, 1);
	write_msr(vcpu, MSR_POLL_CONTROL, 0);
	EXPECT_EQ(msr_get(vcpu->fd, MSR_POLL_CONTROL, &value), 1);
	EXPECT_EQ(value, 0);
	EXPECT_EQ(msr_set(vcpu->fd, MSR_POLL_CONTROL, 2), 0);
	EXPECT_EQ(msr_set(vcpu->fd, MSR_STEAL_TIME, 3), 0);
}
