// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_ONE_REG and KVM_SET_ONE_REG: ids, values that registers can have, and when. */
/* machine: arch=arm64 */
#include "lib/psci.h"

#define MIDR SYSTEM_REG(3, 0, 0, 0, 0)
#define ID_AA64PFR0 SYSTEM_REG(3, 0, 0, 4, 0)
#define ID_AA64DFR0 SYSTEM_REG(3, 0, 0, 5, 0)
#define ID_AA64ISAR0 SYSTEM_REG(3, 0, 0, 6, 0)
#define OSLSR SYSTEM_REG(2, 0, 1, 1, 4)
#define CLIDR SYSTEM_REG(3, 1, 0, 0, 1)
#define CSSELR SYSTEM_REG(3, 2, 0, 0, 0)
#define CCSIDR(n) (KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_DEMUX | (n))
#define ISAR0_AES 0xf0UL
#define PFR0_EL0 0xfUL

static struct vcpu *fresh(void)
{
	return vcpu_with(vm_new(GUEST_PAGES), 0, FEATURE(PSCI_0_2));
}

TEST(ids_without_a_register)
{
	static const struct { uint64_t id; int error; } refused[] = {
		{ 0x2030000000100000, EINVAL },	/* of x86 */
		{ 0x6030000000100001, EINVAL },	/* in the middle of X0 */
		{ 0x6020000000100000, EINVAL },	/* half of X0 */
		{ 0x6030000000100052, EINVAL },	/* padding */
		{ 0x60200000001000d6, EINVAL },
		{ 0x60200000001000d7, ENOENT },	/* beyond the structure */
		{ 0x603000000010ffff, ENOENT },
		{ 0x602000000011000e, ENOENT },	/* no such cache */
		{ 0x6030000000110000, ENOENT },
		{ 0x602000000013c080, ENOENT },	/* half of SCTLR_EL1 */
		{ 0x6030000000138001, ENOENT },	/* no such system register */
		{ 0x603000000013ffff, ENOENT },
		{ 0x603000000013c200, ENOENT },	/* SPSR_EL1 */
		{ 0x603000000013c201, ENOENT },	/* ELR_EL1 */
		{ 0x603000000013c800, ENOENT },	/* CCSIDR_EL1 */
		{ 0x603000000013c108, ENOENT },	/* APIAKEYLO_EL1 */
		{ 0x6030000000140004, ENOENT },	/* firmware */
		{ 0x6030000000160004, ENOENT },
		{ 0x6030000000120000, ENOENT },	/* no such kind */
		{ 0x6080000000150000, ENOENT },	/* SVE */
		{ 0x606000000015ffff, ENOENT },
		{ 0x6030000000150000, EINVAL },
	};
	struct vcpu *vcpu = fresh();
	uint64_t value[32] = {};

	for (unsigned int i = 0; i < ARRAY_SIZE(refused); i++) {
		if (!EXPECT_ERRNO(reg_get(vcpu, refused[i].id, value), refused[i].error) ||
		    !EXPECT_ERRNO(reg_set(vcpu, refused[i].id, value), refused[i].error))
			test_note("id 0x%lx", refused[i].id);
	}
	EXPECT_ERRNO(reg_get(vcpu, REG_PC, NULL), EFAULT);
	EXPECT_ERRNO(reg_set(vcpu, REG_PC, NULL), EFAULT);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_ONE_REG, NULL), EFAULT);
}

TEST(modes)
{
	struct vcpu *vcpu = fresh();

	for (uint64_t mode = 0; mode < 0x20; mode++) {
		uint64_t pstate = mode | PSTATE_DAIF;
		/* EL0t, EL1t, EL1h; User mode of AArch32, which neoverse-n1 has at EL0 */
		bool fine = mode == 0 || mode == 4 || mode == 5 || mode == 0x10;

		if (fine)
			EXPECT_OK(reg_set(vcpu, REG_PSTATE, &pstate));
		else
			EXPECT_ERRNO(reg_set(vcpu, REG_PSTATE, &pstate), EINVAL);
	}
}

/* In AArch32, registers that it does not have in full are cut when one is written. */
TEST(narrow)
{
	struct vcpu *vcpu = fresh();

	vcpu_set_reg(vcpu, REG_X(3), -1);
	vcpu_set_reg(vcpu, REG_X(20), -1);
	vcpu_set_reg(vcpu, REG_PSTATE, 0x10);
	EXPECT_EQ(vcpu_reg(vcpu, REG_X(3)), 0xffffffff);
	EXPECT_EQ(vcpu_reg(vcpu, REG_X(20)), -1);
	vcpu_set_reg(vcpu, REG_PC, -1);
	EXPECT_EQ(vcpu_reg(vcpu, REG_PC), 0xffffffff);
}

/* Every register of struct kvm_regs keeps what is written to it. */
TEST(core_registers)
{
	struct vcpu *vcpu = fresh();
	const uint64_t singles[] = {
		REG_SP_EL0, REG_PC, REG_SP_EL1, REG_ELR_EL1, REG_SPSR_EL1, REG_SPSR_EL1 + 2,
		REG_SPSR_EL1 + 4, REG_SPSR_EL1 + 6, REG_SPSR_EL1 + 8,
	};
	__uint128_t wide, got;

	for (int n = 0; n < 31; n++)
		vcpu_set_reg(vcpu, REG_X(n), n * 0x0101010101010101);
	for (unsigned int i = 0; i < ARRAY_SIZE(singles); i++)
		vcpu_set_reg(vcpu, singles[i], ~(uint64_t)i);
	for (int n = 0; n < 32; n++) {
		wide = (__uint128_t)n << 96 | 5;
		ASSERT_OK(reg_set(vcpu, REG_V(n), &wide));
	}
	for (int n = 0; n < 31; n++)
		EXPECT_EQ(vcpu_reg(vcpu, REG_X(n)), n * 0x0101010101010101);
	for (unsigned int i = 0; i < ARRAY_SIZE(singles); i++)
		EXPECT_EQ(vcpu_reg(vcpu, singles[i]), ~(uint64_t)i);
	for (int n = 0; n < 32; n++) {
		wide = (__uint128_t)n << 96 | 5;
		ASSERT_OK(reg_get(vcpu, REG_V(n), &got));
		EXPECT_TRUE(got == wide);
	}
}

TEST(names_of_processors)
{
	const unsigned long ids[] = { 0, 1, 15, 16, 300 };
	struct vm *vm = vm_create();

	for (unsigned int i = 0; i < ARRAY_SIZE(ids); i++) {
		struct vcpu *vcpu = vcpu_new(vm, ids[i]);

		EXPECT_EQ(vcpu_reg(vcpu, REG_MPIDR),
			  0x80000000 | (ids[i] & 15) | (ids[i] >> 4) << 8);
	}
}

GUEST64(stops, "1: mov x0, #0\n" REPORT "b 1b\n");

/* Until a vCPU runs, features can go and come back; then they are what they are. */
TEST(features)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	struct vcpu *vcpu = vcpu_with(vm, 0, FEATURE(PSCI_0_2));
	struct vcpu *other = vcpu_with(vm, 1, FEATURE(PSCI_0_2));
	uint64_t all = vcpu_reg(vcpu, ID_AA64ISAR0), less = all & ~ISAR0_AES;
	uint64_t more = all + (1UL << 20), reserved = all | 1, midr = vcpu_reg(vcpu, MIDR);

	VM_LOAD(vm, stops);
	EXPECT_ERRNO(reg_set(vcpu, ID_AA64ISAR0, &more), EINVAL);
	EXPECT_ERRNO(reg_set(vcpu, ID_AA64ISAR0, &reserved), EINVAL);
	vcpu_set_reg(vcpu, ID_AA64ISAR0, less);
	EXPECT_EQ(vcpu_reg(other, ID_AA64ISAR0), less);
	vcpu_set_reg(vcpu, ID_AA64ISAR0, all);
	vcpu_set_reg(other, ID_AA64ISAR0, less);
	EXPECT_OK(reg_set(vcpu, MIDR, &midr));
	midr ^= 1;
	EXPECT_ERRNO(reg_set(vcpu, MIDR, &midr), EINVAL);
	EXPECT_REPORT(vcpu, 0);
	EXPECT_ERRNO(reg_set(other, ID_AA64ISAR0, &all), EBUSY);
	EXPECT_ERRNO(reg_set(vcpu, ID_AA64ISAR0, &reserved), EBUSY);
	EXPECT_OK(reg_set(vcpu, ID_AA64ISAR0, &less));
	EXPECT_EQ(vcpu_reg(vcpu, ID_AA64ISAR0), less);
}

TEST(features_that_must_be)
{
	struct vcpu *vcpu = fresh();
	uint64_t pfr0 = vcpu_reg(vcpu, ID_AA64PFR0) & ~PFR0_EL0;
	uint64_t dfr0 = vcpu_reg(vcpu, ID_AA64DFR0), value;

	EXPECT_ERRNO(reg_set(vcpu, ID_AA64PFR0, &pfr0), EINVAL);
	value = (dfr0 & ~0xfUL) | 5;
	EXPECT_ERRNO(reg_set(vcpu, ID_AA64DFR0, &value), EINVAL);
	value = dfr0 | 0xf00;
	EXPECT_OK(reg_set(vcpu, ID_AA64DFR0, &value));
	EXPECT_EQ(vcpu_reg(vcpu, ID_AA64DFR0) & 0xf00, 0);
}

/* Another make of processor, by capability. */
TEST(implementation)
{
	struct vm *vm = vm_create();
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ARM_WRITABLE_IMP_ID_REGS };
	struct vcpu *vcpu;
	uint64_t midr = 0x410fd083, high = 1UL << 32;

	EXPECT_EQ(kvm_check(vm->fd, KVM_CAP_ARM_WRITABLE_IMP_ID_REGS), 1);
	EXPECT_OK(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	vcpu = vcpu_new(vm, 0);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_ENABLE_CAP, &cap), EINVAL);
	EXPECT_OK(reg_set(vcpu, MIDR, &midr));
	EXPECT_ERRNO(reg_set(vcpu, MIDR, &high), EINVAL);
	EXPECT_EQ(vcpu_reg(vcpu, MIDR), midr);
}

GUEST64(reads_midr, "mrs x0, midr_el1\n" REPORT "mrs x0, mpidr_el1\n" REPORT DONE);

/* What a VMM writes there the guest reads. */
TEST(identity_of_the_guest)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ARM_WRITABLE_IMP_ID_REGS };
	struct vcpu *vcpu;
	uint64_t midr = 0x410fd083;

	ASSERT_OK(ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	vcpu = vcpu_with(vm, 0, FEATURE(PSCI_0_2));
	VM_LOAD(vm, reads_midr);
	vcpu_set_reg(vcpu, MIDR, midr);
	vcpu_set_reg(vcpu, REG_MPIDR, 0x80020304);
	EXPECT_REPORT(vcpu, midr);
	EXPECT_REPORT(vcpu, 0x80020304);
	EXPECT_DONE(vcpu);
}

TEST(caches)
{
	struct vcpu *vcpu = fresh();
	uint64_t clidr = vcpu_reg(vcpu, CLIDR), bad = clidr | 1UL << 47;
	uint32_t value = 0, other;

	/* One set, one way, lines of 64 bytes */
	for (int n = 0; n < 14; n++) {
		ASSERT_OK(reg_get(vcpu, CCSIDR(n), &value));
		EXPECT_EQ(value, 2);
	}
	other = 0x1ffe01a;
	EXPECT_OK(reg_set(vcpu, CCSIDR(3), &other));
	ASSERT_OK(reg_get(vcpu, CCSIDR(3), &value));
	EXPECT_EQ(value, other);
	ASSERT_OK(reg_get(vcpu, CCSIDR(2), &value));
	EXPECT_EQ(value, 2);
	other = 1;
	EXPECT_ERRNO(reg_set(vcpu, CCSIDR(3), &other), EINVAL);
	other = 1u << 28 | 2;
	EXPECT_OK(reg_set(vcpu, CCSIDR(3), &other));
	EXPECT_OK(reg_set(vcpu, CLIDR, &clidr));
	EXPECT_ERRNO(reg_set(vcpu, CLIDR, &bad), EINVAL);
}

/* "adr" is free of relocations: the code may be anywhere. */
GUEST64(reads_caches,
	"mrs x0, clidr_el1\n" REPORT
	"mov x0, #4\n" "msr csselr_el1, x0\n" "isb\n"
	"mrs x0, ccsidr_el1\n" REPORT
	"mrs x0, ctr_el0\n" REPORT
	DONE);

TEST(caches_of_the_guest)
{
	struct vcpu *vcpu = GUEST_NEW(reads_caches);
	uint32_t value = 0x1ffe01a;

	ASSERT_OK(reg_set(vcpu, CCSIDR(4), &value));
	EXPECT_REPORT(vcpu, vcpu_reg(vcpu, CLIDR));
	EXPECT_REPORT(vcpu, value);
	EXPECT_EQ(vcpu_reg(vcpu, CSSELR), 4);
	EXPECT_REPORT(vcpu, vcpu_reg(vcpu, SYSTEM_REG(3, 3, 0, 0, 1)));
	EXPECT_DONE(vcpu);
}

TEST(os_lock)
{
	struct vcpu *vcpu = fresh();
	uint64_t value = 0;

	EXPECT_EQ(vcpu_reg(vcpu, OSLSR), 8);
	EXPECT_ERRNO(reg_set(vcpu, OSLSR, &value), EINVAL);
	value = 10;
	EXPECT_OK(reg_set(vcpu, OSLSR, &value));
	EXPECT_EQ(vcpu_reg(vcpu, OSLSR), 10);
}

/* What a guest can only read of the lists of registers that trap. */
GUEST64(reads_ids,
	"mrs x0, id_aa64pfr0_el1\n" REPORT
	"mrs x0, id_aa64isar0_el1\n" REPORT
	"mrs x0, id_aa64mmfr0_el1\n" REPORT
	"mrs x0, id_pfr0_el1\n" REPORT
	"mrs x0, S3_0_C0_C7_7\n" REPORT
	"mrs x0, oslsr_el1\n" REPORT
	"mov x0, #1\n" "msr oslar_el1, x0\n"
	"mrs x0, oslsr_el1\n" REPORT
	DONE);

TEST(identification_of_the_guest)
{
	struct vcpu *vcpu = GUEST_NEW(reads_ids);
	uint64_t isar0 = vcpu_reg(vcpu, ID_AA64ISAR0) & ~ISAR0_AES;
	uint64_t pfr0 = vcpu_reg(vcpu, ID_AA64PFR0);

	vcpu_set_reg(vcpu, ID_AA64ISAR0, isar0);
	/* No interrupt controller in the kernel, no CPU interface */
	EXPECT_REPORT(vcpu, pfr0 & ~(0xfUL << 24));
	EXPECT_EQ(vcpu_reg(vcpu, ID_AA64PFR0), pfr0 & ~(0xfUL << 24));
	EXPECT_REPORT(vcpu, isar0);
	EXPECT_REPORT(vcpu, vcpu_reg(vcpu, SYSTEM_REG(3, 0, 0, 7, 0)));
	EXPECT_REPORT(vcpu, vcpu_reg(vcpu, SYSTEM_REG(3, 0, 0, 1, 0)));
	EXPECT_REPORT(vcpu, 0);
	EXPECT_REPORT(vcpu, 8);
	EXPECT_REPORT(vcpu, 10);
	EXPECT_EQ(vcpu_reg(vcpu, OSLSR), 10);
	EXPECT_DONE(vcpu);
}

TEST(writable_masks)
{
	struct vm *vm = vm_create();
	uint64_t masks[KVM_ARM_FEATURE_ID_RANGE_SIZE];
	struct reg_mask_range range = { .addr = (uintptr_t)masks };
	struct reg_mask_range bad = range;

	EXPECT_EQ(kvm_check(vm->fd, KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES), 1);
	ASSERT_OK(ioctl(vm->fd, KVM_ARM_GET_REG_WRITABLE_MASKS, &range));
	EXPECT_EQ(masks[KVM_ARM_FEATURE_ID_RANGE_IDX(3, 0, 0, 4, 0)], 0xffff00f0ff00ffff);
	EXPECT_EQ(masks[KVM_ARM_FEATURE_ID_RANGE_IDX(3, 0, 0, 4, 1)], 0x0f00000f0000f0ff);
	EXPECT_EQ(masks[KVM_ARM_FEATURE_ID_RANGE_IDX(3, 0, 0, 4, 2)], 0x0000000f0000fff0);
	EXPECT_EQ(masks[KVM_ARM_FEATURE_ID_RANGE_IDX(3, 0, 0, 4, 4)], 0x0fffff0f0ffff0ff);
	EXPECT_EQ(masks[KVM_ARM_FEATURE_ID_RANGE_IDX(3, 0, 0, 5, 0)], 0x000000f000f00f0f);
	EXPECT_EQ(masks[KVM_ARM_FEATURE_ID_RANGE_IDX(3, 0, 0, 6, 0)], 0xfffffffff0fffff0);
	EXPECT_EQ(masks[KVM_ARM_FEATURE_ID_RANGE_IDX(3, 0, 0, 6, 1)], 0xffffffff00fff00f);
	EXPECT_EQ(masks[KVM_ARM_FEATURE_ID_RANGE_IDX(3, 0, 0, 6, 2)], 0xffffffffffff00ff);
	EXPECT_EQ(masks[KVM_ARM_FEATURE_ID_RANGE_IDX(3, 0, 0, 7, 1)], 0xffffffff0ffff00f);
	EXPECT_EQ(masks[KVM_ARM_FEATURE_ID_RANGE_IDX(3, 0, 0, 7, 2)], 0xf0ff000ff00fffff);
	EXPECT_EQ(masks[KVM_ARM_FEATURE_ID_RANGE_IDX(3, 0, 0, 7, 0)], 0xff00ffffffffff0f);
	EXPECT_EQ(masks[KVM_ARM_FEATURE_ID_RANGE_IDX(3, 3, 0, 0, 1)], 0x300fc00f);
	EXPECT_EQ(masks[KVM_ARM_FEATURE_ID_RANGE_IDX(3, 1, 0, 0, 1)], 0x7fffffffffff);
	EXPECT_EQ(masks[KVM_ARM_FEATURE_ID_RANGE_IDX(3, 0, 0, 0, 0)], 0xffffffff);
	EXPECT_EQ(masks[KVM_ARM_FEATURE_ID_RANGE_IDX(3, 0, 0, 0, 5)], 0);
	bad.range = 1;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_ARM_GET_REG_WRITABLE_MASKS, &bad), EINVAL);
	bad = range;
	bad.reserved[12] = 1;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_ARM_GET_REG_WRITABLE_MASKS, &bad), EINVAL);
	bad = range;
	bad.addr = 8;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_ARM_GET_REG_WRITABLE_MASKS, &bad), EFAULT);
}
