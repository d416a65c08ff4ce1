// SPDX-License-Identifier: GPL-2.0
/* A triple fault shuts the guest down, and only it. */
#include "lib/x86.h"

GUEST64(triple, "1: ud2\njmp 1b\n");
GUEST64(alive, "1: hlt\njmp 1b\n");

enum { TRIPLE_CODE = GUEST_CODE + 0x1000, ALIVE_CODE = GUEST_CODE + 0x2000 };

/* The limit of the IDT makes every exception a double fault and that a triple one. */
static void set_no_idt(struct vcpu *vcpu)
{
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	sregs.idt.limit = 0;
	vcpu_set_sregs(vcpu, &sregs);
}

static struct vcpu *doomed_guest(enum mode mode, const uint8_t *code, const uint8_t *end)
{
	struct vcpu *vcpu = guest_new(mode, code, end);

	set_no_idt(vcpu);
	return vcpu;
}

TEST(long_mode)
{
	struct vcpu *vcpu = doomed_guest(MODE_LONG, triple, triple_end);

	EXPECT_RUN(vcpu, KVM_EXIT_SHUTDOWN);
}

GUEST16(triple16, "1: int3\njmp 1b\n");

TEST(real_mode)
{
	struct vcpu *vcpu = doomed_guest(MODE_REAL, triple16, triple16_end);

	EXPECT_RUN(vcpu, KVM_EXIT_SHUTDOWN);
}

TEST(the_neighbour_goes_on)
{
	struct vcpu *neighbour = GUEST_NEW(MODE_LONG, alive);

	ASSERT_RUN(neighbour, KVM_EXIT_HLT);
	for (int i = 0; i < 3; i++) {
		struct vcpu *vcpu = doomed_guest(MODE_LONG, triple, triple_end);

		ASSERT_RUN(vcpu, KVM_EXIT_SHUTDOWN);
		guest_free(vcpu);
		ASSERT_RUN(neighbour, KVM_EXIT_HLT);
	}
}

/* A reset by the VMM, which sets all registers anew, brings it back. */
static void expect_shutdown_and_reset(struct vcpu *vcpu)
{
	for (int i = 0; i < 3; i++) {
		EXPECT_RUN(vcpu, KVM_EXIT_SHUTDOWN);
		vm_tables(vcpu->vm, MODE_LONG);
		VM_LOAD_AT(vcpu->vm, ALIVE_CODE, alive);
		vcpu_start(vcpu, MODE_LONG, ALIVE_CODE);
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		VM_LOAD_AT(vcpu->vm, TRIPLE_CODE, triple);
		vcpu_start(vcpu, MODE_LONG, TRIPLE_CODE);
		set_no_idt(vcpu);
	}
}

TEST(runs_again_after_a_reset)
{
	expect_shutdown_and_reset(doomed_guest(MODE_LONG, triple, triple_end));
}

TEST(runs_again_after_a_reset_from_real_mode)
{
	expect_shutdown_and_reset(doomed_guest(MODE_REAL, triple16, triple16_end));
}

/* The first exception is one that the KVM raises for the guest. */
GUEST64(unknown_msr, "mov $0x3fff, %ecx\nrdmsr\n");

TEST(after_a_fault_of_rdmsr)
{
	expect_shutdown_and_reset(doomed_guest(MODE_LONG, unknown_msr, unknown_msr_end));
}

GUEST16(unknown_msr16, "mov $0x3fff, %ecx\nrdmsr\n");

TEST(after_a_fault_of_rdmsr_in_real_mode)
{
	expect_shutdown_and_reset(doomed_guest(MODE_REAL, unknown_msr16, unknown_msr16_end));
}

/* From device memory to an address that the guest's tables do not map */
GUEST64(to_nowhere, "mov $0x40000000, %esi\nmov $0x8000000000, %rdi\nmovsb\n");

TEST(after_a_page_fault_of_an_emulated_instruction)
{
	struct vcpu *vcpu = doomed_guest(MODE_LONG, to_nowhere, to_nowhere_end);

	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(vcpu->run->mmio.is_write, 0);
	expect_shutdown_and_reset(vcpu);
}

/*
 * A double fault that leads to a task whose code segment is not valid: the KVM switches tasks for
 * the guest, and the exceptions come together there.
 */
GUEST32(task, "ud2\n");

TEST(after_a_task_switch_that_fails)
{
	enum { SEL_OTHER = 0x38, OTHER_TSS = 0x10000, TSS_CS = 76, DF = 8 };
	const uint64_t gate = 0x85ULL << 40 | (uint64_t)SEL_OTHER << 16;
	const uint64_t descriptor = 0x0000890000000067ULL | (uint64_t)OTHER_TSS << 16;
	const uint16_t not_code = SEL_TSS;
	struct kvm_sregs sregs;
	struct vcpu *vcpu;

	if (kvm_is_c())
		SKIP("C KVM forgets the double fault when it switches tasks, and switches for ever");
	vcpu = GUEST_NEW(MODE_PROTECTED, task);
	sregs = vcpu_sregs(vcpu);
	vm_write(vcpu->vm, GUEST_GDT + SEL_OTHER, &descriptor, sizeof(descriptor));
	vm_write(vcpu->vm, GUEST_IDT + 8 * DF, &gate, sizeof(gate));
	vm_write(vcpu->vm, OTHER_TSS + TSS_CS, &not_code, sizeof(not_code));
	sregs.gdt.limit = SEL_OTHER + 7;
	sregs.idt.limit = 8 * DF + 7;
	vcpu_set_sregs(vcpu, &sregs);
	expect_shutdown_and_reset(vcpu);
}
