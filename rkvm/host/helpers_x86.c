// SPDX-License-Identifier: GPL-2.0
/*
 * The x86 half of the helpers: per-CPU and per-thread host state that a VM exit reloads or leaves
 * for us to put back.
 */

#include <linux/cpumask.h>
#include <linux/hrtimer.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/syscore_ops.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <asm/apic.h>
#include <asm/cpu_entry_area.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fsgsbase.h>
#include <asm/mce.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include <asm/ptrace.h>
#include <asm/segment.h>
#include <asm/special_insns.h>
#include <asm/tsc.h>

#include "rkvm_host.h"

/* Sends an online CPU the notification of posted interrupts. */
void rkvm_notify_posted(int cpu)
{
	__apic_send_IPI_mask(cpumask_of(cpu), POSTED_INTR_VECTOR);
}

bool rkvm_cpu_has_vmx(void)
{
	return boot_cpu_has(X86_FEATURE_VMX);
}

notrace bool rkvm_fpu_needs_reload(void)
{
	return test_thread_flag(TIF_NEED_FPU_LOAD);
}

/*
 * The FXSAVE image of a guest state that is not in registers. XSAVE leaves a component out of memory while
 * it is in its initial state (SDM volume 1, 13.6), so that such a component is made up here.
 */
void rkvm_fpu_legacy(const struct fpu_guest *fpu, void *image)
{
	const struct xregs_state *xsave = &fpu->fpstate->regs.xsave;
	struct fxregs_state *legacy = image;
	u64 present = XFEATURE_MASK_FPSSE;

	*legacy = xsave->i387;
	if (boot_cpu_has(X86_FEATURE_XSAVE))
		present = xsave->header.xfeatures;
	if (!(present & XFEATURE_MASK_FP)) {
		legacy->cwd = 0x37f;
		legacy->swd = 0;
		legacy->twd = 0;
		legacy->fop = 0;
		legacy->rip = 0;
		legacy->rdp = 0;
		memset(legacy->st_space, 0, sizeof(legacy->st_space));
	}
	if (!(present & XFEATURE_MASK_SSE))
		memset(legacy->xmm_space, 0, sizeof(legacy->xmm_space));
	if (!(present & (XFEATURE_MASK_SSE | XFEATURE_MASK_YMM)))
		legacy->mxcsr = 0x1f80;
}

/* The live FS base: user space may have changed it by WRFSBASE. */
notrace u64 rkvm_user_fs_base(void)
{
	if (boot_cpu_has(X86_FEATURE_FSGSBASE))
		return rdfsbase();
	return native_rdmsrq(MSR_FS_BASE);
}

/* Replaces old by new in user memory, atomically: 0, 1 if old was not there, or -EFAULT. May fault the page in. */
int rkvm_exchange_user_u32(u64 addr, u32 old, u32 new)
{
	u32 __user *ptr = (u32 __user *)(unsigned long)addr;

	if (!access_ok(ptr, sizeof(*ptr)))
		return -EFAULT;
	return __try_cmpxchg_user(ptr, &old, new, fault);
}

int rkvm_exchange_user_u64(u64 addr, u64 old, u64 new)
{
	u64 __user *ptr = (u64 __user *)(unsigned long)addr;

	if (!access_ok(ptr, sizeof(*ptr)))
		return -EFAULT;
	return __try_cmpxchg_user(ptr, &old, new, fault);
}

notrace void rkvm_restore_ldt(u16 ldt)
{
	asm volatile("lldt %0" : : "rm" (ldt));
}

/*
 * Puts back the selectors that a VM exit cleared; zero stands for "as it is". Interrupts are off: loading GS
 * clobbers its base for a moment.
 */
notrace void rkvm_restore_segments(u16 ds, u16 es, u16 fs, u64 fs_base, u16 gs)
{
	if (ds)
		loadsegment(ds, ds);
	if (es)
		loadsegment(es, es);
	if (fs) {
		loadsegment(fs, fs);
		wrmsrq(MSR_FS_BASE, fs_base);
	}
	if (gs)
		load_gs_index(gs);
}

notrace u64 rkvm_kernel_gs_base(void)
{
	return cpu_kernelmode_gs_base(raw_smp_processor_id());
}

notrace u64 rkvm_tss_base(void)
{
	return (unsigned long)&get_cpu_entry_area(raw_smp_processor_id())->tss.x86_tss;
}

notrace u64 rkvm_gdt_base(void)
{
	return (unsigned long)get_current_gdt_ro();
}

/*
 * A VM exit sets the limits of GDTR and of TR to fixed values (SDM 29.5.2); the host's are smaller
 * and larger. Preemption is off.
 */
notrace void rkvm_restore_descriptor_limits(void)
{
	struct desc_ptr gdt = {
		.address = (unsigned long)get_current_gdt_ro(),
		.size = GDT_SIZE - 1,
	};

	native_load_gdt(&gdt);
	invalidate_tss_limit();
}

notrace bool rkvm_host_breakpoints_active(void)
{
	return hw_breakpoint_active();
}

/* Whether this module holds a CPU in VMX operation. Changed on that CPU alone. */
static DEFINE_PER_CPU(bool, rkvm_in_vmx);

bool rkvm_swap_in_vmx(bool on)
{
	return this_cpu_xchg(rkvm_in_vmx, on);
}

notrace bool rkvm_in_vmx_here(void)
{
	return this_cpu_read(rkvm_in_vmx);
}

static struct rkvm_power rkvm_power;

/* The last CPU goes to sleep: the others have gone by CPU hotplug. */
static int rkvm_suspend(void *data)
{
	rkvm_power.leave();
	return 0;
}

static void rkvm_resume(void *data)
{
	rkvm_power.enter();
}

static void rkvm_leave_here(void *unused)
{
	rkvm_power.leave();
}

/* Reboot: firmware may reset CPUs by INIT, which VMX operation blocks. */
static void rkvm_shutdown(void *data)
{
	on_each_cpu(rkvm_leave_here, NULL, 1);
}

static const struct syscore_ops rkvm_syscore_ops = {
	.suspend = rkvm_suspend,
	.resume = rkvm_resume,
	.shutdown = rkvm_shutdown,
};

static struct syscore rkvm_syscore = {
	.ops = &rkvm_syscore_ops,
};

/* kvm_intel would take CPUs and the emergency callback that this module has: it has to wait. */
static int rkvm_module_event(struct notifier_block *nb, unsigned long state, void *data)
{
	const struct module *module = data;

	if (state != MODULE_STATE_COMING || strcmp(module->name, "kvm_intel"))
		return NOTIFY_DONE;
	pr_notice("rust_kvm: kvm_intel cannot be loaded beside rust_kvm: unload that first\n");
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block rkvm_module_notifier = {
	.notifier_call = rkvm_module_event,
};

int rkvm_power_register(const struct rkvm_power *power)
{
	int ret = register_module_notifier(&rkvm_module_notifier);

	if (ret)
		return ret;
	rkvm_power = *power;
	register_syscore(&rkvm_syscore);
	return 0;
}

void rkvm_power_unregister(void)
{
	unregister_syscore(&rkvm_syscore);
	unregister_module_notifier(&rkvm_module_notifier);
}

/* The one VMCS that is active on a CPU, by physical address; 0 for none. Written by that CPU alone. */
static DEFINE_PER_CPU(u64, rkvm_active_vmcs);

/* Preemption is off. */
notrace u64 rkvm_vmcs_here(void)
{
	return this_cpu_read(rkvm_active_vmcs);
}

notrace u64 rkvm_vmcs_on_cpu(int cpu)
{
	return smp_load_acquire(per_cpu_ptr(&rkvm_active_vmcs, cpu));
}

/* Preemption is off. What was done to the VMCS before is visible to whoever reads the new value. */
notrace void rkvm_set_vmcs_here(u64 vmcs)
{
	smp_store_release(this_cpu_ptr(&rkvm_active_vmcs), vmcs);
}

/*
 * A machine check that a VM exit has consumed. To the handler it is one in user mode, so that memory which the guest
 * used and which has failed costs the VMM a signal, not the host its life.
 */
void rkvm_machine_check(void)
{
	struct pt_regs regs = {
		.cs = 3,
		.flags = X86_EFLAGS_IF,
	};

	do_machine_check(&regs);
}

int rkvm_rdmsr_safe(u32 msr, u64 *value)
{
	return rdmsrq_safe(msr, value);
}

unsigned int rkvm_tsc_khz(void)
{
	return tsc_khz;
}

/* TSC, nanoseconds since boot at the rate of the raw clock, and CLOCK_REALTIME, as close together as can be. */
void rkvm_read_clocks(u64 *tsc, u64 *boot, u64 *real)
{
	unsigned long flags;

	local_irq_save(flags);
	*tsc = rdtsc_ordered();
	*boot = ktime_to_ns(ktime_get_raw());
	*real = ktime_get_real_ns();
	local_irq_restore(flags);
	*boot += ktime_to_ns(ktime_mono_to_any(0, TK_OFFS_BOOT));
}

bool rkvm_tsc_is_stable(void)
{
	return tsc_khz && !check_tsc_unstable();
}

void rkvm_timer_init(struct hrtimer *timer, enum hrtimer_restart (*handler)(struct hrtimer *))
{
	hrtimer_setup(timer, handler, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
}

void rkvm_timer_start(struct hrtimer *timer, u64 at)
{
	hrtimer_start(timer, ns_to_ktime(min_t(u64, at, KTIME_MAX)), HRTIMER_MODE_ABS_HARD);
}

void rkvm_timer_cancel(struct hrtimer *timer)
{
	hrtimer_cancel(timer);
}
