// SPDX-License-Identifier: GPL-2.0
/*
 * What the processors' speculative execution asks for between guests, the host and its programs. The kernel's features
 * say what it has decided to do; where they are for the kernel's own KVM alone, the processor's bugs and
 * mitigations=off decide.
 *
 * Source: Documentation/admin-guide/hw-vuln; Intel, "L1 Terminal Fault" and "Speculative Execution Side Channel
 * Mitigations".
 */

#include <linux/cpu.h>
#include <linux/percpu.h>
#include <linux/sched/smt.h>
#include <asm/cpufeature.h>
#include <asm/hardirq.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/sync_core.h>

#include "rkvm_host.h"

static bool is_mitigated(unsigned int bug)
{
	return boot_cpu_has_bug(bug) && !cpu_mitigations_off();
}

/* Whether executable huge pages let a guest stop the processor (CVE-2018-12207), and that is to be prevented. */
bool rkvm_avoids_itlb_multihit(void)
{
	return is_mitigated(X86_BUG_ITLB_MULTIHIT);
}

/* Whether a guest can read what is in the first-level data cache when it is entered (CVE-2018-3646). */
bool rkvm_flushes_l1d(void)
{
	u64 capabilities = 0;

	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		rdmsrq(MSR_IA32_ARCH_CAPABILITIES, capabilities);
	return is_mitigated(X86_BUG_L1TF) && !(capabilities & ARCH_CAP_SKIP_VMENTRY_L1DFLUSH);
}

/* Whether the processor has IA32_FLUSH_CMD. */
bool rkvm_has_l1d_flush(void)
{
	return boot_cpu_has(X86_FEATURE_FLUSH_L1D);
}

/*
 * Has the first-level data cache filled with `size` bytes that nobody minds to be read. Their pages are in the TLB
 * before, so that no walk brings other things in meanwhile.
 */
notrace void rkvm_fill_l1d(const u8 *bytes, size_t size)
{
	size_t at;

	for (at = 0; at < size; at += PAGE_SIZE)
		READ_ONCE(bytes[at]);
	sync_core();
	for (at = 0; at < size; at += L1_CACHE_BYTES)
		READ_ONCE(bytes[at]);
	rmb();
}

/* Whether what one guest has taught the branch predictors is forgotten before another runs on the CPU. */
bool rkvm_separates_guests(void)
{
	return is_mitigated(X86_BUG_SPECTRE_V2) && boot_cpu_has(X86_FEATURE_IBPB);
}

/* Whether the kernel writes IA32_SPEC_CTRL at each of its entries, which an exit is, too (legacy IBRS). */
bool rkvm_uses_legacy_ibrs(void)
{
	return boot_cpu_has(X86_FEATURE_KERNEL_IBRS);
}

/* What the kernel has in IA32_SPEC_CTRL on this CPU. */
notrace u64 rkvm_spec_ctrl(void)
{
	return spec_ctrl_current();
}

/* A guest has run here: the kernel forgets its branches before a program runs on this CPU (VMSCAPE). */
notrace void rkvm_guest_has_run(void)
{
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
}

/* Whether a guest on one hardware thread can read what the other, with the host on it, uses. */
bool rkvm_leaks_between_threads(void)
{
	return is_mitigated(X86_BUG_L1TF) && sched_smt_active();
}
