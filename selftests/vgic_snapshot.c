// SPDX-License-Identifier: GPL-2.0
/* A guest that is saved while it handles an interrupt, and goes on in another VM. */
/* machine: arch=arm64 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/vgic.h"

enum { SPI = 40, EDGE = 41, TIMER = 27, MAIN = 0xaaa };

/* Reports an interrupt while it is active; turns the timer off. */
IRQ_VECTORS(report_irq, ACKNOWLEDGE REPORT "msr cntv_ctl_el0, xzr\nisb\n" END_OF_INTERRUPT);

GUEST64(take_interrupts,
	GIC_ON
	/* SPI 41 is an edge. */
	"mov x1, #0x08000000\n"
	"mov w0, #0x80000\n"
	"str w0, [x1, #0xc08]\n"
	IRQS_ON
	"1: mov x0, #0xaaa\n" REPORT
	"b 1b\n");

/* A timer that fires a tenth of a second later */
GUEST64(wait_for_timer,
	GIC_ON
	"mrs x1, cntfrq_el0\n"
	"mov x2, #10\n"
	"udiv x1, x1, x2\n"
	"msr cntv_tval_el0, x1\n"
	"mov x1, #1\n"
	"msr cntv_ctl_el0, x1\n"
	"isb\n"
	"mov x0, #0xaaa\n" REPORT
	IRQS_ON
	"1: wfi\n"
	"b 1b\n");

static void copy_attr(int from, int to, uint32_t group, uint64_t attr)
{
	uint64_t value = 0;

	ASSERT_OK(vgic_attr(from, KVM_GET_DEVICE_ATTR, group, attr, &value));
	ASSERT_OK(vgic_attr(to, KVM_SET_DEVICE_ATTR, group, attr, &value));
}

/* In the order of QEMU */
static void copy_gic(int from, int to)
{
	static const uint16_t sysregs[] = { 0xc665, 0xc664, 0xc666, 0xc667, 0xc230, 0xc643, 0xc663,
					    0xc644, 0xc648 };
	static const uint32_t redist[] = { 0x10080, 0x10100, 0x10c04, 0x10200, 0x10300 };
	static const struct { uint32_t first, words; } dist[] = {
		{ 0x84, 7 }, { 0x104, 7 }, { 0xc08, 14 }, { 0x204, 7 }, { 0x304, 7 }, { 0x420, 56 },
		{ 0x6100, 448 },
	};
	const uint32_t DIST = KVM_DEV_ARM_VGIC_GRP_DIST_REGS;
	const uint32_t REDIST = KVM_DEV_ARM_VGIC_GRP_REDIST_REGS;

	copy_attr(from, to, DIST, 8);
	copy_attr(from, to, DIST, 0);
	for (unsigned int i = 0; i < sizeof(redist) / sizeof(redist[0]); i++)
		copy_attr(from, to, REDIST, redist[i]);
	for (uint32_t offset = 0x10400; offset < 0x10420; offset += 4)
		copy_attr(from, to, REDIST, offset);
	for (unsigned int i = 0; i < sizeof(dist) / sizeof(dist[0]); i++)
		for (uint32_t word = 0; word < dist[i].words; word++)
			copy_attr(from, to, DIST, dist[i].first + 4 * word);
	for (uint32_t intid = 0; intid < 256; intid += 32)
		copy_attr(from, to, KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, intid);
	for (unsigned int i = 0; i < sizeof(sysregs) / sizeof(sysregs[0]); i++)
		copy_attr(from, to, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, sysregs[i]);
}

static void copy_registers(struct vcpu *from, struct vcpu *to)
{
	struct kvm_reg_list count = { .n = 0 }, *list;
	uint8_t value[256];

	EXPECT_ERRNO(ioctl(from->fd, KVM_GET_REG_LIST, &count), E2BIG);
	list = calloc(1, sizeof(*list) + count.n * sizeof(list->reg[0]));
	list->n = count.n;
	ASSERT_OK(ioctl(from->fd, KVM_GET_REG_LIST, list));
	for (uint64_t i = 0; i < list->n; i++) {
		ASSERT_OK(reg_get(from, list->reg[i], value));
		ASSERT_OK(reg_set(to, list->reg[i], value));
	}
	free(list);
}

/* The same guest in another VM; the old one is gone afterwards. */
static int move_on(int vgic, struct vcpu **vcpu)
{
	struct vm *vm = vm_new(GUEST_PAGES);
	int new_vgic = vgic_create(vm);
	struct vcpu *new_vcpu = vcpu_new(vm, 0);

	/* The store that was reported is done. */
	(*vcpu)->run->immediate_exit = 1;
	EXPECT_ERRNO(vcpu_run(*vcpu), EINTR);
	vgic_init(new_vgic);
	memcpy(vm->ram, (*vcpu)->vm->ram, vm->ram_size);
	copy_registers(*vcpu, new_vcpu);
	copy_gic(vgic, new_vgic);
	vgic_guest_free(vgic, vcpu, 1);
	*vcpu = new_vcpu;
	return new_vgic;
}

TEST_LIMIT(active_and_pending_interrupts_go_along, 60)
{
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(take_interrupts, report_irq, &vcpu, 1);

	ASSERT_REPORT(vcpu, MAIN);
	spi_line(vcpu->vm, SPI, 1);
	ASSERT_REPORT(vcpu, SPI);
	/* One is active with its line high; another has had an edge. */
	spi_line(vcpu->vm, EDGE, 1);
	spi_line(vcpu->vm, EDGE, 0);
	vgic = move_on(vgic, &vcpu);
	EXPECT_EQ(vgic_dist(vgic, 0x304), 1 << (SPI - 32));
	EXPECT_EQ(vgic_dist(vgic, 0x204), 1 << (EDGE - 32));
	spi_line(vcpu->vm, SPI, 0);
	ASSERT_REPORT(vcpu, EDGE);
	vgic = move_on(vgic, &vcpu);
	ASSERT_REPORT(vcpu, MAIN);
	spi_line(vcpu->vm, SPI, 1);
	ASSERT_REPORT(vcpu, SPI);
	/* The line stays high in the next VM, too. */
	vgic = move_on(vgic, &vcpu);
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	if (*(uint64_t *)vcpu->run->mmio.data == MAIN)
		ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(*(uint64_t *)vcpu->run->mmio.data, SPI);
	vgic_guest_free(vgic, &vcpu, 1);
}

TEST_LIMIT(a_timer_goes_along, 60)
{
	struct vcpu *vcpu;
	int vgic = VGIC_GUEST(wait_for_timer, report_irq, &vcpu, 1);

	ASSERT_REPORT(vcpu, MAIN);
	vgic = move_on(vgic, &vcpu);
	ASSERT_REPORT(vcpu, TIMER);
	vgic = move_on(vgic, &vcpu);
	spi_line(vcpu->vm, SPI, 1);
	ASSERT_REPORT(vcpu, SPI);
	vgic_guest_free(vgic, &vcpu, 1);
}
