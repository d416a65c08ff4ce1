// SPDX-License-Identifier: GPL-2.0

//! What processors and guests may do: VMX negotiation, CPUID, MSRs and register rules, checked
//! against CPU models.

mod cpuid;
mod filter;
mod models;
mod msr;
mod regs;
mod vmx;
