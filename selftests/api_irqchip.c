// SPDX-License-Identifier: GPL-2.0
/* KVM_CREATE_IRQCHIP, KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, KVM_IRQ_LINE, KVM_IRQ_LINE_STATUS. */
#include "lib/apic.h"

enum { CHIP_COUNT = 3, LINE = 4, PIN = 10 };

static struct vm *vm_with(enum chips chips)
{
	struct vm *vm = vm_create();

	vm_create_chips(vm, chips);
	return vm;
}

static int get(struct vm *vm, struct kvm_irqchip *chip)
{
	return ioctl(vm->fd, KVM_GET_IRQCHIP, chip);
}

static int set(struct vm *vm, const struct kvm_irqchip *chip)
{
	return ioctl(vm->fd, KVM_SET_IRQCHIP, chip);
}

TEST(only_once)
{
	struct vm *vm = vm_with(CHIPS);

	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_IRQCHIP), EEXIST);
}

TEST(before_the_vcpus)
{
	struct vm *vm = vm_create();

	ASSERT_OK(ioctl(vm->fd, KVM_CREATE_VCPU, 0));
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_IRQCHIP), EINVAL);
}

TEST(not_beside_a_split_one)
{
	struct vm *vm = vm_with(CHIPS_SPLIT);

	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_IRQCHIP), EEXIST);
}

TEST(nothing_without_it)
{
	struct vm *vm = vm_with(NO_CHIPS);
	struct kvm_irqchip chip = { 0 };
	struct kvm_irq_level line = { .irq = LINE, .level = 1 };

	EXPECT_ERRNO(get(vm, &chip), ENXIO);
	EXPECT_ERRNO(set(vm, &chip), ENXIO);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_IRQ_LINE, &line), ENXIO);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_IRQ_LINE_STATUS, &line), ENXIO);
}

TEST(no_state_of_a_split_one)
{
	struct vm *vm = vm_with(CHIPS_SPLIT);
	struct kvm_irqchip chip = { 0 };

	EXPECT_ERRNO(get(vm, &chip), ENXIO);
	EXPECT_ERRNO(set(vm, &chip), ENXIO);
}

TEST(there_are_three)
{
	struct vm *vm = vm_with(CHIPS);
	struct kvm_irqchip chip = { .chip_id = CHIP_COUNT };

	EXPECT_ERRNO(get(vm, &chip), EINVAL);
	EXPECT_ERRNO(set(vm, &chip), EINVAL);
	chip.chip_id = -1;
	EXPECT_ERRNO(get(vm, &chip), EINVAL);
	EXPECT_ERRNO(set(vm, &chip), EINVAL);
	for (uint32_t id = 0; id < CHIP_COUNT; id++) {
		chip = vm_irqchip(vm, id);
		EXPECT_EQ(chip.chip_id, id);
	}
}

TEST(fresh_pic)
{
	struct vm *vm = vm_with(CHIPS);

	for (uint32_t id = KVM_IRQCHIP_PIC_MASTER; id <= KVM_IRQCHIP_PIC_SLAVE; id++) {
		const struct kvm_pic_state pic = vm_irqchip(vm, id).chip.pic;

		EXPECT_EQ(pic.irr, 0);
		EXPECT_EQ(pic.isr, 0);
		EXPECT_EQ(pic.imr, 0);
		EXPECT_EQ(pic.irq_base, 0);
		EXPECT_EQ(pic.init_state, 0);
		EXPECT_EQ(pic.elcr, 0);
		EXPECT_EQ(pic.elcr_mask, id == KVM_IRQCHIP_PIC_MASTER ? 0xf8 : 0xde);
	}
}

TEST(fresh_ioapic)
{
	const struct kvm_ioapic_state ioapic =
		vm_irqchip(vm_with(CHIPS), KVM_IRQCHIP_IOAPIC).chip.ioapic;

	EXPECT_EQ(ioapic.base_address, IOAPIC_BASE);
	EXPECT_EQ(ioapic.ioregsel, 0);
	EXPECT_EQ(ioapic.id, 0);
	EXPECT_EQ(ioapic.irr, 0);
	for (int pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		EXPECT_EQ(ioapic.redirtbl[pin].bits, ENTRY_MASKED);
}

TEST(pic_round_trip)
{
	const struct kvm_irqchip want = {
		.chip_id = KVM_IRQCHIP_PIC_SLAVE,
		.chip.pic = {
			.last_irr = 0x11, .irr = 0x10, .imr = 0xa5, .isr = 0x02, .priority_add = 3,
			.irq_base = 0x38, .read_reg_select = 1, .special_mask = 1,
			.auto_eoi = 1, .rotate_on_auto_eoi = 1, .init4 = 1, .elcr = 0x0c,
			.elcr_mask = 0xde,
		},
	};
	struct vm *vm = vm_with(CHIPS);
	struct kvm_irqchip got;

	ASSERT_OK(set(vm, &want));
	got = vm_irqchip(vm, KVM_IRQCHIP_PIC_SLAVE);
	EXPECT_MEM(&got.chip.pic, &want.chip.pic, sizeof(want.chip.pic));
	/* The other is untouched. */
	EXPECT_EQ(vm_irqchip(vm, KVM_IRQCHIP_PIC_MASTER).chip.pic.imr, 0);
}

TEST(ioapic_round_trip)
{
	struct kvm_irqchip want = {
		.chip_id = KVM_IRQCHIP_IOAPIC,
		.chip.ioapic = { .base_address = IOAPIC_BASE, .ioregsel = 0x17, .id = 9 },
	};
	struct kvm_ioapic_state *ioapic = &want.chip.ioapic;
	struct vm *vm = vm_with(CHIPS);
	struct kvm_irqchip got;

	for (int pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		ioapic->redirtbl[pin].bits = (uint64_t)pin << 56 | (0x30 + pin) | ENTRY_MASKED;
	ioapic->redirtbl[PIN].bits = (uint64_t)3 << 56 | 0x55 | ENTRY_LEVEL | ENTRY_LOGICAL;
	ASSERT_OK(set(vm, &want));
	got = vm_irqchip(vm, KVM_IRQCHIP_IOAPIC);
	EXPECT_MEM(&got.chip.ioapic, ioapic, sizeof(*ioapic));
}

/* A line that is up shows in both chips it leads to. */
TEST(a_line_shows)
{
	struct vm *vm = vm_with(CHIPS);

	ASSERT_OK(irq_line(vm, LINE, 1));
	EXPECT_EQ(vm_irqchip(vm, KVM_IRQCHIP_PIC_MASTER).chip.pic.irr, 1 << LINE);
	EXPECT_EQ(vm_irqchip(vm, KVM_IRQCHIP_PIC_MASTER).chip.pic.last_irr, 1 << LINE);
	ASSERT_OK(irq_line(vm, LINE, 0));
	EXPECT_EQ(vm_irqchip(vm, KVM_IRQCHIP_PIC_MASTER).chip.pic.irr, 1 << LINE);
	EXPECT_EQ(vm_irqchip(vm, KVM_IRQCHIP_PIC_MASTER).chip.pic.last_irr, 0);
	ASSERT_OK(irq_line(vm, PIN, 1));
	EXPECT_EQ(vm_irqchip(vm, KVM_IRQCHIP_PIC_SLAVE).chip.pic.irr, 1 << (PIN - 8));
}

/* A raised level waits in the I/O APIC's IRR as long as it is up. */
TEST(a_level_shows_in_irr)
{
	struct vm *vm = vm_with(CHIPS);
	struct kvm_irqchip chip = vm_irqchip(vm, KVM_IRQCHIP_IOAPIC);

	chip.chip.ioapic.redirtbl[PIN].bits = 0x55 | ENTRY_LEVEL | ENTRY_MASKED;
	ASSERT_OK(set(vm, &chip));
	ASSERT_OK(irq_line(vm, PIN, 1));
	EXPECT_EQ(vm_irqchip(vm, KVM_IRQCHIP_IOAPIC).chip.ioapic.irr, 1 << PIN);
	ASSERT_OK(irq_line(vm, PIN, 0));
	EXPECT_EQ(vm_irqchip(vm, KVM_IRQCHIP_IOAPIC).chip.ioapic.irr, 0);
}

/*
 * KVM_IRQ_LINE_STATUS tells what became of it: 1 delivered (by any of the
 * chips), 0 coalesced with one that waits already, -1 masked.
 */
TEST(line_status)
{
	struct kvm_irq_level line = { .irq = PIN, .level = 1 };
	struct vm *vm = vm_with(CHIPS);

	ASSERT_OK(ioctl(vm->fd, KVM_IRQ_LINE_STATUS, &line));
	EXPECT_TRUE((int32_t)line.status > 0);
	line = (struct kvm_irq_level){ .irq = 1000, .level = 1 };
	ASSERT_OK(ioctl(vm->fd, KVM_IRQ_LINE_STATUS, &line));
	EXPECT_EQ((int32_t)line.status, -1);
}

TEST(lines_that_lead_nowhere)
{
	struct vm *vm = vm_with(CHIPS);

	EXPECT_OK(irq_line(vm, 24, 1));
	EXPECT_OK(irq_line(vm, 4095, 1));
	EXPECT_OK(irq_line(vm, -1, 1));
}

/* Any level but 0 is up. */
TEST(any_level)
{
	struct vm *vm = vm_with(CHIPS);

	ASSERT_OK(irq_line(vm, LINE, 0x80000000));
	EXPECT_EQ(vm_irqchip(vm, KVM_IRQCHIP_PIC_MASTER).chip.pic.last_irr, 1 << LINE);
}

TEST(bad_pointers)
{
	struct vm *vm = vm_with(CHIPS);

	EXPECT_ERRNO(ioctl(vm->fd, KVM_GET_IRQCHIP, 16), EFAULT);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_IRQCHIP, 16), EFAULT);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_IRQ_LINE, 16), EFAULT);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_IRQ_LINE_STATUS, 16), EFAULT);
}

/* Whatever a VMM sets, the VM goes on to work. */
TEST(any_state_can_be_set)
{
	struct vm *vm = vm_with(CHIPS);
	struct kvm_irqchip chip;
	uint32_t random = 12345;

	vcpu_new(vm, 0);
	for (int round = 0; round < 200; round++) {
		for (unsigned int i = 0; i < sizeof(chip.chip.dummy); i++) {
			random = random * 1103515245 + 12345;
			chip.chip.dummy[i] = random >> 16;
		}
		chip.chip_id = round % CHIP_COUNT;
		ASSERT_OK(set(vm, &chip));
		ASSERT_OK(irq_line(vm, round % KVM_IOAPIC_NUM_PINS, round & 1));
		for (uint32_t id = 0; id < CHIP_COUNT; id++)
			vm_irqchip(vm, id);
	}
}

TEST(is_offered)
{
	struct vm *vm = vm_create();

	EXPECT_EQ(kvm_check(vm->kvm, KVM_CAP_IRQCHIP), 1);
	EXPECT_EQ(kvm_check(vm->kvm, KVM_CAP_IRQ_INJECT_STATUS), 1);
	EXPECT_TRUE(kvm_check(vm->kvm, KVM_CAP_IRQ_ROUTING) >= 1024);
}
