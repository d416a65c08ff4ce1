// SPDX-License-Identifier: GPL-2.0
/* machine: cpus=2 again=enable_apicv=1 */
/* HLT with an irqchip in the kernel: the thread sleeps there until something for the vCPU comes. */
#define _GNU_SOURCE
#include "lib/apic.h"

static volatile int interrupts, nmis;
static volatile uint64_t halted;	/* the guest is about to halt */

HANDLER(on_interrupt)
{
	interrupts++;
	apic_eoi();
}

HANDLER(on_nmi)
{
	nmis++;
}

static struct vcpu *halting(void (*fn)(void))
{
	struct vcpu *vcpu = guest_cpu(guest_vm(CHIPS), 0, fn);

	guest_gate(vcpu->vm, VEC_A, on_interrupt);
	guest_gate(vcpu->vm, NMI_VECTOR, on_nmi);
	return vcpu;
}

static void halt_once(void)
{
	apic_enable();
	halted = 1;
	guest_wait(interrupts);
}

static void halt_with_interrupts_off(void)
{
	apic_enable();
	halted = 1;
	__asm__ volatile("hlt" : : : "memory");
}

static volatile pid_t runner;

static void *run_and_tell(void *vcpu)
{
	runner = gettid();
	return guest_thread(vcpu);
}

/* Runs the vCPU in a thread until the guest has halted and the thread sleeps. */
static pthread_t run_to_halt(struct vcpu *vcpu)
{
	pthread_t thread;

	ASSERT_EQ(pthread_create(&thread, NULL, run_and_tell, vcpu), 0);
	host_wait(halted);
	host_wait(host_thread_state(runner) == 'S');
	return thread;
}

TEST(until_an_msi)
{
	struct vcpu *vcpu = halting(halt_once);
	pthread_t thread = run_to_halt(vcpu);

	ASSERT_EQ(signal_msi(vcpu->vm, MSI_TO(0), VEC_A), 1);
	guest_join(thread);
	EXPECT_EQ(interrupts, 1);
}

static void halt_for_a_pin(void)
{
	apic_enable();
	ioapic_entry(5, VEC_A, 0);
	halted = 1;
	guest_wait(interrupts);
}

TEST(until_a_pin)
{
	struct vcpu *vcpu = halting(halt_for_a_pin);
	pthread_t thread = run_to_halt(vcpu);

	irq_pulse(vcpu->vm, 5);
	guest_join(thread);
	EXPECT_EQ(interrupts, 1);
}

TEST(until_an_irqfd)
{
	struct vcpu *vcpu = halting(halt_for_a_pin);
	int fd = event_new();
	pthread_t thread;

	ASSERT_OK(irqfd(vcpu->vm, fd, 5, 0, 0));
	thread = run_to_halt(vcpu);
	event_signal(fd);
	guest_join(thread);
	EXPECT_EQ(interrupts, 1);
}

static void halt_for_the_timer(void)
{
	apic_enable();
	apic_write(APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, VEC_A);
	apic_write(APIC_TIMER_INITIAL, 20000000);
	halted = 1;
	guest_wait(interrupts);
}

TEST(until_its_timer)
{
	struct vcpu *vcpu = halting(halt_for_the_timer);

	EXPECT_DONE(vcpu);
	EXPECT_EQ(interrupts, 1);
}

static void send_ipi(void)
{
	apic_enable();
	apic_icr(0, ICR_FIXED | VEC_A);
}

TEST(until_an_ipi)
{
	struct vcpu *vcpu = halting(halt_once);
	struct vcpu *sender = guest_cpu(vcpu->vm, 1, send_ipi);
	pthread_t thread = run_to_halt(vcpu);

	EXPECT_DONE(sender);
	guest_join(thread);
	EXPECT_EQ(interrupts, 1);
}

TEST(until_an_nmi_with_interrupts_off)
{
	struct vcpu *vcpu = halting(halt_with_interrupts_off);
	pthread_t thread = run_to_halt(vcpu);

	ASSERT_EQ(signal_msi(vcpu->vm, MSI_TO(0), ICR_NMI), 1);
	guest_join(thread);
	EXPECT_EQ(nmis, 1);
}

/* An interrupt that the guest does not take leaves it asleep. */
TEST(not_until_a_masked_interrupt)
{
	struct vcpu *vcpu = halting(halt_with_interrupts_off);
	pthread_t thread = run_to_halt(vcpu);

	ASSERT_EQ(signal_msi(vcpu->vm, MSI_TO(0), VEC_A), 1);
	host_wait(host_thread_state(runner) == 'S');
	ASSERT_EQ(signal_msi(vcpu->vm, MSI_TO(0), ICR_NMI), 1);
	guest_join(thread);
	EXPECT_EQ(nmis, 1);
	EXPECT_EQ(interrupts, 0);
}

static void *run_until_signal(void *arg)
{
	struct vcpu *vcpu = arg;

	runner = gettid();
	EXPECT_ERRNO(guest_run(vcpu), EINTR);
	EXPECT_EXIT(vcpu, KVM_EXIT_INTR);
	return NULL;
}

/* Ends KVM_RUN of a halted guest by a signal. */
static void kick_out_of_halt(struct vcpu *vcpu)
{
	pthread_t thread;

	host_catch_kicks();
	runner = 0;
	ASSERT_EQ(pthread_create(&thread, NULL, run_until_signal, vcpu), 0);
	host_wait(halted && runner);
	host_wait(host_thread_state(runner) == 'S');
	ASSERT_EQ(pthread_kill(thread, KICK_SIGNAL), 0);
	guest_join(thread);
}

TEST(a_signal_ends_it)
{
	struct vcpu *vcpu = halting(halt_once);

	kick_out_of_halt(vcpu);
	EXPECT_EQ(vcpu_mp_state(vcpu), KVM_MP_STATE_HALTED);
	/* It sleeps on in the next KVM_RUN. */
	kick_out_of_halt(vcpu);
	ASSERT_EQ(signal_msi(vcpu->vm, MSI_TO(0), VEC_A), 1);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(interrupts, 1);
}

TEST(a_signal_ends_it_with_interrupts_off)
{
	struct vcpu *vcpu = halting(halt_with_interrupts_off);

	kick_out_of_halt(vcpu);
	ASSERT_OK(ioctl(vcpu->fd, KVM_NMI));
	EXPECT_DONE(vcpu);
	EXPECT_EQ(nmis, 1);
}

/* KVM_SET_MP_STATE wakes as well: the guest goes on behind HLT. */
TEST(made_runnable)
{
	struct vcpu *vcpu = halting(halt_with_interrupts_off);

	kick_out_of_halt(vcpu);
	ASSERT_OK(vcpu_set_mp_state(vcpu, KVM_MP_STATE_RUNNABLE));
	EXPECT_DONE(vcpu);
}

/* A pending interrupt lets HLT fall through. */
static void halt_with_one_pending(void)
{
	apic_enable();
	apic_icr(0, ICR_SELF | VEC_A);
	GUEST_EQ(interrupts, 0);
	guest_halt();
	GUEST_EQ(interrupts, 1);
}

TEST(not_with_one_pending)
{
	EXPECT_DONE(halting(halt_with_one_pending));
}

static volatile int steps;

HANDLER(on_debug)
{
	steps++;
	frame->flags &= ~RFLAGS_TF;
}

static void step_over_halt(void)
{
	__asm__ volatile("pushfq\norl $0x100, (%%rsp)\npopfq\nhlt" : : : "memory", "cc");
}

/* The trap of a single step ends it. */
TEST(until_a_step_of_its_own)
{
	struct vcpu *vcpu = halting(step_over_halt);

	guest_gate(vcpu->vm, DB_VECTOR, on_debug);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(steps, 1);
}

static volatile bool woken;

/* Halts while it holds back the next. */
HANDLER(on_nmi_halt)
{
	if (nmis++)
		return;
	apic_icr(0, ICR_NMI);
	halted = 1;
	guest_halt();
	woken = true;
}

static void halt_in_nmi(void)
{
	apic_enable();
	apic_icr(0, ICR_NMI);
}

TEST(not_until_an_nmi_that_is_blocked)
{
	struct vcpu *vcpu = halting(halt_in_nmi);

	guest_gate(vcpu->vm, NMI_VECTOR, on_nmi_halt);
	kick_out_of_halt(vcpu);
	EXPECT_EQ(vcpu_mp_state(vcpu), KVM_MP_STATE_HALTED);
	EXPECT_EQ(woken, 0);
	/* The handler's IRET lets the other NMI in. */
	ASSERT_EQ(signal_msi(vcpu->vm, MSI_TO(0), VEC_A), 1);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(nmis, 2);
	EXPECT_EQ(interrupts, 1);
}

/* An application processor that was never started */
TEST(before_startup)
{
	struct vcpu *vcpu = halting(halt_once);
	struct vcpu *second = guest_cpu_bare(vcpu->vm, 1);

	halted = 1;
	EXPECT_EQ(vcpu_mp_state(second), KVM_MP_STATE_UNINITIALIZED);
	kick_out_of_halt(second);
	EXPECT_EQ(vcpu_mp_state(second), KVM_MP_STATE_UNINITIALIZED);
}

static void count_halts(void)
{
	apic_enable();
	for (int i = 1; i <= 200; i++) {
		halted = i;
		guest_wait(interrupts >= i);
	}
}

/* Interrupts sent while the guest goes to sleep are not lost. */
TEST_LIMIT(again_and_again, 60)
{
	struct vcpu *vcpu = halting(count_halts);
	pthread_t thread = guest_start(vcpu);

	for (int i = 1; i <= 200; i++) {
		host_wait(halted >= (uint64_t)i);
		ASSERT_EQ(signal_msi(vcpu->vm, MSI_TO(0), VEC_A), 1);
	}
	guest_join(thread);
	EXPECT_EQ(interrupts, 200);
}
