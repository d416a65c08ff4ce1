// SPDX-License-Identifier: GPL-2.0
/* CR0, CR2, CR3, CR4 and CR8 in the guest: values, reserved bits, what the host sees. */
#include "lib/traps.h"

GUEST64(access,
	"access_read0: mov %cr0, %rax\nhlt\n"
	"access_write0: mov %rax, %cr0\nhlt\n"
	"access_read2: mov %cr2, %rax\nhlt\n"
	"access_write2: mov %rax, %cr2\nhlt\n"
	"access_read3: mov %cr3, %rax\nhlt\n"
	"access_write3: mov %rax, %cr3\nhlt\n"
	"access_read4: mov %cr4, %rax\nhlt\n"
	"access_write4: mov %rax, %cr4\nhlt\n"
	"access_read8: mov %cr8, %rax\nhlt\n"
	"access_write8: mov %rax, %cr8\nhlt\n"
	"access_clts: clts\nhlt\n"
	"access_lmsw: lmsw %ax\nhlt\n"
	"access_smsw: smsw %rax\nhlt\n");
LABEL(access_read0);
LABEL(access_write0);
LABEL(access_read2);
LABEL(access_write2);
LABEL(access_read3);
LABEL(access_write3);
LABEL(access_read4);
LABEL(access_write4);
LABEL(access_read8);
LABEL(access_write8);
LABEL(access_clts);
LABEL(access_lmsw);
LABEL(access_smsw);

static void start(struct vcpu *vcpu, const uint8_t *at, uint64_t rax)
{
	struct kvm_regs regs = {
		.rip = GUEST_ADDR(access, at), .rsp = GUEST_STACK, .rflags = RFLAGS_FIXED,
		.rax = rax,
	};

	vcpu_set_regs(vcpu, &regs);
}

static uint64_t run(struct vcpu *vcpu, const uint8_t *at, uint64_t rax)
{
	start(vcpu, at, rax);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	return vcpu_regs(vcpu).rax;
}

static void expect_gp(struct vcpu *vcpu, const uint8_t *at, uint64_t rax)
{
	start(vcpu, at, rax);
	if (!EXPECT_TRAP(vcpu, GP_VECTOR, 0, GUEST_ADDR(access, at)))
		test_note("value 0x%llx", (unsigned long long)rax);
}

static void expect_write0(struct vcpu *vcpu, uint64_t value)
{
	run(vcpu, access_write0, value);
	EXPECT_EQ(run(vcpu, access_read0, 0), value);
	EXPECT_EQ(vcpu_sregs(vcpu).cr0, value);
}

TEST(cr0)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);
	const uint64_t cr0 = run(vcpu, access_read0, 0);

	EXPECT_EQ(cr0, vcpu_sregs(vcpu).cr0);
	expect_write0(vcpu, cr0 | CR0_TS);
	expect_write0(vcpu, cr0 & ~CR0_TS);
	expect_write0(vcpu, cr0 & ~CR0_WP);
	expect_write0(vcpu, cr0 | CR0_AM);
	/* Real hardware wants NE set in VMX operation; the guest is free. */
	expect_write0(vcpu, cr0 & ~CR0_NE);
	expect_write0(vcpu, cr0 | CR0_CD);
	expect_write0(vcpu, cr0 | CR0_CD | CR0_NW);
	expect_write0(vcpu, cr0);
}

TEST(cr0_invalid)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);
	const uint64_t cr0 = run(vcpu, access_read0, 0);

	expect_gp(vcpu, access_write0, cr0 | 1UL << 32);
	expect_gp(vcpu, access_write0, cr0 & ~CR0_PE);
	expect_gp(vcpu, access_write0, (cr0 | CR0_NW) & ~CR0_CD);
	/* In 64-bit code paging cannot be turned off. */
	expect_gp(vcpu, access_write0, cr0 & ~CR0_PG);
	EXPECT_EQ(run(vcpu, access_read0, 0), cr0);
}

TEST(clts_lmsw_smsw)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);
	const uint64_t cr0 = run(vcpu, access_read0, 0);

	run(vcpu, access_lmsw, CR0_PE | CR0_MP | CR0_TS);
	EXPECT_EQ(run(vcpu, access_read0, 0), cr0 | CR0_TS);
	run(vcpu, access_clts, 0);
	EXPECT_EQ(run(vcpu, access_read0, 0), cr0);
	/* LMSW does not clear PE. */
	run(vcpu, access_lmsw, CR0_MP);
	EXPECT_EQ(run(vcpu, access_read0, 0), cr0);
	EXPECT_EQ(run(vcpu, access_smsw, 0), cr0);
}

TEST(cr2_and_cr3)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);
	const uint64_t copy = GUEST_DATA;

	run(vcpu, access_write2, 0xffff800012345678);
	EXPECT_EQ(vcpu_sregs(vcpu).cr2, 0xffff800012345678);
	EXPECT_EQ(run(vcpu, access_read2, 0), 0xffff800012345678);

	vm_write(vcpu->vm, copy, vcpu->vm->ram + GUEST_PML4, PAGE_SIZE);
	run(vcpu, access_write3, copy);
	EXPECT_EQ(run(vcpu, access_read3, 0), copy);
	EXPECT_EQ(vcpu_sregs(vcpu).cr3, copy);
	expect_gp(vcpu, access_write3, 1UL << 62 | copy);
}

/* The host's CR2 value reaches the guest with KVM_SET_SREGS. */
TEST(cr2_from_the_host)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	sregs.cr2 = 0x123456789;
	vcpu_set_sregs(vcpu, &sregs);
	EXPECT_EQ(run(vcpu, access_read2, 0), 0x123456789);
}

TEST(cr4)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);
	const uint64_t cr4 = run(vcpu, access_read4, 0);

	EXPECT_EQ(cr4, vcpu_sregs(vcpu).cr4);
	run(vcpu, access_write4, cr4 | CR4_PGE);
	EXPECT_EQ(run(vcpu, access_read4, 0), cr4 | CR4_PGE);
	EXPECT_EQ(vcpu_sregs(vcpu).cr4, cr4 | CR4_PGE);
	run(vcpu, access_write4, cr4);
	EXPECT_EQ(run(vcpu, access_read4, 0), cr4);
}

TEST(cr4_invalid)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);
	const uint64_t cr4 = run(vcpu, access_read4, 0);

	expect_gp(vcpu, access_write4, cr4 | 1UL << 15);
	expect_gp(vcpu, access_write4, cr4 | 1UL << 63);
	expect_gp(vcpu, access_write4, cr4 & ~CR4_PAE);
	EXPECT_EQ(run(vcpu, access_read4, 0), cr4);
}

/* Without an in-kernel interrupt controller the VMM hears of a lower task priority. */
TEST(cr8)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(access);

	run(vcpu, access_write8, 9);
	EXPECT_EQ(vcpu->run->cr8, 9);
	EXPECT_EQ(vcpu_sregs(vcpu).cr8, 9);
	EXPECT_EQ(run(vcpu, access_read8, 0), 9);
	start(vcpu, access_write8, 4);
	ASSERT_RUN(vcpu, KVM_EXIT_SET_TPR);
	EXPECT_EQ(vcpu->run->cr8, 4);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	expect_gp(vcpu, access_write8, 16);
	/* The VMM sets it by kvm_run. */
	vcpu->run->cr8 = 7;
	EXPECT_EQ(run(vcpu, access_read8, 0), 7);
}
