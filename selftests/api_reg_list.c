// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_REG_LIST: all that a VMM has to save, and nothing that cannot be restored. */
/* machine: arch=arm64 */
#include <stdlib.h>
#include <string.h>

#include "lib/psci.h"

/* Room for any list */
enum { ROOM = 1024, WORDS = 32 };

/* What C KVM lists on a neoverse-n1, for a vCPU with PSCI_0_2 alone: how many, and a hash of the ids */
#define NEOVERSE_N1_COUNT 257
#define NEOVERSE_N1_HASH 0x4a85a4a197b8c955UL

static struct kvm_reg_list *list_of(struct vcpu *vcpu)
{
	struct kvm_reg_list *list = calloc(1, sizeof(*list) + ROOM * sizeof(uint64_t));

	list->n = ROOM;
	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_REG_LIST, list));
	ASSERT_TRUE(list->n <= ROOM);
	return list;
}

static bool same(const struct kvm_reg_list *a, const struct kvm_reg_list *b)
{
	return a->n == b->n && !memcmp(a->reg, b->reg, a->n * sizeof(uint64_t));
}

TEST(room)
{
	struct vcpu *vcpu = vcpu_with(vm_new(GUEST_PAGES), 0, FEATURE(PSCI_0_2));
	struct kvm_reg_list *list = list_of(vcpu), *small = calloc(1, sizeof(*small) + 64);

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_REG_LIST, small), E2BIG);
	EXPECT_EQ(small->n, list->n);
	small->n = 3;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_REG_LIST, small), E2BIG);
	EXPECT_EQ(small->n, list->n);
	EXPECT_EQ(small->reg[0], 0);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_REG_LIST, NULL), EFAULT);
}

/* A hash of the ids: C KVM's list on the same processor is the same to the order. */
TEST(as_c_kvm_has_it)
{
	struct vcpu *vcpu = vcpu_with(vm_new(GUEST_PAGES), 0, FEATURE(PSCI_0_2));
	struct kvm_reg_list *list = list_of(vcpu);
	uint64_t hash = 0xcbf29ce484222325;

	for (uint64_t i = 0; i < list->n; i++)
		hash = (hash ^ list->reg[i]) * 0x100000001b3;
	EXPECT_EQ(list->n, NEOVERSE_N1_COUNT);
	if (!EXPECT_EQ(hash, NEOVERSE_N1_HASH))
		for (uint64_t i = 0; i < list->n; i++)
			test_note("%016llx", list->reg[i]);
}

/* Every register can be read, and written with what was read; the list stays, and so does what it names. */
TEST(save_and_restore)
{
	struct vcpu *from = vcpu_with(vm_new(GUEST_PAGES), 0, FEATURE(PSCI_0_2));
	struct vcpu *to = vcpu_with(vm_new(GUEST_PAGES), 0, FEATURE(PSCI_0_2));
	struct kvm_reg_list *list = list_of(from), *after;
	uint64_t saved[WORDS], restored[WORDS];

	for (int n = 0; n < 31; n++)
		vcpu_set_reg(from, REG_X(n), n + 1);
	vcpu_set_reg(from, SYSTEM_REG(3, 0, 2, 0, 0), 0x1000);
	vcpu_set_reg(from, SYSTEM_REG(3, 3, 13, 0, 2), 0x2000);
	vcpu_set_reg(from, SYSTEM_REG(2, 0, 0, 1, 4), 0x3000);
	for (uint64_t i = 0; i < list->n; i++) {
		memset(saved, 0, sizeof(saved));
		memset(restored, 0, sizeof(restored));
		if (!(EXPECT_OK(reg_get(from, list->reg[i], saved)) != -1) ||
		    !(EXPECT_OK(reg_set(to, list->reg[i], saved)) != -1) ||
		    !(EXPECT_OK(reg_get(to, list->reg[i], restored)) != -1))
			test_note("id %016llx", list->reg[i]);
		/* Counters count. */
		if (list->reg[i] == KVM_REG_ARM_TIMER_CNT || list->reg[i] == KVM_REG_ARM_PTIMER_CNT)
			continue;
		if (!EXPECT_MEM(restored, saved, sizeof(saved)))
			test_note("id %016llx", list->reg[i]);
	}
	after = list_of(from);
	EXPECT_TRUE(same(list, after));
	after = list_of(to);
	EXPECT_TRUE(same(list, after));
}

GUEST64(runs, "mov x0, #1\n" REPORT DONE);

/* Running changes neither the list nor that a VMM can write back what it reads. */
TEST(after_running)
{
	struct vcpu *vcpu = GUEST_NEW(runs);
	struct kvm_reg_list *list = list_of(vcpu), *after;
	uint64_t value[WORDS];

	EXPECT_REPORT(vcpu, 1);
	after = list_of(vcpu);
	EXPECT_TRUE(same(list, after));
	for (uint64_t i = 0; i < list->n; i++) {
		if (EXPECT_OK(reg_get(vcpu, list->reg[i], value)) == -1 ||
		    EXPECT_OK(reg_set(vcpu, list->reg[i], value)) == -1)
			test_note("id %016llx", list->reg[i]);
	}
	EXPECT_DONE(vcpu);
}
