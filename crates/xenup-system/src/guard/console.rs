//! Words for whoever stands at the machine. Never waits for anybody to read them.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;

/// Says a line on every console and in the kernel's log; best effort, as nobody may be there.
///
/// `/dev/kmsg` never blocks and reaches serial consoles too; level 2 (critical) is shown under Debian's `quiet`.
pub fn announce(line: &str) {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let kmsg = std::fs::OpenOptions::new().write(true).custom_flags(nonblocking).open("/dev/kmsg");
    if let Ok(mut kmsg) = kmsg {
        let _ = kmsg.write_all(format!("<2>xenup: {line}\n").as_bytes());
    }
}
