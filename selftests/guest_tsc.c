// SPDX-License-Identifier: GPL-2.0
/* RDTSC and RDTSCP in the guest. */
#include <stdlib.h>

#include "lib/x86.h"

GUEST64(count, "1: rdtsc\nshl $32, %rdx\nor %rdx, %rax\nhlt\njmp 1b\n");

TEST(never_goes_back)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, count);
	uint64_t last = 0;

	for (int i = 0; i < 100; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		uint64_t now = vcpu_regs(vcpu).rax;

		ASSERT_TRUE(now > last);
		last = now;
	}
}

enum { MSR_TSC_AUX = 0xc0000103, AUX = 0x12345 };

GUEST64(aux, "1: rdtscp\nhlt\njmp 1b\n");

static uint32_t host_aux(void)
{
	uint32_t a, d, c;

	__asm__ volatile("rdtscp" : "=a"(a), "=d"(d), "=c"(c));
	return c;
}

TEST(rdtscp_gives_tsc_aux)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, aux);
	struct kvm_cpuid2 *cpuid = cpuid_supported(vcpu->vm->kvm);
	const struct kvm_cpuid_entry2 *features = cpuid_find(cpuid, 0x80000001, 0);
	const uint32_t host = host_aux();

	if (!features || !(features->edx & 1 << 27))
		SKIP("the device offers no RDTSCP");
	ASSERT_EQ(msr_set(vcpu->fd, MSR_TSC_AUX, AUX), 1);
	for (int i = 0; i < 3; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		EXPECT_EQ(vcpu_regs(vcpu).rcx, AUX);
		/* The host keeps CPU and node number there. */
		EXPECT_EQ(host_aux(), host);
	}
	free(cpuid);
}

static uint64_t tsc_of(struct vcpu *vcpu)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry.index = 0x10 };

	ASSERT_EQ(ioctl(vcpu->fd, KVM_GET_MSRS, &msrs), 1);
	return msrs.entry.data;
}

static void set_tsc(struct vcpu *vcpu, uint64_t value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry = { .index = 0x10, .data = value } };

	ASSERT_EQ(ioctl(vcpu->fd, KVM_SET_MSRS, &msrs), 1);
}

/* Read in turns, TSCs that are one never go back. */
static void expect_one_tsc(struct vcpu *a, struct vcpu *b)
{
	uint64_t last = 0;

	for (int i = 0; i < 10; i++) {
		const uint64_t now = tsc_of(i % 2 ? a : b);

		EXPECT_TRUE(now > last);
		last = now;
	}
}

TEST(vcpus_of_a_vm_have_one_tsc)
{
	struct vm *vm = vm_new(1);
	struct vcpu *first = vcpu_new(vm, 0);
	struct vcpu *second = vcpu_new(vm, 1);

	expect_one_tsc(first, second);
	set_tsc(first, 0);
	set_tsc(second, 0);
	expect_one_tsc(first, second);
	set_tsc(first, 1ULL << 50);
	set_tsc(second, 1ULL << 50);
	expect_one_tsc(first, second);
	EXPECT_TRUE(tsc_of(first) >= 1ULL << 50);
}
