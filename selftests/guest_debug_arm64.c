// SPDX-License-Identifier: GPL-2.0
/* Debugging arm64 guests: by themselves, and by KVM_SET_GUEST_DEBUG. */
/* machine: arch=arm64 */
#include <string.h>

#include "lib/psci.h"

/* Exception classes in a syndrome */
enum {
	CLASS_BREAKPOINT = 0x30,
	CLASS_STEP = 0x32,
	CLASS_WATCHPOINT = 0x34,
	CLASS_BRK = 0x3c,
};
#define CLASS(syndrome) ((uint64_t)(syndrome) >> 26 & 0x3f)

/* Enabled, at EL1 and EL0, all bytes of a word; watchpoints for loads and stores */
#define BREAKPOINT 0x1e7UL
#define WATCHPOINT (0xffUL << 5 | 3UL << 3 | 3UL << 1 | 1)

#define MDSCR SYSTEM_REG(2, 0, 0, 2, 2)
#define VBAR SYSTEM_REG(3, 0, 12, 0, 0)

static int set_debug(struct vcpu *vcpu, struct kvm_guest_debug *debug)
{
	return ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, debug);
}

static void expect_debug(struct vcpu *vcpu, unsigned int class, uint64_t pc)
{
	ASSERT_RUN(vcpu, KVM_EXIT_DEBUG);
	EXPECT_EQ(CLASS(vcpu->run->debug.arch.hsr), class);
	EXPECT_EQ(vcpu_reg(vcpu, REG_PC), pc);
}

GUEST64(straight,
	"mov x0, #1\n"
	"add x0, x0, #1\n"
	"mrs x1, mpidr_el1\n"
	"mrs x2, id_aa64pfr0_el1\n"
	"add x0, x0, #1\n"
	REPORT DONE);

TEST(flags)
{
	struct vcpu *vcpu = GUEST_NEW(straight);
	struct kvm_guest_debug debug = { .control = 1 << 2 };

	EXPECT_ERRNO(set_debug(vcpu, &debug), EINVAL);
	debug.control = KVM_GUESTDBG_ENABLE | 1u << 31;
	EXPECT_ERRNO(set_debug(vcpu, &debug), EINVAL);
	debug.control = 0;
	EXPECT_OK(set_debug(vcpu, &debug));
	EXPECT_ERRNO(set_debug(vcpu, NULL), EFAULT);
	EXPECT_EQ(kvm_check(vcpu->vm->fd, KVM_CAP_SET_GUEST_DEBUG), 1);
	EXPECT_EQ(kvm_check(vcpu->vm->fd, KVM_CAP_SET_GUEST_DEBUG2), 0x30003);
	EXPECT_EQ(kvm_check(vcpu->vm->fd, KVM_CAP_GUEST_DEBUG_HW_BPS), 6);
	EXPECT_EQ(kvm_check(vcpu->vm->fd, KVM_CAP_GUEST_DEBUG_HW_WPS), 4);
}

/* Instruction by instruction, over those that trap and those that the VMM carries out. */
TEST(steps)
{
	struct vcpu *vcpu = GUEST_NEW(straight);
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };

	ASSERT_OK(set_debug(vcpu, &debug));
	for (int i = 1; i <= 6; i++)
		expect_debug(vcpu, CLASS_STEP, GUEST_CODE + 4 * i);
	EXPECT_REPORT(vcpu, 3);
	EXPECT_EQ(vcpu_reg(vcpu, REG_PC), GUEST_CODE + 24);
	expect_debug(vcpu, CLASS_STEP, GUEST_CODE + 28);
	EXPECT_EQ(vcpu_reg(vcpu, REG_PSTATE) & 1 << 21, 0);
	debug.control = 0;
	ASSERT_OK(set_debug(vcpu, &debug));
	EXPECT_DONE(vcpu);
}

TEST(breakpoints_of_the_vmm)
{
	struct vcpu *vcpu = GUEST_NEW(straight);
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW };

	debug.arch.dbg_bvr[1] = GUEST_CODE + 8;
	debug.arch.dbg_bcr[1] = BREAKPOINT;
	ASSERT_OK(set_debug(vcpu, &debug));
	expect_debug(vcpu, CLASS_BREAKPOINT, GUEST_CODE + 8);
	expect_debug(vcpu, CLASS_BREAKPOINT, GUEST_CODE + 8);
	debug.arch.dbg_bcr[1] = 0;
	ASSERT_OK(set_debug(vcpu, &debug));
	EXPECT_REPORT(vcpu, 3);
	EXPECT_DONE(vcpu);
}

GUEST64(stores,
	"mov x1, #0x10000\n"
	"mov x0, #7\n"
	"str x0, [x1]\n"
	"str x0, [x1, #8]\n"
	REPORT DONE);

TEST(watchpoints_of_the_vmm)
{
	struct vcpu *vcpu = GUEST_NEW(stores);
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW };

	debug.arch.dbg_wvr[0] = 0x10008;
	debug.arch.dbg_wcr[0] = WATCHPOINT;
	ASSERT_OK(set_debug(vcpu, &debug));
	expect_debug(vcpu, CLASS_WATCHPOINT, GUEST_CODE + 12);
	EXPECT_EQ(vcpu->run->debug.arch.far, 0x10008);
	debug.control = 0;
	ASSERT_OK(set_debug(vcpu, &debug));
	EXPECT_REPORT(vcpu, 7);
	EXPECT_DONE(vcpu);
}

GUEST64(brk, "mov x0, #1\n" "brk #5\n" REPORT DONE);

TEST(instructions_of_the_vmm)
{
	struct vcpu *vcpu = GUEST_NEW(brk);
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP };

	ASSERT_OK(set_debug(vcpu, &debug));
	expect_debug(vcpu, CLASS_BRK, GUEST_CODE + 4);
	EXPECT_EQ(vcpu->run->debug.arch.hsr & 0xffff, 5);
	vcpu_set_reg(vcpu, REG_PC, GUEST_CODE + 8);
	EXPECT_REPORT(vcpu, 1);
	EXPECT_DONE(vcpu);
}

/* A synchronous exception of EL1h: what, where, and on after the instruction. */
GUEST64(vectors,
	".org 0x200 + vectors\n"
	"mrs x0, esr_el1\n" REPORT "mrs x0, elr_el1\n" REPORT
	"msr S2_0_C0_C0_5, xzr\n"
	"msr S2_0_C0_C0_7, xzr\n"
	"add x0, x0, x20\n"
	"msr elr_el1, x0\n"
	"eret\n");

static struct vcpu *with_vectors(const uint8_t *code, const uint8_t *end)
{
	struct vcpu *vcpu = guest_new(code, end);

	VM_LOAD_AT(vcpu->vm, GUEST_VECTORS, vectors);
	vcpu_set_reg(vcpu, VBAR, GUEST_VECTORS);
	return vcpu;
}

GUEST64(own_brk, "mov x20, #4\n" "brk #5\n" "mov x0, #9\n" REPORT DONE);

/* Without a VMM that debugs, BRK is the guest's. */
TEST(instructions_of_the_guest)
{
	struct vcpu *vcpu = with_vectors(own_brk, own_brk_end);

	EXPECT_REPORT(vcpu, 0xf2000005);
	EXPECT_REPORT(vcpu, GUEST_CODE + 4);
	EXPECT_REPORT(vcpu, 9);
	EXPECT_DONE(vcpu);
}

/* What an external debugger would have saved: OSDTRTX_EL1 and OSECCR_EL1 are always there, and 0. */
GUEST64(external,
	SET_VECTORS
	"mov x0, #-1\n"
	"msr S2_0_C0_C3_2, x0\n"
	"msr S2_0_C0_C6_2, x0\n"
	"mrs x0, S2_0_C0_C3_2\n" REPORT
	"mrs x0, S2_0_C0_C6_2\n" REPORT
	DONE);

TEST(registers_of_an_external_debugger)
{
	struct vcpu *vcpu;

	if (kvm_is_c())
		SKIP("C KVM has them once the guest has used breakpoints");
	vcpu = GUEST_NEW(external);
	vm_vectors(vcpu->vm);
	EXPECT_REPORT(vcpu, 0);
	EXPECT_REPORT(vcpu, 0);
	EXPECT_DONE(vcpu);
}

/* A watchpoint and then a breakpoint of the guest itself, at EL1: debug exceptions unmasked, KDE and MDE set */
GUEST64(own_points,
	"mov x20, #0\n"
	"msr oslar_el1, xzr\n"
	"mov x1, #0x10000\n"
	"msr S2_0_C0_C0_6, x1\n"
	"mov x0, #0x1fff\n"
	"msr S2_0_C0_C0_7, x0\n"
	"mov x0, #0xa000\n"
	"msr mdscr_el1, x0\n"
	"isb\n"
	"msr daifclr, #8\n"
	"ldr x0, [x1]\n"
	"adr x1, 1f\n"
	"msr S2_0_C0_C0_4, x1\n"
	"mov x0, #0x1e7\n"
	"msr S2_0_C0_C0_5, x0\n"
	"isb\n"
	"nop\n"
	"1: nop\n"
	"mrs x0, S2_0_C0_C0_4\n" REPORT
	"mrs x0, mdscr_el1\n" REPORT
	DONE);

TEST(points_of_the_guest)
{
	struct vcpu *vcpu = with_vectors(own_points, own_points_end);
	uint64_t at = GUEST_CODE + 17 * 4;

	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(CLASS(*(uint64_t *)vcpu->run->mmio.data), CLASS_WATCHPOINT + 1);
	EXPECT_REPORT(vcpu, GUEST_CODE + 10 * 4);
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(CLASS(*(uint64_t *)vcpu->run->mmio.data), CLASS_BREAKPOINT + 1);
	EXPECT_REPORT(vcpu, at);
	EXPECT_REPORT(vcpu, at);
	EXPECT_REPORT(vcpu, 0xa000);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(vcpu_reg(vcpu, MDSCR), 0xa000);
}
