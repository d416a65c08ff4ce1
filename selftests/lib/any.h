/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guests whose code differs between the architectures and whose test does not.
 *
 *	GUEST_ANY(code, "hlt\n", DONE);
 *
 *	struct vcpu *vcpu = GUEST_ANY_NEW(code);
 *	EXPECT_END(vcpu);
 */
#ifndef SELFTESTS_ANY_H
#define SELFTESTS_ANY_H

#ifdef __x86_64__
#include "x86.h"

#define GUEST_ANY(name, x86, arm64) GUEST64(name, x86)
#define GUEST_ANY_NEW(name) GUEST_NEW(MODE_LONG, name)

/* The exit of REPORT */
#define ANY_REPORT_EXIT KVM_EXIT_IO

/* The register that REPORT reports, EAX or X0, and one that is the guest's argument, RBX or X1 */
static inline uint64_t vcpu_result(struct vcpu *vcpu)
{
	return vcpu_regs(vcpu).rax;
}

static inline uint64_t vcpu_argument(struct vcpu *vcpu)
{
	return vcpu_regs(vcpu).rbx;
}

static inline void vcpu_set_argument(struct vcpu *vcpu, uint64_t value)
{
	struct kvm_regs regs = vcpu_regs(vcpu);

	regs.rbx = value;
	vcpu_set_regs(vcpu, &regs);
}

/* The guest's end is HLT. */
#define EXPECT_END(vcpu) EXPECT_RUN(vcpu, KVM_EXIT_HLT)
#define ASSERT_END(vcpu) ASSERT_RUN(vcpu, KVM_EXIT_HLT)

static inline bool vcpu_at_end(struct vcpu *vcpu)
{
	return vcpu->run->exit_reason == KVM_EXIT_HLT;
}

static inline void vcpu_begin(struct vcpu *vcpu, uint64_t pc)
{
	vcpu_start(vcpu, MODE_LONG, pc);
}
#else
#include "arm64.h"

#define GUEST_ANY(name, x86, arm64) GUEST64(name, arm64)
#define GUEST_ANY_NEW(name) GUEST_NEW(name)

#define ANY_REPORT_EXIT KVM_EXIT_MMIO

static inline uint64_t vcpu_result(struct vcpu *vcpu)
{
	return vcpu_reg(vcpu, REG_X(0));
}

static inline uint64_t vcpu_argument(struct vcpu *vcpu)
{
	return vcpu_reg(vcpu, REG_X(1));
}

static inline void vcpu_set_argument(struct vcpu *vcpu, uint64_t value)
{
	vcpu_set_reg(vcpu, REG_X(1), value);
}

/* The guest's end is DONE. */
#define EXPECT_END(vcpu) EXPECT_DONE(vcpu)
#define ASSERT_END(vcpu) ASSERT_DONE(vcpu)

static inline bool vcpu_at_end(struct vcpu *vcpu)
{
	return vcpu->run->exit_reason == KVM_EXIT_MMIO && vcpu->run->mmio.phys_addr == DONE_GPA;
}

static inline void vcpu_begin(struct vcpu *vcpu, uint64_t pc)
{
	vcpu_settle(vcpu);
	vcpu_start(vcpu, pc);
}
#endif

#endif
