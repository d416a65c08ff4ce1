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
