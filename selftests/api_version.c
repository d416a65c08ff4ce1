// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* What a descriptor of the device answers by itself. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/kvm.h"

/* Major number of the kernel's misc devices, Documentation/admin-guide/devices.txt */
#define MISC_MAJOR 10

TEST(version_is_12)
{
	EXPECT_EQ(ASSERT_OK(ioctl(kvm_open(), KVM_GET_API_VERSION, 0)), KVM_API_VERSION);
}

TEST(version_takes_no_argument)
{
	EXPECT_ERRNO(ioctl(kvm_open(), KVM_GET_API_VERSION, 1), EINVAL);
}

TEST(mmap_size_takes_no_argument)
{
	EXPECT_ERRNO(ioctl(kvm_open(), KVM_GET_VCPU_MMAP_SIZE, 1), EINVAL);
}

/* kvm_run, the data of port I/O where there is such a thing, and the ring of coalesced MMIO */
#ifdef __x86_64__
#define RUN_PAGES 3
#else
#define RUN_PAGES 2
#endif

TEST(mmap_size_is_run_pio_and_ring)
{
	EXPECT_EQ(ASSERT_OK(ioctl(kvm_open(), KVM_GET_VCPU_MMAP_SIZE, 0)), RUN_PAGES * PAGE_SIZE);
}

TEST(node_is_a_misc_character_device)
{
	struct stat st;

	ASSERT_OK(stat(kvm_device(), &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(major(st.st_rdev), MISC_MAJOR);
}

TEST(node_is_for_owner_and_group)
{
	struct stat st;

	if (kvm_is_c())
		SKIP("C KVM leaves the mode of its node to udev");
	ASSERT_OK(stat(kvm_device(), &st));
	EXPECT_EQ(st.st_mode & 07777, 0660);
}

TEST(opens_read_only_and_often)
{
	int first = ASSERT_OK(open(kvm_device(), O_RDONLY));
	int second = ASSERT_OK(open(kvm_device(), O_RDWR));

	EXPECT_EQ(ASSERT_OK(ioctl(first, KVM_GET_API_VERSION, 0)), KVM_API_VERSION);
	EXPECT_OK(close(first));
	EXPECT_EQ(ASSERT_OK(ioctl(second, KVM_GET_API_VERSION, 0)), KVM_API_VERSION);
}

TEST(neither_reads_nor_writes)
{
	int kvm = kvm_open();
	char byte = 0;

	EXPECT_ERRNO(read(kvm, &byte, 1), EINVAL);
	EXPECT_ERRNO(write(kvm, &byte, 1), EINVAL);
}
