//! GRUB for both firmwares: /boot/grub as grub-install leaves it, grub.cfg by Debian's own grub-mkconfig, and the
//! images that firmware loads.
//!
//! All GRUB programs run inside the new system, so that their versions fit its modules. No disk of this machine is
//! looked at: grub-probe, which would look, is answered for by a stand-in while grub.cfg is made, as grub-mkrelpath is where
//! /boot will be a file system of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_system::process::Tool;
use xenup_system::tree::TreeFiles;

use crate::error::{ImageError, during};
use crate::identity::Identity;
use crate::spec::{FileSystem, ImageSpec};
use crate::tools;

/// The modules that each core image needs to reach its prefix on an ext4 partition of a GPT disk: /boot is on ext4 where
/// the root is not.
const BIOS_MODULES: &[&str] = &["biosdisk", "part_gpt", "ext2", "search_fs_uuid"];
const EFI_MODULES: &[&str] = &["part_gpt", "ext2", "search_fs_uuid"];
const LIMIT: Duration = Duration::from_secs(300);

const PROBE: &str = "/usr/sbin/grub-probe";
const RELPATH: &str = "/usr/bin/grub-mkrelpath";
/// Behind the name of a program that a stand-in answers for.
const ASIDE: &str = ".image-build";

/// grub-mkrelpath of a machine with a mount at /boot.
const RELPATH_STAND_IN: &str = r#"#!/bin/sh
case "$1" in
  /boot|/boot/*) echo "${1#/boot}" ;;
  *) exec "$0.image-build" "$@" ;;
esac
"#;

/// The boot images that go to the disk outside its root file system.
#[derive(Debug, Clone)]
pub struct BootImages {
    /// GRUB's boot.img: the first sector, 512 bytes, to be patched with the place of `bios_core`.
    pub bios_boot: Vec<u8>,
    /// GRUB's core.img for BIOS, to be patched with its own place.
    pub bios_core: Vec<u8>,
    /// The EFI program.
    pub efi: Vec<u8>,
}

/// Fills /boot/grub of the tree and returns the images for the boot partitions.
pub fn install(spec: &ImageSpec, identity: &Identity, tree: &TreeFiles) -> Result<BootImages, ImageError> {
    if tree.names(Path::new("/boot"))?.iter().all(|name| !name.starts_with("initrd.img-")) {
        return Err(ImageError::Incomplete { what: "kernel with an initramfs", path: "/boot".into() });
    }
    for platform in ["i386-pc", "x86_64-efi"] {
        copy_modules(platform, tree)?;
    }
    environment(spec, tree)?;
    let early = Path::new("/boot/grub/early-image.cfg");
    let (prefix, uuid) = (prefix(spec.filesystem), identity.of_grub(spec.filesystem));
    let script = format!("search.fs_uuid {uuid} root\nset prefix=($root){prefix}\n");
    tree.write(early, 0o644, script.as_bytes())?;
    let core = |platform, modules, name| core_image(platform, modules, name, (early, prefix), tree);
    let bios_core = core("i386-pc", BIOS_MODULES, "core.img")?;
    let efi = core("x86_64-efi", EFI_MODULES, "core.efi")?;
    tree.remove_file(early)?;
    let (root, boot) = Probed::of(spec.filesystem, identity);
    make_config(&root, boot.as_ref(), tree)?;
    let bios_boot = tree.read(Path::new("/boot/grub/i386-pc/boot.img"))?;
    Ok(BootImages { bios_boot, bios_core, efi })
}

/// GRUB's folder on the file system that it lies on.
pub(crate) fn prefix(filesystem: FileSystem) -> &'static str {
    match filesystem {
        FileSystem::Ext4 => "/boot/grub",
        FileSystem::Btrfs => "/grub",
    }
}

/// Copies what grub-install copies: modules, their lists, and the first-sector image.
fn copy_modules(platform: &str, tree: &TreeFiles) -> Result<(), ImageError> {
    let from = Path::new("/usr/lib/grub").join(platform);
    let to = Path::new("/boot/grub").join(platform);
    if !tree.exists(&from)? {
        return Err(ImageError::Incomplete { what: "GRUB modules", path: from });
    }
    let wanted = |name: &&String| name.ends_with(".mod") || name.ends_with(".lst") || *name == "boot.img";
    for name in tree.names(&from)?.iter().filter(wanted) {
        tree.write(&to.join(name), 0o644, &tree.read(&from.join(name))?)?;
    }
    Ok(())
}

fn environment(spec: &ImageSpec, tree: &TreeFiles) -> Result<(), ImageError> {
    let edit = |args: &[String]| {
        inside(tree, "grub-editenv")
            .arg("/boot/grub/grubenv")
            .args(args)
            .run()
            .map_err(during("making grubenv"))
    };
    edit(&["create".into()])?;
    let pairs: Vec<String> =
        spec.grub_environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if !pairs.is_empty() {
        edit(&[vec!["set".into()], pairs].concat())?;
    }
    Ok(())
}

fn core_image(
    platform: &str,
    modules: &[&str],
    name: &str,
    (early, prefix): (&Path, &str),
    tree: &TreeFiles,
) -> Result<Vec<u8>, ImageError> {
    let output: PathBuf = Path::new("/boot/grub").join(platform).join(name);
    inside(tree, "grub-mkimage")
        .arg("--format")
        .arg(platform)
        .arg("--output")
        .arg(&output)
        .arg("--config")
        .arg(early)
        .args(["--prefix", prefix])
        .args(modules)
        .run()
        .map_err(during("making GRUB's core image (grub-mkimage)"))?;
    Ok(tree.read(&output)?)
}

/// Runs Debian's grub-mkconfig with the stand-ins and the name by which it recognises the root's UUID. /boot is in the
/// root, or what `boot` says.
pub(crate) fn make_config(
    root: &Probed<'_>,
    boot: Option<&Probed<'_>>,
    tree: &TreeFiles,
) -> Result<(), ImageError> {
    let by_uuid = Path::new("/dev/disk/by-uuid");
    let device = by_uuid.join(root.uuid);
    tree.write(&device, 0o600, b"")?;
    let mut stand_ins = vec![(PROBE, stand_in(root, boot))];
    stand_ins.extend(boot.map(|_| (RELPATH, RELPATH_STAND_IN.to_owned())));
    let aside = |program: &str| PathBuf::from(format!("{program}{ASIDE}"));
    for (program, text) in &stand_ins {
        tree.rename(Path::new(program), &aside(program))?;
        tree.write(Path::new(program), 0o755, text.as_bytes())?;
    }
    let made = inside(tree, "grub-mkconfig").args(["--output", "/boot/grub/grub.cfg"]).run();
    for (program, _) in &stand_ins {
        tree.rename(&aside(program), Path::new(program))?;
    }
    tree.remove_file(&device)?;
    for directory in [by_uuid, Path::new("/dev/disk")] {
        tree.remove_directory(directory)?;
    }
    made.map_err(during("making grub.cfg (grub-mkconfig)"))?;
    Ok(())
}

/// What grub-probe will find on the booted machine of one of its file systems.
pub(crate) struct Probed<'a> {
    /// Its device.
    pub device: &'a str,
    /// GRUB's name of it.
    pub drive: &'a str,
    /// The partition table's kind; empty for a disk without one.
    pub partition_map: &'a str,
    /// The partition's GUID; empty for a disk without a table.
    pub partition: &'a str,
    /// GRUB's module for it: `ext2` for ext4.
    pub module: &'a str,
    /// Its UUID.
    pub uuid: &'a str,
}

impl<'a> Probed<'a> {
    /// The root, and /boot where it has a partition of its own, on a virtio disk, for which there are no drive hints.
    fn of(filesystem: FileSystem, identity: &'a Identity) -> (Self, Option<Self>) {
        let third = Self {
            device: "/dev/vda3",
            drive: "(hd0,gpt3)",
            partition_map: "gpt",
            partition: &identity.root_partition,
            module: "ext2",
            uuid: &identity.root,
        };
        match filesystem {
            FileSystem::Ext4 => (third, None),
            FileSystem::Btrfs => (
                Self { device: "/dev/vda4", drive: "(hd0,gpt4)", module: "btrfs", ..third },
                Some(Self { partition: &identity.boot_partition, uuid: &identity.boot, ..third }),
            ),
        }
    }

    /// The answers to each question, as a shell takes them.
    fn answers(&self) -> String {
        let Self { device, drive, partition_map, partition, module, uuid } = self;
        format!(
            r#"case "$target" in
  device) echo {device} ;;
  fs) echo {module} ;;
  fs_uuid) echo {uuid} ;;
  fs_label|abstraction|cryptodisk_uuid) ;;
  partmap) echo {partition_map} ;;
  partuuid) echo {partition} ;;
  drive) echo '{drive}' ;;
  compatibility_hint|hints_string) ;;
  *) exit 1 ;;
esac
"#
        )
    }
}

/// A script that answers as grub-probe will on the booted machine, so that its own first `update-grub` writes the same
/// bytes: of what is named by a path below /boot, or by its device, as of `boot`.
fn stand_in(root: &Probed<'_>, boot: Option<&Probed<'_>>) -> String {
    let boot = boot.map_or_else(String::new, |boot| {
        format!("case \"$what\" in /boot|/boot/*|{})\n{}exit ;;\nesac\n", boot.device, boot.answers())
    });
    let root = root.answers();
    format!(
        r#"#!/bin/sh
target=
what=
while [ $# -gt 0 ]; do
  case "$1" in
    --target=*) target=${{1#--target=}} ;;
    -t|--target) target=$2; shift ;;
    -*) ;;
    *) what=$1 ;;
  esac
  shift
done
{boot}{root}"#
    )
}

fn inside(tree: &TreeFiles, program: &str) -> Tool {
    tools::inside(tree.path(), program).timeout(LIMIT)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests run what is on every machine")]
mod tests {
    use super::*;

    /// What a script says to these words.
    fn says(script: &str, words: &str) -> String {
        let said = Tool::new("sh").args(["-c", script, "sh"]).args(words.split(' ')).output().unwrap();
        said.text().trim().to_owned()
    }

    #[test]
    fn a_stand_in_tells_boot_from_the_root_where_it_has_a_partition() {
        let identity = Identity::from_seed("");
        let (root, boot) = Probed::of(FileSystem::Ext4, &identity);
        let one = stand_in(&root, boot.as_ref());
        for words in ["--target=device /", "-t device /boot", "--target=device /boot/grub"] {
            assert_eq!(says(&one, words), "/dev/vda3", "{words}");
        }
        assert_eq!(says(&one, "--device /dev/vda3 --target=fs"), "ext2");
        assert_eq!(says(&one, "--device /dev/vda3 --target=fs_uuid"), identity.root);
        let (root, boot) = Probed::of(FileSystem::Btrfs, &identity);
        let two = stand_in(&root, boot.as_ref());
        for (words, expected) in [
            ("--target=device /", "/dev/vda4"),
            ("--target=device /usr/share/grub/unicode.pf2", "/dev/vda4"),
            ("--target=device /boot", "/dev/vda3"),
            ("-t device /boot/grub", "/dev/vda3"),
            ("--device /dev/vda4 --target=fs", "btrfs"),
            ("--device /dev/vda4 --target=fs_uuid", &identity.root),
            ("--device /dev/vda4 --target=partuuid", &identity.root_partition),
            ("--device /dev/vda3 --target=fs", "ext2"),
            ("--device /dev/vda3 --target=fs_uuid", &identity.boot),
            ("--device /dev/vda3 --target=partuuid", &identity.boot_partition),
            ("-t drive /boot/vmlinuz-6.1", "(hd0,gpt3)"),
            ("--device /dev/vda3 --target=abstraction", ""),
        ] {
            assert_eq!(says(&two, words), expected, "{words}");
        }
    }

    #[test]
    fn paths_below_boot_begin_at_its_own_root() {
        for (path, expected) in
            [("/boot", ""), ("/boot/grub", "/grub"), ("/boot/vmlinuz-6.1", "/vmlinuz-6.1")]
        {
            assert_eq!(says(RELPATH_STAND_IN, path), expected);
        }
    }
}
