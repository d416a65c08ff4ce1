// SPDX-License-Identifier: GPL-2.0
/*
 * The single-handle mode: VM and vCPU requests on the device's own descriptor act on the first VM
 * made through it and that VM's first vCPU. C KVM has no such mode.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/x86.h"

static void needs_single_handle(void)
{
	if (kvm_is_c())
		SKIP("C KVM has one descriptor for each object only");
}

/* A VM and its vCPU behind one descriptor */
static struct vcpu *handle_new(const uint8_t *code, size_t size)
{
	struct vcpu *vcpu = calloc(1, sizeof(*vcpu));
	struct vm *vm = calloc(1, sizeof(*vm));

	ASSERT_TRUE(vcpu && vm);
	vm->kvm = vm->fd = vcpu->fd = kvm_open();
	ASSERT_OK(ioctl(vm->fd, KVM_CREATE_VM, 0));
	vm->ram_size = GUEST_PAGES * PAGE_SIZE;
	vm->ram = mem_new(vm->ram_size);
	ASSERT_OK(vm_set_slot(vm, 0, 0, vm->ram_size, vm->ram, 0));
	ASSERT_OK(ioctl(vm->fd, KVM_CREATE_VCPU, 0));
	vcpu->vm = vm;
	vcpu->run_size = PAGE_SIZE;
	vcpu->run = mmap(NULL, vcpu->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	ASSERT_OK((long)vcpu->run);
	vm_write(vm, GUEST_CODE, code, size);
	vcpu_start(vcpu, MODE_REAL, GUEST_CODE);
	return vcpu;
}

GUEST16(counts, "1: inc %eax\n" REPORT "jmp 1b\n");
#define HANDLE_NEW(name) handle_new(name, name##_end - name)

/* The seed's listing, built as it stands and run as a program of its own */
TEST(test_misc_prints_what_its_readme_says)
{
	static const char expected[] = "exit io:4 \nexit io:\n \n";
	char output[256] = "";
	FILE *program;
	size_t size;

	needs_single_handle();
	program = popen("./test_misc", "r");
	ASSERT_TRUE(program != NULL);
	size = fread(output, 1, sizeof(output) - 1, program);
	pclose(program);
	ASSERT_EQ(size, sizeof(expected) - 1);
	EXPECT_MEM(output, expected, sizeof(expected));
}

TEST(one_page_of_kvm_run_is_enough)
{
	struct vcpu *vcpu;

	needs_single_handle();
	vcpu = HANDLE_NEW(counts);
	for (uint32_t i = 1; i < 5; i++)
		EXPECT_REPORT(vcpu, i);
}

TEST(two_handles_are_two_machines)
{
	struct vcpu *first, *second;

	needs_single_handle();
	first = HANDLE_NEW(counts);
	second = HANDLE_NEW(counts);
	EXPECT_REPORT(first, 1);
	EXPECT_REPORT(first, 2);
	EXPECT_REPORT(second, 1);
}

TEST(returned_descriptors_work_as_well)
{
	struct kvm_regs regs = { .rax = 7, .rflags = RFLAGS_FIXED };
	int kvm, vm, vcpu;

	needs_single_handle();
	kvm = kvm_open();
	vm = ASSERT_OK(ioctl(kvm, KVM_CREATE_VM, 0));
	vcpu = ASSERT_OK(ioctl(vm, KVM_CREATE_VCPU, 0));
	ASSERT_OK(ioctl(vcpu, KVM_SET_REGS, &regs));
	regs.rax = 0;
	EXPECT_OK(ioctl(kvm, KVM_GET_REGS, &regs));
	EXPECT_EQ(regs.rax, 7);
}

TEST(nothing_made_nothing_to_act_on)
{
	struct kvm_regs regs;
	int kvm;

	needs_single_handle();
	kvm = kvm_open();
	EXPECT_EQ(ioctl(kvm, KVM_GET_REGS, &regs), -1);
	EXPECT_EQ(ioctl(kvm, KVM_CREATE_VCPU, 0), -1);
	EXPECT_EQ(ioctl(kvm, KVM_RUN, 0), -1);
	ASSERT_OK(ioctl(kvm, KVM_CREATE_VM, 0));
	EXPECT_EQ(ioctl(kvm, KVM_GET_REGS, &regs), -1);
	EXPECT_OK(ioctl(kvm, KVM_CREATE_VCPU, 0));
	EXPECT_OK(ioctl(kvm, KVM_GET_REGS, &regs));
}
