/* SPDX-License-Identifier: GPL-2.0 */
/* Machines on which the module does not load. */
#ifndef SELFTESTS_REFUSAL_H
#define SELFTESTS_REFUSAL_H

#include "module.h"

/* The module does not load, with that errno. */
static inline void expect_refusal(int error)
{
	EXPECT_ERRNO(module_insert(RUST_MODULE, ""), error);
	EXPECT_TRUE(!module_loaded("rust_kvm"));
}

/* It says why in the kernel log. */
static inline void expect_reason(void)
{
	int lines;

	/* At its first load the kernel itself names the module in the log. */
	module_insert(RUST_MODULE, "");
	lines = log_count("rust_kvm: ");
	module_insert(RUST_MODULE, "");
	EXPECT_TRUE(log_count("rust_kvm: ") > lines);
}

/* However often it is tried. */
static inline void expect_refusals(int error)
{
	for (int i = 0; i < 10; i++)
		EXPECT_ERRNO(module_insert(RUST_MODULE, ""), error);
}

#endif
