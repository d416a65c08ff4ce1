// SPDX-License-Identifier: GPL-2.0
/* Beside the kernel's own KVM, which is built in there, the module does not load and says why. */
/* machine: arch=arm64 kvm=none */
#include "lib/refusal.h"

TEST(refuses_with_ebusy)
{
	if (kvm_is_c())
		SKIP("C KVM is built in there");
	expect_refusal(EBUSY);
}

TEST(says_why)
{
	if (kvm_is_c())
		SKIP("C KVM is built in there");
	expect_reason();
}

TEST(again_and_again)
{
	if (kvm_is_c())
		SKIP("C KVM is built in there");
	expect_refusals(EBUSY);
}
