// SPDX-License-Identifier: GPL-2.0
/* KVM_ARM_VCPU_INIT and KVM_ARM_VCPU_FINALIZE, and what goes before them. */
/* machine: arch=arm64 */
#include "lib/psci.h"

enum {
	ANY_X = 0x1234,
	LAST_FEATURE = 8,	/* KVM_ARM_VCPU_HAS_EL2_E2H0, newer than some headers */
};

TEST(targets)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_create(vm, 0);
	struct kvm_vcpu_init init;

	ASSERT_OK(ioctl(vm->fd, KVM_ARM_PREFERRED_TARGET, &init));
	EXPECT_EQ(init.target, KVM_ARM_TARGET_GENERIC_V8);
	for (unsigned int i = 0; i < ARRAY_SIZE(init.features); i++)
		EXPECT_EQ(init.features[i], 0);
	init.target = KVM_ARM_NUM_TARGETS;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init), EINVAL);
	init.target = -1;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init), EINVAL);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, NULL), EFAULT);
}

TEST(nothing_works_before)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_create(vm, 0);
	struct kvm_reg_list list = { .n = 0 };
	struct kvm_vcpu_events events = {};
	uint64_t value = 0;
	int feature = KVM_ARM_VCPU_SVE;

	EXPECT_ERRNO(vcpu_run(vcpu), ENOEXEC);
	EXPECT_ERRNO(reg_get(vcpu, REG_PC, &value), ENOEXEC);
	EXPECT_ERRNO(reg_set(vcpu, REG_PC, &value), ENOEXEC);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_REG_LIST, &list), ENOEXEC);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events), ENOEXEC);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events), ENOEXEC);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_ARM_VCPU_FINALIZE, &feature), ENOEXEC);
	EXPECT_EQ(vcpu_mp_state(vcpu), KVM_MP_STATE_RUNNABLE);
}

/* Features that have no meaning, and those that the machine does not have. */
TEST(features)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_create(vm, 0);
	struct kvm_vcpu_init init = { .target = KVM_ARM_TARGET_GENERIC_V8 };
	int feature = KVM_ARM_VCPU_SVE;

	for (int bit = LAST_FEATURE + 1; bit < 32; bit++)
		EXPECT_ERRNO(vcpu_init(vcpu, 1u << bit), ENOENT);
	for (unsigned int word = 1; word < ARRAY_SIZE(init.features); word++) {
		init.features[word] = 1;
		EXPECT_ERRNO(ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init), ENOENT);
		init.features[word] = 0;
	}
	EXPECT_ERRNO(vcpu_init(vcpu, FEATURE(HAS_EL2)), EINVAL);
	EXPECT_ERRNO(vcpu_init(vcpu, FEATURE(EL1_32BIT)), EINVAL);
	EXPECT_ERRNO(vcpu_init(vcpu, FEATURE(PTRAUTH_ADDRESS)), EINVAL);
	EXPECT_ERRNO(vcpu_init(vcpu, FEATURE(PTRAUTH_GENERIC)), EINVAL);
	EXPECT_OK(vcpu_init(vcpu, FEATURE(PSCI_0_2)));
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_ARM_VCPU_FINALIZE, &feature), EINVAL);
	feature = 100;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_ARM_VCPU_FINALIZE, &feature), EINVAL);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_ARM_VCPU_FINALIZE, NULL), EFAULT);
}

/* All vCPUs of a VM are alike, and stay as they are. */
TEST(one_choice_for_all)
{
	struct vm *vm = vm_create();
	struct vcpu *first = vcpu_create(vm, 0), *second = vcpu_create(vm, 1);

	EXPECT_OK(vcpu_init(first, FEATURE(PSCI_0_2)));
	EXPECT_ERRNO(vcpu_init(first, 0), EINVAL);
	EXPECT_ERRNO(vcpu_init(second, 0), EINVAL);
	EXPECT_OK(vcpu_init(second, FEATURE(PSCI_0_2)));
	EXPECT_OK(vcpu_init(first, FEATURE(PSCI_0_2)));
}

/* Whether it starts powered off is not a feature that stays. */
TEST(power)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_create(vm, 0);

	EXPECT_OK(vcpu_init(vcpu, FEATURE(PSCI_0_2) | FEATURE(POWER_OFF)));
	EXPECT_EQ(vcpu_mp_state(vcpu), KVM_MP_STATE_STOPPED);
	EXPECT_OK(vcpu_init(vcpu, FEATURE(PSCI_0_2)));
	EXPECT_EQ(vcpu_mp_state(vcpu), KVM_MP_STATE_RUNNABLE);
}

TEST(resets)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	const uint64_t sctlr = SYSTEM_REG(3, 0, 1, 0, 0), vbar = SYSTEM_REG(3, 0, 12, 0, 0);
	__uint128_t wide = 5;

	EXPECT_EQ(vcpu_reg(vcpu, REG_PSTATE), PSTATE_EL1H | PSTATE_DAIF);
	vcpu_set_reg(vcpu, REG_X(3), ANY_X);
	vcpu_set_reg(vcpu, REG_PC, ANY_X);
	vcpu_set_reg(vcpu, REG_PSTATE, PSTATE_EL0T);
	vcpu_set_reg(vcpu, sctlr, 0x30d0199d);
	vcpu_set_reg(vcpu, vbar, 0x1000);
	ASSERT_OK(reg_set(vcpu, REG_V(7), &wide));
	vcpu_set_reg(vcpu, REG_MPIDR, 0x80000300);
	vcpu_setup(vcpu);
	EXPECT_EQ(vcpu_reg(vcpu, REG_MPIDR), 0x80000300);
	EXPECT_EQ(vcpu_reg(vcpu, REG_X(3)), 0);
	EXPECT_EQ(vcpu_reg(vcpu, REG_PC), 0);
	EXPECT_EQ(vcpu_reg(vcpu, REG_PSTATE), PSTATE_EL1H | PSTATE_DAIF);
	EXPECT_EQ(vcpu_reg(vcpu, sctlr), 0x00c50078);
	EXPECT_EQ(vcpu_reg(vcpu, vbar), 0);
	ASSERT_OK(reg_get(vcpu, REG_V(7), &wide));
	EXPECT_TRUE(wide == 0);
}

GUEST64(counts,
	"mov x1, #0x10000\n"
	"ldr x0, [x1]\n"
	"add x0, x0, #1\n"
	"str x0, [x1]\n"
	REPORT DONE);

/* A guest that begins anew finds its memory as it was, or as the VMM has made it. */
TEST(begins_anew)
{
	struct vcpu *vcpu = GUEST_NEW(counts);
	volatile uint64_t *count = (uint64_t *)(vcpu->vm->ram + GUEST_DATA);

	for (uint64_t round = 1; round < 5; round++) {
		EXPECT_REPORT(vcpu, round);
		EXPECT_EQ(*count, round);
		/* The store is done with, and told of as it was. */
		vcpu->run->immediate_exit = 1;
		EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
		EXPECT_EXIT(vcpu, KVM_EXIT_MMIO);
		vcpu->run->immediate_exit = 0;
		vcpu_setup(vcpu);
		vcpu_start(vcpu, GUEST_CODE);
	}
	*count = 99;
	EXPECT_REPORT(vcpu, 100);
	EXPECT_DONE(vcpu);
}

TEST(mp_states)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_new(vm, 0);

	for (uint32_t state = 0; state < 12; state++) {
		bool known = state == KVM_MP_STATE_RUNNABLE || state == KVM_MP_STATE_STOPPED ||
			     state == KVM_MP_STATE_SUSPENDED;

		if (known) {
			EXPECT_OK(vcpu_set_mp_state(vcpu, state));
			EXPECT_EQ(vcpu_mp_state(vcpu), state);
		} else {
			EXPECT_ERRNO(vcpu_set_mp_state(vcpu, state), EINVAL);
		}
	}
}

/* A vCPU that is off waits for KVM_RUN's sake until a signal comes. */
TEST(run_while_off)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	struct vcpu *vcpu = vcpu_with(vm, 0, FEATURE(PSCI_0_2) | FEATURE(POWER_OFF));

	vcpu->run->immediate_exit = 1;
	EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
	EXPECT_EQ(vcpu_mp_state(vcpu), KVM_MP_STATE_STOPPED);
}
