// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_MP_STATE and KVM_SET_MP_STATE. */
#include "lib/apic.h"

enum { UNKNOWN = 100 };

static struct vm *vm_with(enum chips chips)
{
	struct vm *vm = vm_create();

	vm_create_chips(vm, chips);
	return vm;
}

/* Without an irqchip a vCPU runs when it is told to, and nothing else. */
TEST(without_irqchip)
{
	struct vm *vm = vm_with(NO_CHIPS);

	for (int id = 0; id < 2; id++) {
		struct vcpu *vcpu = vcpu_new(vm, id);

		EXPECT_EQ(vcpu_mp_state(vcpu), KVM_MP_STATE_RUNNABLE);
		EXPECT_OK(vcpu_set_mp_state(vcpu, KVM_MP_STATE_RUNNABLE));
		EXPECT_ERRNO(vcpu_set_mp_state(vcpu, KVM_MP_STATE_UNINITIALIZED), EINVAL);
		EXPECT_ERRNO(vcpu_set_mp_state(vcpu, KVM_MP_STATE_INIT_RECEIVED), EINVAL);
		EXPECT_ERRNO(vcpu_set_mp_state(vcpu, KVM_MP_STATE_HALTED), EINVAL);
		EXPECT_ERRNO(vcpu_set_mp_state(vcpu, KVM_MP_STATE_SIPI_RECEIVED), EINVAL);
	}
}

/* With one, all but the boot processor wait to be started. */
TEST(fresh)
{
	const enum chips kinds[] = { CHIPS, CHIPS_SPLIT };

	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct vm *vm = vm_with(kinds[i]);

		EXPECT_EQ(vcpu_mp_state(vcpu_new(vm, 0)), KVM_MP_STATE_RUNNABLE);
		EXPECT_EQ(vcpu_mp_state(vcpu_new(vm, 1)), KVM_MP_STATE_UNINITIALIZED);
		EXPECT_EQ(vcpu_mp_state(vcpu_new(vm, 2)), KVM_MP_STATE_UNINITIALIZED);
	}
}

TEST(round_trip)
{
	const uint32_t states[] = {
		KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_UNINITIALIZED, KVM_MP_STATE_INIT_RECEIVED,
		KVM_MP_STATE_HALTED, KVM_MP_STATE_RUNNABLE,
	};
	struct vm *vm = vm_with(CHIPS);

	for (int id = 0; id < 2; id++) {
		struct vcpu *vcpu = vcpu_new(vm, id);

		for (unsigned int i = 0; i < ARRAY_SIZE(states); i++) {
			ASSERT_OK(vcpu_set_mp_state(vcpu, states[i]));
			EXPECT_EQ(vcpu_mp_state(vcpu), states[i]);
		}
	}
}

/* A start-up that was received is carried out: the vCPU runs. */
TEST(startup_received)
{
	struct vm *vm = vm_with(CHIPS);
	struct vcpu *vcpu;

	vcpu_new(vm, 0);
	vcpu = vcpu_new(vm, 1);
	ASSERT_OK(vcpu_set_mp_state(vcpu, KVM_MP_STATE_SIPI_RECEIVED));
	EXPECT_EQ(vcpu_mp_state(vcpu), KVM_MP_STATE_RUNNABLE);
	EXPECT_EQ(vcpu_regs(vcpu).rip, 0);
}

TEST(unknown_states)
{
	struct vcpu *vcpu = vcpu_new(vm_with(CHIPS), 0);

	EXPECT_ERRNO(vcpu_set_mp_state(vcpu, UNKNOWN), EINVAL);
	EXPECT_ERRNO(vcpu_set_mp_state(vcpu, -1), EINVAL);
	EXPECT_ERRNO(vcpu_set_mp_state(vcpu, KVM_MP_STATE_STOPPED), EINVAL);
	EXPECT_EQ(vcpu_mp_state(vcpu), KVM_MP_STATE_RUNNABLE);
}

TEST(bad_pointers)
{
	struct vcpu *vcpu = vcpu_new(vm_with(CHIPS), 0);

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_MP_STATE, 16), EFAULT);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_MP_STATE, 16), EFAULT);
}
