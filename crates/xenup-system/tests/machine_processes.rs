//! Programs and locks of the real machine.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests start real processes")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use xenup_machine::process::{Command, Query};
use xenup_machine::{Lock, Machine, Probe, Reason};
use xenup_system::System;
use xenup_system::proc_stat::ProcStat;

fn shell(script: &str) -> Command {
    Command::new("sh", ["-c", script])
}

#[test]
fn a_query_has_fixed_surroundings() {
    let machine = System::running().unwrap();
    let said = machine.query(&Query::new("env", [""; 0])).unwrap();
    let mut lines: Vec<String> = said.text().lines().map(str::to_owned).collect();
    lines.sort();
    let expected = ["HOME=/root", "LC_ALL=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=dumb"];
    assert_eq!(lines, expected);
    let refused = machine.query(&Query::new("sh", ["-c", "cat; echo no >&2; exit 3"])).unwrap();
    assert_eq!(
        (refused.status, refused.stdout.as_slice(), refused.complaint().as_str()),
        (3, &b""[..], "no")
    );
    let missing = machine.query(&Query::new("no-such-program", [""; 0])).unwrap_err();
    assert!(missing.is_not_found(), "{missing}");
}

#[test]
fn a_query_ends_in_its_time_with_all_it_started() {
    let machine = System::running().unwrap();
    let slow =
        Query::new("sh", ["-c", "sleep 600 & sleep 600"]).within(std::time::Duration::from_millis(100));
    assert_eq!(machine.query(&slow).unwrap_err().reason, Reason::TimedOut);
}

#[test]
fn a_command_hands_on_each_line_and_tells_its_status() {
    let mut machine = System::running().unwrap();
    let mut lines = Vec::new();
    let command = Command { stdin: "from stdin\n".to_owned(), ..shell("cat; echo $EXTRA; exit 7") };
    let output =
        machine.run(&command.with_env("EXTRA", "more"), &mut |line| lines.push(line.to_owned())).unwrap();
    assert_eq!((output.status, lines), (7, vec!["from stdin".to_owned(), "more".to_owned()]));
    assert_eq!(output.complaint(), "from stdin\nmore");
    let killed = machine.run(&shell("kill -9 $$"), &mut |_| {}).unwrap();
    assert_eq!(killed.status, 137);
}

/// A process that holds a lock file by flock(1), as a stuck `apply` would.
fn holder(lock: &Path) -> Child {
    let mut child = std::process::Command::new("flock")
        .args(["--no-fork", &lock.display().to_string(), "sh", "-c", "echo held; exec sleep 600"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    child
}

fn start(pid: u32) -> u64 {
    ProcStat::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap()).unwrap().start_ticks
}

#[test]
fn a_lock_names_its_holder_and_ends_with_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let mut first = System::running().unwrap();
    let mut second = System::running().unwrap();
    assert_eq!(first.lock(&path, "apply").unwrap(), Lock::Taken);
    let pid = std::process::id();
    let text = format!("{pid} {} apply", start(pid));
    assert_eq!(second.lock(&path, "rollback").unwrap(), Lock::HeldBy(text.clone()));
    let own = second.seize_lock(&path, &text, "guard").unwrap_err();
    assert!(own.words.contains("names no other process"), "{own}");
    drop(first);
    assert_eq!(second.lock(&path, "rollback").unwrap(), Lock::Taken);
}

#[test]
fn a_lock_is_seized_from_the_process_it_names_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let mut machine = System::running().unwrap();
    let mut stuck = holder(&path);
    let pid = stuck.id();
    let stale = format!("{pid} {} apply", start(pid) + 1);
    let error = machine.seize_lock(&path, &stale, "guard").unwrap_err();
    assert!(stuck.try_wait().unwrap().is_none(), "another process by that number was killed");
    assert!(error.words.contains("holds it"), "{error}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&stuck), rustix::process::Signal::STOP)
        .unwrap();
    machine.seize_lock(&path, &format!("{pid} {} apply", start(pid)), "guard").unwrap();
    assert!(!stuck.wait().unwrap().success());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.ends_with(" guard\n"), "{text}");
    for nonsense in ["", "x", "1 2 init", "-5 3 x"] {
        assert!(machine.seize_lock(&path, nonsense, "guard").is_err(), "{nonsense}");
    }
}
