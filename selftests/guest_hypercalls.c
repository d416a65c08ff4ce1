// SPDX-License-Identifier: GPL-2.0
/* machine: cpus=2 */
/* Hypercalls of Linux guests. */
#include "lib/pv.h"

enum { CPUS = 3, UNKNOWN = 12345 };

static volatile int ready, got[CPUS];
static volatile bool woken, finish;

HANDLER(on_ipi)
{
	got[guest_self()]++;
	apic_eoi();
}

HANDLER(on_finish)
{
	apic_eoi();
}

static struct vm *pv_vm(unsigned int feature)
{
	struct vm *vm = guest_vm(CHIPS);

	PV_NEEDS(vm->kvm, feature);
	guest_gate(vm, VEC_A, on_ipi);
	guest_gate(vm, VEC_D, on_finish);
	return vm;
}

static void unknown(void)
{
	GUEST_EQ(hypercall(UNKNOWN, 0, 0, 0, 0), HC_ENOSYS);
	GUEST_EQ(hypercall(-1, 0, 0, 0, 0), HC_ENOSYS);
	GUEST_EQ(hypercall(HC_VAPIC_POLL, 0, 0, 0, 0), 0);
}

TEST(unknown_ones)
{
	EXPECT_DONE(guest_cpu(guest_vm(CHIPS), 0, unknown));
}

TEST(unknown_ones_without_irqchip)
{
	EXPECT_DONE(guest_cpu(guest_vm(NO_CHIPS), 0, unknown));
}

/* Interrupts off: nothing but the kick wakes it. */
static void sleep_until_kicked(void)
{
	apic_enable();
	ready = 1;
	__asm__ volatile("hlt" : : : "memory");
	woken = true;
}

static void kick(void)
{
	guest_spin(ready);
	GUEST_EQ(hypercall(HC_KICK, 0, 1, 0, 0), 0);
	/* Nobody there */
	GUEST_EQ(hypercall(HC_KICK, 0, 77, 0, 0), 0);
}

TEST(kick_wakes_a_halted_vcpu)
{
	struct vm *vm = pv_vm(PV_UNHALT);
	struct vcpu *first = guest_cpu(vm, 0, kick);
	pthread_t thread = guest_start(guest_cpu(vm, 1, sleep_until_kicked));

	EXPECT_DONE(first);
	guest_join(thread);
	EXPECT_TRUE(woken);
}

static void wait_for_ipis(void)
{
	apic_enable();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	guest_wait(finish);
}

/* Bits of the mask from an APIC ID on; the number reached comes back. */
static void send_ipis(void)
{
	apic_enable();
	guest_spin(ready == CPUS - 1);
	GUEST_EQ(hypercall(HC_SEND_IPI, 6, 0, 0, VEC_A), 2);
	guest_spin(got[1] == 1 && got[2] == 1);
	GUEST_EQ(hypercall(HC_SEND_IPI, 1, 0, 2, VEC_A), 1);
	guest_spin(got[2] == 2);
	GUEST_EQ(hypercall(HC_SEND_IPI, 1, 0, 0, VEC_A), 1);
	guest_spin(got[0] == 1);
	GUEST_EQ(hypercall(HC_SEND_IPI, 0, 0, 0, VEC_A), 0);
	finish = true;
	apic_icr(0, ICR_OTHERS | VEC_D);
}

TEST(send_ipi)
{
	struct vm *vm = pv_vm(PV_SEND_IPI);
	struct vcpu *first = guest_cpu(vm, 0, send_ipis);
	pthread_t threads[CPUS];

	for (int i = 1; i < CPUS; i++)
		threads[i] = guest_start(guest_cpu(vm, i, wait_for_ipis));
	EXPECT_DONE(first);
	for (int i = 1; i < CPUS; i++)
		guest_join(threads[i]);
	EXPECT_EQ(got[0], 1);
	EXPECT_EQ(got[1], 1);
	EXPECT_EQ(got[2], 2);
}

static void bad_ipis(void)
{
	apic_enable();
	/* Far from any vCPU, and beyond any table of them */
	GUEST_TRUE(hypercall(HC_SEND_IPI, -1, -1, 1000, VEC_A) <= 0);
	GUEST_TRUE(hypercall(HC_SEND_IPI, -1, -1, 0xffffffff, VEC_A) <= 0);
	GUEST_TRUE(hypercall(HC_SEND_IPI, -1, -1, 0xfffffff0, VEC_A) <= 0);
}

TEST(send_ipi_to_nobody)
{
	EXPECT_DONE(guest_cpu(pv_vm(PV_SEND_IPI), 0, bad_ipis));
}

static void yield(void)
{
	GUEST_EQ(hypercall(HC_YIELD, 1, 0, 0, 0), 0);
	GUEST_EQ(hypercall(HC_YIELD, 0, 0, 0, 0), 0);
	GUEST_EQ(hypercall(HC_YIELD, 99, 0, 0, 0), 0);
}

TEST(sched_yield)
{
	struct vm *vm = pv_vm(PV_SCHED_YIELD);

	guest_cpu(vm, 1, yield);
	EXPECT_DONE(guest_cpu(vm, 0, yield));
}
