//! `xenup-udeb` for real: its question by debian-installer's own front end, its work on a disk whose system has not run
//! yet, and the first boot of that disk.
//!
//! Decides: what of debian-installer is there (its netboot image; a mirror that has no components cannot bring the rest),
//! and what the installed machine has to say. Never: asserts on a time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_image::{Format, ImageSpec, Suite};
use xenup_rehearse::accelerator::Accelerator;
use xenup_rehearse::inside::{PASSWORD, PASSWORD_HASH, patience};
use xenup_rehearse::network;
use xenup_rehearse::qemu::{Firmware, Vm, VmSpec};
use xenup_system::files;
use xenup_system::process::Tool;

use crate::claims::{asked, holds};
use crate::kernels::Archive;

type Failure = Box<dyn std::error::Error>;

/// An emulated machine beside a compiler takes ten times what it takes alone.
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_secs(600);

/// The installer's image, as Debian packages it, and where its text version lies.
const NETBOOT: (&str, &str) = (
    "debian-installer-12-netboot-amd64",
    "usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64",
);
/// Modules that the installer would fetch as components.
const MODULES: &str = "virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk failover \
                       net_failover virtio_net mbcache crc16 crc32c_generic jbd2 ext4";
const FIRST_PROCESS: &[u8] = include_bytes!("installer-test.sh");
const ANSWERS: &str = "xenup-udeb xenup-udeb/package string file:///xenup.deb\n\
                       xenup-udeb xenup-udeb/host-file string file:///host.toml\n";
const HOST: &str = "[xen]\ndom0-memory = \"1536M\"\nconsole = \"com1:115200\"\noptions = [\"hap=0\", \"xsave=0\"]\n\n\
                    [[bridge]]\nname = \"xenbr0\"\nports = [\"enp0s2\"]\naddress = \"keep\"\n";

/// Plays all of it; returns whether everything was as it has to be.
///
/// # Errors
/// No mirror, no emulator, no package, or a machine that does not come up.
pub fn run() -> crate::Outcome {
    if !files::is_root() {
        println!("skipped: the emulated machine's network needs root");
        return Ok(true);
    }
    let folder = crate::project().join("target/installer");
    files::remove_dir_all(&folder)?;
    files::create_dir_all(&folder)?;
    xenup_rehearse::tools::ensure_tools(&mut |line| println!("{line}"))?;
    let disk = new_system(&folder)?;
    let said = install(&folder, &disk)?;
    let asked = "Make this machine a Xen host?";
    let mut good = true;
    for (what, held) in [
        ("the installer's front end asks", said.contains(asked)),
        ("the package is installed", said.contains("installer: pre-pkgsel done")),
        ("the plan is carried out", said.contains("is complete and verified")),
        ("nothing was told as failed", !said.contains("was not made a Xen host")),
        ("the installation ends", said.contains("installer: end, done")),
    ] {
        good &= holds(what, held);
    }
    if !good {
        println!("{said}");
        return Ok(false);
    }
    for (what, held) in first_boot(&folder, &disk)? {
        good &= holds(&what, held);
    }
    if good {
        files::remove_dir_all(&folder)?;
    }
    Ok(good)
}

/// A disk as debian-installer leaves it before its last steps: Debian, GRUB, the network's file.
fn new_system(folder: &Path) -> Result<PathBuf, Failure> {
    let mut spec = ImageSpec::plain(Suite::Bookworm);
    spec.hostname = "installed".into();
    spec.interfaces = network::INTERFACES.into();
    spec.nameservers = vec![network::DNS.to_string()];
    spec.root_password_hash = Some(PASSWORD_HASH.into());
    spec.format = Format::Raw;
    spec.extra_files.push(patience());
    let disk = folder.join("disk.raw");
    xenup_image::build(&spec, &disk, &mut |progress| println!("  {progress:?}"))?;
    Ok(disk)
}

/// Runs the installer's programs on the disk; returns what they said on the console.
fn install(folder: &Path, disk: &Path) -> Result<String, Failure> {
    let archive = Archive::own(folder);
    let netboot = archive.fetched(NETBOOT.0, NETBOOT.1)?;
    let kernels = archive.kernel("linux-image-amd64")?;
    let kernel = kernels.first().ok_or("the sources have no kernel")?;
    let release = kernel.file_name().unwrap_or_default().to_string_lossy().replace("vmlinuz-", "");
    let modules = archive.fetched(&format!("linux-image-{release}"), "lib/modules")?;
    let extra = folder.join("extra");
    files::create_dir_all(&extra.join("ko"))?;
    for name in MODULES.split_whitespace() {
        let find = "find \"$1\" -name \"$2.ko\" -exec cp {} \"$3\" \\;";
        Tool::new("sh").args(["-ec", find, "sh"]).arg(&modules).arg(name).arg(extra.join("ko")).run()?;
    }
    let package = crate::package::built()?;
    let udeb = files::list(package.parent().unwrap_or(folder))?
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with("_amd64.udeb"))
        .ok_or("there is no xenup-udeb\nhint: cargo xtask package")?;
    files::write(&extra.join("xenup.udeb"), &files::read(&udeb)?)?;
    files::write(&extra.join("xenup.deb"), &files::read(&package)?)?;
    files::write(&extra.join("host.toml"), HOST.as_bytes())?;
    files::write(&extra.join("preseed"), ANSWERS.as_bytes())?;
    files::write(&extra.join("installer-test"), FIRST_PROCESS)?;
    let pack = "date -u '+%Y-%m-%d %H:%M:%S' > now; chmod 755 installer-test; find . | cpio --quiet -o -H newc | gzip -1 \
                | cat \"$1\" - > ../initrd";
    Tool::new("sh")
        .args(["-ec", pack, "sh"])
        .arg(netboot.join("initrd.gz"))
        .current_dir(&extra)
        .timeout(SHORT)
        .run()?;
    let console = folder.join("console");
    let user =
        format!("user,id=world,ipv6=off,net=10.99.0.0/24,host={},dns={}", network::GATEWAY, network::DNS);
    Tool::new("qemu-system-x86_64")
        .args(["-M", "q35"])
        .args(Accelerator::Emulate.arguments())
        .args(["-m", "2048M", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
        .args(["-append", "console=ttyS0 quiet rdinit=/installer-test"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(folder.join("initrd"))
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .arg("-drive")
        .arg(format!("file={},format=raw,if=virtio,cache=unsafe", disk.display()))
        .args(["-netdev", &user])
        .args(["-device", &format!("virtio-net-pci,netdev=world,mac={}", network::NIC.1)])
        .timeout(LONG)
        .run()?;
    Ok(String::from_utf8_lossy(&files::read(&console)?).into_owned())
}

/// Boots the disk as any machine does, and asks it what it is.
fn first_boot(folder: &Path, disk: &Path) -> Result<Vec<(String, bool)>, Failure> {
    let base = folder.join("base.qcow2");
    Tool::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .arg(disk)
        .arg(&base)
        .timeout(SHORT)
        .run()?;
    let (lab, lan, accelerator) = crate::emulated::laboratory()?;
    let mut vm = Vm::start(&lab, &lan, &VmSpec::over(&base, Firmware::Bios, accelerator))?;
    let console = vm.console();
    console.login_within("root", PASSWORD, LONG)?;
    let claims = [
        ("it is dom0 of Xen", "xl info"),
        ("the bridge has the NIC", "test -e /sys/class/net/xenbr0/brif/enp0s2"),
        ("the bridge has the address", "ip -4 address show dev xenbr0 | grep -q 'inet 10.99.0.10/24'"),
        ("the gateway answers", "ping -c 3 -W 5 10.99.0.2"),
        ("plain Linux is in the menu", "grep -q \"'gnulinux-simple-\" /boot/grub/grub.cfg"),
        ("xenup plan has nothing to do", "xenup plan --check"),
        ("xenup status knows the run", "xenup status"),
        ("no unit has failed", "test -z \"$(systemctl --failed --no-legend --plain)\""),
    ];
    asked(console, &claims, SHORT)
}

#[cfg(test)]
mod tests {
    /// The installer's hook is what the check plays.
    #[test]
    fn the_page_shows_what_the_hook_runs() {
        let hook =
            xenup_system::files::read_text(&crate::project().join("debian/udeb/finish-install")).unwrap();
        let shown = crate::shown::commands("docs/installer.md", "xenup apply --installer").unwrap();
        let shown: Vec<String> = shown.iter().map(|words| words.join(" ")).collect();
        assert_eq!(shown, ["xenup init", "xenup apply --installer"]);
        for command in shown {
            assert!(hook.contains(&format!("in-target {command} ")), "{command}");
        }
    }
}
