/* SPDX-License-Identifier: GPL-2.0 */
/* Loading and unloading the module under test. */
#ifndef SELFTESTS_MODULE_H
#define SELFTESTS_MODULE_H

#include "kvm.h"

#define RUST_MODULE "/modules/rust_kvm.ko"

/* init of the module file as it is: 0, or -1 and errno */
int module_insert(const char *file, const char *parameters);
/* delete_module without waiting, as it is */
int module_delete(const char *name);

/* The module behind KVM_DEVICE: rust_kvm or kvm_intel */
const char *module_name(void);
/* Skips the test if there is none: C KVM is part of the kernel on arm64. */
void module_needed(void);
bool module_loaded(const char *name);
/* Loads it and asserts that the device is there */
void module_load(void);
/* Unloads it and asserts that the device is gone */
void module_unload(void);

/* How many lines of the kernel log hold this text */
int log_count(const char *text);

#endif
