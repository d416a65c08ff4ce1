// SPDX-License-Identifier: GPL-2.0
/* The KVM objects of a test: device, VM, vCPU. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm.h"

const char *kvm_device(void)
{
	const char *device = getenv("KVM_DEVICE");

	return device ? device : "/dev/kvm";
}

bool kvm_is_c(void)
{
	char path[PATH_MAX];
	const char *device = kvm_device();

	/* Without the node, as between two loads, its name has to do. */
	return !strcmp(basename(realpath(device, path) ? path : device), "kvm");
}

int kvm_open(void)
{
	int fd = open(kvm_device(), O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		test_fail(__FILE__, __LINE__, "open %s: expected success, got %s", kvm_device(),
			  strerrorname_np(errno));
		test_abort();
	}
	return fd;
}

int kvm_check(int fd, long cap)
{
	return ASSERT_OK(ioctl(fd, KVM_CHECK_EXTENSION, cap));
}

void *mem_new(size_t size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_OK((long)mem);
	return mem;
}

struct vm *vm_create_type(unsigned long type)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	ASSERT_TRUE(vm != NULL);
	vm->kvm = kvm_open();
	vm->fd = ASSERT_OK(ioctl(vm->kvm, KVM_CREATE_VM, type));
	return vm;
}

struct vm *vm_create(void)
{
	return vm_create_type(0);
}

struct vm *vm_new(size_t pages)
{
	struct vm *vm = vm_create();

	vm->ram_size = pages * PAGE_SIZE;
	vm->ram = mem_new(vm->ram_size);
	ASSERT_OK(vm_set_slot(vm, 0, 0, vm->ram_size, vm->ram, 0));
	return vm;
}

int vm_set_slot(struct vm *vm, uint32_t slot, uint64_t gpa, uint64_t size, void *hva,
		uint32_t flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

void vm_write(struct vm *vm, uint64_t gpa, const void *data, size_t size)
{
	ASSERT_TRUE(gpa <= vm->ram_size && size <= vm->ram_size - gpa);
	memcpy(vm->ram + gpa, data, size);
}

void vm_free(struct vm *vm)
{
	close(vm->fd);
	close(vm->kvm);
	if (vm->ram)
		munmap(vm->ram, vm->ram_size);
	free(vm);
}

struct vcpu *vcpu_create(struct vm *vm, unsigned long id)
{
	struct vcpu *vcpu = calloc(1, sizeof(*vcpu));

	ASSERT_TRUE(vcpu != NULL);
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->fd = ASSERT_OK(ioctl(vm->fd, KVM_CREATE_VCPU, id));
	vcpu->run_size = ASSERT_OK(ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	vcpu->run = mmap(NULL, vcpu->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	ASSERT_OK((long)vcpu->run);
	return vcpu;
}

struct vcpu *vcpu_new(struct vm *vm, unsigned long id)
{
	struct vcpu *vcpu = vcpu_create(vm, id);

	vcpu_setup(vcpu);
	return vcpu;
}

int vcpu_run(struct vcpu *vcpu)
{
	return ioctl(vcpu->fd, KVM_RUN, 0);
}

void vcpu_free(struct vcpu *vcpu)
{
	munmap(vcpu->run, vcpu->run_size);
	close(vcpu->fd);
	free(vcpu);
}

const char *exit_name(uint32_t reason)
{
	static const char *const names[] = {
		[KVM_EXIT_UNKNOWN] = "UNKNOWN",
		[KVM_EXIT_EXCEPTION] = "EXCEPTION",
		[KVM_EXIT_IO] = "IO",
		[KVM_EXIT_HYPERCALL] = "HYPERCALL",
		[KVM_EXIT_DEBUG] = "DEBUG",
		[KVM_EXIT_HLT] = "HLT",
		[KVM_EXIT_MMIO] = "MMIO",
		[KVM_EXIT_IRQ_WINDOW_OPEN] = "IRQ_WINDOW_OPEN",
		[KVM_EXIT_SHUTDOWN] = "SHUTDOWN",
		[KVM_EXIT_FAIL_ENTRY] = "FAIL_ENTRY",
		[KVM_EXIT_INTR] = "INTR",
		[KVM_EXIT_SET_TPR] = "SET_TPR",
		[KVM_EXIT_INTERNAL_ERROR] = "INTERNAL_ERROR",
		[KVM_EXIT_SYSTEM_EVENT] = "SYSTEM_EVENT",
	};

	if (reason < ARRAY_SIZE(names) && names[reason])
		return names[reason];
	return "another reason";
}

bool test_exit(const char *file, int line, struct vcpu *vcpu, uint32_t reason)
{
	const struct kvm_run *run = vcpu->run;

	if (run->exit_reason == reason)
		return true;
	test_fail(file, line, "exit reason: expected %s (%u), got %s (%u)", exit_name(reason),
		  reason, exit_name(run->exit_reason), run->exit_reason);
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		test_note("I/O %s, port 0x%x, size %u, count %u",
			  run->io.direction == KVM_EXIT_IO_OUT ? "out" : "in", run->io.port,
			  run->io.size, run->io.count);
		break;
	case KVM_EXIT_MMIO:
		test_note("MMIO %s, address 0x%llx, size %u", run->mmio.is_write ? "write" : "read",
			  run->mmio.phys_addr, run->mmio.len);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		test_note("hardware entry failure reason 0x%llx",
			  run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		test_note("internal error %u, %u words, first 0x%llx", run->internal.suberror,
			  run->internal.ndata, run->internal.data[0]);
		break;
	}
	return false;
}
