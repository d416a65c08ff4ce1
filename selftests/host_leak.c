// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* Memory of VMs and vCPUs comes back. */
#include <stdio.h>
#include <unistd.h>

#include "lib/any.h"

#define ROUNDS 300
/* Less than one page for each round, and more than what the kernel's own caches move by */
#define SLACK_KB (ROUNDS * 4 * 3 / 4)

/* Pages that processors keep for themselves are free, too; some thousands of them on a machine that has done little. */
static long kept_kb(void)
{
	char line[128];
	long total = 0, pages;
	FILE *file = fopen("/proc/zoneinfo", "r");

	ASSERT_TRUE(file != NULL);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, " count: %ld", &pages) == 1)
			total += pages * (PAGE_SIZE / 1024);
	fclose(file);
	return total;
}

static long free_kb(void)
{
	char line[128];
	long total = kept_kb(), value;
	FILE *file = fopen("/proc/meminfo", "r");

	ASSERT_TRUE(file != NULL);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "MemFree: %ld", &value) == 1 ||
		    sscanf(line, "SReclaimable: %ld", &value) == 1)
			total += value;
	fclose(file);
	return total;
}

static void settle(void)
{
	FILE *file = fopen("/proc/sys/vm/drop_caches", "w");

	ASSERT_TRUE(file != NULL);
	fputs("3", file);
	fclose(file);
	/* Lets deferred frees run; nothing below depends on how long it is. */
	sleep(1);
}

static void returns_memory(void (*round)(void))
{
	long before, after;

	for (int i = 0; i < ROUNDS / 4; i++)
		round();
	settle();
	before = free_kb();
	for (int i = 0; i < ROUNDS; i++)
		round();
	settle();
	after = free_kb();
	if (before - after > SLACK_KB)
		test_fail(__FILE__, __LINE__, "free memory: expected at least %ld kB, got %ld kB",
			  before - SLACK_KB, after);
}

static void make_vm(void)
{
	vm_free(vm_new(4));
}

static void make_vcpu(void)
{
	struct vm *vm = vm_new(4);

	vcpu_free(vcpu_create(vm, 0));
	vm_free(vm);
}

GUEST_ANY(halts, "hlt\n", DONE);

static void run_guest(void)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(halts);

	ASSERT_END(vcpu);
	guest_free(vcpu);
}

static void fail_to_make_vcpu(void)
{
	struct vm *vm = vm_new(1);
	int vcpu = ASSERT_OK(ioctl(vm->fd, KVM_CREATE_VCPU, 0));

	ASSERT_ERRNO(ioctl(vm->fd, KVM_CREATE_VCPU, 0), EEXIST);
	ASSERT_OK(close(vcpu));
	vm_free(vm);
}

TEST_LIMIT(vm, 120)
{
	returns_memory(make_vm);
}

TEST_LIMIT(vcpu, 120)
{
	returns_memory(make_vcpu);
}

TEST_LIMIT(guest_that_ran, 120)
{
	returns_memory(run_guest);
}

TEST_LIMIT(refused_vcpu, 120)
{
	returns_memory(fail_to_make_vcpu);
}
