// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel facilities that are macros or inline functions, or whose calling convention is C's alone, given
 * an address so that Rust can call them. No policy here: every function is what its name says.
 */

#include <linux/cpuhotplug.h>
#include <linux/delay.h>
#include <linux/entry-virt.h>
#include <linux/file.h>
#include <linux/highmem.h>
#include <linux/hrtimer.h>
#include <linux/io.h>
#include <linux/kvm_types.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/pgtable.h>
#include <linux/poll.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/rcuwait.h>
#include <linux/rseq.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <linux/signal.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/swap.h>
#include <linux/uaccess.h>
#include <linux/vtime.h>
#include <linux/wait.h>
#ifdef CONFIG_X86_64
#include <trace/events/ipi.h>
#endif

#include "rkvm_host.h"

int rkvm_mutex_lock_killable(struct mutex *lock)
{
	return mutex_lock_killable(lock);
}

/* Turns preemption off and returns the number of the CPU. */
notrace int rkvm_preempt_disable(void)
{
	preempt_disable();
	return smp_processor_id();
}

notrace void rkvm_preempt_enable(void)
{
	preempt_enable();
}

notrace unsigned long rkvm_irq_save(void)
{
	unsigned long flags;

	local_irq_save(flags);
	return flags;
}

notrace void rkvm_irq_restore(unsigned long flags)
{
	local_irq_restore(flags);
}

/* Lets pending interrupts in. On x86 the instruction after the enabling one still runs with them held off. */
notrace void rkvm_irq_window(void)
{
	local_irq_enable();
#ifdef CONFIG_ARM64
	isb();
#else
	nop();
#endif
	local_irq_disable();
}

unsigned int rkvm_online_cpus(void)
{
	return num_online_cpus();
}

unsigned int rkvm_possible_cpus(void)
{
	return nr_cpu_ids;
}

/* Whether a signal, a reschedule or task work waits for the current task. */
notrace bool rkvm_work_pending(void)
{
	return __xfer_to_guest_mode_work_pending();
}

/* Does that work with preemption and interrupts on. Returns 0, or -EINTR where a signal is pending. */
int rkvm_handle_work(void)
{
	return xfer_to_guest_mode_handle_work();
}

/* After KVM_RUN: what that work may have put off until the return to user space is not forgotten. */
void rkvm_user_return(void)
{
	rseq_virt_userspace_exit();
}

/* Whether the current task is all that the CPU has to do, and has no signal. */
bool rkvm_otherwise_idle(void)
{
	cpu_relax();
	return single_task_running() && !need_resched() && !signal_pending(current);
}

bool rkvm_is_dying(void)
{
	return fatal_signal_pending(current);
}

void rkvm_relax(void)
{
	cond_resched();
	cpu_relax();
}

/*
 * Lets other threads that are ready run first. Unlike cond_resched(), also when the scheduler sees no need: the
 * guest has just told that it waits for one of them.
 */
void rkvm_yield(void)
{
	yield();
}

void rkvm_nap(void)
{
	usleep_range(20, 100);
}

/* A guest is as good as user mode to RCU: no reader of this CPU survives an entry. */
void rkvm_note_quiescent_state(void)
{
	rcu_virt_note_context_switch();
}

/* Between begin and end a timer tick is accounted to the guest. */
void rkvm_guest_time_begin(void)
{
	if (vtime_accounting_enabled_this_cpu())
		vtime_guest_enter(current);
	else
		current->flags |= PF_VCPU;
}

void rkvm_guest_time_end(void)
{
	if (vtime_accounting_enabled_this_cpu())
		vtime_guest_exit(current);
	else
		current->flags &= ~PF_VCPU;
}

/* Runs func(arg) on an online CPU by interprocessor interrupt and waits for it; -ENXIO if it is offline. */
int rkvm_call_on_cpu(int cpu, void (*func)(void *), void *arg)
{
	return smp_call_function_single(cpu, func, arg, 1);
}

/* Installs the blocked-signal mask for KVM_RUN; mask is a user sigset of sizeof(sigset_t) bytes. */
void rkvm_sigmask_set(const u8 *mask, sigset_t *saved)
{
	sigset_t set;

	memcpy(&set, mask, sizeof(set));
	sigprocmask(SIG_SETMASK, &set, saved);
	current->real_blocked = *saved;
}

void rkvm_sigmask_restore(const sigset_t *saved)
{
	sigset_t set = *saved;

	sigprocmask(SIG_SETMASK, &set, NULL);
	sigemptyset(&current->real_blocked);
}

struct mmu_notifier *rkvm_mmu_notifier_get(const struct mmu_notifier_ops *ops, struct mm_struct *mm)
{
	return mmu_notifier_get(ops, mm);
}

/* Looks a present page up without sleeping; true with a reference on success. */
bool rkvm_page_fast(unsigned long hva, bool write, struct page **page)
{
	return get_user_page_fast_only(hva, write ? FOLL_WRITE : 0, page);
}

/* Faults a page in. Returns 1 with a reference, or -errno; a signal ends the wait for a userfaultfd. */
long rkvm_page_slow(unsigned long hva, bool write, struct page **page)
{
	return get_user_pages_unlocked(hva, 1, page,
				       FOLL_HWPOISON | FOLL_INTERRUPTIBLE | (write ? FOLL_WRITE : 0));
}

/* The memory behind an address of the current task has failed: tells it as if it had touched it. */
void rkvm_report_memory_failure(unsigned long hva)
{
	send_sig_mceerr(BUS_MCEERR_AR, (void __user *)hva, PAGE_SHIFT, current);
}

u64 rkvm_page_pfn(struct page *page)
{
	return page_to_pfn(page);
}

/* Tells the mm that a page is used, and dirty if it may be written. */
void rkvm_page_mark_used(struct page *page, bool dirty)
{
	if (PageReserved(page))
		return;
	if (dirty)
		SetPageDirty(page);
	mark_page_accessed(page);
}

/* Drops a reference taken by rkvm_page_*(). */
void rkvm_page_release(struct page *page)
{
	put_page(page);
}

/* Whether the page is part of a folio that one entry above the lowest level can map. */
bool rkvm_page_is_huge(struct page *page)
{
	return folio_order(page_folio(page)) >= PMD_ORDER;
}

/*
 * The size (as a shift) of the host's own mapping of hva: PAGE_SHIFT, PMD_SHIFT or PUD_SHIFT. Interrupts are
 * off during the walk, which keeps the tables from being freed under it. The answer may be stale at
 * once: callers recheck the notifier's sequence.
 */
unsigned int rkvm_host_mapping_shift(struct mm_struct *mm, unsigned long hva)
{
	unsigned int shift = PAGE_SHIFT;
	unsigned long flags;
	pgd_t pgd;
	p4d_t p4d;
	pud_t pud;
	pmd_t pmd;

	local_irq_save(flags);
	pgd = READ_ONCE(*pgd_offset(mm, hva));
	if (pgd_none(pgd))
		goto out;
	p4d = READ_ONCE(*p4d_offset(pgd_offset(mm, hva), hva));
	if (p4d_none(p4d) || !p4d_present(p4d))
		goto out;
	pud = READ_ONCE(*pud_offset(p4d_offset(pgd_offset(mm, hva), hva), hva));
	if (pud_none(pud) || !pud_present(pud))
		goto out;
	if (pud_leaf(pud)) {
		shift = PUD_SHIFT;
		goto out;
	}
	pmd = READ_ONCE(*pmd_offset(pud_offset(p4d_offset(pgd_offset(mm, hva), hva), hva), hva));
	if (!pmd_none(pmd) && pmd_present(pmd) && pmd_leaf(pmd))
		shift = PMD_SHIFT;
out:
	local_irq_restore(flags);
	return shift;
}

int rkvm_get_user_u32(u64 addr, u32 *value)
{
	return get_user(*value, (u32 __user *)(unsigned long)addr);
}

int rkvm_get_user_u64(u64 addr, u64 *value)
{
	return get_user(*value, (u64 __user *)(unsigned long)addr);
}

/*
 * Reads or writes a byte of user memory without sleeping: 0, or -EFAULT where the page is not there. Interrupts may be
 * off.
 */
int rkvm_read_user_u8_nofault(u64 addr, u8 *value)
{
	return copy_from_user_nofault(value, (const u8 __user *)(unsigned long)addr, sizeof(*value));
}

int rkvm_write_user_u8_nofault(u64 addr, u8 value)
{
	return copy_to_user_nofault((u8 __user *)(unsigned long)addr, &value, sizeof(value));
}

bool rkvm_user_range_ok(u64 addr, u64 size)
{
	return access_ok((void __user *)(unsigned long)addr, size);
}

/* A zeroed page of the direct map, charged to the caller's memory cgroup; NULL if there is none. */
void *rkvm_page_alloc(void)
{
	return (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
}

/* 1 << order zeroed pages, aligned to their size, each to be freed by rkvm_page_free(); NULL if there are none. */
void *rkvm_pages_alloc(unsigned int order)
{
	unsigned long pages = __get_free_pages(GFP_KERNEL_ACCOUNT | __GFP_ZERO, order);

	if (pages && order)
		split_page(virt_to_page((void *)pages), order);
	return (void *)pages;
}

void rkvm_page_free(void *page)
{
	free_page((unsigned long)page);
}

struct page *rkvm_virt_to_page(const void *ptr)
{
	return virt_to_page(ptr);
}

u64 rkvm_virt_to_phys(const void *ptr)
{
	return virt_to_phys((void *)ptr);
}

void *rkvm_phys_to_virt(u64 phys)
{
	return phys_to_virt(phys);
}

/* Returns the dynamic hotplug state, or -errno (that of the first CPU whose callback failed). */
int rkvm_cpuhp_setup(int (*online)(unsigned int), int (*offline)(unsigned int))
{
	return cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "rust_kvm:online", online, offline);
}

void rkvm_cpuhp_remove(int state)
{
	cpuhp_remove_state(state);
}

void rkvm_raw_lock_init(raw_spinlock_t *lock, const char *name, struct lock_class_key *key)
{
	raw_spin_lock_init(lock);
	lockdep_set_class_and_name(lock, key, name);
}

unsigned long rkvm_raw_lock(raw_spinlock_t *lock)
{
	unsigned long flags;

	raw_spin_lock_irqsave(lock, flags);
	return flags;
}

void rkvm_raw_unlock(raw_spinlock_t *lock, unsigned long flags)
{
	raw_spin_unlock_irqrestore(lock, flags);
}

#ifdef CONFIG_X86_64
/* Makes a CPU take an interrupt; any context but NMI. */
void rkvm_interrupt_cpu(int cpu)
{
	smp_send_reschedule(cpu);
}
#else
static void rkvm_nothing(void *unused)
{
}

static DEFINE_PER_CPU(call_single_data_t, rkvm_interrupt) = CSD_INIT(rkvm_nothing, NULL);

/* The same where smp_send_reschedule() is not exported. One that is under way already is as good. */
void rkvm_interrupt_cpu(int cpu)
{
	smp_call_function_single_async(cpu, per_cpu_ptr(&rkvm_interrupt, cpu));
}
#endif

void rkvm_waiter_init(struct rcuwait *wait)
{
	rcuwait_init(wait);
}

void rkvm_waiter_wake(struct rcuwait *wait)
{
	rcuwait_wake_up(wait);
}

void rkvm_waiter_prepare(struct rcuwait *wait)
{
	prepare_to_rcuwait(wait);
}

/* From here on a wake-up ends the sleep that follows, whatever is looked at in between. */
void rkvm_waiter_begin(void)
{
	set_current_state(TASK_INTERRUPTIBLE);
}

void rkvm_waiter_finish(struct rcuwait *wait)
{
	finish_rcuwait(wait);
}

void rkvm_sleep(void)
{
	schedule();
}

/* True if the time is over, false if something woke the task before. */
bool rkvm_sleep_for(u64 ns)
{
	ktime_t time = ns_to_ktime(min_t(u64, ns, KTIME_MAX));

	return schedule_hrtimeout(&time, HRTIMER_MODE_REL_HARD) == 0;
}

/* Nanoseconds of CLOCK_MONOTONIC. */
u64 rkvm_now(void)
{
	return ktime_get_ns();
}

struct rkvm_poll {
	poll_table table;
	wait_queue_entry_t *entry;
	int error;
};

static void rkvm_poll_attach(struct file *file, wait_queue_head_t *queue, poll_table *table)
{
	struct rkvm_poll *poll = container_of(table, struct rkvm_poll, table);

	poll->error = add_wait_queue_priority_exclusive(queue, poll->entry);
}

/*
 * Puts an entry before all others of the eventfd's wait queue, to be woken alone. Returns 1 if the eventfd
 * is signalled already, 0 if not, -EBUSY if the queue has such an entry.
 */
int rkvm_eventfd_listen(struct file *file, wait_queue_func_t wake, wait_queue_entry_t *entry)
{
	struct rkvm_poll poll = { .entry = entry };
	__poll_t events;

	init_waitqueue_func_entry(entry, wake);
	init_poll_funcptr(&poll.table, rkvm_poll_attach);
	events = vfs_poll(file, &poll.table);
	if (poll.error)
		return poll.error;
	return !!(events & EPOLLIN);
}

/* How long the current task has waited for a CPU, in nanoseconds; 0 for a kernel that does not count that. */
u64 rkvm_run_delay(void)
{
#ifdef CONFIG_SCHED_INFO
	return current->sched_info.run_delay;
#else
	return 0;
#endif
}
