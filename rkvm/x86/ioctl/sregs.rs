// SPDX-License-Identifier: GPL-2.0

//! KVM_GET_SREGS and KVM_SET_SREGS.

use crate::{
    host::bindings::{kvm_dtable, kvm_segment, kvm_sregs},
    vmx::{field::*, run::write_pdptes, vmcs::Loaded},
    x86::{
        regs::{
            rules::{CodeSegment, PagingState},
            segment::{Segment, SegmentRegister},
            Cr0, Cr4, Efer,
        },
        vcpu::Core,
    },
};
use kernel::prelude::*;

/// KVM_GET_SREGS.
pub fn get(core: &mut Core) -> kvm_sregs {
    let loaded = core.load();
    let paging = core.guest.paging(&loaded);
    let segment = |register| to_uapi(&core.guest.segment(&loaded, register));
    let mut sregs = kvm_sregs {
        cs: segment(SegmentRegister::Cs),
        ds: segment(SegmentRegister::Ds),
        es: segment(SegmentRegister::Es),
        fs: segment(SegmentRegister::Fs),
        gs: segment(SegmentRegister::Gs),
        ss: segment(SegmentRegister::Ss),
        tr: segment(SegmentRegister::Tr),
        ldt: segment(SegmentRegister::Ldtr),
        gdt: table(&loaded, GUEST_GDTR_BASE, GUEST_GDTR_LIMIT),
        idt: table(&loaded, GUEST_IDTR_BASE, GUEST_IDTR_LIMIT),
        cr0: paging.cr0.raw(),
        cr2: core.guest.cr2,
        cr3: paging.cr3,
        cr4: paging.cr4.raw(),
        cr8: core.cr8,
        efer: paging.efer.raw(),
        apic_base: core.msrs.apic_base(),
        interrupt_bitmap: [0; 4],
    };
    if let Some(vector) = core.events.interrupt.or(core.events.cut_short_interrupt()) {
        let vector = usize::from(vector);
        if let Some(word) = sregs.interrupt_bitmap.get_mut(vector / 64) {
            *word |= 1 << (vector % 64);
        }
    }
    sregs
}

/// KVM_SET_SREGS. `EINVAL` for registers that are not valid together, with nothing changed.
pub fn set(core: &mut Core, sregs: &kvm_sregs) -> Result {
    let paging = PagingState {
        cr0: Cr0::new(sregs.cr0),
        cr3: sregs.cr3,
        cr4: Cr4::new(sregs.cr4),
        efer: Efer::new(sregs.efer),
    };
    let code = if sregs.cs.l != 0 {
        CodeSegment::Long
    } else {
        CodeSegment::Other
    };
    paging.validate(code, &core.features.limits)?;
    // A table that is not there yet may be there when the guest runs; an empty one serves until then.
    let pdptes = paging
        .is_pae_paging()
        .then(|| core.read_pdptes(&paging).unwrap_or([0; 4]));
    core.msrs
        .set_apic_base(sregs.apic_base, &core.features)
        .map_err(|_| EINVAL)?;

    let loaded = core.load();
    for (base, limit, value) in [
        (GUEST_GDTR_BASE, GUEST_GDTR_LIMIT, &sregs.gdt),
        (GUEST_IDTR_BASE, GUEST_IDTR_LIMIT, &sregs.idt),
    ] {
        loaded.write(base, value.base);
        loaded.write(limit, u32::from(value.limit));
    }
    core.guest.cr2 = sregs.cr2;
    core.cr8 = sregs.cr8;
    core.set_paging(&loaded, &paging);
    if let Some(pdptes) = &pdptes {
        write_pdptes(&loaded, pdptes);
    }
    for (register, segment) in [
        (SegmentRegister::Cs, &sregs.cs),
        (SegmentRegister::Ds, &sregs.ds),
        (SegmentRegister::Es, &sregs.es),
        (SegmentRegister::Fs, &sregs.fs),
        (SegmentRegister::Gs, &sregs.gs),
        (SegmentRegister::Ss, &sregs.ss),
        (SegmentRegister::Tr, &sregs.tr),
        (SegmentRegister::Ldtr, &sregs.ldt),
    ] {
        core.guest
            .set_segment(&loaded, register, &from_uapi(segment));
    }
    core.refresh_cpuid(paging.cr4);
    core.drop_translations();
    if let Some(vector) = first_interrupt(&sregs.interrupt_bitmap) {
        core.events.interrupt = Some(vector);
    }
    Ok(())
}

fn first_interrupt(bitmap: &[u64; 4]) -> Option<u8> {
    let (word, bits) = (0u8..).zip(bitmap).find(|(_, bits)| **bits != 0)?;
    word.checked_mul(64)?
        .checked_add(bits.trailing_zeros() as u8)
}

fn table(loaded: &Loaded, base: Field<u64>, limit: Field<u32>) -> kvm_dtable {
    kvm_dtable {
        base: loaded.read(base),
        limit: loaded.read(limit) as u16,
        padding: [0; 3],
    }
}

fn to_uapi(segment: &Segment) -> kvm_segment {
    kvm_segment {
        base: segment.base,
        limit: segment.limit,
        selector: segment.selector,
        type_: segment.kind,
        present: segment.present,
        dpl: segment.dpl,
        db: segment.db,
        s: segment.s,
        l: segment.l,
        g: segment.g,
        avl: segment.avl,
        unusable: segment.unusable,
        padding: 0,
    }
}

fn from_uapi(segment: &kvm_segment) -> Segment {
    Segment {
        base: segment.base,
        limit: segment.limit,
        selector: segment.selector,
        kind: segment.type_,
        present: segment.present,
        dpl: segment.dpl,
        db: segment.db,
        s: segment.s,
        l: segment.l,
        g: segment.g,
        avl: segment.avl,
        unusable: segment.unusable,
        padding: 0,
    }
}
