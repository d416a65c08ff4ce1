// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_SREGS2 and KVM_SET_SREGS2: PDPTRs instead of a pending interrupt. */
#include <string.h>

#include "lib/x86.h"

enum { PDPTRS_VALID = KVM_SREGS2_FLAGS_PDPTRS_VALID, PDPTRS = 4, UNKNOWN_FLAG = 2 };

static struct kvm_sregs2 get(struct vcpu *vcpu)
{
	struct kvm_sregs2 sregs;

	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_SREGS2, &sregs));
	return sregs;
}

static int set(struct vcpu *vcpu, const struct kvm_sregs2 *sregs)
{
	return ioctl(vcpu->fd, KVM_SET_SREGS2, sregs);
}

static struct vcpu *vcpu_in(enum mode mode)
{
	struct vcpu *vcpu = vcpu_new(vm_new(GUEST_PAGES), 0);

	vm_tables(vcpu->vm, mode);
	vcpu_start(vcpu, mode, GUEST_CODE);
	return vcpu;
}

/* Both ioctls show the same registers. */
TEST(the_same_as_sregs)
{
	const enum mode modes[] = { MODE_REAL, MODE_PROTECTED, MODE_LONG };

	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		struct vcpu *vcpu = vcpu_in(modes[i]);
		const struct kvm_sregs old = vcpu_sregs(vcpu);
		const struct kvm_sregs2 new = get(vcpu);

		EXPECT_MEM(&new.cs, &old.cs, sizeof(old.cs));
		EXPECT_MEM(&new.ss, &old.ss, sizeof(old.ss));
		EXPECT_MEM(&new.tr, &old.tr, sizeof(old.tr));
		EXPECT_MEM(&new.gdt, &old.gdt, sizeof(old.gdt));
		EXPECT_EQ(new.cr0, old.cr0);
		EXPECT_EQ(new.cr3, old.cr3);
		EXPECT_EQ(new.cr4, old.cr4);
		EXPECT_EQ(new.efer, old.efer);
		EXPECT_EQ(new.apic_base, old.apic_base);
		EXPECT_EQ(new.flags, 0);
	}
}

TEST(round_trip)
{
	struct vcpu *vcpu = vcpu_in(MODE_LONG);
	struct kvm_sregs2 want = get(vcpu), got;

	want.fs.base = 0x123456789000;
	want.cr2 = 0xabcdef;
	want.gdt.limit = 0x7f;
	ASSERT_OK(set(vcpu, &want));
	got = get(vcpu);
	EXPECT_MEM(&got, &want, sizeof(want));
}

/* Into 32-bit paging with PAE */
static struct kvm_sregs2 pae(struct vcpu *vcpu)
{
	struct kvm_sregs2 sregs = get(vcpu);

	sregs.cr4 |= CR4_PAE;
	sregs.cr0 |= CR0_PG;
	sregs.cr3 = GUEST_DATA;
	return sregs;
}

/* PDPTRs are registers: they need not be what memory has. */
TEST(pdptrs)
{
	struct vcpu *vcpu = vcpu_in(MODE_PROTECTED);
	struct kvm_sregs2 want = pae(vcpu), got;

	want.flags = PDPTRS_VALID;
	for (int i = 0; i < PDPTRS; i++)
		want.pdptrs[i] = (uint64_t)(i + 1) << 12 | PTE_P;
	ASSERT_OK(set(vcpu, &want));
	got = get(vcpu);
	EXPECT_EQ(got.flags, PDPTRS_VALID);
	EXPECT_MEM(got.pdptrs, want.pdptrs, sizeof(want.pdptrs));
	EXPECT_EQ(got.cr3, want.cr3);
}

/* Without the flag they are read from memory. */
TEST(pdptrs_from_memory)
{
	struct vcpu *vcpu = vcpu_in(MODE_PROTECTED);
	struct kvm_sregs2 want = pae(vcpu), got;
	uint64_t pdptrs[PDPTRS];

	for (int i = 0; i < PDPTRS; i++)
		pdptrs[i] = (uint64_t)(i + 5) << 12 | PTE_P;
	vm_write(vcpu->vm, GUEST_DATA, pdptrs, sizeof(pdptrs));
	ASSERT_OK(set(vcpu, &want));
	got = get(vcpu);
	EXPECT_EQ(got.flags, PDPTRS_VALID);
	EXPECT_MEM(got.pdptrs, pdptrs, sizeof(pdptrs));
}

TEST(pdptrs_are_of_pae)
{
	const enum mode modes[] = { MODE_REAL, MODE_PROTECTED, MODE_LONG };

	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		struct vcpu *vcpu = vcpu_in(modes[i]);
		struct kvm_sregs2 sregs = get(vcpu);

		sregs.flags = PDPTRS_VALID;
		EXPECT_ERRNO(set(vcpu, &sregs), EINVAL);
	}
}

TEST(flags)
{
	struct vcpu *vcpu = vcpu_in(MODE_LONG);
	struct kvm_sregs2 sregs = get(vcpu);

	sregs.flags = UNKNOWN_FLAG;
	EXPECT_ERRNO(set(vcpu, &sregs), EINVAL);
	sregs.flags = -1ULL;
	EXPECT_ERRNO(set(vcpu, &sregs), EINVAL);
}

TEST(invalid_registers)
{
	struct vcpu *vcpu = vcpu_in(MODE_LONG);
	struct kvm_sregs2 sregs = get(vcpu);

	sregs.cr4 &= ~CR4_PAE;
	EXPECT_ERRNO(set(vcpu, &sregs), EINVAL);
	EXPECT_EQ(get(vcpu).cr4, sregs.cr4 | CR4_PAE);
}

TEST(bad_pointers)
{
	struct vcpu *vcpu = vcpu_in(MODE_LONG);

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_SREGS2, 16), EFAULT);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_SREGS2, 16), EFAULT);
}

TEST(is_offered)
{
	EXPECT_EQ(kvm_check(kvm_open(), KVM_CAP_SREGS2), 1);
}
