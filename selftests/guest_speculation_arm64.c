// SPDX-License-Identifier: GPL-2.0
/* What guests are told of weaknesses in speculation where the host does something about them. */
/* machine: arch=arm64 cpu=cortex-a76 cmdline=mitigations=auto */
#include "lib/psci.h"

CALLER(caller);

enum {
	WORKAROUND_1 = 0x80008000,
	WORKAROUND_2 = 0x80007fff,
	WORKAROUND_3 = 0x80003fff,
	FEATURES = 0x80000001,
};
#define NOT_AFFECTED 1L

/* A Cortex-A76: branch predictors keep to their context, their history does not; SSBS is there. */
TEST(told)
{
	struct vcpu *vcpu = vcpu_with(vm_new(GUEST_PAGES), 0, FEATURE(PSCI_0_2));

	if (vcpu_reg(vcpu, SYSTEM_REG(3, 0, 0, 0, 0)) >> 4 != 0x414fd0b)
		SKIP("the processor is not a Cortex-A76");
	VM_LOAD(vcpu->vm, caller);
	EXPECT_EQ(vcpu_reg(vcpu, FIRMWARE_REG(1)), KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1_NOT_REQUIRED);
	EXPECT_EQ(vcpu_reg(vcpu, FIRMWARE_REG(2)), KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2_NOT_AVAIL);
	EXPECT_EQ(vcpu_reg(vcpu, FIRMWARE_REG(3)), KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_3_AVAIL);
	EXPECT_EQ(call0(vcpu, FEATURES, WORKAROUND_1, 0, 0), NOT_AFFECTED);
	EXPECT_EQ(call0(vcpu, FEATURES, WORKAROUND_2, 0, 0), NOT_SUPPORTED);
	EXPECT_EQ(call0(vcpu, FEATURES, WORKAROUND_3, 0, 0), 0);
	EXPECT_EQ(call0(vcpu, WORKAROUND_1, 1, 2, 3), 0);
	EXPECT_EQ(call0(vcpu, WORKAROUND_2, 1, 2, 3), 0);
	EXPECT_EQ(call0(vcpu, WORKAROUND_3, 1, 2, 3), 0);
}

/* The VMM may promise less, for a guest that comes from elsewhere. */
TEST(promised)
{
	struct vcpu *vcpu = vcpu_with(vm_new(GUEST_PAGES), 0, FEATURE(PSCI_0_2));
	uint64_t value;

	for (unsigned int n = 1; n <= 3; n++) {
		uint64_t most = vcpu_reg(vcpu, FIRMWARE_REG(n));

		for (value = 0; value <= 2; value++) {
			bool fine = value <= most;

			/* Of the second, 1 means no more than 0. */
			if (n == 2)
				fine = value <= 1 || most >= 2;
			if (fine)
				EXPECT_OK(reg_set(vcpu, FIRMWARE_REG(n), &value));
			else
				EXPECT_ERRNO(reg_set(vcpu, FIRMWARE_REG(n), &value), EINVAL);
		}
		EXPECT_EQ(vcpu_reg(vcpu, FIRMWARE_REG(n)), most);
	}
}

/* PSTATE.SSBS is the guest's own, from exit to exit. */
GUEST64(ssbs,
	"1: msr S3_3_C4_C2_6, xzr\n"
	"mov x0, #0\n" REPORT
	"mrs x0, S3_3_C4_C2_6\n" REPORT
	"mov x1, #0x1000\nmsr S3_3_C4_C2_6, x1\n"
	"mov x0, #0\n" REPORT
	"mrs x0, S3_3_C4_C2_6\n" REPORT
	"b 1b\n");

TEST(ssbs_is_kept)
{
	const uint64_t bit = 1 << 12;
	struct vcpu *vcpu = GUEST_NEW(ssbs);

	if (!(vcpu_reg(vcpu, SYSTEM_REG(3, 0, 0, 4, 1)) & 0xf0))
		SKIP("the processor has no SSBS");
	for (int round = 0; round < 3; round++) {
		EXPECT_REPORT(vcpu, 0);
		EXPECT_EQ(vcpu_reg(vcpu, REG_PSTATE) & bit, 0);
		EXPECT_REPORT(vcpu, 0);
		EXPECT_REPORT(vcpu, 0);
		EXPECT_EQ(vcpu_reg(vcpu, REG_PSTATE) & bit, bit);
		EXPECT_REPORT(vcpu, bit);
	}
}
