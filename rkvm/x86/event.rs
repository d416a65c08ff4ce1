// SPDX-License-Identifier: GPL-2.0

//! Events on their way into a guest: exceptions, NMIs and interrupts, in the form that VMX takes and
//! reports them (Intel SDM volume 3, sections 26.8.3 and 26.9.2).

/// Exception vectors that this module raises or looks at.
pub mod vector {
    /// #DE.
    pub const DIVIDE: u8 = 0;
    /// #DB.
    pub const DEBUG: u8 = 1;
    /// NMI.
    pub const NMI: u8 = 2;
    /// #BP.
    pub const BREAKPOINT: u8 = 3;
    /// #OF.
    pub const OVERFLOW: u8 = 4;
    /// #UD.
    pub const INVALID_OPCODE: u8 = 6;
    /// #DF.
    pub const DOUBLE_FAULT: u8 = 8;
    /// #TS.
    pub const INVALID_TSS: u8 = 10;
    /// #NP.
    pub const SEGMENT_NOT_PRESENT: u8 = 11;
    /// #SS.
    pub const STACK: u8 = 12;
    /// #GP.
    pub const GENERAL_PROTECTION: u8 = 13;
    /// #PF.
    pub const PAGE_FAULT: u8 = 14;
    /// #AC.
    pub const ALIGNMENT_CHECK: u8 = 17;
    /// #MC.
    pub const MACHINE_CHECK: u8 = 18;
}

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An external interrupt.
    External,
    /// A non-maskable interrupt.
    Nmi,
    /// A hardware exception.
    Exception,
    /// INT n.
    SoftwareInterrupt,
    /// INT1.
    PrivilegedSoftwareException,
    /// INT3 or INTO.
    SoftwareException,
    /// An encoding that has no meaning here.
    Other(u8),
}

/// An interruption-information word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterruptionInfo(u32);

impl InterruptionInfo {
    const KIND_SHIFT: u32 = 8;
    const KIND_MASK: u32 = 7;
    const ERROR_CODE: u32 = 1 << 11;
    const NMI_UNBLOCKED_BY_IRET: u32 = 1 << 12;
    const VALID: u32 = 1 << 31;

    /// Wraps what the VMCS holds.
    pub const fn new(raw: u32) -> Self {
        Self(raw)
    }

    /// The word for the VMCS.
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Whether there is an event.
    pub const fn is_valid(self) -> bool {
        self.0 & Self::VALID != 0
    }

    /// The vector.
    pub const fn vector(self) -> u8 {
        self.0 as u8
    }

    /// The kind.
    pub const fn kind(self) -> Kind {
        match (self.0 >> Self::KIND_SHIFT) & Self::KIND_MASK {
            0 => Kind::External,
            2 => Kind::Nmi,
            3 => Kind::Exception,
            4 => Kind::SoftwareInterrupt,
            5 => Kind::PrivilegedSoftwareException,
            6 => Kind::SoftwareException,
            other => Kind::Other(other as u8),
        }
    }

    /// Whether an error code goes with it.
    pub const fn has_error_code(self) -> bool {
        self.0 & Self::ERROR_CODE != 0
    }

    /// Whether the IRET that faulted had unblocked NMIs.
    pub const fn is_nmi_unblocked_by_iret(self) -> bool {
        self.0 & Self::NMI_UNBLOCKED_BY_IRET != 0
    }

    /// An event to inject.
    const fn inject(vector: u8, kind: u32) -> Self {
        Self(vector as u32 | kind << Self::KIND_SHIFT | Self::VALID)
    }
}

/// An event with all that its injection takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it is.
    pub info: InterruptionInfo,
    /// The error code, where `info` says that there is one.
    pub error_code: u32,
    /// The length of the instruction that a software event came from.
    pub instruction_length: u32,
}

impl Event {
    /// An exception; `error_code` for those that have one.
    pub const fn exception(vector: u8, error_code: Option<u32>) -> Self {
        const EXCEPTION: u32 = 3;
        let mut info = InterruptionInfo::inject(vector, EXCEPTION);
        let mut code = 0;
        if let Some(value) = error_code {
            info = InterruptionInfo(info.0 | InterruptionInfo::ERROR_CODE);
            code = value;
        }
        Self {
            info,
            error_code: code,
            instruction_length: 0,
        }
    }

    /// Whether it is a fault: its handler finds RF set, so that no instruction breakpoint hits again on return. Debug
    /// exceptions have set RF themselves where they are faults.
    pub fn is_fault(self) -> bool {
        self.info.kind() == Kind::Exception
            && !matches!(
                self.info.vector(),
                vector::DEBUG
                    | vector::BREAKPOINT
                    | vector::OVERFLOW
                    | vector::DOUBLE_FAULT
                    | vector::MACHINE_CHECK
            )
    }

    /// The event as it is delivered where there are no error codes.
    pub const fn without_error_code(self) -> Self {
        Self {
            info: InterruptionInfo(self.info.0 & !InterruptionInfo::ERROR_CODE),
            error_code: 0,
            ..self
        }
    }

    /// #GP(0).
    pub const GENERAL_PROTECTION: Self = Self::exception(vector::GENERAL_PROTECTION, Some(0));
    /// #UD.
    pub const INVALID_OPCODE: Self = Self::exception(vector::INVALID_OPCODE, None);
    /// #DB; DR6 is set apart.
    pub const DEBUG: Self = Self::exception(vector::DEBUG, None);
    /// #DF.
    const DOUBLE_FAULT: Self = Self::exception(vector::DOUBLE_FAULT, Some(0));

    /// An NMI.
    pub const NMI: Self = {
        const NMI: u32 = 2;
        Self {
            info: InterruptionInfo::inject(vector::NMI, NMI),
            error_code: 0,
            instruction_length: 0,
        }
    };

    /// The exception of an INT3 or INTO at RIP, which is delivered as if the instruction were executed.
    pub const fn software_exception(vector: u8) -> Self {
        const SOFTWARE_EXCEPTION: u32 = 6;
        Self {
            info: InterruptionInfo::inject(vector, SOFTWARE_EXCEPTION),
            error_code: 0,
            instruction_length: 1,
        }
    }

    /// The interrupt of an INT n at RIP, likewise.
    pub const fn software_interrupt(vector: u8) -> Self {
        const SOFTWARE_INTERRUPT: u32 = 4;
        Self {
            info: InterruptionInfo::inject(vector, SOFTWARE_INTERRUPT),
            error_code: 0,
            instruction_length: 2,
        }
    }

    /// An external interrupt.
    pub const fn interrupt(vector: u8) -> Self {
        Self {
            info: InterruptionInfo::inject(vector, 0),
            error_code: 0,
            instruction_length: 0,
        }
    }

    /// An event whose delivery an exit has cut short, from the IDT-vectoring fields, to inject again.
    pub const fn interrupted(
        vectoring: InterruptionInfo,
        error_code: u32,
        instruction_length: u32,
    ) -> Self {
        // The bits of an entry are those of vectoring information but for bit 12.
        let info = InterruptionInfo(vectoring.0 & !InterruptionInfo::NMI_UNBLOCKED_BY_IRET);
        Self {
            info,
            error_code,
            instruction_length,
        }
    }
}

/// What a second exception during the delivery of a first one makes (SDM volume 3, table 7-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// This event is delivered.
    Deliver(Event),
    /// A third one: the processor shuts down.
    TripleFault,
}

/// `second` is raised while `first` is being delivered.
pub fn merge(first: Option<Event>, second: Event) -> Merged {
    let Some(first) = first.filter(|first| first.info.kind() == Kind::Exception) else {
        return Merged::Deliver(second);
    };
    let (before, after) = (first.info.vector(), second.info.vector());
    if before == vector::DOUBLE_FAULT && (is_contributory(after) || after == vector::PAGE_FAULT) {
        return Merged::TripleFault;
    }
    let double = match (before, after) {
        (vector::PAGE_FAULT, vector::PAGE_FAULT) => true,
        (vector::PAGE_FAULT, after) => is_contributory(after),
        (before, after) => is_contributory(before) && is_contributory(after),
    };
    Merged::Deliver(if double { Event::DOUBLE_FAULT } else { second })
}

fn is_contributory(exception: u8) -> bool {
    matches!(
        exception,
        vector::DIVIDE
            | vector::INVALID_TSS
            | vector::SEGMENT_NOT_PRESENT
            | vector::STACK
            | vector::GENERAL_PROTECTION
    )
}

/// What waits to be delivered to a vCPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct Events {
    /// To be injected at the next entry whatever the guest's flags: an exception, or an event whose
    /// delivery was cut short.
    pub due: Option<Event>,
    /// NMIs that wait for the guest to accept them; the processor remembers one beyond the one
    /// being handled.
    pub nmis: u8,
    /// An interrupt that the VMM's interrupt controller has acknowledged.
    pub interrupt: Option<u8>,
    /// The guest has triple-faulted.
    pub triple_fault: bool,
}

/// Whether an NMI is being handled or delivered, which holds back those that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NmisHeld {
    /// One is.
    Yes,
    /// None is.
    No,
}

impl Events {
    const MAX_NMIS: u8 = 2;

    /// Raises an exception in the guest.
    pub fn raise(&mut self, exception: Event) {
        match merge(self.due, exception) {
            Merged::Deliver(event) => self.due = Some(event),
            Merged::TripleFault => {
                self.due = None;
                self.triple_fault = true;
            }
        }
    }

    /// Forgets an exception that was to be delivered.
    pub fn drop_exception(&mut self) {
        self.due = self
            .due
            .filter(|event| event.info.kind() != Kind::Exception);
    }

    /// The vector of an interrupt whose delivery was cut short.
    pub fn cut_short_interrupt(&self) -> Option<u8> {
        self.due
            .filter(|event| event.info.kind() == Kind::External)
            .map(|event| event.info.vector())
    }

    /// One more NMI.
    pub fn add_nmi(&mut self) {
        self.nmis = self.nmis.saturating_add(1).min(Self::MAX_NMIS);
    }

    /// Replaces the number of NMIs that wait. One more fits where none is held back.
    pub fn set_nmis(&mut self, count: u8, held: NmisHeld) {
        let limit = match held {
            NmisHeld::Yes => Self::MAX_NMIS - 1,
            NmisHeld::No => Self::MAX_NMIS,
        };
        self.nmis = count.min(limit);
    }

    /// Whether something has to go in before an interrupt can.
    pub fn is_busy(&self) -> bool {
        self.due.is_some() || self.interrupt.is_some()
    }
}
