// SPDX-License-Identifier: GPL-2.0
/* KVM_PRE_FAULT_MEMORY: memory that is mapped before the guest touches it. */
#include "lib/stats.h"
#include "lib/sweep.h"

enum { PAGES = 64 };

static int pre_fault(struct vcpu *vcpu, struct kvm_pre_fault_memory *range)
{
	return ioctl(vcpu->fd, KVM_PRE_FAULT_MEMORY, range);
}

TEST(faults_are_saved)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);
	struct kvm_pre_fault_memory range = { .gpa = SWEEP_GPA, .size = PAGES * PAGE_SIZE };
	const int fd = stats_open(vcpu->fd);
	uint64_t before;

	EXPECT_EQ(kvm_check(vcpu->vm->fd, KVM_CAP_PRE_FAULT_MEMORY), 1);
	host_fill(mem, PAGES, 1);
	/* The program and its tables are there. */
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, 1, 1), 0);
	ASSERT_OK(pre_fault(vcpu, &range));
	EXPECT_EQ(range.gpa, SWEEP_GPA + PAGES * PAGE_SIZE);
	EXPECT_EQ(range.size, 0);
	before = stats_value(fd, "pf_taken");
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 1), 0);
	EXPECT_EQ(stats_value(fd, "pf_taken"), before);
}

/* What is there is mapped, and the rest is told. */
TEST(beyond_the_slot)
{
	struct vcpu *vcpu = sweep_new(mem_new(PAGES * PAGE_SIZE), PAGES);
	const uint64_t end = SWEEP_GPA + PAGES * PAGE_SIZE;
	struct kvm_pre_fault_memory range = { .gpa = end - PAGE_SIZE, .size = 3 * PAGE_SIZE };

	EXPECT_OK(pre_fault(vcpu, &range));
	EXPECT_EQ(range.gpa, end);
	EXPECT_EQ(range.size, 2 * PAGE_SIZE);
	EXPECT_ERRNO(pre_fault(vcpu, &range), ENOENT);
	EXPECT_EQ(range.gpa, end);
	EXPECT_EQ(range.size, 2 * PAGE_SIZE);
}

TEST(what_a_range_may_be)
{
	struct vcpu *vcpu = sweep_new(mem_new(PAGES * PAGE_SIZE), PAGES);
	struct kvm_pre_fault_memory range = { .gpa = SWEEP_GPA, .size = PAGE_SIZE, .flags = 1 };

	EXPECT_ERRNO(pre_fault(vcpu, &range), EINVAL);
	range = (struct kvm_pre_fault_memory){ .gpa = SWEEP_GPA };
	EXPECT_ERRNO(pre_fault(vcpu, &range), EINVAL);
	range.size = 1;
	EXPECT_ERRNO(pre_fault(vcpu, &range), EINVAL);
	range = (struct kvm_pre_fault_memory){ .gpa = SWEEP_GPA + 1, .size = PAGE_SIZE };
	EXPECT_ERRNO(pre_fault(vcpu, &range), EINVAL);
	range = (struct kvm_pre_fault_memory){ .gpa = -PAGE_SIZE, .size = PAGE_SIZE };
	EXPECT_ERRNO(pre_fault(vcpu, &range), EINVAL);
	range = (struct kvm_pre_fault_memory){ .gpa = -PAGE_SIZE, .size = 2 * PAGE_SIZE };
	EXPECT_ERRNO(pre_fault(vcpu, &range), EINVAL);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_PRE_FAULT_MEMORY, 16), EFAULT);
}

TEST(memory_that_the_vmm_has_not)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);
	struct kvm_pre_fault_memory range = { .gpa = SWEEP_GPA, .size = PAGE_SIZE };

	ASSERT_OK(munmap(mem, PAGES * PAGE_SIZE));
	EXPECT_ERRNO(pre_fault(vcpu, &range), EFAULT);
}
