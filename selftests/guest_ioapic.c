// SPDX-License-Identifier: GPL-2.0
/* machine: cpus=2 again=enable_apicv=1 */
/* The I/O APIC: its registers, edges, levels, destinations. */
#include "lib/apic.h"

enum { PIN = 10, OTHER_PIN = 11 };

static volatile int count, others, nmis;
static volatile bool ready;

HANDLER(on_edge)
{
	count++;
	apic_eoi();
}

HANDLER(on_other)
{
	others++;
	apic_eoi();
}

HANDLER(on_nmi)
{
	nmis++;
}

/* The host takes the level away during the second of three. */
HANDLER(on_level)
{
	count++;
	GUEST_EQ(ioapic_read(IOAPIC_ENTRY + 2 * PIN) & ENTRY_REMOTE_IRR, ENTRY_REMOTE_IRR);
	GUEST_TRUE(apic_bit(APIC_ISR, VEC_B));
	GUEST_TRUE(apic_bit(APIC_TMR, VEC_B));
	if (count == 2)
		guest_step(2);
	apic_eoi();
}

static struct vcpu *ioapic_guest(void (*fn)(void))
{
	struct vcpu *vcpu = guest_cpu(guest_vm(CHIPS), 0, fn);

	guest_gate(vcpu->vm, VEC_A, on_edge);
	guest_gate(vcpu->vm, VEC_B, on_level);
	guest_gate(vcpu->vm, VEC_C, on_other);
	guest_gate(vcpu->vm, NMI_VECTOR, on_nmi);
	return vcpu;
}

static void registers(void)
{
	const uint32_t version = 0x11, last_pin = IOAPIC_PINS - 1;
	const uint32_t read_only = ENTRY_PENDING | ENTRY_REMOTE_IRR;

	GUEST_EQ(ioapic_read(IOAPIC_VERSION), last_pin << 16 | version);
	GUEST_EQ(ioapic_read(IOAPIC_ID), 0);
	ioapic_write(IOAPIC_ID, 5 << 24);
	GUEST_EQ(ioapic_read(IOAPIC_ID), 5 << 24);
	GUEST_EQ(mmio_read(IOAPIC_BASE + IOAPIC_SELECT), IOAPIC_ID);
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
		GUEST_EQ(ioapic_read(IOAPIC_ENTRY + 2 * pin), ENTRY_MASKED);
		GUEST_EQ(ioapic_read(IOAPIC_ENTRY + 2 * pin + 1), 0);
	}
	ioapic_write(IOAPIC_ENTRY + 2 * PIN, 0x1ffff);
	GUEST_EQ(ioapic_read(IOAPIC_ENTRY + 2 * PIN), 0x1ffff & ~read_only);
	ioapic_write(IOAPIC_ENTRY + 2 * PIN + 1, 0x03000000);
	GUEST_EQ(ioapic_read(IOAPIC_ENTRY + 2 * PIN + 1), 0x03000000);
	/* Its neighbours are as before. */
	GUEST_EQ(ioapic_read(IOAPIC_ENTRY + 2 * OTHER_PIN), ENTRY_MASKED);
}

TEST(registers)
{
	EXPECT_DONE(ioapic_guest(registers));
}

static void edge(void)
{
	apic_enable();
	ioapic_entry(PIN, VEC_A, 0);
	guest_step(1);
	guest_wait(count == 1);
	guest_window();
	GUEST_EQ(count, 1);
	GUEST_EQ(ioapic_read(IOAPIC_ENTRY + 2 * PIN), VEC_A);
	GUEST_TRUE(!apic_bit(APIC_TMR, VEC_A));
	guest_step(2);
	guest_wait(count == 2);
}

static void run_edge(bool by_msr)
{
	struct vcpu *vcpu = ioapic_guest(edge);

	x2apic = by_msr;
	ASSERT_STEP(vcpu, 1);
	ASSERT_OK(irq_line(vcpu->vm, PIN, 1));
	ASSERT_STEP(vcpu, 2);
	ASSERT_OK(irq_line(vcpu->vm, PIN, 1));
	irq_pulse(vcpu->vm, PIN);
	irq_pulse(vcpu->vm, PIN);
	EXPECT_DONE(vcpu);
}

TEST(edge_xapic) { run_edge(false); }
TEST(edge_x2apic) { run_edge(true); }

static void level(void)
{
	apic_enable();
	ioapic_entry(PIN, VEC_B | ENTRY_LEVEL, 0);
	guest_step(1);
	guest_wait(count == 2);
	guest_window();
	GUEST_EQ(count, 2);
	GUEST_EQ(ioapic_read(IOAPIC_ENTRY + 2 * PIN), VEC_B | ENTRY_LEVEL);
}

/* While the line is high the end of one is the beginning of the next. */
static void run_level(bool by_msr)
{
	struct vcpu *vcpu = ioapic_guest(level);

	x2apic = by_msr;
	ASSERT_STEP(vcpu, 1);
	ASSERT_OK(irq_line(vcpu->vm, PIN, 1));
	ASSERT_STEP(vcpu, 2);
	ASSERT_OK(irq_line(vcpu->vm, PIN, 0));
	EXPECT_DONE(vcpu);
}

TEST(level_xapic) { run_level(false); }
TEST(level_x2apic) { run_level(true); }

static void mask_level(void)
{
	apic_enable();
	ioapic_entry(PIN, VEC_B | ENTRY_LEVEL | ENTRY_MASKED, 0);
	guest_step(1);
	guest_window();
	GUEST_EQ(count, 0);
	ioapic_write(IOAPIC_ENTRY + 2 * PIN, VEC_B | ENTRY_LEVEL);
	guest_wait(count == 2);
}

TEST(a_masked_level_waits)
{
	struct vcpu *vcpu = ioapic_guest(mask_level);

	ASSERT_STEP(vcpu, 1);
	ASSERT_OK(irq_line(vcpu->vm, PIN, 1));
	ASSERT_STEP(vcpu, 2);
	ASSERT_OK(irq_line(vcpu->vm, PIN, 0));
	EXPECT_DONE(vcpu);
}

static void mask_edges(void)
{
	apic_enable();
	ioapic_entry(PIN, VEC_A, 0);
	guest_step(1);
	guest_window();
	GUEST_EQ(count, 1);
	ioapic_write(IOAPIC_ENTRY + 2 * PIN, ENTRY_MASKED);
	guest_step(2);
	guest_window();
	GUEST_EQ(count, 1);
}

TEST(masked_edges_do_not_arrive)
{
	struct vcpu *vcpu = ioapic_guest(mask_edges);

	ASSERT_STEP(vcpu, 1);
	irq_pulse(vcpu->vm, PIN);
	ASSERT_STEP(vcpu, 2);
	irq_pulse(vcpu->vm, PIN);
	EXPECT_DONE(vcpu);
}

/* An EOI is of one vector: the pin of another keeps its remote IRR. */
static void two_levels(void)
{
	apic_enable();
	ioapic_entry(PIN, VEC_B | ENTRY_LEVEL, 0);
	ioapic_entry(OTHER_PIN, VEC_C | ENTRY_LEVEL, 0);
	guest_step(1);
	GUEST_TRUE(ioapic_read(IOAPIC_ENTRY + 2 * PIN) & ENTRY_REMOTE_IRR);
	GUEST_TRUE(ioapic_read(IOAPIC_ENTRY + 2 * OTHER_PIN) & ENTRY_REMOTE_IRR);
	/* The higher vector comes alone while priorities below it are shut out. */
	apic_write(APIC_TPR, VEC_B);
	guest_window();
	GUEST_EQ(others, 1);
	GUEST_EQ(count, 0);
	GUEST_TRUE(ioapic_read(IOAPIC_ENTRY + 2 * PIN) & ENTRY_REMOTE_IRR);
	GUEST_TRUE(!(ioapic_read(IOAPIC_ENTRY + 2 * OTHER_PIN) & ENTRY_REMOTE_IRR));
	apic_write(APIC_TPR, 0);
	guest_window();
	GUEST_EQ(count, 1);
	GUEST_TRUE(!(ioapic_read(IOAPIC_ENTRY + 2 * PIN) & ENTRY_REMOTE_IRR));
}

TEST(eoi_is_of_one_vector)
{
	struct vcpu *vcpu = ioapic_guest(two_levels);

	ASSERT_STEP(vcpu, 1);
	irq_pulse(vcpu->vm, PIN);
	irq_pulse(vcpu->vm, OTHER_PIN);
	EXPECT_DONE(vcpu);
}

static void nmi(void)
{
	apic_enable();
	ioapic_entry(PIN, ICR_NMI, 0);
	guest_step(1);
	guest_wait(nmis == 1);
}

TEST(as_nmi)
{
	struct vcpu *vcpu = ioapic_guest(nmi);

	ASSERT_STEP(vcpu, 1);
	irq_pulse(vcpu->vm, PIN);
	EXPECT_DONE(vcpu);
}

static void all_pins(void)
{
	apic_enable();
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
		ioapic_entry(pin, VEC_A, 0);
		guest_step(pin);
		guest_wait(count == (int)pin + 1);
		ioapic_entry(pin, ENTRY_MASKED, 0);
	}
}

/* Without KVM_SET_GSI_ROUTING the pins are the GSIs. */
TEST(every_pin)
{
	struct vcpu *vcpu = ioapic_guest(all_pins);

	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
		ASSERT_STEP(vcpu, pin);
		irq_pulse(vcpu->vm, pin);
	}
	EXPECT_DONE(vcpu);
}

static void second(void)
{
	apic_enable();
	apic_write(APIC_LDR, 2 << 24);
	ready = true;
	guest_wait(count == 2);
}

static void to_second(void)
{
	apic_enable();
	guest_spin(ready);
	ioapic_entry(PIN, VEC_A, 1);
	guest_step(1);
	guest_spin(count == 1);
	ioapic_entry(PIN, VEC_A | ENTRY_LOGICAL, 2);
	guest_step(2);
	guest_spin(count == 2);
}

TEST(to_another_vcpu)
{
	struct vcpu *vcpu = ioapic_guest(to_second);
	pthread_t thread = guest_start(guest_cpu(vcpu->vm, 1, second));

	ASSERT_STEP(vcpu, 1);
	irq_pulse(vcpu->vm, PIN);
	ASSERT_STEP(vcpu, 2);
	irq_pulse(vcpu->vm, PIN);
	EXPECT_DONE(vcpu);
	guest_join(thread);
}
