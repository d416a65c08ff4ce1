// SPDX-License-Identifier: GPL-2.0
/* Interrupts of all kinds at once, between vCPUs that move from processor to processor: none may be lost. */
/* machine: arch=arm64 cpus=2 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/vgic.h"

enum { VCPUS = 4, ROUNDS = 300, SPI = 40 };

/*
 * Counts in X19 the SGIs that have come; a timer is started anew, a line reported, and the VMM lets it go.
 */
IRQ_VECTORS(storm_irq,
	    ACKNOWLEDGE
	    "cmp x0, #27\n"
	    "b.eq 1f\n"
	    "cmp x0, #16\n"
	    "b.ge 2f\n"
	    "add x19, x19, #1\n"
	    "b 3f\n"
	    "1: add x21, x21, #1\n"
	    "msr cntv_tval_el0, x22\n"
	    "isb\n"
	    "b 3f\n"
	    "2:\n" REPORT
	    "3:\n" END_OF_INTERRUPT);

/* A ring: each vCPU waits for an SGI from the one before and sends one to the next. vCPU 0 begins. */
GUEST64(ring,
	GIC_ON
	"mov x19, #0\n"
	"mov x20, #0\n"
	"mov x21, #0\n"
	"mrs x23, mpidr_el1\n"
	"and x23, x23, #0xf\n"
	/* X24: what sends SGI 7 to the next */
	"add x24, x23, #1\n"
	"and x24, x24, #3\n"
	"mov x25, #1\n"
	"lsl x24, x25, x24\n"
	"movk x24, #0x700, lsl #16\n"
	/* A timer of a 500th of a second */
	"mrs x22, cntfrq_el0\n"
	"mov x25, #500\n"
	"udiv x22, x22, x25\n"
	"msr cntv_tval_el0, x22\n"
	"mov x25, #1\n"
	"msr cntv_ctl_el0, x25\n"
	"isb\n"
	"mov x0, #0xaaa\n" REPORT
	IRQS_ON
	"cbnz x23, 2f\n"
	"1: msr S3_0_C12_C11_5, x24\n"
	"isb\n"
	/* Waits for the SGI of this round. */
	"2: add x20, x20, #1\n"
	"3:\n"
	IRQS_OFF
	"cmp x19, x20\n"
	"b.ge 4f\n"
	"wfi\n"
	IRQS_ON
	"b 3b\n"
	"4:\n"
	IRQS_ON
	"cbnz x23, 5f\n"
	"cmp x20, #300\n"
	"b.lt 1b\n"
	"b 6f\n"
	"5: msr S3_0_C12_C11_5, x24\n"
	"isb\n"
	"cmp x20, #300\n"
	"b.lt 2b\n"
	"6:\n"
	IRQS_OFF
	"mov x0, x19\n"
	"mov x27, #0x09000000\n"
	"add x27, x27, #0x1000\n"
	"str x0, [x27]\n"
	"b .\n");

static atomic_bool storm_over;
static atomic_int lines_taken;
static cpu_set_t all_cpus;

/* Runs a vCPU to its end, and lets the line go that it reports. */
static void *run_to_end(void *arg)
{
	struct vcpu *vcpu = arg;
	const struct kvm_run *run = vcpu->run;
	uint64_t value;

	for (;;) {
		ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
		memcpy(&value, run->mmio.data, sizeof(value));
		if (run->mmio.phys_addr == DONE_GPA)
			break;
		if (value == SPI) {
			spi_line(vcpu->vm, SPI, 0);
			atomic_fetch_add(&lines_taken, 1);
		}
	}
	EXPECT_EQ(value, ROUNDS);
	return NULL;
}

/* Raises the line and moves it to another vCPU, again and again. */
static void *raise_lines(void *arg)
{
	struct vcpu *vcpu = arg;

	for (int i = 0; !atomic_load(&storm_over); i++) {
		spi_line(vcpu->vm, SPI, 1);
		usleep(3000);
	}
	return NULL;
}

static void *move_threads(void *arg)
{
	pthread_t *threads = arg;
	cpu_set_t one;

	for (unsigned int i = 0; !atomic_load(&storm_over); i++) {
		CPU_ZERO(&one);
		CPU_SET(i / VCPUS % CPU_COUNT(&all_cpus), &one);
		pthread_setaffinity_np(threads[i % VCPUS], sizeof(one), &one);
		usleep(700);
	}
	return NULL;
}

TEST_LIMIT(nothing_is_lost_in_a_storm, 150)
{
	struct vcpu *vcpus[VCPUS];
	pthread_t threads[VCPUS], raiser, mover;
	int vgic = VGIC_GUEST(ring, storm_irq, vcpus, VCPUS);

	sched_getaffinity(0, sizeof(all_cpus), &all_cpus);
	/* All are ready before the first SGI. */
	for (int i = 0; i < VCPUS; i++)
		ASSERT_REPORT(vcpus[i], 0xaaa);
	for (int i = 0; i < VCPUS; i++)
		ASSERT_EQ(pthread_create(&threads[i], NULL, run_to_end, vcpus[i]), 0);
	ASSERT_EQ(pthread_create(&raiser, NULL, raise_lines, vcpus[0]), 0);
	ASSERT_EQ(pthread_create(&mover, NULL, move_threads, threads), 0);
	for (int i = 0; i < VCPUS; i++)
		ASSERT_EQ(pthread_join(threads[i], NULL), 0);
	atomic_store(&storm_over, true);
	pthread_join(raiser, NULL);
	pthread_join(mover, NULL);
	EXPECT_TRUE(atomic_load(&lines_taken) > 0);
	for (int i = 0; i < VCPUS; i++)
		EXPECT_TRUE(vcpu_reg(vcpus[i], REG_X(21)) > 0);
	vgic_guest_free(vgic, vcpus, VCPUS);
}
