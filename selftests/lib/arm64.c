// SPDX-License-Identifier: GPL-2.0
/* arm64 guests: what makes a created vCPU runnable. */
#include "kvm.h"

void vcpu_setup(struct vcpu *vcpu)
{
	struct kvm_vcpu_init init;

	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_ARM_PREFERRED_TARGET, &init));
	ASSERT_OK(ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init));
}
