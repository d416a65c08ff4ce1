// SPDX-License-Identifier: GPL-2.0
/*
 * INS and OUTS with and without REP. One exit may carry several elements, at
 * the choice of the KVM; what counts is their sequence.
 */
#include <string.h>

#include "lib/x86.h"

enum { PORT = 0x3f8 };

/* Checks one exit of a string instruction and gives how many bytes it has. */
static size_t string_exit(struct vcpu *vcpu, uint8_t direction, uint8_t size, size_t left)
{
	const struct kvm_run *run = vcpu->run;

	ASSERT_EXIT(vcpu, KVM_EXIT_IO);
	ASSERT_EQ(run->io.direction, direction);
	ASSERT_EQ(run->io.port, PORT);
	ASSERT_EQ(run->io.size, size);
	ASSERT_TRUE(run->io.count >= 1);

	const size_t bytes = (size_t)run->io.count * size;

	ASSERT_TRUE(bytes <= left);
	ASSERT_TRUE(run->io.data_offset + bytes <= vcpu->run_size);
	return bytes;
}

static void collect(struct vcpu *vcpu, uint8_t size, const void *want, size_t bytes)
{
	uint8_t got[256];

	ASSERT_TRUE(bytes <= sizeof(got));
	for (size_t done = 0; done < bytes;) {
		ASSERT_OK(vcpu_run(vcpu));
		size_t more = string_exit(vcpu, KVM_EXIT_IO_OUT, size, bytes - done);

		memcpy(got + done, io_data(vcpu), more);
		done += more;
	}
	EXPECT_MEM(got, want, bytes);
}

static void supply(struct vcpu *vcpu, uint8_t size, const uint8_t *data, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		ASSERT_OK(vcpu_run(vcpu));
		size_t more = string_exit(vcpu, KVM_EXIT_IO_IN, size, bytes - done);

		memcpy(io_data(vcpu), data + done, more);
		done += more;
	}
}

static const char text[] = "a string that goes out by one instruction";

GUEST64(rep_outs, "mov $0x3f8, %edx\nmov $0x10000, %esi\ncld\n"
		  "mov $40, %ecx\nrep outsb\nhlt\n"
		  "mov $0x10000, %esi\nmov $20, %ecx\nrep outsw\nhlt\n"
		  "mov $0x10000, %esi\nmov $10, %ecx\nrep outsl\nhlt\n");

TEST(rep_outs_of_each_size)
{
	enum { BYTES = 40 };
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, rep_outs);

	vm_write(vcpu->vm, GUEST_DATA, text, sizeof(text));
	for (uint8_t size = 1; size <= 4; size *= 2) {
		collect(vcpu, size, text, BYTES);
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		EXPECT_EQ(vcpu_regs(vcpu).rcx, 0);
		EXPECT_EQ(vcpu_regs(vcpu).rsi, GUEST_DATA + BYTES);
	}
}

GUEST64(rep_ins, "mov $0x3f8, %edx\nmov $0x10ff8, %edi\ncld\n"
		 "mov $32, %ecx\nrep insb\nhlt\n"
		 "mov $0x10ff8, %edi\nmov $16, %ecx\nrep insw\nhlt\n"
		 "mov $0x10ff8, %edi\nmov $8, %ecx\nrep insl\nhlt\n");

/* Into memory across a page boundary */
TEST(rep_ins_of_each_size)
{
	enum { AT = GUEST_DATA + 0xff8, BYTES = 32 };
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, rep_ins);
	uint8_t data[BYTES];

	for (uint8_t size = 1; size <= 4; size *= 2) {
		for (size_t i = 0; i < BYTES; i++)
			data[i] = i * size + 1;
		supply(vcpu, size, data, BYTES);
		ASSERT_RUN(vcpu, KVM_EXIT_HLT);
		EXPECT_MEM(vcpu->vm->ram + AT, data, BYTES);
		EXPECT_EQ(vcpu->vm->ram[AT + BYTES], 0);
		EXPECT_EQ(vcpu_regs(vcpu).rcx, 0);
		EXPECT_EQ(vcpu_regs(vcpu).rdi, AT + BYTES);
	}
}

GUEST64(many, "mov $0x3f8, %edx\nmov $0x10800, %edi\ncld\n"
	      "mov $3000, %ecx\nrep insb\nhlt\n");

/* A disk's sectors come this way. */
TEST(many_items_come_by_few_exits)
{
	enum { AT = GUEST_DATA + 0x800, BYTES = 3000, EXITS = 10 };
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, many);
	uint8_t data[BYTES];
	size_t done = 0;
	int exits = 0;

	for (size_t i = 0; i < BYTES; i++)
		data[i] = i * 7 + i / 256;
	for (; done < BYTES; exits++) {
		ASSERT_OK(vcpu_run(vcpu));
		size_t more = string_exit(vcpu, KVM_EXIT_IO_IN, 1, BYTES - done);

		memcpy(io_data(vcpu), data + done, more);
		done += more;
	}
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_MEM(vcpu->vm->ram + AT, data, BYTES);
	EXPECT_EQ(vcpu->vm->ram[AT + BYTES], 0);
	EXPECT_EQ(vcpu->vm->ram[AT - 1], 0);
	EXPECT_TRUE(exits <= EXITS);
}

/* A VMM that changes the count gets no more items into memory than that, and no more than it has given. */
TEST(the_vmm_changes_the_count)
{
	enum { AT = GUEST_DATA + 0x800, GIVEN = 64 };
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, many);
	struct kvm_regs regs;

	ASSERT_OK(vcpu_run(vcpu));
	memset(io_data(vcpu), 0x55, string_exit(vcpu, KVM_EXIT_IO_IN, 1, PAGE_SIZE));
	regs = vcpu_regs(vcpu);
	regs.rcx = GIVEN;
	vcpu_set_regs(vcpu, &regs);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_regs(vcpu).rdi, AT + GIVEN);
	EXPECT_EQ(vcpu->vm->ram[AT + GIVEN - 1], 0x55);
	EXPECT_EQ(vcpu->vm->ram[AT + GIVEN], 0);
}

GUEST64(down, "mov $0x3f8, %edx\nmov $0x10010, %edi\nstd\nmov $3, %ecx\nrep insw\ncld\nhlt\n");

TEST(downwards)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, down);
	const uint8_t data[] = { 1, 2, 3, 4, 5, 6 }, want[] = { 5, 6, 3, 4, 1, 2 };

	supply(vcpu, 2, data, sizeof(data));
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_MEM(vcpu->vm->ram + GUEST_DATA + 0xc, want, sizeof(want));
}

/* DI wraps at 64 KiB. */
GUEST16(wrap, "mov $0x3f8, %dx\nmov $0xfffc, %di\ncld\nmov $8, %cx\nrep insb\nhlt\n");

TEST(around_the_end_of_a_segment)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_REAL, wrap);
	const uint8_t data[] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	supply(vcpu, 1, data, sizeof(data));
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_MEM(vcpu->vm->ram + 0xfffc, data, 4);
	EXPECT_MEM(vcpu->vm->ram, data + 4, 4);
}

GUEST64(single, "mov $0x3f8, %edx\nmov $0x10000, %esi\nmov $0x10100, %edi\ncld\n"
		"outsb\ninsw\nhlt\n");

TEST(without_rep)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, single);
	const uint8_t answer[] = { 0x12, 0x34 };

	vm_write(vcpu->vm, GUEST_DATA, text, sizeof(text));
	collect(vcpu, 1, text, 1);
	supply(vcpu, 2, answer, 2);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_MEM(vcpu->vm->ram + GUEST_DATA + 0x100, answer, 2);
	EXPECT_EQ(vcpu_regs(vcpu).rsi, GUEST_DATA + 1);
	EXPECT_EQ(vcpu_regs(vcpu).rdi, GUEST_DATA + 0x102);
}

GUEST64(none, "mov $0x3f8, %edx\nmov $0x10000, %esi\nxor %ecx, %ecx\nrep outsb\nhlt\n");

TEST(a_count_of_0_does_nothing)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, none);

	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_regs(vcpu).rsi, GUEST_DATA);
}

GUEST64(downwards, "mov $0x3f8, %edx\nmov $0x10003, %esi\nmov $4, %ecx\n"
		   "std\nrep outsb\ncld\nhlt\n");

TEST(downwards_with_the_direction_flag)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, downwards);

	vm_write(vcpu->vm, GUEST_DATA, "dcba", 4);
	collect(vcpu, 1, "abcd", 4);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_regs(vcpu).rsi, GUEST_DATA - 1);
}

/* 16-bit addresses and a segment override */
GUEST16(segment, "mov $0x3f8, %dx\nmov $0x1000, %ax\nmov %ax, %fs\nmov $2, %si\n"
		 "mov $3, %cx\ncld\nrep outsb %fs:(%si), (%dx)\nhlt\n");

TEST(real_mode_with_a_segment)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_REAL, segment);

	vm_write(vcpu->vm, GUEST_DATA, "xxabc", 5);
	collect(vcpu, 1, "abc", 3);
	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_regs(vcpu).rsi, 5);
}
