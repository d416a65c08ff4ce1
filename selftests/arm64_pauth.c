// SPDX-License-Identifier: GPL-2.0
/* Pointer authentication: each guest has its own keys, and without the feature there is none. */
/* machine: arch=arm64 cpu=max */
#include "lib/arm64.h"

__asm__(".arch armv8.3-a");

#define KEYS(DO)									\
	DO("S3_0_C2_C1_0") DO("S3_0_C2_C1_1") DO("S3_0_C2_C1_2") DO("S3_0_C2_C1_3")	\
	DO("S3_0_C2_C2_0") DO("S3_0_C2_C2_1") DO("S3_0_C2_C2_2") DO("S3_0_C2_C2_3")	\
	DO("S3_0_C2_C3_0") DO("S3_0_C2_C3_1")
#define WRITE(key) "add x2, x2, #1\nmsr " key ", x2\n"
#define CHECK(key) "add x2, x2, #1\nmrs x3, " key "\ncmp x2, x3\ncinc x1, x1, ne\n"

/* All keys from X0 on; then a pointer signed by the first and by the second, which must be the same after an exit. */
GUEST64(keys,
	"mrs x9, sctlr_el1\nmov x10, #0xc0000000\norr x9, x9, x10\nmsr sctlr_el1, x9\nisb\n"
	"1: mov x2, x0\n" KEYS(WRITE) "isb\n"
	"mov x5, #0x1000\nmov x6, #7\npacia x5, x6\nmov x7, #0x1000\npacib x7, x6\n"
	REPORT
	"mov x1, #0\nmov x2, x0\n" KEYS(CHECK)
	"mov x3, #0x1000\npacia x3, x6\ncmp x3, x5\ncinc x1, x1, ne\n"
	"mov x3, #0x1000\npacib x3, x6\ncmp x3, x7\ncinc x1, x1, ne\n"
	"mov x28, x0\nmov x0, x1\n" REPORT
	"add x0, x28, #0x100\nb 1b\n");

static struct vcpu *make(const uint8_t *code, const uint8_t *end, uint32_t features)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	struct vcpu *vcpu = vcpu_create(vm, 0);
	struct kvm_vcpu_init init;

	ASSERT_OK(ioctl(vm->fd, KVM_ARM_PREFERRED_TARGET, &init));
	init.features[0] |= features;
	ASSERT_OK(ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init));
	vm_vectors(vm);
	vm_write(vm, GUEST_CODE, code, end - code);
	vcpu_start(vcpu, GUEST_CODE);
	return vcpu;
}

#define PTRAUTH (1u << KVM_ARM_VCPU_PTRAUTH_ADDRESS | 1u << KVM_ARM_VCPU_PTRAUTH_GENERIC)

static void need_pointer_authentication(void)
{
	int kvm = kvm_open();

	if (!kvm_check(kvm, KVM_CAP_ARM_PTRAUTH_ADDRESS) || !kvm_check(kvm, KVM_CAP_ARM_PTRAUTH_GENERIC))
		SKIP("the device offers no pointer authentication");
}

TEST(each_guest_has_its_keys)
{
	enum { GUESTS = 3, ROUNDS = 10 };
	struct vcpu *vcpus[GUESTS];

	need_pointer_authentication();
	for (int i = 0; i < GUESTS; i++) {
		vcpus[i] = make(keys, keys_end, PTRAUTH);
		vcpu_set_reg(vcpus[i], REG_X(0), 0x12340000UL * (i + 1));
	}
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < GUESTS; i++) {
			ASSERT_OK(vcpu_run(vcpus[i]));
			ASSERT_EXIT(vcpus[i], KVM_EXIT_MMIO);
		}
		for (int i = 0; i < GUESTS; i++)
			ASSERT_REPORT(vcpus[i], 0);
	}
}

/* The keys by their ids, too */
TEST(keys_by_ioctl)
{
	const uint64_t low = ARM64_SYS_REG(3, 0, 2, 1, 0), last = ARM64_SYS_REG(3, 0, 2, 3, 1);
	struct vcpu *vcpu;

	need_pointer_authentication();
	vcpu = make(keys, keys_end, PTRAUTH);
	vcpu_set_reg(vcpu, REG_X(0), 0x100);
	ASSERT_REPORT(vcpu, 0x100);
	EXPECT_EQ(vcpu_reg(vcpu, low), 0x101);
	EXPECT_EQ(vcpu_reg(vcpu, last), 0x10a);
	vcpu_set_reg(vcpu, low, 77);
	/* The key is not what it was, and so neither is what it signs. */
	EXPECT_REPORT(vcpu, 2);
}

GUEST64(alone, SET_VECTORS "pacga x1, x2, x3\nmrs x0, S3_0_C2_C1_0\n" DONE);

TEST(undefined_without_the_feature)
{
	const uint64_t undefined = 1UL << 25;
	struct vcpu *vcpu = make(alone, alone_end, 0);

	EXPECT_REPORT(vcpu, undefined);
	ASSERT_OK(vcpu_run(vcpu));
	EXPECT_REPORT(vcpu, undefined);
	ASSERT_OK(vcpu_run(vcpu));
	EXPECT_DONE(vcpu);
}
