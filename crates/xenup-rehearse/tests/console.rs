//! The console against a peer that plays a machine: each test is what the peer answers to what it is sent.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at any surprise"
)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use xenup_rehearse::console::{Console, ConsoleError, Pattern};

/// Long enough for any busy machine; nothing waits for it unless it fails.
const LONG: Duration = Duration::from_secs(60);
/// For what must not come.
const SHORT: Duration = Duration::from_millis(50);

/// What the peer waits for in its input, and what it says then.
type Step = (&'static str, &'static [u8]);

const LOGIN: &[Step] = &[
    ("", b"\x1b[2J\x1b[01;01HGRUB\r\n[    0.000000] Linux version 6.1\r\nDebian GNU/Linux 12 host ttyS0\r\n\r\nhost login: "),
    ("root\n", b"Password: "),
    ("secret\n", b"\r\nLinux host 6.1\r\nLast login: Sun Nov 22\r\n\x1b[?2004hroot@host:~# "),
    ("bash --noediting --norc --noprofile\n", b"\x1b[?2004l\r\nbash-5.2# "),
    ("tab0\n", b"bash-5.2# "),
    ("DEBIAN_FRONTEND=noninteractive\n", b""),
    ("1 $?\n", b"[[xenup 1>>\r\n\r\n<<xenup 1 0]]\r\n"),
];

/// A console whose other end echoes what it is sent, as a terminal does, and answers step by step; then it hangs up.
fn machine(steps: Vec<Step>) -> (Console, tempfile::TempDir, JoinHandle<String>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let peer = std::thread::spawn(move || {
        let (mut seen, mut from) = (String::new(), 0);
        for (wanted, answer) in steps {
            while !seen[from..].contains(wanted) {
                let mut byte = [0];
                if theirs.read(&mut byte).unwrap_or(0) == 0 {
                    return seen;
                }
                seen.push(char::from(byte[0]));
                let echo = if byte[0] == b'\n' { &b"\r\n"[..] } else { &byte[..] };
                theirs.write_all(echo).unwrap();
            }
            from = seen.len();
            theirs.write_all(answer).unwrap();
        }
        seen
    });
    let directory = tempfile::tempdir().unwrap();
    let mut console = Console::new(&directory.path().join("console.log")).unwrap();
    console.attach(ours).unwrap();
    (console, directory, peer)
}

/// A console that is logged in; the commands that follow are numbered from 2.
fn shell(steps: &[Step]) -> (Console, tempfile::TempDir, JoinHandle<String>) {
    let (mut console, directory, peer) = machine([LOGIN, steps].concat());
    console.login("root", "secret").unwrap();
    (console, directory, peer)
}

#[test]
fn a_login_and_a_command() {
    let (mut console, directory, peer) =
        shell(&[("2 $?\n", b"[[xenup 2>>\r\none\r\ntwo\r\n\r\n<<xenup 2 3]]\r\n")]);
    let result = console.run("echo one; false 'it''s'", LONG).unwrap();
    assert_eq!((result.status, result.output.as_str()), (3, "one\ntwo\n"));
    let seen = peer.join().unwrap();
    assert!(seen.contains("eval 'echo one; false '\\''it'\\'''\\''s'\\''' </dev/null;"), "{seen}");
    let transcript = std::fs::read(directory.path().join("console.log")).unwrap();
    assert!(String::from_utf8_lossy(&transcript).contains("Linux version 6.1"));
}

#[test]
fn output_without_a_line_end_and_without_any_text() {
    let (mut console, _directory, _peer) = shell(&[
        ("2 $?\n", b"[[xenup 2>>\r\nno end\r\n<<xenup 2 0]]\r\n"),
        ("3 $?\n", b"[[xenup 3>>\r\n\r\n<<xenup 3 0]]\r\n"),
    ]);
    assert_eq!(console.run("printf 'no end'", LONG).unwrap().output, "no end");
    assert_eq!(console.run("true", LONG).unwrap().output, "");
}

#[test]
fn xen_doubles_the_carriage_returns() {
    let (mut console, _directory, peer) =
        shell(&[("2 $?\n", b"[[xenup 2>>\r\r\none\r\r\ntwo\r\r\n\r\r\n<<xenup 2 0]]\r\r\n")]);
    assert_eq!(console.run("list", LONG).unwrap().output, "one\ntwo\n");
    drop(console);
    peer.join().unwrap();
}

#[test]
fn xen_speaks_within_the_markers_and_bytes_are_not_text() {
    let (mut console, _directory, _peer) = shell(&[(
        "2 $?\n",
        b"[[xen(XEN) d1v0 is up\r\nup 2>>\r\n\xff\xfe\r\n(XEN) another\r\n\r\n<<xenup(XEN) third\r\n 2 0]]\r\n",
    )]);
    let result = console.run("cat /bin/x", LONG).unwrap();
    assert_eq!((result.status, result.output.as_str()), (0, "\u{fffd}\u{fffd}\n(XEN) another\n"));
}

#[test]
fn a_command_with_control_characters_goes_over_as_a_file() {
    let (mut console, _directory, peer) = shell(&[
        ("2 $?\n", b"[[xenup 2>>\r\n\r\n<<xenup 2 0]]\r\n"),
        ("3 $?\n", b"[[xenup 3>>\r\n\r\n<<xenup 3 0]]\r\n"),
        ("4 $?\n", b"[[xenup 4>>\r\nok\r\n\r\n<<xenup 4 0]]\r\n"),
    ]);
    assert_eq!(console.check("printf '\t\u{3}'", LONG).unwrap(), "ok\n");
    let seen = peer.join().unwrap();
    assert!(seen.contains("printf %s cHJpbnRmICcJAyc= | base64 -d >>/run/xenup-lab/command"), "{seen}");
    assert!(seen.ends_with("; . /run/xenup-lab/command </dev/null; printf '\\n<<xenup %d %d]]\\n' 4 $?\n"));
}

#[test]
fn captured_output_is_exact() {
    let (mut console, _directory, _peer) = shell(&[
        ("2 $?\n", b"[[xenup 2>>\r\nnoise on standard error\r\n\r\n<<xenup 2 1]]\r\n"),
        // The first transfer is disturbed, the second is not.
        ("3 $?\n", b"[[xenup 3>>\r\neyJh(XEN) x\r\nIjoxfQ==\r\n\r\n<<xenup 3 0]]\r\n"),
        ("4 $?\n", b"[[xenup 4>>\r\neyJh\r\nIjoxfQ==\r\n\r\n<<xenup 4 0]]\r\n"),
    ]);
    let result = console.capture("xenup inspect --json", LONG).unwrap();
    assert_eq!((result.status, result.output.as_str()), (1, "{\"a\":1}"));
}

#[test]
fn an_expiry_carries_the_last_lines() {
    let (mut console, _directory, _peer) =
        machine(vec![("", b"\x1b[31mone\x1b[0m\r\ntwo\r\n"), ("never", b"")]);
    let error = console.expect(&Pattern::text("login: "), SHORT).unwrap_err();
    let ConsoleError::Late { waiting_for, tail, .. } = error else { panic!("{error}") };
    assert_eq!((waiting_for.as_str(), tail.as_str()), ("\"login: \"", "one\ntwo"));
    // Nothing is lost: what came is still there for whoever expects it.
    assert_eq!(console.expect(&Pattern::text("two"), LONG).unwrap().before, "\u{1b}[31mone\u{1b}[0m\r\n");
}

#[test]
fn an_error_has_forty_lines_at_most() {
    let mut console = machine(vec![]).0;
    assert_eq!(console.tail(40), "");
    let lines: &'static [u8] =
        (1..=100).map(|n| format!("line {n}\r\n")).collect::<String>().leak().as_bytes();
    let (mut console, _directory, _peer) = machine(vec![("", lines)]);
    let error = console.expect(&Pattern::text("line 101"), LONG).unwrap_err();
    let ConsoleError::Closed { tail, .. } = error else { panic!("{error}") };
    assert_eq!(tail.lines().count(), 40);
    assert!(tail.starts_with("line 61\n") && tail.ends_with("line 100"));
}

#[test]
fn a_machine_that_ends_in_a_command_is_told_and_the_next_power_on_logs_in_again() {
    let (mut console, _directory, peer) = shell(&[("2 $?\n", b"[[xenup 2>>\r\nhalf of it")]);
    let error = console.run("reboot -f", LONG).unwrap_err();
    assert!(matches!(&error, ConsoleError::Closed { tail, .. } if tail.ends_with("half of it")), "{error}");
    peer.join().unwrap();
    console.detach();
    assert!(matches!(console.run("true", LONG), Err(ConsoleError::NoShell { .. })));
    assert!(console.send("x").is_err());
    let (mut other, _other_directory, _peer) = machine(vec![("", b"host login: ")]);
    assert!(matches!(other.run("true", LONG), Err(ConsoleError::NoShell { .. })));
    other.expect(&Pattern::end("login: "), LONG).unwrap();
}

#[test]
fn a_refused_login_and_a_failed_check() {
    let steps = [&LOGIN[..2], &[("wrong\n", &b"\r\nLogin incorrect\r\nhost login: "[..])]].concat();
    let (mut console, _directory, _peer) = machine(steps);
    let error = console.login("root", "wrong").unwrap_err();
    assert!(matches!(error, ConsoleError::Login { .. }), "{error}");
    let (mut console, _directory, _peer) =
        shell(&[("2 $?\n", b"[[xenup 2>>\r\nE: no\r\n\r\n<<xenup 2 100]]\r\n")]);
    let error = console.check("apt-get install x", LONG).unwrap_err().to_string();
    assert_eq!(error, "on the machine, `apt-get install x` ended with status 100; its last lines:\nE: no");
}

#[test]
fn a_sign_before_the_prompt_ends_the_wait_for_it() {
    let stall: &[u8] = b"rcu: \tPossible timer handling issue on cpu=1 timer-softirq=7\r\n";
    let steps = [&[("", stall)][..], LOGIN].concat();
    let (mut console, _directory, _peer) = machine(steps);
    let mut log_in =
        || console.login_unless("Possible timer handling issue", "root", "secret", LONG).unwrap();
    assert_eq!((log_in(), log_in()), (false, true));
}

#[test]
fn a_long_command_is_sent_as_it_is_read() {
    // The peer reads byte by byte and answers late: more than one piece in flight would be lost on a real machine.
    let (mut console, _directory, peer) = shell(&[("2 $?\n", b"[[xenup 2>>\r\n\r\n<<xenup 2 0]]\r\n")]);
    let command = format!("true {}", "x".repeat(1400));
    console.run(&command, LONG).unwrap();
    assert!(peer.join().unwrap().contains(&format!("eval '{command}'")));
}
