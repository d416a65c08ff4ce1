// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_SUPPORTED_CPUID, KVM_SET_CPUID2, KVM_GET_CPUID2. */
#include <stdlib.h>
#include <string.h>

#include "lib/x86.h"

#define ENTRIES 256	/* KVM_MAX_CPUID_ENTRIES */

static struct kvm_cpuid2 *table(uint32_t nent)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) +
					     (ENTRIES + 1) * sizeof(cpuid->entries[0]));

	ASSERT_TRUE(cpuid != NULL);
	cpuid->nent = nent;
	return cpuid;
}

TEST(supported_needs_room)
{
	int kvm = kvm_open();
	uint32_t count = cpuid_supported(kvm)->nent;

	EXPECT_ERRNO(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, table(0)), E2BIG);
	EXPECT_ERRNO(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, table(1)), E2BIG);
	EXPECT_ERRNO(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, table(count - 1)), E2BIG);
	EXPECT_OK(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, table(count)));
}

TEST(supported_takes_too_much_room)
{
	struct kvm_cpuid2 *cpuid = table(ENTRIES + 1);
	int kvm = kvm_open();

	ASSERT_OK(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid));
	EXPECT_EQ(cpuid->nent, cpuid_supported(kvm)->nent);
}

TEST(supported_has_the_main_leaves_once)
{
	static const uint32_t leaves[] = { 0, 1, 0x80000000, 0x80000001, 0x80000008 };
	struct kvm_cpuid2 *cpuid = cpuid_supported(kvm_open());

	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++)
		EXPECT_TRUE(cpuid_find(cpuid, leaves[i], 0) != NULL);
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		EXPECT_TRUE(cpuid_find(cpuid, entry->function, entry->index) == entry);
	}
}

TEST(supported_holds_no_vmx)
{
	const uint32_t vmx = 1U << 5;
	struct kvm_cpuid_entry2 *leaf = cpuid_find(cpuid_supported(kvm_open()), 1, 0);

	if (kvm_is_c())
		SKIP("C KVM nests by default and then reports VMX");
	EXPECT_EQ(leaf->ecx & vmx, 0);
}

TEST(supported_says_hypervisor)
{
	const uint32_t hypervisor = 1U << 31;
	struct kvm_cpuid_entry2 *leaf = cpuid_find(cpuid_supported(kvm_open()), 1, 0);

	EXPECT_EQ(leaf->ecx & hypervisor, hypervisor);
}

TEST(fresh_vcpu_has_none)
{
	struct vcpu *vcpu = vcpu_create(vm_create(), 0);
	struct kvm_cpuid2 *cpuid = table(ENTRIES);

	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_CPUID2, cpuid));
	EXPECT_EQ(cpuid->nent, 0);
}

TEST(get_returns_what_was_set)
{
	struct vcpu *vcpu = vcpu_create(vm_create(), 0);
	struct kvm_cpuid2 *set = table(3), *got = table(ENTRIES);

	set->entries[0] = (struct kvm_cpuid_entry2){
		.function = 0, .eax = 1, .ebx = 0x756e6547, .ecx = 0x6c65746e, .edx = 0x49656e69,
	};
	set->entries[1] = (struct kvm_cpuid_entry2){ .function = 1, .eax = 0x806c1, .edx = 0x1000 };
	set->entries[2] = (struct kvm_cpuid_entry2){
		.function = 0x40000000, .eax = 0x40000001, .ebx = 1, .ecx = 2, .edx = 3,
	};
	vcpu_set_cpuid(vcpu, set);
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_CPUID2, got));
	ASSERT_EQ(got->nent, 3);
	EXPECT_EQ(got->entries[0].ebx, 0x756e6547);
	EXPECT_EQ(got->entries[1].eax, 0x806c1);
	EXPECT_EQ(got->entries[2].function, 0x40000000);
	EXPECT_EQ(got->entries[2].edx, 3);
}

TEST(get_needs_room)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_CPUID2, table(0)), E2BIG);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_CPUID2, table(2)), E2BIG);
}

/* How many there are is not told then. */
TEST(get_without_room_changes_nothing)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);
	struct kvm_cpuid2 *small = table(2);

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_CPUID2, small), E2BIG);
	EXPECT_EQ(small->nent, 2);
}

#define CPUID_KVM_SIGNATURE 0x40000000
#define CPUID_KVM_FEATURES 0x40000001
#define KVM_PV_UNHALT (1U << 7)

static uint32_t features_of(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *got = table(ENTRIES);

	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_CPUID2, got));
	return cpuid_find(got, CPUID_KVM_FEATURES, 0)->eax;
}

/* A guest that halts on its own cannot be kicked. */
TEST(unhalt_goes_with_the_exits_of_hlt)
{
	const struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_DISABLE_EXITS, .args[0] = KVM_X86_DISABLE_EXITS_HLT,
	};
	struct vm *vm = vm_create();
	struct kvm_cpuid2 *cpuid = cpuid_supported(vm->kvm);
	struct kvm_cpuid_entry2 *signature = cpuid_find(cpuid, CPUID_KVM_SIGNATURE, 0);
	struct vcpu *vcpu;

	ASSERT_TRUE(signature != NULL);
	cpuid_find(cpuid, CPUID_KVM_FEATURES, 0)->eax |= KVM_PV_UNHALT;
	ASSERT_OK(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	vcpu = vcpu_create(vm, 0);
	vcpu_set_cpuid(vcpu, cpuid);
	EXPECT_EQ(features_of(vcpu) & KVM_PV_UNHALT, 0);
	/* Another hypervisor's leaves mean something else. */
	signature->ebx++;
	vcpu_set_cpuid(vcpu, cpuid);
	EXPECT_EQ(features_of(vcpu) & KVM_PV_UNHALT, KVM_PV_UNHALT);
}

TEST(set_takes_256_entries_at_most)
{
	struct vcpu *vcpu = vcpu_create(vm_create(), 0);

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_CPUID2, table(ENTRIES + 1)), E2BIG);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_CPUID2, table(0xffffffff)), E2BIG);
}

TEST(set_may_be_repeated_before_the_first_run)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);
	struct kvm_cpuid2 *empty = table(0), *got = table(ENTRIES);

	vcpu_set_cpuid(vcpu, empty);
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_CPUID2, got));
	EXPECT_EQ(got->nent, 0);
}

GUEST64(halts, "hlt\n");

TEST(after_a_run_only_the_same_again)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, halts);
	struct kvm_cpuid2 *cpuid = table(ENTRIES);

	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_CPUID2, cpuid));
	EXPECT_OK(ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid));
	cpuid_find(cpuid, 1, 0)->eax ^= 0x10;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid), EINVAL);
}

/* Reports EAX of the leaf in EBX, subleaf in EDX, then EBX, ECX and EDX. */
GUEST64(asks, "mov %ebx, %eax\n mov %edx, %ecx\n cpuid\n" REPORT "mov %ebx, %eax\n" REPORT
	      "mov %ecx, %eax\n" REPORT "mov %edx, %eax\n" REPORT "hlt\n");

/* What CPUID gives a guest with that table */
static struct kvm_cpuid_entry2 answer(struct kvm_cpuid2 *cpuid, uint32_t leaf, uint32_t subleaf)
{
	struct kvm_cpuid_entry2 entry = { .function = leaf, .index = subleaf };
	uint32_t *const outputs[] = { &entry.eax, &entry.ebx, &entry.ecx, &entry.edx };
	struct vm *vm = vm_new(GUEST_PAGES);
	struct vcpu *vcpu = vcpu_create(vm, 0);
	struct kvm_regs regs;

	vcpu_set_cpuid(vcpu, cpuid);
	vm_tables(vm, MODE_LONG);
	VM_LOAD(vm, asks);
	vcpu_start(vcpu, MODE_LONG, GUEST_CODE);
	regs = vcpu_regs(vcpu);
	regs.rbx = leaf;
	regs.rdx = subleaf;
	vcpu_set_regs(vcpu, &regs);
	for (size_t i = 0; i < ARRAY_SIZE(outputs); i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_IO);
		memcpy(outputs[i], io_data(vcpu), sizeof(uint32_t));
	}
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	guest_free(vcpu);
	return entry;
}

static void guest_sees(struct kvm_cpuid2 *cpuid, uint32_t leaf, uint32_t subleaf, uint32_t eax,
		       uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	struct kvm_cpuid_entry2 got = answer(cpuid, leaf, subleaf);

	EXPECT_EQ(got.eax, eax);
	EXPECT_EQ(got.ebx, ebx);
	EXPECT_EQ(got.ecx, ecx);
	EXPECT_EQ(got.edx, edx);
}

/* The supported table with these entries put in place of those of leaf 0x40000000 and above */
static struct kvm_cpuid2 *with_entries(const struct kvm_cpuid_entry2 *entries, size_t count)
{
	struct kvm_cpuid2 *all = cpuid_supported(kvm_open()), *cpuid = table(0);

	for (uint32_t i = 0; i < all->nent; i++)
		if (all->entries[i].function >> 28 != 4)
			cpuid->entries[cpuid->nent++] = all->entries[i];
	for (size_t i = 0; i < count; i++)
		cpuid->entries[cpuid->nent++] = entries[i];
	return cpuid;
}

TEST(guest_sees_the_entries)
{
	static const struct kvm_cpuid_entry2 entries[] = {
		{ .function = 0x40000000, .eax = 0x40000010, .ebx = 5, .ecx = 6, .edx = 7 },
		{ .function = 0x40000010, .eax = 0x11, .ebx = 0x22, .ecx = 0x33, .edx = 0x44 },
	};

	guest_sees(with_entries(entries, 2), 0x40000000, 0, 0x40000010, 5, 6, 7);
	guest_sees(with_entries(entries, 2), 0x40000010, 0, 0x11, 0x22, 0x33, 0x44);
	/* Without KVM_CPUID_FLAG_SIGNIFCANT_INDEX the subleaf does not matter. */
	guest_sees(with_entries(entries, 2), 0x40000010, 9, 0x11, 0x22, 0x33, 0x44);
}

TEST(guest_sees_subleaves_apart)
{
	static const struct kvm_cpuid_entry2 entries[] = {
		{ .function = 0x40000000, .eax = 0x40000010 },
		{ .function = 0x40000010, .index = 0, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		  .eax = 1, .ebx = 2, .ecx = 3, .edx = 4 },
		{ .function = 0x40000010, .index = 3, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		  .eax = 5, .ebx = 6, .ecx = 7, .edx = 8 },
	};

	guest_sees(with_entries(entries, 3), 0x40000010, 0, 1, 2, 3, 4);
	guest_sees(with_entries(entries, 3), 0x40000010, 3, 5, 6, 7, 8);
	guest_sees(with_entries(entries, 3), 0x40000010, 1, 0, 0, 0, 0);
}

TEST(guest_sees_zeros_where_nothing_is)
{
	static const struct kvm_cpuid_entry2 entries[] = {
		{ .function = 0x40000000, .eax = 0x40000010 },
	};

	guest_sees(with_entries(entries, 1), 0x40000005, 0, 0, 0, 0, 0);
}

/* SDM volume 2, CPUID: past the highest leaf, the data of the highest basic leaf. */
TEST(guest_sees_the_last_basic_leaf_past_the_end)
{
	struct kvm_cpuid2 *cpuid = with_entries(NULL, 0);
	struct kvm_cpuid_entry2 last = answer(cpuid, cpuid_find(cpuid, 0, 0)->eax, 0);

	guest_sees(cpuid, 0x8000007f, 0, last.eax, last.ebx, last.ecx, last.edx);
}
