//! What was found in a kernel file, as plain data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::note::{Feature, Mask, Note, NoteType, Value};
use super::unpack::Compression;

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    /// What kind of file it is.
    pub form: Form,
    /// The boot protocol of a bzImage, as in `2.15`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_protocol: Option<String>,
    /// What `uname -r` says, where a bzImage says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Whether a bzImage says that it was built with PREEMPT_RT.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub realtime: bool,
    /// What the ELF file is packed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// What is in it.
    pub content: Content,
}

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Linux for x86 as it is installed.
    BzImage,
    /// An ELF file, or a packed one.
    Elf,
    /// A PE file: a program for UEFI.
    Pe,
    /// A kernel for Arm.
    Arm,
    /// A packed file with no ELF file in it.
    Packed,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// A kernel for x86, or a loader that looks like one to Xen.
    Kernel(Kernel),
    /// Xen itself.
    Hypervisor,
    /// A bzImage from before its payload was an ELF file: it may be good for HVM, and for nothing else.
    Opaque,
    /// Something that Xen on x86 cannot start as a guest.
    Foreign {
        /// What it is.
        what: String,
    },
}

/// Word size of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Class {
    /// i386.
    #[serde(rename = "32-bit")]
    Bits32,
    /// amd64.
    #[serde(rename = "64-bit")]
    Bits64,
}

/// Where a kernel's notes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NotesIn {
    /// In a note segment.
    Segment,
    /// In a note section that no segment covers.
    Section,
    /// In the section `__xen_guest`, as text.
    GuestSection,
    /// There are none.
    Nowhere,
}

/// A kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kernel {
    /// Word size.
    pub class: Class,
    /// Where its notes stand.
    pub notes_in: NotesIn,
    /// Its Xen notes in the order of the file.
    pub notes: Vec<Note>,
    /// Where a note begins that says it is longer than what is there: a text counts as far as it goes, and what is behind
    /// it is not seen, by Xen neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub malformed_note: Option<u64>,
}

impl Kernel {
    /// Returns the last note of a type: a later one wins, as in libelf.
    #[must_use]
    pub fn note(&self, kind: NoteType) -> Option<&Note> {
        self.notes.iter().rev().find(|note| note.kind == Some(kind))
    }

    /// Returns a note's text.
    #[must_use]
    pub fn text(&self, kind: NoteType) -> Option<&str> {
        match &self.note(kind)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the features by name.
    #[must_use]
    pub fn features(&self) -> &[Feature] {
        match self.note(NoteType::Features).map(|note| &note.value) {
            Some(Value::Features(features)) => features,
            _ => &[],
        }
    }

    /// Returns the features by bit, where the kernel has that note.
    #[must_use]
    pub fn feature_bits(&self) -> Option<u64> {
        match self.note(NoteType::SupportedFeatures)?.value {
            Value::FeatureBits { bits, .. } => Some(bits),
            _ => None,
        }
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Bits32 => "32-bit",
            Self::Bits64 => "64-bit",
        })
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(out, "\"{text}\""),
            Self::Number(number) => write!(out, "{number:#x}"),
            Self::Features(features) => {
                let marked =
                    features.iter().map(|f| format!("{}{}", if f.required { "!" } else { "" }, f.name));
                out.write_str(&marked.collect::<Vec<_>>().join("|"))
            }
            Self::FeatureBits { bits, names } => write!(out, "{bits:#x} ({})", names.join(", ")),
            Self::Masks(masks) => {
                let shown = masks.iter().map(|Mask { mask, value }| format!("{value:#x} under {mask:#x}"));
                out.write_str(&shown.collect::<Vec<_>>().join(", "))
            }
            Self::Relocation { align, min, max } => write!(out, "{min:#x} to {max:#x} by {align:#x}"),
            Self::Bytes(bytes) => write!(out, "bytes {bytes}"),
        }
    }
}
