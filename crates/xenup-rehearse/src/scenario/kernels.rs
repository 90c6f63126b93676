//! A whole Debian guest boots kernels of one's own without an initrd, in turns with Debian's cloud kernel with its initrd,
//! as PV and as PVH, each three times on one disk.
//!
//! Decides what each boot must come to: a login prompt, an address that answers, a disk that is written and read, a
//! shutdown. Never asserts on a time: medians and ratios are told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::bench::{Bench, SHORT};
use super::failure::Failure;
use super::roles::{LOG_CONSOLES, TYPES};
use super::{Hypervisor, RehearseOptions, conversion, guests, whole};
use crate::event::{Recorder, StepScope};
use crate::network;

const SCRIPT: &str = include_str!("guest/whole");
/// Boots of each kernel as each type.
const ROUNDS: usize = 3;
/// The folder of Debian's kernel, and what it is called in the figures.
const CLOUD: &str = "cloud";
/// Seconds to a login prompt: Debian's kernel with its initrd takes 100 as PVH under emulation.
const PROMPT: u32 = 900;
/// The script's own time, `xl create` included.
const START: Duration = Duration::from_secs(1200);
/// Seconds for a shutdown of the guest.
const OFF: u32 = 300;
/// Some 200 megabytes over ssh, under emulation.
const BRING: Duration = Duration::from_secs(1800);
/// What an own kernel is held to beside Debian's, to PID 1.
const TARGET: &str = "target: 0.65 of the cloud kernel to PID 1";
/// The disk is unpacked where the guest has it, and Debian's kernel with its initrd taken from it.
const UNPACK: &str = "set -e; cd /root/kernels; zstd -q -d -f --sparse --rm disk.img.zst; \
    mount -o loop,ro disk.img /media; mkdir -p cloud; cp /media/boot/vmlinuz-* cloud/vmlinuz; \
    cp /media/boot/initrd.img-* cloud/initrd; umount /media; ls -l cloud";
/// Run in the guest: every boot adds a line to a file, which is then read from the disk and not from memory.
const LOOK: &str = "set -e; uname -r >> /root/boots; sync; echo 3 > /proc/sys/vm/drop_caches; wc -l < /root/boots; \
    uname -r; cat /sys/hypervisor/guest_type; systemctl is-system-running --wait || systemctl --failed --plain";

/// Milliseconds since `xl create` began, by what the console said.
type Times = BTreeMap<String, u64>;

/// A kernel in a folder of the machine.
struct Kernel {
    folder: String,
    name: String,
}

/// Plays it.
///
/// # Errors
/// The first step that failed; it is in the report.
pub fn play(bench: &mut Bench, rec: &mut Recorder<'_>, options: &RehearseOptions) -> Result<(), Failure> {
    conversion::host(bench, rec, options)?;
    let disk = rec.step("make a guest's disk", |s| {
        whole::make(&options.cache, bench.lab.path(), bench.ssh.public_key(), s)
    })?;
    let kernels = rec.step("bring the disk and the kernels", |s| bring(bench, s, &disk, &options.kernels))?;
    let types: &[&str] = match options.hypervisor {
        Hypervisor::WithShadowPaging => &TYPES,
        Hypervisor::Security => {
            rec.skip("PVH guests", "this hypervisor has no shadow paging, and the emulated processor no HAP");
            &["pv"]
        }
    };
    let mut boots: BTreeMap<(&str, &str), Vec<Times>> = BTreeMap::new();
    let mut count = 0;
    for round in 1..=ROUNDS {
        for kind in types {
            for kernel in &kernels {
                count += 1;
                let name = format!("boot {round} of {ROUNDS} as {kind}: {}", kernel.name);
                let times = rec.step(&name, |s| boot(bench, s, kernel, kind, count))?;
                boots.entry((kind, &kernel.folder)).or_default().push(times);
            }
        }
    }
    rec.step("medians", |s| {
        for kind in types {
            for kernel in &kernels {
                tell(s, &boots, kind, kernel);
            }
        }
        s.detail(TARGET);
        Ok(())
    })
}

/// Puts disk, script and kernels into the machine; Debian's own kernel comes last.
fn bring(
    bench: &mut Bench,
    s: &mut StepScope<'_, '_>,
    disk: &Path,
    own: &[PathBuf],
) -> Result<Vec<Kernel>, Failure> {
    bench.outside(s, LOG_CONSOLES, 0)?;
    bench.outside(s, "rm -rf /root/kernels; mkdir /root/kernels", 0)?;
    bench.ssh.put_bytes(network::VM, SCRIPT.as_bytes().to_vec(), "/root/kernels/whole", SHORT)?;
    bench.ssh.put(network::VM, disk, "/root/kernels/disk.img.zst", BRING)?;
    bench.outside_within(s, UNPACK, 0, BRING)?;
    let mut kernels = Vec::new();
    for (number, kernel) in (1..).zip(own) {
        let folder = format!("own{number}");
        bench.outside(s, &format!("mkdir /root/kernels/{folder}"), 0)?;
        bench.ssh.put(network::VM, kernel, &format!("/root/kernels/{folder}/vmlinuz"), BRING)?;
        let name = kernel.file_name().unwrap_or_default().to_string_lossy().into_owned();
        kernels.push(Kernel { folder, name });
    }
    kernels.push(Kernel { folder: CLOUD.into(), name: "Debian's cloud kernel and its initrd".into() });
    Ok(kernels)
}

/// One boot, the `count`th of this disk, to a prompt, and all that it must come to.
fn boot(
    bench: &mut Bench,
    s: &mut StepScope<'_, '_>,
    kernel: &Kernel,
    kind: &str,
    count: usize,
) -> Result<Times, Failure> {
    let command = format!("bash /root/kernels/whole start {} {kind} {PROMPT}", kernel.folder);
    let told = bench.outside_within(s, &command, 0, START)?;
    let (times, end) = read(&told);
    if end != Some("up") {
        return Err(Failure::unexpected("the guest's console", "a login prompt", told));
    }
    for (what, time) in &times {
        s.measure(&format!("from xl create: {}", event(what)), *time as f64 / 1000.0, "s");
    }
    guests::pinged(bench, s, "whole", whole::ADDRESS)?;
    let said = bench.ssh.run(whole::ADDRESS, LOOK, START)?;
    s.excerpt("in the guest, over ssh", &said.output);
    let mut lines = said.output.lines();
    let (boots, release, guest) = (lines.next(), lines.next(), lines.next());
    s.detail(format!(
        "{} says that it is {}, and its disk that this is its boot {}; systemd: {}",
        release.unwrap_or_default(),
        guest.unwrap_or_default(),
        boots.unwrap_or_default(),
        lines.collect::<Vec<_>>().join("; ")
    ));
    if boots != Some(&count.to_string()) || guest.map(str::to_lowercase).as_deref() != Some(kind) {
        let expected = format!("boot {count} of this disk, as {kind}");
        return Err(Failure::unexpected("the guest, over ssh", expected, said.output));
    }
    let off = bench.outside_within(s, &format!("bash /root/kernels/whole end {OFF}"), 0, START)?;
    if off.trim() != "off" {
        return Err(Failure::unexpected("`xl shutdown`", "a guest that goes", off));
    }
    Ok(times)
}

/// Reads what the script printed: the times, and the end of the boot.
fn read(told: &str) -> (Times, Option<&str>) {
    let mut times = Times::new();
    let mut lines = told.lines();
    for line in lines.by_ref() {
        match line.split_once(' ').and_then(|(what, time)| Some((what, time.parse().ok()?))) {
            Some((what, time)) => times.insert(what.to_owned(), time),
            None => return (times, Some(line)),
        };
    }
    (times, None)
}

/// A mark of the script's, in words.
fn event(mark: &str) -> &str {
    match mark {
        "linux" => "the kernel's first line",
        "init" => "the kernel starts the first program",
        "pid1" => "systemd speaks",
        "login" => "a login prompt",
        other => other,
    }
}

/// The medians of a kernel as one type, and how they stand to Debian's kernel's.
fn tell(s: &mut StepScope<'_, '_>, boots: &BTreeMap<(&str, &str), Vec<Times>>, kind: &str, kernel: &Kernel) {
    let of = |folder: &str, mark: &str| {
        median(boots.get(&(kind, folder)).into_iter().flatten().filter_map(|times| times.get(mark).copied()))
    };
    for mark in ["linux", "init", "pid1", "login"] {
        let Some(own) = of(&kernel.folder, mark) else { continue };
        let name = format!("{kind}, {}: {}, median", kernel.name, event(mark));
        s.measure(&name, own / 1000.0, "s");
        // Debian's first program is its initrd's, and no measure of the own kernel's.
        if kernel.folder == CLOUD || mark == "init" {
            continue;
        }
        if let Some(debian) = of(CLOUD, mark).filter(|debian| *debian > 0.0) {
            let name = format!("{kind}, {}: {}, of Debian's", kernel.name, event(mark));
            s.measure(&name, own / debian, "times");
        }
    }
}

/// The median in milliseconds; `None` of nothing.
fn median(times: impl Iterator<Item = u64>) -> Option<f64> {
    let mut times: Vec<u64> = times.collect();
    times.sort_unstable();
    let (upper, lower) = (times.get(times.len() / 2)?, times.get(times.len().saturating_sub(1) / 2)?);
    Some(f64::midpoint(*upper as f64, *lower as f64))
}

#[cfg(test)]
mod tests {
    use super::{median, read};

    #[test]
    fn what_the_script_prints_is_read() {
        let (times, end) = read("linux 810\ninit 2100\npid1 2500\nlogin 9000\nup\n");
        assert_eq!(times.get("pid1"), Some(&2500));
        assert_eq!((times.len(), end), (4, Some("up")));
        let (times, end) = read("linux 810\npanic\nnot syncing 5\n");
        assert_eq!((times.len(), end), (1, Some("panic")));
        assert_eq!(read("").1, None);
    }

    #[test]
    fn medians() {
        assert_eq!(median([3, 1, 2].into_iter()), Some(2.0));
        assert_eq!(median([4, 1].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }
}
