/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The interrupt controllers as a guest of guest.h drives them, and the ioctls
 * that show them. Registers: SDM volume 3, chapter 11 "APIC", and the 82093AA,
 * 8259A and 8254 data sheets.
 */
#ifndef SELFTESTS_APIC_H
#define SELFTESTS_APIC_H

#include "event.h"
#include "guest.h"

/* --- local APIC --- */

#define APIC_BASE 0xfee00000UL
#define MSR_APIC_BASE 0x1b
#define APIC_BASE_BSP (1UL << 8)
#define APIC_BASE_X2APIC (1UL << 10)
#define APIC_BASE_ENABLED (1UL << 11)
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC 0x800

/* Register offsets; as an MSR, MSR_X2APIC + offset / 16 */
enum {
	APIC_ID = 0x20,
	APIC_VERSION = 0x30,
	APIC_TPR = 0x80,
	APIC_PPR = 0xa0,
	APIC_EOI = 0xb0,
	APIC_LDR = 0xd0,
	APIC_DFR = 0xe0,
	APIC_SVR = 0xf0,
	APIC_ISR = 0x100,
	APIC_TMR = 0x180,
	APIC_IRR = 0x200,
	APIC_ESR = 0x280,
	APIC_ICR = 0x300,
	APIC_ICR2 = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_THERMAL = 0x330,
	APIC_LVT_PERF = 0x340,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360,
	APIC_LVT_ERROR = 0x370,
	APIC_TIMER_INITIAL = 0x380,
	APIC_TIMER_CURRENT = 0x390,
	APIC_TIMER_DIVIDE = 0x3e0,
	APIC_SELF_IPI = 0x3f0,
};

#define SVR_ENABLED 0x100U
#define LVT_MASKED 0x10000U
#define LVT_PERIODIC 0x20000U
#define LVT_DEADLINE 0x40000U
#define LVT_NMI 0x400U
#define LVT_EXTINT 0x700U
#define TIMER_DIVIDE_BY_1 0xbU

#define ICR_FIXED 0x000U
#define ICR_LOWEST 0x100U
#define ICR_NMI 0x400U
#define ICR_INIT 0x500U
#define ICR_STARTUP 0x600U
#define ICR_LOGICAL 0x800U
#define ICR_PENDING 0x1000U
#define ICR_ASSERT 0x4000U
#define ICR_LEVEL 0x8000U
#define ICR_SELF 0x40000U
#define ICR_ALL 0x80000U
#define ICR_OTHERS 0xc0000U

static inline uint32_t mmio_read(uint64_t gpa)
{
	uint32_t value;

	__asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(gpa) : "memory");
	return value;
}

static inline void mmio_write(uint64_t gpa, uint32_t value)
{
	__asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(gpa) : "memory");
}

/* Which interface the guest's functions below use */
static volatile bool x2apic;

static inline uint32_t apic_read(uint32_t reg)
{
	return x2apic ? (uint32_t)guest_rdmsr(MSR_X2APIC + reg / 16) : mmio_read(APIC_BASE + reg);
}

static inline void apic_write(uint32_t reg, uint32_t value)
{
	if (x2apic)
		guest_wrmsr(MSR_X2APIC + reg / 16, value);
	else
		mmio_write(APIC_BASE + reg, value);
}

static inline void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

/*
 * Enters x2APIC mode if x2apic is set, enables the APIC by software, and masks
 * LINT0, by which the 8259A of the first vCPU would come through.
 */
static inline void apic_enable(void)
{
	if (x2apic)
		guest_wrmsr(MSR_APIC_BASE, guest_rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
	apic_write(APIC_SVR, SVR_ENABLED | VEC_SPURIOUS);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
}

/* The APIC ID in the form of the interface in use, from 0 */
static inline uint32_t apic_id(void)
{
	return x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

static inline void apic_icr(uint32_t destination, uint32_t command)
{
	if (x2apic) {
		guest_wrmsr(MSR_X2APIC + APIC_ICR / 16, (uint64_t)destination << 32 | command);
		return;
	}
	mmio_write(APIC_BASE + APIC_ICR2, destination << 24);
	mmio_write(APIC_BASE + APIC_ICR, command);
}

/* One bit of the 256 of IRR, ISR or TMR */
static inline bool apic_bit(uint32_t bank, uint8_t vector)
{
	return apic_read(bank + vector / 32 * 16) >> vector % 32 & 1;
}

/* --- I/O APIC --- */

#define IOAPIC_BASE 0xfec00000UL
enum { IOAPIC_SELECT = 0x00, IOAPIC_WINDOW = 0x10, IOAPIC_EOI = 0x40 };
enum { IOAPIC_ID = 0, IOAPIC_VERSION = 1, IOAPIC_ARBITRATION = 2, IOAPIC_ENTRY = 0x10 };
#define IOAPIC_PINS 24
#define ENTRY_LOGICAL 0x800U
#define ENTRY_PENDING 0x1000U
#define ENTRY_LOW 0x2000U
#define ENTRY_REMOTE_IRR 0x4000U
#define ENTRY_LEVEL 0x8000U
#define ENTRY_MASKED 0x10000U

static inline uint32_t ioapic_read(uint32_t index)
{
	mmio_write(IOAPIC_BASE + IOAPIC_SELECT, index);
	return mmio_read(IOAPIC_BASE + IOAPIC_WINDOW);
}

static inline void ioapic_write(uint32_t index, uint32_t value)
{
	mmio_write(IOAPIC_BASE + IOAPIC_SELECT, index);
	mmio_write(IOAPIC_BASE + IOAPIC_WINDOW, value);
}

/* A redirection entry: the low half with vector and flags, and the destination */
static inline void ioapic_entry(uint32_t pin, uint32_t low, uint32_t destination)
{
	ioapic_write(IOAPIC_ENTRY + 2 * pin, ENTRY_MASKED);
	ioapic_write(IOAPIC_ENTRY + 2 * pin + 1, destination << 24);
	ioapic_write(IOAPIC_ENTRY + 2 * pin, low);
}

/* --- 8259A pair --- */

enum { PIC_MASTER = 0x20, PIC_SLAVE = 0xa0, PIC_ELCR = 0x4d0 };
#define PIC_ICW1 0x11		/* edge triggered, cascade, ICW4 follows */
#define PIC_ICW4 0x01
#define PIC_ICW4_AEOI 0x03
#define PIC_OCW2_EOI 0x20
#define PIC_OCW2_SPECIFIC 0x60
#define PIC_OCW3_IRR 0x0a
#define PIC_OCW3_ISR 0x0b
#define PIC_CASCADE 2

/* Both chips: vectors from there on, ICW4 as given, everything but the cascade masked */
static inline void pic_init(uint8_t base, uint8_t icw4)
{
	guest_outb(PIC_MASTER, PIC_ICW1);
	guest_outb(PIC_MASTER + 1, base);
	guest_outb(PIC_MASTER + 1, 1 << PIC_CASCADE);
	guest_outb(PIC_MASTER + 1, icw4);
	guest_outb(PIC_SLAVE, PIC_ICW1);
	guest_outb(PIC_SLAVE + 1, base + 8);
	guest_outb(PIC_SLAVE + 1, PIC_CASCADE);
	guest_outb(PIC_SLAVE + 1, icw4);
	guest_outb(PIC_MASTER + 1, 0xff & ~(1 << PIC_CASCADE));
	guest_outb(PIC_SLAVE + 1, 0xff);
}

static inline uint8_t pic_state(uint16_t chip, uint8_t ocw3)
{
	guest_outb(chip, ocw3);
	return guest_inb(chip);
}

/* --- 8254 --- */

enum { PIT_COUNTER = 0x40, PIT_MODE = 0x43, PIT_GATE = 0x61 };
#define PIT_HZ 1193182

/* Counter, both bytes, mode 0-5, and its count */
static inline void pit_set(uint8_t counter, uint8_t mode, uint16_t count)
{
	guest_outb(PIT_MODE, counter << 6 | 3 << 4 | mode << 1);
	guest_outb(PIT_COUNTER + counter, count & 0xff);
	guest_outb(PIT_COUNTER + counter, count >> 8);
}

/* --- host side --- */

/* KVM_IRQ_LINE as it is */
static inline int irq_line(struct vm *vm, uint32_t gsi, uint32_t level)
{
	const struct kvm_irq_level line = { .irq = gsi, .level = level };

	return ioctl(vm->fd, KVM_IRQ_LINE, &line);
}

/* Asserts a line and lets it go again. */
static inline void irq_pulse(struct vm *vm, uint32_t gsi)
{
	ASSERT_OK(irq_line(vm, gsi, 1));
	ASSERT_OK(irq_line(vm, gsi, 0));
}

/*
 * Runs a guest that reads the APIC's ID by memory when its page is nobody's: the VMM is asked, by C KVM only without a
 * quirk, and answers as nobody would.
 */
static inline void expect_no_apic_page(void (*fn)(void))
{
	const struct kvm_enable_cap cap = {
		.cap = KVM_CAP_DISABLE_QUIRKS2, .args[0] = KVM_X86_QUIRK_LAPIC_MMIO_HOLE,
	};
	struct vm *vm = guest_vm(CHIPS);
	struct vcpu *vcpu;

	if (kvm_check(vm->fd, KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_LAPIC_MMIO_HOLE)
		ASSERT_OK(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	vcpu = guest_cpu(vm, 0, fn);
	ASSERT_OK(guest_run(vcpu));
	ASSERT_EXIT(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(vcpu->run->mmio.phys_addr, APIC_BASE + APIC_ID);
	EXPECT_EQ(vcpu->run->mmio.is_write, 0);
	memset(vcpu->run->mmio.data, 0xff, sizeof(vcpu->run->mmio.data));
	EXPECT_DONE(vcpu);
}

static inline struct kvm_lapic_state vcpu_lapic(struct vcpu *vcpu)
{
	struct kvm_lapic_state lapic;

	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic));
	return lapic;
}

static inline uint32_t lapic_reg(const struct kvm_lapic_state *lapic, uint32_t reg)
{
	uint32_t value;

	memcpy(&value, lapic->regs + reg, sizeof(value));
	return value;
}

static inline void lapic_set_reg(struct kvm_lapic_state *lapic, uint32_t reg, uint32_t value)
{
	memcpy(lapic->regs + reg, &value, sizeof(value));
}

static inline struct kvm_irqchip vm_irqchip(struct vm *vm, uint32_t id)
{
	struct kvm_irqchip chip = { .chip_id = id };

	ASSERT_OK(ioctl(vm->fd, KVM_GET_IRQCHIP, &chip));
	return chip;
}

/* KVM_SIGNAL_MSI as it is */
static inline int signal_msi(struct vm *vm, uint32_t address, uint32_t data)
{
	const struct kvm_msi msi = { .address_lo = address, .data = data };

	return ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
}

/* An MSI to an xAPIC destination: SDM volume 3, 11.11 */
#define MSI_ADDRESS 0xfee00000U
#define MSI_TO(id) (MSI_ADDRESS | (uint32_t)(id) << 12)
#define MSI_LOGICAL 0x4U
#define MSI_REDIRECT 0x8U

enum { MAX_ROUTES = 8 };

/* A table of routes for KVM_SET_GSI_ROUTING */
struct routes {
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry entries[MAX_ROUTES];
};

static inline void route_pin(struct routes *routes, uint32_t gsi, uint32_t chip, uint32_t pin)
{
	routes->entries[routes->head.nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

static inline void route_msi(struct routes *routes, uint32_t gsi, uint32_t address, uint32_t data)
{
	routes->entries[routes->head.nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = address, .data = data },
	};
}

/* KVM_SET_GSI_ROUTING as it is */
static inline int vm_set_routes(struct vm *vm, const struct routes *routes)
{
	return ioctl(vm->fd, KVM_SET_GSI_ROUTING, routes);
}

#endif
