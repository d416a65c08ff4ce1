// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel facilities of arm64 that are macros or inline functions, given an address so that Rust can call them.
 */

#include <linux/cpu.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <linux/random.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>

#include <asm/cache.h>
#include <asm/cacheflush.h>
#include <asm/cpufeature.h>
#include <asm/daifflags.h>
#include <asm/fpsimd.h>
#include <asm/neon.h>
#include <asm/virt.h>

#include "rkvm_host.h"

notrace void rkvm_mask_exceptions(void)
{
	local_daif_mask();
}

/* Interrupts stay masked. */
notrace void rkvm_unmask_exceptions(void)
{
	local_daif_restore(DAIF_PROCCTX_NOIRQ);
}

__noreturn void rkvm_stop_machine(u64 syndrome)
{
	panic("rust_kvm: an SError while a guest ran, which is not contained: ESR 0x%llx", syndrome);
}

/* By lines of so many bytes; the barrier orders it before what is mapped next. */
void rkvm_clean_to_memory(void *start, unsigned long size, unsigned long line)
{
	unsigned long at = (unsigned long)start;
	unsigned long end = at + size;

	for (; at < end; at += line)
		asm volatile("dc civac, %0" : : "r"(at) : "memory");
	dsb(sy);
}

void rkvm_sync_instructions(void *start, unsigned long size)
{
	unsigned long at = (unsigned long)start;

	caches_clean_inval_pou(at, at + size);
	/* Where lines are found by virtual address, those of another address hold the same memory. */
	if (SYS_FIELD_GET(CTR_EL0, L1Ip, read_sanitised_ftr_reg(SYS_CTR_EL0)) != CTR_EL0_L1Ip_PIPT)
		icache_inval_all_pou();
}

void rkvm_neon_begin(void)
{
	kernel_neon_begin(NULL);
}

void rkvm_neon_end(void)
{
	kernel_neon_end(NULL);
}

struct vector_lengths {
	u16 common, some;
};

/* By trying them; registers of the thread are in memory meanwhile. */
static long add_vector_lengths(void *lengths)
{
	struct vector_lengths *all = lengths;
	unsigned long bytes;
	unsigned int vq;
	u16 here = 0;
	u64 zcr;

	preempt_disable();
	kernel_neon_begin(NULL);
	zcr = read_sysreg_s(SYS_ZCR_EL1);
	for (vq = 1; vq <= ARCH_SVE_VQ_MAX; vq++) {
		write_sysreg_s(vq - 1, SYS_ZCR_EL1);
		isb();
		asm volatile(".arch_extension sve\n\trdvl %0, #1" : "=r"(bytes));
		if (bytes == sve_vl_from_vq(vq))
			here |= BIT(vq - 1);
	}
	write_sysreg_s(zcr, SYS_ZCR_EL1);
	kernel_neon_end(NULL);
	preempt_enable();
	all->common &= here;
	all->some |= here;
	return 0;
}

/* Bit 0 is a quadword: lengths that all CPUs have, and that some have. CPUs that come later have to have the same. */
int rkvm_vector_lengths(u16 *common, u16 *some)
{
	struct vector_lengths all = { .common = U16_MAX };
	long error = 0;
	int cpu;

	*common = 0;
	*some = 0;
	if (!system_supports_sve())
		return 0;
	cpus_read_lock();
	for_each_online_cpu(cpu) {
		error = work_on_cpu(cpu, add_vector_lengths, &all);
		if (error)
			break;
	}
	cpus_read_unlock();
	if (error)
		return error;
	*common = all.common;
	*some = all.some;
	return 0;
}

u64 rkvm_sanitised_register(u32 op0, u32 op1, u32 crn, u32 crm, u32 op2)
{
	return read_sanitised_ftr_reg(sys_reg(op0, op1, crn, crm, op2));
}

/* Whether processors that can set access flags may be let to. */
bool rkvm_stage2_sets_access_flags(void)
{
	return !cpus_have_final_cap(ARM64_WORKAROUND_AMPERE_AC03_CPU_38);
}

/* Whether some memory has a physical address of more than so many bits. */
bool rkvm_has_memory_above(u32 bits)
{
	return virt_to_phys(high_memory - 1) >> bits;
}

bool rkvm_kernel_at_el2(void)
{
	return is_kernel_in_hyp_mode();
}

/* Registers that tell of caches can trap without CTR_EL0, which is the same on all processors. */
bool rkvm_cache_type_shown(void)
{
	return cpus_have_final_cap(ARM64_HAS_EVT) && !cpus_have_final_cap(ARM64_MISMATCHED_CACHE_TYPE);
}

/* Registers the minor number of /dev/kvm for a moment, under another name; the number has one owner. */
bool rkvm_kvm_node_taken(void)
{
	static const struct file_operations nothing = { .owner = THIS_MODULE };
	struct miscdevice node = {
		.minor = KVM_MINOR,
		.name = "rust_kvm_probe",
		.fops = &nothing,
		.mode = 0400,
	};

	if (misc_register(&node))
		return true;
	misc_deregister(&node);
	return false;
}

/* False where the kernel keeps time by another counter than the guest's. */
bool rkvm_real_time(u64 *nanoseconds, u64 *count)
{
	struct system_time_snapshot now;

	ktime_get_snapshot_id(CLOCK_REALTIME, &now);
	if (now.cs_id != CSID_ARM_ARCH_COUNTER)
		return false;
	*nanoseconds = ktime_to_ns(now.systime);
	*count = now.cycles;
	return true;
}

void rkvm_random_words(u64 *words, size_t count)
{
	get_random_bytes(words, count * sizeof(*words));
}
