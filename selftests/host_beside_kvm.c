// SPDX-License-Identifier: GPL-2.0
/* Two hypervisors on one processor: the module refuses to load beside an active kvm-intel. */
#include <stdlib.h>
#include <unistd.h>

#include "lib/module.h"
#include "lib/x86.h"

GUEST64(halting, "1: hlt\njmp 1b\n");

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

/* C KVM that does not use VMX yet, but may at any time */
TEST_LIMIT(refuses_beside_an_idle_kvm_intel, 60)
{
	if (kvm_is_c())
		SKIP("it is rust_kvm that refuses");
	ASSERT_EQ(system("load-kvm linux kvm.enable_virt_at_load=0"), 0);
	EXPECT_ERRNO(module_insert(RUST_MODULE, ""), EBUSY);
	EXPECT_TRUE(!module_loaded("rust_kvm"));
	ASSERT_OK(setenv("KVM_DEVICE", "/dev/kvm", 1));
	guest_smoke();
	EXPECT_ERRNO(module_insert(RUST_MODULE, ""), EBUSY);
	ASSERT_EQ(system("load-kvm rust"), 0);
	ASSERT_OK(setenv("KVM_DEVICE", "/dev/rust_kvm", 1));
	guest_smoke();
}

/* kvm-intel comes second, with and without VMX from the start; a guest lives through it. */
TEST_LIMIT(keeps_kvm_intel_out, 60)
{
	static const char *const virt_at_load[] = {
		"enable_virt_at_load=1", "enable_virt_at_load=0",
	};
	struct vcpu *vcpu;

	if (kvm_is_c())
		SKIP("it is rust_kvm that keeps kvm-intel out");
	ASSERT_EQ(system("load-kvm rust"), 0);
	vcpu = GUEST_NEW(MODE_LONG, halting);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	if (!module_loaded("irqbypass"))
		ASSERT_OK(module_insert("/modules/irqbypass.ko", ""));
	for (size_t i = 0; i < ARRAY_SIZE(virt_at_load); i++) {
		ASSERT_OK(module_insert("/modules/kvm.ko", virt_at_load[i]));
		EXPECT_ERRNO(module_insert("/modules/kvm-intel.ko", "enable_apicv=0"), EBUSY);
		EXPECT_TRUE(!module_loaded("kvm_intel"));
		EXPECT_RUN(vcpu, KVM_EXIT_HLT);
		guest_smoke();
		ASSERT_OK(module_delete("kvm"));
	}
	guest_free(vcpu);
	/* It is as free to go and to come back as ever. */
	ASSERT_EQ(system("load-kvm rust"), 0);
	guest_smoke();
}
