// SPDX-License-Identifier: GPL-2.0
/* VMs of x86 whose lives are measured: without interrupt controllers in the kernel, with them, with a timer, too. */
#include "lib/bench_life.h"
#include "lib/guest.h"

GUEST64(halt, "hlt\n");
GUEST64(report, REPORT);

static int create_irqchip(struct vm *vm)
{
	vm_create_chips(vm, CHIPS);
	return NO_FILE;
}

static int create_chips(struct vm *vm)
{
	vm_create_chips(vm, CHIPS_PIT);
	return NO_FILE;
}

static void init_vcpu(struct vcpu *vcpu)
{
	static struct kvm_cpuid2 *cpuid;

	if (!cpuid)
		cpuid = cpuid_supported(vcpu->vm->kvm);
	vcpu_set_cpuid(vcpu, cpuid);
}

static const struct kind bare = {
	.init_vcpu = init_vcpu,
	.code = halt, .end = halt_end, .exit_reason = KVM_EXIT_HLT,
	.steps = {
		[STEP_OPEN] = "open", [STEP_CREATE_VM] = "create_vm", [STEP_SET_REGION] = "set_region",
		[STEP_CREATE_VCPU] = "create_vcpu", [STEP_INIT_VCPU] = "set_cpuid2",
		[STEP_FIRST_RUN] = "first_run_to_hlt", [STEP_DESTROY] = "destroy_wall",
	},
	.wall = "cycle_wall", .cpu = "cycle_cpu",
};

static const struct kind with_irqchip = {
	.create_chips = create_irqchip, .init_vcpu = init_vcpu,
	.code = report, .end = report_end, .exit_reason = KVM_EXIT_IO,
	.steps = { [STEP_CHIPS] = "create_irqchip" },
	.wall = "cycle_wall_irqchip", .cpu = "cycle_cpu_irqchip",
};

static const struct kind with_chips = {
	.create_chips = create_chips, .init_vcpu = init_vcpu,
	.code = report, .end = report_end, .exit_reason = KVM_EXIT_IO,
	.steps = { [STEP_CHIPS] = "create_chips_pit", [STEP_CREATE_VCPU] = "create_vcpu_chips",
		   [STEP_FIRST_RUN] = "first_run_chips", [STEP_DESTROY] = "destroy_wall_chips" },
	.wall = "cycle_wall_chips", .cpu = "cycle_cpu_chips",
};

void life_tables(struct vm *vm)
{
	vm_tables(vm, MODE_LONG);
}

struct vcpu *life_create_vcpu(struct vm *vm)
{
	return vcpu_create(vm, 0);
}

void life_start_vcpu(struct vcpu *vcpu)
{
	vcpu_start(vcpu, MODE_LONG, GUEST_CODE);
}

TEST_LIMIT(lifecycle, ROW_LIMIT)
{
	lives(&bare);
}

TEST_LIMIT(lifecycle_irqchip, ROW_LIMIT)
{
	lives(&with_irqchip);
}

TEST_LIMIT(lifecycle_chips, ROW_LIMIT)
{
	lives(&with_chips);
}

TEST_LIMIT(memory, ROW_LIMIT)
{
	memory_row("memory_kb", &with_irqchip);
}
