// SPDX-License-Identifier: GPL-2.0
/* machine: arch=arm64 */
/* A guest whose VMM has created no GIC finds no registers of one, whatever others have left in them. */
#include "lib/vgic.h"

#define UNDEFINED 0x02000000

GUEST64(without,
	SET_VECTORS "msr far_el1, xzr\n"
	"mrs x0, S3_0_C4_C6_0\n"	/* ICC_PMR_EL1 */
	"mrs x0, S3_0_C12_C12_0\n"	/* ICC_IAR1_EL1 */
	"mrs x0, S3_0_C12_C8_4\n"	/* ICC_AP0R0_EL1 */
	"mrs x0, S3_0_C12_C9_0\n"	/* ICC_AP1R0_EL1 */
	"msr S3_0_C12_C11_5, xzr\n"	/* ICC_SGI1R_EL1 */
	"mov x0, #0xf0\n"
	"msr S3_0_C4_C6_0, x0\n"
	DONE);

TEST(its_registers_are_undefined)
{
	struct vcpu *vcpu = GUEST_NEW(without);

	vm_vectors(vcpu->vm);
	for (int i = 0; i < 6; i++)
		EXPECT_EXCEPTION(vcpu, UNDEFINED, 0);
	EXPECT_DONE(vcpu);
}

GUEST64(priorities,
	"mrs x0, S3_0_C4_C6_0\n" REPORT
	"mov x0, #0xf0\n"
	"msr S3_0_C4_C6_0, x0\n"
	"1: mrs x0, S3_0_C4_C6_0\n" REPORT
	"b 1b\n");

IRQ_VECTORS(no_irq, "b .\n");

/* One with a GIC beside it keeps what it has. */
TEST(one_beside_it)
{
	struct vcpu *with, *vcpu = GUEST_NEW(without);
	int vgic = VGIC_GUEST(priorities, no_irq, &with, 1);

	vm_vectors(vcpu->vm);
	EXPECT_REPORT(with, 0);
	EXPECT_REPORT(with, 0xf0);
	for (int i = 0; i < 6; i++)
		EXPECT_EXCEPTION(vcpu, UNDEFINED, 0);
	EXPECT_REPORT(with, 0xf0);
	EXPECT_DONE(vcpu);
	vgic_guest_free(vgic, &with, 1);
}
