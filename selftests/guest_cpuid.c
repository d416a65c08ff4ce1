// SPDX-License-Identifier: GPL-2.0
/* CPUID in the guest answers what KVM_SET_CPUID2 says. */
#include <stdlib.h>
#include <string.h>

#include "lib/x86.h"

/* CPUID of EAX and ECX until the host ends it */
GUEST64(ask, "1: cpuid\nhlt\njmp 1b\n");

struct answer { uint64_t eax, ebx, ecx, edx; };

static struct answer cpuid(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rflags = RFLAGS_FIXED,
		/* What CPUID must clear of the upper halves */
		.rax = 0xaaaaaaaa00000000 | leaf, .rcx = 0xcccccccc00000000 | subleaf,
		.rbx = -1, .rdx = -1,
	};

	vcpu_set_regs(vcpu, &regs);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	regs = vcpu_regs(vcpu);
	return (struct answer){ regs.rax, regs.rbx, regs.rcx, regs.rdx };
}

static void expect_answer(struct answer got, uint32_t eax, uint32_t ebx, uint32_t ecx,
			  uint32_t edx)
{
	EXPECT_EQ(got.eax, eax);
	EXPECT_EQ(got.ebx, ebx);
	EXPECT_EQ(got.ecx, ecx);
	EXPECT_EQ(got.edx, edx);
}

static const struct kvm_cpuid_entry2 entries[] = {
	{ .function = 0, .eax = 7, .ebx = 0x756e6547, .ecx = 0x6c65746e, .edx = 0x49656e69 },
	{ .function = 1, .eax = 0x000806c1 },
	{ .function = 4, .index = 0, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
	  .eax = 0x11, .ebx = 0x12, .ecx = 0x13, .edx = 0x14 },
	{ .function = 4, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
	  .eax = 0x21, .ebx = 0x22, .ecx = 0x23, .edx = 0x24 },
	{ .function = 6, .eax = 0x61, .ebx = 0x62, .ecx = 0x63, .edx = 0x64 },
	{ .function = 0x40000000, .eax = 0x40000001, .ebx = 0xaabb, .ecx = 0xccdd, .edx = 0xeeff },
	{ .function = 0x80000000, .eax = 0x80000008 },
	{ .function = 0x80000001, .edx = 0x20100800 },	/* SYSCALL, NX, long mode */
	{ .function = 0x80000002, .eax = 0x31, .ebx = 0x32, .ecx = 0x33, .edx = 0x34 },
	{ .function = 0x80000008, .eax = 0x3027 },
};

static struct vcpu *asking_guest(void)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	struct vcpu *vcpu = vcpu_create(vm, 0);
	struct kvm_cpuid2 *table = calloc(1, sizeof(*table) + sizeof(entries));

	ASSERT_TRUE(table != NULL);
	table->nent = ARRAY_SIZE(entries);
	memcpy(table->entries, entries, sizeof(entries));
	vcpu_set_cpuid(vcpu, table);
	free(table);
	vm_tables(vm, MODE_LONG);
	VM_LOAD(vm, ask);
	vcpu_start(vcpu, MODE_LONG, GUEST_CODE);
	return vcpu;
}

TEST(answers_what_was_set)
{
	struct vcpu *vcpu = asking_guest();

	expect_answer(cpuid(vcpu, 0, 0), 7, 0x756e6547, 0x6c65746e, 0x49656e69);
	expect_answer(cpuid(vcpu, 0x40000000, 0), 0x40000001, 0xaabb, 0xccdd, 0xeeff);
	expect_answer(cpuid(vcpu, 0x80000002, 0), 0x31, 0x32, 0x33, 0x34);
}

TEST(a_subleaf_counts_where_it_is_significant)
{
	struct vcpu *vcpu = asking_guest();

	expect_answer(cpuid(vcpu, 4, 0), 0x11, 0x12, 0x13, 0x14);
	expect_answer(cpuid(vcpu, 4, 1), 0x21, 0x22, 0x23, 0x24);
	expect_answer(cpuid(vcpu, 4, 9), 0, 0, 0, 0);
	expect_answer(cpuid(vcpu, 6, 9), 0x61, 0x62, 0x63, 0x64);
}

TEST(a_leaf_in_range_that_is_not_set_is_0)
{
	struct vcpu *vcpu = asking_guest();

	expect_answer(cpuid(vcpu, 5, 0), 0, 0, 0, 0);
	expect_answer(cpuid(vcpu, 0x80000006, 0), 0, 0, 0, 0);
}

/* The OSXSAVE bit of leaf 1 mirrors CR4 (SDM volume 2, CPUID). */
GUEST64(osxsave, "mov $1, %eax\ncpuid\nmov %ecx, %eax\n" REPORT
		 "mov %cr4, %rax\nor $0x40000, %eax\nmov %rax, %cr4\n"
		 "mov $1, %eax\ncpuid\nmov %ecx, %eax\n" REPORT);

TEST(osxsave_follows_cr4)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, osxsave);
	struct kvm_cpuid2 *supported = cpuid_supported(vcpu->vm->kvm);
	const struct kvm_cpuid_entry2 *features = cpuid_find(supported, 1, 0);
	const uint32_t xsave = 1 << 26, osxsave_bit = 1 << 27;

	ASSERT_TRUE(features != NULL);
	if (!(features->ecx & xsave))
		SKIP("the device offers no XSAVE");
	for (uint32_t want = 0; want <= osxsave_bit; want += osxsave_bit) {
		ASSERT_OK(vcpu_run(vcpu));
		ASSERT_EXIT(vcpu, KVM_EXIT_IO);
		EXPECT_EQ(*(uint32_t *)io_data(vcpu) & osxsave_bit, want);
	}
}
