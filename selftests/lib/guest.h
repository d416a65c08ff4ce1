/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Long-mode guests written in C, in the test's own file:
 *
 *	static volatile int ticks;
 *	HANDLER(on_tick) { ticks++; apic_eoi(); }
 *	static void wait(void) { guest_sti(); while (!ticks) guest_halt(); }
 *
 *	struct vcpu *vcpu = guest_cpu(guest_vm(CHIPS), 0, wait);
 *	guest_gate(vcpu->vm, 0x40, on_tick);
 *	EXPECT_DONE(vcpu);
 *
 * The program itself is the guest's memory, at the addresses it has in the
 * host: so guest functions use the variables of the test, and the host sees
 * them change. They must not call into the C library. GUEST_EQ() and
 * GUEST_TRUE() check in the guest; what they find is told by the host.
 */
#ifndef SELFTESTS_GUEST_H
#define SELFTESTS_GUEST_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "traps.h"

/* Ports by which guest code talks to guest_run(), beside REPORT_PORT and TRAP_PORT */
#define DONE_PORT 0x12
#define CHECK_PORT 0x13

/* What a VM has of interrupt controllers in the kernel */
enum chips {
	NO_CHIPS,
	CHIPS,		/* KVM_CREATE_IRQCHIP */
	CHIPS_PIT,	/* the same, and KVM_CREATE_PIT2 with its speaker port */
	CHIPS_SPLIT,	/* KVM_CAP_SPLIT_IRQCHIP, with SPLIT_PINS pins */
};
#define SPLIT_PINS 24

/* Vectors that tests use; the first is of priority class 4, the next of 5 ... */
enum { VEC_A = 0x41, VEC_B = 0x52, VEC_C = 0x63, VEC_D = 0x74, VEC_SPURIOUS = 0xff };

struct guest_frame {
	uint64_t ip, cs, flags, sp, ss;
};

/*
 * An entry from the IDT into a C function: all that the function may change is
 * saved. The processor aligns the stack; error codes must be popped before.
 */
#define HANDLER_ENTRY(name, prologue)						\
	__asm__(".pushsection .text\n"						\
		#name ":\n"							\
		prologue							\
		"push %rax\npush %rcx\npush %rdx\npush %rsi\npush %rdi\n"	\
		"push %r8\npush %r9\npush %r10\npush %r11\n"			\
		"lea 72(%rsp), %rdi\n"						\
		"sub $512, %rsp\n"						\
		"fxsave64 (%rsp)\n"						\
		"cld\n"								\
		"call " #name "_body\n"						\
		"fxrstor64 (%rsp)\n"						\
		"add $512, %rsp\n"						\
		"pop %r11\npop %r10\npop %r9\npop %r8\n"				\
		"pop %rdi\npop %rsi\npop %rdx\npop %rcx\npop %rax\n"		\
		"iretq\n"							\
		".popsection\n");						\
	extern const uint8_t name[]

/* An interrupt handler of guest code: HANDLER(name) { ... } */
#define HANDLER(name)								\
	HANDLER_ENTRY(name, "");						\
	static __attribute__((used)) void					\
	name##_body(struct guest_frame *frame __attribute__((unused)))

/* --- guest side --- */

struct guest_check {
	const char *file;
	int line;
	const char *what;
	uint64_t got, want;
};

static inline void guest_out(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void guest_outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t guest_inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

/* Tells the host a number and goes on when it runs the vCPU again: EXPECT_STEP(). */
static inline void guest_step(uint32_t number)
{
	guest_out(REPORT_PORT, number);
}

static inline void guest_check_eq(const char *file, int line, const char *what, uint64_t got,
				  uint64_t want)
{
	static struct guest_check checks[4];
	static uint32_t next;
	struct guest_check *check;

	if (got == want)
		return;
	check = &checks[__atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % ARRAY_SIZE(checks)];
	*check = (struct guest_check){ file, line, what, got, want };
	guest_out(CHECK_PORT, (uintptr_t)check);
}

#define GUEST_EQ(got, want) \
	guest_check_eq(__FILE__, __LINE__, #got, TEST_U64(got), TEST_U64(want))
#define GUEST_TRUE(cond) guest_check_eq(__FILE__, __LINE__, #cond, !!(cond), 1)

static inline void guest_sti(void)
{
	__asm__ volatile("sti\nnop" : : : "memory");
}

static inline void guest_cli(void)
{
	__asm__ volatile("cli" : : : "memory");
}

/* Interrupts on, and off again: what is pending comes between. */
static inline void guest_window(void)
{
	__asm__ volatile("sti\nnop\nnop\ncli" : : : "memory");
}

/* HLT, interrupts on at least meanwhile and off after it */
static inline void guest_halt(void)
{
	__asm__ volatile("sti\nhlt\ncli" : : : "memory");
}

/* Halts until the condition holds; it is looked at with interrupts off. */
#define guest_wait(cond)							\
	do {									\
		guest_cli();							\
		while (!(cond))							\
			guest_halt();						\
	} while (0)

/* Spins until the condition holds, interrupts on, without an exit. */
#define guest_spin(cond)							\
	do {									\
		guest_sti();							\
		while (!(cond))							\
			__asm__ volatile("pause" : : : "memory");		\
	} while (0)

static inline uint64_t guest_rdmsr(uint32_t index)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index) : "memory");
	return low | (uint64_t)high << 32;
}

static inline void guest_wrmsr(uint32_t index, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(index), "a"((uint32_t)value),
			 "d"((uint32_t)(value >> 32)) : "memory");
}

static inline uint64_t guest_rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence\nrdtsc" : "=a"(low), "=d"(high) : : "memory");
	return low | (uint64_t)high << 32;
}

/*
 * RDMSR and WRMSR that may raise #GP; true if they did. The handler goes on
 * behind the instruction, 2 bytes, and sets the carry flag.
 */
static inline bool guest_rdmsr_faults(uint32_t index)
{
	bool faulted;
	uint32_t low, high;

	__asm__ volatile("clc\nrdmsr\nsetc %0"
			 : "=r"(faulted), "=a"(low), "=d"(high) : "c"(index) : "memory", "cc");
	return faulted;
}

static inline bool guest_wrmsr_faults(uint32_t index, uint64_t value)
{
	bool faulted;

	__asm__ volatile("clc\nwrmsr\nsetc %0"
			 : "=r"(faulted)
			 : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory", "cc");
	return faulted;
}

/* --- host side --- */

extern const uint8_t __executable_start[], _end[];

enum { GUEST_CPUS = 8, GUEST_STACK_SIZE = 8192 };

static __attribute__((aligned(4096))) uint8_t guest_stacks[GUEST_CPUS][GUEST_STACK_SIZE];

/* Which vCPU this is: guest code knows it by the stack it runs on. */
static inline int guest_self(void)
{
	uint8_t *at;

	__asm__("mov %%rsp, %0" : "=r"(at));
	return (at - guest_stacks[0]) / GUEST_STACK_SIZE;
}

static void guest_return(void)
{
	for (;;)
		guest_out(DONE_PORT, 0);
}

/* #GP: behind a WRMSR or RDMSR the guest carries on, with the carry flag set. */
HANDLER_ENTRY(guest_on_gp, "add $8, %rsp\n");

static __attribute__((used)) void guest_on_gp_body(struct guest_frame *frame)
{
	const uint8_t *insn = (const uint8_t *)frame->ip;

	GUEST_TRUE(insn[0] == 0x0f && (insn[1] == 0x30 || insn[1] == 0x32));
	frame->ip += 2;
	frame->flags |= 1;
}

static inline void guest_gate_at(struct vm *vm, uint8_t vector, uintptr_t handler)
{
	vm_set_gate(vm, MODE_LONG, vector, handler);
}
#define guest_gate(vm, vector, handler) guest_gate_at((vm), (vector), (uintptr_t)(handler))

static inline int split_irqchip(struct vm *vm, uint64_t pins)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = pins };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static inline void vm_create_chips(struct vm *vm, enum chips chips)
{
	const struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

	if (chips == CHIPS_SPLIT)
		ASSERT_OK(split_irqchip(vm, SPLIT_PINS));
	else if (chips != NO_CHIPS)
		ASSERT_OK(ioctl(vm->fd, KVM_CREATE_IRQCHIP));
	if (chips == CHIPS_PIT)
		ASSERT_OK(ioctl(vm->fd, KVM_CREATE_PIT2, &pit));
}

/* A VM with tables, handlers of exceptions, and the program in its memory as slot 1 */
static inline struct vm *guest_vm(enum chips chips)
{
	const uintptr_t start = (uintptr_t)__executable_start & ~(PAGE_SIZE - 1);
	const uintptr_t end = ((uintptr_t)_end + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
	struct vm *vm = vm_new(GUEST_PAGES);

	vm_create_chips(vm, chips);
	vm_tables(vm, MODE_LONG);
	vm_catch_traps(vm);
	guest_gate(vm, GP_VECTOR, guest_on_gp);
	ASSERT_OK(vm_set_slot(vm, 1, start, end - start, (void *)start, 0));
	return vm;
}

/* Lets the vCPU begin the function, interrupts off. */
static inline void guest_begin(struct vcpu *vcpu, void (*fn)(void))
{
	uint64_t *top = (uint64_t *)(guest_stacks[vcpu->id % GUEST_CPUS] + GUEST_STACK_SIZE) - 1;
	struct kvm_regs regs;

	*top = (uintptr_t)guest_return;
	vcpu_start(vcpu, MODE_LONG, (uintptr_t)fn);
	regs = vcpu_regs(vcpu);
	regs.rsp = (uintptr_t)top;
	vcpu_set_regs(vcpu, &regs);
}

static inline int vcpu_set_mp_state(struct vcpu *vcpu, uint32_t state)
{
	const struct kvm_mp_state mp_state = { .mp_state = state };

	return ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp_state);
}

static inline uint32_t vcpu_mp_state(struct vcpu *vcpu)
{
	struct kvm_mp_state state;

	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_MP_STATE, &state));
	return state.mp_state;
}

/* What the supported CPUID says of these is for the VMM to decide. */
#define CPUID_1_ECX_X2APIC (1U << 21)
#define CPUID_1_ECX_DEADLINE (1U << 24)

/* A vCPU with x2APIC and TSC-deadline timer in its CPUID */
static inline struct vcpu *guest_cpu_bare(struct vm *vm, unsigned long id)
{
	struct kvm_cpuid2 *cpuid = cpuid_supported(vm->kvm);
	struct kvm_cpuid_entry2 *features = cpuid_find(cpuid, 1, 0);
	struct vcpu *vcpu = vcpu_create(vm, id);

	ASSERT_TRUE(features != NULL);
	features->ecx |= CPUID_1_ECX_X2APIC | CPUID_1_ECX_DEADLINE;
	vcpu_set_cpuid(vcpu, cpuid);
	free(cpuid);
	return vcpu;
}

/* A vCPU that begins the function, as running, whatever its id */
static inline struct vcpu *guest_cpu(struct vm *vm, unsigned long id, void (*fn)(void))
{
	struct vcpu *vcpu = guest_cpu_bare(vm, id);

	guest_begin(vcpu, fn);
	if (id)
		ASSERT_OK(vcpu_set_mp_state(vcpu, KVM_MP_STATE_RUNNABLE));
	return vcpu;
}

/* KVM_RUN as it is, told of failed checks in the guest and going on after them */
static inline int guest_run(struct vcpu *vcpu)
{
	for (;;) {
		const struct kvm_run *run = vcpu->run;
		const struct guest_check *check;
		uint32_t value;
		int ret = vcpu_run(vcpu);

		if (ret || run->exit_reason != KVM_EXIT_IO || run->io.direction != KVM_EXIT_IO_OUT)
			return ret;
		value = *(uint32_t *)io_data(vcpu);
		if (run->io.port == CHECK_PORT) {
			check = (const struct guest_check *)(uintptr_t)value;
			test_eq(check->file, check->line, check->what, check->got, check->want);
			continue;
		}
		if (run->io.port == TRAP_PORT) {
			const struct trap *trap = (const struct trap *)vcpu_regs(vcpu).rsp;

			test_fail(__FILE__, __LINE__,
				  "vCPU %lu: expected no exception, got %u, error 0x%lx, at 0x%lx",
				  vcpu->id, value, trap->error, trap->rip);
			test_abort();
		}
		return ret;
	}
}

static inline bool guest_run_to(const char *file, int line, struct vcpu *vcpu, uint16_t port,
				uint32_t value)
{
	return test_ok(file, line, "KVM_RUN", guest_run(vcpu), errno) &&
	       test_out(file, line, vcpu, port, 4, value);
}

/* The guest tells this number by guest_step(). */
#define EXPECT_STEP(vcpu, number) \
	guest_run_to(__FILE__, __LINE__, (vcpu), REPORT_PORT, (number))
#define ASSERT_STEP(vcpu, number) \
	do { if (!EXPECT_STEP(vcpu, number)) test_abort(); } while (0)
/* The guest function returns. */
#define EXPECT_DONE(vcpu) guest_run_to(__FILE__, __LINE__, (vcpu), DONE_PORT, 0)
#define ASSERT_DONE(vcpu) \
	do { if (!EXPECT_DONE(vcpu)) test_abort(); } while (0)

static inline void *guest_thread(void *arg)
{
	EXPECT_DONE((struct vcpu *)arg);
	return NULL;
}

/* Runs the vCPU in a thread until its function returns. */
static inline pthread_t guest_start(struct vcpu *vcpu)
{
	pthread_t thread;

	ASSERT_EQ(pthread_create(&thread, NULL, guest_thread, vcpu), 0);
	return thread;
}

static inline void guest_join(pthread_t thread)
{
	ASSERT_EQ(pthread_join(thread, NULL), 0);
}

/* Waits, in the host, for what another thread or the guest does. */
#define host_wait(cond)								\
	do {									\
		while (!(cond))							\
			sched_yield();						\
	} while (0)

/* A signal that does nothing but end KVM_RUN, for host_kick() */
#define KICK_SIGNAL SIGUSR1

static inline void host_on_kick(int signal)
{
	(void)signal;
}

static inline void host_catch_kicks(void)
{
	const struct sigaction action = { .sa_handler = host_on_kick };

	ASSERT_OK(sigaction(KICK_SIGNAL, &action, NULL));
}

/* The scheduler's state of a thread, 'S' when it sleeps; by its thread id */
static inline char host_thread_state(pid_t tid)
{
	char path[64], state = '?';
	FILE *stat;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	stat = fopen(path, "r");
	ASSERT_TRUE(stat != NULL);
	ASSERT_EQ(fscanf(stat, "%*d %*s %c", &state), 1);
	fclose(stat);
	return state;
}

#endif
