// SPDX-License-Identifier: GPL-2.0

//! Why a VM exit happened: the exit reason and the exit qualifications (SDM volume 3, section 29.2 and
//! appendix C).

use crate::x86::{insn::Gpr, task_switch::Source};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        /// A basic exit reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
            /// One that this module does not know.
            Unknown(u16),
        }

        impl Reason {
            #[inline(always)]
            const fn new(number: u16) -> Self {
                match number {
                    $($number => Self::$name,)*
                    other => Self::Unknown(other),
                }
            }

            /// Its number.
            #[inline(always)]
            pub const fn number(self) -> u16 {
                match self {
                    $(Self::$name => $number,)*
                    Self::Unknown(other) => other,
                }
            }
        }
    };
}

reasons! {
    /// An exception that the exception bitmap selects, or an NMI.
    ExceptionOrNmi = 0;
    /// An interrupt of the host.
    ExternalInterrupt = 1;
    /// The guest triple-faulted.
    TripleFault = 2;
    /// An INIT signal.
    Init = 3;
    /// The guest can take an interrupt.
    InterruptWindow = 7;
    /// The guest can take an NMI.
    NmiWindow = 8;
    /// A task switch.
    TaskSwitch = 9;
    /// CPUID.
    Cpuid = 10;
    /// GETSEC.
    Getsec = 11;
    /// HLT.
    Hlt = 12;
    /// INVD.
    Invd = 13;
    /// INVLPG.
    Invlpg = 14;
    /// RDPMC.
    Rdpmc = 15;
    /// RDTSC.
    Rdtsc = 16;
    /// VMCALL.
    Vmcall = 18;
    /// VMCLEAR.
    Vmclear = 19;
    /// VMLAUNCH.
    Vmlaunch = 20;
    /// VMPTRLD.
    Vmptrld = 21;
    /// VMPTRST.
    Vmptrst = 22;
    /// VMREAD.
    Vmread = 23;
    /// VMRESUME.
    Vmresume = 24;
    /// VMWRITE.
    Vmwrite = 25;
    /// VMXOFF.
    Vmxoff = 26;
    /// VMXON.
    Vmxon = 27;
    /// MOV to or from a control register, CLTS or LMSW.
    ControlRegister = 28;
    /// MOV to or from a debug register.
    DebugRegister = 29;
    /// IN, OUT, INS or OUTS.
    IoInstruction = 30;
    /// RDMSR.
    Rdmsr = 31;
    /// WRMSR.
    Wrmsr = 32;
    /// The guest state is invalid.
    InvalidGuestState = 33;
    /// An MSR of the entry's load area could not be loaded.
    MsrLoading = 34;
    /// MWAIT.
    Mwait = 36;
    /// The monitor trap flag.
    MonitorTrapFlag = 37;
    /// MONITOR.
    Monitor = 39;
    /// PAUSE.
    Pause = 40;
    /// A machine check during the entry.
    MachineCheck = 41;
    /// The guest has ended an interrupt that the EOI-exit bitmap selects.
    VirtualizedEoi = 45;
    /// LGDT, LIDT, SGDT or SIDT.
    DescriptorTable = 46;
    /// LLDT, LTR, SLDT or STR.
    TaskRegister = 47;
    /// EPT does not allow an access.
    EptViolation = 48;
    /// An EPT entry is not valid.
    EptMisconfiguration = 49;
    /// INVEPT.
    Invept = 50;
    /// RDTSCP.
    Rdtscp = 51;
    /// The VMX-preemption timer has run down.
    PreemptionTimer = 52;
    /// INVVPID.
    Invvpid = 53;
    /// WBINVD or WBNOINVD.
    Wbinvd = 54;
    /// XSETBV.
    Xsetbv = 55;
    /// The processor has written a register of the virtual APIC and leaves the rest.
    ApicWrite = 56;
    /// RDRAND.
    Rdrand = 57;
    /// INVPCID.
    Invpcid = 58;
    /// VMFUNC.
    Vmfunc = 59;
    /// ENCLS.
    Encls = 60;
    /// RDSEED.
    Rdseed = 61;
    /// XSAVES.
    Xsaves = 63;
    /// XRSTORS.
    Xrstors = 64;
    /// UMWAIT.
    Umwait = 67;
    /// TPAUSE.
    Tpause = 68;
    /// LOADIWKEY.
    Loadiwkey = 69;
    /// SEAMCALL or SEAMOPS.
    Seamcall = 76;
    /// TDCALL.
    Tdcall = 77;
    /// RDMSR with an immediate operand.
    RdmsrImmediate = 84;
    /// WRMSRNS with an immediate operand.
    WrmsrnsImmediate = 85;
}

/// The exit-reason field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitReason(u32);

impl ExitReason {
    const ENTRY_FAILURE: u32 = 1 << 31;

    /// Wraps what the VMCS holds.
    pub const fn new(raw: u32) -> Self {
        Self(raw)
    }

    /// The whole field.
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Whether the entry failed: no guest instruction was executed.
    pub const fn is_entry_failure(self) -> bool {
        self.0 & Self::ENTRY_FAILURE != 0
    }

    /// The basic reason.
    #[inline(always)]
    pub const fn basic(self) -> Reason {
        Reason::new(self.0 as u16)
    }
}

/// The exit qualification of a task switch (SDM table 29-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSwitchQualification(u64);

impl TaskSwitchQualification {
    /// Wraps what the VMCS holds.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The selector of the new task's TSS.
    pub const fn selector(self) -> u16 {
        self.0 as u16
    }

    /// What asks for the switch.
    pub const fn source(self) -> Source {
        match (self.0 >> 30) & 3 {
            0 => Source::Call,
            1 => Source::Iret,
            2 => Source::Jump,
            _ => Source::TaskGate,
        }
    }
}

/// The exit qualification of an I/O instruction (SDM table 29-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoQualification(u64);

impl IoQualification {
    /// Wraps what the VMCS holds.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// Bytes of one access: 1, 2 or 4.
    pub const fn size(self) -> u8 {
        (self.0 & 7) as u8 + 1
    }

    /// Whether it is IN or INS.
    pub const fn is_in(self) -> bool {
        self.0 & (1 << 3) != 0
    }

    /// Whether it is INS or OUTS.
    pub const fn is_string(self) -> bool {
        self.0 & (1 << 4) != 0
    }

    /// The port.
    pub const fn port(self) -> u16 {
        (self.0 >> 16) as u16
    }
}

/// What an instruction does with a control register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrAccess {
    /// MOV to the register.
    Write {
        /// Its number.
        cr: u8,
        /// Where the value comes from.
        from: Gpr,
    },
    /// MOV from the register.
    Read {
        /// Its number.
        cr: u8,
        /// Where the value goes.
        to: Gpr,
    },
    /// CLTS.
    Clts,
    /// LMSW with this operand.
    Lmsw(u16),
}

impl CrAccess {
    /// Decodes the exit qualification (SDM table 29-3).
    pub fn new(qualification: u64) -> Self {
        let cr = (qualification & 0xf) as u8;
        let register = Gpr::new((qualification >> 8) as u8);
        match (qualification >> 4) & 3 {
            0 => Self::Write { cr, from: register },
            1 => Self::Read { cr, to: register },
            2 => Self::Clts,
            _ => Self::Lmsw((qualification >> 16) as u16),
        }
    }
}

/// The exit qualification of a MOV to or from a debug register (SDM table 29-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrAccess {
    /// The number of the debug register.
    pub dr: u8,
    /// Which way the value goes.
    pub direction: DrDirection,
    /// The general register.
    pub gpr: Gpr,
}

/// Which way a MOV goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrDirection {
    /// MOV to the debug register.
    Write,
    /// MOV from the debug register.
    Read,
}

impl DrAccess {
    /// Decodes the exit qualification.
    pub fn new(qualification: u64) -> Self {
        Self {
            dr: (qualification & 7) as u8,
            direction: if qualification & (1 << 4) != 0 {
                DrDirection::Read
            } else {
                DrDirection::Write
            },
            gpr: Gpr::new((qualification >> 8) as u8),
        }
    }
}
