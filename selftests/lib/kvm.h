/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The KVM objects of a test, the same on every architecture. Everything here
 * asserts success; tests of failures call ioctl(2) themselves.
 */
#ifndef SELFTESTS_KVM_H
#define SELFTESTS_KVM_H

#include <linux/kvm.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "test.h"

#define PAGE_SIZE 4096UL

struct vm {
	int kvm;		/* the device, kept open for system ioctls */
	int fd;
	uint8_t *ram;		/* slot 0, at guest physical address 0; or NULL */
	size_t ram_size;
};

struct vcpu {
	struct vm *vm;
	int fd;
	unsigned long id;
	struct kvm_run *run;
	size_t run_size;
};

/* The path in $KVM_DEVICE, else /dev/kvm */
const char *kvm_device(void);
/* Does that path lead to C KVM? For what differs by design: say why and skip. */
bool kvm_is_c(void);
int kvm_open(void);
/* KVM_CHECK_EXTENSION on a device or VM descriptor */
int kvm_check(int fd, long cap);

/* Anonymous shared, zeroed, page-aligned memory */
void *mem_new(size_t size);

/* A VM without memory, of that machine type or of type 0 */
struct vm *vm_create_type(unsigned long type);
struct vm *vm_create(void);
/* A VM with that many pages of RAM at guest physical address 0, slot 0 */
struct vm *vm_new(size_t pages);
/* KVM_SET_USER_MEMORY_REGION as it is: 0, or -1 and errno */
int vm_set_slot(struct vm *vm, uint32_t slot, uint64_t gpa, uint64_t size, void *hva,
		uint32_t flags);
/* Copies into the RAM of slot 0 */
void vm_write(struct vm *vm, uint64_t gpa, const void *data, size_t size);
/* Closes the descriptors and unmaps the RAM */
void vm_free(struct vm *vm);

/* A vCPU with its kvm_run mapped and nothing else set */
struct vcpu *vcpu_create(struct vm *vm, unsigned long id);
/* The same, with the CPUID that the device supports */
struct vcpu *vcpu_new(struct vm *vm, unsigned long id);
/* KVM_RUN as it is: 0, or -1 and errno */
int vcpu_run(struct vcpu *vcpu);
void vcpu_free(struct vcpu *vcpu);

/* What each architecture adds to a vcpu_create() to make a vcpu_new() */
void vcpu_setup(struct vcpu *vcpu);

/* The name of an exit reason, KVM_EXIT_ left out */
const char *exit_name(uint32_t reason);

bool test_exit(const char *file, int line, struct vcpu *vcpu, uint32_t reason);

/* vcpu->run holds this exit */
#define EXPECT_EXIT(vcpu, reason) test_exit(__FILE__, __LINE__, (vcpu), (reason))
#define ASSERT_EXIT(vcpu, reason) \
	do { if (!EXPECT_EXIT(vcpu, reason)) test_abort(); } while (0)

/* KVM_RUN succeeds and gives this exit */
#define EXPECT_RUN(vcpu, reason) ({						\
	bool ran_ = EXPECT_OK(vcpu_run(vcpu)) != -1;				\
	ran_ = ran_ && EXPECT_EXIT(vcpu, reason);				\
	ran_; })
#define ASSERT_RUN(vcpu, reason) \
	do { if (!EXPECT_RUN(vcpu, reason)) test_abort(); } while (0)

#endif
