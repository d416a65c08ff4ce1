// SPDX-License-Identifier: GPL-2.0
/* Coalesced MMIO and port I/O: writes that wait in a ring until the next exit. */
#include "lib/guest.h"

enum { ZONE = 0x40000000, ZONE_SIZE = 0x1000, PORT = 0x1234, WRITES = 5 };

static int zone(struct vm *vm, unsigned long request, uint64_t addr, uint32_t size, uint32_t pio)
{
	const struct kvm_coalesced_mmio_zone zone = { .addr = addr, .size = size, .pio = pio };

	return ioctl(vm->fd, request, &zone);
}

static int add(struct vm *vm, uint64_t addr, uint32_t size, uint32_t pio)
{
	return zone(vm, KVM_REGISTER_COALESCED_MMIO, addr, size, pio);
}

static int take_away(struct vm *vm, uint64_t addr, uint32_t size, uint32_t pio)
{
	return zone(vm, KVM_UNREGISTER_COALESCED_MMIO, addr, size, pio);
}

static struct kvm_coalesced_mmio_ring *ring_of(struct vcpu *vcpu)
{
	const unsigned long page = kvm_check(vcpu->vm->kvm, KVM_CAP_COALESCED_MMIO);

	ASSERT_TRUE(page != 0);
	ASSERT_TRUE((page + 1) * PAGE_SIZE <= vcpu->run_size);
	return (void *)((uint8_t *)vcpu->run + page * PAGE_SIZE);
}

static void write32(uint64_t gpa, uint32_t value)
{
	__asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(gpa) : "memory");
}

static uint32_t read32(uint64_t gpa)
{
	uint32_t value;

	__asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(gpa) : "memory");
	return value;
}

static void some_writes(void)
{
	for (int i = 0; i < WRITES; i++)
		write32(ZONE + 16 * i, 0x1000 + i);
	guest_step(1);
	read32(ZONE);
	write32(ZONE + ZONE_SIZE, 0x77);
	write32(ZONE + ZONE_SIZE - 2, 0x88);
}

TEST(writes_wait_in_the_ring)
{
	struct vcpu *vcpu = guest_cpu(guest_vm(NO_CHIPS), 0, some_writes);
	struct kvm_coalesced_mmio_ring *ring = ring_of(vcpu);

	ASSERT_OK(add(vcpu->vm, ZONE, ZONE_SIZE, 0));
	EXPECT_EQ(ring->first, 0);
	EXPECT_EQ(ring->last, 0);
	ASSERT_STEP(vcpu, 1);
	EXPECT_EQ(ring->first, 0);
	ASSERT_EQ(ring->last, WRITES);
	for (int i = 0; i < WRITES; i++) {
		const struct kvm_coalesced_mmio *write = &ring->coalesced_mmio[i];

		EXPECT_EQ(write->phys_addr, ZONE + 16 * i);
		EXPECT_EQ(write->len, 4);
		EXPECT_EQ(write->pio, 0);
		EXPECT_EQ(*(uint32_t *)write->data, 0x1000 + i);
	}
	/* Reads, and what is not all inside, exit as ever. */
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(vcpu->run->mmio.is_write, 0);
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(vcpu->run->mmio.phys_addr, ZONE + ZONE_SIZE);
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(vcpu->run->mmio.is_write, 1);
}

static void write_on(void)
{
	for (int i = 0;; i++)
		write32(ZONE, i);
}

/* A full ring lets the write exit; one place is always free. */
TEST(full_ring)
{
	const unsigned int room =
		(PAGE_SIZE - sizeof(struct kvm_coalesced_mmio_ring)) /
		sizeof(struct kvm_coalesced_mmio);
	struct vcpu *vcpu = guest_cpu(guest_vm(NO_CHIPS), 0, write_on);
	struct kvm_coalesced_mmio_ring *ring = ring_of(vcpu);
	uint32_t value;

	ASSERT_OK(add(vcpu->vm, ZONE, ZONE_SIZE, 0));
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(ring->last, room - 1);
	memcpy(&value, vcpu->run->mmio.data, sizeof(value));
	EXPECT_EQ(value, room - 1);
	/* Emptied it takes as many again, round its end. */
	ring->first = ring->last;
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(ring->last, room - 2);
	memcpy(&value, vcpu->run->mmio.data, sizeof(value));
	EXPECT_EQ(value, 2 * room - 1);
}

static void one_write(void)
{
	write32(ZONE, 1);
}

/* The ring is memory of the VMM, which may write anything there. */
TEST(broken_ring)
{
	const uint32_t values[] = { 1000, 170, 0x80000000, 0xffffffff };

	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++) {
		struct vcpu *vcpu = guest_cpu(guest_vm(NO_CHIPS), 0, one_write);
		struct kvm_coalesced_mmio_ring *ring = ring_of(vcpu);

		ASSERT_OK(add(vcpu->vm, ZONE, ZONE_SIZE, 0));
		ring->last = values[i];
		EXPECT_RUN(vcpu, KVM_EXIT_MMIO);
		guest_free(vcpu);
	}
}

static void port_writes(void)
{
	guest_out(PORT, 0x12345678);
	guest_outb(PORT + 1, 0x55);
	guest_step(1);
}

TEST(ports)
{
	struct vcpu *vcpu = guest_cpu(guest_vm(NO_CHIPS), 0, port_writes);
	struct kvm_coalesced_mmio_ring *ring = ring_of(vcpu);

	if (!kvm_check(vcpu->vm->kvm, KVM_CAP_COALESCED_PIO))
		SKIP("the device offers no KVM_CAP_COALESCED_PIO");
	ASSERT_OK(add(vcpu->vm, PORT, 4, 1));
	ASSERT_STEP(vcpu, 1);
	ASSERT_EQ(ring->last, 2);
	EXPECT_EQ(ring->coalesced_mmio[0].pio, 1);
	EXPECT_EQ(ring->coalesced_mmio[0].phys_addr, PORT);
	EXPECT_EQ(ring->coalesced_mmio[0].len, 4);
	EXPECT_EQ(*(uint32_t *)ring->coalesced_mmio[0].data, 0x12345678);
	EXPECT_EQ(ring->coalesced_mmio[1].phys_addr, PORT + 1);
	EXPECT_EQ(ring->coalesced_mmio[1].len, 1);
	EXPECT_EQ(ring->coalesced_mmio[1].data[0], 0x55);
}

static void two_writes(void)
{
	write32(ZONE, 1);
	guest_step(1);
	write32(ZONE, 2);
}

/* What lies inside the range given goes, the rest stays. */
TEST(unregister)
{
	struct vcpu *vcpu = guest_cpu(guest_vm(NO_CHIPS), 0, two_writes);

	ASSERT_OK(add(vcpu->vm, ZONE, ZONE_SIZE, 0));
	ASSERT_STEP(vcpu, 1);
	ASSERT_OK(take_away(vcpu->vm, ZONE, ZONE_SIZE, 0));
	EXPECT_RUN(vcpu, KVM_EXIT_MMIO);
}

TEST(unregister_an_unknown_one)
{
	struct vm *vm = vm_create();

	EXPECT_OK(take_away(vm, ZONE, ZONE_SIZE, 0));
	ASSERT_OK(add(vm, ZONE, ZONE_SIZE, 0));
	EXPECT_OK(take_away(vm, ZONE + ZONE_SIZE, ZONE_SIZE, 0));
	EXPECT_OK(take_away(vm, ZONE, ZONE_SIZE, 0));
	EXPECT_OK(take_away(vm, ZONE, ZONE_SIZE, 0));
}

TEST(invalid)
{
	struct vm *vm = vm_create();

	EXPECT_ERRNO(add(vm, ZONE, ZONE_SIZE, 2), EINVAL);
	EXPECT_ERRNO(take_away(vm, ZONE, ZONE_SIZE, 2), EINVAL);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, 16), EFAULT);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_UNREGISTER_COALESCED_MMIO, 16), EFAULT);
}
