// SPDX-License-Identifier: GPL-2.0
/* What cannot be done for the guest: KVM_EXIT_INTERNAL_ERROR, and the vCPU stays usable. */
#include "lib/traps.h"

enum { MMIO = 0x40000000 };

GUEST64(fetch, "mov $0x40000000, %eax\njmp *%rax\n");
GUEST64(alive, "mov $3, %eax\n" REPORT);

static void expect_internal_error(struct vcpu *vcpu, uint32_t suberror)
{
	ASSERT_RUN(vcpu, KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(vcpu->run->internal.suberror, suberror);
	EXPECT_TRUE(vcpu->run->internal.ndata <= ARRAY_SIZE(vcpu->run->internal.data));
}

static void expect_alive(struct vcpu *vcpu)
{
	VM_LOAD(vcpu->vm, alive);
	vcpu_start(vcpu, MODE_LONG, GUEST_CODE);
	EXPECT_REPORT(vcpu, 3);
}

/* Code where there is no memory */
TEST(instruction_fetch_from_nowhere)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, fetch);

	expect_internal_error(vcpu, KVM_INTERNAL_ERROR_EMULATION);
	EXPECT_EQ(vcpu_regs(vcpu).rip, MMIO);
	expect_alive(vcpu);
}

/* An instruction that no driver uses on device memory */
GUEST64(unhandled, "fninit\nmov $0x40000000, %ebx\nunhandled_at: fldl (%rbx)\n");
LABEL(unhandled_at);

TEST(instruction_that_is_not_emulated)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, unhandled);

	expect_internal_error(vcpu, KVM_INTERNAL_ERROR_EMULATION);
	EXPECT_EQ(vcpu_regs(vcpu).rip, GUEST_ADDR(unhandled, unhandled_at));
	expect_alive(vcpu);
}

/* An exception whose frame would go where there is no memory; it waits for a stack. */
GUEST64(no_stack, "mov $0x40001000, %esp\nno_stack_at: ud2\n");
LABEL(no_stack_at);

TEST(delivery_to_nowhere)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(no_stack);
	struct kvm_regs regs;

	expect_internal_error(vcpu, KVM_INTERNAL_ERROR_DELIVERY_EV);
	regs = vcpu_regs(vcpu);
	regs.rsp = GUEST_STACK;
	vcpu_set_regs(vcpu, &regs);
	EXPECT_TRAP(vcpu, UD_VECTOR, 0, GUEST_ADDR(no_stack, no_stack_at));
}
