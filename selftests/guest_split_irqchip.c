// SPDX-License-Identifier: GPL-2.0
/* machine: again=enable_apicv=1 */
/* A split irqchip at work: what the VMM, being the I/O APIC and the 8259A, gets to see. */
#include "lib/apic.h"

enum { PIN = 5, EDGE_PIN = 6, EXTINT = 0x35 };
#define MSI_LEVEL 0xc000U	/* level triggered, asserted */

static volatile int count, external;

HANDLER(on_interrupt)
{
	count++;
	apic_eoi();
}

HANDLER(on_external)
{
	external++;
}

static struct vcpu *split_guest(void (*fn)(void))
{
	struct vm *vm = guest_vm(CHIPS_SPLIT);
	struct routes routes = { 0 };

	guest_gate(vm, VEC_A, on_interrupt);
	guest_gate(vm, VEC_B, on_interrupt);
	guest_gate(vm, EXTINT, on_external);
	route_msi(&routes, PIN, MSI_TO(0), MSI_LEVEL | VEC_A);
	route_msi(&routes, EDGE_PIN, MSI_TO(0), VEC_B);
	ASSERT_OK(vm_set_routes(vm, &routes));
	return guest_cpu(vm, 0, fn);
}

static void take_three(void)
{
	apic_enable();
	for (int i = 1; i <= 3; i++) {
		guest_step(i);
		guest_wait(count == i);
	}
}

/* The EOI of a vector that a pin's route has as level goes to the VMM. */
static void expect_eoi_exits(bool by_msr)
{
	struct vcpu *vcpu = split_guest(take_three);

	x2apic = by_msr;
	ASSERT_STEP(vcpu, 1);
	ASSERT_OK(irq_line(vcpu->vm, PIN, 1));
	ASSERT_OK(guest_run(vcpu));
	ASSERT_EXIT(vcpu, KVM_EXIT_IOAPIC_EOI);
	EXPECT_EQ(vcpu->run->eoi.vector, VEC_A);
	ASSERT_STEP(vcpu, 2);
	/* An edge has none. */
	ASSERT_OK(irq_line(vcpu->vm, EDGE_PIN, 1));
	ASSERT_STEP(vcpu, 3);
	ASSERT_EQ(signal_msi(vcpu->vm, MSI_TO(0), MSI_LEVEL | VEC_A), 1);
	ASSERT_OK(guest_run(vcpu));
	ASSERT_EXIT(vcpu, KVM_EXIT_IOAPIC_EOI);
	EXPECT_DONE(vcpu);
}

TEST(eoi_exits_xapic) { expect_eoi_exits(false); }
TEST(eoi_exits_x2apic) { expect_eoi_exits(true); }

/* No route as level any more, no exit */
TEST(routes_change)
{
	struct vcpu *vcpu = split_guest(take_three);
	struct routes routes = { 0 };

	route_msi(&routes, PIN, MSI_TO(0), VEC_A);
	ASSERT_STEP(vcpu, 1);
	ASSERT_OK(vm_set_routes(vcpu->vm, &routes));
	ASSERT_OK(irq_line(vcpu->vm, PIN, 1));
	ASSERT_STEP(vcpu, 2);
	ASSERT_OK(irq_line(vcpu->vm, PIN, 1));
	ASSERT_STEP(vcpu, 3);
	ASSERT_OK(irq_line(vcpu->vm, PIN, 1));
	EXPECT_DONE(vcpu);
}

static int interrupt(struct vcpu *vcpu, uint32_t vector)
{
	const struct kvm_interrupt irq = { .irq = vector };

	return ioctl(vcpu->fd, KVM_INTERRUPT, &irq);
}

static void take_external(void)
{
	for (int i = 1; i <= 3; i++) {
		guest_step(i);
		guest_wait(external == i);
	}
}

/* The VMM's 8259A interrupts by KVM_INTERRUPT, through LINT0. */
TEST(external_interrupts)
{
	struct vcpu *vcpu = split_guest(take_external);

	for (int i = 1; i <= 3; i++) {
		ASSERT_STEP(vcpu, i);
		ASSERT_OK(interrupt(vcpu, EXTINT));
		EXPECT_ERRNO(interrupt(vcpu, EXTINT), EEXIST);
	}
	EXPECT_DONE(vcpu);
}

static void open_window(void)
{
	guest_step(1);
	guest_sti();
	guest_cli();
	guest_step(2);
}

/* The VMM can wait until the guest takes interrupts. */
TEST(window)
{
	struct vcpu *vcpu = split_guest(open_window);

	ASSERT_STEP(vcpu, 1);
	EXPECT_EQ(vcpu->run->ready_for_interrupt_injection, 0);
	vcpu->run->request_interrupt_window = 1;
	ASSERT_OK(guest_run(vcpu));
	ASSERT_EXIT(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(vcpu->run->ready_for_interrupt_injection, 1);
	vcpu->run->request_interrupt_window = 0;
	ASSERT_OK(interrupt(vcpu, EXTINT));
	ASSERT_STEP(vcpu, 2);
	EXPECT_EQ(external, 1);
	EXPECT_DONE(vcpu);
}

static void mask_lint0(void)
{
	apic_enable();
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	guest_step(1);
	guest_sti();
	guest_step(2);
	guest_cli();
	guest_step(3);
}

/* What LINT0 does not let through neither comes nor has its window: QEMU's 8259A asks all the time. */
TEST(nothing_through_a_masked_lint0)
{
	struct vcpu *vcpu = split_guest(mask_lint0);

	ASSERT_STEP(vcpu, 1);
	ASSERT_OK(interrupt(vcpu, EXTINT));
	vcpu->run->request_interrupt_window = 1;
	ASSERT_STEP(vcpu, 2);
	EXPECT_EQ(vcpu->run->ready_for_interrupt_injection, 0);
	ASSERT_STEP(vcpu, 3);
	EXPECT_EQ(external, 0);
	EXPECT_DONE(vcpu);
}

static void touch_chips(void)
{
	guest_outb(PIC_MASTER, 0x11);
	mmio_write(IOAPIC_BASE, 1);
	guest_inb(PIT_COUNTER);
}

/* The other chips' registers are the VMM's. */
TEST(chips_are_the_vmms)
{
	struct vcpu *vcpu = split_guest(touch_chips);

	EXPECT_OUT(vcpu, PIC_MASTER, 1, 0x11);
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(vcpu->run->mmio.phys_addr, IOAPIC_BASE);
	EXPECT_IN(vcpu, PIT_COUNTER, 1);
	EXPECT_DONE(vcpu);
}

/* With a whole irqchip KVM_INTERRUPT has no place. */
TEST(no_external_interrupts_into_a_whole_irqchip)
{
	struct vcpu *vcpu = guest_cpu(guest_vm(CHIPS), 0, take_external);

	EXPECT_ERRNO(interrupt(vcpu, EXTINT), ENXIO);
}
