// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_XSAVE2: as KVM_GET_XSAVE, of the size that KVM_CAP_XSAVE2 says. */
#include <stdlib.h>
#include <string.h>

#include "lib/x86.h"

static size_t size_of(struct vm *vm)
{
	return kvm_check(vm->fd, KVM_CAP_XSAVE2);
}

TEST(never_smaller_than_the_old)
{
	EXPECT_TRUE(size_of(vm_create()) >= sizeof(struct kvm_xsave));
}

TEST(begins_as_the_old)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);
	struct kvm_fpu fpu;
	struct kvm_xsave old;
	uint8_t *new = malloc(size_of(vcpu->vm));

	ASSERT_TRUE(new != NULL);
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_FPU, &fpu));
	memset(fpu.xmm, 0x5a, sizeof(fpu.xmm));
	memset(fpu.fpr[3], 0x33, 10);
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_FPU, &fpu));
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_XSAVE, &old));
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_XSAVE2, new));
	EXPECT_MEM(new, &old, sizeof(old));
}

/* Nothing is written beyond that size. */
TEST(stays_in_its_size)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);
	const size_t size = size_of(vcpu->vm), pages = (size + PAGE_SIZE - 1) / PAGE_SIZE;
	uint8_t *room = mem_new((pages + 1) * PAGE_SIZE);
	uint8_t *at = room + pages * PAGE_SIZE - size;

	ASSERT_OK(munmap(room + pages * PAGE_SIZE, PAGE_SIZE));
	EXPECT_OK(ioctl(vcpu->fd, KVM_GET_XSAVE2, at));
	EXPECT_OK(ioctl(vcpu->fd, KVM_SET_XSAVE, at));
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_XSAVE2, at + 64), EFAULT);
}

TEST(round_trip)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0), *other = vcpu_new(vm_create(), 0);
	const size_t size = size_of(vcpu->vm);
	uint8_t *first = calloc(1, size), *second = calloc(1, size);
	struct kvm_fpu fpu;

	ASSERT_TRUE(first && second);
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_FPU, &fpu));
	for (int i = 0; i < 16; i++)
		memset(fpu.xmm[i], i + 1, sizeof(fpu.xmm[i]));
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_FPU, &fpu));
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_XSAVE2, first));
	ASSERT_OK(ioctl(other->fd, KVM_SET_XSAVE, first));
	ASSERT_OK(ioctl(other->fd, KVM_GET_XSAVE2, second));
	EXPECT_MEM(second, first, size);
}

/* What a VMM may let its guests have of XSAVE: an attribute of the device */
TEST(components_for_guests)
{
	uint64_t components = 0;
	struct kvm_device_attr attr = {
		.attr = KVM_X86_XCOMP_GUEST_SUPP, .addr = (uintptr_t)&components,
	};
	const int kvm = kvm_open();
	struct kvm_cpuid2 *cpuid = cpuid_supported(kvm);
	struct kvm_cpuid_entry2 *xsave = cpuid_find(cpuid, 0xd, 0);

	EXPECT_EQ(kvm_check(kvm, KVM_CAP_SYS_ATTRIBUTES), 1);
	EXPECT_OK(ioctl(kvm, KVM_HAS_DEVICE_ATTR, &attr));
	EXPECT_OK(ioctl(kvm, KVM_GET_DEVICE_ATTR, &attr));
	ASSERT_TRUE(xsave != NULL);
	EXPECT_EQ(components, xsave->eax | (uint64_t)xsave->edx << 32);
	attr.addr = 16;
	EXPECT_ERRNO(ioctl(kvm, KVM_GET_DEVICE_ATTR, &attr), EFAULT);
	attr.attr = 1;
	EXPECT_ERRNO(ioctl(kvm, KVM_GET_DEVICE_ATTR, &attr), ENXIO);
	EXPECT_ERRNO(ioctl(kvm, KVM_HAS_DEVICE_ATTR, &attr), ENXIO);
	attr = (struct kvm_device_attr){ .group = 99 };
	EXPECT_ERRNO(ioctl(kvm, KVM_HAS_DEVICE_ATTR, &attr), ENXIO);
	free(cpuid);
}
