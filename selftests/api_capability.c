// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* KVM_CHECK_EXTENSION: answers are true, on the device and on a VM. */
#define _GNU_SOURCE
#include <string.h>

#include "lib/kvm.h"

TEST(core_capabilities_are_there)
{
	static const int caps[] = {
		KVM_CAP_USER_MEMORY, KVM_CAP_DESTROY_MEMORY_REGION_WORKS,
		KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, KVM_CAP_NR_VCPUS,
		KVM_CAP_NR_MEMSLOTS, KVM_CAP_MAX_VCPUS, KVM_CAP_IMMEDIATE_EXIT,
		KVM_CAP_CHECK_EXTENSION_VM,
#ifdef __x86_64__
		KVM_CAP_HLT, KVM_CAP_EXT_CPUID, KVM_CAP_GET_MSR_FEATURES,
#else
		KVM_CAP_ONE_REG, KVM_CAP_ARM_PSCI_0_2, KVM_CAP_DEVICE_CTRL,
		KVM_CAP_ARM_VM_IPA_SIZE,
#endif
	};
	struct vm *vm = vm_create();

	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		if (!kvm_check(vm->kvm, caps[i]))
			test_fail(__FILE__, __LINE__, "capability %d: expected it, got 0", caps[i]);
		if (!kvm_check(vm->fd, caps[i]))
			test_fail(__FILE__, __LINE__, "capability %d on the VM: expected it, got 0",
				  caps[i]);
	}
}

TEST(unknown_capabilities_are_0)
{
	static const long caps[] = { -1, 0x7fffffff, 0x80000000L, 0x100000003L, 100000 };
	struct vm *vm = vm_create();

	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		EXPECT_EQ(kvm_check(vm->kvm, caps[i]), 0);
		EXPECT_EQ(kvm_check(vm->fd, caps[i]), 0);
	}
}

TEST(every_number_has_an_answer)
{
	int kvm = kvm_open();

	/* C KVM has no answer where it needs a VM for it, on arm64. */
	for (int cap = 0; cap < 512; cap++)
		EXPECT_TRUE(ioctl(kvm, KVM_CHECK_EXTENSION, cap) >= 0 || kvm_is_c());
}

TEST(limits_are_in_order)
{
	int kvm = kvm_open();
	int recommended = kvm_check(kvm, KVM_CAP_NR_VCPUS);
	int max = kvm_check(kvm, KVM_CAP_MAX_VCPUS);
	int ids = kvm_check(kvm, KVM_CAP_MAX_VCPU_ID);

	EXPECT_TRUE(recommended >= 1);
	EXPECT_TRUE(max >= recommended);
	EXPECT_TRUE(ids == 0 || ids >= max);
	EXPECT_TRUE(kvm_check(kvm, KVM_CAP_NR_MEMSLOTS) >= 509);
}

/* A capability is reported exactly when its ioctl exists; neither does anything here. */
struct claim {
	int cap;
	enum { ON_VM, ON_VCPU } on;
	unsigned long request;
	const char *name;
};
#define CLAIM(cap, on, request) { cap, on, request, #request }

static const struct claim claims[] = {
	CLAIM(KVM_CAP_IRQFD, ON_VM, KVM_IRQFD),
	CLAIM(KVM_CAP_IOEVENTFD, ON_VM, KVM_IOEVENTFD),
	CLAIM(KVM_CAP_IRQ_ROUTING, ON_VM, KVM_SET_GSI_ROUTING),
	CLAIM(KVM_CAP_SIGNAL_MSI, ON_VM, KVM_SIGNAL_MSI),
	CLAIM(KVM_CAP_COALESCED_MMIO, ON_VM, KVM_REGISTER_COALESCED_MMIO),
	CLAIM(KVM_CAP_ENABLE_CAP_VM, ON_VM, KVM_ENABLE_CAP),
	CLAIM(KVM_CAP_MP_STATE, ON_VCPU, KVM_SET_MP_STATE),
	CLAIM(KVM_CAP_VCPU_EVENTS, ON_VCPU, KVM_SET_VCPU_EVENTS),
	CLAIM(KVM_CAP_SET_GUEST_DEBUG, ON_VCPU, KVM_SET_GUEST_DEBUG),
#ifdef __x86_64__
	CLAIM(KVM_CAP_IRQCHIP, ON_VM, KVM_GET_IRQCHIP),
	CLAIM(KVM_CAP_PIT2, ON_VM, KVM_CREATE_PIT2),
	CLAIM(KVM_CAP_PIT_STATE2, ON_VM, KVM_SET_PIT2),
	CLAIM(KVM_CAP_ADJUST_CLOCK, ON_VM, KVM_SET_CLOCK),
	CLAIM(KVM_CAP_SET_IDENTITY_MAP_ADDR, ON_VM, KVM_SET_IDENTITY_MAP_ADDR),
	CLAIM(KVM_CAP_DEBUGREGS, ON_VCPU, KVM_SET_DEBUGREGS),
	CLAIM(KVM_CAP_XSAVE, ON_VCPU, KVM_SET_XSAVE),
	CLAIM(KVM_CAP_XCRS, ON_VCPU, KVM_SET_XCRS),
#else
	CLAIM(KVM_CAP_DEVICE_CTRL, ON_VM, KVM_CREATE_DEVICE),
	CLAIM(KVM_CAP_COUNTER_OFFSET, ON_VM, KVM_ARM_SET_COUNTER_OFFSET),
	CLAIM(KVM_CAP_ONE_REG, ON_VCPU, KVM_GET_ONE_REG),
	CLAIM(KVM_CAP_VCPU_ATTRIBUTES, ON_VCPU, KVM_SET_DEVICE_ATTR),
#endif
};

TEST(reported_ioctls_exist)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);

	for (size_t i = 0; i < ARRAY_SIZE(claims); i++) {
		const struct claim *claim = &claims[i];
		int fd = claim->on == ON_VM ? vcpu->vm->fd : vcpu->fd;
		bool reported = kvm_check(vcpu->vm->fd, claim->cap) > 0;

		/* No address is valid: what exists says EFAULT, or ENXIO without an irqchip */
		errno = 0;
		EXPECT_EQ(ioctl(fd, claim->request, -1L), -1);
		if (reported && (errno == ENOTTY || (claim->on == ON_VCPU && errno == EINVAL)))
			test_fail(__FILE__, __LINE__,
				  "%s: expected EFAULT as capability %d is reported, got %s",
				  claim->name, claim->cap, strerrorname_np(errno));
		if (!reported && errno == EFAULT)
			test_fail(__FILE__, __LINE__,
				  "%s: expected no such ioctl as capability %d is 0, got EFAULT",
				  claim->name, claim->cap);
	}
}

TEST(coalesced_ring_page_lies_in_the_mapping)
{
	int kvm = kvm_open();
	unsigned long page = kvm_check(kvm, KVM_CAP_COALESCED_MMIO);

	if (!page)
		SKIP("no coalesced MMIO");
	EXPECT_TRUE(page >= 1);
	EXPECT_TRUE((page + 1) * PAGE_SIZE <= (unsigned long)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
}
