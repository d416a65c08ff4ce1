// SPDX-License-Identifier: GPL-2.0
/* Port I/O: direction, size, port and data, both ways. */
#include <string.h>

#include "lib/x86.h"

GUEST64(outputs,
	"mov $0x87654321, %eax\n"
	"outb %al, $0x40\n"
	"outw %ax, $0x41\n"
	"outl %eax, $0x42\n"
	"mov $0x1234, %edx\n"
	"outb %al, %dx\n"
	"outw %ax, %dx\n"
	"mov $0xfffc, %edx\n"
	"outl %eax, %dx\n"
	"hlt\n");

TEST(out_of_each_size)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, outputs);

	EXPECT_OUT(vcpu, 0x40, 1, 0x21);
	EXPECT_OUT(vcpu, 0x41, 2, 0x4321);
	EXPECT_OUT(vcpu, 0x42, 4, 0x87654321);
	EXPECT_OUT(vcpu, 0x1234, 1, 0x21);
	EXPECT_OUT(vcpu, 0x1234, 2, 0x4321);
	EXPECT_OUT(vcpu, 0xfffc, 4, 0x87654321);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

GUEST64(inputs,
	"mov $-1, %rax\n"
	"inb $0x40, %al\n"
	"mov %rax, %rbx\n"
	"mov $-1, %rax\n"
	"inw $0x41, %ax\n"
	"mov %rax, %rcx\n"
	"mov $-1, %rax\n"
	"mov $0x4321, %edx\n"
	"inl %dx, %eax\n"
	"mov %rax, %rsi\n"
	"hlt\n");

/* IN writes as much of RAX as its size says; 32 bits clear the rest. */
TEST(in_of_each_size)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, inputs);
	const uint32_t answer = 0x89abcdef;
	struct kvm_regs regs;

	ASSERT_IN(vcpu, 0x40, 1);
	memcpy(io_data(vcpu), &answer, 1);
	ASSERT_IN(vcpu, 0x41, 2);
	memcpy(io_data(vcpu), &answer, 2);
	ASSERT_IN(vcpu, 0x4321, 4);
	memcpy(io_data(vcpu), &answer, 4);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	regs = vcpu_regs(vcpu);
	EXPECT_EQ(regs.rbx, 0xffffffffffffffef);
	EXPECT_EQ(regs.rcx, 0xffffffffffffcdef);
	EXPECT_EQ(regs.rsi, 0x89abcdef);
}

GUEST16(real, "mov $0xa5, %al\nmov $0x3f8, %dx\nout %al, (%dx)\nin (%dx), %al\n"
	      "out %al, (%dx)\nhlt\n");

TEST(in_real_mode)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_REAL, real);

	EXPECT_OUT(vcpu, 0x3f8, 1, 0xa5);
	ASSERT_IN(vcpu, 0x3f8, 1);
	*(uint8_t *)io_data(vcpu) = 0x5a;
	EXPECT_OUT(vcpu, 0x3f8, 1, 0x5a);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

/* Every port leaves the guest, also those at the ends of the bitmaps. */
GUEST64(ports, "1: outb %al, %dx\njmp 1b\n");

TEST(every_part_of_the_port_space)
{
	static const uint16_t probes[] = { 0, 1, 0x70, 0x80, 0xcf8, 0x7fff, 0x8000, 0xffff };
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, ports);

	for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
		struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rax = i,
					 .rdx = probes[i] };

		vcpu_set_regs(vcpu, &regs);
		EXPECT_OUT(vcpu, probes[i], 1, i);
		vcpu->run->immediate_exit = 1;
		EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
		vcpu->run->immediate_exit = 0;
	}
}
