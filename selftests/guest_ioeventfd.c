// SPDX-License-Identifier: GPL-2.0
/* Writes that signal an eventfd and do not leave KVM_RUN. */
#include "lib/apic.h"

enum { PORT = 0x1234, MMIO = 0x40000000, COUNT = 10 };

static int bind(struct vm *vm, int fd, uint64_t addr, uint32_t len, uint32_t flags, uint64_t match)
{
	const struct kvm_ioeventfd ioeventfd = {
		.datamatch = match, .addr = addr, .len = len, .fd = fd, .flags = flags,
	};

	return ioctl(vm->fd, KVM_IOEVENTFD, &ioeventfd);
}

static void outw(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static void write8(uint64_t gpa, uint8_t value)
{
	__asm__ volatile("movb %0, (%1)" : : "q"(value), "r"(gpa) : "memory");
}

static void write16(uint64_t gpa, uint16_t value)
{
	__asm__ volatile("movw %0, (%1)" : : "r"(value), "r"(gpa) : "memory");
}

static void write64(uint64_t gpa, uint64_t value)
{
	__asm__ volatile("movq %0, (%1)" : : "r"(value), "r"(gpa) : "memory");
}

static struct vcpu *plain_guest(void (*fn)(void))
{
	return guest_cpu(guest_vm(NO_CHIPS), 0, fn);
}

static void ports(void)
{
	for (int i = 0; i < COUNT; i++)
		outw(PORT, i);
	guest_step(1);
	guest_outb(PORT, 0x55);
	guest_out(PORT, 0x66);
	guest_inb(PORT);
	outw(PORT, 0x77);
}

TEST(port)
{
	struct vcpu *vcpu = plain_guest(ports);
	int fd = event_new();

	ASSERT_OK(bind(vcpu->vm, fd, PORT, 2, KVM_IOEVENTFD_FLAG_PIO, 0));
	ASSERT_STEP(vcpu, 1);
	EXPECT_EQ(event_take(fd), COUNT);
	/* Other widths, and reads, are as without it. */
	EXPECT_OUT(vcpu, PORT, 1, 0x55);
	EXPECT_OUT(vcpu, PORT, 4, 0x66);
	EXPECT_IN(vcpu, PORT, 1);
	ASSERT_OK(bind(vcpu->vm, fd, PORT, 2, KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN,
		       0));
	EXPECT_OUT(vcpu, PORT, 2, 0x77);
	EXPECT_EQ(event_take(fd), 0);
	EXPECT_DONE(vcpu);
}

static void matching_ports(void)
{
	for (int i = 0; i < 4; i++)
		outw(PORT, i);
}

TEST(port_with_datamatch)
{
	const uint32_t flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH;
	struct vcpu *vcpu = plain_guest(matching_ports);
	int one = event_new(), two = event_new();

	ASSERT_OK(bind(vcpu->vm, one, PORT, 2, flags, 1));
	ASSERT_OK(bind(vcpu->vm, two, PORT, 2, flags, 2));
	EXPECT_OUT(vcpu, PORT, 2, 0);
	EXPECT_OUT(vcpu, PORT, 2, 3);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(event_take(one), 1);
	EXPECT_EQ(event_take(two), 1);
}

static bool test_write(const char *file, int line, struct vcpu *vcpu, uint64_t gpa, uint32_t len,
		       uint64_t value)
{
	const struct kvm_run *run = vcpu->run;
	uint64_t got = 0;

	if (!test_ok(file, line, "KVM_RUN", guest_run(vcpu), errno) ||
	    !test_exit(file, line, vcpu, KVM_EXIT_MMIO))
		return false;
	memcpy(&got, run->mmio.data, len);
	return test_eq(file, line, "write", run->mmio.is_write, 1) &
	       test_eq(file, line, "address", run->mmio.phys_addr, gpa) &
	       test_eq(file, line, "length", run->mmio.len, len) &
	       test_eq(file, line, "data", got, value);
}
#define EXPECT_WRITE(vcpu, gpa, len, value) \
	test_write(__FILE__, __LINE__, (vcpu), (gpa), (len), (value))

static void memory(void)
{
	for (int i = 0; i < COUNT; i++)
		mmio_write(MMIO, i);
	guest_step(1);
	write8(MMIO, 0x11);
	write16(MMIO, 0x2222);
	write64(MMIO, 0x4444444444444444);
	mmio_write(MMIO + 4, 0x55);
	mmio_write(MMIO, 0x66);
}

TEST(mmio)
{
	struct vcpu *vcpu = plain_guest(memory);
	int fd = event_new();

	ASSERT_OK(bind(vcpu->vm, fd, MMIO, 4, 0, 0));
	ASSERT_STEP(vcpu, 1);
	EXPECT_EQ(event_take(fd), COUNT);
	EXPECT_WRITE(vcpu, MMIO, 1, 0x11);
	EXPECT_WRITE(vcpu, MMIO, 2, 0x2222);
	EXPECT_WRITE(vcpu, MMIO, 8, 0x4444444444444444);
	EXPECT_WRITE(vcpu, MMIO + 4, 4, 0x55);
	ASSERT_OK(bind(vcpu->vm, fd, MMIO, 4, KVM_IOEVENTFD_FLAG_DEASSIGN, 0));
	EXPECT_WRITE(vcpu, MMIO, 4, 0x66);
	EXPECT_EQ(event_take(fd), 0);
	EXPECT_DONE(vcpu);
}

static void any_length(void)
{
	write8(MMIO, 1);
	write16(MMIO, 2);
	mmio_write(MMIO, 4);
	write64(MMIO, 8);
	guest_step(1);
	mmio_write(MMIO + 4, 5);
}

TEST(mmio_of_any_length)
{
	struct vcpu *vcpu = plain_guest(any_length);
	int fd = event_new();

	if (!kvm_check(vcpu->vm->kvm, KVM_CAP_IOEVENTFD_ANY_LENGTH))
		SKIP("the device offers no KVM_CAP_IOEVENTFD_ANY_LENGTH");
	ASSERT_OK(bind(vcpu->vm, fd, MMIO, 0, 0, 0));
	ASSERT_STEP(vcpu, 1);
	EXPECT_EQ(event_take(fd), 4);
	EXPECT_WRITE(vcpu, MMIO + 4, 4, 5);
	EXPECT_DONE(vcpu);
}

GUEST64(patched, "1: patched_store: movl %eax, (%r8)\nnop\n" REPORT "jmp 1b\n");
extern const uint8_t patched_store[];

/* The same place rings with other instructions, of other lengths, and reads. */
TEST(mmio_of_any_length_from_changing_code)
{
	static const uint8_t stores[][4] = {
		{ 0x41, 0x89, 0x00, 0x90 },		/* movl %eax, (%r8); nop */
		{ 0x41, 0xc6, 0x00, 0x01 },		/* movb $1, (%r8) */
		{ 0x66, 0x41, 0x89, 0x00 },		/* movw %ax, (%r8) */
		{ 0x49, 0x89, 0x00, 0x90 },		/* movq %rax, (%r8); nop */
	};
	static const uint8_t load[4] = { 0x41, 0x8b, 0x00, 0x90 };	/* movl (%r8), %eax; nop */
	const uint64_t place = GUEST_ADDR(patched, patched_store);
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, patched);
	struct kvm_regs regs = vcpu_regs(vcpu);
	int fd = event_new();

	if (!kvm_check(vcpu->vm->kvm, KVM_CAP_IOEVENTFD_ANY_LENGTH))
		SKIP("the device offers no KVM_CAP_IOEVENTFD_ANY_LENGTH");
	ASSERT_OK(bind(vcpu->vm, fd, MMIO, 0, 0, 0));
	regs.r8 = MMIO;
	regs.rax = 0x42;
	vcpu_set_regs(vcpu, &regs);
	for (size_t i = 0; i < 2 * ARRAY_SIZE(stores); i++) {
		vm_write(vcpu->vm, place, stores[i % ARRAY_SIZE(stores)], sizeof(stores[0]));
		for (int round = 0; round < 3; round++)
			ASSERT_REPORT(vcpu, 0x42);
		EXPECT_EQ(event_take(fd), 3);
	}
	/* C KVM does not look which way the data goes: it signals for reads, too. */
	if (!kvm_is_c()) {
		vm_write(vcpu->vm, place, load, sizeof(load));
		ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
		EXPECT_EQ(vcpu->run->mmio.is_write, 0);
		EXPECT_EQ(event_take(fd), 0);
	}
	guest_free(vcpu);
}

static void any_length_port(void)
{
	guest_outb(PORT, 1);
	outw(PORT, 2);
	guest_out(PORT, 4);
}

TEST(port_of_any_length)
{
	struct vcpu *vcpu = plain_guest(any_length_port);
	int fd = event_new();

	if (!kvm_check(vcpu->vm->kvm, KVM_CAP_IOEVENTFD_ANY_LENGTH))
		SKIP("the device offers no KVM_CAP_IOEVENTFD_ANY_LENGTH");
	ASSERT_OK(bind(vcpu->vm, fd, PORT, 0, KVM_IOEVENTFD_FLAG_PIO, 0));
	EXPECT_DONE(vcpu);
	EXPECT_EQ(event_take(fd), 3);
}

static void wide_match(void)
{
	write64(MMIO, 0x1234567800000001);
	write64(MMIO, 0x0000000000000001);
	write64(MMIO + 8, 0x1234567800000001);
}

TEST(mmio_with_datamatch)
{
	struct vcpu *vcpu = plain_guest(wide_match);
	int fd = event_new();

	ASSERT_OK(bind(vcpu->vm, fd, MMIO, 8, KVM_IOEVENTFD_FLAG_DATAMATCH, 0x1234567800000001));
	EXPECT_WRITE(vcpu, MMIO, 8, 1);
	EXPECT_WRITE(vcpu, MMIO + 8, 8, 0x1234567800000001);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(event_take(fd), 1);
}

static void write_to_ram(void)
{
	mmio_write(GUEST_DATA, 0x77);
}

/* Memory goes before it. */
TEST(never_in_memory)
{
	struct vcpu *vcpu = plain_guest(write_to_ram);
	int fd = event_new();

	ASSERT_OK(bind(vcpu->vm, fd, GUEST_DATA, 4, 0, 0));
	EXPECT_DONE(vcpu);
	EXPECT_EQ(event_take(fd), 0);
	EXPECT_EQ(*(uint32_t *)(vcpu->vm->ram + GUEST_DATA), 0x77);
}

/* An ioeventfd bound to an irqfd interrupts the guest itself. */
enum { GSI = 24 };

static volatile int count;

HANDLER(on_interrupt)
{
	count++;
	apic_eoi();
}

static void kick_self(void)
{
	apic_enable();
	for (int i = 1; i <= COUNT; i++) {
		mmio_write(MMIO, i);
		guest_wait(count == i);
	}
}

TEST(into_an_irqfd)
{
	struct vcpu *vcpu = guest_cpu(guest_vm(CHIPS), 0, kick_self);
	struct routes routes = { 0 };
	int fd = event_new();

	guest_gate(vcpu->vm, VEC_A, on_interrupt);
	route_msi(&routes, GSI, MSI_TO(0), VEC_A);
	ASSERT_OK(vm_set_routes(vcpu->vm, &routes));
	ASSERT_OK(irqfd(vcpu->vm, fd, GSI, 0, 0));
	ASSERT_OK(bind(vcpu->vm, fd, MMIO, 4, 0, 0));
	EXPECT_DONE(vcpu);
	EXPECT_EQ(count, COUNT);
}
