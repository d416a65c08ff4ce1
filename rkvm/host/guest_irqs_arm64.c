// SPDX-License-Identifier: GPL-2.0
/*
 * The interrupts of each CPU that come for guests' sake: of the virtual and the physical timer, and of the GIC. The
 * device tree names them, or ACPI's GTDT and MADT do.
 */

#include <linux/acpi.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqchip/arm-gic-v3.h>
#include <linux/of.h>
#include <linux/of_irq.h>
#include <linux/percpu.h>

#include <clocksource/arm_arch_timer.h>

#include <asm/arch_gicv3.h>
#include <asm/sysreg.h>

#include "rkvm_host.h"

static struct guest_irq {
	const char *name, *compatible;
	unsigned int index;
	int irq;
} guest_irqs[] = {
	{ "rust_kvm virtual timer", "arm,armv8-timer", 2 },
	{ "rust_kvm physical timer", "arm,armv8-timer", 1 },
	{ "rust_kvm maintenance", "arm,gic-v3", 0 },
};

#define GUEST_TIMERS 2

static int __percpu *guest_irqs_token;

static bool guest_timer_is_up(unsigned int timer)
{
	u64 control = timer ? read_sysreg_s(SYS_CNTP_CTL_EL02) : read_sysreg_s(SYS_CNTV_CTL_EL02);

	return (control & (ARCH_TIMER_CTRL_ENABLE | ARCH_TIMER_CTRL_IT_MASK | ARCH_TIMER_CTRL_IT_STAT)) ==
	       (ARCH_TIMER_CTRL_ENABLE | ARCH_TIMER_CTRL_IT_STAT);
}

/*
 * A timer's interrupt has ended the guest's stay, which is all it is for: it is forwarded to the guest, so that it
 * stays active. One that comes when the timer is off already, since the GIC had not seen that yet, is nobody's. The
 * maintenance interrupt is silenced by the vCPU before it can come here, or else here.
 */
static irqreturn_t guest_irq_handler(int irq, void *token)
{
	unsigned int timer;

	if (irq == guest_irqs[GUEST_TIMERS].irq) {
		write_sysreg_s(0, SYS_ICH_HCR_EL2);
		return IRQ_HANDLED;
	}
	timer = irq != guest_irqs[0].irq;
	if (!guest_timer_is_up(timer))
		gic_write_dir(rkvm_guest_timer_number(timer));
	return IRQ_HANDLED;
}

static int find_by_device_tree(const struct guest_irq *guest)
{
	struct device_node *node = of_find_compatible_node(NULL, NULL, guest->compatible);
	int irq = node ? of_irq_get(node, guest->index) : -ENODEV;

	of_node_put(node);
	return irq;
}

#ifdef CONFIG_ACPI
static int find_timer_by_acpi(bool is_virtual)
{
	struct acpi_table_header *header;
	struct acpi_table_gtdt *gtdt;
	u32 number, flags;

	if (ACPI_FAILURE(acpi_get_table(ACPI_SIG_GTDT, 0, &header)))
		return -ENODEV;
	gtdt = container_of(header, struct acpi_table_gtdt, header);
	number = is_virtual ? gtdt->virtual_timer_interrupt : gtdt->non_secure_el1_interrupt;
	flags = is_virtual ? gtdt->virtual_timer_flags : gtdt->non_secure_el1_flags;
	acpi_put_table(header);
	return acpi_register_gsi(NULL, number,
				 flags & ACPI_GTDT_INTERRUPT_MODE ? ACPI_EDGE_SENSITIVE : ACPI_LEVEL_SENSITIVE,
				 flags & ACPI_GTDT_INTERRUPT_POLARITY ? ACPI_ACTIVE_LOW : ACPI_ACTIVE_HIGH);
}

/* The first processor's, which is every processor's: the kernel's GIC driver has it so, too. */
static int find_maintenance_by_acpi(void)
{
	struct acpi_table_header *header;
	struct acpi_subtable_header *entry;
	u32 number = 0, flags = 0;
	void *at, *end;

	if (ACPI_FAILURE(acpi_get_table(ACPI_SIG_MADT, 0, &header)))
		return -ENODEV;
	end = (void *)header + header->length;
	for (at = (void *)header + sizeof(struct acpi_table_madt); at + sizeof(*entry) <= end; at += entry->length) {
		entry = at;
		if (entry->length < sizeof(*entry) || at + entry->length > end)
			break;
		if (entry->type != ACPI_MADT_TYPE_GENERIC_INTERRUPT ||
		    entry->length < offsetofend(struct acpi_madt_generic_interrupt, vgic_interrupt))
			continue;
		number = ((struct acpi_madt_generic_interrupt *)at)->vgic_interrupt;
		flags = ((struct acpi_madt_generic_interrupt *)at)->flags;
		break;
	}
	acpi_put_table(header);
	if (!number)
		return -ENODEV;
	return acpi_register_gsi(NULL, number,
				 flags & ACPI_MADT_VGIC_IRQ_MODE ? ACPI_EDGE_SENSITIVE : ACPI_LEVEL_SENSITIVE,
				 ACPI_ACTIVE_HIGH);
}

static int find_by_acpi(const struct guest_irq *guest)
{
	if (guest == &guest_irqs[GUEST_TIMERS])
		return find_maintenance_by_acpi();
	return find_timer_by_acpi(guest == &guest_irqs[0]);
}
#else
static int find_by_acpi(const struct guest_irq *guest)
{
	return -ENODEV;
}
#endif

static int guest_irq_request(struct guest_irq *guest, bool forwarded)
{
	int error;

	guest->irq = acpi_disabled ? find_by_device_tree(guest) : find_by_acpi(guest);
	if (guest->irq <= 0) {
		pr_err("rust_kvm: neither device tree nor ACPI tells the interrupt \"%s\"\n", guest->name);
		return -ENODEV;
	}
	error = request_percpu_irq(guest->irq, guest_irq_handler, guest->name, guest_irqs_token);
	if (!error && forwarded) {
		error = irq_set_vcpu_affinity(guest->irq, guest);
		if (error)
			free_percpu_irq(guest->irq, guest_irqs_token);
	}
	if (error)
		pr_err("rust_kvm: the interrupt \"%s\" cannot be had: %d\n", guest->name, error);
	return error;
}

static void guest_irqs_free(unsigned int count)
{
	while (count--) {
		if (count < GUEST_TIMERS)
			irq_set_vcpu_affinity(guest_irqs[count].irq, NULL);
		free_percpu_irq(guest_irqs[count].irq, guest_irqs_token);
	}
	free_percpu(guest_irqs_token);
}

int rkvm_guest_irqs_request(void)
{
	unsigned int i;
	int error;

	if (!(read_sysreg_s(SYS_ICC_CTLR_EL1) & ICC_CTLR_EL1_EOImode_MASK)) {
		pr_err("rust_kvm: the kernel does not leave deactivating interrupts to guests\n");
		return -EOPNOTSUPP;
	}
	guest_irqs_token = alloc_percpu(int);
	if (!guest_irqs_token)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(guest_irqs); i++) {
		error = guest_irq_request(&guest_irqs[i], i < GUEST_TIMERS);
		if (error) {
			guest_irqs_free(i);
			return error;
		}
	}
	return 0;
}

void rkvm_guest_irqs_free(void)
{
	guest_irqs_free(ARRAY_SIZE(guest_irqs));
}

/* On this CPU. */
void rkvm_guest_irqs_enable(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(guest_irqs); i++)
		enable_percpu_irq(guest_irqs[i].irq, IRQ_TYPE_NONE);
}

void rkvm_guest_irqs_disable(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(guest_irqs); i++)
		disable_percpu_irq(guest_irqs[i].irq);
}

/*
 * Makes a timer's interrupt active on this CPU, as if it had been taken, so that it does not come while the timer's
 * line is up.
 */
void rkvm_guest_timer_hold(unsigned int timer)
{
	irq_set_irqchip_state(guest_irqs[timer].irq, IRQCHIP_STATE_ACTIVE, true);
}

/* The number by which the GIC knows a timer's interrupt. */
u8 rkvm_guest_timer_number(unsigned int timer)
{
	return irqd_to_hwirq(irq_get_irq_data(guest_irqs[timer].irq));
}
