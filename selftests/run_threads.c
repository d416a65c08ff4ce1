// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any cpus=2 */
/* Many vCPUs and several VMs at once, and vCPUs that change their thread. */
#include "lib/spin.h"
#include "lib/sweep.h"

TEST_LIMIT(many_vcpus_of_one_vm, 60)
{
	enum { VCPUS = 8 };
	struct vcpu *vcpus[VCPUS];
	pthread_t threads[VCPUS];

	vcpus[0] = spin_new();
	for (int i = 1; i < VCPUS; i++)
		vcpus[i] = spin_add(vcpus[0]->vm, i);
	for (int i = 0; i < VCPUS; i++)
		threads[i] = spin_run(vcpus[i]);
	for (int i = 0; i < VCPUS; i++)
		spin_wait(vcpus[i]);
	for (int i = 0; i < VCPUS; i++)
		spin_stop(threads[i]);
}

enum { PAGES = 300, ROUNDS = 10 };

/* Fills and checks memory of its own again and again. */
static void *fill_and_check(void *arg)
{
	const uint64_t first = (uintptr_t)arg;
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	for (uint64_t i = 0; i < ROUNDS; i++) {
		guest_fill(vcpu, SWEEP_GPA, PAGES, first + i);
		EXPECT_EQ(host_mismatches(mem, PAGES, first + i), 0);
		EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, first + i), 0);
		ASSERT_OK(madvise(mem, PAGES * PAGE_SIZE, MADV_DONTNEED));
	}
	guest_free(vcpu);
	return NULL;
}

TEST_LIMIT(several_vms_in_one_process, 60)
{
	enum { VMS = 4 };
	pthread_t threads[VMS];

	for (uintptr_t i = 0; i < VMS; i++)
		ASSERT_EQ(pthread_create(&threads[i], NULL, fill_and_check,
					 (void *)(1000 * (i + 1))), 0);
	for (int i = 0; i < VMS; i++)
		ASSERT_EQ(pthread_join(threads[i], NULL), 0);
}

/* VMs come and go beside one that runs all the time. */
TEST_LIMIT(vms_come_and_go, 60)
{
	struct vcpu *steady = spin_new();
	pthread_t thread = spin_run(steady);

	for (int i = 0; i < 20; i++) {
		struct vcpu *vcpu = spin_new();

		spin_stop(spin_run(vcpu));
		guest_free(vcpu);
		spin_wait(steady);
	}
	spin_stop(thread);
}

/* A vCPU may be run by one thread after another. */
TEST(from_one_thread_to_another)
{
	struct vcpu *vcpu = spin_new();

	for (int i = 0; i < 10; i++) {
		spin_stop(spin_run(vcpu));
		EXPECT_EQ(vcpu_argument(vcpu), SPIN_COUNTER(0));
	}
}

static void *read_registers(void *arg)
{
	EXPECT_EQ(vcpu_argument(arg), SPIN_COUNTER(0));
	return NULL;
}

/* An ioctl on a vCPU that runs waits until KVM_RUN is over, and then is done. */
TEST(ioctl_beside_a_run)
{
	struct vcpu *vcpu = spin_new();
	pthread_t runner = spin_run(vcpu), reader;

	ASSERT_EQ(pthread_create(&reader, NULL, read_registers, vcpu), 0);
	spin_wait(vcpu);
	spin_stop(runner);
	ASSERT_EQ(pthread_join(reader, NULL), 0);
}

/* Memory slots change while vCPUs run. */
TEST_LIMIT(slots_change_under_running_vcpus, 60)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *steady = spin_new(), *second = spin_add(steady->vm, 1);
	pthread_t one = spin_run(steady), two = spin_run(second);

	for (int i = 0; i < 20; i++) {
		ASSERT_OK(vm_set_slot(steady->vm, 1, SWEEP_GPA, PAGES * PAGE_SIZE, mem, 0));
		spin_wait(steady);
		ASSERT_OK(vm_set_slot(steady->vm, 1, SWEEP_GPA, 0, mem, 0));
		spin_wait(second);
	}
	spin_stop(one);
	spin_stop(two);
}
