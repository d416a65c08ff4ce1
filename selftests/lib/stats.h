/* SPDX-License-Identifier: GPL-2.0 */
/* What KVM_GET_STATS_FD gives: values by their names. */
#ifndef SELFTESTS_STATS_H
#define SELFTESTS_STATS_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm.h"

static inline int stats_open(int fd)
{
	return ASSERT_OK(ioctl(fd, KVM_GET_STATS_FD, 0));
}

static inline void stats_read(int fd, uint64_t offset, void *to, size_t size)
{
	ASSERT_EQ(ASSERT_OK(pread(fd, to, size, (off_t)offset)), size);
}

static inline struct kvm_stats_header stats_header(int fd)
{
	struct kvm_stats_header header;

	stats_read(fd, 0, &header, sizeof(header));
	return header;
}

/* The descriptor of a number; freed by the caller */
static inline struct kvm_stats_desc *stats_desc(int fd, const struct kvm_stats_header *header,
						uint32_t number)
{
	const size_t size = sizeof(struct kvm_stats_desc) + header->name_size;
	struct kvm_stats_desc *desc = malloc(size);

	ASSERT_TRUE(desc != NULL);
	stats_read(fd, header->desc_offset + number * size, desc, size);
	return desc;
}

/* A value, or its first one; the test ends if there is none of this name. */
static inline uint64_t stats_value(int fd, const char *name)
{
	const struct kvm_stats_header header = stats_header(fd);
	uint64_t value = 0;
	bool found = false;

	for (uint32_t i = 0; i < header.num_desc && !found; i++) {
		struct kvm_stats_desc *desc = stats_desc(fd, &header, i);

		found = strcmp(desc->name, name) == 0;
		if (found)
			stats_read(fd, header.data_offset + desc->offset, &value, sizeof(value));
		free(desc);
	}
	if (!found) {
		test_fail(__FILE__, __LINE__, "no value is called %s", name);
		test_abort();
	}
	return value;
}

#endif
