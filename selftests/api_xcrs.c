// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_XCRS and KVM_SET_XCRS. */
#include <stdlib.h>

#include "lib/x86.h"

#define XCR0_X87 1
#define XCR0_SSE 2
#define XCR0_AVX 4

/* A vCPU where the host has XSAVE */
static struct vcpu *xsave_guest(const uint8_t *code, const uint8_t *end)
{
	struct vcpu *vcpu = guest_new(MODE_LONG, code, end);
	struct kvm_xcrs xcrs = { 0 };

	if (!kvm_check(vcpu->vm->kvm, KVM_CAP_XCRS)) {
		EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs), EINVAL);
		SKIP("the host has no XSAVE");
	}
	return vcpu;
}

static uint64_t xcr0_of(struct vcpu *vcpu)
{
	struct kvm_xcrs xcrs;

	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_XCRS, &xcrs));
	EXPECT_EQ(xcrs.nr_xcrs, 1);
	EXPECT_EQ(xcrs.flags, 0);
	EXPECT_EQ(xcrs.xcrs[0].xcr, 0);
	return xcrs.xcrs[0].value;
}

static int xcr0_set(struct vcpu *vcpu, uint64_t value)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = value } } };

	return ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs);
}

/* What the guest may have in XCR0 */
static uint64_t offered(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = cpuid_supported(vcpu->vm->kvm);
	const struct kvm_cpuid_entry2 *states = cpuid_find(cpuid, 0xd, 0);
	uint64_t offer = states ? (uint64_t)states->edx << 32 | states->eax : XCR0_X87;

	free(cpuid);
	return offer;
}

/* Reports XCR0, then sets it to x87 and SSE. */
GUEST64(access, "mov %cr4, %rax\n or $0x40000, %eax\n mov %rax, %cr4\n"
		"xor %ecx, %ecx\n xgetbv\n" REPORT
		"mov $3, %eax\n xor %edx, %edx\n xsetbv\n hlt\n");

TEST(start_value)
{
	struct vcpu *vcpu = xsave_guest(access, access_end);

	EXPECT_EQ(xcr0_of(vcpu), XCR0_X87);
}

TEST(guest_sees_and_changes_it)
{
	struct vcpu *vcpu = xsave_guest(access, access_end);
	const uint64_t offer = offered(vcpu);

	ASSERT_OK(xcr0_set(vcpu, offer));
	EXPECT_EQ(xcr0_of(vcpu), offer);
	EXPECT_REPORT(vcpu, (uint32_t)offer);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(xcr0_of(vcpu), XCR0_X87 | XCR0_SSE);
}

TEST(none_and_unknown_ones_change_nothing)
{
	struct vcpu *vcpu = xsave_guest(access, access_end);
	struct kvm_xcrs xcrs = { .nr_xcrs = 0, .xcrs = { { .xcr = 0, .value = 3 } } };

	EXPECT_OK(ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs));
	xcrs.nr_xcrs = KVM_MAX_XCRS;
	for (size_t i = 0; i < KVM_MAX_XCRS; i++)
		xcrs.xcrs[i] = (struct kvm_xcr){ .xcr = i + 1, .value = 3 };
	EXPECT_OK(ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs));
	EXPECT_EQ(xcr0_of(vcpu), XCR0_X87);
	xcrs.xcrs[KVM_MAX_XCRS - 1].xcr = 0;
	EXPECT_OK(ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs));
	EXPECT_EQ(xcr0_of(vcpu), XCR0_X87 | XCR0_SSE);
}

TEST(invalid_headers)
{
	struct vcpu *vcpu = xsave_guest(access, access_end);
	struct kvm_xcrs xcrs = { .nr_xcrs = KVM_MAX_XCRS + 1, .xcrs = { { .xcr = 0, .value = 3 } } };

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs), EINVAL);
	xcrs.nr_xcrs = UINT32_MAX;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs), EINVAL);
	xcrs.nr_xcrs = 1;
	xcrs.flags = 1;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs), EINVAL);
	EXPECT_EQ(xcr0_of(vcpu), XCR0_X87);
}

TEST(invalid_values)
{
	static const uint64_t values[] = {
		0, XCR0_SSE, XCR0_X87 | XCR0_AVX, XCR0_X87 | 1UL << 62, ~0UL,
	};
	struct vcpu *vcpu = xsave_guest(access, access_end);

	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		EXPECT_ERRNO(xcr0_set(vcpu, values[i]), EINVAL);
	EXPECT_EQ(xcr0_of(vcpu), XCR0_X87);
}
