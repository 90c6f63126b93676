//! A machine with an empty disk on a real LAN: wiring, snapshots, power, probes, and what is left behind.
//!
//! These need root, QEMU and a kernel with namespaces and taps; elsewhere they say so and pass.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may stop and speak"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use xenup_rehearse::LabError;
use xenup_rehearse::console::Pattern;
use xenup_rehearse::lab::Lab;
use xenup_rehearse::network::{self, Lan};
use xenup_rehearse::probe::Probing;
use xenup_rehearse::qemu::{Accelerator, FileOnDisk, Firmware, Source, Vm, VmSpec};
use xenup_rehearse::report::Report;
use xenup_rehearse::stage::{Depth, StageKey, Stages};
use xenup_system::files;
use xenup_system::process::Tool;

const LONG: Duration = Duration::from_secs(60);

/// A cache of its own with an empty base image; `None` where this machine cannot run the tests.
fn cache() -> Option<(tempfile::TempDir, PathBuf)> {
    let able = files::is_root()
        && files::exists(Path::new("/dev/net/tun"))
        && ["qemu-system-x86_64", "qemu-img", "ip", "mke2fs"]
            .iter()
            .all(|p| xenup_system::process::find_program(p).is_some());
    if !able {
        eprintln!("not run: needs root, /dev/net/tun, QEMU and iproute2");
        return None;
    }
    let cache = tempfile::tempdir().unwrap();
    let base = cache.path().join("base.qcow2");
    Tool::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&base).arg("64M").run().unwrap();
    Some((cache, base))
}

fn small(base: &Path, firmware: Firmware) -> VmSpec {
    let file = FileOnDisk { name: "file".into(), from: Source::Bytes(vec![1; 5000]), mode: 0o644 };
    VmSpec {
        memory_mib: 128,
        cpus: 1,
        files: vec![file],
        ..VmSpec::over(base, firmware, Accelerator::Emulate)
    }
}

fn namespaces() -> String {
    Tool::new("ip").args(["netns", "list"]).run().unwrap().text()
}

#[test]
fn a_machine_is_wired_kept_cut_off_and_leaves_nothing() {
    let Some((cache, base)) = cache() else { return };
    let lab = Lab::open(cache.path()).unwrap();
    let lan = Lan::create(&lab).unwrap();
    let spec = small(&base, Firmware::Bios);
    let mut vm = Vm::start(&lab, &lan, &spec).unwrap();
    assert!(vm.is_running());
    let links = lan.exec("bridge", &["link"]).run().unwrap().text();
    assert!(lan.taps().iter().all(|tap| links.contains(tap.as_str())), "{links}");

    vm.snapshot("one").unwrap();
    vm.snapshot("one").unwrap();
    vm.restore("one").unwrap();
    assert!(matches!(vm.restore("two"), Err(LabError::Qmp(_))));
    vm.resume().unwrap();
    assert!(matches!(vm.power_on(), Err(LabError::Power { off: false })));
    vm.reset().unwrap();

    vm.power_cut().unwrap();
    assert!(!vm.is_running());
    assert!(matches!(vm.pause(), Err(LabError::Power { off: true })));
    assert!(vm.console().expect(&Pattern::text("x"), LONG).is_err());
    vm.power_on().unwrap();
    vm.qmp().unwrap().execute("quit", Value::Null).unwrap();
    vm.wait_off(LONG).unwrap();

    let (name, directory) = (lan.namespace().to_owned(), lab.path().to_owned());
    assert!(namespaces().contains(&name));
    drop((vm, lan, lab));
    assert!(!namespaces().contains(&name));
    assert!(!files::exists(&directory));
}

#[test]
fn a_stage_goes_on_where_it_was_kept() {
    let Some((cache, base)) = cache() else { return };
    let lab = Lab::open(cache.path()).unwrap();
    let lan = Lan::create(&lab).unwrap();
    let stages = Stages::at(&cache.path().join("stages")).unwrap();
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        let spec = small(&base, firmware);
        let key = StageKey::new("begun").with_file("base", &base).unwrap();
        assert!(stages.find(&key, &spec).unwrap().is_none());
        let mut vm = Vm::start(&lab, &lan, &spec).unwrap();
        assert!(matches!(
            stages.keep(&key, &mut vm, Depth::Disk, Report::empty("a run")),
            Err(LabError::Power { off: false })
        ));
        stages.keep(&key, &mut vm, Depth::Running, Report::empty("a run")).unwrap();
        assert!(vm.is_running());
        drop(vm);
        let stage = stages.find(&key, &spec).unwrap().unwrap();
        assert!(stage.is_running());
        let mut vm = Vm::start(&lab, &lan, &VmSpec { disk: stage.disk(), ..spec.clone() }).unwrap();
        let state = vm.qmp().unwrap().execute("query-status", Value::Null).unwrap();
        assert_eq!(state["running"], Value::Bool(true));
        vm.power_cut().unwrap();
        let stage =
            stages.keep(&StageKey::new("later"), &mut vm, Depth::Disk, Report::empty("a run")).unwrap();
        assert!(!stage.is_running());
        drop(Vm::start(&lab, &lan, &VmSpec { disk: stage.disk(), ..spec }).unwrap());
    }
}

#[test]
fn a_machine_that_is_left_running_outlives_its_run_and_is_swept_after_its_end() {
    let Some((cache, base)) = cache() else { return };
    let lab = Lab::open(cache.path()).unwrap();
    let lan = Lan::create(&lab).unwrap();
    let name = lan.namespace().to_owned();
    let vm = Vm::start(&lab, &lan, &VmSpec { may_outlive: true, ..small(&base, Firmware::Bios) }).unwrap();
    let (pid, directory) = vm.leave().unwrap();
    drop((lan, lab));
    // Another run comes and goes while the machine lives.
    drop(Lab::open(cache.path()).unwrap());
    assert!(files::exists(&directory) && namespaces().contains(&name));
    end(pid);
    drop(Lab::open(cache.path()).unwrap());
    assert!(!files::exists(&directory) && !namespaces().contains(&name));
}

/// Ends the process, which is this one's child, and waits for it.
fn end(pid: u32) {
    let line = format!("kill -9 {pid}; tail --pid={pid} -f /dev/null");
    Tool::new("timeout").args(["60", "sh", "-c", &line]).output().unwrap();
}

#[test]
fn a_qemu_that_cannot_start_says_why() {
    let Some((cache, base)) = cache() else { return };
    let lab = Lab::open(cache.path()).unwrap();
    let lan = Lan::create(&lab).unwrap();
    let error = Vm::start(&lab, &lan, &VmSpec { cpus: 0, ..small(&base, Firmware::Bios) }).unwrap_err();
    assert!(matches!(&error, LabError::Qemu { log, .. } if !log.is_empty()), "{error}");
}

#[test]
fn probes_are_answered_or_lost() {
    let Some((cache, _)) = cache() else { return };
    let lab = Lab::open(cache.path()).unwrap();
    let lan = Lan::create(&lab).unwrap();
    for (target, answered) in [(network::OBSERVER, true), (network::VM, false)] {
        let mut probing = Probing::start(&lan, target, 200).unwrap();
        probing.wait(Duration::from_millis(300)).unwrap();
        let loss = probing.stop().unwrap().whole();
        assert!(loss.sent > 0);
        assert_eq!(loss.lost, if answered { 0 } else { loss.sent }, "{target}: {loss:?}");
    }
    let elsewhere = Probing::start(&lan, "192.0.2.1".parse().unwrap(), 200);
    assert!(matches!(elsewhere, Err(LabError::Echo(_))), "{elsewhere:?}");
}
