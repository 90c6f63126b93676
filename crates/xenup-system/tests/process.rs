//! The process runner against real programs of every Debian system (sh, cat, sleep).
#![allow(clippy::disallowed_methods, reason = "tests look at the machine directly")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags};
use xenup_system::files::WorkDir;
use xenup_system::process::{ProcessError, Status, Tool, find_program};

fn sh(script: &str) -> Tool {
    Tool::new("sh").arg("-c").arg(script)
}

#[test]
fn output_and_status_are_returned() {
    for (script, status, stdout, stderr) in [
        ("echo one; echo two >&2", Status::Code(0), "one\n", "two\n"),
        ("exit 7", Status::Code(7), "", ""),
        ("kill -9 $$", Status::Signal(9), "", ""),
        ("printf %s \"$LC_ALL\"", Status::Code(0), "C.UTF-8", ""),
    ] {
        let output = sh(script).output().unwrap();
        assert_eq!((output.status, output.text().as_str()), (status, stdout), "{script}");
        assert_eq!(output.stderr_text(), stderr, "{script}");
    }
}

#[test]
fn failure_carries_command_status_and_the_end_of_stderr() {
    let error = sh("head -c 5000 /dev/zero | tr '\\0' x >&2; echo last words >&2; exit 3").run().unwrap_err();
    let ProcessError::Failed { command, status, stderr } = &error else { panic!("{error}") };
    assert!(command.starts_with("sh -c '"), "{command}");
    assert_eq!(*status, Status::Code(3));
    assert!(stderr.ends_with("last words\n") && stderr.len() <= 2048, "{}", stderr.len());
}

#[test]
fn a_missing_program_is_a_start_error() {
    let error = Tool::new("no-such-program-here").run().unwrap_err();
    assert_eq!(error.to_string(), "cannot start `no-such-program-here`");
}

#[test]
fn large_input_and_output_pass_without_a_deadlock() {
    let bytes = vec![b'a'; 3 << 20];
    let output = Tool::new("cat").stdin(bytes.clone()).run().unwrap();
    assert_eq!(output.stdout, bytes);
}

#[test]
fn a_reader_that_stops_early_is_no_error() {
    let output = Tool::new("head").args(["-c", "3"]).stdin(vec![b'a'; 1 << 20]).run().unwrap();
    assert_eq!(output.text(), "aaa");
}

#[test]
fn more_output_than_the_limit_stops_the_program() {
    let error = Tool::new("yes").capture_limit(1 << 16).run().unwrap_err();
    assert!(matches!(error, ProcessError::TooMuchOutput { limit: 65536, .. }), "{error}");
}

#[test]
fn lines_of_both_streams_are_streamed() {
    let mut lines = Vec::new();
    sh("echo a; echo b >&2; printf '10%%\\r20%%\\rend'")
        .run_lines(&mut |line| lines.push(line.to_owned()))
        .unwrap();
    lines.sort();
    assert_eq!(lines, ["10%", "20%", "a", "b", "end"]);
}

#[test]
fn a_timeout_kills_the_whole_process_group() {
    let work = WorkDir::new_in(&std::env::temp_dir(), "xenup-test-").unwrap();
    let pid_file = work.join("pid");
    let error = sh("sleep 1000 & echo $! >\"$PID_FILE\"; echo waiting >&2; wait")
        .env("PID_FILE", &pid_file)
        .timeout(Duration::from_millis(500))
        .run()
        .unwrap_err();
    let ProcessError::Timeout { stderr, .. } = &error else { panic!("{error}") };
    assert_eq!(stderr, "waiting\n");
    let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    // The kill is asynchronous: wait for its end, and fail only where it does not come.
    if let Ok(pidfd) = rustix::process::pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()) {
        let minute = Timespec { tv_sec: 60, tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&minute)).unwrap();
        assert_eq!(ended, 1, "the grandchild lives on");
    }
}

#[test]
fn a_daemon_that_keeps_the_pipes_open_is_not_waited_for() {
    let output = sh("sleep 1000 & echo $!").timeout(Duration::from_secs(60)).run().unwrap();
    let pid = output.text().trim().to_owned();
    assert!(Path::new("/proc").join(&pid).exists());
    Tool::new("kill").args(["-9", &pid]).run().unwrap();
}

#[test]
fn a_spawned_program_is_killed_when_dropped() {
    let mut running = sh("sleep 1000").spawn(None).unwrap();
    let proc = Path::new("/proc").join(running.id().to_string());
    assert_eq!(running.wait(Duration::ZERO).unwrap(), None);
    assert!(proc.exists());
    drop(running);
    assert!(!proc.exists());
}

#[test]
fn a_spawned_program_logs_and_ends() {
    let work = WorkDir::new_in(&std::env::temp_dir(), "xenup-test-").unwrap();
    let log = work.join("log");
    let mut running = sh("echo out; echo err >&2; exit 4").spawn(Some(&log)).unwrap();
    assert_eq!(running.wait(Duration::from_secs(60)).unwrap(), Some(Status::Code(4)));
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "out\nerr\n");
}

#[test]
fn die_with_parent_passes_status_and_output_on() {
    let output = sh("echo x; exit 5").die_with_parent().output().unwrap();
    assert_eq!((output.status, output.text().as_str()), (Status::Code(5), "x\n"));
}

#[test]
fn programs_are_found_by_name_and_by_path() {
    assert!(find_program("sh").is_some());
    assert_eq!(find_program("/bin/sh").as_deref(), Some(Path::new("/bin/sh")));
    assert_eq!(find_program("/etc/passwd"), None);
    assert_eq!(find_program("no-such-program-here"), None);
}

#[test]
fn the_command_line_can_be_pasted() {
    let line = Tool::new("echo").args(["plain-1.0", "two words", "it's", ""]).command_line();
    assert_eq!(line, r"echo plain-1.0 'two words' 'it'\''s' ''");
}
