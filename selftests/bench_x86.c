// SPDX-License-Identifier: GPL-2.0
/* Bench rows of x86: exits, and ioctls of a vCPU. */
#include "lib/bench.h"

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
GUEST64(halt, "hlt\n");
GUEST64(interrupted, "1: sti\nhlt\njmp 1b\n"
		     "interrupted_handler:\n" REPORT "iretq\n");
extern const uint8_t interrupted_handler[];

#define LOOP_COST(name) loop_cost_of(GUEST_NEW(MODE_LONG, name), MMIO_GPA, SAMPLES)

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
		uint64_t begin = ticks();
		ASSERT_OK(ioctl(vcpu->fd, KVM_INTERRUPT, &irq));
		ASSERT_OK(vcpu_run(vcpu));
		samples[i] = ticks() - begin;
		ASSERT_EXIT(vcpu, KVM_EXIT_IO);
	}
	row_median("interrupt_to_handler", samples, SAMPLES);
	guest_free(vcpu);
}
