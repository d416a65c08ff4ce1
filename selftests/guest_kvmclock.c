// SPDX-License-Identifier: GPL-2.0
/* machine: cpus=2 */
/* The guest's clock: system time and wall clock, by both sets of MSRs. */
#include "lib/pv.h"

struct wall_clock {
	uint32_t version, sec, nsec;
};

enum { MS = 1000000, SECOND = 1000000000, CPUS = 2 };

static __attribute__((aligned(64))) volatile struct pv_clock clocks[CPUS];
static __attribute__((aligned(64))) volatile struct wall_clock wall;
static volatile uint32_t system_time_msr, wall_clock_msr;
static volatile uint64_t read_by_guest;

static uint64_t kvm_clock(struct vm *vm)
{
	struct kvm_clock_data data = { 0 };

	ASSERT_OK(ioctl(vm->fd, KVM_GET_CLOCK, &data));
	return data.clock;
}

static uint64_t host_realtime(void)
{
	struct timespec now;

	ASSERT_OK(clock_gettime(CLOCK_REALTIME, &now));
	return (uint64_t)now.tv_sec * SECOND + now.tv_nsec;
}

static struct vm *clock_vm(uint32_t time, uint32_t wall_time, unsigned int feature)
{
	struct vm *vm = guest_vm(CHIPS);

	PV_NEEDS(vm->kvm, feature);
	system_time_msr = time;
	wall_clock_msr = wall_time;
	return vm;
}

static struct vm *new_clock(void)
{
	return clock_vm(MSR_SYSTEM_TIME, MSR_WALL_CLOCK, PV_CLOCK);
}

static struct vm *old_clock(void)
{
	return clock_vm(MSR_SYSTEM_TIME_OLD, MSR_WALL_CLOCK_OLD, PV_CLOCK_OLD);
}

static void start_clock(int cpu)
{
	const uint64_t value = (uintptr_t)&clocks[cpu] | PV_ENABLE;

	guest_wrmsr(system_time_msr, value);
	GUEST_EQ(guest_rdmsr(system_time_msr), value);
	GUEST_TRUE(clocks[cpu].version != 0);
	GUEST_EQ(clocks[cpu].version & 1, 0);
}

static void read_time(void)
{
	uint64_t last = 0;

	start_clock(0);
	for (int i = 0; i < 1000; i++) {
		const uint64_t now = pv_clock_ns(&clocks[0]);

		GUEST_TRUE(now >= last);
		last = now;
	}
	/* Exits between do not set it back. */
	for (int i = 0; i < 20; i++) {
		read_by_guest = pv_clock_ns(&clocks[0]);
		GUEST_TRUE(read_by_guest >= last);
		last = read_by_guest;
		guest_step(i);
	}
}

/* KVM_GET_CLOCK is the same clock, but for what it takes to read it. */
static void expect_one_clock(struct vm *vm)
{
	struct vcpu *vcpu = guest_cpu(vm, 0, read_time);

	for (int i = 0; i < 20; i++) {
		const uint64_t before = kvm_clock(vm);
		uint64_t after;

		ASSERT_STEP(vcpu, i);
		after = kvm_clock(vm);
		/* The first reading follows a thousand, the others come at once. */
		EXPECT_TRUE(read_by_guest + MS >= before);
		EXPECT_TRUE(read_by_guest <= after + MS);
	}
	EXPECT_DONE(vcpu);
}

TEST(agrees_with_the_vmms) { expect_one_clock(new_clock()); }
TEST(agrees_with_the_vmms_old_msrs) { expect_one_clock(old_clock()); }

static void read_wall_clock(void)
{
	start_clock(0);
	guest_wrmsr(wall_clock_msr, (uintptr_t)&wall);
	GUEST_EQ(wall.version & 1, 0);
	read_by_guest = pv_clock_ns(&clocks[0]);
}

/* The wall clock tells when the system time was 0. */
static void expect_wall_clock(struct vm *vm)
{
	struct vcpu *vcpu = guest_cpu(vm, 0, read_wall_clock);
	const uint64_t before = host_realtime();
	uint64_t now, after;

	EXPECT_DONE(vcpu);
	after = host_realtime();
	now = (uint64_t)wall.sec * SECOND + wall.nsec + read_by_guest;
	EXPECT_TRUE(now + SECOND >= before);
	EXPECT_TRUE(now <= after + SECOND);
}

TEST(wall_clock) { expect_wall_clock(new_clock()); }
TEST(wall_clock_old_msrs) { expect_wall_clock(old_clock()); }

static void read_once(void)
{
	start_clock(0);
	guest_step(1);
	read_by_guest = pv_clock_ns(&clocks[0]);
}

/* KVM_SET_CLOCK sets what the guest reads next. */
TEST(set_by_the_vmm)
{
	struct vm *vm = new_clock();
	struct vcpu *vcpu = guest_cpu(vm, 0, read_once);
	const struct kvm_clock_data data = { .clock = 1000000ULL * SECOND };

	ASSERT_STEP(vcpu, 1);
	ASSERT_OK(ioctl(vm->fd, KVM_SET_CLOCK, &data));
	EXPECT_DONE(vcpu);
	EXPECT_TRUE(read_by_guest >= data.clock);
	EXPECT_TRUE(read_by_guest < data.clock + 60ULL * SECOND);
}

/* A VM begins near 0. */
TEST(begins_with_the_vm)
{
	struct vm *vm = new_clock();
	struct vcpu *vcpu = guest_cpu(vm, 0, read_once);

	ASSERT_STEP(vcpu, 1);
	EXPECT_DONE(vcpu);
	EXPECT_TRUE(read_by_guest > 0);
	EXPECT_TRUE(read_by_guest < 60ULL * SECOND);
}

static void be_paused(void)
{
	start_clock(0);
	GUEST_EQ(clocks[0].flags & PV_CLOCK_FLAG_PAUSED, 0);
	guest_step(1);
	GUEST_EQ(clocks[0].flags & PV_CLOCK_FLAG_PAUSED, PV_CLOCK_FLAG_PAUSED);
	/* The guest takes note of it by taking it away. */
	clocks[0].flags &= ~PV_CLOCK_FLAG_PAUSED;
	guest_step(2);
	GUEST_EQ(clocks[0].flags & PV_CLOCK_FLAG_PAUSED, 0);
}

/* KVM_KVMCLOCK_CTRL: the VMM says that it has stopped the guest. */
TEST(paused)
{
	struct vm *vm = new_clock();
	struct vcpu *vcpu = guest_cpu(vm, 0, be_paused);

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL), EINVAL);
	ASSERT_STEP(vcpu, 1);
	EXPECT_OK(ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL));
	ASSERT_STEP(vcpu, 2);
	EXPECT_DONE(vcpu);
}

static void stop_clock(void)
{
	start_clock(0);
	guest_wrmsr(system_time_msr, 0);
	GUEST_EQ(guest_rdmsr(system_time_msr), 0);
	clocks[0].time = clocks[0].tsc = 0;
	guest_step(1);
	GUEST_EQ(clocks[0].time, 0);
	GUEST_EQ(clocks[0].tsc, 0);
}

/* Disabled, the memory is the guest's own again. */
TEST(stopped)
{
	struct vm *vm = new_clock();
	struct vcpu *vcpu = guest_cpu(vm, 0, stop_clock);
	const struct kvm_clock_data data = { .clock = SECOND };

	ASSERT_STEP(vcpu, 1);
	ASSERT_OK(ioctl(vm->fd, KVM_SET_CLOCK, &data));
	EXPECT_DONE(vcpu);
}

/* Each in turn reads a later time than the other before. */
static volatile uint64_t latest;
static volatile int turn;

static void take_turns(int self)
{
	start_clock(self);
	for (int i = self; i < 200; i += CPUS) {
		uint64_t now;

		guest_spin(turn == i);
		now = pv_clock_ns(&clocks[self]);
		if (clocks[self].flags & PV_CLOCK_FLAG_STABLE)
			GUEST_TRUE(now >= latest);
		latest = now;
		turn = i + 1;
	}
}

static void first(void) { take_turns(0); }
static void second(void) { take_turns(1); }

/* With the stable flag one vCPU's time is all vCPUs' time. */
TEST(one_time_for_all_vcpus)
{
	struct vm *vm = new_clock();
	struct vcpu *vcpus[] = { guest_cpu(vm, 0, first), guest_cpu(vm, 1, second) };
	pthread_t thread = guest_start(vcpus[0]);

	EXPECT_DONE(vcpus[1]);
	guest_join(thread);
	EXPECT_EQ(turn, 200);
}

/* The flag is what KVM_GET_CLOCK says as well. */
TEST(stable_flag)
{
	struct vm *vm = new_clock();
	struct vcpu *vcpu = guest_cpu(vm, 0, read_once);
	struct kvm_clock_data data = { 0 };

	ASSERT_STEP(vcpu, 1);
	ASSERT_OK(ioctl(vm->fd, KVM_GET_CLOCK, &data));
	EXPECT_EQ(clocks[0].flags & PV_CLOCK_FLAG_STABLE,
		  data.flags & KVM_CLOCK_TSC_STABLE ? PV_CLOCK_FLAG_STABLE : 0);
}
