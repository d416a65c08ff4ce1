// SPDX-License-Identifier: GPL-2.0
/* machine: arch=arm64 */
/* What a program at EL0 has of the processor that its guest has not: nothing. */
#include "lib/arm64.h"

enum { FROM_EL0 = 0x400 };
#define UNDEFINED (1UL << 25)

/* At EL0 reads the register and, if that goes well, another that nobody can read there. */
#define READS(register)								\
	SET_VECTORS								\
	"mov x9, #0x3c0\nmsr spsr_el1, x9\n"					\
	"adr x9, 1f\nmsr elr_el1, x9\nisb\neret\n"				\
	"1: mrs x0, " register "\n"						\
	"mrs x0, sctlr_el1\n"

GUEST64(reads_cycles, READS("pmccntr_el0"));
GUEST64(reads_events, READS("pmevcntr0_el0"));
GUEST64(reads_selected, READS("pmxevcntr_el0"));
GUEST64(reads_rights, READS("pmuserenr_el0"));

/* Its exception: where, beyond the start of the code, and the syndrome */
GUEST64(from_el0,
	"mrs x0, elr_el1\n" REPORT
	"mrs x0, esr_el1\n" REPORT
	DONE);

static void expect_undefined(const uint8_t *code, const uint8_t *end)
{
	enum { INSTRUCTION = 4, BEHIND_READ = 2 * INSTRUCTION };
	struct vcpu *vcpu;

	if (kvm_is_c())
		SKIP("it grants EL0 all rights, and what a hypervisor traps the emulator then lets pass");
	vcpu = guest_new(code, end);
	VM_LOAD_AT(vcpu->vm, GUEST_VECTORS + FROM_EL0, from_el0);
	EXPECT_REPORT(vcpu, GUEST_CODE + (end - code) - BEHIND_READ);
	EXPECT_REPORT(vcpu, UNDEFINED);
	EXPECT_DONE(vcpu);
}

/* A guest without performance monitors has no right to grant: reads are undefined, not a trap of the guest. */
TEST(cycles) { expect_undefined(reads_cycles, reads_cycles_end); }
TEST(events) { expect_undefined(reads_events, reads_events_end); }
TEST(selected_events) { expect_undefined(reads_selected, reads_selected_end); }
TEST(rights) { expect_undefined(reads_rights, reads_rights_end); }
