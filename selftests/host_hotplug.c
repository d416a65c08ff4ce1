// SPDX-License-Identifier: GPL-2.0
/* Processors that go offline and come back, with and without VMs. */
/* machine: arch=any cpus=2 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "lib/any.h"
#include "lib/module.h"

#define CPU1_ONLINE "/sys/devices/system/cpu/cpu1/online"

static void set_online(char state)
{
	int fd = ASSERT_OK(open(CPU1_ONLINE, O_RDWR));
	char now;

	ASSERT_EQ(pread(fd, &now, 1, 0), 1);
	if (now != state)
		ASSERT_EQ(pwrite(fd, &state, 1, 0), 1);
	close(fd);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	ASSERT_OK(sched_setaffinity(0, sizeof(set), &set));
}

GUEST_ANY(counts, "1: inc %eax\n" REPORT "jmp 1b\n", "1: add x0, x0, #1\n" REPORT "b 1b\n");

TEST_LIMIT(a_vm_survives_its_processor, 60)
{
	struct vcpu *vcpu;
	uint32_t count = 0;

	set_online('1');
	vcpu = GUEST_ANY_NEW(counts);
	for (int i = 0; i < 3; i++) {
		pin(1);
		EXPECT_REPORT(vcpu, ++count);
		pin(0);
		set_online('0');
		EXPECT_REPORT(vcpu, ++count);
		set_online('1');
		EXPECT_REPORT(vcpu, ++count);
	}
	pin(1);
	EXPECT_REPORT(vcpu, ++count);
}

TEST_LIMIT(a_processor_that_comes_later_runs_vms, 60)
{
	struct vcpu *vcpu;

	pin(0);
	set_online('0');
	vcpu = GUEST_ANY_NEW(counts);
	EXPECT_REPORT(vcpu, 1);
	set_online('1');
	pin(1);
	EXPECT_REPORT(vcpu, 2);
	guest_smoke();
}

TEST_LIMIT(loaded_with_a_processor_offline, 60)
{
	module_needed();
	pin(0);
	set_online('0');
	module_unload();
	module_load();
	guest_smoke();
	set_online('1');
	pin(1);
	guest_smoke();
}

TEST_LIMIT(unloaded_with_a_processor_offline, 60)
{
	module_needed();
	set_online('1');
	pin(1);
	guest_smoke();
	pin(0);
	set_online('0');
	module_unload();
	set_online('1');
	module_load();
	pin(1);
	guest_smoke();
}

/* A processor on which VMX stayed on would ignore the INIT that brings it back. */
TEST_LIMIT(off_and_on_without_a_vm, 60)
{
	set_online('1');
	pin(1);
	guest_smoke();
	pin(0);
	for (int i = 0; i < 3; i++) {
		set_online('0');
		set_online('1');
	}
	pin(1);
	guest_smoke();
}

TEST_LIMIT(vm_freed_while_its_processor_is_away, 60)
{
	struct vcpu *vcpu;

	set_online('1');
	pin(1);
	vcpu = GUEST_ANY_NEW(counts);
	EXPECT_REPORT(vcpu, 1);
	pin(0);
	set_online('0');
	guest_free(vcpu);
	set_online('1');
	pin(1);
	guest_smoke();
}
