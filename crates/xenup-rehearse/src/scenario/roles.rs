//! Kernels are started as PV and as PVH guests on real Xen, beside what `xenup kernel check` says of them on that host.
//!
//! Decides how a kernel is started and what counts as started: its init, or GRUB, speaks on Xen's console, or it looks for
//! a root where it takes no initramfs. Never judges a
//! kernel: the installed program does, and every verdict has to hold.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use xenup_system::stopwatch::Stopwatch;

use super::bench::{Bench, SHORT, tenths};
use super::failure::Failure;
use super::{Hypervisor, RehearseOptions, conversion, smallest};
use crate::event::{Recorder, StepScope};
use crate::network;

const ROLE: &str = include_str!("guest/role");
/// Starts the daemon of the consoles anew, so that it writes down what guests say.
pub const LOG_CONSOLES: &str = "set -e; mkdir -p /var/log/xen/console; old=$(pidof xenconsoled); \
    program=$(readlink /proc/$old/exe); kill $old; while kill -0 $old 2> /dev/null; do sleep 0.2; done; \
    $program --log=guest --log-dir=/var/log/xen/console; pidof xenconsoled";
/// Seconds in which a guest has to speak: Debian's kernel takes 30 as PVH under emulation, on a quiet machine.
const SPEAKS: u32 = 300;
/// `xl create`, unpacking of the kernel included, and those.
const START: Duration = Duration::from_secs(900);
/// Fifteen megabytes over ssh, under emulation.
const BRING: Duration = Duration::from_secs(300);
/// What GRUB says, as a kernel of a guest.
const LOADER: &str = "GNU GRUB|grub( rescue)?>";
/// The last that a kernel says which cannot read an initramfs, as this project's own guests' kernels: it looks for a root.
const WITHOUT_INITRD: &str = "VFS: Unable to mount root";
/// The types that a kernel is started as, as xl.cfg(5) and `kernel check --json` name them.
pub const TYPES: [&str; 2] = ["pv", "pvh"];

/// Plays it.
///
/// # Errors
/// The first step that failed, the last one where a verdict did not hold; it is in the report.
pub fn play(bench: &mut Bench, rec: &mut Recorder<'_>, options: &RehearseOptions) -> Result<(), Failure> {
    conversion::host(bench, rec, options)?;
    rec.step("write down what guests say", |s| prepare(bench, s))?;
    let types: &[&str] = match options.hypervisor {
        Hypervisor::WithShadowPaging => &TYPES,
        Hypervisor::Security => {
            rec.skip("PVH guests", "this hypervisor has no shadow paging, and the emulated processor no HAP");
            &["pv"]
        }
    };
    let mut wrong = Vec::new();
    for kernel in &options.kernels {
        let name = kernel.file_name().unwrap_or_default().to_string_lossy().into_owned();
        wrong.extend(rec.step(&name, |s| one(bench, s, kernel, types))?);
    }
    rec.step("every verdict held", |s| {
        s.detail(format!("{} kernels, each as {}", options.kernels.len(), types.join(" and as ")));
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Failure::unexpected("what became of the kernels", "what was said of them", wrong.join("\n")))
    })
}

fn prepare(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    bench.outside(s, LOG_CONSOLES, 0)?;
    bench.outside(s, "mkdir -p /root/role", 0)?;
    bench.ssh.put_bytes(network::VM, smallest::initramfs(), "/root/role/initrd", SHORT)?;
    Ok(bench.ssh.put_bytes(network::VM, ROLE.as_bytes().to_vec(), "/root/role/role", SHORT)?)
}

/// Starts a kernel as each type; returns what did not hold of what was said of it.
fn one(
    bench: &mut Bench,
    s: &mut StepScope<'_, '_>,
    kernel: &Path,
    types: &[&str],
) -> Result<Vec<String>, Failure> {
    bench.ssh.put(network::VM, kernel, "/root/role/kernel", BRING)?;
    // It ends with 4 where the kernel can be nothing at all.
    let check = "xenup kernel check --json /root/role/kernel 2> /dev/null || test $? = 4";
    let said = bench.ssh.run(network::VM, check, SHORT)?.output;
    let report: Value = serde_json::from_str(&said)
        .map_err(|error| Failure::unexpected("`xenup kernel check --json`", error.to_string(), said))?;
    let init = smallest::INITS[usize::from(class(&report) == Some("32-bit"))];
    let mut wrong = Vec::new();
    for kind in types {
        let answer = answer(&report, kind);
        let watch = Stopwatch::start();
        let words = format!("{}|{LOADER}|{WITHOUT_INITRD}", smallest::WORD);
        let command = format!("sh /root/role/role {kind} {init} {SPEAKS} '{words}'");
        let told = bench.outside_within(s, &command, 0, START)?;
        let (end, rest) = told.split_once('\n').unwrap_or((&told, ""));
        let shown = rest.lines().next().unwrap_or_default().trim();
        s.detail(format!("{kind}: kernel check says {answer}; {end} ({shown})"));
        s.measure(&format!("{kind}: {end} after"), tenths(watch.elapsed()), "s");
        if holds(answer, end) == Some(false) {
            let name = kernel.file_name().unwrap_or_default().to_string_lossy();
            wrong.push(format!("{name} as {kind}: kernel check says {answer}, and it {end}: {rest}"));
        }
    }
    Ok(wrong)
}

/// The word size of the kernel that a report is about.
fn class(report: &Value) -> Option<&str> {
    report.pointer("/kernels/0/image/content/kernel/class")?.as_str()
}

/// "yes", "no" or "unknown": whether the kernel can be a guest of that type.
fn answer<'a>(report: &'a Value, kind: &str) -> &'a str {
    let verdicts = report.pointer("/kernels/0/verdicts").and_then(Value::as_array);
    let found = verdicts.and_then(|all| all.iter().find(|verdict| verdict["role"] == kind));
    found.and_then(|verdict| verdict["answer"].as_str()).unwrap_or("unknown")
}

/// Whether what became of a kernel is what was said of it; `None` where nothing was said.
fn holds(answer: &str, end: &str) -> Option<bool> {
    match answer {
        "yes" => Some(end == "up"),
        "no" => Some(end != "up"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{answer, class, holds};

    #[test]
    fn a_report_is_read_and_held_against_what_became_of_the_kernel() {
        let report = json!({"kernels": [{
            "image": {"content": {"kernel": {"class": "32-bit"}}},
            "verdicts": [{"role": "pv", "answer": "no"}, {"role": "pvh", "answer": "yes"}],
        }]});
        assert_eq!(
            (answer(&report, "pv"), answer(&report, "pvh"), class(&report)),
            ("no", "yes", Some("32-bit"))
        );
        assert_eq!((answer(&json!({}), "pv"), class(&json!({}))), ("unknown", None));
        assert_eq!(holds("yes", "up"), Some(true));
        assert_eq!(holds("yes", "silent"), Some(false));
        assert_eq!(holds("no", "refused"), Some(true));
        assert_eq!(holds("no", "up"), Some(false));
        assert_eq!(holds("unknown", "up"), None);
    }
}
