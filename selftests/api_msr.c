// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_MSR_INDEX_LIST, KVM_GET_MSR_FEATURE_INDEX_LIST, KVM_GET_MSRS, KVM_SET_MSRS. */
#include <stdlib.h>

#include "lib/x86.h"

#define MSR_TSC 0x10
#define MSR_PLATFORM_INFO 0xce
#define MSR_SYSENTER_CS 0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define MSR_MISC_ENABLE 0x1a0
#define MSR_LASTBRANCH_FROM_IP 0x1db
#define MSR_LASTINT_TO_IP 0x1de
#define MSR_PAT 0x277
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_SYSCALL_MASK 0xc0000084
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_K7_HWCR 0xc0010015
#define MSR_KVM_ASYNC_PF_INT 0x4b564d06
#define MSR_NOWHERE 0x40007777

GUEST64(stops, "hlt\n");

#define MSRS_MAX 256	/* MAX_IO_MSRS: KVM_SET_MSRS takes fewer */

static struct kvm_msr_list *list_of(int kvm, unsigned long request)
{
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + 4096 * sizeof(list->indices[0]));

	ASSERT_TRUE(list != NULL);
	list->nmsrs = 4096;
	ASSERT_OK(ioctl(kvm, request, list));
	return list;
}

static void check_count(unsigned long request)
{
	int kvm = kvm_open();
	uint32_t count = list_of(kvm, request)->nmsrs;
	struct kvm_msr_list *list = list_of(kvm, request);

	list->nmsrs = 0;
	EXPECT_ERRNO(ioctl(kvm, request, list), E2BIG);
	EXPECT_EQ(list->nmsrs, count);
	if (count) {
		list->nmsrs = count - 1;
		EXPECT_ERRNO(ioctl(kvm, request, list), E2BIG);
		EXPECT_EQ(list->nmsrs, count);
	}
	EXPECT_OK(ioctl(kvm, request, list));
}

TEST(index_list_tells_the_room_it_needs)
{
	check_count(KVM_GET_MSR_INDEX_LIST);
}

TEST(feature_list_tells_the_room_it_needs)
{
	check_count(KVM_GET_MSR_FEATURE_INDEX_LIST);
}

TEST(index_list_holds_what_vmms_save)
{
	static const uint32_t wanted[] = {
		MSR_TSC, MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_PAT, MSR_STAR,
		MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_KERNEL_GS_BASE, MSR_MISC_ENABLE,
	};
	struct kvm_msr_list *list = list_of(kvm_open(), KVM_GET_MSR_INDEX_LIST);

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		bool found = false;

		for (uint32_t j = 0; j < list->nmsrs; j++)
			found |= list->indices[j] == wanted[i];
		if (!found)
			test_fail(__FILE__, __LINE__, "expected MSR 0x%x in the list, got none",
				  wanted[i]);
	}
}

TEST(every_listed_msr_reads_and_takes_its_value_back)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);
	struct kvm_msr_list *list = list_of(vcpu->vm->kvm, KVM_GET_MSR_INDEX_LIST);

	for (uint32_t i = 0; i < list->nmsrs; i++) {
		uint64_t value;

		if (kvm_is_c() && list->indices[i] == MSR_KVM_ASYNC_PF_INT)
			continue;	/* C KVM lists it, yet refuses it without an in-kernel APIC */
		if (msr_get(vcpu->fd, list->indices[i], &value) != 1)
			test_fail(__FILE__, __LINE__, "MSR 0x%x: expected a value, got a refusal",
				  list->indices[i]);
		else if (msr_set(vcpu->fd, list->indices[i], value) != 1)
			test_fail(__FILE__, __LINE__, "MSR 0x%x: expected to take 0x%llx, got a refusal",
				  list->indices[i], (unsigned long long)value);
	}
}

TEST(every_feature_msr_reads_on_the_device)
{
	int kvm = kvm_open();
	struct kvm_msr_list *list = list_of(kvm, KVM_GET_MSR_FEATURE_INDEX_LIST);

	for (uint32_t i = 0; i < list->nmsrs; i++) {
		uint64_t value;

		if (msr_get(kvm, list->indices[i], &value) != 1)
			test_fail(__FILE__, __LINE__, "feature 0x%x: expected a value, got a refusal",
				  list->indices[i]);
	}
}

TEST(device_has_feature_msrs_only)
{
	uint64_t value;

	/* C KVM reads others as 0 instead of refusing them. */
	if (msr_get(kvm_open(), MSR_LSTAR, &value) != 0)
		EXPECT_EQ(value, 0);
}

TEST(what_vmms_set_before_boot_is_kept)
{
	static const struct { uint32_t index; uint64_t value; } msrs[] = {
		{ MSR_SYSENTER_CS, 8 }, { MSR_SYSENTER_ESP, 0x1000 }, { MSR_SYSENTER_EIP, 0x2000 },
		{ MSR_STAR, 0x0023001000000000 }, { MSR_LSTAR, 0xffffffff81000000 },
		{ MSR_CSTAR, 0xffffffff82000000 }, { MSR_SYSCALL_MASK, 0x47700 },
		{ MSR_KERNEL_GS_BASE, 0xffff888000000000 }, { MSR_MISC_ENABLE, 1 },
		{ MSR_MTRR_DEF_TYPE, 0x806 }, { MSR_PAT, 0x0007040600070406 },
	};
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);

	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++) {
		uint64_t value;

		EXPECT_EQ(msr_set(vcpu->fd, msrs[i].index, msrs[i].value), 1);
		EXPECT_EQ(msr_get(vcpu->fd, msrs[i].index, &value), 1);
		if (value != msrs[i].value)
			test_fail(__FILE__, __LINE__, "MSR 0x%x: expected 0x%llx, got 0x%llx",
				  msrs[i].index, (unsigned long long)msrs[i].value,
				  (unsigned long long)value);
	}
}

TEST(values_that_fault_on_hardware_are_refused)
{
	static const struct { uint32_t index; uint64_t value; } msrs[] = {
		{ MSR_LSTAR, 0x8000000000000000 },		/* not canonical */
		{ MSR_KERNEL_GS_BASE, 0x0000900000000000 },	/* not canonical */
		{ MSR_PAT, 0x02 },				/* reserved memory type */
		{ MSR_MTRR_DEF_TYPE, 0x02 },			/* reserved memory type */
		{ MSR_EFER, 1UL << 40 },			/* reserved bit */
	};
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);

	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++)
		if (msr_set(vcpu->fd, msrs[i].index, msrs[i].value) != 0)
			test_fail(__FILE__, __LINE__, "MSR 0x%x: expected a refusal of 0x%llx, got none",
				  msrs[i].index, (unsigned long long)msrs[i].value);
}

struct batch {
	struct kvm_msrs header;
	struct kvm_msr_entry entries[4];
};

TEST(a_refused_msr_ends_the_batch)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);
	struct batch batch = {
		.header.nmsrs = 4,
		.entries = { { .index = MSR_STAR, .data = 1 }, { .index = MSR_LSTAR, .data = 2 },
			     { .index = MSR_NOWHERE }, { .index = MSR_CSTAR, .data = 4 } },
	};
	uint64_t value;

	EXPECT_EQ(ioctl(vcpu->fd, KVM_SET_MSRS, &batch), 2);
	EXPECT_EQ(msr_get(vcpu->fd, MSR_LSTAR, &value), 1);
	EXPECT_EQ(value, 2);
	EXPECT_EQ(msr_get(vcpu->fd, MSR_CSTAR, &value), 1);
	EXPECT_EQ(value, 0);
	batch.entries[0].data = batch.entries[1].data = 99;
	EXPECT_EQ(ioctl(vcpu->fd, KVM_GET_MSRS, &batch), 2);
	EXPECT_EQ(batch.entries[0].data, 1);
	EXPECT_EQ(batch.entries[1].data, 2);
}

TEST(no_msrs_is_no_error)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);
	struct batch batch = { .header.nmsrs = 0 };

	EXPECT_EQ(ioctl(vcpu->fd, KVM_SET_MSRS, &batch), 0);
	EXPECT_EQ(ioctl(vcpu->fd, KVM_GET_MSRS, &batch), 0);
}

TEST(batches_have_a_limit)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);
	struct kvm_msrs *msrs = calloc(1, sizeof(*msrs) + MSRS_MAX * sizeof(msrs->entries[0]));

	ASSERT_TRUE(msrs != NULL);
	for (uint32_t i = 0; i < MSRS_MAX; i++)
		msrs->entries[i].index = MSR_STAR;
	msrs->nmsrs = MSRS_MAX - 1;
	EXPECT_EQ(ioctl(vcpu->fd, KVM_GET_MSRS, msrs), MSRS_MAX - 1);
	msrs->nmsrs = MSRS_MAX;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_MSRS, msrs), E2BIG);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_MSRS, msrs), E2BIG);
	msrs->nmsrs = 0xffffffff;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_MSRS, msrs), E2BIG);
	EXPECT_ERRNO(ioctl(vcpu->vm->kvm, KVM_GET_MSRS, msrs), E2BIG);
}

TEST(two_vcpus_do_not_share_them)
{
	struct vm *vm = vm_create();
	struct vcpu *first = vcpu_new(vm, 0), *second = vcpu_new(vm, 1);
	uint64_t value;

	EXPECT_EQ(msr_set(first->fd, MSR_LSTAR, 0x1111), 1);
	EXPECT_EQ(msr_set(second->fd, MSR_LSTAR, 0x2222), 1);
	EXPECT_EQ(msr_get(first->fd, MSR_LSTAR, &value), 1);
	EXPECT_EQ(value, 0x1111);
}

/* An MSR of AMD's that guests look at on every processor: some bits are stored, some ignored. */
TEST(hwcr)
{
	const uint64_t stored = 1UL << 18 | 1UL << 24, ignored = 1UL << 3 | 1UL << 6 | 1UL << 8;
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);
	uint64_t value;

	for (int bit = 0; bit < 64; bit++) {
		const uint64_t wanted = 1UL << bit;

		EXPECT_EQ(msr_set(vcpu->fd, MSR_K7_HWCR, wanted), (wanted & (stored | ignored)) != 0);
		ASSERT_EQ(msr_get(vcpu->fd, MSR_K7_HWCR, &value), 1);
		EXPECT_EQ(value, wanted & stored);
		ASSERT_EQ(msr_set(vcpu->fd, MSR_K7_HWCR, 0), 1);
	}
}

/* There are no branch records; what a VMM reads it can restore. */
TEST(no_last_branch)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);
	uint64_t value;

	for (uint32_t msr = MSR_LASTBRANCH_FROM_IP; msr <= MSR_LASTINT_TO_IP; msr++) {
		value = 1;
		EXPECT_EQ(msr_get(vcpu->fd, msr, &value), 1);
		EXPECT_EQ(value, 0);
		EXPECT_EQ(msr_set(vcpu->fd, msr, 0), 1);
		EXPECT_EQ(msr_set(vcpu->fd, msr, 1), 0);
	}
}

/* What tells the guest about its processor is fixed by the first KVM_RUN; writing it again unchanged is fine. */
TEST(feature_msrs_are_fixed_by_a_run)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, stops);
	uint64_t value;

	ASSERT_EQ(msr_set(vcpu->fd, MSR_PLATFORM_INFO, 1UL << 31 | 1), 1);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(msr_set(vcpu->fd, MSR_PLATFORM_INFO, 1UL << 31), 0);
	EXPECT_EQ(msr_set(vcpu->fd, MSR_PLATFORM_INFO, 1UL << 31 | 1), 1);
	ASSERT_EQ(msr_get(vcpu->fd, MSR_PLATFORM_INFO, &value), 1);
	EXPECT_EQ(value, 1UL << 31 | 1);
}
