// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_DEBUGREGS and KVM_SET_DEBUGREGS. */
#include "lib/traps.h"

#define DR6_START 0xffff0ff0UL
#define DR6_BS 0x4000UL
#define DR7_START 0x400UL
#define DR7_GLOBAL_0 2UL

static struct kvm_debugregs debugregs_of(struct vcpu *vcpu)
{
	struct kvm_debugregs state;

	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &state));
	return state;
}

static int debugregs_set(struct vcpu *vcpu, const struct kvm_debugregs *state)
{
	return ioctl(vcpu->fd, KVM_SET_DEBUGREGS, state);
}

TEST(start_state)
{
	struct vcpu *vcpu = vcpu_new(vm_new(1), 0);
	struct kvm_debugregs want = { .dr6 = DR6_START, .dr7 = DR7_START };
	struct kvm_debugregs state = debugregs_of(vcpu);

	EXPECT_EQ(kvm_check(vcpu->vm->kvm, KVM_CAP_DEBUGREGS), 1);
	EXPECT_MEM(&state, &want, sizeof(want));
}

TEST(everything_is_kept)
{
	struct vcpu *vcpu = vcpu_new(vm_new(1), 0);
	struct kvm_debugregs set = {
		.db = { 0x1000, 0x7fffffffffff, 0xffff800000000000, 0x123456789 },
		.dr6 = DR6_START | DR6_BS | 0xf,
		.dr7 = DR7_START | 0xffff03ff,
	};
	struct kvm_debugregs got;

	ASSERT_OK(debugregs_set(vcpu, &set));
	got = debugregs_of(vcpu);
	EXPECT_MEM(&got, &set, sizeof(set));
}

/* Reports DR0, DR3, DR6 and DR7, and sets DR1, DR6 and DR7. */
GUEST64(access, "mov %dr0, %rax\n" REPORT "mov %dr3, %rax\n" REPORT
		"mov %dr6, %rax\n" REPORT "mov %dr7, %rax\n" REPORT
		"mov $0x777, %eax\n mov %rax, %dr1\n"
		"mov $0xffff0ff1, %eax\n mov %rax, %dr6\n"
		"mov $0x401, %eax\n mov %rax, %dr7\n hlt\n");

TEST(guest_sees_and_changes_it)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, access);
	struct kvm_debugregs state = {
		.db = { 0x11111111, 0x22222222, 0x33333333, 0x44444444 },
		.dr6 = DR6_START | DR6_BS,
		.dr7 = DR7_START | DR7_GLOBAL_0,
	};

	ASSERT_OK(debugregs_set(vcpu, &state));
	EXPECT_REPORT(vcpu, 0x11111111);
	EXPECT_REPORT(vcpu, 0x44444444);
	EXPECT_REPORT(vcpu, DR6_START | DR6_BS);
	EXPECT_REPORT(vcpu, DR7_START | DR7_GLOBAL_0);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
	state = debugregs_of(vcpu);
	EXPECT_EQ(state.db[0], 0x11111111);
	EXPECT_EQ(state.db[1], 0x777);
	EXPECT_EQ(state.dr6, 0xffff0ff1);
	EXPECT_EQ(state.dr7, 0x401);
}

GUEST64(walks, "nop\n walks_there: nop\n hlt\n");
LABEL(walks_there);

TEST(breakpoint_of_the_vmm_hits)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(walks);
	struct kvm_debugregs state = {
		.db = { GUEST_ADDR(walks, walks_there) },
		.dr6 = DR6_START,
		.dr7 = DR7_START | DR7_GLOBAL_0,
	};

	ASSERT_OK(debugregs_set(vcpu, &state));
	EXPECT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(walks, walks_there));
	EXPECT_EQ(debugregs_of(vcpu).dr6, DR6_START | 1);
}

TEST(invalid)
{
	struct vcpu *vcpu = vcpu_new(vm_new(1), 0);
	struct kvm_debugregs before = debugregs_of(vcpu), set, after;

	set = before;
	set.db[0] = 1;
	set.flags = 1;
	EXPECT_ERRNO(debugregs_set(vcpu, &set), EINVAL);
	set.flags = 0;
	set.dr6 = 1UL << 32;
	EXPECT_ERRNO(debugregs_set(vcpu, &set), EINVAL);
	set.dr6 = DR6_START;
	set.dr7 = 1UL << 63;
	EXPECT_ERRNO(debugregs_set(vcpu, &set), EINVAL);
	after = debugregs_of(vcpu);
	EXPECT_MEM(&after, &before, sizeof(before));
}
