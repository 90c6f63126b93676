//! What a guest can write: its file for xl or xm, its kernel, its disk, its boot loader's file.

use std::path::Path;
use std::rc::Rc;

use xenup_core::guest::convert::convert;
use xenup_core::guest::disk::{self, GuestFiles, facts::Volume};
use xenup_core::guest::lint::{lint, unreadable};
use xenup_core::guest::{GuestFile, Here};
use xenup_core::kernel::{self, Content, Hypervisor, Release};
use xenup_disk::filesystem::{FileKind, FsError, Stat};
use xenup_disk::image::{Format, Header, NoBackingFiles};

use crate::disk::Sparse;
use crate::probe::Files;

/// A file for xl or xm: read, judged, written in today's form, which xl reads and which stays as it is.
pub fn file(bytes: &[u8]) {
    let machine = Files::debian();
    let here = Here::look(&machine);
    let file = match GuestFile::parse("/etc/xen/a.cfg", bytes.to_vec()) {
        Ok(file) => file,
        Err(error) => {
            assert!(!error.hint().is_empty());
            let _ = unreadable(&error);
            return;
        }
    };
    for finding in lint(&file, &here) {
        assert!(!finding.fix.is_empty() && !finding.why.is_empty(), "{}", finding.id);
    }
    if let Ok(once) = convert(&file) {
        let again = GuestFile::parse("/etc/xen/a.cfg", once.after.clone().into_bytes()).expect("it is read again");
        assert!(again.refused_by_xl.is_none(), "xl reads it");
        assert_eq!(convert(&again).expect("it is converted again").after, once.after);
    }
}

/// The same as Python alone: behind a line that xl refuses.
pub fn xm(bytes: &[u8]) {
    file(&[b"name = 'a' + 'b'\n".as_slice(), bytes].concat());
}

/// A kernel's file, and what it can be under an old, a middle and a new Xen.
pub fn kernel(bytes: &[u8]) {
    let Ok(image) = kernel::read(&bytes) else { return };
    let json = serde_json::to_vec(&image).expect("it is JSON");
    assert_eq!(serde_json::from_slice::<kernel::Image>(&json).expect("it is read back"), image);
    for (major, minor) in [(2, 0), (4, 4), (4, 20)] {
        let xen = Hypervisor::of(Release { major, minor });
        let _ = kernel::judge(&image, None, &xen);
    }
}

/// A note segment in an ELF file that is otherwise as Linux's: the bytes are the notes.
pub fn notes(bytes: &[u8]) {
    let length = bytes.len() as u64;
    let mut elf = Vec::with_capacity(bytes.len() + 176);
    elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    for half in [2_u16, 62] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(1_u32.to_le_bytes());
    for word in [0x0100_0000_u64, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    for half in [4_u32, 4] {
        elf.extend(half.to_le_bytes());
    }
    for word in [120_u64, 0, 0, length, length, 4] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(bytes);
    kernel(&elf);
    if let Ok(kernel::Image { content: Content::Kernel(kernel), .. }) = kernel::read(&elf.as_slice()) {
        assert!(kernel.notes.iter().all(|note| note.offset < elf.len() as u64));
    }
}

/// A disk, by rows as tests/cases/disk has them: its table, and the files of what it holds.
pub fn rows(bytes: &[u8]) {
    let Some(sparse) = Sparse::parse(bytes) else { return };
    if let Ok(reading) = disk::read(Rc::new(sparse), None, &NoBackingFiles) {
        let _ = serde_json::to_vec(&reading.disk).expect("it is JSON");
    }
}

/// An image as it is, taken for a qcow2 by its first bytes.
pub fn qcow2(bytes: &[u8]) {
    let _ = Header::read(&bytes);
    let image: Rc<[u8]> = bytes.into();
    if let Ok(reading) = disk::read(Rc::new(image), Some(Format::Qcow2), &NoBackingFiles) {
        let _ = serde_json::to_vec(&reading.disk).expect("it is JSON");
    }
}

/// A guest's tree of one file.
struct One<'a>(&'a str, &'a [u8]);

impl GuestFiles for One<'_> {
    fn read(&mut self, path: &str, limit: u64) -> Result<Vec<u8>, FsError> {
        let size = self.1.len() as u64;
        match (path == self.0, size > limit) {
            (true, false) => Ok(self.1.to_vec()),
            (true, true) => Err(FsError::TooLarge { path: path.to_owned(), size, limit }),
            (false, _) => Err(FsError::NotFound { path: path.to_owned() }),
        }
    }

    fn read_range(&mut self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, FsError> {
        let bytes = self.read(path, u64::MAX)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let to = usize::try_from(offset.saturating_add(length)).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes[from..to].to_vec())
    }

    fn stat(&mut self, path: &str) -> Result<Stat, FsError> {
        let size = self.read(path, u64::MAX)?.len() as u64;
        Ok(Stat { kind: FileKind::File, size, mode: 0o644 })
    }

    fn list(&mut self, path: &str, _: usize) -> Result<(Vec<String>, bool), FsError> {
        Err(FsError::NotFound { path: path.to_owned() })
    }

    fn real_path(&mut self, path: &str) -> Result<String, FsError> {
        Ok(path.to_owned())
    }
}

fn in_guest(path: &str, bytes: &[u8]) {
    let volumes = [Volume { number: Some(1), mounted: Some("/".to_owned()), ..Volume::default() }];
    let (found, notes) = disk::find(&mut One(path, bytes), &volumes);
    let text = serde_json::to_string(&(found, notes)).expect("it is JSON");
    assert!(!text.contains('\u{1b}') && !text.contains("\\u001b"), "control characters came through");
}

/// grub.cfg of a guest, carried out as far as it decides what boots.
pub fn grub(bytes: &[u8]) {
    in_guest("/boot/grub/grub.cfg", bytes);
}

/// The other boot loaders' files of a guest.
pub fn menus(bytes: &[u8]) {
    for path in ["/boot/grub/menu.lst", "/boot/extlinux/extlinux.conf", "/boot/grub/grubenv", "/etc/fstab"] {
        in_guest(path, bytes);
    }
}

/// A whole host of one guest, whose file it is.
pub fn audit(bytes: &[u8]) {
    use xenup_core::audit::{Asked, DiskRead, GuestDisks, audit, html};
    struct None;
    impl GuestDisks for None {
        fn disk(&self, _: &Path, _: &str) -> Result<DiskRead, String> {
            Err("there is none".to_owned())
        }
        fn start(&self, _: &Path, _: u64) -> Result<Vec<u8>, String> {
            Err("there is none".to_owned())
        }
    }
    let machine = Files::debian().with("/etc/xen/a.cfg", bytes);
    let Ok((found, unread)) = xenup_core::guest::list::find(&machine) else { return };
    let audit = audit(&machine, &None, "trixie".parse().ok(), Asked { found, unread, whole_host: true });
    assert!(html::page(&audit).ends_with("</html>\n"));
}
