// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* Loading and unloading: refused while in use, clean otherwise. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/any.h"
#include "lib/module.h"

static void in_use(void)
{
	EXPECT_ERRNO(module_delete(module_name()), EWOULDBLOCK);
	EXPECT_TRUE(module_loaded(module_name()));
}

static void unloads_and_loads(void)
{
	module_unload();
	module_load();
	guest_smoke();
}

TEST(an_open_device_keeps_it)
{
	int kvm;

	module_needed();
	kvm = kvm_open();
	in_use();
	ASSERT_OK(close(kvm));
	unloads_and_loads();
}

TEST(a_vm_alone_keeps_it)
{
	struct vm *vm;

	module_needed();
	vm = vm_new(1);
	ASSERT_OK(close(vm->kvm));
	in_use();
	ASSERT_OK(close(vm->fd));
	unloads_and_loads();
}

TEST(a_vcpu_alone_keeps_it)
{
	struct vcpu *vcpu;

	module_needed();
	vcpu = vcpu_create(vm_new(1), 0);
	ASSERT_OK(munmap(vcpu->run, vcpu->run_size));
	ASSERT_OK(close(vcpu->vm->kvm));
	ASSERT_OK(close(vcpu->vm->fd));
	in_use();
	ASSERT_OK(close(vcpu->fd));
	unloads_and_loads();
}

TEST(a_mapping_alone_keeps_it)
{
	struct vcpu *vcpu;

	module_needed();
	vcpu = vcpu_create(vm_new(1), 0);
	ASSERT_OK(close(vcpu->vm->kvm));
	ASSERT_OK(close(vcpu->vm->fd));
	ASSERT_OK(close(vcpu->fd));
	in_use();
	ASSERT_OK(munmap(vcpu->run, vcpu->run_size));
	unloads_and_loads();
}

GUEST_ANY(spins, "sti\n 1: inc %eax\n jmp 1b\n", "1: add x0, x0, #1\nb 1b\n");

/* rmmod right after a running VMM died finds nothing left of it. */
TEST(a_killed_vmm_frees_it)
{
	int ready[2], status;
	pid_t vmm;
	char byte;

	module_needed();
	ASSERT_OK(pipe(ready));
	vmm = ASSERT_OK(fork());
	if (!vmm) {
		struct vcpu *vcpu = GUEST_ANY_NEW(spins);

		ASSERT_OK(write(ready[1], "", 1));
		vcpu_run(vcpu);
		_exit(1);
	}
	ASSERT_EQ(read(ready[0], &byte, 1), 1);
	in_use();
	ASSERT_OK(kill(vmm, SIGKILL));
	ASSERT_OK(waitpid(vmm, &status, 0));
	unloads_and_loads();
}

TEST_LIMIT(fifty_times, 120)
{
	module_needed();
	for (int i = 0; i < 50; i++) {
		module_unload();
		module_load();
	}
	guest_smoke();
}

TEST_LIMIT(ten_times_with_a_guest_between, 60)
{
	module_needed();
	for (int i = 0; i < 10; i++)
		unloads_and_loads();
}

TEST(twice_is_refused)
{
	module_needed();
	if (kvm_is_c())
		ASSERT_ERRNO(module_insert("/modules/kvm-intel.ko", "enable_apicv=0"), EEXIST);
	else
		ASSERT_ERRNO(module_insert(RUST_MODULE, ""), EEXIST);
	guest_smoke();
}

TEST(unknown_parameters_do_not_matter)
{
	module_needed();
	if (kvm_is_c())
		SKIP("the same loader serves C KVM");
	module_unload();
	ASSERT_OK(module_insert(RUST_MODULE, "no_such_parameter=1"));
	guest_smoke();
}
