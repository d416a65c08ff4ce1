// SPDX-License-Identifier: GPL-2.0
/* x87, SSE and AVX registers: the guest's, the host's and other guests' stay apart. */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/x86.h"

enum { IN = GUEST_DATA, OUT = GUEST_DATA + 0x1000, XMM_SIZE = 16 * 16, YMM_SIZE = 16 * 32 };

#define EACH16(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) \
		  X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

#define LOAD_XMM(n) "movdqu " #n "*16(%rsi), %xmm" #n "\n"
#define STORE_XMM(n) "movdqu %xmm" #n ", " #n "*16(%rdi)\n"
#define LOAD_YMM(n) "vmovdqu " #n "*32(%rsi), %ymm" #n "\n"
#define STORE_YMM(n) "vmovdqu %ymm" #n ", " #n "*32(%rdi)\n"

/* Loads all registers, stops, stores them, stops, and so on */
GUEST64(sse, "mov $0x10000, %esi\nmov $0x11000, %edi\n" EACH16(LOAD_XMM)
	     "1: hlt\n" EACH16(STORE_XMM) "jmp 1b\n");
GUEST64(avx, "mov %cr4, %rax\nor $0x40000, %eax\nmov %rax, %cr4\n"
	     "xor %ecx, %ecx\nmov $7, %eax\nxor %edx, %edx\nxsetbv\n"
	     "mov $0x10000, %esi\nmov $0x11000, %edi\n" EACH16(LOAD_YMM)
	     "1: hlt\n" EACH16(STORE_YMM) "jmp 1b\n");

static void fill(uint8_t *data, size_t size, uint8_t seed)
{
	for (size_t i = 0; i < size; i++)
		data[i] = seed + 7 * i;
}

/* System call arguments lie in RDI, RSI and RDX; the patterns in R8 and R9. */
#define HOST_LOAD_XMM(n) "movdqu " #n "*16(%%r8), %%xmm" #n "\n"
#define HOST_STORE_XMM(n) "movdqu %%xmm" #n ", " #n "*16(%%r9)\n"
#define HOST_LOAD_YMM(n) "vmovdqu " #n "*32(%%r8), %%ymm" #n "\n"
#define HOST_STORE_YMM(n) "vmovdqu %%ymm" #n ", " #n "*32(%%r9)\n"

/* KVM_RUN with the host's registers loaded before and stored after */
#define HOST_RUN(load, store)								\
	register const uint8_t *r8 __asm__("r8") = before;				\
	register uint8_t *r9 __asm__("r9") = after;					\
	long ret;									\
	__asm__ volatile(EACH16(load) "syscall\n" EACH16(store)				\
			 : "=a"(ret)							\
			 : "a"((long)SYS_ioctl), "D"((long)fd), "S"((long)KVM_RUN),	\
			   "d"(0L), "r"(r8), "r"(r9)					\
			 : "rcx", "r11", "memory");					\
	ASSERT_EQ(ret, 0)

static void run_sse(int fd, const uint8_t *before, uint8_t *after)
{
	HOST_RUN(HOST_LOAD_XMM, HOST_STORE_XMM);
}

static void run_avx(int fd, const uint8_t *before, uint8_t *after)
{
	HOST_RUN(HOST_LOAD_YMM, HOST_STORE_YMM);
	__asm__ volatile("vzeroupper");
}

/* A guest with its own pattern; each step checks the host's and the guest's. */
struct player {
	struct vcpu *vcpu;
	size_t size;
	uint8_t seed;
};

static struct player player_new(struct vcpu *vcpu, size_t size, uint8_t seed)
{
	fill(vcpu->vm->ram + IN, size, seed);
	return (struct player){ .vcpu = vcpu, .size = size, .seed = seed };
}

static void play(struct player *player, void (*run)(int, const uint8_t *, uint8_t *))
{
	uint8_t before[YMM_SIZE], after[YMM_SIZE];

	fill(before, player->size, player->seed ^ 0x55);
	run(player->vcpu->fd, before, after);
	ASSERT_EXIT(player->vcpu, KVM_EXIT_HLT);
	EXPECT_MEM(after, before, player->size);
}

static void expect_kept(const struct player *player)
{
	const uint8_t *ram = player->vcpu->vm->ram;

	EXPECT_MEM(ram + OUT, ram + IN, player->size);
	memset(player->vcpu->vm->ram + OUT, 0, player->size);
}

TEST(sse_of_host_and_guest)
{
	struct player player = player_new(GUEST_NEW(MODE_LONG, sse), XMM_SIZE, 1);

	play(&player, run_sse);
	for (int i = 0; i < 5; i++) {
		play(&player, run_sse);
		expect_kept(&player);
	}
}

TEST(sse_of_two_guests)
{
	struct player one = player_new(GUEST_NEW(MODE_LONG, sse), XMM_SIZE, 1);
	struct player two = player_new(GUEST_NEW(MODE_LONG, sse), XMM_SIZE, 99);

	play(&one, run_sse);
	play(&two, run_sse);
	for (int i = 0; i < 5; i++) {
		play(&one, run_sse);
		expect_kept(&one);
		play(&two, run_sse);
		expect_kept(&two);
	}
}

static void need_avx(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = cpuid_supported(vcpu->vm->kvm);
	const struct kvm_cpuid_entry2 *features = cpuid_find(cpuid, 1, 0);

	if (!features || !(features->ecx & 1 << 28))
		SKIP("the device offers no AVX");
	free(cpuid);
}

TEST(avx_of_two_guests)
{
	struct player one = player_new(GUEST_NEW(MODE_LONG, avx), YMM_SIZE, 3);
	struct player two = player_new(GUEST_NEW(MODE_LONG, avx), YMM_SIZE, 77);

	need_avx(one.vcpu);
	play(&one, run_avx);
	play(&two, run_avx);
	for (int i = 0; i < 5; i++) {
		play(&one, run_avx);
		expect_kept(&one);
		play(&two, run_avx);
		expect_kept(&two);
	}
}

/* Another process on the same CPU that fills its registers again and again */
TEST(sse_beside_another_process)
{
	struct player player = player_new(GUEST_NEW(MODE_LONG, sse), XMM_SIZE, 1);
	pid_t other = ASSERT_OK(fork());

	if (!other)
		for (uint32_t i = 0;; i++) {
			__asm__ volatile("movd %0, %%xmm0\npshufd $0, %%xmm0, %%xmm9\n"
					 :: "r"(i) : "xmm0", "xmm9");
			sched_yield();
		}
	play(&player, run_sse);
	for (int i = 0; i < 50; i++) {
		play(&player, run_sse);
		expect_kept(&player);
		sched_yield();
	}
	kill(other, SIGKILL);
}

/* Control words: the guest's rounding and masks are not the host's. */
GUEST64(control, "mov $0x10000, %ebx\nfninit\nmovw $0x0c7f, (%rbx)\nfldcw (%rbx)\n"
		 "movl $0x7f80, 4(%rbx)\nldmxcsr 4(%rbx)\nfldpi\n"
		 "1: hlt\nfnstcw 8(%rbx)\nstmxcsr 12(%rbx)\nfstl 16(%rbx)\njmp 1b\n");

TEST(control_words_and_x87)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, control);
	uint16_t host_fcw, fcw;
	uint32_t host_mxcsr, mxcsr;
	double pi;

	__asm__ volatile("fnstcw %0\nstmxcsr %1" : "=m"(host_fcw), "=m"(host_mxcsr));
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	for (int i = 0; i < 3; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		__asm__ volatile("fnstcw %0\nstmxcsr %1" : "=m"(fcw), "=m"(mxcsr));
		EXPECT_EQ(fcw, host_fcw);
		EXPECT_EQ(mxcsr & ~0x3fU, host_mxcsr & ~0x3fU);
		memcpy(&fcw, vcpu->vm->ram + GUEST_DATA + 8, sizeof(fcw));
		memcpy(&mxcsr, vcpu->vm->ram + GUEST_DATA + 12, sizeof(mxcsr));
		memcpy(&pi, vcpu->vm->ram + GUEST_DATA + 16, sizeof(pi));
		EXPECT_EQ(fcw, 0x0c7f);
		EXPECT_EQ(mxcsr, 0x7f80);
		EXPECT_TRUE(pi > 3.14159 && pi < 3.14160);
	}
}

/* KVM_GET_FPU and KVM_SET_FPU are these registers. */
TEST(the_ioctls)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, sse);
	struct kvm_fpu fpu;

	fill(vcpu->vm->ram + IN, XMM_SIZE, 1);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_FPU, &fpu));
	EXPECT_MEM(fpu.xmm, vcpu->vm->ram + IN, XMM_SIZE);
	fill((uint8_t *)fpu.xmm, XMM_SIZE, 200);
	fpu.mxcsr = 0x1f80;
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_FPU, &fpu));
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_MEM(vcpu->vm->ram + OUT, fpu.xmm, XMM_SIZE);
}

/* A vCPU starts with the reset state, whatever others left in the processor. */
GUEST64(fresh, "mov $0x10000, %ebx\nfnstcw (%rbx)\nstmxcsr 4(%rbx)\nmov $0x11000, %edi\n"
	       EACH16(STORE_XMM) "hlt\n");

TEST(a_new_vcpu_has_nothing_of_others)
{
	static const uint8_t zeros[XMM_SIZE];
	struct player other = player_new(GUEST_NEW(MODE_LONG, sse), XMM_SIZE, 0x5a);
	struct vcpu *vcpu;
	uint16_t fcw;
	uint32_t mxcsr;

	play(&other, run_sse);
	vcpu = GUEST_NEW(MODE_LONG, fresh);
	memset(vcpu->vm->ram + OUT, 0xff, XMM_SIZE);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_MEM(vcpu->vm->ram + OUT, zeros, XMM_SIZE);
	memcpy(&fcw, vcpu->vm->ram + IN, sizeof(fcw));
	memcpy(&mxcsr, vcpu->vm->ram + IN + 4, sizeof(mxcsr));
	EXPECT_EQ(fcw, 0x37f);
	EXPECT_EQ(mxcsr, 0x1f80);
}
