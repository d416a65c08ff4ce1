// SPDX-License-Identifier: GPL-2.0
/* machine: again=enable_apicv=1 */
/* IA32_APIC_BASE: the modes of the local APIC, SDM volume 3, 11.12.5 "x2APIC State Transitions". */
#include <cpuid.h>

#include "lib/apic.h"

#define NOBODY 0xffffffffU

#define MODES (APIC_BASE_ENABLED | APIC_BASE_X2APIC)

static struct vcpu *base_guest(void (*fn)(void))
{
	return guest_cpu(guest_vm(CHIPS), 0, fn);
}

static bool set_mode_faults(uint64_t mode)
{
	return guest_wrmsr_faults(MSR_APIC_BASE, (guest_rdmsr(MSR_APIC_BASE) & ~MODES) | mode);
}

static uint64_t mode(void)
{
	return guest_rdmsr(MSR_APIC_BASE) & MODES;
}

static void transitions(void)
{
	GUEST_EQ(guest_rdmsr(MSR_APIC_BASE), APIC_BASE | APIC_BASE_ENABLED | APIC_BASE_BSP);
	/* x2APIC mode is for an enabled APIC. */
	GUEST_TRUE(set_mode_faults(APIC_BASE_X2APIC));
	GUEST_EQ(mode(), APIC_BASE_ENABLED);
	GUEST_TRUE(!set_mode_faults(MODES));
	GUEST_EQ(mode(), MODES);
	/* From there not back to xAPIC mode, but off */
	GUEST_TRUE(set_mode_faults(APIC_BASE_ENABLED));
	GUEST_TRUE(set_mode_faults(APIC_BASE_X2APIC));
	GUEST_EQ(mode(), MODES);
	GUEST_TRUE(!set_mode_faults(0));
	GUEST_EQ(mode(), 0);
	/* From off not to x2APIC mode at once */
	GUEST_TRUE(set_mode_faults(MODES));
	GUEST_TRUE(set_mode_faults(APIC_BASE_X2APIC));
	GUEST_TRUE(!set_mode_faults(APIC_BASE_ENABLED));
	GUEST_EQ(mode(), APIC_BASE_ENABLED);
	GUEST_TRUE(!set_mode_faults(0));
	GUEST_TRUE(!set_mode_faults(APIC_BASE_ENABLED));
}

TEST(transitions) { EXPECT_DONE(base_guest(transitions)); }

static void reserved(void)
{
	for (int bit = 0; bit < 8; bit++)
		GUEST_TRUE(guest_wrmsr_faults(MSR_APIC_BASE,
					      guest_rdmsr(MSR_APIC_BASE) | 1UL << bit));
	GUEST_TRUE(guest_wrmsr_faults(MSR_APIC_BASE, guest_rdmsr(MSR_APIC_BASE) | 1UL << 9));
	GUEST_TRUE(guest_wrmsr_faults(MSR_APIC_BASE, guest_rdmsr(MSR_APIC_BASE) | 1UL << 63));
}

TEST(reserved_bits) { EXPECT_DONE(base_guest(reserved)); }

static uint32_t cpuid_1(uint32_t *ecx)
{
	uint32_t eax, ebx, edx;

	__cpuid(1, eax, ebx, *ecx, edx);
	return edx;
}

/* CPUID says whether the APIC is there. */
static void cpuid_follows(void)
{
	const uint32_t apic = 1 << 9;
	uint32_t ecx;

	GUEST_TRUE(cpuid_1(&ecx) & apic);
	GUEST_TRUE(!set_mode_faults(0));
	GUEST_TRUE(!(cpuid_1(&ecx) & apic));
	GUEST_TRUE(!set_mode_faults(APIC_BASE_ENABLED));
	GUEST_TRUE(cpuid_1(&ecx) & apic);
}

TEST(cpuid_follows) { EXPECT_DONE(base_guest(cpuid_follows)); }

/* IDs are as the vCPU's, in the form of each mode. */
static void ids(void)
{
	GUEST_EQ(mmio_read(APIC_BASE + APIC_ID), 0);
	GUEST_TRUE(!set_mode_faults(MODES));
	GUEST_EQ(guest_rdmsr(MSR_X2APIC + APIC_ID / 16), 0);
	GUEST_EQ(guest_rdmsr(MSR_X2APIC + APIC_LDR / 16), 1);
}

TEST(ids) { EXPECT_DONE(base_guest(ids)); }

/* State stays through the change to x2APIC mode. */
static void state_stays(void)
{
	apic_enable();
	apic_write(APIC_TPR, 0x30);
	apic_write(APIC_LVT_TIMER, LVT_MASKED | VEC_A);
	GUEST_TRUE(!set_mode_faults(MODES));
	x2apic = true;
	GUEST_EQ(apic_read(APIC_TPR), 0x30);
	GUEST_EQ(apic_read(APIC_SVR), SVR_ENABLED | VEC_SPURIOUS);
	GUEST_EQ(apic_read(APIC_LVT_TIMER), LVT_MASKED | VEC_A);
}

TEST(state_stays) { EXPECT_DONE(base_guest(state_stays)); }

static void disabled(void)
{
	GUEST_TRUE(!set_mode_faults(0));
	GUEST_EQ(mmio_read(APIC_BASE + APIC_ID), NOBODY);
}

TEST(disabled_has_no_page)
{
	expect_no_apic_page(disabled);
}

static void without_x2apic(void)
{
	GUEST_TRUE(set_mode_faults(MODES));
	GUEST_EQ(mode(), APIC_BASE_ENABLED);
}

/* A VMM that does not show x2APIC in CPUID does not get it. */
TEST(x2apic_by_cpuid)
{
	struct vm *vm = guest_vm(CHIPS);
	struct kvm_cpuid2 *cpuid = cpuid_supported(vm->kvm);
	struct vcpu *vcpu = vcpu_create(vm, 0);

	cpuid_find(cpuid, 1, 0)->ecx &= ~CPUID_1_ECX_X2APIC;
	vcpu_set_cpuid(vcpu, cpuid);
	free(cpuid);
	guest_begin(vcpu, without_x2apic);
	EXPECT_DONE(vcpu);
}

/* KVM_SET_SREGS may set any valid mode, from any. */
TEST(set_by_the_vmm)
{
	const uint64_t modes[] = { MODES, APIC_BASE_ENABLED, 0, MODES, 0, APIC_BASE_ENABLED };
	struct vcpu *vcpu = guest_cpu_bare(guest_vm(CHIPS), 0);
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		sregs.apic_base = APIC_BASE | APIC_BASE_BSP | modes[i];
		vcpu_set_sregs(vcpu, &sregs);
		EXPECT_EQ(vcpu_sregs(vcpu).apic_base, sregs.apic_base);
	}
	sregs.apic_base = APIC_BASE | APIC_BASE_BSP | APIC_BASE_X2APIC;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_SREGS, &sregs), EINVAL);
}
