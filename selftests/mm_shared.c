// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* Guest memory that is a shared file: others see it, holes reach the guest. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <unistd.h>

#include "lib/sweep.h"

enum { PAGES = 40 };

static int file_new(void)
{
	int fd = ASSERT_OK(memfd_create("guest", MFD_CLOEXEC));

	ASSERT_OK(ftruncate(fd, PAGES * PAGE_SIZE));
	return fd;
}

static uint8_t *file_map(int fd)
{
	uint8_t *mem = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	ASSERT_OK((long)mem);
	return mem;
}

TEST(the_file_and_another_mapping)
{
	int fd = file_new();
	uint8_t *mem = file_map(fd), *other = file_map(fd);
	struct vcpu *vcpu = sweep_new(mem, PAGES);
	uint64_t value;

	guest_fill(vcpu, SWEEP_GPA, PAGES, 10);
	EXPECT_EQ(host_mismatches(other, PAGES, 10), 0);
	ASSERT_EQ(pread(fd, &value, sizeof(value), 3 * PAGE_SIZE), sizeof(value));
	EXPECT_EQ(value, 13);
	value = 0x7777;
	ASSERT_EQ(pwrite(fd, &value, sizeof(value), 4 * PAGE_SIZE), sizeof(value));
	EXPECT_EQ(guest_peek(vcpu, SWEEP_GPA + 4 * PAGE_SIZE), 0x7777);
}

TEST(a_hole_punched_into_the_file)
{
	int fd = file_new();
	uint8_t *mem = file_map(fd);
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	guest_fill(vcpu, SWEEP_GPA, PAGES, 10);
	ASSERT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5 * PAGE_SIZE,
			    2 * PAGE_SIZE));
	EXPECT_EQ(guest_peek(vcpu, SWEEP_GPA + 5 * PAGE_SIZE), 0);
	EXPECT_EQ(guest_peek(vcpu, SWEEP_GPA + 6 * PAGE_SIZE), 0);
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 10), 2);
}

TEST(beyond_the_end_of_the_file)
{
	int fd = file_new();
	uint8_t *mem = file_map(fd);
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	guest_fill(vcpu, SWEEP_GPA, PAGES, 10);
	ASSERT_OK(ftruncate(fd, PAGE_SIZE));
	EXPECT_EQ(guest_peek(vcpu, SWEEP_GPA), 10);
	sweep_start(vcpu, sweep_peek, SWEEP_GPA + PAGE_SIZE, 1, 0);
	EXPECT_ERRNO(vcpu_run(vcpu), EFAULT);
}

TEST(two_vms_share_it)
{
	int fd = file_new();
	struct vcpu *one = sweep_new(file_map(fd), PAGES), *two = sweep_new(file_map(fd), PAGES);

	guest_fill(one, SWEEP_GPA, PAGES, 10);
	EXPECT_EQ(guest_mismatches(two, SWEEP_GPA, PAGES, 10), 0);
	guest_fill(two, SWEEP_GPA, PAGES, 20);
	EXPECT_EQ(guest_mismatches(one, SWEEP_GPA, PAGES, 20), 0);
}

/* A private mapping of a file that is only readable: the guest's writes are copies. */
TEST(private_mapping_of_a_file)
{
	int fd = file_new();
	uint8_t *shared = file_map(fd), *mem;
	struct vcpu *vcpu;

	host_fill(shared, PAGES, 10);
	mem = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_OK((long)mem);
	vcpu = sweep_new(mem, PAGES);
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 10), 0);
	guest_fill(vcpu, SWEEP_GPA, PAGES, 60);
	EXPECT_EQ(host_mismatches(mem, PAGES, 60), 0);
	EXPECT_EQ(host_mismatches(shared, PAGES, 10), 0);
}
