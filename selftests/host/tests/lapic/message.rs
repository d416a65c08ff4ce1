// SPDX-License-Identifier: GPL-2.0

//! Messages and whom they are for.

use proptest::prelude::*;
use rkvm_host::x86::message::*;

fn ipi(destination: u32, mode: DestinationMode) -> Message {
    Message {
        destination,
        mode,
        delivery: DeliveryMode::Fixed,
        vector: 0x40,
        trigger: Trigger::Edge,
        level: Level::Assert,
        shorthand: Shorthand::None,
        redirection_hint: false,
        origin: Origin::Ipi { sender: 1 },
    }
}

fn device(destination: u32, mode: DestinationMode, broadcast: Broadcast) -> Message {
    Message {
        origin: Origin::Device(broadcast),
        ..ipi(destination, mode)
    }
}

fn flat(id: u32, logical: u8) -> Identity {
    Identity::xapic(id, id as u8, logical, Model::Flat).enabled()
}

fn cluster(id: u32, logical: u8) -> Identity {
    Identity::xapic(id, id as u8, logical, Model::Cluster).enabled()
}

fn x2apic(id: u32) -> Identity {
    Identity::x2apic(id).enabled()
}

#[test]
fn msi_fields() {
    let message = Message::from_msi(
        0x0001_2300_fee4_500c,
        0xc1a5,
        MsiFormat::Extended,
        Broadcast::Quirk,
    );
    assert_eq!(message.destination, 0x0001_2345);
    assert_eq!(message.mode, DestinationMode::Logical);
    assert!(message.redirection_hint && message.is_for_one());
    assert_eq!(message.delivery, DeliveryMode::LowestPriority);
    assert_eq!(message.vector, 0xa5);
    assert_eq!(message.trigger, Trigger::Level);
    let message = Message::from_msi(
        0x0001_2300_fee4_5000,
        0x4400,
        MsiFormat::Compatible,
        Broadcast::Strict,
    );
    assert_eq!(message.destination, 0x45);
    assert_eq!(message.mode, DestinationMode::Physical);
    assert_eq!(message.action(), Action::Nmi);
    assert_eq!(message.origin, Origin::Device(Broadcast::Strict));
}

#[test]
fn redirection_fields() {
    let message = Message::from_redirection(0x0f00_0000_0000_89b1, Broadcast::Quirk);
    assert_eq!(message.destination, 0xf);
    assert_eq!(message.mode, DestinationMode::Logical);
    assert_eq!(message.delivery, DeliveryMode::LowestPriority);
    assert_eq!(
        message.action(),
        Action::Interrupt {
            vector: 0xb1,
            trigger: Trigger::Level
        }
    );
}

#[test]
fn icr_fields() {
    let message = Message::from_icr(0x1200_0000_000c_48fb, ApicMode::XApic, 9);
    assert_eq!(message.destination, 0x12);
    assert_eq!(message.mode, DestinationMode::Logical);
    assert_eq!(message.shorthand, Shorthand::AllExcluding);
    assert_eq!(message.vector, 0xfb);
    assert_eq!(message.origin, Origin::Ipi { sender: 9 });
    let message = Message::from_icr(0x1234_5678_0000_0041, ApicMode::X2Apic, 9);
    assert_eq!(message.destination, 0x1234_5678);
}

#[test]
fn delivery_modes() {
    let modes = (0..8).map(DeliveryMode::from_bits).collect::<Vec<_>>();
    assert_eq!(
        modes,
        [
            DeliveryMode::Fixed,
            DeliveryMode::LowestPriority,
            DeliveryMode::Smi,
            DeliveryMode::Reserved,
            DeliveryMode::Nmi,
            DeliveryMode::Init,
            DeliveryMode::StartUp,
            DeliveryMode::ExtInt,
        ]
    );
    for (delivery, withdrawn) in [
        (DeliveryMode::Fixed, true),
        (DeliveryMode::Init, true),
        (DeliveryMode::Nmi, false),
        (DeliveryMode::StartUp, false),
        (DeliveryMode::Smi, false),
    ] {
        let message = Message {
            delivery,
            trigger: Trigger::Level,
            level: Level::Deassert,
            ..ipi(0, DestinationMode::Physical)
        };
        assert_eq!(message.action() == Action::None, withdrawn, "{delivery:?}");
    }
}

#[test]
fn physical_destinations() {
    use DestinationMode::Physical;

    for (destination, identity, hit) in [
        (3, flat(3, 0), true),
        (4, flat(3, 0), false),
        (0xff, flat(3, 0), true),
        (0xffff_ffff, flat(3, 0), false),
        (0x103, flat(3, 0), false),
        (0x103, flat(0x103, 0), true),
        (3, flat(0x103, 0), true),
        (3, x2apic(3), true),
        (3, x2apic(0x103), false),
        (0x103, x2apic(0x103), true),
        (0xff, x2apic(3), false),
        (0xff, x2apic(0xff), true),
        (0xffff_ffff, x2apic(3), true),
        (3, Identity::disabled(3), false),
        (0xff, Identity::disabled(3), false),
    ] {
        assert_eq!(
            ipi(destination, Physical).is_for(&identity),
            hit,
            "{destination:#x} {identity:?}"
        );
    }
    // The id that software has written counts, in xAPIC mode.
    let renamed = Identity::xapic(3, 7, 0, Model::Flat).enabled();
    assert!(ipi(7, Physical).is_for(&renamed));
    assert!(!ipi(3, Physical).is_for(&renamed));
}

#[test]
fn broadcasts_of_devices() {
    for mode in [DestinationMode::Physical, DestinationMode::Logical] {
        assert!(device(0xff, mode, Broadcast::Quirk).is_for(&x2apic(0x33)));
        assert!(!device(0xff, mode, Broadcast::Strict).is_for(&x2apic(0x33)));
        assert!(device(0xffff_ffff, mode, Broadcast::Strict).is_for(&x2apic(0x33)));
        assert!(device(0xff, mode, Broadcast::Strict).is_for(&flat(0x33, 0)));
    }
    // In x2APIC mode 0xff is also a set of eight APICs of cluster 0.
    assert!(device(0xff, DestinationMode::Logical, Broadcast::Strict).is_for(&x2apic(7)));
    assert!(!device(0xff, DestinationMode::Logical, Broadcast::Strict).is_for(&x2apic(8)));
}

#[test]
fn logical_destinations() {
    for (destination, identity, hit) in [
        (0x04, flat(0, 0x04), true),
        (0x05, flat(0, 0x04), true),
        (0x03, flat(0, 0x04), false),
        (0x00, flat(0, 0x04), false),
        (0xff, flat(0, 0x00), true),
        (0x21, cluster(0, 0x21), true),
        (0x23, cluster(0, 0x21), true),
        (0x22, cluster(0, 0x21), false),
        (0x31, cluster(0, 0x21), false),
        (0xff, cluster(0, 0x21), true),
        (
            0x04,
            Identity::xapic(0, 0, 4, Model::Reserved).enabled(),
            false,
        ),
        (0x0000_0008, x2apic(3), true),
        (0x0001_0008, x2apic(3), false),
        (0x0012_0008, x2apic(0x123), true),
        (0x0012_fff7, x2apic(0x123), false),
        (0xffff_ffff, x2apic(0x123), true),
        (0x04, Identity::disabled(0), false),
    ] {
        assert_eq!(
            ipi(destination, DestinationMode::Logical).is_for(&identity),
            hit,
            "{destination:#x} {identity:?}"
        );
    }
}

#[test]
fn shorthands() {
    for (shorthand, to_self, to_other) in [
        (Shorthand::Itself, true, false),
        (Shorthand::AllIncluding, true, true),
        (Shorthand::AllExcluding, false, true),
    ] {
        let message = Message {
            shorthand,
            ..ipi(0x77, DestinationMode::Physical)
        };
        assert_eq!(message.is_for(&flat(1, 0)), to_self);
        assert_eq!(message.is_for(&flat(2, 0)), to_other);
        assert_eq!(message.is_for(&x2apic(1)), to_self);
    }
}

#[test]
fn software_disabled_apics_take_what_has_no_vector() {
    let identity = Identity::xapic(1, 1, 0, Model::Flat);
    for (delivery, taken) in [
        (DeliveryMode::Fixed, false),
        (DeliveryMode::LowestPriority, false),
        (DeliveryMode::Nmi, true),
        (DeliveryMode::Init, true),
        (DeliveryMode::StartUp, true),
        (DeliveryMode::Smi, true),
    ] {
        let message = Message {
            delivery,
            ..ipi(1, DestinationMode::Physical)
        };
        assert_eq!(message.is_for(&identity), taken);
        assert!(!message.is_for(&Identity::disabled(1)));
    }
}

#[test]
fn one_of_many() {
    assert_eq!(pick(0x41, 0), None);
    assert_eq!(pick(0x41, 1), Some(0));
    assert_eq!(pick(0x41, 4), Some(1));
    let lowest = Message {
        delivery: DeliveryMode::LowestPriority,
        ..ipi(0xff, DestinationMode::Logical)
    };
    assert!(lowest.is_for_one());
    assert!(!ipi(3, DestinationMode::Logical).is_for_one());
    let everywhere = Message {
        mode: DestinationMode::Physical,
        ..lowest
    };
    assert!(!everywhere.is_for_one());
}

fn model() -> impl Strategy<Value = Model> {
    prop_oneof![
        Just(Model::Flat),
        Just(Model::Cluster),
        Just(Model::Reserved)
    ]
}

proptest! {
    #[test]
    fn identities_keep_what_they_are_made_of(id: u32, xapic_id: u8, logical: u8, model in model(), on: bool) {
        for (identity, mode) in [
            (Identity::xapic(id, xapic_id, logical, model), ApicMode::XApic),
            (Identity::x2apic(id), ApicMode::X2Apic),
            (Identity::disabled(id), ApicMode::Disabled),
        ] {
            let identity = if on { identity.enabled() } else { identity };
            let identity = Identity::unpack(identity.pack());
            prop_assert_eq!(identity.id(), id);
            prop_assert_eq!(identity.mode(), mode);
            prop_assert_eq!(identity.software_enabled(), on);
            if mode == ApicMode::XApic {
                prop_assert_eq!(identity.xapic_id(), xapic_id);
                let member = u32::from(logical) & logical.wrapping_neg() as u32;
                let flat_hit = model == Model::Flat && logical != 0;
                prop_assert_eq!(identity.is_in(member) && model == Model::Flat, flat_hit);
            }
        }
    }

    #[test]
    fn messages_of_any_bits(address: u64, data: u32, entry: u64, icr: u64, word: u64) {
        let identity = Identity::unpack(word);
        for message in [
            Message::from_msi(address, data, MsiFormat::Extended, Broadcast::Quirk),
            Message::from_redirection(entry, Broadcast::Strict),
            Message::from_icr(icr, ApicMode::XApic, 0),
            Message::from_icr(icr, ApicMode::X2Apic, 0),
        ] {
            let _ = (message.is_for(&identity), message.action(), message.is_for_one());
        }
    }

    #[test]
    fn a_logical_x2apic_id_is_its_own_destination(id: u32) {
        let id = id & 0xf_ffff;
        let own = x2apic_logical_id(id);
        prop_assert!(ipi(own, DestinationMode::Logical).is_for(&x2apic(id)));
        prop_assert!(!ipi(own, DestinationMode::Logical).is_for(&x2apic(id ^ 1)));
        prop_assert!(!ipi(own, DestinationMode::Logical).is_for(&x2apic(id ^ 16)));
    }
}
