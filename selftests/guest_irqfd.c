// SPDX-License-Identifier: GPL-2.0
/* machine: cpus=2 again=enable_apicv=1 */
/* Interrupts by eventfd: MSI and pin routes, to a halted and to a running vCPU. */
#include "lib/apic.h"

enum { GSI = 24, PIN = 10, ROUNDS = 100 };

static volatile int count, others;
static volatile bool ready, finish;

HANDLER(on_interrupt)
{
	count++;
	apic_eoi();
}

HANDLER(on_other)
{
	others++;
	apic_eoi();
}

static struct vcpu *irqfd_guest(void (*fn)(void))
{
	struct vcpu *vcpu = guest_cpu(guest_vm(CHIPS), 0, fn);

	guest_gate(vcpu->vm, VEC_A, on_interrupt);
	guest_gate(vcpu->vm, VEC_B, on_other);
	return vcpu;
}

/* GSI as an MSI to vCPU 0, PIN as it is at the I/O APIC */
static void route(struct vm *vm, uint8_t vector)
{
	struct routes routes = { 0 };

	route_msi(&routes, GSI, MSI_TO(0), vector);
	route_pin(&routes, PIN, KVM_IRQCHIP_IOAPIC, PIN);
	ASSERT_OK(vm_set_routes(vm, &routes));
}

static void set_up(void)
{
	apic_enable();
	ioapic_entry(PIN, VEC_A, 0);
	ready = true;
}

static void wait_halted(void)
{
	set_up();
	guest_wait(finish);
}

static void wait_running(void)
{
	set_up();
	guest_spin(finish);
}

static void one_by_one(void (*fn)(void), uint32_t gsi)
{
	struct vcpu *vcpu = irqfd_guest(fn);
	int fd = event_new();
	pthread_t thread;

	route(vcpu->vm, VEC_A);
	ASSERT_OK(irqfd(vcpu->vm, fd, gsi, 0, 0));
	thread = guest_start(vcpu);
	host_wait(ready);
	for (int i = 1; i <= ROUNDS; i++) {
		event_signal(fd);
		host_wait(count >= i);
	}
	finish = true;
	event_signal(fd);
	guest_join(thread);
	EXPECT_TRUE(count >= ROUNDS && count <= ROUNDS + 1);
	/* The KVM has taken the counts. */
	EXPECT_EQ(event_take(fd), 0);
}

TEST_LIMIT(msi_to_halted, 60) { one_by_one(wait_halted, GSI); }
TEST_LIMIT(msi_to_running, 60) { one_by_one(wait_running, GSI); }
TEST_LIMIT(pin_to_halted, 60) { one_by_one(wait_halted, PIN); }
TEST_LIMIT(pin_to_running, 60) { one_by_one(wait_running, PIN); }

static void take_two(void)
{
	apic_enable();
	for (int i = 1; i <= 2; i++) {
		guest_step(i);
		guest_wait(count == i);
	}
}

static void take_one(void)
{
	apic_enable();
	guest_step(1);
	guest_wait(count == 1);
	guest_step(2);
	guest_window();
	GUEST_EQ(count, 1);
}

/* The guest after an interrupt by GSI's eventfd, which is bound by then. */
static struct vcpu *interrupted_once(void (*fn)(void), int *fd)
{
	struct vcpu *vcpu = irqfd_guest(fn);

	*fd = event_new();
	route(vcpu->vm, VEC_A);
	ASSERT_OK(irqfd(vcpu->vm, *fd, GSI, 0, 0));
	ASSERT_STEP(vcpu, 1);
	event_signal(*fd);
	ASSERT_STEP(vcpu, 2);
	return vcpu;
}

/* The vCPU does not run: what comes waits for it. */
TEST(while_the_vcpu_is_outside)
{
	int fd;
	struct vcpu *vcpu = interrupted_once(take_two, &fd);

	event_signal(fd);
	event_signal(fd);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(count, 2);
}

/* An eventfd that was signalled before it is bound interrupts at once. */
TEST(signalled_before)
{
	struct vcpu *vcpu = irqfd_guest(take_one);
	int fd = event_new();

	route(vcpu->vm, VEC_A);
	ASSERT_STEP(vcpu, 1);
	event_signal(fd);
	ASSERT_OK(irqfd(vcpu->vm, fd, GSI, 0, 0));
	ASSERT_STEP(vcpu, 2);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(count, 1);
}

TEST(deassigned)
{
	int fd;
	struct vcpu *vcpu = interrupted_once(take_one, &fd);

	ASSERT_OK(irqfd(vcpu->vm, fd, GSI, KVM_IRQFD_FLAG_DEASSIGN, 0));
	event_signal(fd);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(count, 1);
	EXPECT_EQ(event_take(fd), 1);
}

/* Closing the eventfd is enough. */
TEST(closed)
{
	int fd;
	struct vcpu *vcpu = interrupted_once(take_two, &fd);

	ASSERT_OK(close(fd));
	fd = event_new();
	ASSERT_OK(irqfd(vcpu->vm, fd, GSI, 0, 0));
	event_signal(fd);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(count, 2);
}

static void take_rerouted(void)
{
	apic_enable();
	guest_step(1);
	guest_wait(count == 1);
	guest_step(2);
	guest_wait(others == 1);
	guest_step(3);
	guest_window();
	GUEST_EQ(count, 1);
	GUEST_EQ(others, 1);
}

/* Routes may change, and go, under a bound eventfd. */
TEST(rerouted)
{
	int fd;
	struct vcpu *vcpu = interrupted_once(take_rerouted, &fd);
	const struct routes none = { 0 };

	route(vcpu->vm, VEC_B);
	event_signal(fd);
	ASSERT_STEP(vcpu, 3);
	ASSERT_OK(vm_set_routes(vcpu->vm, &none));
	event_signal(fd);
	EXPECT_DONE(vcpu);
}

/* One eventfd may not be two interrupts, two eventfds may be one. */
TEST(two_on_one_gsi)
{
	struct vcpu *vcpu = irqfd_guest(take_two);
	int one = event_new(), two = event_new();

	route(vcpu->vm, VEC_A);
	ASSERT_OK(irqfd(vcpu->vm, one, GSI, 0, 0));
	ASSERT_OK(irqfd(vcpu->vm, two, GSI, 0, 0));
	ASSERT_STEP(vcpu, 1);
	event_signal(one);
	ASSERT_STEP(vcpu, 2);
	event_signal(two);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(count, 2);
}

static void level(void)
{
	apic_enable();
	ioapic_entry(PIN, VEC_A | ENTRY_LEVEL, 0);
	guest_step(1);
	guest_window();
	GUEST_EQ(count, 1);
	guest_step(2);
	guest_window();
	GUEST_EQ(count, 2);
	guest_step(3);
}

/* Signals it, and waits until the line is up. */
static void raise_line(struct vm *vm, int fd)
{
	event_signal(fd);
	host_wait(vm_irqchip(vm, KVM_IRQCHIP_IOAPIC).chip.ioapic.irr & 1 << PIN);
}

/*
 * With a resample eventfd the line stays high until the guest's EOI, which
 * lowers it and tells the VMM, that raises it again if its device still wants.
 */
TEST(resampled)
{
	struct vcpu *vcpu = irqfd_guest(level);
	int fd = event_new(), resample = event_new();

	route(vcpu->vm, VEC_A);
	ASSERT_OK(irqfd(vcpu->vm, fd, PIN, KVM_IRQFD_FLAG_RESAMPLE, resample));
	ASSERT_STEP(vcpu, 1);
	raise_line(vcpu->vm, fd);
	EXPECT_EQ(event_take(resample), 0);
	ASSERT_STEP(vcpu, 2);
	EXPECT_EQ(event_take(resample), 1);
	raise_line(vcpu->vm, fd);
	ASSERT_STEP(vcpu, 3);
	EXPECT_EQ(event_take(resample), 1);
	ASSERT_OK(irqfd(vcpu->vm, fd, PIN, KVM_IRQFD_FLAG_DEASSIGN, 0));
	EXPECT_DONE(vcpu);
}

/* Several devices on one pin are all asked at its EOI, and the line falls only once. */
TEST(resampled_together)
{
	struct vcpu *vcpu = irqfd_guest(level);
	int one = event_new(), two = event_new(), resample = event_new(), other = event_new();

	route(vcpu->vm, VEC_A);
	ASSERT_OK(irqfd(vcpu->vm, one, PIN, KVM_IRQFD_FLAG_RESAMPLE, resample));
	ASSERT_OK(irqfd(vcpu->vm, two, PIN, KVM_IRQFD_FLAG_RESAMPLE, other));
	ASSERT_STEP(vcpu, 1);
	raise_line(vcpu->vm, one);
	raise_line(vcpu->vm, two);
	ASSERT_STEP(vcpu, 2);
	EXPECT_EQ(event_take(resample), 1);
	EXPECT_EQ(event_take(other), 1);
	raise_line(vcpu->vm, two);
	ASSERT_STEP(vcpu, 3);
	EXPECT_EQ(event_take(resample), 1);
	EXPECT_EQ(event_take(other), 1);
	EXPECT_DONE(vcpu);
}

/* Deassigning a raised line lowers it. */
static void raised_no_more(void)
{
	apic_enable();
	ioapic_entry(PIN, VEC_A | ENTRY_LEVEL | ENTRY_MASKED, 0);
	guest_step(1);
	ioapic_write(IOAPIC_ENTRY + 2 * PIN, VEC_A | ENTRY_LEVEL);
	guest_window();
	GUEST_EQ(count, 0);
}

TEST(deassigned_while_high)
{
	struct vcpu *vcpu = irqfd_guest(raised_no_more);
	int fd = event_new(), resample = event_new();

	route(vcpu->vm, VEC_A);
	ASSERT_OK(irqfd(vcpu->vm, fd, PIN, KVM_IRQFD_FLAG_RESAMPLE, resample));
	ASSERT_STEP(vcpu, 1);
	raise_line(vcpu->vm, fd);
	ASSERT_OK(irqfd(vcpu->vm, fd, PIN, KVM_IRQFD_FLAG_DEASSIGN, 0));
	EXPECT_DONE(vcpu);
}

static volatile bool stop_binding;

static void *bind_and_unbind(void *arg)
{
	struct vcpu *vcpu = arg;

	while (!stop_binding) {
		int fd = event_new();

		ASSERT_OK(irqfd(vcpu->vm, fd, GSI, 0, 0));
		event_signal(fd);
		ASSERT_OK(irqfd(vcpu->vm, fd, GSI, KVM_IRQFD_FLAG_DEASSIGN, 0));
		close(fd);
	}
	return NULL;
}

/* Eventfds and routes come and go while interrupts fly. */
TEST_LIMIT(changed_under_way, 60)
{
	struct vcpu *vcpu = irqfd_guest(wait_running);
	pthread_t runner, binder;
	int fd = event_new();

	route(vcpu->vm, VEC_A);
	ASSERT_OK(irqfd(vcpu->vm, fd, GSI, 0, 0));
	runner = guest_start(vcpu);
	ASSERT_EQ(pthread_create(&binder, NULL, bind_and_unbind, vcpu), 0);
	for (int i = 0; i < ROUNDS; i++) {
		const int before = count;

		route(vcpu->vm, i % 2 ? VEC_B : VEC_A);
		route(vcpu->vm, VEC_A);
		event_signal(fd);
		host_wait(count > before);
	}
	stop_binding = true;
	ASSERT_EQ(pthread_join(binder, NULL), 0);
	finish = true;
	guest_join(runner);
}
