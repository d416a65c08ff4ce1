// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_XSAVE and KVM_SET_XSAVE. Offsets: Intel SDM volume 1, table 10-2 and section 13.4.2. */
#include <cpuid.h>
#include <string.h>

#include "lib/x86.h"

#define FCW_START 0x37f
#define MXCSR_START 0x1f80

#define FCW 0
#define MXCSR 24
#define ST 32
#define XMM 160
#define XMM_END 416
#define XSTATE_BV 512
#define XCOMP_BV 520
#define RESERVED 528

#define FP_SSE 3UL
#define AVX 4UL
#define AVX_INDEX 2
#define AVX_SIZE 256

union image {
	struct kvm_xsave xsave;
	uint8_t bytes[sizeof(struct kvm_xsave)];
};

static union image image_of(struct vcpu *vcpu)
{
	union image image;

	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_XSAVE, &image));
	return image;
}

static int image_set(struct vcpu *vcpu, const union image *image)
{
	return ioctl(vcpu->fd, KVM_SET_XSAVE, image);
}

static void put(union image *image, size_t offset, uint64_t value, size_t size)
{
	memcpy(image->bytes + offset, &value, size);
}

static uint64_t take(const union image *image, size_t offset, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, image->bytes + offset, size);
	return value;
}

/* An image with something in each register, in the components FP and SSE */
static union image filled(void)
{
	union image image = { .bytes = { 0 } };

	put(&image, FCW, 0x27f, 2);
	put(&image, MXCSR, MXCSR_START, 4);
	for (size_t i = 0; i < 8; i++)
		memset(image.bytes + ST + 16 * i, 0x10 + i, 10);
	for (size_t i = 0; i < 16; i++)
		memset(image.bytes + XMM + 16 * i, 0x80 + i, 16);
	put(&image, XSTATE_BV, FP_SSE, 8);
	return image;
}

/* Whether the host has AVX state, and where it lies */
static bool has_avx(unsigned int *offset)
{
	unsigned int eax, ebx, ecx, edx;

	if (!__get_cpuid_count(0xd, 0, &eax, &ebx, &ecx, &edx) || !(eax & AVX))
		return false;
	__cpuid_count(0xd, AVX_INDEX, eax, ebx, ecx, edx);
	*offset = ebx;
	return eax == AVX_SIZE;
}

/* Without XSAVE the image is that of FXSAVE, whose registers are taken as they are. */
static void require_xsave(struct vcpu *vcpu)
{
	if (!kvm_check(vcpu->vm->kvm, KVM_CAP_XCRS))
		SKIP("the host has no XSAVE");
}

TEST(reported)
{
	EXPECT_EQ(kvm_check(kvm_open(), KVM_CAP_XSAVE), 1);
}

TEST(start_state)
{
	struct vcpu *vcpu = vcpu_new(vm_new(1), 0);
	union image image = image_of(vcpu), zero = { .bytes = { 0 } };

	EXPECT_EQ(take(&image, FCW, 2), FCW_START);
	EXPECT_EQ(take(&image, MXCSR, 4), MXCSR_START);
	EXPECT_MEM(image.bytes + ST, zero.bytes, XMM_END - ST);
	EXPECT_EQ(take(&image, XCOMP_BV, 8), 0);
}

TEST(everything_is_kept)
{
	struct vcpu *vcpu = vcpu_new(vm_new(1), 0);
	union image set = filled(), got;

	ASSERT_OK(image_set(vcpu, &set));
	got = image_of(vcpu);
	EXPECT_EQ(take(&got, FCW, 2), 0x27f);
	EXPECT_EQ(take(&got, MXCSR, 4), MXCSR_START);
	EXPECT_MEM(got.bytes + ST, set.bytes + ST, XMM_END - ST);
	EXPECT_EQ(take(&got, XSTATE_BV, 8), FP_SSE);
}

TEST(avx_is_kept)
{
	struct vcpu *vcpu = vcpu_new(vm_new(1), 0);
	union image set = filled(), got;
	unsigned int offset;

	if (!has_avx(&offset))
		SKIP("no AVX");
	memset(set.bytes + offset, 0x5a, AVX_SIZE);
	put(&set, XSTATE_BV, FP_SSE | AVX, 8);
	ASSERT_OK(image_set(vcpu, &set));
	got = image_of(vcpu);
	EXPECT_EQ(take(&got, XSTATE_BV, 8), FP_SSE | AVX);
	EXPECT_MEM(got.bytes + offset, set.bytes + offset, AVX_SIZE);
}

GUEST64(uses_fpu, "movd %xmm3, %eax\n" REPORT "inc %eax\n movd %eax, %xmm3\n"
		  "fnstcw 0x10000\n movzwl 0x10000, %eax\n" REPORT "hlt\n");

TEST(guest_sees_and_changes_it)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, uses_fpu);
	union image image = filled();

	put(&image, XMM + 3 * 16, 41, 4);
	ASSERT_OK(image_set(vcpu, &image));
	EXPECT_REPORT(vcpu, 41);
	EXPECT_REPORT(vcpu, 0x27f);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
	image = image_of(vcpu);
	EXPECT_EQ(take(&image, XMM + 3 * 16, 4), 42);
}

/* No component in XSTATE_BV: all of them get their initial values. */
TEST(all_zero_is_the_initial_state)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, uses_fpu);
	union image image = filled(), zero = { .bytes = { 0 } };

	require_xsave(vcpu);
	ASSERT_OK(image_set(vcpu, &image));
	ASSERT_OK(image_set(vcpu, &zero));
	image = image_of(vcpu);
	EXPECT_EQ(take(&image, FCW, 2), FCW_START);
	EXPECT_MEM(image.bytes + ST, zero.bytes, XMM_END - ST);
	EXPECT_REPORT(vcpu, 0);
	EXPECT_REPORT(vcpu, FCW_START);
}

TEST(what_it_gives_it_takes)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, uses_fpu);
	union image before, after;

	EXPECT_REPORT(vcpu, 0);
	EXPECT_REPORT(vcpu, FCW_START);
	before = image_of(vcpu);
	ASSERT_OK(image_set(vcpu, &before));
	after = image_of(vcpu);
	EXPECT_MEM(&after, &before, sizeof(before));
}

TEST(invalid_images)
{
	static const struct {
		size_t offset, size;
		uint64_t value;
	} wrong[] = {
		{ XSTATE_BV, 8, FP_SSE | 1UL << 62 },
		{ XSTATE_BV, 8, FP_SSE | 1UL << 40 },
		{ XCOMP_BV, 8, 1UL << 63 | FP_SSE },
		{ RESERVED, 8, 1 },
		{ MXCSR, 4, 0xffffffff },
	};
	struct vcpu *vcpu = vcpu_new(vm_new(1), 0);
	union image set = filled(), before, after;

	require_xsave(vcpu);
	ASSERT_OK(image_set(vcpu, &set));
	before = image_of(vcpu);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		set = filled();
		memset(set.bytes + XMM, 0, XMM_END - XMM);
		put(&set, wrong[i].offset, wrong[i].value, wrong[i].size);
		EXPECT_ERRNO(image_set(vcpu, &set), EINVAL);
		after = image_of(vcpu);
		EXPECT_MEM(&after, &before, sizeof(before));
	}
}

/* CPUID may come after the state. */
TEST(components_need_no_cpuid)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0), *bare = vcpu_create(vm_create(), 0);
	struct kvm_cpuid2 *cpuid = cpuid_supported(vcpu->vm->kvm);
	struct kvm_cpuid_entry2 *components = cpuid_find(cpuid, 0xd, 0);
	struct kvm_xsave image;
	uint32_t *xstate_bv = image.region + 512 / sizeof(image.region[0]);

	ASSERT_TRUE(components != NULL);
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_XSAVE, &image));
	*xstate_bv = components->eax;
	EXPECT_OK(ioctl(bare->fd, KVM_SET_XSAVE, &image));
	/* But they have to be there. */
	xstate_bv[1] = 1U << 30;
	EXPECT_ERRNO(ioctl(bare->fd, KVM_SET_XSAVE, &image), EINVAL);
}
