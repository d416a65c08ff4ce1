// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* Every ioctl that takes an address: EFAULT where nothing can be read, part of it, or nothing written. */
#include <string.h>

#include "lib/any.h"

enum on { ON_DEVICE, ON_VM, ON_VCPU };

struct call {
	const char *name;
	unsigned long request;
	enum on on;
	size_t size;		/* of what it must be able to read or write */
	uint32_t first;		/* the first word, when it counts entries or bytes */
};
#define CALL(request, on, size, first) { #request, request, on, size, first }

static const struct call calls[] = {
	CALL(KVM_SET_USER_MEMORY_REGION, ON_VM, sizeof(struct kvm_userspace_memory_region), 0),
	CALL(KVM_CREATE_DEVICE, ON_VM, sizeof(struct kvm_create_device), 0),
	CALL(KVM_IRQFD, ON_VM, sizeof(struct kvm_irqfd), 0),
	CALL(KVM_IOEVENTFD, ON_VM, sizeof(struct kvm_ioeventfd), 0),
	CALL(KVM_GET_MP_STATE, ON_VCPU, sizeof(struct kvm_mp_state), 0),
	CALL(KVM_SET_MP_STATE, ON_VCPU, sizeof(struct kvm_mp_state), 0),
	CALL(KVM_GET_VCPU_EVENTS, ON_VCPU, sizeof(struct kvm_vcpu_events), 0),
	CALL(KVM_SET_VCPU_EVENTS, ON_VCPU, sizeof(struct kvm_vcpu_events), 0),
	CALL(KVM_SET_GUEST_DEBUG, ON_VCPU, sizeof(struct kvm_guest_debug), 0),
	CALL(KVM_SET_SIGNAL_MASK, ON_VCPU, 4, 8),
#ifdef __x86_64__
	/* Without chips its entries are not looked at. */
	CALL(KVM_SET_GSI_ROUTING, ON_VM, 8, 0),
	CALL(KVM_GET_MSR_INDEX_LIST, ON_DEVICE, 4, 4096),
	CALL(KVM_GET_MSR_FEATURE_INDEX_LIST, ON_DEVICE, 4, 4096),
	CALL(KVM_GET_SUPPORTED_CPUID, ON_DEVICE, 8, 256),
	CALL(KVM_GET_MSRS, ON_DEVICE, 8, 1),
	CALL(KVM_GET_REGS, ON_VCPU, sizeof(struct kvm_regs), 0),
	CALL(KVM_SET_REGS, ON_VCPU, sizeof(struct kvm_regs), 0),
	CALL(KVM_GET_SREGS, ON_VCPU, sizeof(struct kvm_sregs), 0),
	CALL(KVM_SET_SREGS, ON_VCPU, sizeof(struct kvm_sregs), 0),
	CALL(KVM_GET_FPU, ON_VCPU, sizeof(struct kvm_fpu), 0),
	CALL(KVM_SET_FPU, ON_VCPU, sizeof(struct kvm_fpu), 0),
	CALL(KVM_GET_XSAVE, ON_VCPU, sizeof(struct kvm_xsave), 0),
	CALL(KVM_SET_XSAVE, ON_VCPU, sizeof(struct kvm_xsave), 0),
	CALL(KVM_GET_XCRS, ON_VCPU, sizeof(struct kvm_xcrs), 0),
	CALL(KVM_SET_XCRS, ON_VCPU, sizeof(struct kvm_xcrs), 0),
	CALL(KVM_GET_DEBUGREGS, ON_VCPU, sizeof(struct kvm_debugregs), 0),
	CALL(KVM_SET_DEBUGREGS, ON_VCPU, sizeof(struct kvm_debugregs), 0),
	CALL(KVM_GET_CPUID2, ON_VCPU, 8, 256),
	CALL(KVM_SET_CPUID2, ON_VCPU, 8, 1),
	CALL(KVM_GET_MSRS, ON_VCPU, 8, 1),
	CALL(KVM_SET_MSRS, ON_VCPU, 8, 1),
	CALL(KVM_INTERRUPT, ON_VCPU, 4, 32),
#else
	CALL(KVM_SET_GSI_ROUTING, ON_VM, 8, 1),
	CALL(KVM_ARM_PREFERRED_TARGET, ON_VM, sizeof(struct kvm_vcpu_init), 0),
	CALL(KVM_ARM_VCPU_INIT, ON_VCPU, sizeof(struct kvm_vcpu_init), 0),
	CALL(KVM_ARM_VCPU_FINALIZE, ON_VCPU, sizeof(int), 0),
	CALL(KVM_GET_REG_LIST, ON_VCPU, 8, 10000),
	CALL(KVM_GET_ONE_REG, ON_VCPU, sizeof(struct kvm_one_reg), 0),
	CALL(KVM_SET_ONE_REG, ON_VCPU, sizeof(struct kvm_one_reg), 0),
	CALL(KVM_SET_DEVICE_ATTR, ON_VCPU, sizeof(struct kvm_device_attr), 0),
	CALL(KVM_HAS_DEVICE_ATTR, ON_VCPU, sizeof(struct kvm_device_attr), 0),
#endif
};

static struct vcpu *vcpu;

static int fd_of(const struct call *call)
{
	switch (call->on) {
	case ON_DEVICE:
		return vcpu->vm->kvm;
	case ON_VM:
		return vcpu->vm->fd;
	default:
		return vcpu->fd;
	}
}

static void faults(const struct call *call, const void *address)
{
	long ret;

	errno = 0;
	ret = ioctl(fd_of(call), call->request, address);
	if (ret != -1 || errno != EFAULT)
		test_fail(__FILE__, __LINE__, "%s at %p: expected EFAULT, got %ld, errno %d",
			  call->name, address, ret, errno);
}

TEST(inaccessible)
{
	uint8_t *mem = mem_new(PAGE_SIZE);

	ASSERT_OK(mprotect(mem, PAGE_SIZE, PROT_NONE));
	vcpu = vcpu_new(vm_new(1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		faults(&calls[i], mem);
}

TEST(null)
{
	vcpu = vcpu_new(vm_new(1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (calls[i].request != KVM_SET_SIGNAL_MASK)
			faults(&calls[i], NULL);
}

TEST(kernel_and_noncanonical)
{
	static const uint64_t addresses[] = {
		0xffff888000000000, 0xffffffffffffffff, 0x8000000000000000, 0x7fffffffffff,
	};

	vcpu = vcpu_new(vm_new(1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		for (size_t j = 0; j < ARRAY_SIZE(addresses); j++)
			faults(&calls[i], (void *)addresses[j]);
}

/* The last byte lies on a page that no one may touch. */
TEST(cut_off)
{
	uint8_t *mem = mem_new(2 * PAGE_SIZE);

	ASSERT_OK(mprotect(mem + PAGE_SIZE, PAGE_SIZE, PROT_NONE));
	vcpu = vcpu_new(vm_new(1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		memset(mem, 0, PAGE_SIZE);
		faults(&calls[i], mem + PAGE_SIZE - calls[i].size + 1);
	}
}

/* The header can be read; the entries it counts can not. */
TEST(cut_off_after_the_header)
{
	uint8_t *mem = mem_new(2 * PAGE_SIZE);

	ASSERT_OK(mprotect(mem + PAGE_SIZE, PAGE_SIZE, PROT_NONE));
	vcpu = vcpu_new(vm_new(1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		if (!calls[i].first)
			continue;
#ifdef __x86_64__
		if (calls[i].request == KVM_INTERRUPT)
			continue;
#endif
		memset(mem, 0, PAGE_SIZE);
		memcpy(mem + PAGE_SIZE - calls[i].size, &calls[i].first, sizeof(calls[i].first));
		faults(&calls[i], mem + PAGE_SIZE - calls[i].size);
	}
}

TEST(read_only)
{
	uint8_t *mem = mem_new(4 * PAGE_SIZE);

	vcpu = vcpu_new(vm_new(1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		if (!strstr(calls[i].name, "_GET_"))
			continue;
#ifdef __aarch64__
		/* It says first that there is no such register. */
		if (calls[i].request == KVM_GET_ONE_REG)
			continue;
#endif
		ASSERT_OK(mprotect(mem, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE));
		memset(mem, 0, PAGE_SIZE);
		memcpy(mem, &calls[i].first, sizeof(calls[i].first));
		ASSERT_OK(mprotect(mem, 4 * PAGE_SIZE, PROT_READ));
		faults(&calls[i], mem);
	}
}

TEST(a_failed_set_changes_nothing)
{
	struct kvm_mp_state before, after;

	vcpu = vcpu_new(vm_new(1), 0);
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_MP_STATE, &before));
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_MP_STATE, 8), EFAULT);
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_MP_STATE, &after));
	EXPECT_MEM(&after, &before, sizeof(before));
}
