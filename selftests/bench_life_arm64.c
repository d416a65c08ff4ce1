// SPDX-License-Identifier: GPL-2.0
/* VMs of arm64 whose lives are measured: without an interrupt controller in the kernel, and with one. */
#include "lib/bench_life.h"
#include "lib/vgic.h"

GUEST64(report, REPORT);

static const struct kind bare = {
	.code = report, .end = report_end, .exit_reason = KVM_EXIT_MMIO,
	.steps = {
		[STEP_OPEN] = "open", [STEP_CREATE_VM] = "create_vm", [STEP_SET_REGION] = "set_region",
		[STEP_CREATE_VCPU] = "create_vcpu", [STEP_FIRST_RUN] = "first_run_to_mmio", [STEP_DESTROY] = "destroy_wall",
	},
	.wall = "cycle_wall", .cpu = "cycle_cpu",
};

static const struct kind with_vgic = {
	.create_chips = vgic_create, .init_chips = vgic_init,
	.code = report, .end = report_end, .exit_reason = KVM_EXIT_MMIO,
	.steps = { [STEP_CHIPS] = "create_vgic", [STEP_CREATE_VCPU] = "create_vcpu_vgic",
		   [STEP_INIT_CHIPS] = "init_vgic", [STEP_FIRST_RUN] = "first_run_vgic",
		   [STEP_DESTROY] = "destroy_wall_vgic" },
	.wall = "cycle_wall_vgic", .cpu = "cycle_cpu_vgic",
};

void life_tables(struct vm *vm)
{
	(void)vm;	/* The guest's MMU is off. */
}

/* With KVM_ARM_VCPU_INIT: what a vCPU consists of, C KVM allocates in that. */
struct vcpu *life_create_vcpu(struct vm *vm)
{
	return vcpu_new(vm, 0);
}

void life_start_vcpu(struct vcpu *vcpu)
{
	vcpu_start(vcpu, GUEST_CODE);
}

TEST_LIMIT(lifecycle, ROW_LIMIT)
{
	lives(&bare);
}

TEST_LIMIT(lifecycle_vgic, ROW_LIMIT)
{
	lives(&with_vgic);
}

TEST_LIMIT(memory, ROW_LIMIT)
{
	memory_row("memory_kb", &with_vgic);
}
