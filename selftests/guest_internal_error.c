// SPDX-License-Identifier: GPL-2.0
/* What cannot be done for the guest: KVM_EXIT_INTERNAL_ERROR, and the vCPU stays usable. */
#include "lib/traps.h"

enum { MMIO = 0x40000000 };

/* Exit reasons, SDM volume 3, appendix C */
enum { EXIT_EPT_VIOLATION = 48, EXIT_EPT_MISCONFIG = 49 };

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

/* The words that follow, C KVM's: what the delivery was of, exit reason and qualification, address, CPU */
TEST(delivery_tells_its_event_and_address)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(no_stack);
	const __u64 *data = vcpu->run->internal.data;

	expect_internal_error(vcpu, KVM_INTERNAL_ERROR_DELIVERY_EV);
	EXPECT_EQ(vcpu->run->internal.ndata, 5);
	/* Valid, a hardware exception, #UD; SDM table 26-21 */
	EXPECT_EQ(data[0], 0x80000306);
	EXPECT_TRUE(data[1] == EXIT_EPT_VIOLATION || data[1] == EXIT_EPT_MISCONFIG);
	/* SS is pushed first. */
	EXPECT_EQ(data[3], 0x40000ff8);
	EXPECT_EQ(data[4], 0);
}

static void expect_instruction_bytes(struct vcpu *vcpu, const uint8_t *at, uint8_t size)
{
	const __u64 *data = vcpu->run->internal.data;

	EXPECT_EQ(vcpu->run->emulation_failure.flags,
		  KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
	EXPECT_TRUE(vcpu->run->emulation_failure.insn_size >= size);
	EXPECT_MEM(vcpu->run->emulation_failure.insn_bytes, at, size);
	EXPECT_EQ(vcpu->run->internal.ndata, 8);
	EXPECT_TRUE(data[3] == EXIT_EPT_VIOLATION || data[3] == EXIT_EPT_MISCONFIG);
}

TEST(the_instruction_is_told)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, unhandled);

	expect_internal_error(vcpu, KVM_INTERNAL_ERROR_EMULATION);
	expect_instruction_bytes(vcpu, unhandled_at, 2);
}

TEST(nothing_is_told_of_what_cannot_be_fetched)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, fetch);

	expect_internal_error(vcpu, KVM_INTERNAL_ERROR_EMULATION);
	EXPECT_EQ(vcpu->run->emulation_failure.flags, 0);
	EXPECT_EQ(vcpu->run->internal.ndata, 6);
}

/* The reset vector is nowhere. */
TEST(no_memory_at_all)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);

	expect_internal_error(vcpu, KVM_INTERNAL_ERROR_EMULATION);
	EXPECT_EQ(vcpu_regs(vcpu).rip, 0xfff0);
}

/* The same instruction in ring 3 */
GUEST64(unhandled_user,
	"fninit\npush $0x1b\npush $0x18000\npush $2\npush $0x23\n"
	"lea unhandled_ring3(%rip), %rax\npush %rax\niretq\n"
	"unhandled_ring3: mov $0x40000000, %ebx\nunhandled_user_at: fldl (%rbx)\n");
LABEL(unhandled_user_at);

TEST(user_code_gets_an_exception)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(unhandled_user);

	EXPECT_TRAP(vcpu, UD_VECTOR, 0, GUEST_ADDR(unhandled_user, unhandled_user_at));
}

static int exit_on_failure(struct vm *vm, uint64_t value)
{
	const struct kvm_enable_cap cap = {
		.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args[0] = value,
	};

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

TEST(a_vmm_may_ask_for_failures_of_user_code)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(unhandled_user);

	EXPECT_EQ(kvm_check(vcpu->vm->fd, KVM_CAP_EXIT_ON_EMULATION_FAILURE), 1);
	EXPECT_ERRNO(exit_on_failure(vcpu->vm, 2), EINVAL);
	ASSERT_OK(exit_on_failure(vcpu->vm, 1));
	expect_internal_error(vcpu, KVM_INTERNAL_ERROR_EMULATION);
	expect_instruction_bytes(vcpu, unhandled_user_at, 2);
	EXPECT_EQ(vcpu_sregs(vcpu).cs.dpl, 3);
	/* And for exceptions again */
	ASSERT_OK(exit_on_failure(vcpu->vm, 0));
	EXPECT_TRAP(vcpu, UD_VECTOR, 0, GUEST_ADDR(unhandled_user, unhandled_user_at));
}
