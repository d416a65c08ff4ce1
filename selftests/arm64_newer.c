// SPDX-License-Identifier: GPL-2.0
/* Newer features: those that guests are offered work; registers of others are undefined and keep nothing for others. */
/* machine: arch=arm64 cpu=max */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "lib/psci.h"

__asm__(".arch_extension mops\n.arch_extension wfxt");

GUEST64(none, DONE);

enum {
	ISAR2_WFXT = 0,
	ISAR2_MOPS = 16,
	FROM = GUEST_DATA,
	TO = GUEST_DATA + 0x8000,
	SIZE = 0x1234,
};
#define REG_ISAR2 SYSTEM_REG(3, 0, 0, 6, 2)
#define REG_MMFR3 SYSTEM_REG(3, 0, 0, 7, 3)
#define REG_PFR2 SYSTEM_REG(3, 0, 0, 4, 2)
#define UNDEFINED (1UL << 25)

/* Whether a vCPU has a feature; the number is of the lowest bit of its field. */
static bool has(struct vcpu *vcpu, uint64_t id, int field)
{
	return vcpu_reg(vcpu, id) >> field & 0xf;
}

static void need(uint64_t id, int field)
{
	if (!has(GUEST_NEW(none), id, field))
		SKIP("the processor does not have it");
}

#define READ(register) "mrs x0, " register "\n"
GUEST64(reads_cache_type, "mrs x0, ctr_el0\n" REPORT DONE);

#define REG_CTR SYSTEM_REG(3, 3, 0, 0, 1)

/* The processor's, and one that the VMM has chosen: with smaller lines of data */
TEST(cache_type)
{
	struct vcpu *vcpu = GUEST_NEW(reads_cache_type);
	uint64_t ctr = vcpu_reg(vcpu, REG_CTR);

	EXPECT_REPORT(vcpu, ctr);
	EXPECT_DONE(vcpu);
	vcpu = GUEST_NEW(reads_cache_type);
	ctr -= 1 << 16;
	ASSERT_OK(reg_set(vcpu, REG_CTR, &ctr));
	EXPECT_REPORT(vcpu, ctr);
	EXPECT_DONE(vcpu);
}

GUEST64(code,
	SET_VECTORS
	READ("S3_0_C2_C0_3")	/* TCR2_EL1 */
	READ("S3_0_C1_C0_3")	/* SCTLR2_EL1 */
	READ("S3_0_C10_C2_3")	/* PIR_EL1 */
	READ("S3_0_C10_C2_2")	/* PIRE0_EL1 */
	"mrs x1, cpacr_el1\norr x1, x1, #0x300000\nmsr cpacr_el1, x1\nisb\n"
	READ("S3_3_C4_C4_2")	/* FPMR */
	READ("S3_0_C10_C2_4")	/* POR_EL1 */
	READ("S3_3_C10_C2_4")	/* POR_EL0 */
	READ("S3_3_C13_C0_5")	/* TPIDR2_EL0 */
	READ("S3_0_C13_C0_7")	/* SCXTNUM_EL1 */
	READ("S3_0_C1_C0_6")	/* GCR_EL1 */
	READ("S3_3_C9_C13_0")	/* PMCCNTR_EL0 */
	READ("S3_0_C9_C14_6")	/* PMMIR_EL1 */
	DONE);

/* Registers that are there if a field says so; then those that never are */
static const struct {
	uint64_t id, field_in;
	int field;
} offered[] = {
	{ SYSTEM_REG(3, 0, 2, 0, 3), REG_MMFR3, 0 },
	{ SYSTEM_REG(3, 0, 1, 0, 3), REG_MMFR3, 4 },
	{ SYSTEM_REG(3, 0, 10, 2, 3), REG_MMFR3, 8 },
	{ SYSTEM_REG(3, 0, 10, 2, 2), REG_MMFR3, 8 },
	{ SYSTEM_REG(3, 3, 4, 4, 2), REG_PFR2, 32 },
};
enum { NEVER = 7 };

static void expect_undefined(struct vcpu *vcpu, int count)
{
	for (int i = 0; i < count; i++) {
		EXPECT_REPORT(vcpu, UNDEFINED);
		/* FAR_EL1 says nothing. */
		ASSERT_OK(vcpu_run(vcpu));
	}
}

TEST(undefined)
{
	struct vcpu *vcpu = GUEST_NEW(code);
	uint64_t value;

	if (kvm_is_c())
		SKIP("C KVM has some of them");
	vm_vectors(vcpu->vm);
	for (unsigned int i = 0; i < ARRAY_SIZE(offered); i++) {
		bool there = has(vcpu, offered[i].field_in, offered[i].field);

		EXPECT_EQ(reg_get(vcpu, offered[i].id, &value), there ? 0 : -1);
		if (!there)
			expect_undefined(vcpu, 1);
	}
	expect_undefined(vcpu, NEVER);
	EXPECT_DONE(vcpu);
}

/* What a VMM takes away does not exist any more, for the guest and for the VMM. */
TEST(registers_taken_away)
{
	struct vcpu *vcpu = GUEST_NEW(code);
	uint64_t value;

	if (kvm_is_c())
		SKIP("C KVM has some of the others");
	vm_vectors(vcpu->vm);
	for (unsigned int i = 0; i < ARRAY_SIZE(offered); i++) {
		value = vcpu_reg(vcpu, offered[i].field_in) & ~(0xfUL << offered[i].field);
		vcpu_set_reg(vcpu, offered[i].field_in, value);
		EXPECT_ERRNO(reg_get(vcpu, offered[i].id, &value), ENOENT);
	}
	expect_undefined(vcpu, ARRAY_SIZE(offered) + NEVER);
	EXPECT_DONE(vcpu);
}

/* Each guest has its own. */
#define WRITE(register, value) "add x1, x0, #" #value "\nmsr " register ", x1\n"
#define CHECK(register, value) "add x1, x0, #" #value "\nmrs x2, " register "\ncmp x1, x2\ncinc x3, x3, ne\n"
#define EACH(DO) DO("S3_0_C10_C2_3", 0x10) DO("S3_0_C10_C2_2", 0x20) DO("S3_3_C4_C4_2", 0)
GUEST64(own,
	"mov x1, #0x300000\nmsr cpacr_el1, x1\nisb\n"
	"lsl x1, x0, #1\nand x1, x1, #2\nmsr S3_0_C2_C0_3, x1\n"
	EACH(WRITE) REPORT
	"1: mov x3, #0\n" EACH(CHECK)
	"lsl x1, x0, #1\nand x1, x1, #2\nmrs x2, S3_0_C2_C0_3\ncmp x1, x2\ncinc x3, x3, ne\n"
	"mov x28, x0\nmov x0, x3\n" REPORT "mov x0, x28\nb 1b\n");

TEST(registers_of_each_guest)
{
	enum { GUESTS = 3, ROUNDS = 4 };
	struct vcpu *vcpus[GUESTS];

	need(REG_MMFR3, 8);
	need(REG_PFR2, 32);
	for (int i = 0; i < GUESTS; i++) {
		vcpus[i] = GUEST_NEW(own);
		vcpu_set_reg(vcpus[i], REG_X(0), i + 5);
		ASSERT_REPORT(vcpus[i], i + 5);
	}
	for (int round = 0; round < ROUNDS; round++)
		for (int i = 0; i < GUESTS; i++)
			ASSERT_REPORT(vcpus[i], 0);
	for (int i = 0; i < GUESTS; i++) {
		EXPECT_EQ(vcpu_reg(vcpus[i], offered[2].id), i + 5 + 0x10);
		EXPECT_EQ(vcpu_reg(vcpus[i], offered[3].id), i + 5 + 0x20);
		EXPECT_EQ(vcpu_reg(vcpus[i], offered[4].id), i + 5);
		EXPECT_EQ(vcpu_reg(vcpus[i], offered[0].id), (i + 5) << 1 & 2);
		vcpu_set_reg(vcpus[i], offered[4].id, 1);
	}
	for (int i = 0; i < GUESTS; i++)
		EXPECT_REPORT(vcpus[i], 1);
}

/* WFIT and WFET end by their times, also by those that are over; X1 is a quarter of a second. */
GUEST64(waits,
	"mrs x1, cntfrq_el0\nlsr x1, x1, #2\n"
	"mrs x2, cntvct_el0\nadd x3, x2, x1\n"
	"wfit x3\n"
	"isb\nmrs x4, cntvct_el0\ncmp x4, x3\ncset x0, ge\n" REPORT
	"wfit x2\nwfit xzr\nwfet x2\n"
	"isb\nmrs x5, cntvct_el0\nsub x5, x5, x4\ncmp x5, x1\ncset x0, lt\n" REPORT
	"mrs x2, cntvct_el0\nadd x3, x2, x1\n"
	"1: wfet x3\nisb\nmrs x4, cntvct_el0\ncmp x4, x3\nb.lt 1b\n"
	DONE);

static void interrupt(int signal)
{
	(void)signal;
}

TEST(waits_until)
{
	const struct itimerval once = { .it_value.tv_sec = 3 };
	struct vcpu *vcpu;

	need(REG_ISAR2, ISAR2_WFXT);
	vcpu = GUEST_NEW(waits);
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = interrupt }, NULL);
	setitimer(ITIMER_REAL, &once, NULL);
	if (vcpu_run(vcpu) == -1 && errno == EINTR)
		SKIP("the emulator does not tell the register of WFIT");
	EXPECT_TRUE(test_store(__FILE__, __LINE__, vcpu, REPORT_GPA, 8, 1));
	EXPECT_REPORT(vcpu, 1);
	EXPECT_DONE(vcpu);
}

/*
 * Copies up and down, a set, and copies whose registers are as a processor with another choice of format would have
 * left them: C says option B, C clear option A. One of the two is not this processor's.
 */
#define ADDRESSES "mov x1, #0x18000\nmov x2, #0x10000\nmov x3, #0x1234\n"
#define FLAGS(value) "mov x4, #" value "\nmsr nzcv, x4\n"
GUEST64(copies,
	MMU_ON SET_VECTORS
	ADDRESSES "cpyfp [x1]!, [x2]!, x3!\ncpyfm [x1]!, [x2]!, x3!\ncpyfe [x1]!, [x2]!, x3!\n"
	"mov x0, x3\n" REPORT
	ADDRESSES "add x1, x2, #8\ncpyp [x1]!, [x2]!, x3!\ncpym [x1]!, [x2]!, x3!\ncpye [x1]!, [x2]!, x3!\n"
	"mov x0, x3\n" REPORT
	ADDRESSES "mov x2, #0x5a\nsetp [x1]!, x3!, x2\nsetm [x1]!, x3!, x2\nsete [x1]!, x3!, x2\n"
	"mov x0, x3\n" REPORT
	/* Option B: addresses where the copy goes on */
	ADDRESSES FLAGS("0x20000000") "b 1f\n"
	"cpyfp [x1]!, [x2]!, x3!\n1: cpyfm [x1]!, [x2]!, x3!\ncpyfe [x1]!, [x2]!, x3!\n"
	"mov x0, x3\n" REPORT
	/* Option A: addresses of the end, and a size below 0 */
	ADDRESSES "add x1, x1, x3\nadd x2, x2, x3\nneg x3, x3\n" FLAGS("0") "b 2f\n"
	"cpyfp [x1]!, [x2]!, x3!\n2: cpyfm [x1]!, [x2]!, x3!\ncpyfe [x1]!, [x2]!, x3!\n"
	"mov x0, x3\n" REPORT
	DONE);

static void fill(uint8_t *ram)
{
	for (int i = 0; i < SIZE + 16; i++) {
		ram[FROM + i] = i * 7 + (i >> 8);
		ram[TO + i] = 0xee;
	}
}

TEST(memory_copies)
{
	struct vcpu *vcpu;
	uint8_t *ram, before[SIZE];

	need(REG_ISAR2, ISAR2_MOPS);
	vcpu = GUEST_NEW(copies);
	vm_vectors(vcpu->vm);
	ram = vcpu->vm->ram;
	fill(ram);
	EXPECT_REPORT(vcpu, 0);
	EXPECT_MEM(ram + TO, ram + FROM, SIZE);
	EXPECT_EQ(ram[TO + SIZE], 0xee);
	memcpy(before, ram + FROM, SIZE);
	EXPECT_REPORT(vcpu, 0);
	EXPECT_MEM(ram + FROM + 8, before, SIZE);
	fill(ram);
	EXPECT_REPORT(vcpu, 0);
	for (int i = 0; i < SIZE; i++)
		ASSERT_EQ(ram[TO + i], 0x5a);
	EXPECT_EQ(ram[TO + SIZE], 0xee);
	for (int option = 0; option < 2; option++) {
		fill(ram);
		EXPECT_REPORT(vcpu, 0);
		EXPECT_MEM(ram + TO, ram + FROM, SIZE);
		EXPECT_EQ(ram[TO + SIZE], 0xee);
	}
	EXPECT_DONE(vcpu);
}

GUEST64(one_copy, SET_VECTORS ".inst 0x19020461\n" DONE);	/* cpyfp [x1]!, [x2]!, x3!, alone */

/* What a VMM takes away is undefined. */
TEST(memory_copies_taken_away)
{
	struct vcpu *vcpu;

	need(REG_ISAR2, ISAR2_MOPS);
	vcpu = GUEST_NEW(one_copy);
	vm_vectors(vcpu->vm);
	vcpu_set_reg(vcpu, REG_ISAR2, vcpu_reg(vcpu, REG_ISAR2) & ~(0xfUL << ISAR2_MOPS));
	EXPECT_REPORT(vcpu, UNDEFINED);
	ASSERT_OK(vcpu_run(vcpu));
	EXPECT_DONE(vcpu);
}

/*
 * FEAT_S1PIE: by its PIR_EL1 and PIRE0_EL1 the guest's EL0 can use the second GiB, where bit 54 of a descriptor is set,
 * and its EL1 cannot even read it. A page there is read, then written, which is logged.
 */
enum { ONLY_EL0_GPA = 0x40000000, PIE_SLOT = 1, FROM_EL0 = 0x400 };
#define ONLY_EL0 (ONLY_EL0_GPA | 1UL << 54 | 0x701)
GUEST64(writes_at_el0,
	"mov x1, #2\nmsr S3_0_C2_C0_3, x1\n"
	"mov x1, #7\nmsr S3_0_C10_C2_3, x1\n"
	"mov x1, #3\nmovk x1, #5, lsl #32\nmsr S3_0_C10_C2_2, x1\n"
	MMU_ON SET_VECTORS
	"mov x9, #0x3c0\nmsr spsr_el1, x9\nadr x9, 1f\nmsr elr_el1, x9\nisb\neret\n"
	"1: mov x1, #0x40000000\nldr x0, [x1]\nadd x0, x0, #1\nstr x0, [x1]\nsvc #0\n");
GUEST64(from_el0, REPORT DONE);

TEST(memory_that_only_el0_can_use)
{
	const uint64_t block = ONLY_EL0;
	uint64_t *page = mem_new(0x1000);
	struct vcpu *vcpu;

	if (kvm_is_c())
		SKIP("C KVM asks what EL1 can read, and the guest faults for ever");
	need(REG_MMFR3, 8);
	vcpu = GUEST_NEW(writes_at_el0);
	vm_write(vcpu->vm, GUEST_TABLE + 8, &block, sizeof(block));
	VM_LOAD_AT(vcpu->vm, GUEST_VECTORS + FROM_EL0, from_el0);
	page[0] = 0x41;
	ASSERT_OK(vm_set_slot(vcpu->vm, PIE_SLOT, ONLY_EL0_GPA, 0x1000, page, KVM_MEM_LOG_DIRTY_PAGES));
	EXPECT_REPORT(vcpu, 0x42);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(page[0], 0x42);
}

/* FEAT_LPA2: addresses of 52 bits, and tables at five levels, of which some are where no memory is. */
enum {
	MMFR0_TGRAN4 = 28,
	TABLES = GUEST_DATA + 0x1000,	/* of levels -1, 0 and 1 */
	NOWHERE = 0x0b000000,
	ABORT_ON_WALK = 0x96000014,	/* of a data access at EL1: external, on a walk, at level 0 */
};
#define LOAD "ldr x0, [x1]\n"
GUEST64(wide_addresses,
	"mov x9, #0xff\nmsr mair_el1, x9\n"
	"mov x9, #0x350c\nmovk x9, #0xb50c, lsl #16\nmovk x9, #2, lsl #32\nmovk x9, #0x800, lsl #48\n"
	"msr tcr_el1, x9\n"
	"mov x9, #0x1000\nmovk x9, #1, lsl #16\nmsr ttbr0_el1, x9\n"
	"mov x9, #0x0b000000\nmsr ttbr1_el1, x9\nisb\n"
	"mrs x9, sctlr_el1\nmov x10, #0x1005\norr x9, x9, x10\nmsr sctlr_el1, x9\nisb\n"
	SET_VECTORS
	"mov x1, #0x8000000000\n" LOAD
	"mov x1, #0x1000000000000\n" LOAD
	"mov x1, #-8\n" LOAD
	DONE);

TEST(tables_of_five_levels)
{
	const uint64_t tables[3][512] = {
		{ (TABLES + 0x1000) | 3, NOWHERE | 3 },
		{ (TABLES + 0x2000) | 3, NOWHERE | 3 },
		{ 0x401 },
	};
	struct vcpu *vcpu = GUEST_NEW(wide_addresses);

	if (!has(vcpu, SYSTEM_REG(3, 0, 0, 7, 0), MMFR0_TGRAN4))
		SKIP("the processor does not have it");
	vm_vectors(vcpu->vm);
	vm_write(vcpu->vm, TABLES, tables, sizeof(tables));
	EXPECT_EXCEPTION(vcpu, ABORT_ON_WALK + 1, 1UL << 39);
	EXPECT_EXCEPTION(vcpu, ABORT_ON_WALK, 1UL << 48);
	EXPECT_EXCEPTION(vcpu, ABORT_ON_WALK - 1, -8UL);
	EXPECT_DONE(vcpu);
}

/* Reads of identification registers that there are not: undefined, or, with FEAT_IDST, a trap. */
GUEST64(identifies,
	SET_VECTORS
	READ("S3_1_C0_C0_2")	/* CCSIDR2_EL1 */
	READ("S3_1_C0_C0_4")	/* GMID_EL1 */
	READ("S3_1_C0_C0_6")	/* SMIDR_EL1 */
	DONE);

TEST(no_such_identification)
{
	enum { MMFR2_IDS = 36, CLASS = 26, SYSTEM_REGISTER = 0x18, UNKNOWN = 0 };
	struct vcpu *vcpu = GUEST_NEW(identifies);
	bool told = has(vcpu, SYSTEM_REG(3, 0, 0, 7, 2), MMFR2_IDS);

	vm_vectors(vcpu->vm);
	for (int i = 0; i < 3; i++) {
		ASSERT_OK(vcpu_run(vcpu));
		ASSERT_EXIT(vcpu, KVM_EXIT_MMIO);
		EXPECT_EQ(*(uint64_t *)vcpu->run->mmio.data >> CLASS, told ? SYSTEM_REGISTER : UNKNOWN);
		ASSERT_OK(vcpu_run(vcpu));
	}
	EXPECT_DONE(vcpu);
}
