// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_SREGS and KVM_SET_SREGS: the reset state, and that what is set is kept. */
#include <string.h>

#include "lib/x86.h"

/* SDM volume 3, table 11-1; the boot processor's APIC base, table 13-1 */
TEST(start_is_the_reset_state)
{
	struct vcpu *vcpu = vcpu_create(vm_create(), 0);
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	EXPECT_EQ(sregs.cs.selector, 0xf000);
	EXPECT_EQ(sregs.cs.base, 0xffff0000);
	EXPECT_EQ(sregs.cs.limit, 0xffff);
	EXPECT_EQ(sregs.cs.present, 1);
	EXPECT_EQ(sregs.cs.s, 1);
	EXPECT_EQ(sregs.ds.selector, 0);
	EXPECT_EQ(sregs.ds.base, 0);
	EXPECT_EQ(sregs.ds.limit, 0xffff);
	EXPECT_EQ(sregs.tr.limit, 0xffff);
	EXPECT_EQ(sregs.ldt.limit, 0xffff);
	EXPECT_EQ(sregs.gdt.base, 0);
	EXPECT_EQ(sregs.gdt.limit, 0xffff);
	EXPECT_EQ(sregs.idt.base, 0);
	EXPECT_EQ(sregs.idt.limit, 0xffff);
	EXPECT_EQ(sregs.cr0, CR0_CD | CR0_NW | CR0_ET);
	EXPECT_EQ(sregs.cr2, 0);
	EXPECT_EQ(sregs.cr3, 0);
	EXPECT_EQ(sregs.cr4, 0);
	EXPECT_EQ(sregs.cr8, 0);
	EXPECT_EQ(sregs.efer, 0);
	EXPECT_EQ(sregs.apic_base, 0xfee00900);
}

TEST(only_vcpu_0_is_the_boot_processor)
{
	struct vcpu *vcpu = vcpu_create(vm_create(), 1);

	EXPECT_EQ(vcpu_sregs(vcpu).apic_base, 0xfee00800);
}

static bool same_segment(const char *name, const struct kvm_segment *got,
			 const struct kvm_segment *want)
{
	if (!memcmp(got, want, sizeof(*got)))
		return true;
	test_fail(__FILE__, __LINE__,
		  "%s: expected base 0x%llx limit 0x%x selector 0x%x type %u, got 0x%llx 0x%x 0x%x %u",
		  name, want->base, want->limit, want->selector, want->type, got->base, got->limit,
		  got->selector, got->type);
	return false;
}

static void set_and_compare(enum mode mode)
{
	struct vcpu *vcpu = vcpu_new(vm_new(GUEST_PAGES), 0);
	struct kvm_sregs set = vcpu_mode_sregs(vcpu, mode), got;

	set.fs.base = 0x12345000;
	set.gs.base = mode == MODE_LONG ? 0xffff800012345678UL : 0x7654000;
	set.cr2 = 0xdeadbeef;
	set.cr8 = 5;
	set.gdt.limit = 0x27;
	vcpu_set_sregs(vcpu, &set);
	got = vcpu_sregs(vcpu);
	same_segment("CS", &got.cs, &set.cs);
	same_segment("DS", &got.ds, &set.ds);
	same_segment("ES", &got.es, &set.es);
	same_segment("FS", &got.fs, &set.fs);
	same_segment("GS", &got.gs, &set.gs);
	same_segment("SS", &got.ss, &set.ss);
	same_segment("TR", &got.tr, &set.tr);
	EXPECT_EQ(got.ldt.unusable, 1);
	EXPECT_EQ(got.gdt.base, set.gdt.base);
	EXPECT_EQ(got.gdt.limit, set.gdt.limit);
	EXPECT_EQ(got.idt.base, set.idt.base);
	EXPECT_EQ(got.idt.limit, set.idt.limit);
	EXPECT_EQ(got.cr0, set.cr0);
	EXPECT_EQ(got.cr2, set.cr2);
	EXPECT_EQ(got.cr3, set.cr3);
	EXPECT_EQ(got.cr4, set.cr4);
	EXPECT_EQ(got.cr8, set.cr8);
	EXPECT_EQ(got.efer, set.efer);
	EXPECT_EQ(got.apic_base, set.apic_base);
}

TEST(real_mode_is_kept)
{
	set_and_compare(MODE_REAL);
}

TEST(protected_mode_is_kept)
{
	set_and_compare(MODE_PROTECTED);
}

TEST(long_mode_is_kept)
{
	set_and_compare(MODE_LONG);
}

TEST(what_was_got_can_be_set)
{
	struct vcpu *vcpu = vcpu_create(vm_create(), 0);
	struct kvm_sregs sregs = vcpu_sregs(vcpu), again;

	vcpu_set_sregs(vcpu, &sregs);
	again = vcpu_sregs(vcpu);
	EXPECT_MEM(&again, &sregs, sizeof(sregs));
}

TEST(unusable_segments_stay_unusable)
{
	struct vcpu *vcpu = vcpu_new(vm_new(GUEST_PAGES), 0);
	struct kvm_sregs sregs = vcpu_mode_sregs(vcpu, MODE_PROTECTED);

	sregs.fs = (struct kvm_segment){ .unusable = 1 };
	vcpu_set_sregs(vcpu, &sregs);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(sregs.fs.unusable, 1);
	EXPECT_EQ(sregs.fs.present, 0);
	EXPECT_EQ(sregs.gs.unusable, 0);
	EXPECT_EQ(sregs.gs.present, 1);
}

GUEST64(to_halt, "hlt\n");

TEST(modes_may_change_back_and_forth)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, to_halt);

	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
	vcpu_start(vcpu, MODE_REAL, GUEST_CODE);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
	vm_tables(vcpu->vm, MODE_PROTECTED);
	vcpu_start(vcpu, MODE_PROTECTED, GUEST_CODE);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
	vm_tables(vcpu->vm, MODE_LONG);
	vcpu_start(vcpu, MODE_LONG, GUEST_CODE);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_sregs(vcpu).efer, EFER_LME | EFER_LMA);
}
