# SPDX-License-Identifier: GPL-2.0
# The person's entry: what to build and run. The module's own build rules are in Kbuild.

ARCH ?= x86_64
BUILD := build/$(ARCH)
MODULE := $(BUILD)/rust_kvm.ko
CROSS_x86_64 :=
CROSS_arm64 := aarch64-linux-gnu-
# What a kernel build takes: the architecture and its cross compiler.
KERNEL_MAKE = ARCH=$(ARCH) CROSS_COMPILE=$(CROSS_$(ARCH))

ifeq ($(filter $(ARCH),x86_64 arm64),)
$(error ARCH is x86_64 or arm64, not $(ARCH))
endif

.PHONY: all module clippy fmt demo test host-test machine-test boot-test test-vmms kselftests bench setup clean help

all: module

# With KDIR the build runs here, with this machine's compilers; else in the tool root.
ifdef KDIR
module:
	$(MAKE) -C $(KDIR) M=$(CURDIR) MO=$(CURDIR)/$(BUILD) modules

clippy:
	$(MAKE) -C $(KDIR) M=$(CURDIR) MO=$(CURDIR)/$(BUILD)/clippy CLIPPY=1 modules
else
module:
	@tools/setup kernels
	@tools/root tools/build-module $(BUILD) $(KERNEL_MAKE)

clippy:
	@tools/setup kernels
	@tools/root tools/build-module $(BUILD)/clippy $(KERNEL_MAKE) CLIPPY=1
endif

fmt:
	@tools/setup root
	@tools/root tools/check-format

host-test:
	@tools/setup root
	@tools/host-test

# What depends on the processor's model, for models that are between the default and the latest.
MODEL_TESTS := api_one_reg api_reg_list api_vcpu_init arm64_ipa arm64_newer arm64_pauth arm64_registers arm64_sve \
	guest_debug_arm64 mm_slots mm_huge mm_mprotect mm_readonly psci_power timer_arm64 vgic_interrupts

# Every suite runs, whatever the one before said: ours on both architectures, and on other models of arm64 processors;
# the kernel's own KVM as the reference.
machine-test: module
	@$(MAKE) --no-print-directory ARCH=arm64 module
	@failed=0; \
	selftests/run || failed=1; \
	selftests/run --arch arm64 --cpu max || failed=1; \
	for model in cortex-a76 neoverse-v1; do \
		selftests/run --arch arm64 --cpu $$model $(addprefix --only ,$(MODEL_TESTS)) || failed=1; \
	done; \
	selftests/run --kvm linux || failed=1; \
	exit $$failed

# Linux to its user space by samples/minivmm, and by QEMU on the machine of each architecture that boots soonest.
boot-test: module
	@$(MAKE) --no-print-directory ARCH=arm64 module
	@failed=0; \
	selftests/boot || failed=1; \
	selftests/boot --arch arm64 || failed=1; \
	selftests/vmms --only microvm/1 --only virt/2 || failed=1; \
	exit $$failed

test: host-test machine-test boot-test

# Linux by QEMU, on its machines for both architectures; takes long.
test-vmms: module
	@$(MAKE) --no-print-directory ARCH=arm64 module
	@selftests/vmms

demo: module
	@[ $(ARCH) != x86_64 ] || tools/demo
	@tools/demo-linux $(ARCH)

bench: module
	@tools/root make -s -C selftests $(KERNEL_MAKE) ../build/$(ARCH)/selftests/bench
	@selftests/bench --arch $(ARCH)

kselftests: module
	@tools/kselftests --arch $(ARCH)

setup:
	@tools/setup all

clean:
	rm -rf build selftests/host/target

help:
	@echo 'make              build $(MODULE) (ARCH=arm64 for the other architecture)'
	@echo 'make KDIR=DIR     build against a prepared, Rust-enabled kernel tree, with the compilers of this machine'
	@echo 'make demo         boot an emulated machine; run the sample guest program (x86_64) and Linux on the module'
	@echo 'make test         host tests, selftests in emulated machines, Linux booted by samples/minivmm'
	@echo 'make host-test    only the tests that need no machine'
	@echo 'make machine-test the selftests in emulated machines'
	@echo 'make boot-test    boot Linux by samples/minivmm and by QEMU in one'
	@echo 'make test-vmms    boot Linux by QEMU in one, in many ways; takes long'
	@echo 'make bench        compare with the kernel'"'"'s own KVM on the same machine (ARCH=arm64, too)'
	@echo 'make kselftests   run the kernel'"'"'s own KVM selftests on both KVMs, for docs/kselftests.md'
	@echo 'make clippy fmt   lint; check the formatting'
	@echo 'make setup        make the tool root, kernels and boot kits, which the others do when needed'
	@echo 'make clean        remove what was built here; the cache stays (see tools/setup --help)'
	@echo
	@echo 'tools/machine --help tells how to run other programs in an emulated machine.'
	@echo 'RKVM_CACHE=DIR moves the cache from its default, rkvm in the user'"'"'s cache directory.'
