// SPDX-License-Identifier: GPL-2.0
/* Hardware task switches of a 32-bit guest: always an exit, done by the KVM. */
#include <string.h>

#include "lib/module.h"
#include "lib/traps.h"

/* 32-bit TSS, SDM volume 3, 8.2.1 */
struct tss32 {
	uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
	uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi;
	uint32_t es, cs, ss, ds, fs, gs, ldt, io_map;
};

enum { SEL_OTHER = 0x38, OTHER_TSS = 0x10000, OTHER_STACK = 0x13000 };

#define DESC_TSS32_AVAILABLE 0x0000890000000067ULL
#define DESC_BUSY (2ULL << 40)
#define TASK_GATE (0x85ULL << 40 | (uint64_t)SEL_OTHER << 16)
#define RFLAGS_NT 0x4000UL

/* A second task that starts at rip, idle */
static struct vcpu *two_tasks(const uint8_t *code, const uint8_t *end, const uint8_t *start)
{
	struct vcpu *vcpu = guest_new(MODE_PROTECTED, code, end);
	const struct tss32 tss = {
		.eip = GUEST_ADDR(code, start), .eflags = RFLAGS_FIXED, .ecx = 0x2222,
		.esp = OTHER_STACK, .cs = SEL_CODE, .ss = SEL_DATA, .ds = SEL_DATA,
		.es = SEL_DATA, .fs = SEL_DATA, .gs = SEL_DATA,
	};
	const uint64_t descriptor = DESC_TSS32_AVAILABLE | (uint64_t)OTHER_TSS << 16;
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	vm_write(vcpu->vm, GUEST_GDT + SEL_OTHER, &descriptor, sizeof(descriptor));
	vm_write(vcpu->vm, OTHER_TSS, &tss, sizeof(tss));
	sregs.gdt.limit = SEL_OTHER + 7;
	vcpu_set_sregs(vcpu, &sregs);
	return vcpu;
}
#define TWO_TASKS(name, start) two_tasks(name, name##_end, start)

/* A TSS in the guest's memory */
static struct tss32 *tss_at(struct vcpu *vcpu, uint32_t gpa)
{
	return (struct tss32 *)(vcpu->vm->ram + gpa);
}

static bool is_busy(struct vcpu *vcpu, uint16_t selector)
{
	uint64_t descriptor;

	memcpy(&descriptor, vcpu->vm->ram + GUEST_GDT + selector, sizeof(descriptor));
	return descriptor & DESC_BUSY;
}

GUEST32(tasks,
	"mov $0x1111, %ebx\n"
	"ljmp $0x38, $0\n"
	"tasks_back: mov %ebx, %eax\n" REPORT "hlt\n"
	"tasks_other: mov %ecx, %eax\n" REPORT
	"str %ax\nmovzwl %ax, %eax\n" REPORT
	"ljmp $0x28, $0\n"
	"tasks_again: mov $0x4444, %eax\n" REPORT);
LABEL(tasks_back);
LABEL(tasks_other);
LABEL(tasks_again);

TEST(jump_there_and_back)
{
	struct vcpu *vcpu = TWO_TASKS(tasks, tasks_other);
	const struct tss32 *first = tss_at(vcpu, GUEST_TSS), *other = tss_at(vcpu, OTHER_TSS);
	struct kvm_sregs sregs;

	ASSERT_REPORT(vcpu, 0x2222);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(sregs.tr.selector, SEL_OTHER);
	EXPECT_EQ(sregs.tr.base, OTHER_TSS);
	EXPECT_TRUE(sregs.cr0 & CR0_TS);
	EXPECT_EQ(vcpu_regs(vcpu).rsp, OTHER_STACK);
	EXPECT_TRUE(is_busy(vcpu, SEL_OTHER));
	EXPECT_TRUE(!is_busy(vcpu, SEL_TSS));
	/* The state of the first task lies in its TSS. */
	EXPECT_EQ(first->ebx, 0x1111);
	EXPECT_EQ(first->eip, GUEST_ADDR(tasks, tasks_back));
	EXPECT_EQ(first->esp, GUEST_STACK);
	EXPECT_REPORT(vcpu, SEL_OTHER);

	ASSERT_REPORT(vcpu, 0x1111);
	EXPECT_EQ(vcpu_sregs(vcpu).tr.selector, SEL_TSS);
	EXPECT_EQ(other->eip, GUEST_ADDR(tasks, tasks_again));
	EXPECT_TRUE(!is_busy(vcpu, SEL_OTHER));
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

GUEST32(call,
	"1: lcall $0x38, $0\n"
	"mov $0x1111, %eax\n" REPORT "jmp 1b\n"
	"call_other: mov %ecx, %eax\n" REPORT
	"inc %ecx\niret\njmp call_other\n");
LABEL(call_other);

TEST(call_and_return)
{
	struct vcpu *vcpu = TWO_TASKS(call, call_other);

	/* The other task goes on behind its IRET when it is called again. */
	for (uint32_t round = 0; round < 3; round++) {
		ASSERT_REPORT(vcpu, 0x2222 + round);
		EXPECT_EQ(tss_at(vcpu, OTHER_TSS)->link, SEL_TSS);
		EXPECT_TRUE(vcpu_regs(vcpu).rflags & RFLAGS_NT);
		EXPECT_TRUE(is_busy(vcpu, SEL_OTHER));
		EXPECT_TRUE(is_busy(vcpu, SEL_TSS));
		ASSERT_REPORT(vcpu, 0x1111);
		EXPECT_TRUE(!(vcpu_regs(vcpu).rflags & RFLAGS_NT));
		EXPECT_TRUE(!(tss_at(vcpu, OTHER_TSS)->eflags & RFLAGS_NT));
		EXPECT_TRUE(!is_busy(vcpu, SEL_OTHER));
	}
}

GUEST32(fault,
	"mov $0x1111, %ebx\nmov $0x50, %eax\n"
	"fault_at: mov %eax, %ds\n"
	"fault_behind: mov %ebx, %eax\n" REPORT "hlt\n"
	"fault_other: pop %eax\n" REPORT "iret\n");
LABEL(fault_at);
LABEL(fault_behind);
LABEL(fault_other);

TEST(exception_through_a_task_gate)
{
	const uint64_t gate = TASK_GATE;
	struct vcpu *vcpu = TWO_TASKS(fault, fault_other);
	struct tss32 *first = tss_at(vcpu, GUEST_TSS);

	vm_write(vcpu->vm, GUEST_IDT + 8 * GP_VECTOR, &gate, sizeof(gate));
	/* The error code lies on the other task's stack. */
	ASSERT_REPORT(vcpu, 0x50);
	EXPECT_EQ(vcpu_regs(vcpu).rsp, OTHER_STACK);
	EXPECT_EQ(first->eip, GUEST_ADDR(fault, fault_at));
	first->eip = GUEST_ADDR(fault, fault_behind);
	ASSERT_REPORT(vcpu, 0x1111);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

GUEST32(event,
	"event_first: mov $0x1111, %eax\n" REPORT
	"int $0x40\nevent_behind: mov $0x3333, %eax\n" REPORT "hlt\n"
	"event_other: mov %ecx, %eax\n" REPORT "inc %ecx\niret\njmp event_other\n");
LABEL(event_first);
LABEL(event_behind);
LABEL(event_other);

TEST(interrupts_through_a_task_gate)
{
	enum { VECTOR = 0x40 };
	const uint64_t gate = TASK_GATE;
	struct vcpu *vcpu = TWO_TASKS(event, event_other);
	struct kvm_interrupt irq = { .irq = VECTOR };
	struct kvm_regs regs = vcpu_regs(vcpu);

	vm_write(vcpu->vm, GUEST_IDT + 8 * VECTOR, &gate, sizeof(gate));
	regs.rflags |= RFLAGS_IF;
	vcpu_set_regs(vcpu, &regs);
	ASSERT_OK(ioctl(vcpu->fd, KVM_INTERRUPT, &irq));
	ASSERT_REPORT(vcpu, 0x2222);
	EXPECT_EQ(tss_at(vcpu, GUEST_TSS)->eip, GUEST_ADDR(event, event_first));
	EXPECT_EQ(vcpu_regs(vcpu).rsp, OTHER_STACK);
	ASSERT_REPORT(vcpu, 0x1111);
	/* INT leaves EIP behind itself. */
	ASSERT_REPORT(vcpu, 0x2223);
	EXPECT_EQ(tss_at(vcpu, GUEST_TSS)->eip, GUEST_ADDR(event, event_behind));
	ASSERT_REPORT(vcpu, 0x3333);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

GUEST32(nmis,
	"1: mov $0x1111, %eax\n" REPORT "jmp 1b\n"
	"nmis_other: mov %ecx, %eax\n" REPORT "inc %ecx\niret\njmp nmis_other\n");
LABEL(nmis_other);

TEST(nmis_through_a_task_gate)
{
	const uint64_t gate = TASK_GATE;
	struct vcpu *vcpu = TWO_TASKS(nmis, nmis_other);

	vm_write(vcpu->vm, GUEST_IDT + 8 * NMI_VECTOR, &gate, sizeof(gate));
	ASSERT_REPORT(vcpu, 0x1111);
	for (uint32_t round = 0; round < 4; round += 2) {
		ASSERT_OK(ioctl(vcpu->fd, KVM_NMI));
		ASSERT_REPORT(vcpu, 0x2222 + round);
		/* The next one waits for the IRET. */
		ASSERT_OK(ioctl(vcpu->fd, KVM_NMI));
		ASSERT_REPORT(vcpu, 0x2223 + round);
		ASSERT_REPORT(vcpu, 0x1111);
	}
}

GUEST32(paged,
	"ljmp $0x38, $0\n"
	"hlt\n"
	"paged_other: mov 0x41e000, %eax\n" REPORT "ljmp $0x28, $0\n");
LABEL(paged_other);

TEST(each_task_has_its_page_tables)
{
	enum { FIRST_PD = 0x15000, OTHER_PD = 0x16000, WORD = 0x1e000 };
	const uint32_t pde = PTE_P | PTE_W | PTE_PS, word = 0x12345678;
	struct vcpu *vcpu = TWO_TASKS(paged, paged_other);
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	/* The first 4 MiB in both, and once more above in the other. */
	vm_write(vcpu->vm, FIRST_PD, &pde, sizeof(pde));
	vm_write(vcpu->vm, OTHER_PD, &pde, sizeof(pde));
	vm_write(vcpu->vm, OTHER_PD + sizeof(pde), &pde, sizeof(pde));
	vm_write(vcpu->vm, WORD, &word, sizeof(word));
	tss_at(vcpu, GUEST_TSS)->cr3 = FIRST_PD;
	tss_at(vcpu, OTHER_TSS)->cr3 = OTHER_PD;
	sregs.cr3 = FIRST_PD;
	sregs.cr4 |= CR4_PSE;
	sregs.cr0 |= CR0_PG;
	vcpu_set_sregs(vcpu, &sregs);
	ASSERT_REPORT(vcpu, word);
	EXPECT_EQ(vcpu_sregs(vcpu).cr3, OTHER_PD);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_sregs(vcpu).cr3, FIRST_PD);
}

GUEST32(bad,
	"ljmp $0x38, $0\n"
	"bad_other: hlt\n"
	"bad_handler: pop %eax\n" REPORT "pop %eax\n" REPORT "hlt\n");
LABEL(bad_other);
LABEL(bad_handler);

TEST(bad_segment_faults_in_the_new_task)
{
	struct vcpu *vcpu = TWO_TASKS(bad, bad_other);

	if (strcmp(module_name(), "rust_kvm"))
		SKIP("C KVM goes on as if nothing was wrong");
	tss_at(vcpu, OTHER_TSS)->fs = 0x50;
	vm_set_gate(vcpu->vm, MODE_PROTECTED, TS_VECTOR, GUEST_ADDR(bad, bad_handler));
	ASSERT_REPORT(vcpu, 0x50);
	EXPECT_REPORT(vcpu, GUEST_ADDR(bad, bad_other));
	EXPECT_EQ(vcpu_sregs(vcpu).tr.selector, SEL_OTHER);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}
