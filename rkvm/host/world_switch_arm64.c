// SPDX-License-Identifier: GPL-2.0
/*
 * What a world switch does on some processors only: errata, memory partitioning, performance monitors.
 *
 * Source: Arm ARM (DDI 0487), "MPAM2_EL2", "PMUSERENR_EL0"; Linux, Documentation/arch/arm64/silicon-errata.rst.
 */

#include <linux/perf/arm_pmuv3.h>

#include <asm/cpufeature.h>
#include <asm/sysreg.h>

#include "rkvm_host.h"

/* Where a change of HCR_EL2 can spoil translations under way (AmpereOne, AC04_CPU_23) there are barriers around it. */
notrace void rkvm_write_hcr(u64 value)
{
	write_sysreg_hcr(value);
}

/*
 * Whether a guest that changes its tables' root by itself could have other threads of the core take data aborts
 * (ThunderX2, erratum 219): HCR_EL2.TVM has to be set then.
 */
bool rkvm_translation_controls_trap(void)
{
	return cpus_have_final_cap(ARM64_WORKAROUND_CAVIUM_TX2_219_TVM);
}

/*
 * MPAM: a guest cannot choose the partitions that its memory accesses, and those of the host's threads, count for. What
 * its EL1 does counts for the thread, as what its EL0 does. Interrupts are off: the kernel writes MPAM2_EL2 as a whole
 * when the thread's partition changes.
 */
notrace void rkvm_mpam_enter(void)
{
	u64 traps = MPAM2_EL2_TRAPMPAM0EL1 | MPAM2_EL2_TRAPMPAM1EL1;

	if (!system_supports_mpam())
		return;
	if (system_supports_mpam_hcr())
		write_sysreg_s(MPAMHCR_EL2_TRAP_MPAMIDR_EL1, SYS_MPAMHCR_EL2);
	else
		traps |= MPAM2_EL2_TIDR;
	write_sysreg_s((read_sysreg_s(SYS_MPAM2_EL2) & ~MPAM2_EL2_EnMPAMSM) | traps, SYS_MPAM2_EL2);
	write_sysreg_s(read_sysreg_s(SYS_MPAM0_EL1) | MPAM1_EL1_MPAMEN, SYS_MPAM1_EL12);
}

notrace void rkvm_mpam_leave(void)
{
	const u64 traps = MPAM2_EL2_TRAPMPAM0EL1 | MPAM2_EL2_TRAPMPAM1EL1 | MPAM2_EL2_TIDR;

	if (!system_supports_mpam())
		return;
	write_sysreg_s((read_sysreg_s(SYS_MPAM2_EL2) & ~traps) | MPAM2_EL2_EnMPAMSM, SYS_MPAM2_EL2);
	if (system_supports_mpam_hcr())
		write_sysreg_s(0, SYS_MPAMHCR_EL2);
}

/*
 * Performance monitors: what a guest's EL0 does with them traps here by MDCR_EL2.TPM, if it does not trap to the guest's
 * EL1 first, where the thread has no right to them. Returns the thread's rights. Interrupts are off: the kernel may
 * change them by an interrupt of other CPUs.
 */
notrace u64 rkvm_monitors_enter(void)
{
	u64 rights;

	if (!system_supports_pmuv3())
		return 0;
	rights = read_sysreg(pmuserenr_el0);
	write_sysreg(ARMV8_PMU_USERENR_EN, pmuserenr_el0);
	return rights;
}

notrace void rkvm_monitors_leave(u64 rights)
{
	if (system_supports_pmuv3())
		write_sysreg(rights, pmuserenr_el0);
}
