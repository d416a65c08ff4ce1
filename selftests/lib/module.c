// SPDX-License-Identifier: GPL-2.0
/* Loading and unloading the module under test. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "module.h"

#define SYSLOG_ACTION_READ_ALL 3
#define SYSLOG_ACTION_SIZE_BUFFER 10

int module_insert(const char *file, const char *parameters)
{
	int fd = ASSERT_OK(open(file, O_RDONLY | O_CLOEXEC));
	int ret = syscall(SYS_finit_module, fd, parameters, 0);
	int err = errno;

	close(fd);
	errno = err;
	return ret;
}

int module_delete(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK);
}

const char *module_name(void)
{
	return kvm_is_c() ? "kvm_intel" : "rust_kvm";
}

void module_needed(void)
{
	if (!module_loaded(module_name()))
		SKIP("the KVM under test is no module");
}

bool module_loaded(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", name);
	return !access(path, F_OK);
}

void module_load(void)
{
	/* The reason for enable_apicv=0 is the emulator's: it wants an alignment C KVM does not keep. */
	if (kvm_is_c())
		ASSERT_OK(module_insert("/modules/kvm-intel.ko", "enable_apicv=0"));
	else
		ASSERT_OK(module_insert(RUST_MODULE, ""));
	ASSERT_OK(access(kvm_device(), F_OK));
}

void module_unload(void)
{
	ASSERT_OK(module_delete(module_name()));
	ASSERT_TRUE(!module_loaded(module_name()));
	ASSERT_ERRNO(access(kvm_device(), F_OK), ENOENT);
}

int log_count(const char *text)
{
	int size = ASSERT_OK(klogctl(SYSLOG_ACTION_SIZE_BUFFER, NULL, 0)), count = 0;
	char *log = calloc(1, size + 1);

	ASSERT_TRUE(log != NULL);
	ASSERT_OK(klogctl(SYSLOG_ACTION_READ_ALL, log, size));
	for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n"))
		count += strstr(line, text) != NULL;
	free(log);
	return count;
}
