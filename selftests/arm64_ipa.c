// SPDX-License-Identifier: GPL-2.0
/* VMs of every width of guest physical addresses: memory at the top, nothing above. */
/* machine: arch=arm64 */
#include <errno.h>

#include "lib/arm64.h"

/* X1 the address: what is there is reported, and one more is stored. */
GUEST64(touch, SET_VECTORS "ldr x0, [x1]\n" REPORT "add x0, x0, #1\nstr x0, [x1]\n" DONE);

/* ESR_EL1 of a data abort from EL1: a synchronous external abort */
#define EXTERNAL_ABORT (0x25UL << 26 | 1UL << 25 | 0x10)

static struct vcpu *guest_of(unsigned long bits, uint64_t address)
{
	struct vm *vm = vm_create_type(bits);
	struct vcpu *vcpu;

	vm->ram_size = GUEST_PAGES * PAGE_SIZE;
	vm->ram = mem_new(vm->ram_size);
	ASSERT_OK(vm_set_slot(vm, 0, 0, vm->ram_size, vm->ram, 0));
	vm_vectors(vm);
	VM_LOAD(vm, touch);
	vcpu = vcpu_new(vm, 0);
	vcpu_start(vcpu, GUEST_CODE);
	vcpu_set_reg(vcpu, REG_X(1), address);
	return vcpu;
}

static unsigned long widest(void)
{
	int kvm = kvm_open();

	return kvm_check(kvm, KVM_CAP_ARM_VM_IPA_SIZE);
}

TEST(the_widest_is_told)
{
	unsigned long bits = widest();

	EXPECT_TRUE(bits >= 32 && bits <= 52);
}

TEST(memory_at_the_top)
{
	for (unsigned long bits = 32; bits <= widest(); bits++) {
		const uint64_t top = (1UL << bits) - PAGE_SIZE;
		struct vcpu *vcpu = guest_of(bits, top + 8);
		uint64_t *mem = mem_new(PAGE_SIZE);

		mem[1] = bits;
		ASSERT_OK(vm_set_slot(vcpu->vm, 1, top, PAGE_SIZE, mem, 0));
		ASSERT_REPORT(vcpu, bits);
		ASSERT_DONE(vcpu);
		EXPECT_EQ(mem[1], bits + 1);
		guest_free(vcpu);
	}
}

TEST(no_slot_above)
{
	for (unsigned long bits = 32; bits < 48 && bits <= widest(); bits++) {
		struct vcpu *vcpu = guest_of(bits, 0);

		EXPECT_ERRNO(vm_set_slot(vcpu->vm, 1, 1UL << bits, PAGE_SIZE, mem_new(PAGE_SIZE), 0), EFAULT);
		guest_free(vcpu);
	}
}

TEST(an_access_above_fails_in_the_guest)
{
	for (unsigned long bits = 32; bits < 48 && bits < widest(); bits++) {
		struct vcpu *vcpu = guest_of(bits, 1UL << bits);

		EXPECT_EXCEPTION(vcpu, EXTERNAL_ABORT, 1UL << bits);
		guest_free(vcpu);
	}
}

TEST(widths_that_do_not_exist)
{
	int kvm = kvm_open();

	EXPECT_ERRNO(ioctl(kvm, KVM_CREATE_VM, 31), EINVAL);
	EXPECT_ERRNO(ioctl(kvm, KVM_CREATE_VM, 1), EINVAL);
	EXPECT_ERRNO(ioctl(kvm, KVM_CREATE_VM, widest() + 1), EINVAL);
	EXPECT_ERRNO(ioctl(kvm, KVM_CREATE_VM, 0x100), EINVAL);
}
