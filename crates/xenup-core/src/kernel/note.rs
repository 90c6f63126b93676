//! Xen's ELF notes with their meaning: all types of Xen's public header elfnote.h.
//!
//! Decides: what a note's bytes say, by its type. Never: judges (see `role`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::field;

/// A note's type: its number and its name in elfnote.h without `XEN_ELFNOTE_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NoteType {
    /// A pair of name and value.
    Info,
    /// Virtual address of the PV entry point.
    Entry,
    /// Virtual address of the page that Xen fills with calls to itself.
    HypercallPage,
    /// Virtual address that the kernel's first byte is mapped at.
    VirtBase,
    /// What the physical addresses in the ELF headers are too high by.
    PaddrOffset,
    /// The interface the kernel was built for: `xen-3.0`.
    XenVersion,
    /// Name of the guest system.
    GuestOs,
    /// Its version.
    GuestVersion,
    /// `generic` for kernels that need no loader of their own.
    Loader,
    /// Page tables of 32-bit kernels: `yes`, `no`, `bimodal`.
    PaeMode,
    /// Features by name, required ones marked.
    Features,
    /// Whether the symbol table is to be loaded.
    BsdSymtab,
    /// The lowest address that the hypervisor may use.
    HvStartLow,
    /// How a page table entry shows that it is valid.
    L1MfnValid,
    /// Whether a suspend can be cancelled.
    SuspendCancel,
    /// Where the list of pages is mapped.
    InitP2m,
    /// Whether the initrd may lie outside the first mapping.
    ModStartPfn,
    /// Features by bit.
    SupportedFeatures,
    /// Physical address of the 32-bit entry point: the kernel can boot as PVH.
    Phys32Entry,
    /// Where a PVH kernel may be moved to.
    Phys32Reloc,
}

const TYPES: [NoteType; 20] = [
    NoteType::Info,
    NoteType::Entry,
    NoteType::HypercallPage,
    NoteType::VirtBase,
    NoteType::PaddrOffset,
    NoteType::XenVersion,
    NoteType::GuestOs,
    NoteType::GuestVersion,
    NoteType::Loader,
    NoteType::PaeMode,
    NoteType::Features,
    NoteType::BsdSymtab,
    NoteType::HvStartLow,
    NoteType::L1MfnValid,
    NoteType::SuspendCancel,
    NoteType::InitP2m,
    NoteType::ModStartPfn,
    NoteType::SupportedFeatures,
    NoteType::Phys32Entry,
    NoteType::Phys32Reloc,
];

impl NoteType {
    /// Returns the type with this number; `None` for one that elfnote.h did not have yet.
    #[must_use]
    pub fn of(number: u32) -> Option<Self> {
        TYPES.get(usize::try_from(number).ok()?).copied()
    }

    /// Returns the name in elfnote.h without `XEN_ELFNOTE_`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Entry => "ENTRY",
            Self::HypercallPage => "HYPERCALL_PAGE",
            Self::VirtBase => "VIRT_BASE",
            Self::PaddrOffset => "PADDR_OFFSET",
            Self::XenVersion => "XEN_VERSION",
            Self::GuestOs => "GUEST_OS",
            Self::GuestVersion => "GUEST_VERSION",
            Self::Loader => "LOADER",
            Self::PaeMode => "PAE_MODE",
            Self::Features => "FEATURES",
            Self::BsdSymtab => "BSD_SYMTAB",
            Self::HvStartLow => "HV_START_LOW",
            Self::L1MfnValid => "L1_MFN_VALID",
            Self::SuspendCancel => "SUSPEND_CANCEL",
            Self::InitP2m => "INIT_P2M",
            Self::ModStartPfn => "MOD_START_PFN",
            Self::SupportedFeatures => "SUPPORTED_FEATURES",
            Self::Phys32Entry => "PHYS32_ENTRY",
            Self::Phys32Reloc => "PHYS32_RELOC",
        }
    }
}

/// A feature by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Feature {
    /// As features.h has it, without `XENFEAT_`.
    pub name: String,
    /// The kernel does not run without it (`!` before the name).
    pub required: bool,
}

/// What a note says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// A text.
    Text(String),
    /// A number of 4 or 8 bytes.
    Number(u64),
    /// Features by name.
    Features(Vec<Feature>),
    /// Features by bit, with the names that features.h gives the bits.
    FeatureBits {
        /// The number.
        bits: u64,
        /// The names; a bit without one is left out.
        names: Vec<String>,
    },
    /// A page table entry is valid where its bits under the mask are the value.
    Masks(Vec<Mask>),
    /// Where a kernel may be moved to.
    Relocation {
        /// The address must be a multiple of it.
        align: u32,
        /// The lowest address.
        min: u32,
        /// The highest address.
        max: u32,
    },
    /// Bytes that do not fit the type, hexadecimal.
    Bytes(String),
}

/// A mask and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mask {
    /// The bits that count.
    pub mask: u64,
    /// What they must be.
    pub value: u64,
}

/// A note, or a pair of the old `__xen_guest` section that means the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    /// Its number in elfnote.h.
    pub number: u32,
    /// Its type, where the number has a name.
    pub kind: Option<NoteType>,
    /// What it says.
    pub value: Value,
    /// Where it begins in the ELF file, unpacked where that is packed.
    pub offset: u64,
}

/// The bits of features.h by name, in order.
const BITS: [&str; 20] = [
    "writable_page_tables",
    "writable_descriptor_tables",
    "auto_translated_physmap",
    "supervisor_mode_kernel",
    "pae_pgdir_above_4gb",
    "mmu_pt_update_preserve_ad",
    "highmem_assist",
    "gnttab_map_avail_bits",
    "hvm_callback_vector",
    "hvm_safe_pvclock",
    "hvm_pirqs",
    "dom0",
    "grant_map_identity",
    "memory_op_vnode_supported",
    "ARM_SMCCC_supported",
    "linux_rsdp_unrestricted",
    "not_direct_mapped",
    "direct_mapped",
    "runstate_phys_area",
    "vcpu_time_phys_area",
];

/// The bit of [`Value::FeatureBits`] that a dom0 kernel has (features.h, XENFEAT_dom0).
pub const DOM0_BIT: u64 = 1 << 11;

/// Returns whether features.h knows a feature by this name.
pub(super) fn is_feature(name: &str) -> bool {
    BITS.contains(&name)
}

/// Returns the note with this number and these bytes. `wide` says that the kernel is a 64-bit one.
pub(super) fn decode(number: u32, bytes: &[u8], offset: u64, wide: bool) -> Note {
    let kind = NoteType::of(number);
    let value = kind.and_then(|kind| decode_as(kind, bytes, wide));
    let value = value.unwrap_or_else(|| Value::Bytes(super::bzimage::hex(bytes.get(..64).unwrap_or(bytes))));
    Note { number, kind, value, offset }
}

fn decode_as(kind: NoteType, bytes: &[u8], wide: bool) -> Option<Value> {
    match kind {
        NoteType::Info
        | NoteType::XenVersion
        | NoteType::GuestOs
        | NoteType::GuestVersion
        | NoteType::Loader
        | NoteType::PaeMode
        | NoteType::BsdSymtab => Some(Value::Text(field::text(bytes))),
        NoteType::Features => Some(Value::Features(features(&field::text(bytes)))),
        NoteType::SupportedFeatures => number(bytes).map(feature_bits),
        NoteType::L1MfnValid => masks(bytes, wide),
        NoteType::Phys32Reloc => relocation(bytes),
        NoteType::Entry
        | NoteType::HypercallPage
        | NoteType::VirtBase
        | NoteType::PaddrOffset
        | NoteType::HvStartLow
        | NoteType::SuspendCancel
        | NoteType::InitP2m
        | NoteType::ModStartPfn
        | NoteType::Phys32Entry => number(bytes).map(Value::Number),
    }
}

/// A number of 4 or 8 bytes; of any other size it is none.
fn number(bytes: &[u8]) -> Option<u64> {
    match bytes.len() {
        4 => field::u32(bytes, 0).map(u64::from),
        8 => field::u64(bytes, 0),
        _ => None,
    }
}

/// Returns the features in a list with `|` between them.
pub(super) fn features(list: &str) -> Vec<Feature> {
    let names = list.split('|').filter(|name| !name.is_empty());
    names
        .map(|name| {
            let required = name.strip_prefix('!');
            Feature { name: required.unwrap_or(name).to_owned(), required: required.is_some() }
        })
        .collect()
}

fn feature_bits(bits: u64) -> Value {
    let named = BITS.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
    Value::FeatureBits { bits, names: named.map(|(_, name)| (*name).to_owned()).collect() }
}

fn masks(bytes: &[u8], wide: bool) -> Option<Value> {
    let word = |at: usize| if wide { field::u64(bytes, at) } else { field::u32(bytes, at).map(u64::from) };
    let size: usize = if wide { 8 } else { 4 };
    // A 32-bit kernel with PAE has entries of 64 bits.
    let (word, size): (Box<dyn Fn(usize) -> Option<u64>>, usize) = match bytes.len() {
        16 => (Box::new(|at| field::u64(bytes, at)), 8),
        _ => (Box::new(word), size),
    };
    let pair = size.saturating_mul(2);
    let pairs = (0..bytes.len())
        .step_by(pair)
        .map(|at| Some(Mask { mask: word(at)?, value: word(at.saturating_add(size))? }));
    pairs.collect::<Option<Vec<_>>>().filter(|pairs| !pairs.is_empty()).map(Value::Masks)
}

fn relocation(bytes: &[u8]) -> Option<Value> {
    if bytes.len() != 12 {
        return None;
    }
    Some(Value::Relocation {
        align: field::u32(bytes, 0)?,
        min: field::u32(bytes, 4)?,
        max: field::u32(bytes, 8)?,
    })
}
