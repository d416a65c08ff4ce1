// SPDX-License-Identifier: GPL-2.0
/* The instructions beside MOV that drivers use on device memory. */
#include <string.h>

#include "lib/x86.h"

enum { MMIO = 0x40000000 };

#define CF 0x001UL
#define ZF 0x040UL

/* What the instruction is expected to do: at most one read, then one write. */
struct form {
	const char *text;
	const uint8_t *code, *end;
	uint32_t len;
	int reads;
	uint64_t read;
	int writes;
	uint64_t write;
	uint64_t rax;		/* afterwards; it is RAX_BEFORE before */
	uint64_t flags_mask, flags;
};

#define RAX_BEFORE 0xffffffffffff1234

/* RBX: MMIO, RAX: RAX_BEFORE, RCX: 5 */
#define FORMS(X)									\
	X(movzx_byte, "movzbl (%rbx), %eax", 1, 1, 0xf1, 0, 0, 0xf1, 0, 0)		\
	X(movzx_word, "movzwq (%rbx), %rax", 2, 1, 0xf1f2, 0, 0, 0xf1f2, 0, 0)		\
	X(movsx_byte, "movsbl (%rbx), %eax", 1, 1, 0xf1, 0, 0, 0xfffffff1, 0, 0)	\
	X(movsx_word, "movswq (%rbx), %rax", 2, 1, 0x8002, 0, 0, 0xffffffffffff8002, 0, 0) \
	X(movsxd, "movslq (%rbx), %rax", 4, 1, 0x80000001, 0, 0, 0xffffffff80000001, 0, 0) \
	X(or_register, "orl %ecx, (%rbx)", 4, 1, 0xf0, 1, 0xf5, RAX_BEFORE, CF | ZF, 0)	\
	X(or_immediate, "orb $0x81, (%rbx)", 1, 1, 0x10, 1, 0x91, RAX_BEFORE, ZF, 0)	\
	X(and_immediate, "andl $-16, (%rbx)", 4, 1, 0xff, 1, 0xf0, RAX_BEFORE, ZF, 0)	\
	X(and_to_zero, "andw $0, (%rbx)", 2, 1, 0xff, 1, 0, RAX_BEFORE, ZF, ZF)		\
	X(xor_register, "xorq %rcx, (%rbx)", 8, 1, 6, 1, 3, RAX_BEFORE, ZF, 0)		\
	X(add_carries, "addl $1, (%rbx)", 4, 1, 0xffffffff, 1, 0, RAX_BEFORE, CF | ZF, CF | ZF) \
	X(sub_borrows, "subl %ecx, (%rbx)", 4, 1, 3, 1, 0xfffffffe, RAX_BEFORE, CF | ZF, CF) \
	X(inc, "incl (%rbx)", 4, 1, 0xff, 1, 0x100, RAX_BEFORE, ZF, 0)			\
	X(dec, "decb (%rbx)", 1, 1, 1, 1, 0, RAX_BEFORE, ZF, ZF)			\
	X(not, "notl (%rbx)", 4, 1, 0x0f0f0f0f, 1, 0xf0f0f0f0, RAX_BEFORE, 0, 0)	\
	X(neg, "negw (%rbx)", 2, 1, 1, 1, 0xffff, RAX_BEFORE, CF, CF)			\
	X(xchg, "xchgl %eax, (%rbx)", 4, 1, 0x77, 1, 0xffff1234, 0x77, 0, 0)		\
	X(locked_or, "lock orl $1, (%rbx)", 4, 1, 0x10, 1, 0x11, RAX_BEFORE, ZF, 0)	\
	X(bit_set, "btsl $4, (%rbx)", 4, 1, 0x01, 1, 0x11, RAX_BEFORE, CF, 0)		\
	X(bit_reset, "btrl $4, (%rbx)", 4, 1, 0x11, 1, 0x01, RAX_BEFORE, CF, CF)	\
	X(test_immediate, "testb $0x80, (%rbx)", 1, 1, 0x80, 0, 0, RAX_BEFORE, ZF, 0)	\
	X(test_register, "testl %ecx, (%rbx)", 4, 1, 0xa, 0, 0, RAX_BEFORE, ZF, ZF)	\
	X(compare, "cmpl $5, (%rbx)", 4, 1, 5, 0, 0, RAX_BEFORE, CF | ZF, ZF)		\
	X(compare_register, "cmpl (%rbx), %ecx", 4, 1, 6, 0, 0, RAX_BEFORE, CF | ZF, CF) \
	X(add_from_memory, "addl (%rbx), %eax", 4, 1, 1, 0, 0, 0xffff1235, CF, 0)	\
	X(stos, "mov %rbx, %rdi\nstosl", 4, 0, 0, 1, 0xffff1234, RAX_BEFORE, 0, 0)	\
	X(lods, "mov %rbx, %rsi\nlodsw", 2, 1, 0x9876, 0, 0, 0xffffffffffff9876, 0, 0)

#define FORM_CODE(name, text, ...) \
	GUEST64(form_##name, "mov $0x40000000, %ebx\nmov $0xffffffffffff1234, %rax\n" \
			     "mov $5, %ecx\n" text "\nhlt\n");
FORMS(FORM_CODE)

#define FORM_ENTRY(name, text, ...) { text, form_##name, form_##name##_end, __VA_ARGS__ },
static const struct form forms[] = { FORMS(FORM_ENTRY) };

static bool expect_mmio(struct vcpu *vcpu, uint64_t gpa, uint32_t len, uint8_t is_write)
{
	const struct kvm_run *run = vcpu->run;

	return EXPECT_RUN(vcpu, KVM_EXIT_MMIO) && EXPECT_EQ(run->mmio.phys_addr, gpa) &&
	       EXPECT_EQ(run->mmio.len, len) && EXPECT_EQ(run->mmio.is_write, is_write);
}

static bool run_form(const struct form *form, struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_regs regs;
	uint64_t written = 0;

	if (form->reads) {
		if (!expect_mmio(vcpu, MMIO, form->len, 0))
			return false;
		memcpy(run->mmio.data, &form->read, form->len);
	}
	if (form->writes) {
		if (!expect_mmio(vcpu, MMIO, form->len, 1))
			return false;
		memcpy(&written, run->mmio.data, form->len);
		if (!EXPECT_EQ(written, form->write))
			return false;
	}
	if (!EXPECT_RUN(vcpu, KVM_EXIT_HLT))
		return false;
	regs = vcpu_regs(vcpu);
	return EXPECT_EQ(regs.rax, form->rax) &
	       EXPECT_EQ(regs.rflags & form->flags_mask, form->flags) &
	       EXPECT_EQ(regs.rip, GUEST_CODE + (form->end - form->code));
}

TEST_LIMIT(one_by_one, 60)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	struct vcpu *vcpu = vcpu_new(vm, 0);

	vm_tables(vm, MODE_LONG);
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		vm_write(vm, GUEST_CODE, forms[i].code, forms[i].end - forms[i].code);
		vcpu_start(vcpu, MODE_LONG, GUEST_CODE);
		if (!run_form(&forms[i], vcpu)) {
			test_note("in %s", forms[i].text);
			return;
		}
	}
}

GUEST64(stos, "mov $0x40000000, %edi\nmov $0xab, %eax\nmov $4, %ecx\ncld\nrep stosb\nhlt\n");

TEST(rep_stos)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, stos);

	for (uint64_t i = 0; i < 4; i++) {
		ASSERT_TRUE(expect_mmio(vcpu, MMIO + i, 1, 1));
		EXPECT_EQ(vcpu->run->mmio.data[0], 0xab);
	}
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_regs(vcpu).rcx, 0);
	EXPECT_EQ(vcpu_regs(vcpu).rdi, MMIO + 4);
}

GUEST64(movs, "mov $0x40000000, %edi\nmov $0x10000, %esi\nmov $3, %ecx\ncld\nrep movsl\nhlt\n"
	      "mov $0x40000000, %esi\nmov $0x10100, %edi\nmov $3, %ecx\nrep movsl\nhlt\n");

TEST(rep_movs_to_and_from)
{
	static const uint32_t data[] = { 0x11111111, 0x22222222, 0x33333333 };
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, movs);

	vm_write(vcpu->vm, GUEST_DATA, data, sizeof(data));
	for (size_t i = 0; i < ARRAY_SIZE(data); i++) {
		ASSERT_TRUE(expect_mmio(vcpu, MMIO + 4 * i, 4, 1));
		EXPECT_MEM(vcpu->run->mmio.data, &data[i], 4);
	}
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_regs(vcpu).rsi, GUEST_DATA + sizeof(data));
	for (size_t i = 0; i < ARRAY_SIZE(data); i++) {
		ASSERT_TRUE(expect_mmio(vcpu, MMIO + 4 * i, 4, 0));
		memcpy(vcpu->run->mmio.data, &data[i], 4);
	}
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_MEM(vcpu->vm->ram + GUEST_DATA + 0x100, data, sizeof(data));
	EXPECT_EQ(vcpu_regs(vcpu).rdi, GUEST_DATA + 0x100 + sizeof(data));
}
