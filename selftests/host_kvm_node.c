// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* Parameter kvm_node: the module also serves the node that VMMs have hard-coded. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/any.h"
#include "lib/module.h"

#define NODE "/dev/kvm"
#define MISC_MAJOR 10
#define KVM_MINOR 232	/* Documentation/admin-guide/devices.txt */

/* In the machine the name leads to the node under test; that link stands aside meanwhile. */
static void with_node(const char *parameter)
{
	if (kvm_is_c())
		SKIP("the node is C KVM's own");
	module_unload();
	unlink(NODE);
	ASSERT_OK(module_insert(RUST_MODULE, parameter));
}

static void restore(void)
{
	module_unload();
	EXPECT_ERRNO(access(NODE, F_OK), ENOENT);
	module_load();
	ASSERT_OK(symlink("rust_kvm", NODE));
}

TEST(node_is_registered_on_demand)
{
	struct stat st;

	with_node("kvm_node=1");
	EXPECT_OK(stat(NODE, &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(st.st_rdev, makedev(MISC_MAJOR, KVM_MINOR));
	EXPECT_EQ(st.st_mode & 07777, 0660);
	restore();
}

TEST(both_nodes_work)
{
	with_node("kvm_node=1");
	guest_smoke();
	ASSERT_OK(setenv("KVM_DEVICE", NODE, 1));
	guest_smoke();
	ASSERT_OK(setenv("KVM_DEVICE", "/dev/rust_kvm", 1));
	restore();
}

TEST(node_in_use_keeps_the_module)
{
	int kvm;

	with_node("kvm_node=1");
	kvm = ASSERT_OK(open(NODE, O_RDWR));
	EXPECT_ERRNO(module_delete("rust_kvm"), EWOULDBLOCK);
	close(kvm);
	restore();
}

TEST(no_node_without_demand)
{
	with_node("kvm_node=0");
	EXPECT_ERRNO(access(NODE, F_OK), ENOENT);
	restore();
}
