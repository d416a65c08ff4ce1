// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* KVM_CREATE_VM: types, descriptors, independence. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/kvm.h"

TEST(gives_a_new_descriptor_each_time)
{
	int kvm = kvm_open();
	int first = ASSERT_OK(ioctl(kvm, KVM_CREATE_VM, 0));
	int second = ASSERT_OK(ioctl(kvm, KVM_CREATE_VM, 0));

	EXPECT_TRUE(first != second && first != kvm && second != kvm);
}

TEST(refuses_unknown_types)
{
	static const unsigned long types[] = { 0x1000, 0x80000000UL, 1UL << 32, ~0UL };
	int kvm = kvm_open();

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		EXPECT_ERRNO(ioctl(kvm, KVM_CREATE_VM, types[i]), EINVAL);
}

TEST(descriptors_close_on_exec)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_create(vm, 0);

	EXPECT_EQ(ASSERT_OK(fcntl(vm->fd, F_GETFD)) & FD_CLOEXEC, FD_CLOEXEC);
	EXPECT_EQ(ASSERT_OK(fcntl(vcpu->fd, F_GETFD)) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(descriptors_read_and_write)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_create(vm, 0);

	EXPECT_EQ(ASSERT_OK(fcntl(vm->fd, F_GETFL)) & O_ACCMODE, O_RDWR);
	EXPECT_EQ(ASSERT_OK(fcntl(vcpu->fd, F_GETFL)) & O_ACCMODE, O_RDWR);
}

static bool link_holds(int fd, const char *part)
{
	char path[64], target[128] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ASSERT_OK(readlink(path, target, sizeof(target) - 1));
	if (strstr(target, part))
		return true;
	test_note("the descriptor is %s", target);
	return false;
}

/* Monitoring tools find VMs and vCPUs by these names. */
TEST(descriptors_have_kvm_names)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_create(vm, 3);

	EXPECT_TRUE(link_holds(vm->fd, "anon_inode:kvm-vm"));
	EXPECT_TRUE(link_holds(vcpu->fd, "anon_inode:kvm-vcpu:3"));
}

TEST(outlives_the_device_descriptor)
{
	struct vm *vm = vm_create();

	ASSERT_OK(close(vm->kvm));
	EXPECT_OK(ioctl(vm->fd, KVM_CREATE_VCPU, 0));
}

TEST(fails_without_free_descriptors)
{
	int kvm = kvm_open(), last = kvm, fd;

	while ((fd = dup(kvm)) >= 0)
		last = fd;
	EXPECT_EQ(errno, EMFILE);
	EXPECT_ERRNO(ioctl(kvm, KVM_CREATE_VM, 0), EMFILE);
	ASSERT_OK(close(last));
	EXPECT_OK(ioctl(kvm, KVM_CREATE_VM, 0));
}

TEST(hundreds_come_and_go)
{
	int kvm = kvm_open(), fds[64];

	for (int round = 0; round < 4; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
			fds[i] = ASSERT_OK(ioctl(kvm, KVM_CREATE_VM, 0));
		for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
			ASSERT_OK(close(fds[i]));
	}
}
