// SPDX-License-Identifier: GPL-2.0
/* KVM_CAP_X86_USER_SPACE_MSR and KVM_X86_SET_MSR_FILTER: MSRs that the VMM answers for. */
#include "lib/apic.h"

/* Switched by the processor itself, so that accesses do not exit without a filter */
#define MSR_SYSENTER_EIP 0x176
#define MSR_KERNEL_GS_BASE 0xc0000102
/* Not there */
#define MSR_NOWHERE 0x40007777
#define MSR_PAT 0x277
#define PAT_INVALID 2UL

#define ALL_REASONS \
	(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER)

static int user_space_msrs(struct vm *vm, uint64_t reasons)
{
	const struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR, .args[0] = reasons,
	};

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static int set_filter(struct vm *vm, const struct kvm_msr_filter *filter)
{
	return ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, filter);
}

static uint8_t no_bits[KVM_MSR_FILTER_MAX_BITMAP_SIZE];

/* A filter that denies accesses to one MSR */
static struct kvm_msr_filter deny(uint32_t msr, uint32_t accesses)
{
	return (struct kvm_msr_filter){
		.ranges[0] = {
			.flags = accesses, .nmsrs = 1, .base = msr, .bitmap = no_bits,
		},
	};
}

static void deny_all_accesses(struct vm *vm, uint32_t msr)
{
	const struct kvm_msr_filter filter = deny(msr, KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE);

	ASSERT_OK(set_filter(vm, &filter));
}

TEST(capabilities)
{
	struct vm *vm = vm_create();

	EXPECT_EQ(kvm_check(vm->fd, KVM_CAP_X86_USER_SPACE_MSR), 1);
	EXPECT_EQ(kvm_check(vm->fd, KVM_CAP_X86_MSR_FILTER), 1);
	EXPECT_OK(user_space_msrs(vm, ALL_REASONS));
	EXPECT_OK(user_space_msrs(vm, 0));
	EXPECT_ERRNO(user_space_msrs(vm, 8), EINVAL);
	EXPECT_ERRNO(user_space_msrs(vm, 1UL << 32), EINVAL);
}

TEST(what_a_filter_may_be)
{
	struct vm *vm = vm_create();
	struct kvm_msr_filter filter = { 0 };
	void *nowhere = mem_new(PAGE_SIZE);

	EXPECT_OK(set_filter(vm, &filter));
	/* Nothing but no */
	filter.flags = KVM_MSR_FILTER_DEFAULT_DENY;
	EXPECT_ERRNO(set_filter(vm, &filter), EINVAL);
	filter.ranges[15] = (struct kvm_msr_filter_range){
		.flags = KVM_MSR_FILTER_READ, .nmsrs = 1, .base = 0x10, .bitmap = no_bits,
	};
	EXPECT_OK(set_filter(vm, &filter));
	filter.flags = 2;
	EXPECT_ERRNO(set_filter(vm, &filter), EINVAL);
	filter.flags = 0;
	filter.ranges[15].flags = 0;
	EXPECT_ERRNO(set_filter(vm, &filter), EINVAL);
	filter.ranges[15].flags = 4;
	EXPECT_ERRNO(set_filter(vm, &filter), EINVAL);
	/* What a range without MSRs has does not matter. */
	filter.ranges[15].nmsrs = 0;
	EXPECT_OK(set_filter(vm, &filter));
	filter.ranges[15].flags = KVM_MSR_FILTER_READ;
	filter.ranges[15].nmsrs = 8 * KVM_MSR_FILTER_MAX_BITMAP_SIZE;
	EXPECT_OK(set_filter(vm, &filter));
	filter.ranges[15].nmsrs++;
	EXPECT_ERRNO(set_filter(vm, &filter), EINVAL);
	filter.ranges[15].nmsrs = UINT32_MAX;
	EXPECT_ERRNO(set_filter(vm, &filter), EINVAL);
	filter.ranges[15].nmsrs = 1;
	filter.ranges[15].base = UINT32_MAX;
	EXPECT_OK(set_filter(vm, &filter));
	filter.ranges[15].bitmap = nowhere;
	ASSERT_OK(munmap(nowhere, PAGE_SIZE));
	EXPECT_ERRNO(set_filter(vm, &filter), EFAULT);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, nowhere), EFAULT);
}

static void access_both(void)
{
	GUEST_TRUE(guest_rdmsr_faults(MSR_SYSENTER_EIP));
	GUEST_TRUE(guest_wrmsr_faults(MSR_SYSENTER_EIP, 5));
	GUEST_TRUE(!guest_wrmsr_faults(MSR_KERNEL_GS_BASE, 5));
	GUEST_EQ(guest_rdmsr(MSR_KERNEL_GS_BASE), 5);
	GUEST_TRUE(!guest_rdmsr_faults(MSR_PAT));
}

/* Where the VMM does not want to see accesses that it denies */
TEST(denied_accesses_fault)
{
	struct vm *vm = guest_vm(NO_CHIPS);
	struct vcpu *vcpu = guest_cpu(vm, 0, access_both);
	uint64_t value;

	deny_all_accesses(vm, MSR_SYSENTER_EIP);
	EXPECT_DONE(vcpu);
	/* The VMM itself is not filtered. */
	EXPECT_EQ(msr_set(vcpu->fd, MSR_SYSENTER_EIP, 7), 1);
	EXPECT_EQ(msr_get(vcpu->fd, MSR_SYSENTER_EIP, &value), 1);
	EXPECT_EQ(value, 7);
}

static void access_allowed(void)
{
	GUEST_TRUE(!guest_wrmsr_faults(MSR_SYSENTER_EIP, 5));
	GUEST_TRUE(guest_rdmsr_faults(MSR_SYSENTER_EIP));
	GUEST_TRUE(guest_rdmsr_faults(MSR_KERNEL_GS_BASE));
	GUEST_TRUE(guest_wrmsr_faults(MSR_PAT, 0));
	/* The bits of a range decide for each MSR. */
	GUEST_TRUE(guest_rdmsr_faults(MSR_SYSENTER_EIP - 2));
	GUEST_TRUE(!guest_rdmsr_faults(MSR_SYSENTER_EIP - 1));
}

TEST(only_what_is_allowed)
{
	struct vm *vm = guest_vm(NO_CHIPS);
	struct vcpu *vcpu = guest_cpu(vm, 0, access_allowed);
	uint8_t one[8] = { 1 }, second[8] = { 2 };
	const struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_DENY,
		.ranges[3] = {
			.flags = KVM_MSR_FILTER_WRITE, .nmsrs = 1,
			.base = MSR_SYSENTER_EIP, .bitmap = one,
		},
		.ranges[7] = {
			.flags = KVM_MSR_FILTER_READ, .nmsrs = 2,
			.base = MSR_SYSENTER_EIP - 2, .bitmap = second,
		},
	};

	ASSERT_OK(set_filter(vm, &filter));
	EXPECT_DONE(vcpu);
}

static bool expect_msr(struct vcpu *vcpu, uint32_t exit, uint32_t reason, uint32_t index)
{
	bool same = EXPECT_OK(guest_run(vcpu)) == 0 && EXPECT_EXIT(vcpu, exit);

	same = same && EXPECT_EQ(vcpu->run->msr.reason, reason);
	same = same && EXPECT_EQ(vcpu->run->msr.index, index);
	return same && EXPECT_EQ(vcpu->run->msr.error, 0);
}

static void access_of_vmm(void)
{
	GUEST_EQ(guest_rdmsr(MSR_SYSENTER_EIP), 0x1122334455667788);
	guest_wrmsr(MSR_SYSENTER_EIP, 0x8877665544332211);
	GUEST_TRUE(guest_rdmsr_faults(MSR_SYSENTER_EIP));
	GUEST_TRUE(guest_wrmsr_faults(MSR_SYSENTER_EIP, 1));
}

TEST(the_vmm_answers)
{
	struct vm *vm = guest_vm(NO_CHIPS);
	struct vcpu *vcpu = guest_cpu(vm, 0, access_of_vmm);
	uint64_t value;

	ASSERT_OK(user_space_msrs(vm, KVM_MSR_EXIT_REASON_FILTER));
	deny_all_accesses(vm, MSR_SYSENTER_EIP);
	ASSERT_TRUE(expect_msr(vcpu, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_FILTER,
			       MSR_SYSENTER_EIP));
	vcpu->run->msr.data = 0x1122334455667788;
	ASSERT_TRUE(expect_msr(vcpu, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_FILTER,
			       MSR_SYSENTER_EIP));
	EXPECT_EQ(vcpu->run->msr.data, 0x8877665544332211);
	ASSERT_TRUE(expect_msr(vcpu, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_FILTER,
			       MSR_SYSENTER_EIP));
	vcpu->run->msr.error = 1;
	ASSERT_TRUE(expect_msr(vcpu, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_FILTER,
			       MSR_SYSENTER_EIP));
	vcpu->run->msr.error = 0x80;
	EXPECT_DONE(vcpu);
	/* What the guest wrote went to the VMM alone. */
	EXPECT_EQ(msr_get(vcpu->fd, MSR_SYSENTER_EIP, &value), 1);
	EXPECT_EQ(value, 0);
}

/* KVM_RUN that is to return at once completes the access. */
TEST(the_answer_is_taken_at_once)
{
	struct vm *vm = guest_vm(NO_CHIPS);
	struct vcpu *vcpu = guest_cpu(vm, 0, access_of_vmm);
	uint64_t rip;

	ASSERT_OK(user_space_msrs(vm, KVM_MSR_EXIT_REASON_FILTER));
	deny_all_accesses(vm, MSR_SYSENTER_EIP);
	ASSERT_TRUE(expect_msr(vcpu, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_FILTER,
			       MSR_SYSENTER_EIP));
	rip = vcpu_regs(vcpu).rip;
	vcpu->run->msr.data = 0x1122334455667788;
	vcpu->run->immediate_exit = 1;
	EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
	EXPECT_EQ(vcpu_regs(vcpu).rip, rip + 2);
	EXPECT_EQ(vcpu_regs(vcpu).rdx, 0x11223344);
	EXPECT_EQ(vcpu_regs(vcpu).rax, 0x55667788);
}

static void access_wrongly(void)
{
	GUEST_EQ(guest_rdmsr(MSR_NOWHERE), 1);
	guest_wrmsr(MSR_NOWHERE, 2);
	guest_wrmsr(MSR_PAT, PAT_INVALID);
}

TEST(accesses_that_would_fault)
{
	struct vm *vm = guest_vm(NO_CHIPS);
	struct vcpu *vcpu = guest_cpu(vm, 0, access_wrongly);

	ASSERT_OK(user_space_msrs(vm, ALL_REASONS));
	ASSERT_TRUE(expect_msr(vcpu, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_UNKNOWN,
			       MSR_NOWHERE));
	vcpu->run->msr.data = 1;
	ASSERT_TRUE(expect_msr(vcpu, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_UNKNOWN,
			       MSR_NOWHERE));
	EXPECT_EQ(vcpu->run->msr.data, 2);
	ASSERT_TRUE(expect_msr(vcpu, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_INVAL, MSR_PAT));
	EXPECT_EQ(vcpu->run->msr.data, PAT_INVALID);
	EXPECT_DONE(vcpu);
}

static volatile bool stop;

static void write_on(void)
{
	uint64_t value = 0;

	/* Interrupts on: this emulator does not leave a guest otherwise. */
	guest_sti();
	while (!stop)
		guest_wrmsr(MSR_KERNEL_GS_BASE, value++ & 0xfff);
}

static void *expect_filtered(void *arg)
{
	struct vcpu *vcpu = arg;

	EXPECT_TRUE(expect_msr(vcpu, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_FILTER,
			       MSR_KERNEL_GS_BASE));
	return NULL;
}

/* A filter also holds for a guest that is running. */
TEST(set_and_lifted_meanwhile)
{
	struct vm *vm = guest_vm(NO_CHIPS);
	struct vcpu *vcpu = guest_cpu(vm, 0, write_on);
	const struct kvm_msr_filter none = { 0 };
	pthread_t thread;

	ASSERT_OK(user_space_msrs(vm, KVM_MSR_EXIT_REASON_FILTER));
	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(pthread_create(&thread, NULL, expect_filtered, vcpu), 0);
		usleep(2000);
		deny_all_accesses(vm, MSR_KERNEL_GS_BASE);
		ASSERT_EQ(pthread_join(thread, NULL), 0);
		ASSERT_OK(set_filter(vm, &none));
	}
	stop = true;
	EXPECT_DONE(vcpu);
}

static void use_x2apic(void)
{
	guest_wrmsr(MSR_APIC_BASE, guest_rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
	GUEST_TRUE(!guest_rdmsr_faults(MSR_X2APIC + APIC_ID / 16));
	GUEST_TRUE(!guest_wrmsr_faults(MSR_X2APIC + APIC_TPR / 16, 0x20));
	GUEST_TRUE(guest_rdmsr_faults(MSR_PAT));
}

TEST(registers_of_the_local_apic_are_not_filtered)
{
	struct vm *vm = guest_vm(CHIPS);
	struct vcpu *vcpu = guest_cpu(vm, 0, use_x2apic);
	uint8_t apic_base[8] = { 1 };
	const struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_DENY,
		.ranges[0] = {
			.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, .nmsrs = 1,
			.base = MSR_APIC_BASE, .bitmap = apic_base,
		},
	};

	ASSERT_OK(set_filter(vm, &filter));
	EXPECT_DONE(vcpu);
}
