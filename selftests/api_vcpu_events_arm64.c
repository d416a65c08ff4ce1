// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS: SErrors and aborts of the VMM for an arm64 guest. */
/* machine: arch=arm64 */
#include "lib/psci.h"

static int get_events(struct vcpu *vcpu, struct kvm_vcpu_events *events)
{
	return ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, events);
}

static int set_events(struct vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	return ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, events);
}

TEST(reserved_bytes)
{
	struct vcpu *vcpu = vcpu_with(vm_new(GUEST_PAGES), 0, 0);
	struct kvm_vcpu_events events = {};

	EXPECT_OK(set_events(vcpu, &events));
	for (unsigned int i = 0; i < ARRAY_SIZE(events.reserved); i++) {
		events.reserved[i] = 1;
		EXPECT_ERRNO(set_events(vcpu, &events), EINVAL);
		events.reserved[i] = 0;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(events.exception.pad); i++) {
		events.exception.pad[i] = 1;
		EXPECT_ERRNO(set_events(vcpu, &events), EINVAL);
		events.exception.pad[i] = 0;
	}
	events.exception.serror_pending = 1;
	events.exception.serror_has_esr = 1;
	events.exception.serror_esr = 1UL << 25;
	EXPECT_ERRNO(set_events(vcpu, &events), EINVAL);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, NULL), EFAULT);
}

/* Vectors: at 0x380 an SError of EL1h, at 0x200 a synchronous exception. */
GUEST64(vectors,
	".org 0x200 + vectors\n"
	"mrs x0, esr_el1\n" REPORT "mrs x0, far_el1\n" REPORT "mrs x0, elr_el1\n" REPORT
	"1: " DONE "b 1b\n"
	".org 0x380 + vectors\n"
	"mrs x0, esr_el1\n" REPORT
	"1: " DONE "b 1b\n");
GUEST64(waits, "mov x0, #1\n" REPORT "msr daifclr, #4\n" "mov x0, #2\n" REPORT DONE);
GUEST64(unmasked, "msr daifclr, #4\n" "mov x1, #0x0a000000\n" "ldr x0, [x1]\n" REPORT DONE);
GUEST64(loads, "mov x1, #0x0a000000\n" "ldr x0, [x1, #8]\n" REPORT DONE);

static struct vcpu *with_vectors(const uint8_t *code, const uint8_t *end)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	struct vcpu *vcpu = vcpu_with(vm, 0, 0);

	vm_write(vm, GUEST_CODE, code, end - code);
	VM_LOAD_AT(vm, GUEST_VECTORS, vectors);
	vcpu_set_reg(vcpu, SYSTEM_REG(3, 0, 12, 0, 0), GUEST_VECTORS);
	return vcpu;
}

/* An SError waits until the guest unmasks it. */
TEST(serror)
{
	struct vcpu *vcpu = with_vectors(waits, waits_end);
	struct kvm_vcpu_events events = {};

	ASSERT_OK(get_events(vcpu, &events));
	EXPECT_EQ(events.exception.serror_pending, 0);
	EXPECT_EQ(events.exception.serror_has_esr, 1);
	EXPECT_EQ(kvm_check(vcpu->vm->fd, KVM_CAP_ARM_INJECT_SERROR_ESR), 1);
	events.exception.serror_pending = 1;
	events.exception.serror_esr = 0x12345;
	ASSERT_OK(set_events(vcpu, &events));
	EXPECT_REPORT(vcpu, 1);
	ASSERT_OK(get_events(vcpu, &events));
	EXPECT_EQ(events.exception.serror_pending, 1);
	EXPECT_EQ(events.exception.serror_esr, 0x12345);
	EXPECT_REPORT(vcpu, 0xbe000000 | 0x12345);
	ASSERT_OK(get_events(vcpu, &events));
	EXPECT_EQ(events.exception.serror_pending, 0);
	EXPECT_DONE(vcpu);
}

/* One that it does not mask is taken at once, in place of an answer to KVM_EXIT_MMIO. */
TEST(serror_unmasked)
{
	struct vcpu *vcpu = with_vectors(unmasked, unmasked_end);
	struct kvm_vcpu_events events = {
		.exception = { .serror_pending = 1, .serror_has_esr = 1, .serror_esr = 0x777 },
	};

	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	ASSERT_OK(set_events(vcpu, &events));
	ASSERT_OK(get_events(vcpu, &events));
	EXPECT_EQ(events.exception.serror_pending, 0);
	EXPECT_EQ(vcpu_reg(vcpu, REG_PC), GUEST_VECTORS + 0x380);
	EXPECT_EQ(vcpu_reg(vcpu, REG_ELR_EL1), GUEST_CODE + 8);
	EXPECT_REPORT(vcpu, 0xbe000777);
	EXPECT_DONE(vcpu);
}

/* In place of an answer to KVM_EXIT_MMIO the access can fail. */
TEST(abort)
{
	struct vcpu *vcpu = with_vectors(loads, loads_end);
	struct kvm_vcpu_events events = { .exception.ext_dabt_pending = 1 };

	EXPECT_EQ(kvm_check(vcpu->vm->fd, KVM_CAP_ARM_INJECT_EXT_DABT), 1);
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(vcpu->run->mmio.phys_addr, 0x0a000008);
	ASSERT_OK(set_events(vcpu, &events));
	EXPECT_EQ(vcpu_reg(vcpu, REG_PC), GUEST_VECTORS + 0x200);
	EXPECT_REPORT(vcpu, 0x96000010);
	EXPECT_REPORT(vcpu, 0x0a000008);
	EXPECT_REPORT(vcpu, GUEST_CODE + 4);
	EXPECT_DONE(vcpu);
	ASSERT_OK(get_events(vcpu, &events));
	EXPECT_EQ(events.exception.ext_dabt_pending, 0);
}
