// SPDX-License-Identifier: GPL-2.0
/* x86 guests: modes, tables, registers, port I/O. */
#include <stdlib.h>
#include <string.h>

#include "x86.h"

/* Descriptors, SDM volume 3, 3.4.5: flat, present, accessed */
#define DESC_CODE32 0x00cf9b000000ffffULL
#define DESC_CODE64 0x00af9b000000ffffULL
#define DESC_DATA 0x00cf93000000ffffULL
#define DESC_DPL3 0x0000600000000000ULL

#define TSS_LIMIT 0x67
#define GATE_INTERRUPT 0x8e00	/* present, DPL 0, 32- or 64-bit by mode */

/* Fields of the TSS that hold the ring-0 stack, SDM volume 3, 8.2.1 and 8.7 */
#define TSS32_ESP0 4
#define TSS32_SS0 8
#define TSS64_RSP0 4

static void put(struct vm *vm, uint64_t gpa, uint64_t value, size_t size)
{
	vm_write(vm, gpa, &value, size);
}

static void put_page_tables(struct vm *vm)
{
	const uint64_t table = PTE_P | PTE_W | PTE_U | PTE_A;
	const uint64_t directories = 4, entries = 512;

	put(vm, GUEST_PML4, GUEST_PDPT | table, 8);
	for (uint64_t i = 0; i < directories; i++)
		put(vm, GUEST_PDPT + 8 * i, (GUEST_PD + PAGE_SIZE * i) | table, 8);
	for (uint64_t i = 0; i < directories * entries; i++)
		put(vm, GUEST_PD + 8 * i, (i << 21) | table | PTE_D | PTE_PS, 8);
}

void vm_tables(struct vm *vm, enum mode mode)
{
	const uint64_t code = mode == MODE_LONG ? DESC_CODE64 : DESC_CODE32;
	const uint64_t tss = TSS_LIMIT | ((uint64_t)GUEST_TSS << 16) | 0x8bULL << 40;

	if (mode == MODE_REAL)
		return;
	put(vm, GUEST_GDT, 0, 8);
	put(vm, GUEST_GDT + SEL_CODE, code, 8);
	put(vm, GUEST_GDT + SEL_DATA, DESC_DATA, 8);
	put(vm, GUEST_GDT + (SEL_USER_DATA & ~7), DESC_DATA | DESC_DPL3, 8);
	put(vm, GUEST_GDT + (SEL_USER_CODE & ~7), code | DESC_DPL3, 8);
	put(vm, GUEST_GDT + SEL_TSS, tss, 8);
	put(vm, GUEST_GDT + SEL_TSS + 8, 0, 8);
	if (mode == MODE_LONG) {
		put(vm, GUEST_TSS + TSS64_RSP0, GUEST_STACK, 8);
		put_page_tables(vm);
	} else {
		put(vm, GUEST_TSS + TSS32_ESP0, GUEST_STACK, 4);
		put(vm, GUEST_TSS + TSS32_SS0, SEL_DATA, 4);
	}
}

void vm_set_gate(struct vm *vm, enum mode mode, uint8_t vector, uint32_t handler)
{
	const uint64_t gate = (handler & 0xffff) | (uint64_t)SEL_CODE << 16 |
			      (uint64_t)GATE_INTERRUPT << 32 | (uint64_t)(handler >> 16) << 48;

	switch (mode) {
	case MODE_REAL:
		put(vm, GUEST_IVT + 4 * vector, handler & 0xffff, 4);
		break;
	case MODE_PROTECTED:
		put(vm, GUEST_IDT + 8 * vector, gate, 8);
		break;
	case MODE_LONG:
		put(vm, GUEST_IDT + 16 * vector, gate, 8);
		put(vm, GUEST_IDT + 16 * vector + 8, 0, 8);
		break;
	}
}

static struct kvm_segment real_segment(uint8_t type)
{
	return (struct kvm_segment){ .limit = 0xffff, .type = type, .present = 1, .s = 1 };
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){
		.limit = 0xffffffff, .selector = selector, .type = type, .present = 1, .s = 1,
		.db = 1, .g = 1,
	};
}

struct kvm_sregs vcpu_mode_sregs(struct vcpu *vcpu, enum mode mode)
{
	const uint8_t code = 0xb, data = 0x3, busy_tss = 0xb, ldt = 0x2;
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	sregs.ldt = (struct kvm_segment){ .type = ldt, .unusable = 1 };
	sregs.cr3 = 0;
	sregs.efer = 0;
	sregs.cr4 = 0;
	if (mode == MODE_REAL) {
		sregs.cs = real_segment(code);
		sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = real_segment(data);
		sregs.tr = (struct kvm_segment){ .limit = 0xffff, .type = busy_tss, .present = 1 };
		sregs.gdt = (struct kvm_dtable){ .limit = 0xffff };
		sregs.idt = (struct kvm_dtable){ .base = GUEST_IVT, .limit = 0x3ff };
		sregs.cr0 = CR0_ET | CR0_NE;
		return sregs;
	}
	sregs.cs = flat_segment(SEL_CODE, code);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat_segment(SEL_DATA, data);
	sregs.tr = (struct kvm_segment){
		.base = GUEST_TSS, .limit = TSS_LIMIT, .selector = SEL_TSS, .type = busy_tss,
		.present = 1,
	};
	sregs.gdt = (struct kvm_dtable){ .base = GUEST_GDT, .limit = SEL_TSS + 15 };
	sregs.idt = (struct kvm_dtable){ .base = GUEST_IDT, .limit = PAGE_SIZE - 1 };
	sregs.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP;
	sregs.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
	if (mode == MODE_LONG) {
		sregs.cs.db = 0;
		sregs.cs.l = 1;
		sregs.cr0 |= CR0_PG;
		sregs.cr3 = GUEST_PML4;
		sregs.cr4 |= CR4_PAE;
		sregs.efer = EFER_LME | EFER_LMA;
	}
	return sregs;
}

void vcpu_start(struct vcpu *vcpu, enum mode mode, uint64_t rip)
{
	struct kvm_sregs sregs = vcpu_mode_sregs(vcpu, mode);
	struct kvm_regs regs = { .rip = rip, .rsp = GUEST_STACK, .rflags = RFLAGS_FIXED };

	vcpu_set_sregs(vcpu, &sregs);
	vcpu_set_regs(vcpu, &regs);
}

struct vcpu *guest_new(enum mode mode, const uint8_t *code, const uint8_t *end)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	struct vcpu *vcpu = vcpu_new(vm, 0);

	vm_tables(vm, mode);
	vm_write(vm, GUEST_CODE, code, end - code);
	vcpu_start(vcpu, mode, GUEST_CODE);
	return vcpu;
}

void guest_free(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	vcpu_free(vcpu);
	vm_free(vm);
}

GUEST64(smoke, "mov $42, %eax\n" REPORT "hlt\n");

void guest_smoke(void)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, smoke);

	ASSERT_REPORT(vcpu, 42);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	guest_free(vcpu);
}

struct kvm_regs vcpu_regs(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_REGS, &regs));
	return regs;
}

void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs)
{
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_REGS, regs));
}

struct kvm_sregs vcpu_sregs(struct vcpu *vcpu)
{
	struct kvm_sregs sregs;

	ASSERT_OK(ioctl(vcpu->fd, KVM_GET_SREGS, &sregs));
	return sregs;
}

void vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs)
{
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_SREGS, sregs));
}

struct kvm_cpuid2 *cpuid_supported(int kvm)
{
	const uint32_t room = 256;
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + room * sizeof(cpuid->entries[0]));

	ASSERT_TRUE(cpuid != NULL);
	cpuid->nent = room;
	ASSERT_OK(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid));
	return cpuid;
}

struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == leaf && cpuid->entries[i].index == subleaf)
			return &cpuid->entries[i];
	return NULL;
}

void vcpu_set_cpuid(struct vcpu *vcpu, const struct kvm_cpuid2 *cpuid)
{
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid));
}

void vcpu_setup(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = cpuid_supported(vcpu->vm->kvm);

	vcpu_set_cpuid(vcpu, cpuid);
	free(cpuid);
}

struct one_msr {
	struct kvm_msrs header;
	struct kvm_msr_entry entry;
};

int msr_get(int fd, uint32_t index, uint64_t *value)
{
	struct one_msr msr = { .header.nmsrs = 1, .entry.index = index };
	int ret = ioctl(fd, KVM_GET_MSRS, &msr);

	*value = msr.entry.data;
	return ret;
}

int msr_set(int fd, uint32_t index, uint64_t value)
{
	struct one_msr msr = { .header.nmsrs = 1, .entry = { .index = index, .data = value } };

	return ioctl(fd, KVM_SET_MSRS, &msr);
}

void *io_data(struct vcpu *vcpu)
{
	return (uint8_t *)vcpu->run + vcpu->run->io.data_offset;
}

bool test_io(const char *file, int line, struct vcpu *vcpu, uint8_t direction, uint16_t port,
	     uint8_t size)
{
	const struct kvm_run *run = vcpu->run;

	if (!test_exit(file, line, vcpu, KVM_EXIT_IO))
		return false;
	return test_eq(file, line, "I/O direction (1 is out)", run->io.direction, direction) &
	       test_eq(file, line, "I/O port", run->io.port, port) &
	       test_eq(file, line, "I/O size", run->io.size, size) &
	       test_eq(file, line, "I/O count", run->io.count, 1) &&
	       test_true(file, line, "the I/O data lies inside the mapping",
			 run->io.data_offset <= vcpu->run_size - size);
}

bool test_out(const char *file, int line, struct vcpu *vcpu, uint16_t port, uint8_t size,
	      uint32_t value)
{
	uint32_t got = 0;

	if (!test_io(file, line, vcpu, KVM_EXIT_IO_OUT, port, size))
		return false;
	memcpy(&got, io_data(vcpu), size);
	return test_eq(file, line, "value written to the port", got, value);
}
