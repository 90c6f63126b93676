//! Going back by a reboot, however little of the machine still answers; and waiting for a boot to be finished.
//!
//! Decides how hard to ask. Never decides whether.

use std::time::Duration;

use crate::process::Tool;
use crate::service::is_systemd_running;

/// How long each way of asking has before the next: an orderly stop of guests and services takes its time.
const ORDERLY: Duration = Duration::from_secs(120);
/// The same for a reboot that only unmounts.
const FORCED: Duration = Duration::from_secs(60);

/// Reboots: in order, then without stopping services, then without unmounting. Returns only if all three failed.
pub fn reboot() {
    reboot_within(ORDERLY);
}

/// The same, with so long for the orderly way: guests may have to be shut down first.
pub fn reboot_within(orderly: Duration) {
    let ways: &[(&str, &[&str], Duration)] = if is_systemd_running() {
        &[
            ("systemctl", &["reboot"], orderly),
            ("systemctl", &["--force", "reboot"], FORCED),
            ("systemctl", &["--force", "--force", "reboot"], FORCED),
        ]
    } else {
        &[("shutdown", &["-r", "now"], orderly), ("reboot", &["-f"], FORCED)]
    };
    for (program, args, patience) in ways {
        // The command returns at once when it was heard; what ends this process is the reboot itself.
        let _ = Tool::new(program).args(*args).timeout(*patience).run();
        wait(*patience);
    }
    rustix::fs::sync();
    let _ = rustix::system::reboot(rustix::system::RebootCommand::Restart);
}

fn wait(time: Duration) {
    if let Ok(limit) = rustix::event::Timespec::try_from(time) {
        let _ = rustix::event::poll(&mut [], Some(&limit));
    }
}

/// Waits until every job of the boot has ended, well or badly, at most so long. Without systemd it returns at once.
pub fn settled(at_most: Duration) {
    if is_systemd_running() {
        // Any status but "running" is an exit status above 0, which says nothing about a trial's own checks.
        let _ = Tool::new("systemctl").args(["is-system-running", "--wait"]).timeout(at_most).output();
    }
}
