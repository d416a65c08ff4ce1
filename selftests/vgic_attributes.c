// SPDX-License-Identifier: GPL-2.0
/* The attributes of a GICv3: addresses, sizes, registers, and what they refuse. */
/* machine: arch=arm64 cpus=2 */
#include <unistd.h>

#include "lib/vgic.h"

enum { DIST = KVM_VGIC_V3_ADDR_TYPE_DIST, REDIST = KVM_VGIC_V3_ADDR_TYPE_REDIST,
       REGION = KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION };

static int create_only(struct vm *vm)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };

	ASSERT_OK(ioctl(vm->fd, KVM_CREATE_DEVICE, &device));
	return device.fd;
}

static int set(int vgic, uint32_t group, uint64_t attr, uint64_t value)
{
	return vgic_attr(vgic, KVM_SET_DEVICE_ATTR, group, attr, &value);
}

static int get(int vgic, uint32_t group, uint64_t attr, uint64_t *value)
{
	return vgic_attr(vgic, KVM_GET_DEVICE_ATTR, group, attr, value);
}

static int has(int vgic, uint32_t group, uint64_t attr)
{
	return vgic_attr(vgic, KVM_HAS_DEVICE_ATTR, group, attr, NULL);
}

static int set_addr(int vgic, uint64_t type, uint64_t value)
{
	return set(vgic, KVM_DEV_ARM_VGIC_GRP_ADDR, type, value);
}

TEST(one_gic_a_vm)
{
	struct vm *vm = vm_new(1);
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };
	struct kvm_create_device test = { .type = KVM_DEV_TYPE_ARM_VGIC_V3,
					  .flags = KVM_CREATE_DEVICE_TEST };
	struct kvm_create_device none = { .type = 1000 };

	ASSERT_OK(ioctl(vm->fd, KVM_CREATE_DEVICE, &test));
	ASSERT_OK(ioctl(vm->fd, KVM_CREATE_DEVICE, &device));
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_DEVICE, &device), EEXIST);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_DEVICE, &none), ENODEV);
	EXPECT_ERRNO(ioctl(device.fd, KVM_CREATE_VCPU, 0), ENOTTY);
	close(device.fd);
	vm_free(vm);
}

TEST(addresses)
{
	struct vm *vm = vm_new(1);
	int vgic = create_only(vm);
	uint64_t value = 0;

	ASSERT_OK(get(vgic, KVM_DEV_ARM_VGIC_GRP_ADDR, DIST, &value));
	EXPECT_EQ(value, UINT64_MAX);
	EXPECT_ERRNO(set_addr(vgic, DIST, 0x8001000), EINVAL);
	EXPECT_ERRNO(set_addr(vgic, DIST, 1UL << 40), E2BIG);
	EXPECT_ERRNO(set_addr(vgic, REDIST, 0x8001000), EINVAL);
	EXPECT_ERRNO(set_addr(vgic, 77, 0x8000000), ENXIO);
	EXPECT_ERRNO(vgic_attr(vgic, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ADDR, DIST,
			       (void *)1), EFAULT);
	ASSERT_OK(set_addr(vgic, DIST, 0x8000000));
	EXPECT_ERRNO(set_addr(vgic, DIST, 0x9000000), EEXIST);
	ASSERT_OK(get(vgic, KVM_DEV_ARM_VGIC_GRP_ADDR, DIST, &value));
	EXPECT_EQ(value, 0x8000000);
	ASSERT_OK(set_addr(vgic, REDIST, 0x80a0000));
	EXPECT_ERRNO(set_addr(vgic, REDIST, 0x90a0000), EEXIST);
	EXPECT_ERRNO(set_addr(vgic, REGION, 0x90a0000 | 1UL << 52), EINVAL);
	EXPECT_OK(has(vgic, KVM_DEV_ARM_VGIC_GRP_ADDR, REGION));
	EXPECT_ERRNO(has(vgic, KVM_DEV_ARM_VGIC_GRP_ADDR, 77), ENXIO);
	EXPECT_ERRNO(has(vgic, 77, 0), ENXIO);
	close(vgic);
	vm_free(vm);
}

TEST(regions)
{
	struct vm *vm = vm_new(1);
	int vgic = create_only(vm);
	uint64_t value;

	EXPECT_ERRNO(set_addr(vgic, REGION, 0x100000), EINVAL);
	EXPECT_ERRNO(set_addr(vgic, REGION, 0x100000 | 1UL << 12 | 1UL << 52), EINVAL);
	EXPECT_ERRNO(set_addr(vgic, REGION, 0x100000 | 1 | 1UL << 52), EINVAL);
	ASSERT_OK(set_addr(vgic, REGION, 0x100000 | 2UL << 52));
	EXPECT_ERRNO(set_addr(vgic, REGION, 0x120000 | 1 | 1UL << 52), EINVAL);
	EXPECT_ERRNO(set_addr(vgic, REDIST, 0x90a0000), EINVAL);
	ASSERT_OK(set_addr(vgic, REGION, 0x140000 | 1 | 1UL << 52));
	value = 1;
	ASSERT_OK(get(vgic, KVM_DEV_ARM_VGIC_GRP_ADDR, REGION, &value));
	EXPECT_EQ(value, 0x140000UL | 1 | 1UL << 52);
	value = 2;
	EXPECT_ERRNO(get(vgic, KVM_DEV_ARM_VGIC_GRP_ADDR, REGION, &value), ENOENT);
	close(vgic);
	vm_free(vm);
}

TEST(numbers_of_interrupts)
{
	struct vm *vm = vm_new(1);
	int vgic = create_only(vm);
	uint64_t value = 0;

	EXPECT_ERRNO(set(vgic, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, 32), EINVAL);
	EXPECT_ERRNO(set(vgic, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, 65), EINVAL);
	EXPECT_ERRNO(set(vgic, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, 1056), EINVAL);
	ASSERT_OK(set(vgic, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, 96));
	EXPECT_ERRNO(set(vgic, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, 96), EBUSY);
	ASSERT_OK(get(vgic, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &value));
	EXPECT_EQ(value, 96);
	close(vgic);
	vm_free(vm);
}

TEST(initialising)
{
	struct vm *vm = vm_new(1);
	int vgic = create_only(vm);
	struct vcpu *vcpu;
	uint64_t value = 0;
	struct kvm_irq_level line = { .irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | 40 };

	/* C KVM does it, and has room for no vCPU then; its documents want this error. */
	if (!kvm_is_c())
		EXPECT_ERRNO(set(vgic, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0),
			     ENODEV);
	vcpu = vcpu_new(vm, 0);
	EXPECT_ERRNO(get(vgic, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, &value), EBUSY);
	EXPECT_OK(get(vgic, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 8, &value));
	EXPECT_EQ(value, 0x4b00343b);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_IRQ_LINE, &line), EBUSY);
	EXPECT_ERRNO(set(vgic, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0),
		     ENXIO);
	vgic_init(vgic);
	EXPECT_OK(set(vgic, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0));
	vgic_init(vgic);
	EXPECT_OK(ioctl(vm->fd, KVM_IRQ_LINE, &line));
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_VCPU, 1), EBUSY);
	EXPECT_EQ(vgic_dist(vgic, 4) & 0x1f, 7);
	/* Frames without an address */
	EXPECT_ERRNO(vcpu_run(vcpu), ENXIO);
	vgic_guest_free(vgic, &vcpu, 1);
}

TEST(running_before_it_is_initialised)
{
	struct vm *vm = vm_new(1);
	int vgic = vgic_create(vm);
	struct vcpu *vcpu = vcpu_new(vm, 0);

	EXPECT_ERRNO(vcpu_run(vcpu), EBUSY);
	vgic_guest_free(vgic, &vcpu, 1);
}

GUEST64(report_twice, "mov x0, #1\n" REPORT "mov x0, #2\n" REPORT);

/* What processors are to their guest does not change once one has run. */
TEST(a_gic_after_a_vcpu_has_run)
{
	struct vcpu *vcpu = GUEST_NEW(report_twice);
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };

	ASSERT_REPORT(vcpu, 1);
	EXPECT_ERRNO(ioctl(vcpu->vm->fd, KVM_CREATE_DEVICE, &device), EBUSY);
	ASSERT_REPORT(vcpu, 2);
	guest_free(vcpu);
}

TEST(lines_that_do_not_exist)
{
	struct vm *vm = vm_new(1);
	struct vcpu *vcpu = vcpu_new(vm, 0);
	struct kvm_irq_level line = { .irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | 40 };
	int vgic;

	EXPECT_ERRNO(ioctl(vm->fd, KVM_IRQ_LINE, &line), ENXIO);
	vgic = vgic_create(vm);
	vgic_init(vgic);
	EXPECT_OK(ioctl(vm->fd, KVM_IRQ_LINE, &line));
	line.irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | 31;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_IRQ_LINE, &line), EINVAL);
	line.irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | 256;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_IRQ_LINE, &line), EINVAL);
	line.irq = KVM_ARM_IRQ_TYPE_PPI << KVM_ARM_IRQ_TYPE_SHIFT | 15;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_IRQ_LINE, &line), EINVAL);
	line.irq = KVM_ARM_IRQ_TYPE_PPI << KVM_ARM_IRQ_TYPE_SHIFT | 1 << 16 | 20;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_IRQ_LINE, &line), EINVAL);
	line.irq = KVM_ARM_IRQ_TYPE_CPU << KVM_ARM_IRQ_TYPE_SHIFT;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_IRQ_LINE, &line), ENXIO);
	line.irq = 5U << KVM_ARM_IRQ_TYPE_SHIFT;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_IRQ_LINE, &line), EINVAL);
	vgic_guest_free(vgic, &vcpu, 1);
}

TEST(registers_of_the_vmm)
{
	struct vm *vm = vm_new(1);
	int vgic = vgic_create(vm);
	struct vcpu *vcpu = vcpu_new(vm, 0);
	uint64_t value = 0;

	vgic_init(vgic);
	EXPECT_OK(get(vgic, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x5000, &value));
	EXPECT_EQ(value, 0);
	EXPECT_ERRNO(has(vgic, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x5000), ENXIO);
	EXPECT_ERRNO(get(vgic, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, 7UL << 32, &value), EINVAL);
	EXPECT_OK(get(vgic, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, 0x5000, &value));
	EXPECT_ERRNO(has(vgic, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, 0x5000), ENXIO);
	EXPECT_ERRNO(get(vgic, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, 0xc000, &value), ENOENT);
	EXPECT_ERRNO(has(vgic, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, 0xc000), ENXIO);
	EXPECT_ERRNO(set(vgic, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 8, 0x12345678), EINVAL);
	EXPECT_OK(set(vgic, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 8, 0x4b00243b));
	EXPECT_EQ(vgic_dist(vgic, 8), 0x4b00243b);
	EXPECT_OK(has(vgic, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x100));
	EXPECT_ERRNO(has(vgic, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x102), ENXIO);
	/* The latch of a line, and the line, of a level */
	vgic_set_dist(vgic, 0xc08, 0);
	spi_line(vm, 40, 1);
	EXPECT_EQ(vgic_dist(vgic, 0x204), 0);
	ASSERT_OK(get(vgic, KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, 32, &value));
	EXPECT_EQ(value, 1 << 8);
	EXPECT_ERRNO(get(vgic, KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, 33, &value), EINVAL);
	EXPECT_ERRNO(get(vgic, KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, 1 << 10 | 32, &value), EINVAL);
	vgic_set_dist(vgic, 0x204, 1 << 9);
	EXPECT_EQ(vgic_dist(vgic, 0x204), 1 << 9);
	EXPECT_EQ(vgic_dist(vgic, 0x284), 0);
	vgic_set_dist(vgic, 0x204, 0);
	EXPECT_EQ(vgic_dist(vgic, 0x204), 0);
	EXPECT_EQ(vgic_redist(vgic, 0, 0x10100), 0xffff);
	EXPECT_EQ(vgic_redist(vgic, 0, 0x8), 1 << 4);
	vgic_guest_free(vgic, &vcpu, 1);
}

/* GICD_IGROUPR, GICD_IPRIORITYR and GICD_IROUTER are as many as there are interrupts. */
TEST(registers_of_interrupts)
{
	struct vm *vm = vm_new(1);
	int vgic = create_only(vm);
	struct vcpu *vcpu = vcpu_new(vm, 0);

	ASSERT_OK(set(vgic, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, 96));
	EXPECT_OK(has(vgic, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x88));
	EXPECT_ERRNO(has(vgic, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x8c), ENXIO);
	EXPECT_OK(has(vgic, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x45c));
	EXPECT_ERRNO(has(vgic, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x460), ENXIO);
	EXPECT_OK(has(vgic, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x62fc));
	EXPECT_ERRNO(has(vgic, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x6300), ENXIO);
	vcpu_free(vcpu);
	close(vgic);
	vm_free(vm);
}

TEST(cpu_interface_registers)
{
	/* PMR, BPR0, AP0R0, AP1R0, BPR1, CTLR, SRE, IGRPEN0, IGRPEN1 */
	static const uint16_t all[] = { 0xc230, 0xc643, 0xc644, 0xc648, 0xc663, 0xc664, 0xc665,
					0xc666, 0xc667 };
	struct vm *vm = vm_new(1);
	int vgic = vgic_create(vm);
	struct vcpu *vcpu = vcpu_new(vm, 0);
	uint64_t value;

	vgic_init(vgic);
	for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		EXPECT_OK(has(vgic, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, all[i]));
		value = 0;
		EXPECT_OK(get(vgic, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, all[i], &value));
		EXPECT_OK(set(vgic, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, all[i], value));
	}
	ASSERT_OK(get(vgic, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, 0xc665, &value));
	EXPECT_EQ(value, 7);
	EXPECT_ERRNO(set(vgic, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, 0xc665, 0), EINVAL);
	ASSERT_OK(get(vgic, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, 0xc664, &value));
	EXPECT_ERRNO(set(vgic, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, 0xc664, value | 7 << 8), EINVAL);
	ASSERT_OK(set(vgic, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, 0xc230, 0xf0));
	ASSERT_OK(get(vgic, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, 0xc230, &value));
	EXPECT_EQ(value, 0xf0);
	vgic_guest_free(vgic, &vcpu, 1);
}
