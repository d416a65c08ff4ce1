// SPDX-License-Identifier: GPL-2.0

//! Interrupt messages: what an MSI, an I/O APIC entry or an IPI asks for, and which local APICs it is for
//! (Intel SDM volume 3, chapter 12: 12.6 issuing interrupts, 12.11 message signalled interrupts, 12.12
//! x2APIC).
//!
//! Whether a local APIC is a destination depends on a few of its registers only. They make up its [`Identity`],
//! one word that each vCPU publishes for the others.

/// How the destination of a message is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationMode {
    /// It is an APIC id.
    Physical,
    /// It is matched with the logical destination register.
    Logical,
}

/// What is to happen at the destination (SDM 12.6.1, bits 10:8 of the ICR, of LVT entries and of messages).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryMode {
    /// 0: the interrupt with the vector given.
    Fixed,
    /// 1: as Fixed, at one of the destinations.
    LowestPriority,
    /// 2: a system-management interrupt.
    Smi,
    /// 3: reserved; long ago a remote read.
    Reserved,
    /// 4: a non-maskable interrupt.
    Nmi,
    /// 5: INIT.
    Init,
    /// 6: a start-up IPI, whose vector is a page number.
    StartUp,
    /// 7: an interrupt whose vector an external controller supplies.
    ExtInt,
}

impl DeliveryMode {
    const SHIFT: u32 = 8;

    /// From the low three bits.
    pub const fn from_bits(bits: u32) -> Self {
        match bits & 7 {
            0 => Self::Fixed,
            1 => Self::LowestPriority,
            2 => Self::Smi,
            3 => Self::Reserved,
            4 => Self::Nmi,
            5 => Self::Init,
            6 => Self::StartUp,
            _ => Self::ExtInt,
        }
    }

    /// From bits 10:8 of a register or a message.
    pub const fn from_register(register: u32) -> Self {
        Self::from_bits(register >> Self::SHIFT)
    }
}

/// How a line or a message triggers; also the trigger-mode register's bit of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Once.
    Edge,
    /// As long as the source asserts it; its EOI is broadcast to the I/O APICs.
    Level,
}

/// The level of a level-triggered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The request is withdrawn; nothing in use acts on it.
    Deassert,
    /// The request is made.
    Assert,
}

/// A destination given in words (ICR bits 19:18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shorthand {
    /// 0: by the destination field.
    None,
    /// 1: the sender.
    Itself,
    /// 2: all local APICs.
    AllIncluding,
    /// 3: all but the sender.
    AllExcluding,
}

/// Which destination of a device's message means all local APICs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// 0xff does, whatever mode an APIC is in: KVM's default, since there is no interrupt remapping.
    Quirk,
    /// 0xff for APICs in xAPIC mode, 0xffff_ffff in x2APIC mode (KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK).
    Strict,
}

/// Who sends a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The local APIC with this x2APIC id.
    Ipi {
        /// The x2APIC id.
        sender: u32,
    },
    /// A device or an I/O APIC.
    Device(Broadcast),
}

/// Where the destination id of an MSI is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MsiFormat {
    /// 8 bits in address bits 19:12.
    Compatible,
    /// Besides, bits 31:8 of the id in address bits 63:40 (KVM_X2APIC_API_USE_32BIT_IDS).
    Extended,
}

/// The mode of a local APIC (IA32_APIC_BASE bits 11:10, SDM 12.12.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApicMode {
    /// Off: the processor works as if there were none.
    Disabled,
    /// Registers in memory, ids of 8 bits.
    XApic,
    /// Registers are MSRs, ids of 32 bits.
    X2Apic,
}

/// What a destination does about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Requests the interrupt.
    Interrupt {
        /// Its vector.
        vector: u8,
        /// What its EOI does.
        trigger: Trigger,
    },
    /// Requests an SMI.
    Smi,
    /// Requests an NMI.
    Nmi,
    /// Requests an INIT.
    Init,
    /// Starts a processor that waits after INIT.
    StartUp {
        /// The 4 KiB page of real-mode memory to start at.
        page: u8,
    },
}

const VECTOR: u32 = 0xff;
const DESTINATION_LOGICAL: u32 = 1 << 11;
const LEVEL_ASSERT: u32 = 1 << 14;
const TRIGGER_LEVEL: u32 = 1 << 15;
const SHORTHAND_SHIFT: u32 = 18;
/// Of the ICR in xAPIC mode and of an I/O APIC entry: bits 63:56.
const DESTINATION_SHIFT: u32 = 56;
/// Of the ICR in x2APIC mode: bits 63:32.
const X2APIC_DESTINATION_SHIFT: u32 = 32;

const MSI_REDIRECTION_HINT: u64 = 1 << 3;
const MSI_DESTINATION_LOGICAL: u64 = 1 << 2;
const MSI_DESTINATION_SHIFT: u32 = 12;
const MSI_EXTENDED: u64 = 0xffff_ff00_0000_0000;
const MSI_EXTENDED_SHIFT: u32 = 32;

const XAPIC_BROADCAST: u32 = 0xff;
const X2APIC_BROADCAST: u32 = 0xffff_ffff;

/// An interrupt message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// An APIC id or a logical destination; with a shorthand it has no meaning.
    pub destination: u32,
    /// Which of the two.
    pub mode: DestinationMode,
    /// What to do.
    pub delivery: DeliveryMode,
    /// The vector.
    pub vector: u8,
    /// How it triggers.
    pub trigger: Trigger,
    /// Its level.
    pub level: Level,
    /// A destination in words.
    pub shorthand: Shorthand,
    /// An MSI's hint that one of the destinations is enough (address bit 3).
    pub redirection_hint: bool,
    /// Who sends it.
    pub origin: Origin,
}

impl Message {
    /// An MSI (SDM 12.11).
    pub const fn from_msi(
        address: u64,
        data: u32,
        format: MsiFormat,
        broadcast: Broadcast,
    ) -> Self {
        let low = (address >> MSI_DESTINATION_SHIFT) as u32 & 0xff;
        let high = match format {
            MsiFormat::Compatible => 0,
            MsiFormat::Extended => ((address & MSI_EXTENDED) >> MSI_EXTENDED_SHIFT) as u32,
        };
        Self {
            destination: high | low,
            mode: destination_mode(address & MSI_DESTINATION_LOGICAL != 0),
            delivery: DeliveryMode::from_register(data),
            vector: (data & VECTOR) as u8,
            trigger: trigger(data),
            level: Level::Assert,
            shorthand: Shorthand::None,
            redirection_hint: address & MSI_REDIRECTION_HINT != 0,
            origin: Origin::Device(broadcast),
        }
    }

    /// From a redirection entry of an I/O APIC (82093AA data sheet, 3.2.4).
    pub const fn from_redirection(entry: u64, broadcast: Broadcast) -> Self {
        let low = entry as u32;
        Self {
            destination: (entry >> DESTINATION_SHIFT) as u32,
            mode: destination_mode(low & DESTINATION_LOGICAL != 0),
            delivery: DeliveryMode::from_register(low),
            vector: (low & VECTOR) as u8,
            trigger: trigger(low),
            level: Level::Assert,
            shorthand: Shorthand::None,
            redirection_hint: false,
            origin: Origin::Device(broadcast),
        }
    }

    /// From the interrupt command register of the APIC with x2APIC id `sender`, which is in `mode` (SDM 12.6.1,
    /// 12.12.9).
    pub const fn from_icr(icr: u64, mode: ApicMode, sender: u32) -> Self {
        let low = icr as u32;
        Self {
            destination: match mode {
                ApicMode::X2Apic => (icr >> X2APIC_DESTINATION_SHIFT) as u32,
                ApicMode::XApic | ApicMode::Disabled => (icr >> DESTINATION_SHIFT) as u32,
            },
            mode: destination_mode(low & DESTINATION_LOGICAL != 0),
            delivery: DeliveryMode::from_register(low),
            vector: (low & VECTOR) as u8,
            trigger: trigger(low),
            level: match low & LEVEL_ASSERT {
                0 => Level::Deassert,
                _ => Level::Assert,
            },
            shorthand: match low >> SHORTHAND_SHIFT & 3 {
                0 => Shorthand::None,
                1 => Shorthand::Itself,
                2 => Shorthand::AllIncluding,
                _ => Shorthand::AllExcluding,
            },
            redirection_hint: false,
            origin: Origin::Ipi { sender },
        }
    }

    /// What a destination does. Withdrawing a request does nothing, INIT's level de-assert among it, which newer
    /// processors ignore (SDM 12.6.1).
    pub const fn action(&self) -> Action {
        let withdrawn = matches!(
            (self.trigger, self.level),
            (Trigger::Level, Level::Deassert)
        );
        match self.delivery {
            DeliveryMode::Fixed | DeliveryMode::LowestPriority | DeliveryMode::Init
                if withdrawn =>
            {
                Action::None
            }
            DeliveryMode::Fixed | DeliveryMode::LowestPriority => Action::Interrupt {
                vector: self.vector,
                trigger: self.trigger,
            },
            DeliveryMode::Smi => Action::Smi,
            DeliveryMode::Nmi => Action::Nmi,
            DeliveryMode::Init => Action::Init,
            DeliveryMode::StartUp => Action::StartUp { page: self.vector },
            // Only LINT0 can ask an external controller for a vector.
            DeliveryMode::ExtInt | DeliveryMode::Reserved => Action::None,
        }
    }

    /// Whether only one of the destinations is to get the message. A physical broadcast goes to all.
    pub const fn is_for_one(&self) -> bool {
        let arbitrated =
            matches!(self.delivery, DeliveryMode::LowestPriority) || self.redirection_hint;
        arbitrated && !self.is_broadcast()
    }

    /// Whether the destination may mean everyone.
    pub const fn is_broadcast(&self) -> bool {
        matches!(self.mode, DestinationMode::Physical)
            && matches!(self.destination, XAPIC_BROADCAST | X2APIC_BROADCAST)
    }

    /// Whether the APIC that `identity` describes is a destination and is in a state to take the message.
    pub fn is_for(&self, identity: &Identity) -> bool {
        let ready = match (identity.mode(), self.delivery) {
            (ApicMode::Disabled, _) => false,
            (_, DeliveryMode::Fixed | DeliveryMode::LowestPriority) => identity.software_enabled(),
            _ => true,
        };
        if !ready {
            return false;
        }
        let is_sender = matches!(self.origin, Origin::Ipi { sender } if sender == identity.id());
        match self.shorthand {
            Shorthand::None => self.is_addressed_to(identity),
            Shorthand::Itself => is_sender,
            Shorthand::AllIncluding => true,
            Shorthand::AllExcluding => !is_sender,
        }
    }

    fn is_addressed_to(&self, identity: &Identity) -> bool {
        let x2apic = identity.mode() == ApicMode::X2Apic;
        let everywhere = match (self.origin, x2apic) {
            (_, false) => self.destination == XAPIC_BROADCAST,
            (Origin::Device(Broadcast::Quirk), true) => {
                matches!(self.destination, XAPIC_BROADCAST | X2APIC_BROADCAST)
            }
            (_, true) => self.destination == X2APIC_BROADCAST,
        };
        if everywhere {
            return true;
        }
        match self.mode {
            // An id that does not fit into 8 bits reaches its vCPU in xAPIC mode, too. Such a vCPU starts in xAPIC
            // mode and has to be started somehow.
            DestinationMode::Physical if x2apic || self.destination > XAPIC_BROADCAST => {
                self.destination == identity.id()
            }
            DestinationMode::Physical => self.destination == u32::from(identity.xapic_id()),
            DestinationMode::Logical => identity.is_in(self.destination),
        }
    }
}

const fn destination_mode(logical: bool) -> DestinationMode {
    match logical {
        true => DestinationMode::Logical,
        false => DestinationMode::Physical,
    }
}

const fn trigger(register: u32) -> Trigger {
    match register & TRIGGER_LEVEL {
        0 => Trigger::Edge,
        _ => Trigger::Level,
    }
}

/// Which of `candidates` destinations, counted from 0, gets a message that is for one of them. `None` without
/// candidates. The same vector always goes to the same one, as chipsets' vector hashing has it.
pub fn pick(vector: u8, candidates: usize) -> Option<usize> {
    usize::from(vector).checked_rem(candidates)
}

/// The logical destination register of an APIC in x2APIC mode (SDM 12.12.10.2): cluster and bit follow from the id.
pub const fn x2apic_logical_id(id: u32) -> u32 {
    (id >> 4) << 16 | 1 << (id & 0xf)
}

/// How logical ids of 8 bits are built (the destination format register, SDM 12.6.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// A bit for each APIC.
    Flat,
    /// A cluster number in the upper half, a bit for each APIC of the cluster in the lower.
    Cluster,
    /// Something reserved, by which no APIC is reached.
    Reserved,
}

impl Model {
    const FLAT: u32 = 0xf;
    const CLUSTER: u32 = 0;
    const SHIFT: u32 = 28;

    /// From the destination format register.
    pub const fn from_register(dfr: u32) -> Self {
        match dfr >> Self::SHIFT {
            Self::FLAT => Self::Flat,
            Self::CLUSTER => Self::Cluster,
            _ => Self::Reserved,
        }
    }
}

/// What decides whether a local APIC is a destination, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(u64);

impl Identity {
    const XAPIC_ID_SHIFT: u32 = 32;
    const LOGICAL_ID_SHIFT: u32 = 40;
    const MODE: u64 = 3 << 48;
    const XAPIC: u64 = 1 << 48;
    const X2APIC: u64 = 2 << 48;
    const MODEL: u64 = 3 << 50;
    const FLAT: u64 = 1 << 50;
    const CLUSTER: u64 = 2 << 50;
    const SOFTWARE_ENABLED: u64 = 1 << 52;

    /// An APIC that is off.
    pub const fn disabled(id: u32) -> Self {
        Self(id as u64)
    }

    /// An APIC in xAPIC mode: the vCPU's own id, and what the registers hold.
    pub const fn xapic(id: u32, xapic_id: u8, logical_id: u8, model: Model) -> Self {
        let model = match model {
            Model::Flat => Self::FLAT,
            Model::Cluster => Self::CLUSTER,
            Model::Reserved => 0,
        };
        Self(
            id as u64
                | (xapic_id as u64) << Self::XAPIC_ID_SHIFT
                | (logical_id as u64) << Self::LOGICAL_ID_SHIFT
                | Self::XAPIC
                | model,
        )
    }

    /// An APIC in x2APIC mode.
    pub const fn x2apic(id: u32) -> Self {
        Self(id as u64 | Self::X2APIC)
    }

    /// The same, enabled by software (SVR bit 8), which fixed interrupts need.
    pub const fn enabled(self) -> Self {
        Self(self.0 | Self::SOFTWARE_ENABLED)
    }

    /// The word, to be published.
    pub const fn pack(self) -> u64 {
        self.0
    }

    /// From the word.
    pub const fn unpack(word: u64) -> Self {
        Self(word)
    }

    /// The x2APIC id, which is the vCPU's for good.
    pub const fn id(&self) -> u32 {
        self.0 as u32
    }

    /// The mode.
    pub const fn mode(&self) -> ApicMode {
        match self.0 & Self::MODE {
            Self::XAPIC => ApicMode::XApic,
            Self::X2APIC => ApicMode::X2Apic,
            _ => ApicMode::Disabled,
        }
    }

    /// Whether software has enabled it.
    pub const fn software_enabled(&self) -> bool {
        self.0 & Self::SOFTWARE_ENABLED != 0
    }

    /// The id of 8 bits, which software can change.
    pub const fn xapic_id(&self) -> u8 {
        (self.0 >> Self::XAPIC_ID_SHIFT) as u8
    }

    const fn logical_id(&self) -> u8 {
        (self.0 >> Self::LOGICAL_ID_SHIFT) as u8
    }

    /// Whether a logical destination names this APIC among others (SDM 12.6.2.2, 12.12.10.2).
    pub const fn is_in(&self, destination: u32) -> bool {
        const X2APIC_CLUSTER_SHIFT: u32 = 16;
        const X2APIC_MEMBERS: u32 = 0xffff;
        const CLUSTER_SHIFT: u32 = 4;
        const MEMBERS: u32 = 0xf;

        let own = self.logical_id() as u32;
        match self.0 & (Self::MODE | Self::MODEL) {
            Self::X2APIC => {
                let own = x2apic_logical_id(self.id());
                own >> X2APIC_CLUSTER_SHIFT == destination >> X2APIC_CLUSTER_SHIFT
                    && own & destination & X2APIC_MEMBERS != 0
            }
            bits if bits == Self::XAPIC | Self::FLAT => own & destination != 0,
            bits if bits == Self::XAPIC | Self::CLUSTER => {
                own >> CLUSTER_SHIFT == destination >> CLUSTER_SHIFT
                    && own & destination & MEMBERS != 0
            }
            _ => false,
        }
    }
}
