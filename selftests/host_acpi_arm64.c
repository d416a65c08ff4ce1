// SPDX-License-Identifier: GPL-2.0
/* machine: arch=arm64 cpus=2 firmware=uefi */
/* A host that ACPI describes, as servers' firmware does: its timers' interrupts still reach guests. */
#include <unistd.h>

#include "timer_arm64.c"

TEST(acpi_describes_the_host)
{
	EXPECT_OK(access("/sys/firmware/acpi/tables/GTDT", R_OK));
	EXPECT_TRUE(access("/proc/device-tree/timer", F_OK) != 0);
}
