// SPDX-License-Identifier: GPL-2.0
/* machine: arch=arm64 */
/* A program in AArch32 at EL0: instructions of two bytes and with conditions, at which the guest is left. */
#include "lib/arm64.h"

enum { USER_CODE = 0x14000, DEVICE = 0x0a000000 };

#define ID_AA64PFR0_EL1 ARM64_SYS_REG(3, 0, 0, 4, 0)

/* To User mode, T32, with interrupts masked; R1 is a device. */
GUEST64(to_user,
	SET_VECTORS
	"mov x9, #0x1f0\nmsr spsr_el1, x9\n"
	"mov x9, #0x4000\nmovk x9, #1, lsl #16\nmsr elr_el1, x9\nisb\n"
	"mov x0, #7\n"
	"mov x1, #0x0a000000\n"
	"mov x2, #0\n"
	"eret\n");

/* Its SVC, or what else happens: reports R0 and R2 and the syndrome. */
GUEST64(from_user,
	REPORT
	"mov x0, x2\n" REPORT
	"mrs x0, esr_el1\n" REPORT
	DONE);

enum {
	WFE = 0xbf20,
	STR_R0_R1 = 0x6008,
	LDR_R0_R1 = 0x6808,
	ADD_R0_1 = 0x3001,
	ADD_R2_1 = 0x3201,
	ADD_R2_16 = 0x3210,
	CMP_R0_R0 = 0x4280,
	ITE_EQ = 0xbf0c,
	ITE_NE = 0xbf14,
	SVC = 0xdf00,
};

static struct vcpu *user_new(const uint16_t *code, size_t size)
{
	enum { FROM_AARCH32 = 0x600, AARCH32_TOO = 2 };
	struct vcpu *vcpu = GUEST_NEW(to_user);

	if ((vcpu_reg(vcpu, ID_AA64PFR0_EL1) & 0xf) != AARCH32_TOO)
		SKIP("no AArch32 on this processor");
	VM_LOAD_AT(vcpu->vm, GUEST_VECTORS + FROM_AARCH32, from_user);
	vm_write(vcpu->vm, USER_CODE, code, size);
	return vcpu;
}
#define USER_NEW(code) user_new(code, sizeof(code))

/* SVC of T32: its class, and an instruction of two bytes */
#define EXPECT_SVC(vcpu, r0, r2)						\
	do {									\
		EXPECT_REPORT(vcpu, r0);					\
		EXPECT_REPORT(vcpu, r2);					\
		EXPECT_REPORT(vcpu, 0x11UL << 26);				\
		EXPECT_DONE(vcpu);						\
	} while (0)

TEST(accesses_of_two_bytes)
{
	static const uint16_t code[] = { STR_R0_R1, ADD_R2_1, LDR_R0_R1, ADD_R2_1, ADD_R0_1, SVC };
	struct vcpu *vcpu = USER_NEW(code);

	EXPECT_STORE(vcpu, DEVICE, 4, 7);
	EXPECT_LOAD(vcpu, DEVICE, 4);
	*(uint64_t *)vcpu->run->mmio.data = 0x41;
	EXPECT_SVC(vcpu, 0x42, 2);
}

TEST(waits_of_two_bytes)
{
	static const uint16_t code[] = { WFE, ADD_R2_1, WFE, ADD_R2_1, WFE, ADD_R2_1, SVC };
	struct vcpu *vcpu = USER_NEW(code);

	EXPECT_SVC(vcpu, 7, 3);
}

/* The access is the first of two instructions in an IT block, whose second has the other condition. */
TEST(the_condition_of_the_next_instruction)
{
	static const uint16_t code[] = { CMP_R0_R0, ITE_EQ, STR_R0_R1, ADD_R2_16, ADD_R2_1, SVC };
	struct vcpu *vcpu = USER_NEW(code);

	EXPECT_STORE(vcpu, DEVICE, 4, 7);
	EXPECT_SVC(vcpu, 7, 1);
}

TEST(a_condition_that_does_not_hold)
{
	static const uint16_t code[] = { CMP_R0_R0, ITE_NE, WFE, ADD_R2_16, ADD_R2_1, SVC };
	struct vcpu *vcpu = USER_NEW(code);

	EXPECT_SVC(vcpu, 7, 17);
}
