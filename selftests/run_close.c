// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* Descriptors closed in every order, also under a running vCPU; use by another process. */
#include <string.h>
#include <sys/wait.h>

#include "lib/spin.h"

/* The vCPU holds the VM, and the VM what it needs of the device. */
TEST(vm_and_device_closed_while_running)
{
	struct vcpu *vcpu = spin_new();
	pthread_t thread = spin_run(vcpu);

	ASSERT_OK(close(vcpu->vm->kvm));
	spin_wait(vcpu);
	ASSERT_OK(close(vcpu->vm->fd));
	spin_wait(vcpu);
	spin_stop(thread);
	thread = spin_run(vcpu);
	spin_stop(thread);
	vcpu_free(vcpu);
}

/* The call that is under way finishes; the object dies with it. */
TEST(vcpu_closed_while_running)
{
	struct vcpu *vcpu = spin_new();
	pthread_t thread = spin_run(vcpu);

	ASSERT_OK(close(vcpu->fd));
	spin_wait(vcpu);
	spin_stop(thread);
	EXPECT_ERRNO(vcpu_run(vcpu), EBADF);
}

/* kvm_run stays mapped when everything is closed. */
TEST(mapping_outlives_the_descriptors)
{
	struct vcpu *vcpu = spin_new();

	spin_stop(spin_run(vcpu));
	ASSERT_OK(close(vcpu->fd));
	ASSERT_OK(close(vcpu->vm->fd));
	ASSERT_OK(close(vcpu->vm->kvm));
	EXPECT_EQ(vcpu->run->exit_reason, KVM_EXIT_INTR);
	memset(vcpu->run, 0xff, vcpu->run_size);
	ASSERT_OK(munmap(vcpu->run, vcpu->run_size));
}

/* Guest RAM unmapped first, then the VM closed; and the other way round */
TEST(memory_and_vm_in_both_orders)
{
	struct vcpu *one = spin_new(), *two = spin_new();
	struct vm *second = two->vm;

	spin_stop(spin_run(one));
	spin_stop(spin_run(two));
	ASSERT_OK(munmap(one->vm->ram, one->vm->ram_size));
	one->vm->ram = NULL;
	guest_free(one);
	vcpu_free(two);
	ASSERT_OK(close(second->fd));
	ASSERT_OK(munmap(second->ram, second->ram_size));
}

/* A VM belongs to the process that made it. */
TEST(another_process_is_refused)
{
	struct vcpu *vcpu = spin_new();
	pid_t child = ASSERT_OK(fork());
	char registers[4096];
	int status;

	if (!child) {
		EXPECT_ERRNO(vcpu_run(vcpu), EIO);
		EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_ONE_REG, registers), EIO);
		EXPECT_ERRNO(ioctl(vcpu->vm->fd, KVM_CREATE_VCPU, 1), EIO);
		EXPECT_ERRNO(vm_set_slot(vcpu->vm, 1, 0x40000000, PAGE_SIZE, vcpu->vm->ram, 0),
			     EIO);
		_exit(0);
	}
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
	spin_stop(spin_run(vcpu));
}

/* The process that ran the guest is gone, and with it the guest's memory. */
static void close_as_orphan(struct vcpu *vcpu, pid_t parent, int done)
{
	while (getppid() == parent)
		sched_yield();
	guest_free(vcpu);
	ASSERT_EQ(write(done, "", 1), 1);
	_exit(0);
}

TEST(last_close_in_a_child)
{
	int done[2], status;
	pid_t parent;
	char byte;

	ASSERT_OK(pipe(done));
	parent = ASSERT_OK(fork());
	if (!parent) {
		struct vcpu *vcpu = spin_new();
		const pid_t self = getpid();

		spin_stop(spin_run(vcpu));
		if (!ASSERT_OK(fork()))
			close_as_orphan(vcpu, self, done[1]);
		_exit(0);
	}
	ASSERT_EQ(waitpid(parent, &status, 0), parent);
	EXPECT_EQ(status, 0);
	close(done[1]);
	EXPECT_EQ(read(done[0], &byte, 1), 1);
}
