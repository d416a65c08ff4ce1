/* SPDX-License-Identifier: GPL-2.0 */
/* An ITS of an arm64 guest, driven by the VMM: tables, commands, messages. */
#ifndef SELFTESTS_ITS_H
#define SELFTESTS_ITS_H

#include <string.h>
#include <unistd.h>

#include "vgic.h"

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
	/* What its_map_event() maps */
	DEVICE = 5, EVENT = 3, LPI = 8200, COLLECTION = 2,
};

#define VALID (1ULL << 63)

struct its_guest {
	struct vcpu *vcpu;
	int vgic, its;
	uint8_t *tables;
	uint64_t written;
};

static inline int its_attr(int its, unsigned long request, uint32_t group, uint64_t attr, uint64_t *value)
{
	return vgic_attr(its, request, group, attr, value);
}

static inline void its_set(struct its_guest *guest, uint32_t offset, uint64_t value)
{
	ASSERT_OK(its_attr(guest->its, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, offset,
			   &value));
}

static inline uint64_t its_get(struct its_guest *guest, uint32_t offset)
{
	uint64_t value = 0;

	ASSERT_OK(its_attr(guest->its, KVM_GET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, offset,
			   &value));
	return value;
}

static inline void its_control(struct its_guest *guest, uint64_t attr)
{
	ASSERT_OK(its_attr(guest->its, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_CTRL, attr, NULL));
}

static inline void its_command(struct its_guest *guest, uint64_t first, uint64_t second, uint64_t third)
{
	const uint64_t words[4] = { first, second, third, 0 };

	memcpy(guest->tables + guest->written, words, sizeof(words));
	guest->written += sizeof(words);
	its_set(guest, CWRITER, guest->written);
	EXPECT_EQ(its_get(guest, CREADR), guest->written);
}

static inline void its_set_redist64(struct its_guest *guest, uint32_t offset, uint64_t value)
{
	vgic_set_redist(guest->vgic, 0, offset, value);
	vgic_set_redist(guest->vgic, 0, offset + 4, value >> 32);
}

static inline void its_tables_on(struct its_guest *guest)
{
	its_set(guest, CBASER, VALID | QUEUE | 15);
	its_set(guest, BASER0, VALID | DEVICES);
	its_set(guest, BASER1, VALID | COLLECTIONS);
}

/* A guest with one vCPU, an ITS with tables, LPIs enabled with priority 0xa0 */
static inline struct its_guest its_guest_new(const uint8_t *code, const uint8_t *end,
					     const uint8_t *vectors, const uint8_t *vectors_end)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_ARM_VGIC_ITS };
	struct its_guest guest = { 0 };
	uint64_t base = ITS_BASE;

	guest.vgic = vgic_guest(code, end, vectors, vectors_end, &guest.vcpu, 1);
	guest.tables = mem_new(TABLES_SIZE);
	ASSERT_OK(vm_set_slot(guest.vcpu->vm, 1, TABLES, TABLES_SIZE, guest.tables, 0));
	ASSERT_OK(ioctl(guest.vcpu->vm->fd, KVM_CREATE_DEVICE, &device));
	guest.its = device.fd;
	ASSERT_OK(its_attr(guest.its, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ADDR,
			   KVM_VGIC_ITS_ADDR_TYPE, &base));
	its_control(&guest, KVM_DEV_ARM_VGIC_CTRL_INIT);
	memset(guest.tables + PROPERTIES - TABLES, 0xa1, 0x10000);
	its_set_redist64(&guest, 0x70, PROPERTIES | 15);
	its_set_redist64(&guest, 0x78, PENDING);
	vgic_set_redist(guest.vgic, 0, 0, 1);
	its_tables_on(&guest);
	its_set(&guest, CTLR, 1);
	return guest;
}

static inline void its_guest_free(struct its_guest *guest)
{
	close(guest->its);
	vgic_guest_free(guest->vgic, &guest->vcpu, 1);
	munmap(guest->tables, TABLES_SIZE);
}

/* Device, collection and event */
static inline void its_map_event(struct its_guest *guest)
{
	its_command(guest, (uint64_t)DEVICE << 32 | 0x08, 7, VALID | EVENTS);
	its_command(guest, 0x09, 0, VALID | COLLECTION);
	its_command(guest, (uint64_t)DEVICE << 32 | 0x0a, (uint64_t)LPI << 32 | EVENT, COLLECTION);
}

static inline int signal_msi(struct its_guest *guest, uint32_t device, uint32_t event)
{
	struct kvm_msi msi = {
		.address_lo = DOORBELL,
		.data = event,
		.devid = device,
		.flags = KVM_MSI_VALID_DEVID,
	};

	return ioctl(guest->vcpu->vm->fd, KVM_SIGNAL_MSI, &msi);
}

/* KVM_SET_GSI_ROUTING with that GSI alone, as the message of what its_map_event() maps: 0, or -1 and errno */
static inline int its_route(struct its_guest *guest, uint32_t gsi)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} routing = {
		.head.nr = 1,
		.entry = {
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_MSI,
			.flags = KVM_MSI_VALID_DEVID,
			.u.msi = { .address_lo = DOORBELL, .data = EVENT, .devid = DEVICE },
		},
	};

	return ioctl(guest->vcpu->vm->fd, KVM_SET_GSI_ROUTING, &routing);
}

#endif
