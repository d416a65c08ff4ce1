// SPDX-License-Identifier: GPL-2.0
/*
 * Bench rows of a VM's life, from opening the device to closing everything. What lives is in bench_life_x86.c and
 * bench_life_arm64.c.
 */
#include "lib/bench_life.h"

#include <stdio.h>
#include <time.h>

enum {
	LIFE_SAMPLES = 48,
	MEMORY_VMS = 200,
	MEMORY_VMS_BEFORE = 100,
};

struct life {
	uint64_t ticks[STEPS];
	uint64_t start;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	ASSERT_OK(clock_gettime(clock, &t));
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void step_done(struct life *life, enum step step)
{
	const uint64_t now = ticks();

	life->ticks[step] = now - life->start;
	life->start = ticks();
}

/* What is open of a VM */
struct open_vm {
	struct vm vm;
	struct vcpu *vcpu;
	int chips;
};

/* open, make a VM with memory and a vCPU, run it to its first exit */
static void begin_life(struct life *life, const struct kind *kind, struct open_vm *open,
		       const struct vm *ram)
{
	struct vm *vm = &open->vm;

	*vm = *ram;
	open->chips = NO_FILE;
	life->start = ticks();
	vm->kvm = kvm_open();
	step_done(life, STEP_OPEN);
	vm->fd = ASSERT_OK(ioctl(vm->kvm, KVM_CREATE_VM, 0));
	step_done(life, STEP_CREATE_VM);
	if (kind->create_chips)
		open->chips = kind->create_chips(vm);
	step_done(life, STEP_CHIPS);
	ASSERT_OK(vm_set_slot(vm, 0, 0, vm->ram_size, vm->ram, 0));
	step_done(life, STEP_SET_REGION);
	open->vcpu = life_create_vcpu(vm);
	step_done(life, STEP_CREATE_VCPU);
	if (kind->init_vcpu)
		kind->init_vcpu(open->vcpu);
	step_done(life, STEP_INIT_VCPU);
	if (kind->init_chips)
		kind->init_chips(open->chips);
	step_done(life, STEP_INIT_CHIPS);
	life_start_vcpu(open->vcpu);
	ASSERT_OK(vcpu_run(open->vcpu));
	step_done(life, STEP_FIRST_RUN);
	ASSERT_EXIT(open->vcpu, kind->exit_reason);
}

/* close everything */
static void end_life(struct life *life, struct open_vm *open)
{
	vcpu_free(open->vcpu);
	if (open->chips != NO_FILE)
		close(open->chips);
	close(open->vm.fd);
	close(open->vm.kvm);
	step_done(life, STEP_DESTROY);
}

static struct vm guest_ram(const struct kind *kind)
{
	struct vm ram = { .ram_size = GUEST_PAGES * PAGE_SIZE };

	ram.ram = mem_new(ram.ram_size);
	life_tables(&ram);
	vm_write(&ram, GUEST_CODE, kind->code, kind->end - kind->code);
	return ram;
}

static void live(struct life *life, const struct kind *kind, const struct vm *ram)
{
	struct open_vm open;

	begin_life(life, kind, &open, ram);
	end_life(life, &open);
}

void lives(const struct kind *kind)
{
	static uint64_t steps[STEPS][LIFE_SAMPLES], wall[LIFE_SAMPLES], cpu[LIFE_SAMPLES];
	const uint64_t first_ticks = ticks(), first_ns = now_ns(CLOCK_MONOTONIC);
	const struct vm ram = guest_ram(kind);
	struct life life;

	live(&life, kind, &ram);
	for (size_t i = 0; i < LIFE_SAMPLES; i++) {
		const uint64_t cpu_begin = now_ns(CLOCK_THREAD_CPUTIME_ID), begin = ticks();

		live(&life, kind, &ram);
		wall[i] = ticks() - begin;
		cpu[i] = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_begin;
		for (size_t step = 0; step < STEPS; step++)
			steps[step][i] = life.ticks[step];
	}
	for (size_t step = 0; step < STEPS; step++)
		if (kind->steps[step])
			row_median(kind->steps[step], steps[step], LIFE_SAMPLES);

	const double ticks_per_ns = (double)(ticks() - first_ticks) /
				    (now_ns(CLOCK_MONOTONIC) - first_ns);

	row_median(kind->wall, wall, LIFE_SAMPLES);
	row(kind->cpu, median(cpu, LIFE_SAMPLES) * ticks_per_ns);
}

static uint64_t free_kb(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	unsigned long value, total = 0;
	char line[128];

	ASSERT_TRUE(file != NULL);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "MemFree: %lu", &value) == 1)
			total = value;
	fclose(file);
	return total;
}

void memory_row(const char *name, const struct kind *kind)
{
	static struct open_vm open[MEMORY_VMS];
	const struct vm ram = guest_ram(kind);
	struct life life;
	uint64_t before = 0;

	/* Those before use up what the kernel keeps for each processor. */
	for (size_t i = 0; i < MEMORY_VMS; i++) {
		if (i == MEMORY_VMS_BEFORE)
			before = free_kb();
		begin_life(&life, kind, &open[i], &ram);
	}
	row(name, (before - free_kb()) / (MEMORY_VMS - MEMORY_VMS_BEFORE));
	/* They go with the process. */
}
