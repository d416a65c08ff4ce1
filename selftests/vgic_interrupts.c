// SPDX-License-Identifier: GPL-2.0
/* Interrupts of a guest with a GICv3: lines, SGIs, timers. */
/* machine: arch=arm64 cpus=2 */
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/stats.h"
#include "lib/vgic.h"

enum { SPI = 40, PPI = 20, MAIN = 0xaaa };

/* Reports the number of each interrupt before it ends it. */
IRQ_VECTORS(report_irq, ACKNOWLEDGE REPORT END_OF_INTERRUPT);

GUEST64(take_interrupts,
	GIC_ON
	IRQS_ON
	"1: mov x0, #0xaaa\n" REPORT
	"b 1b\n");

/* A line that is high interrupts again when the hypervisor hears of the last end, which may take an instruction. */
static void assert_report_again(struct vcpu *vcpu, uint64_t intid)
{
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	if (*(uint64_t *)vcpu->run->mmio.data == MAIN)
		ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	ASSERT_EQ(*(uint64_t *)vcpu->run->mmio.data, intid);
}

TEST(a_line_interrupts_until_it_is_low)
{
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(take_interrupts, report_irq, &vcpu, 1);

	ASSERT_REPORT(vcpu, MAIN);
	spi_line(vcpu->vm, SPI, 1);
	ASSERT_REPORT(vcpu, SPI);
	for (int i = 0; i < 5; i++)
		assert_report_again(vcpu, SPI);
	spi_line(vcpu->vm, SPI, 0);
	ASSERT_REPORT(vcpu, MAIN);
	ASSERT_REPORT(vcpu, MAIN);
	spi_line(vcpu->vm, SPI, 1);
	ASSERT_REPORT(vcpu, SPI);
	spi_line(vcpu->vm, SPI, 0);
	ASSERT_REPORT(vcpu, MAIN);
	vgic_guest_free(vgic, &vcpu, 1);
}

TEST(an_edge_interrupts_once)
{
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(take_interrupts, report_irq, &vcpu, 1);

	ASSERT_REPORT(vcpu, MAIN);
	vgic_set_dist(vgic, 0xc00 + SPI / 16 * 4, 2 << SPI % 16 * 2);
	spi_line(vcpu->vm, SPI, 1);
	ASSERT_REPORT(vcpu, SPI);
	ASSERT_REPORT(vcpu, MAIN);
	spi_line(vcpu->vm, SPI, 0);
	ASSERT_REPORT(vcpu, MAIN);
	spi_line(vcpu->vm, SPI, 1);
	ASSERT_REPORT(vcpu, SPI);
	/* Another edge while the interrupt is active. */
	spi_line(vcpu->vm, SPI, 0);
	spi_line(vcpu->vm, SPI, 1);
	ASSERT_REPORT(vcpu, SPI);
	ASSERT_REPORT(vcpu, MAIN);
	vgic_guest_free(vgic, &vcpu, 1);
}

TEST(a_private_line)
{
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(take_interrupts, report_irq, &vcpu, 1);

	ASSERT_REPORT(vcpu, MAIN);
	ppi_line(vcpu->vm, 0, PPI, 1);
	ASSERT_REPORT(vcpu, PPI);
	assert_report_again(vcpu, PPI);
	ppi_line(vcpu->vm, 0, PPI, 0);
	ASSERT_REPORT(vcpu, MAIN);
	vgic_guest_free(vgic, &vcpu, 1);
}

TEST(more_lines_than_list_registers)
{
	enum { LINES = 24 };
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(take_interrupts, report_irq, &vcpu, 1);
	uint64_t seen = 0, intid;

	ASSERT_REPORT(vcpu, MAIN);
	for (int i = 0; i < LINES; i++)
		spi_line(vcpu->vm, 32 + i, 1);
	for (int i = 0; i < LINES; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
		intid = *(uint64_t *)vcpu->run->mmio.data;
		ASSERT_TRUE(intid >= 32 && intid < 32 + LINES);
		EXPECT_EQ(seen & 1ULL << (intid - 32), 0);
		seen |= 1ULL << (intid - 32);
		spi_line(vcpu->vm, intid, 0);
	}
	EXPECT_EQ(seen, (1ULL << LINES) - 1);
	ASSERT_REPORT(vcpu, MAIN);
	vgic_guest_free(vgic, &vcpu, 1);
}

/* SGI 5 to the own processor, again and again. */
GUEST64(send_self,
	GIC_ON
	IRQS_ON
	"1: mov x0, #1\n"
	"movk x0, #0x500, lsl #16\n"
	"msr S3_0_C12_C11_5, x0\n"
	"isb\n"
	"mov x0, #0xaaa\n" REPORT
	"b 1b\n");

TEST(an_sgi_to_oneself)
{
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(send_self, report_irq, &vcpu, 1);

	for (int i = 0; i < 3; i++) {
		ASSERT_REPORT(vcpu, 5);
		ASSERT_REPORT(vcpu, MAIN);
	}
	vgic_guest_free(vgic, &vcpu, 1);
}

/* vCPU 0 sends SGI 7 to vCPU 1, which answers with SGI 8; each waits by WFI. X19 counts what has come. */
IRQ_VECTORS(count_irq,
	    ACKNOWLEDGE
	    "add x19, x19, #1\n"
	    END_OF_INTERRUPT);

/* Goes to the label if enough have come; with interrupts off, so that none comes between that and the WFI. */
#define WAIT_OR(label)								\
	IRQS_OFF								\
	"cmp x19, x20\n"							\
	"b.ge " label "\n"							\
	"wfi\n"									\
	IRQS_ON

GUEST64(ping_pong,
	GIC_ON
	"mov x19, #0\n"
	"mov x20, #0\n"
	"mrs x2, mpidr_el1\n"
	"and x2, x2, #0xf\n"
	IRQS_ON
	"cbnz x2, 2f\n"
	/* vCPU 0 */
	"1: mov x0, #2\n"
	"movk x0, #0x700, lsl #16\n"
	"msr S3_0_C12_C11_5, x0\n"
	"add x20, x20, #1\n"
	"3:\n" WAIT_OR("4f")
	"b 3b\n"
	"4:\n" IRQS_ON
	"cmp x20, #100\n"
	"b.lt 1b\n"
	"mov x0, x19\n" REPORT
	"b .\n"
	/* vCPU 1 */
	"2: mov x0, #0xaaa\n" REPORT
	"5: add x20, x20, #1\n"
	"6:\n" WAIT_OR("7f")
	"b 6b\n"
	"7:\n" IRQS_ON
	"mov x0, #1\n"
	"movk x0, #0x800, lsl #16\n"
	"msr S3_0_C12_C11_5, x0\n"
	"cmp x20, #100\n"
	"b.lt 5b\n"
	"mov x0, x19\n" REPORT
	"b .\n");

static void *answer(void *arg)
{
	struct vcpu *vcpu = arg;

	ASSERT_REPORT(vcpu, 100);
	return NULL;
}

TEST_LIMIT(sgis_between_processors, 60)
{
	struct vcpu *vcpus[2];
	int vgic = VGIC_GUEST(ping_pong, count_irq, vcpus, 2);
	pthread_t thread;

	ASSERT_REPORT(vcpus[1], MAIN);
	ASSERT_EQ(pthread_create(&thread, NULL, answer, vcpus[1]), 0);
	ASSERT_REPORT(vcpus[0], 100);
	ASSERT_EQ(pthread_join(thread, NULL), 0);
	vgic_guest_free(vgic, vcpus, 2);
}

/* A line raised by another thread while the guest waits by WFI. */
GUEST64(wait_for_interrupts,
	GIC_ON
	IRQS_ON
	"mov x0, #0xaaa\n" REPORT
	"1: wfi\n"
	"b 1b\n");

static void *raise_later(void *arg)
{
	struct vcpu *vcpu = arg;

	usleep(100000);
	spi_line(vcpu->vm, SPI, 1);
	return NULL;
}

TEST_LIMIT(a_line_ends_a_wfi, 60)
{
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(wait_for_interrupts, report_irq, &vcpu, 1);
	pthread_t thread;

	ASSERT_REPORT(vcpu, MAIN);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(pthread_create(&thread, NULL, raise_later, vcpu), 0);
		ASSERT_REPORT(vcpu, SPI);
		ASSERT_EQ(pthread_join(thread, NULL), 0);
		spi_line(vcpu->vm, SPI, 0);
	}
	vgic_guest_free(vgic, &vcpu, 1);
}

/* An interrupt that is disabled, or less urgent than the mask, does not come. */
GUEST64(mask,
	GIC_ON
	"mov x0, #0x80\n"
	"msr S3_0_C4_C6_0, x0\n"
	IRQS_ON
	"mov x0, #0xaaa\n" REPORT
	"mov x0, #0xff\n"
	"msr S3_0_C4_C6_0, x0\n"
	"isb\n"
	"mov x0, #0xaaa\n" REPORT
	"b .\n");

TEST(the_mask_holds_interrupts_off)
{
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(mask, report_irq, &vcpu, 1);

	vgic_set_dist(vgic, 0x400 + SPI, 0xf0);
	spi_line(vcpu->vm, SPI, 1);
	ASSERT_REPORT(vcpu, MAIN);
	ASSERT_REPORT(vcpu, SPI);
	vgic_set_dist(vgic, 0x180 + 4, 1 << (SPI - 32));
	ASSERT_REPORT(vcpu, MAIN);
	vgic_guest_free(vgic, &vcpu, 1);
}

/* ICC_IGRPEN1_EL1 is on, and all of 24 edges become active one after the other, each more urgent than the one before. */
GUEST64(nested,
	GIC_ON
	"mov x0, #1\n" REPORT
	"mov x4, #24\n"
	"1: " ACKNOWLEDGE REPORT
	"subs x4, x4, #1\nb.ne 1b\n"
	"mov x4, #24\nmov x0, #55\n"
	"2: " END_OF_INTERRUPT "sub x0, x0, #1\n"
	"subs x4, x4, #1\nb.ne 2b\n"
	"mov x1, #0x08000000\n"
	"ldr w0, [x1, #0x304]\n" REPORT
	DONE);

/* Interrupts that are active and in no list register end in the order of their priorities. */
TEST(more_active_than_list_registers)
{
	enum { FIRST = 32, COUNT = 24 };
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(nested, report_irq, &vcpu, 1);

	ASSERT_REPORT(vcpu, 1);
	for (unsigned int i = 0; i < COUNT; i++) {
		unsigned int at = (FIRST + i) & ~3;
		uint32_t priorities = vgic_dist(vgic, 0x400 + at) & ~(0xffu << 8 * (i % 4));

		vgic_set_dist(vgic, 0x400 + at, priorities | (COUNT - i) * 8u << 8 * (i % 4));
	}
	vgic_set_dist(vgic, 0xc08, 0xaaaaaaaa);
	vgic_set_dist(vgic, 0xc0c, 0xaaaaaaaa);
	for (unsigned int i = 0; i < COUNT; i++) {
		spi_line(vcpu->vm, FIRST + i, 1);
		spi_line(vcpu->vm, FIRST + i, 0);
		ASSERT_REPORT(vcpu, FIRST + i);
	}
	ASSERT_REPORT(vcpu, 0);
	ASSERT_DONE(vcpu);
	vgic_guest_free(vgic, &vcpu, 1);
}

/* An eventfd raises the line of an interrupt that is triggered by its level; it is the VMM that lowers it. */
TEST(an_eventfd_for_a_level)
{
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(take_interrupts, report_irq, &vcpu, 1);
	const int event = ASSERT_OK(eventfd(0, EFD_CLOEXEC));
	const struct kvm_irqfd irqfd = { .fd = event, .gsi = SPI - 32 };
	const uint64_t one = 1;

	ASSERT_REPORT(vcpu, MAIN);
	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_IRQFD, &irqfd));
	ASSERT_EQ(write(event, &one, sizeof(one)), sizeof(one));
	ASSERT_REPORT(vcpu, SPI);
	assert_report_again(vcpu, SPI);
	spi_line(vcpu->vm, SPI, 0);
	ASSERT_REPORT(vcpu, MAIN);
	close(event);
	vgic_guest_free(vgic, &vcpu, 1);
}

/* With a resample eventfd the line falls when the guest has ended the interrupt, of which the VMM is told. */
TEST(an_eventfd_that_is_resampled)
{
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(take_interrupts, report_irq, &vcpu, 1);
	const int event = ASSERT_OK(eventfd(0, EFD_CLOEXEC));
	const int resample = ASSERT_OK(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	const struct kvm_irqfd irqfd = {
		.fd = event,
		.gsi = SPI - 32,
		.flags = KVM_IRQFD_FLAG_RESAMPLE,
		.resamplefd = resample,
	};
	uint64_t one = 1, count;

	ASSERT_REPORT(vcpu, MAIN);
	ASSERT_OK(ioctl(vcpu->vm->fd, KVM_IRQFD, &irqfd));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(write(event, &one, sizeof(one)), sizeof(one));
		ASSERT_REPORT(vcpu, SPI);
		EXPECT_ERRNO(read(resample, &count, sizeof(count)), EAGAIN);
		ASSERT_REPORT(vcpu, MAIN);
		ASSERT_EQ(read(resample, &count, sizeof(count)), sizeof(count));
		EXPECT_EQ(count, 1);
		ASSERT_REPORT(vcpu, MAIN);
	}
	close(event);
	close(resample);
	vgic_guest_free(vgic, &vcpu, 1);
}

/*
 * ICC_CTLR_EL1.EOImode. The first vCPU acknowledges an interrupt and drops its priority, the second deactivates it by
 * ICC_DIR_EL1.
 */
GUEST64(two_steps,
	GIC_ON
	"mov x0, #2\nmsr S3_0_C12_C12_4, x0\nisb\n"
	"cbnz x2, 1f\n"
	"mov x0, #1\n" REPORT
	ACKNOWLEDGE END_OF_INTERRUPT REPORT
	"mov x1, #0x08000000\n"
	"ldr w0, [x1, #0x304]\n" REPORT
	"ldr w0, [x1, #0x304]\n" REPORT
	DONE
	"1: mov x0, #40\nmsr S3_0_C12_C11_1, x0\n" REPORT
	DONE);

TEST(another_processor_ends_it)
{
	struct vcpu *vcpus[2];
	int vgic = VGIC_GUEST(two_steps, report_irq, vcpus, 2);

	ASSERT_REPORT(vcpus[0], 1);
	vgic_set_dist(vgic, 0xc00 + SPI / 16 * 4, 2 << SPI % 16 * 2);
	spi_line(vcpus[0]->vm, SPI, 1);
	ASSERT_REPORT(vcpus[0], SPI);
	ASSERT_REPORT(vcpus[0], 1 << (SPI - 32));
	ASSERT_REPORT(vcpus[1], SPI);
	ASSERT_REPORT(vcpus[0], 0);
	vgic_guest_free(vgic, vcpus, 2);
}

/* Without EOImode ICC_DIR_EL1 does nothing. */
GUEST64(one_step,
	GIC_ON
	"mov x0, #1\n" REPORT
	ACKNOWLEDGE
	"msr S3_0_C12_C11_1, x0\nisb\n"
	"mov x1, #0x08000000\n"
	"ldr w0, [x1, #0x304]\n" REPORT
	"mov x0, #40\n" END_OF_INTERRUPT
	"ldr w0, [x1, #0x304]\n" REPORT
	DONE);

TEST(an_end_in_one_step)
{
	struct vcpu *vcpus[2];
	int vgic = VGIC_GUEST(one_step, report_irq, vcpus, 2);

	ASSERT_REPORT(vcpus[0], 1);
	spi_line(vcpus[0]->vm, SPI, 1);
	ASSERT_REPORT(vcpus[0], 1 << (SPI - 32));
	spi_line(vcpus[0]->vm, SPI, 0);
	ASSERT_REPORT(vcpus[0], 0);
	ASSERT_DONE(vcpus[0]);
	vgic_guest_free(vgic, vcpus, 2);
}

/* The first vCPU sends SGI 5 to the affinity 0.0.3.1, once the second has set up its redistributor. */
GUEST64(sgi_by_affinity,
	GIC_ON
	"cbnz x2, 1f\n"
	"mov x0, #2\nmovk x0, #0x0503, lsl #16\n"
	"msr S3_0_C12_C11_5, x0\nisb\n"
	DONE
	"1: mov x0, #1\n" REPORT
	ACKNOWLEDGE REPORT
	DONE);

/* A vCPU is known by the MPIDR_EL1 that the VMM gives it. */
TEST(another_affinity)
{
	enum { TYPER_AFFINITY = 0xc, AFFINITY = 0x301 };
	const uint64_t named = (uint64_t)AFFINITY << KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT;
	struct vcpu *vcpus[2];
	int vgic = VGIC_GUEST(sgi_by_affinity, report_irq, vcpus, 2);
	uint32_t value = 0;

	vcpu_set_reg(vcpus[1], ARM64_SYS_REG(3, 0, 0, 0, 5), 0x80000000 | AFFINITY);
	ASSERT_OK(vgic_attr(vgic, KVM_GET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS,
			    named | TYPER_AFFINITY, &value));
	EXPECT_EQ(value, AFFINITY);
	EXPECT_ERRNO(vgic_attr(vgic, KVM_GET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS,
			       1UL << KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT | TYPER_AFFINITY, &value),
		     EINVAL);
	ASSERT_REPORT(vcpus[1], 1);
	ASSERT_DONE(vcpus[0]);
	ASSERT_REPORT(vcpus[1], 5);
	ppi_line(vcpus[0]->vm, 1, PPI, 1);
	vgic_guest_free(vgic, vcpus, 2);
}

/* The distributor goes off while a line is high, and on again. Meanwhile the guest runs undisturbed. */
GUEST64(distributor_off_and_on,
	GIC_ON
	"mov x0, #1\n" REPORT
	"mov x1, #0x08000000\n"
	"str wzr, [x1]\n"
	IRQS_ON
	"mov x0, #2\n" REPORT
	"mov x0, #3\n" REPORT
	"mov w0, #2\n"
	"str w0, [x1]\n"
	"isb\n"
	"1: mov x0, #0xaaa\n" REPORT
	"b 1b\n");

TEST(a_line_that_is_high_while_the_distributor_is_off)
{
	enum { FEW = 500 };
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(distributor_off_and_on, report_irq, &vcpu, 1), stats;

	if (kvm_is_c())
		SKIP("C KVM forgets the line");
	stats = stats_open(vcpu->fd);
	ASSERT_REPORT(vcpu, 1);
	spi_line(vcpu->vm, SPI, 1);
	ASSERT_REPORT(vcpu, 2);
	ASSERT_REPORT(vcpu, 3);
	EXPECT_TRUE(stats_value(stats, "exits_interrupt") < FEW);
	assert_report_again(vcpu, SPI);
	spi_line(vcpu->vm, SPI, 0);
	ASSERT_REPORT(vcpu, MAIN);
	close(stats);
	vgic_guest_free(vgic, &vcpu, 1);
}

/* KVM_IRQ_LINE with level 1 is an edge, whether the line was lowered since the last one or not. */
TEST(an_edge_without_a_fall_before)
{
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(take_interrupts, report_irq, &vcpu, 1);

	ASSERT_REPORT(vcpu, MAIN);
	vgic_set_dist(vgic, 0xc00 + SPI / 16 * 4, 2 << SPI % 16 * 2);
	for (int i = 0; i < 3; i++) {
		spi_line(vcpu->vm, SPI, 1);
		ASSERT_REPORT(vcpu, SPI);
		ASSERT_REPORT(vcpu, MAIN);
	}
	vgic_guest_free(vgic, &vcpu, 1);
}

/* Urgent interrupts of group 0, which the CPU interface does not let through, fill no list registers. */
TEST(a_group_that_is_off_is_in_nobodys_way)
{
	enum { FIRST = 32, COUNT = 24, LAST = FIRST + COUNT };
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(take_interrupts, report_irq, &vcpu, 1);

	ASSERT_REPORT(vcpu, MAIN);
	vgic_set_dist(vgic, 0x84, ~((1u << COUNT) - 1));
	vgic_set_dist(vgic, 0x400 + LAST, 0xa0);
	for (unsigned int i = FIRST; i <= LAST; i++)
		spi_line(vcpu->vm, i, 1);
	ASSERT_REPORT(vcpu, LAST);
	spi_line(vcpu->vm, LAST, 0);
	ASSERT_REPORT(vcpu, MAIN);
	vgic_guest_free(vgic, &vcpu, 1);
}
