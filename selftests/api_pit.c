// SPDX-License-Identifier: GPL-2.0
/* KVM_CREATE_PIT2, KVM_CREATE_PIT, KVM_GET_PIT2, KVM_SET_PIT2, KVM_REINJECT_CONTROL. */
#include "lib/apic.h"

enum { CHANNELS = 3, MODE_AFTER_RESET = 0xff, COUNT_OF_ZERO = 0x10000 };

static int create(struct vm *vm, uint32_t flags)
{
	const struct kvm_pit_config config = { .flags = flags };

	return ioctl(vm->fd, KVM_CREATE_PIT2, &config);
}

static struct vm *vm_with(enum chips chips)
{
	struct vm *vm = vm_create();

	vm_create_chips(vm, chips);
	return vm;
}

static struct kvm_pit_state2 get(struct vm *vm)
{
	struct kvm_pit_state2 state;

	ASSERT_OK(ioctl(vm->fd, KVM_GET_PIT2, &state));
	return state;
}

TEST(needs_the_irqchip)
{
	EXPECT_ERRNO(create(vm_with(NO_CHIPS), 0), ENOENT);
	EXPECT_ERRNO(create(vm_with(CHIPS_SPLIT), 0), ENOENT);
	EXPECT_ERRNO(ioctl(vm_with(NO_CHIPS)->fd, KVM_CREATE_PIT), ENOENT);
}

TEST(only_once)
{
	struct vm *vm = vm_with(CHIPS_PIT);

	EXPECT_ERRNO(create(vm, 0), EEXIST);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_PIT), EEXIST);
}

TEST(the_old_way)
{
	struct vm *vm = vm_with(CHIPS);

	ASSERT_OK(ioctl(vm->fd, KVM_CREATE_PIT));
	EXPECT_ERRNO(create(vm, 0), EEXIST);
}

TEST(beside_vcpus)
{
	struct vm *vm = vm_with(CHIPS);

	vcpu_new(vm, 0);
	EXPECT_OK(create(vm, KVM_PIT_SPEAKER_DUMMY));
}

TEST(nothing_without_it)
{
	struct vm *vm = vm_with(CHIPS);
	struct kvm_pit_state2 state = { 0 };
	struct kvm_reinject_control control = { 0 };

	EXPECT_ERRNO(ioctl(vm->fd, KVM_GET_PIT2, &state), ENXIO);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_PIT2, &state), ENXIO);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_GET_PIT, &state), ENXIO);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_PIT, &state), ENXIO);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_REINJECT_CONTROL, &control), ENXIO);
}

TEST(fresh)
{
	const struct kvm_pit_state2 state = get(vm_with(CHIPS_PIT));

	EXPECT_EQ(state.flags, 0);
	for (int i = 0; i < CHANNELS; i++) {
		EXPECT_EQ(state.channels[i].count, COUNT_OF_ZERO);
		EXPECT_EQ(state.channels[i].mode, MODE_AFTER_RESET);
		EXPECT_EQ(state.channels[i].gate, i != 2);
		EXPECT_EQ(state.channels[i].bcd, 0);
		EXPECT_EQ(state.channels[i].latched_count, 0);
	}
}

static struct kvm_pit_state2 some_state(void)
{
	struct kvm_pit_state2 state = { 0 };

	for (uint32_t i = 0; i < CHANNELS; i++)
		state.channels[i] = (struct kvm_pit_channel_state){
			.count = 0x1000 + i, .latched_count = 0x4321, .count_latched = 3,
			.status_latched = 1, .status = 0x36, .read_state = 1, .write_state = 3,
			.write_latch = 0x77, .rw_mode = 3, .mode = 2, .bcd = 0, .gate = 1,
		};
	return state;
}

/* Everything comes back but the time of the load, which is that of the call. */
static void expect_same(struct kvm_pit_state2 got, struct kvm_pit_state2 want)
{
	for (int i = 0; i < CHANNELS; i++) {
		got.channels[i].count_load_time = 0;
		want.channels[i].count_load_time = 0;
		EXPECT_MEM(&got.channels[i], &want.channels[i], sizeof(want.channels[i]));
	}
	EXPECT_EQ(got.flags, want.flags);
}

TEST(round_trip)
{
	struct vm *vm = vm_with(CHIPS_PIT);
	struct kvm_pit_state2 want = some_state();

	ASSERT_OK(ioctl(vm->fd, KVM_SET_PIT2, &want));
	expect_same(get(vm), want);
}

/* KVM_GET_PIT and KVM_SET_PIT have the channels only. */
TEST(round_trip_the_old_way)
{
	struct vm *vm = vm_with(CHIPS_PIT);
	const struct kvm_pit_state2 want = some_state();
	struct kvm_pit_state old;

	memcpy(old.channels, want.channels, sizeof(old.channels));
	ASSERT_OK(ioctl(vm->fd, KVM_SET_PIT, &old));
	expect_same(get(vm), want);
	memset(&old, 0, sizeof(old));
	ASSERT_OK(ioctl(vm->fd, KVM_GET_PIT, &old));
	EXPECT_EQ(old.channels[1].count, want.channels[1].count);
	EXPECT_EQ(old.channels[2].mode, want.channels[2].mode);
}

/* A count of 0 is 65536. */
TEST(a_count_of_zero)
{
	struct vm *vm = vm_with(CHIPS_PIT);
	struct kvm_pit_state2 state = some_state();

	state.channels[0].count = 0;
	ASSERT_OK(ioctl(vm->fd, KVM_SET_PIT2, &state));
	EXPECT_EQ(get(vm).channels[0].count, COUNT_OF_ZERO);
}

/* While an HPET has its place channel 0 is still, and shows so. */
TEST(hpet_takes_its_place)
{
	struct vm *vm = vm_with(CHIPS_PIT);
	struct kvm_pit_state2 state = some_state();

	state.flags = KVM_PIT_FLAGS_HPET_LEGACY;
	ASSERT_OK(ioctl(vm->fd, KVM_SET_PIT2, &state));
	EXPECT_EQ(get(vm).flags, KVM_PIT_FLAGS_HPET_LEGACY);
	state.flags = 0;
	ASSERT_OK(ioctl(vm->fd, KVM_SET_PIT2, &state));
	EXPECT_EQ(get(vm).flags, 0);
}

TEST(reinjection)
{
	struct vm *vm = vm_with(CHIPS_PIT);
	struct kvm_reinject_control control = { .pit_reinject = 0 };

	EXPECT_OK(ioctl(vm->fd, KVM_REINJECT_CONTROL, &control));
	EXPECT_OK(ioctl(vm->fd, KVM_REINJECT_CONTROL, &control));
	control.pit_reinject = 1;
	EXPECT_OK(ioctl(vm->fd, KVM_REINJECT_CONTROL, &control));
}

TEST(bad_pointers)
{
	struct vm *vm = vm_with(CHIPS_PIT);

	EXPECT_ERRNO(ioctl(vm_with(CHIPS)->fd, KVM_CREATE_PIT2, 16), EFAULT);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_GET_PIT2, 16), EFAULT);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_PIT2, 16), EFAULT);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_REINJECT_CONTROL, 16), EFAULT);
}

TEST(is_offered)
{
	const int kvm = kvm_open();

	EXPECT_EQ(kvm_check(kvm, KVM_CAP_PIT2), 1);
	EXPECT_EQ(kvm_check(kvm, KVM_CAP_PIT_STATE2), 1);
	EXPECT_EQ(kvm_check(kvm, KVM_CAP_REINJECT_CONTROL), 1);
}
