// SPDX-License-Identifier: GPL-2.0
/* On a processor with VMX but without EPT the module says so and does not load. */
/* machine: cpu=core2_penryn_t9600 kvm=none */
#include "lib/refusal.h"

TEST(refuses_with_eopnotsupp)
{
	if (kvm_is_c())
		SKIP("C KVM shadows page tables there");
	expect_refusal(EOPNOTSUPP);
}

TEST(says_why)
{
	if (kvm_is_c())
		SKIP("C KVM shadows page tables there");
	expect_reason();
}

TEST(again_and_again)
{
	if (kvm_is_c())
		SKIP("C KVM shadows page tables there");
	expect_refusals(EOPNOTSUPP);
}
