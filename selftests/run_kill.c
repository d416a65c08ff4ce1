// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any cpus=2 */
/* A process dies while its threads are in KVM_RUN: nothing stays behind. */
#include <sys/wait.h>

#include "lib/spin.h"

enum { VCPUS = 3, ROUNDS = 8 };

/* A VM whose vCPUs all spin; tells by one byte when they do. */
static void spin_until_killed(int ready)
{
	struct vcpu *first = spin_new();

	spin_run(first);
	for (int i = 1; i < VCPUS; i++)
		spin_run(spin_add(first->vm, i));
	ASSERT_EQ(write(ready, "", 1), 1);
	for (;;)
		pause();
}

static pid_t spinning_child(void)
{
	int ready[2];
	pid_t child;
	char byte;

	ASSERT_OK(pipe(ready));
	child = ASSERT_OK(fork());
	if (!child)
		spin_until_killed(ready[1]);
	close(ready[1]);
	ASSERT_EQ(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return child;
}

static void expect_a_guest_runs(void)
{
	struct vcpu *vcpu = spin_new();

	spin_stop(spin_run(vcpu));
	guest_free(vcpu);
}

TEST_LIMIT(kill_9, 60)
{
	for (int i = 0; i < ROUNDS; i++) {
		pid_t child = spinning_child();
		int status;

		ASSERT_OK(kill(child, SIGKILL));
		ASSERT_EQ(waitpid(child, &status, 0), child);
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	expect_a_guest_runs();
}

/* Two at once; the other one lives on. */
TEST_LIMIT(beside_a_living_one, 60)
{
	struct vcpu *vcpu = spin_new();
	pthread_t thread = spin_run(vcpu);
	pid_t one = spinning_child(), two = spinning_child();

	ASSERT_OK(kill(one, SIGKILL));
	ASSERT_EQ(waitpid(one, NULL, 0), one);
	spin_wait(vcpu);
	ASSERT_OK(kill(two, SIGKILL));
	ASSERT_EQ(waitpid(two, NULL, 0), two);
	spin_wait(vcpu);
	spin_stop(thread);
}

static void exit_while_running(void)
{
	struct vcpu *vcpu = spin_new();

	spin_run(vcpu);
	spin_run(spin_add(vcpu->vm, 1));
	_exit(3);
}

TEST(exit_by_another_thread)
{
	pid_t child = ASSERT_OK(fork());
	int status;

	if (!child)
		exit_while_running();
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	expect_a_guest_runs();
}

static void exec_while_running(void)
{
	struct vcpu *vcpu = spin_new();

	spin_run(vcpu);
	execl("/bin/busybox", "true", (char *)NULL);
	_exit(4);
}

/* exec ends the other threads and closes the descriptors. */
TEST(exec_by_another_thread)
{
	pid_t child = ASSERT_OK(fork());
	int status;

	if (!child)
		exec_while_running();
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	expect_a_guest_runs();
}

/* Stopped and continued by job control */
TEST(stop_and_continue)
{
	pid_t child = spinning_child();
	int status;

	for (int i = 0; i < 3; i++) {
		ASSERT_OK(kill(child, SIGSTOP));
		ASSERT_EQ(waitpid(child, &status, WUNTRACED), child);
		ASSERT_TRUE(WIFSTOPPED(status));
		ASSERT_OK(kill(child, SIGCONT));
		ASSERT_EQ(waitpid(child, &status, WCONTINUED), child);
	}
	ASSERT_OK(kill(child, SIGKILL));
	ASSERT_EQ(waitpid(child, &status, 0), child);
}
