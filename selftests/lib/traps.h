/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Exceptions of a long-mode guest, shown to the host:
 *
 *	vm_catch_traps(vcpu->vm);
 *	EXPECT_TRAP(vcpu, GP_VECTOR, 0, GUEST_ADDR(code, label));
 *	trap_skip(vcpu, 2);		// goes on behind the instruction
 *
 * Every exception vector leads to a handler that reports the vector. Its stack
 * frame then lies at RSP; when the vCPU runs again it returns from it.
 */
#ifndef SELFTESTS_TRAPS_H
#define SELFTESTS_TRAPS_H

#include <asm/kvm.h>

#include "x86.h"

#define TRAP_PORT 0x11
#define TRAP_CODE 0xf000	/* in the room of GUEST_CODE */
#define TRAP_VECTORS 32
#define TRAP_STUB_SIZE 9

#ifndef DB_VECTOR
#define DB_VECTOR 1
#endif

/* Makes a label of guest code known to C, for GUEST_ADDR() */
#define LABEL(name) extern const uint8_t name[]

/* What lies at RSP while the trap is reported */
struct trap {
	uint64_t rax;
	uint64_t vector;
	uint64_t error;		/* 0 for a vector without error code */
	uint64_t rip;
	uint64_t cs;
	uint64_t rflags;
	uint64_t rsp;
	uint64_t ss;
};

/* The mask has the vectors with an error code, SDM volume 3, table 7-1. */
GUEST64(trap_stubs,
	".set trap_vector, 0\n"
	".rept 32\n"
	".if (0x60227d00 >> trap_vector) & 1\n"
	"nop\nnop\n"
	".else\n"
	".byte 0x6a, 0\n"			/* push $0 */
	".endif\n"
	".byte 0x6a, trap_vector\n"		/* push $vector */
	".byte 0xe9\n.long trap_common - . - 4\n"	/* jmp */
	".set trap_vector, trap_vector + 1\n"
	".endr\n"
	"trap_common:\n"
	"push %rax\n"
	"mov 8(%rsp), %eax\n"
	"outl %eax, $0x11\n"
	"pop %rax\n"
	"add $16, %rsp\n"
	"iretq\n");

static inline void vm_catch_traps(struct vm *vm)
{
	VM_LOAD_AT(vm, TRAP_CODE, trap_stubs);
	for (unsigned int vector = 0; vector < TRAP_VECTORS; vector++)
		vm_set_gate(vm, MODE_LONG, vector, TRAP_CODE + vector * TRAP_STUB_SIZE);
}

/* A long-mode guest whose exceptions are shown */
#define GUEST_NEW_TRAPS(name) guest_new_traps(name, name##_end)
static inline struct vcpu *guest_new_traps(const uint8_t *code, const uint8_t *end)
{
	struct vcpu *vcpu = guest_new(MODE_LONG, code, end);

	vm_catch_traps(vcpu->vm);
	return vcpu;
}

/* The frame of the trap that is being reported */
static inline struct trap *trap_frame(struct vcpu *vcpu)
{
	const uint64_t rsp = vcpu_regs(vcpu).rsp;

	ASSERT_TRUE(rsp + sizeof(struct trap) <= vcpu->vm->ram_size);
	return (struct trap *)(vcpu->vm->ram + rsp);
}

/* Lets the handler return that many bytes further. */
static inline void trap_skip(struct vcpu *vcpu, unsigned int bytes)
{
	trap_frame(vcpu)->rip += bytes;
}

static inline bool test_trap(const char *file, int line, struct vcpu *vcpu, uint64_t vector,
			     uint64_t error, uint64_t rip)
{
	if (!test_out(file, line, vcpu, TRAP_PORT, 4, vector))
		return false;

	const struct trap *trap = trap_frame(vcpu);

	return test_eq(file, line, "error code of the exception", trap->error, error) &
	       test_eq(file, line, "RIP of the exception", trap->rip, rip);
}

/* KVM_RUN gives the report of that exception, raised at that address */
#define EXPECT_TRAP(vcpu, vector, error, rip) ({				\
	bool test_trap_ = EXPECT_OK(vcpu_run(vcpu)) != -1 &&			\
		test_trap(__FILE__, __LINE__, (vcpu), (vector), (error), (rip)); \
	test_trap_; })
#define ASSERT_TRAP(vcpu, vector, error, rip) \
	do { if (!EXPECT_TRAP(vcpu, vector, error, rip)) test_abort(); } while (0)

#endif
