//! What pygrub comes to on a disk: it reads less than what is read here, and otherwise.
//!
//! Decides: which partition and file pygrub takes, which entry of it, and why it boots nothing. Facts: tools/pygrub/src of
//! Xen 4.17 (pygrub, GrubConf.py, ExtLinuxConf.py) and tools/libfsimage: no btrfs, no xfs 5, no LVM, no logical
//! partition, no mounts; grub.cfg is read as lines, without variables, functions and other files. Never: judges the kernel.

mod config;

use std::rc::Rc;

use xenup_disk::ReadAt;
use xenup_disk::filesystem::{FileKind, FileSystem, Tree};
use xenup_disk::superblock::{Kind, XfsForm, xfs_form};

use super::facts::Boot;
use super::files::{GuestFiles, clean};
use config::{Menu, extlinux, grub, legacy};

/// As much of a file as pygrub reads.
const MOST_READ: u64 = 1 << 20;
/// A partition of this size without a mark is GRUB's own on a GPT, and no file system.
const NO_FILE_SYSTEM: u64 = 2 << 20;

type Parser = fn(&str) -> Result<Menu, String>;

/// The files that pygrub looks for, in its order.
const FILES: [(&str, &str, Parser); 13] = [
    ("/boot/grub/grub.cfg", "grub", grub),
    ("/grub/grub.cfg", "grub", grub),
    ("/boot/grub2/grub.cfg", "grub", grub),
    ("/grub2/grub.cfg", "grub", grub),
    ("/boot/isolinux/isolinux.cfg", "extlinux", extlinux),
    ("/boot/extlinux/extlinux.conf", "extlinux", extlinux),
    ("/boot/extlinux.conf", "extlinux", extlinux),
    ("/extlinux/extlinux.conf", "extlinux", extlinux),
    ("/extlinux.conf", "extlinux", extlinux),
    ("/boot/grub/menu.lst", "grub-legacy", legacy),
    ("/boot/grub/grub.conf", "grub-legacy", legacy),
    ("/grub/menu.lst", "grub-legacy", legacy),
    ("/grub/grub.conf", "grub-legacy", legacy),
];

/// What pygrub comes to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pygrub {
    /// It takes this entry; paths are those of its own file system.
    Boots(Box<Boot>),
    /// It boots nothing, and why.
    Fails(String),
    /// What it does cannot be told, and why.
    Unknown(String),
}

/// A partition, or the whole disk, as pygrub would open it.
pub(super) struct Part {
    pub(super) number: Option<u32>,
    pub(super) kind: Option<Kind>,
    pub(super) bytes: Rc<dyn ReadAt>,
}

/// Returns what pygrub comes to, and the part, by its place among them, that it then reads the kernel from.
pub(super) fn look(parts: &[Part], mbr: bool) -> (Pygrub, Option<(usize, Tree)>) {
    let (mut reasons, mut doubts) = (Vec::new(), Vec::new());
    for (place, part) in parts.iter().enumerate() {
        let about = part.number.map_or("the disk".to_owned(), |number| format!("partition {number}"));
        if mbr && part.number.is_some_and(|number| number > 4) {
            reasons.push(format!("{about} is a logical one, where pygrub does not look"));
            continue;
        }
        let mut tree = match opened(part) {
            Opened::Yes(tree) => *tree,
            Opened::No(why) => {
                reasons.push(format!("{about} {why}"));
                continue;
            }
            Opened::Unknown(why) => {
                doubts.push(format!("{about} {why}"));
                continue;
            }
        };
        match entry(&mut tree) {
            Err(why) => reasons.push(format!("{about}: {why}")),
            Ok(boot) => return (with_ramdisk(&mut tree, boot), Some((place, tree))),
        }
    }
    if doubts.is_empty() {
        return (Pygrub::Fails(reasons.join("; ")), None);
    }
    (Pygrub::Unknown([doubts, reasons].concat().join("; ")), None)
}

enum Opened {
    Yes(Box<Tree>),
    No(String),
    Unknown(String),
}

fn opened(part: &Part) -> Opened {
    let Some(kind) = part.kind else {
        return if part.bytes.size() <= NO_FILE_SYSTEM {
            Opened::No("holds no file system".to_owned())
        } else {
            Opened::Unknown("holds nothing that is known here".to_owned())
        };
    };
    match kind {
        Kind::Ext { .. } => {}
        Kind::Xfs => match xfs_form(part.bytes.as_ref()) {
            Ok(Some(XfsForm { version: 5, .. })) => {
                return Opened::No("is xfs 5, and pygrub reads none but xfs 4".to_owned());
            }
            Ok(Some(XfsForm { version: 4, typed_directories: false })) => {}
            // pygrub's reader was not made for types in directories.
            _ => return Opened::Unknown("is an xfs that pygrub may read or not".to_owned()),
        },
        Kind::Vfat { .. } => return Opened::Unknown("is vfat, whose files are not read here".to_owned()),
        // With its metadata at the end, a member looks like what is on it.
        Kind::MdMember { .. } => return Opened::Unknown("is a member of a software RAID".to_owned()),
        other => return Opened::No(format!("is {}, which pygrub does not read", other.name())),
    }
    match FileSystem::open(Rc::clone(&part.bytes)) {
        Ok(Some(filesystem)) => Opened::Yes(Box::new(Tree::new(filesystem))),
        Ok(None) => Opened::Unknown("has no file system that is read here".to_owned()),
        Err(error) => Opened::Unknown(format!("cannot be read here: {error}")),
    }
}

/// Returns the entry that pygrub takes from a file system.
///
/// # Errors
/// Why it goes on to the next one.
pub fn entry(files: &mut dyn GuestFiles) -> Result<Boot, String> {
    let there = FILES.into_iter().find(|(path, ..)| files.stat(path).is_ok());
    let Some((file, loader, parse)) = there else {
        return Err("no file that pygrub looks for is there (grub.cfg, extlinux.conf, menu.lst)".to_owned());
    };
    let of_file = |why: String| format!("pygrub makes nothing of {file}: {why}");
    let bytes = files.read_range(file, 0, MOST_READ).map_err(|error| of_file(error.to_string()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| of_file("it is no UTF-8".to_owned()))?;
    let menu = parse(text).map_err(of_file)?;
    let image = menu.chosen().map_err(of_file)?;
    let kernel = image.kernel.clone().filter(|kernel| !kernel.is_empty());
    let kernel = kernel.ok_or_else(|| of_file("the entry that it takes names no kernel".to_owned()))?;
    let mut boot = Boot {
        loader: loader.to_owned(),
        file: file.to_owned(),
        entries: menu.images.len(),
        title: clean(&image.title),
        why: "as pygrub reads it".to_owned(),
        kernel: Some(clean(&kernel)),
        cmdline: clean(image.args.as_deref().unwrap_or_default()),
        initrd: image.initrd.iter().filter(|path| !path.is_empty()).cloned().collect(),
        ..Boot::default()
    };
    let path = absolute(&kernel);
    if let Ok(stat) = files.stat(&path)
        && stat.kind == FileKind::File
        && let Ok(real) = files.real_path(&path)
    {
        (boot.kernel_path, boot.kernel_size) = (Some(real), Some(stat.size));
    }
    Ok(boot)
}

/// pygrub ends where the ramdisk is not there.
fn with_ramdisk(files: &mut dyn GuestFiles, mut boot: Boot) -> Pygrub {
    let gone = boot.initrd.iter().find(|path| files.stat(&absolute(path)).is_err()).cloned();
    if let Some(gone) = gone.filter(|_| boot.kernel_path.is_some()) {
        return Pygrub::Fails(format!(
            "the ramdisk that it takes from {} is not there: {}",
            boot.file,
            clean(&gone)
        ));
    }
    boot.initrd = boot.initrd.iter().map(|path| clean(path)).collect();
    Pygrub::Boots(Box::new(boot))
}

fn absolute(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}
