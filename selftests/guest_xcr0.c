// SPDX-License-Identifier: GPL-2.0
/* XSETBV and XGETBV in the guest; the host's XCR0 stays what it is. */
#include <stdlib.h>

#include "lib/traps.h"

GUEST64(access,
	"access_enable: mov %cr4, %rax\nor $0x40000, %eax\nmov %rax, %cr4\nhlt\n"
	"access_set: xsetbv\nhlt\n"
	"access_get: xgetbv\nhlt\n");
LABEL(access_enable);
LABEL(access_set);
LABEL(access_get);

#define XCR0_X87 1
#define XCR0_SSE 2
#define XCR0_AVX 4

static void start(struct vcpu *vcpu, const uint8_t *at, uint32_t index, uint64_t value)
{
	struct kvm_regs regs = {
		.rip = GUEST_ADDR(access, at), .rsp = GUEST_STACK, .rflags = RFLAGS_FIXED,
		.rcx = index, .rax = (uint32_t)value, .rdx = value >> 32,
	};

	vcpu_set_regs(vcpu, &regs);
}

static void run(struct vcpu *vcpu, const uint8_t *at, uint64_t value)
{
	start(vcpu, at, 0, value);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
}

static uint64_t get(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	run(vcpu, access_get, 0);
	regs = vcpu_regs(vcpu);
	return regs.rdx << 32 | regs.rax;
}

static void expect_gp(struct vcpu *vcpu, uint32_t index, uint64_t value)
{
	start(vcpu, access_set, index, value);
	EXPECT_TRAP(vcpu, GP_VECTOR, 0, GUEST_ADDR(access, access_set));
}

/* Skips where the device offers no XSAVE; gives the features it offers. */
static uint64_t offered(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = cpuid_supported(vcpu->vm->kvm);
	const struct kvm_cpuid_entry2 *features = cpuid_find(cpuid, 1, 0);
	const struct kvm_cpuid_entry2 *states = cpuid_find(cpuid, 0xd, 0);
	uint64_t offer;

	if (!features || !(features->ecx & 1 << 26) || !states)
		SKIP("the device offers no XSAVE");
	offer = (uint64_t)states->edx << 32 | states->eax;
	free(cpuid);
	return offer;
}

static uint64_t host_xcr0(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

TEST(values)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);
	const uint64_t offer = offered(vcpu);
	const uint64_t host = host_xcr0();

	run(vcpu, access_enable, 0);
	EXPECT_EQ(get(vcpu), XCR0_X87);
	run(vcpu, access_set, XCR0_X87 | XCR0_SSE);
	EXPECT_EQ(get(vcpu), XCR0_X87 | XCR0_SSE);
	EXPECT_EQ(host_xcr0(), host);
	run(vcpu, access_set, offer);
	EXPECT_EQ(get(vcpu), offer);
	run(vcpu, access_set, XCR0_X87);
	EXPECT_EQ(get(vcpu), XCR0_X87);
	EXPECT_EQ(host_xcr0(), host);
}

TEST(invalid_values_fault)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);

	offered(vcpu);
	run(vcpu, access_enable, 0);
	expect_gp(vcpu, 0, 0);
	expect_gp(vcpu, 0, XCR0_SSE);
	expect_gp(vcpu, 0, XCR0_X87 | XCR0_AVX);
	expect_gp(vcpu, 0, XCR0_X87 | 1UL << 62);
	expect_gp(vcpu, 1, XCR0_X87);
	EXPECT_EQ(get(vcpu), XCR0_X87);
}

TEST(undefined_without_osxsave)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);

	start(vcpu, access_set, 0, XCR0_X87);
	EXPECT_TRAP(vcpu, UD_VECTOR, 0, GUEST_ADDR(access, access_set));
}

TEST(each_vcpu_has_its_own)
{
	struct vcpu *one = GUEST_NEW_TRAPS(access), *two = GUEST_NEW_TRAPS(access);

	offered(one);
	run(one, access_enable, 0);
	run(two, access_enable, 0);
	run(one, access_set, XCR0_X87 | XCR0_SSE);
	EXPECT_EQ(get(two), XCR0_X87);
	EXPECT_EQ(get(one), XCR0_X87 | XCR0_SSE);
}
