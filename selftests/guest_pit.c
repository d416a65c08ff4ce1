// SPDX-License-Identifier: GPL-2.0
/* The 8254: channel 0 as IRQ 0, channel 2 by its port 0x61. */
#include "lib/apic.h"

enum { PIC_BASE = 0x30, GSI = 0, TENTH_OF_SECOND = PIT_HZ / 10, HUNDREDTH = PIT_HZ / 100 };

/* Mode and control words, 8254 data sheet "Programming" */
enum { ONE_SHOT = 0, RATE = 2, SQUARE = 3, LATCH = 0, READ_BACK = 0xc0, STATUS_ONLY = 0xe0 };
enum { GATE_2 = 1, SPEAKER = 2, OUTPUT_2 = 0x20 };

static volatile int ticks;
static volatile bool by_pic;

HANDLER(on_tick)
{
	ticks++;
	if (by_pic)
		guest_outb(PIC_MASTER, PIC_OCW2_EOI);
	else
		apic_eoi();
}

static struct vcpu *pit_guest(void (*fn)(void))
{
	struct vcpu *vcpu = guest_cpu(guest_vm(CHIPS_PIT), 0, fn);

	guest_gate(vcpu->vm, PIC_BASE, on_tick);
	guest_gate(vcpu->vm, VEC_A, on_tick);
	return vcpu;
}

static void through_pic(void)
{
	by_pic = true;
	pic_init(PIC_BASE, PIC_ICW4);
	guest_outb(PIC_MASTER + 1, 0xfe);
}

static void through_ioapic(void)
{
	apic_enable();
	ioapic_entry(GSI, VEC_A, 0);
}

static void periodic_by_pic(void)
{
	through_pic();
	pit_set(0, RATE, HUNDREDTH);
	guest_wait(ticks >= 5);
	pit_set(0, SQUARE, HUNDREDTH);
	guest_wait(ticks >= 10);
}

TEST(periodic_by_the_pic) { EXPECT_DONE(pit_guest(periodic_by_pic)); }

static void periodic_by_ioapic(void)
{
	through_ioapic();
	pit_set(0, RATE, HUNDREDTH);
	guest_wait(ticks >= 5);
	pit_set(0, SQUARE, HUNDREDTH);
	guest_wait(ticks >= 10);
}

TEST(periodic_by_the_ioapic) { EXPECT_DONE(pit_guest(periodic_by_ioapic)); }

/* To a guest that runs and does not exit */
static void to_a_running_guest(void)
{
	through_ioapic();
	pit_set(0, RATE, HUNDREDTH);
	guest_spin(ticks >= 5);
}

TEST(reaches_a_running_guest) { EXPECT_DONE(pit_guest(to_a_running_guest)); }

static void once(void)
{
	through_ioapic();
	pit_set(0, ONE_SHOT, HUNDREDTH);
	guest_wait(ticks == 1);
	/* Mode 0 needs a new count. */
	guest_window();
	GUEST_EQ(ticks, 1);
	pit_set(0, ONE_SHOT, HUNDREDTH);
	guest_wait(ticks == 2);
}

TEST(one_shot) { EXPECT_DONE(pit_guest(once)); }

static uint16_t latched(uint8_t counter)
{
	uint8_t low;

	guest_outb(PIT_MODE, counter << 6 | LATCH);
	low = guest_inb(PIT_COUNTER + counter);
	return low | guest_inb(PIT_COUNTER + counter) << 8;
}

/* A latched count stays the same until it is read. */
static void latch(void)
{
	uint16_t first, second;

	pit_set(0, RATE, 0xffff);
	guest_outb(PIT_MODE, LATCH);
	first = guest_inb(PIT_COUNTER);
	guest_outb(PIT_MODE, LATCH);
	first |= guest_inb(PIT_COUNTER) << 8;
	do {
		second = latched(0);
	} while (second == first);
	GUEST_TRUE(first > 0 && second > 0);
	/* It counts down; it cannot have come round in so short a time. */
	GUEST_TRUE(second < first);
}

TEST(latched_count_falls) { EXPECT_DONE(pit_guest(latch)); }

static uint8_t status(uint8_t counter)
{
	guest_outb(PIT_MODE, STATUS_ONLY | 2 << counter);
	return guest_inb(PIT_COUNTER + counter);
}

/* The status byte: output, null count, access, mode, BCD */
static void read_back(void)
{
	const uint8_t but_output = 0x3f;

	pit_set(0, RATE, 0x1000);
	GUEST_EQ(status(0) & but_output, 3 << 4 | RATE << 1);
	pit_set(0, SQUARE, 0x1000);
	GUEST_EQ(status(0) & but_output, 3 << 4 | SQUARE << 1);
	guest_outb(PIT_MODE, 1 << 4 | ONE_SHOT << 1);
	guest_outb(PIT_COUNTER, 0x10);
	GUEST_EQ(status(0) & but_output, 1 << 4 | ONE_SHOT << 1);
	/* Count and status at once: the status is read first. */
	pit_set(2, RATE, 0x2000);
	guest_outb(PIT_MODE, READ_BACK | 2 << 2);
	GUEST_EQ(guest_inb(PIT_COUNTER + 2) & but_output, 3 << 4 | RATE << 1);
	guest_inb(PIT_COUNTER + 2);
	GUEST_TRUE(guest_inb(PIT_COUNTER + 2) <= 0x20);
}

TEST(read_back_status) { EXPECT_DONE(pit_guest(read_back)); }

/* How a kernel calibrates: gate on, output when the count is over */
static void channel_two(void)
{
	const uint8_t other_bits = guest_inb(PIT_GATE) & ~(GATE_2 | SPEAKER) & 0xf;

	guest_outb(PIT_GATE, other_bits | GATE_2);
	pit_set(2, ONE_SHOT, TENTH_OF_SECOND / 4);
	GUEST_EQ(guest_inb(PIT_GATE) & (GATE_2 | SPEAKER | OUTPUT_2), GATE_2);
	while (!(guest_inb(PIT_GATE) & OUTPUT_2))
		;
	GUEST_EQ(ticks, 0);
	guest_outb(PIT_GATE, GATE_2 | SPEAKER);
	GUEST_EQ(guest_inb(PIT_GATE) & (GATE_2 | SPEAKER), GATE_2 | SPEAKER);
	guest_outb(PIT_GATE, 0);
	GUEST_EQ(guest_inb(PIT_GATE) & (GATE_2 | SPEAKER), 0);
}

TEST(channel_2_output) { EXPECT_DONE(pit_guest(channel_two)); }

/* Bit 4 of port 0x61, the refresh clock, is a thing to wait by. */
static void refresh(void)
{
	const uint8_t clock = 0x10, first = guest_inb(PIT_GATE) & clock;

	while ((guest_inb(PIT_GATE) & clock) == first)
		;
}

TEST(refresh_toggles) { EXPECT_DONE(pit_guest(refresh)); }

/* Ticks that come while none can be taken are not all lost: the guest catches up. */
static void catch_up(void)
{
	through_ioapic();
	pit_set(0, RATE, HUNDREDTH);
	guest_step(1);
	guest_wait(ticks >= 5);
}

TEST(goes_on_while_the_vcpu_is_outside)
{
	struct vcpu *vcpu = pit_guest(catch_up);
	const struct timespec while_ticking = { .tv_nsec = 50000000 };

	ASSERT_STEP(vcpu, 1);
	nanosleep(&while_ticking, NULL);
	EXPECT_DONE(vcpu);
}

/* Set by the VMM, it ticks as if the guest had set it. */
static void only_wait(void)
{
	through_ioapic();
	guest_step(1);
	guest_wait(ticks >= 3);
}

TEST(set_by_the_vmm)
{
	struct vcpu *vcpu = pit_guest(only_wait);
	struct kvm_pit_state2 state;

	ASSERT_STEP(vcpu, 1);
	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_GET_PIT2, &state));
	state.channels[0].mode = RATE;
	state.channels[0].rw_mode = 3;
	state.channels[0].count = HUNDREDTH;
	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_SET_PIT2, &state));
	EXPECT_DONE(vcpu);
}

/* Without reinjection it ticks as well. */
TEST(without_reinjection)
{
	struct vcpu *vcpu = pit_guest(periodic_by_ioapic);
	const struct kvm_reinject_control control = { .pit_reinject = 0 };

	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_REINJECT_CONTROL, &control));
	EXPECT_DONE(vcpu);
}

/* The dummy of a speaker port is there only on demand. */
static void only_speaker(void)
{
	guest_inb(PIT_GATE);
}

TEST(speaker_port_is_optional)
{
	const struct kvm_pit_config without = { 0 };
	struct vm *vm = guest_vm(CHIPS);
	struct vcpu *vcpu;

	EXPECT_DONE(pit_guest(only_speaker));
	ASSERT_OK(ioctl(vm->fd, KVM_CREATE_PIT2, &without));
	vcpu = guest_cpu(vm, 0, only_speaker);
	EXPECT_IN(vcpu, PIT_GATE, 1);
	EXPECT_DONE(vcpu);
}
