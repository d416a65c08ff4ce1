// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* A page that holds code and what the code writes, while writes are logged: one fault asks for the right to execute, the
 * next for the right to write, and the instruction needs both. */
#include "lib/any.h"

GUEST_ANY(self_store,
	/* x86 */
	"mov $1000, %ecx\n"
	"1: mov %rcx, 2f(%rip)\n"
	"dec %ecx\n"
	"jnz 1b\n"
	"hlt\n"
	".balign 8\n"
	"2: .quad 0\n",
	/* arm64 */
	"mov x0, #1000\n"
	"adr x1, 2f\n"
	"1: str x0, [x1]\n"
	"subs x0, x0, #1\n"
	"b.ne 1b\n"
	DONE
	".balign 8\n"
	"2: .quad 0\n");

TEST(a_page_that_writes_itself)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(self_store);
	struct vm *vm = vcpu->vm;
	uint64_t bitmap[1];
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bitmap };
	const size_t last = (self_store_end - self_store) / 8 - 1;
	const uint64_t *code = (void *)(vm->ram + GUEST_CODE);

	ASSERT_OK(vm_set_slot(vm, 0, 0, vm->ram_size, vm->ram, KVM_MEM_LOG_DIRTY_PAGES));
	ASSERT_END(vcpu);
	EXPECT_EQ(code[last], 1);
	ASSERT_OK(ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log));
	EXPECT_EQ(bitmap[0] >> (GUEST_CODE / 0x1000) & 1, 1);
}
