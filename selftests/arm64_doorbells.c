// SPDX-License-Identifier: GPL-2.0
/* machine: arch=arm64 */
/* Stores of a guest that need no exit to the VMM: ioeventfds and coalesced MMIO. */
#include <string.h>

#include "lib/arm64.h"
#include "lib/event.h"

enum { BELL = 0x0a000000, ZONE = 0x0a001000, WRITES = 5 };

static int bind(struct vm *vm, int fd, uint64_t addr, uint32_t len, uint32_t flags, uint64_t match)
{
	const struct kvm_ioeventfd ioeventfd = {
		.datamatch = match, .addr = addr, .len = len, .fd = fd, .flags = flags,
	};

	return ioctl(vm->fd, KVM_IOEVENTFD, &ioeventfd);
}

/* One store of each size with the value 7, and one of 4 bytes with 8 */
GUEST64(rings, "mov x1, #0x0a000000\nmov x2, #7\n"
	       "strb w2, [x1]\nstrh w2, [x1]\nstr w2, [x1]\nstr x2, [x1]\n"
	       "mov x2, #8\nstr w2, [x1]\n" DONE);

TEST(any_length_takes_all)
{
	struct vcpu *vcpu = GUEST_NEW(rings);
	const int fd = event_new();

	ASSERT_OK(bind(vcpu->vm, fd, BELL, 0, 0, 0));
	EXPECT_DONE(vcpu);
	EXPECT_EQ(event_take(fd), 5);
}

TEST(a_length_takes_its_own)
{
	struct vcpu *vcpu = GUEST_NEW(rings);
	const int fd = event_new();

	ASSERT_OK(bind(vcpu->vm, fd, BELL, 4, 0, 0));
	EXPECT_STORE(vcpu, BELL, 1, 7);
	EXPECT_STORE(vcpu, BELL, 2, 7);
	EXPECT_STORE(vcpu, BELL, 8, 7);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(event_take(fd), 2);
}

TEST(values_have_their_own)
{
	struct vcpu *vcpu = GUEST_NEW(rings);
	const int seven = event_new(), eight = event_new(), wide = event_new();

	ASSERT_OK(bind(vcpu->vm, seven, BELL, 4, KVM_IOEVENTFD_FLAG_DATAMATCH, 7));
	ASSERT_OK(bind(vcpu->vm, eight, BELL, 4, KVM_IOEVENTFD_FLAG_DATAMATCH, 8));
	ASSERT_OK(bind(vcpu->vm, wide, BELL, 8, KVM_IOEVENTFD_FLAG_DATAMATCH, 8));
	EXPECT_STORE(vcpu, BELL, 1, 7);
	EXPECT_STORE(vcpu, BELL, 2, 7);
	EXPECT_STORE(vcpu, BELL, 8, 7);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(event_take(seven), 1);
	EXPECT_EQ(event_take(eight), 1);
	EXPECT_EQ(event_take(wide), 0);
}

/* A load of the place, and a store beside it, are the VMM's. */
GUEST64(goes_by, "mov x1, #0x0a000000\nldr w0, [x1]\nstr w0, [x1, #4]\n" DONE);

TEST(loads_and_neighbours_exit)
{
	struct vcpu *vcpu = GUEST_NEW(goes_by);
	const int fd = event_new();

	ASSERT_OK(bind(vcpu->vm, fd, BELL, 4, 0, 0));
	EXPECT_LOAD(vcpu, BELL, 4);
	memset(vcpu->run->mmio.data, 0x11, 4);
	EXPECT_STORE(vcpu, BELL + 4, 4, 0x11111111);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(event_take(fd), 0);
}

TEST(taken_back_it_exits)
{
	struct vcpu *vcpu = GUEST_NEW(rings);
	const int fd = event_new();

	ASSERT_OK(bind(vcpu->vm, fd, BELL, 0, 0, 0));
	ASSERT_OK(bind(vcpu->vm, fd, BELL, 0, KVM_IOEVENTFD_FLAG_DEASSIGN, 0));
	EXPECT_STORE(vcpu, BELL, 1, 7);
	EXPECT_EQ(event_take(fd), 0);
}

static struct kvm_coalesced_mmio_ring *ring_of(struct vcpu *vcpu)
{
	const unsigned long page = kvm_check(vcpu->vm->kvm, KVM_CAP_COALESCED_MMIO);

	ASSERT_TRUE(page != 0);
	ASSERT_TRUE((page + 1) * PAGE_SIZE <= vcpu->run_size);
	return (void *)((uint8_t *)vcpu->run + page * PAGE_SIZE);
}

static int add_zone(struct vm *vm, uint64_t addr, uint32_t size)
{
	const struct kvm_coalesced_mmio_zone zone = { .addr = addr, .size = size };

	return ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone);
}

/* Stores 0 to 4 to one word after the other */
GUEST64(stores, "mov x1, #0x0a000000\nadd x1, x1, #0x1000\nmov w2, #0\n"
		"1: str w2, [x1]\nadd x1, x1, #4\nadd w2, w2, #1\ncmp w2, #5\nb.ne 1b\n" DONE);

TEST(stores_wait_in_the_ring)
{
	struct vcpu *vcpu = GUEST_NEW(stores);
	struct kvm_coalesced_mmio_ring *ring = ring_of(vcpu);

	ASSERT_OK(add_zone(vcpu->vm, ZONE, PAGE_SIZE));
	EXPECT_DONE(vcpu);
	EXPECT_EQ(ring->first, 0);
	ASSERT_EQ(ring->last, WRITES);
	for (unsigned int i = 0; i < WRITES; i++) {
		const struct kvm_coalesced_mmio *write = &ring->coalesced_mmio[i];

		EXPECT_EQ(write->phys_addr, ZONE + 4 * i);
		EXPECT_EQ(write->len, 4);
		EXPECT_EQ(*(uint32_t *)write->data, i);
	}
}

/* The ring is memory of the VMM, which may write anything there. */
TEST(a_broken_ring)
{
	static const uint32_t values[] = { 1000, 170, 0x80000000, 0xffffffff };

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		struct vcpu *vcpu = GUEST_NEW(stores);

		ASSERT_OK(add_zone(vcpu->vm, ZONE, PAGE_SIZE));
		ring_of(vcpu)->last = values[i];
		EXPECT_STORE(vcpu, ZONE, 4, 0);
		guest_free(vcpu);
	}
}

TEST(a_full_ring)
{
	struct vcpu *vcpu = GUEST_NEW(stores);
	struct kvm_coalesced_mmio_ring *ring = ring_of(vcpu);

	ASSERT_OK(add_zone(vcpu->vm, ZONE, PAGE_SIZE));
	/* One place is always free: two are left. */
	ring->first = 3;
	ring->last = 0;
	EXPECT_STORE(vcpu, ZONE + 8, 4, 2);
	EXPECT_EQ(ring->last, 2);
}
