// SPDX-License-Identifier: GPL-2.0
/* machine: arch=arm64 cpus=2 */
/*
 * Guests and a VMM that do anything: code of random instructions (system registers of every encoding, accesses to the
 * frames of the GIC, calls of firmware) on several vCPUs, while threads call ioctls with random arguments on all
 * descriptors. Nothing is expected but that the host goes on and has nothing to say about it. $HOSTILE_SEED, a number,
 * gives other seeds.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lib/vgic.h"

enum {
	VCPUS = 3,
	SLOT_GPA = 0x1000000,
	ARENA_PAGES = 64,
	INSTRUCTIONS = 2048,
	CODE = 0x10000,		/* of the first vCPU; that of the next one behind it */
	CODE_SIZE = 4 * INSTRUCTIONS,
	SECONDS = 4,
	KICK_MICROSECONDS = 3000,
	ITS_BASE = 0x09100000,
};

struct scene {
	struct vm *vm;
	struct vcpu *vcpus[VCPUS];
	pthread_t runners[VCPUS];
	int vgic, its;
	uint8_t *arena;
	uint64_t ids[1024];
	uint64_t id_count;
	uint64_t seed;
	atomic_bool over;
	atomic_ulong runs, calls;
};

struct random {
	uint64_t state;
};

static uint64_t next(struct random *random)
{
	uint64_t x = random->state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	random->state = x;
	return x * 0x2545f4914f6cdd1d >> 11;
}

static uint64_t below(struct random *random, uint64_t end)
{
	return next(random) % end;
}

/* A value of the kinds that checks forget: small, a power of two or beside one, anything. */
static uint64_t value(struct random *random)
{
	switch (below(random, 6)) {
	case 0:
		return below(random, 16);
	case 1:
		return 1UL << below(random, 64);
	case 2:
		return (1UL << below(random, 64)) - 1;
	case 3:
		return -1UL << below(random, 64);
	case 4:
		return below(random, ARENA_PAGES) * 0x1000 + SLOT_GPA;
	default:
		return next(random) | next(random) << 32;
	}
}

/* MOVZ and MOVK of 32 bits to a register */
static unsigned int put_number(uint32_t *code, unsigned int reg, uint32_t number)
{
	code[0] = 0xd2800000 | (number & 0xffff) << 5 | reg;
	code[1] = 0xf2a00000 | (number >> 16) << 5 | reg;
	return 2;
}

/* Registers that hold addresses: see code_prologue() */
enum { X_OFFSET = 15, X_BASES = 16, BASES = 6 };

static unsigned int put_access(struct random *random, uint32_t *code)
{
	static const uint32_t accesses[] = {
		0x38206800, 0x78206800, 0xb8206800, 0xf8206800,	/* STR of 1 to 8 bytes, [Xn, Xm] */
		0x38606800, 0x78606800, 0xb8606800, 0xf8606800,	/* LDR */
	};
	const uint32_t offset = below(random, 2) ? below(random, 0x200000) & ~7u :
						   below(random, 0x100) * 4;
	unsigned int n = put_number(code, X_OFFSET, offset);

	code[n++] = accesses[below(random, ARRAY_SIZE(accesses))] | X_OFFSET << 16 |
		    (X_BASES + below(random, BASES)) << 5 | below(random, 8);
	return n;
}

static unsigned int put_call(struct random *random, uint32_t *code)
{
	static const uint32_t owners[] = {
		0x84000000, 0xc4000000, 0x80000000, 0x86000000, 0xc6000000, 0x84000050, 0xc5000020,
	};
	unsigned int n = put_number(code, 0, owners[below(random, ARRAY_SIZE(owners))] +
					     below(random, 0x24));

	n += put_number(code + n, 1, below(random, 2) ? below(random, 6) : next(random));
	code[n++] = (below(random, 8) ? 0xd4000002 : 0xd4000003) |
		    (below(random, 8) ? 0 : below(random, 0x10000)) << 5;
	return n;
}

static unsigned int put_one(struct random *random, uint32_t *code)
{
	static const uint32_t others[] = {
		0xd503207f, 0xd503205f, 0xd503203f, 0xd503209f,	/* WFI, WFE, YIELD, SEV */
		0xd503221f, 0xd5033fdf, 0xd5033f9f,		/* ESB, ISB, DSB */
		0x1e602800, 0x4e20d400,				/* FADD */
		0xd50342ff, 0xd50342df,				/* MSR DAIFClr, DAIFSet */
		0xd4200000, 0xd4000001, 0x00000000,		/* BRK, SVC, UDF */
		0xd69f03e0,					/* ERET */
		0xd50b7423,					/* DC ZVA */
	};
	const unsigned int reg = below(random, 8);

	switch (below(random, 12)) {
	case 0 ... 2:	/* MRS */
		code[0] = 0xd5300000 | below(random, 2) << 19 | below(random, 0x4000) << 5 | reg;
		return 1;
	case 3:		/* MSR */
		code[0] = 0xd5100000 | below(random, 2) << 19 | below(random, 0x4000) << 5 | reg;
		return 1;
	case 4:		/* SYS: caches, translations */
		code[0] = 0xd5080000 | below(random, 0x4000) << 5 | reg;
		return 1;
	case 5 ... 7:
		return put_access(random, code);
	case 8:
		return put_call(random, code);
	case 9:
		return put_number(code, reg, value(random));
	case 10:
		code[0] = below(random, 8) ? 0xd503201f : next(random);
		return 1;
	default:
		code[0] = others[below(random, ARRAY_SIZE(others))];
		return 1;
	}
}

/* Vectors: what is synchronous goes on behind the instruction, what is not ends the interrupt. */
GUEST64(skip,
	"mrs x29, elr_el1\nadd x29, x29, #4\nmsr elr_el1, x29\neret\n");
GUEST64(end_irq,
	"mrs x29, S3_0_C12_C12_0\nmsr S3_0_C12_C12_1, x29\neret\n");

/* Bases, vectors, the CPU interface; a timer */
GUEST64(prologue,
	"mov x16, #0x08000000\n"
	"mov x17, #0x080a0000\n"
	"mov x18, #0x09100000\n"
	"mov x19, #0x10000\n"
	"mov x20, #0x01000000\n"
	"mov x21, #0x40000000\n"
	"mov x0, #0x8000\nmsr vbar_el1, x0\n"
	"mov x0, #0xf0\nmsr S3_0_C4_C6_0, x0\n"
	"mov x0, #1\nmsr S3_0_C12_C12_7, x0\n"
	"mov x0, #2\nstr w0, [x16]\n"
	"mov x0, #1\nmsr cntv_ctl_el0, x0\n"
	"mov x0, #0x300000\nmsr cpacr_el1, x0\n"
	"isb\n");

static void load_code(struct scene *scene, struct random *random, unsigned int number)
{
	uint32_t code[INSTRUCTIONS + 8];
	const size_t start = (prologue_end - prologue) / 4;
	size_t at = start;

	memcpy(code, prologue, prologue_end - prologue);
	while (at < INSTRUCTIONS - 1)
		at += put_one(random, code + at);
	at = INSTRUCTIONS - 1;
	code[at] = 0x14000000 | ((start - at) & 0x3ffffff);
	memcpy(scene->vm->ram + CODE + number * CODE_SIZE, code, CODE_SIZE);
	__builtin___clear_cache((char *)scene->vm->ram + CODE,
				(char *)scene->vm->ram + CODE + VCPUS * CODE_SIZE);
}

/* Back to the beginning, however the vCPU was left. */
static void restart(struct scene *scene, unsigned int number)
{
	struct vcpu *vcpu = scene->vcpus[number];
	const uint64_t pc = CODE + number * CODE_SIZE, pstate = PSTATE_EL1H | PSTATE_DAIF;
	const uint64_t sctlr = 0x30d00800;
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_RUNNABLE };

	reg_set(vcpu, REG_PC, &pc);
	reg_set(vcpu, REG_PSTATE, &pstate);
	reg_set(vcpu, ARM64_SYS_REG(3, 0, 1, 0, 0), &sctlr);
	ioctl(vcpu->fd, KVM_SET_MP_STATE, &state);
}

struct runner {
	struct scene *scene;
	unsigned int number;
};

static void *run(void *argument)
{
	const struct runner *runner = argument;
	struct scene *scene = runner->scene;
	struct vcpu *vcpu = scene->vcpus[runner->number];
	struct random random = { scene->seed * 31 + runner->number + 1 };

	while (!scene->over) {
		int failed = vcpu_run(vcpu);

		scene->runs++;
		if (failed ? errno != EINTR || below(&random, 2) : !below(&random, 64)) {
			if (!below(&random, 4))
				load_code(scene, &random, runner->number);
			restart(scene, runner->number);
		}
		if (!failed && vcpu->run->exit_reason == KVM_EXIT_MMIO)
			*(uint64_t *)vcpu->run->mmio.data = value(&random);
	}
	return NULL;
}

static uint64_t random_id(struct scene *scene, struct random *random)
{
	if (below(random, 4))
		return scene->ids[below(random, scene->id_count)];
	return ARM64_SYS_REG(2 + below(random, 2), below(random, 8), below(random, 16),
			     below(random, 16), below(random, 8)) ^ (below(random, 8) ? 0 : value(random));
}

static void call_vcpu(struct scene *scene, struct random *random)
{
	struct vcpu *vcpu = scene->vcpus[below(random, VCPUS)];
	union {
		uint64_t words[128];
		struct kvm_vcpu_init init;
		struct kvm_mp_state mp;
		struct kvm_device_attr attr;
		struct kvm_vcpu_events events;
		struct kvm_guest_debug debug;
	} arg = { 0 };
	uint64_t buffer[64];

	for (unsigned int i = 0; i < ARRAY_SIZE(buffer); i++)
		buffer[i] = value(random);
	switch (below(random, 9)) {
	case 0 ... 2:
		reg_set(vcpu, random_id(scene, random), buffer);
		break;
	case 3:
		reg_get(vcpu, random_id(scene, random), buffer);
		break;
	case 4:
		arg.init.target = below(random, 8) ? KVM_ARM_TARGET_GENERIC_V8 : value(random);
		arg.init.features[0] = below(random, 2) ? 0 : value(random);
		ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &arg);
		break;
	case 5:
		arg.mp.mp_state = below(random, 12);
		ioctl(vcpu->fd, KVM_SET_MP_STATE, &arg);
		break;
	case 6:
		memcpy(&arg, buffer, sizeof(arg.events));
		if (below(random, 2)) {
			memset(&arg, 0, sizeof(arg.events));
			arg.events.exception.serror_pending = below(random, 2);
			arg.events.exception.ext_dabt_pending = below(random, 2);
		}
		ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &arg);
		break;
	case 7:
		memcpy(&arg, buffer, sizeof(buffer));
		arg.debug.control = below(random, 2) ? 0 : below(random, 0x40000) & 0x30003;
		ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &arg);
		break;
	default:
		arg.attr.group = below(random, 4);
		arg.attr.attr = below(random, 4);
		arg.attr.addr = (uintptr_t)buffer;
		ioctl(vcpu->fd, below(random, 2) ? KVM_SET_DEVICE_ATTR : KVM_GET_DEVICE_ATTR, &arg);
	}
}

static void call_device(struct scene *scene, struct random *random)
{
	static const uint32_t offsets[] = {
		0, 0x80, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380, 0x400, 0x800, 0xc00, 0x6000,
		0x10080, 0x10100, 0x10200, 0x10300, 0x10400, 0x10c00, 0x70, 0x78, 0x88, 0x90,
	};
	uint64_t buffer[8];
	struct kvm_device_attr attr = {
		.group = below(random, 12),
		.attr = below(random, 2) ? below(random, 8) :
			offsets[below(random, ARRAY_SIZE(offsets))] + below(random, 0x20) * 4,
		.addr = (uintptr_t)buffer,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(buffer); i++)
		buffer[i] = value(random);
	if (below(random, 2))
		attr.attr |= below(random, VCPUS + 1) << KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT;
	if (!below(random, 16))
		attr.attr = value(random);
	ioctl(below(random, 3) ? scene->vgic : scene->its,
	      below(random, 3) ? KVM_SET_DEVICE_ATTR : KVM_GET_DEVICE_ATTR, &attr);
}

static void set_slot(struct scene *scene, struct random *random)
{
	const size_t first = below(random, ARENA_PAGES);
	const size_t count = below(random, 3) ? 1 + below(random, ARENA_PAGES - first) : 0;
	uint64_t gpa = SLOT_GPA + below(random, ARENA_PAGES) * 0x1000;

	if (!below(random, 8))
		gpa = value(random);
	vm_set_slot(scene->vm, 1 + below(random, 3), gpa, count * 0x1000,
		    scene->arena + first * 0x1000, below(random, 4));
}

static void change_memory(struct scene *scene, struct random *random)
{
	const size_t first = below(random, ARENA_PAGES);
	void *start = scene->arena + first * 0x1000;
	const size_t size = (1 + below(random, ARENA_PAGES - first)) * 0x1000;

	switch (below(random, 4)) {
	case 0:
		madvise(start, size, MADV_DONTNEED);
		break;
	case 1:
		mprotect(start, size, PROT_READ);
		break;
	case 2:
		mprotect(start, size, PROT_NONE);
		break;
	default:
		mprotect(scene->arena, ARENA_PAGES * 0x1000, PROT_READ | PROT_WRITE);
	}
}

static void call_vm(struct scene *scene, struct random *random)
{
	static const unsigned long plain[] = {
		KVM_CREATE_IRQCHIP, KVM_GET_STATS_FD, KVM_ARM_PREFERRED_TARGET,
	};
	union {
		uint64_t words[64];
		struct kvm_irq_level line;
		struct kvm_msi msi;
		struct kvm_irqfd irqfd;
		struct kvm_ioeventfd ioeventfd;
		struct kvm_dirty_log log;
		struct kvm_clear_dirty_log clear;
		struct kvm_irq_routing routing;
		struct kvm_create_device device;
		struct kvm_coalesced_mmio_zone zone;
	} arg;
	static uint64_t bitmap[0x10000];
	int fd, result;

	for (unsigned int i = 0; i < ARRAY_SIZE(arg.words); i++)
		arg.words[i] = value(random);
	switch (below(random, 16)) {
	case 0 ... 2:
		set_slot(scene, random);
		break;
	case 3:
		change_memory(scene, random);
		break;
	case 4 ... 6:
		arg.line.irq = below(random, 4) << KVM_ARM_IRQ_TYPE_SHIFT |
			       below(random, VCPUS + 1) << KVM_ARM_IRQ_VCPU_SHIFT | below(random, 128);
		arg.line.level = below(random, 2);
		ioctl(scene->vm->fd, KVM_IRQ_LINE, &arg);
		break;
	case 7:
		if (below(random, 2)) {
			arg.msi.address_lo = ITS_BASE + 0x10040;
			arg.msi.address_hi = 0;
			arg.msi.devid = below(random, 4);
			arg.msi.data = below(random, 16);
			arg.msi.flags = KVM_MSI_VALID_DEVID;
		}
		ioctl(scene->vm->fd, KVM_SIGNAL_MSI, &arg);
		break;
	case 8:
		fd = eventfd(0, EFD_NONBLOCK);
		arg.irqfd.fd = fd;
		arg.irqfd.gsi = below(random, 64);
		arg.irqfd.flags = below(random, 4);
		arg.irqfd.resamplefd = below(random, 2) ? fd : -1;
		ioctl(scene->vm->fd, KVM_IRQFD, &arg);
		for (int i = 0; i < 8; i++)
			eventfd_write(fd, 1);
		close(fd);
		break;
	case 9:
		fd = eventfd(0, EFD_NONBLOCK);
		arg.ioeventfd.addr = SLOT_GPA + below(random, 0x1000);
		arg.ioeventfd.len = below(random, 10);
		arg.ioeventfd.fd = fd;
		arg.ioeventfd.flags = below(random, 16);
		ioctl(scene->vm->fd, KVM_IOEVENTFD, &arg);
		close(fd);
		break;
	case 10:
		arg.log.slot = below(random, 4);
		arg.log.dirty_bitmap = bitmap;
		ioctl(scene->vm->fd, KVM_GET_DIRTY_LOG, &arg);
		break;
	case 11:
		arg.clear.slot = below(random, 4);
		arg.clear.num_pages = below(random, ARENA_PAGES + 2);
		arg.clear.first_page = below(random, 2) * 64;
		arg.clear.dirty_bitmap = bitmap;
		ioctl(scene->vm->fd, KVM_CLEAR_DIRTY_LOG, &arg);
		break;
	case 12:
		arg.routing.nr = below(random, 10);
		arg.routing.flags = 0;
		for (unsigned int i = 0; i < arg.routing.nr; i++) {
			arg.routing.entries[i].gsi = below(random, 8) ? below(random, 64) : next(random);
			arg.routing.entries[i].type = below(random, 4);
			arg.routing.entries[i].flags = below(random, 3);
		}
		ioctl(scene->vm->fd, KVM_SET_GSI_ROUTING, &arg);
		break;
	case 13:
		memset(&arg.device, 0, sizeof(arg.device));
		arg.device.type = below(random, 12);
		arg.device.flags = below(random, 3);
		result = ioctl(scene->vm->fd, KVM_CREATE_DEVICE, &arg);
		if (!result && !(arg.device.flags & KVM_CREATE_DEVICE_TEST))
			close(arg.device.fd);
		break;
	case 14:
		arg.zone.addr = SLOT_GPA + 0x100000 + below(random, 0x1000);
		arg.zone.size = below(random, 0x100);
		ioctl(scene->vm->fd, below(random, 2) ? KVM_REGISTER_COALESCED_MMIO :
							 KVM_UNREGISTER_COALESCED_MMIO, &arg);
		break;
	default:
		result = ioctl(scene->vm->fd, plain[below(random, ARRAY_SIZE(plain))], &arg);
		if (result > 2)
			close(result);
	}
}

static void *call(void *argument)
{
	struct runner *caller = argument;
	struct scene *scene = caller->scene;
	struct random random = { scene->seed * 77 + caller->number + 101 };

	while (!scene->over) {
		switch (below(&random, 8)) {
		case 0 ... 2:
			call_vm(scene, &random);
			break;
		case 3 ... 4:
			call_device(scene, &random);
			break;
		case 5:
			call_vcpu(scene, &random);
			break;
		default:
			pthread_kill(scene->runners[below(&random, VCPUS)], SIGUSR1);
		}
		scene->calls++;
	}
	return NULL;
}

static void on_signal(int signal)
{
	(void)signal;
}

static void set_scene(struct scene *scene)
{
	struct kvm_create_device its = { .type = KVM_DEV_TYPE_ARM_VGIC_ITS };
	struct random random = { scene->seed };
	uint64_t its_base = ITS_BASE;
	struct {
		uint64_t n;
		uint64_t ids[1024];
	} list = { .n = 1024 };

	scene->vm = vm_new(64);
	scene->arena = mem_new(ARENA_PAGES * 0x1000);
	scene->vgic = vgic_create(scene->vm);
	ASSERT_OK(ioctl(scene->vm->fd, KVM_CREATE_DEVICE, &its));
	scene->its = its.fd;
	ASSERT_OK(vgic_attr(its.fd, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ADDR,
			    KVM_VGIC_ITS_ADDR_TYPE, &its_base));
	for (unsigned int i = 0; i < VCPUS; i++) {
		struct kvm_vcpu_init init;

		scene->vcpus[i] = vcpu_create(scene->vm, i);
		ASSERT_OK(ioctl(scene->vm->fd, KVM_ARM_PREFERRED_TARGET, &init));
		init.features[0] |= 1 << KVM_ARM_VCPU_PSCI_0_2;
		ASSERT_OK(ioctl(scene->vcpus[i]->fd, KVM_ARM_VCPU_INIT, &init));
	}
	vgic_init(scene->vgic);
	ASSERT_OK(vgic_attr(its.fd, KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_CTRL,
			    KVM_DEV_ARM_VGIC_CTRL_INIT, NULL));
	ASSERT_OK(ioctl(scene->vcpus[0]->fd, KVM_GET_REG_LIST, &list));
	scene->id_count = list.n;
	memcpy(scene->ids, list.ids, sizeof(scene->ids));
	ASSERT_OK(vm_set_slot(scene->vm, 1, SLOT_GPA, ARENA_PAGES * 0x1000, scene->arena, 0));
	for (unsigned int entry = 0; entry < 16; entry++) {
		const uint64_t gpa = GUEST_VECTORS + entry * 0x80;

		if (entry % 4)
			VM_LOAD_AT(scene->vm, gpa, end_irq);
		else
			VM_LOAD_AT(scene->vm, gpa, skip);
	}
	for (unsigned int i = 0; i < VCPUS; i++) {
		load_code(scene, &random, i);
		restart(scene, i);
	}
}

static void kick_all(struct scene *scene)
{
	for (unsigned int i = 0; i < VCPUS; i++)
		pthread_kill(scene->runners[i], SIGUSR1);
	usleep(KICK_MICROSECONDS);
}

static void play(uint64_t seed)
{
	static struct scene scene;
	const struct sigaction action = { .sa_handler = on_signal };
	struct runner runners[VCPUS], callers[2];
	pthread_t calling[2];
	const time_t end = time(NULL) + SECONDS;
	const char *other = getenv("HOSTILE_SEED");

	scene.seed = seed + (other ? strtoul(other, NULL, 0) * 1000003 : 0);
	ASSERT_OK(sigaction(SIGUSR1, &action, NULL));
	set_scene(&scene);
	for (unsigned int i = 0; i < VCPUS; i++) {
		runners[i] = (struct runner){ &scene, i };
		ASSERT_TRUE(!pthread_create(&scene.runners[i], NULL, run, &runners[i]));
	}
	for (unsigned int i = 0; i < 2; i++) {
		callers[i] = (struct runner){ &scene, i };
		ASSERT_TRUE(!pthread_create(&calling[i], NULL, call, &callers[i]));
	}
	/* A vCPU that runs is to let go of those who wait for it. */
	while (time(NULL) < end)
		kick_all(&scene);
	scene.over = true;
	for (unsigned int i = 0; i < 2; i++)
		while (pthread_tryjoin_np(calling[i], NULL))
			kick_all(&scene);
	for (unsigned int i = 0; i < VCPUS; i++) {
		while (pthread_tryjoin_np(scene.runners[i], NULL)) {
			pthread_kill(scene.runners[i], SIGUSR1);
			usleep(KICK_MICROSECONDS);
		}
	}
	test_note("%lu runs, %lu calls", scene.runs, scene.calls);
	EXPECT_TRUE(scene.runs > 0);
	EXPECT_TRUE(scene.calls > 0);
}

#define SEED(number)								\
	TEST_LIMIT(seed_##number, 60)						\
	{									\
		if (kvm_is_c())							\
			SKIP("C KVM warns of what such guests do");		\
		play(number * 0x9e3779b97f4a7c15);				\
	}

SEED(1)
SEED(2)
SEED(3)
SEED(4)
SEED(5)
SEED(6)
