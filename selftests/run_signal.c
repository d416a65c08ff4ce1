// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* A signal ends KVM_RUN with EINTR, and the guest goes on where it was. */
#include "lib/spin.h"

TEST(a_spinning_guest)
{
	struct vcpu *vcpu = spin_new();

	for (int i = 0; i < 20; i++) {
		pthread_t thread = spin_run(vcpu);
		uint64_t counted;

		spin_stop(thread);
		counted = *spin_counter(vcpu);
		EXPECT_EQ(vcpu_argument(vcpu), SPIN_COUNTER(0));
		EXPECT_EQ(*spin_counter(vcpu), counted);
	}
}

/* A signal that came before KVM_RUN */
TEST(a_pending_signal)
{
	struct sigaction action = { .sa_handler = spin_on_signal };
	struct vcpu *vcpu = spin_new();
	sigset_t blocked, pending;
	struct kvm_signal_mask *mask;
	uint8_t room[sizeof(*mask) + 8] = { 0 };

	ASSERT_OK(sigaction(SPIN_SIGNAL, &action, NULL));
	sigemptyset(&blocked);
	sigaddset(&blocked, SPIN_SIGNAL);
	ASSERT_OK(sigprocmask(SIG_BLOCK, &blocked, NULL));
	raise(SPIN_SIGNAL);
	/* The mask that holds during KVM_RUN lets it in. */
	mask = (struct kvm_signal_mask *)room;
	mask->len = 8;
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, mask));
	EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
	EXPECT_EXIT(vcpu, KVM_EXIT_INTR);
	/* It was not taken: outside it is blocked as before. */
	ASSERT_OK(sigpending(&pending));
	EXPECT_EQ(sigismember(&pending, SPIN_SIGNAL), 1);
}

static volatile sig_atomic_t handled;

static void on_blocked_signal(int signal)
{
	(void)signal;
	handled++;
}

static void *send_two(void *arg)
{
	struct vcpu *vcpu = arg;

	spin_wait(vcpu);
	ASSERT_OK(kill(getpid(), SIGUSR2));
	spin_wait(vcpu);
	EXPECT_EQ(handled, 0);
	ASSERT_OK(kill(getpid(), SPIN_SIGNAL));
	return NULL;
}

/* A signal that KVM_SET_SIGNAL_MASK blocks waits until KVM_RUN is over. */
TEST(a_signal_blocked_by_the_mask)
{
	struct sigaction action = { .sa_handler = spin_on_signal };
	struct sigaction counting = { .sa_handler = on_blocked_signal };
	struct vcpu *vcpu = spin_new();
	uint8_t room[sizeof(struct kvm_signal_mask) + 8] = { 0 };
	struct kvm_signal_mask *mask = (struct kvm_signal_mask *)room;
	const uint64_t blocked = 1UL << (SIGUSR2 - 1);
	pthread_t thread;
	sigset_t both, before;

	ASSERT_OK(sigaction(SPIN_SIGNAL, &action, NULL));
	ASSERT_OK(sigaction(SIGUSR2, &counting, NULL));
	mask->len = 8;
	*(uint64_t *)mask->sigset = blocked;
	ASSERT_OK(ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, mask));

	/* The sender takes neither signal itself. */
	sigemptyset(&both);
	sigaddset(&both, SPIN_SIGNAL);
	sigaddset(&both, SIGUSR2);
	ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &both, &before), 0);
	ASSERT_EQ(pthread_create(&thread, NULL, send_two, vcpu), 0);
	ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
	EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
	ASSERT_EQ(pthread_join(thread, NULL), 0);
	EXPECT_EQ(handled, 1);
}
