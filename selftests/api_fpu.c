// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_FPU and KVM_SET_FPU. C KVM leaves mxcsr out of both, so nothing is expected of it. */
#include <string.h>

#include "lib/x86.h"

#define FCW_START 0x37f

static struct kvm_fpu fpu_of(struct vcpu *vcpu)
{
	struct kvm_fpu fpu;

	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_FPU, &fpu));
	return fpu;
}

TEST(start_state)
{
	struct vcpu *vcpu = vcpu_new(vm_new(1), 0);
	struct kvm_fpu fpu = fpu_of(vcpu), zero = { 0 };

	EXPECT_EQ(fpu.fcw, FCW_START);
	EXPECT_EQ(fpu.fsw, 0);
	EXPECT_MEM(fpu.fpr, zero.fpr, sizeof(zero.fpr));
	EXPECT_MEM(fpu.xmm, zero.xmm, sizeof(zero.xmm));
}

TEST(everything_is_kept)
{
	struct vcpu *vcpu = vcpu_new(vm_new(1), 0);
	struct kvm_fpu set = { 0 }, got;

	for (size_t i = 0; i < 8; i++)
		memset(set.fpr[i], 0x10 + i, 10);
	for (size_t i = 0; i < 16; i++)
		memset(set.xmm[i], 0x80 + i, 16);
	set.fcw = 0x27f;
	set.fsw = 0x3800;
	set.ftwx = 0xff;
	set.last_opcode = 0x123;
	set.last_ip = 0x1234567;
	set.last_dp = 0x7654321;
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_FPU, &set));
	got = fpu_of(vcpu);
	EXPECT_MEM(got.fpr, set.fpr, sizeof(set.fpr));
	EXPECT_MEM(got.xmm, set.xmm, sizeof(set.xmm));
	EXPECT_EQ(got.fcw, set.fcw);
	EXPECT_EQ(got.fsw, set.fsw);
	EXPECT_EQ(got.ftwx, set.ftwx);
	EXPECT_EQ(got.last_opcode, set.last_opcode);
	EXPECT_EQ(got.last_ip, set.last_ip);
	EXPECT_EQ(got.last_dp, set.last_dp);
}

/*
 * Puts x87 and SSE to use and reports 0; then adds one to the low word of XMM3, reports it, and
 * what FNSTCW says.
 */
GUEST64(uses_fpu, "xor %eax, %eax\n fldz\n movd %eax, %xmm1\n pcmpeqd %xmm2, %xmm2\n" REPORT
		  "movd %xmm3, %eax\n inc %eax\n movd %eax, %xmm3\n" REPORT
		  "fnstcw 0x10000\n movzwl 0x10000, %eax\n" REPORT "hlt\n");

TEST(guest_sees_and_changes_it)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, uses_fpu);
	struct kvm_fpu fpu;
	uint32_t low = 41;

	/* C KVM loses what is set while the state is still the initial one: XSTATE_BV stays 0. */
	EXPECT_REPORT(vcpu, 0);
	fpu = fpu_of(vcpu);
	memcpy(fpu.xmm[3], &low, sizeof(low));
	fpu.fcw = 0x27f;
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_FPU, &fpu));
	EXPECT_REPORT(vcpu, 42);
	EXPECT_REPORT(vcpu, 0x27f);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
	fpu = fpu_of(vcpu);
	memcpy(&low, fpu.xmm[3], sizeof(low));
	EXPECT_EQ(low, 42);
}

GUEST64(reads_fpu, "movd %xmm3, %eax\n" REPORT "hlt\n");

TEST(set_before_the_first_run_counts)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, reads_fpu);
	struct kvm_fpu fpu = fpu_of(vcpu);
	uint32_t low = 41;

	if (kvm_is_c())
		SKIP("C KVM loses it: XSTATE_BV stays 0");
	memcpy(fpu.xmm[3], &low, sizeof(low));
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_FPU, &fpu));
	EXPECT_REPORT(vcpu, 41);
}

/* Bits of MXCSR past its mask would fault the host's XRSTOR. */
TEST(any_mxcsr_is_survived)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, uses_fpu);
	struct kvm_fpu fpu = fpu_of(vcpu);

	fpu.mxcsr = 0xffffffff;
	if (ioctl(vcpu->fd, KVM_SET_FPU, &fpu) < 0)
		EXPECT_EQ(errno, EINVAL);
	EXPECT_RUN(vcpu, KVM_EXIT_IO);
	fpu = fpu_of(vcpu);
	EXPECT_EQ(fpu.mxcsr & 0xffff0000, 0);
}
