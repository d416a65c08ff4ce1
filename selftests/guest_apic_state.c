// SPDX-License-Identifier: GPL-2.0
/* machine: cpus=2 again=enable_apicv=1 */
/*
 * A local APIC whose mode or state changes while interrupts are pending and in
 * service: whoever delivers them, the processor or the kernel, takes over what
 * the other has left.
 */
#include "lib/apic_order.h"

enum { PIN = 10 };

static void run(void (*fn)(void), bool by_msr)
{
	EXPECT_DONE(order_guest(guest_vm(CHIPS), fn, by_msr));
}

static void self_ipi(uint8_t vector)
{
	apic_write(APIC_SELF_IPI, vector);
}

/* --- changes of mode --- */

static void enter_x2apic(void)
{
	x2apic = true;
	guest_wrmsr(MSR_APIC_BASE, guest_rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
}

/* The one in service is that of the other mode. */
static void change_in_handler(void)
{
	send(VEC_C);
	enter_x2apic();
	GUEST_TRUE(apic_bit(APIC_ISR, VEC_B) && apic_bit(APIC_IRR, VEC_C));
	GUEST_EQ(apic_read(APIC_PPR), VEC_B & 0xf0);
	send(VEC_A);
	guest_window();
	GUEST_EQ(count, 2);
	self_ipi(VEC_B_HIGH);
	guest_window();
	GUEST_EQ(count, 2);
}

static void guest_changes(void)
{
	static const char want[] = { VEC_B, VEC_C, VEC_B_HIGH, VEC_A };

	apic_enable();
	nested = change_in_handler;
	send(VEC_B);
	guest_window();
	guest_window();
	guest_window();
	expect_order(want, ARRAY_SIZE(want));
	GUEST_EQ(apic_read(APIC_PPR), 0);
}

TEST(guest_changes_to_x2apic) { run(guest_changes, false); }

/* Out of x2APIC mode there is one way, which disables the APIC. */
static void there_and_back(void)
{
	static const char want[] = { VEC_A, VEC_B, VEC_C };
	const uint64_t base = guest_rdmsr(MSR_APIC_BASE);

	apic_enable();
	self_ipi(VEC_A);
	guest_window();
	guest_wrmsr(MSR_APIC_BASE, base & ~APIC_BASE_ENABLED);
	guest_wrmsr(MSR_APIC_BASE, base);
	x2apic = false;
	apic_enable();
	send(VEC_B);
	guest_window();
	enter_x2apic();
	self_ipi(VEC_C);
	guest_window();
	expect_order(want, ARRAY_SIZE(want));
}

TEST(to_xapic_and_back) { run(there_and_back, true); }

static void hold_two(void)
{
	static const char want[] = { VEC_A, VEC_C };

	apic_enable();
	eoi_by_handler = false;
	send(VEC_A);
	guest_window();
	send(VEC_C);
	/* The host changes the mode, and x2apic with it. */
	guest_step(1);
	GUEST_TRUE(apic_bit(APIC_ISR, VEC_A) && apic_bit(APIC_IRR, VEC_C));
	guest_window();
	expect_order(want, ARRAY_SIZE(want));
	GUEST_EQ(apic_read(APIC_PPR), VEC_C & 0xf0);
	guest_step(2);
	apic_eoi();
	GUEST_TRUE(apic_bit(APIC_ISR, VEC_A) && !apic_bit(APIC_ISR, VEC_C));
	apic_eoi();
	GUEST_EQ(apic_read(APIC_PPR), 0);
}

static void vmm_changes(bool by_msr)
{
	struct vcpu *vcpu = order_guest(guest_vm(CHIPS), hold_two, by_msr);
	struct kvm_sregs sregs;

	for (uint32_t step = 1; step <= 2; step++) {
		ASSERT_STEP(vcpu, step);
		sregs = vcpu_sregs(vcpu);
		sregs.apic_base ^= APIC_BASE_X2APIC;
		vcpu_set_sregs(vcpu, &sregs);
		x2apic = !x2apic;
	}
	EXPECT_DONE(vcpu);
}

TEST(vmm_changes_from_xapic) { vmm_changes(false); }
TEST(vmm_changes_from_x2apic) { vmm_changes(true); }

/* --- state by ioctls --- */

static uint32_t bit_of(const struct kvm_lapic_state *lapic, uint32_t bank, uint8_t vector)
{
	return lapic_reg(lapic, bank + vector / 32 * 16) >> vector % 32 & 1;
}

static void flip(struct kvm_lapic_state *lapic, uint32_t bank, uint8_t vector)
{
	const uint32_t reg = bank + vector / 32 * 16;

	lapic_set_reg(lapic, reg, lapic_reg(lapic, reg) ^ 1U << vector % 32);
}

static void set_lapic(struct vcpu *vcpu, const struct kvm_lapic_state *lapic)
{
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_LAPIC, lapic));
}

static void be_given_state(void)
{
	static const char want[] = { VEC_A, VEC_B, VEC_B_HIGH };

	apic_enable();
	apic_write(APIC_TPR, 0x13);
	eoi_by_handler = false;
	send(VEC_A);
	guest_window();
	send(VEC_C);
	guest_step(1);
	/* Now it is VEC_B that is requested. */
	GUEST_TRUE(apic_bit(APIC_IRR, VEC_B) && !apic_bit(APIC_IRR, VEC_C));
	guest_window();
	expect_order(want, 2);
	apic_eoi();
	guest_step(2);
	/* Now VEC_C is in service, and VEC_B_HIGH has to wait for its end. */
	GUEST_EQ(apic_read(APIC_PPR), VEC_C & 0xf0);
	guest_window();
	GUEST_EQ(count, 2);
	guest_sti();
	apic_eoi();
	GUEST_EQ(count, 3);
	guest_cli();
	expect_order(want, 3);
	apic_eoi();
	GUEST_TRUE(apic_bit(APIC_ISR, VEC_A));
	apic_eoi();
	GUEST_EQ(apic_read(APIC_PPR), 0x13);
}

static void gives_state(bool by_msr)
{
	struct vcpu *vcpu = order_guest(guest_vm(CHIPS), be_given_state, by_msr);
	struct kvm_lapic_state lapic;

	ASSERT_STEP(vcpu, 1);
	lapic = vcpu_lapic(vcpu);
	EXPECT_EQ(bit_of(&lapic, APIC_ISR, VEC_A), 1);
	EXPECT_EQ(bit_of(&lapic, APIC_IRR, VEC_A), 0);
	EXPECT_EQ(bit_of(&lapic, APIC_IRR, VEC_C), 1);
	EXPECT_EQ(lapic_reg(&lapic, APIC_TPR), 0x13);
	EXPECT_EQ(lapic_reg(&lapic, APIC_PPR), VEC_A & 0xf0);
	flip(&lapic, APIC_IRR, VEC_B);
	flip(&lapic, APIC_IRR, VEC_C);
	set_lapic(vcpu, &lapic);
	ASSERT_STEP(vcpu, 2);
	lapic = vcpu_lapic(vcpu);
	EXPECT_EQ(bit_of(&lapic, APIC_ISR, VEC_A), 1);
	EXPECT_EQ(bit_of(&lapic, APIC_ISR, VEC_B), 0);
	flip(&lapic, APIC_ISR, VEC_C);
	flip(&lapic, APIC_IRR, VEC_B_HIGH);
	set_lapic(vcpu, &lapic);
	EXPECT_DONE(vcpu);
}

TEST(vmm_gives_state_xapic) { gives_state(false); }
TEST(vmm_gives_state_x2apic) { gives_state(true); }

static void move(void)
{
	static const char want[] = { VEC_B, VEC_C, VEC_A };

	apic_enable();
	eoi_by_handler = false;
	send(VEC_B);
	guest_window();
	send(VEC_A);
	send(VEC_C);
	guest_step(1);
	guest_sti();
	GUEST_EQ(count, 2);
	apic_eoi();
	apic_eoi();
	GUEST_EQ(count, 3);
	guest_cli();
	expect_order(want, ARRAY_SIZE(want));
	apic_eoi();
	GUEST_EQ(apic_read(APIC_PPR), 0);
}

/* What is pending and in service goes along to another VM. */
static void moves(bool by_msr)
{
	struct vcpu *from = order_guest(guest_vm(CHIPS), move, by_msr);
	struct vcpu *to;
	struct kvm_lapic_state lapic;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	ASSERT_STEP(from, 1);
	/* The next KVM_RUN finishes the OUT. */
	from->run->immediate_exit = 1;
	ASSERT_ERRNO(vcpu_run(from), EINTR);
	to = order_guest(guest_vm(CHIPS), move, by_msr);
	sregs = vcpu_sregs(from);
	regs = vcpu_regs(from);
	lapic = vcpu_lapic(from);
	vcpu_set_sregs(to, &sregs);
	vcpu_set_regs(to, &regs);
	set_lapic(to, &lapic);
	EXPECT_DONE(to);
}

TEST(moves_xapic) { moves(false); }
TEST(moves_x2apic) { moves(true); }

/* --- priorities of interrupts to itself, which need no exit --- */

static void held_back(void)
{
	apic_enable();
	guest_sti();
	apic_write(APIC_TPR, 0x50);
	self_ipi(VEC_B);
	GUEST_EQ(count, 0);
	GUEST_TRUE(apic_bit(APIC_IRR, VEC_B));
	self_ipi(VEC_C);
	GUEST_EQ(count, 1);
	GUEST_EQ(order[0], VEC_C);
	GUEST_EQ(apic_read(APIC_PPR), 0x50);
	apic_write(APIC_TPR, 0x4f);
	GUEST_EQ(count, 2);
	GUEST_EQ(order[1], VEC_B);
	__asm__ volatile("mov %0, %%cr8" : : "r"(15UL) : "memory");
	self_ipi(VEC_A);
	self_ipi(VEC_B);
	GUEST_EQ(count, 2);
	GUEST_EQ(apic_read(APIC_TPR), 0xf0);
	__asm__ volatile("mov %0, %%cr8" : : "r"(4UL) : "memory");
	GUEST_EQ(count, 3);
	GUEST_EQ(order[2], VEC_B);
	__asm__ volatile("mov %0, %%cr8" : : "r"(0UL) : "memory");
	GUEST_EQ(count, 4);
	GUEST_EQ(order[3], VEC_A);
}

TEST(self_ipi_and_task_priority) { run(held_back, true); }

static void send_from_handler(void)
{
	guest_sti();
	self_ipi(VEC_A);
	self_ipi(VEC_B_HIGH);
	GUEST_EQ(count, 1);
	self_ipi(VEC_C);
	GUEST_EQ(count, 2);
	GUEST_TRUE(apic_bit(APIC_IRR, VEC_A) && apic_bit(APIC_IRR, VEC_B_HIGH));
	guest_cli();
}

static void nest(void)
{
	static const char want[] = { VEC_B, VEC_C, VEC_B_HIGH, VEC_A };

	apic_enable();
	guest_sti();
	nested = send_from_handler;
	self_ipi(VEC_B);
	expect_order(want, ARRAY_SIZE(want));
	GUEST_EQ(apic_read(APIC_PPR), 0);
}

TEST(self_ipi_and_processor_priority) { run(nest, true); }

/* One that the task priority holds back does not end a halt; another does. */
static void halt(void)
{
	apic_enable();
	apic_write(APIC_TPR, 0x50);
	self_ipi(VEC_B);
	guest_step(1);
	guest_halt();
	GUEST_EQ(count, 1);
	GUEST_EQ(order[0], VEC_C);
	apic_write(APIC_TPR, 0);
	guest_halt();
	GUEST_EQ(count, 2);
	GUEST_EQ(order[1], VEC_B);
}

static void *send_msi(void *arg)
{
	const struct timespec while_it_halts = { .tv_nsec = 50000000 };

	nanosleep(&while_it_halts, NULL);
	ASSERT_EQ(signal_msi(arg, MSI_TO(0), VEC_C), 1);
	return NULL;
}

TEST(halt_with_one_held_back)
{
	struct vcpu *vcpu = order_guest(guest_vm(CHIPS), halt, true);
	pthread_t thread;

	ASSERT_STEP(vcpu, 1);
	ASSERT_EQ(pthread_create(&thread, NULL, send_msi, vcpu->vm), 0);
	EXPECT_DONE(vcpu);
	guest_join(thread);
}

/* --- ends that the I/O APIC waits for --- */

static uint32_t remote_irr(void)
{
	return ioapic_read(IOAPIC_ENTRY + 2 * PIN) & ENTRY_REMOTE_IRR;
}

/* The end of VEC_C, which nobody waits for, is not that of the level. */
static void end_another(void)
{
	send(VEC_C);
	guest_window();
	GUEST_EQ(count, 2);
	GUEST_TRUE(apic_bit(APIC_ISR, VEC_B) && !apic_bit(APIC_ISR, VEC_C));
	GUEST_EQ(remote_irr(), ENTRY_REMOTE_IRR);
	guest_step(2);
}

static void end_later(void)
{
	GUEST_EQ(remote_irr(), ENTRY_REMOTE_IRR);
	guest_step(4);
}

static void level(void)
{
	static const char want[] = { VEC_B, VEC_C, VEC_A };

	apic_enable();
	ioapic_entry(PIN, VEC_B | ENTRY_LEVEL, 0);
	nested = end_another;
	guest_step(1);
	guest_window();
	GUEST_EQ(remote_irr(), 0);
	/* Another vector for the pin while the guest runs */
	ioapic_entry(PIN, VEC_A | ENTRY_LEVEL, 0);
	nested = end_later;
	guest_step(3);
	guest_window();
	GUEST_EQ(remote_irr(), 0);
	expect_order(want, ARRAY_SIZE(want));
}

static void ends_of_levels(bool by_msr)
{
	struct vcpu *vcpu = order_guest(guest_vm(CHIPS), level, by_msr);
	struct vm *vm = vcpu->vm;

	ASSERT_STEP(vcpu, 1);
	ASSERT_OK(irq_line(vm, PIN, 1));
	ASSERT_STEP(vcpu, 2);
	ASSERT_OK(irq_line(vm, PIN, 0));
	ASSERT_STEP(vcpu, 3);
	ASSERT_OK(irq_line(vm, PIN, 1));
	ASSERT_STEP(vcpu, 4);
	ASSERT_OK(irq_line(vm, PIN, 0));
	EXPECT_DONE(vcpu);
}

TEST(ends_of_levels_xapic) { ends_of_levels(false); }
TEST(ends_of_levels_x2apic) { ends_of_levels(true); }

/* --- trigger modes --- */

static volatile bool is_level, line_is_high;
static volatile int ended;

HANDLER(on_either)
{
	GUEST_EQ(apic_bit(APIC_TMR, VEC_B), is_level);
	/* The end of one that is high still would be the beginning of another. */
	while (line_is_high)
		;
	arrived(VEC_B);
	ended++;
}

static const char triggers[] = "EELEELLEELE";
enum { TRIGGERS = sizeof(triggers) - 1 };

static void take_all(void)
{
	apic_enable();
	ioapic_entry(PIN, VEC_B | ENTRY_LEVEL, 0);
	guest_step(1);
	guest_spin(ended == TRIGGERS);
	GUEST_EQ(count, TRIGGERS);
}

/* One vector of a guest that runs, by messages and by a level */
static void mixed(bool by_msr)
{
	struct vcpu *vcpu = order_guest(guest_vm(CHIPS), take_all, by_msr);
	struct vm *vm = vcpu->vm;
	pthread_t thread;

	guest_gate(vm, VEC_B, on_either);
	ASSERT_STEP(vcpu, 1);
	thread = guest_start(vcpu);
	for (int i = 0; i < TRIGGERS; i++) {
		is_level = triggers[i] == 'L';
		line_is_high = is_level;
		if (is_level)
			irq_pulse(vm, PIN);
		else
			ASSERT_EQ(signal_msi(vm, MSI_TO(0), VEC_B), 1);
		line_is_high = false;
		host_wait(ended == i + 1);
	}
	guest_join(thread);
}

TEST(edges_and_levels_xapic) { mixed(false); }
TEST(edges_and_levels_x2apic) { mixed(true); }

/* --- debugging --- */

static void be_blocked(void)
{
	apic_enable();
	self_ipi(VEC_B);
	guest_step(1);
	/* With KVM_GUESTDBG_BLOCKIRQ */
	guest_window();
	GUEST_EQ(count, 0);
	GUEST_TRUE(apic_bit(APIC_IRR, VEC_B));
	guest_step(2);
	/* Without */
	guest_window();
	GUEST_EQ(count, 1);
	GUEST_TRUE(!apic_bit(APIC_IRR, VEC_B));
}

TEST(blocked_for_a_debugger)
{
	struct vcpu *vcpu = order_guest(guest_vm(CHIPS), be_blocked, true);
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_BLOCKIRQ };

	if (!(kvm_check(vcpu->vm->kvm, KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_BLOCKIRQ))
		SKIP("the device offers no KVM_GUESTDBG_BLOCKIRQ");
	ASSERT_STEP(vcpu, 1);
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug));
	ASSERT_STEP(vcpu, 2);
	debug.control = 0;
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug));
	EXPECT_DONE(vcpu);
}
