// SPDX-License-Identifier: GPL-2.0
/* SVE: KVM_ARM_VCPU_SVE, vector lengths, and that guests, their VMM and other threads keep their own registers. */
/* machine: arch=arm64 cpu=max cpus=2 */
#define _GNU_SOURCE
#include <asm/hwcap.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/psci.h"

__asm__(".arch_extension sve");

enum {
	WORDS = KVM_ARM64_SVE_VLS_WORDS,
	Z_COUNT = 32,
	P_COUNT = 16,
	QUADWORD = 16,
	LONGEST = 256,				/* bytes */
	STATE = Z_COUNT * LONGEST + (P_COUNT + 1) * LONGEST / 8,
	IN = GUEST_DATA,
	OUT = GUEST_DATA + 0x8000,
	ROUNDS = 6,
};

#define UNDEFINED (1UL << 25)
#define SVE_TRAPPED (0x19UL << 26 | 1UL << 25)
#define REG_ZCR SYSTEM_REG(3, 0, 1, 2, 0)
#define REG_PFR0 SYSTEM_REG(3, 0, 0, 4, 0)
#define REG_ZFR0 SYSTEM_REG(3, 0, 0, 4, 4)
#define REG_VLS KVM_REG_ARM64_SVE_VLS
#define REG_Z(n) KVM_REG_ARM64_SVE_ZREG(n, 0)
#define REG_P(n) KVM_REG_ARM64_SVE_PREG(n, 0)
#define REG_FFR KVM_REG_ARM64_SVE_FFR(0)

/* Calls an instruction for Z0 to Z31 at X1, P0 to P15 at X2 */
#define ALL_Z(insn) ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n" \
	insn " z\\n, [x1, #\\n, mul vl]\n.endr\n"
#define ALL_P(insn) ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n" insn " p\\n, [x2, #\\n, mul vl]\n.endr\n"
#define P_BASE "rdvl x3, #16\nadd x2, x1, x3, lsl #1\n"
#define LOAD ALL_Z("ldr") "ldr p0, [x2, #16, mul vl]\nwrffr p0.b\n" ALL_P("ldr")
#define STORE ALL_Z("str") ALL_P("str") "rdffr p0.b\nstr p0, [x2, #16, mul vl]\nldr p0, [x2]\n"
#define SVE_ON "mov x1, #0x330000\nmsr cpacr_el1, x1\nmov x1, #0x1ff\nmsr S3_0_C1_C2_0, x1\nisb\n"

/* Reports the vector length, and then again and again has all registers from IN, and puts them to OUT. */
GUEST64(code,
	MMU_ON SVE_ON
	"rdvl x0, #1\n" REPORT
	"1: mov x1, #0x10000\n" P_BASE LOAD
	"mov x0, #1\n" REPORT
	"mov x1, #0x18000\n" P_BASE STORE
	"mov x0, #2\n" REPORT
	"b 1b\n");

static void need_sve(void)
{
	if (kvm_check(kvm_open(), KVM_CAP_ARM_SVE) != 1)
		SKIP("the device offers no SVE");
}

/* An initialised vCPU that is not finalized */
static struct vcpu *open_vcpu(struct vm *vm, unsigned long id)
{
	struct vcpu *vcpu = vcpu_create(vm, id);

	ASSERT_OK(vcpu_init(vcpu, FEATURE(PSCI_0_2) | FEATURE(SVE)));
	return vcpu;
}

static int finalize(struct vcpu *vcpu)
{
	int feature = KVM_ARM_VCPU_SVE;

	return ioctl(vcpu->fd, KVM_ARM_VCPU_FINALIZE, &feature);
}

/* Bytes of the longest vector of the host */
static unsigned int longest(void)
{
	uint64_t lengths[WORDS];

	ASSERT_OK(reg_get(open_vcpu(vm_create(), 0), REG_VLS, lengths));
	ASSERT_TRUE(lengths[0] != 0);
	return QUADWORD * (64 - __builtin_clzl(lengths[0]));
}

/* A guest at code whose longest vector is that, as far as the host has it; else the longest that it has */
static struct vcpu *make_at(const uint8_t *code, const uint8_t *end, unsigned int bytes)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	struct vcpu *vcpu = open_vcpu(vm, 0);
	uint64_t lengths[WORDS];

	ASSERT_OK(reg_get(vcpu, REG_VLS, lengths));
	lengths[0] &= ~0UL >> (64 - bytes / QUADWORD);
	ASSERT_OK(reg_set(vcpu, REG_VLS, lengths));
	ASSERT_OK(finalize(vcpu));
	vm_tables(vm);
	vm_write(vm, GUEST_CODE, code, end - code);
	vm_vectors(vm);
	vcpu_start(vcpu, GUEST_CODE);
	return vcpu;
}

#define MAKE(name, bytes) make_at(name, name##_end, bytes)

static unsigned int state_bytes(unsigned int length)
{
	return Z_COUNT * length + (P_COUNT + 1) * length / 8;
}

/* All registers of a guest with vectors that long: any bytes, and in FFR a run of ones, as it has to be. */
static void fill(uint8_t *state, unsigned int length, unsigned int seed)
{
	unsigned int size = state_bytes(length), ffr = size - length / 8;

	srandom(seed);
	for (unsigned int i = 0; i < ffr; i++)
		state[i] = random();
	for (unsigned int i = ffr; i < size; i++)
		state[i] = i - ffr < seed % (length / 8) ? 0xff : 0;
}

static void move_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	ASSERT_OK(sched_setaffinity(0, sizeof(set), &set));
}

/* The next report, a number that is not a failure */
static uint64_t report(struct vcpu *vcpu)
{
	ASSERT_OK(vcpu_run(vcpu));
	ASSERT_EXIT(vcpu, KVM_EXIT_MMIO);
	return *(uint64_t *)vcpu->run->mmio.data;
}

TEST(capability)
{
	int kvm = kvm_open();

	EXPECT_EQ(kvm_check(kvm, KVM_CAP_ARM_SVE), !!(getauxval(AT_HWCAP) & HWCAP_SVE));
}

/* What can be done before KVM_ARM_VCPU_FINALIZE, and after */
TEST(two_steps)
{
	struct kvm_reg_list list = { .n = 0 };
	uint64_t lengths[WORDS], value[32];
	struct vcpu *vcpu;
	int feature = 0;

	need_sve();
	vcpu = open_vcpu(vm_new(GUEST_PAGES), 0);
	EXPECT_ERRNO(vcpu_run(vcpu), EPERM);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_REG_LIST, &list), EPERM);
	EXPECT_ERRNO(reg_get(vcpu, REG_Z(0), value), EPERM);
	EXPECT_ERRNO(reg_set(vcpu, REG_P(15), value), EPERM);
	EXPECT_ERRNO(reg_get(vcpu, REG_FFR, value), EPERM);
	EXPECT_ERRNO(reg_get(vcpu, REG_V(0), value), EINVAL);
	EXPECT_OK(reg_get(vcpu, REG_FPCR, value));
	EXPECT_OK(reg_get(vcpu, REG_ZCR, value));
	EXPECT_OK(reg_get(vcpu, REG_VLS, lengths));
	EXPECT_ERRNO(reg_get(vcpu, REG_VLS, NULL), EFAULT);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_ARM_VCPU_FINALIZE, NULL), EFAULT);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_ARM_VCPU_FINALIZE, &feature), EINVAL);
	/* Again, before the second step and after it */
	EXPECT_OK(vcpu_init(vcpu, FEATURE(PSCI_0_2) | FEATURE(SVE)));
	EXPECT_OK(finalize(vcpu));
	EXPECT_ERRNO(finalize(vcpu), EPERM);
	EXPECT_OK(vcpu_init(vcpu, FEATURE(PSCI_0_2) | FEATURE(SVE)));
	EXPECT_ERRNO(vcpu_init(vcpu, FEATURE(PSCI_0_2)), EINVAL);
	EXPECT_ERRNO(reg_set(vcpu, REG_VLS, lengths), EPERM);
	EXPECT_OK(reg_get(vcpu, REG_VLS, lengths));
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_REG_LIST, &list), E2BIG);
	EXPECT_OK(reg_get(vcpu, REG_Z(31), value));
	EXPECT_OK(reg_set(vcpu, REG_Z(31), value));
	EXPECT_ERRNO(reg_get(vcpu, REG_Z(0), NULL), EFAULT);
	EXPECT_ERRNO(reg_get(vcpu, REG_V(0), value), EINVAL);
	EXPECT_ERRNO(reg_set(vcpu, REG_V(31), value), EINVAL);
	EXPECT_ERRNO(reg_get(vcpu, KVM_REG_ARM64_SVE_ZREG(0, 1), value), ENOENT);
	EXPECT_ERRNO(reg_get(vcpu, KVM_REG_ARM64_SVE_FFR(31), value), ENOENT);
	EXPECT_ERRNO(reg_get(vcpu, REG_FFR + 32, value), EINVAL);
}

/* Without the feature there is nothing of it. */
TEST(without_the_feature)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_create(vm, 0);
	uint64_t value[32] = {};

	ASSERT_OK(vcpu_init(vcpu, FEATURE(PSCI_0_2)));
	EXPECT_ERRNO(finalize(vcpu), EINVAL);
	EXPECT_ERRNO(reg_get(vcpu, REG_VLS, value), ENOENT);
	EXPECT_ERRNO(reg_set(vcpu, REG_VLS, value), ENOENT);
	EXPECT_ERRNO(reg_get(vcpu, REG_Z(0), value), ENOENT);
	EXPECT_ERRNO(reg_get(vcpu, REG_ZCR, value), ENOENT);
	EXPECT_OK(reg_get(vcpu, REG_V(0), value));
	EXPECT_EQ(vcpu_reg(vcpu, REG_PFR0) >> 32 & 0xf, 0);
	EXPECT_EQ(vcpu_reg(vcpu, REG_ZFR0), 0);
}

TEST(identification)
{
	struct vcpu *vcpu;
	uint64_t pfr0;

	need_sve();
	vcpu = open_vcpu(vm_create(), 0);
	pfr0 = vcpu_reg(vcpu, REG_PFR0);
	EXPECT_EQ(pfr0 >> 32 & 0xf, 1);
	/* It cannot be taken away again, but what it has can. */
	pfr0 &= ~(0xfUL << 32);
	EXPECT_ERRNO(reg_set(vcpu, REG_PFR0, &pfr0), EINVAL);
	vcpu_set_reg(vcpu, REG_ZFR0, 0);
	EXPECT_EQ(vcpu_reg(vcpu, REG_ZFR0), 0);
}

/* All lengths of the host up to one, or nothing. */
TEST(lengths)
{
	uint64_t here[WORDS], wanted[WORDS] = {};
	struct vcpu *vcpu;

	need_sve();
	vcpu = open_vcpu(vm_create(), 0);
	ASSERT_OK(reg_get(vcpu, REG_VLS, here));
	EXPECT_TRUE(here[0] & 1);
	for (int i = 1; i < WORDS; i++)
		EXPECT_EQ(here[i], 0);
	EXPECT_ERRNO(reg_set(vcpu, REG_VLS, wanted), EINVAL);
	wanted[1] = 1;
	EXPECT_ERRNO(reg_set(vcpu, REG_VLS, wanted), EINVAL);
	wanted[1] = 0;
	wanted[0] = 1UL << 16;
	EXPECT_ERRNO(reg_set(vcpu, REG_VLS, wanted), EINVAL);
	for (int bit = 0; bit < 16; bit++) {
		uint64_t up_to = ~0UL >> (63 - bit);

		wanted[0] = here[0] & up_to;
		EXPECT_OK(reg_set(vcpu, REG_VLS, wanted));
		wanted[0] = (here[0] ^ 1) & up_to;
		EXPECT_ERRNO(reg_set(vcpu, REG_VLS, wanted), EINVAL);
		wanted[0] = (here[0] & up_to) | 1UL << 20;
		EXPECT_ERRNO(reg_set(vcpu, REG_VLS, wanted), EINVAL);
	}
	wanted[0] = 1;
	ASSERT_OK(reg_set(vcpu, REG_VLS, wanted));
	ASSERT_OK(reg_get(vcpu, REG_VLS, here));
	EXPECT_EQ(here[0], 1);
	/* Until the vCPU begins anew. */
	ASSERT_OK(vcpu_init(vcpu, FEATURE(PSCI_0_2) | FEATURE(SVE)));
	ASSERT_OK(reg_get(vcpu, REG_VLS, here));
	EXPECT_TRUE(here[0] != 1 || longest() == QUADWORD);
	ASSERT_OK(finalize(vcpu));
}

/* Registers by ioctl are the guest's, and end where its vectors end. */
TEST(registers_by_ioctl)
{
	static const unsigned int sizes[] = { QUADWORD, 64, LONGEST };

	need_sve();
	for (unsigned int s = 0; s < ARRAY_SIZE(sizes); s++) {
		struct vcpu *vcpu = MAKE(code, sizes[s]);
		uint8_t state[STATE], value[LONGEST];
		unsigned int length = report(vcpu), place = 0;

		EXPECT_TRUE(length <= sizes[s]);
		fill(vcpu->vm->ram + IN, length, s + 100);
		ASSERT_REPORT(vcpu, 1);
		for (int n = 0; n < Z_COUNT + P_COUNT + 1; n++) {
			bool vector = n < Z_COUNT;
			unsigned int bytes = vector ? length : length / 8, room = vector ? LONGEST : LONGEST / 8;
			uint64_t id = vector ? REG_Z(n) : n < Z_COUNT + P_COUNT ? REG_P(n - Z_COUNT) : REG_FFR;

			memset(value, 0xee, sizeof(value));
			ASSERT_OK(reg_get(vcpu, id, value));
			EXPECT_MEM(value, vcpu->vm->ram + IN + place, bytes);
			for (unsigned int i = bytes; i < room; i++)
				ASSERT_EQ(value[i], 0);
			fill(state, length, s + 200);
			memset(value, 0xff, sizeof(value));
			memcpy(value, state + place, bytes);
			ASSERT_OK(reg_set(vcpu, id, value));
			place += bytes;
		}
		ASSERT_REPORT(vcpu, 2);
		EXPECT_MEM(vcpu->vm->ram + OUT, state, place);
		guest_free(vcpu);
	}
}

/* Guests of several lengths take turns; each finds its registers as they were. */
static void take_turns(int cpus)
{
	static const unsigned int sizes[] = { LONGEST, QUADWORD, 32, LONGEST, 128 };
	enum { GUESTS = ARRAY_SIZE(sizes) };
	struct vcpu *vcpus[GUESTS];
	unsigned int length[GUESTS];

	need_sve();
	for (int i = 0; i < GUESTS; i++) {
		vcpus[i] = MAKE(code, sizes[i]);
		length[i] = report(vcpus[i]);
	}
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < GUESTS; i++) {
			move_to((round + i) % cpus);
			fill(vcpus[i]->vm->ram + IN, length[i], round * GUESTS + i);
			ASSERT_REPORT(vcpus[i], 1);
		}
		for (int i = 0; i < GUESTS; i++) {
			uint8_t *ram = vcpus[i]->vm->ram;

			move_to((round + i + 1) % cpus);
			ASSERT_REPORT(vcpus[i], 2);
			EXPECT_MEM(ram + OUT, ram + IN, state_bytes(length[i]));
		}
	}
}

TEST(guests_on_one_processor)
{
	take_turns(1);
}

TEST(guests_on_changing_processors)
{
	take_turns(2);
}

/* The same, and stays in the guest meanwhile, so that the host's interrupts come. */
GUEST64(stays,
	MMU_ON SVE_ON
	"rdvl x0, #1\n" REPORT
	"mov x1, #0x10000\n" P_BASE LOAD
	"mrs x4, cntfrq_el0\nlsr x4, x4, #2\nmrs x5, cntvct_el0\nadd x4, x4, x5\n"
	"1: isb\nmrs x5, cntvct_el0\ncmp x5, x4\nb.lt 1b\n"
	"mov x1, #0x18000\n" P_BASE STORE
	"mov x0, #2\n" REPORT);

TEST(interrupts)
{
	struct vcpu *vcpu;
	unsigned int length;

	need_sve();
	vcpu = MAKE(stays, LONGEST);
	length = report(vcpu);
	fill(vcpu->vm->ram + IN, length, 77);
	ASSERT_REPORT(vcpu, 2);
	EXPECT_MEM(vcpu->vm->ram + OUT, vcpu->vm->ram + IN, state_bytes(length));
}

/* Loads all registers, works for a while without a system call, and puts them elsewhere. */
static void live(const uint8_t *in, uint8_t *out)
{
	register const uint8_t *x1 __asm__("x1") = in;

	__asm__ volatile(P_BASE LOAD
			 "mov x4, #0x80000\n1: subs x4, x4, #1\nb.ne 1b\n"
			 "mov x1, %[out]\n" P_BASE STORE
			 : "+r"(x1)
			 : [out] "r"(out)
			 : "x2", "x3", "x4", "memory", "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7",
			   "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18",
			   "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29",
			   "v30", "v31");
}

static unsigned int own_length(void)
{
	unsigned long bytes;

	__asm__("rdvl %0, #1" : "=r"(bytes));
	return bytes;
}

/* Another process uses SVE on the same processor, with vectors of another length. */
TEST(the_host_keeps_its_registers)
{
	static uint8_t in[STATE], out[STATE];
	struct vcpu *vcpu;
	int status, rounds = 40;
	pid_t child;

	need_sve();
	vcpu = MAKE(code, LONGEST);
	report(vcpu);
	move_to(0);
	child = fork();
	if (!child) {
		unsigned int length = own_length();

		for (int i = 0; i < rounds; i++) {
			fill(in, length, 1000 + i);
			memset(out, 0, sizeof(out));
			live(in, out);
			if (own_length() != length || memcmp(in, out, state_bytes(length)))
				_exit(1);
		}
		_exit(0);
	}
	ASSERT_TRUE(child > 0);
	for (int i = 0; waitpid(child, &status, WNOHANG) == 0; i++) {
		uint8_t *ram = vcpu->vm->ram;
		unsigned int length = longest();

		fill(ram + IN, length, i);
		ASSERT_REPORT(vcpu, 1);
		sched_yield();
		ASSERT_REPORT(vcpu, 2);
		EXPECT_MEM(ram + OUT, ram + IN, state_bytes(length));
	}
	EXPECT_EQ(status, 0);
}

/* ZCR_EL1 makes vectors shorter, at EL1 too; what is beyond is kept or lost, and the lower part stays. */
GUEST64(shortens,
	MMU_ON SVE_ON
	"mov x5, #0x1234\ndup z5.d, x5\n"
	"mov x1, #0\nmsr S3_0_C1_C2_0, x1\nisb\nrdvl x0, #1\n" REPORT
	"mrs x0, S3_0_C1_C2_0\n" REPORT
	"mov x1, #1\nmsr S3_0_C1_C2_0, x1\nisb\nrdvl x0, #1\n" REPORT
	"mrs x0, S3_0_C1_C2_0\n" REPORT
	"mov x1, #15\nmsr S3_0_C1_C2_0, x1\nisb\nrdvl x0, #1\n" REPORT
	"umov x0, v5.d[1]\n" REPORT DONE);

TEST(length_at_el1)
{
	struct vcpu *vcpu;
	unsigned int most;

	need_sve();
	most = longest();
	vcpu = MAKE(shortens, most);
	EXPECT_REPORT(vcpu, QUADWORD);
	EXPECT_EQ(vcpu_reg(vcpu, REG_ZCR), 0);
	EXPECT_REPORT(vcpu, 0);
	EXPECT_REPORT(vcpu, most < 32 ? most : 32);
	EXPECT_EQ(vcpu_reg(vcpu, REG_ZCR), 1);
	EXPECT_REPORT(vcpu, 1);
	EXPECT_REPORT(vcpu, most);
	EXPECT_REPORT(vcpu, 0x1234);
	EXPECT_DONE(vcpu);
}

/* Traps of the guest's own CPACR_EL1 are its own; without the feature SVE is undefined. */
GUEST64(traps,
	SET_VECTORS
	"mov x1, #0x300000\nmsr cpacr_el1, x1\nisb\n"
	"rdvl x0, #1\n"
	"mov x1, #0x330000\nmsr cpacr_el1, x1\nisb\n"
	"mov x0, #7\nmrs x0, S3_0_C1_C2_0\n" REPORT
	"rdvl x0, #1\n" REPORT DONE);

TEST(traps)
{
	struct vcpu *vcpu;

	need_sve();
	vcpu = MAKE(traps, QUADWORD);
	EXPECT_REPORT(vcpu, SVE_TRAPPED);
	ASSERT_OK(vcpu_run(vcpu));
	EXPECT_REPORT(vcpu, 0);
	EXPECT_REPORT(vcpu, QUADWORD);
	EXPECT_DONE(vcpu);

	vcpu = GUEST_NEW(traps);
	vm_vectors(vcpu->vm);
	EXPECT_REPORT(vcpu, SVE_TRAPPED);
	ASSERT_OK(vcpu_run(vcpu));
	EXPECT_REPORT(vcpu, UNDEFINED);
	ASSERT_OK(vcpu_run(vcpu));
	EXPECT_REPORT(vcpu, 7);
	EXPECT_REPORT(vcpu, UNDEFINED);
	ASSERT_OK(vcpu_run(vcpu));
	EXPECT_REPORT(vcpu, 7);
	EXPECT_DONE(vcpu);
}

static struct kvm_reg_list *list_of(struct vcpu *vcpu)
{
	enum { ROOM = 1024 };
	struct kvm_reg_list *list = calloc(1, sizeof(*list) + ROOM * sizeof(uint64_t));

	list->n = ROOM;
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_REG_LIST, list));
	return list;
}

/* A vCPU goes on in another VM with what KVM_GET_REG_LIST names, in the order in which it is named. */
TEST(save_and_restore)
{
	static const unsigned int sizes[] = { 64, LONGEST };

	need_sve();
	for (unsigned int s = 0; s < ARRAY_SIZE(sizes); s++) {
		struct vcpu *from = MAKE(code, sizes[s]), *plain = GUEST_NEW(code), *to;
		struct kvm_reg_list *list = list_of(from), *without = list_of(plain);
		unsigned int length = report(from);
		uint64_t value[32];

		/* Z0 to FFR, the lengths and ZCR_EL1 are there, and V0 to V31 are not. */
		EXPECT_EQ(list->n, without->n + Z_COUNT + P_COUNT + 1 + 1 + 1 - 32);
		fill(from->vm->ram + IN, length, 5 + s);
		ASSERT_REPORT(from, 1);
		vcpu_settle(from);
		to = open_vcpu(vm_new(GUEST_PAGES), 0);
		memcpy(to->vm->ram, from->vm->ram, GUEST_PAGES * PAGE_SIZE);
		for (uint64_t i = 0; i < list->n; i++) {
			ASSERT_OK(reg_get(from, list->reg[i], value));
			if (EXPECT_OK(reg_set(to, list->reg[i], value)) == -1)
				test_note("id %016llx", list->reg[i]);
			if (list->reg[i] == REG_VLS)
				ASSERT_OK(finalize(to));
		}
		ASSERT_REPORT(to, 2);
		EXPECT_MEM(to->vm->ram + OUT, from->vm->ram + IN, state_bytes(length));
		guest_free(from);
		guest_free(plain);
	}
}

/* KVM_ARM_VCPU_INIT resets registers, but not their length. */
TEST(resets)
{
	uint8_t value[LONGEST], none[LONGEST] = {};
	struct vcpu *vcpu;
	unsigned int length;

	need_sve();
	vcpu = MAKE(code, 64);
	length = report(vcpu);
	fill(vcpu->vm->ram + IN, length, 9);
	ASSERT_REPORT(vcpu, 1);
	ASSERT_OK(vcpu_init(vcpu, FEATURE(PSCI_0_2) | FEATURE(SVE)));
	for (int n = 0; n < Z_COUNT; n++) {
		ASSERT_OK(reg_get(vcpu, REG_Z(n), value));
		EXPECT_MEM(value, none, LONGEST);
	}
	ASSERT_OK(reg_get(vcpu, REG_P(3), value));
	EXPECT_MEM(value, none, LONGEST / 8);
	EXPECT_EQ(vcpu_reg(vcpu, REG_ZCR), 0);
	vcpu_start(vcpu, GUEST_CODE);
	EXPECT_EQ(report(vcpu), length);
}
