// SPDX-License-Identifier: GPL-2.0
/* KVM_SET_GSI_ROUTING: what is refused. guest_irqfd.c has what routes do. */
#include "lib/apic.h"

enum { GSI = 30, UNKNOWN_TYPE = 100 };

static struct vm *vm_with(enum chips chips)
{
	struct vm *vm = vm_create();

	vm_create_chips(vm, chips);
	return vm;
}

/* A table of one entry */
static int set_one(struct vm *vm, struct kvm_irq_routing_entry entry)
{
	struct routes routes = { .head.nr = 1 };

	routes.entries[0] = entry;
	return vm_set_routes(vm, &routes);
}

static struct kvm_irq_routing_entry pin(uint32_t chip, uint32_t number)
{
	return (struct kvm_irq_routing_entry){
		.gsi = GSI, .type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = number },
	};
}

static struct kvm_irq_routing_entry msi(uint32_t gsi)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = MSI_TO(0), .data = VEC_A },
	};
}

TEST(needs_an_irqchip)
{
	const struct routes none = { 0 };

	EXPECT_ERRNO(vm_set_routes(vm_with(NO_CHIPS), &none), EINVAL);
	EXPECT_OK(vm_set_routes(vm_with(CHIPS), &none));
	EXPECT_OK(vm_set_routes(vm_with(CHIPS_SPLIT), &none));
}

TEST(pins_that_exist)
{
	struct vm *vm = vm_with(CHIPS);

	EXPECT_OK(set_one(vm, pin(KVM_IRQCHIP_PIC_MASTER, 7)));
	EXPECT_ERRNO(set_one(vm, pin(KVM_IRQCHIP_PIC_MASTER, 8)), EINVAL);
	EXPECT_OK(set_one(vm, pin(KVM_IRQCHIP_PIC_SLAVE, 7)));
	EXPECT_ERRNO(set_one(vm, pin(KVM_IRQCHIP_PIC_SLAVE, 8)), EINVAL);
	EXPECT_OK(set_one(vm, pin(KVM_IRQCHIP_IOAPIC, 23)));
	EXPECT_ERRNO(set_one(vm, pin(KVM_IRQCHIP_IOAPIC, 24)), EINVAL);
	EXPECT_ERRNO(set_one(vm, pin(KVM_IRQCHIP_IOAPIC, -1)), EINVAL);
	EXPECT_ERRNO(set_one(vm, pin(3, 0)), EINVAL);
	EXPECT_ERRNO(set_one(vm, pin(-1, 0)), EINVAL);
}

TEST(a_split_irqchip_has_no_pins)
{
	struct vm *vm = vm_with(CHIPS_SPLIT);

	EXPECT_ERRNO(set_one(vm, pin(KVM_IRQCHIP_IOAPIC, 1)), EINVAL);
	EXPECT_ERRNO(set_one(vm, pin(KVM_IRQCHIP_PIC_MASTER, 1)), EINVAL);
	EXPECT_OK(set_one(vm, msi(1)));
}

TEST(gsis_below_the_limit)
{
	struct vm *vm = vm_with(CHIPS);
	const uint32_t limit = kvm_check(vm->fd, KVM_CAP_IRQ_ROUTING);

	EXPECT_OK(set_one(vm, msi(limit - 1)));
	EXPECT_ERRNO(set_one(vm, msi(limit)), EINVAL);
	EXPECT_ERRNO(set_one(vm, msi(-1)), EINVAL);
}

TEST(flags_and_types)
{
	struct vm *vm = vm_with(CHIPS);
	struct routes routes = { .head.flags = 1 };
	struct kvm_irq_routing_entry entry = msi(GSI);

	EXPECT_ERRNO(vm_set_routes(vm, &routes), EINVAL);
	entry.flags = ~KVM_MSI_VALID_DEVID;
	EXPECT_ERRNO(set_one(vm, entry), EINVAL);
	entry = pin(KVM_IRQCHIP_IOAPIC, 1);
	entry.flags = 1;
	EXPECT_ERRNO(set_one(vm, entry), EINVAL);
	entry = msi(GSI);
	entry.type = UNKNOWN_TYPE;
	EXPECT_ERRNO(set_one(vm, entry), EINVAL);
	entry.type = 0;
	EXPECT_ERRNO(set_one(vm, entry), EINVAL);
}

/* A GSI may lead to a pin of each chip, or be one MSI. */
TEST(one_gsi_twice)
{
	struct vm *vm = vm_with(CHIPS);
	struct routes routes = { 0 };

	route_pin(&routes, GSI, KVM_IRQCHIP_PIC_MASTER, 1);
	route_pin(&routes, GSI, KVM_IRQCHIP_IOAPIC, 1);
	EXPECT_OK(vm_set_routes(vm, &routes));
	route_pin(&routes, GSI, KVM_IRQCHIP_IOAPIC, 2);
	EXPECT_ERRNO(vm_set_routes(vm, &routes), EINVAL);
	routes.head.nr = 1;
	route_msi(&routes, GSI, MSI_TO(0), VEC_A);
	EXPECT_ERRNO(vm_set_routes(vm, &routes), EINVAL);
	routes.head.nr = 0;
	route_msi(&routes, GSI, MSI_TO(0), VEC_A);
	route_msi(&routes, GSI, MSI_TO(0), VEC_B);
	EXPECT_ERRNO(vm_set_routes(vm, &routes), EINVAL);
}

/* A table that is refused changes nothing. */
TEST(a_refused_table_leaves_the_old)
{
	struct vm *vm = vm_with(CHIPS);
	struct routes routes = { 0 };

	route_pin(&routes, GSI, KVM_IRQCHIP_PIC_MASTER, 4);
	ASSERT_OK(vm_set_routes(vm, &routes));
	routes.head.nr = 0;
	route_pin(&routes, GSI, KVM_IRQCHIP_PIC_MASTER, 5);
	route_pin(&routes, GSI, KVM_IRQCHIP_PIC_MASTER, 6);
	ASSERT_ERRNO(vm_set_routes(vm, &routes), EINVAL);
	ASSERT_OK(irq_line(vm, GSI, 1));
	EXPECT_EQ(vm_irqchip(vm, KVM_IRQCHIP_PIC_MASTER).chip.pic.irr, 1 << 4);
}

/* A new table takes the place of the old one as a whole, the default too. */
TEST(a_table_replaces_all)
{
	struct vm *vm = vm_with(CHIPS);
	struct routes routes = { 0 };

	route_pin(&routes, GSI, KVM_IRQCHIP_PIC_MASTER, 4);
	ASSERT_OK(vm_set_routes(vm, &routes));
	ASSERT_OK(irq_line(vm, 3, 1));
	EXPECT_EQ(vm_irqchip(vm, KVM_IRQCHIP_PIC_MASTER).chip.pic.irr, 0);
	ASSERT_OK(irq_line(vm, GSI, 1));
	EXPECT_EQ(vm_irqchip(vm, KVM_IRQCHIP_PIC_MASTER).chip.pic.irr, 1 << 4);
}

TEST(as_many_as_the_capability_says)
{
	struct vm *vm = vm_with(CHIPS);
	const uint32_t limit = kvm_check(vm->fd, KVM_CAP_IRQ_ROUTING);
	struct kvm_irq_routing *routing =
		calloc(1, sizeof(*routing) + (limit + 1) * sizeof(routing->entries[0]));

	ASSERT_TRUE(routing != NULL);
	for (uint32_t i = 0; i < limit; i++)
		routing->entries[i] = msi(i);
	routing->nr = limit;
	EXPECT_OK(ioctl(vm->fd, KVM_SET_GSI_ROUTING, routing));
	routing->nr = limit + 1;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_GSI_ROUTING, routing), EINVAL);
	routing->nr = -1;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_GSI_ROUTING, routing), EINVAL);
}

/* With 32-bit IDs the high address has bits that must be 0. */
TEST(high_addresses)
{
	const struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X2APIC_API, .args[0] = KVM_X2APIC_API_USE_32BIT_IDS,
	};
	struct vm *vm = vm_with(CHIPS);
	struct kvm_irq_routing_entry entry = msi(GSI);

	entry.u.msi.address_hi = 0x10;
	EXPECT_OK(set_one(vm, entry));
	ASSERT_OK(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	EXPECT_ERRNO(set_one(vm, entry), EINVAL);
	entry.u.msi.address_hi = 0x100;
	EXPECT_OK(set_one(vm, entry));
}

TEST(bad_pointers)
{
	struct vm *vm = vm_with(CHIPS);
	uint8_t *page = mem_new(2 * PAGE_SIZE);
	struct kvm_irq_routing *routing =
		(struct kvm_irq_routing *)(page + PAGE_SIZE - sizeof(*routing));

	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_GSI_ROUTING, 16), EFAULT);
	ASSERT_OK(munmap(page + PAGE_SIZE, PAGE_SIZE));
	routing->nr = 1;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_GSI_ROUTING, routing), EFAULT);
}
