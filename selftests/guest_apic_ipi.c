// SPDX-License-Identifier: GPL-2.0
/* machine: cpus=2 again=enable_apicv=1 */
/* Interprocessor interrupts: SDM volume 3, 11.6 "Issuing Interprocessor Interrupts". */
#include "lib/apic.h"

enum { CPUS = 3 };

static volatile int ready;			/* vCPUs that wait for interrupts */
static volatile int got[CPUS], got_nmi[CPUS];
static volatile bool finish;
static volatile uint32_t logical_ids[CPUS], flat_or_cluster;

HANDLER(on_ipi)
{
	got[guest_self()]++;
	apic_eoi();
}

HANDLER(on_nmi)
{
	got_nmi[guest_self()]++;
}

HANDLER(on_finish)
{
	apic_eoi();
}

static void set_up(void)
{
	apic_enable();
	GUEST_EQ(apic_id(), guest_self());
	if (!x2apic) {
		apic_write(APIC_DFR, flat_or_cluster);
		apic_write(APIC_LDR, logical_ids[guest_self()] << 24);
	}
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
}

static void wait_halted(void)
{
	set_up();
	guest_wait(finish);
}

static void wait_running(void)
{
	set_up();
	guest_spin(finish);
}

enum { DFR_FLAT = 0xffffffff, DFR_CLUSTER = 0x0fffffff };

/*
 * The first vCPU sends, the others wait for interrupts until it says that all
 * is over.
 */
static void ipi(void (*sender)(void), void (*receiver)(void), bool by_msr)
{
	struct vm *vm = guest_vm(CHIPS);
	struct vcpu *cpus[CPUS];
	pthread_t threads[CPUS];

	x2apic = by_msr;
	guest_gate(vm, VEC_A, on_ipi);
	guest_gate(vm, VEC_D, on_finish);
	guest_gate(vm, NMI_VECTOR, on_nmi);
	for (int i = 0; i < CPUS; i++) {
		logical_ids[i] = 1 << i;
		cpus[i] = guest_cpu(vm, i, i ? receiver : sender);
	}
	flat_or_cluster = DFR_FLAT;
	for (int i = 1; i < CPUS; i++)
		threads[i] = guest_start(cpus[i]);
	EXPECT_DONE(cpus[0]);
	for (int i = 1; i < CPUS; i++)
		guest_join(threads[i]);
}

static void begin(void)
{
	set_up();
	guest_spin(ready == CPUS);
	guest_cli();
}

static void end(void)
{
	finish = true;
	apic_icr(0, ICR_OTHERS | VEC_D);
}

/* The three counts, after waiting until as many have come in all */
static void expect(int first, int second, int third)
{
	guest_spin(got[0] + got[1] + got[2] >= first + second + third);
	guest_cli();
	GUEST_EQ(got[0], first);
	GUEST_EQ(got[1], second);
	GUEST_EQ(got[2], third);
}

static void physical(void)
{
	begin();
	apic_icr(1, VEC_A);
	expect(0, 1, 0);
	apic_icr(2, VEC_A);
	expect(0, 1, 1);
	apic_icr(0, VEC_A);
	expect(1, 1, 1);
	/* One that nobody has */
	apic_icr(7, VEC_A);
	apic_icr(1, VEC_A);
	expect(1, 2, 1);
	if (!x2apic)
		GUEST_EQ(apic_read(APIC_ICR) & ICR_PENDING, 0);
	end();
}

TEST(fixed_to_halted_xapic) { ipi(physical, wait_halted, false); }
TEST(fixed_to_halted_x2apic) { ipi(physical, wait_halted, true); }
TEST(fixed_to_running_xapic) { ipi(physical, wait_running, false); }
TEST(fixed_to_running_x2apic) { ipi(physical, wait_running, true); }

static void shorthands(void)
{
	begin();
	apic_icr(1, ICR_SELF | VEC_A);
	expect(1, 0, 0);
	apic_icr(1, ICR_ALL | VEC_A);
	expect(2, 1, 1);
	apic_icr(0, ICR_OTHERS | VEC_A);
	expect(2, 2, 2);
	end();
}

TEST(shorthands_xapic) { ipi(shorthands, wait_halted, false); }
TEST(shorthands_x2apic) { ipi(shorthands, wait_halted, true); }

#define BROADCAST_XAPIC 0xff
#define BROADCAST_X2APIC 0xffffffff

static void broadcast(void)
{
	const uint32_t all = x2apic ? BROADCAST_X2APIC : BROADCAST_XAPIC;

	begin();
	apic_icr(all, VEC_A);
	expect(1, 1, 1);
	apic_icr(all, ICR_LOGICAL | VEC_A);
	expect(2, 2, 2);
	end();
}

TEST(broadcast_id_xapic) { ipi(broadcast, wait_halted, false); }

/* 0x1ff would be all of cluster 0; 0xffffffff is everybody in both modes. */
TEST(broadcast_id_x2apic) { ipi(broadcast, wait_halted, true); }

/* In flat mode, and in x2APIC mode within cluster 0, the bits of a mask are vCPUs. */
static void logical(void)
{
	begin();
	apic_icr(1 << 1, ICR_LOGICAL | VEC_A);
	expect(0, 1, 0);
	apic_icr(1 << 0 | 1 << 2, ICR_LOGICAL | VEC_A);
	expect(1, 1, 1);
	apic_icr(1 << 1 | 1 << 2, ICR_LOGICAL | VEC_A);
	expect(1, 2, 2);
	end();
}

TEST(logical_flat) { ipi(logical, wait_halted, false); }
TEST(logical_x2apic) { ipi(logical, wait_halted, true); }

/* The logical x2APIC ID is made of the ID: SDM volume 3, 11.12.10.2. */
static void x2apic_ldr(void)
{
	begin();
	GUEST_EQ(apic_read(APIC_LDR), 1);
	end();
}

TEST(logical_id_is_read_only_x2apic) { ipi(x2apic_ldr, wait_halted, true); }

/* Clusters: the high four bits name one, the low four are its members. */
static void set_up_clusters(void)
{
	flat_or_cluster = DFR_CLUSTER;
	logical_ids[0] = 0x11;
	logical_ids[1] = 0x12;
	logical_ids[2] = 0x21;
}

static void clusters(void)
{
	begin();
	GUEST_EQ(apic_read(APIC_LDR), logical_ids[0] << 24);
	apic_icr(0x12, ICR_LOGICAL | VEC_A);
	expect(0, 1, 0);
	apic_icr(0x13, ICR_LOGICAL | VEC_A);
	expect(1, 2, 0);
	apic_icr(0x21, ICR_LOGICAL | VEC_A);
	expect(1, 2, 1);
	end();
}

TEST(logical_cluster)
{
	struct vm *vm = guest_vm(CHIPS);
	struct vcpu *cpus[CPUS];
	pthread_t threads[CPUS];

	set_up_clusters();
	guest_gate(vm, VEC_A, on_ipi);
	guest_gate(vm, VEC_D, on_finish);
	for (int i = 0; i < CPUS; i++)
		cpus[i] = guest_cpu(vm, i, i ? wait_halted : clusters);
	for (int i = 1; i < CPUS; i++)
		threads[i] = guest_start(cpus[i]);
	EXPECT_DONE(cpus[0]);
	for (int i = 1; i < CPUS; i++)
		guest_join(threads[i]);
}

/* Lowest priority reaches exactly one of those named. */
static void lowest_priority(void)
{
	begin();
	for (int i = 1; i <= 20; i++) {
		apic_icr(1 << 1 | 1 << 2, ICR_LOGICAL | ICR_LOWEST | VEC_A);
		guest_spin(got[1] + got[2] == i);
		guest_cli();
	}
	GUEST_EQ(got[0], 0);
	end();
}

TEST(lowest_priority_reaches_one) { ipi(lowest_priority, wait_halted, false); }

static void nmi(void)
{
	begin();
	apic_icr(1, ICR_NMI);
	guest_spin(got_nmi[1] == 1);
	apic_icr(0, ICR_OTHERS | ICR_NMI);
	guest_spin(got_nmi[1] == 2 && got_nmi[2] == 1);
	GUEST_EQ(got_nmi[0], 0);
	end();
}

TEST(nmi_to_halted_xapic) { ipi(nmi, wait_halted, false); }
TEST(nmi_to_halted_x2apic) { ipi(nmi, wait_halted, true); }
TEST(nmi_to_running_xapic) { ipi(nmi, wait_running, false); }

static void self_ipi(void)
{
	begin();
	apic_write(APIC_SELF_IPI, VEC_A);
	GUEST_TRUE(apic_bit(APIC_IRR, VEC_A));
	guest_window();
	expect(1, 0, 0);
	end();
}

TEST(self_ipi_register_x2apic) { ipi(self_ipi, wait_halted, true); }

/* Two at the same vector before the first is taken are one. */
static void collapse(void)
{
	begin();
	apic_icr(0, ICR_SELF | VEC_A);
	apic_icr(0, ICR_SELF | VEC_A);
	guest_window();
	GUEST_EQ(got[0], 1);
	end();
}

TEST(pending_ones_are_one) { ipi(collapse, wait_halted, false); }

/* Ping-pong: each waits for the other's, many times. */
static void ping(void)
{
	begin();
	for (int i = 1; i <= 200; i++) {
		apic_icr(1, VEC_A);
		guest_wait(got[0] >= i);
	}
	end();
}

static void pong(void)
{
	int seen = 0;

	set_up();
	while (guest_self() == 1 && seen < 200) {
		guest_wait(got[1] > seen);
		seen++;
		apic_icr(0, VEC_A);
	}
	guest_wait(finish);
}

TEST_LIMIT(back_and_forth_xapic, 60) { ipi(ping, pong, false); }
TEST_LIMIT(back_and_forth_x2apic, 60) { ipi(ping, pong, true); }

/* An illegal vector is an error, and reaches nobody. */
static void illegal_vector(void)
{
	begin();
	apic_icr(1, 5);
	apic_icr(1, VEC_A);
	expect(0, 1, 0);
	end();
}

TEST(vectors_below_16_are_illegal) { ipi(illegal_vector, wait_halted, false); }
