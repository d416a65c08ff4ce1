// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_TSC_KHZ and KVM_SET_TSC_KHZ, of a VM and of a vCPU. */
#include "lib/guest.h"

static int khz(int fd)
{
	return ASSERT_OK(ioctl(fd, KVM_GET_TSC_KHZ, 0));
}

TEST(a_vcpu_has_its_vms)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_new(vm, 0);

	EXPECT_TRUE(khz(vm->fd) > 0);
	EXPECT_EQ(khz(vcpu->fd), khz(vm->fd));
}

TEST(the_same_is_always_fine)
{
	struct vm *vm = vm_create();
	const int host = khz(vm->fd);
	struct vcpu *vcpu;

	EXPECT_OK(ioctl(vm->fd, KVM_SET_TSC_KHZ, host));
	vcpu = vcpu_new(vm, 0);
	EXPECT_OK(ioctl(vcpu->fd, KVM_SET_TSC_KHZ, host));
	EXPECT_EQ(khz(vcpu->fd), host);
}

/* 0 is the host's own. */
TEST(zero)
{
	struct vm *vm = vm_create();
	const int host = khz(vm->fd);
	struct vcpu *vcpu = vcpu_new(vm, 0);

	EXPECT_OK(ioctl(vcpu->fd, KVM_SET_TSC_KHZ, 0));
	EXPECT_EQ(khz(vcpu->fd), host);
}

TEST(of_a_vm_before_its_vcpus)
{
	struct vm *vm = vm_create();
	const int host = khz(vm->fd);

	vcpu_new(vm, 0);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_TSC_KHZ, host), EINVAL);
}

static volatile uint64_t tsc_seen;

static void read_tsc(void)
{
	for (int i = 1; i <= 2; i++) {
		tsc_seen = guest_rdtsc();
		guest_step(i);
	}
}

/* Half the rate, measured over a time much longer than an exit */
TEST(scaling)
{
	struct vm *vm = guest_vm(NO_CHIPS);
	const int half = khz(vm->fd) / 2;
	const uint64_t host_ticks = 20000000;
	uint64_t host, first;
	struct vcpu *vcpu;

	if (!kvm_check(vm->kvm, KVM_CAP_TSC_CONTROL))
		SKIP("the device offers no KVM_CAP_TSC_CONTROL");
	ASSERT_OK(ioctl(vm->fd, KVM_SET_TSC_KHZ, half));
	EXPECT_EQ(khz(vm->fd), half);
	vcpu = guest_cpu(vm, 0, read_tsc);
	EXPECT_EQ(khz(vcpu->fd), half);
	ASSERT_STEP(vcpu, 1);
	first = tsc_seen;
	host = guest_rdtsc();
	while (guest_rdtsc() - host < host_ticks)
		;
	ASSERT_STEP(vcpu, 2);
	EXPECT_TRUE(tsc_seen - first >= host_ticks / 2 - host_ticks / 100);
	EXPECT_TRUE(tsc_seen - first <= host_ticks / 2 + host_ticks / 4);
	EXPECT_DONE(vcpu);
}

TEST(too_fast)
{
	struct vm *vm = vm_create();

	if (!kvm_check(vm->kvm, KVM_CAP_TSC_CONTROL))
		SKIP("the device offers no KVM_CAP_TSC_CONTROL");
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_TSC_KHZ, 0xffffffffUL), EINVAL);
}
