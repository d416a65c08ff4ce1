// SPDX-License-Identifier: GPL-2.0
/* KVM_SET_SREGS refuses what no processor can hold, and then changes nothing. */
#include <stdlib.h>

#include "lib/x86.h"

#define CPUID_1_ECX_XSAVE (1U << 26)

/* A vCPU in long mode and its registers, to be spoilt */
static struct vcpu *long_mode(struct kvm_sregs *sregs)
{
	struct vcpu *vcpu = vcpu_new(vm_new(GUEST_PAGES), 0);

	vm_tables(vcpu->vm, MODE_LONG);
	vcpu_start(vcpu, MODE_LONG, GUEST_CODE);
	*sregs = vcpu_sregs(vcpu);
	return vcpu;
}

static void refused(struct vcpu *vcpu, const struct kvm_sregs *bad)
{
	struct kvm_sregs before = vcpu_sregs(vcpu), after;

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_SREGS, bad), EINVAL);
	after = vcpu_sregs(vcpu);
	EXPECT_MEM(&after, &before, sizeof(before));
}

TEST(paging_needs_protection)
{
	struct kvm_sregs sregs;
	struct vcpu *vcpu = long_mode(&sregs);

	sregs.cr0 &= ~CR0_PE;
	refused(vcpu, &sregs);
}

TEST(no_write_through_needs_cache_disable)
{
	struct kvm_sregs sregs;
	struct vcpu *vcpu = long_mode(&sregs);

	sregs.cr0 |= CR0_NW;
	refused(vcpu, &sregs);
}

TEST(cr0_has_32_bits)
{
	struct kvm_sregs sregs;
	struct vcpu *vcpu = long_mode(&sregs);

	sregs.cr0 |= 1UL << 32;
	refused(vcpu, &sregs);
}

TEST(long_mode_needs_pae)
{
	struct kvm_sregs sregs;
	struct vcpu *vcpu = long_mode(&sregs);

	sregs.cr4 &= ~CR4_PAE;
	refused(vcpu, &sregs);
}

TEST(long_mode_enabled_and_paging_means_active)
{
	struct kvm_sregs sregs;
	struct vcpu *vcpu = long_mode(&sregs);

	sregs.efer &= ~EFER_LMA;
	refused(vcpu, &sregs);
}

TEST(active_needs_long_mode_enabled)
{
	struct kvm_sregs sregs;
	struct vcpu *vcpu = long_mode(&sregs);

	sregs.efer &= ~EFER_LME;
	refused(vcpu, &sregs);
}

TEST(active_needs_paging)
{
	struct kvm_sregs sregs;
	struct vcpu *vcpu = long_mode(&sregs);

	sregs.cr0 &= ~CR0_PG;
	refused(vcpu, &sregs);
}

TEST(code_is_64_bit_only_in_long_mode)
{
	struct vcpu *vcpu = vcpu_new(vm_new(GUEST_PAGES), 0);
	struct kvm_sregs sregs = vcpu_mode_sregs(vcpu, MODE_PROTECTED);

	sregs.cs.l = 1;
	refused(vcpu, &sregs);
}

TEST(cr3_keeps_to_the_physical_address_width)
{
	struct kvm_sregs sregs;
	struct vcpu *vcpu = long_mode(&sregs);

	sregs.cr3 |= 1UL << 60;
	refused(vcpu, &sregs);
}

TEST(unknown_cr4_bits)
{
	struct kvm_sregs sregs;
	struct vcpu *vcpu = long_mode(&sregs);
	const uint64_t good = sregs.cr4;

	for (int bit = 33; bit < 64; bit++) {
		sregs.cr4 = good | 1UL << bit;
		refused(vcpu, &sregs);
	}
	sregs.cr4 = good | 1UL << 15;
	refused(vcpu, &sregs);
}

TEST(cr4_bits_of_features_that_cpuid_lacks)
{
	struct kvm_sregs sregs;
	struct vcpu *vcpu = vcpu_create(vm_new(GUEST_PAGES), 0);
	struct kvm_cpuid2 *cpuid = cpuid_supported(vcpu->vm->kvm);
	struct kvm_cpuid_entry2 *leaf = cpuid_find(cpuid, 1, 0);

	ASSERT_TRUE(leaf != NULL);
	leaf->ecx &= ~CPUID_1_ECX_XSAVE;
	vcpu_set_cpuid(vcpu, cpuid);
	free(cpuid);
	sregs = vcpu_mode_sregs(vcpu, MODE_PROTECTED);
	vcpu_set_sregs(vcpu, &sregs);
	sregs.cr4 |= CR4_OSXSAVE;
	refused(vcpu, &sregs);
}

TEST(apic_base_keeps_to_its_bits)
{
	struct kvm_sregs sregs;
	struct vcpu *vcpu = long_mode(&sregs);

	sregs.apic_base |= 1;
	refused(vcpu, &sregs);
	sregs.apic_base = 0xfee00900UL | 1UL << 60;
	refused(vcpu, &sregs);
}

TEST(x2apic_needs_the_apic_enabled)
{
	const uint64_t x2apic = 0x400, enabled = 0x800;
	struct kvm_sregs sregs;
	struct vcpu *vcpu = long_mode(&sregs);

	sregs.apic_base = (sregs.apic_base & ~enabled) | x2apic;
	refused(vcpu, &sregs);
}
