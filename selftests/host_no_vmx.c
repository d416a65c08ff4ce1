// SPDX-License-Identifier: GPL-2.0
/* On a processor without VMX the module says so and does not load. */
/* machine: cpu=p4_prescott_celeron_336 kvm=none */
#include "lib/refusal.h"

TEST(refuses_with_eopnotsupp)
{
	if (kvm_is_c())
		SKIP("C KVM's message is its own matter");
	expect_refusal(EOPNOTSUPP);
}

TEST(says_why)
{
	if (kvm_is_c())
		SKIP("C KVM's message is its own matter");
	expect_reason();
}

TEST(again_and_again)
{
	if (kvm_is_c())
		SKIP("C KVM's message is its own matter");
	expect_refusals(EOPNOTSUPP);
}
