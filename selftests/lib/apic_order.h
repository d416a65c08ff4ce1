/* SPDX-License-Identifier: GPL-2.0 */
/* A guest whose local APIC gives it interrupts of four vectors, and that notes in which order they come. */
#ifndef SELFTESTS_APIC_ORDER_H
#define SELFTESTS_APIC_ORDER_H

#include "apic.h"

/* Of the class of VEC_B, and before it */
enum { VEC_B_HIGH = VEC_B + 1, ORDER = 16 };

/* How many have come, and the first of them */
static volatile int count;
static volatile uint8_t order[ORDER];
/* The processor priority in the last handler */
static volatile uint32_t ppr_seen;
static volatile bool eoi_by_handler = true;
/* What the next handler does */
static void (*volatile nested)(void);

static inline void arrived(uint8_t vector)
{
	order[count++ % ORDER] = vector;
	ppr_seen = apic_read(APIC_PPR);
	GUEST_TRUE(apic_bit(APIC_ISR, vector));
	GUEST_TRUE(!apic_bit(APIC_IRR, vector));
	if (nested) {
		void (*fn)(void) = nested;

		nested = NULL;
		fn();
	}
	if (eoi_by_handler)
		apic_eoi();
}

HANDLER(on_a) { arrived(VEC_A); }
HANDLER(on_b) { arrived(VEC_B); }
HANDLER(on_b_high) { arrived(VEC_B_HIGH); }
HANDLER(on_c) { arrived(VEC_C); }

static inline struct vcpu *order_guest(struct vm *vm, void (*fn)(void), bool by_msr)
{
	struct vcpu *vcpu = guest_cpu(vm, 0, fn);

	x2apic = by_msr;
	guest_gate(vm, VEC_A, on_a);
	guest_gate(vm, VEC_B, on_b);
	guest_gate(vm, VEC_B_HIGH, on_b_high);
	guest_gate(vm, VEC_C, on_c);
	return vcpu;
}

static inline void send(uint8_t vector)
{
	apic_icr(0, ICR_SELF | vector);
}

/* Those that have come so far */
static inline void expect_order(const char *vectors, int n)
{
	GUEST_EQ(count, n);
	for (int i = 0; i < n; i++)
		GUEST_EQ(order[i], (uint8_t)vectors[i]);
}

#endif
