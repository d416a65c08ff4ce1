// SPDX-License-Identifier: GPL-2.0
/* KVM_HAS_DEVICE_ATTR, KVM_GET_DEVICE_ATTR and KVM_SET_DEVICE_ATTR on an arm64 vCPU. */
/* machine: arch=arm64 */
#include <unistd.h>

#include "lib/psci.h"
#include "lib/vgic.h"

enum { VTIMER_PPI = 27, PTIMER_PPI = 30 };

static int timer_attr(struct vcpu *vcpu, unsigned long cmd, uint64_t which, int *intid)
{
	struct kvm_device_attr attr = {
		.group = KVM_ARM_VCPU_TIMER_CTRL, .attr = which, .addr = (uintptr_t)intid,
	};

	return ioctl(vcpu->fd, cmd, &attr);
}

TEST(unknown_attributes)
{
	struct vcpu *vcpu = vcpu_with(vm_new(GUEST_PAGES), 0, FEATURE(PSCI_0_2));
	struct kvm_device_attr attr = { .group = 100 };
	int value = 0;

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_HAS_DEVICE_ATTR, &attr), ENXIO);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_DEVICE_ATTR, &attr), ENXIO);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr), ENXIO);
	EXPECT_ERRNO(timer_attr(vcpu, KVM_HAS_DEVICE_ATTR, 100, &value), ENXIO);
	EXPECT_ERRNO(timer_attr(vcpu, KVM_GET_DEVICE_ATTR, 100, &value), ENXIO);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_HAS_DEVICE_ATTR, NULL), EFAULT);
	EXPECT_EQ(kvm_check(vcpu->vm->fd, KVM_CAP_VCPU_ATTRIBUTES), 1);
}

GUEST64(runs, "mov x0, #1\n" REPORT DONE);

/* The interrupts of timers are the VMM's choice until a vCPU runs. */
TEST(interrupts_of_timers)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	struct vcpu *vcpu = vcpu_with(vm, 0, FEATURE(PSCI_0_2));
	struct vcpu *other = vcpu_with(vm, 1, FEATURE(PSCI_0_2));
	int value = 0, bad[] = { 15, 32, 1000, -1 }, vgic;

	VM_LOAD(vm, runs);
	EXPECT_OK(timer_attr(vcpu, KVM_HAS_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &value));
	EXPECT_OK(timer_attr(vcpu, KVM_GET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &value));
	EXPECT_EQ(value, VTIMER_PPI);
	EXPECT_OK(timer_attr(vcpu, KVM_GET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_PTIMER, &value));
	EXPECT_EQ(value, PTIMER_PPI);
	EXPECT_ERRNO(timer_attr(vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &value),
		     EINVAL);
	vgic = vgic_create(vm);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_ERRNO(timer_attr(vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_VTIMER,
					&bad[i]), EINVAL);
	EXPECT_ERRNO(timer_attr(vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, NULL),
		     EFAULT);
	value = 20;
	EXPECT_OK(timer_attr(vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &value));
	value = 0;
	EXPECT_OK(timer_attr(other, KVM_GET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &value));
	EXPECT_EQ(value, 20);
	vgic_init(vgic);
	EXPECT_REPORT(vcpu, 1);
	value = 21;
	EXPECT_ERRNO(timer_attr(other, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &value),
		     EBUSY);
	close(vgic);
}

/* Two timers cannot have one: KVM_RUN says so. */
TEST(one_interrupt_for_two_timers)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	struct vcpu *vcpu = vcpu_with(vm, 0, FEATURE(PSCI_0_2));
	int value = PTIMER_PPI, vgic = vgic_create(vm);

	EXPECT_OK(timer_attr(vcpu, KVM_SET_DEVICE_ATTR, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &value));
	vgic_init(vgic);
	EXPECT_ERRNO(vcpu_run(vcpu), EINVAL);
	close(vgic);
}
