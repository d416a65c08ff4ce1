/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The GICv3 of an arm64 guest: the VMM's side by device attributes, the guest's side as assembly.
 *
 * The frames are at GICD_BASE and GICR_BASE. Guest code that takes interrupts has vectors, which VM_LOAD_AT puts at
 * GUEST_VECTORS, and sets up its CPU interface by GIC_ON.
 */
#ifndef SELFTESTS_VGIC_H
#define SELFTESTS_VGIC_H

#include "arm64.h"

#define GICD_BASE 0x08000000UL
#define GICR_BASE 0x080a0000UL
#define GICR_SIZE 0x20000UL
#define GICR_SGI 0x10000UL

/* Creates the device, gives the frames their addresses; vgic_init() after the vCPUs are there */
int vgic_create(struct vm *vm);
void vgic_init(int vgic);
/* An attribute as it is: 0, or -1 and errno */
int vgic_attr(int vgic, unsigned long ioctl, uint32_t group, uint64_t attr, void *value);
/* Words of the distributor, and of the redistributor of a vCPU whose id is below 16 */
uint32_t vgic_dist(int vgic, uint32_t offset);
void vgic_set_dist(int vgic, uint32_t offset, uint32_t value);
uint32_t vgic_redist(int vgic, unsigned int vcpu, uint32_t offset);
void vgic_set_redist(int vgic, unsigned int vcpu, uint32_t offset, uint32_t value);
/* KVM_IRQ_LINE of an SPI, and of a vCPU's PPI */
void spi_line(struct vm *vm, unsigned int intid, int level);
void ppi_line(struct vm *vm, unsigned int vcpu, unsigned int intid, int level);

/* A VM with a GIC and that many vCPUs that start at the code with interrupts masked; vcpus[] has room for them */
int vgic_guest(const uint8_t *code, const uint8_t *end, const uint8_t *vectors,
	       const uint8_t *vectors_end, struct vcpu **vcpus, unsigned int count);
#define VGIC_GUEST(code, vectors, vcpus, count) \
	vgic_guest(code, code##_end, vectors, vectors##_end, (vcpus), (count))
void vgic_guest_free(int vgic, struct vcpu **vcpus, unsigned int count);

/*
 * Sets VBAR_EL1, enables group 1 at the distributor and the CPU interface, lets all priorities through, enables
 * all interrupts of this vCPU's redistributor and the first 32 SPIs, which become levels. Uses X0 to X3.
 */
#define GIC_ON									\
	"mov x0, #0x8000\n"							\
	"msr vbar_el1, x0\n"							\
	"mov x1, #0x08000000\n"							\
	"mov w0, #2\n"								\
	"str w0, [x1]\n"							\
	"str wzr, [x1, #0xc08]\n"						\
	"str wzr, [x1, #0xc0c]\n"						\
	"mov w0, #-1\n"								\
	"str w0, [x1, #0x104]\n"						\
	"mrs x2, mpidr_el1\n"							\
	"and x2, x2, #0xf\n"							\
	"add x1, x1, #0xa0000\n"						\
	"add x1, x1, #0x10000\n"						\
	"add x1, x1, x2, lsl #17\n"						\
	"str w0, [x1, #0x100]\n"						\
	"mov x0, #0xff\n"							\
	"msr S3_0_C4_C6_0, x0\n"						\
	"mov x0, #1\n"								\
	"msr S3_0_C12_C12_7, x0\n"						\
	"isb\n"

#define IRQS_ON "msr daifclr, #2\nisb\n"
#define IRQS_OFF "msr daifset, #2\n"
/* ICC_IAR1_EL1 to X0; X0 to ICC_EOIR1_EL1 */
#define ACKNOWLEDGE "mrs x0, S3_0_C12_C12_0\ndsb sy\n"
#define END_OF_INTERRUPT "msr S3_0_C12_C12_1, x0\nisb\n"

/* Vectors whose IRQ of the current level runs this; what it does to registers stays. Defines name[] and name_end[] */
#define IRQ_VECTORS(name, irq)							\
	__asm__(".pushsection .rodata\n"					\
		".balign 128\n"							\
		#name ":\n"							\
		".rept 5\nb .\n.balign 128\n.endr\n"				\
		irq								\
		"eret\n"							\
		".balign 128\n"							\
		#name "_end:\n"							\
		".popsection\n");						\
	GUEST_LABELS name[], name##_end[]

#endif
