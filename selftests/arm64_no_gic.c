// SPDX-License-Identifier: GPL-2.0
/* An arm64 guest whose interrupt controller is the VMM's: KVM_IRQ_LINE of a vCPU, KVM_CAP_ARM_USER_IRQ. */
/* machine: arch=arm64 */
#include <pthread.h>
#include <unistd.h>

#include "lib/vgic.h"

enum { MAIN = 0xaaa, TAKEN = 0x1280, FIQ_TAKEN = 0x1300 };

static uint32_t line_of(unsigned int vcpu, unsigned int number)
{
	return KVM_ARM_IRQ_TYPE_CPU << KVM_ARM_IRQ_TYPE_SHIFT |
	       vcpu << KVM_ARM_IRQ_VCPU_SHIFT | number << KVM_ARM_IRQ_NUM_SHIFT;
}

static int set_line(struct vm *vm, uint32_t irq, uint32_t level)
{
	const struct kvm_irq_level line = { .irq = irq, .level = level };

	return ioctl(vm->fd, KVM_IRQ_LINE, &line);
}

/* IRQ and FIQ of the current level report themselves, for as long as their lines are high. */
__asm__(".pushsection .rodata\n"
	".balign 128\n"
	"report_lines:\n"
	".rept 5\nb .\n.balign 128\n.endr\n"
	"mov x0, #0x1280\n" REPORT "eret\n"
	".balign 128\n"
	"mov x0, #0x1300\n" REPORT "eret\n"
	".balign 128\n"
	"report_lines_end:\n"
	".popsection\n");
GUEST_LABELS report_lines[], report_lines_end[];

GUEST64(lines,
	"mov x0, #0x8000\nmsr vbar_el1, x0\nisb\n"
	"msr daifclr, #3\n"
	"1: mov x0, #0xaaa\n" REPORT
	"b 1b\n");

static struct vcpu *guest_with_lines(const uint8_t *code, const uint8_t *end)
{
	struct vcpu *vcpu = guest_new(code, end);

	VM_LOAD_AT(vcpu->vm, GUEST_VECTORS, report_lines);
	return vcpu;
}

TEST(lines_of_a_vcpu)
{
	struct vcpu *vcpu = guest_with_lines(lines, lines_end);
	struct vm *vm = vcpu->vm;

	EXPECT_EQ(kvm_check(vm->fd, KVM_CAP_ARM_USER_IRQ), 1);
	EXPECT_REPORT(vcpu, MAIN);
	ASSERT_OK(set_line(vm, line_of(0, KVM_ARM_IRQ_CPU_IRQ), 1));
	EXPECT_REPORT(vcpu, TAKEN);
	EXPECT_REPORT(vcpu, TAKEN);
	ASSERT_OK(set_line(vm, line_of(0, KVM_ARM_IRQ_CPU_IRQ), 0));
	EXPECT_REPORT(vcpu, MAIN);
	ASSERT_OK(set_line(vm, line_of(0, KVM_ARM_IRQ_CPU_FIQ), 1));
	EXPECT_REPORT(vcpu, FIQ_TAKEN);
	ASSERT_OK(set_line(vm, line_of(0, KVM_ARM_IRQ_CPU_FIQ), 0));
	EXPECT_REPORT(vcpu, MAIN);
}

TEST(lines_that_do_not_exist)
{
	struct vm *vm = guest_with_lines(lines, lines_end)->vm;

	EXPECT_ERRNO(set_line(vm, line_of(0, 2), 1), EINVAL);
	EXPECT_ERRNO(set_line(vm, line_of(1, KVM_ARM_IRQ_CPU_IRQ), 1), EINVAL);
	EXPECT_ERRNO(set_line(vm, KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | 40, 1), ENXIO);
	EXPECT_ERRNO(set_line(vm, KVM_ARM_IRQ_TYPE_PPI << KVM_ARM_IRQ_TYPE_SHIFT | 20, 1), ENXIO);
	EXPECT_ERRNO(set_line(vm, 7U << KVM_ARM_IRQ_TYPE_SHIFT, 1), EINVAL);
}

TEST(lines_beside_a_gic)
{
	struct vm *vm = vm_new(GUEST_PAGES);

	vcpu_new(vm, 0);
	vgic_create(vm);
	EXPECT_ERRNO(set_line(vm, line_of(0, KVM_ARM_IRQ_CPU_IRQ), 1), ENXIO);
}

GUEST64(waits,
	"mov x0, #1\n" REPORT
	"wfi\n"
	"mov x0, #2\n" REPORT);

static void *raise_soon(void *vm)
{
	usleep(200000);
	ASSERT_OK(set_line(vm, line_of(0, KVM_ARM_IRQ_CPU_IRQ), 1));
	return NULL;
}

TEST_LIMIT(a_line_ends_a_wfi, 60)
{
	struct vcpu *vcpu = guest_with_lines(waits, waits_end);
	pthread_t thread;

	EXPECT_REPORT(vcpu, 1);
	ASSERT_EQ(pthread_create(&thread, NULL, raise_soon, vcpu->vm), 0);
	EXPECT_REPORT(vcpu, 2);
	pthread_join(thread, NULL);
}

/* CNTV_CTL_EL0 and CNTV_CVAL_EL0: the timer has fired; later it is turned off. */
GUEST64(fires,
	"msr cntv_cval_el0, xzr\n"
	"mov x0, #1\nmsr cntv_ctl_el0, x0\nisb\n"
	"1: cbnz x0, 1b\n"
	"msr cntv_ctl_el0, xzr\nisb\n"
	DONE);

TEST_LIMIT(timers_are_told_to_the_vmm, 60)
{
	struct vcpu *vcpu = guest_with_lines(fires, fires_end);

	EXPECT_EQ(vcpu->run->s.regs.device_irq_level, 0);
	EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
	EXPECT_EXIT(vcpu, KVM_EXIT_INTR);
	EXPECT_EQ(vcpu->run->s.regs.device_irq_level, KVM_ARM_DEV_EL1_VTIMER);
	vcpu_set_reg(vcpu, REG_X(0), 0);
	EXPECT_DONE(vcpu);
	EXPECT_EQ(vcpu->run->s.regs.device_irq_level, 0);
}

GUEST64(sleeps,
	"mrs x1, cntvct_el0\nmrs x2, cntfrq_el0\nadd x1, x1, x2, lsr #3\n"
	"msr cntv_cval_el0, x1\n"
	"mov x0, #1\nmsr cntv_ctl_el0, x0\nisb\n"
	"wfi\n" DONE);

TEST_LIMIT(a_timer_ends_a_wfi, 60)
{
	struct vcpu *vcpu = guest_with_lines(sleeps, sleeps_end);

	EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
	EXPECT_EQ(vcpu->run->s.regs.device_irq_level, KVM_ARM_DEV_EL1_VTIMER);
	/* The VMM makes an interrupt of it, which ends the WFI. */
	ASSERT_OK(set_line(vcpu->vm, line_of(0, KVM_ARM_IRQ_CPU_IRQ), 1));
	EXPECT_DONE(vcpu);
}

/* ICC_PMR_EL1, ICC_IAR1_EL1, ICC_SGI1R_EL1, ICC_DIR_EL1 */
GUEST64(no_interface,
	SET_VECTORS
	"mrs x0, S3_0_C4_C6_0\n"
	"mrs x0, S3_0_C12_C12_0\n"
	"msr S3_0_C12_C11_5, x0\n"
	"msr S3_0_C12_C11_1, x0\n"
	DONE);

TEST(there_is_no_cpu_interface)
{
	enum { UNKNOWN = 0x02000000 };
	struct vcpu *vcpu = GUEST_NEW(no_interface);

	vm_vectors(vcpu->vm);
	for (int i = 0; i < 4; i++) {
		EXPECT_REPORT(vcpu, UNKNOWN);
		ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	}
	EXPECT_DONE(vcpu);
}
