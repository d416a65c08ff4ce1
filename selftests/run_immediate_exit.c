// SPDX-License-Identifier: GPL-2.0
/* kvm_run.immediate_exit: what is pending is finished, then KVM_RUN gives EINTR. */
#include "lib/x86.h"

enum { MMIO = 0x40000000 };

GUEST64(code, "mov $7, %ebx\n" REPORT "mov $0x40000000, %esi\nmov (%rsi), %rcx\n"
	      "inb $0x60, %al\nadd $1, %ebx\nhlt\n");

static void run_immediate(struct vcpu *vcpu)
{
	vcpu->run->immediate_exit = 1;
	EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
	vcpu->run->immediate_exit = 0;
}

TEST(the_guest_does_not_start)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, code);

	run_immediate(vcpu);
	EXPECT_EQ(vcpu_regs(vcpu).rip, GUEST_CODE);
	EXPECT_EQ(vcpu_regs(vcpu).rbx, 0);
	EXPECT_REPORT(vcpu, 0);
}

/* VMMs complete an exit before they look at it. */
TEST(the_exit_reason_stays)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, code);

	ASSERT_REPORT(vcpu, 0);
	run_immediate(vcpu);
	EXPECT_EXIT(vcpu, KVM_EXIT_IO);
	EXPECT_EQ(vcpu->run->io.port, REPORT_PORT);
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	run_immediate(vcpu);
	EXPECT_EXIT(vcpu, KVM_EXIT_MMIO);
}

TEST(pending_io_is_finished)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, code);
	const uint64_t answer = 0x1122334455667788;
	uint64_t rip;

	ASSERT_REPORT(vcpu, 0);
	run_immediate(vcpu);

	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	rip = vcpu_regs(vcpu).rip;
	*(uint64_t *)vcpu->run->mmio.data = answer;
	run_immediate(vcpu);
	EXPECT_EQ(vcpu_regs(vcpu).rcx, answer);
	EXPECT_EQ(vcpu_regs(vcpu).rip, rip + 3);

	ASSERT_IN(vcpu, 0x60, 1);
	*(uint8_t *)io_data(vcpu) = 0x99;
	run_immediate(vcpu);
	EXPECT_EQ(vcpu_regs(vcpu).rax & 0xff, 0x99);
	EXPECT_EQ(vcpu_regs(vcpu).rbx, 7);

	ASSERT_RUN(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vcpu_regs(vcpu).rbx, 8);
}
