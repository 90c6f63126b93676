//! `cargo xtask fuzz`: every parser of what xenup did not write, under libFuzzer.
//!
//! Decides: where seeds come from (tests/cases), the bounds of an input, and how what was found is printed.
//! Never: which parsers there are (fuzz/src/lib.rs does), or that one is right: the cases do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use xenup_system::files;
use xenup_system::process::Tool;
use xenup_system::stopwatch::Stopwatch;

use crate::{Outcome, project};

/// Strike every parser of what we did not write with libFuzzer
#[derive(Debug, Args)]
pub struct Fuzz {
    /// Take only the parser of this name, or those whose name contains it
    #[arg(value_name = "NAME")]
    filter: Option<String>,
    /// How many minutes for each parser
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    minutes: f64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The most memory an input may take, in MiB; a parser that needs more has none of the bounds it should have.
const MEMORY_MIB: u32 = 256;
/// The most seconds one input may take. libFuzzer goes by the clock on the wall, and this machine may be busy: what took
/// longer is tried again alone before it counts.
const INPUT_SECONDS: u32 = 2;
/// How often it is.
const AGAIN: usize = 3;
/// The longest input, in bytes.
const LONGEST: u32 = 16_384;

/// Which files of tests/cases a parser starts from: a folder, and how their paths end.
const SEEDS: &[(&str, &str, &str)] = &[
    ("answers-toml", "install", "answers.toml"),
    ("answers-toml", "install", "command-line.txt"),
    ("apt-simulation", "plan", "apt.txt"),
    ("apt-extended-states", "inspect", "extended_states"),
    ("apt-sources", "inspect", ".sources"),
    ("apt-sources-list", "inspect", "sources.list"),
    ("apt-targets", "mirror", "targets.txt"),
    ("apt-config", "mirror", "config.txt"),
    ("audit", "audit", ".cfg"),
    ("cmdline", "inspect", "proc/cmdline"),
    ("cpuinfo", "inspect", "cpuinfo"),
    ("crypttab", "inspect", "crypttab"),
    ("disk", "disk", "disk.hex"),
    ("dpkg-status", "inspect", "dpkg/status"),
    ("elf-notes", "elf-notes", "notes.bin"),
    ("filesystem-btrfs", "disk", "btrfs/disk.hex"),
    ("filesystem-ext", "disk", "ext2/disk.hex"),
    ("filesystem-ext", "disk", "ext3/disk.hex"),
    ("filesystem-ext", "disk", "ext4/disk.hex"),
    ("filesystem-xfs", "disk", "xfs/disk.hex"),
    ("fstab", "inspect", "fstab"),
    ("grub-cfg", "inspect", "grub.cfg"),
    ("grub-cfg", "recovery", "grub.cfg"),
    ("grub-default", "inspect", "default/grub"),
    ("grub-default", "inspect", ".cfg"),
    ("grubenv", "inspect", "grubenv"),
    ("guest-grub", "guest-disk", "grub.cfg"),
    ("guest-menus", "guest-disk", "menu.lst"),
    ("guest-menus", "guest-disk", "extlinux.conf"),
    ("guest-menus", "guest-disk", "fstab"),
    ("host-toml", "host", "host.toml"),
    ("interfaces", "interfaces", "network/interfaces"),
    ("kernel", "kernel", "/kernel"),
    ("kconfig", "kconfig", "tree/Kconfig"),
    ("kernel-built", "cli", "kernel.json"),
    ("kernel-profile", "kconfig", ".toml"),
    ("kernel-config", "inspect", "boot/config-6.1.0-1-amd64"),
    ("locks", "inspect", "proc/locks"),
    ("make-output", "kernel-build", "dry-run"),
    ("make-output", "kernel-build", "output"),
    ("medium-manifest", "cli", "manifest.json"),
    ("modules-alias", "kernel-hardware", "modules.alias"),
    ("mountinfo", "inspect", "mountinfo"),
    ("netplan", "inspect", ".yaml"),
    ("network-manager", "inspect", ".nmconnection"),
    ("network-script", "network-import", "scripts/network-bridge"),
    ("network-script", "network-import", "scripts/mine"),
    ("networkd", "inspect", ".network"),
    ("networkd-netdev", "inspect", ".netdev"),
    ("os-release", "inspect", "os-release"),
    ("plan", "engine", "plan.json"),
    ("proc-stat", "session", "stat"),
    ("proc-tcp", "session", "net/tcp"),
    ("proc-tcp", "session", "net/tcp6"),
    ("qcow2", "disk-image", "image.qcow2"),
    ("systemd-unit", "inspect", ".service"),
    ("table-gpt", "disk", "gpt/disk.hex"),
    ("table-gpt", "disk", "gpt-with-efi-and-ext4/disk.hex"),
    ("table-mbr", "disk", "mbr/disk.hex"),
    ("table-mbr", "disk", "mbr-logical/disk.hex"),
    ("tls", "cli", "lib/libc.so.6"),
    ("udev-names", "network-import", "net.rules"),
    ("xend-config", "network-import", "xend-config.sxp"),
    ("xl-cfg", "guest", "guest.cfg"),
    ("xm", "guest", "guest.cfg"),
];

/// What became of one parser.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Struck {
    name: String,
    /// Inputs that it was started from.
    seeds: usize,
    /// Inputs that were tried.
    executions: u64,
    /// The most memory it had, in MiB.
    peak_mib: u64,
    /// Inputs that took longer than they may, and did not when they were tried again alone.
    slow: u64,
    /// What libFuzzer calls the end it came to; `None` where its time was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
    /// The input that led there.
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<PathBuf>,
}

impl Struck {
    fn is_slow(&self) -> bool {
        self.found.as_deref().is_some_and(|found| found.starts_with("timeout"))
    }
}

/// Strikes the parsers one after another; returns whether none fell, ran away or took too much.
///
/// # Errors
/// No parser of that name, or libFuzzer cannot be built here.
pub fn run(fuzz: &Fuzz) -> Outcome {
    let program = build()?;
    let names = names()?;
    let wanted = fuzz.filter.as_deref().unwrap_or_default();
    let names = chosen(&names, wanted);
    if names.is_empty() {
        return Err("no parser has that in its name; they are listed in fuzz/src/lib.rs".into());
    }
    let mut all = Vec::new();
    for name in names {
        let struck = strike(&program, name, fuzz.minutes)?;
        if !fuzz.json {
            println!("{}", line(&struck));
        }
        all.push(struck);
    }
    if fuzz.json {
        println!("{}", serde_json::to_string(&all)?);
    }
    Ok(all.iter().all(|struck| struck.found.is_none()))
}

/// Returns the parser of that name, or else all that contain it: `kernel` is one, and part of others.
fn chosen<'a>(names: &'a [String], wanted: &str) -> Vec<&'a String> {
    let exact: Vec<&String> = names.iter().filter(|name| *name == wanted).collect();
    if exact.is_empty() { names.iter().filter(|name| name.contains(wanted)).collect() } else { exact }
}

/// Builds the one program of all parsers by cargo-fuzz, which is installed into target/ where it is missing. The stable
/// compiler has no sanitizers; the code under test has no unsafe code for them to watch.
fn build() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let tools = project().join("target/fuzz-tools");
    let cargo_fuzz = tools.join("bin/cargo-fuzz");
    if !files::exists(&cargo_fuzz) {
        eprintln!("installing cargo-fuzz into target/");
        Tool::new("cargo")
            .args(["install", "--quiet", "--locked", "cargo-fuzz", "--root"])
            .arg(&tools)
            .timeout(Duration::from_secs(3600))
            .run()?;
    }
    let target = project().join("target/fuzz");
    Tool::new(&cargo_fuzz)
        .args(["fuzz", "build", "--sanitizer", "none", "parsers"])
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(project().join("fuzz"))
        .timeout(Duration::from_secs(3600))
        .run_lines(&mut |line| eprintln!("{line}"))?;
    let found = files::list(&target)?.into_iter().map(|dir| dir.join("release/parsers"));
    found.into_iter().find(|path| files::exists(path)).ok_or_else(|| "cargo-fuzz built no program".into())
}

/// Returns the names of the parsers, as fuzz/src/lib.rs lists them.
fn names() -> Result<Vec<String>, files::FileError> {
    Ok(parser_names(&files::read_text(&project().join("fuzz/src/lib.rs"))?))
}

fn parser_names(source: &str) -> Vec<String> {
    let rows =
        source.split_once("PARSERS").and_then(|(_, rest)| rest.split_once("];")).map_or("", |rows| rows.0);
    let named = rows.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split_once('"'));
    named.map(|(name, _)| name.to_owned()).collect()
}

fn strike(program: &Path, name: &str, minutes: f64) -> Result<Struck, Box<dyn std::error::Error>> {
    let here = project().join("target/fuzz-runs").join(name);
    let (seeds, kept) = (here.join("seeds"), here.join("kept"));
    files::remove_dir_all(&seeds)?;
    for dir in [&seeds, &kept] {
        files::create_dir_all(dir)?;
    }
    let count = lay_out_seeds(name, &seeds)?;
    let whole = Duration::try_from_secs_f64(minutes * 60.0)?;
    let watch = Stopwatch::start();
    let mut before = Struck::default();
    loop {
        let seconds = whole.saturating_sub(watch.elapsed());
        let output = bounded(program, name)
            .arg(format!("-max_total_time={}", seconds.as_secs().max(1)))
            .arg(format!("-max_len={LONGEST}"))
            .arg(format!("-artifact_prefix={}/", here.display()))
            .args(["-print_final_stats=1", "-verbosity=0"])
            .arg(&kept)
            .arg(&seeds)
            .timeout(seconds + Duration::from_secs(3600))
            .output()?;
        let said = output.stderr_text();
        files::write(&here.join("said.txt"), said.as_bytes())?;
        let mut struck = reading(name, &said);
        struck.seeds = count;
        struck.slow = before.slow;
        struck.executions = struck.executions.saturating_add(before.executions);
        struck.peak_mib = struck.peak_mib.max(before.peak_mib);
        if !output.status.success() && struck.found.is_none() {
            struck.found = Some(format!("it ended without a word of why: {}", last_line(&said)));
        }
        if !struck.is_slow() || !is_fast_alone(program, &struck)? || watch.elapsed() >= whole {
            return Ok(struck);
        }
        struck.slow += 1;
        before = struck;
    }
}

/// The program under the bounds of every input.
fn bounded(program: &Path, name: &str) -> Tool {
    Tool::new(program)
        .env("XENUP_FUZZ", name)
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .arg(format!("-timeout={INPUT_SECONDS}"))
}

/// Whether an input that took too long takes its time on a busy machine alone.
fn is_fast_alone(program: &Path, struck: &Struck) -> Result<bool, Box<dyn std::error::Error>> {
    let Some(input) = &struck.input else { return Ok(false) };
    for _ in 0..AGAIN {
        let alone = bounded(program, &struck.name).arg(input).timeout(Duration::from_secs(3600)).output()?;
        if alone.status.success() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Copies the files of tests/cases that this parser reads in earnest.
fn lay_out_seeds(name: &str, to: &Path) -> Result<usize, files::FileError> {
    let mut paths = Vec::new();
    for (_, room, end) in SEEDS.iter().filter(|(parser, ..)| *parser == name) {
        collect(&project().join("tests/cases").join(room), end, &mut paths)?;
    }
    for (number, path) in paths.iter().enumerate() {
        files::write(&to.join(number.to_string()), &files::read(path)?)?;
    }
    Ok(paths.len())
}

fn collect(dir: &Path, end: &str, paths: &mut Vec<PathBuf>) -> Result<(), files::FileError> {
    for path in files::list(dir)? {
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            collect(&path, end, paths)?;
        } else if path.to_string_lossy().ends_with(end) {
            paths.push(path);
        }
    }
    Ok(())
}

/// Reads what libFuzzer says at its end.
fn reading(name: &str, said: &str) -> Struck {
    let figure = |label: &str| {
        let value = said.lines().find_map(|line| line.strip_prefix(label));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
    };
    let found = said.lines().find_map(|line| line.strip_prefix("SUMMARY: libFuzzer: "));
    let panic = said.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
    let input = said.lines().find_map(|line| line.split_once("Test unit written to ").map(|(_, path)| path));
    Struck {
        name: name.to_owned(),
        seeds: 0,
        executions: figure("stat::number_of_executed_units:"),
        peak_mib: figure("stat::peak_rss_mb:"),
        slow: 0,
        found: found.map(|what| panic.map_or_else(|| what.to_owned(), |why| format!("{what}: {why}"))),
        input: input.map(PathBuf::from),
    }
}

fn last_line(said: &str) -> &str {
    said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default()
}

fn line(struck: &Struck) -> String {
    let Struck { name, seeds, executions, peak_mib, slow, found, input } = struck;
    let end = match (found, input) {
        (None, _) if *slow > 0 => format!("nothing found; {slow} slow on a busy machine, and not alone"),
        (None, _) => "nothing found".to_owned(),
        (Some(what), None) => format!("FOUND {what}"),
        (Some(what), Some(input)) => format!("FOUND {what}\n    {}", input.display()),
    };
    format!("{name:<20} {executions:>10} inputs from {seeds:>3} seeds, at most {peak_mib} MiB: {end}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{SEEDS, Struck, chosen, names, parser_names, reading};

    #[test]
    fn a_whole_name_takes_one_parser() {
        let names = ["kernel", "kernel-config", "xm"].map(str::to_owned);
        assert_eq!(chosen(&names, "kernel"), ["kernel"]);
        assert_eq!(chosen(&names, "kern"), ["kernel", "kernel-config"]);
        assert_eq!(chosen(&names, "").len(), 3);
    }

    #[test]
    fn the_end_of_a_run_is_read() {
        let quiet =
            "INFO: seed corpus\nstat::number_of_executed_units: 12345\nstat::peak_rss_mb:              57\n";
        let expected = Struck { name: "x".into(), executions: 12_345, peak_mib: 57, ..Struck::default() };
        assert_eq!(reading("x", quiet), expected);
        let fell = "thread '<unnamed>' panicked at src/lib.rs:1:2:\nindex out of bounds\n\
            SUMMARY: libFuzzer: deadly signal\nartifact_prefix='/t/'; Test unit written to /t/crash-ab\n\
            stat::number_of_executed_units: 7\nstat::peak_rss_mb: 60\n";
        let found = reading("x", fell);
        assert_eq!(found.found.as_deref(), Some("deadly signal: index out of bounds"));
        assert_eq!(found.input.as_deref(), Some(Path::new("/t/crash-ab")));
        assert!(!found.is_slow());
        let slow = "ALARM: working on the last Unit for 3 seconds\nSUMMARY: libFuzzer: timeout\n\
            artifact_prefix='/t/'; Test unit written to /t/timeout-ab\n";
        assert!(reading("x", slow).is_slow());
    }

    #[test]
    fn every_seed_is_for_a_parser_that_there_is() {
        assert_eq!(
            parser_names("PARSERS: x = &[\n    (\"a\", b),\n    (\"c\", |d| {\n    e\n  }),\n];\n(\"f\", g)"),
            ["a", "c"]
        );
        let names = names().unwrap();
        assert!(names.len() > 25, "{names:?}");
        for (parser, ..) in SEEDS {
            assert!(names.iter().any(|name| name == parser), "{parser}");
        }
    }
}
