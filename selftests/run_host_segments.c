// SPDX-License-Identifier: GPL-2.0
/* Segments of the VMM's own local descriptor table outlive KVM_RUN. */
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/x86.h"

enum { MODIFY_LDT_READ = 0, MODIFY_LDT_WRITE = 1, ENTRY = 3, ROUNDS = 5 };

/* Entry 3 of the LDT, privilege 3 */
#define SELECTOR (ENTRY << 3 | 4 | 3)
#define MARK 0x1234abcd

GUEST64(loop, "1: outb %al, $0x80\njmp 1b\n");

/* Leads entry 3 of the LDT to a page that begins with MARK. */
static void make_ldt(void)
{
	uint32_t *page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	struct user_desc entry = { .entry_number = ENTRY, .limit = PAGE_SIZE - 1, .seg_32bit = 1 };

	ASSERT_OK((long)page);
	*page = MARK;
	entry.base_addr = (uint32_t)(uintptr_t)page;
	if (syscall(SYS_modify_ldt, MODIFY_LDT_WRITE, &entry, sizeof(entry)) == -1 && errno == ENOSYS)
		SKIP("this kernel has no modify_ldt(2)");
	ASSERT_TRUE(syscall(SYS_modify_ldt, MODIFY_LDT_READ, &entry, sizeof(entry)) > 0);
}

/* LSL asks the table that the processor has now. */
static bool has_entry(void)
{
	uint32_t limit = 0;
	bool valid;

	__asm__ volatile("lsl %2, %0" : "+r"(limit), "=@ccz"(valid) : "r"((uint32_t)SELECTOR));
	return valid && limit == PAGE_SIZE - 1;
}

TEST(the_table)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, loop);

	make_ldt();
	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_IO);
		EXPECT_TRUE(has_entry());
	}
}

TEST(ds_and_es)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, loop);
	uint16_t ds = 0, es = 0, old_ds, old_es;
	long ret;

	make_ldt();
	__asm__ volatile("mov %%ds, %0\nmov %%es, %1" : "=r"(old_ds), "=r"(old_es));
	for (int i = 0; i < ROUNDS; i++) {
		__asm__ volatile("mov %6, %%ds\nmov %6, %%es\nsyscall\nmov %%ds, %1\nmov %%es, %2\n"
				 "mov %7, %%ds\nmov %8, %%es"
				 : "=&a"(ret), "=&r"(ds), "=&r"(es)
				 : "0"((long)SYS_ioctl), "D"((long)vcpu->fd), "S"((long)KVM_RUN),
				   "r"(SELECTOR), "r"(old_ds), "r"(old_es), "d"(0L)
				 : "rcx", "r11", "memory");
		ASSERT_EQ(ret, 0);
		EXPECT_EQ(ds, SELECTOR);
		EXPECT_EQ(es, SELECTOR);
		EXPECT_TRUE(has_entry());
	}
}

TEST(gs)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, loop);
	uint32_t value;
	uint16_t gs;

	make_ldt();
	__asm__ volatile("mov %0, %%gs" : : "r"(SELECTOR));
	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_RUN(vcpu, KVM_EXIT_IO);
		__asm__ volatile("mov %%gs, %0" : "=r"(gs));
		__asm__ volatile("movl %%gs:0, %0" : "=r"(value));
		EXPECT_EQ(gs, SELECTOR);
		EXPECT_EQ(value, MARK);
	}
}

/* FS is the C library's: nothing of that runs between its change and its return. */
TEST(fs)
{
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, loop);
	unsigned long old_base;
	uint32_t value = 0;
	uint16_t fs = 0;
	long ret;

	make_ldt();
	ASSERT_OK(syscall(SYS_arch_prctl, ARCH_GET_FS, &old_base));
	for (int i = 0; i < ROUNDS; i++) {
		long arg0 = vcpu->fd, arg1 = KVM_RUN;

		__asm__ volatile("mov %[selector], %%fs\nsyscall\n"
				 "mov %%fs, %[fs]\nmovl %%fs:0, %[value]\n"
				 "mov %%rax, %%r12\n"
				 "mov %[prctl], %%eax\nmov %[set_fs], %%edi\nmov %[base], %%rsi\nsyscall\n"
				 "mov %%r12, %%rax"
				 : [fs] "=&r"(fs), [value] "=&r"(value), "=&a"(ret), "+&D"(arg0),
				   "+&S"(arg1)
				 : "2"((long)SYS_ioctl), "d"(0L), [selector] "r"(SELECTOR),
				   [prctl] "i"(SYS_arch_prctl), [set_fs] "i"(ARCH_SET_FS),
				   [base] "r"(old_base)
				 : "rcx", "r11", "r12", "memory");
		ASSERT_EQ(ret, 0);
		EXPECT_EXIT(vcpu, KVM_EXIT_IO);
		EXPECT_EQ(fs, SELECTOR);
		EXPECT_EQ(value, MARK);
	}
}
