//! What starts this machine, and what will start it next.
//!
//! Decides: GRUB's settings and menu, whether its environment can be written at boot, what the root file system needs.
//! Never: runs grub-probe or update-grub.

mod environment;
mod loader;
mod menu;
mod mounts;
pub(crate) mod shell;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mounts::{LayerKind, Mount};
use shell::{Value, Variables};

use super::facts::{At, Boot, Packages};
use super::reader::Reader;
use super::{distro, services};
use crate::boot::known_good;

/// Where Debian's packages put units, by the name that both a merged and an older /usr have.
const UNITS: &str = "/lib/systemd/system";
const GRUB_CFG: &str = "/boot/grub/grub.cfg";

/// Gathers the boot loader.
pub(super) fn gather(reader: &Reader<'_>, packages: &Packages, uefi: bool) -> Boot {
    let cmdline = reader.word("/proc/cmdline").unwrap_or_default();
    let mounts = mounts::parse(&reader.quiet("/proc/self/mountinfo").unwrap_or_default());
    let mut boot = Boot { cmdline, ..Boot::default() };
    (boot.loader, boot.loader_sign) = loader::gather(reader, packages, uefi, &boot.cmdline);
    settings(reader, &mut boot);
    if let Some(text) = reader.text(GRUB_CFG) {
        let menu = menu::parse(&text);
        boot.entries = menu.entries;
        boot.menu_default = menu.default;
        boot.menu_lang = menu.lang;
        boot.grub_password = menu.password.map(|line| At { path: GRUB_CFG.into(), line });
    }
    if let Some(block) = reader.bytes("/boot/grub/grubenv") {
        match environment::parse(&block) {
            Some(variables) => boot.grubenv = variables,
            None => "it is no environment block".clone_into(&mut boot.grubenv_obstacle),
        }
    }
    if let Some(mount) = mounts::under(&mounts, Path::new("/boot/grub")) {
        let obstacle = mounts::obstacle(reader, mount);
        if !obstacle.is_empty() {
            boot.grubenv_obstacle = obstacle;
        }
    }
    boot.boot_separate = mounts.iter().any(|mount| mount.point == Path::new("/boot"));
    boot.can_try_newer = reader.exists(Path::new(UNITS).join(known_good::UNIT));
    boot.newer_is_tried = reader.exists(known_good::ENABLED);
    let kept = reader.quiet(known_good::FILE).map(|text| known_good::KnownGood::parse(&text));
    boot.known_good = kept.is_some_and(|kept| kept.known.is_some());
    boot.kexec_reboots = services::kexec_reboots(reader);
    root(reader, packages, &mounts, &mut boot);
    room(reader, &mut boot);
    boot
}

/// /etc/default/grub and its drop-ins, as grub-mkconfig sources them: `grub.d/*.cfg` in the order of bytes.
fn settings(reader: &Reader<'_>, boot: &mut Boot) {
    let mut files = vec![PathBuf::from("/etc/default/grub")];
    files.extend(reader.ending("/etc/default/grub.d", ".cfg"));
    let mut variables = Variables::knowing(distributor(reader));
    for path in files {
        let Some(text) = reader.text(&path) else { continue };
        variables.read(&path, &text);
        boot.grub_files.push(path);
    }
    let names: Vec<String> = variables.names().map(str::to_owned).collect();
    for name in names {
        if let Some(at) = variables.set_at(&name) {
            boot.grub_set_at.insert(name.clone(), at.clone());
        }
        match variables.value(&name) {
            Value::Known(value) => {
                boot.grub.insert(name, value);
            }
            Value::Unknown(why) => {
                boot.grub_unknown.insert(name, why);
            }
            Value::Unset => {}
        }
    }
}

/// What Debian's own ways to fill GRUB_DISTRIBUTOR print on a Debian (packages grub2-common of Debian 12 and 13).
fn distributor(reader: &Reader<'_>) -> BTreeMap<String, String> {
    let text = reader.quiet("/etc/os-release").or_else(|| reader.quiet("/usr/lib/os-release"));
    let text = text.unwrap_or_default();
    if distro::parse(&text).id != "debian" {
        return BTreeMap::new();
    }
    let name = distro::field(&text, "NAME").unwrap_or_default();
    BTreeMap::from([
        ("lsb_release -i -s 2> /dev/null || echo Debian".to_owned(), "Debian".to_owned()),
        ("( . /etc/os-release && echo ${NAME} )".to_owned(), name),
    ])
}

fn root(reader: &Reader<'_>, packages: &Packages, mounts: &[Mount], boot: &mut Boot) {
    let fstab = reader.text("/etc/fstab").unwrap_or_default();
    let root = mounts::under(mounts, Path::new("/"));
    boot.root_uuid = root.and_then(|mount| uuid(reader, mount)).or_else(|| uuid_in_fstab(&fstab));
    boot.root_on_network = on_network(reader, root, &fstab, &boot.cmdline);
    boot.unlocked_over_network = unlocked_over_network(reader, packages, root);
}

/// The name in /dev/disk/by-uuid that leads to the root's device, followed through /dev/mapper.
fn uuid(reader: &Reader<'_>, mount: &Mount) -> Option<String> {
    let source = Path::new(&mount.source);
    let name = match reader.link(source) {
        Some(target) => target.file_name()?.to_owned(),
        None => source.file_name()?.to_owned(),
    };
    let uuids = reader.probe.list(Path::new("/dev/disk/by-uuid")).ok()?;
    let found = uuids.into_iter().find(|uuid| {
        let target = reader.link(Path::new("/dev/disk/by-uuid").join(uuid));
        target.is_some_and(|target| target.file_name() == Some(&name))
    });
    found?.into_string().ok()
}

/// The words of fstab's line for the root (fstab(5)).
fn root_in_fstab(fstab: &str) -> Option<Vec<&str>> {
    let lines = fstab.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    lines
        .into_iter()
        .find(|words| words.get(1) == Some(&"/") && words.first().is_some_and(|word| !word.starts_with('#')))
}

fn uuid_in_fstab(fstab: &str) -> Option<String> {
    root_in_fstab(fstab)?.first()?.strip_prefix("UUID=").map(|uuid| uuid.trim_matches('"').to_owned())
}

/// What shows that the root file system needs the network: its type, its options, its device, the command line.
fn on_network(reader: &Reader<'_>, root: Option<&Mount>, fstab: &str, cmdline: &str) -> Option<String> {
    const KINDS: [&str; 7] = ["nfs", "nfs4", "cifs", "ceph", "glusterfs", "9p", "fuse.sshfs"];
    if let Some(mount) = root {
        if KINDS.contains(&mount.kind.as_str()) {
            return Some(format!("/ is {} from {}", mount.kind, mount.source));
        }
        let mut found = None;
        mounts::walk(reader, &mount.device, &mut |layer| {
            found = found.take().or_else(|| network_device(reader, &layer.path));
        });
        if found.is_some() {
            return found;
        }
    }
    if root_in_fstab(fstab)
        .and_then(|words| words.get(3).copied())
        .is_some_and(|options| options.split(',').any(|option| option == "_netdev"))
    {
        return Some("/etc/fstab mounts / with _netdev".to_owned());
    }
    cmdline
        .split_ascii_whitespace()
        .find(|word| {
            ["root=/dev/nfs", "nfsroot=", "netroot=", "root=nfs", "root=iscsi:", "root=/dev/nbd"]
                .iter()
                .any(|start| word.starts_with(start))
        })
        .map(|word| format!("{word} on the kernel's command line"))
}

/// Names a disk that is reached over the network by its place in /sys/devices.
fn network_device(reader: &Reader<'_>, path: &Path) -> Option<String> {
    let text = path.to_string_lossy();
    let name = path.file_name()?.to_string_lossy().into_owned();
    let part = |start: &str| {
        text.split('/').any(|word| {
            word.strip_prefix(start)
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|c| c.is_ascii_digit()))
        })
    };
    if part("session") {
        return Some(format!("{name} is an iSCSI disk"));
    }
    for (start, what) in [("nbd", "a network block device"), ("rbd", "a Ceph block device")] {
        if part(start) {
            return Some(format!("{name} is {what}"));
        }
    }
    let controller = text.split('/').find(|word| {
        word.strip_prefix("nvme").is_some_and(|rest| rest.bytes().all(|c| c.is_ascii_digit()))
    })?;
    let transport = reader.word(format!("/sys/class/nvme/{controller}/transport"))?;
    matches!(transport.as_str(), "tcp" | "rdma" | "fc").then(|| format!("{name} is NVMe over {transport}"))
}

/// What asks for the root's key over the network, where the root is encrypted.
fn unlocked_over_network(reader: &Reader<'_>, packages: &Packages, root: Option<&Mount>) -> Option<String> {
    let mut encrypted = false;
    if let Some(mount) = root {
        mounts::walk(reader, &mount.device, &mut |layer| encrypted |= layer.kind == LayerKind::Encrypted);
    }
    // On a tree without a kernel only crypttab can tell.
    let crypttab = reader.text("/etc/crypttab").unwrap_or_default();
    let listed = crypttab.lines().any(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
    if !(encrypted || (root.is_none() && listed)) {
        return None;
    }
    let keys = ["/etc/dropbear/initramfs/authorized_keys", "/etc/dropbear-initramfs/authorized_keys"];
    if packages.version("dropbear-initramfs").is_some()
        && let Some(path) = keys.into_iter().find(|path| reader.exists(path))
    {
        return Some(format!("dropbear-initramfs ({path})"));
    }
    let clevis = ["clevis-initramfs", "clevis-dracut"];
    let package = clevis.into_iter().find(|name| packages.version(name).is_some())?;
    Some(package.to_owned())
}

fn room(reader: &Reader<'_>, boot: &mut Boot) {
    boot.boot_free = reader.kept(reader.probe.space(Path::new("/boot"))).map_or(0, |space| space.free);
    boot.var_free = reader.kept(reader.probe.space(Path::new("/var"))).map_or(0, |space| space.free);
}

/// Gives a text to every parser of this room.
#[cfg(test)]
pub(super) fn hostile(text: &str) {
    let mut variables = Variables::default();
    variables.read(Path::new("/x"), text);
    let _ = variables.value("A");
    let _ = menu::parse(text);
    let _ = environment::parse(text.as_bytes());
    let _ = mounts::under(&mounts::parse(text), Path::new("/boot/grub"));
}
