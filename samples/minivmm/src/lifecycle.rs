// SPDX-License-Identifier: GPL-2.0
//! The life of a vCPU, as its thread and the rest of the machine agree on it: created at rest, then run,
//! paused and resumed any number of times, and destroyed.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::sync::lock;

/// What the machine wants of a vCPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    Paused,
    Running,
    Destroyed,
}

/// What a vCPU does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Doing {
    Resting,
    Running,
}

struct State {
    wanted: Wanted,
    doing: Doing,
}

pub struct Lifecycle {
    state: Mutex<State>,
    changed: Condvar,
}

impl Lifecycle {
    pub fn new() -> Self {
        let state = State {
            wanted: Wanted::Paused,
            doing: Doing::Resting,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// Sets what is wanted. A vCPU in KVM_RUN learns of it when it is kicked.
    pub fn want(&self, wanted: Wanted) {
        lock(&self.state).wanted = wanted;
        self.changed.notify_all();
    }

    /// For the vCPU's thread: the guest has ended, so that there is nothing to run. That the vCPU is to go
    /// may be wanted already, and stays so.
    pub fn ended(&self) {
        let mut state = lock(&self.state);
        if state.wanted == Wanted::Running {
            state.wanted = Wanted::Paused;
        }
    }

    pub fn wanted(&self) -> Wanted {
        lock(&self.state).wanted
    }

    /// For the vCPU's thread: comes to rest, until the vCPU is to run (`true`) or to go (`false`).
    pub fn rest(&self) -> bool {
        let mut state = lock(&self.state);
        state.doing = Doing::Resting;
        self.changed.notify_all();
        while state.wanted == Wanted::Paused {
            state = self.wait(state);
        }
        let run = state.wanted == Wanted::Running;
        if run {
            state.doing = Doing::Running;
        }
        run
    }

    /// Waits until the vCPU is at rest.
    pub fn wait_for_rest(&self) {
        let mut state = lock(&self.state);
        while state.doing != Doing::Resting {
            state = self.wait(state);
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }
}
