// SPDX-License-Identifier: GPL-2.0
/* arm64 guests: what makes a created vCPU runnable, its registers, its device. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arm64.h"

void vcpu_setup(struct vcpu *vcpu)
{
	struct kvm_vcpu_init init;

	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_ARM_PREFERRED_TARGET, &init));
	ASSERT_OK(ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init));
}

int reg_get(struct vcpu *vcpu, uint64_t id, void *value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)value };

	return ioctl(vcpu->fd, KVM_GET_ONE_REG, &reg);
}

int reg_set(struct vcpu *vcpu, uint64_t id, const void *value)
{
	struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t)value };

	return ioctl(vcpu->fd, KVM_SET_ONE_REG, &reg);
}

uint64_t vcpu_reg(struct vcpu *vcpu, uint64_t id)
{
	uint64_t value = 0;

	ASSERT_OK(reg_get(vcpu, id, &value));
	return value;
}

void vcpu_set_reg(struct vcpu *vcpu, uint64_t id, uint64_t value)
{
	ASSERT_OK(reg_set(vcpu, id, &value));
}

void vcpu_settle(struct vcpu *vcpu)
{
	vcpu->run->immediate_exit = 1;
	ASSERT_TRUE(vcpu_run(vcpu) == -1 && errno == EINTR);
	vcpu->run->immediate_exit = 0;
}

void vcpu_start(struct vcpu *vcpu, uint64_t pc)
{
	vcpu_set_reg(vcpu, REG_PC, pc);
	vcpu_set_reg(vcpu, REG_SP_EL1, GUEST_STACK);
	vcpu_set_reg(vcpu, REG_PSTATE, PSTATE_EL1H | PSTATE_DAIF);
}

/* Blocks of 1 GiB at level 1: valid, accessed, inner shareable, the first memory type. */
void vm_tables(struct vm *vm)
{
	uint64_t table[512];

	for (uint64_t i = 0; i < ARRAY_SIZE(table); i++)
		table[i] = i << 30 | 0x701;
	vm_write(vm, GUEST_TABLE, table, sizeof(table));
}

GUEST64(vectors,
	"mov x26, x0\n"
	"mrs x0, esr_el1\n" REPORT
	"mrs x0, far_el1\n" REPORT
	"mrs x0, elr_el1\n"
	"add x0, x0, #4\n"
	"msr elr_el1, x0\n"
	"mov x0, x26\n"
	"eret\n");

void vm_vectors(struct vm *vm)
{
	enum { FROM_EL1 = 0x200 };

	VM_LOAD_AT(vm, GUEST_VECTORS + FROM_EL1, vectors);
}

struct vcpu *guest_new(const uint8_t *code, const uint8_t *end)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	struct vcpu *vcpu = vcpu_new(vm, 0);

	vm_tables(vm);
	vm_write(vm, GUEST_CODE, code, end - code);
	vcpu_start(vcpu, GUEST_CODE);
	return vcpu;
}

void guest_free(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	vcpu_free(vcpu);
	vm_free(vm);
}

static bool test_mmio(const char *file, int line, struct vcpu *vcpu, uint64_t gpa, uint32_t len,
		      bool is_write)
{
	const struct kvm_run *run = vcpu->run;

	if (!test_exit(file, line, vcpu, KVM_EXIT_MMIO))
		return false;
	if (run->mmio.phys_addr == gpa && run->mmio.len == len && run->mmio.is_write == is_write)
		return true;
	test_fail(file, line, "MMIO: expected %s of %u bytes at 0x%lx, got %s of %u at 0x%llx",
		  is_write ? "write" : "read", len, gpa, run->mmio.is_write ? "write" : "read",
		  run->mmio.len, run->mmio.phys_addr);
	return false;
}

bool test_store(const char *file, int line, struct vcpu *vcpu, uint64_t gpa, uint32_t len,
		uint64_t value)
{
	uint64_t got = 0;

	if (!test_mmio(file, line, vcpu, gpa, len, true))
		return false;
	memcpy(&got, vcpu->run->mmio.data, len);
	if (got == value)
		return true;
	test_fail(file, line, "MMIO write at 0x%lx: expected 0x%lx, got 0x%lx", gpa, value, got);
	return false;
}

bool test_load(const char *file, int line, struct vcpu *vcpu, uint64_t gpa, uint32_t len)
{
	return test_mmio(file, line, vcpu, gpa, len, false);
}

GUEST64(smoke, "mov x0, #42\n" REPORT DONE);

void guest_smoke(void)
{
	struct vcpu *vcpu = GUEST_NEW(smoke);

	ASSERT_REPORT(vcpu, 42);
	ASSERT_DONE(vcpu);
	guest_free(vcpu);
}
