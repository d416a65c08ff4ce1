// SPDX-License-Identifier: GPL-2.0
/* KVM_RUN: argument, immediate_exit, what it fills in besides the exit. */
#include "lib/x86.h"

GUEST64(halts, "hlt\n");
GUEST64(outputs, "mov $1, %eax\n" REPORT "mov $2, %eax\n" REPORT "hlt\n");
GUEST64(inputs, "in $0x20, %al\n movzbl %al, %eax\n" REPORT "hlt\n");

TEST(takes_no_argument)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, halts);

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 1), EINVAL);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, -1L), EINVAL);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

TEST(immediate_exit_runs_nothing)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, halts);

	vcpu->run->immediate_exit = 1;
	EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
	EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
	EXPECT_EQ(vcpu_regs(vcpu).rip, GUEST_CODE);
	vcpu->run->immediate_exit = 0;
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

TEST(immediate_exit_counts_when_any_bit_is_set)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, halts);

	vcpu->run->immediate_exit = 0x80;
	EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
}

/* VMMs save a vCPU so: the I/O that KVM_RUN left with is completed, nothing more runs. */
TEST(immediate_exit_completes_an_out)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, outputs);
	const uint64_t before = GUEST_CODE + 5, after = GUEST_CODE + 7;
	uint64_t rip;

	ASSERT_REPORT(vcpu, 1);
	rip = vcpu_regs(vcpu).rip;
	EXPECT_TRUE(rip == before || rip == after);
	vcpu->run->immediate_exit = 1;
	EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
	EXPECT_EQ(vcpu_regs(vcpu).rip, after);
	vcpu->run->immediate_exit = 0;
	EXPECT_REPORT(vcpu, 2);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

TEST(immediate_exit_completes_an_in)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, inputs);

	ASSERT_IN(vcpu, 0x20, 1);
	*(uint8_t *)io_data(vcpu) = 0x5a;
	vcpu->run->immediate_exit = 1;
	EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
	EXPECT_EQ(vcpu_regs(vcpu).rax & 0xff, 0x5a);
	vcpu->run->immediate_exit = 0;
	*(uint8_t *)io_data(vcpu) = 0xff;
	EXPECT_REPORT(vcpu, 0x5a);
}

TEST(tells_interrupt_flag_tpr_and_apic_base)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, halts);
	struct kvm_regs regs = vcpu_regs(vcpu);

	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu->run->if_flag, 0);
	EXPECT_EQ(vcpu->run->ready_for_interrupt_injection, 0);
	EXPECT_EQ(vcpu->run->cr8, 0);
	EXPECT_EQ(vcpu->run->apic_base, 0xfee00900);
	regs.rip = GUEST_CODE;
	regs.rflags |= RFLAGS_IF;
	vcpu_set_regs(vcpu, &regs);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu->run->if_flag, 1);
	EXPECT_EQ(vcpu->run->ready_for_interrupt_injection, 1);
}

GUEST64(raises_tpr, "mov $9, %eax\n mov %rax, %cr8\n hlt\n mov %cr8, %rax\n" REPORT "hlt\n");

/* Without an in-kernel APIC the TPR is the VMM's: it comes out and goes in through kvm_run. */
TEST(tpr_goes_both_ways)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, raises_tpr);

	ASSERT_OK(vcpu_run(vcpu));
	if (vcpu->run->exit_reason == KVM_EXIT_SET_TPR)
		ASSERT_OK(vcpu_run(vcpu));
	ASSERT_EXIT(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu->run->cr8, 9);
	EXPECT_EQ(vcpu_sregs(vcpu).cr8, 9);
	vcpu->run->cr8 = 4;
	EXPECT_REPORT(vcpu, 4);
}

TEST(bad_tpr_from_the_vmm_is_refused)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, halts);

	vcpu->run->cr8 = 16;
	EXPECT_ERRNO(vcpu_run(vcpu), EINVAL);
	vcpu->run->cr8 = 0;
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

/* The VMM may scribble over the whole page between two runs. */
TEST(any_contents_of_the_page_are_survived)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, outputs);
	uint8_t *run = (uint8_t *)vcpu->run;

	ASSERT_REPORT(vcpu, 1);
	for (size_t i = 0; i < sizeof(*vcpu->run); i++)
		run[i] = 0xff;
	vcpu->run->immediate_exit = 0;
	vcpu->run->request_interrupt_window = 0;
	vcpu->run->cr8 = 0;
	vcpu->run->kvm_valid_regs = 0;
	vcpu->run->kvm_dirty_regs = 0;
	EXPECT_REPORT(vcpu, 2);
	EXPECT_RUN(vcpu, KVM_EXIT_HLT);
}

/* Where the answer is looked for is the kernel's to know, not what the page says by then. */
TEST(in_is_answered_from_its_place)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, inputs);

	ASSERT_IN(vcpu, 0x20, 1);
	*(uint8_t *)io_data(vcpu) = 0x5a;
	vcpu->run->io.data_offset = ~0UL;
	vcpu->run->io.count = ~0U;
	vcpu->run->io.size = 0xff;
	vcpu->run->exit_reason = KVM_EXIT_HLT;
	EXPECT_REPORT(vcpu, 0x5a);
}

GUEST64(loads, "mov $0x40000000, %ebx\n mov (%rbx), %eax\n" REPORT "hlt\n");

TEST(mmio_is_answered_by_the_length_that_was_asked)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, loads);

	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(vcpu->run->mmio.phys_addr, 0x40000000);
	EXPECT_EQ(vcpu->run->mmio.len, 4);
	EXPECT_EQ(vcpu->run->mmio.is_write, 0);
	*(uint32_t *)vcpu->run->mmio.data = 0x12345678;
	vcpu->run->mmio.len = ~0U;
	vcpu->run->mmio.is_write = 1;
	vcpu->run->mmio.phys_addr = 0;
	EXPECT_REPORT(vcpu, 0x12345678);
}

TEST(without_memory_it_ends_in_an_exit)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);

	vcpu_start(vcpu, MODE_REAL, GUEST_CODE);
	ASSERT_OK(vcpu_run(vcpu));
	EXPECT_TRUE(vcpu->run->exit_reason == KVM_EXIT_INTERNAL_ERROR ||
		    vcpu->run->exit_reason == KVM_EXIT_MMIO ||
		    vcpu->run->exit_reason == KVM_EXIT_SHUTDOWN);
}
