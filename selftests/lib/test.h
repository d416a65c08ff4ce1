/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A small TAP test frame.
 *
 *	TEST(name) { ... }		one test point; runs in a process of its own
 *	TEST_LIMIT(name, s) { ... }	the same with a time limit of s seconds
 *
 * EXPECT_* notes a failure and goes on, ASSERT_* ends the test point, SKIP()
 * ends it as skipped. Each prints what was expected and what came instead.
 * They may be used in threads and in children of a test point.
 */
#ifndef SELFTESTS_TEST_H
#define SELFTESTS_TEST_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Seconds a test point may take; a guard against hangs, not an assertion. */
#define TEST_LIMIT_DEFAULT 20

struct test {
	const char *name;
	void (*fn)(void);
	unsigned int limit;
	struct test *next;
};

void test_register(struct test *test);
void test_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void test_abort(void) __attribute__((noreturn));
void test_skip(const char *fmt, ...)
	__attribute__((noreturn, format(printf, 1, 2)));
void test_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

bool test_eq(const char *file, int line, const char *what, uint64_t got, uint64_t want);
bool test_true(const char *file, int line, const char *what, bool value);
bool test_ok(const char *file, int line, const char *what, long ret, int err);
bool test_errno(const char *file, int line, const char *what, long ret, int err, int want);
bool test_mem(const char *file, int line, const char *what, const void *got, const void *want,
	      unsigned long size);

#define TEST_LIMIT(name_, seconds)						\
	static void point_##name_(void);						\
	static struct test point_struct_##name_ = {				\
		.name = #name_, .fn = point_##name_, .limit = (seconds),		\
	};									\
	__attribute__((constructor)) static void point_register_##name_(void)	\
	{									\
		test_register(&point_struct_##name_);				\
	}									\
	static void point_##name_(void)

#define TEST(name_) TEST_LIMIT(name_, TEST_LIMIT_DEFAULT)

#define TEST_U64(v) ((uint64_t)(v))

/* got == want, as 64-bit values; true when equal */
#define EXPECT_EQ(got, want) \
	test_eq(__FILE__, __LINE__, #got, TEST_U64(got), TEST_U64(want))
#define ASSERT_EQ(got, want) \
	do { if (!EXPECT_EQ(got, want)) test_abort(); } while (0)

#define EXPECT_TRUE(cond) test_true(__FILE__, __LINE__, #cond, !!(cond))
#define ASSERT_TRUE(cond) \
	do { if (!EXPECT_TRUE(cond)) test_abort(); } while (0)

/* A system call that must succeed: any value but -1 */
#define EXPECT_OK(call) ({							\
	errno = 0;								\
	long test_ret_ = (long)(call);						\
	test_ok(__FILE__, __LINE__, #call, test_ret_, errno);			\
	test_ret_; })
#define ASSERT_OK(call) ({							\
	errno = 0;								\
	long test_ret_ = (long)(call);						\
	if (!test_ok(__FILE__, __LINE__, #call, test_ret_, errno))		\
		test_abort();							\
	test_ret_; })

/* A system call that must fail with this errno */
#define EXPECT_ERRNO(call, want) ({						\
	errno = 0;								\
	long test_ret_ = (long)(call);						\
	test_errno(__FILE__, __LINE__, #call, test_ret_, errno, (want)); })
#define ASSERT_ERRNO(call, want) \
	do { if (!EXPECT_ERRNO(call, want)) test_abort(); } while (0)

#define EXPECT_MEM(got, want, size) \
	test_mem(__FILE__, __LINE__, #got, (got), (want), (size))

#define SKIP(...) test_skip(__VA_ARGS__)

#endif
