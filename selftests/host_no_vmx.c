// SPDX-License-Identifier: GPL-2.0
/* On a processor without VMX the module says so and does not load. */
/* machine: cpu=p4_prescott_celeron_336 kvm=none */
#include "lib/module.h"

TEST(refuses_with_eopnotsupp)
{
	if (kvm_is_c())
		SKIP("C KVM's message is its own matter");
	EXPECT_ERRNO(module_insert(RUST_MODULE, ""), EOPNOTSUPP);
	EXPECT_TRUE(!module_loaded("rust_kvm"));
}

TEST(says_why)
{
	int lines;

	if (kvm_is_c())
		SKIP("C KVM's message is its own matter");
	/* At its first load the kernel itself names the module in the log. */
	module_insert(RUST_MODULE, "");
	lines = log_count("rust_kvm: ");
	module_insert(RUST_MODULE, "");
	EXPECT_TRUE(log_count("rust_kvm: ") > lines);
}

TEST(again_and_again)
{
	if (kvm_is_c())
		SKIP("C KVM's message is its own matter");
	for (int i = 0; i < 10; i++)
		EXPECT_ERRNO(module_insert(RUST_MODULE, ""), EOPNOTSUPP);
}
