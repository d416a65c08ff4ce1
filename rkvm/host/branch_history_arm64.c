// SPDX-License-Identifier: GPL-2.0
/*
 * What a guest may have trained branch predictors to, so that the host would speculate by it (CVE-2017-5715,
 * CVE-2022-23960): how the world switch has them forget it.
 *
 * Source: Arm, "Spectre-BHB" white paper, the counts of branches; DEN0028, SMCCC_ARCH_WORKAROUND_1 and _3.
 */

#include <linux/arm-smccc.h>
#include <linux/cpu.h>

#include <asm/cpufeature.h>
#include <asm/cputype.h>

#include "rkvm_host.h"

/* What the processor that needs most needs; rkvm/arm64/world_switch.S knows where they are. */
struct {
	u64 branches;	/* that fill the history; at least 1 */
	u64 function;	/* of the firmware; or 0 */
} rkvm_arm64_branch_history = { .branches = 1 };

/* 0 where branches do not help. */
static u64 branches_needed(void)
{
	static const struct midr_range of_132[] = {
		MIDR_ALL_VERSIONS(MIDR_CORTEX_X3),
		MIDR_ALL_VERSIONS(MIDR_NEOVERSE_V2),
		{},
	};
	static const struct midr_range of_38[] = {
		MIDR_ALL_VERSIONS(MIDR_CORTEX_A715),
		MIDR_ALL_VERSIONS(MIDR_CORTEX_A720),
		MIDR_ALL_VERSIONS(MIDR_CORTEX_A720AE),
		{},
	};
	static const struct midr_range of_32[] = {
		MIDR_ALL_VERSIONS(MIDR_CORTEX_A78),
		MIDR_ALL_VERSIONS(MIDR_CORTEX_A78AE),
		MIDR_ALL_VERSIONS(MIDR_CORTEX_A78C),
		MIDR_ALL_VERSIONS(MIDR_CORTEX_X1),
		MIDR_ALL_VERSIONS(MIDR_CORTEX_X1C),
		MIDR_ALL_VERSIONS(MIDR_CORTEX_A710),
		MIDR_ALL_VERSIONS(MIDR_CORTEX_X2),
		MIDR_ALL_VERSIONS(MIDR_NEOVERSE_N2),
		MIDR_ALL_VERSIONS(MIDR_NEOVERSE_V1),
		MIDR_ALL_VERSIONS(MIDR_HISI_TSV110),
		/* These need fewer. */
		MIDR_ALL_VERSIONS(MIDR_CORTEX_A76),
		MIDR_ALL_VERSIONS(MIDR_CORTEX_A76AE),
		MIDR_ALL_VERSIONS(MIDR_CORTEX_A77),
		MIDR_ALL_VERSIONS(MIDR_NEOVERSE_N1),
		MIDR_ALL_VERSIONS(MIDR_QCOM_KRYO_4XX_GOLD),
		MIDR_ALL_VERSIONS(MIDR_HISI_HIP09),
		MIDR_ALL_VERSIONS(MIDR_AMPERE1),
		{},
	};

	if (is_midr_in_range_list(of_132))
		return 132;
	if (is_midr_in_range_list(of_38))
		return 38;
	return is_midr_in_range_list(of_32) ? 32 : 0;
}

static bool firmware_has(u32 function)
{
	struct arm_smccc_res result;

	if (arm_smccc_1_1_get_conduit() != SMCCC_CONDUIT_SMC)
		return false;
	arm_smccc_1_1_smc(ARM_SMCCC_ARCH_FEATURES_FUNC_ID, function, &result);
	return result.a0 == SMCCC_RET_SUCCESS;
}

/* An exception clears the history, or an instruction does, which the world switch always has. */
static bool history_clears(void)
{
	return SYS_FIELD_GET(ID_AA64MMFR1_EL1, ECBHB, read_sysreg_s(SYS_ID_AA64MMFR1_EL1)) ||
	       SYS_FIELD_GET(ID_AA64ISAR2_EL1, CLRBHB, read_sysreg_s(SYS_ID_AA64ISAR2_EL1));
}

/* Of this CPU, before guests run on it. */
void rkvm_note_branch_history(void)
{
	u64 branches = 0, function = 0;

	if (cpu_mitigations_off())
		return;
	preempt_disable();
	if (this_cpu_has_cap(ARM64_SPECTRE_BHB) && !history_clears()) {
		branches = branches_needed();
		if (!branches && firmware_has(ARM_SMCCC_ARCH_WORKAROUND_3))
			function = ARM_SMCCC_ARCH_WORKAROUND_3;
	}
	if (!function && this_cpu_has_cap(ARM64_SPECTRE_V2) &&
	    firmware_has(ARM_SMCCC_ARCH_WORKAROUND_1))
		function = ARM_SMCCC_ARCH_WORKAROUND_1;
	preempt_enable();

	if (branches > rkvm_arm64_branch_history.branches)
		rkvm_arm64_branch_history.branches = branches;
	if (function && rkvm_arm64_branch_history.function != ARM_SMCCC_ARCH_WORKAROUND_3)
		rkvm_arm64_branch_history.function = function;
}

/* Whether exits have the firmware clear branch predictors, and whether they clear the history. */
bool rkvm_exits_clear_targets(void)
{
	return rkvm_arm64_branch_history.function;
}

bool rkvm_exits_clear_history(void)
{
	if (cpu_mitigations_off())
		return false;
	return rkvm_arm64_branch_history.branches > 1 || rkvm_arm64_branch_history.function || history_clears();
}

/* Spectre v2, Spectre-BHB and Spectre v4: whether any processor has them, whatever the kernel does about it. */
bool rkvm_has_weak_targets(void)
{
	return cpus_have_final_cap(ARM64_SPECTRE_V2);
}

bool rkvm_has_weak_history(void)
{
	return cpus_have_final_cap(ARM64_SPECTRE_BHB);
}

bool rkvm_has_weak_stores(void)
{
	return cpus_have_final_cap(ARM64_SPECTRE_V4);
}
