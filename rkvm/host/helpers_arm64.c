// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel facilities of arm64 that are macros or inline functions, given an address so that Rust can call them.
 */

#include <linux/cpu.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqchip/arm-gic-v3.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/of_irq.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <linux/random.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>

#include <clocksource/arm_arch_timer.h>

#include <asm/arch_gicv3.h>
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

/* The interrupts of each CPU that come for guests' sake: of the virtual and the physical timer, and of the GIC. */
static struct guest_irq {
	const char *name, *compatible;
	unsigned int index;
	int irq;
} guest_irqs[] = {
	{ "rust_kvm virtual timer", "arm,armv8-timer", 2 },
	{ "rust_kvm physical timer", "arm,armv8-timer", 1 },
	{ "rust_kvm maintenance", "arm,gic-v3", 0 },
};

#define GUEST_TIMERS 2

static int __percpu *guest_irqs_token;

static bool guest_timer_is_up(unsigned int timer)
{
	u64 control = timer ? read_sysreg_s(SYS_CNTP_CTL_EL02) : read_sysreg_s(SYS_CNTV_CTL_EL02);

	return (control & (ARCH_TIMER_CTRL_ENABLE | ARCH_TIMER_CTRL_IT_MASK | ARCH_TIMER_CTRL_IT_STAT)) ==
	       (ARCH_TIMER_CTRL_ENABLE | ARCH_TIMER_CTRL_IT_STAT);
}

/*
 * A timer's interrupt has ended the guest's stay, which is all it is for: it is forwarded to the guest, so that it
 * stays active. One that comes when the timer is off already, since the GIC had not seen that yet, is nobody's. The
 * maintenance interrupt is silenced by the vCPU before it can come here, or else here.
 */
static irqreturn_t guest_irq_handler(int irq, void *token)
{
	unsigned int timer;

	if (irq == guest_irqs[GUEST_TIMERS].irq) {
		write_sysreg_s(0, SYS_ICH_HCR_EL2);
		return IRQ_HANDLED;
	}
	timer = irq != guest_irqs[0].irq;
	if (!guest_timer_is_up(timer))
		gic_write_dir(rkvm_guest_timer_number(timer));
	return IRQ_HANDLED;
}

static int guest_irq_request(struct guest_irq *guest, bool forwarded)
{
	struct device_node *node = of_find_compatible_node(NULL, NULL, guest->compatible);
	int error;

	guest->irq = node ? of_irq_get(node, guest->index) : -ENODEV;
	of_node_put(node);
	if (guest->irq <= 0) {
		pr_err("rust_kvm: the device tree does not tell the interrupt \"%s\"\n", guest->name);
		return -ENODEV;
	}
	error = request_percpu_irq(guest->irq, guest_irq_handler, guest->name, guest_irqs_token);
	if (!error && forwarded) {
		error = irq_set_vcpu_affinity(guest->irq, guest);
		if (error)
			free_percpu_irq(guest->irq, guest_irqs_token);
	}
	if (error)
		pr_err("rust_kvm: the interrupt \"%s\" cannot be had: %d\n", guest->name, error);
	return error;
}

static void guest_irqs_free(unsigned int count)
{
	while (count--) {
		if (count < GUEST_TIMERS)
			irq_set_vcpu_affinity(guest_irqs[count].irq, NULL);
		free_percpu_irq(guest_irqs[count].irq, guest_irqs_token);
	}
	free_percpu(guest_irqs_token);
}

int rkvm_guest_irqs_request(void)
{
	unsigned int i;
	int error;

	if (!(read_sysreg_s(SYS_ICC_CTLR_EL1) & ICC_CTLR_EL1_EOImode_MASK)) {
		pr_err("rust_kvm: the kernel does not leave deactivating interrupts to guests\n");
		return -EOPNOTSUPP;
	}
	guest_irqs_token = alloc_percpu(int);
	if (!guest_irqs_token)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(guest_irqs); i++) {
		error = guest_irq_request(&guest_irqs[i], i < GUEST_TIMERS);
		if (error) {
			guest_irqs_free(i);
			return error;
		}
	}
	return 0;
}

void rkvm_guest_irqs_free(void)
{
	guest_irqs_free(ARRAY_SIZE(guest_irqs));
}

/* On this CPU. */
void rkvm_guest_irqs_enable(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(guest_irqs); i++)
		enable_percpu_irq(guest_irqs[i].irq, IRQ_TYPE_NONE);
}

void rkvm_guest_irqs_disable(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(guest_irqs); i++)
		disable_percpu_irq(guest_irqs[i].irq);
}

/*
 * Makes a timer's interrupt active on this CPU, as if it had been taken, so that it does not come while the timer's
 * line is up.
 */
void rkvm_guest_timer_hold(unsigned int timer)
{
	irq_set_irqchip_state(guest_irqs[timer].irq, IRQCHIP_STATE_ACTIVE, true);
}

/* The number by which the GIC knows a timer's interrupt. */
u8 rkvm_guest_timer_number(unsigned int timer)
{
	return irqd_to_hwirq(irq_get_irq_data(guest_irqs[timer].irq));
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
