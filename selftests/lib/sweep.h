/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest that goes over memory and writes or checks one number in
 * each page: the first number at the first page, one more at each next.
 */
#ifndef SELFTESTS_SWEEP_H
#define SELFTESTS_SWEEP_H

#include <string.h>

#include "any.h"

#ifdef __x86_64__
/* RDI the address, RCX the count of pages, RAX the first number; mismatches in RDX */
GUEST64(sweep,
	"sweep_write: mov %rax, (%rdi)\n"
	"add $0x1000, %rdi\n"
	"inc %rax\n"
	"dec %rcx\n"
	"jnz sweep_write\n"
	"hlt\n"
	"sweep_check: cmp %rax, (%rdi)\n"
	"je 1f\n"
	"inc %rdx\n"
	"1: add $0x1000, %rdi\n"
	"inc %rax\n"
	"dec %rcx\n"
	"jnz sweep_check\n"
	"hlt\n"
	"sweep_peek: mov (%rdi), %rax\n"
	"hlt\n");

static inline void sweep_begin(struct vcpu *vcpu, uint64_t pc, uint64_t gpa, size_t pages,
			       uint64_t first)
{
	struct kvm_regs regs = {
		.rip = pc, .rsp = GUEST_STACK, .rflags = RFLAGS_FIXED,
		.rdi = gpa, .rcx = pages, .rax = first,
	};

	vcpu_set_regs(vcpu, &regs);
}

static inline uint64_t sweep_mismatches(struct vcpu *vcpu)
{
	return vcpu_regs(vcpu).rdx;
}

static inline uint64_t sweep_peeked(struct vcpu *vcpu)
{
	return vcpu_regs(vcpu).rax;
}
#else
/* X1 the address, X2 the count of pages, X3 the first number; mismatches in X4, what was read in X5 */
GUEST64(sweep,
	"sweep_write: str x3, [x1]\n"
	"add x1, x1, #0x1000\n"
	"add x3, x3, #1\n"
	"subs x2, x2, #1\n"
	"b.ne sweep_write\n"
	DONE
	"sweep_check: ldr x5, [x1]\n"
	"cmp x5, x3\n"
	"cinc x4, x4, ne\n"
	"add x1, x1, #0x1000\n"
	"add x3, x3, #1\n"
	"subs x2, x2, #1\n"
	"b.ne sweep_check\n"
	DONE
	"sweep_peek: ldr x5, [x1]\n"
	DONE);

static inline void sweep_begin(struct vcpu *vcpu, uint64_t pc, uint64_t gpa, size_t pages,
			       uint64_t first)
{
	vcpu_settle(vcpu);
	vcpu_set_reg(vcpu, REG_PC, pc);
	vcpu_set_reg(vcpu, REG_X(1), gpa);
	vcpu_set_reg(vcpu, REG_X(2), pages);
	vcpu_set_reg(vcpu, REG_X(3), first);
	vcpu_set_reg(vcpu, REG_X(4), 0);
}

static inline uint64_t sweep_mismatches(struct vcpu *vcpu)
{
	return vcpu_reg(vcpu, REG_X(4));
}

static inline uint64_t sweep_peeked(struct vcpu *vcpu)
{
	return vcpu_reg(vcpu, REG_X(5));
}
#endif
GUEST_LABELS sweep_write[], sweep_check[], sweep_peek[];

/* A place for test memory: 1 GiB, within the identity map of the standard layout */
#define SWEEP_GPA 0x40000000UL

/* Puts the vCPU at one of those labels. */
static inline void sweep_start(struct vcpu *vcpu, const uint8_t *at, uint64_t gpa, size_t pages,
			       uint64_t first)
{
	sweep_begin(vcpu, GUEST_ADDR(sweep, at), gpa, pages, first);
}

/* The guest writes first, first + 1, ... */
static inline void guest_fill(struct vcpu *vcpu, uint64_t gpa, size_t pages, uint64_t first)
{
	sweep_start(vcpu, sweep_write, gpa, pages, first);
	ASSERT_END(vcpu);
}

/* How many pages show the guest another number */
static inline uint64_t guest_mismatches(struct vcpu *vcpu, uint64_t gpa, size_t pages,
					uint64_t first)
{
	sweep_start(vcpu, sweep_check, gpa, pages, first);
	ASSERT_END(vcpu);
	return sweep_mismatches(vcpu);
}

/* The same two, done by the host */
static inline void host_fill(uint8_t *mem, size_t pages, uint64_t first)
{
	for (size_t i = 0; i < pages; i++, first++)
		memcpy(mem + i * PAGE_SIZE, &first, sizeof(first));
}

static inline uint64_t host_mismatches(const uint8_t *mem, size_t pages, uint64_t first)
{
	uint64_t mismatches = 0;

	for (size_t i = 0; i < pages; i++, first++)
		mismatches += memcmp(mem + i * PAGE_SIZE, &first, sizeof(first)) != 0;
	return mismatches;
}

/* What the guest reads at a guest physical address */
static inline uint64_t guest_peek(struct vcpu *vcpu, uint64_t gpa)
{
	sweep_start(vcpu, sweep_peek, gpa, 1, 0);
	ASSERT_END(vcpu);
	return sweep_peeked(vcpu);
}

/* A guest for these, with memory of that many pages at SWEEP_GPA as slot 1 */
static inline struct vcpu *sweep_new(void *mem, size_t pages)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(sweep);

	ASSERT_OK(vm_set_slot(vcpu->vm, 1, SWEEP_GPA, pages * PAGE_SIZE, mem, 0));
	return vcpu;
}

/* Private anonymous memory, aligned to 2 MiB */
static inline uint8_t *mem_private(size_t size)
{
	const uintptr_t align = 2UL << 20;
	uint8_t *mem = mmap(NULL, size + align, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_OK((long)mem);
	return (uint8_t *)(((uintptr_t)mem + align - 1) & ~(align - 1));
}

#endif
