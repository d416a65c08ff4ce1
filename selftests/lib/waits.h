/* SPDX-License-Identifier: GPL-2.0 */
/* A guest that waits for an interrupt or an NMI of its VMM. */
#ifndef SELFTESTS_WAITS_H
#define SELFTESTS_WAITS_H

#include "x86.h"

#define VECTOR 0x41

/* Reports 1, waits, reports 3. The handler reports 2. */
GUEST64(waits, "mov $1, %eax\n" REPORT "sti\n hlt\n mov $3, %eax\n" REPORT "cli\n hlt\n"
	       "waits_handler:\n mov $2, %eax\n" REPORT "iretq\n");
extern const uint8_t waits_handler[];

static inline struct vcpu *waiting(void)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, waits);
	uint32_t handler = GUEST_ADDR(waits, waits_handler);

	vm_set_gate(vcpu->vm, MODE_LONG, VECTOR, handler);
	vm_set_gate(vcpu->vm, MODE_LONG, NMI_VECTOR, handler);
	return vcpu;
}

#endif
