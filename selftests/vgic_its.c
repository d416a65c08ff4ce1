// SPDX-License-Identifier: GPL-2.0
/* The ITS: messages that become LPIs, eventfds that send them, tables that are saved and restored. */
/* machine: arch=arm64 cpus=2 */
#include <sys/eventfd.h>

#include "lib/its.h"

enum { MAIN = 0xaaa };

IRQ_VECTORS(report_irq, ACKNOWLEDGE REPORT END_OF_INTERRUPT);

GUEST64(take_interrupts,
	GIC_ON
	IRQS_ON
	"1: mov x0, #0xaaa\n" REPORT
	"b 1b\n");

static struct its_guest its_guest(void)
{
	return its_guest_new(take_interrupts, take_interrupts_end, report_irq, report_irq_end);
}

TEST(a_message_is_an_lpi)
{
	struct its_guest guest = its_guest();

	its_map_event(&guest);
	ASSERT_REPORT(guest.vcpu, MAIN);
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(signal_msi(&guest, DEVICE, EVENT), 1);
		ASSERT_REPORT(guest.vcpu, LPI);
		ASSERT_REPORT(guest.vcpu, MAIN);
	}
	/* An event and a device that are not mapped are the guest's own affair. */
	EXPECT_EQ(signal_msi(&guest, DEVICE, EVENT + 1), 0);
	EXPECT_EQ(signal_msi(&guest, DEVICE + 1, EVENT), 0);
	ASSERT_REPORT(guest.vcpu, MAIN);
	its_guest_free(&guest);
}

TEST(messages_that_reach_no_its)
{
	struct its_guest guest = its_guest();
	struct kvm_msi msi = { .address_lo = DOORBELL, .data = EVENT };

	its_map_event(&guest);
	EXPECT_ERRNO(ioctl(guest.vcpu->vm->fd, KVM_SIGNAL_MSI, &msi), EINVAL);
	msi.flags = KVM_MSI_VALID_DEVID;
	msi.devid = DEVICE;
	msi.address_lo = DOORBELL + 0x100000;
	EXPECT_ERRNO(ioctl(guest.vcpu->vm->fd, KVM_SIGNAL_MSI, &msi), EINVAL);
	its_set(&guest, CTLR, 0);
	EXPECT_ERRNO(signal_msi(&guest, DEVICE, EVENT), EBUSY);
	its_guest_free(&guest);
}

/* The interrupt comes by a work queue, if C KVM has not translated the message before. */
static void assert_comes(struct vcpu *vcpu, uint64_t intid)
{
	for (int i = 0; i < 1000; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
		if (*(uint64_t *)vcpu->run->mmio.data == intid)
			return;
		usleep(1000);
	}
	ASSERT_EQ(*(uint64_t *)vcpu->run->mmio.data, intid);
}

TEST(an_eventfd_sends_a_message)
{
	struct its_guest guest = its_guest();
	struct kvm_irqfd irqfd = { .fd = eventfd(0, 0), .gsi = 77 };
	const uint64_t one = 1;

	its_map_event(&guest);
	ASSERT_OK(its_route(&guest, irqfd.gsi));
	ASSERT_OK(ioctl(guest.vcpu->vm->fd, KVM_IRQFD, &irqfd));
	ASSERT_REPORT(guest.vcpu, MAIN);
	ASSERT_EQ(write(irqfd.fd, &one, sizeof(one)), sizeof(one));
	assert_comes(guest.vcpu, LPI);
	ASSERT_REPORT(guest.vcpu, MAIN);
	close(irqfd.fd);
	its_guest_free(&guest);
}

TEST(tables_come_back)
{
	struct its_guest guest = its_guest();
	const uint64_t *entry;
	uint64_t creadr;

	its_map_event(&guest);
	ASSERT_REPORT(guest.vcpu, MAIN);
	EXPECT_EQ(signal_msi(&guest, DEVICE, EVENT), 1);
	ASSERT_OK(vgic_attr(guest.vgic, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_CTRL,
			    KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, NULL));
	EXPECT_EQ(guest.tables[PENDING - TABLES + LPI / 8] & 1 << LPI % 8, 1 << LPI % 8);
	its_control(&guest, KVM_DEV_ARM_ITS_SAVE_TABLES);
	creadr = its_get(&guest, CREADR);
	entry = (const void *)(guest.tables + DEVICES - TABLES);
	EXPECT_EQ(entry[DEVICE], VALID | (uint64_t)EVENTS >> 8 << 5 | 7);
	entry = (const void *)(guest.tables + COLLECTIONS - TABLES);
	EXPECT_EQ(entry[0], VALID | COLLECTION);
	entry = (const void *)(guest.tables + EVENTS - TABLES);
	EXPECT_EQ(entry[EVENT], (uint64_t)LPI << 16 | COLLECTION);

	its_control(&guest, KVM_DEV_ARM_ITS_CTRL_RESET);
	EXPECT_EQ(its_get(&guest, CTLR), 1ULL << 31);
	EXPECT_EQ(its_get(&guest, BASER0) & VALID, 0);
	its_tables_on(&guest);
	its_set(&guest, CREADR, creadr);
	its_set(&guest, CWRITER, creadr);
	its_control(&guest, KVM_DEV_ARM_ITS_RESTORE_TABLES);
	its_set(&guest, CTLR, 1);
	/* It is pending again, from its bit in memory. */
	ASSERT_REPORT(guest.vcpu, LPI);
	ASSERT_REPORT(guest.vcpu, MAIN);
	EXPECT_EQ(signal_msi(&guest, DEVICE, EVENT), 1);
	ASSERT_REPORT(guest.vcpu, LPI);
	its_guest_free(&guest);
}

/* What a restore has read before it fails is forgotten, so that it can be tried again. */
TEST(tables_that_are_wrong_first)
{
	struct its_guest guest = its_guest();
	uint64_t *device = (void *)(guest.tables + DEVICES - TABLES + DEVICE * 8);
	uint64_t creadr, right;

	its_map_event(&guest);
	ASSERT_REPORT(guest.vcpu, MAIN);
	its_control(&guest, KVM_DEV_ARM_ITS_SAVE_TABLES);
	creadr = its_get(&guest, CREADR);
	its_control(&guest, KVM_DEV_ARM_ITS_CTRL_RESET);
	its_tables_on(&guest);
	its_set(&guest, CREADR, creadr);
	its_set(&guest, CWRITER, creadr);
	right = *device;
	*device = VALID | 0xffffffff0000 >> 8 << 5 | 7;
	EXPECT_ERRNO(its_attr(guest.its, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_CTRL,
			      KVM_DEV_ARM_ITS_RESTORE_TABLES, NULL), EFAULT);
	*device = right;
	its_control(&guest, KVM_DEV_ARM_ITS_RESTORE_TABLES);
	its_set(&guest, CTLR, 1);
	EXPECT_EQ(signal_msi(&guest, DEVICE, EVENT), 1);
	ASSERT_REPORT(guest.vcpu, LPI);
	its_guest_free(&guest);
}

/* A device cannot have more events than the ITS says: the command is ignored. */
TEST(a_device_with_too_many_events)
{
	struct its_guest guest = its_guest();

	its_map_event(&guest);
	its_command(&guest, (uint64_t)DEVICE << 32 | 0x08, 16, VALID | EVENTS);
	EXPECT_EQ(signal_msi(&guest, DEVICE, EVENT), 1);
	its_guest_free(&guest);
}

TEST(its_attributes)
{
	struct its_guest guest = its_guest();
	uint64_t value = ITS_BASE;

	EXPECT_ERRNO(its_attr(guest.its, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ADDR,
			      KVM_VGIC_ITS_ADDR_TYPE, &value), EEXIST);
	EXPECT_ERRNO(its_attr(guest.its, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ADDR, 0,
			      &value), ENODEV);
	EXPECT_ERRNO(its_attr(guest.its, KVM_GET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ITS_REGS,
			      CBASER + 4, &value), EINVAL);
	EXPECT_ERRNO(its_attr(guest.its, KVM_GET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, 0x48,
			      &value), ENXIO);
	EXPECT_ERRNO(its_attr(guest.its, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0,
			      &value), ENXIO);
	EXPECT_EQ(its_get(&guest, 0x4), 0x4b00043bULL);
	EXPECT_EQ(its_get(&guest, 0x8) & 0x3fff1ULL, 15 << 13 | 15 << 8 | 7 << 4 | 1);
	its_guest_free(&guest);
}

TEST(an_its_before_the_gic)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	struct kvm_create_device its = { .type = KVM_DEV_TYPE_ARM_VGIC_ITS };
	struct vcpu *vcpu;
	int vgic;

	EXPECT_EQ(kvm_check(vm->fd, KVM_CAP_MSI_DEVID), 0);
	ASSERT_OK(ioctl(vm->fd, KVM_CREATE_DEVICE, &its));
	EXPECT_EQ(kvm_check(vm->fd, KVM_CAP_MSI_DEVID), 1);
	vgic = vgic_create(vm);
	vcpu = vcpu_new(vm, 0);
	vgic_init(vgic);
	/* GICD_TYPER.LPIS, GICR_TYPER.PLPIS */
	EXPECT_EQ(vgic_dist(vgic, 0x4) >> 17 & 1, 1);
	EXPECT_EQ(vgic_redist(vgic, 0, 0x8) & 1, 1);
	vcpu_free(vcpu);
	close(vgic);
	close(its.fd);
	vm_free(vm);
}

/* A message is looked for among a VM's ITSs: there is an end to them. */
TEST(as_many_itss_as_there_may_be)
{
	enum { MANY = 129 };
	struct vm *vm = vm_new(GUEST_PAGES);
	int vgic = vgic_create(vm), refused = 0;

	if (kvm_is_c())
		SKIP("C KVM has no limit");
	for (int i = 0; i < MANY; i++) {
		struct kvm_create_device its = { .type = KVM_DEV_TYPE_ARM_VGIC_ITS };

		if (ioctl(vm->fd, KVM_CREATE_DEVICE, &its)) {
			EXPECT_EQ(errno, ENOSPC);
			refused++;
		}
	}
	EXPECT_EQ(refused, 1);
	close(vgic);
	vm_free(vm);
}
