// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* KVM_CREATE_VCPU: ids, limits, order. */
#include <unistd.h>

#include "lib/kvm.h"

TEST(refuses_an_id_twice)
{
	struct vm *vm = vm_create();

	ASSERT_OK(ioctl(vm->fd, KVM_CREATE_VCPU, 0));
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_VCPU, 0), EEXIST);
}

TEST(closing_does_not_free_the_id)
{
	struct vm *vm = vm_create();
	int fd = ASSERT_OK(ioctl(vm->fd, KVM_CREATE_VCPU, 0));

	ASSERT_OK(close(fd));
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_VCPU, 0), EEXIST);
}

TEST(ids_may_have_gaps)
{
	struct vm *vm = vm_create();

	EXPECT_OK(ioctl(vm->fd, KVM_CREATE_VCPU, 5));
	EXPECT_OK(ioctl(vm->fd, KVM_CREATE_VCPU, 2));
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_VCPU, 5), EEXIST);
}

TEST(ids_below_the_limit_only)
{
	struct vm *vm = vm_create();
	unsigned long limit = kvm_check(vm->fd, KVM_CAP_MAX_VCPU_ID);

	if (!limit)
		limit = kvm_check(vm->fd, KVM_CAP_MAX_VCPUS);
	EXPECT_OK(ioctl(vm->fd, KVM_CREATE_VCPU, limit - 1));
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_VCPU, limit), EINVAL);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_VCPU, 1UL << 31), EINVAL);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_VCPU, 1UL << 32), EINVAL);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_VCPU, -1UL), EINVAL);
}

TEST(ids_are_a_vms_own)
{
	EXPECT_OK(ioctl(vm_create()->fd, KVM_CREATE_VCPU, 0));
	EXPECT_OK(ioctl(vm_create()->fd, KVM_CREATE_VCPU, 0));
}

TEST(a_failed_creation_leaves_nothing)
{
	struct vm *vm = vm_create();
	int last = -1, fd;

	while ((fd = dup(vm->kvm)) >= 0)
		last = fd;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_VCPU, 0), EMFILE);
	ASSERT_OK(close(last));
	EXPECT_OK(ioctl(vm->fd, KVM_CREATE_VCPU, 0));
}

TEST(many_in_one_vm)
{
	struct vm *vm = vm_create();
	const unsigned long count = 32;

	for (unsigned long id = 0; id < count; id++)
		vcpu_new(vm, id);
}
