//! What the disk is cut into, which part is the guest's root, and what is mounted in it.
//!
//! Decides by what lies on the file systems and what the root's own fstab says; never by size or order alone.

use std::rc::Rc;

use xenup_disk::filesystem::{FileSystem, Tree};
use xenup_disk::superblock::{self, Kind};
use xenup_disk::table::{self, Form};
use xenup_disk::{ReadAt, ReadError};

use super::facts::{GuestDisk, Mount, Note, Volume};
use super::files::in_line;
use super::{fstab, pygrub};

/// The most partitions that are looked into.
const MOST_VOLUMES: usize = 64;
/// The most subvolumes of a btrfs that are tried.
const MOST_SUBVOLUMES: usize = 16;
/// The longest fstab that is read before the rest is.
const LONGEST_FSTAB: u64 = 1 << 20;

/// What a root has, and how much each says.
const ROOT_HAS: [(&str, u32); 7] = [
    ("/etc/os-release", 2),
    ("/usr/lib/os-release", 1),
    ("/etc/debian_version", 1),
    ("/etc/fstab", 1),
    ("/sbin/init", 2),
    ("/bin/sh", 1),
    ("/etc/passwd", 1),
];
/// What a boot partition has at its top.
const BOOT_HAS: [&str; 6] = [
    "/grub/grub.cfg",
    "/grub/menu.lst",
    "/grub/grub.conf",
    "/grub2/grub.cfg",
    "/extlinux",
    "/loader/entries",
];
/// Subvolumes that installers make the root: openSUSE and Ubuntu, Debian, Fedora, Arch.
const SUBVOLUMES: [&str; 4] = ["@", "@rootfs", "root", "@root"];
/// Enough to be a root.
const ENOUGH: u32 = 2;

/// How the note on a file system begins that is larger than what it lies on.
pub(crate) const CUT: &str = "the file system has";

/// A volume with its bytes.
struct Part {
    volume: Volume,
    kind: Option<Kind>,
    bytes: Rc<dyn ReadAt>,
}

/// A file system that may be the root.
struct Candidate {
    part: usize,
    tree: Tree,
    subvolume: Option<String>,
    evidence: Vec<String>,
    score: u32,
}

/// Fills in table and volumes, and returns the guest's tree, `None` where no root and no boot partition is found, and the
/// parts that pygrub would open.
pub(super) fn gather(
    disk: &Rc<dyn ReadAt>,
    found: &mut GuestDisk,
) -> Result<(Option<Tree>, Vec<pygrub::Part>), ReadError> {
    let mut parts = cut(disk, found)?;
    let mut candidates: Vec<Candidate> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let Some(kind) = part.kind else { continue };
        say_unread(&part.volume, kind, &mut found.notes);
        if matches!(kind, Kind::Ext { .. } | Kind::Xfs | Kind::Btrfs { .. }) {
            candidates.extend(candidate(index, part, &mut found.notes));
        }
    }
    let best = best(&mut candidates, &parts);
    let tree = match best {
        Some(root) => Some(root_tree(root, candidates, &mut parts, found)),
        None => boot_tree(candidates, &mut parts, found),
    };
    let of_pygrub = |part: &Part| pygrub::Part {
        number: part.volume.number,
        kind: part.kind,
        bytes: Rc::clone(&part.bytes),
    };
    let for_pygrub = parts.iter().map(of_pygrub).collect();
    found.volumes = parts.into_iter().map(|part| part.volume).collect();
    Ok((tree, for_pygrub))
}

/// What a note on a volume is about.
pub(crate) fn about(volume: &Volume) -> String {
    volume.number.map_or("disk".to_owned(), |number| format!("partition {number}"))
}

fn cut(disk: &Rc<dyn ReadAt>, found: &mut GuestDisk) -> Result<Vec<Part>, ReadError> {
    let Some(table) = table::read(disk)? else {
        let volume = Volume { size: disk.size(), ..Volume::default() };
        return Ok(vec![part(volume, Rc::clone(disk), &mut found.notes)?]);
    };
    found.table = Some(match table.form {
        Form::Mbr { .. } => "mbr".to_owned(),
        Form::Gpt { .. } => "gpt".to_owned(),
    });
    found.notes.extend(table.notes.iter().map(|note| Note::new("partition table", note)));
    if table.partitions.len() > MOST_VOLUMES {
        let text = format!("{} partitions: {MOST_VOLUMES} are looked into", table.partitions.len());
        found.notes.push(Note::new("partition table", text));
    }
    let mut parts = Vec::new();
    for partition in table.partitions.iter().take(MOST_VOLUMES) {
        let volume = Volume {
            number: Some(partition.number),
            start: partition.start,
            size: partition.size,
            partuuid: Some(partition.uuid.clone()),
            name: partition.name.as_deref().map(in_line),
            ..Volume::default()
        };
        let bytes: Rc<dyn ReadAt> = Rc::new(partition.view(Rc::clone(disk)));
        parts.push(part(volume, bytes, &mut found.notes)?);
    }
    Ok(parts)
}

fn part(mut volume: Volume, bytes: Rc<dyn ReadAt>, notes: &mut Vec<Note>) -> Result<Part, ReadError> {
    let content = match superblock::identify(&bytes) {
        Ok(content) => content,
        Err(error @ ReadError::Budget) => return Err(error),
        Err(error) => {
            notes.push(Note::new(about(&volume), error.to_string()));
            None
        }
    };
    let kind = content.as_ref().map(|content| content.kind);
    if let Some(content) = content {
        volume.kind = Some(content.kind.name().to_owned());
        volume.uuid = content.uuid.map(|uuid| in_line(&uuid));
        volume.label = content.label.map(|label| in_line(&label));
        volume_is_cut(&volume, content.kind, &bytes, notes)?;
    }
    Ok(Part { volume, kind, bytes })
}

/// Notes on a file system that is larger than what it lies on: Linux mounts none of these then.
fn volume_is_cut(
    volume: &Volume,
    kind: Kind,
    bytes: &Rc<dyn ReadAt>,
    notes: &mut Vec<Note>,
) -> Result<(), ReadError> {
    if let Some(size) = superblock::file_system_size(bytes, kind)?.filter(|size| *size > volume.size) {
        let what = if volume.number.is_some() { "partition" } else { "disk" };
        let (size, room) = (size >> 20, volume.size >> 20);
        let text =
            format!("{CUT} {size} MiB, the {what} {room} MiB: it was cut off, and Linux does not mount it");
        notes.push(Note::new(about(volume), text));
    }
    Ok(())
}

/// Notes on what is recognised and never opened.
fn say_unread(volume: &Volume, kind: Kind, notes: &mut Vec<Note>) {
    let text = match kind {
        Kind::Lvm2Member => "an LVM physical volume: what is in it is not read",
        Kind::Luks { .. } => "encrypted (LUKS): what is in it is not read",
        Kind::MdMember { .. } => "a member of a software RAID: what is in it is not read",
        Kind::Vfat { .. } => "vfat: its files are not read",
        _ => return,
    };
    notes.push(Note::new(about(volume), text));
}

fn candidate(index: usize, part: &Part, notes: &mut Vec<Note>) -> Option<Candidate> {
    let opened = FileSystem::open(Rc::clone(&part.bytes));
    let filesystem = match opened {
        Ok(filesystem) => filesystem?,
        Err(error) => {
            notes.push(Note::new(about(&part.volume), error.to_string()));
            return None;
        }
    };
    notes.extend(filesystem.notes.iter().map(|note| Note::new(about(&part.volume), note)));
    let whole = judged(index, Tree::new(filesystem), None);
    if whole.score >= ENOUGH || !matches!(part.kind, Some(Kind::Btrfs { .. })) {
        return Some(whole);
    }
    let subvolumes = subvolumes(part).into_iter().filter_map(|name| {
        let filesystem = FileSystem::open_subvolume(Rc::clone(&part.bytes), &name).ok()?;
        Some(judged(index, Tree::new(filesystem), Some(name)))
    });
    let best = subvolumes.max_by_key(|candidate| candidate.score);
    best.filter(|best| best.score >= ENOUGH).or(Some(whole))
}

/// Names of subvolumes that may be the root: the usual ones, then what lies at the top.
fn subvolumes(part: &Part) -> Vec<String> {
    let mut names: Vec<String> = SUBVOLUMES.iter().map(|name| (*name).to_owned()).collect();
    if let Ok(top) = FileSystem::open_subvolume(Rc::clone(&part.bytes), "") {
        let listed = Tree::new(top).list("/", MOST_SUBVOLUMES).unwrap_or_default().0;
        names.extend(listed.into_iter().filter(|name| !SUBVOLUMES.contains(&name.as_str())));
    }
    names
}

fn judged(part: usize, mut tree: Tree, subvolume: Option<String>) -> Candidate {
    let there = ROOT_HAS.iter().filter(|(path, _)| tree.stat(path).is_ok());
    let there: Vec<_> = there.collect();
    let score = there.iter().map(|(_, weight)| weight).sum();
    let evidence = there.iter().map(|(path, _)| (*path).to_owned()).collect();
    Candidate { part, tree, subvolume, evidence, score }
}

fn fstab_of(tree: &mut Tree, parts: &[Part]) -> Vec<Mount> {
    let bytes = tree.read("/etc/fstab", LONGEST_FSTAB).unwrap_or_default();
    let text = super::files::clean(&String::from_utf8_lossy(&bytes));
    let volumes: Vec<_> = parts.iter().map(|part| part.volume.clone()).collect();
    fstab::read(&text, &volumes)
}

/// Takes the best root out of the candidates: by what it has, then by whether its own fstab means it by `/`.
fn best(candidates: &mut Vec<Candidate>, parts: &[Part]) -> Option<Candidate> {
    for candidate in candidates.iter_mut().filter(|candidate| candidate.score >= ENOUGH) {
        let number = parts.get(candidate.part).map(|part| part.volume.number);
        let mounts = fstab_of(&mut candidate.tree, parts);
        if let Some(root) = mounts.iter().find(|mount| mount.target == "/")
            && root.partition.is_some()
            && Some(root.partition) == number
        {
            candidate.score = candidate.score.saturating_add(4);
            candidate.evidence.push(format!("/etc/fstab:{} names it", root.line));
        }
    }
    let chosen = (0..candidates.len())
        .rev()
        .max_by_key(|index| candidates.get(*index).map(|candidate| candidate.score))?;
    let enough = candidates.get(chosen).is_some_and(|candidate| candidate.score >= ENOUGH);
    enough.then(|| candidates.remove(chosen))
}

/// The root with what its fstab mounts in it.
fn root_tree(root: Candidate, mut others: Vec<Candidate>, parts: &mut [Part], found: &mut GuestDisk) -> Tree {
    let mut tree = root.tree;
    let mounts = fstab_of(&mut tree, parts);
    if let Some(part) = parts.get_mut(root.part) {
        part.volume.mounted = Some("/".to_owned());
        (part.volume.subvolume, part.volume.evidence) = (root.subvolume, root.evidence);
    }
    for other in others.iter().filter(|other| other.score >= ENOUGH) {
        let text = "holds another root, which is not looked into";
        found.notes.extend(parts.get(other.part).map(|part| Note::new(about(&part.volume), text)));
    }
    // /usr first: the way to /boot does not lead through it, but the way to much else does.
    for target in ["/usr", "/boot", "/var"] {
        let Some(mount) = mounts.iter().find(|mount| mount.target == target) else { continue };
        let line = format!("/etc/fstab:{}", mount.line);
        match mounted(mount, parts) {
            Some((index, filesystem)) => {
                put(&mut tree, target, index, filesystem, parts, found);
                others.retain(|other| other.part != index);
            }
            None => found.notes.push(Note::new(
                line,
                format!("{target} is on {}, which is not on this disk or not read", mount.source),
            )),
        }
    }
    let boot_is_elsewhere = mounts.iter().any(|mount| mount.target == "/boot");
    if !boot_is_elsewhere
        && let Some(index) =
            others.iter_mut().find_map(|other| looks_like_boot(&mut other.tree).then_some(other.part))
        && let Some(Ok(Some(filesystem))) =
            parts.get(index).map(|part| FileSystem::open(Rc::clone(&part.bytes)))
    {
        let text = "taken for /boot by what it holds; fstab does not name it";
        found.notes.extend(parts.get(index).map(|part| Note::new(about(&part.volume), text)));
        put(&mut tree, "/boot", index, filesystem, parts, found);
    }
    tree
}

fn put(
    tree: &mut Tree,
    target: &str,
    index: usize,
    filesystem: FileSystem,
    parts: &mut [Part],
    found: &mut GuestDisk,
) {
    let Some(part) = parts.get_mut(index) else { return };
    match tree.mount(target, filesystem) {
        // A subvolume of the root's own btrfs keeps the root's place.
        Ok(()) => drop(part.volume.mounted.get_or_insert_with(|| target.to_owned())),
        Err(error) => found.notes.push(Note::new(target, error.to_string())),
    }
}

/// The file system that a line of fstab means, opened.
fn mounted(mount: &Mount, parts: &[Part]) -> Option<(usize, FileSystem)> {
    let volumes: Vec<_> = parts.iter().map(|part| part.volume.clone()).collect();
    let (_, volume) = fstab::named(&mount.source, &volumes);
    let volume = volume?;
    let index = parts.iter().position(|part| part.volume.start == volume.start)?;
    let part = parts.get(index)?;
    let subvolume = mount.options.split(',').find_map(|option| option.strip_prefix("subvol="));
    let filesystem = match (subvolume, part.kind) {
        (Some(name), Some(Kind::Btrfs { .. })) => {
            FileSystem::open_subvolume(Rc::clone(&part.bytes), name).ok()?
        }
        _ => FileSystem::open(Rc::clone(&part.bytes)).ok()??,
    };
    Some((index, filesystem))
}

fn looks_like_boot(tree: &mut Tree) -> bool {
    BOOT_HAS.iter().any(|path| tree.stat(path).is_ok())
}

/// A boot partition without its root: all that there is of the guest on this disk.
fn boot_tree(candidates: Vec<Candidate>, parts: &mut [Part], found: &mut GuestDisk) -> Option<Tree> {
    found.notes.push(Note::new("disk", "no root file system was found"));
    let mut boot =
        candidates.into_iter().find_map(|mut other| looks_like_boot(&mut other.tree).then_some(other))?;
    if let Some(part) = parts.get_mut(boot.part) {
        part.volume.mounted = Some("/".to_owned());
        part.volume.evidence = vec!["boot loader files at its top".to_owned()];
    }
    boot.evidence.clear();
    Some(boot.tree)
}
