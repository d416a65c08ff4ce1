// SPDX-License-Identifier: GPL-2.0
/* Registers of features that guests are not offered are undefined, so that nothing is left in them for another guest. */
/* machine: arch=arm64 cpu=max */
#include "lib/arm64.h"

GUEST64(code,
	SET_VECTORS
	"mrs x0, S3_0_C2_C0_3\n"	/* TCR2_EL1 */
	"mrs x0, S3_0_C10_C2_3\n"	/* PIR_EL1 */
	"mrs x0, S3_0_C10_C2_2\n"	/* PIRE0_EL1 */
	"mrs x0, S3_3_C13_C0_5\n"	/* TPIDR2_EL0 */
	"mrs x0, S3_0_C13_C0_7\n"	/* SCXTNUM_EL1 */
	"mrs x0, S3_0_C1_C0_6\n"	/* GCR_EL1 */
	"mrs x0, S3_3_C9_C13_0\n"	/* PMCCNTR_EL0 */
	DONE);

enum { REGISTERS = 7, UNDEFINED = 1 << 25 };

TEST(undefined)
{
	struct vcpu *vcpu = GUEST_NEW(code);

	if (kvm_is_c())
		SKIP("C KVM has some of them");
	vm_vectors(vcpu->vm);
	for (int i = 0; i < REGISTERS; i++) {
		EXPECT_REPORT(vcpu, UNDEFINED);
		/* FAR_EL1 says nothing. */
		ASSERT_OK(vcpu_run(vcpu));
	}
	EXPECT_DONE(vcpu);
}
