/* SPDX-License-Identifier: GPL-2.0 */
/* Calls of arm64 guests by HVC, and vCPUs with features. */
#ifndef SELFTESTS_PSCI_H
#define SELFTESTS_PSCI_H

#include "arm64.h"

/* Functions of PSCI; WIDE makes those of 64 bits */
enum {
	PSCI_VERSION = 0x84000000,
	PSCI_CPU_SUSPEND = 0x84000001,
	PSCI_CPU_OFF = 0x84000002,
	PSCI_CPU_ON = 0x84000003,
	PSCI_AFFINITY_INFO = 0x84000004,
	PSCI_MIGRATE_INFO_TYPE = 0x84000006,
	PSCI_SYSTEM_OFF = 0x84000008,
	PSCI_SYSTEM_RESET = 0x84000009,
	PSCI_FEATURES = 0x8400000a,
	PSCI_SYSTEM_SUSPEND = 0x8400000e,
	PSCI_SYSTEM_RESET2 = 0x84000012,
	PSCI_SYSTEM_OFF2 = 0x84000015,
};
#define WIDE 0x40000000u

/* Newer than the headers of some build hosts */
#ifndef KVM_CAP_ARM_WRITABLE_IMP_ID_REGS
#define KVM_CAP_ARM_WRITABLE_IMP_ID_REGS 239
#endif
#ifndef KVM_SYSTEM_EVENT_SHUTDOWN_FLAG_PSCI_OFF2
#define KVM_SYSTEM_EVENT_SHUTDOWN_FLAG_PSCI_OFF2 (1ULL << 0)
#endif

#define NOT_SUPPORTED (-1L)
#define INVALID_PARAMETERS (-2L)
#define ALREADY_ON (-4L)
#define INTERNAL_FAILURE (-6L)

#define FEATURE(name) (1u << KVM_ARM_VCPU_##name)

#define FIRMWARE_REG(n) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_FW | (n))
#define SYSTEM_REG(op0, op1, crn, crm, op2) ARM64_SYS_REG(op0, op1, crn, crm, op2)
#define REG_MPIDR SYSTEM_REG(3, 0, 0, 0, 5)

/* KVM_ARM_VCPU_INIT as it is: 0, or -1 and errno */
static inline int vcpu_init(struct vcpu *vcpu, uint32_t features)
{
	struct kvm_vcpu_init init = {
		.target = KVM_ARM_TARGET_GENERIC_V8,
		.features = { features },
	};

	return ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init);
}

/* A vCPU with these features at the start of the code in GUEST_CODE */
static inline struct vcpu *vcpu_with(struct vm *vm, unsigned long id, uint32_t features)
{
	struct vcpu *vcpu = vcpu_create(vm, id);

	ASSERT_OK(vcpu_init(vcpu, features));
	vcpu_start(vcpu, GUEST_CODE);
	return vcpu;
}

static inline uint32_t vcpu_mp_state(struct vcpu *vcpu)
{
	struct kvm_mp_state state;

	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_MP_STATE, &state));
	return state.mp_state;
}

static inline int vcpu_set_mp_state(struct vcpu *vcpu, uint32_t value)
{
	struct kvm_mp_state state = { .mp_state = value };

	return ioctl(vcpu->fd, KVM_SET_MP_STATE, &state);
}

/* Code that calls with the registers that the test has set, and reports X0 to X3; again and again */
#define CALLER(name)								\
	GUEST64(name,								\
		"1: hvc #0\n" REPORT						\
		"mov x0, x1\n" REPORT						\
		"mov x0, x2\n" REPORT						\
		"mov x0, x3\n" REPORT						\
		"b 1b\n")

/* What a call has returned in X0 to X3 */
struct results {
	uint64_t x[4];
};

/* Starts a call of the guest at CALLER in GUEST_CODE. What it reported before is done with first: PC moves then. */
static inline void call_prepare(struct vcpu *vcpu, uint32_t function, uint64_t x1, uint64_t x2,
				uint64_t x3)
{
	vcpu->run->immediate_exit = 1;
	ASSERT_ERRNO(vcpu_run(vcpu), EINTR);
	vcpu->run->immediate_exit = 0;
	vcpu_set_reg(vcpu, REG_PC, GUEST_CODE);
	vcpu_set_reg(vcpu, REG_X(0), function);
	vcpu_set_reg(vcpu, REG_X(1), x1);
	vcpu_set_reg(vcpu, REG_X(2), x2);
	vcpu_set_reg(vcpu, REG_X(3), x3);
}

/* Takes what the guest reports after its call. */
static inline struct results call_results(struct vcpu *vcpu)
{
	struct results results;

	for (int i = 0; i < 4; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
		results.x[i] = *(uint64_t *)vcpu->run->mmio.data;
	}
	return results;
}

/* A call that is served in the kernel */
static inline struct results call(struct vcpu *vcpu, uint32_t function, uint64_t x1, uint64_t x2,
				  uint64_t x3)
{
	call_prepare(vcpu, function, x1, x2, x3);
	return call_results(vcpu);
}

/* X0 of it */
static inline long call0(struct vcpu *vcpu, uint32_t function, uint64_t x1, uint64_t x2,
			 uint64_t x3)
{
	return call(vcpu, function, x1, x2, x3).x[0];
}

#endif
