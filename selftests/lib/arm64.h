/* SPDX-License-Identifier: GPL-2.0 */
/*
 * arm64 guests at EL1, first with the MMU off: code, registers, exits to a device that is not there.
 *
 *	GUEST64(code, "mov x0, #42\n" REPORT DONE);
 *
 *	struct vcpu *vcpu = GUEST_NEW(code);
 *	EXPECT_REPORT(vcpu, 42);
 *	EXPECT_DONE(vcpu);
 *
 * The code is copied to GUEST_CODE and must not depend on its address. REPORT and DONE use X27.
 */
#ifndef SELFTESTS_ARM64_H
#define SELFTESTS_ARM64_H

#include "kvm.h"

/* Guest physical memory of a guest with the standard layout */
enum {
	GUEST_TABLE = 0x4000,	/* maps 512 GiB one to one, for MMU_ON */
	GUEST_VECTORS = 0x8000,	/* see vm_vectors() */
	GUEST_STACK = 0xc000,	/* top */
	GUEST_CODE = 0xc000,	/* to 0xffff */
	GUEST_DATA = 0x10000,	/* free for the test, to the end of RAM */
};
#define GUEST_PAGES 32

/* Addresses without memory, and what is stored there: X0 as a number, anything as the end */
#define REPORT_GPA 0x09000000UL
#define DONE_GPA 0x09001000UL
#define REPORT "mov x27, #0x09000000\nstr x0, [x27]\n"
#define DONE "mov x27, #0x09000000\nadd x27, x27, #0x1000\nstr x0, [x27]\n"

/* Turns MMU and caches on: all is ordinary memory then, where atomic accesses work. Uses X9 and X10. */
#define MMU_ON									\
	"mov x9, #0xff\nmsr mair_el1, x9\n"					\
	"mov x9, #0x3519\nmovk x9, #0x80, lsl #16\nmovk x9, #2, lsl #32\n"	\
	"msr tcr_el1, x9\n"							\
	"mov x9, #0x4000\nmsr ttbr0_el1, x9\nisb\n"				\
	"mrs x9, sctlr_el1\nmov x10, #0x1005\norr x9, x9, x10\n"		\
	"msr sctlr_el1, x9\nisb\n"

/* Labels of guest code. Hidden: by way of a GOT the linker would take local ones of a section for one. */
#define GUEST_LABELS extern __attribute__((visibility("hidden"))) const uint8_t

/* Defines name[] and name_end[] */
#define GUEST64(name, text)							\
	__asm__(".pushsection .rodata\n"					\
		".balign 4\n"							\
		#name ":\n"							\
		text "\n"							\
		#name "_end:\n"							\
		".popsection\n");						\
	GUEST_LABELS name[], name##_end[]

/* Register ids */
#define REG_CORE(member, bits) \
	(KVM_REG_ARM64 | KVM_REG_ARM_CORE | KVM_REG_SIZE_U##bits | \
	 (offsetof(struct kvm_regs, member) / sizeof(uint32_t)))
#define REG_X(n) (REG_CORE(regs.regs[0], 64) + 2 * (n))
#define REG_SP_EL0 REG_CORE(regs.sp, 64)
#define REG_PC REG_CORE(regs.pc, 64)
#define REG_PSTATE REG_CORE(regs.pstate, 64)
#define REG_SP_EL1 REG_CORE(sp_el1, 64)
#define REG_ELR_EL1 REG_CORE(elr_el1, 64)
#define REG_SPSR_EL1 REG_CORE(spsr[0], 64)
#define REG_V(n) (REG_CORE(fp_regs.vregs[0], 128) + 4 * (n))
#define REG_FPSR REG_CORE(fp_regs.fpsr, 32)
#define REG_FPCR REG_CORE(fp_regs.fpcr, 32)

#define PSTATE_EL0T 0x0UL
#define PSTATE_EL1H 0x5UL
#define PSTATE_F 0x40UL
#define PSTATE_I 0x80UL
#define PSTATE_A 0x100UL
#define PSTATE_D 0x200UL
#define PSTATE_DAIF 0x3c0UL

uint64_t vcpu_reg(struct vcpu *vcpu, uint64_t id);
void vcpu_set_reg(struct vcpu *vcpu, uint64_t id, uint64_t value);
/* KVM_GET_ONE_REG and KVM_SET_ONE_REG as they are: 0, or -1 and errno */
int reg_get(struct vcpu *vcpu, uint64_t id, void *value);
int reg_set(struct vcpu *vcpu, uint64_t id, const void *value);

/* Has KVM finish the access of the last exit, without running the guest. */
void vcpu_settle(struct vcpu *vcpu);

/* A 1-vCPU VM at the start of that code, GUEST_PAGES of RAM */
struct vcpu *guest_new(const uint8_t *code, const uint8_t *end);
#define GUEST_NEW(name) guest_new(name, name##_end)
/* Frees a vCPU and its VM */
void guest_free(struct vcpu *vcpu);
/* Makes a guest, has it report once and end, frees it */
void guest_smoke(void);

/* Puts the table that MMU_ON needs at GUEST_TABLE, which guest_new() does as well */
void vm_tables(struct vm *vm);

/* Copies the code to a guest physical address, or to GUEST_CODE */
#define VM_LOAD_AT(vm, gpa, name) vm_write((vm), (gpa), name, name##_end - name)
#define VM_LOAD(vm, name) VM_LOAD_AT(vm, GUEST_CODE, name)
/* The guest address of a label (a byte array) inside loaded code */
#define GUEST_ADDR(name, label) (GUEST_CODE + (uint64_t)((label) - (name)))

/*
 * Puts vectors at GUEST_VECTORS that report ESR_EL1 and FAR_EL1 of a synchronous exception from EL1 and go on
 * behind the instruction. SET_VECTORS in the guest code turns to them; they use X26 and X27, and X0 comes back.
 */
void vm_vectors(struct vm *vm);
#define SET_VECTORS "mov x27, #0x8000\nmsr vbar_el1, x27\nisb\n"
/* KVM_RUN twice gives what they report. */
#define EXPECT_EXCEPTION(vcpu, esr, far) ({					\
	bool both_ = EXPECT_REPORT(vcpu, esr);					\
	both_ = both_ && EXPECT_REPORT(vcpu, far);				\
	both_; })

/* Puts the vCPU at pc in EL1, exceptions masked, stack at GUEST_STACK */
void vcpu_start(struct vcpu *vcpu, uint64_t pc);

bool test_store(const char *file, int line, struct vcpu *vcpu, uint64_t gpa, uint32_t len,
		uint64_t value);
bool test_load(const char *file, int line, struct vcpu *vcpu, uint64_t gpa, uint32_t len);

/* KVM_RUN gives one store of that address, size and value */
#define EXPECT_STORE(vcpu, gpa, len, value) ({					\
	bool ran_ = EXPECT_OK(vcpu_run(vcpu)) != -1;				\
	ran_ = ran_ && test_store(__FILE__, __LINE__, (vcpu), (gpa), (len), (value)); \
	ran_; })
/* KVM_RUN gives one load; put the answer into run->mmio.data */
#define EXPECT_LOAD(vcpu, gpa, len) ({						\
	bool ran_ = EXPECT_OK(vcpu_run(vcpu)) != -1;				\
	ran_ = ran_ && test_load(__FILE__, __LINE__, (vcpu), (gpa), (len));	\
	ran_; })
#define EXPECT_REPORT(vcpu, value) EXPECT_STORE(vcpu, REPORT_GPA, 8, value)
#define ASSERT_REPORT(vcpu, value) \
	do { if (!EXPECT_REPORT(vcpu, value)) test_abort(); } while (0)
/* KVM_RUN gives the DONE of the guest */
#define EXPECT_DONE(vcpu) ({							\
	bool ran_ = EXPECT_OK(vcpu_run(vcpu)) != -1;				\
	ran_ = ran_ && test_store(__FILE__, __LINE__, (vcpu), DONE_GPA, 8,	\
				  vcpu_reg((vcpu), REG_X(0)));			\
	ran_; })
#define ASSERT_DONE(vcpu) \
	do { if (!EXPECT_DONE(vcpu)) test_abort(); } while (0)

#endif
