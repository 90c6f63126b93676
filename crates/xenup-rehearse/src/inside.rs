//! What every Debian of ours has inside that runs on an emulated machine: root's password, and patience.
//! Decides both; never who is reached where.

use xenup_image::ExtraFile;

/// Root's password; the machine is reached from this machine's own namespace alone.
pub const PASSWORD: &str = "rehearsal";
/// Its hash for shadow(5) (SHA-512, salt "rehearsal").
pub const PASSWORD_HASH: &str =
    "$6$rehearsal$KvE53SAPxzqTg9vgeGez9G.SWSHYzpMj9lc299CT6sBzcYCeu9rMaHm49HKR2QDS14A38KQRsAt3gbbXwcjjx/";

/// The file by which systemd waits, and its text: udev takes more than its 90 s to name the console of an emulated dom0 on
/// a busy machine.
pub const PATIENCE: (&str, &str) = (
    "/etc/systemd/system.conf.d/patience.conf",
    "[Manager]\nDefaultDeviceTimeoutSec=900\nDefaultTimeoutStartSec=900\n",
);

/// Returns [`PATIENCE`] as a file of an image.
#[must_use]
pub fn patience() -> ExtraFile {
    ExtraFile { path: PATIENCE.0.into(), mode: 0o644, bytes: PATIENCE.1.into() }
}
