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

/* The entry for SErrors from EL1 with SP_EL1: X0 counts them. It is in the code's page, so that to take one faults nowhere. */
GUEST64(count_it, "add x0, x0, #1\neret\n");
enum { SERROR_ENTRY = GUEST_CODE + 0x800 + 0x380 };

/* Takes its SError, then changes what the hypervisor watches of its caches. */
GUEST64(takes_one,
	"mov x0, #0\nmov x1, #0xc800\nmsr vbar_el1, x1\nisb\n"
	"msr daifclr, #4\nisb\n"
	MMU_ON "dsb sy\nisb\n"
	"dc cisw, xzr\ndsb sy\nisb\n"
	REPORT DONE);

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

TEST(an_error_comes_once)
{
	struct vcpu *vcpu = GUEST_NEW(takes_one);

	VM_LOAD_AT(vcpu->vm, SERROR_ENTRY, count_it);
	raise_serror(vcpu);
	EXPECT_REPORT(vcpu, 1);
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
