// SPDX-License-Identifier: GPL-2.0
/* The 8259A pair, its interrupts coming by LINT0 as ExtINT. */
#include "lib/apic.h"

enum { BASE = 0x30, LINE = 4, EARLIER = 3, SLAVE_LINE = 10, LEVEL_LINE = 5 };

static volatile int count, order[8];
static volatile bool eoi_by_handler = true;

static void arrived(int line)
{
	order[count++ % ARRAY_SIZE(order)] = line;
	if (!eoi_by_handler)
		return;
	if (line >= 8)
		guest_outb(PIC_SLAVE, PIC_OCW2_EOI);
	guest_outb(PIC_MASTER, PIC_OCW2_EOI);
}

HANDLER(on_line) { arrived(LINE); }
HANDLER(on_earlier) { arrived(EARLIER); }
HANDLER(on_slave_line) { arrived(SLAVE_LINE); }

/* The level is for the host to take away: at the second time. */
HANDLER(on_level_line)
{
	if (count == 1)
		guest_step(2);
	arrived(LEVEL_LINE);
}

HANDLER(on_ipi) { apic_eoi(); }

static struct vcpu *pic_guest(void (*fn)(void))
{
	struct vcpu *vcpu = guest_cpu(guest_vm(CHIPS), 0, fn);

	guest_gate(vcpu->vm, VEC_A, on_ipi);
	guest_gate(vcpu->vm, BASE + LINE, on_line);
	guest_gate(vcpu->vm, BASE + EARLIER, on_earlier);
	guest_gate(vcpu->vm, BASE + SLAVE_LINE, on_slave_line);
	guest_gate(vcpu->vm, BASE + LEVEL_LINE, on_level_line);
	return vcpu;
}

static void unmask_all(void)
{
	guest_outb(PIC_MASTER + 1, 0);
	guest_outb(PIC_SLAVE + 1, 0);
}

static void take_one(void)
{
	pic_init(BASE, PIC_ICW4);
	unmask_all();
	guest_step(1);
	guest_wait(count);
	GUEST_EQ(pic_state(PIC_MASTER, PIC_OCW3_ISR), 0);
	guest_window();
	GUEST_EQ(count, 1);
}

TEST(edge)
{
	struct vcpu *vcpu = pic_guest(take_one);

	ASSERT_STEP(vcpu, 1);
	/* It stays high; only its rise counts. */
	ASSERT_OK(irq_line(vcpu->vm, LINE, 1));
	EXPECT_DONE(vcpu);
	EXPECT_EQ(order[0], LINE);
}

TEST(by_the_slave)
{
	struct vcpu *vcpu = pic_guest(take_one);

	ASSERT_STEP(vcpu, 1);
	irq_pulse(vcpu->vm, SLAVE_LINE);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(order[0], SLAVE_LINE);
}

static void two_at_once(void)
{
	pic_init(BASE, PIC_ICW4);
	unmask_all();
	guest_step(1);
	GUEST_EQ(pic_state(PIC_MASTER, PIC_OCW3_IRR), 1 << LINE | 1 << EARLIER);
	guest_wait(count == 2);
}

TEST(the_lower_line_goes_first)
{
	struct vcpu *vcpu = pic_guest(two_at_once);

	ASSERT_STEP(vcpu, 1);
	irq_pulse(vcpu->vm, LINE);
	irq_pulse(vcpu->vm, EARLIER);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(order[0], EARLIER);
	EXPECT_EQ(order[1], LINE);
}

#define OCW2_SET_PRIORITY 0xc0

static void two_at_once_rotated(void)
{
	pic_init(BASE, PIC_ICW4);
	unmask_all();
	guest_outb(PIC_MASTER, OCW2_SET_PRIORITY | EARLIER);
	guest_step(1);
	guest_wait(count == 2);
}

TEST(priorities_can_be_rotated)
{
	struct vcpu *vcpu = pic_guest(two_at_once_rotated);

	ASSERT_STEP(vcpu, 1);
	irq_pulse(vcpu->vm, EARLIER);
	irq_pulse(vcpu->vm, LINE);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(order[0], LINE);
	EXPECT_EQ(order[1], EARLIER);
}

/* While one is in service, only those before it come through. */
static void in_service(void)
{
	eoi_by_handler = false;
	pic_init(BASE, PIC_ICW4);
	unmask_all();
	guest_step(1);
	guest_wait(count == 1);
	GUEST_EQ(pic_state(PIC_MASTER, PIC_OCW3_ISR), 1 << LINE);
	guest_step(2);
	guest_window();
	GUEST_EQ(count, 1);
	GUEST_EQ(pic_state(PIC_MASTER, PIC_OCW3_IRR), 1 << LEVEL_LINE);
	guest_step(3);
	guest_window();
	GUEST_EQ(count, 2);
	GUEST_EQ(pic_state(PIC_MASTER, PIC_OCW3_ISR), 1 << LINE | 1 << EARLIER);
	guest_outb(PIC_MASTER, PIC_OCW2_SPECIFIC | EARLIER);
	GUEST_EQ(pic_state(PIC_MASTER, PIC_OCW3_ISR), 1 << LINE);
	guest_outb(PIC_MASTER, PIC_OCW2_EOI);
	GUEST_EQ(pic_state(PIC_MASTER, PIC_OCW3_ISR), 0);
	guest_window();
	GUEST_EQ(count, 3);
}

TEST(service_blocks_later_lines)
{
	struct vcpu *vcpu = pic_guest(in_service);

	ASSERT_STEP(vcpu, 1);
	irq_pulse(vcpu->vm, LINE);
	ASSERT_STEP(vcpu, 2);
	irq_pulse(vcpu->vm, LEVEL_LINE);
	ASSERT_STEP(vcpu, 3);
	irq_pulse(vcpu->vm, EARLIER);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(order[0], LINE);
	EXPECT_EQ(order[1], EARLIER);
	EXPECT_EQ(order[2], LEVEL_LINE);
}

static void mask_and_unmask(void)
{
	pic_init(BASE, PIC_ICW4);
	guest_outb(PIC_MASTER + 1, 1 << LINE);
	GUEST_EQ(guest_inb(PIC_MASTER + 1), 1 << LINE);
	guest_step(1);
	guest_window();
	GUEST_EQ(count, 0);
	GUEST_EQ(pic_state(PIC_MASTER, PIC_OCW3_IRR), 1 << LINE);
	guest_outb(PIC_MASTER + 1, 0);
	guest_window();
	GUEST_EQ(count, 1);
}

TEST(a_masked_line_waits)
{
	struct vcpu *vcpu = pic_guest(mask_and_unmask);

	ASSERT_STEP(vcpu, 1);
	irq_pulse(vcpu->vm, LINE);
	EXPECT_DONE(vcpu);
}

static void level_triggered(void)
{
	pic_init(BASE, PIC_ICW4);
	guest_outb(PIC_ELCR, 1 << LEVEL_LINE);
	unmask_all();
	guest_step(1);
	guest_wait(count == 2);
	guest_window();
	GUEST_EQ(count, 2);
}

TEST(level_repeats_while_it_is_high)
{
	struct vcpu *vcpu = pic_guest(level_triggered);

	ASSERT_STEP(vcpu, 1);
	ASSERT_OK(irq_line(vcpu->vm, LEVEL_LINE, 1));
	ASSERT_STEP(vcpu, 2);
	ASSERT_OK(irq_line(vcpu->vm, LEVEL_LINE, 0));
	EXPECT_DONE(vcpu);
}

/* A level that goes before it is taken was none. */
static void level_taken_back(void)
{
	pic_init(BASE, PIC_ICW4);
	guest_outb(PIC_ELCR, 1 << LEVEL_LINE);
	unmask_all();
	guest_step(1);
	guest_window();
	GUEST_EQ(count, 0);
	GUEST_EQ(pic_state(PIC_MASTER, PIC_OCW3_IRR), 0);
}

TEST(level_can_be_taken_back)
{
	struct vcpu *vcpu = pic_guest(level_taken_back);

	ASSERT_STEP(vcpu, 1);
	irq_pulse(vcpu->vm, LEVEL_LINE);
	EXPECT_DONE(vcpu);
}

/* Lines that a PC wires as edges cannot be made level. */
static void elcr(void)
{
	guest_outb(PIC_ELCR, 0xff);
	guest_outb(PIC_ELCR + 1, 0xff);
	GUEST_EQ(guest_inb(PIC_ELCR), 0xf8);
	GUEST_EQ(guest_inb(PIC_ELCR + 1), 0xde);
}

TEST(elcr_has_fixed_bits)
{
	EXPECT_DONE(pic_guest(elcr));
}

static void automatic_eoi(void)
{
	eoi_by_handler = false;
	pic_init(BASE, PIC_ICW4_AEOI);
	unmask_all();
	for (int i = 1; i <= 3; i++) {
		guest_step(i);
		guest_wait(count == i);
		GUEST_EQ(pic_state(PIC_MASTER, PIC_OCW3_ISR), 0);
	}
}

TEST(automatic_eoi)
{
	struct vcpu *vcpu = pic_guest(automatic_eoi);

	for (int i = 1; i <= 3; i++) {
		ASSERT_STEP(vcpu, i);
		irq_pulse(vcpu->vm, LINE);
	}
	EXPECT_DONE(vcpu);
}

/* ICW1 clears mask and requests. */
static void initialise_again(void)
{
	pic_init(BASE, PIC_ICW4);
	guest_step(1);
	guest_outb(PIC_MASTER, PIC_ICW1);
	guest_outb(PIC_MASTER + 1, BASE);
	guest_outb(PIC_MASTER + 1, 1 << PIC_CASCADE);
	guest_outb(PIC_MASTER + 1, PIC_ICW4);
	GUEST_EQ(guest_inb(PIC_MASTER + 1), 0);
	GUEST_EQ(pic_state(PIC_MASTER, PIC_OCW3_IRR), 0);
	guest_window();
	GUEST_EQ(count, 0);
}

TEST(initialisation_clears_requests)
{
	struct vcpu *vcpu = pic_guest(initialise_again);

	ASSERT_STEP(vcpu, 1);
	irq_pulse(vcpu->vm, LINE);
	EXPECT_DONE(vcpu);
}

/* LINT0 is the only way to the vCPU. */
static void masked_lint0(void)
{
	apic_enable();
	pic_init(BASE, PIC_ICW4);
	unmask_all();
	guest_step(1);
	guest_window();
	GUEST_EQ(count, 0);
	apic_write(APIC_LVT_LINT0, LVT_EXTINT);
	/* C KVM looks at LINT0 again only together with something else. */
	apic_icr(0, ICR_SELF | VEC_A);
	guest_wait(count == 1);
}

TEST(lint0_masks_it)
{
	struct vcpu *vcpu = pic_guest(masked_lint0);

	ASSERT_STEP(vcpu, 1);
	irq_pulse(vcpu->vm, LINE);
	EXPECT_DONE(vcpu);
}

/* TPR and the APIC's interrupts in service do not hold ExtINT back. */
static void high_task_priority(void)
{
	apic_enable();
	apic_write(APIC_LVT_LINT0, LVT_EXTINT);
	apic_write(APIC_TPR, 0xf0);
	pic_init(BASE, PIC_ICW4);
	unmask_all();
	guest_step(1);
	guest_wait(count == 1);
}

TEST(task_priority_is_no_matter)
{
	struct vcpu *vcpu = pic_guest(high_task_priority);

	ASSERT_STEP(vcpu, 1);
	irq_pulse(vcpu->vm, LINE);
	EXPECT_DONE(vcpu);
}
