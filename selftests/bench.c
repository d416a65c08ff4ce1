// SPDX-License-Identifier: GPL-2.0
/*
 * What a KVM costs, in TSC ticks; under an emulator whose TSC counts
 * instructions these are host instructions. Each row is the median of its
 * samples, printed as "# bench NAME TICKS". Rows of exits are taken inside the
 * guest between two RDTSC, less an empty pair; rows of ioctls around the call.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "lib/x86.h"

#define ROW_LIMIT 300

enum {
	SAMPLES = 1000,		/* of short operations */
	LIFE_SAMPLES = 48,	/* of VMs made and destroyed */
	HUGE_SAMPLES = 32,	/* of 2M pages */
	MMIO_GPA = 0x40000000,	/* no memory there */
	FAULT_GPA = 0x50000000,
	HUGE_SIZE = 2 << 20,
	IRQ_VECTOR = 0x40,
};

/* Guest: R8 an address that advances by R9, EBP the count, RDI the samples */
#define MEASURE(op)				\
	"1: rdtsc\n"				\
	"mov %eax, %esi\n"			\
	op					\
	"rdtsc\n"				\
	"sub %esi, %eax\n"			\
	"mov %eax, (%rdi)\n"			\
	"add $4, %rdi\n"			\
	"add %r9, %r8\n"			\
	"dec %ebp\n"				\
	"jnz 1b\n"				\
	REPORT

GUEST64(loop_empty, MEASURE(""));
GUEST64(loop_pio_out, MEASURE("outb %al, $0x80\n"));
GUEST64(loop_pio_in, MEASURE("inb $0x80, %al\n"));
GUEST64(loop_hlt, MEASURE("hlt\n"));
GUEST64(loop_mmio_write, MEASURE("mov %eax, (%r8)\n"));
GUEST64(loop_mmio_read, MEASURE("mov (%r8), %eax\n"));
GUEST64(loop_cpuid, MEASURE("xor %eax, %eax\ncpuid\n"));
GUEST64(loop_cpuid_empty, MEASURE("xor %eax, %eax\n"));
GUEST64(loop_rdmsr, MEASURE("mov $0x1a0, %ecx\nrdmsr\n"));	/* IA32_MISC_ENABLE */
GUEST64(loop_vmcall, MEASURE("mov $-1, %rax\nvmcall\n"));
GUEST64(loop_touch, MEASURE("movb $1, (%r8)\n"));
GUEST64(halt, "hlt\n");
GUEST64(interrupted, "1: sti\nhlt\njmp 1b\n"
		     "interrupted_handler:\n" REPORT "iretq\n");
extern const uint8_t interrupted_handler[];

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t median(uint64_t *samples, size_t count)
{
	qsort(samples, count, sizeof(*samples), by_value);
	return samples[count / 2];
}

static void row(const char *name, uint64_t ticks)
{
	test_note("bench %s %llu", name, (unsigned long long)ticks);
}

static void row_median(const char *name, uint64_t *samples, size_t count)
{
	row(name, median(samples, count));
}

/* Runs a MEASURE loop from its start and gives the median. */
static uint64_t run_loop(struct vcpu *vcpu, uint64_t address, uint64_t step, uint32_t count)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = RFLAGS_FIXED,
		.r8 = address, .r9 = step, .rbp = count, .rdi = GUEST_DATA,
	};
	uint64_t *samples = calloc(count, sizeof(*samples));
	const uint32_t *taken = (const uint32_t *)(vcpu->vm->ram + GUEST_DATA);

	ASSERT_TRUE(samples != NULL);
	vcpu_set_regs(vcpu, &regs);
	do {
		ASSERT_OK(vcpu_run(vcpu));
	} while (vcpu->run->exit_reason != KVM_EXIT_IO || vcpu->run->io.port != REPORT_PORT);
	for (uint32_t i = 0; i < count; i++)
		samples[i] = taken[i];

	uint64_t result = median(samples, count);

	free(samples);
	return result;
}

static uint64_t loop_cost(const uint8_t *code, const uint8_t *end, uint64_t address)
{
	struct vcpu *vcpu = guest_new(MODE_LONG, code, end);

	run_loop(vcpu, address, 0, SAMPLES);	/* the first touches of everything */
	uint64_t cost = run_loop(vcpu, address, 0, SAMPLES);

	guest_free(vcpu);
	return cost;
}

#define LOOP_COST(name) loop_cost(name, name##_end, MMIO_GPA)

static void exit_row(const char *name, uint64_t with, uint64_t without)
{
	ASSERT_TRUE(with > without);
	row(name, with - without);
}

TEST_LIMIT(exits, ROW_LIMIT)
{
	const uint64_t empty = LOOP_COST(loop_empty);

	exit_row("pio_out_exit", LOOP_COST(loop_pio_out), empty);
	exit_row("pio_in_exit", LOOP_COST(loop_pio_in), empty);
	exit_row("mmio_write_exit", LOOP_COST(loop_mmio_write), empty);
	exit_row("mmio_read_exit", LOOP_COST(loop_mmio_read), empty);
	exit_row("hlt_exit", LOOP_COST(loop_hlt), empty);
	exit_row("cpuid", LOOP_COST(loop_cpuid), LOOP_COST(loop_cpuid_empty));
	exit_row("rdmsr", LOOP_COST(loop_rdmsr), empty);
	exit_row("vmcall", LOOP_COST(loop_vmcall), empty);
}

/* First touch of guest memory whose host pages are there or not yet */
static void fault_row(const char *name, size_t page, uint32_t count, int advice, int present)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, loop_touch);
	const size_t size = page * count;
	uint8_t *mem = aligned_alloc(HUGE_SIZE, size < HUGE_SIZE ? HUGE_SIZE : size);
	uint64_t empty;

	ASSERT_TRUE(mem != NULL);
	ASSERT_OK(madvise(mem, size, advice));
	if (present)
		memset(mem, 1, size);
	ASSERT_OK(vm_set_slot(vcpu->vm, 1, FAULT_GPA, size, mem, 0));
	run_loop(vcpu, GUEST_DATA + PAGE_SIZE, 0, SAMPLES);
	empty = run_loop(vcpu, GUEST_DATA + PAGE_SIZE, 0, SAMPLES);
	exit_row(name, run_loop(vcpu, FAULT_GPA, page, count), empty);
	guest_free(vcpu);
	free(mem);
}

TEST_LIMIT(faults, ROW_LIMIT)
{
	fault_row("ept_fault_present_4k", PAGE_SIZE, SAMPLES, MADV_NOHUGEPAGE, 1);
	fault_row("ept_fault_new_4k", PAGE_SIZE, SAMPLES, MADV_NOHUGEPAGE, 0);
	fault_row("ept_fault_present_2m", HUGE_SIZE, HUGE_SAMPLES, MADV_HUGEPAGE, 1);
}

/* Host side: the median of what statement costs, over count repetitions */
#define TIME_ROW(name, statement) do {						\
	static uint64_t samples_[SAMPLES];					\
	for (size_t i_ = 0; i_ < SAMPLES; i_++) {				\
		uint64_t begin_ = __rdtsc();					\
		statement;							\
		samples_[i_] = __rdtsc() - begin_;				\
	}									\
	row_median(name, samples_, SAMPLES);					\
} while (0)

TEST_LIMIT(registers, ROW_LIMIT)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, halt);
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;

	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	TIME_ROW("get_regs", ASSERT_OK(ioctl(vcpu->fd, KVM_GET_REGS, &regs)));
	TIME_ROW("set_regs", ASSERT_OK(ioctl(vcpu->fd, KVM_SET_REGS, &regs)));
	TIME_ROW("get_sregs", ASSERT_OK(ioctl(vcpu->fd, KVM_GET_SREGS, &sregs)));
	TIME_ROW("set_sregs", ASSERT_OK(ioctl(vcpu->fd, KVM_SET_SREGS, &sregs)));
	TIME_ROW("get_fpu", ASSERT_OK(ioctl(vcpu->fd, KVM_GET_FPU, &fpu)));
	guest_free(vcpu);
}

TEST_LIMIT(interrupt, ROW_LIMIT)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, interrupted);
	struct kvm_interrupt irq = { .irq = IRQ_VECTOR };
	static uint64_t samples[SAMPLES];

	vm_set_gate(vcpu->vm, MODE_LONG, IRQ_VECTOR, GUEST_ADDR(interrupted, interrupted_handler));
	for (size_t i = 0; i < SAMPLES; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		uint64_t begin = __rdtsc();
		ASSERT_OK(ioctl(vcpu->fd, KVM_INTERRUPT, &irq));
		ASSERT_OK(vcpu_run(vcpu));
		samples[i] = __rdtsc() - begin;
		ASSERT_EXIT(vcpu, KVM_EXIT_IO);
	}
	row_median("interrupt_to_handler", samples, SAMPLES);
	guest_free(vcpu);
}

/* Dropping one page that the guest has mapped */
TEST_LIMIT(madvise_dontneed, ROW_LIMIT)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, loop_touch);
	const size_t size = SAMPLES * PAGE_SIZE;
	static uint64_t samples[SAMPLES];
	uint8_t *mem = aligned_alloc(HUGE_SIZE, size);

	ASSERT_TRUE(mem != NULL);
	ASSERT_OK(madvise(mem, size, MADV_NOHUGEPAGE));
	ASSERT_OK(vm_set_slot(vcpu->vm, 1, FAULT_GPA, size, mem, 0));
	run_loop(vcpu, FAULT_GPA, PAGE_SIZE, SAMPLES);
	for (size_t i = 0; i < SAMPLES; i++) {
		uint64_t begin = __rdtsc();
		ASSERT_OK(madvise(mem + i * PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED));
		samples[i] = __rdtsc() - begin;
	}
	row_median("madvise_mapped_4k", samples, SAMPLES);
	guest_free(vcpu);
	free(mem);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	ASSERT_OK(clock_gettime(clock, &t));
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* The steps of a VM's life, each with its own samples */
enum step {
	STEP_OPEN, STEP_CREATE_VM, STEP_SET_REGION, STEP_CREATE_VCPU, STEP_SET_CPUID,
	STEP_FIRST_RUN, STEP_DESTROY, STEPS,
};
static const char *const step_names[STEPS] = {
	"open", "create_vm", "set_region", "create_vcpu", "set_cpuid2", "first_run_to_hlt",
	"destroy_wall",
};

struct life {
	uint64_t ticks[STEPS];
	uint64_t start;
};

static void step_done(struct life *life, enum step step)
{
	const uint64_t now = __rdtsc();

	life->ticks[step] = now - life->start;
	life->start = __rdtsc();
}

/* open, make a VM with memory and a vCPU, run it to HLT, close everything */
static void live(struct life *life, uint8_t *ram, size_t size, const struct kvm_cpuid2 *cpuid)
{
	struct vm vm = { .ram = ram, .ram_size = size };
	struct vcpu *vcpu;

	life->start = __rdtsc();
	vm.kvm = kvm_open();
	step_done(life, STEP_OPEN);
	vm.fd = ASSERT_OK(ioctl(vm.kvm, KVM_CREATE_VM, 0));
	step_done(life, STEP_CREATE_VM);
	ASSERT_OK(vm_set_slot(&vm, 0, 0, size, ram, 0));
	step_done(life, STEP_SET_REGION);
	vcpu = vcpu_create(&vm, 0);
	step_done(life, STEP_CREATE_VCPU);
	vcpu_set_cpuid(vcpu, cpuid);
	step_done(life, STEP_SET_CPUID);
	vcpu_start(vcpu, MODE_LONG, GUEST_CODE);
	ASSERT_OK(vcpu_run(vcpu));
	step_done(life, STEP_FIRST_RUN);
	ASSERT_EXIT(vcpu, KVM_EXIT_HLT);
	vcpu_free(vcpu);
	close(vm.fd);
	close(vm.kvm);
	step_done(life, STEP_DESTROY);
}

TEST_LIMIT(lifecycle, ROW_LIMIT)
{
	static uint64_t steps[STEPS][LIFE_SAMPLES], wall[LIFE_SAMPLES], cpu[LIFE_SAMPLES];
	const uint64_t first_ticks = __rdtsc(), first_ns = now_ns(CLOCK_MONOTONIC);
	struct vm ram = { .ram_size = GUEST_PAGES * PAGE_SIZE };
	int kvm = kvm_open();
	struct kvm_cpuid2 *cpuid = cpuid_supported(kvm);
	struct life life;

	close(kvm);
	ram.ram = mem_new(ram.ram_size);
	vm_tables(&ram, MODE_LONG);
	VM_LOAD(&ram, halt);
	live(&life, ram.ram, ram.ram_size, cpuid);
	for (size_t i = 0; i < LIFE_SAMPLES; i++) {
		const uint64_t cpu_begin = now_ns(CLOCK_THREAD_CPUTIME_ID), begin = __rdtsc();

		live(&life, ram.ram, ram.ram_size, cpuid);
		wall[i] = __rdtsc() - begin;
		cpu[i] = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_begin;
		for (size_t step = 0; step < STEPS; step++)
			steps[step][i] = life.ticks[step];
	}
	for (size_t step = 0; step < STEPS; step++)
		row_median(step_names[step], steps[step], LIFE_SAMPLES);

	const double ticks_per_ns = (double)(__rdtsc() - first_ticks) /
				    (now_ns(CLOCK_MONOTONIC) - first_ns);

	row_median("cycle_wall", wall, LIFE_SAMPLES);
	row("cycle_cpu", median(cpu, LIFE_SAMPLES) * ticks_per_ns);
	free(cpuid);
}
