// SPDX-License-Identifier: GPL-2.0
/* machine: cmdline=mitigations=auto */
/*
 * Code and data in 2 MiB host pages, on a host that lets no guest execute from
 * a huge page where that can stop the processor (CVE-2018-12207).
 */
#include "lib/stats.h"
#include "lib/sweep.h"

#define HUGE_SIZE (2UL << 20)

enum {
	HUGE_PAGES = 2,
	PAGES = HUGE_PAGES * 512,
	FUNCTIONS = 64,		/* in pages of their own, evenly spread */
	STRIDE = PAGES / FUNCTIONS,
	ROUNDS = 20,
};

/* Counts at RDI. */
static const uint8_t function[] = {
	0x48, 0xff, 0x07,	/* incq (%rdi) */
	0xc3,			/* ret */
};

/* R8 rounds of calls: RSI the first function, R10 their count, R9 their distance, RBX the first counter */
GUEST64(calls,
	"1: mov %rsi, %rax\n"
	"mov %rbx, %rdi\n"
	"mov %r10, %rcx\n"
	"2: call *%rax\n"
	"add %r9, %rax\n"
	"add %r9, %rdi\n"
	"dec %rcx\n"
	"jnz 2b\n"
	"dec %r8\n"
	"jnz 1b\n"
	"hlt\n");

/* Functions at offset 0 of every STRIDE-th page, their counters in the page behind */
static struct vcpu *calls_new(uint8_t *mem)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, calls);

	for (size_t i = 0; i < FUNCTIONS; i++)
		memcpy(mem + i * STRIDE * PAGE_SIZE, function, sizeof(function));
	ASSERT_OK(vm_set_slot(vcpu->vm, 1, SWEEP_GPA, PAGES * PAGE_SIZE, mem, 0));
	return vcpu;
}

static void call_all(struct vcpu *vcpu, uint64_t rounds)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = RFLAGS_FIXED,
		.rsi = SWEEP_GPA, .rbx = SWEEP_GPA + PAGE_SIZE, .r8 = rounds,
		.r9 = STRIDE * PAGE_SIZE, .r10 = FUNCTIONS,
	};

	vcpu_set_regs(vcpu, &regs);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
}

static uint64_t counted(const uint8_t *mem, size_t number)
{
	uint64_t count;

	memcpy(&count, mem + (number * STRIDE + 1) * PAGE_SIZE, sizeof(count));
	return count;
}

/* Each page faults a few times at most, whether it is executed or written first. */
TEST(code_beside_data)
{
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpu;
	uint64_t faults;
	int stats;

	if (madvise(mem, PAGES * PAGE_SIZE, MADV_HUGEPAGE))
		SKIP("the host has no transparent huge pages");
	vcpu = calls_new(mem);
	stats = stats_open(vcpu->fd);
	call_all(vcpu, 1);
	call_all(vcpu, ROUNDS);
	for (size_t i = 0; i < FUNCTIONS; i++)
		EXPECT_EQ(counted(mem, i), 1 + ROUNDS);
	faults = stats_value(stats, "pf_taken");
	test_note("%llu faults", (unsigned long long)faults);
	EXPECT_TRUE(faults <= 4 * FUNCTIONS);
}

/* Data alone stays in huge pages. */
TEST(data)
{
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpu;
	uint64_t before;
	int stats;

	if (madvise(mem, PAGES * PAGE_SIZE, MADV_HUGEPAGE))
		SKIP("the host has no transparent huge pages");
	vcpu = sweep_new(mem, PAGES);
	stats = stats_open(vcpu->fd);
	guest_fill(vcpu, SWEEP_GPA, 1, 1);
	before = stats_value(stats, "pf_taken");
	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	EXPECT_EQ(host_mismatches(mem, PAGES, 1), 0);
	EXPECT_TRUE(stats_value(stats, "pf_taken") - before <= 2 * HUGE_PAGES);
}

/* A page of code goes and comes back, which splits the host's own huge page. */
TEST(code_dropped_and_written_again)
{
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpu;

	if (madvise(mem, PAGES * PAGE_SIZE, MADV_HUGEPAGE))
		SKIP("the host has no transparent huge pages");
	vcpu = calls_new(mem);
	for (uint64_t round = 1; round <= 3; round++) {
		call_all(vcpu, 1);
		for (size_t i = 0; i < FUNCTIONS; i++)
			EXPECT_EQ(counted(mem, i), round);
		ASSERT_OK(madvise(mem + PAGES / 2 * PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED));
		memcpy(mem + PAGES / 2 * PAGE_SIZE, function, sizeof(function));
	}
}
