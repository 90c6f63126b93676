//! A guest's disk out of a kept base, as `xenup guest create` makes it, beside a plain sparse copy of the same base.
//!
//! Decides: what is measured. Never: writes outside target/, but for the base in the cache, which is made where none is
//! kept (root, a mirror and a minute).

use std::path::Path;

use xenup_image::Suite;
use xenup_image::guest::{BaseSpec, Entry, GuestDisk, Manager, base, disk};
use xenup_system::files::{self, WorkDir};
use xenup_system::process::Tool;
use xenup_system::stopwatch::Stopwatch;

use super::figures::{Row, Table};
use crate::project;

type Failure = Box<dyn std::error::Error>;

/// Measures in turns, the first round discarded.
///
/// # Errors
/// No base and none to be made, or a tool that failed.
pub fn create(runs: usize) -> Result<Table, Failure> {
    let spec = BaseSpec { suite: Suite::Bookworm, manager: Manager::Ifupdown, packages: Vec::new() };
    let base = base::ready(&base::cache(), &spec, false, &mut |_| {})?;
    let folder = WorkDir::new_in(&project().join("target"), "bench-")?;
    let (guest, copy) = (folder.join("guest.img"), folder.join("copy.img"));
    let entries = entries();
    let mut rows =
        vec![Row::new("a guest's disk, 10 GiB, ready to boot"), Row::new("cp --sparse=always of the base")];
    let mut steps: Vec<Row> = Vec::new();
    for run in 0..=runs {
        let watch = Stopwatch::start();
        let wanted = GuestDisk {
            path: &guest,
            size: base::SIZE,
            file_system: "5f0f0e4c-7c1e-4b57-8c36-0d4f6c1c2a01",
            entries: &entries,
        };
        let times = disk::make(&base, &wanted, &mut |_| {})?;
        let ours = watch.elapsed();
        files::remove_file(&guest)?;
        let watch = Stopwatch::start();
        Tool::new("cp").arg("--sparse=always").arg(&base.image).arg(&copy).run()?;
        let plain = watch.elapsed();
        files::remove_file(&copy)?;
        if steps.is_empty() {
            steps = times.iter().map(|time| Row::new(&format!("  of it: {}", time.step))).collect();
        }
        if run > 0 {
            let elapsed = [ours, plain].into_iter().chain(times.iter().map(|time| time.elapsed));
            for (row, time) in rows.iter_mut().chain(&mut steps).zip(elapsed) {
                row.samples_ms.push(time.as_secs_f64() * 1000.0);
            }
        }
    }
    rows.extend(steps);
    let peer = "xen-create-image was not run: measured earlier with its tar cache 44 s, with debootstrap 79 to 93 s \
                (bookworm, 2 GiB, full kernel)";
    let notes = vec!["target: under 1 s with a warm base".to_owned(), peer.to_owned()];
    Ok(Table { name: "guest", rows, notes, skipped: Vec::new() })
}

fn entries() -> Vec<Entry> {
    let file = |path: &str, mode, text: &str| Entry::File {
        path: Path::new(path).to_owned(),
        mode,
        bytes: text.as_bytes().to_vec(),
    };
    vec![
        file("/etc/hostname", 0o644, "bench\n"),
        file("/etc/hosts", 0o644, "127.0.0.1\tlocalhost\n127.0.1.1\tbench\n"),
        file("/etc/fstab", 0o644, "UUID=5f0f0e4c-7c1e-4b57-8c36-0d4f6c1c2a01 / ext4 errors=remount-ro 0 1\n"),
        file("/etc/network/interfaces", 0o644, "auto eth0\niface eth0 inet dhcp\n"),
        file("/etc/resolv.conf", 0o644, ""),
        file(
            "/root/.ssh/authorized_keys",
            0o600,
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZvciBhIGJlbmNo bench\n",
        ),
    ]
}
