// SPDX-License-Identifier: GPL-2.0
/* MONITOR and MWAIT, which guests are not offered: KVM_CAP_DISABLE_QUIRKS2 says what becomes of them. */
#include <stdlib.h>

#include "lib/traps.h"

#define CPUID_1_ECX_MWAIT (1U << 3)
#define MSR_MISC_ENABLE 0x1a0
#define MISC_ENABLE_MWAIT (1UL << 18)

GUEST64(waits,
	"lea waits(%rip), %rax\nxor %ecx, %ecx\nxor %edx, %edx\n"
	"waits_monitor: monitor\n"
	"waits_mwait: mwait\n"
	"mov $1, %eax\ncpuid\nmov %ecx, %eax\nand $8, %eax\n" REPORT);
LABEL(waits_monitor);
LABEL(waits_mwait);

static struct vcpu *waits_new(uint64_t without)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(waits);
	const struct kvm_enable_cap cap = {
		.cap = KVM_CAP_DISABLE_QUIRKS2, .args[0] = without,
	};

	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_ENABLE_CAP, &cap));
	return vcpu;
}

static void offer_mwait(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = cpuid_supported(vcpu->vm->kvm);
	struct kvm_cpuid_entry2 *features = cpuid_find(cpuid, 1, 0);

	ASSERT_TRUE(features != NULL);
	features->ecx |= CPUID_1_ECX_MWAIT;
	vcpu_set_cpuid(vcpu, cpuid);
	free(cpuid);
}

TEST(quirks)
{
	const uint64_t offered = kvm_check(kvm_open(), KVM_CAP_DISABLE_QUIRKS2);

	EXPECT_TRUE(offered & KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS);
	EXPECT_TRUE(offered & KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT);
}

TEST(nothing_happens)
{
	struct vcpu *vcpu = waits_new(0);

	EXPECT_REPORT(vcpu, 0);
}

TEST(what_is_not_there_faults)
{
	struct vcpu *vcpu = waits_new(KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS);

	ASSERT_TRAP(vcpu, UD_VECTOR, 0, GUEST_ADDR(waits, waits_monitor));
	trap_skip(vcpu, 3);
	ASSERT_TRAP(vcpu, UD_VECTOR, 0, GUEST_ADDR(waits, waits_mwait));
	trap_skip(vcpu, 3);
	EXPECT_REPORT(vcpu, 0);
}

TEST(what_is_there_does_not)
{
	struct vcpu *vcpu = waits_new(KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS);

	offer_mwait(vcpu);
	EXPECT_REPORT(vcpu, CPUID_1_ECX_MWAIT);
}

/* CPUID follows IA32_MISC_ENABLE. */
TEST(turned_off_by_the_vmm)
{
	struct vcpu *vcpu = waits_new(KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT);
	uint64_t value;

	offer_mwait(vcpu);
	ASSERT_EQ(msr_get(vcpu->fd, MSR_MISC_ENABLE, &value), 1);
	ASSERT_EQ(msr_set(vcpu->fd, MSR_MISC_ENABLE, value & ~MISC_ENABLE_MWAIT), 1);
	EXPECT_REPORT(vcpu, 0);
	vcpu_start(vcpu, MODE_LONG, GUEST_CODE);
	ASSERT_EQ(msr_set(vcpu->fd, MSR_MISC_ENABLE, value | MISC_ENABLE_MWAIT), 1);
	EXPECT_REPORT(vcpu, CPUID_1_ECX_MWAIT);
}
