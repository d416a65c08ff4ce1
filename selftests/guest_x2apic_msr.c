// SPDX-License-Identifier: GPL-2.0
/* machine: again=enable_apicv=1 */
/* The MSRs of x2APIC mode: which are there, and what in them is reserved. SDM volume 3, 11.12.1. */
#include "lib/apic.h"

#define NOBODY 0xffffffffU

enum { MSR_COUNT = 0x100 };

static void run(void (*fn)(void))
{
	struct vcpu *vcpu = guest_cpu(guest_vm(CHIPS), 0, fn);

	x2apic = true;
	EXPECT_DONE(vcpu);
}

static uint32_t msr(uint32_t reg)
{
	return MSR_X2APIC + reg / 16;
}

static void no_msrs_in_xapic_mode(void)
{
	for (uint32_t index = MSR_X2APIC; index < MSR_X2APIC + MSR_COUNT; index++)
		GUEST_TRUE(guest_rdmsr_faults(index));
	GUEST_TRUE(guest_wrmsr_faults(msr(APIC_TPR), 0));
	GUEST_TRUE(guest_wrmsr_faults(msr(APIC_EOI), 0));
	GUEST_TRUE(guest_wrmsr_faults(msr(APIC_ICR), 0));
}

TEST(not_in_xapic_mode) { run(no_msrs_in_xapic_mode); }

static bool readable(uint32_t reg)
{
	if (reg >= APIC_ISR && reg < APIC_ESR)
		return true;
	switch (reg) {
	case APIC_ID:
	case APIC_VERSION:
	case APIC_TPR:
	case APIC_PPR:
	case APIC_LDR:
	case APIC_SVR:
	case APIC_ESR:
	case APIC_ICR:
	case APIC_LVT_TIMER:
	case APIC_LVT_THERMAL:
	case APIC_LVT_PERF:
	case APIC_LVT_LINT0:
	case APIC_LVT_LINT1:
	case APIC_LVT_ERROR:
	case APIC_TIMER_INITIAL:
	case APIC_TIMER_CURRENT:
	case APIC_TIMER_DIVIDE:
		return true;
	}
	return false;
}

/* The register of corrected machine checks depends on what the VMM has set up. */
enum { APIC_LVT_CMCI = 0x2f0 };

static void reads(void)
{
	apic_enable();
	for (uint32_t reg = 0; reg < 16 * MSR_COUNT; reg += 16) {
		if (reg != APIC_LVT_CMCI)
			guest_check_eq(__FILE__, (int)reg, "RDMSR faults (line is the register)",
				       guest_rdmsr_faults(msr(reg)), !readable(reg));
	}
}

TEST(which_can_be_read) { run(reads); }

static void read_only(void)
{
	static const uint32_t regs[] = {
		APIC_ID, APIC_VERSION, APIC_PPR, APIC_LDR, APIC_DFR, APIC_ISR, APIC_TMR, APIC_IRR,
		APIC_ICR2, APIC_TIMER_CURRENT,
	};

	apic_enable();
	for (unsigned int i = 0; i < ARRAY_SIZE(regs); i++)
		guest_check_eq(__FILE__, (int)regs[i], "WRMSR faults (line is the register)",
			       guest_wrmsr_faults(msr(regs[i]), 0), true);
}

TEST(which_cannot_be_written) { run(read_only); }

static void reserved_bits(void)
{
	static const uint32_t regs[] = {
		APIC_TPR, APIC_EOI, APIC_SVR, APIC_ESR, APIC_LVT_TIMER, APIC_LVT_LINT0,
		APIC_LVT_ERROR, APIC_TIMER_INITIAL, APIC_TIMER_DIVIDE, APIC_SELF_IPI,
	};

	apic_enable();
	/* The upper half is reserved everywhere but in ICR. */
	for (unsigned int i = 0; i < ARRAY_SIZE(regs); i++)
		guest_check_eq(__FILE__, (int)regs[i], "WRMSR faults (line is the register)",
			       guest_wrmsr_faults(msr(regs[i]), 1UL << 32), true);
	GUEST_TRUE(guest_wrmsr_faults(msr(APIC_ESR), 1));
	GUEST_TRUE(!guest_wrmsr_faults(msr(APIC_ESR), 0));
	GUEST_TRUE(guest_wrmsr_faults(msr(APIC_SELF_IPI), 0x141));
	GUEST_TRUE(guest_wrmsr_faults(msr(APIC_ICR), 1UL << 20));
	GUEST_TRUE(guest_wrmsr_faults(msr(APIC_ICR), 1UL << 13));
	GUEST_TRUE(guest_wrmsr_faults(msr(APIC_ICR), 1UL << 17));
}

TEST(reserved_bits) { run(reserved_bits); }

static void fields(void)
{
	apic_enable();
	GUEST_EQ(guest_rdmsr(msr(APIC_ID)), 0);
	apic_write(APIC_TPR, 0x20);
	GUEST_EQ(guest_rdmsr(msr(APIC_TPR)), 0x20);
	apic_write(APIC_TPR, 0);
	guest_wrmsr(msr(APIC_ICR), 5UL << 32 | VEC_A);
	GUEST_EQ(guest_rdmsr(msr(APIC_ICR)), 5UL << 32 | VEC_A);
	apic_write(APIC_LVT_ERROR, LVT_MASKED | VEC_B);
	GUEST_EQ(guest_rdmsr(msr(APIC_LVT_ERROR)), LVT_MASKED | VEC_B);
	apic_write(APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
	GUEST_EQ(guest_rdmsr(msr(APIC_TIMER_DIVIDE)), TIMER_DIVIDE_BY_1);
}

TEST(read_as_written) { run(fields); }

static void no_mmio(void)
{
	apic_enable();
	GUEST_EQ(mmio_read(APIC_BASE + APIC_ID), NOBODY);
}

TEST(no_page_in_this_mode)
{
	x2apic = true;
	expect_no_apic_page(no_mmio);
}
