// SPDX-License-Identifier: GPL-2.0
/* machine: arch=arm64 cmdline=mitigations=auto */
/* Exits where the kernel guards against speculation: all general registers and flags come through them. */
#include "lib/arm64.h"

/* X1 to X26 and the flags are what they were after exits of several kinds; X0 counts rounds. */
#define FILL(n) "mov x" #n ", #" #n "\n"
#define CHECK(n) "cmp x" #n ", #" #n "\nb.ne 9f\n"
#define EACH(what)								\
	what(1) what(2) what(3) what(4) what(5) what(6) what(7) what(8)		\
	what(9) what(10) what(11) what(12) what(13) what(14) what(15) what(16)	\
	what(17) what(18) what(19) what(20) what(21) what(22) what(23) what(24)	\
	what(25) what(26) what(28) what(29) what(30)

GUEST64(exits,
	SET_VECTORS
	"mov x0, #0\n"
	"1:\n" EACH(FILL)
	"mov x27, #0xf0000000\n"
	"msr nzcv, x27\n"
	"wfe\n"
	"mrs x27, nzcv\n"
	"lsr x27, x27, #28\n"
	"cmp x27, #0xf\n"
	"b.ne 9f\n" EACH(CHECK)
	"mrs x27, actlr_el1\n"
	EACH(CHECK)
	REPORT EACH(CHECK)
	"add x0, x0, #1\n"
	"b 1b\n"
	"9: mov x0, #-1\n" DONE);

TEST(registers_come_through)
{
	struct vcpu *vcpu = GUEST_NEW(exits);

	for (int i = 0; i < 100; i++)
		if (!EXPECT_REPORT(vcpu, i))
			break;
}
