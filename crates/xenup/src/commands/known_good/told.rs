//! What `xenup status` says of it. Decides the words; never what is kept or tried.

use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use xenup_core::boot::known_good::{Boots, ENABLED, Entry, ID, KnownGood, TRIAL_ID, UNIT, trial_mark};
use xenup_core::boot::set_default;
use xenup_machine::Probe;

use super::{cmdline, menu, read};

/// What `xenup status` says of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Told {
    /// What boots by itself; `None` where the modules of its kernel are gone.
    known: Option<Pair>,
    /// What is or was tried since.
    trial: Option<Pair>,
    /// What did not hold in that boot; `None` where nothing was heard of it.
    failed: Option<String>,
    /// Whether the machine runs in it.
    in_trial: bool,
    /// Checks that do not hold in what is known to boot either, so that no trial is asked for them.
    unmet: Vec<String>,
    /// Why nothing newer would be tried; `None` where it would.
    obstacle: Option<String>,
}

/// A hypervisor with its Linux.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Pair {
    /// The hypervisor's file name.
    xen: String,
    /// The kernel's release.
    linux: String,
}

impl Pair {
    pub(super) fn of(boots: &Boots) -> Self {
        Self { xen: boots.xen.clone(), linux: boots.linux.clone() }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with Linux {}", self.xen, self.linux)
    }
}

/// Reads it; `None` where nothing was ever kept.
pub fn told(probe: &dyn Probe) -> Option<Told> {
    let state = read(probe).ok().filter(|state| *state != KnownGood::default())?;
    Some(Told {
        known: state.known.as_ref().map(Pair::of),
        trial: state.trial.as_ref().map(|trial| Pair::of(&trial.boots)),
        failed: state.trial.and_then(|trial| trial.failed),
        in_trial: trial_mark(&cmdline(probe)).is_some(),
        unmet: state.unmet,
        obstacle: obstacle(probe),
    })
}

fn obstacle(probe: &dyn Probe) -> Option<String> {
    if !matches!(probe.entry(Path::new(ENABLED)), Ok(Some(_))) {
        return Some(format!("{UNIT} is not enabled; systemctl enable --now {UNIT}"));
    }
    let menu = match menu(probe) {
        Ok(menu) => menu,
        Err(error) => return Some(error.to_string()),
    };
    if !menu.contains(&set_default(ID)) {
        return Some("GRUB's default is another entry".to_owned());
    }
    Entry::newest(&menu).err().map(|error| error.to_string())
}

impl Told {
    /// Returns a heading, and the lines below it. Where an upgrade leads, that plain Linux is the default is its own doing.
    pub fn lines(&self, upgrade_leads: bool) -> (&'static str, Vec<String>) {
        let known = match &self.known {
            Some(known) if upgrade_leads => format!("  known to boot: {known}"),
            Some(known) => format!("  known to boot: {known}, which boots by itself"),
            None => "  known to boot: nothing; plain Linux boots by itself".to_owned(),
        };
        let (heading, mut lines) = match &self.trial {
            None => ("Later versions of Xen and Linux are tried first", vec![known]),
            Some(trial) if self.in_trial && self.failed.is_none() => {
                let next = "  next: nothing; it is kept, or left by a restart, within 15 minutes".to_owned();
                ("This boot is a trial of a later version", vec![format!("  running: {trial}"), known, next])
            }
            Some(trial) => {
                let why = self.failed.as_deref().unwrap_or("nothing was heard of that boot");
                let again = format!("grub-reboot {TRIAL_ID}, then systemctl reboot");
                let next = format!("  next: nothing; to try it once more: {again}");
                let heading = "A later version did not boot well, and is not tried again";
                (heading, vec![format!("  {trial}: {why}"), known, next])
            }
        };
        let unmet = self
            .unmet
            .iter()
            .map(|words| format!("  not asked of a trial, since it does not hold now: {words}"));
        lines.extend(unmet);
        let obstacle = self.obstacle.iter().filter(|_| !upgrade_leads);
        lines.extend(obstacle.map(|why| format!("  NOTHING NEWER IS TRIED: {why}")));
        (heading, lines)
    }
}
