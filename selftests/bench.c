// SPDX-License-Identifier: GPL-2.0
/*
 * What a KVM costs, in TSC ticks; under an emulator whose TSC counts
 * instructions these are host instructions. Here: exits, page faults and
 * ioctls of a vCPU. The rows of interrupt controllers are in bench_chips.c,
 * those of a VM's life in bench_life.c; all are one program.
 */
#include "lib/bench.h"

enum {
	HUGE_SAMPLES = 32,	/* of 2M pages */
	FAULT_GPA = 0x50000000,
	HUGE_SIZE = 2 << 20,
};

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

static uint64_t loop_cost(const uint8_t *code, const uint8_t *end, uint64_t address)
{
	struct vcpu *vcpu = guest_new(MODE_LONG, code, end);

	run_loop(vcpu, address, 0, SAMPLES);	/* the first touches of everything */
	uint64_t cost = run_loop(vcpu, address, 0, SAMPLES);

	guest_free(vcpu);
	return cost;
}

#define LOOP_COST(name) loop_cost(name, name##_end, MMIO_GPA)

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
