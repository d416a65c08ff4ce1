// SPDX-License-Identifier: GPL-2.0
/*
 * What a KVM costs, in ticks of a clock that counts the instructions of the
 * host, where the emulator gives one. Here: page faults and KVM_RUN by itself,
 * on every architecture. Exits are in bench_x86.c and bench_arm64.c, interrupt
 * controllers in bench_chips.c and bench_vgic.c, a VM's life in bench_life.c;
 * all of an architecture are one program.
 */
#include "lib/bench.h"

enum {
	HUGE_SAMPLES = 32,	/* of 2M pages */
	FAULT_GPA = 0x50000000,
	HUGE_SIZE = 2 << 20,
};

GUEST_ANY(loop_touch, MEASURE("movb $1, (%r8)\n"), MEASURE("strb w21, [x19]\n"));

/* First touch of guest memory whose host pages are there or not yet */
static void fault_row(const char *name, size_t page, uint32_t count, int advice, int present)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(loop_touch);
	const size_t size = page * count;
	uint8_t *mem = aligned_alloc(HUGE_SIZE, size < HUGE_SIZE ? HUGE_SIZE : size);
	uint64_t empty;

	ASSERT_TRUE(mem != NULL);
	ASSERT_OK(madvise(mem, size, advice));
	if (present)
		memset(mem, 1, size);
	ASSERT_OK(vm_set_slot(vcpu->vm, 1, FAULT_GPA, size, mem, 0));
	run_loop(vcpu, GUEST_DATA + PAGE_SIZE, 0, SAMPLES);
	empty = run_loop(vcpu, GUEST_DATA + PAGE_SIZE, 0, SAMPLES);
	exit_row(name, run_loop(vcpu, FAULT_GPA, page, count), empty);
	guest_free(vcpu);
	free(mem);
}

TEST_LIMIT(faults, ROW_LIMIT)
{
	fault_row("fault_present_4k", PAGE_SIZE, SAMPLES, MADV_NOHUGEPAGE, 1);
	fault_row("fault_new_4k", PAGE_SIZE, SAMPLES, MADV_NOHUGEPAGE, 0);
	fault_row("fault_present_2m", HUGE_SIZE, HUGE_SAMPLES, MADV_HUGEPAGE, 1);
	fault_row("fault_new_2m", HUGE_SIZE, HUGE_SAMPLES, MADV_HUGEPAGE, 0);
}

/* Dropping one page that the guest has mapped */
TEST_LIMIT(madvise_dontneed, ROW_LIMIT)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(loop_touch);
	const size_t size = SAMPLES * PAGE_SIZE;
	static uint64_t samples[SAMPLES];
	uint8_t *mem = aligned_alloc(HUGE_SIZE, size);

	ASSERT_TRUE(mem != NULL);
	ASSERT_OK(madvise(mem, size, MADV_NOHUGEPAGE));
	ASSERT_OK(vm_set_slot(vcpu->vm, 1, FAULT_GPA, size, mem, 0));
	run_loop(vcpu, FAULT_GPA, PAGE_SIZE, SAMPLES);
	for (size_t i = 0; i < SAMPLES; i++) {
		uint64_t begin = ticks();
		ASSERT_OK(madvise(mem + i * PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED));
		samples[i] = ticks() - begin;
	}
	row_median("madvise_mapped_4k", samples, SAMPLES);
	guest_free(vcpu);
	free(mem);
}

TEST_LIMIT(immediate_exit, ROW_LIMIT)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(loop_touch);

	vcpu->run->immediate_exit = 1;
	ASSERT_ERRNO(vcpu_run(vcpu), EINTR);
	TIME_ROW("run_immediate_exit", vcpu_run(vcpu));
	guest_free(vcpu);
}
