//! The ISO itself: El Torito for CDs, an MBR and a GPT for sticks, GRUB for both firmwares. Decides its menu and that nothing
//! in it tells when it was made; xorriso lays it out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_core::install::Manifest;
use xenup_system::files::{self, DiskFile};
use xenup_system::process::Tool;

use super::{FOLDER, Parts};
use crate::error::{ImageError, during};
use crate::host::settle;
use crate::spec::Serial;
use crate::tools;

const LIMIT: Duration = Duration::from_secs(1200);
/// What the file system is called.
const VOLUME: &str = "XENUP";
/// Bytes of the EFI file system: GRUB's program takes less than one MiB of it.
const EFI_SIZE: u64 = 4 << 20;
const EFI: &str = "boot/efi.img";
const ELTORITO: &str = "boot/grub/eltorito.img";

/// What both of GRUB's programs can do without a file of the medium.
const MODULES: &[&str] = &[
    "iso9660",
    "part_gpt",
    "part_msdos",
    "fat",
    "normal",
    "linux",
    "configfile",
    "search",
    "search_fs_file",
    "serial",
    "terminal",
    "test",
    "echo",
    "boot",
    "reboot",
    "halt",
    "chain",
    "all_video",
];

/// Makes the ISO beside the folder and returns its path.
pub(super) fn make(parts: &Parts<'_>, manifest: &Manifest, folder: &Path) -> Result<PathBuf, ImageError> {
    let grub = folder.join("boot/grub");
    files::create_dir_all(&grub)?;
    let early = "xenup-medium/early.cfg";
    let script = format!(
        "search --no-floppy --file --set=root /{FOLDER}/{}\nset prefix=($root)/boot/grub\n",
        manifest.id
    );
    parts.tree.write(&Path::new("/").join(early), 0o644, script.as_bytes())?;
    let bios = core(parts, "i386-pc-eltorito", "biosdisk")?;
    files::write(&folder.join(ELTORITO), &bios)?;
    let efi = core(parts, "x86_64-efi", "efifwsetup")?;
    write_efi(parts, &efi, &folder.join(EFI))?;
    files::write(&grub.join("grub.cfg"), menu(parts, manifest).as_bytes())?;
    let hybrid = parts.work.join("boot_hybrid.img");
    files::write(&hybrid, &parts.tree.read(Path::new("/usr/lib/grub/i386-pc/boot_hybrid.img"))?)?;
    settle::tree(folder, parts.epoch)?;
    let out = parts.work.join("medium.iso");
    Tool::new("xorriso")
        .args(["-as", "mkisofs", "-quiet", "-volid", VOLUME, "-iso-level", "3", "-rational-rock"])
        .args(["-b", ELTORITO, "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"])
        .args(["--grub2-boot-info", "--grub2-mbr"])
        .arg(&hybrid)
        .args(["--efi-boot", EFI, "-efi-boot-part", "--efi-boot-image", "--protective-msdos-label"])
        .arg("-output")
        .arg(&out)
        .arg(folder)
        // It then takes that for the present, for every identifier too.
        .env("SOURCE_DATE_EPOCH", parts.epoch.to_string())
        .timeout(LIMIT)
        .die_with_parent()
        .run()
        .map_err(during("putting the medium together (xorriso)"))?;
    Ok(out)
}

/// A core image that finds the medium by its id.
fn core(parts: &Parts<'_>, format: &str, own: &str) -> Result<Vec<u8>, ImageError> {
    let output = format!("/xenup-medium/core-{format}");
    tools::inside(parts.tree.path(), "grub-mkimage")
        .args(["--format", format, "--output", output.as_str()])
        .args(["--config", "/xenup-medium/early.cfg", "--prefix", "/boot/grub", own])
        .args(MODULES)
        .timeout(LIMIT)
        .run()
        .map_err(during("making the medium's GRUB (grub-mkimage)"))?;
    Ok(parts.tree.read(Path::new(&output))?)
}

fn write_efi(parts: &Parts<'_>, program: &[u8], out: &Path) -> Result<(), ImageError> {
    let file = parts.work.join("medium-BOOTX64.EFI");
    files::write(&file, program)?;
    drop(DiskFile::create(out, EFI_SIZE)?);
    let epoch = parts.epoch.to_string();
    let steps = [
        Tool::new("mkfs.vfat").args(["-n", "EFI", "--invariant"]).arg(out),
        Tool::new("mmd").arg("-i").arg(out).args(["::/EFI", "::/EFI/BOOT"]),
        Tool::new("mcopy").arg("-i").arg(out).arg(&file).arg("::/EFI/BOOT/BOOTX64.EFI"),
    ];
    steps
        .into_iter()
        .try_for_each(|tool| tool.env("SOURCE_DATE_EPOCH", &epoch).timeout(LIMIT).run().map(drop))
        .map_err(during("writing the medium's EFI file system"))
}

fn menu(parts: &Parts<'_>, manifest: &Manifest) -> String {
    let Serial { unit, speed } = parts.serial.unwrap_or(Serial { unit: 0, speed: 115_200 });
    let title = &manifest.system;
    // What the kernel has to say would stand between the questions.
    let linux = "linux /boot/vmlinuz boot=xenup quiet loglevel=2";
    format!(
        "# The menu of xenup's installer. What `xenup.KEY=VALUE` on the line of `linux` answers is not asked: answers.toml(5).
if serial --unit={unit} --speed={speed}; then
  terminal_input console serial
  terminal_output console serial
fi
set timeout=5
set default=install
menuentry \"Install {title} with Xen\" --id install {{
  {linux} console=tty0 console=ttyS{unit},{speed}n8
  initrd /boot/initrd
}}
menuentry \"Install it, on the screen alone\" --id screen {{
  {linux} console=tty0
  initrd /boot/initrd
}}
menuentry \"Start the first disk instead\" --id disk {{
  if [ \"$grub_platform\" = efi ]; then
    exit
  fi
  set root=(hd0)
  chainloader +1
}}
"
    )
}
