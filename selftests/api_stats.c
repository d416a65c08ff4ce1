// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* KVM_GET_STATS_FD: the counters of a VM and of a vCPU. */
#include <fcntl.h>
#include <stdio.h>

#include "lib/spin.h"
#include "lib/stats.h"

/* KVM_GET_STATS_FD names what it tells of by this. */
enum { NAME_ROOM = 64 };

/* Where everything is, and what the descriptors may say */
static void check_form(int fd, const char *name)
{
	const struct kvm_stats_header header = stats_header(fd);
	const size_t desc_size = sizeof(struct kvm_stats_desc) + header.name_size;
	char id[NAME_ROOM] = "";

	EXPECT_EQ(header.flags, 0);
	ASSERT_TRUE(header.name_size <= NAME_ROOM && header.num_desc > 0);
	EXPECT_EQ(header.id_offset, sizeof(header));
	EXPECT_EQ(header.desc_offset, header.id_offset + header.name_size);
	EXPECT_EQ(header.data_offset, header.desc_offset + header.num_desc * desc_size);
	stats_read(fd, header.id_offset, id, header.name_size);
	EXPECT_TRUE(strcmp(id, name) == 0);
	for (uint32_t i = 0; i < header.num_desc; i++) {
		struct kvm_stats_desc *desc = stats_desc(fd, &header, i);
		uint64_t value;

		EXPECT_TRUE(strnlen(desc->name, header.name_size) < header.name_size);
		EXPECT_TRUE((desc->flags & KVM_STATS_TYPE_MASK) <= KVM_STATS_TYPE_MAX);
		EXPECT_TRUE((desc->flags & KVM_STATS_UNIT_MASK) <= KVM_STATS_UNIT_MAX);
		EXPECT_TRUE((desc->flags & KVM_STATS_BASE_MASK) <= KVM_STATS_BASE_MAX);
		EXPECT_TRUE(desc->size > 0);
		stats_read(fd, header.data_offset + desc->offset, &value, sizeof(value));
		free(desc);
	}
}

static size_t whole_size(int fd)
{
	const struct kvm_stats_header header = stats_header(fd);
	size_t size = header.data_offset;

	for (uint32_t i = 0; i < header.num_desc; i++) {
		struct kvm_stats_desc *desc = stats_desc(fd, &header, i);
		const size_t end = header.data_offset + desc->offset + desc->size * sizeof(uint64_t);

		size = end > size ? end : size;
		free(desc);
	}
	return size;
}

TEST(form)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_new(vm, 3);
	char name[NAME_ROOM];

	EXPECT_EQ(kvm_check(vm->kvm, KVM_CAP_BINARY_STATS_FD), 1);
	snprintf(name, sizeof(name), "kvm-%d", getpid());
	check_form(stats_open(vm->fd), name);
	snprintf(name, sizeof(name), "kvm-%d/vcpu-3", getpid());
	check_form(stats_open(vcpu->fd), name);
}

/* Any part gives the same bytes as the whole. */
TEST(parts)
{
	const int fd = stats_open(vcpu_new(vm_create(), 0)->fd);
	const size_t size = whole_size(fd);
	uint8_t *whole = malloc(size), *part = malloc(size);

	ASSERT_TRUE(whole && part);
	ASSERT_EQ(ASSERT_OK(pread(fd, whole, size, 0)), size);
	for (size_t step = 1; step < size; step = step * 3 + 1) {
		memset(part, 0xee, size);
		for (size_t at = 0; at < size; at += step) {
			const size_t wanted = size - at < step ? size - at : step;

			ASSERT_EQ(ASSERT_OK(pread(fd, part + at, step, (off_t)at)), wanted);
		}
		EXPECT_MEM(part, whole, size);
	}
	/* read(2) goes on where it has been. */
	memset(part, 0xee, size);
	ASSERT_EQ(ASSERT_OK(read(fd, part, 100)), 100);
	ASSERT_EQ(ASSERT_OK(read(fd, part + 100, size)), size - 100);
	EXPECT_MEM(part, whole, size);
	EXPECT_EQ(read(fd, part, size), 0);
	EXPECT_EQ(pread(fd, part, size, (off_t)size), 0);
	EXPECT_EQ(pread(fd, part, size, INT64_MAX - (off_t)size), 0);
}

TEST(only_to_be_read)
{
	struct vm *vm = vm_create();
	const int fd = stats_open(vm->fd);
	void *nowhere = mem_new(PAGE_SIZE);

	ASSERT_OK(munmap(nowhere, PAGE_SIZE));
	EXPECT_EQ(ASSERT_OK(fcntl(fd, F_GETFL)) & O_ACCMODE, O_RDONLY);
	EXPECT_EQ(ASSERT_OK(fcntl(fd, F_GETFD)), FD_CLOEXEC);
	EXPECT_ERRNO(write(fd, "x", 1), EBADF);
	EXPECT_ERRNO(ioctl(fd, KVM_GET_STATS_FD, 0), ENOTTY);
	EXPECT_ERRNO(pread(fd, nowhere, sizeof(uint64_t), 0), EFAULT);
	/* The VM's own descriptor has nothing to read. */
	EXPECT_ERRNO(read(vm->fd, (uint8_t[8]){ 0 }, 8), EINVAL);
}

TEST(outlives_the_vm)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	const int of_vm = stats_open(vm->fd), of_vcpu = stats_open(vcpu->fd);

	vcpu_free(vcpu);
	vm_free(vm);
	stats_value(of_vm, "remote_tlb_flush");
	EXPECT_EQ(stats_value(of_vcpu, "exits"), 0);
}

/* The counters of a vCPU that runs can be read. */
TEST(of_a_running_vcpu)
{
	struct vcpu *vcpu = spin_new();
	const int fd = stats_open(vcpu->fd);
	pthread_t thread = spin_run(vcpu);
	uint64_t before;

	spin_wait(vcpu);
	before = stats_value(fd, "exits");
	EXPECT_EQ(stats_value(fd, "signal_exits"), 0);
	/* Another descriptor of it can be had, too; C KVM makes one only while it does not run. */
	if (!kvm_is_c())
		EXPECT_TRUE(stats_value(stats_open(vcpu->fd), "exits") >= before);
	spin_stop(thread);
	EXPECT_EQ(stats_value(fd, "signal_exits"), 1);
#ifdef __x86_64__
	EXPECT_TRUE(stats_value(fd, "irq_exits") > 0);
#endif
}
