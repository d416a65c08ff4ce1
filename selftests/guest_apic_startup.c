// SPDX-License-Identifier: GPL-2.0
/* machine: cpus=2 again=enable_apicv=1 */
/* INIT and start-up IPIs: SDM volume 3, 10.4 "Multiple-Processor (MP) Initialization". */
#define _GNU_SOURCE
#include "lib/apic.h"

enum { TRAMPOLINE = 0x10000, OTHER = 0x11000, PARAMETERS = 0x10ff0, MSR_EFER = 0xc0000080 };
#define SIPI(gpa) (ICR_STARTUP | (gpa) >> 12)

/* From real mode to the 64-bit function, on the stack, that lie at PARAMETERS */
GUEST16(trampoline,
	"cli\n"
	"lgdtl %cs:(trampoline_gdtr - trampoline)\n"
	"lidtl %cs:(trampoline_idtr - trampoline)\n"
	"mov $0x620, %eax\n"		/* PAE, OSFXSR, OSXMMEXCPT */
	"mov %eax, %cr4\n"
	"mov $0x4000, %eax\n"		/* GUEST_PML4 */
	"mov %eax, %cr3\n"
	"mov $0xc0000080, %ecx\n"	/* EFER */
	"rdmsr\n"
	"or $0x100, %eax\n"		/* LME */
	"wrmsr\n"
	"mov $0x80010033, %eax\n"	/* PG, WP, NE, ET, MP, PE */
	"mov %eax, %cr0\n"
	"ljmpl $0x08, $(trampoline_64 - trampoline + 0x10000)\n"
	"trampoline_gdtr: .word 0x37\n.long 0x1000\n"
	"trampoline_idtr: .word 0xfff\n.long 0x2000\n"
	".code64\n"
	"trampoline_64: mov $0x10, %eax\n"
	"mov %eax, %ds\nmov %eax, %es\nmov %eax, %ss\n"
	"mov 0x10ff0, %rsp\n"
	"jmp *0x10ff8\n");

/* Reports in real mode; goes on when told by an interrupt that never comes. */
GUEST16(reporter, "mov $0x5a, %eax\n" REPORT "1: hlt\njmp 1b\n");

static volatile bool started, finish;
static volatile int ticks;

HANDLER(on_interrupt)
{
	ticks++;
	apic_eoi();
}

static void after_startup(void)
{
	GUEST_EQ(guest_rdmsr(MSR_APIC_BASE), APIC_BASE | APIC_BASE_ENABLED);
	apic_enable();
	started = true;
	guest_wait(ticks);
}

static struct vcpu *second_of(struct vm *vm)
{
	struct vcpu *vcpu = guest_cpu_bare(vm, 1);
	uint64_t *top = (uint64_t *)(guest_stacks[1] + GUEST_STACK_SIZE) - 1;
	const uint64_t parameters[] = { (uintptr_t)top, (uintptr_t)after_startup };

	*top = (uintptr_t)guest_return;
	VM_LOAD_AT(vm, TRAMPOLINE, trampoline);
	VM_LOAD_AT(vm, OTHER, reporter);
	vm_write(vm, PARAMETERS, parameters, sizeof(parameters));
	guest_gate(vm, VEC_A, on_interrupt);
	return vcpu;
}

/* KVM_RUN of a vCPU that waits to be started says EAGAIN once it is. */
static void *run_from_startup(void *vcpu)
{
	EXPECT_ERRNO(vcpu_run(vcpu), EAGAIN);
	return guest_thread(vcpu);
}

static void start_second(void)
{
	apic_enable();
	apic_icr(1, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
	apic_icr(1, ICR_INIT | ICR_LEVEL);
	apic_icr(1, SIPI(TRAMPOLINE));
	apic_icr(1, SIPI(TRAMPOLINE));
	guest_spin(started);
	/* One that runs ignores it. */
	apic_icr(1, SIPI(OTHER));
	apic_icr(1, VEC_A);
}

static void start(bool by_msr)
{
	struct vm *vm = guest_vm(CHIPS);
	struct vcpu *first = guest_cpu(vm, 0, start_second), *second = second_of(vm);
	pthread_t thread;

	x2apic = by_msr;
	if (by_msr) {
		/* The second enters x2APIC mode itself; here it must not see it yet. */
		EXPECT_EQ(vcpu_sregs(second).apic_base, APIC_BASE | APIC_BASE_ENABLED);
	}
	ASSERT_EQ(pthread_create(&thread, NULL, run_from_startup, second), 0);
	EXPECT_DONE(first);
	guest_join(thread);
	EXPECT_EQ(ticks, 1);
	EXPECT_EQ(vcpu_mp_state(second), KVM_MP_STATE_RUNNABLE);
}

TEST(init_and_startup_xapic) { start(false); }
TEST(init_and_startup_x2apic) { start(true); }

static void send_init(void)
{
	apic_enable();
	apic_icr(1, ICR_INIT | ICR_ASSERT);
	guest_step(1);
	apic_icr(1, SIPI(OTHER));
}

/* What a start-up leaves in the registers: SDM volume 3, table 11-1 */
TEST(state_after_startup)
{
	struct vm *vm = guest_vm(CHIPS);
	struct vcpu *first = guest_cpu(vm, 0, send_init), *second = second_of(vm);
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	ASSERT_STEP(first, 1);
	EXPECT_EQ(vcpu_mp_state(second), KVM_MP_STATE_INIT_RECEIVED);
	ASSERT_DONE(first);
	EXPECT_EQ(vcpu_mp_state(second), KVM_MP_STATE_RUNNABLE);
	sregs = vcpu_sregs(second);
	regs = vcpu_regs(second);
	EXPECT_EQ(sregs.cs.selector, OTHER >> 4);
	EXPECT_EQ(sregs.cs.base, OTHER);
	EXPECT_EQ(sregs.cr0, CR0_CD | CR0_NW | CR0_ET);
	EXPECT_EQ(sregs.efer, 0);
	EXPECT_EQ(regs.rip, 0);
	EXPECT_EQ(regs.rflags, RFLAGS_FIXED);
	EXPECT_REPORT(second, 0x5a);
}

static void send_startup_first(void)
{
	apic_enable();
	apic_icr(1, SIPI(TRAMPOLINE));
	apic_icr(1, ICR_INIT | ICR_ASSERT);
	apic_icr(1, SIPI(OTHER));
}

TEST(startup_before_init_is_ignored)
{
	struct vm *vm = guest_vm(CHIPS);
	struct vcpu *first = guest_cpu(vm, 0, send_startup_first), *second = second_of(vm);

	ASSERT_DONE(first);
	EXPECT_EQ(vcpu_mp_state(second), KVM_MP_STATE_RUNNABLE);
	EXPECT_EQ(vcpu_sregs(second).cs.base, OTHER);
}

static void be_interrupted(void)
{
	apic_enable();
	apic_write(APIC_TPR, 0x30);
	started = true;
	guest_spin(finish);
}

static void reset_second(void)
{
	apic_enable();
	guest_spin(started);
	apic_icr(1, ICR_INIT | ICR_ASSERT);
	apic_icr(1, SIPI(OTHER));
}

static void *run_to_report(void *vcpu)
{
	EXPECT_REPORT((struct vcpu *)vcpu, 0x5a);
	return NULL;
}

/* INIT takes a running vCPU out of whatever it does and resets it, its APIC too. */
TEST(init_of_a_running_one)
{
	struct vm *vm = guest_vm(CHIPS);
	struct vcpu *first = guest_cpu(vm, 0, reset_second);
	struct vcpu *second = guest_cpu(vm, 1, be_interrupted);
	struct kvm_lapic_state lapic;
	pthread_t thread;

	VM_LOAD_AT(vm, OTHER, reporter);
	ASSERT_EQ(pthread_create(&thread, NULL, run_to_report, second), 0);
	EXPECT_DONE(first);
	guest_join(thread);
	EXPECT_EQ(vcpu_sregs(second).cs.base, OTHER);
	EXPECT_EQ(vcpu_sregs(second).efer, 0);
	lapic = vcpu_lapic(second);
	EXPECT_EQ(lapic_reg(&lapic, APIC_TPR), 0);
	EXPECT_EQ(lapic_reg(&lapic, APIC_SVR), 0xff);
	EXPECT_EQ(lapic_reg(&lapic, APIC_ID), 1 << 24);
}

static void init_everybody_else(void)
{
	apic_enable();
	apic_icr(0, ICR_OTHERS | ICR_INIT | ICR_ASSERT);
	apic_icr(0, ICR_OTHERS | SIPI(OTHER));
}

TEST(broadcast_startup)
{
	struct vm *vm = guest_vm(CHIPS);
	struct vcpu *first = guest_cpu(vm, 0, init_everybody_else);
	struct vcpu *others[] = { guest_cpu_bare(vm, 1), guest_cpu_bare(vm, 2) };

	VM_LOAD_AT(vm, OTHER, reporter);
	ASSERT_DONE(first);
	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++) {
		EXPECT_EQ(vcpu_mp_state(others[i]), KVM_MP_STATE_RUNNABLE);
		EXPECT_EQ(vcpu_sregs(others[i]).cs.base, OTHER);
	}
}

static void halt_for_good(void)
{
	started = true;
	for (;;)
		__asm__ volatile("sti\nhlt" : : : "memory");
}

static void restart_second(void)
{
	apic_enable();
	guest_spin(started);
	/* Time for it to halt */
	for (int i = 0; i < 20000; i++)
		__asm__ volatile("pause" : : : "memory");
	apic_icr(1, ICR_INIT | ICR_ASSERT);
	apic_icr(1, SIPI(OTHER));
}

/* The same for one that halts without an exit. */
TEST(init_of_one_that_halts_by_itself)
{
	const struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_DISABLE_EXITS, .args[0] = KVM_X86_DISABLE_EXITS_HLT,
	};
	struct vm *vm = guest_vm(CHIPS);
	struct vcpu *first, *second;
	pthread_t thread;

	ASSERT_OK(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	first = guest_cpu(vm, 0, restart_second);
	second = guest_cpu(vm, 1, halt_for_good);
	VM_LOAD_AT(vm, OTHER, reporter);
	ASSERT_EQ(pthread_create(&thread, NULL, run_to_report, second), 0);
	EXPECT_DONE(first);
	guest_join(thread);
}

/* The VMM's breakpoints stay. */
TEST(init_of_one_that_is_debugged)
{
	enum { BEHIND_MOV = OTHER + 6 };
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP };
	struct vm *vm = guest_vm(CHIPS);
	struct vcpu *first = guest_cpu(vm, 0, send_startup_first), *second = second_of(vm);

	debug.arch.debugreg[0] = BEHIND_MOV;
	debug.arch.debugreg[7] = 0x402;		/* global enable of DR0 */
	ASSERT_OK(ioctl(second->fd, KVM_SET_GUEST_DEBUG, &debug));
	ASSERT_DONE(first);
	EXPECT_EQ(vcpu_mp_state(second), KVM_MP_STATE_RUNNABLE);
	ASSERT_RUN(second, KVM_EXIT_DEBUG);
	EXPECT_EQ(second->run->debug.arch.pc, BEHIND_MOV);
}
