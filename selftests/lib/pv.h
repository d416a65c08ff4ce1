/* SPDX-License-Identifier: GPL-2.0 */
/*
 * KVM's paravirtual interface as a guest of guest.h uses it: Linux,
 * Documentation/virt/kvm/x86/{cpuid,msr,hypercalls}.rst.
 */
#ifndef SELFTESTS_PV_H
#define SELFTESTS_PV_H

#include "apic.h"

#define CPUID_KVM_FEATURES 0x40000001

/* Bits of EAX of that leaf */
enum {
	PV_CLOCK_OLD = 0,
	PV_CLOCK = 3,
	PV_STEAL_TIME = 5,
	PV_EOI = 6,
	PV_UNHALT = 7,
	PV_SEND_IPI = 11,
	PV_SCHED_YIELD = 13,
	PV_CLOCK_STABLE = 24,
};

enum {
	MSR_WALL_CLOCK_OLD = 0x11,
	MSR_SYSTEM_TIME_OLD = 0x12,
	MSR_WALL_CLOCK = 0x4b564d00,
	MSR_SYSTEM_TIME = 0x4b564d01,
	MSR_STEAL_TIME = 0x4b564d03,
	MSR_PV_EOI = 0x4b564d04,
};
#define PV_ENABLE 1UL

enum { HC_VAPIC_POLL = 1, HC_KICK = 5, HC_SEND_IPI = 10, HC_YIELD = 11 };
#define HC_ENOSYS (-1000L)

static inline bool pv_offered(int kvm, unsigned int bit)
{
	struct kvm_cpuid2 *cpuid = cpuid_supported(kvm);
	const struct kvm_cpuid_entry2 *features = cpuid_find(cpuid, CPUID_KVM_FEATURES, 0);
	const bool offered = features && features->eax >> bit & 1;

	free(cpuid);
	return offered;
}

/* For a device that does not offer the feature there is nothing to test. */
#define PV_NEEDS(kvm, bit)							\
	do {									\
		if (!pv_offered((kvm), (bit)))					\
			SKIP("the device does not offer " #bit);		\
	} while (0)

static inline long hypercall(long nr, long a, long b, long c, long d)
{
	long ret;

	__asm__ volatile("vmcall" : "=a"(ret) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
	return ret;
}

/* The page of one vCPU's system time */
struct pv_clock {
	uint32_t version;	/* odd while it is written */
	uint32_t pad0;
	uint64_t tsc;
	uint64_t time;		/* ns at that TSC */
	uint32_t mul;
	int8_t shift;
	uint8_t flags;
	uint8_t pad[2];
};
#define PV_CLOCK_FLAG_STABLE 1
#define PV_CLOCK_FLAG_PAUSED 2

static inline uint64_t pv_clock_ns(volatile struct pv_clock *clock)
{
	uint64_t delta, ns;
	uint32_t version;

	do {
		version = clock->version;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		delta = guest_rdtsc() - clock->tsc;
		delta = clock->shift < 0 ? delta >> -clock->shift : delta << clock->shift;
		ns = clock->time + (uint64_t)((unsigned __int128)delta * clock->mul >> 32);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	} while (version & 1 || version != clock->version);
	return ns;
}

#endif
