// SPDX-License-Identifier: GPL-2.0
/* What a VMM can ask and choose of an arm64 VM. */
/* machine: arch=arm64 */
#include "lib/vgic.h"

TEST(capabilities)
{
	static const int caps[] = {
		KVM_CAP_ARM_INJECT_EXT_DABT, KVM_CAP_ARM_IRQ_LINE_LAYOUT_2, KVM_CAP_ARM_NISV_TO_USER,
		KVM_CAP_ARM_SET_DEVICE_ADDR, KVM_CAP_ARM_SYSTEM_SUSPEND, KVM_CAP_ARM_USER_IRQ,
		KVM_CAP_COUNTER_OFFSET, KVM_CAP_HALT_POLL, KVM_CAP_SYSTEM_EVENT_DATA,
	};
	struct vm *vm = vm_new(GUEST_PAGES);

	for (unsigned int i = 0; i < ARRAY_SIZE(caps); i++) {
		EXPECT_EQ(kvm_check(vm->kvm, caps[i]), 1);
		EXPECT_EQ(kvm_check(vm->fd, caps[i]), 1);
	}
	EXPECT_EQ(kvm_check(vm->fd, KVM_CAP_NR_MEMSLOTS), 32767);
	EXPECT_OK(vm_set_slot(vm, 32766, 0x10000000, PAGE_SIZE, mem_new(PAGE_SIZE), 0));
	EXPECT_ERRNO(vm_set_slot(vm, 32767, 0x20000000, PAGE_SIZE, mem_new(PAGE_SIZE), 0), EINVAL);
}

/* Messages name their device once there is an ITS. */
TEST(devices_of_messages)
{
	struct kvm_create_device its = { .type = KVM_DEV_TYPE_ARM_VGIC_ITS };
	struct vm *vm = vm_new(GUEST_PAGES);

	vcpu_new(vm, 0);
	vgic_create(vm);
	EXPECT_EQ(kvm_check(vm->fd, KVM_CAP_MSI_DEVID), 0);
	ASSERT_OK(ioctl(vm->fd, KVM_CREATE_DEVICE, &its));
	EXPECT_EQ(kvm_check(vm->fd, KVM_CAP_MSI_DEVID), 1);
}

/* The old way to place a GICv2, which there is not. */
TEST(addresses_of_a_gicv2)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	struct kvm_arm_device_addr address = {
		.id = KVM_ARM_DEVICE_VGIC_V2 << KVM_ARM_DEVICE_ID_SHIFT, .addr = GICD_BASE,
	};

	vgic_create(vm);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_ARM_SET_DEVICE_ADDR, &address), ENODEV);
	address.id = 5 << KVM_ARM_DEVICE_ID_SHIFT;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_ARM_SET_DEVICE_ADDR, &address), ENODEV);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_ARM_SET_DEVICE_ADDR, NULL), EFAULT);
}

TEST(halt_polling)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_HALT_POLL, .args = { 0 } };
	struct vm *vm = vm_new(GUEST_PAGES);

	EXPECT_OK(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	cap.args[0] = UINT32_MAX;
	EXPECT_OK(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	cap.args[0] = UINT32_MAX + 1UL;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_ENABLE_CAP, &cap), EINVAL);
	cap.args[0] = 0;
	cap.flags = 1;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_ENABLE_CAP, &cap), EINVAL);
}

TEST(attributes_are_not_read)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	struct kvm_device_attr attr = { .group = KVM_ARM_VM_SMCCC_CTRL };

	EXPECT_OK(ioctl(vm->fd, KVM_HAS_DEVICE_ATTR, &attr));
	EXPECT_ERRNO(ioctl(vm->fd, KVM_GET_DEVICE_ATTR, &attr), EINVAL);
	attr.attr = 1;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_HAS_DEVICE_ATTR, &attr), ENXIO);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_DEVICE_ATTR, &attr), ENXIO);
}

TEST(messages_without_a_gic)
{
	const struct kvm_msi msi = { .address_lo = GICD_BASE };
	struct vm *vm = vm_new(GUEST_PAGES);

	EXPECT_ERRNO(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi), EINVAL);
	vcpu_new(vm, 0);
	vgic_create(vm);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi), ENODEV);
}

/* KVM_IRQ_LINE_STATUS is KVM_IRQ_LINE here: no status is told. */
TEST(lines_by_the_other_request)
{
	struct kvm_irq_level line = {
		.irq = KVM_ARM_IRQ_TYPE_CPU << KVM_ARM_IRQ_TYPE_SHIFT, .level = 1,
	};
	struct vm *vm = vm_new(GUEST_PAGES);

	EXPECT_ERRNO(ioctl(vm->fd, KVM_IRQ_LINE_STATUS, &line), EINVAL);
	vcpu_new(vm, 0);
	EXPECT_OK(ioctl(vm->fd, KVM_IRQ_LINE_STATUS, &line));
	EXPECT_EQ(line.level, 1);
}
