// SPDX-License-Identifier: GPL-2.0
/* machine: arch=arm64 */
/* The guest's own tables, and cache maintenance, where memory is missing, read-only or logged. */
#include "lib/arm64.h"

enum {
	SLOT = 1,
	TABLE_GPA = 0x2000000,	/* a table of level 2, in a slot of its own */
	NOWHERE = 0x0b000000,
	VA = 0x40000000,	/* the second GiB, which that table maps */
	ABORT = 0x96000016,	/* of a data access at EL1: external, on a walk, at level 2 */
};

#define ID_AA64MMFR1_EL1 ARM64_SYS_REG(3, 0, 0, 7, 1)
#define ACCESSED (1UL << 10)
/* Level 2: the first 2 MiB */
#define BLOCK 0x301UL

/* TCR_EL1.HA: the processor sets access flags. */
#define HARDWARE_FLAGS "mrs x9, tcr_el1\norr x9, x9, #0x8000000000\nmsr tcr_el1, x9\nisb\n"

GUEST64(look,
	MMU_ON SET_VECTORS HARDWARE_FLAGS
	"mov x1, #0x40000000\n"
	"add x1, x1, #0x10, lsl #12\n"
	"mov x0, #-1\n"
	"ldr x0, [x1]\n" REPORT
	DONE);

static struct vcpu *look_new(uint64_t table)
{
	const uint64_t descriptor = table | 3, data = 0x1234;
	struct vcpu *vcpu = GUEST_NEW(look);

	vm_vectors(vcpu->vm);
	vm_write(vcpu->vm, GUEST_TABLE + 8, &descriptor, sizeof(descriptor));
	vm_write(vcpu->vm, GUEST_DATA, &data, sizeof(data));
	return vcpu;
}

/* One that maps the start of memory by this descriptor */
static struct vcpu *mapped_new(uint64_t *table, uint64_t descriptor, uint32_t flags)
{
	struct vcpu *vcpu = look_new(TABLE_GPA);

	table[0] = descriptor;
	ASSERT_OK(vm_set_slot(vcpu->vm, SLOT, TABLE_GPA, 0x1000, table, flags));
	return vcpu;
}

TEST(a_table_without_memory)
{
	struct vcpu *vcpu = look_new(NOWHERE);

	EXPECT_EXCEPTION(vcpu, ABORT, VA + GUEST_DATA);
	/* The vectors leave X0 alone, and the load has not been done. */
	EXPECT_REPORT(vcpu, -1);
	EXPECT_DONE(vcpu);
}

TEST(a_table_that_is_read_only)
{
	uint64_t *table = mem_new(0x1000);
	struct vcpu *vcpu = mapped_new(table, BLOCK | ACCESSED, KVM_MEM_READONLY);

	EXPECT_REPORT(vcpu, 0x1234);
	EXPECT_DONE(vcpu);
}

static void needs_hardware_flags(struct vcpu *vcpu)
{
	if (!(vcpu_reg(vcpu, ID_AA64MMFR1_EL1) & 0xf))
		SKIP("the processor sets no access flags");
}

/* The processor has to write to the table. */
TEST(an_access_flag_in_a_table_that_is_read_only)
{
	uint64_t *table = mem_new(0x1000);
	struct vcpu *vcpu = mapped_new(table, BLOCK, KVM_MEM_READONLY);

	needs_hardware_flags(vcpu);
	EXPECT_EXCEPTION(vcpu, ABORT, VA + GUEST_DATA);
	/* The vectors leave X0 alone, and the load has not been done. */
	EXPECT_REPORT(vcpu, -1);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(table[0], BLOCK);
}

TEST(an_access_flag_in_a_table_that_is_logged)
{
	uint64_t *table = mem_new(0x1000), bitmap = 0;
	struct vcpu *vcpu = mapped_new(table, BLOCK, KVM_MEM_LOG_DIRTY_PAGES);
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = &bitmap };

	needs_hardware_flags(vcpu);
	EXPECT_REPORT(vcpu, 0x1234);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(table[0], BLOCK | ACCESSED);
	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_GET_DIRTY_LOG, &log));
	EXPECT_EQ(bitmap, 1);
}

#define MAINTAIN							\
	"dc ivac, x1\ndc civac, x1\ndc cvac, x1\ndc cvau, x1\nic ivau, x1\n"

GUEST64(maintain,
	MMU_ON SET_VECTORS
	"mov x1, #0x2000000\n" MAINTAIN
	"ldr x0, [x1]\n" REPORT MAINTAIN
	"mov x1, #0x0b000000\n" MAINTAIN
	DONE);

/* Maintenance of memory that the guest cannot write, and where there is none, has no effect and no end but that. */
static void expect_maintenance(uint32_t flags)
{
	uint64_t *page = mem_new(0x1000);
	struct vcpu *vcpu = GUEST_NEW(maintain);

	vm_vectors(vcpu->vm);
	page[0] = 0x55;
	ASSERT_OK(vm_set_slot(vcpu->vm, SLOT, TABLE_GPA, 0x1000, page, flags));
	EXPECT_REPORT(vcpu, 0x55);
	EXPECT_DONE(vcpu);
}

TEST(maintenance_of_memory) { expect_maintenance(0); }
TEST(maintenance_of_memory_that_is_read_only) { expect_maintenance(KVM_MEM_READONLY); }
TEST(maintenance_of_memory_that_is_logged) { expect_maintenance(KVM_MEM_LOG_DIRTY_PAGES); }
