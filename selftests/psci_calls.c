// SPDX-License-Identifier: GPL-2.0
/* Calls of arm64 guests that are answered at once: versions, features, services. */
/* machine: arch=arm64 */
#include <string.h>

#include "lib/psci.h"

CALLER(caller);

enum {
	SMCCC_VERSION = 0x80000000,
	SMCCC_ARCH_FEATURES = 0x80000001,
	WORKAROUND_1 = 0x80008000,
	TRNG_VERSION = 0x84000050,
	TRNG_FEATURES = 0x84000051,
	TRNG_UUID = 0x84000052,
	TRNG_RND = 0x84000053,
	PV_TIME_FEATURES = 0xc5000020,
	PV_TIME_ST = 0xc5000021,
	KVM_FEATURES = 0x86000000,
	KVM_PTP = 0x86000001,
	KVM_UID = 0x8600ff01,
};

#define REG_PSCI_VERSION FIRMWARE_REG(0)

static struct vcpu *caller_with(uint32_t features)
{
	struct vm *vm = vm_new(GUEST_PAGES);

	VM_LOAD(vm, caller);
	return vcpu_with(vm, 0, features);
}

TEST(version)
{
	struct vcpu *vcpu = caller_with(FEATURE(PSCI_0_2));

	EXPECT_EQ(vcpu_reg(vcpu, REG_PSCI_VERSION), 0x10003);
	EXPECT_EQ(call0(vcpu, PSCI_VERSION, 0, 0, 0), 0x10003);
	EXPECT_EQ(call0(vcpu, SMCCC_VERSION, 0, 0, 0), 0x10001);
	EXPECT_EQ(call0(vcpu, PSCI_MIGRATE_INFO_TYPE, 0, 0, 0), 2);
	EXPECT_EQ(call0(vcpu, 0x84000005, 0, 0, 0), NOT_SUPPORTED);
	EXPECT_EQ(call0(vcpu, 0x12345678, 0, 0, 0), NOT_SUPPORTED);
	EXPECT_EQ(call0(vcpu, PSCI_SYSTEM_SUSPEND | WIDE, 0, 0, 0), NOT_SUPPORTED);
}

/* Only X0 to X3 change. */
TEST(results)
{
	struct vcpu *vcpu = caller_with(FEATURE(PSCI_0_2));
	struct results results;

	vcpu_set_reg(vcpu, REG_X(4), 44);
	vcpu_set_reg(vcpu, REG_X(17), 17);
	results = call(vcpu, PSCI_VERSION, 1, 2, 3);
	for (int i = 1; i < 4; i++)
		EXPECT_EQ(results.x[i], 0);
	EXPECT_EQ(vcpu_reg(vcpu, REG_X(4)), 44);
	EXPECT_EQ(vcpu_reg(vcpu, REG_X(17)), 17);
}

TEST(versions_of_the_vmm)
{
	static const struct { uint64_t version; long features, reset2, off2; } versions[] = {
		{ 2, NOT_SUPPORTED, NOT_SUPPORTED, NOT_SUPPORTED },
		{ 0x10000, 0, NOT_SUPPORTED, NOT_SUPPORTED },
		{ 0x10001, 0, 0, NOT_SUPPORTED },
		{ 0x10002, 0, 0, NOT_SUPPORTED },
		{ 0x10003, 0, 0, 1 },
	};
	uint64_t value;

	for (unsigned int i = 0; i < ARRAY_SIZE(versions); i++) {
		struct vcpu *vcpu = caller_with(FEATURE(PSCI_0_2));

		vcpu_set_reg(vcpu, REG_PSCI_VERSION, versions[i].version);
		EXPECT_EQ(call0(vcpu, PSCI_VERSION, 0, 0, 0), versions[i].version);
		EXPECT_EQ(call0(vcpu, PSCI_FEATURES, PSCI_CPU_ON, 0, 0), versions[i].features);
		EXPECT_EQ(call0(vcpu, PSCI_FEATURES, PSCI_SYSTEM_RESET2, 0, 0),
			  versions[i].reset2);
		EXPECT_EQ(call0(vcpu, PSCI_FEATURES, PSCI_SYSTEM_OFF2 | WIDE, 0, 0),
			  versions[i].off2);
		value = 1;
		EXPECT_ERRNO(reg_set(vcpu, REG_PSCI_VERSION, &value), EINVAL);
		value = 0x10004;
		EXPECT_ERRNO(reg_set(vcpu, REG_PSCI_VERSION, &value), EINVAL);
		/* It can be changed while the VM runs. */
		value = 0x10000;
		EXPECT_OK(reg_set(vcpu, REG_PSCI_VERSION, &value));
		EXPECT_EQ(vcpu_reg(vcpu, REG_PSCI_VERSION), 0x10000);
		EXPECT_EQ(call0(vcpu, PSCI_VERSION, 0, 0, 0), 0x10000);
	}
}

/* Without the feature there is KVM's own version 0.1. */
TEST(first_version)
{
	struct vcpu *vcpu = caller_with(0);
	uint64_t value = 2;

	EXPECT_EQ(vcpu_reg(vcpu, REG_PSCI_VERSION), 1);
	EXPECT_ERRNO(reg_set(vcpu, REG_PSCI_VERSION, &value), EINVAL);
	EXPECT_EQ(call0(vcpu, PSCI_VERSION, 0, 0, 0), NOT_SUPPORTED);
	EXPECT_EQ(call0(vcpu, KVM_PSCI_FN_CPU_ON, 5, 0, 0), INVALID_PARAMETERS);
	EXPECT_EQ(call0(vcpu, KVM_PSCI_FN_CPU_ON, 0, 0, 0), INVALID_PARAMETERS);
	EXPECT_EQ(call0(vcpu, KVM_PSCI_FN_MIGRATE, 0, 0, 0), NOT_SUPPORTED);
}

TEST(features)
{
	struct vcpu *vcpu = caller_with(FEATURE(PSCI_0_2));
	const uint32_t there[] = {
		PSCI_VERSION, PSCI_CPU_SUSPEND, PSCI_CPU_SUSPEND | WIDE, PSCI_CPU_OFF, PSCI_CPU_ON,
		PSCI_CPU_ON | WIDE, PSCI_AFFINITY_INFO, PSCI_AFFINITY_INFO | WIDE,
		PSCI_MIGRATE_INFO_TYPE, PSCI_SYSTEM_OFF, PSCI_SYSTEM_RESET, PSCI_FEATURES,
		SMCCC_VERSION,
	};
	const uint32_t absent[] = {
		0x84000005, 0x84000007, PSCI_SYSTEM_SUSPEND, PSCI_CPU_OFF | WIDE, 0, -1,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(there); i++)
		EXPECT_EQ(call0(vcpu, PSCI_FEATURES, there[i], 0, 0), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(absent); i++)
		EXPECT_EQ(call0(vcpu, PSCI_FEATURES, absent[i], 0, 0), NOT_SUPPORTED);
}

/* A neoverse-n1's branch predictors are safe. */
TEST(workarounds)
{
	struct vcpu *vcpu = caller_with(FEATURE(PSCI_0_2));
	uint64_t value = vcpu_reg(vcpu, FIRMWARE_REG(1));

	EXPECT_EQ(value, KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1_NOT_REQUIRED);
	EXPECT_EQ(call0(vcpu, SMCCC_ARCH_FEATURES, WORKAROUND_1, 0, 0), 1);
	EXPECT_EQ(call0(vcpu, SMCCC_ARCH_FEATURES, 0x80000002, 0, 0), NOT_SUPPORTED);
	EXPECT_OK(reg_set(vcpu, FIRMWARE_REG(1), &value));
	value = 3;
	EXPECT_ERRNO(reg_set(vcpu, FIRMWARE_REG(1), &value), EINVAL);
	value = KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2_ENABLED;
	EXPECT_ERRNO(reg_set(vcpu, FIRMWARE_REG(2), &value), EINVAL);
}

TEST(kvms_own_services)
{
	struct vcpu *vcpu = caller_with(FEATURE(PSCI_0_2));
	static const struct results uid = { { 0xb66fb428, 0xe911c52e, 0x564bcaa9, 0x743a004d } };
	struct results results = call(vcpu, KVM_UID, 0, 0, 0);

	EXPECT_MEM(&results, &uid, sizeof(uid));
	results = call(vcpu, KVM_FEATURES, 0, 0, 0);
	EXPECT_EQ(results.x[0], 3);
	EXPECT_EQ(results.x[2], 0);
}

/* The time of day, and the guest's counter then */
TEST(time_of_day)
{
	struct vcpu *vcpu = caller_with(FEATURE(PSCI_0_2));
	struct results before, after;

	EXPECT_EQ(kvm_check(vcpu->vm->fd, KVM_CAP_PTP_KVM), 1);
	EXPECT_EQ(call0(vcpu, KVM_PTP, 2, 0, 0), NOT_SUPPORTED);
	before = call(vcpu, KVM_PTP, 0, 0, 0);
	if ((long)before.x[0] == NOT_SUPPORTED)
		SKIP("the host keeps time by another counter");
	after = call(vcpu, KVM_PTP, 0, 0, 0);
	EXPECT_TRUE((before.x[0] << 32 | before.x[1]) < (after.x[0] << 32 | after.x[1]));
	EXPECT_TRUE((before.x[2] << 32 | before.x[3]) < (after.x[2] << 32 | after.x[3]));
}

TEST(random_numbers)
{
	struct vcpu *vcpu = caller_with(FEATURE(PSCI_0_2));
	static const struct results uuid = { { 0x00e0210d, 0xeb118443, 0x44527080, 0x4c5a4e55 } };
	struct results results, others;

	EXPECT_EQ(call0(vcpu, TRNG_VERSION, 0, 0, 0), 0x10000);
	EXPECT_EQ(call0(vcpu, TRNG_FEATURES, TRNG_RND | WIDE, 0, 0), 0);
	EXPECT_EQ(call0(vcpu, TRNG_FEATURES, PSCI_VERSION, 0, 0), NOT_SUPPORTED);
	results = call(vcpu, TRNG_UUID, 0, 0, 0);
	EXPECT_MEM(&results, &uuid, sizeof(uuid));
	results = call(vcpu, TRNG_RND | WIDE, 192, 0, 0);
	others = call(vcpu, TRNG_RND | WIDE, 192, 0, 0);
	EXPECT_EQ(results.x[0], 0);
	EXPECT_TRUE(memcmp(&results, &others, sizeof(results)));
	results = call(vcpu, TRNG_RND | WIDE, 65, 0, 0);
	EXPECT_EQ(results.x[1], 0);
	EXPECT_TRUE(results.x[2] <= 1);
	results = call(vcpu, TRNG_RND, 33, 0, 0);
	EXPECT_EQ(results.x[1], 0);
	EXPECT_TRUE(results.x[2] <= 1);
	EXPECT_TRUE(results.x[3] <= 0xffffffff);
	EXPECT_EQ(call0(vcpu, TRNG_RND | WIDE, 193, 0, 0), INVALID_PARAMETERS);
	EXPECT_EQ(call0(vcpu, TRNG_RND, 97, 0, 0), INVALID_PARAMETERS);
}

/* Services are there, or not, as the VMM says, until a vCPU runs. */
TEST(services_of_the_vmm)
{
	struct vcpu *vcpu = caller_with(FEATURE(PSCI_0_2));
	const uint64_t regs[] = {
		KVM_REG_ARM_STD_BMAP, KVM_REG_ARM_STD_HYP_BMAP, KVM_REG_ARM_VENDOR_HYP_BMAP,
	};
	const uint64_t all[] = { 1, 1, 3 };

	for (unsigned int i = 0; i < ARRAY_SIZE(regs); i++) {
		uint64_t more = all[i] + 1 + (all[i] & 2);

		EXPECT_EQ(vcpu_reg(vcpu, regs[i]), all[i]);
		EXPECT_ERRNO(reg_set(vcpu, regs[i], &more), EINVAL);
		vcpu_set_reg(vcpu, regs[i], 0);
	}
	EXPECT_EQ(call0(vcpu, TRNG_VERSION, 0, 0, 0), NOT_SUPPORTED);
	EXPECT_EQ(call0(vcpu, PV_TIME_FEATURES, PV_TIME_ST, 0, 0), NOT_SUPPORTED);
	EXPECT_EQ(call0(vcpu, SMCCC_ARCH_FEATURES, PV_TIME_FEATURES, 0, 0), NOT_SUPPORTED);
	EXPECT_EQ(call0(vcpu, KVM_UID, 0, 0, 0), NOT_SUPPORTED);
	EXPECT_EQ(call0(vcpu, KVM_PTP, 0, 0, 0), NOT_SUPPORTED);
	EXPECT_EQ(call0(vcpu, PSCI_VERSION, 0, 0, 0), 0x10003);
	for (unsigned int i = 0; i < ARRAY_SIZE(regs); i++) {
		EXPECT_ERRNO(reg_set(vcpu, regs[i], &all[i]), EBUSY);
		vcpu_set_reg(vcpu, regs[i], 0);
	}
}

static int set_filter(struct vm *vm, uint32_t first, uint32_t count, uint8_t action)
{
	struct kvm_smccc_filter filter = {
		.base = first, .nr_functions = count, .action = action,
	};
	struct kvm_device_attr attr = {
		.group = KVM_ARM_VM_SMCCC_CTRL, .attr = KVM_ARM_VM_SMCCC_FILTER,
		.addr = (uintptr_t)&filter,
	};

	return ioctl(vm->fd, KVM_SET_DEVICE_ATTR, &attr);
}

TEST(filter)
{
	struct vcpu *vcpu = caller_with(FEATURE(PSCI_0_2));
	struct vm *vm = vcpu->vm;
	struct kvm_device_attr attr = { .group = KVM_ARM_VM_SMCCC_CTRL };

	EXPECT_OK(ioctl(vm->fd, KVM_HAS_DEVICE_ATTR, &attr));
	attr.attr = 1;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_HAS_DEVICE_ATTR, &attr), ENXIO);
	EXPECT_ERRNO(set_filter(vm, PSCI_VERSION, 0, KVM_SMCCC_FILTER_DENY), EINVAL);
	EXPECT_ERRNO(set_filter(vm, -1, 2, KVM_SMCCC_FILTER_DENY), EINVAL);
	EXPECT_ERRNO(set_filter(vm, PSCI_VERSION, 1, 3), EINVAL);
	EXPECT_ERRNO(set_filter(vm, SMCCC_VERSION, 1, KVM_SMCCC_FILTER_DENY), EEXIST);
	EXPECT_OK(set_filter(vm, PSCI_CPU_ON, 2, KVM_SMCCC_FILTER_FWD_TO_USER));
	EXPECT_ERRNO(set_filter(vm, PSCI_AFFINITY_INFO, 1, KVM_SMCCC_FILTER_HANDLE), EEXIST);
	EXPECT_OK(set_filter(vm, PSCI_VERSION, 1, KVM_SMCCC_FILTER_DENY));
	EXPECT_OK(set_filter(vm, 0xc3000000, 16, KVM_SMCCC_FILTER_FWD_TO_USER));

	EXPECT_EQ(call0(vcpu, PSCI_VERSION, 0, 0, 0), NOT_SUPPORTED);
	call_prepare(vcpu, 0xc300000f, 1, 2, 3);
	ASSERT_RUN(vcpu, KVM_EXIT_HYPERCALL);
	EXPECT_EQ(vcpu->run->hypercall.nr, 0xc300000f);
	EXPECT_EQ(vcpu->run->hypercall.flags, 0);
	EXPECT_EQ(vcpu_reg(vcpu, REG_X(1)), 1);
	vcpu_set_reg(vcpu, REG_X(0), 77);
	EXPECT_EQ(call_results(vcpu).x[0], 77);
	EXPECT_ERRNO(set_filter(vm, 0xc3000020, 1, KVM_SMCCC_FILTER_DENY), EBUSY);
}

GUEST64(smc, "smc #0\n" REPORT "mov x0, #5\n" "smc #1\n" REPORT DONE);

/* SMC is a call as well; what has another immediate is none. */
TEST(by_smc)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	struct vcpu *vcpu = vcpu_with(vm, 0, FEATURE(PSCI_0_2));

	VM_LOAD(vm, smc);
	vcpu_set_reg(vcpu, REG_X(0), PSCI_VERSION);
	EXPECT_REPORT(vcpu, 0x10003);
	EXPECT_REPORT(vcpu, NOT_SUPPORTED);
	EXPECT_DONE(vcpu);
}

/* Stolen time is counted where the VMM has given it a place. */
TEST(stolen_time)
{
	struct vcpu *vcpu = caller_with(FEATURE(PSCI_0_2));
	uint64_t place = GUEST_DATA, elsewhere = 0x40000000, odd = GUEST_DATA + 32, got = 0;
	struct kvm_device_attr attr = {
		.group = KVM_ARM_VCPU_PVTIME_CTRL, .attr = KVM_ARM_VCPU_PVTIME_IPA,
		.addr = (uintptr_t)&got,
	};

	ASSERT_OK(ioctl(vcpu->fd, KVM_HAS_DEVICE_ATTR, &attr));
	EXPECT_EQ(kvm_check(vcpu->vm->fd, KVM_CAP_STEAL_TIME), 1);
	EXPECT_EQ(call0(vcpu, PV_TIME_FEATURES, PV_TIME_ST, 0, 0), NOT_SUPPORTED);
	EXPECT_EQ(call0(vcpu, PV_TIME_ST, 0, 0, 0), NOT_SUPPORTED);
	EXPECT_OK(ioctl(vcpu->fd, KVM_GET_DEVICE_ATTR, &attr));
	EXPECT_EQ(got, -1);
	attr.addr = (uintptr_t)&odd;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr), EINVAL);
	attr.addr = (uintptr_t)&elsewhere;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr), EINVAL);
	attr.addr = (uintptr_t)&place;
	EXPECT_OK(ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr));
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr), EEXIST);
	attr.attr = 1;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_HAS_DEVICE_ATTR, &attr), ENXIO);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr), ENXIO);

	memset(vcpu->vm->ram + GUEST_DATA, 0xff, 64);
	EXPECT_EQ(call0(vcpu, SMCCC_ARCH_FEATURES, PV_TIME_FEATURES, 0, 0), 0);
	EXPECT_EQ(call0(vcpu, PV_TIME_FEATURES, PV_TIME_ST, 0, 0), 0);
	EXPECT_EQ(call0(vcpu, PV_TIME_ST, 0, 0, 0), GUEST_DATA);
	EXPECT_EQ(*(uint64_t *)(vcpu->vm->ram + GUEST_DATA), 0);
	EXPECT_TRUE(*(uint64_t *)(vcpu->vm->ram + GUEST_DATA + 8) < 1000000000);
}
