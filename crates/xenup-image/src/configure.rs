//! Makes an installed system one particular machine: name, network files, access, fstab, apt, GRUB's defaults.
//!
//! It writes only what Debian's installer or an administrator would write, so that the result is a plain Debian.

use std::path::Path;
use std::time::Duration;

use xenup_system::tree::{TreeError, TreeFiles};

use crate::error::{ImageError, during};
use crate::identity::Identity;
use crate::mirror::Mirror;
use crate::spec::{FileSystem, ImageSpec, Suite};
use crate::tools;

/// RSA keys take a while where there is little entropy or processor.
const KEY_LIMIT: Duration = Duration::from_secs(300);

/// Writes all of it into the tree; the extra files come last and win.
pub fn configure(
    spec: &ImageSpec,
    identity: &Identity,
    mirror: &Mirror,
    tree: &TreeFiles,
) -> Result<(), ImageError> {
    let write = |path: &str, text: &str| tree.write(Path::new(path), 0o644, text.as_bytes());
    write("/etc/hostname", &format!("{}\n", spec.hostname))?;
    write("/etc/hosts", &hosts(&spec.hostname))?;
    write("/etc/network/interfaces", &spec.interfaces)?;
    write("/etc/resolv.conf", &resolv_conf(&spec.nameservers))?;
    // Empty: systemd makes one at the first boot (machine-id(5)).
    let machine_id = if spec.first_boot { String::new() } else { format!("{}\n", identity.machine_id) };
    write("/etc/machine-id", &machine_id)?;
    language(tree, "C.UTF-8")?;
    write("/etc/fstab", &fstab(spec.filesystem, identity))?;
    tree.directory(Path::new("/boot/efi"), 0o755)?;
    apt(spec.suite, mirror, tree)?;
    access(spec, tree)?;
    for unit in &spec.masked_units {
        tree.symlink(Path::new("/dev/null"), &Path::new("/etc/systemd/system").join(unit))?;
    }
    let defaults = Path::new("/etc/default/grub");
    tree.rewrite(defaults, grub_defaults(&tree.read_text(defaults)?, spec).as_bytes())?;
    for file in &spec.extra_files {
        tree.write(&file.path, file.mode, &file.bytes)?;
    }
    Ok(())
}

/// Sets the language of its programs. Debian 13 has it in locale.conf(5), and makes the old name a link to that at each boot.
pub(crate) fn language(tree: &TreeFiles, locale: &str) -> Result<(), TreeError> {
    const OLD: &str = "/etc/default/locale";
    let made_at_boot = Path::new("/usr/lib/tmpfiles.d/debian.conf");
    let is_link = tree.exists(made_at_boot)? && tree.read_text(made_at_boot)?.contains(OLD);
    let text = format!("LANG={locale}\n");
    if !is_link {
        return tree.write(Path::new(OLD), 0o644, text.as_bytes());
    }
    tree.write(Path::new("/etc/locale.conf"), 0o644, text.as_bytes())?;
    tree.symlink(Path::new("../locale.conf"), Path::new(OLD))
}

pub(crate) fn hosts(hostname: &str) -> String {
    format!(
        "127.0.0.1\tlocalhost\n127.0.1.1\t{hostname}\n\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
    )
}

pub(crate) fn resolv_conf(nameservers: &[String]) -> String {
    nameservers.iter().map(|server| format!("nameserver {server}\n")).collect()
}

/// The EFI file system is `nofail`: a machine that booted by BIOS does not need it. A btrfs is not checked at boot
/// (fsck.btrfs(8) does nothing).
fn fstab(filesystem: FileSystem, identity: &Identity) -> String {
    let Identity { root, boot, efi, .. } = identity;
    let system = match filesystem {
        FileSystem::Ext4 => format!("UUID={root} / ext4 errors=remount-ro 0 1\n"),
        FileSystem::Btrfs => {
            format!("UUID={root} / btrfs defaults 0 0\nUUID={boot} /boot ext4 defaults 0 2\n")
        }
    };
    format!(
        "# <file system> <mount point> <type> <options> <dump> <pass>\n{system}\
         UUID={efi} /boot/efi vfat umask=0077,nofail 0 0\n"
    )
}

/// Where packages come from, without what only this machine could reach.
pub(crate) fn apt(suite: Suite, mirror: &Mirror, tree: &TreeFiles) -> Result<(), TreeError> {
    let sources = mirror.sources_list(suite);
    tree.write(Path::new("/etc/apt/sources.list"), 0o644, sources.as_bytes())?;
    // mmdebstrap's own file has this machine's loopback proxies too.
    tree.remove_file(Path::new("/etc/apt/apt.conf.d/99mmdebstrap"))?;
    let mut text = String::from("Acquire::Languages \"none\";\n");
    for option in mirror.portable_options() {
        text.push_str(option);
        text.push('\n');
    }
    tree.write(Path::new("/etc/apt/apt.conf.d/99image"), 0o644, text.as_bytes())
}

/// Root's password and keys, and fresh host keys, unless the first boot makes them: those of the kept tree would be every
/// image's.
fn access(spec: &ImageSpec, tree: &TreeFiles) -> Result<(), ImageError> {
    let shadow = Path::new("/etc/shadow");
    let hash = spec.root_password_hash.as_deref().unwrap_or("*");
    let text = with_root_password(&tree.read_text(shadow)?, hash);
    tree.rewrite(shadow, text.as_bytes())?;
    if !spec.ssh_authorized_keys.is_empty() {
        tree.directory(Path::new("/root/.ssh"), 0o700)?;
        let keys: String = spec.ssh_authorized_keys.iter().map(|key| format!("{key}\n")).collect();
        tree.write(Path::new("/root/.ssh/authorized_keys"), 0o600, keys.as_bytes())?;
    }
    let ssh = Path::new("/etc/ssh");
    if !tree.exists(Path::new("/usr/bin/ssh-keygen"))? || !tree.exists(ssh)? {
        return Ok(());
    }
    for name in tree.names(ssh)?.iter().filter(|name| name.starts_with("ssh_host_")) {
        tree.remove_file(&ssh.join(name))?;
    }
    if spec.first_boot {
        return Ok(());
    }
    tools::inside(tree.path(), "ssh-keygen")
        .arg("-A")
        .timeout(KEY_LIMIT)
        .run()
        .map_err(during("making ssh host keys (ssh-keygen)"))?;
    Ok(())
}

/// shadow(5) with another password hash for root; all else as it was.
pub(crate) fn with_root_password(shadow: &str, hash: &str) -> String {
    let line = |line: &str| match line.strip_prefix("root:").and_then(|rest| rest.split_once(':')) {
        Some((_, rest)) => format!("root:{hash}:{rest}\n"),
        None => format!("{line}\n"),
    };
    shadow.lines().map(line).collect()
}

/// /etc/default/grub as Debian ships it, with the lines changed that the specification asks for.
fn grub_defaults(shipped: &str, spec: &ImageSpec) -> String {
    let mut wanted = plain_grub(spec.grub_timeout, &spec.full_cmdline());
    if let Some(serial) = spec.serial {
        wanted.push(("GRUB_TERMINAL", "serial".to_owned()));
        let command = format!("\"serial --unit={} --speed={}\"", serial.unit, serial.speed);
        wanted.push(("GRUB_SERIAL_COMMAND", command));
    }
    with_values(shipped, wanted)
}

/// The values that every disk of ours has.
pub(crate) fn plain_grub(timeout: u32, cmdline: &str) -> Vec<(&'static str, String)> {
    vec![
        ("GRUB_TIMEOUT", timeout.to_string()),
        // "quiet" would hide on the console what went wrong.
        ("GRUB_CMDLINE_LINUX_DEFAULT", "\"\"".to_owned()),
        ("GRUB_CMDLINE_LINUX", format!("\"{cmdline}\"")),
    ]
}

/// A file of shell assignments with other values: in their places, or behind the rest.
pub(crate) fn with_values(shipped: &str, mut wanted: Vec<(&'static str, String)>) -> String {
    let mut text = String::new();
    for line in shipped.lines() {
        let name = line.split('=').next().unwrap_or_default();
        match wanted.iter().position(|(wanted, _)| *wanted == name) {
            Some(at) => {
                let (name, value) = wanted.remove(at);
                text.push_str(&format!("{name}={value}\n"));
            }
            None => text.push_str(&format!("{line}\n")),
        }
    }
    for (name, value) in wanted {
        text.push_str(&format!("{name}={value}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fstab_has_what_the_disk_has() {
        let identity = Identity::from_seed("");
        let (root, boot) = (identity.root.as_str(), identity.boot.as_str());
        let of = |filesystem| {
            let text = fstab(filesystem, &identity);
            let lines = text.lines().skip(1).filter(|line| !line.contains(" vfat "));
            lines.map(|line| line.replace(root, "ROOT").replace(boot, "BOOT")).collect::<Vec<_>>()
        };
        assert_eq!(of(FileSystem::Ext4), ["UUID=ROOT / ext4 errors=remount-ro 0 1"]);
        assert_eq!(
            of(FileSystem::Btrfs),
            ["UUID=ROOT / btrfs defaults 0 0", "UUID=BOOT /boot ext4 defaults 0 2"]
        );
    }

    #[test]
    fn the_language_is_where_the_release_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let tree = TreeFiles::open(folder.path()).unwrap();
        let read = |path: &str| tree.read_text(Path::new(path)).unwrap();
        language(&tree, "C.UTF-8").unwrap();
        assert_eq!(read("/etc/default/locale"), "LANG=C.UTF-8\n");
        let rule = b"L+ /etc/default/locale - - -  -  ../locale.conf\n";
        tree.write(Path::new("/usr/lib/tmpfiles.d/debian.conf"), 0o644, rule).unwrap();
        language(&tree, "de_DE.UTF-8").unwrap();
        assert_eq!(read("/etc/locale.conf"), "LANG=de_DE.UTF-8\n");
        assert_eq!(read("/etc/default/locale"), "LANG=de_DE.UTF-8\n", "by its link");
    }

    #[test]
    fn only_roots_password_changes() {
        let shadow = "root:*:20000:0:99999:7:::\ndaemon:*:20000:0:99999:7:::\nrootless:!:1::::::\n";
        let expected = "root:$6$x$y:20000:0:99999:7:::\ndaemon:*:20000:0:99999:7:::\nrootless:!:1::::::\n";
        assert_eq!(with_root_password(shadow, "$6$x$y"), expected);
    }

    #[test]
    fn grub_defaults_change_in_place_and_the_rest_stays() {
        let shipped = "# comment\nGRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n\
                       GRUB_CMDLINE_LINUX=\"\"\n\n#GRUB_TERMINAL=console\n";
        let mut spec = ImageSpec { kernel_cmdline: "x=1".into(), ..ImageSpec::plain(Suite::Bookworm) };
        let expected = "# comment\nGRUB_DEFAULT=0\nGRUB_TIMEOUT=2\nGRUB_CMDLINE_LINUX_DEFAULT=\"\"\n\
                        GRUB_CMDLINE_LINUX=\"console=tty0 console=ttyS0,115200n8 x=1\"\n\n#GRUB_TERMINAL=console\n\
                        GRUB_TERMINAL=serial\nGRUB_SERIAL_COMMAND=\"serial --unit=0 --speed=115200\"\n";
        assert_eq!(grub_defaults(shipped, &spec), expected);
        spec.serial = None;
        let text = grub_defaults(shipped, &spec);
        assert!(text.contains("GRUB_CMDLINE_LINUX=\"x=1\"\n") && !text.contains("\nGRUB_TERMINAL"), "{text}");
    }
}
