//! Which kernel a guest would boot: what GRUB, GRUB legacy, extlinux and boot loader entries say, as pygrub and the
//! loaders themselves read it.
//!
//! Decides: the entry that each file would boot, and where on the disk its kernel is. Never: which loader the guest's
//! configuration on the host names; that is for who reads that.

mod bls;
mod extlinux;
pub(super) mod grub;
mod legacy;

use xenup_disk::filesystem::FileKind;

use super::facts::{Boot, Volume};
use super::files::Files;

/// The most kernels that are listed.
const MOST_KERNELS: usize = 64;

/// Where an entry says that its files are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Place {
    /// On the file system of that UUID.
    Uuid(String),
    /// On the file system of that label.
    Label(String),
    /// On the partition of that number, from 1; 0 is a disk without partitions.
    Partition(u32),
    /// On another disk of the guest, by GRUB's name for it.
    OtherDisk(String),
    /// It is not said.
    #[default]
    Unknown,
}

/// What an entry boots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Entry {
    title: String,
    place: Place,
    kernel: Option<String>,
    cmdline: String,
    initrd: Vec<String>,
    hypervisor: Option<String>,
}

/// What a loader's file comes to.
struct Choice {
    loader: &'static str,
    file: String,
    entries: usize,
    why: String,
    entry: Entry,
}

type Reader = fn(&mut Files<'_>, &str) -> Option<Choice>;

/// The files in pygrub's order (tools/pygrub/src/pygrub of Xen): GRUB, extlinux, GRUB legacy. A boot partition without
/// its root has them without /boot.
const LOADERS: [(&[&str], Reader); 3] = [
    (&["/boot/grub/grub.cfg", "/grub/grub.cfg", "/boot/grub2/grub.cfg", "/grub2/grub.cfg"], grub::choose),
    (
        &[
            "/boot/isolinux/isolinux.cfg",
            "/boot/extlinux/extlinux.conf",
            "/boot/extlinux.conf",
            "/extlinux/extlinux.conf",
            "/extlinux.conf",
            "/boot/syslinux/syslinux.cfg",
            "/syslinux/syslinux.cfg",
        ],
        extlinux::choose,
    ),
    (&["/boot/grub/menu.lst", "/boot/grub/grub.conf", "/grub/menu.lst", "/grub/grub.conf"], legacy::choose),
];

/// What each loader's file would boot.
pub(super) fn choices(files: &mut Files<'_>, volumes: &[Volume]) -> Vec<Boot> {
    let mut found: Vec<Boot> = Vec::new();
    for (paths, read) in LOADERS {
        for path in paths {
            // A link from menu.lst to grub.conf, or from /boot/boot to /boot, is no second file.
            let Some(real) = files.real_path(path) else { continue };
            let other = Some((*path).to_owned()).filter(|path| *path != real);
            if let Some(boot) = found.iter_mut().find(|boot| boot.file == real) {
                boot.names.extend(other);
                continue;
            }
            if let Some(choice) = read(files, &real) {
                let boot = located(files, volumes, choice);
                found.push(Boot { names: other.into_iter().collect(), ..boot });
            }
        }
    }
    if !found.iter().any(|boot| boot.loader == "bls")
        && let Some(choice) = bls::choose_alone(files)
    {
        found.push(located(files, volumes, choice));
    }
    found
}

/// Kernels by name in /boot, and the links of old Debian in the root.
pub(super) fn kernels(files: &mut Files<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["/boot", ""] {
        let names = files.names(if folder.is_empty() { "/" } else { folder });
        let kernel = |name: &String| name.starts_with("vmlinu") || name.starts_with("kernel-");
        let paths = names.iter().filter(|name| kernel(name)).map(|name| format!("{folder}/{name}"));
        // A folder or a pipe of such a name is no kernel; a link that leads nowhere is none either.
        found.extend(
            paths
                .take(MOST_KERNELS)
                .filter(|path| files.stat(path).is_some_and(|stat| stat.kind == FileKind::File)),
        );
    }
    found.truncate(MOST_KERNELS);
    found
}

/// Finds the kernel of an entry.
fn located(files: &mut Files<'_>, volumes: &[Volume], choice: Choice) -> Boot {
    let Choice { loader, file, entries, why, entry } = choice;
    let mut boot = Boot {
        loader: loader.to_owned(),
        file,
        entries,
        why,
        title: entry.title,
        kernel: entry.kernel,
        cmdline: entry.cmdline,
        initrd: entry.initrd,
        hypervisor: entry.hypervisor,
        ..Boot::default()
    };
    let Some(kernel) = &boot.kernel else {
        files.note(&boot.file, format!("the entry {:?} names no kernel", boot.title));
        return boot;
    };
    if let Place::OtherDisk(device) = entry.place {
        files.note(
            &boot.file,
            format!("the kernel {kernel} of {:?} is on another disk: {device}", boot.title),
        );
        boot.kernel_device = Some(device);
        return boot;
    }
    let found = candidates(&entry.place, volumes, kernel).into_iter().find_map(|path| {
        let stat = files.stat(&path).filter(|stat| stat.kind == FileKind::File)?;
        Some((files.real_path(&path)?, stat.size))
    });
    match found {
        Some((path, size)) => (boot.kernel_path, boot.kernel_size) = (Some(path), Some(size)),
        None => files.note(&boot.file, format!("the kernel {kernel} of {:?} is not there", boot.title)),
    }
    boot
}

/// The paths in the guest's tree that a path on an entry's file system can be.
fn candidates(place: &Place, volumes: &[Volume], path: &str) -> Vec<String> {
    let path = format!("/{}", path.trim_start_matches('/'));
    let meant = volumes.iter().find(|volume| match place {
        Place::Uuid(uuid) => volume.uuid.as_ref().is_some_and(|held| held.eq_ignore_ascii_case(uuid)),
        Place::Label(label) => volume.label.as_ref() == Some(label),
        Place::Partition(number) => volume.number.unwrap_or_default() == *number,
        Place::OtherDisk(_) | Place::Unknown => false,
    });
    let mut found = Vec::new();
    if let Some((volume, point)) = meant.and_then(|volume| Some((volume, volume.mounted.as_ref()?))) {
        found.push(format!("{}{path}", point.trim_end_matches('/')));
        // GRUB sees a btrfs from its top, so that the subvolume is the path's first part.
        if volume.kind.as_deref() == Some("btrfs")
            && let Some((_, inside)) = path.trim_start_matches('/').split_once('/')
        {
            found.push(format!("{}/{inside}", point.trim_end_matches('/')));
        }
        return found;
    }
    found.push(path.clone());
    found.push(format!("/boot{path}"));
    found
}

/// Takes a device off the front of a path of GRUB's: `(hd0,1)/vmlinuz`. Returns the place it means, counted as GRUB 2
/// counts (from 1) or as GRUB legacy does (from 0).
fn split_device(path: &str, first: u32) -> (Option<Place>, &str) {
    let Some((device, rest)) = path.strip_prefix('(').and_then(|path| path.split_once(')')) else {
        return (None, path);
    };
    (Some(device_place(device, first)), rest)
}

/// What a device of GRUB's means: `hd0,msdos1`, `xen/xvda,gpt2`, `hd0,0` of GRUB legacy, or what `search` found.
fn device_place(device: &str, first: u32) -> Place {
    if let Some(uuid) = device.strip_prefix("uuid=") {
        return Place::Uuid(uuid.to_owned());
    }
    if let Some(label) = device.strip_prefix("label=") {
        return Place::Label(label.to_owned());
    }
    let Some((disk, partition)) = device.rsplit_once(',') else {
        return match device {
            "" => Place::Unknown,
            other if is_other_disk(other) => Place::OtherDisk(device.to_owned()),
            _ => Place::Partition(0),
        };
    };
    if is_other_disk(disk) {
        return Place::OtherDisk(device.to_owned());
    }
    let digits = partition.trim_start_matches(|c: char| !c.is_ascii_digit());
    let number = digits.parse::<u32>().ok().and_then(|number| number.checked_add(1)?.checked_sub(first));
    match number {
        Some(number) => Place::Partition(number),
        None => Place::Unknown,
    }
}

/// Whether a disk of GRUB's is not the guest's first, which is the one that is read: `hd1`, `xen/xvdb`.
fn is_other_disk(disk: &str) -> bool {
    let (name, number) = disk.split_at(disk.trim_end_matches(|c: char| c.is_ascii_digit()).len());
    match name {
        "hd" => number.parse::<u32>().is_ok_and(|number| number > 0),
        _ => name.strip_prefix("xen/xvd").is_some_and(|letters| !letters.is_empty() && letters != "a"),
    }
}

/// The folder of a path.
fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
