// SPDX-License-Identifier: GPL-2.0
/* Protection keys: the guest's PKRU and the host's stay apart. */
#include <stdlib.h>

#include "lib/x86.h"

#define CR4_PKE_TEXT "0x400000"

GUEST64(code, "mov %cr4, %rax\nor $" CR4_PKE_TEXT ", %eax\nmov %rax, %cr4\n"
	      "xor %ecx, %ecx\nxor %edx, %edx\nmov $0x5555aaa8, %eax\nwrpkru\n"
	      "1: hlt\nxor %ecx, %ecx\nrdpkru\njmp 1b\n");

static uint32_t host_pkru(void)
{
	uint32_t pkru, edx;

	__asm__ volatile("rdpkru" : "=a"(pkru), "=d"(edx) : "c"(0));
	return pkru;
}

/* Does the host have protection keys on? */
static bool host_has_keys(void)
{
	uint32_t a = 7, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return c & 1 << 4;
}

TEST(host_and_guest)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, code);
	struct kvm_cpuid2 *cpuid = cpuid_supported(vcpu->vm->kvm);
	const struct kvm_cpuid_entry2 *features = cpuid_find(cpuid, 7, 0);
	uint32_t host;

	if (!host_has_keys() || !features || !(features->ecx & 1 << 3))
		SKIP("no protection keys");
	host = host_pkru();
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(host_pkru(), host);
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		EXPECT_EQ(vcpu_regs(vcpu).rax, 0x5555aaa8);
	}
	free(cpuid);
}
