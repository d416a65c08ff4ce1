// SPDX-License-Identifier: GPL-2.0
/* The GICv3 of an arm64 guest, by device attributes. */
#include <unistd.h>

#include "vgic.h"

int vgic_attr(int vgic, unsigned long request, uint32_t group, uint64_t attr, void *value)
{
	struct kvm_device_attr argument = {
		.group = group,
		.attr = attr,
		.addr = (uintptr_t)value,
	};

	return ioctl(vgic, request, &argument);
}

int vgic_create(struct vm *vm)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };
	uint64_t dist = GICD_BASE, redist = GICR_BASE;

	ASSERT_OK(ioctl(vm->fd, KVM_CREATE_DEVICE, &device));
	ASSERT_OK(vgic_attr(device.fd, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ADDR,
			    KVM_VGIC_V3_ADDR_TYPE_DIST, &dist));
	ASSERT_OK(vgic_attr(device.fd, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ADDR,
			    KVM_VGIC_V3_ADDR_TYPE_REDIST, &redist));
	return device.fd;
}

void vgic_init(int vgic)
{
	ASSERT_OK(vgic_attr(vgic, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_CTRL,
			    KVM_DEV_ARM_VGIC_CTRL_INIT, NULL));
}

uint32_t vgic_dist(int vgic, uint32_t offset)
{
	uint32_t value = 0;

	ASSERT_OK(vgic_attr(vgic, KVM_GET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, offset,
			    &value));
	return value;
}

void vgic_set_dist(int vgic, uint32_t offset, uint32_t value)
{
	ASSERT_OK(vgic_attr(vgic, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, offset,
			    &value));
}

uint32_t vgic_redist(int vgic, unsigned int vcpu, uint32_t offset)
{
	uint32_t value = 0;

	ASSERT_OK(vgic_attr(vgic, KVM_GET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS,
			    (uint64_t)vcpu << KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT | offset, &value));
	return value;
}

void vgic_set_redist(int vgic, unsigned int vcpu, uint32_t offset, uint32_t value)
{
	ASSERT_OK(vgic_attr(vgic, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS,
			    (uint64_t)vcpu << KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT | offset, &value));
}

static void irq_line(struct vm *vm, uint32_t irq, int level)
{
	struct kvm_irq_level line = { .irq = irq, .level = level };

	ASSERT_OK(ioctl(vm->fd, KVM_IRQ_LINE, &line));
}

void spi_line(struct vm *vm, unsigned int intid, int level)
{
	irq_line(vm, KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | intid, level);
}

void ppi_line(struct vm *vm, unsigned int vcpu, unsigned int intid, int level)
{
	irq_line(vm, KVM_ARM_IRQ_TYPE_PPI << KVM_ARM_IRQ_TYPE_SHIFT |
		 vcpu << KVM_ARM_IRQ_VCPU_SHIFT | intid, level);
}

int vgic_guest(const uint8_t *code, const uint8_t *end, const uint8_t *vectors,
	       const uint8_t *vectors_end, struct vcpu **vcpus, unsigned int count)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	int vgic = vgic_create(vm);
	unsigned int i;

	vm_write(vm, GUEST_CODE, code, end - code);
	vm_write(vm, GUEST_VECTORS, vectors, vectors_end - vectors);
	for (i = 0; i < count; i++) {
		vcpus[i] = vcpu_new(vm, i);
		vcpu_start(vcpus[i], GUEST_CODE);
	}
	vgic_init(vgic);
	return vgic;
}

void vgic_guest_free(int vgic, struct vcpu **vcpus, unsigned int count)
{
	struct vm *vm = vcpus[0]->vm;

	while (count--)
		vcpu_free(vcpus[count]);
	close(vgic);
	vm_free(vm);
}
