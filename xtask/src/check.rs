//! Everything that must hold before a change lands.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use xenup_system::files;
use xenup_system::process::Tool;
use xenup_system::stopwatch::Stopwatch;

use crate::faults::Faults;
use crate::kernel_configs::KernelConfigs;

/// `cargo xtask check`
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Add the matrices that take hours
    #[arg(long)]
    long: bool,
    /// Print one JSON object as the last line
    #[arg(long)]
    json: bool,
    /// Run only the checks whose name contains WORD
    #[arg(value_name = "WORD")]
    only: Option<String>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Told {
    checks: Vec<Verdict>,
    /// Checks that were not run, and why.
    skipped: Vec<Skipped>,
}

/// What a check came to.
#[derive(Debug, Serialize)]
struct Verdict {
    name: &'static str,
    passed: bool,
    seconds: f64,
    /// Why it failed, where the check itself says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// A check that was not run.
#[derive(Debug, PartialEq, Serialize)]
struct Skipped {
    name: &'static str,
    why: &'static str,
}

/// Of the moments at which `faults-real` kills without `--long`.
const SEED: u64 = 1_795_702_780;

/// How a check is made.
enum Body {
    /// After the one before it, with all that it prints.
    InTurn(fn(&Check) -> crate::Outcome),
    /// Beside those after it, its lines marked with its name: an emulated machine keeps one core busy for minutes, and
    /// most of the others wait for events.
    Beside(fn(Say<'_>) -> crate::Outcome),
}

/// Takes a line.
type Say<'a> = &'a mut dyn FnMut(&str);

/// A check.
struct Item {
    name: &'static str,
    /// Only with `--long`.
    long: bool,
    body: Body,
}

const fn item(name: &'static str, body: fn(&Check) -> crate::Outcome) -> Item {
    Item { name, long: false, body: Body::InTurn(body) }
}

const fn beside(name: &'static str, body: fn(Say<'_>) -> crate::Outcome) -> Item {
    Item { name, long: false, body: Body::Beside(body) }
}

const fn long(name: &'static str, body: fn(&Check) -> crate::Outcome) -> Item {
    Item { name, long: true, body: Body::InTurn(body) }
}

/// The checks. The package comes early, so that the emulated machine, which takes longest, has all the others beside it.
const CHECKS: &[Item] = &[
    item("format", |_| tool("cargo", &["fmt", "--all", "--check"])),
    item("words", |_| words()),
    item("package", |_| crate::package::built_here()),
    beside("rehearsal", |say| rehearsal(&["--scenario", "conversion"], say)),
    item("lints", |_| tool("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    item("tests", |_| tests()),
    item("docs", |_| crate::docs::run(&crate::docs::Docs { check: true, json: false })),
    item("handbook", |_| crate::shown::run()),
    item("manual", |_| manual_pages()),
    item("spelling", |_| spelling()),
    item("kernels", |options| crate::kernels::run(options.long)),
    item("faults", |_| tool("cargo", &["xtask", "faults"])),
    // Both cores for the time of an apply and a rollback, so often. Moments that are the same each time, so that what
    // fails is what changed; --long looks for new ones.
    item("faults-real", |check| {
        let (kills, seed) = if check.long { (20, None) } else { (6, Some(SEED)) };
        crate::faults::run(&Faults::real(kills, seed))
    }),
    item("tls", |_| crate::tls::run()),
    item("maintainership", |_| crate::maintainership::run()),
    item("guard", |_| in_containers(&["guard_container", "surroundings_container"])),
    long("by-hand", |_| in_containers(&["handbook_container"])),
    long("by-hand-disks", |_| crate::by_hand::run()),
    long("by-hand-start", |_| crate::by_hand::start()),
    long("maintainership-build", |_| crate::maintainership::build()),
    long("packages", |_| crate::package::in_bare_trees(None, false, false)),
    long("upgrade", |_| crate::upgrade::run()),
    long("upgrade-apply", |_| crate::upgrade_apply::run()),
    long("kernel-config", |options| crate::kernel_config::run(options.long)),
    long("kernel-configs", |_| crate::kernel_configs::run(&KernelConfigs { check: true })),
    long("kernel-build", |_| crate::kernel_build::run()),
    long("networkd", |_| {
        in_containers(&[
            "networkd_container",
            "nm_container",
            "roles_container",
            "routed_container",
            "vlans_container",
        ])
    }),
    long("network-matrix", |_| in_containers(&["matrix_container"])),
    long("guard-matrix", |_| in_containers(&["guard_matrix_container"])),
    long("audit-rollback", |_| in_containers(&["audit_container"])),
    long("guest-create", |_| {
        tool(
            "cargo",
            &["test", "--package", "xenup", "--test", "guest_create", "--", "--ignored", "--test-threads=1"],
        )
    }),
    long("image", |_| crate::image::run()),
    long("medium", |_| crate::medium::run()),
    long("installer", |_| crate::installer::run()),
    long("rehearsal-uefi-dhcp", |_| rehearsal(&["--scenario", "conversion", "--uefi", "--dhcp"], &mut show)),
    long("rehearsal-e1000e", |_| rehearsal(&["--scenario", "conversion", "--nic", "e1000e"], &mut show)),
    long("rehearsal-later", |_| rehearsal(&["--scenario", "later", "--resume"], &mut show)),
    long("rehearsal-upgrade", |_| rehearsal(&["--scenario", "upgrade", "--resume"], &mut show)),
    long("rehearsal-by-apt", |_| rehearsal(&["--scenario", "upgrade-by-apt", "--resume"], &mut show)),
    long("rehearsal-cuts", |_| rehearsal(&["--scenario", "upgrade-cuts", "--resume"], &mut show)),
    long("rehearsal-guard-ifupdown", |_| guarded("ifupdown")),
    long("rehearsal-guard-dhcp", |_| guarded("dhcp")),
    long("rehearsal-guard-networkd", |_| guarded("networkd")),
    long("rehearsal-guard-netplan", |_| guarded("netplan")),
    long("rehearsal-guard-networkmanager", |_| guarded("networkmanager")),
    long("rehearsal-sabotage", |_| rehearsal(&["--scenario", "sabotage"], &mut show)),
    long("rehearsal-old-host", |_| rehearsal(&["--scenario", "old-host"], &mut show)),
    long("rehearsal-roles", |_| roles()),
    long("rehearsal-kernels", |_| own_kernel()),
    long("rehearsal-dom0", |_| own_dom0()),
];

/// Whether there is a check of this name.
pub fn exists(name: &str) -> bool {
    CHECKS.iter().any(|item| item.name == name)
}

/// Runs the checks, every one even after a failure, and prints the counts.
///
/// # Errors
/// None of its own: a check that cannot run has failed.
pub fn run(options: &Check) -> crate::Outcome {
    let (wanted, skipped) = chosen(options);
    let checks = judge_all(&wanted, options);
    let failed: Vec<&Verdict> = checks.iter().filter(|check| !check.passed).collect();
    // Once more at the end: what a check said in its turn may lie thousands of lines above, among those of another.
    for Verdict { name, why, .. } in &failed {
        println!("failed: {name}{}", why.as_deref().map(|why| format!(": {why}")).unwrap_or_default());
    }
    println!(
        "checks: {} passed, {} failed, {} skipped",
        checks.len() - failed.len(),
        failed.len(),
        skipped.len()
    );
    let good = failed.is_empty();
    if options.json {
        println!("{}", serde_json::to_string(&Told { checks, skipped })?);
    }
    Ok(good)
}

/// Returns the checks to run, and those that are not.
fn chosen(options: &Check) -> (Vec<&'static Item>, Vec<Skipped>) {
    let (mut wanted, mut skipped) = (Vec::new(), Vec::new());
    for item in CHECKS {
        if options.only.as_deref().is_some_and(|word| !item.name.contains(word)) {
            skipped.push(Skipped { name: item.name, why: "its name does not contain the word" });
        } else if item.long && !options.long {
            skipped.push(Skipped { name: item.name, why: "it takes long: --long runs it" });
        } else {
            wanted.push(item);
        }
    }
    (wanted, skipped)
}

/// Makes each check, and waits for those that run beside; the long ones have the machine to themselves.
fn judge_all(wanted: &[&'static Item], options: &Check) -> Vec<Verdict> {
    let (usual, long): (Vec<&Item>, Vec<&Item>) = wanted.iter().copied().partition(|item| !item.long);
    let mut verdicts = judge_beside(&usual, options);
    verdicts.extend(judge_beside(&long, options));
    verdicts
}

fn judge_beside(wanted: &[&'static Item], options: &Check) -> Vec<Verdict> {
    std::thread::scope(|scope| {
        let (mut verdicts, mut running) = (Vec::new(), Vec::new());
        for item in wanted {
            match &item.body {
                Body::InTurn(body) => verdicts.push(judge(item.name, || body(options))),
                Body::Beside(body) => {
                    let mut say = |line: &str| println!("{} | {line}", item.name);
                    let check = scope.spawn(move || judge(item.name, || body(&mut say)));
                    running.push((item.name, check));
                }
            }
        }
        // A check whose thread panicked has said why, and has not passed.
        let ended = |(name, check): (_, std::thread::ScopedJoinHandle<'_, Verdict>)| {
            check.join().unwrap_or(Verdict { name, passed: false, seconds: 0.0, why: None })
        };
        verdicts.extend(running.into_iter().map(ended));
        verdicts
    })
}

fn judge(name: &'static str, body: impl FnOnce() -> crate::Outcome) -> Verdict {
    let watch = Stopwatch::start();
    println!("== {name}");
    let (passed, why) = match body() {
        Ok(passed) => (passed, None),
        Err(error) => (false, Some(error.to_string())),
    };
    if let Some(why) = &why {
        println!("{why}");
    }
    let seconds = watch.elapsed().as_secs_f64();
    println!("== {name}: {} in {seconds:.1} s", if passed { "passed" } else { "FAILED" });
    Verdict { name, passed, seconds, why }
}

/// Runs a program in the project's folder with its output shown as it comes.
fn tool(program: &str, args: &[&str]) -> crate::Outcome {
    shown(&Tool::new(program).args(args).current_dir(crate::project()).timeout(Duration::from_secs(3600)))
}

fn shown(tool: &Tool) -> crate::Outcome {
    tool.run_lines(&mut show)?;
    Ok(true)
}

/// Runs every test; ifupdown's own reader is fetched first, as the oracle of ours, and busybox as a second shell,
/// without being installed.
fn tests() -> crate::Outcome {
    let mut cargo = cargo_test(&["--workspace", "--quiet", "--no-fail-fast"]);
    match unpacked("ifupdown", "sbin/ifquery") {
        Ok(program) => cargo = cargo.env("XENUP_IFQUERY", program),
        Err(error) => println!("without ifquery as the oracle: {error}"),
    }
    match unpacked("busybox", "bin/busybox") {
        Ok(program) => cargo = cargo.env("XENUP_BUSYBOX", program),
        Err(error) => println!("without busybox as a second shell: {error}"),
    }
    shown(&cargo)
}

/// Fetches a package and unpacks it below target; returns where a program of it is.
///
/// # Errors
/// apt has no such package, or the package no such program.
pub fn unpacked(package: &str, program: &str) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let folder = crate::project().join("target").join(package);
    let path = folder.join(program);
    if files::exists(&path) {
        return Ok(path);
    }
    files::create_dir_all(&folder)?;
    Tool::new("apt-get").args(["-qq", "download", package]).current_dir(&folder).run()?;
    for deb in files::list(&folder)?.iter().filter(|path| path.extension().is_some_and(|end| end == "deb")) {
        Tool::new("dpkg-deb").arg("-x").arg(deb).arg(&folder).run()?;
    }
    if files::exists(&path) { Ok(path) } else { Err(format!("{package} has no {program}").into()) }
}

/// Runs tests each of which boots Debian with systemd in a container, one after another.
fn in_containers(tests: &[&str]) -> crate::Outcome {
    let tests = tests.iter().flat_map(|test| ["--test", test]);
    let args: Vec<&str> = ["--package", "xenup"].into_iter().chain(tests).collect();
    let cargo = cargo_test(&[&args[..], &["--", "--test-threads=1"]].concat());
    shown(&cargo.env("XENUP_CONTAINERS", "1"))
}

/// An upgrade of Debian and its disturbances take two hours on a busy machine.
const REHEARSED: Duration = Duration::from_secs(21_600);

/// Plays a scenario on real Xen, with the package that was just built.
fn rehearsal(args: &[&str], say: Say<'_>) -> crate::Outcome {
    let package = crate::package::built()?;
    let report = crate::project().join("target/rehearsal");
    let program = crate::project().join("target/release/xenup");
    let tool = Tool::new(&program)
        .args(["rehearse", "--busy", "--package"])
        .arg(&package)
        .arg("--report")
        .arg(&report)
        .args(args);
    tool.timeout(REHEARSED).run_lines(say)?;
    Ok(true)
}

/// What nobody confirms is undone, whoever owns the network.
fn guarded(owner: &str) -> crate::Outcome {
    rehearsal(&["--scenario", "guard", "--owner", owner], &mut show)
}

fn show(line: &str) {
    println!("{line}");
}

/// Starts kernels of every kind on real Xen, each as what `kernel check` says that it can and cannot be.
fn roles() -> crate::Outcome {
    let kernels = crate::kernels::to_start()?;
    let named: Vec<String> = kernels.iter().map(|path| format!("--kernel={}", path.display())).collect();
    let named = named.iter().map(String::as_str);
    let words: Vec<&str> = ["--scenario", "roles", "--resume"].into_iter().chain(named).collect();
    rehearsal(&words, &mut show)
}

/// Boots a whole Debian guest with the kernel that the check kernel-build has built, in turns with Debian's.
fn own_kernel() -> crate::Outcome {
    let kernel = format!("--kernel={}", crate::kernel_build::built()?.display());
    rehearsal(&["--scenario", "kernels", "--resume", &kernel], &mut show)
}

/// Builds a kernel for the dom0 of the emulated machine from what that machine has, and boots Xen with it.
fn own_dom0() -> crate::Outcome {
    rehearsal(&["--scenario", "dom0", "--resume"], &mut show)?;
    let report = files::read_text(&crate::project().join("target/rehearsal/report.json"))?;
    let report: xenup_rehearse::report::Report = serde_json::from_str(&report)?;
    let machine = report.facts.iter().find(|(name, _)| name == xenup_rehearse::scenario::dom0::MACHINE);
    let (_, machine) = machine.ok_or("the report does not say what the machine has")?;
    let kernel = format!("--kernel={}", crate::kernel_build::of_dom0(machine.as_bytes())?.display());
    rehearsal(&["--scenario", "dom0", "--resume", &kernel], &mut show)
}

fn cargo_test(args: &[&str]) -> Tool {
    Tool::new("cargo").arg("test").args(args).current_dir(crate::project()).timeout(Duration::from_secs(3600))
}

fn words() -> crate::Outcome {
    let found = crate::words::forbidden(&crate::project())?;
    for line in &found {
        println!("{line}");
    }
    Ok(found.is_empty())
}

fn manual_pages() -> crate::Outcome {
    let pages = xenup_system::files::list(&crate::project().join("man"))?;
    let output = Tool::new("mandoc").args(["-Tlint", "-Wwarning"]).args(&pages).output()?;
    print!("{}", output.text());
    Ok(output.status.success() && !pages.is_empty())
}

fn spelling() -> crate::Outcome {
    tool(
        "codespell",
        &[
            "--skip",
            "./target,./vendor,./.git,./Cargo.lock,./tests/cases,./debian/copyright,./debian/po,./debian/xenup-udeb",
            "--ignore-words",
            ".ci/words",
            ".",
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::{CHECKS, Check, chosen};

    #[test]
    fn what_is_not_run_is_named_with_its_reason() {
        let options = |long, only: Option<&str>| Check { long, json: false, only: only.map(str::to_owned) };
        let (wanted, skipped) = chosen(&options(false, None));
        assert_eq!(wanted.len() + skipped.len(), CHECKS.len());
        assert!(skipped.iter().all(|skipped| skipped.why.contains("--long")));
        assert!(chosen(&options(true, None)).1.is_empty());
        let (wanted, skipped) = chosen(&options(true, Some("faults")));
        assert_eq!(wanted.len(), 2);
        assert!(skipped.iter().all(|skipped| skipped.why.contains("word")));
    }
}
