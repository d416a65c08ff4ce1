// SPDX-License-Identifier: GPL-2.0
/* KVM_X86_GET_MCE_CAP_SUPPORTED, KVM_X86_SETUP_MCE, KVM_X86_SET_MCE: SDM volume 3, chapter 16. */
#include "lib/traps.h"

enum { BANKS = 10, MC_CTL = 0x400, MC_STATUS = 0x401, MC_ADDR = 0x402, MC_MISC = 0x403 };
enum { MSR_MCG_CAP = 0x179, MSR_MCG_STATUS = 0x17a, MSR_MCG_CTL = 0x17b };

#define MCG_CTL_P (1UL << 8)
#define MCG_MCIP (1UL << 2)
#define STATUS_VALID (1UL << 63)
#define STATUS_OVERFLOW (1UL << 62)
#define STATUS_UNCORRECTED (1UL << 61)
#define STATUS_ENABLED (1UL << 60)
#define CR4_MCE 0x40UL

static uint64_t supported(void)
{
	uint64_t cap;

	ASSERT_OK(ioctl(kvm_open(), KVM_X86_GET_MCE_CAP_SUPPORTED, &cap));
	return cap;
}

static int set_up(struct vcpu *vcpu, uint64_t cap)
{
	return ioctl(vcpu->fd, KVM_X86_SETUP_MCE, &cap);
}

static int raise(struct vcpu *vcpu, uint8_t bank, uint64_t status)
{
	const struct kvm_x86_mce mce = {
		.status = status, .bank = bank, .addr = 0x1234000, .misc = 0x8c,
		.mcg_status = MCG_MCIP,
	};

	return ioctl(vcpu->fd, KVM_X86_SET_MCE, &mce);
}

static uint64_t msr(struct vcpu *vcpu, uint32_t index)
{
	uint64_t value;

	ASSERT_EQ(msr_get(vcpu->fd, index, &value), 1);
	return value;
}

TEST(is_offered)
{
	EXPECT_TRUE(kvm_check(kvm_open(), KVM_CAP_MCE) > 0);
	EXPECT_TRUE(supported() & MCG_CTL_P);
}

TEST(set_up)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);
	const int most = kvm_check(vcpu->vm->kvm, KVM_CAP_MCE);

	EXPECT_ERRNO(set_up(vcpu, 0), EINVAL);
	EXPECT_ERRNO(set_up(vcpu, most + 1), EINVAL);
	EXPECT_ERRNO(set_up(vcpu, 0xff), EINVAL);
	EXPECT_ERRNO(set_up(vcpu, 1UL << 63 | BANKS), EINVAL);
	EXPECT_OK(set_up(vcpu, most));
	EXPECT_OK(set_up(vcpu, MCG_CTL_P | BANKS));
	EXPECT_EQ(msr(vcpu, MSR_MCG_CAP), MCG_CTL_P | BANKS);
	EXPECT_EQ(msr(vcpu, MSR_MCG_CTL), -1UL);
	for (uint32_t bank = 0; bank < BANKS; bank++) {
		EXPECT_EQ(msr(vcpu, MC_CTL + 4 * bank), -1UL);
		EXPECT_EQ(msr(vcpu, MC_STATUS + 4 * bank), 0);
	}
}

TEST(refused_events)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);

	ASSERT_OK(set_up(vcpu, MCG_CTL_P | BANKS));
	EXPECT_ERRNO(raise(vcpu, BANKS, STATUS_VALID), EINVAL);
	EXPECT_ERRNO(raise(vcpu, 0xff, STATUS_VALID), EINVAL);
	EXPECT_ERRNO(raise(vcpu, 1, 0), EINVAL);
}

/* A corrected error is for the guest to find in its bank. */
TEST(corrected)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);
	const uint64_t status = STATUS_VALID | STATUS_ENABLED | 0x9f;

	ASSERT_OK(set_up(vcpu, MCG_CTL_P | BANKS));
	ASSERT_OK(raise(vcpu, 3, status));
	EXPECT_EQ(msr(vcpu, MC_STATUS + 4 * 3), status);
	EXPECT_EQ(msr(vcpu, MC_ADDR + 4 * 3), 0x1234000);
	EXPECT_EQ(msr(vcpu, MC_MISC + 4 * 3), 0x8c);
	EXPECT_EQ(msr(vcpu, MC_STATUS + 4 * 2), 0);
	/* One that came before it was read */
	ASSERT_OK(raise(vcpu, 3, status));
	EXPECT_EQ(msr(vcpu, MC_STATUS + 4 * 3), status | STATUS_OVERFLOW);
}

GUEST64(machine_check,
	"mov %cr4, %rax\nor $0x40, %rax\nmov %rax, %cr4\n"
	"mov $1, %eax\n" REPORT
	"machine_check_here: nop\nhlt\n");
LABEL(machine_check_here);

/* An uncorrected one is an exception. */
TEST(uncorrected)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(machine_check);
	const uint64_t status = STATUS_VALID | STATUS_UNCORRECTED | STATUS_ENABLED | 0x9f;

	ASSERT_OK(set_up(vcpu, MCG_CTL_P | BANKS));
	ASSERT_REPORT(vcpu, 1);
	ASSERT_OK(raise(vcpu, 2, status));
	ASSERT_TRAP(vcpu, MC_VECTOR, 0, GUEST_ADDR(machine_check, machine_check_here));
	EXPECT_EQ(msr(vcpu, MSR_MCG_STATUS), MCG_MCIP);
	EXPECT_EQ(msr(vcpu, MC_STATUS + 4 * 2), status);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

GUEST64(unprepared, "mov $1, %eax\n" REPORT "hlt\n");

/* A guest that has not enabled machine checks shuts down. */
TEST(uncorrected_and_unprepared)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(unprepared);

	ASSERT_OK(set_up(vcpu, MCG_CTL_P | BANKS));
	ASSERT_REPORT(vcpu, 1);
	ASSERT_OK(raise(vcpu, 2, STATUS_VALID | STATUS_UNCORRECTED | STATUS_ENABLED));
	EXPECT_RUN(vcpu, KVM_EXIT_SHUTDOWN);
}

TEST(bad_pointers)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);

	EXPECT_ERRNO(ioctl(vcpu->vm->kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, 16), EFAULT);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_X86_SETUP_MCE, 16), EFAULT);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_X86_SET_MCE, 16), EFAULT);
}
