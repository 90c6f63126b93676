//! GRUB for both firmwares: /boot/grub as grub-install leaves it, grub.cfg by Debian's own grub-mkconfig, and the
//! images that firmware loads.
//!
//! All GRUB programs run inside the new system, so that their versions fit its modules. No disk of this machine is
//! looked at: grub-probe, which would look, is answered for by a stand-in while grub.cfg is made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_system::process::Tool;
use xenup_system::tree::TreeFiles;

use crate::error::{ImageError, during};
use crate::identity::Identity;
use crate::spec::ImageSpec;

/// The modules that each core image needs to reach its prefix on an ext4 partition of a GPT disk.
const BIOS_MODULES: &[&str] = &["biosdisk", "part_gpt", "ext2", "search_fs_uuid"];
const EFI_MODULES: &[&str] = &["part_gpt", "ext2", "search_fs_uuid"];
const LIMIT: Duration = Duration::from_secs(300);

const PROBE: &str = "/usr/sbin/grub-probe";
const PROBE_ASIDE: &str = "/usr/sbin/grub-probe.image-build";

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
    let script = format!("search.fs_uuid {} root\nset prefix=($root)/boot/grub\n", identity.root);
    tree.write(early, 0o644, script.as_bytes())?;
    let bios_core = core_image("i386-pc", BIOS_MODULES, "core.img", early, tree)?;
    let efi = core_image("x86_64-efi", EFI_MODULES, "core.efi", early, tree)?;
    tree.remove_file(early)?;
    make_config(&Probed::of(identity), tree)?;
    let bios_boot = tree.read(Path::new("/boot/grub/i386-pc/boot.img"))?;
    Ok(BootImages { bios_boot, bios_core, efi })
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
    early: &Path,
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
        .args(["--prefix", "/boot/grub"])
        .args(modules)
        .run()
        .map_err(during("making GRUB's core image (grub-mkimage)"))?;
    Ok(tree.read(&output)?)
}

/// Runs Debian's grub-mkconfig with the stand-in for grub-probe and the name by which it recognises the root's UUID.
pub(crate) fn make_config(probed: &Probed<'_>, tree: &TreeFiles) -> Result<(), ImageError> {
    let by_uuid = Path::new("/dev/disk/by-uuid");
    let device = by_uuid.join(probed.root);
    tree.write(&device, 0o600, b"")?;
    tree.rename(Path::new(PROBE), Path::new(PROBE_ASIDE))?;
    tree.write(Path::new(PROBE), 0o755, stand_in(probed).as_bytes())?;
    let made = inside(tree, "grub-mkconfig").args(["--output", "/boot/grub/grub.cfg"]).run();
    tree.rename(Path::new(PROBE_ASIDE), Path::new(PROBE))?;
    tree.remove_file(&device)?;
    for directory in [by_uuid, Path::new("/dev/disk")] {
        tree.remove_directory(directory)?;
    }
    made.map_err(during("making grub.cfg (grub-mkconfig)"))?;
    Ok(())
}

/// What grub-probe will find on the booted machine.
pub(crate) struct Probed<'a> {
    /// The root's device.
    pub device: &'a str,
    /// GRUB's name of it.
    pub drive: &'a str,
    /// The partition table's kind; empty for a disk without one.
    pub partition_map: &'a str,
    /// The partition's GUID; empty for a disk without a table.
    pub partition: &'a str,
    /// The root file system's UUID.
    pub root: &'a str,
}

impl<'a> Probed<'a> {
    /// The image's root is on the third partition of a virtio disk, for which there are no drive hints.
    fn of(identity: &'a Identity) -> Self {
        Self {
            device: "/dev/vda3",
            drive: "(hd0,gpt3)",
            partition_map: "gpt",
            partition: &identity.root_partition,
            root: &identity.root,
        }
    }
}

/// A script that answers as grub-probe will on the booted machine, so that its own first `update-grub` writes the same
/// bytes.
fn stand_in(probed: &Probed<'_>) -> String {
    format!(
        r#"#!/bin/sh
target=
while [ $# -gt 0 ]; do
  case "$1" in
    --target=*) target=${{1#--target=}} ;;
    -t|--target) target=$2; shift ;;
  esac
  shift
done
case "$target" in
  device) echo {device} ;;
  fs) echo ext2 ;;
  fs_uuid) echo {root} ;;
  fs_label|abstraction|cryptodisk_uuid) ;;
  partmap) echo {partition_map} ;;
  partuuid) echo {partition} ;;
  drive) echo '{drive}' ;;
  compatibility_hint|hints_string) ;;
  *) exit 1 ;;
esac
"#,
        device = probed.device,
        drive = probed.drive,
        partition_map = probed.partition_map,
        partition = probed.partition,
        root = probed.root,
    )
}

fn inside(tree: &TreeFiles, program: &str) -> Tool {
    Tool::new("chroot").arg(tree.path()).arg(program).timeout(LIMIT)
}
