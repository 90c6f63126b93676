//! The disk of a whole Debian guest, with systemd, ssh and a login prompt on hvc0: as `xenup guest create` makes one.
//!
//! Decides what makes it this rehearsal's: a static address, the run's key, and a line on the console by which the prompt
//! is known. Never writes to the base that is kept.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_image::Suite;
use xenup_image::guest::{BaseSpec, Entry, GuestDisk, Manager, SMALLEST, base, disk};
use xenup_system::files;
use xenup_system::process::Tool;

use super::failure::Failure;
use crate::error::during;
use crate::event::StepScope;
use crate::inside::PATIENCE;

/// The guest's address on the LAN.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 63);
const FILE_SYSTEM: &str = "5f0f0e4c-7c1e-4b57-8c36-0d4f6c1c2a63";
/// One that is there is no first boot, which does more than the others.
const MACHINE_ID: &str = "7a1f3f0c5f0e4c7c9e4b578c360d4f6c\n";
/// agetty(8) writes it before its prompt: `\l` is the line, hvc0.
const ISSUE: &str = "rehearsal \\l\n";
/// Packing and unpacking of a gigabyte.
const PACK: Duration = Duration::from_secs(600);

/// Makes the disk in `work`, packed by zstd; returns where it is.
///
/// # Errors
/// No base is kept and none can be made, or a tool failed.
pub fn make(cache: &Path, work: &Path, key: &str, s: &mut StepScope<'_, '_>) -> Result<PathBuf, Failure> {
    let spec = BaseSpec { suite: Suite::Bookworm, manager: Manager::Ifupdown, packages: Vec::new() };
    let base = base::ready(&cache.join("guests"), &spec, false, &mut |progress| {
        if let xenup_image::Progress::Started { step } = progress {
            s.note(step);
        }
    })?;
    let from = if base.kept { "kept" } else { "made" };
    s.detail(format!("base: {from}, with {}", base.about.kernels.join(", ")));
    let image = work.join("whole.img");
    let entries = entries(key, work)?;
    let wanted = GuestDisk { path: &image, size: SMALLEST, file_system: FILE_SYSTEM, entries: &entries };
    disk::make(&base, &wanted, &mut |_| {})?;
    let packed = work.join("whole.img.zst");
    let zstd = Tool::new("zstd").args(["-q", "-3", "--rm", "-f"]).arg(&image).arg("-o").arg(&packed);
    zstd.timeout(PACK).run().map_err(during("pack the guest's disk (zstd)"))?;
    Ok(packed)
}

fn entries(key: &str, work: &Path) -> Result<Vec<Entry>, Failure> {
    let file = |path: &str, mode, text: &str| Entry::File {
        path: path.into(),
        mode,
        bytes: text.as_bytes().to_vec(),
    };
    let interfaces = format!(
        "auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet static\n\taddress {ADDRESS}/24\n"
    );
    Ok(vec![
        file("/etc/hostname", 0o644, "whole\n"),
        file("/etc/hosts", 0o644, "127.0.0.1\tlocalhost\n127.0.1.1\twhole\n"),
        file("/etc/fstab", 0o644, "/dev/xvda / ext4 errors=remount-ro 0 1\n"),
        file("/etc/machine-id", 0o444, MACHINE_ID),
        file("/etc/issue", 0o644, ISSUE),
        file("/etc/systemd/system.conf", 0o644, PATIENCE.1),
        file("/etc/network/interfaces", 0o644, &interfaces),
        file("/etc/resolv.conf", 0o644, ""),
        file("/etc/ssh/ssh_host_ed25519_key", 0o600, &host_key(work)?),
        file("/root/.ssh/authorized_keys", 0o600, &format!("{key}\n")),
    ])
}

/// sshd reads the public half out of it; a first boot need not make one.
fn host_key(work: &Path) -> Result<String, Failure> {
    let path = work.join("whole-host-key");
    if !files::exists(&path) {
        let tool =
            Tool::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "whole", "-f"]).arg(&path);
        tool.run().map_err(during("make the guest's host key"))?;
    }
    Ok(files::read_text(&path)?)
}
