//! Ending a run that hangs: its foreground goes with it, what it left in sessions of their own stays.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the test makes the processes it looks at"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use xenup_system::guard::foreground_of;

/// The processes of one test, by their ids, ended with it however it ends.
struct Processes {
    leader: Child,
    pids: Vec<u32>,
}

impl Processes {
    /// A session leader with a child in its session and a daemon in another; each prints its id.
    fn start() -> Self {
        let script = "sleep 600 & echo $!; setsid sh -c 'echo $$; exec sleep 600' & echo $$; wait";
        let started = Command::new("setsid")
            .args(["sh", "-c", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut processes = Self { leader: started.unwrap(), pids: Vec::new() };
        let mut lines = BufReader::new(processes.leader.stdout.take().unwrap()).lines();
        for _ in 0..3 {
            processes.pids.push(lines.next().unwrap().unwrap().parse().unwrap());
        }
        processes
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let _ = self.leader.kill();
        let _ = self.leader.wait();
        for pid in self.pids.iter().filter(|&&pid| pid != self.leader.id() && is_alive(pid)) {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
}

fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(String::from).collect())
}

fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] != "Z")
}

#[test]
fn the_foreground_of_a_run_is_its_session_and_nothing_else() {
    let mut processes = Processes::start();
    let (leader, pids) = (processes.leader.id(), processes.pids.clone());
    assert!(pids.contains(&leader), "{pids:?}");
    let start = stat(leader).unwrap()[19].clone();
    let foreground = foreground_of(&format!("{leader} {start} apply")).unwrap();
    // A wrong start time is another process; a member that leads no session shares it with others.
    assert_eq!(foreground_of(&format!("{leader} 1 apply")), None);
    let session = |pid: u32| stat(pid).unwrap()[3].parse::<u32>().unwrap();
    let fore = *pids.iter().find(|&&pid| pid != leader && session(pid) == leader).unwrap();
    let daemon = *pids.iter().find(|&&pid| session(pid) != leader).unwrap();
    let start = stat(fore).unwrap()[19].clone();
    assert_eq!(foreground_of(&format!("{fore} {start} apply")), None);
    processes.leader.kill().unwrap();
    processes.leader.wait().unwrap();
    assert_eq!(foreground.end(), 1);
    assert!(!is_alive(fore) && is_alive(daemon));
}
