// SPDX-License-Identifier: GPL-2.0

//! The kernel log of what VMs do, step by step, for those who learn how a VM runs (module parameter
//! `log_steps`).

/// Whether steps are logged.
pub fn is_on() -> bool {
    *crate::module_parameters::log_steps.value() != 0
}

/// Logs a step, if steps are logged.
macro_rules! log_step {
    ($($argument:tt)*) => {
        if $crate::step_log::is_on() {
            kernel::prelude::pr_info!($($argument)*);
        }
    };
}
pub(crate) use log_step;
