// SPDX-License-Identifier: GPL-2.0
/* RDMSR and WRMSR in the guest, and the same MSRs through the ioctls. */
#include "lib/traps.h"

enum {
	MSR_SYSENTER_CS = 0x174, MSR_SYSENTER_ESP = 0x175, MSR_SYSENTER_EIP = 0x176,
	MSR_PAT = 0x277, MSR_EFER = 0xc0000080, MSR_STAR = 0xc0000081, MSR_LSTAR = 0xc0000082,
	MSR_CSTAR = 0xc0000083, MSR_SFMASK = 0xc0000084, MSR_FS_BASE = 0xc0000100,
	MSR_GS_BASE = 0xc0000101, MSR_KERNEL_GS_BASE = 0xc0000102,
	MSR_SPEC_CTRL = 0x48, MSR_PRED_CMD = 0x49,
};

/* CPUID leaf 7, EDX: IBRS and IBPB; SSBD. And what IA32_SPEC_CTRL has for them. */
#define CPUID_SPEC_CTRL (1u << 26)
#define CPUID_SSBD (1u << 31)
#define SPEC_CTRL_IBRS 1
#define SPEC_CTRL_SSBD 4
#define SPEC_CTRL_RESERVED (1ull << 40)

/* ECX the MSR, RDX:RAX the value */
GUEST64(access, "access_write: wrmsr\nhlt\naccess_read: rdmsr\nhlt\n");
LABEL(access_write);
LABEL(access_read);

static void start_access(struct vcpu *vcpu, const uint8_t *at, uint32_t msr, uint64_t value)
{
	struct kvm_regs regs = {
		.rip = GUEST_ADDR(access, at), .rsp = GUEST_STACK, .rflags = RFLAGS_FIXED,
		.rcx = msr, .rax = (uint32_t)value, .rdx = value >> 32,
	};

	vcpu_set_regs(vcpu, &regs);
}

static void guest_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	start_access(vcpu, access_write, msr, value);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
}

static uint64_t guest_read(struct vcpu *vcpu, uint32_t msr)
{
	struct kvm_regs regs;

	start_access(vcpu, access_read, msr, 0xdddddddddddddddd);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	regs = vcpu_regs(vcpu);
	EXPECT_EQ(regs.rax >> 32, 0);
	EXPECT_EQ(regs.rdx >> 32, 0);
	return regs.rdx << 32 | regs.rax;
}

static void expect_gp(struct vcpu *vcpu, const uint8_t *at, uint32_t msr, uint64_t value)
{
	start_access(vcpu, at, msr, value);
	if (!EXPECT_TRAP(vcpu, GP_VECTOR, 0, GUEST_ADDR(access, at)))
		test_note("MSR 0x%x, value 0x%llx", msr, (unsigned long long)value);
}

static const struct { uint32_t index; uint64_t host, guest; } stored[] = {
	{ MSR_SYSENTER_CS, 0x10, 0x20 },
	{ MSR_SYSENTER_ESP, 0xffff800000001000, 0x7000 },
	{ MSR_SYSENTER_EIP, 0xffff800000002000, 0x8000 },
	{ MSR_PAT, 0x0007040600070406, 0x0007040600010406 },
	{ MSR_STAR, 0x0023001000000000, 0x001b000800000000 },
	{ MSR_LSTAR, 0xffff800000003000, 0x9000 },
	{ MSR_CSTAR, 0xffff800000004000, 0xa000 },
	{ MSR_SFMASK, 0x47700, 0x200 },
	{ MSR_FS_BASE, 0xffff800000005000, 0x12345 },
	{ MSR_GS_BASE, 0xffff800000006000, 0x23456 },
	{ MSR_KERNEL_GS_BASE, 0xffff800000007000, 0x34567 },
};

TEST(set_by_the_host_read_by_the_guest)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);

	for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
		EXPECT_EQ(msr_set(vcpu->fd, stored[i].index, stored[i].host), 1);
		if (!EXPECT_EQ(guest_read(vcpu, stored[i].index), stored[i].host))
			test_note("MSR 0x%x", stored[i].index);
	}
}

TEST(written_by_the_guest_read_by_the_host)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);
	uint64_t value;

	for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
		guest_write(vcpu, stored[i].index, stored[i].guest);
		EXPECT_EQ(guest_read(vcpu, stored[i].index), stored[i].guest);
		EXPECT_EQ(msr_get(vcpu->fd, stored[i].index, &value), 1);
		if (!EXPECT_EQ(value, stored[i].guest))
			test_note("MSR 0x%x", stored[i].index);
	}
}

/* The segment bases in KVM_GET_SREGS are these very MSRs. */
TEST(fs_and_gs_base_are_the_segment_bases)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);
	struct kvm_sregs sregs;

	guest_write(vcpu, MSR_FS_BASE, 0x7f0012345000);
	guest_write(vcpu, MSR_GS_BASE, 0x7f0067890000);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(sregs.fs.base, 0x7f0012345000);
	EXPECT_EQ(sregs.gs.base, 0x7f0067890000);
	sregs.fs.base = 0x1234000;
	vcpu_set_sregs(vcpu, &sregs);
	EXPECT_EQ(guest_read(vcpu, MSR_FS_BASE), 0x1234000);
}

TEST(unknown_msr_is_a_protection_fault)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);

	expect_gp(vcpu, access_read, 0x3fff, 0);
	expect_gp(vcpu, access_write, 0x3fff, 0);
	expect_gp(vcpu, access_read, 0xc0001fff, 0);
	expect_gp(vcpu, access_read, 0x12345678, 0);
	expect_gp(vcpu, access_write, 0xffffffff, 0);
}

TEST(invalid_value_is_a_protection_fault)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);
	const uint64_t not_canonical = 0x8000000000000000, pat_reserved = 2;

	expect_gp(vcpu, access_write, MSR_LSTAR, not_canonical);
	expect_gp(vcpu, access_write, MSR_CSTAR, not_canonical);
	expect_gp(vcpu, access_write, MSR_FS_BASE, not_canonical);
	expect_gp(vcpu, access_write, MSR_KERNEL_GS_BASE, not_canonical);
	expect_gp(vcpu, access_write, MSR_PAT, pat_reserved);
	expect_gp(vcpu, access_write, MSR_EFER, EFER_LME | EFER_LMA | 2);
	/* Long mode cannot be left under paging. */
	expect_gp(vcpu, access_write, MSR_EFER, 0);
}

TEST(efer)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);

	EXPECT_EQ(guest_read(vcpu, MSR_EFER), EFER_LME | EFER_LMA);
	guest_write(vcpu, MSR_EFER, EFER_LME | EFER_LMA | EFER_SCE | EFER_NX);
	EXPECT_EQ(guest_read(vcpu, MSR_EFER), EFER_LME | EFER_LMA | EFER_SCE | EFER_NX);
	EXPECT_EQ(vcpu_sregs(vcpu).efer, EFER_LME | EFER_LMA | EFER_SCE | EFER_NX);
}

/* Two vCPUs do not see each other's. */
TEST(each_vcpu_has_its_own)
{
	struct vcpu *one = GUEST_NEW_TRAPS(access), *two = GUEST_NEW_TRAPS(access);

	for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
		guest_write(one, stored[i].index, stored[i].guest);
		guest_write(two, stored[i].index, stored[i].host);
	}
	for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
		EXPECT_EQ(guest_read(one, stored[i].index), stored[i].guest);
		EXPECT_EQ(guest_read(two, stored[i].index), stored[i].host);
	}
}

enum speculation { SPECULATION, NO_SPECULATION };

/* A vCPU with the CPUID that guests may have, or without its features of speculation; skips where there are none. */
static struct vcpu *speculating(enum speculation which)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);
	struct kvm_cpuid2 *cpuid = cpuid_supported(vcpu->vm->kvm);
	struct kvm_cpuid_entry2 *features = cpuid_find(cpuid, 7, 0);

	if (!features || !(features->edx & CPUID_SPEC_CTRL) || !(features->edx & CPUID_SSBD))
		SKIP("the processor has no IA32_SPEC_CTRL");
	if (which == NO_SPECULATION) {
		features->edx = 0;
		/* AMD's bits for the same, which C KVM offers, too */
		cpuid_find(cpuid, 0x80000008, 0)->ebx = 0;
	}
	vcpu_set_cpuid(vcpu, cpuid);
	return vcpu;
}

TEST(speculation_control)
{
	struct vcpu *vcpu = speculating(SPECULATION);
	uint64_t value;

	EXPECT_EQ(guest_read(vcpu, MSR_SPEC_CTRL), 0);
	guest_write(vcpu, MSR_SPEC_CTRL, SPEC_CTRL_IBRS | SPEC_CTRL_SSBD);
	EXPECT_EQ(guest_read(vcpu, MSR_SPEC_CTRL), SPEC_CTRL_IBRS | SPEC_CTRL_SSBD);
	EXPECT_EQ(msr_get(vcpu->fd, MSR_SPEC_CTRL, &value), 1);
	EXPECT_EQ(value, SPEC_CTRL_IBRS | SPEC_CTRL_SSBD);
	EXPECT_EQ(msr_set(vcpu->fd, MSR_SPEC_CTRL, SPEC_CTRL_SSBD), 1);
	EXPECT_EQ(guest_read(vcpu, MSR_SPEC_CTRL), SPEC_CTRL_SSBD);
	EXPECT_EQ(msr_set(vcpu->fd, MSR_SPEC_CTRL, SPEC_CTRL_RESERVED), 0);
	expect_gp(vcpu, access_write, MSR_SPEC_CTRL, SPEC_CTRL_RESERVED);
	EXPECT_EQ(guest_read(vcpu, MSR_SPEC_CTRL), SPEC_CTRL_SSBD);
}

/* What a guest has there stays its own, also while another runs in turn with it. */
TEST(speculation_control_of_two_vms)
{
	struct vcpu *one = speculating(SPECULATION), *other = speculating(SPECULATION);

	guest_write(one, MSR_SPEC_CTRL, SPEC_CTRL_IBRS);
	guest_write(other, MSR_SPEC_CTRL, SPEC_CTRL_SSBD);
	for (int i = 0; i < 10; i++) {
		EXPECT_EQ(guest_read(one, MSR_SPEC_CTRL), SPEC_CTRL_IBRS);
		EXPECT_EQ(guest_read(other, MSR_SPEC_CTRL), SPEC_CTRL_SSBD);
	}
}

TEST(prediction_barrier)
{
	struct vcpu *vcpu = speculating(SPECULATION);

	guest_write(vcpu, MSR_PRED_CMD, 1);
	guest_write(vcpu, MSR_PRED_CMD, 0);
	expect_gp(vcpu, access_read, MSR_PRED_CMD, 0);
	expect_gp(vcpu, access_write, MSR_PRED_CMD, 1ull << 40);
}

TEST(no_speculation_control_without_cpuid)
{
	struct vcpu *vcpu = speculating(NO_SPECULATION);

	expect_gp(vcpu, access_read, MSR_SPEC_CTRL, 0);
	expect_gp(vcpu, access_write, MSR_SPEC_CTRL, 0);
	expect_gp(vcpu, access_write, MSR_PRED_CMD, 1);
}
