//! The `__xen_guest` section of kernels before ELF notes: one text of `KEY=VALUE` pairs with commas between them.
//!
//! Decides: which note each key became (Xen's elfnote.h says so under LEGACY). Never: judges.

use super::field;
use super::note::{Note, NoteType, Value, features};

/// The section's name.
pub(super) const NAME: &[u8] = b"__xen_guest";
/// A hypercall page is given as a page number.
const PAGE_SHIFT: u32 = 12;

/// Returns the pairs that have a note's meaning as notes; others as [`NoteType::Info`]. `offset` is the section's.
pub(super) fn decode(section: &[u8], offset: u64) -> Vec<Note> {
    let text = field::text(section);
    let mut notes = Vec::new();
    let mut at = offset;
    for pair in text.split(',') {
        if !pair.is_empty() {
            notes.push(note(pair, at));
        }
        at = at.saturating_add(pair.len() as u64).saturating_add(1);
    }
    hypercall_page_is_an_address(&mut notes);
    notes
}

fn note(pair: &str, offset: u64) -> Note {
    let (key, word) = pair.split_once('=').unwrap_or((pair, ""));
    let text = || Value::Text(word.to_owned());
    let number = || number(word).map_or_else(text, Value::Number);
    let (kind, value) = match key {
        "LOADER" => (NoteType::Loader, text()),
        "GUEST_OS" => (NoteType::GuestOs, text()),
        "GUEST_VER" => (NoteType::GuestVersion, text()),
        "XEN_VER" => (NoteType::XenVersion, text()),
        "PAE" => (NoteType::PaeMode, text()),
        // Here it is a flag: that it stands there is enough.
        "BSD_SYMTAB" => (NoteType::BsdSymtab, Value::Text("yes".to_owned())),
        "FEATURES" => (NoteType::Features, Value::Features(features(word))),
        "VIRT_BASE" => (NoteType::VirtBase, number()),
        "VIRT_ENTRY" => (NoteType::Entry, number()),
        "ELF_PADDR_OFFSET" => (NoteType::PaddrOffset, number()),
        "HYPERCALL_PAGE" => (NoteType::HypercallPage, number()),
        _ => (NoteType::Info, Value::Text(pair.to_owned())),
    };
    Note { number: kind as u32, kind: Some(kind), value, offset }
}

/// A number as strtoull(3) reads it with base 0.
fn number(word: &str) -> Option<u64> {
    if let Some(digits) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        return u64::from_str_radix(digits, 16).ok();
    }
    match word.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => u64::from_str_radix(digits, 8).ok(),
        _ => word.parse().ok(),
    }
}

/// Page number and base become the address that the note would have (libelf-dominfo.c).
fn hypercall_page_is_an_address(notes: &mut [Note]) {
    let base = notes.iter().find_map(|note| match (note.kind, &note.value) {
        (Some(NoteType::VirtBase), Value::Number(base)) => Some(*base),
        _ => None,
    });
    for note in notes.iter_mut().filter(|note| note.kind == Some(NoteType::HypercallPage)) {
        if let Value::Number(page) = &mut note.value {
            *page = page.wrapping_shl(PAGE_SHIFT).wrapping_add(base.unwrap_or(0));
        }
    }
}
