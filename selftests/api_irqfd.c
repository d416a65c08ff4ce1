// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* KVM_IRQFD: what is refused. guest_irqfd.c has what it does. */
#include <fcntl.h>

#include "lib/event.h"
#ifdef __x86_64__
#include "lib/apic.h"
#else
#include "lib/vgic.h"
#endif

enum { GSI = 5, UNKNOWN_FLAG = 0x100 };

/* A VM with interrupt controllers in the kernel */
#ifdef __x86_64__
static struct vm *vm_with_split(void)
{
	struct vm *vm = vm_create();

	vm_create_chips(vm, CHIPS_SPLIT);
	return vm;
}

static struct vm *vm_with_chips(void)
{
	struct vm *vm = vm_create();

	vm_create_chips(vm, CHIPS);
	return vm;
}

TEST(needs_an_irqchip)
{
	EXPECT_ERRNO(irqfd(vm_create(), event_new(), GSI, 0, 0), EINVAL);
	EXPECT_OK(irqfd(vm_with_chips(), event_new(), GSI, 0, 0));
	EXPECT_OK(irqfd(vm_with_split(), event_new(), GSI, 0, 0));
}

/* Its pins are the VMM's own in a split one. */
TEST(no_resampling_with_a_split_irqchip)
{
	EXPECT_ERRNO(irqfd(vm_with_split(), event_new(), GSI, KVM_IRQFD_FLAG_RESAMPLE, event_new()),
		     EINVAL);
}
#else
static struct vm *vm_with_chips(void)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	int vgic = vgic_create(vm);

	vcpu_new(vm, 0);
	vgic_init(vgic);
	/* The VM holds the GIC. */
	close(vgic);
	return vm;
}

TEST(needs_an_irqchip)
{
	struct vm *vm = vm_new(GUEST_PAGES);

	EXPECT_ERRNO(irqfd(vm, event_new(), GSI, 0, 0), EAGAIN);
	vgic_create(vm);
	/* It has to be initialised, too. */
	EXPECT_ERRNO(irqfd(vm, event_new(), GSI, 0, 0), EAGAIN);
	EXPECT_OK(irqfd(vm_with_chips(), event_new(), GSI, 0, 0));
}
#endif

TEST(needs_an_eventfd)
{
	struct vm *vm = vm_with_chips();
	const int null = ASSERT_OK(open("/dev/null", O_RDWR));

	EXPECT_ERRNO(irqfd(vm, -1, GSI, 0, 0), EBADF);
	EXPECT_ERRNO(irqfd(vm, 1000, GSI, 0, 0), EBADF);
	EXPECT_ERRNO(irqfd(vm, null, GSI, 0, 0), EINVAL);
	EXPECT_ERRNO(irqfd(vm, vm->fd, GSI, 0, 0), EINVAL);
}

TEST(one_eventfd_once)
{
	struct vm *vm = vm_with_chips();
	const int fd = event_new();

	ASSERT_OK(irqfd(vm, fd, GSI, 0, 0));
	EXPECT_ERRNO(irqfd(vm, fd, GSI, 0, 0), EBUSY);
	EXPECT_ERRNO(irqfd(vm, fd, GSI + 1, 0, 0), EBUSY);
	ASSERT_OK(irqfd(vm, fd, GSI, KVM_IRQFD_FLAG_DEASSIGN, 0));
	EXPECT_OK(irqfd(vm, fd, GSI + 1, 0, 0));
}

/* Nor may two VMs have it at a time: one would take the other's interrupts. */
TEST(one_eventfd_in_one_vm)
{
	struct vm *vm = vm_with_chips(), *other = vm_with_chips();
	const int fd = event_new();

	ASSERT_OK(irqfd(vm, fd, GSI, 0, 0));
	EXPECT_ERRNO(irqfd(other, fd, GSI, 0, 0), EBUSY);
	ASSERT_OK(irqfd(vm, fd, GSI, KVM_IRQFD_FLAG_DEASSIGN, 0));
	EXPECT_OK(irqfd(other, fd, GSI, 0, 0));
}

/* Nothing to take back is no error. */
TEST(deassign)
{
	struct vm *vm = vm_with_chips();
	const int fd = event_new();

	EXPECT_OK(irqfd(vm, fd, GSI, KVM_IRQFD_FLAG_DEASSIGN, 0));
	EXPECT_ERRNO(irqfd(vm, -1, GSI, KVM_IRQFD_FLAG_DEASSIGN, 0), EBADF);
	ASSERT_OK(irqfd(vm, fd, GSI, 0, 0));
	EXPECT_OK(irqfd(vm, fd, GSI + 1, KVM_IRQFD_FLAG_DEASSIGN, 0));
	EXPECT_ERRNO(irqfd(vm, fd, GSI, 0, 0), EBUSY);
	EXPECT_OK(irqfd(vm, fd, GSI, KVM_IRQFD_FLAG_DEASSIGN, 0));
	EXPECT_OK(irqfd(vm, fd, GSI, 0, 0));
}

TEST(flags)
{
	struct vm *vm = vm_with_chips();

	EXPECT_ERRNO(irqfd(vm, event_new(), GSI, UNKNOWN_FLAG, 0), EINVAL);
	EXPECT_ERRNO(irqfd(vm, event_new(), GSI, -1, 0), EINVAL);
}

TEST(resampling)
{
	struct vm *vm = vm_with_chips();
	const int fd = event_new(), null = ASSERT_OK(open("/dev/null", O_RDWR));

	EXPECT_ERRNO(irqfd(vm, fd, GSI, KVM_IRQFD_FLAG_RESAMPLE, -1), EBADF);
	EXPECT_ERRNO(irqfd(vm, fd, GSI, KVM_IRQFD_FLAG_RESAMPLE, null), EINVAL);
	/* What was refused has left nothing. */
	EXPECT_OK(irqfd(vm, fd, GSI, KVM_IRQFD_FLAG_RESAMPLE, event_new()));
	EXPECT_ERRNO(irqfd(vm, fd, GSI, KVM_IRQFD_FLAG_RESAMPLE, event_new()), EBUSY);
}

/* Neither side needs to be closed in an order. */
TEST(closed_in_any_order)
{
	for (int i = 0; i < 10; i++) {
		struct vm *vm = vm_with_chips();
		const int fd = event_new(), resample = event_new();

		ASSERT_OK(irqfd(vm, fd, GSI, KVM_IRQFD_FLAG_RESAMPLE, resample));
		ASSERT_OK(irqfd(vm, event_new(), GSI, 0, 0));
		event_signal(fd);
		if (i % 2)
			vm_free(vm);
		close(fd);
		close(resample);
		if (i % 2 == 0)
			vm_free(vm);
	}
}

/* An eventfd outlives the VM it was bound in, and is good for another. */
TEST(in_another_vm_after)
{
	struct vm *vm = vm_with_chips();
	const int fd = event_new();

	ASSERT_OK(irqfd(vm, fd, GSI, 0, 0));
	vm_free(vm);
	event_signal(fd);
	EXPECT_EQ(event_take(fd), 1);
	EXPECT_OK(irqfd(vm_with_chips(), fd, GSI, 0, 0));
}

TEST(many)
{
	struct vm *vm = vm_with_chips();

	for (int i = 0; i < 200; i++)
		ASSERT_OK(irqfd(vm, event_new(), i, 0, 0));
}

TEST(bad_pointer)
{
	EXPECT_ERRNO(ioctl(vm_with_chips()->fd, KVM_IRQFD, 16), EFAULT);
}

TEST(is_offered)
{
	const int kvm = kvm_open();

	EXPECT_EQ(kvm_check(kvm, KVM_CAP_IRQFD), 1);
	EXPECT_EQ(kvm_check(kvm, KVM_CAP_IRQFD_RESAMPLE), 1);
}
