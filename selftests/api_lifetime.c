// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* Descriptors closed in any order, shared with and left to other processes. */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/any.h"

GUEST_ANY(counts, "1: inc %eax\n" REPORT "jmp 1b\n", "1: add x0, x0, #1\n" REPORT "b 1b\n");

/* Closes device, VM and vCPU in that order of letters; runs the guest while its vCPU is open. */
static void close_in_order(const char *order)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(counts);
	uint32_t count = 0;
	bool open = true;

	ASSERT_REPORT(vcpu, ++count);
	for (; *order; order++) {
		switch (*order) {
		case 'd':
			ASSERT_OK(close(vcpu->vm->kvm));
			break;
		case 'v':
			ASSERT_OK(close(vcpu->vm->fd));
			break;
		case 'c':
			ASSERT_OK(close(vcpu->fd));
			open = false;
			break;
		case 'm':
			ASSERT_OK(munmap(vcpu->vm->ram, vcpu->vm->ram_size));
			return;
		}
		if (open)
			EXPECT_REPORT(vcpu, ++count);
	}
	munmap(vcpu->run, vcpu->run_size);
}

TEST(any_order_of_closing)
{
	static const char *const orders[] = { "dvc", "dcv", "vdc", "vcd", "cdv", "cvd", "cvdm", "vm" };

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++)
		close_in_order(orders[i]);
}

TEST(vm_outlives_its_descriptor_in_a_vcpu)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(counts);

	ASSERT_OK(close(vcpu->vm->fd));
	ASSERT_OK(close(vcpu->vm->kvm));
	for (uint32_t i = 1; i < 10; i++)
		EXPECT_REPORT(vcpu, i);
	EXPECT_EQ(vcpu_result(vcpu), 9);
}

TEST(duplicates_are_the_same_vcpu)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(counts);
	int copy = ASSERT_OK(dup(vcpu->fd));

	EXPECT_REPORT(vcpu, 1);
	ASSERT_OK(close(vcpu->fd));
	vcpu->fd = copy;
	EXPECT_REPORT(vcpu, 2);
}

/* Status of a child that does this with what it inherited */
static int in_child(void (*fn)(struct vcpu *), struct vcpu *vcpu)
{
	int status;
	pid_t pid = ASSERT_OK(fork());

	if (!pid) {
		fn(vcpu);
		_exit(0);
	}
	ASSERT_OK(waitpid(pid, &status, 0));
	return status;
}

static void use_from_another_process(struct vcpu *vcpu)
{
	struct kvm_mp_state state;

	EXPECT_ERRNO(vcpu_run(vcpu), EIO);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_MP_STATE, &state), EIO);
	EXPECT_ERRNO(ioctl(vcpu->vm->fd, KVM_CREATE_VCPU, 1), EIO);
	EXPECT_ERRNO(ioctl(vcpu->vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY), EIO);
	EXPECT_ERRNO(vm_set_slot(vcpu->vm, 1, 1UL << 30, PAGE_SIZE, vcpu->vm->ram, 0), EIO);
}

/* A VM belongs to the address space that made it. */
TEST(another_process_gets_eio)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(counts);

	EXPECT_EQ(in_child(use_from_another_process, vcpu), 0);
	EXPECT_REPORT(vcpu, 1);
}

static void close_all(struct vcpu *vcpu)
{
	guest_free(vcpu);
}

TEST(closing_in_a_child_leaves_the_parents)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(counts);

	EXPECT_REPORT(vcpu, 1);
	EXPECT_EQ(in_child(close_all, vcpu), 0);
	EXPECT_REPORT(vcpu, 2);
}

/* The child's copies keep the VM after its process is gone: only its files are left. */
TEST(files_left_to_a_child_die_with_it)
{
	int ends[2], status;
	pid_t maker;
	char byte;

	ASSERT_OK(pipe(ends));
	maker = ASSERT_OK(fork());
	if (!maker) {
		struct vcpu *vcpu = GUEST_ANY_NEW(counts);
		pid_t vcpu_owner = getpid();

		ASSERT_REPORT(vcpu, 1);
		if (ASSERT_OK(fork()) == 0) {
			while (getppid() == vcpu_owner)
				usleep(1000);
			EXPECT_ERRNO(vcpu_run(vcpu), EIO);
			close_all(vcpu);
			ASSERT_OK(write(ends[1], "", 1));
		}
		_exit(0);
	}
	ASSERT_OK(waitpid(maker, &status, 0));
	EXPECT_EQ(status, 0);
	close(ends[1]);
	EXPECT_EQ(read(ends[0], &byte, 1), 1);
}

/* Each round would leave a whole guest behind if anything of it leaked. */
TEST_LIMIT(nothing_is_left_of_500_guests, 60)
{
	for (int i = 0; i < 500; i++) {
		struct vcpu *vcpu = GUEST_ANY_NEW(counts);

		ASSERT_REPORT(vcpu, 1);
		guest_free(vcpu);
	}
}
