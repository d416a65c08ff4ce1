// SPDX-License-Identifier: GPL-2.0
/* KVM_SET_GUEST_DEBUG: a debugger's breakpoints and steps, without the guest's help. */
#include "lib/apic.h"

#define DR6_FIXED 0xffff0ff0UL
#define DR6_STEP 0x4000UL
#define DR7_FIXED 0x400UL
#define DR7_LOCAL(i) (1UL << (2 * (i)))
#define DR7_GLOBAL(i) (2UL << (2 * (i)))
#define DR7_WRITE_4(i) (0xdUL << (16 + 4 * (i)))	/* data writes, 4 bytes */

enum { SW = KVM_GUESTDBG_USE_SW_BP, HW = KVM_GUESTDBG_USE_HW_BP, STEP = KVM_GUESTDBG_SINGLESTEP };

static int set_debug(struct vcpu *vcpu, uint32_t control, const uint64_t *debugreg)
{
	struct kvm_guest_debug debug = { .control = control };

	if (debugreg)
		memcpy(debug.arch.debugreg, debugreg, sizeof(debug.arch.debugreg));
	return ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug);
}

static bool test_debug(const char *file, int line, struct vcpu *vcpu, uint32_t exception,
		       uint64_t pc)
{
	const struct kvm_debug_exit_arch *arch = &vcpu->run->debug.arch;

	if (!test_ok(file, line, "KVM_RUN", vcpu_run(vcpu), errno) ||
	    !test_exit(file, line, vcpu, KVM_EXIT_DEBUG))
		return false;
	return test_eq(file, line, "exception", arch->exception, exception) &
	       test_eq(file, line, "address", arch->pc, pc);
}
#define ASSERT_DEBUG(vcpu, exception, pc)					\
	do {									\
		if (!test_debug(__FILE__, __LINE__, (vcpu), (exception), (pc)))	\
			test_abort();						\
	} while (0)

GUEST64(breaks, "nop\nbreaks_at: int3\nnop\nhlt\n");
LABEL(breaks_at);

TEST(software_breakpoint)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(breaks);
	struct kvm_regs regs;

	ASSERT_OK(set_debug(vcpu, KVM_GUESTDBG_ENABLE | SW, NULL));
	ASSERT_DEBUG(vcpu, BP_VECTOR, GUEST_ADDR(breaks, breaks_at));
	/* The instruction was not executed; the debugger goes behind it. */
	regs = vcpu_regs(vcpu);
	EXPECT_EQ(regs.rip, GUEST_ADDR(breaks, breaks_at));
	regs.rip++;
	vcpu_set_regs(vcpu, &regs);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

/* Without it a breakpoint is the guest's own. */
TEST(the_guests_own_breakpoint)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(breaks);

	ASSERT_OK(set_debug(vcpu, KVM_GUESTDBG_ENABLE, NULL));
	ASSERT_TRAP(vcpu, BP_VECTOR, 0, GUEST_ADDR(breaks, breaks_at) + 1);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

GUEST64(plain,
	"mov $0x10000, %rbx\n"
	"plain_1: mov $1, %eax\n"
	"plain_2: mov %eax, (%rbx)\n"
	"plain_3: mov %eax, 4(%rbx)\n"
	"plain_4: nop\n"
	"hlt\n");
LABEL(plain_1);
LABEL(plain_2);
LABEL(plain_3);
LABEL(plain_4);

/* Execution, by one of four registers; the fault comes before the instruction. */
TEST(hardware_breakpoints)
{
	for (int i = 0; i < 4; i++) {
		struct vcpu *vcpu = GUEST_NEW_TRAPS(plain);
		uint64_t debugreg[8] = { 0 };

		debugreg[i] = GUEST_ADDR(plain, plain_2);
		debugreg[7] = DR7_FIXED | DR7_GLOBAL(i);
		ASSERT_OK(set_debug(vcpu, KVM_GUESTDBG_ENABLE | HW, debugreg));
		ASSERT_DEBUG(vcpu, DB_VECTOR, GUEST_ADDR(plain, plain_2));
		EXPECT_EQ(vcpu->run->debug.arch.dr6, DR6_FIXED | 1UL << i);
		EXPECT_EQ(vcpu_regs(vcpu).rip, GUEST_ADDR(plain, plain_2));
		ASSERT_OK(set_debug(vcpu, 0, NULL));
		EXPECT_RUN(vcpu, KVM_EXIT_HLT);
		guest_free(vcpu);
	}
}

/* Data; the trap comes behind the instruction. */
TEST(watchpoint)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(plain);
	uint64_t debugreg[8] = { [1] = GUEST_DATA + 4 };

	debugreg[7] = DR7_FIXED | DR7_LOCAL(1) | DR7_WRITE_4(1);
	ASSERT_OK(set_debug(vcpu, KVM_GUESTDBG_ENABLE | HW, debugreg));
	ASSERT_DEBUG(vcpu, DB_VECTOR, GUEST_ADDR(plain, plain_4));
	EXPECT_EQ(vcpu->run->debug.arch.dr6, DR6_FIXED | 2);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

TEST(single_steps)
{
	const uint8_t *const stops[] = { plain_1, plain_2, plain_3, plain_4 };
	struct vcpu *vcpu = GUEST_NEW_TRAPS(plain);

	ASSERT_OK(set_debug(vcpu, KVM_GUESTDBG_ENABLE | STEP, NULL));
	for (unsigned int i = 0; i < ARRAY_SIZE(stops); i++) {
		ASSERT_DEBUG(vcpu, DB_VECTOR, GUEST_ADDR(plain, stops[i]));
		EXPECT_EQ(vcpu->run->debug.arch.dr6, DR6_FIXED | DR6_STEP);
		/* The trap flag that does it is not the guest's. */
		EXPECT_EQ(vcpu_regs(vcpu).rflags & RFLAGS_TF, 0);
	}
	ASSERT_OK(set_debug(vcpu, 0, NULL));
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

GUEST64(exits,
	"mov $7, %eax\n"
	"exits_1: " REPORT
	"exits_2: mov $0x40000000, %rbx\n"
	"exits_3: mov (%rbx), %eax\n"
	"exits_4: cpuid\n"
	"exits_5: hlt\n");
LABEL(exits_1);
LABEL(exits_2);
LABEL(exits_3);
LABEL(exits_4);
LABEL(exits_5);

/* A debugger says for each step that it wants one; C KVM may not go on by itself after an exit. */
static void arm_step(struct vcpu *vcpu)
{
	ASSERT_OK(set_debug(vcpu, KVM_GUESTDBG_ENABLE | STEP, NULL));
}

/* Steps go over instructions that the KVM or the VMM carries out. */
TEST(steps_over_exits)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(exits);

	arm_step(vcpu);
	ASSERT_DEBUG(vcpu, DB_VECTOR, GUEST_ADDR(exits, exits_1));
	arm_step(vcpu);
	ASSERT_REPORT(vcpu, 7);
	ASSERT_DEBUG(vcpu, DB_VECTOR, GUEST_ADDR(exits, exits_2));
	arm_step(vcpu);
	ASSERT_DEBUG(vcpu, DB_VECTOR, GUEST_ADDR(exits, exits_3));
	arm_step(vcpu);
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	memset(vcpu->run->mmio.data, 0, sizeof(vcpu->run->mmio.data));
	ASSERT_DEBUG(vcpu, DB_VECTOR, GUEST_ADDR(exits, exits_4));
	arm_step(vcpu);
	ASSERT_DEBUG(vcpu, DB_VECTOR, GUEST_ADDR(exits, exits_5));
}

/* The guest's debug registers are as it left them. */
TEST(debug_registers_stay)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(plain);
	struct kvm_debugregs mine = { .db = { 0x1000, 0x2000, 0x3000, 0x4000 },
				      .dr6 = DR6_FIXED, .dr7 = DR7_FIXED };
	uint64_t debugreg[8] = { GUEST_ADDR(plain, plain_2) };
	struct kvm_debugregs got;

	debugreg[7] = DR7_FIXED | DR7_GLOBAL(0);
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &mine));
	ASSERT_OK(set_debug(vcpu, KVM_GUESTDBG_ENABLE | HW, debugreg));
	ASSERT_DEBUG(vcpu, DB_VECTOR, GUEST_ADDR(plain, plain_2));
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &got));
	EXPECT_MEM(got.db, mine.db, sizeof(mine.db));
	EXPECT_EQ(got.dr7, mine.dr7);
}

TEST(injected_exceptions)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(plain);

	ASSERT_OK(set_debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_BP, NULL));
	EXPECT_ERRNO(set_debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_BP, NULL), EBUSY);
	ASSERT_TRAP(vcpu, BP_VECTOR, 0, GUEST_CODE);
	ASSERT_OK(set_debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_DB, NULL));
	ASSERT_OK(vcpu_run(vcpu));
	EXPECT_TRUE(test_out(__FILE__, __LINE__, vcpu, TRAP_PORT, 4, DB_VECTOR));
}

/* Without KVM_GUESTDBG_ENABLE the rest of the flags is off. */
TEST(only_if_enabled)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(breaks);

	ASSERT_OK(set_debug(vcpu, SW | STEP, NULL));
	EXPECT_TRAP(vcpu, BP_VECTOR, 0, GUEST_ADDR(breaks, breaks_at) + 1);
}

GUEST64(open, "sti\nopen_1: nop\nopen_2: nop\nopen_3: nop\nopen_irq: mov $9, %eax\n" REPORT);
LABEL(open_1);
LABEL(open_2);
LABEL(open_3);
LABEL(open_irq);

/* With KVM_GUESTDBG_BLOCKIRQ steps are not disturbed by interrupts. */
TEST(steps_without_interrupts)
{
	const uint32_t steps = KVM_GUESTDBG_ENABLE | STEP | KVM_GUESTDBG_BLOCKIRQ;
	struct vm *vm = guest_vm(CHIPS);
	struct vcpu *vcpu = vcpu_new(vm, 0);
	struct kvm_lapic_state lapic = vcpu_lapic(vcpu);

	if (!(kvm_check(vm->kvm, KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_BLOCKIRQ))
		SKIP("the device offers no KVM_GUESTDBG_BLOCKIRQ");
	VM_LOAD(vm, open);
	vcpu_start(vcpu, MODE_LONG, GUEST_CODE);
	vm_set_gate(vm, MODE_LONG, VEC_A, GUEST_ADDR(open, open_irq));
	lapic_set_reg(&lapic, APIC_SVR, SVR_ENABLED | VEC_SPURIOUS);
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic));
	ASSERT_EQ(signal_msi(vm, MSI_TO(0), VEC_A), 1);
	ASSERT_OK(set_debug(vcpu, steps, NULL));
	ASSERT_DEBUG(vcpu, DB_VECTOR, GUEST_ADDR(open, open_1));
	ASSERT_OK(set_debug(vcpu, steps, NULL));
	ASSERT_DEBUG(vcpu, DB_VECTOR, GUEST_ADDR(open, open_2));
	ASSERT_OK(set_debug(vcpu, steps, NULL));
	ASSERT_DEBUG(vcpu, DB_VECTOR, GUEST_ADDR(open, open_3));
	ASSERT_OK(set_debug(vcpu, 0, NULL));
	ASSERT_REPORT(vcpu, 9);
	/* It was the interrupt, not the way through: that is not taken twice. */
	EXPECT_EQ(vcpu_regs(vcpu).rsp, GUEST_STACK - 5 * 8);
}

TEST(is_offered)
{
	const int kvm = kvm_open();

	EXPECT_EQ(kvm_check(kvm, KVM_CAP_SET_GUEST_DEBUG), 1);
	EXPECT_EQ(kvm_check(kvm, KVM_CAP_SET_GUEST_DEBUG2) & (SW | HW | STEP), SW | HW | STEP);
}

TEST(bad_pointer)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, plain);

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, 16), EFAULT);
}
