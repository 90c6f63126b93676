//! The initramfs that the medium starts: the release's own, made once more with our program in it. Decides what is in it
//! beside Debian's; the scripts are `hook.sh` and `boot.sh`.

use std::path::Path;
use std::time::Duration;

use xenup_core::install::Manifest;
use xenup_system::files;
use xenup_system::process::Tool;

use super::Parts;
use crate::error::{ImageError, during};
use crate::tools;

const LIMIT: Duration = Duration::from_secs(1200);
const HOOK: &str = include_str!("hook.sh");
const BOOT: &str = include_str!("boot.sh");
/// Our folder in the tree, whose image is finished by now.
const FOLDER: &str = "/xenup-medium";

/// A kernel is asked for modules of /proc in the tree, which an image never needs.
const MAKE: &str = r#"tree=$1; version=$2
cp -a "$tree/etc/initramfs-tools/." "$tree/xenup-medium/conf/"
mount -t proc proc "$tree/proc"
trap 'umount "$tree/proc"' EXIT
chroot "$tree" mkinitramfs -d /xenup-medium/conf -o /xenup-medium/initrd "$version""#;

/// Puts `boot/initrd` and `boot/vmlinuz` into the medium's folder.
pub(super) fn make(
    parts: &Parts<'_>,
    manifest: &Manifest,
    text: &[u8],
    folder: &Path,
) -> Result<(), ImageError> {
    let tree = parts.tree;
    let names = tree.names(Path::new("/boot"))?;
    let newest = names.iter().filter_map(|name| name.strip_prefix("vmlinuz-")).next_back();
    let Some(version) = newest else {
        return Err(ImageError::Incomplete { what: "kernel", path: "/boot".into() });
    };
    let write = |name: &str, mode, bytes: &[u8]| tree.write(&Path::new(FOLDER).join(name), mode, bytes);
    write("manifest.json", 0o644, text)?;
    write("id", 0o644, format!("{}\n", manifest.id).as_bytes())?;
    write("conf/hooks/xenup", 0o755, HOOK.as_bytes())?;
    write("conf/scripts/xenup", 0o644, BOOT.as_bytes())?;
    Tool::new("sh")
        .args(["-ec", MAKE, "sh"])
        .arg(parts.root)
        .arg(version)
        .env(tools::PATH.0, tools::PATH.1)
        .env("SOURCE_DATE_EPOCH", parts.epoch.to_string())
        .timeout(LIMIT)
        .run()
        .map_err(during("making the installer's initramfs (mkinitramfs)"))?;
    let boot = folder.join("boot");
    files::create_dir_all(&boot)?;
    for (from, to) in
        [(format!("{FOLDER}/initrd"), "initrd"), (format!("/boot/vmlinuz-{version}"), "vmlinuz")]
    {
        files::write(&boot.join(to), &tree.read(Path::new(&from))?)?;
    }
    Ok(())
}
