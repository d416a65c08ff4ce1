// SPDX-License-Identifier: GPL-2.0
/* The ITS: messages that become LPIs, eventfds that send them, tables that are saved and restored. */
/* machine: arch=arm64 cpus=2 */
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/vgic.h"

enum {
	ITS_BASE = 0x08080000,
	DOORBELL = ITS_BASE + 0x10040,
	/* Memory of the tables */
	TABLES = 0x40000000,
	TABLES_SIZE = 0x200000,
	QUEUE = TABLES,
	DEVICES = TABLES + 0x20000,
	COLLECTIONS = TABLES + 0x40000,
	EVENTS = TABLES + 0x60000,
	PROPERTIES = TABLES + 0x80000,
	PENDING = TABLES + 0xa0000,
	/* Registers */
	CTLR = 0x0, CBASER = 0x80, CWRITER = 0x88, CREADR = 0x90, BASER0 = 0x100, BASER1 = 0x108,
	/* What the tests use */
	DEVICE = 5, EVENT = 3, LPI = 8200, COLLECTION = 2,
	MAIN = 0xaaa,
};

#define VALID (1ULL << 63)

IRQ_VECTORS(report_irq, ACKNOWLEDGE REPORT END_OF_INTERRUPT);

GUEST64(take_interrupts,
	GIC_ON
	IRQS_ON
	"1: mov x0, #0xaaa\n" REPORT
	"b 1b\n");

struct its_guest {
	struct vcpu *vcpu;
	int vgic, its;
	uint8_t *tables;
	uint64_t written;
};

static int its_attr(int its, unsigned long request, uint32_t group, uint64_t attr, uint64_t *value)
{
	return vgic_attr(its, request, group, attr, value);
}

static void its_set(struct its_guest *guest, uint32_t offset, uint64_t value)
{
	ASSERT_OK(its_attr(guest->its, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, offset,
			   &value));
}

static uint64_t its_get(struct its_guest *guest, uint32_t offset)
{
	uint64_t value = 0;

	ASSERT_OK(its_attr(guest->its, KVM_GET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, offset,
			   &value));
	return value;
}

static void its_control(struct its_guest *guest, uint64_t attr)
{
	ASSERT_OK(its_attr(guest->its, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_CTRL, attr, NULL));
}

static void command(struct its_guest *guest, uint64_t first, uint64_t second, uint64_t third)
{
	const uint64_t words[4] = { first, second, third, 0 };

	memcpy(guest->tables + guest->written, words, sizeof(words));
	guest->written += sizeof(words);
	its_set(guest, CWRITER, guest->written);
	EXPECT_EQ(its_get(guest, CREADR), guest->written);
}

static void set_redist64(struct its_guest *guest, uint32_t offset, uint64_t value)
{
	vgic_set_redist(guest->vgic, 0, offset, value);
	vgic_set_redist(guest->vgic, 0, offset + 4, value >> 32);
}

static void its_tables_on(struct its_guest *guest)
{
	its_set(guest, CBASER, VALID | QUEUE | 15);
	its_set(guest, BASER0, VALID | DEVICES);
	its_set(guest, BASER1, VALID | COLLECTIONS);
}

/* A guest with one vCPU, an ITS with tables, LPIs enabled with priority 0xa0 */
static struct its_guest its_guest(void)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_ARM_VGIC_ITS };
	struct its_guest guest = { 0 };
	uint64_t base = ITS_BASE;

	guest.vgic = VGIC_GUEST(take_interrupts, report_irq, &guest.vcpu, 1);
	guest.tables = mem_new(TABLES_SIZE);
	ASSERT_OK(vm_set_slot(guest.vcpu->vm, 1, TABLES, TABLES_SIZE, guest.tables, 0));
	ASSERT_OK(ioctl(guest.vcpu->vm->fd, KVM_CREATE_DEVICE, &device));
	guest.its = device.fd;
	ASSERT_OK(its_attr(guest.its, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ADDR,
			   KVM_VGIC_ITS_ADDR_TYPE, &base));
	its_control(&guest, KVM_DEV_ARM_VGIC_CTRL_INIT);
	memset(guest.tables + PROPERTIES - TABLES, 0xa1, 0x10000);
	set_redist64(&guest, 0x70, PROPERTIES | 15);
	set_redist64(&guest, 0x78, PENDING);
	vgic_set_redist(guest.vgic, 0, 0, 1);
	its_tables_on(&guest);
	its_set(&guest, CTLR, 1);
	return guest;
}

static void its_guest_free(struct its_guest *guest)
{
	close(guest->its);
	vgic_guest_free(guest->vgic, &guest->vcpu, 1);
	munmap(guest->tables, TABLES_SIZE);
}

/* Device, collection and event */
static void map_event(struct its_guest *guest)
{
	command(guest, (uint64_t)DEVICE << 32 | 0x08, 7, VALID | EVENTS);
	command(guest, 0x09, 0, VALID | COLLECTION);
	command(guest, (uint64_t)DEVICE << 32 | 0x0a, (uint64_t)LPI << 32 | EVENT, COLLECTION);
}

static int signal_msi(struct its_guest *guest, uint32_t device, uint32_t event)
{
	struct kvm_msi msi = {
		.address_lo = DOORBELL,
		.data = event,
		.devid = device,
		.flags = KVM_MSI_VALID_DEVID,
	};

	return ioctl(guest->vcpu->vm->fd, KVM_SIGNAL_MSI, &msi);
}

TEST(a_message_is_an_lpi)
{
	struct its_guest guest = its_guest();

	map_event(&guest);
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

	map_event(&guest);
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
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} routing = {
		.head.nr = 1,
		.entry = {
			.gsi = 77,
			.type = KVM_IRQ_ROUTING_MSI,
			.flags = KVM_MSI_VALID_DEVID,
			.u.msi = { .address_lo = DOORBELL, .data = EVENT, .devid = DEVICE },
		},
	};
	struct kvm_irqfd irqfd = { .fd = eventfd(0, 0), .gsi = 77 };
	const uint64_t one = 1;

	map_event(&guest);
	ASSERT_OK(ioctl(guest.vcpu->vm->fd, KVM_SET_GSI_ROUTING, &routing));
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

	map_event(&guest);
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
