// SPDX-License-Identifier: GPL-2.0
/* Two hypervisors on one processor: the module refuses to load beside an active kvm-intel. */
#include <stdlib.h>
#include <unistd.h>

#include "lib/module.h"
#include "lib/x86.h"

TEST_LIMIT(refuses_beside_kvm_intel, 60)
{
	int lines;

	if (kvm_is_c())
		SKIP("it is rust_kvm that refuses");
	ASSERT_EQ(system("load-kvm linux"), 0);
	lines = log_count("rust_kvm: ");
	EXPECT_EQ(module_insert(RUST_MODULE, ""), -1);
	EXPECT_TRUE(errno == EBUSY || errno == EOPNOTSUPP);
	EXPECT_TRUE(!module_loaded("rust_kvm"));
	EXPECT_TRUE(log_count("rust_kvm: ") > lines);
	/* C KVM is as it was. */
	ASSERT_OK(setenv("KVM_DEVICE", "/dev/kvm", 1));
	guest_smoke();
	ASSERT_EQ(system("load-kvm rust"), 0);
	ASSERT_OK(setenv("KVM_DEVICE", "/dev/rust_kvm", 1));
	guest_smoke();
}

TEST_LIMIT(takes_turns_with_kvm_intel, 120)
{
	if (kvm_is_c())
		SKIP("the same as on rust_kvm");
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(system("load-kvm linux"), 0);
		ASSERT_OK(setenv("KVM_DEVICE", "/dev/kvm", 1));
		guest_smoke();
		ASSERT_EQ(system("load-kvm rust"), 0);
		ASSERT_OK(setenv("KVM_DEVICE", "/dev/rust_kvm", 1));
		guest_smoke();
	}
}
