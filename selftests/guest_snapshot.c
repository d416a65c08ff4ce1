// SPDX-License-Identifier: GPL-2.0
/* A guest that is saved by ioctls and restored into a new VM goes on. */
#include "lib/pv.h"

enum { PIN = 10, PERIOD = 10000000, PIT_COUNT = PIT_HZ / 100, FIRST = 3, IRQ = 0 };
enum { PIC_BASE = 0x30, MAX_MSRS = 512 };

static volatile int ticks, pit_ticks;
static volatile bool by_pic;

HANDLER(on_tick)
{
	ticks++;
	apic_eoi();
}

HANDLER(on_deadline)
{
	ticks++;
	guest_wrmsr(MSR_TSC_DEADLINE, guest_rdtsc() + 400000);
	apic_eoi();
}

HANDLER(on_pit)
{
	pit_ticks++;
	if (by_pic)
		guest_outb(PIC_MASTER, PIC_OCW2_EOI);
	else
		apic_eoi();
}

/* Everything a VMM saves of a VM with one vCPU */
struct snapshot {
	uint8_t ram[GUEST_PAGES * PAGE_SIZE];
	struct kvm_cpuid2 *cpuid;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp_state;
	struct kvm_vcpu_events events;
	struct kvm_irqchip chips[3];
	struct kvm_pit_state2 pit;
	struct kvm_clock_data clock;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[MAX_MSRS];
	} msrs;
};

static struct snapshot saved;

static void save_msrs(struct vcpu *vcpu)
{
	struct {
		struct kvm_msr_list head;
		uint32_t indices[MAX_MSRS];
	} list = { .head.nmsrs = MAX_MSRS };

	ASSERT_OK(ioctl(vcpu->vm->kvm, KVM_GET_MSR_INDEX_LIST, &list));
	saved.msrs.head.nmsrs = 0;
	/* One by one: not all that are listed can be read with this CPUID. */
	for (uint32_t i = 0; i < list.head.nmsrs; i++) {
		struct kvm_msr_entry *entry = &saved.msrs.entries[saved.msrs.head.nmsrs];

		entry->index = list.indices[i];
		if (msr_get(vcpu->fd, entry->index, (uint64_t *)&entry->data) == 1)
			saved.msrs.head.nmsrs++;
	}
}

static void save(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	/* An exit to the VMM is completed before anything is saved. */
	vcpu->run->immediate_exit = 1;
	EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
	memcpy(saved.ram, vm->ram, sizeof(saved.ram));
	saved.cpuid = cpuid_supported(vm->kvm);
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_CPUID2, saved.cpuid));
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_MP_STATE, &saved.mp_state));
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_REGS, &saved.regs));
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_SREGS, &saved.sregs));
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_XSAVE, &saved.xsave));
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_XCRS, &saved.xcrs));
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &saved.debugregs));
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_LAPIC, &saved.lapic));
	save_msrs(vcpu);
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &saved.events));
	for (uint32_t id = 0; id < ARRAY_SIZE(saved.chips); id++)
		saved.chips[id] = vm_irqchip(vm, id);
	ASSERT_OK(ioctl(vm->fd, KVM_GET_PIT2, &saved.pit));
	ASSERT_OK(ioctl(vm->fd, KVM_GET_CLOCK, &saved.clock));
}

static struct vcpu *restore(void)
{
	struct vm *vm = guest_vm(CHIPS_PIT);
	struct vcpu *vcpu = vcpu_create(vm, 0);
	struct kvm_clock_data clock = { .clock = saved.clock.clock };

	memcpy(vm->ram, saved.ram, sizeof(saved.ram));
	vcpu_set_cpuid(vcpu, saved.cpuid);
	ASSERT_OK(ioctl(vm->fd, KVM_SET_PIT2, &saved.pit));
	for (uint32_t id = 0; id < ARRAY_SIZE(saved.chips); id++)
		ASSERT_OK(ioctl(vm->fd, KVM_SET_IRQCHIP, &saved.chips[id]));
	ASSERT_OK(ioctl(vm->fd, KVM_SET_CLOCK, &clock));
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_MP_STATE, &saved.mp_state));
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_REGS, &saved.regs));
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_SREGS, &saved.sregs));
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_XSAVE, &saved.xsave));
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_XCRS, &saved.xcrs));
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &saved.debugregs));
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_LAPIC, &saved.lapic));
	/* What could be read can be set. */
	for (uint32_t i = 0; i < saved.msrs.head.nmsrs; i++) {
		const struct kvm_msr_entry *entry = &saved.msrs.entries[i];

		if (msr_set(vcpu->fd, entry->index, entry->data) != 1)
			test_fail(__FILE__, __LINE__, "MSR 0x%x: expected it to take 0x%llx again",
				  entry->index, entry->data);
	}
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &saved.events));
	return vcpu;
}

static struct vcpu *snapshot_guest(void (*fn)(void), bool by_msr)
{
	struct vcpu *vcpu = guest_cpu(guest_vm(CHIPS_PIT), 0, fn);

	x2apic = by_msr;
	guest_gate(vcpu->vm, VEC_A, on_tick);
	guest_gate(vcpu->vm, VEC_B, on_pit);
	guest_gate(vcpu->vm, VEC_C, on_deadline);
	guest_gate(vcpu->vm, PIC_BASE + IRQ, on_pit);
	return vcpu;
}

/* Saved at the step, the guest goes on in the new VM, the old one being gone. */
static void move_at_step(void (*fn)(void), bool by_msr)
{
	struct vcpu *vcpu = snapshot_guest(fn, by_msr);

	for (int step = 1; step <= 3; step++) {
		ASSERT_STEP(vcpu, step);
		save(vcpu);
		guest_free(vcpu);
		vcpu = restore();
	}
	EXPECT_DONE(vcpu);
	guest_free(vcpu);
}

static void wait_with_steps(volatile int *counter)
{
	for (int step = 1; step <= 3; step++) {
		guest_wait(*counter >= step * FIRST);
		guest_step(step);
	}
	guest_wait(*counter >= 4 * FIRST);
}

static void count_timer(void)
{
	apic_enable();
	apic_write(APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, VEC_A | LVT_PERIODIC);
	apic_write(APIC_TIMER_INITIAL, PERIOD);
	wait_with_steps(&ticks);
}

TEST_LIMIT(periodic_timer_xapic, 60) { move_at_step(count_timer, false); }
TEST_LIMIT(periodic_timer_x2apic, 60) { move_at_step(count_timer, true); }

static void count_deadlines(void)
{
	apic_enable();
	apic_write(APIC_LVT_TIMER, VEC_C | LVT_DEADLINE);
	guest_wrmsr(MSR_TSC_DEADLINE, guest_rdtsc() + 400000);
	wait_with_steps(&ticks);
}

TEST_LIMIT(deadline_timer, 60) { move_at_step(count_deadlines, false); }

static void count_pit_by_ioapic(void)
{
	apic_enable();
	ioapic_entry(IRQ, VEC_B, 0);
	pit_set(0, 2, PIT_COUNT);
	wait_with_steps(&pit_ticks);
}

TEST_LIMIT(pit_by_the_ioapic, 60) { move_at_step(count_pit_by_ioapic, false); }

static void count_pit_by_pic(void)
{
	by_pic = true;
	pic_init(PIC_BASE, PIC_ICW4);
	guest_outb(PIC_MASTER + 1, 0xfe);
	pit_set(0, 2, PIT_COUNT);
	wait_with_steps(&pit_ticks);
}

TEST_LIMIT(pit_by_the_pic, 60) { move_at_step(count_pit_by_pic, false); }

/* What is pending moves along: in IRR, in service, and at the priorities as they were. */
static void pend(void)
{
	apic_enable();
	apic_write(APIC_TPR, 0x30);
	apic_icr(0, ICR_SELF | VEC_A);
	guest_step(1);
	GUEST_TRUE(apic_bit(APIC_IRR, VEC_A));
	GUEST_EQ(apic_read(APIC_TPR), 0x30);
	guest_step(2);
	guest_window();
	GUEST_EQ(ticks, 1);
	guest_step(3);
	GUEST_TRUE(!apic_bit(APIC_IRR, VEC_A));
	GUEST_TRUE(!apic_bit(APIC_ISR, VEC_A));
}

TEST(pending_interrupt) { move_at_step(pend, false); }

/* Registers of the guest, general and vector, and its clock */
static __attribute__((aligned(64))) volatile struct pv_clock clock_area;

static void keep_registers(void)
{
	uint64_t last, xmm;

	guest_wrmsr(MSR_SYSTEM_TIME, (uintptr_t)&clock_area | PV_ENABLE);
	last = pv_clock_ns(&clock_area);
	for (int step = 1; step <= 3; step++) {
		__asm__ volatile("movq %1, %%xmm5\noutl %%eax, $0x10\nmovq %%xmm5, %0"
				 : "=r"(xmm) : "r"(0x1234567890abcdefUL * step), "a"(step)
				 : "xmm5", "memory");
		GUEST_EQ(xmm, 0x1234567890abcdefUL * step);
		GUEST_EQ(guest_rdmsr(MSR_SYSTEM_TIME), (uintptr_t)&clock_area | PV_ENABLE);
		GUEST_TRUE(pv_clock_ns(&clock_area) >= last);
		last = pv_clock_ns(&clock_area);
	}
}

TEST(registers_and_clock) { move_at_step(keep_registers, false); }

static void halt_first(void)
{
	apic_enable();
	ioapic_entry(PIN, VEC_A, 0);
	guest_step(1);
	guest_wait(ticks == 1);
}

static void *run_until_kicked(void *arg)
{
	EXPECT_ERRNO(guest_run((struct vcpu *)arg), EINTR);
	return NULL;
}

/* A halted guest is restored halted, and wakes. */
TEST(halted)
{
	struct vcpu *vcpu = snapshot_guest(halt_first, false);
	pthread_t thread;

	host_catch_kicks();
	ASSERT_STEP(vcpu, 1);
	ASSERT_EQ(pthread_create(&thread, NULL, run_until_kicked, vcpu), 0);
	usleep(200000);
	ASSERT_EQ(pthread_kill(thread, KICK_SIGNAL), 0);
	guest_join(thread);
	ASSERT_EQ(vcpu_mp_state(vcpu), KVM_MP_STATE_HALTED);
	save(vcpu);
	guest_free(vcpu);
	vcpu = restore();
	EXPECT_EQ(vcpu_mp_state(vcpu), KVM_MP_STATE_HALTED);
	irq_pulse(vcpu->vm, PIN);
	EXPECT_DONE(vcpu);
}
