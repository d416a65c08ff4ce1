// SPDX-License-Identifier: GPL-2.0
/* Loads and stores of an arm64 guest at addresses without memory. */
/* machine: arch=arm64 */
#include <string.h>

#include "lib/arm64.h"

enum { DEVICE = 0x0a000000 };
#define AT_DEVICE "mov x1, #0x0a000000\n"

GUEST64(stores,
	AT_DEVICE
	"mov x0, #0x1122334455667788 & 0xffff\n"
	"movk x0, #0x5566, lsl #16\n"
	"movk x0, #0x3344, lsl #32\n"
	"movk x0, #0x1122, lsl #48\n"
	"strb w0, [x1]\n"
	"strh w0, [x1, #2]\n"
	"str w0, [x1, #4]\n"
	"str x0, [x1, #8]\n"
	"str xzr, [x1, #16]\n"
	DONE);

TEST(stores_of_all_sizes)
{
	struct vcpu *vcpu = GUEST_NEW(stores);

	EXPECT_STORE(vcpu, DEVICE, 1, 0x88);
	EXPECT_STORE(vcpu, DEVICE + 2, 2, 0x7788);
	EXPECT_STORE(vcpu, DEVICE + 4, 4, 0x55667788);
	EXPECT_STORE(vcpu, DEVICE + 8, 8, 0x1122334455667788);
	EXPECT_STORE(vcpu, DEVICE + 16, 8, 0);
	EXPECT_DONE(vcpu);
}

GUEST64(loads,
	AT_DEVICE
	"mov x0, #-1\n"
	"ldrb w0, [x1]\n" REPORT
	"mov x0, #-1\n"
	"ldrh w0, [x1]\n" REPORT
	"mov x0, #-1\n"
	"ldr w0, [x1]\n" REPORT
	"ldr x0, [x1]\n" REPORT
	"ldrsb w0, [x1]\n" REPORT
	"ldrsb x0, [x1]\n" REPORT
	"ldrsh w0, [x1]\n" REPORT
	"ldrsh x0, [x1]\n" REPORT
	"ldrsw x0, [x1]\n" REPORT
	"mov x0, #5\n"
	"ldr xzr, [x1]\n" REPORT
	DONE);

static void answer(struct vcpu *vcpu, uint32_t len, uint64_t value, uint64_t expected)
{
	EXPECT_LOAD(vcpu, DEVICE, len);
	memcpy(vcpu->run->mmio.data, &value, sizeof(value));
	EXPECT_REPORT(vcpu, expected);
}

TEST(loads_of_all_kinds)
{
	const uint64_t value = 0xfedcba9887f6e5d4;
	struct vcpu *vcpu = GUEST_NEW(loads);

	answer(vcpu, 1, value, 0xd4);
	answer(vcpu, 2, value, 0xe5d4);
	answer(vcpu, 4, value, 0x87f6e5d4);
	answer(vcpu, 8, value, value);
	answer(vcpu, 1, value, 0xffffffd4);
	answer(vcpu, 1, value, 0xffffffffffffffd4);
	answer(vcpu, 2, value, 0xffffe5d4);
	answer(vcpu, 2, value, 0xffffffffffffe5d4);
	answer(vcpu, 4, value, 0xffffffff87f6e5d4);
	answer(vcpu, 8, value, 5);
	EXPECT_DONE(vcpu);
}

/* The instruction is not done before the VMM has answered. */
TEST(the_pc_stays_until_the_answer)
{
	struct vcpu *vcpu = GUEST_NEW(loads);
	uint64_t pc;

	EXPECT_LOAD(vcpu, DEVICE, 1);
	pc = vcpu_reg(vcpu, REG_PC);
	EXPECT_EQ(pc, GUEST_CODE + 8);
	vcpu->run->immediate_exit = 1;
	EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
	EXPECT_EQ(vcpu_reg(vcpu, REG_PC), pc + 4);
}

/* SCTLR_EL1.EE: the bytes of data come the other way round. */
GUEST64(big_endian,
	"mrs x9, sctlr_el1\norr x9, x9, #0x2000000\nmsr sctlr_el1, x9\nisb\n"
	AT_DEVICE
	"mov w0, #0x3344\nmovk w0, #0x1122, lsl #16\n"
	"str w0, [x1]\n"
	"ldr w0, [x1]\n"
	"strh w0, [x1]\n");

TEST(a_big_endian_guest)
{
	struct vcpu *vcpu = GUEST_NEW(big_endian);

	EXPECT_STORE(vcpu, DEVICE, 4, 0x44332211);
	EXPECT_LOAD(vcpu, DEVICE, 4);
	memcpy(vcpu->run->mmio.data, "\x55\x66\x77\x88", 4);
	EXPECT_STORE(vcpu, DEVICE, 2, 0x8877);
	EXPECT_EQ(vcpu_reg(vcpu, REG_X(0)), 0x55667788);
}

GUEST64(two_pairs, AT_DEVICE "ldp x2, x3, [x1]\n" "stp x2, x3, [x1, #32]\n");
#define AT_FAR "mov x1, #0x40000000\n"

GUEST64(pair, AT_DEVICE "ldp x2, x3, [x1]\n");

/* A load of two registers has no syndrome, and the VMM has not offered to look at the instruction. */
TEST(no_syndrome)
{
	struct vcpu *vcpu = GUEST_NEW(pair);

	vcpu->run->exit_reason = KVM_EXIT_MEMORY_FAULT;
	EXPECT_ERRNO(vcpu_run(vcpu), ENOSYS);
	EXPECT_EXIT(vcpu, KVM_EXIT_UNKNOWN);
	EXPECT_EQ(vcpu_reg(vcpu, REG_PC), GUEST_CODE + 4);
}

/* Another one has; it can do the instruction for the guest, or have it fail. */
TEST(no_syndrome_to_the_vmm)
{
	enum { ISS_WRITE = 1 << 6, ISS_TRANSLATION_FAULT = 0x4 };
	struct kvm_vcpu_events events = { .exception.ext_dabt_pending = 1 };
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ARM_NISV_TO_USER };
	struct vcpu *vcpu = GUEST_NEW(two_pairs);

	EXPECT_EQ(kvm_check(vcpu->vm->fd, KVM_CAP_ARM_NISV_TO_USER), 1);
	EXPECT_ERRNO(vcpu_run(vcpu), ENOSYS);
	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_ENABLE_CAP, &cap));
	ASSERT_RUN(vcpu, KVM_EXIT_ARM_NISV);
	EXPECT_EQ(vcpu->run->arm_nisv.fault_ipa, DEVICE);
	EXPECT_EQ(vcpu->run->arm_nisv.esr_iss & ~3, ISS_TRANSLATION_FAULT);
	EXPECT_EQ(vcpu_reg(vcpu, REG_PC), GUEST_CODE + 4);
	vcpu_set_reg(vcpu, REG_PC, GUEST_CODE + 8);
	ASSERT_RUN(vcpu, KVM_EXIT_ARM_NISV);
	EXPECT_EQ(vcpu->run->arm_nisv.fault_ipa, DEVICE + 32);
	EXPECT_EQ(vcpu->run->arm_nisv.esr_iss & ~3, ISS_WRITE | ISS_TRANSLATION_FAULT);
	/* Nothing is pending that KVM_RUN would finish. */
	vcpu->run->immediate_exit = 1;
	EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
	EXPECT_EQ(vcpu_reg(vcpu, REG_PC), GUEST_CODE + 8);
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events));
	EXPECT_EQ(vcpu_reg(vcpu, REG_ELR_EL1), GUEST_CODE + 8);
	EXPECT_EQ(vcpu_reg(vcpu, REG_PC), 0x200);
}

GUEST64(walk, SET_VECTORS MMU_ON AT_FAR "ldr x0, [x1]\n" DONE);

/* The guest's tables must be in memory: else it is told which of them is not. */
TEST(tables_without_memory)
{
	enum { ABORT_ON_WALK = 0x96000014 };
	struct vcpu *vcpu = GUEST_NEW(walk);
	const uint64_t table = 0x0a000000 | 3;

	vm_vectors(vcpu->vm);
	vm_write(vcpu->vm, GUEST_TABLE + 8, &table, sizeof(table));
	EXPECT_EXCEPTION(vcpu, ABORT_ON_WALK + 2, 1UL << 30);
	EXPECT_DONE(vcpu);
}
