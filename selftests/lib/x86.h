/* SPDX-License-Identifier: GPL-2.0 */
/*
 * x86 guests: code, processor modes, descriptor and page tables, port I/O.
 *
 *	GUEST64(code, "mov $42, %eax\n" REPORT "hlt\n");
 *
 *	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, code);
 *	EXPECT_OUT(vcpu, REPORT_PORT, 4, 42);
 *	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
 *
 * The code is copied to GUEST_CODE and must not depend on its address: labels
 * are for jumps, calls and lea label(%rip). In 16- and 32-bit code the address
 * of a label is GUEST_AT(code, label) as in "mov $" GUEST_AT(code, data) ", %esi".
 */
#ifndef SELFTESTS_X86_H
#define SELFTESTS_X86_H

#include "kvm.h"

/* Guest physical memory of a guest with the standard layout, identity mapped */
enum {
	GUEST_IVT = 0x0000,	/* real-mode vectors */
	GUEST_GDT = 0x1000,
	GUEST_IDT = 0x2000,
	GUEST_TSS = 0x3000,
	GUEST_PML4 = 0x4000,	/* with PDPT and 4 directories of 2M pages: 4 GiB */
	GUEST_PDPT = 0x5000,
	GUEST_PD = 0x6000,
	GUEST_STACK = 0xc000,	/* top; grows down to 0xa000 */
	GUEST_CODE = 0xc000,	/* to 0xffff */
	GUEST_DATA = 0x10000,	/* free for the test, to the end of RAM */
};
#define GUEST_CODE_TEXT "0xc000"
#define GUEST_PAGES 32

/* Selectors of the protected- and long-mode GDT */
enum {
	SEL_CODE = 0x08,
	SEL_DATA = 0x10,
	SEL_USER_DATA = 0x1b,
	SEL_USER_CODE = 0x23,
	SEL_TSS = 0x28,
};

#define CR0_PE 0x00000001UL
#define CR0_MP 0x00000002UL
#define CR0_EM 0x00000004UL
#define CR0_TS 0x00000008UL
#define CR0_ET 0x00000010UL
#define CR0_NE 0x00000020UL
#define CR0_WP 0x00010000UL
#define CR0_AM 0x00040000UL
#define CR0_NW 0x20000000UL
#define CR0_CD 0x40000000UL
#define CR0_PG 0x80000000UL

#define CR4_PSE 0x00000010UL
#define CR4_PAE 0x00000020UL
#define CR4_PGE 0x00000080UL
#define CR4_OSFXSR 0x00000200UL
#define CR4_OSXMMEXCPT 0x00000400UL
#define CR4_VMXE 0x00002000UL
#define CR4_OSXSAVE 0x00040000UL

#define EFER_SCE 0x0001UL
#define EFER_LME 0x0100UL
#define EFER_LMA 0x0400UL
#define EFER_NX 0x0800UL

#define RFLAGS_FIXED 0x0002UL
#define RFLAGS_TF 0x0100UL
#define RFLAGS_IF 0x0200UL
#define RFLAGS_RF 0x10000UL

#define PTE_P 0x001UL
#define PTE_W 0x002UL
#define PTE_U 0x004UL
#define PTE_A 0x020UL
#define PTE_D 0x040UL
#define PTE_PS 0x080UL

#define NMI_VECTOR 2	/* the others stand in <asm/kvm.h> */

enum mode { MODE_REAL, MODE_PROTECTED, MODE_LONG };

/* Labels of guest code */
#define GUEST_LABELS extern const uint8_t

/* Defines name[] and name_end[]: text assembled for that operand width */
#define GUEST_TEXT(name, bits, text)						\
	__asm__(".pushsection .rodata\n"					\
		".code" #bits "\n"						\
		#name ":\n"							\
		text "\n"							\
		#name "_end:\n"							\
		".code64\n"							\
		".popsection\n");						\
	GUEST_LABELS name[], name##_end[]
#define GUEST16(name, text) GUEST_TEXT(name, 16, text)
#define GUEST32(name, text) GUEST_TEXT(name, 32, text)
#define GUEST64(name, text) GUEST_TEXT(name, 64, text)

/* Guest address of a label of that code, as an assembler expression */
#define GUEST_AT(name, label) "(" #label " - " #name " + " GUEST_CODE_TEXT ")"

/* Guest code: tells the host the value in EAX */
#define REPORT_PORT 0x10
#define REPORT "outl %eax, $0x10\n"

/* A 1-vCPU VM, in that mode at the start of that code, GUEST_PAGES of RAM */
struct vcpu *guest_new(enum mode mode, const uint8_t *code, const uint8_t *end);
#define GUEST_NEW(mode, name) guest_new((mode), name, name##_end)
/* Frees a vCPU and its VM */
void guest_free(struct vcpu *vcpu);
/* Makes a guest, has it report once and halt, frees it */
void guest_smoke(void);

/* Copies the code to a guest physical address, or to GUEST_CODE */
#define VM_LOAD_AT(vm, gpa, name) vm_write((vm), (gpa), name, name##_end - name)
#define VM_LOAD(vm, name) VM_LOAD_AT(vm, GUEST_CODE, name)

/* Writes GDT, TSS and page tables of a mode into RAM; the IDT starts empty */
void vm_tables(struct vm *vm, enum mode mode);
/* Puts the vCPU into a mode, at rip, stack at GUEST_STACK, interrupts off */
void vcpu_start(struct vcpu *vcpu, enum mode mode, uint64_t rip);
/* The special registers for a mode, from what the vCPU has now */
struct kvm_sregs vcpu_mode_sregs(struct vcpu *vcpu, enum mode mode);
/* Leads a vector to a handler: IVT entry, 32- or 64-bit interrupt gate */
void vm_set_gate(struct vm *vm, enum mode mode, uint8_t vector, uint32_t handler);
/* The guest address of a label (a byte array) inside loaded code */
#define GUEST_ADDR(name, label) (GUEST_CODE + (uint32_t)((label) - (name)))

struct kvm_regs vcpu_regs(struct vcpu *vcpu);
void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs);
struct kvm_sregs vcpu_sregs(struct vcpu *vcpu);
void vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs);

/* KVM_GET_SUPPORTED_CPUID; the caller frees it */
struct kvm_cpuid2 *cpuid_supported(int kvm);
/* The entry of a leaf and subleaf, or NULL */
struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, uint32_t leaf, uint32_t subleaf);
void vcpu_set_cpuid(struct vcpu *vcpu, const struct kvm_cpuid2 *cpuid);

/* KVM_GET_MSRS / KVM_SET_MSRS of one MSR as they are: 1 done, 0 refused, -1 */
int msr_get(int fd, uint32_t index, uint64_t *value);
int msr_set(int fd, uint32_t index, uint64_t value);

/* The data of the port I/O exit in run */
void *io_data(struct vcpu *vcpu);

bool test_io(const char *file, int line, struct vcpu *vcpu, uint8_t direction, uint16_t port,
	     uint8_t size);
bool test_out(const char *file, int line, struct vcpu *vcpu, uint16_t port, uint8_t size,
	      uint32_t value);

/* KVM_RUN gives one OUT of that port, size and value */
#define EXPECT_OUT(vcpu, port, size, value) ({					\
	bool ran_ = EXPECT_OK(vcpu_run(vcpu)) != -1;				\
	ran_ = ran_ && test_out(__FILE__, __LINE__, (vcpu), (port), (size), (value)); \
	ran_; })
#define ASSERT_OUT(vcpu, port, size, value) \
	do { if (!EXPECT_OUT(vcpu, port, size, value)) test_abort(); } while (0)
/* KVM_RUN gives the REPORT of that value */
#define EXPECT_REPORT(vcpu, value) EXPECT_OUT(vcpu, REPORT_PORT, 4, value)
#define ASSERT_REPORT(vcpu, value) ASSERT_OUT(vcpu, REPORT_PORT, 4, value)
/* KVM_RUN gives one IN of that port and size; put the answer into io_data() */
#define EXPECT_IN(vcpu, port, size) ({						\
	bool ran_ = EXPECT_OK(vcpu_run(vcpu)) != -1;				\
	ran_ = ran_ && test_io(__FILE__, __LINE__, (vcpu), KVM_EXIT_IO_IN, (port), (size)); \
	ran_; })
#define ASSERT_IN(vcpu, port, size) \
	do { if (!EXPECT_IN(vcpu, port, size)) test_abort(); } while (0)

#endif
