// SPDX-License-Identifier: GPL-2.0
/* Each guest has its own registers, whatever others write to theirs on the same processor. */
/* machine: arch=arm64 cpus=2 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>

#include "lib/arm64.h"

/*
 * WRITE puts a number that differs from register to register, made of X0, into each; CHECK counts in X1 those that
 * have another. The bits in X3 can be kept by the register.
 */
#define BITS(mask) "mov x3, #" mask "\n"
#define NEXT "add x2, x2, #0x100\nadd x2, x2, #0x100000\nand x4, x2, x3\n"
#define WRITE(reg) NEXT "msr " #reg ", x4\n"
#define CHECK(reg) NEXT "mrs x5, " #reg "\nand x5, x5, x3\ncmp x4, x5\ncinc x1, x1, ne\n"

#define REGISTERS(DO)								\
	BITS("-1")								\
	DO(tpidr_el1) DO(tpidr_el0) DO(tpidrro_el0) DO(far_el1) DO(sp_el0)	\
	BITS("0xffffffff")							\
	DO(contextidr_el1) DO(esr_el1) DO(mair_el1)				\
	BITS("0xfffffffffff8")							\
	DO(elr_el1)								\
	BITS("0xfffff000")							\
	DO(ttbr0_el1) DO(ttbr1_el1) DO(vbar_el1)				\
	BITS("0xf0000000")							\
	DO(spsr_el1)								\
	BITS("0x300000")							\
	DO(cpacr_el1)								\
	BITS("0x3f")								\
	DO(tcr_el1)								\
	BITS("0x3")								\
	DO(cntkctl_el1)								\
	BITS("0xfffff000")							\
	DO(par_el1)

GUEST64(code,
	"1: mov x2, x0\n" REGISTERS(WRITE)
	REPORT
	"mov x1, #0\nmov x2, x0\n" REGISTERS(CHECK)
	"mov x28, x0\nmov x0, x1\n" REPORT
	"mov x0, x28\nadd x0, x0, #0x1000\n"
	"b 1b\n");

enum { GUESTS = 3, ROUNDS = 10 };

static void make(struct vcpu **vcpus)
{
	for (int i = 0; i < GUESTS; i++) {
		vcpus[i] = GUEST_NEW(code);
		vcpu_set_reg(vcpus[i], REG_X(0), 0x12345000UL * (i + 1));
	}
}

static void move_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	ASSERT_EQ(pthread_setaffinity_np(pthread_self(), sizeof(set), &set), 0);
}

static void take_turns(int cpus)
{
	struct vcpu *vcpus[GUESTS];

	make(vcpus);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < GUESTS; i++) {
			move_to((round + i) % cpus);
			ASSERT_OK(vcpu_run(vcpus[i]));
			ASSERT_EXIT(vcpus[i], KVM_EXIT_MMIO);
		}
		for (int i = 0; i < GUESTS; i++) {
			move_to((round + i + 1) % cpus);
			ASSERT_REPORT(vcpus[i], 0);
		}
	}
}

TEST(on_one_processor)
{
	take_turns(1);
}

TEST(on_changing_processors)
{
	take_turns(2);
}

/* X0 to X30 and the flags */
GUEST64(general,
	"mov x0, #0x9000000\n"
	"mov x1, #1\nmov x2, #2\nmov x3, #3\nmov x4, #4\nmov x5, #5\nmov x6, #6\nmov x7, #7\n"
	"mov x8, #8\nmov x9, #9\nmov x10, #10\nmov x11, #11\nmov x12, #12\nmov x13, #13\n"
	"mov x14, #14\nmov x15, #15\nmov x16, #16\nmov x17, #17\nmov x18, #18\nmov x19, #19\n"
	"mov x20, #20\nmov x21, #21\nmov x22, #22\nmov x23, #23\nmov x24, #24\nmov x25, #25\n"
	"mov x26, #26\nmov x27, #27\nmov x28, #28\nmov x29, #29\nmov x30, #30\n"
	"cmp xzr, xzr\n"
	"str xzr, [x0]\n"
	"1: b.ne 1b\n"
	"str x30, [x0]\n");

TEST(general_registers)
{
	enum { N = 31, Z = 30, C = 29, V = 28 };
	struct vcpu *vcpu = GUEST_NEW(general);

	EXPECT_STORE(vcpu, REPORT_GPA, 8, 0);
	for (int i = 1; i <= 30; i++)
		EXPECT_EQ(vcpu_reg(vcpu, REG_X(i)), i);
	EXPECT_EQ(vcpu_reg(vcpu, REG_PSTATE), PSTATE_EL1H | PSTATE_DAIF | 1UL << Z | 1UL << C);
	EXPECT_STORE(vcpu, REPORT_GPA, 8, 30);
}

/* The vector registers, which the host's own programs use as well */
#define FILL_V(n) "dup v" #n ".2d, x1\nadd x1, x1, #1\n"
#define CHECK_V(n) "umov x2, v" #n ".d[0]\numov x3, v" #n ".d[1]\n" \
	"cmp x2, x1\ncinc x4, x4, ne\ncmp x3, x1\ncinc x4, x4, ne\nadd x1, x1, #1\n"
#define ALL_V(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) \
	DO(12) DO(13) DO(14) DO(15) DO(16) DO(17) DO(18) DO(19) DO(20) DO(21) DO(22) DO(23) DO(24) \
	DO(25) DO(26) DO(27) DO(28) DO(29) DO(30) DO(31)

GUEST64(vectors,
	"mov x1, #0x300000\nmsr cpacr_el1, x1\nisb\n"
	"1: mov x1, x0\n" ALL_V(FILL_V)
	"mov x5, #0x03000000\nmsr fpcr, x5\nmov x5, #0x1f\nmsr fpsr, x5\n"
	REPORT
	"mov x1, x0\nmov x4, #0\n" ALL_V(CHECK_V)
	"mrs x5, fpcr\nmov x6, #0x3000000\ncmp x5, x6\ncinc x4, x4, ne\n"
	"mrs x5, fpsr\ncmp x5, #0x1f\ncinc x4, x4, ne\n"
	"mov x28, x0\nmov x0, x4\n" REPORT
	"add x0, x28, #0x100\nb 1b\n");

/* The thread's own, filled and looked at around KVM_RUN */
static uint64_t run_with_vectors(struct vcpu *vcpu, uint64_t value)
{
	register long number __asm__("x8") = 29;	/* ioctl */
	register long fd __asm__("x0") = vcpu->fd;
	register long cmd __asm__("x1") = KVM_RUN;
	register long arg __asm__("x2") = 0;
	uint64_t low, high;

	__asm__ volatile("dup v8.2d, %[value]\n"
			 "dup v31.2d, %[value]\n"
			 "svc #0\n"
			 "umov %[low], v8.d[1]\n"
			 "umov %[high], v31.d[0]\n"
			 : [low] "=&r"(low), [high] "=&r"(high), "+r"(fd)
			 : [value] "r"(value), "r"(number), "r"(cmd), "r"(arg)
			 : "v8", "v31", "memory", "cc");
	ASSERT_EQ(fd, 0);
	return (low ^ value) | (high ^ value);
}

TEST(vector_registers)
{
	struct vcpu *vcpus[GUESTS];

	for (int i = 0; i < GUESTS; i++) {
		vcpus[i] = GUEST_NEW(vectors);
		vcpu_set_reg(vcpus[i], REG_X(0), 0x10000UL * (i + 1));
	}
	for (uint64_t round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < GUESTS; i++)
			EXPECT_EQ(run_with_vectors(vcpus[i], 0x1122334455667700 + round), 0);
		for (int i = 0; i < GUESTS; i++) {
			EXPECT_EQ(run_with_vectors(vcpus[i], 0x8877665544332200 + round), 0);
			EXPECT_EXIT(vcpus[i], KVM_EXIT_MMIO);
			EXPECT_EQ(*(uint64_t *)vcpus[i]->run->mmio.data, 0);
		}
	}
}

TEST(vector_registers_by_ioctl)
{
	struct vcpu *vcpu = GUEST_NEW(vectors);
	uint64_t value[2];

	vcpu_set_reg(vcpu, REG_X(0), 0x500);
	ASSERT_REPORT(vcpu, 0x500);
	for (uint64_t i = 0; i < 32; i++) {
		ASSERT_OK(reg_get(vcpu, REG_V(i), value));
		EXPECT_EQ(value[0], 0x500 + i);
		EXPECT_EQ(value[1], 0x500 + i);
	}
	value[0] = 1;
	value[1] = 2;
	ASSERT_OK(reg_set(vcpu, REG_V(7), value));
	/* Both halves of V7 are not what the guest put there. */
	EXPECT_REPORT(vcpu, 2);
}
