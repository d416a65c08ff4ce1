// SPDX-License-Identifier: GPL-2.0
/*
 * Bench rows of arm64's GICv3 and timers in the kernel and of eventfds: what
 * the guest's accesses cost, and the way of an interrupt to its handler.
 */
#include "lib/bench.h"
#include "lib/its.h"

#include <pthread.h>
#include <sys/eventfd.h>

enum {
	TIMER_SAMPLES = 64,
	SGI_SAMPLES = 200,
	FLAG = GUEST_DATA + 0x8000,
	SPI = 40,
	GSI = SPI - 32,		/* by the routes that a VM begins with */
	MESSAGE_GSI = 77,
};

/* The handler sets X5, which WAIT waits for. */
#define WAIT "2: cbz x5, 2b\n"
IRQ_VECTORS(note_irq, ACKNOWLEDGE "mov x5, #1\n" END_OF_INTERRUPT);
/* The same for the virtual timer, which it turns off */
IRQ_VECTORS(timer_irq, ACKNOWLEDGE "mov x5, #1\nmsr cntv_ctl_el0, xzr\n" END_OF_INTERRUPT);
/* Tells the host at once */
IRQ_VECTORS(tell_irq, DONE ACKNOWLEDGE END_OF_INTERRUPT);
/* Counts at X19, and lets others go on */
IRQ_VECTORS(count_irq, ACKNOWLEDGE END_OF_INTERRUPT
	    "ldr w6, [x19]\nadd w6, w6, #1\nstr w6, [x19]\n");

#define SGI_TO(targets)								\
	"mov x0, #" targets "\n"						\
	"movk x0, #0x500, lsl #16\n"						\
	"msr S3_0_C12_C11_5, x0\n"
/* The virtual timer in that many ticks; measured from then on */
#define TIMER_IN(ticks)								\
	"mov x5, #0\n"								\
	"mov x0, #" ticks "\n"							\
	"add x23, x23, x0\n"							\
	"msr cntv_cval_el0, x23\n"						\
	"mov x0, #1\n"								\
	"msr cntv_ctl_el0, x0\n"						\
	"isb\n"

GUEST64(loop_empty, GIC_ON IRQS_ON MEASURE("mov x5, #1\n" WAIT));
GUEST64(loop_read, GIC_ON IRQS_ON MEASURE("ldr w0, [x19]\n"));
GUEST64(loop_write, GIC_ON IRQS_ON "mov w0, #0x100\n" MEASURE("str w0, [x19]\n"));
GUEST64(loop_self_sgi, GIC_ON IRQS_ON MEASURE("mov x5, #0\n" SGI_TO("1") "isb\n" WAIT));
GUEST64(loop_timer, GIC_ON IRQS_ON MEASURE(TIMER_IN("10000") WAIT));
/* With interrupts on only after it, so that WFI is what waits */
#define SLEEP(ticks) GIC_ON MEASURE(TIMER_IN(ticks) "wfi\n" IRQS_ON WAIT IRQS_OFF)
GUEST64(loop_wait, SLEEP("20000"));
GUEST64(loop_long_wait, SLEEP("0x400000"));
/* Until the other vCPU has counted it at X19 */
GUEST64(loop_sgi, GIC_ON
	MEASURE("ldr w6, [x19]\n"
		SGI_TO("2")
		"2: yield\n"
		"ldr w7, [x19]\n"
		"cmp w6, w7\n"
		"b.eq 2b\n"));
GUEST64(sgi_target, GIC_ON IRQS_ON REPORT "1: yield\nb 1b\n");
GUEST64(wfi_target, GIC_ON IRQS_ON REPORT "1: wfi\nb 1b\n");
/* Ready for the next interrupt */
GUEST64(waiting, GIC_ON IRQS_ON "1:" REPORT "b 1b\n");

static uint64_t cost(const uint8_t *code, const uint8_t *end, const uint8_t *vectors,
		     const uint8_t *vectors_end, uint64_t address, uint32_t count)
{
	struct vcpu *vcpu;
	int vgic = vgic_guest(code, end, vectors, vectors_end, &vcpu, 1);
	uint64_t result = loop_cost_of(vcpu, address, count);

	close(vgic);
	return result;
}

#define COST_AT(code, address) \
	cost(code, code##_end, note_irq, note_irq_end, (address), SAMPLES)
#define COST(code) COST_AT(code, 0)
#define TIMER_COST(code) \
	cost(code, code##_end, timer_irq, timer_irq_end, 0, TIMER_SAMPLES)

TEST_LIMIT(vgic, ROW_LIMIT)
{
	enum { GICD_TYPER = 0x4, GICD_ISENABLER1 = 0x104, GICR_TYPER = 0x8 };
	const uint64_t empty = COST(loop_empty);

	exit_row("gicd_read", COST_AT(loop_read, GICD_BASE + GICD_TYPER), empty);
	exit_row("gicd_write", COST_AT(loop_write, GICD_BASE + GICD_ISENABLER1), empty);
	exit_row("gicr_read", COST_AT(loop_read, GICR_BASE + GICR_TYPER), empty);
	exit_row("self_sgi", COST(loop_self_sgi), empty);
}

TEST_LIMIT(timer, ROW_LIMIT)
{
	row("timer_interrupt", TIMER_COST(loop_timer));
	row("timer_wakes_wfi", TIMER_COST(loop_wait));
	row("timer_wakes_long_wfi", TIMER_COST(loop_long_wait));
}

TEST_LIMIT(doorbells, ROW_LIMIT)
{
	struct kvm_ioeventfd doorbell = { .addr = MMIO_GPA, .len = 4 };
	const uint64_t empty = COST(loop_empty);
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(loop_write, note_irq, &vcpu, 1);

	doorbell.fd = ASSERT_OK(eventfd(0, EFD_NONBLOCK));
	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_IOEVENTFD, &doorbell));
	exit_row("ioeventfd", loop_cost_of(vcpu, MMIO_GPA, SAMPLES), empty);
	close(vgic);
}

static void run_to(struct vcpu *vcpu, uint64_t gpa)
{
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	ASSERT_EQ(vcpu->run->mmio.phys_addr, gpa);
}

/* From the host's statement to the first instruction of the handler; what a work queue does lies between, too. */
#define HANDLER_ROW(name, vcpu, statement) do {					\
	static uint64_t samples_[SAMPLES];					\
	for (size_t i_ = 0; i_ < SAMPLES; i_++) {				\
		run_to((vcpu), REPORT_GPA);					\
		uint64_t begin_ = ticks();					\
		statement;							\
		do								\
			vcpu_run(vcpu);						\
		while ((vcpu)->run->mmio.phys_addr == REPORT_GPA);		\
		samples_[i_] = ticks() - begin_;				\
		ASSERT_EQ((vcpu)->run->mmio.phys_addr, DONE_GPA);		\
	}									\
	row_median(name, samples_, SAMPLES);					\
} while (0)

TEST_LIMIT(messages, ROW_LIMIT)
{
	enum { ICFGR = 0xc00, EDGE = 2, ICFGR_IRQS = 16 };
	struct its_guest guest = its_guest_new(waiting, waiting_end, tell_irq, tell_irq_end);
	struct vm *vm = guest.vcpu->vm;
	struct kvm_irqfd irqfd = { .fd = ASSERT_OK(eventfd(0, EFD_NONBLOCK)), .gsi = GSI };
	const uint64_t one = 1;

	its_map_event(&guest);
	run_to(guest.vcpu, REPORT_GPA);
	vgic_set_dist(guest.vgic, ICFGR + SPI / ICFGR_IRQS * 4, EDGE << SPI % ICFGR_IRQS * 2);
	ASSERT_OK(ioctl(vm->fd, KVM_IRQFD, &irqfd));
	HANDLER_ROW("irqfd_to_handler", guest.vcpu, write(irqfd.fd, &one, sizeof(one)));
	HANDLER_ROW("irq_line_to_handler", guest.vcpu, (spi_line(vm, SPI, 1), spi_line(vm, SPI, 0)));
	HANDLER_ROW("signal_msi_to_handler", guest.vcpu, signal_msi(&guest, DEVICE, EVENT));
	irqfd.fd = ASSERT_OK(eventfd(0, EFD_NONBLOCK));
	irqfd.gsi = MESSAGE_GSI;
	ASSERT_OK(its_route(&guest, MESSAGE_GSI));
	ASSERT_OK(ioctl(vm->fd, KVM_IRQFD, &irqfd));
	HANDLER_ROW("irqfd_msi_to_handler", guest.vcpu, write(irqfd.fd, &one, sizeof(one)));
	its_guest_free(&guest);
}

static void *run_target(void *vcpu)
{
	vcpu_run(vcpu);
	return NULL;
}

/* Both vCPUs run; the row is the way to the handler and the way back through memory. */
static void sgi_row(const char *name, const uint8_t *code, const uint8_t *end)
{
	const uint64_t other_code = GUEST_CODE + 0x1000;
	struct vcpu *vcpus[2];
	pthread_t thread;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP("takes two processors");
	VGIC_GUEST(loop_sgi, count_irq, vcpus, 2);
	vm_write(vcpus[0]->vm, other_code, code, end - code);
	vcpu_set_reg(vcpus[1], REG_PC, other_code);
	vcpu_set_reg(vcpus[1], REG_X(19), FLAG);
	run_to(vcpus[1], REPORT_GPA);
	stay_on(1);
	ASSERT_EQ(pthread_create(&thread, NULL, run_target, vcpus[1]), 0);
	stay_on(0);
	run_loop(vcpus[0], FLAG, 0, SGI_SAMPLES);
	row(name, run_loop(vcpus[0], FLAG, 0, SGI_SAMPLES));
	/* The target never returns: it goes with this process. */
}

TEST_LIMIT(sgi, ROW_LIMIT)
{
	sgi_row("sgi_round_trip", sgi_target, sgi_target_end);
}

TEST_LIMIT(sgi_wakes, ROW_LIMIT)
{
	sgi_row("sgi_wakes_wfi", wfi_target, wfi_target_end);
}
