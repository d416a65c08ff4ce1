// SPDX-License-Identifier: GPL-2.0
/* KVM_MEM_READONLY: the guest reads memory, a write goes to the VMM. */
#include "lib/sweep.h"

enum { PAGES = 4 };

static struct vcpu *readonly_guest(uint8_t *mem)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, sweep);

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
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
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
