//! The ELF file in a kernel: what it is built for, and its Xen notes.
//!
//! Decides: where notes are looked for, in the order of Xen's libelf-dominfo.c: note segments, then note sections,
//! then the section `__xen_guest`. Never: reads more of the file than its headers and those.

use object::LittleEndian;
use object::elf::{EM_386, EM_X86_64, FileHeader32, FileHeader64, PT_NOTE, SHT_NOTE};
use object::pod::from_bytes;
use object::read::elf::{FileHeader, NoteIterator, ProgramHeader, SectionHeader};

use super::body::Body;
use super::error::KernelError;
use super::field;
use super::guest_section;
use super::image::{Class, Kernel, NotesIn};
use super::note::{self, Note, Value};

/// A segment of Xen notes has 500 bytes.
const NOTES_LIMIT: u64 = 1 << 20;
/// More notes than this, and Xen itself gives up (ELF_MAX_TOTAL_NOTE_COUNT).
const NOTE_COUNT: usize = 1000;

/// What the identification of an ELF file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ident {
    /// For x86 with this class.
    X86(Class),
    /// For this other machine.
    Other(&'static str),
}

/// Returns what the ELF file is for; `None` where it is no ELF file.
pub(super) fn ident(start: &[u8]) -> Option<Ident> {
    use super::field::{has, u8, u16};
    if !has(start, 0, b"\x7fELF") {
        return None;
    }
    if u8(start, 5) != Some(1) {
        return Some(Ident::Other("a machine with the high byte first"));
    }
    let machine = u16(start, 18)?;
    let wide = u8(start, 4) == Some(2);
    // A 64-bit kernel in a 32-bit file is what Xen's own image is; it counts as what its file says.
    Some(match machine {
        machine if machine == EM_386.0 && !wide => Ident::X86(Class::Bits32),
        machine if machine == EM_X86_64.0 && wide => Ident::X86(Class::Bits64),
        40 => Ident::Other("32-bit Arm"),
        183 => Ident::Other("64-bit Arm"),
        243 => Ident::Other("RISC-V"),
        50 => Ident::Other("Itanium"),
        _ => Ident::Other("another machine"),
    })
}

/// Returns the kernel in an ELF file of this class.
///
/// # Errors
/// Headers or notes that are cut off, or that lie where there is nothing.
pub(super) fn kernel(body: &mut Body<'_>, class: Class) -> Result<Kernel, KernelError> {
    match class {
        Class::Bits32 => read::<FileHeader32<LittleEndian>>(body, class),
        Class::Bits64 => read::<FileHeader64<LittleEndian>>(body, class),
    }
}

fn read<E: FileHeader<Endian = LittleEndian>>(
    body: &mut Body<'_>,
    class: Class,
) -> Result<Kernel, KernelError> {
    let bytes = body.bytes("the ELF header", 0, size_of::<E>())?;
    let header = structure::<E>(&bytes, "the ELF header", 0)?;
    let mut found = Found { notes: Vec::new(), malformed: None, class };
    let mut from = NotesIn::Segment;
    segments::<E>(body, header, &mut found)?;
    if found.notes.is_empty() {
        from = NotesIn::Section;
        sections::<E>(body, header, &mut found, &mut from)?;
    }
    if found.notes.is_empty() {
        from = NotesIn::Nowhere;
    }
    Ok(Kernel { class, notes_in: from, notes: found.notes, malformed_note: found.malformed })
}

struct Found {
    notes: Vec<Note>,
    malformed: Option<u64>,
    class: Class,
}

fn structure<'a, T: object::Pod>(
    bytes: &'a [u8],
    what: &'static str,
    offset: u64,
) -> Result<&'a T, KernelError> {
    from_bytes::<T>(bytes).map(|(found, _)| found).map_err(|()| KernelError::CutOff { what, offset })
}

/// The notes of all note segments. Xen passes over those at offset 0, which some binutils made.
fn segments<E: FileHeader<Endian = LittleEndian>>(
    body: &mut Body<'_>,
    header: &E,
    found: &mut Found,
) -> Result<(), KernelError> {
    let what = "the program headers";
    let (offset, count) = (header.e_phoff(LittleEndian).into(), header.e_phnum(LittleEndian));
    let size = usize::from(header.e_phentsize(LittleEndian));
    if count == 0 || size < size_of::<E::ProgramHeader>() {
        return Ok(());
    }
    let table = body.bytes(what, offset, size.saturating_mul(usize::from(count)))?;
    let mut segments = Vec::new();
    for entry in table.chunks_exact(size) {
        let entry = structure::<E::ProgramHeader>(entry, what, offset)?;
        let at: u64 = entry.p_offset(LittleEndian).into();
        if entry.p_type(LittleEndian) == PT_NOTE && at != 0 {
            segments.push((at, entry.p_filesz(LittleEndian).into(), entry.p_align(LittleEndian)));
        }
    }
    // In this order one pass through a packed file is enough.
    segments.sort_unstable_by_key(|(at, _, _)| *at);
    for place in segments {
        notes::<E>(body, "a note segment", place, found)?;
    }
    Ok(())
}

/// The notes of all note sections, or else what `__xen_guest` says.
fn sections<E: FileHeader<Endian = LittleEndian>>(
    body: &mut Body<'_>,
    header: &E,
    found: &mut Found,
    from: &mut NotesIn,
) -> Result<(), KernelError> {
    let what = "the section headers";
    let (offset, count) = (header.e_shoff(LittleEndian).into(), header.e_shnum(LittleEndian));
    let size = usize::from(header.e_shentsize(LittleEndian));
    if offset == 0 || count == 0 || size < size_of::<E::SectionHeader>() {
        return Ok(());
    }
    let table = body.bytes(what, offset, size.saturating_mul(usize::from(count)))?;
    let mut all = Vec::new();
    for entry in table.chunks_exact(size) {
        let entry = structure::<E::SectionHeader>(entry, what, offset)?;
        all.push(Section {
            name: entry.sh_name(LittleEndian),
            is_note: entry.sh_type(LittleEndian) == SHT_NOTE,
            at: entry.sh_offset(LittleEndian).into(),
            size: entry.sh_size(LittleEndian).into(),
            align: entry.sh_addralign(LittleEndian),
        });
    }
    let guest = guest_section(body, &all, usize::from(header.e_shstrndx(LittleEndian).0))?;
    for section in all.iter().filter(|section| section.is_note) {
        notes::<E>(body, "a note section", (section.at, section.size, section.align), found)?;
    }
    if let (true, Some(section)) = (found.notes.is_empty(), guest) {
        let size = usize::try_from(section.size.min(NOTES_LIMIT)).unwrap_or(0);
        let text = body.bytes("the section __xen_guest", section.at, size)?;
        *from = NotesIn::GuestSection;
        found.notes = guest_section::decode(&text, section.at);
    }
    Ok(())
}

struct Section<W> {
    name: u32,
    is_note: bool,
    at: u64,
    size: u64,
    align: W,
}

/// The section `__xen_guest`, by the table of names.
fn guest_section<'a, W>(
    body: &mut Body<'_>,
    all: &'a [Section<W>],
    names: usize,
) -> Result<Option<&'a Section<W>>, KernelError> {
    let Some(table) = all.get(names).filter(|table| table.size > 0 && table.size <= NOTES_LIMIT) else {
        return Ok(None);
    };
    let size = usize::try_from(table.size).unwrap_or(0);
    let table = body.bytes("the table of section names", table.at, size)?;
    let name = |section: &&Section<W>| {
        let rest = usize::try_from(section.name).ok().and_then(|at| table.get(at..)).unwrap_or_default();
        rest.strip_prefix(guest_section::NAME).is_some_and(|rest| rest.first() == Some(&0))
    };
    Ok(all.iter().find(name))
}

/// Adds the Xen notes among the notes at an offset. What follows a note that cannot be right is left out, as readelf
/// and Xen do.
fn notes<E: FileHeader<Endian = LittleEndian>>(
    body: &mut Body<'_>,
    what: &'static str,
    (at, size, align): (u64, u64, E::Word),
    found: &mut Found,
) -> Result<(), KernelError> {
    if size > NOTES_LIMIT {
        return Err(KernelError::Malformed { what, offset: at });
    }
    let bytes = body.bytes(what, at, usize::try_from(size).unwrap_or(0))?;
    // Anything but 8 is 4: Xen knows no other alignment of notes, and a default word is one.
    let (align, step) = if align.into() == 8 { (align, 8) } else { (E::Word::default(), 4) };
    let notes = NoteIterator::<E>::new(LittleEndian, align, &bytes);
    let mut offset = at;
    for note in notes.map_err(|_| KernelError::Malformed { what, offset: at })? {
        let Ok(note) = note else {
            found.malformed = Some(offset);
            let behind = usize::try_from(offset.saturating_sub(at)).ok().and_then(|start| bytes.get(start..));
            found.notes.extend(behind.and_then(|behind| cut_text(behind, offset)));
            break;
        };
        if found.notes.len() >= NOTE_COUNT {
            break;
        }
        if note.name() == b"Xen" {
            let number = note.n_type(LittleEndian).0;
            found.notes.push(note::decode(number, note.desc(), offset, found.class == Class::Bits64));
        }
        let head = padded(12_u64.saturating_add(note.name_bytes().len() as u64), step);
        offset = offset.saturating_add(head).saturating_add(padded(note.desc().len() as u64, step));
    }
    Ok(())
}

/// Returns the text note that says that it is longer than what is there, where its text ends before that does: libelf
/// reads a text up to its NUL (libelf-dominfo.c, `elf_strval`). GRUB's 32-bit loader has such a `PAE_MODE`.
fn cut_text(bytes: &[u8], offset: u64) -> Option<Note> {
    let rest = bytes.get(16..)?;
    if field::u32(bytes, 0)? != 4 || !field::has(bytes, 12, b"Xen\0") || !rest.contains(&0) {
        return None;
    }
    let note = note::decode(field::u32(bytes, 8)?, rest, offset, false);
    matches!(note.value, Value::Text(_) | Value::Features(_)).then_some(note)
}

fn padded(size: u64, step: u64) -> u64 {
    size.next_multiple_of(step)
}
