/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What rkvm takes from the kernel besides the kernel crate: the KVM UAPI, and the few C functions of
 * rkvm/host/helpers*.c, which exist because what they call is a macro or an inline function.
 * bindgen reads this file (include/bindgen_parameters says which names it keeps).
 */
#ifndef RKVM_HOST_H
#define RKVM_HOST_H

#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/kvm.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcuwait.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <uapi/linux/eventpoll.h>
#ifdef CONFIG_X86_64
#include <asm/fpu/types.h>
#include <asm/irq_vectors.h>
#endif

/* rkvm/host/helpers.c */

int rkvm_mutex_lock_killable(struct mutex *lock);
int rkvm_preempt_disable(void);
void rkvm_preempt_enable(void);
unsigned long rkvm_irq_save(void);
void rkvm_irq_restore(unsigned long flags);
void rkvm_irq_window(void);
unsigned int rkvm_online_cpus(void);
unsigned int rkvm_possible_cpus(void);
bool rkvm_work_pending(void);
int rkvm_handle_work(void);
void rkvm_user_return(void);
void rkvm_yield(void);
bool rkvm_otherwise_idle(void);
bool rkvm_is_dying(void);
void rkvm_relax(void);
void rkvm_nap(void);
void rkvm_note_quiescent_state(void);
void rkvm_guest_time_begin(void);
void rkvm_guest_time_end(void);
int rkvm_call_on_cpu(int cpu, void (*func)(void *), void *arg);
void rkvm_sigmask_set(const u8 *mask, sigset_t *saved);
void rkvm_sigmask_restore(const sigset_t *saved);
struct mmu_notifier *rkvm_mmu_notifier_get(const struct mmu_notifier_ops *ops, struct mm_struct *mm);
bool rkvm_page_fast(unsigned long hva, bool write, struct page **page);
void rkvm_report_memory_failure(unsigned long hva);
long rkvm_page_slow(unsigned long hva, bool write, struct page **page);
u64 rkvm_page_pfn(struct page *page);
void rkvm_page_mark_used(struct page *page, bool dirty);
void rkvm_page_release(struct page *page);
bool rkvm_page_is_huge(struct page *page);
unsigned int rkvm_host_mapping_shift(struct mm_struct *mm, unsigned long hva);
int rkvm_get_user_u32(u64 addr, u32 *value);
int rkvm_get_user_u64(u64 addr, u64 *value);
int rkvm_read_user_u8_nofault(u64 addr, u8 *value);
int rkvm_write_user_u8_nofault(u64 addr, u8 value);
bool rkvm_user_range_ok(u64 addr, u64 size);
void *rkvm_page_alloc(void);
void *rkvm_pages_alloc(unsigned int order);
void rkvm_page_free(void *page);
struct page *rkvm_virt_to_page(const void *ptr);
u64 rkvm_virt_to_phys(const void *ptr);
void *rkvm_phys_to_virt(u64 phys);
int rkvm_cpuhp_setup(int (*online)(unsigned int), int (*offline)(unsigned int));
void rkvm_cpuhp_remove(int state);
void rkvm_raw_lock_init(raw_spinlock_t *lock, const char *name, struct lock_class_key *key);
unsigned long rkvm_raw_lock(raw_spinlock_t *lock);
void rkvm_raw_unlock(raw_spinlock_t *lock, unsigned long flags);
void rkvm_interrupt_cpu(int cpu);
void rkvm_waiter_init(struct rcuwait *wait);
void rkvm_waiter_wake(struct rcuwait *wait);
void rkvm_waiter_prepare(struct rcuwait *wait);
void rkvm_waiter_begin(void);
void rkvm_waiter_finish(struct rcuwait *wait);
void rkvm_sleep(void);
bool rkvm_sleep_for(u64 ns);
u64 rkvm_now(void);
u64 rkvm_run_delay(void);
int rkvm_eventfd_listen(struct file *file, wait_queue_func_t wake, wait_queue_entry_t *entry);

#ifdef CONFIG_X86_64
/* rkvm/host/helpers_x86.c */

void rkvm_timer_init(struct hrtimer *timer, enum hrtimer_restart (*handler)(struct hrtimer *));
void rkvm_timer_start(struct hrtimer *timer, u64 at);
void rkvm_timer_cancel(struct hrtimer *timer);
bool rkvm_cpu_has_vmx(void);
bool rkvm_fpu_needs_reload(void);
void rkvm_fpu_legacy(const struct fpu_guest *fpu, void *image);
u64 rkvm_user_fs_base(void);
int rkvm_exchange_user_u32(u64 addr, u32 old, u32 new);
int rkvm_exchange_user_u64(u64 addr, u64 old, u64 new);
void rkvm_restore_ldt(u16 ldt);
void rkvm_restore_segments(u16 ds, u16 es, u16 fs, u64 fs_base, u16 gs);
u64 rkvm_kernel_gs_base(void);
u64 rkvm_tss_base(void);
u64 rkvm_gdt_base(void);
void rkvm_restore_descriptor_limits(void);
bool rkvm_host_breakpoints_active(void);
void rkvm_machine_check(void);
void rkvm_notify_posted(int cpu);
/* What happens to VMX when the machine sleeps, wakes or goes down. */
struct rkvm_power {
	void (*leave)(void);
	void (*enter)(void);
};

int rkvm_power_register(const struct rkvm_power *power);
void rkvm_power_unregister(void);
bool rkvm_swap_in_vmx(bool on);
bool rkvm_in_vmx_here(void);
u64 rkvm_vmcs_here(void);
u64 rkvm_vmcs_on_cpu(int cpu);
void rkvm_set_vmcs_here(u64 vmcs);
int rkvm_rdmsr_safe(u32 msr, u64 *value);
unsigned int rkvm_tsc_khz(void);
void rkvm_read_clocks(u64 *tsc, u64 *boot, u64 *real);
bool rkvm_tsc_is_stable(void);

/* rkvm/host/mitigations_x86.c */

bool rkvm_avoids_itlb_multihit(void);
bool rkvm_flushes_l1d(void);
bool rkvm_has_l1d_flush(void);
void rkvm_fill_l1d(const u8 *bytes, size_t size);
bool rkvm_separates_guests(void);
bool rkvm_uses_legacy_ibrs(void);
bool rkvm_leaks_between_threads(void);
u64 rkvm_spec_ctrl(void);
void rkvm_guest_has_run(void);
#endif

#ifdef CONFIG_ARM64
/* rkvm/host/helpers_arm64.c */

void rkvm_stop_machine(u64 syndrome) __noreturn;
void rkvm_mask_exceptions(void);
void rkvm_unmask_exceptions(void);
void rkvm_clean_to_memory(void *start, unsigned long size, unsigned long line);
void rkvm_sync_instructions(void *start, unsigned long size);
void rkvm_neon_begin(void);
void rkvm_neon_end(void);
int rkvm_vector_lengths(u16 *common, u16 *some);
u64 rkvm_sanitised_register(u32 op0, u32 op1, u32 crn, u32 crm, u32 op2);
bool rkvm_kernel_at_el2(void);
bool rkvm_has_memory_above(u32 bits);
bool rkvm_cache_type_shown(void);
bool rkvm_kvm_node_taken(void);
int rkvm_guest_irqs_request(void);
void rkvm_guest_irqs_free(void);
void rkvm_write_hcr(u64 value);
bool rkvm_translation_controls_trap(void);
void rkvm_mpam_enter(void);
void rkvm_mpam_leave(void);
u64 rkvm_monitors_enter(void);
void rkvm_monitors_leave(u64 rights);
void rkvm_note_branch_history(void);
bool rkvm_exits_clear_targets(void);
bool rkvm_exits_clear_history(void);
bool rkvm_has_weak_targets(void);
bool rkvm_has_weak_history(void);
bool rkvm_has_weak_stores(void);
bool rkvm_stage2_sets_access_flags(void);
void rkvm_guest_irqs_enable(void);
void rkvm_guest_irqs_disable(void);
u8 rkvm_guest_timer_number(unsigned int timer);
void rkvm_guest_timer_hold(unsigned int timer);
bool rkvm_real_time(u64 *nanoseconds, u64 *count);
void rkvm_random_words(u64 *words, size_t count);
#endif

#ifdef __BINDGEN__
/* bindgen evaluates constants only, not function-like macros such as _IOW(). */
#define RKVM_IOCTL(name) const unsigned int RKVM_##name = KVM_##name
RKVM_IOCTL(GET_API_VERSION);
RKVM_IOCTL(CREATE_VM);
RKVM_IOCTL(CHECK_EXTENSION);
RKVM_IOCTL(GET_VCPU_MMAP_SIZE);
RKVM_IOCTL(CREATE_VCPU);
RKVM_IOCTL(SET_USER_MEMORY_REGION);
RKVM_IOCTL(SET_USER_MEMORY_REGION2);
RKVM_IOCTL(GET_DIRTY_LOG);
RKVM_IOCTL(CLEAR_DIRTY_LOG);
RKVM_IOCTL(IOEVENTFD);
RKVM_IOCTL(IRQFD);
RKVM_IOCTL(REGISTER_COALESCED_MMIO);
RKVM_IOCTL(UNREGISTER_COALESCED_MMIO);
RKVM_IOCTL(RUN);
RKVM_IOCTL(SET_SIGNAL_MASK);
RKVM_IOCTL(ENABLE_CAP);
RKVM_IOCTL(GET_STATS_FD);
RKVM_IOCTL(CREATE_DEVICE);
RKVM_IOCTL(HAS_DEVICE_ATTR);
RKVM_IOCTL(GET_DEVICE_ATTR);
RKVM_IOCTL(SET_DEVICE_ATTR);
#ifdef CONFIG_X86_64
RKVM_IOCTL(GET_MSR_INDEX_LIST);
RKVM_IOCTL(GET_MSR_FEATURE_INDEX_LIST);
RKVM_IOCTL(GET_SUPPORTED_CPUID);
RKVM_IOCTL(GET_REGS);
RKVM_IOCTL(SET_REGS);
RKVM_IOCTL(GET_SREGS);
RKVM_IOCTL(SET_SREGS);
RKVM_IOCTL(GET_FPU);
RKVM_IOCTL(SET_FPU);
RKVM_IOCTL(GET_MSRS);
RKVM_IOCTL(SET_MSRS);
RKVM_IOCTL(SET_CPUID2);
RKVM_IOCTL(GET_CPUID2);
RKVM_IOCTL(INTERRUPT);
RKVM_IOCTL(NMI);
RKVM_IOCTL(GET_XSAVE);
RKVM_IOCTL(SET_XSAVE);
RKVM_IOCTL(GET_XCRS);
RKVM_IOCTL(SET_XCRS);
RKVM_IOCTL(GET_DEBUGREGS);
RKVM_IOCTL(SET_DEBUGREGS);
RKVM_IOCTL(GET_VCPU_EVENTS);
RKVM_IOCTL(SET_VCPU_EVENTS);
RKVM_IOCTL(GET_SREGS2);
RKVM_IOCTL(SET_SREGS2);
RKVM_IOCTL(GET_XSAVE2);
RKVM_IOCTL(GET_TSC_KHZ);
RKVM_IOCTL(SET_TSC_KHZ);
RKVM_IOCTL(SET_GUEST_DEBUG);
RKVM_IOCTL(PRE_FAULT_MEMORY);
RKVM_IOCTL(SET_TSS_ADDR);
RKVM_IOCTL(X86_SET_MSR_FILTER);
RKVM_IOCTL(SET_IDENTITY_MAP_ADDR);
RKVM_IOCTL(SET_NR_MMU_PAGES);
RKVM_IOCTL(X86_GET_MCE_CAP_SUPPORTED);
RKVM_IOCTL(X86_SETUP_MCE);
RKVM_IOCTL(X86_SET_MCE);
RKVM_IOCTL(SMI);
RKVM_IOCTL(CREATE_IRQCHIP);
RKVM_IOCTL(GET_IRQCHIP);
RKVM_IOCTL(SET_IRQCHIP);
RKVM_IOCTL(CREATE_PIT);
RKVM_IOCTL(CREATE_PIT2);
RKVM_IOCTL(GET_PIT);
RKVM_IOCTL(SET_PIT);
RKVM_IOCTL(GET_PIT2);
RKVM_IOCTL(SET_PIT2);
RKVM_IOCTL(REINJECT_CONTROL);
RKVM_IOCTL(IRQ_LINE);
RKVM_IOCTL(IRQ_LINE_STATUS);
RKVM_IOCTL(SIGNAL_MSI);
RKVM_IOCTL(SET_GSI_ROUTING);
RKVM_IOCTL(SET_BOOT_CPU_ID);
RKVM_IOCTL(GET_LAPIC);
RKVM_IOCTL(SET_VAPIC_ADDR);
RKVM_IOCTL(SET_LAPIC);
RKVM_IOCTL(GET_MP_STATE);
RKVM_IOCTL(SET_MP_STATE);
RKVM_IOCTL(GET_CLOCK);
RKVM_IOCTL(SET_CLOCK);
RKVM_IOCTL(KVMCLOCK_CTRL);
#endif
#ifdef CONFIG_ARM64
RKVM_IOCTL(ARM_PREFERRED_TARGET);
RKVM_IOCTL(ARM_VCPU_INIT);
RKVM_IOCTL(ARM_VCPU_FINALIZE);
RKVM_IOCTL(GET_ONE_REG);
RKVM_IOCTL(SET_ONE_REG);
RKVM_IOCTL(GET_REG_LIST);
RKVM_IOCTL(ARM_GET_REG_WRITABLE_MASKS);
RKVM_IOCTL(GET_MP_STATE);
RKVM_IOCTL(SET_MP_STATE);
RKVM_IOCTL(GET_VCPU_EVENTS);
RKVM_IOCTL(SET_VCPU_EVENTS);
RKVM_IOCTL(SET_GUEST_DEBUG);
RKVM_IOCTL(CREATE_IRQCHIP);
RKVM_IOCTL(IRQ_LINE);
RKVM_IOCTL(IRQ_LINE_STATUS);
RKVM_IOCTL(SIGNAL_MSI);
RKVM_IOCTL(SET_GSI_ROUTING);
RKVM_IOCTL(ARM_SET_DEVICE_ADDR);
RKVM_IOCTL(ARM_SET_COUNTER_OFFSET);
#endif
#undef RKVM_IOCTL
const fmode_t RKVM_FMODE_PREAD = FMODE_PREAD;
const unsigned int RKVM_EPOLLIN = (unsigned int)EPOLLIN;
const unsigned int RKVM_EPOLLHUP = (unsigned int)EPOLLHUP;
#endif

#endif /* RKVM_HOST_H */
