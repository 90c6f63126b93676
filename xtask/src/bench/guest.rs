//! A guest's disk as `xenup guest create` makes it, out of a kept base and out of none, beside a plain sparse copy of the
//! base and beside xen-tools.
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
use super::xen_tools::{Source, XenTools, packages_in};
use crate::project;

type Failure = Box<dyn std::error::Error>;

/// Each round with xen-tools takes minutes.
const MOST: usize = 3;
const FILE_SYSTEM: &str = "5f0f0e4c-7c1e-4b57-8c36-0d4f6c1c2a01";

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
        let times = disk::make(&base, &wanted(&guest, &entries), &mut |_| {})?;
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
    let mut notes = vec!["target: under 1 s with a warm base".to_owned()];
    let warm = rows.first().map_or(0.0, Row::median);
    rows.extend(steps);
    let mut skipped = Vec::new();
    match beside_xen_tools(&spec, runs, warm, &mut notes) {
        Ok(peers) => rows.extend(peers),
        Err(error) => skipped.push(format!("xen-create-image: {error}")),
    }
    Ok(Table { name: "guest", rows, notes, skipped })
}

/// A guest from nothing, and xen-tools' from debootstrap and from its tar, in turns.
fn beside_xen_tools(
    spec: &BaseSpec,
    runs: usize,
    warm: f64,
    notes: &mut Vec<String>,
) -> Result<Vec<Row>, Failure> {
    let peer = XenTools::ready(spec)?;
    let folder = WorkDir::new_in(&project().join("target"), "bench-")?;
    let guest = folder.join("guest.img");
    let mut rows = vec![
        Row::new("a guest from nothing: base and disk"),
        Row::new("xen-create-image, debootstrap"),
        Row::new("xen-create-image, its tar"),
    ];
    let entries = entries();
    for _ in 0..runs.min(MOST) {
        files::remove_file(&guest)?;
        let cache = folder.join("cache");
        files::remove_dir_all(&cache)?;
        let watch = Stopwatch::start();
        let base = base::ready(&cache, spec, true, &mut |_| {})?;
        disk::make(&base, &wanted(&guest, &entries), &mut |_| {})?;
        let ours = watch.elapsed();
        let times = [ours, peer.create(spec, Source::Debootstrap)?, peer.create(spec, Source::Tar)?];
        for (row, time) in rows.iter_mut().zip(times) {
            row.samples_ms.push(time.as_secs_f64() * 1000.0);
        }
    }
    let (ours, theirs) = (packages_in(&guest)?, packages_in(&peer.disk())?);
    notes.push(format!("packages: {ours} in ours, {theirs} in xen-create-image's; both with an initrd"));
    let medians: Vec<f64> = rows.iter().map(Row::median).collect();
    if let [cold, debootstrap, tar] = medians.as_slice() {
        let warm = format!("its tar / a warm base: {:.0} (target: at least 40)", tar / warm);
        let cold =
            format!("debootstrap / a guest from nothing: {:.2} (target: at least 1.7)", debootstrap / cold);
        notes.extend([warm, cold]);
    }
    Ok(rows)
}

fn wanted<'a>(path: &'a Path, entries: &'a [Entry]) -> GuestDisk<'a> {
    GuestDisk { path, size: base::SIZE, file_system: FILE_SYSTEM, entries }
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
