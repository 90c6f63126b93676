//! Work cut loose from its session, where no service manager is asked: this test program starts itself as the work.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the test stands outside the edge and looks at it"
)]

use std::io::Write as _;
use std::path::Path;

use xenup_system::service::{Ended, Task, UnitKind, attach, enter, leave, start_detached};

/// Not a test of its own: what the others start. Without a starter it does nothing.
#[test]
fn the_work() {
    let Some(kind) = std::env::args().find_map(|arg| arg.strip_prefix("work=").map(str::to_owned)) else {
        return;
    };
    enter().unwrap();
    // The looker holds the other end of this pipe: the work goes on when it says so, not when a clock does.
    let fifo = std::env::args().find_map(|arg| arg.strip_prefix("gate=").map(str::to_owned)).unwrap();
    println!("before the gate");
    std::io::stdout().flush().unwrap();
    std::fs::read(fifo).unwrap();
    println!("behind the gate");
    std::io::stdout().flush().unwrap();
    match kind.as_str() {
        "done" => leave(6).unwrap(),
        _ => std::process::abort(),
    }
    std::process::exit(6);
}

fn task(dir: &Path, work: &str) -> Task {
    let gate = dir.join("gate");
    let made = std::process::Command::new("mkfifo").arg(&gate).status().unwrap();
    assert!(made.success());
    Task {
        unit: "xenup-test-work".into(),
        description: "a test".into(),
        kind: UnitKind::Work,
        program: std::env::current_exe().unwrap(),
        // libtest takes what follows `--` as filters: the real one matches, the others are for the work to read.
        args: [
            "--exact",
            "--nocapture",
            "the_work",
            &format!("work={work}"),
            &format!("gate={}", gate.display()),
        ]
        .map(String::from)
        .to_vec(),
        log: dir.join("log"),
        state_dir: dir.join("state"),
    }
}

#[test]
fn the_looker_sees_every_line_and_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let task = task(dir.path(), "done");
    std::fs::write(&task.log, "an earlier run\n").unwrap();
    let mut looker = start_detached(&task).unwrap();
    let mut lines = Vec::new();
    let gate = dir.path().join("gate");
    let ended = looker.follow(&mut |line| {
        lines.push(line.to_owned());
        if line == "before the gate" {
            std::fs::write(&gate, "go").unwrap();
        }
    });
    assert_eq!(ended.unwrap(), Ended::With(6));
    assert!(lines.iter().any(|line| line == "behind the gate"), "{lines:?}");
    assert!(!lines.iter().any(|line| line == "an earlier run"), "{lines:?}");
}

#[test]
fn losing_the_looker_does_not_reach_the_work_and_a_second_one_sees_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let task = task(dir.path(), "done");
    let looker = start_detached(&task).unwrap();
    let pid = looker.pid();
    drop(looker);
    let stat = |process: &str| std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields = |stat: &str| -> Vec<String> {
        stat.rsplit(')').next().unwrap().split_whitespace().map(str::to_owned).collect()
    };
    // Read from /proc: getsid answers 0 where the session's leader lives outside this PID namespace.
    let (fields, ours) = (fields(&stat(&pid.to_string())), fields(&stat("self")));
    assert_ne!(fields[3], ours[3], "own session");
    assert_eq!(fields[4], "0", "no terminal");
    std::fs::write(dir.path().join("gate"), "go").unwrap();
    let mut lines = Vec::new();
    let mut again = attach(&task.state_dir, &task.unit, &task.log, 0).unwrap();
    assert_eq!(again.follow(&mut |line| lines.push(line.to_owned())).unwrap(), Ended::With(6));
    assert!(lines.iter().any(|line| line == "before the gate"), "{lines:?}");
    // After the end the answer stays the same.
    let mut late = attach(&task.state_dir, &task.unit, &task.log, 0).unwrap();
    assert_eq!(late.follow(&mut |_| {}).unwrap(), Ended::With(6));
}

#[test]
fn work_that_was_killed_is_never_taken_for_done() {
    let dir = tempfile::tempdir().unwrap();
    let mut looker = start_detached(&task(dir.path(), "abort")).unwrap();
    std::fs::write(dir.path().join("gate"), "go").unwrap();
    assert_eq!(looker.follow(&mut |_| {}).unwrap(), Ended::Killed);
}

#[test]
fn a_program_that_is_not_there_is_an_error_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut task = task(dir.path(), "done");
    task.program = dir.path().join("absent");
    let error = start_detached(&task).unwrap_err().to_string();
    assert!(error.starts_with("xenup-test-work ended before it was ready; its log is "), "{error}");
    let log = std::fs::read_to_string(&task.log).unwrap();
    assert!(log.contains("failed to execute"), "{log}");
    assert!(attach(&task.state_dir, "xenup-other", &task.log, 0).is_err());
}
