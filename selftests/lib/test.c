// SPDX-License-Identifier: GPL-2.0
/* The TAP test frame: every test point runs in a forked child. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

enum { EXIT_PASS = 0, EXIT_FAIL = 1 };

/* What a test point tells its parent, shared with all processes it makes. */
struct verdict {
	atomic_int failures;
	atomic_int skipped;
	char why[160];
};

static struct test *tests;
static struct test **tests_end = &tests;
static struct verdict *verdict;

void test_register(struct test *test)
{
	*tests_end = test;
	tests_end = &test->next;
}

/* One diagnostic line in one write, so that threads do not mix theirs. */
static void diagnose(const char *prefix, const char *fmt, va_list args)
{
	char line[1024];
	int used = snprintf(line, sizeof(line), "# %s", prefix);
	int more = vsnprintf(line + used, sizeof(line) - used - 1, fmt, args);

	used += more;
	if (used > (int)sizeof(line) - 2)
		used = sizeof(line) - 2;
	line[used++] = '\n';
	fflush(stdout);
	if (write(STDOUT_FILENO, line, used) < 0)
		abort();
}

void test_note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	diagnose("", fmt, args);
	va_end(args);
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
	char prefix[160];
	va_list args;

	snprintf(prefix, sizeof(prefix), "%s:%d: ", basename(file), line);
	va_start(args, fmt);
	diagnose(prefix, fmt, args);
	va_end(args);
	atomic_fetch_add(&verdict->failures, 1);
}

void test_abort(void)
{
	fflush(stdout);
	_exit(EXIT_FAIL);
}

void test_skip(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(verdict->why, sizeof(verdict->why), fmt, args);
	va_end(args);
	atomic_store(&verdict->skipped, 1);
	fflush(stdout);
	_exit(EXIT_PASS);
}

bool test_eq(const char *file, int line, const char *what, uint64_t got, uint64_t want)
{
	if (got == want)
		return true;
	test_fail(file, line, "%s: expected 0x%llx (%lld), got 0x%llx (%lld)", what,
		  (unsigned long long)want, (long long)want,
		  (unsigned long long)got, (long long)got);
	return false;
}

bool test_true(const char *file, int line, const char *what, bool value)
{
	if (!value)
		test_fail(file, line, "expected %s, got the contrary", what);
	return value;
}

static const char *errno_name(int err)
{
	const char *name = err ? strerrorname_np(err) : "success";

	return name ? name : "an unknown errno";
}

bool test_ok(const char *file, int line, const char *what, long ret, int err)
{
	if (ret != -1)
		return true;
	test_fail(file, line, "%s: expected success, got %s", what, errno_name(err));
	return false;
}

bool test_errno(const char *file, int line, const char *what, long ret, int err, int want)
{
	if (ret == -1 && err == want)
		return true;
	if (ret == -1)
		test_fail(file, line, "%s: expected %s, got %s", what, errno_name(want),
			  errno_name(err));
	else
		test_fail(file, line, "%s: expected %s, got success (%ld)", what,
			  errno_name(want), ret);
	return false;
}

bool test_mem(const char *file, int line, const char *what, const void *got, const void *want,
	      unsigned long size)
{
	const uint8_t *g = got, *w = want;

	for (unsigned long i = 0; i < size; i++) {
		if (g[i] == w[i])
			continue;
		test_fail(file, line, "%s, byte %lu of %lu: expected 0x%02x, got 0x%02x", what, i,
			  size, w[i], g[i]);
		return false;
	}
	return true;
}

static void run_child(const struct test *test)
{
	setpgid(0, 0);
	signal(SIGALRM, SIG_DFL);
	alarm(test->limit);
	test->fn();
	fflush(stdout);
	_exit(EXIT_PASS);
}

/* Runs one test point and prints its TAP line; true unless it failed. */
static bool run_test(const struct test *test, int number)
{
	int status;
	pid_t pid;

	memset(verdict, 0, sizeof(*verdict));
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		run_child(test);
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		printf("not ok %d - %s\n# fork or wait failed: %s\n", number, test->name,
		       strerror(errno));
		return false;
	}
	/* Children that the test point left behind, in its process group */
	kill(-pid, SIGKILL);

	bool passed = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_PASS &&
		      !atomic_load(&verdict->failures);

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		printf("# expected an end within %u s, got none\n", test->limit);
	else if (WIFSIGNALED(status))
		printf("# expected an exit, got signal %s\n", sigabbrev_np(WTERMSIG(status)));
	if (passed && atomic_load(&verdict->skipped))
		printf("ok %d - %s # SKIP %s\n", number, test->name, verdict->why);
	else
		printf("%s %d - %s\n", passed ? "ok" : "not ok", number, test->name);
	return passed;
}

/* With arguments, only the test points named. */
static bool selected(const struct test *test, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (!strcmp(*names, test->name))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	int count = 0, number = 0;
	bool passed = true;

	(void)argc;
	setvbuf(stdout, NULL, _IOLBF, 0);
	verdict = mmap(NULL, sizeof(*verdict), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (verdict == MAP_FAILED) {
		printf("Bail out! mmap: %s\n", strerror(errno));
		return EXIT_FAIL;
	}
	for (struct test *test = tests; test; test = test->next)
		count += selected(test, argv + 1);
	if (!count) {
		printf("Bail out! no such test\n");
		return EXIT_FAIL;
	}
	printf("TAP version 13\n1..%d\n", count);
	for (struct test *test = tests; test; test = test->next)
		if (selected(test, argv + 1))
			passed &= run_test(test, ++number);
	return passed ? EXIT_PASS : EXIT_FAIL;
}
