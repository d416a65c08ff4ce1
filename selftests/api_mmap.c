// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* The kvm_run mapping: its pages, what lies behind it, and who may map what. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/kvm.h"

TEST(pages_map_one_by_one)
{
	struct vcpu *vcpu = vcpu_create(vm_create(), 0);
	uint8_t *whole = (uint8_t *)vcpu->run;

	for (unsigned long page = 0; page < vcpu->run_size / PAGE_SIZE; page++) {
		uint8_t *one = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd,
				    page * PAGE_SIZE);

		ASSERT_OK((long)one);
		one[PAGE_SIZE - 1] = 0x40 + page;
		EXPECT_EQ(whole[page * PAGE_SIZE + PAGE_SIZE - 1], 0x40 + page);
	}
}

TEST(starts_as_zeros)
{
	struct vcpu *vcpu = vcpu_create(vm_create(), 0);
	static const uint8_t zeros[PAGE_SIZE];

	for (unsigned long page = 1; page < vcpu->run_size / PAGE_SIZE; page++)
		EXPECT_MEM((uint8_t *)vcpu->run + page * PAGE_SIZE, zeros, PAGE_SIZE);
}

TEST(two_vcpus_have_their_own)
{
	struct vm *vm = vm_create();
	struct vcpu *first = vcpu_create(vm, 0), *second = vcpu_create(vm, 1);

	first->run->immediate_exit = 1;
	EXPECT_EQ(second->run->immediate_exit, 0);
}

/* The signal that touching this page gives, 0 for none */
static int touch(volatile uint8_t *page)
{
	int status;
	pid_t pid = ASSERT_OK(fork());

	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		(void)*page;
		_exit(0);
	}
	ASSERT_OK(waitpid(pid, &status, 0));
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST(nothing_lies_behind_the_last_page)
{
	struct vcpu *vcpu = vcpu_create(vm_create(), 0);
	uint8_t *page = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, vcpu->fd, vcpu->run_size);

	/* Refusing to map it is as good. */
	if (page != MAP_FAILED)
		EXPECT_EQ(touch(page), SIGBUS);
	page = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, vcpu->fd, 1L << 40);
	if (page != MAP_FAILED)
		EXPECT_EQ(touch(page), SIGBUS);
}

TEST(longer_mappings_end_at_the_last_page)
{
	struct vcpu *vcpu = vcpu_create(vm_create(), 0);
	uint8_t *run = mmap(NULL, vcpu->run_size + PAGE_SIZE, PROT_READ, MAP_SHARED, vcpu->fd, 0);

	if (run == MAP_FAILED)
		return;
	EXPECT_EQ(touch(run), 0);
	EXPECT_EQ(touch(run + vcpu->run_size), SIGBUS);
}

TEST(vm_and_device_do_not_map)
{
	struct vm *vm = vm_create();

	EXPECT_ERRNO((long)mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, vm->fd, 0), ENODEV);
	if (kvm_is_c())
		EXPECT_ERRNO((long)mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, vm->kvm, 0), ENODEV);
	else	/* In single-handle mode it maps the first vCPU, once there is one. */
		EXPECT_TRUE(mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, kvm_open(), 0) ==
			    MAP_FAILED);
}

TEST(outlives_all_descriptors)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_create(vm, 0);
	uint8_t *run = (uint8_t *)vcpu->run;

	run[PAGE_SIZE - 1] = 0x55;
	ASSERT_OK(close(vcpu->fd));
	ASSERT_OK(close(vm->fd));
	ASSERT_OK(close(vm->kvm));
	EXPECT_EQ(run[PAGE_SIZE - 1], 0x55);
	EXPECT_OK(munmap(run, vcpu->run_size));
}

TEST(part_may_be_unmapped)
{
	struct vcpu *vcpu = vcpu_create(vm_create(), 0);
	uint8_t *run = (uint8_t *)vcpu->run;

	ASSERT_OK(munmap(run + PAGE_SIZE, PAGE_SIZE));
	run[0] = 0;
	EXPECT_EQ(touch(run), 0);
	EXPECT_EQ(touch(run + 2 * PAGE_SIZE), 0);
}
