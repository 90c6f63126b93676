//! What `xenup status` says of a reboot that is due. Decides the words; never the command while an upgrade has its own.

use std::path::Path;

use xenup_core::inspect::{Surroundings, gather};
use xenup_core::upgrade::apply;
use xenup_core::upgrade::pending::{Pending, pending};
use xenup_engine::store::Run;
use xenup_machine::Probe;

use crate::ui::Ui;

/// Whether this boot is Xen's, and this machine its dom0.
pub(super) fn is_dom0(probe: &dyn Probe) -> bool {
    let capabilities = probe.read(Path::new("/proc/xen/capabilities"), 4096);
    capabilities.is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("control_d"))
}

/// What waits for a reboot: only a dom0 is asked more than whether it is one.
pub(super) fn waits(probe: &dyn Probe) -> Option<Pending> {
    is_dom0(probe).then(|| pending(probe, &gather(probe, &Surroundings::default()))).flatten()
}

/// Tells of it.
pub(super) fn tell(ui: &mut Ui, waits: Option<&Pending>, leads: bool) {
    let Some(waits) = waits else { return };
    ui.heading("Waits for a reboot");
    waiting(waits, leads).into_iter().for_each(|line| ui.result(line));
}

/// Where an upgrade leads, the one command to type is the page's own: a restart may be the last thing that it needs now.
fn waiting(Pending { differs, until_then, next }: &Pending, leads: bool) -> Vec<String> {
    let mut lines: Vec<String> = differs.iter().map(|words| format!("  {words}")).collect();
    if !leads {
        lines.extend([format!("  until then: {until_then}"), format!("  next: {next}")]);
    }
    lines
}

/// Whether an upgrade is past its point of no return, and not at its end.
pub(super) fn leads(run: &Run) -> bool {
    apply::is_upgrade(&run.plan) && run.status.end.is_none() && apply::is_under_way(&run.plan, &run.status)
}

#[cfg(test)]
mod tests {
    use xenup_core::upgrade::pending::Pending;

    use super::waiting;

    #[test]
    fn an_upgrade_that_leads_leaves_one_command() {
        let words = str::to_owned;
        let pending = Pending {
            differs: vec![words("Linux 1 runs, and 2 is installed")],
            until_then: words("xl does not work"),
            next: words("systemctl reboot"),
        };
        assert_eq!(waiting(&pending, true), ["  Linux 1 runs, and 2 is installed"]);
        assert_eq!(waiting(&pending, false).last().map(String::as_str), Some("  next: systemctl reboot"));
    }
}
