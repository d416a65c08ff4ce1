// SPDX-License-Identifier: GPL-2.0
/* Instructions that a KVM may intercept and that have no effect a guest can see. */
#include "lib/x86.h"

GUEST64(code,
	"mov $0x10000, %ebx\nmovl $0x1234, (%rbx)\n"
	"wbinvd\nmov (%rbx), %eax\n" REPORT
	"invlpg (%rbx)\nmov (%rbx), %eax\n" REPORT
	"mov %cr3, %rax\nmov %rax, %cr3\nmov (%rbx), %eax\n" REPORT
	"clflush (%rbx)\nmfence\nmov (%rbx), %eax\n" REPORT
	"pause\npause\nmov (%rbx), %eax\n" REPORT
	"wbinvd\nhlt\n");

TEST(memory_stays)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, code);

	for (int i = 0; i < 5; i++)
		ASSERT_REPORT(vcpu, 0x1234);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

/* INVD must not drop what the host has in its caches. */
GUEST64(invalidate, "invd\nmov $5, %eax\n" REPORT "hlt\n");

TEST(invd)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, invalidate);
	volatile uint64_t mine[512];

	for (size_t i = 0; i < ARRAY_SIZE(mine); i++)
		mine[i] = i;
	EXPECT_REPORT(vcpu, 5);
	for (size_t i = 0; i < ARRAY_SIZE(mine); i++)
		ASSERT_EQ(mine[i], i);
}
