// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* KVM_MEM_READONLY: the guest reads memory, a write goes to the VMM. */
#include "lib/sweep.h"

enum { PAGES = 4 };

static struct vcpu *readonly_guest(uint8_t *mem)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(sweep);

	if (!kvm_check(vcpu->vm->fd, KVM_CAP_READONLY_MEM))
		SKIP("the device offers no KVM_CAP_READONLY_MEM");
	ASSERT_OK(vm_set_slot(vcpu->vm, 1, SWEEP_GPA, PAGES * PAGE_SIZE, mem, KVM_MEM_READONLY));
	return vcpu;
}

TEST(a_write_is_an_mmio_exit)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = readonly_guest(mem);

	host_fill(mem, PAGES, 10);
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 10), 0);
	sweep_start(vcpu, sweep_write, SWEEP_GPA, PAGES, 99);
	for (uint64_t i = 0; i < PAGES; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
		EXPECT_EQ(vcpu->run->mmio.phys_addr, SWEEP_GPA + i * PAGE_SIZE);
		EXPECT_EQ(vcpu->run->mmio.is_write, 1);
		EXPECT_EQ(vcpu->run->mmio.len, 8);
		EXPECT_EQ(*(uint64_t *)vcpu->run->mmio.data, 99 + i);
	}
	ASSERT_END(vcpu);
	EXPECT_EQ(host_mismatches(mem, PAGES, 10), 0);
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 10), 0);
}

/* The memory itself may be read-only, too. */
TEST(over_a_readonly_mapping)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = readonly_guest(mem);

	host_fill(mem, PAGES, 10);
	ASSERT_OK(mprotect(mem, PAGES * PAGE_SIZE, PROT_READ));
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 10), 0);
}

#ifdef __x86_64__
/*
 * A read that the KVM does for the guest, as part of an instruction on device memory, from memory
 * that the host has not mapped, comes to an end. C KVM offers it to the VMM as a read of device
 * memory.
 */
enum { MMIO = 0x80000000, GONE = SWEEP_GPA + PAGE_SIZE };

static void expect_an_end(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	if (vcpu_run(vcpu) == -1) {
		EXPECT_EQ(errno, EFAULT);
	} else if (run->exit_reason == KVM_EXIT_MMIO) {
		EXPECT_EQ(run->mmio.phys_addr, GONE);
		EXPECT_EQ(run->mmio.is_write, 0);
	} else {
		EXPECT_EXIT(vcpu, KVM_EXIT_INTERNAL_ERROR);
	}
}

/* A guest with a slot whose second page is not there; its first exit is for MMIO. */
static struct vcpu *half_a_slot(const uint8_t *code, const uint8_t *end, uint32_t flags,
				struct kvm_regs regs)
{
	uint8_t *mem = mem_private(2 * PAGE_SIZE);
	struct vcpu *vcpu = guest_new(MODE_LONG, code, end);

	if (!kvm_check(vcpu->vm->fd, KVM_CAP_READONLY_MEM))
		SKIP("the device offers no KVM_CAP_READONLY_MEM");
	ASSERT_OK(vm_set_slot(vcpu->vm, 1, SWEEP_GPA, 2 * PAGE_SIZE, mem, flags));
	ASSERT_OK(munmap(mem + PAGE_SIZE, PAGE_SIZE));
	regs.rip = GUEST_CODE;
	regs.rsp = GUEST_STACK;
	regs.rflags = RFLAGS_FIXED;
	vcpu_set_regs(vcpu, &regs);
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(vcpu->run->mmio.phys_addr, MMIO);
	return vcpu;
}

/* The second byte comes from behind the end. */
GUEST64(copy, "rep movsb\nhlt\n");

static struct vcpu *copying(uint32_t flags)
{
	return half_a_slot(copy, copy_end, flags,
			   (struct kvm_regs){ .rsi = GONE - 1, .rdi = MMIO, .rcx = 2 });
}

TEST(movs_from_unmapped_readonly_memory_ends)
{
	expect_an_end(copying(KVM_MEM_READONLY));
}

TEST(movs_from_unmapped_memory_ends)
{
	expect_an_end(copying(0));
}

/* The second operand is read when the VMM has answered for the first. */
GUEST64(compare, "cmpsb\nhlt\n");

static struct vcpu *comparing(uint32_t flags)
{
	return half_a_slot(compare, compare_end, flags,
			   (struct kvm_regs){ .rsi = MMIO, .rdi = GONE });
}

TEST(cmps_with_unmapped_readonly_memory_ends)
{
	expect_an_end(comparing(KVM_MEM_READONLY));
}

TEST(cmps_with_unmapped_memory_ends)
{
	expect_an_end(comparing(0));
}
#endif
