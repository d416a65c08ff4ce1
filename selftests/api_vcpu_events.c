// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS. */
#include "lib/traps.h"
#include "lib/waits.h"

static struct kvm_vcpu_events events_of(struct vcpu *vcpu)
{
	struct kvm_vcpu_events events;

	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events));
	return events;
}

static int events_set(struct vcpu *vcpu, const struct kvm_vcpu_events *events)
{
	return ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, events);
}

TEST(start_state)
{
	struct vcpu *vcpu = vcpu_new(vm_new(1), 0);
	struct kvm_vcpu_events events = events_of(vcpu);

	EXPECT_EQ(kvm_check(vcpu->vm->kvm, KVM_CAP_VCPU_EVENTS), 1);
	EXPECT_EQ(events.flags & (KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW),
		  KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW);
	EXPECT_EQ(events.exception.injected, 0);
	EXPECT_EQ(events.exception.pending, 0);
	EXPECT_EQ(events.interrupt.injected, 0);
	EXPECT_EQ(events.interrupt.shadow, 0);
	EXPECT_EQ(events.nmi.injected, 0);
	EXPECT_EQ(events.nmi.pending, 0);
	EXPECT_EQ(events.nmi.masked, 0);
	EXPECT_EQ(events.smi.smm, 0);
	EXPECT_OK(events_set(vcpu, &events));
}

GUEST64(idle, "nop\n nop\n nop\n hlt\n");

TEST(exception_with_error_code)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(idle);
	struct kvm_vcpu_events events = events_of(vcpu);

	events.exception.injected = 1;
	events.exception.nr = GP_VECTOR;
	events.exception.has_error_code = 1;
	events.exception.error_code = 0x1234;
	ASSERT_OK(events_set(vcpu, &events));
	events = events_of(vcpu);
	EXPECT_EQ(events.exception.injected, 1);
	EXPECT_EQ(events.exception.nr, GP_VECTOR);
	EXPECT_EQ(events.exception.has_error_code, 1);
	EXPECT_EQ(events.exception.error_code, 0x1234);
	EXPECT_TRAP(vcpu, GP_VECTOR, 0x1234, GUEST_CODE);
	EXPECT_EQ(events_of(vcpu).exception.injected, 0);
}

TEST(exception_without_error_code)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(idle);
	struct kvm_vcpu_events events = events_of(vcpu);

	events.exception.injected = 1;
	events.exception.nr = UD_VECTOR;
	ASSERT_OK(events_set(vcpu, &events));
	EXPECT_TRAP(vcpu, UD_VECTOR, 0, GUEST_CODE);
}

TEST(exception_is_taken_back)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(idle);
	struct kvm_vcpu_events events = events_of(vcpu);

	events.exception.injected = 1;
	events.exception.nr = UD_VECTOR;
	ASSERT_OK(events_set(vcpu, &events));
	events.exception.injected = 0;
	ASSERT_OK(events_set(vcpu, &events));
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

GUEST64(breaks, "int3\n hlt\n");

TEST(breakpoint_is_delivered_behind_its_instruction)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(breaks);
	struct kvm_vcpu_events events = events_of(vcpu);

	if (kvm_is_c())
		SKIP("C KVM takes the length of whichever instruction exited last");
	events.exception.injected = 1;
	events.exception.nr = BP_VECTOR;
	ASSERT_OK(events_set(vcpu, &events));
	EXPECT_TRAP(vcpu, BP_VECTOR, 0, GUEST_CODE + 1);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

TEST(interrupt_comes_in)
{
	struct vcpu *vcpu = waiting();
	struct kvm_vcpu_events events;

	ASSERT_REPORT(vcpu, 1);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	events = events_of(vcpu);
	EXPECT_EQ(events.interrupt.injected, 0);
	events.interrupt.injected = 1;
	events.interrupt.nr = VECTOR;
	ASSERT_OK(events_set(vcpu, &events));
	EXPECT_EQ(events_of(vcpu).interrupt.injected, 1);
	EXPECT_EQ(events_of(vcpu).interrupt.nr, VECTOR);
	EXPECT_REPORT(vcpu, 2);
	EXPECT_EQ(events_of(vcpu).interrupt.injected, 0);
	EXPECT_REPORT(vcpu, 3);
}

TEST(queued_interrupt_shows_and_is_taken_back)
{
	struct vcpu *vcpu = waiting();
	struct kvm_interrupt irq = { .irq = VECTOR };
	struct kvm_vcpu_events events;

	ASSERT_REPORT(vcpu, 1);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	ASSERT_OK(ioctl(vcpu->fd, KVM_INTERRUPT, &irq));
	events = events_of(vcpu);
	EXPECT_EQ(events.interrupt.injected, 1);
	EXPECT_EQ(events.interrupt.nr, VECTOR);
	events.interrupt.injected = 0;
	ASSERT_OK(events_set(vcpu, &events));
	EXPECT_REPORT(vcpu, 3);
}

TEST(nmi_is_pending_then_masks)
{
	struct vcpu *vcpu = waiting();
	struct kvm_vcpu_events events;

	ASSERT_OK(ioctl(vcpu->fd, KVM_NMI, 0));
	events = events_of(vcpu);
	EXPECT_EQ(events.nmi.pending, 1);
	EXPECT_EQ(events.nmi.masked, 0);
	EXPECT_REPORT(vcpu, 2);
	events = events_of(vcpu);
	EXPECT_EQ(events.nmi.pending, 0);
	EXPECT_EQ(events.nmi.masked, 1);
	EXPECT_REPORT(vcpu, 1);
	EXPECT_EQ(events_of(vcpu).nmi.masked, 0);
}

TEST(pending_nmi_comes_in)
{
	struct vcpu *vcpu = waiting();
	struct kvm_vcpu_events events = events_of(vcpu);

	events.nmi.pending = 1;
	events.flags = 0;	/* so that it does not count */
	ASSERT_OK(events_set(vcpu, &events));
	EXPECT_EQ(events_of(vcpu).nmi.pending, 0);
	events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	ASSERT_OK(events_set(vcpu, &events));
	EXPECT_EQ(events_of(vcpu).nmi.pending, 1);
	EXPECT_REPORT(vcpu, 2);
	EXPECT_REPORT(vcpu, 1);
}

TEST(pending_nmis_are_limited)
{
	struct vcpu *vcpu = vcpu_new(vm_new(1), 0);
	struct kvm_vcpu_events events = events_of(vcpu);

	events.nmi.pending = 200;
	ASSERT_OK(events_set(vcpu, &events));
	EXPECT_EQ(events_of(vcpu).nmi.pending, 2);
	events.nmi.masked = 1;
	ASSERT_OK(events_set(vcpu, &events));
	EXPECT_EQ(events_of(vcpu).nmi.pending, 1);
}

TEST(injected_nmi_comes_in)
{
	struct vcpu *vcpu = waiting();
	struct kvm_vcpu_events events = events_of(vcpu);

	events.nmi.injected = 1;
	ASSERT_OK(events_set(vcpu, &events));
	EXPECT_EQ(events_of(vcpu).nmi.injected, 1);
	EXPECT_REPORT(vcpu, 2);
	EXPECT_EQ(events_of(vcpu).nmi.injected, 0);
	EXPECT_EQ(events_of(vcpu).nmi.masked, 1);
	EXPECT_REPORT(vcpu, 1);
}

TEST(masked_nmi_waits)
{
	struct vcpu *vcpu = waiting();
	struct kvm_vcpu_events events = events_of(vcpu);

	events.nmi.masked = 1;
	ASSERT_OK(events_set(vcpu, &events));
	ASSERT_OK(ioctl(vcpu->fd, KVM_NMI, 0));
	EXPECT_REPORT(vcpu, 1);
	events = events_of(vcpu);
	EXPECT_EQ(events.nmi.masked, 1);
	EXPECT_EQ(events.nmi.pending, 1);
	events.nmi.masked = 0;
	ASSERT_OK(events_set(vcpu, &events));
	EXPECT_REPORT(vcpu, 2);
}

TEST(shadow_is_kept)
{
	static const struct {
		uint8_t set, got;
	} shadows[] = {
		{ KVM_X86_SHADOW_INT_STI, KVM_X86_SHADOW_INT_STI },
		{ KVM_X86_SHADOW_INT_MOV_SS, KVM_X86_SHADOW_INT_MOV_SS },
		{ KVM_X86_SHADOW_INT_STI | KVM_X86_SHADOW_INT_MOV_SS, KVM_X86_SHADOW_INT_MOV_SS },
		{ 0, 0 },
	};
	struct vcpu *vcpu = vcpu_new(vm_new(1), 0);
	struct kvm_vcpu_events events = events_of(vcpu);

	for (size_t i = 0; i < ARRAY_SIZE(shadows); i++) {
		events.flags = KVM_VCPUEVENT_VALID_SHADOW;
		events.interrupt.shadow = shadows[i].set;
		ASSERT_OK(events_set(vcpu, &events));
		events.flags = 0;
		events.interrupt.shadow = 0;
		ASSERT_OK(events_set(vcpu, &events));
		EXPECT_EQ(events_of(vcpu).interrupt.shadow, shadows[i].got);
	}
}

TEST(shadow_lasts_one_instruction)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, idle);
	struct kvm_vcpu_events events = events_of(vcpu);
	struct kvm_regs regs = vcpu_regs(vcpu);

	regs.rflags |= RFLAGS_IF;
	vcpu_set_regs(vcpu, &regs);
	events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	ASSERT_OK(events_set(vcpu, &events));
	vcpu->run->request_interrupt_window = 1;
	ASSERT_RUN(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_TRUE(vcpu_regs(vcpu).rip > GUEST_CODE);
	EXPECT_EQ(events_of(vcpu).interrupt.shadow, 0);
}

TEST(invalid)
{
	static const uint32_t flags[] = {
		KVM_VCPUEVENT_VALID_PAYLOAD, KVM_VCPUEVENT_VALID_TRIPLE_FAULT, 0x40, 0x80000000,
		UINT32_MAX,
	};
	static const uint8_t vectors[] = { NMI_VECTOR, 32, 255 };
	struct vcpu *vcpu = vcpu_new(vm_new(1), 0);
	struct kvm_vcpu_events before = events_of(vcpu), set, after;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		set = before;
		set.flags = flags[i];
		/* C KVM refuses that one when it has taken the rest. */
		set.nmi.masked = flags[i] != KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
		EXPECT_ERRNO(events_set(vcpu, &set), EINVAL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		set = before;
		set.nmi.masked = 1;
		set.exception.injected = 1;
		set.exception.nr = vectors[i];
		EXPECT_ERRNO(events_set(vcpu, &set), EINVAL);
	}
	after = events_of(vcpu);
	EXPECT_MEM(&after, &before, sizeof(before));
	set = before;
	set.exception.nr = 255;		/* of none */
	set.flags |= KVM_VCPUEVENT_VALID_SIPI_VECTOR;
	EXPECT_OK(events_set(vcpu, &set));
}

/* No shadow of STI without IF: the processor refuses, and what was to be delivered is gone with it. */
TEST(refused_events_do_not_come_back)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(idle);
	struct kvm_vcpu_events good = events_of(vcpu), events = good;

	if (kvm_is_c())
		SKIP("C KVM leaves it in the VMCS");
	events.exception.injected = 1;
	events.exception.nr = UD_VECTOR;
	events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	ASSERT_OK(events_set(vcpu, &events));
	EXPECT_RUN(vcpu, KVM_EXIT_FAIL_ENTRY);
	ASSERT_OK(events_set(vcpu, &good));
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

TEST(no_system_management_mode)
{
	struct vcpu *vcpu = vcpu_new(vm_new(1), 0);
	struct kvm_vcpu_events events = events_of(vcpu);

	if (kvm_check(vcpu->vm->fd, KVM_CAP_X86_SMM))
		SKIP("there is one");
	events.flags |= KVM_VCPUEVENT_VALID_SMM;
	EXPECT_OK(events_set(vcpu, &events));
	events.smi.smm = 1;
	EXPECT_ERRNO(events_set(vcpu, &events), EINVAL);
	events.smi.smm = 0;
	events.smi.pending = 1;
	EXPECT_ERRNO(events_set(vcpu, &events), EINVAL);
}
