// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* fork under a guest: copy on write keeps the guest with its own process. */
#include <sys/wait.h>
#include <unistd.h>

#include "lib/sweep.h"

enum { PAGES = 32 };

/* A child that waits for one byte, then checks its own copy of the memory. */
static pid_t fork_watcher(const uint8_t *mem, uint64_t first, int *go)
{
	int pipe_fds[2];
	pid_t child;
	char byte;

	ASSERT_OK(pipe(pipe_fds));
	child = ASSERT_OK(fork());
	if (child) {
		close(pipe_fds[0]);
		*go = pipe_fds[1];
		return child;
	}
	close(pipe_fds[1]);
	ASSERT_EQ(read(pipe_fds[0], &byte, 1), 1);
	EXPECT_EQ(host_mismatches(mem, PAGES, first), 0);
	_exit(0);
}

static void finish(pid_t child, int go)
{
	int status;

	ASSERT_EQ(write(go, "", 1), 1);
	close(go);
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
}

TEST(the_child_keeps_the_old_contents)
{
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);
	pid_t child;
	int go;

	guest_fill(vcpu, SWEEP_GPA, PAGES, 100);
	child = fork_watcher(mem, 100, &go);
	guest_fill(vcpu, SWEEP_GPA, PAGES, 200);
	EXPECT_EQ(host_mismatches(mem, PAGES, 200), 0);
	finish(child, go);
	EXPECT_EQ(host_mismatches(mem, PAGES, 200), 0);
}

/* The host's write after a fork makes the copy; the guest must follow it. */
TEST(the_guest_sees_the_copy_of_its_process)
{
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);
	pid_t child;
	int go;

	guest_fill(vcpu, SWEEP_GPA, PAGES, 100);
	child = fork_watcher(mem, 100, &go);
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 100), 0);
	host_fill(mem, PAGES, 300);
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 300), 0);
	finish(child, go);
}

/* A child that writes does not reach the guest. */
TEST(writes_of_the_child_stay_there)
{
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);
	pid_t child;
	int status;

	guest_fill(vcpu, SWEEP_GPA, PAGES, 100);
	child = ASSERT_OK(fork());
	if (!child) {
		host_fill(mem, PAGES, 400);
		_exit(0);
	}
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 100), 0);
	guest_fill(vcpu, SWEEP_GPA, PAGES, 500);
	EXPECT_EQ(host_mismatches(mem, PAGES, 500), 0);
}
