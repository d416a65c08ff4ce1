// SPDX-License-Identifier: GPL-2.0
/* KVM_ENABLE_CAP, of a VM and of a vCPU; capabilities with a test of their own are not here. */
#include "lib/pv.h"

enum { UNKNOWN = 99999 };

static int enable(int fd, uint32_t cap, uint64_t arg)
{
	const struct kvm_enable_cap request = { .cap = cap, .args[0] = arg };

	return ioctl(fd, KVM_ENABLE_CAP, &request);
}

TEST(unknown_ones)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_new(vm, 0);

	EXPECT_ERRNO(enable(vm->fd, UNKNOWN, 0), EINVAL);
	EXPECT_ERRNO(enable(vcpu->fd, UNKNOWN, 0), EINVAL);
	/* What is there, but is nothing to enable */
	EXPECT_ERRNO(enable(vm->fd, KVM_CAP_IRQCHIP, 0), EINVAL);
	EXPECT_ERRNO(enable(vcpu->fd, KVM_CAP_IRQCHIP, 0), EINVAL);
}

TEST(flags)
{
	const struct kvm_enable_cap request = { .cap = KVM_CAP_X2APIC_API, .flags = 1 };
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_new(vm, 0);

	EXPECT_ERRNO(ioctl(vm->fd, KVM_ENABLE_CAP, &request), EINVAL);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_ENABLE_CAP, &request), EINVAL);
}

TEST(x2apic_api)
{
	struct vm *vm = vm_create();
	const uint64_t offered = kvm_check(vm->fd, KVM_CAP_X2APIC_API);

	EXPECT_EQ(offered & 3, KVM_X2APIC_API_USE_32BIT_IDS |
			       KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
	EXPECT_OK(enable(vm->fd, KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS));
	EXPECT_OK(enable(vm->fd, KVM_CAP_X2APIC_API, KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK));
	EXPECT_ERRNO(enable(vm->fd, KVM_CAP_X2APIC_API, 1UL << 63), EINVAL);
	EXPECT_ERRNO(enable(vm->fd, KVM_CAP_X2APIC_API, ~offered), EINVAL);
}

TEST(max_vcpu_id)
{
	struct vm *vm = vm_create();
	const uint64_t limit = kvm_check(vm->fd, KVM_CAP_MAX_VCPU_ID);

	if (kvm_check(vm->fd, KVM_CAP_MAX_VCPU_ID) == 0)
		SKIP("the device offers no KVM_CAP_MAX_VCPU_ID");
	EXPECT_ERRNO(enable(vm->fd, KVM_CAP_MAX_VCPU_ID, limit + 1), EINVAL);
	ASSERT_OK(enable(vm->fd, KVM_CAP_MAX_VCPU_ID, 4));
	/* Again the same, but no other */
	EXPECT_OK(enable(vm->fd, KVM_CAP_MAX_VCPU_ID, 4));
	EXPECT_ERRNO(enable(vm->fd, KVM_CAP_MAX_VCPU_ID, 8), EINVAL);
	EXPECT_OK(ioctl(vm->fd, KVM_CREATE_VCPU, 3));
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_VCPU, 4), EINVAL);
}

/* The vCPU that starts the guest must stay possible. */
TEST(max_vcpu_id_and_the_first_vcpu)
{
	struct vm *vm = vm_create();

	ASSERT_OK(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 5));
	EXPECT_ERRNO(enable(vm->fd, KVM_CAP_MAX_VCPU_ID, 4), EINVAL);
	EXPECT_OK(enable(vm->fd, KVM_CAP_MAX_VCPU_ID, 8));
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 9), EINVAL);
	EXPECT_OK(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 7));
}

/* What the timers of the local APICs count: 1 GHz, unless the VMM says otherwise before there are vCPUs. */
TEST(bus_cycles)
{
	enum { CAP = KVM_CAP_X86_APIC_BUS_CYCLES_NS, LONGEST = 33554432 };
	struct vm *vm = vm_create();

	EXPECT_EQ(kvm_check(vm->kvm, CAP), 1);
	EXPECT_EQ(kvm_check(vm->fd, CAP), 1);
	EXPECT_ERRNO(enable(vm->fd, CAP, 0), EINVAL);
	EXPECT_ERRNO(enable(vm->fd, CAP, LONGEST + 1), EINVAL);
	EXPECT_ERRNO(enable(vm->fd, CAP, UINT64_MAX), EINVAL);
	EXPECT_ERRNO(enable(vm->fd, CAP, 40), ENXIO);
	ASSERT_OK(ioctl(vm->fd, KVM_CREATE_IRQCHIP));
	EXPECT_OK(enable(vm->fd, CAP, LONGEST));
	EXPECT_OK(enable(vm->fd, CAP, 40));
	EXPECT_EQ(kvm_check(vm->fd, CAP), 40);
	EXPECT_EQ(kvm_check(vm->kvm, CAP), 1);
	vcpu_new(vm, 0);
	EXPECT_ERRNO(enable(vm->fd, CAP, 20), EINVAL);
}

TEST(quirks)
{
	struct vm *vm = vm_create();
	const uint64_t offered = kvm_check(vm->fd, KVM_CAP_DISABLE_QUIRKS2);

	if (!offered)
		SKIP("the device offers no KVM_CAP_DISABLE_QUIRKS2");
	EXPECT_ERRNO(enable(vm->fd, KVM_CAP_DISABLE_QUIRKS2, ~offered), EINVAL);
	EXPECT_OK(enable(vm->fd, KVM_CAP_DISABLE_QUIRKS2, offered));
}

/* LINT0 of the first vCPU is open only by the quirk of old firmware. */
TEST(lint0_quirk)
{
	struct vm *vm = vm_create();
	struct kvm_lapic_state lapic;

	if (!(kvm_check(vm->fd, KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_LINT0_REENABLED))
		SKIP("the device does not offer to disable this quirk");
	ASSERT_OK(enable(vm->fd, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_LINT0_REENABLED));
	ASSERT_OK(ioctl(vm->fd, KVM_CREATE_IRQCHIP));
	lapic = vcpu_lapic(vcpu_new(vm, 0));
	EXPECT_EQ(lapic_reg(&lapic, APIC_LVT_LINT0), LVT_MASKED);
}

static void use_pv(void)
{
	GUEST_EQ(hypercall(HC_YIELD, 0, 0, 0, 0), HC_ENOSYS);
	GUEST_TRUE(guest_wrmsr_faults(MSR_SYSTEM_TIME, 0));
	GUEST_TRUE(guest_rdmsr_faults(MSR_PV_EOI));
}

/* With this a guest has only what its CPUID announces. */
TEST(enforced_pv_features)
{
	struct vm *vm = guest_vm(CHIPS);
	struct kvm_cpuid2 *cpuid = cpuid_supported(vm->kvm);
	struct kvm_cpuid_entry2 *features = cpuid_find(cpuid, CPUID_KVM_FEATURES, 0);
	struct vcpu *vcpu = vcpu_create(vm, 0);

	if (!kvm_check(vm->fd, KVM_CAP_ENFORCE_PV_FEATURE_CPUID))
		SKIP("the device offers no KVM_CAP_ENFORCE_PV_FEATURE_CPUID");
	ASSERT_TRUE(features != NULL);
	features->eax = 0;
	vcpu_set_cpuid(vcpu, cpuid);
	free(cpuid);
	ASSERT_OK(enable(vcpu->fd, KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1));
	guest_begin(vcpu, use_pv);
	EXPECT_DONE(vcpu);
}

TEST(bad_pointers)
{
	struct vm *vm = vm_create();

	EXPECT_ERRNO(ioctl(vm->fd, KVM_ENABLE_CAP, 16), EFAULT);
	EXPECT_ERRNO(ioctl(vcpu_new(vm, 0)->fd, KVM_ENABLE_CAP, 16), EFAULT);
}
