//! fstab(5). Decides how each line names its device, which partition of this disk it means, and what to write instead of
//! a name that depends on how the disk is attached: Xen's block front end calls disks xvda, xvdb, ...

use super::facts::{Mount, NamedBy, Volume};

/// The most lines that are kept.
const MOST_LINES: usize = 500;

/// Reads a fstab against the volumes of the disk.
pub(super) fn read(text: &str, volumes: &[Volume]) -> Vec<Mount> {
    let lines = text.lines().enumerate().filter_map(|(number, line)| {
        let mut words = line.split_ascii_whitespace();
        let source = words.next().filter(|word| !word.starts_with('#'))?;
        let (target, kind) = (words.next()?, words.next().unwrap_or_default());
        let mut mount = Mount {
            line: number.saturating_add(1),
            source: unescaped(source),
            target: unescaped(target),
            kind: kind.to_owned(),
            options: words.next().unwrap_or_default().to_owned(),
            ..Mount::default()
        };
        let (by, volume) = named(&mount.source, volumes);
        let volume = volume.or_else(|| bare_root(by, volumes).filter(|_| mount.target == "/"));
        mount.by = by;
        mount.partition = volume.and_then(|volume| volume.number);
        if by == NamedBy::ForeignName {
            mount.advice = advice(volume);
        }
        Some(mount)
    });
    lines.take(MOST_LINES).collect()
}

/// What to write instead of a device name, where it is known.
fn advice(volume: Option<&Volume>) -> Option<String> {
    let volume = volume?;
    let uuid = volume.uuid.as_ref().map(|uuid| format!("UUID={uuid}"));
    uuid.or_else(|| volume.partuuid.as_ref().map(|uuid| format!("PARTUUID={uuid}")))
}

/// A disk without partitions whose file system is the root, under whatever name: xen-tools attaches one as xvda2.
fn bare_root(by: NamedBy, volumes: &[Volume]) -> Option<&Volume> {
    let named = matches!(by, NamedBy::XenName | NamedBy::ForeignName);
    volumes.first().filter(|volume| named && volume.number.is_none())
}

/// Says of a name that Xen does not give a disk what to write instead, after `prefix`; `None` for other names.
pub(super) fn warning(prefix: &str, source: &str, is_root: bool, volumes: &[Volume]) -> Option<String> {
    let (by, volume) = named(source, volumes);
    let volume = volume.or_else(|| bare_root(by, volumes).filter(|_| is_root));
    let instead = match advice(volume) {
        _ if by != NamedBy::ForeignName => return None,
        Some(advice) => format!("write {prefix}{advice}"),
        None => "name it by its UUID (blkid in the guest), or as the /dev/xvd that it becomes".to_owned(),
    };
    Some(format!("{prefix}{source} is no name that Xen gives a disk: {instead}"))
}

/// What of a volume a name is compared with.
type Names = fn(&Volume) -> Option<&String>;

/// How a source is named, and which volume it means.
pub(super) fn named<'v>(source: &str, volumes: &'v [Volume]) -> (NamedBy, Option<&'v Volume>) {
    let tagged = |by: NamedBy, of: Names, value: &str| {
        let value = value.trim_matches('"');
        let found = volumes.iter().find(|volume| {
            of(volume).is_some_and(|held| {
                held == value || (by != NamedBy::Label && held.eq_ignore_ascii_case(value))
            })
        });
        (by, found)
    };
    let forms: [(&str, &str, NamedBy, Names); 4] = [
        ("UUID=", "/dev/disk/by-uuid/", NamedBy::Uuid, |volume| volume.uuid.as_ref()),
        ("LABEL=", "/dev/disk/by-label/", NamedBy::Label, |volume| volume.label.as_ref()),
        ("PARTUUID=", "/dev/disk/by-partuuid/", NamedBy::Partition, |volume| volume.partuuid.as_ref()),
        ("PARTLABEL=", "/dev/disk/by-partlabel/", NamedBy::Partition, |volume| volume.name.as_ref()),
    ];
    for (tag, folder, by, of) in forms {
        if let Some(value) = source.strip_prefix(tag).or_else(|| source.strip_prefix(folder)) {
            return tagged(by, of, value);
        }
    }
    let Some(device) = source.strip_prefix("/dev/") else { return (NamedBy::Other, None) };
    let by = match device.get(..2) {
        Some("xv") => NamedBy::XenName,
        Some("hd" | "sd" | "vd") => NamedBy::ForeignName,
        _ if device.starts_with("mapper/") || device.contains('/') => NamedBy::Mapped,
        _ => NamedBy::Other,
    };
    if !matches!(by, NamedBy::XenName | NamedBy::ForeignName) {
        return (by, None);
    }
    (by, by_number(device, volumes))
}

/// The partition that a device name means, where it is on the first disk: sda2, xvda2. A guest's only disk is mostly the
/// first; a name of another disk means none of these.
fn by_number<'v>(device: &str, volumes: &'v [Volume]) -> Option<&'v Volume> {
    let name = device.trim_end_matches(|c: char| c.is_ascii_digit());
    if !name.ends_with('a') || name.ends_with("aa") {
        return None;
    }
    let number = device.strip_prefix(name)?.parse().ok()?;
    volumes.iter().find(|volume| volume.number == Some(number))
}

/// Octal escapes of fstab(5): blanks and tabs in names.
fn unescaped(word: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", " "), ("\\012", " "), ("\\134", "\\")];
    escapes.iter().fold(word.to_owned(), |text, (from, to)| text.replace(from, to))
}
