//! tests/cases/tls: a system described in `system`, and what is decided in `expected.txt`, by the init script
//! (debian/xenup-tls.init, in every shell that is here) and by this crate alike.
//!
//! A line of `system` is one of: `machine M` (what `uname -m` says); `kernel pv|pv-sysfs|pv-4.13|hvm|hvm-4.13` (nothing
//! for a kernel without Xen); `loader [nohwcap]`; `libc PATH linuxthreads|floating|nptl VERSION`; `cache FOLDER...`;
//! `file PATH [TEXT]`; `dir PATH`; `link PATH TARGET`. `XENUP_BUSYBOX` names a busybox that is not in PATH.
#![allow(clippy::disallowed_methods, reason = "tests read their own case folders, and run the script")]
#![allow(clippy::unwrap_used, reason = "a case that cannot be read is a broken test")]

mod cases_of;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use xenup_core::tls::{Decision, Facts, Kernel, Means, Report, Step, decide};
use xenup_machine::fake::FakeMachine;
use xenup_machine::file::Attributes;

enum Thing {
    File(Vec<u8>),
    Dir,
    Link(String),
}

#[derive(Default)]
struct Described {
    machine: String,
    tree: BTreeMap<String, Thing>,
}

impl Described {
    fn read(text: &str) -> Self {
        let mut described = Self { machine: "i686".to_owned(), tree: BTreeMap::new() };
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
            described.add(what, rest);
        }
        described
    }

    fn file(&mut self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.tree.insert(path.to_owned(), Thing::File(bytes.into()));
    }

    fn add(&mut self, what: &str, rest: &str) {
        let (path, more) = rest.split_once(' ').unwrap_or((rest, ""));
        match what {
            "machine" => self.machine = rest.to_owned(),
            "kernel" => self.kernel(rest),
            "loader" => {
                let known = if rest == "nohwcap" { "\0/etc/ld.so.nohwcap\0" } else { "\0/etc/ld.so.cache\0" };
                self.file("/lib/ld-linux.so.2", format!("\x7fELF\x01{known}\0tls\0"));
            }
            "libc" => self.file(path, libc(more)),
            "cache" => {
                let names = rest.split(' ').map(|folder| format!("libc.so.6\0{folder}/libc.so.6\0"));
                self.file("/etc/ld.so.cache", format!("ld.so-1.7.0\0\0\x02\0{}", names.collect::<String>()));
            }
            "file" => self.file(path, if more.is_empty() { String::new() } else { format!("{more}\n") }),
            "dir" => drop(self.tree.insert(path.to_owned(), Thing::Dir)),
            "link" => drop(self.tree.insert(path.to_owned(), Thing::Link(more.to_owned()))),
            _ => panic!("{what}: not a word of a described system"),
        }
    }

    fn kernel(&mut self, kind: &str) {
        let mut files: Vec<(&str, &str)> = Vec::new();
        match kind {
            // XenLinux has no /sys/hypervisor before 2.6.18, Linux of its own no /proc/xen unless it is mounted.
            "pv" => files.push(("/proc/xen/capabilities", "")),
            "pv-sysfs" => files.push(("/sys/hypervisor/type", "xen\n")),
            "hvm" => files.extend([
                ("/sys/hypervisor/type", "xen\n"),
                ("/sys/class/dmi/id/product_name", "HVM domU\n"),
            ]),
            "pv-4.13" => {
                files.extend([("/sys/hypervisor/type", "xen\n"), ("/sys/hypervisor/guest_type", "PV\n")])
            }
            "hvm-4.13" => {
                files.extend([("/sys/hypervisor/type", "xen\n"), ("/sys/hypervisor/guest_type", "HVM\n")])
            }
            _ => panic!("{kind}: not a kernel"),
        }
        for (path, text) in files {
            self.file(path, text);
        }
    }

    fn machine(&self) -> FakeMachine {
        let mut machine = FakeMachine::new();
        for (path, thing) in &self.tree {
            match thing {
                Thing::File(bytes) => machine.put(path, bytes, &Attributes::root(0o644)),
                Thing::Dir => machine.put_dir(path, &Attributes::root(0o755)),
                Thing::Link(target) => machine.put_link(path, target),
            }
        }
        machine
    }

    fn write(&self, root: &Path) {
        for (path, thing) in &self.tree {
            let path = root.join(path.strip_prefix('/').unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match thing {
                Thing::File(bytes) => fs::write(path, bytes).unwrap(),
                Thing::Dir => fs::create_dir_all(path).unwrap(),
                Thing::Link(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            }
        }
    }

    fn decision(&self) -> Decision {
        let machine = self.machine();
        decide(&Facts::gather(&machine), &Kernel::gather(&machine, &self.machine))
    }
}

/// As much of a libc as tells one from another. `floating` is LinuxThreads with thread-local storage.
fn libc(kind: &str) -> String {
    let (threads, version) = kind.split_once(' ').unwrap();
    let extensions = match threads {
        "linuxthreads" => "\tlinuxthreads-0.10 by Xavier Leroy\n",
        "floating" => "\tlinuxthreads-0.10 by Xavier Leroy\nThread-local storage support included.\n",
        "nptl" => "\tNative POSIX Threads Library by Ulrich Drepper et al\n",
        _ => panic!("{threads}: not a kind of libc"),
    };
    format!(
        "\x7fELF\x01\0\0GNU C Library stable release version {version}, by Roland McGrath et al.\n\
         Available extensions:\n{extensions}\0"
    )
}

fn shown(decision: &Decision) -> String {
    let steps: String = decision.steps.iter().map(|step| format!("step: {step}\n")).collect();
    format!("means: {}\nwhy: {}\n{steps}", decision.means.word(), decision.why)
}

/// The shells that are here; the tools are the machine's own.
fn shells() -> Vec<Vec<String>> {
    let busybox = std::env::var("XENUP_BUSYBOX").unwrap_or_else(|_| "busybox".to_owned());
    let shells = [vec!["dash".to_owned()], vec![busybox, "sh".to_owned()]];
    let runs = |shell: &Vec<String>| {
        Command::new(&shell[0])
            .args(&shell[1..])
            .args(["-c", ":"])
            .status()
            .is_ok_and(|status| status.success())
    };
    shells.into_iter().filter(runs).collect()
}

fn by_script(shell: &[String], root: &Path, machine: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../debian/xenup-tls.init");
    let mut command = Command::new(&shell[0]);
    command.args(&shell[1..]).arg(script).arg("status").arg(root).arg(machine);
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", root.display());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn script_and_crate_decide_alike_and_as_written() {
    let shells = shells();
    assert!(!shells.is_empty(), "no shell is here");
    let cases = cases_of::folders("tls");
    assert!(cases.len() > 30, "cases are missing");
    for case in cases {
        let described = Described::read(&cases_of::text(&case, "system"));
        cases_of::expect(&case, "expected.txt", &shown(&described.decision()));
        let root = tempfile::tempdir().unwrap();
        described.write(root.path());
        for shell in &shells {
            let said = by_script(shell, root.path(), &described.machine);
            assert_eq!(said, cases_of::text(&case, "expected.txt"), "{} in {shell:?}", case.display());
        }
    }
}

#[test]
fn a_tree_is_judged_under_both_kinds_of_kernel() {
    let described = Described::read(
        "loader\nlibc /lib/libc.so.6 linuxthreads 2.3.6\nlibc /lib/tls/libc.so.6 nptl 2.3.6\n",
    );
    let report = Report::of_tree(&described.machine());
    let means: Vec<Means> = report.judged.iter().map(|judged| judged.decision.means).collect();
    assert_eq!(means, [Means::Move, Means::None]);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["judged"][0]["under"], "pv32");
    assert_eq!(json["judged"][0]["steps"][0], serde_json::json!({"do": "aside", "path": "/lib/tls"}));
    assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
}

#[test]
fn a_tree_with_64_bit_programs_is_judged_under_64_bit_kernels() {
    let described = Described::read(
        "loader\nlibc /lib/i386-linux-gnu/libc.so.6 nptl 2.36\nfile /lib64/ld-linux-x86-64.so.2 x\n",
    );
    let report = Report::of_tree(&described.machine());
    assert!(report.judged.iter().all(|judged| judged.decision.why.starts_with("a 64-bit kernel")));
}

/// Does to a described system what a step does to a real one, and ldconfig as ldconfig did then.
fn carry_out(described: &mut Described, step: &Step) {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let below = |path: &str, dir: &str| path == dir || path.starts_with(&format!("{dir}/"));
    let rename = |described: &mut Described, from: String, to: String| {
        described.tree.retain(|path, _| !below(path, &to));
        let tree = std::mem::take(&mut described.tree);
        let renamed = |path: String| match below(&path, &from) {
            true => format!("{to}{}", &path[from.len()..]),
            false => path,
        };
        described.tree = tree.into_iter().map(|(path, thing)| (renamed(path), thing)).collect();
    };
    match step {
        Step::Sweep(path) | Step::Remove(path) => drop(described.tree.remove(&text(path))),
        Step::Empty(path) => described.tree.retain(|at, _| !below(at, &text(path))),
        Step::Set(path) => described.file(&text(path), "xenup-tls: a flag\n"),
        Step::Write(path) => described.file(&text(path), "hwcap 1 nosegneg\n"),
        Step::Supersede(path) => rename(described, text(path), text(path) + "-old"),
        Step::Aside(path) => rename(described, text(path), text(path) + ".xenup"),
        Step::Back(path) => rename(described, text(path) + ".xenup", text(path)),
        Step::Cache => {
            let libcs = described.tree.keys().filter_map(|path| path.strip_suffix("/libc.so.6"));
            let folders: Vec<String> =
                libcs.filter(|dir| !dir.contains(".xenup")).map(str::to_owned).collect();
            described.add("cache", &folders.join(" "));
        }
    }
}

/// After the steps nothing is left to do; after some of them the rest leads to the same.
#[test]
fn cut_off_after_any_step_the_next_start_ends_where_the_first_would_have() {
    for case in cases_of::folders("tls") {
        let system = cases_of::text(&case, "system");
        let steps = Described::read(&system).decision().steps;
        let ended = |cut: usize| {
            let mut described = Described::read(&system);
            for step in steps.iter().take(cut) {
                carry_out(&mut described, step);
            }
            let rest = described.decision();
            for step in &rest.steps {
                carry_out(&mut described, step);
            }
            let last = described.decision();
            assert_eq!(last.steps, [], "{}, cut off after {cut}", case.display());
            let root = tempfile::tempdir().unwrap();
            described.write(root.path());
            (last, described.tree.into_keys().collect::<Vec<_>>())
        };
        for cut in 0..steps.len() {
            assert_eq!(ended(cut), ended(steps.len()), "{}, cut off after {cut}", case.display());
        }
    }
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(loader: Vec<u8>, libc: Vec<u8>, conf: Vec<u8>, cache: Vec<u8>, name in "lib[a-z.0-9-]{0,12}") {
        let mut described = Described::read("kernel pv\n");
        described.file("/lib/ld-linux.so.2", loader);
        described.file("/lib/libc.so.6", libc.clone());
        described.file("/lib/tls/libc.so.6", libc);
        described.file(&format!("/lib/tls/{name}"), "x");
        described.file("/etc/ld.so.conf", conf);
        described.file("/etc/ld.so.cache", cache);
        let _ = described.decision();
    }
}
