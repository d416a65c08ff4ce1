// SPDX-License-Identifier: GPL-2.0
/*
 * Bench rows of the interrupt controllers in the kernel and of eventfds: what
 * the guest's accesses cost, and the way of an interrupt to its handler. The
 * local APIC is in x2APIC mode.
 */
#include "lib/bench.h"
#include "lib/apic.h"

enum {
	DOORBELL_PORT = 0x88,
	TIMER_SAMPLES = 64,
	IPI_SAMPLES = 200,
	OTHER_CODE = GUEST_CODE + 0x1000,
	OTHER_STACK = GUEST_STACK - 0x1000,
	FLAG = GUEST_DATA + 0x8000,
	GSI = 24,
};

#define SET_ECX_EAX(index, low) "mov $" index ", %ecx\nmov $" low ", %eax\nxor %edx, %edx\n"
#define WRITE_MSR(index, low) SET_ECX_EAX(index, low) "wrmsr\n"
#define EOI WRITE_MSR("0x80b", "0")
/* The APIC enabled, LINT0 masked, the timer in TSC-deadline mode with IRQ_VECTOR */
#define APIC_SETUP						\
	WRITE_MSR("0x80f", "0x1ff") WRITE_MSR("0x835", "0x10000") WRITE_MSR("0x832", "0x40040")
/* EDX:EAX a time that many ticks away, also in R10 */
#define DEADLINE_IN(ticks)					\
	"rdtsc\n"						\
	"shl $32, %rdx\n"					\
	"lea " ticks "(%rax, %rdx), %r10\n"			\
	"mov %r10, %rax\n"					\
	"mov %r10, %rdx\n"					\
	"shr $32, %rdx\n"					\
	"mov $0x6e0, %ecx\n"
#define HANDLER_OF(name) #name "_handler:\n" EOI "iretq\n"

GUEST64(loop_chips_empty, MEASURE(""));
GUEST64(loop_eoi, APIC_SETUP MEASURE(EOI));
GUEST64(loop_eoi_empty, MEASURE(SET_ECX_EAX("0x80b", "0")));
GUEST64(loop_deadline, APIC_SETUP MEASURE(DEADLINE_IN("0x1000000") "wrmsr\n"));
GUEST64(loop_deadline_empty, MEASURE(DEADLINE_IN("0x1000000")));
GUEST64(loop_self_ipi, APIC_SETUP "sti\n" MEASURE(WRITE_MSR("0x83f", "0x40"))
	HANDLER_OF(loop_self_ipi));
extern const uint8_t loop_self_ipi_handler[];
GUEST64(loop_self_icr, APIC_SETUP "sti\n" MEASURE(WRITE_MSR("0x830", "0x40040"))
	HANDLER_OF(loop_self_icr));
extern const uint8_t loop_self_icr_handler[];
GUEST64(loop_pic, MEASURE("inb $0x21, %al\n"));
GUEST64(loop_mmio_in, MEASURE("mov (%r8), %eax\n"));
GUEST64(loop_mmio_out, MEASURE("mov %eax, (%r8)\n"));
GUEST64(loop_doorbell_port, MEASURE("outw %ax, $0x88\n"));
/* From the deadline on */
GUEST64(loop_timer, APIC_SETUP "sti\n"
	MEASURE(DEADLINE_IN("1000000") "wrmsr\nmov %r10d, %esi\nhlt\n")
	HANDLER_OF(loop_timer));
extern const uint8_t loop_timer_handler[];
/* Until the other vCPU has handled it and counted it at R8 */
GUEST64(loop_ipi, APIC_SETUP
	MEASURE("mov (%r8), %ebx\n"
		"mov $0x830, %ecx\nmov $0x41, %eax\nmov $1, %edx\nwrmsr\n"
		"2: cmp %ebx, (%r8)\nje 2b\n"));
GUEST64(ipi_target, APIC_SETUP "sti\n" REPORT
	"xor %r10d, %r10d\n"
	"1: test %r10d, %r10d\njz 1b\n"
	"xor %r10d, %r10d\n"
	"lock incl (%r8)\n"
	"jmp 1b\n"
	"ipi_target_handler:\n" EOI "mov $1, %r10d\niretq\n");
extern const uint8_t ipi_target_handler[];
/* Reports at once in the handler, and again when it is ready for the next interrupt */
GUEST64(waiting, APIC_SETUP "sti\n1:" REPORT "jmp 1b\n"
	"waiting_handler: outl %eax, $0x12\n" EOI "iretq\n");
extern const uint8_t waiting_handler[];

/* A vCPU in a VM with all chips, at that code */
static struct vcpu *chips_vcpu(struct vm *vm, uint32_t id, uint64_t code, uint64_t stack)
{
	struct vcpu *vcpu = guest_cpu_bare(vm, id);
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	vcpu_start(vcpu, MODE_LONG, code);
	sregs = vcpu_sregs(vcpu);
	sregs.apic_base |= APIC_BASE_X2APIC;
	vcpu_set_sregs(vcpu, &sregs);
	regs = vcpu_regs(vcpu);
	regs.rsp = stack;
	vcpu_set_regs(vcpu, &regs);
	ASSERT_OK(vcpu_set_mp_state(vcpu, KVM_MP_STATE_RUNNABLE));
	return vcpu;
}

static struct vm *chips_vm(void)
{
	struct vm *vm = vm_new(GUEST_PAGES);

	vm_create_chips(vm, CHIPS_PIT);
	vm_tables(vm, MODE_LONG);
	return vm;
}

static struct vcpu *chips_guest(const uint8_t *code, const uint8_t *end)
{
	struct vm *vm = chips_vm();

	vm_write(vm, GUEST_CODE, code, end - code);
	return chips_vcpu(vm, 0, GUEST_CODE, GUEST_STACK);
}

#define CHIPS_GUEST(name) chips_guest(name, name##_end)
#define SET_HANDLER(vm, vector, name) \
	vm_set_gate((vm), MODE_LONG, (vector), GUEST_ADDR(name, name##_handler))

#define CHIPS_COST(name) loop_cost_of(CHIPS_GUEST(name), 0, SAMPLES)
#define CHIPS_COST_AT(name, address) loop_cost_of(CHIPS_GUEST(name), (address), SAMPLES)

#define HANDLED_COST(name, count) ({						\
	struct vcpu *vcpu_ = CHIPS_GUEST(name);					\
	SET_HANDLER(vcpu_->vm, IRQ_VECTOR, name);				\
	loop_cost_of(vcpu_, 0, (count)); })

TEST_LIMIT(chips, ROW_LIMIT)
{
	const uint64_t empty = CHIPS_COST(loop_chips_empty);
	const uint64_t msr_empty = CHIPS_COST(loop_eoi_empty);

	exit_row("x2apic_eoi", CHIPS_COST(loop_eoi), msr_empty);
	exit_row("tsc_deadline_write", CHIPS_COST(loop_deadline), CHIPS_COST(loop_deadline_empty));
	exit_row("self_ipi", HANDLED_COST(loop_self_ipi, SAMPLES), msr_empty);
	exit_row("self_ipi_by_icr", HANDLED_COST(loop_self_icr, SAMPLES), msr_empty);
	exit_row("pic_port", CHIPS_COST(loop_pic), empty);
	exit_row("ioapic_read", CHIPS_COST_AT(loop_mmio_in, IOAPIC_BASE + IOAPIC_WINDOW), empty);
	exit_row("ioapic_select", CHIPS_COST_AT(loop_mmio_out, IOAPIC_BASE + IOAPIC_SELECT), empty);
	row("lapic_timer_wake", HANDLED_COST(loop_timer, TIMER_SAMPLES));
}

static uint64_t doorbell_cost(const uint8_t *code, const uint8_t *end,
			      const struct kvm_ioeventfd *doorbell)
{
	struct vcpu *vcpu = chips_guest(code, end);
	struct kvm_ioeventfd request = *doorbell;

	request.fd = event_new();
	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_IOEVENTFD, &request));
	return loop_cost_of(vcpu, doorbell->addr, SAMPLES);
}

TEST_LIMIT(doorbells, ROW_LIMIT)
{
	const struct kvm_ioeventfd port = {
		.addr = DOORBELL_PORT, .len = 2, .flags = KVM_IOEVENTFD_FLAG_PIO,
	};
	const struct kvm_ioeventfd mmio = { .addr = MMIO_GPA, .len = 4 };
	const struct kvm_ioeventfd any = { .addr = MMIO_GPA };
	const uint64_t empty = CHIPS_COST(loop_chips_empty);

	exit_row("ioeventfd_port",
		 doorbell_cost(loop_doorbell_port, loop_doorbell_port_end, &port), empty);
	exit_row("ioeventfd_mmio", doorbell_cost(loop_mmio_out, loop_mmio_out_end, &mmio), empty);
	exit_row("ioeventfd_mmio_any", doorbell_cost(loop_mmio_out, loop_mmio_out_end, &any),
		 empty);
}

static void run_to_port(struct vcpu *vcpu, uint16_t port)
{
	ASSERT_RUN(vcpu, KVM_EXIT_IO);
	ASSERT_EQ(vcpu->run->io.port, port);
}

/* From the host's statement to the first instruction of the handler */
#define HANDLER_ROW(name, vcpu, statement) do {					\
	static uint64_t samples_[SAMPLES];					\
	for (size_t i_ = 0; i_ < SAMPLES; i_++) {				\
		run_to_port((vcpu), REPORT_PORT);				\
		uint64_t begin_ = ticks();					\
		statement;							\
		vcpu_run(vcpu);							\
		samples_[i_] = ticks() - begin_;				\
		ASSERT_EXIT((vcpu), KVM_EXIT_IO);				\
		ASSERT_EQ((vcpu)->run->io.port, DONE_PORT);			\
	}									\
	row_median(name, samples_, SAMPLES);					\
} while (0)

TEST_LIMIT(messages, ROW_LIMIT)
{
	struct vcpu *vcpu = CHIPS_GUEST(waiting);
	struct vm *vm = vcpu->vm;
	const struct kvm_msi msi = { .address_lo = MSI_TO(0), .data = IRQ_VECTOR };
	const uint64_t one = 1;
	struct routes routes = {};
	int fd = event_new();

	SET_HANDLER(vm, IRQ_VECTOR, waiting);
	route_msi(&routes, GSI, MSI_TO(0), IRQ_VECTOR);
	ASSERT_OK(vm_set_routes(vm, &routes));
	ASSERT_OK(irqfd(vm, fd, GSI, 0, 0));
	HANDLER_ROW("irqfd_to_handler", vcpu, write(fd, &one, sizeof(one)));
	HANDLER_ROW("signal_msi_to_handler", vcpu, ioctl(vm->fd, KVM_SIGNAL_MSI, &msi));
	guest_free(vcpu);
}

static void *run_target(void *vcpu)
{
	vcpu_run(vcpu);
	return NULL;
}

/* Both vCPUs run; the row is the way to the handler and the way back through memory. */
TEST_LIMIT(ipi, ROW_LIMIT)
{
	struct vcpu *vcpu, *target;
	pthread_t thread;
	struct vm *vm;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP("takes two processors");
	vcpu = CHIPS_GUEST(loop_ipi);
	vm = vcpu->vm;
	VM_LOAD_AT(vm, OTHER_CODE, ipi_target);
	vm_set_gate(vm, MODE_LONG, VEC_A, OTHER_CODE + (ipi_target_handler - ipi_target));
	target = chips_vcpu(vm, 1, OTHER_CODE, OTHER_STACK);

	struct kvm_regs regs = vcpu_regs(target);

	regs.r8 = FLAG;
	vcpu_set_regs(target, &regs);
	run_to_port(target, REPORT_PORT);
	stay_on(1);
	ASSERT_EQ(pthread_create(&thread, NULL, run_target, target), 0);
	stay_on(0);
	run_loop(vcpu, FLAG, 0, IPI_SAMPLES);
	row("ipi_round_trip", run_loop(vcpu, FLAG, 0, IPI_SAMPLES));
	/* The target never returns: it goes with this process. */
}
