//! The harness proved on a real machine: boots a base image, drives it, watches it, and cuts its power.
//!
//! `cargo run -p xenup-rehearse --example boot -- BASE.qcow2 PASSWORD [bios|uefi]`
//! The image must have the network of `xenup_rehearse::network::INTERFACES`, or it is given it over the console.
#![allow(clippy::disallowed_methods, reason = "an example reads its own arguments and writes its own report")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_rehearse::LabError;
use xenup_rehearse::accelerator::Accelerator;
use xenup_rehearse::event::{Event, Recorder};
use xenup_rehearse::lab::Lab;
use xenup_rehearse::network::{self, Lan};
use xenup_rehearse::probe::{Comparison, Probing};
use xenup_rehearse::qemu::{self, FileOnDisk, Firmware, Source, Vm, VmSpec};
use xenup_rehearse::report::Report;
use xenup_rehearse::ssh::Ssh;
use xenup_rehearse::stage::{Depth, StageKey, Stages};
use xenup_system::files;

const MINUTE: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, password, rest @ ..] = arguments.as_slice() else {
        return Err("usage: boot BASE.qcow2 PASSWORD [bios|uefi]".into());
    };
    let firmware =
        if rest.first().is_some_and(|word| word == "uefi") { Firmware::Uefi } else { Firmware::Bios };
    let mut tell = |event: &Event| eprintln!("{event}");
    let mut recorder = Recorder::new("A machine is booted, driven, watched and cut off", &mut tell);
    let outcome = run(&mut recorder, Path::new(base), password, firmware);
    if let Err(error) = &outcome {
        recorder.fail(error);
    }
    let report = recorder.finish();
    files::write(&PathBuf::from("boot-report.html"), report.html().as_bytes())?;
    files::write(&PathBuf::from("boot-report.json"), report.json().as_bytes())?;
    print!("{}", report.text());
    Ok(outcome?)
}

fn run(recorder: &mut Recorder<'_>, base: &Path, password: &str, firmware: Firmware) -> Result<(), LabError> {
    recorder.step("the programs are there", |step| {
        xenup_rehearse::tools::ensure_tools(&mut |line| step.note(line))
    })?;
    let cache = files::cache_dir().join("rehearse");
    let lab = Lab::open(&cache)?;
    let (accelerator, why) = Accelerator::probe(&lab);
    recorder.fact("processor", &why);
    recorder.fact("QEMU", &qemu::version().unwrap_or_default());
    let lan = Lan::create(&lab)?;
    let ssh = Ssh::create(&lab, &lan)?;
    let hello =
        FileOnDisk { name: "hello".into(), from: Source::Bytes(b"from outside\n".to_vec()), mode: 0o644 };
    let spec = VmSpec { files: vec![hello], ..VmSpec::over(base, firmware, accelerator) };
    let stages = Stages::at(&cache.join("stages"))?;
    let key = StageKey::new("logged-in").with("base", &base.to_string_lossy()).with("key", ssh.public_key());

    let mut vm = recorder.step("boot to the login prompt and log in", |_| {
        let mut vm = Vm::start(&lab, &lan, &spec)?;
        vm.console().login("root", password)?;
        Ok::<_, LabError>(vm)
    })?;
    recorder.step("commands on the console", |step| commands(&mut vm, step))?;
    recorder.step("network as the rehearsal has it", |_| configure(&mut vm))?;
    recorder.step("ssh from outside", |step| {
        ssh.authorize(vm.console())?;
        let result = ssh.run(network::VM, "uname -r; exit 7", 2 * MINUTE)?;
        step.detail(format!("status {}, {}", result.status, result.output.trim()));
        assert_eq!(result.status, 7);
        Ok::<_, LabError>(())
    })?;
    recorder.step("watch it from outside", |step| {
        let mut probing = Probing::start(&lan, network::VM, 200)?;
        probing.wait(WINDOW)?;
        let middle = probing.elapsed();
        vm.console().check(
            "ip link set enp0s2 down; ip link set enp0s2 up; ip route replace default via 10.99.0.2",
            MINUTE,
        )?;
        probing.wait(WINDOW)?;
        let end = probing.elapsed();
        let trace = probing.stop()?;
        let control = trace.loss(middle.saturating_sub(end - middle)..middle);
        let comparison = Comparison { during: trace.loss(middle..end), control };
        step.detail(format!("{comparison:?}, {} ticks skipped", trace.skipped()));
        step.measure("lost of a quiet stretch", comparison.control.lost as f64, "packets");
        step.measure("lost while the link went down and up", comparison.during.lost as f64, "packets");
        Ok::<_, LabError>(())
    })?;
    recorder.step("snapshot, a change, back", |step| {
        vm.snapshot("before")?;
        vm.console().check("echo gone >/root/changed", MINUTE)?;
        vm.restore("before")?;
        let status = vm.console().run("test -e /root/changed", MINUTE)?.status;
        vm.console().set_clock()?;
        step.detail(format!("the changed file is there: {}", status == 0));
        assert_eq!(status, 1);
        Ok::<_, LabError>(())
    })?;
    recorder.step("keep the running machine as a stage", |_| {
        stages.keep(&key, &mut vm, Depth::Running, Report::empty("boot")).map(|_| ())
    })?;
    recorder.step("power cut after one flushed and one unflushed file", |_| {
        vm.console().check("echo safe >/root/safe; sync; echo lost >/root/unsynced", MINUTE)?;
        vm.power_cut()
    })?;
    recorder.step("boot again", |step| {
        vm.power_on()?;
        vm.console().login("root", password)?;
        step.detail(vm.console().check("cat /root/safe; ls /root", MINUTE)?);
        let result = ssh.run(network::VM, "cat /root/safe", 2 * MINUTE)?;
        assert_eq!(result.output, "safe\n");
        step.excerpt("the last lines", &vm.console().tail(10));
        Ok::<_, LabError>(())
    })?;
    recorder.step("switch off", |_| {
        vm.console().send("systemctl poweroff\n")?;
        vm.wait_off(2 * MINUTE)
    })?;
    drop(vm);
    recorder.step("go on from the kept stage", |step| {
        let stage = stages.find(&key, &spec)?.ok_or(LabError::Power { off: true })?;
        let mut vm = Vm::start(&lab, &lan, &VmSpec { disk: stage.disk(), ..spec.clone() })?;
        vm.console().set_clock()?;
        let result = ssh.run(network::VM, "test -e /root/safe; echo $?", MINUTE)?;
        step.detail(format!("the file of after the stage: {}", result.output.trim()));
        Ok::<_, LabError>(())
    })
}

fn commands(vm: &mut Vm, step: &mut xenup_rehearse::event::StepScope<'_, '_>) -> Result<(), LabError> {
    let console = vm.console();
    let result = console.run("echo one; echo 'it''s two' >&2; (exit 3)", MINUTE)?;
    assert_eq!((result.status, result.output.as_str()), (3, "one\nits two\n"));
    let result = console.run("seq 1 2000", MINUTE)?;
    assert_eq!(result.output.lines().count(), 2000);
    step.measure("2000 lines over the console", result.seconds, "s");
    let result = console.run("echo \"unbalanced", MINUTE)?;
    assert_ne!(result.status, 0);
    let long = format!("for word in {}; do echo $word; done | wc -l", "word ".repeat(1000));
    assert_eq!(console.check(&long, MINUTE)?.trim(), "1000");
    assert_eq!(console.capture("printf '\\377no newline'", MINUTE)?.output, "\u{fffd}no newline");
    let mounted = console.check("mount -r LABEL=XENUPFILES /mnt && cat /mnt/hello; umount /mnt", MINUTE)?;
    assert_eq!(mounted, "from outside\n");
    step.detail(console.check("uname -a; lsblk -o NAME,SIZE,LABEL; ip -br link", MINUTE)?);
    Ok(())
}

fn configure(vm: &mut Vm) -> Result<(), LabError> {
    let console = vm.console();
    if console.run("ip -br addr show enp0s2 | grep -q 10.99.0.10/24", MINUTE)?.status == 0 {
        return Ok(());
    }
    console.put_file("/etc/network/interfaces", network::INTERFACES.as_bytes())?;
    console.put_file("/etc/resolv.conf", format!("nameserver {}\n", network::DNS).as_bytes())?;
    console.check("ifdown --force -a 2>/dev/null; ip addr flush dev enp0s2; ip addr flush dev enp0s3; ifup -a; ip -br addr; sync", 3 * MINUTE)?;
    Ok(())
}
