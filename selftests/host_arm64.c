// SPDX-License-Identifier: GPL-2.0
/* Beside the kernel's own KVM, which is built in there, the module does not load and says why. */
/* machine: arch=arm64 kvm=none */
#include "lib/module.h"

TEST(refuses_with_ebusy)
{
	if (kvm_is_c())
		SKIP("C KVM is built in there");
	EXPECT_ERRNO(module_insert(RUST_MODULE, ""), EBUSY);
	EXPECT_TRUE(!module_loaded("rust_kvm"));
}

TEST(says_why)
{
	int lines;

	if (kvm_is_c())
		SKIP("C KVM is built in there");
	/* At its first load the kernel itself names the module in the log. */
	module_insert(RUST_MODULE, "");
	lines = log_count("rust_kvm: ");
	module_insert(RUST_MODULE, "");
	EXPECT_TRUE(log_count("rust_kvm: ") > lines);
}

TEST(again_and_again)
{
	if (kvm_is_c())
		SKIP("C KVM is built in there");
	for (int i = 0; i < 10; i++)
		EXPECT_ERRNO(module_insert(RUST_MODULE, ""), EBUSY);
}
