// SPDX-License-Identifier: GPL-2.0
/* machine: cpu=broadwell_ult cmdline=mitigations=auto */
/*
 * On a processor with L1TF (CVE-2018-3646) the first-level data cache is emptied before a guest is entered after other
 * things have run, but not between exits that the kernel handles without them.
 */
#include <fcntl.h>
#include <string.h>

#include "lib/stats.h"
#include "lib/x86.h"

enum { ROUNDS = 20, EXITS = 2000 };

/* EDI times CPUID, then HLT */
GUEST64(cpuids,
	"1: mov %edi, %esi\n"
	"2: xor %eax, %eax\n"
	"cpuid\n"
	"dec %esi\n"
	"jnz 2b\n"
	"hlt\n"
	"jmp 1b\n");

static void host_is_prone(void)
{
	char text[128] = "";
	const int fd = ASSERT_OK(open("/sys/devices/system/cpu/vulnerabilities/l1tf", O_RDONLY));

	ASSERT_TRUE(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	ASSERT_TRUE(strncmp(text, "Mitigation", strlen("Mitigation")) == 0);
}

static struct vcpu *guest(uint64_t exits)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, cpuids);
	const struct kvm_regs regs = {
		.rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rdi = exits,
	};

	vcpu_set_regs(vcpu, &regs);
	return vcpu;
}

TEST(every_run_begins_with_an_empty_cache)
{
	struct vcpu *vcpu = guest(1);
	const int fd = stats_open(vcpu->fd);

	host_is_prone();
	for (unsigned int i = 1; i <= ROUNDS; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		EXPECT_TRUE(stats_value(fd, "l1d_flush") >= i);
	}
	close(fd);
}

TEST(exits_handled_in_the_kernel_leave_the_cache)
{
	struct vcpu *vcpu = guest(EXITS);
	const int fd = stats_open(vcpu->fd);

	host_is_prone();
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_TRUE(stats_value(fd, "exits") > EXITS);
	EXPECT_TRUE(stats_value(fd, "l1d_flush") < EXITS / 2);
	close(fd);
}
