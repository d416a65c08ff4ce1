// SPDX-License-Identifier: GPL-2.0

//! KVM_GET_SREGS and KVM_SET_SREGS; KVM_GET_SREGS2 and KVM_SET_SREGS2, which have the PDPTEs besides and no
//! interrupt.

use crate::{
    host::bindings::{
        kvm_dtable, kvm_segment, kvm_sregs, kvm_sregs2, KVM_SREGS2_FLAGS_PDPTRS_VALID,
    },
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
        cr8: core.cr8(),
        efer: paging.efer.raw(),
        apic_base: core.apic_base(),
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

/// KVM_GET_SREGS2.
pub fn get2(core: &mut Core) -> kvm_sregs2 {
    let sregs = get(core);
    let loaded = core.load();
    let mut state = kvm_sregs2 {
        cs: sregs.cs,
        ds: sregs.ds,
        es: sregs.es,
        fs: sregs.fs,
        gs: sregs.gs,
        ss: sregs.ss,
        tr: sregs.tr,
        ldt: sregs.ldt,
        gdt: sregs.gdt,
        idt: sregs.idt,
        cr0: sregs.cr0,
        cr2: sregs.cr2,
        cr3: sregs.cr3,
        cr4: sregs.cr4,
        cr8: sregs.cr8,
        efer: sregs.efer,
        apic_base: sregs.apic_base,
        ..kvm_sregs2::default()
    };
    if paging(&sregs).is_pae_paging() {
        state.flags = FLAG_PDPTES;
        state.pdptrs = [GUEST_PDPTE0, GUEST_PDPTE1, GUEST_PDPTE2, GUEST_PDPTE3]
            .map(|field| loaded.read(field));
    }
    state
}

/// KVM_SET_SREGS2. `EINVAL` for unknown flags, for PDPTEs without PAE paging, and for registers that are not
/// valid together, with nothing changed. PDPTEs with reserved bits make the next entry fail.
pub fn set2(core: &mut Core, state: &kvm_sregs2) -> Result {
    let sregs = kvm_sregs {
        cs: state.cs,
        ds: state.ds,
        es: state.es,
        fs: state.fs,
        gs: state.gs,
        ss: state.ss,
        tr: state.tr,
        ldt: state.ldt,
        gdt: state.gdt,
        idt: state.idt,
        cr0: state.cr0,
        cr2: state.cr2,
        cr3: state.cr3,
        cr4: state.cr4,
        cr8: state.cr8,
        efer: state.efer,
        apic_base: state.apic_base,
        interrupt_bitmap: [0; 4],
    };
    match state.flags {
        0 => set(core, &sregs),
        FLAG_PDPTES if paging(&sregs).is_pae_paging() => {
            set_with(core, &sregs, Pdptes::Given(state.pdptrs))
        }
        _ => Err(EINVAL),
    }
}

/// KVM_SREGS2_FLAGS_PDPTRS_VALID.
const FLAG_PDPTES: u64 = KVM_SREGS2_FLAGS_PDPTRS_VALID as u64;

/// Where the PDPTEs come from with PAE paging.
enum Pdptes {
    /// From the table that CR3 points to.
    Memory,
    /// From the VMM.
    Given([u64; 4]),
}

fn paging(sregs: &kvm_sregs) -> PagingState {
    PagingState {
        cr0: Cr0::new(sregs.cr0),
        cr3: sregs.cr3,
        cr4: Cr4::new(sregs.cr4),
        efer: Efer::new(sregs.efer),
    }
}

/// KVM_SET_SREGS. `EINVAL` for registers that are not valid together, with nothing changed.
pub fn set(core: &mut Core, sregs: &kvm_sregs) -> Result {
    set_with(core, sregs, Pdptes::Memory)
}

fn set_with(core: &mut Core, sregs: &kvm_sregs, pdptes: Pdptes) -> Result {
    let paging = paging(sregs);
    let code = if sregs.cs.l != 0 {
        CodeSegment::Long
    } else {
        CodeSegment::Other
    };
    paging.validate(code, &core.features.limits)?;
    // A table that is not there yet may be there when the guest runs; an empty one serves until then.
    let pdptes = paging.is_pae_paging().then(|| match pdptes {
        Pdptes::Memory => core.read_pdptes(&paging).unwrap_or([0; 4]),
        Pdptes::Given(pdptes) => pdptes,
    });
    core.set_apic_base(sregs.apic_base)?;

    let loaded = core.load();
    for (base, limit, value) in [
        (GUEST_GDTR_BASE, GUEST_GDTR_LIMIT, &sregs.gdt),
        (GUEST_IDTR_BASE, GUEST_IDTR_LIMIT, &sregs.idt),
    ] {
        loaded.write(base, value.base);
        loaded.write(limit, u32::from(value.limit));
    }
    core.guest.cr2 = sregs.cr2;
    core.set_cr8(sregs.cr8);
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
