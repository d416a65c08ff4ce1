// SPDX-License-Identifier: GPL-2.0
/* Bench rows of a VM's life, from opening the device to closing everything. */
#include "lib/bench.h"
#include "lib/guest.h"

enum { LIFE_SAMPLES = 48 };

GUEST64(halt, "hlt\n");
GUEST64(report, REPORT);

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	ASSERT_OK(clock_gettime(clock, &t));
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* The steps of a VM's life, each with its own samples */
enum step {
	STEP_OPEN, STEP_CREATE_VM, STEP_CHIPS, STEP_SET_REGION, STEP_CREATE_VCPU,
	STEP_SET_CPUID, STEP_FIRST_RUN, STEP_DESTROY, STEPS,
};

struct life {
	uint64_t ticks[STEPS];
	uint64_t start;
};

/* What lives, and the names of the rows it gives; steps without one give none. */
struct kind {
	enum chips chips;
	const uint8_t *code, *end;
	uint32_t exit_reason;
	const char *steps[STEPS];
	const char *wall, *cpu;
};

static const struct kind bare = {
	.chips = NO_CHIPS, .code = halt, .end = halt_end, .exit_reason = KVM_EXIT_HLT,
	.steps = { "open", "create_vm", NULL, "set_region", "create_vcpu", "set_cpuid2",
		   "first_run_to_hlt", "destroy_wall" },
	.wall = "cycle_wall", .cpu = "cycle_cpu",
};

static const struct kind with_irqchip = {
	.chips = CHIPS, .code = report, .end = report_end, .exit_reason = KVM_EXIT_IO,
	.steps = { [STEP_CHIPS] = "create_irqchip" },
	.wall = "cycle_wall_irqchip", .cpu = "cycle_cpu_irqchip",
};

static const struct kind with_chips = {
	.chips = CHIPS_PIT, .code = report, .end = report_end, .exit_reason = KVM_EXIT_IO,
	.steps = { [STEP_CHIPS] = "create_chips_pit", [STEP_CREATE_VCPU] = "create_vcpu_chips",
		   [STEP_FIRST_RUN] = "first_run_chips", [STEP_DESTROY] = "destroy_wall_chips" },
	.wall = "cycle_wall_chips", .cpu = "cycle_cpu_chips",
};

static void step_done(struct life *life, enum step step)
{
	const uint64_t now = __rdtsc();

	life->ticks[step] = now - life->start;
	life->start = __rdtsc();
}

/* open, make a VM with memory and a vCPU, run it to its first exit, close everything */
static void live(struct life *life, const struct kind *kind, uint8_t *ram, size_t size,
		 const struct kvm_cpuid2 *cpuid)
{
	struct vm vm = { .ram = ram, .ram_size = size };
	struct vcpu *vcpu;

	life->start = __rdtsc();
	vm.kvm = kvm_open();
	step_done(life, STEP_OPEN);
	vm.fd = ASSERT_OK(ioctl(vm.kvm, KVM_CREATE_VM, 0));
	step_done(life, STEP_CREATE_VM);
	vm_create_chips(&vm, kind->chips);
	step_done(life, STEP_CHIPS);
	ASSERT_OK(vm_set_slot(&vm, 0, 0, size, ram, 0));
	step_done(life, STEP_SET_REGION);
	vcpu = vcpu_create(&vm, 0);
	step_done(life, STEP_CREATE_VCPU);
	vcpu_set_cpuid(vcpu, cpuid);
	step_done(life, STEP_SET_CPUID);
	vcpu_start(vcpu, MODE_LONG, GUEST_CODE);
	ASSERT_OK(vcpu_run(vcpu));
	step_done(life, STEP_FIRST_RUN);
	ASSERT_EXIT(vcpu, kind->exit_reason);
	vcpu_free(vcpu);
	close(vm.fd);
	close(vm.kvm);
	step_done(life, STEP_DESTROY);
}

static void lives(const struct kind *kind)
{
	static uint64_t steps[STEPS][LIFE_SAMPLES], wall[LIFE_SAMPLES], cpu[LIFE_SAMPLES];
	const uint64_t first_ticks = __rdtsc(), first_ns = now_ns(CLOCK_MONOTONIC);
	struct vm ram = { .ram_size = GUEST_PAGES * PAGE_SIZE };
	int kvm = kvm_open();
	struct kvm_cpuid2 *cpuid = cpuid_supported(kvm);
	struct life life;

	close(kvm);
	ram.ram = mem_new(ram.ram_size);
	vm_tables(&ram, MODE_LONG);
	vm_write(&ram, GUEST_CODE, kind->code, kind->end - kind->code);
	live(&life, kind, ram.ram, ram.ram_size, cpuid);
	for (size_t i = 0; i < LIFE_SAMPLES; i++) {
		const uint64_t cpu_begin = now_ns(CLOCK_THREAD_CPUTIME_ID), begin = __rdtsc();

		live(&life, kind, ram.ram, ram.ram_size, cpuid);
		wall[i] = __rdtsc() - begin;
		cpu[i] = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_begin;
		for (size_t step = 0; step < STEPS; step++)
			steps[step][i] = life.ticks[step];
	}
	for (size_t step = 0; step < STEPS; step++)
		if (kind->steps[step])
			row_median(kind->steps[step], steps[step], LIFE_SAMPLES);

	const double ticks_per_ns = (double)(__rdtsc() - first_ticks) /
				    (now_ns(CLOCK_MONOTONIC) - first_ns);

	row_median(kind->wall, wall, LIFE_SAMPLES);
	row(kind->cpu, median(cpu, LIFE_SAMPLES) * ticks_per_ns);
	free(cpuid);
}

TEST_LIMIT(lifecycle, ROW_LIMIT)
{
	lives(&bare);
}

TEST_LIMIT(lifecycle_irqchip, ROW_LIMIT)
{
	lives(&with_irqchip);
}

TEST_LIMIT(lifecycle_chips, ROW_LIMIT)
{
	lives(&with_chips);
}
