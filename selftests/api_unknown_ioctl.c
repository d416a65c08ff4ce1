// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* Requests that do not belong to a descriptor, with foreign types, wrong sizes, any argument. */
#include "lib/kvm.h"

/* C KVM refuses with EINVAL on device and vCPU, with ENOTTY on an x86 VM; a VMM must bear either. */
static void refused(int fd, unsigned long request, unsigned long argument)
{
	long ret;

	errno = 0;
	ret = ioctl(fd, request, argument);
	if (ret != -1 || (errno != ENOTTY && errno != EINVAL))
		test_fail(__FILE__, __LINE__,
			  "request 0x%lx: expected ENOTTY or EINVAL, got %ld, errno %d", request,
			  ret, errno);
}

TEST(vm_requests_on_the_device)
{
	int kvm = kvm_open();
	struct kvm_userspace_memory_region region = { 0 };

	refused(kvm, KVM_CREATE_VCPU, 0);
	refused(kvm, KVM_SET_USER_MEMORY_REGION, (unsigned long)&region);
	refused(kvm, KVM_RUN, 0);
}

TEST(system_requests_on_a_vm)
{
	struct vm *vm = vm_create();

	refused(vm->fd, KVM_GET_API_VERSION, 0);
	refused(vm->fd, KVM_CREATE_VM, 0);
	refused(vm->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	refused(vm->fd, KVM_RUN, 0);
}

TEST(other_requests_on_a_vcpu)
{
	struct vcpu *vcpu = vcpu_create(vm_create(), 0);

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_API_VERSION, 0), EINVAL);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_CREATE_VM, 0), EINVAL);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_CREATE_VCPU, 1), EINVAL);
}

TEST(right_number_wrong_size)
{
	struct vcpu *vcpu = vcpu_create(vm_create(), 0);
	static uint8_t data[8192];
	const unsigned long argument = (unsigned long)data;

	refused(vcpu->fd, _IOR(KVMIO, 0x81, uint64_t), argument);	/* GET_REGS */
	refused(vcpu->fd, _IOW(KVMIO, 0x82, uint8_t[4096]), argument);	/* SET_REGS */
	refused(vcpu->fd, _IO(KVMIO, 0x84), argument);			/* SET_SREGS */
	refused(vcpu->fd, _IOW(KVMIO, 0x80, uint32_t), 0);		/* RUN */
	refused(vcpu->vm->fd, _IOW(KVMIO, 0x46, uint64_t), argument);	/* SET_USER_MEMORY_REGION */
	refused(vcpu->vm->kvm, _IOWR(KVMIO, 0x05, uint32_t), argument);	/* GET_SUPPORTED_CPUID */
}

TEST(foreign_types)
{
	struct vcpu *vcpu = vcpu_create(vm_create(), 0);
	const unsigned long tcgets = 0x5401;

	refused(vcpu->fd, _IO('x', 0x80), 0);
	refused(vcpu->fd, tcgets, 0);
	refused(vcpu->vm->fd, _IO('x', 0x41), 0);
	refused(vcpu->vm->fd, tcgets, 0);
	refused(vcpu->vm->kvm, _IO('x', 0x00), 0);
	refused(vcpu->vm->kvm, tcgets, 0);
}

/*
 * No request of any number, direction and common size may do more than return: with a bad address
 * nothing can be carried out that needs one. What takes a value instead of an address is left out.
 */
TEST_LIMIT(every_number_with_a_bad_address, 60)
{
	struct vcpu *vcpu = vcpu_create(vm_create(), 0);
	static const unsigned int sizes[] = { 4, 8, 16, 32, 64 };
	const int fds[] = { vcpu->fd, vcpu->vm->fd, vcpu->vm->kvm };

	for (unsigned int number = 0; number < 256; number++)
		for (unsigned int direction = 1; direction < 4; direction++)
			for (size_t size = 0; size < ARRAY_SIZE(sizes); size++)
				for (size_t fd = 0; fd < ARRAY_SIZE(fds); fd++) {
					unsigned long request =
						_IOC(direction, KVMIO, number, sizes[size]);

					ioctl(fds[fd], request, 8UL);
				}
	EXPECT_EQ(ASSERT_OK(ioctl(vcpu->vm->kvm, KVM_GET_API_VERSION, 0)), KVM_API_VERSION);
	vcpu_setup(vcpu);
	EXPECT_EQ(vcpu->run->immediate_exit, 0);
}
