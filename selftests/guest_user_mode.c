// SPDX-License-Identifier: GPL-2.0
/* Guest code in ring 3: what it may and may not do without help of its kernel. */
#include "lib/traps.h"

#define TSS_IO_MAP 102	/* offset of the I/O map base, SDM volume 3, 8.7 */

/* Leaves for ring 3 with RFLAGS as pushed, at the label user. */
#define TO_USER(rflags, user)						\
	"push $0x1b\npush $0x18000\npush $" rflags "\npush $0x23\n"	\
	"lea " user "(%rip), %rax\npush %rax\niretq\n"

GUEST64(forbidden, TO_USER("0x02", "forbidden_hlt")
	"forbidden_hlt: hlt\n"
	"forbidden_out: outb %al, $0x80\n"
	"forbidden_cr: mov %cr0, %rax\n"
	"forbidden_msr: rdmsr\n"
	"forbidden_wbinvd: wbinvd\n");
LABEL(forbidden_hlt);
LABEL(forbidden_out);
LABEL(forbidden_cr);
LABEL(forbidden_msr);
LABEL(forbidden_wbinvd);

TEST(privileged_instructions_fault)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(forbidden);
	const uint16_t behind_the_limit = 0x68;

	/* Without an I/O bitmap in the TSS */
	vm_write(vcpu->vm, GUEST_TSS + TSS_IO_MAP, &behind_the_limit, sizeof(behind_the_limit));
	ASSERT_TRAP(vcpu, GP_VECTOR, 0, GUEST_ADDR(forbidden, forbidden_hlt));
	EXPECT_EQ(trap_frame(vcpu)->cs, SEL_USER_CODE);
	trap_skip(vcpu, 1);
	ASSERT_TRAP(vcpu, GP_VECTOR, 0, GUEST_ADDR(forbidden, forbidden_out));
	trap_skip(vcpu, 2);
	ASSERT_TRAP(vcpu, GP_VECTOR, 0, GUEST_ADDR(forbidden, forbidden_cr));
	trap_skip(vcpu, 3);
	ASSERT_TRAP(vcpu, GP_VECTOR, 0, GUEST_ADDR(forbidden, forbidden_msr));
	trap_skip(vcpu, 2);
	EXPECT_TRAP(vcpu, GP_VECTOR, 0, GUEST_ADDR(forbidden, forbidden_wbinvd));
}

GUEST64(allowed, TO_USER("0x3002", "allowed_user")
	"allowed_user: mov $5, %eax\n" REPORT
	"xor %eax, %eax\ncpuid\nmov $6, %eax\n" REPORT
	"mov $0x100000, %ebx\nmov %eax, (%rbx)\n");

/* With IOPL 3 ring 3 does port I/O; CPUID and MMIO need no privilege. */
TEST(io_cpuid_and_mmio_work)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(allowed);

	EXPECT_REPORT(vcpu, 5);
	EXPECT_REPORT(vcpu, 6);
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(vcpu->run->mmio.phys_addr, 0x100000);
	EXPECT_EQ(vcpu_sregs(vcpu).cs.dpl, 3);
}

/* MOV SS, with the trap flag set, right before INT1 (opcode 0xf1): one debug exception */
GUEST64(shadow, "mov $0x1b, %ecx\n" TO_USER("0x102", "shadow_user")
	"shadow_user: mov %ecx, %ss\n.byte 0xf1\nshadow_next: nop\n");
LABEL(shadow_next);

TEST(int1_behind_mov_ss_while_stepping)
{
	struct vcpu *vcpu = GUEST_NEW_TRAPS(shadow);

	ASSERT_TRAP(vcpu, DB_VECTOR, 0, GUEST_ADDR(shadow, shadow_next));
	EXPECT_EQ(trap_frame(vcpu)->cs, SEL_USER_CODE);
	EXPECT_EQ(trap_frame(vcpu)->ss, SEL_USER_DATA);
}
