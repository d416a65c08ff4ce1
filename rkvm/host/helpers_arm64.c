// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel facilities of arm64 that are macros or inline functions, given an address so that Rust can call them.
 */

#include <linux/miscdevice.h>
#include <linux/module.h>

#include <asm/cpufeature.h>
#include <asm/daifflags.h>
#include <asm/neon.h>
#include <asm/virt.h>

#include "rkvm_host.h"

notrace void rkvm_mask_exceptions(void)
{
	local_daif_mask();
}

/* Interrupts stay masked. */
notrace void rkvm_unmask_exceptions(void)
{
	local_daif_restore(DAIF_PROCCTX_NOIRQ);
}

void rkvm_neon_begin(void)
{
	kernel_neon_begin(NULL);
}

void rkvm_neon_end(void)
{
	kernel_neon_end(NULL);
}

u64 rkvm_sanitised_register(u32 op0, u32 op1, u32 crn, u32 crm, u32 op2)
{
	return read_sanitised_ftr_reg(sys_reg(op0, op1, crn, crm, op2));
}

bool rkvm_kernel_at_el2(void)
{
	return is_kernel_in_hyp_mode();
}

/* Registers the minor number of /dev/kvm for a moment, under another name; the number has one owner. */
bool rkvm_kvm_node_taken(void)
{
	static const struct file_operations nothing = { .owner = THIS_MODULE };
	struct miscdevice node = {
		.minor = KVM_MINOR,
		.name = "rust_kvm_probe",
		.fops = &nothing,
		.mode = 0400,
	};

	if (misc_register(&node))
		return true;
	misc_deregister(&node);
	return false;
}
