/* SPDX-License-Identifier: GPL-2.0 */
/* What the rows of a VM's life are made of. */
#ifndef SELFTESTS_BENCH_LIFE_H
#define SELFTESTS_BENCH_LIFE_H

#include "bench.h"

/* The steps of a VM's life, each with its own samples */
enum step {
	STEP_OPEN, STEP_CREATE_VM, STEP_CHIPS, STEP_SET_REGION, STEP_CREATE_VCPU,
	STEP_INIT_VCPU, STEP_INIT_CHIPS, STEP_FIRST_RUN, STEP_DESTROY, STEPS,
};

#define NO_FILE (-1)

/* What lives, and the names of the rows it gives; steps without one give none. */
struct kind {
	/* The file of the chips, or NO_FILE; NULL without chips */
	int (*create_chips)(struct vm *vm);
	/* Gives a vCPU its features, or NULL */
	void (*init_vcpu)(struct vcpu *vcpu);
	/* What is left to do for the chips when there are vCPUs, or NULL */
	void (*init_chips)(int chips);
	const uint8_t *code, *end;
	uint32_t exit_reason;
	const char *steps[STEPS];
	const char *wall, *cpu;
};

/* Prints the rows of many lives. */
void lives(const struct kind *kind);
/* Prints the kilobytes that such a VM takes of the host. */
void memory_row(const char *name, const struct kind *kind);

/* By architecture: what RAM holds beside the code, a vCPU that can run, its start at GUEST_CODE */
void life_tables(struct vm *vm);
struct vcpu *life_create_vcpu(struct vm *vm);
void life_start_vcpu(struct vcpu *vcpu);

#endif
