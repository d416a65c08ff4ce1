// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* VMs of one process and of several: each has its own memory, vCPUs and registers. */
#include <sys/wait.h>
#include <unistd.h>

#include "lib/any.h"

/* Adds its argument to the word at GUEST_DATA and reports it, over and over. */
GUEST_ANY(adds, "1: add %ebx, 0x10000\n mov 0x10000, %eax\n" REPORT "jmp 1b\n",
	  "mov x2, #0x10000\n1: ldr w0, [x2]\nadd w0, w0, w1\nstr w0, [x2]\n" REPORT "b 1b\n");

static struct vcpu *adding(uint32_t step)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(adds);

	vcpu_set_argument(vcpu, step);
	return vcpu;
}

TEST(take_turns)
{
	struct vcpu *first = adding(1), *second = adding(100);

	for (uint32_t i = 1; i <= 20; i++) {
		EXPECT_REPORT(first, i);
		EXPECT_REPORT(second, 100 * i);
	}
	EXPECT_EQ(*(uint32_t *)(first->vm->ram + GUEST_DATA), 20);
	EXPECT_EQ(*(uint32_t *)(second->vm->ram + GUEST_DATA), 2000);
}

TEST(one_ends_the_other_goes_on)
{
	struct vcpu *first = adding(1), *second = adding(2);

	EXPECT_REPORT(first, 1);
	EXPECT_REPORT(second, 2);
	guest_free(first);
	EXPECT_REPORT(second, 4);
	first = adding(3);
	EXPECT_REPORT(first, 3);
	EXPECT_REPORT(second, 6);
}

TEST(many_stay_apart)
{
	struct vcpu *vcpus[16];

	for (size_t i = 0; i < ARRAY_SIZE(vcpus); i++)
		vcpus[i] = adding(i + 1);
	for (uint32_t round = 1; round <= 3; round++)
		for (size_t i = 0; i < ARRAY_SIZE(vcpus); i++)
			EXPECT_REPORT(vcpus[i], round * (i + 1));
	for (size_t i = 0; i < ARRAY_SIZE(vcpus); i++)
		guest_free(vcpus[i]);
}

TEST(vcpus_of_one_vm_share_memory_only)
{
	struct vcpu *first = adding(1);
	struct vcpu *second = vcpu_new(first->vm, 1);

	vcpu_begin(second, GUEST_CODE);
	vcpu_set_argument(second, 1000);
	EXPECT_REPORT(first, 1);
	EXPECT_REPORT(second, 1001);
	EXPECT_REPORT(first, 1002);
	EXPECT_REPORT(second, 2002);
}

TEST(processes_run_theirs_at_once)
{
	pid_t children[4];
	int status;

	for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
		children[i] = ASSERT_OK(fork());
		if (!children[i]) {
			struct vcpu *vcpu = adding(i + 1);

			for (uint32_t round = 1; round <= 200; round++)
				ASSERT_REPORT(vcpu, round * (i + 1));
			_exit(0);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
		ASSERT_OK(waitpid(children[i], &status, 0));
		EXPECT_EQ(status, 0);
	}
}
