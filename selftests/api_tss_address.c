// SPDX-License-Identifier: GPL-2.0
/* KVM_SET_TSS_ADDR and KVM_SET_IDENTITY_MAP_ADDR: where a KVM may keep what real mode needs. */
#include "lib/x86.h"

#define HIGHEST 0xffffd000UL	/* three pages below 4 GiB */
#define USUAL 0xfffbd000UL

static int identity(struct vm *vm, uint64_t addr)
{
	return ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &addr);
}

TEST(tss_below_4_gib)
{
	struct vm *vm = vm_create();

	EXPECT_OK(ioctl(vm->fd, KVM_SET_TSS_ADDR, USUAL));
	EXPECT_OK(ioctl(vm_create()->fd, KVM_SET_TSS_ADDR, HIGHEST));
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_TSS_ADDR, HIGHEST + 1), EINVAL);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_TSS_ADDR, 1UL << 32), EINVAL);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_TSS_ADDR, -1UL), EINVAL);
}

TEST(identity_map_before_the_vcpus)
{
	struct vm *vm = vm_create();

	EXPECT_OK(identity(vm, 0xfffbc000));
	EXPECT_OK(identity(vm, 0));
	vcpu_new(vm, 0);
	EXPECT_ERRNO(identity(vm, 0xfffbc000), EINVAL);
}

TEST(bad_pointer)
{
	EXPECT_ERRNO(ioctl(vm_create()->fd, KVM_SET_IDENTITY_MAP_ADDR, 16), EFAULT);
}

GUEST16(real, "mov $0x42, %eax\n" REPORT "hlt\n");

/* Real mode works with them, and in whatever order they are set. */
TEST(real_mode_after_them)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	struct vcpu *vcpu;

	ASSERT_OK(identity(vm, 0xfffbc000));
	ASSERT_OK(ioctl(vm->fd, KVM_SET_TSS_ADDR, USUAL));
	vcpu = vcpu_new(vm, 0);
	VM_LOAD(vm, real);
	vcpu_start(vcpu, MODE_REAL, GUEST_CODE);
	EXPECT_REPORT(vcpu, 0x42);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

TEST(is_offered)
{
	const int kvm = kvm_open();

	EXPECT_EQ(kvm_check(kvm, KVM_CAP_SET_TSS_ADDR), 1);
	EXPECT_EQ(kvm_check(kvm, KVM_CAP_SET_IDENTITY_MAP_ADDR), 1);
}
