// SPDX-License-Identifier: GPL-2.0
/* machine: arch=arm64 */
/* SErrors that a guest defers by ESB: DISR_EL1 is each vCPU's own. */
#include "lib/arm64.h"

#define DISR_EL1 ARM64_SYS_REG(3, 0, 12, 1, 1)
#define DEFERRED (1UL << 31)
/* A syndrome of the processor's maker */
#define SYNDROME (1UL << 24 | 0x1234)

GUEST64(defer,
	"hint #16\n"
	"mrs x0, S3_0_C12_C1_1\n" REPORT
	DONE);

GUEST64(read_disr,
	"mrs x0, S3_0_C12_C1_1\n" REPORT
	DONE);

static void raise_serror(struct vcpu *vcpu)
{
	struct kvm_vcpu_events events = {
		.exception = { .serror_pending = 1, .serror_has_esr = 1, .serror_esr = SYNDROME },
	};

	if (!kvm_check(vcpu->vm->fd, KVM_CAP_ARM_INJECT_SERROR_ESR))
		SKIP("no RAS extension");
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events));
}

TEST(an_error_that_is_deferred)
{
	struct vcpu *vcpu = GUEST_NEW(defer);
	struct kvm_vcpu_events events;

	raise_serror(vcpu);
	EXPECT_REPORT(vcpu, DEFERRED | SYNDROME);
	EXPECT_EQ(vcpu_reg(vcpu, DISR_EL1), DEFERRED | SYNDROME);
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events));
	EXPECT_EQ(events.exception.serror_pending, 0);
	EXPECT_DONE(vcpu);
}

TEST(others_do_not_see_it)
{
	struct vcpu *first = GUEST_NEW(defer), *second = GUEST_NEW(read_disr);

	raise_serror(first);
	EXPECT_REPORT(first, DEFERRED | SYNDROME);
	EXPECT_REPORT(second, 0);
	EXPECT_DONE(second);
	EXPECT_EQ(vcpu_reg(first, DISR_EL1), DEFERRED | SYNDROME);
}

/* A VMM that restores a guest writes the register. */
TEST(what_the_vmm_writes)
{
	struct vcpu *vcpu = GUEST_NEW(read_disr);

	if (!kvm_check(vcpu->vm->fd, KVM_CAP_ARM_INJECT_SERROR_ESR))
		SKIP("no RAS extension");
	vcpu_set_reg(vcpu, DISR_EL1, DEFERRED | SYNDROME);
	EXPECT_REPORT(vcpu, DEFERRED | SYNDROME);
	EXPECT_DONE(vcpu);
}
