// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_STATS_FD: what exits and interrupts of a guest are counted as. */
#include "lib/guest.h"
#include "lib/stats.h"

enum { ROUNDS = 7, NOWHERE = 0x70000000 };

static volatile uint32_t *const device = (volatile uint32_t *)NOWHERE;

static void touch_devices(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		guest_outb(0x80, 1);
		*device = 1;
		__asm__ volatile("hlt");
	}
}

/* Each counts what its name says. */
TEST(exits_of_a_guest)
{
	struct vm *vm = guest_vm(NO_CHIPS);
	struct vcpu *vcpu = guest_cpu(vm, 0, touch_devices);
	const int fd = stats_open(vcpu->fd);

	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_IO);
		EXPECT_EQ(stats_value(fd, "io_exits"), i + 1);
		EXPECT_EQ(stats_value(fd, "mmio_exits"), i);
		ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
		EXPECT_EQ(stats_value(fd, "mmio_exits"), i + 1);
		EXPECT_EQ(stats_value(fd, "halt_exits"), i);
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		EXPECT_EQ(stats_value(fd, "halt_exits"), i + 1);
	}
	EXPECT_DONE(vcpu);
	EXPECT_EQ(stats_value(fd, "io_exits"), ROUNDS + 1);
	EXPECT_TRUE(stats_value(fd, "insn_emulation") >= ROUNDS);
	EXPECT_TRUE(stats_value(fd, "exits") >= 3 * ROUNDS + 1);
	EXPECT_EQ(stats_value(fd, "irq_injections"), 0);
}

static volatile int interrupts;

HANDLER(on_interrupt)
{
	interrupts++;
}

static void take_interrupt(void)
{
	guest_step(1);
	guest_window();
}

TEST(injections)
{
	struct vm *vm = guest_vm(NO_CHIPS);
	struct vcpu *vcpu = guest_cpu(vm, 0, take_interrupt);
	const struct kvm_interrupt interrupt = { .irq = VEC_A };
	const int fd = stats_open(vcpu->fd);

	guest_gate(vm, VEC_A, on_interrupt);
	ASSERT_STEP(vcpu, 1);
	/* The window is open when the guest has done its STI. */
	vcpu->run->request_interrupt_window = 1;
	ASSERT_RUN(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	vcpu->run->request_interrupt_window = 0;
	ASSERT_OK(ioctl(vcpu->fd, KVM_INTERRUPT, &interrupt));
	EXPECT_DONE(vcpu);
	EXPECT_EQ(interrupts, 1);
	/* C KVM counts it again when a fault cuts its delivery short. */
	EXPECT_TRUE(stats_value(fd, "irq_injections") >= 1);
	EXPECT_EQ(stats_value(fd, "irq_window_exits"), 1);
	EXPECT_EQ(stats_value(fd, "request_irq_exits"), 1);
}
