//! `xenup audit` of a thousand guests, one guest's disk beside the tools that read one, and `guest check` of ten thousand
//! files.
//!
//! Decides: what is measured beside what, and how memory is read. Never: keeps the guests.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use xenup_system::files::{self, WorkDir};
use xenup_system::process::Tool;
use xenup_system::stopwatch::Stopwatch;

use super::figures::{Row, Table};
use super::guests::{Guests, files_alone};
use super::host::{in_turns, program};
use crate::kernels::Archive;
use crate::project;

type Failure = Box<dyn std::error::Error>;

const GUESTS: usize = 1000;
const FILES: usize = 10_000;
const LIMIT: Duration = Duration::from_secs(900);
/// How often a large audit is measured: each takes seconds.
const LARGE_RUNS: usize = 5;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// `xenup guest check` of ten thousand files of xl.
///
/// # Errors
/// They cannot be written or checked.
pub fn lint(runs: usize) -> Result<Table, Failure> {
    let folder = WorkDir::new_in(&project().join("target"), "bench-")?;
    files_alone(folder.path(), FILES)?;
    let tree = || Tool::new(program()).args(["guest", "check", "--json", "--root"]).arg(folder.path());
    let all = "cat \"$1\"/etc/xen/*.cfg > /dev/null";
    let commands = [
        ("xenup guest check --json", tree().capture_limit(256 << 20).timeout(LIMIT)),
        ("control: cat of the same files", Tool::new("sh").args(["-c", all, "sh"]).arg(folder.path())),
    ];
    let rows = in_turns(runs.min(LARGE_RUNS), &commands)?;
    let peak = peak_mib(&commands[0].1)?;
    let notes = vec![format!("{FILES} files; target: under 2 s"), format!("at most {peak} MiB resident")];
    Ok(Table { name: "audit-lint", rows, notes, skipped: Vec::new() })
}

/// `xenup audit` of a thousand guests, and one disk beside `debugfs` and pygrub.
///
/// # Errors
/// The guests cannot be made, or a program cannot be run.
pub fn guests(runs: usize) -> Result<Table, Failure> {
    let guests = Guests::make(GUESTS)?;
    let whole = || {
        Tool::new(program())
            .args(["audit", "--json", "--to", "trixie", "--root"])
            .arg(&guests.host)
            .capture_limit(256 << 20)
            .timeout(LIMIT)
    };
    let name = "xenup audit --json, 1000 guests";
    let mut rows = vec![Row::new(name)];
    for run in 0..=runs.min(LARGE_RUNS) {
        let watch = Stopwatch::start();
        let told = whole().output()?;
        if run > 0 {
            rows[0].samples_ms.push(watch.elapsed().as_secs_f64() * 1000.0);
        }
        let starts = told.text().replace(char::is_whitespace, "").matches("\"verdict\":\"starts\"").count();
        if run == 0 && starts != GUESTS {
            return Err(
                format!("{starts} of {GUESTS} guests start: the bench measures something else").into()
            );
        }
    }
    let peak = peak_mib(&whole())?;
    let base = guests.bases.get(1).ok_or("there is no root")?;
    let image = guests.host.join("srv/g00001.qcow2");
    let mut skipped = Vec::new();
    let mut commands = vec![
        (
            "xenup guest disk --json, a raw image",
            Tool::new(program()).args(["guest", "disk", "--json"]).arg(base),
        ),
        (
            "xenup guest disk --json, its overlay",
            Tool::new(program()).args(["guest", "disk", "--json"]).arg(image),
        ),
        (
            "debugfs cat /usr/lib/os-release",
            Tool::new("debugfs").args(["-R", "cat /usr/lib/os-release"]).arg(base),
        ),
    ];
    match pygrub() {
        Ok(pygrub) => commands.push(("pygrub -q -n", pygrub.args(["-q", "-n"]).arg(base))),
        Err(why) => skipped.push(format!("pygrub: {why}")),
    }
    commands.push(("control: true", Tool::new("true")));
    rows.extend(in_turns(runs, &commands)?);
    skipped.push(
        "virt-inspector: its appliance takes 370 MB and minutes; 19.2 s and 678 MB for such an image"
            .to_owned(),
    );
    let notes = vec![
        format!("{GUESTS} qcow2 overlays on 5 Debian roots, each with a kernel of its own; target: under 20 s"),
        format!("at most {peak} MiB resident, children included; target: under 150"),
        "one image: at least 200 times faster than virt-inspector, at most 3 times debugfs, faster than pygrub".to_owned(),
    ];
    Ok(Table { name: "audit", rows, notes, skipped })
}

/// pygrub of Xen 4.17, from its package, with its own modules and libraries.
fn pygrub() -> Result<Tool, Failure> {
    let folder = project().join("target/kernels");
    let archive = Archive::own(&folder);
    let tools = archive.fetched("xen-utils-4.17", "usr/lib/xen-4.17")?;
    let libraries = archive.fetched("libxenmisc4.17", "usr/lib")?;
    let own = libraries.join("xen-4.17/lib/x86_64-linux-gnu");
    let text = |path: &Path| path.display().to_string();
    let search = format!("{}:{}", text(&own), text(&libraries.join("x86_64-linux-gnu")));
    let tool = Tool::new("python3")
        .arg(tools.join("bin/pygrub"))
        .env("PYTHONPATH", tools.join("lib/python"))
        .env("LD_LIBRARY_PATH", search)
        .env("XEN_FSIMAGE_FSDIR", own.join("xenfsimage"));
    Ok(tool)
}

/// Runs a program, and returns the most that it and its children had in memory at once.
fn peak_mib(tool: &Tool) -> Result<u64, Failure> {
    let mut running = tool.spawn(None)?;
    let mut peak = 0;
    while running.wait(LOOK)?.is_none() {
        peak = peak.max(resident_kib(running.id()));
    }
    Ok(peak / 1024)
}

/// What a process and its descendants have in memory, each page that they share counted for each.
fn resident_kib(root: u32) -> u64 {
    let mut parents: BTreeMap<u32, (u32, u64)> = BTreeMap::new();
    for path in files::list(Path::new("/proc")).unwrap_or_default() {
        let id = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        let status = id.and_then(|_| files::read_text(&path.join("status")).ok());
        let (Some(id), Some(status)) = (id, status) else { continue };
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let parent = field("PPid:").and_then(|parent| u32::try_from(parent).ok()).unwrap_or_default();
        parents.insert(id, (parent, field("VmRSS:").unwrap_or_default()));
    }
    let below = |mut id: u32| {
        while let Some((parent, _)) = parents.get(&id) {
            if id == root {
                return true;
            }
            id = *parent;
        }
        false
    };
    parents.iter().filter(|(id, _)| below(**id)).map(|(_, (_, kib))| kib).sum()
}
