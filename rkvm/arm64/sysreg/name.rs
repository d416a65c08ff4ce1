// SPDX-License-Identifier: GPL-2.0

//! The encodings of the system registers and instructions that are spoken of here by name.
//!
//! Source: Arm ARM (DDI 0487), D24 "AArch64 System Register Descriptions".

use super::SysReg;

macro_rules! names {
    ($($name:ident = $op0:literal, $op1:literal, $crn:literal, $crm:literal, $op2:literal;)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`.")]
            #[allow(dead_code, reason = "some are spoken of by the host tests alone")]
            pub const $name: SysReg = SysReg::new($op0, $op1, $crn, $crm, $op2);
        )*
    };
}

names! {
    DC_ISW = 1, 0, 7, 6, 2;
    DC_CSW = 1, 0, 7, 10, 2;
    DC_CISW = 1, 0, 7, 14, 2;
    OSDTRRX_EL1 = 2, 0, 0, 0, 2;
    MDCCINT_EL1 = 2, 0, 0, 2, 0;
    MDSCR_EL1 = 2, 0, 0, 2, 2;
    OSDTRTX_EL1 = 2, 0, 0, 3, 2;
    OSECCR_EL1 = 2, 0, 0, 6, 2;
    MDRAR_EL1 = 2, 0, 1, 0, 0;
    OSLAR_EL1 = 2, 0, 1, 0, 4;
    OSLSR_EL1 = 2, 0, 1, 1, 4;
    OSDLR_EL1 = 2, 0, 1, 3, 4;
    DBGPRCR_EL1 = 2, 0, 1, 4, 4;
    DBGCLAIMSET_EL1 = 2, 0, 7, 8, 6;
    DBGCLAIMCLR_EL1 = 2, 0, 7, 9, 6;
    DBGAUTHSTATUS_EL1 = 2, 0, 7, 14, 6;
    MDCCSR_EL0 = 2, 3, 0, 1, 0;
    DBGDTR_EL0 = 2, 3, 0, 4, 0;
    DBGDTRTX_EL0 = 2, 3, 0, 5, 0;
    DBGVCR32_EL2 = 2, 4, 0, 7, 0;
    MIDR_EL1 = 3, 0, 0, 0, 0;
    MPIDR_EL1 = 3, 0, 0, 0, 5;
    REVIDR_EL1 = 3, 0, 0, 0, 6;
    ID_PFR0_EL1 = 3, 0, 0, 1, 0;
    ID_PFR1_EL1 = 3, 0, 0, 1, 1;
    ID_DFR0_EL1 = 3, 0, 0, 1, 2;
    ID_AFR0_EL1 = 3, 0, 0, 1, 3;
    ID_MMFR0_EL1 = 3, 0, 0, 1, 4;
    ID_MMFR1_EL1 = 3, 0, 0, 1, 5;
    ID_MMFR2_EL1 = 3, 0, 0, 1, 6;
    ID_MMFR3_EL1 = 3, 0, 0, 1, 7;
    ID_ISAR0_EL1 = 3, 0, 0, 2, 0;
    ID_ISAR1_EL1 = 3, 0, 0, 2, 1;
    ID_ISAR2_EL1 = 3, 0, 0, 2, 2;
    ID_ISAR3_EL1 = 3, 0, 0, 2, 3;
    ID_ISAR4_EL1 = 3, 0, 0, 2, 4;
    ID_ISAR5_EL1 = 3, 0, 0, 2, 5;
    ID_MMFR4_EL1 = 3, 0, 0, 2, 6;
    ID_ISAR6_EL1 = 3, 0, 0, 2, 7;
    MVFR0_EL1 = 3, 0, 0, 3, 0;
    MVFR1_EL1 = 3, 0, 0, 3, 1;
    MVFR2_EL1 = 3, 0, 0, 3, 2;
    ID_PFR2_EL1 = 3, 0, 0, 3, 4;
    ID_DFR1_EL1 = 3, 0, 0, 3, 5;
    ID_MMFR5_EL1 = 3, 0, 0, 3, 6;
    ID_AA64PFR0_EL1 = 3, 0, 0, 4, 0;
    ID_AA64PFR1_EL1 = 3, 0, 0, 4, 1;
    ID_AA64PFR2_EL1 = 3, 0, 0, 4, 2;
    ID_AA64ZFR0_EL1 = 3, 0, 0, 4, 4;
    ID_AA64SMFR0_EL1 = 3, 0, 0, 4, 5;
    ID_AA64FPFR0_EL1 = 3, 0, 0, 4, 7;
    ID_AA64DFR0_EL1 = 3, 0, 0, 5, 0;
    ID_AA64DFR1_EL1 = 3, 0, 0, 5, 1;
    ID_AA64AFR0_EL1 = 3, 0, 0, 5, 4;
    ID_AA64AFR1_EL1 = 3, 0, 0, 5, 5;
    ID_AA64ISAR0_EL1 = 3, 0, 0, 6, 0;
    ID_AA64ISAR1_EL1 = 3, 0, 0, 6, 1;
    ID_AA64ISAR2_EL1 = 3, 0, 0, 6, 2;
    ID_AA64ISAR3_EL1 = 3, 0, 0, 6, 3;
    ID_AA64MMFR0_EL1 = 3, 0, 0, 7, 0;
    ID_AA64MMFR1_EL1 = 3, 0, 0, 7, 1;
    ID_AA64MMFR2_EL1 = 3, 0, 0, 7, 2;
    ID_AA64MMFR3_EL1 = 3, 0, 0, 7, 3;
    ID_AA64MMFR4_EL1 = 3, 0, 0, 7, 4;
    SCTLR_EL1 = 3, 0, 1, 0, 0;
    ACTLR_EL1 = 3, 0, 1, 0, 1;
    CPACR_EL1 = 3, 0, 1, 0, 2;
    SCTLR2_EL1 = 3, 0, 1, 0, 3;
    ZCR_EL1 = 3, 0, 1, 2, 0;
    TTBR0_EL1 = 3, 0, 2, 0, 0;
    TTBR1_EL1 = 3, 0, 2, 0, 1;
    TCR_EL1 = 3, 0, 2, 0, 2;
    TCR2_EL1 = 3, 0, 2, 0, 3;
    APIAKEYLO_EL1 = 3, 0, 2, 1, 0;
    APIAKEYHI_EL1 = 3, 0, 2, 1, 1;
    APIBKEYLO_EL1 = 3, 0, 2, 1, 2;
    APIBKEYHI_EL1 = 3, 0, 2, 1, 3;
    APDAKEYLO_EL1 = 3, 0, 2, 2, 0;
    APDAKEYHI_EL1 = 3, 0, 2, 2, 1;
    APDBKEYLO_EL1 = 3, 0, 2, 2, 2;
    APDBKEYHI_EL1 = 3, 0, 2, 2, 3;
    APGAKEYLO_EL1 = 3, 0, 2, 3, 0;
    APGAKEYHI_EL1 = 3, 0, 2, 3, 1;
    SPSR_EL1 = 3, 0, 4, 0, 0;
    ELR_EL1 = 3, 0, 4, 0, 1;
    AFSR0_EL1 = 3, 0, 5, 1, 0;
    AFSR1_EL1 = 3, 0, 5, 1, 1;
    ESR_EL1 = 3, 0, 5, 2, 0;
    ERRIDR_EL1 = 3, 0, 5, 3, 0;
    ERRSELR_EL1 = 3, 0, 5, 3, 1;
    ERXFR_EL1 = 3, 0, 5, 4, 0;
    ERXCTLR_EL1 = 3, 0, 5, 4, 1;
    ERXSTATUS_EL1 = 3, 0, 5, 4, 2;
    ERXADDR_EL1 = 3, 0, 5, 4, 3;
    ERXPFGF_EL1 = 3, 0, 5, 4, 4;
    ERXPFGCTL_EL1 = 3, 0, 5, 4, 5;
    ERXPFGCDN_EL1 = 3, 0, 5, 4, 6;
    ERXMISC0_EL1 = 3, 0, 5, 5, 0;
    ERXMISC1_EL1 = 3, 0, 5, 5, 1;
    ERXMISC2_EL1 = 3, 0, 5, 5, 2;
    ERXMISC3_EL1 = 3, 0, 5, 5, 3;
    FAR_EL1 = 3, 0, 6, 0, 0;
    PAR_EL1 = 3, 0, 7, 4, 0;
    MAIR_EL1 = 3, 0, 10, 2, 0;
    PIRE0_EL1 = 3, 0, 10, 2, 2;
    PIR_EL1 = 3, 0, 10, 2, 3;
    POR_EL1 = 3, 0, 10, 2, 4;
    AMAIR_EL1 = 3, 0, 10, 3, 0;
    LORSA_EL1 = 3, 0, 10, 4, 0;
    LOREA_EL1 = 3, 0, 10, 4, 1;
    LORN_EL1 = 3, 0, 10, 4, 2;
    LORC_EL1 = 3, 0, 10, 4, 3;
    LORID_EL1 = 3, 0, 10, 4, 7;
    VBAR_EL1 = 3, 0, 12, 0, 0;
    DISR_EL1 = 3, 0, 12, 1, 1;
    ICC_DIR_EL1 = 3, 0, 12, 11, 1;
    ICC_SGI1R_EL1 = 3, 0, 12, 11, 5;
    ICC_ASGI1R_EL1 = 3, 0, 12, 11, 6;
    ICC_SGI0R_EL1 = 3, 0, 12, 11, 7;
    ICC_SRE_EL1 = 3, 0, 12, 12, 5;
    CONTEXTIDR_EL1 = 3, 0, 13, 0, 1;
    TPIDR_EL1 = 3, 0, 13, 0, 4;
    CNTKCTL_EL1 = 3, 0, 14, 1, 0;
    CCSIDR_EL1 = 3, 1, 0, 0, 0;
    CLIDR_EL1 = 3, 1, 0, 0, 1;
    AIDR_EL1 = 3, 1, 0, 0, 7;
    CSSELR_EL1 = 3, 2, 0, 0, 0;
    CTR_EL0 = 3, 3, 0, 0, 1;
    DCZID_EL0 = 3, 3, 0, 0, 7;
    FPCR = 3, 3, 4, 4, 0;
    FPSR = 3, 3, 4, 4, 1;
    FPMR = 3, 3, 4, 4, 2;
    POR_EL0 = 3, 3, 10, 2, 4;
    TPIDR_EL0 = 3, 3, 13, 0, 2;
    TPIDRRO_EL0 = 3, 3, 13, 0, 3;
    CNTFRQ_EL0 = 3, 3, 14, 0, 0;
    CNTPCT_EL0 = 3, 3, 14, 0, 1;
    CNTVCT_EL0 = 3, 3, 14, 0, 2;
    CNTPCTSS_EL0 = 3, 3, 14, 0, 5;
    CNTVCTSS_EL0 = 3, 3, 14, 0, 6;
    CNTP_TVAL_EL0 = 3, 3, 14, 2, 0;
    CNTP_CTL_EL0 = 3, 3, 14, 2, 1;
    CNTP_CVAL_EL0 = 3, 3, 14, 2, 2;
    CNTV_TVAL_EL0 = 3, 3, 14, 3, 0;
    CNTV_CTL_EL0 = 3, 3, 14, 3, 1;
    CNTV_CVAL_EL0 = 3, 3, 14, 3, 2;
    DACR32_EL2 = 3, 4, 3, 0, 0;
    SP_EL1 = 3, 4, 4, 1, 0;
    IFSR32_EL2 = 3, 4, 5, 0, 1;
    FPEXC32_EL2 = 3, 4, 5, 3, 0;
}
