// SPDX-License-Identifier: GPL-2.0
/* State that the hardware refuses to enter with: KVM_EXIT_FAIL_ENTRY. */
#include "lib/x86.h"

/* VM-entry failure due to invalid guest state, SDM volume 3, 28.8 */
#define ENTRY_FAILURE_GUEST_STATE 0x80000021ULL
/* Must be 0 in RFLAGS (SDM volume 3, 28.3.1.4), yet KVM_SET_REGS takes it */
#define RFLAGS_RESERVED 0x8ULL

GUEST64(code, "mov $1, %eax\n" REPORT "1: hlt\njmp 1b\n");

static void break_and_run(struct vcpu *vcpu)
{
	struct kvm_regs regs = vcpu_regs(vcpu);

	regs.rflags |= RFLAGS_RESERVED;
	vcpu_set_regs(vcpu, &regs);
	ASSERT_RUN(vcpu, KVM_EXIT_FAIL_ENTRY);
	EXPECT_EQ(vcpu->run->fail_entry.hardware_entry_failure_reason, ENTRY_FAILURE_GUEST_STATE);
	EXPECT_EQ(vcpu->run->fail_entry.cpu, 0);
}

TEST(fail_entry_names_the_reason)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, code);

	break_and_run(vcpu);
	/* Nothing has moved, so a second try fails alike. */
	break_and_run(vcpu);
}

TEST(runs_when_the_state_is_mended)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, code);
	struct kvm_regs regs;

	break_and_run(vcpu);
	regs = vcpu_regs(vcpu);
	EXPECT_EQ(regs.rip, GUEST_CODE);
	regs.rflags = RFLAGS_FIXED;
	vcpu_set_regs(vcpu, &regs);
	EXPECT_REPORT(vcpu, 1);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

TEST(other_guests_run)
{
	struct vcpu *bad = GUEST_NEW(MODE_LONG, code), *good = GUEST_NEW(MODE_LONG, code);

	EXPECT_REPORT(good, 1);
	for (int i = 0; i < 3; i++) {
		break_and_run(bad);
		EXPECT_RUN(good, KVM_EXIT_HLT);
	}
}
