// SPDX-License-Identifier: GPL-2.0
/* Bench rows of arm64: exits, and ioctls of a vCPU. */
#include "lib/bench.h"
#include "lib/psci.h"

GUEST64(loop_empty, MEASURE(""));
GUEST64(loop_mmio_write, MEASURE("str w0, [x19]\n"));
GUEST64(loop_mmio_read, MEASURE("ldr w0, [x19]\n"));
/* PSCI_VERSION, and a function that nobody has */
GUEST64(loop_hvc_version, MEASURE("mov x0, #0x84000000\nhvc #0\n"));
GUEST64(loop_hvc_unknown, MEASURE("mov x0, #0x84000000\nmovk x0, #0xff00\nhvc #0\n"));
GUEST64(loop_id_register, MEASURE("mrs x0, id_aa64pfr0_el1\n"));
/* The vector registers come and go with each exit to the VMM. */
GUEST64(loop_float, "mov x0, #0x300000\nmsr cpacr_el1, x0\nisb\n" MEASURE("str w0, [x19]\nfmov d0, x0\n"));

static uint64_t with_psci_cost(const uint8_t *code, const uint8_t *end)
{
	struct vm *vm = vm_new(GUEST_PAGES);

	vm_write(vm, GUEST_CODE, code, end - code);
	return loop_cost_of(vcpu_with(vm, 0, FEATURE(PSCI_0_2)), 0, SAMPLES);
}

#define LOOP_COST(name) loop_cost_of(GUEST_NEW(name), MMIO_GPA, SAMPLES)
#define PSCI_COST(name) with_psci_cost(name, name##_end)

TEST_LIMIT(exits, ROW_LIMIT)
{
	const uint64_t empty = LOOP_COST(loop_empty);

	exit_row("mmio_write_exit", LOOP_COST(loop_mmio_write), empty);
	exit_row("mmio_read_exit", LOOP_COST(loop_mmio_read), empty);
	exit_row("mmio_write_float", LOOP_COST(loop_float), empty);
	exit_row("hvc_version", PSCI_COST(loop_hvc_version), empty);
	exit_row("hvc_unknown", PSCI_COST(loop_hvc_unknown), empty);
	exit_row("id_register", LOOP_COST(loop_id_register), empty);
}

TEST_LIMIT(registers, ROW_LIMIT)
{
	struct vcpu *vcpu = GUEST_NEW(loop_empty);
	const uint64_t core = REG_X(5), system = SYSTEM_REG(3, 0, 2, 0, 0);
	struct kvm_vcpu_init init;
	uint64_t value;

	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_ARM_PREFERRED_TARGET, &init));
	TIME_ROW("get_core_register", reg_get(vcpu, core, &value));
	TIME_ROW("set_core_register", reg_set(vcpu, core, &value));
	TIME_ROW("get_system_register", reg_get(vcpu, system, &value));
	TIME_ROW("set_system_register", reg_set(vcpu, system, &value));
	TIME_ROW("vcpu_init_again", ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init));
	guest_free(vcpu);
}
