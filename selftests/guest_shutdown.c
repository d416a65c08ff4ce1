// SPDX-License-Identifier: GPL-2.0
/* A triple fault shuts the guest down, and only it. */
#include "lib/x86.h"

GUEST64(triple, "1: ud2\njmp 1b\n");
GUEST64(alive, "1: hlt\njmp 1b\n");

/* The limit of the IDT makes every exception a double fault and that a triple one. */
static struct vcpu *doomed_guest(enum mode mode, const uint8_t *code, const uint8_t *end)
{
	struct vcpu *vcpu = guest_new(mode, code, end);
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	sregs.idt.limit = 0;
	vcpu_set_sregs(vcpu, &sregs);
	return vcpu;
}

TEST(long_mode)
{
	struct vcpu *vcpu = doomed_guest(MODE_LONG, triple, triple_end);

	EXPECT_RUN(vcpu, KVM_EXIT_SHUTDOWN);
}

GUEST16(triple16, "1: int3\njmp 1b\n");

TEST(real_mode)
{
	struct vcpu *vcpu = doomed_guest(MODE_REAL, triple16, triple16_end);

	EXPECT_RUN(vcpu, KVM_EXIT_SHUTDOWN);
}

TEST(the_neighbour_goes_on)
{
	struct vcpu *neighbour = GUEST_NEW(MODE_LONG, alive);

	ASSERT_RUN(neighbour, KVM_EXIT_HLT);
	for (int i = 0; i < 3; i++) {
		struct vcpu *vcpu = doomed_guest(MODE_LONG, triple, triple_end);

		ASSERT_RUN(vcpu, KVM_EXIT_SHUTDOWN);
		guest_free(vcpu);
		ASSERT_RUN(neighbour, KVM_EXIT_HLT);
	}
}

/* A reset by the VMM, which sets all registers anew, brings it back. */
TEST(runs_again_after_a_reset)
{
	struct vcpu *vcpu = doomed_guest(MODE_LONG, triple, triple_end);

	ASSERT_RUN(vcpu, KVM_EXIT_SHUTDOWN);
	VM_LOAD(vcpu->vm, alive);
	vcpu_start(vcpu, MODE_LONG, GUEST_CODE);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}
