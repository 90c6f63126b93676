//! Will each guest start on that hypervisor, and if not, why, and what to change.
//!
//! Decides: a verdict for each guest of a host, from its file, its kernel, its disk and the hypervisor it is to run on;
//! what concerns the host as a whole (saved guests, room for saves, xendomains' time, kernels that apt removes); which
//! changes of guest files are sure. A yes is said where nothing known stands in the way, and *cannot be told* where
//! something would have to be known.
//! Never: starts a guest, asks a hypervisor, writes a file, or reads a disk itself: that is [`GuestDisks`]' affair.
//!
//! Reading order: [`target`] (which hypervisor) → [`world`] (what is read) → `judge`, `boot`, `own` and `packing` (a guest) → `fix`
//! (changes that are sure) → `host`, `saved`, `xendomains` (the host) → [`report`] (what comes out) → [`text`],
//! [`html`].

mod between;
mod boot;
mod fix;
mod host;
pub mod html;
mod judge;
mod own;
mod packing;
mod plain;
pub mod report;
mod root_device;
mod running;
mod saved;
pub mod target;
pub mod text;
pub mod world;
mod xendomains;

use std::path::Path;

use xenup_machine::Probe;

use crate::guest::list::{AUTO, Found, NOWHERE, Unread};
use crate::guest::{Fault, GuestError, GuestFile};
use crate::inspect::{Finding, Weight};
use crate::kernel::Hypervisor;

pub use fix::plan;
pub use report::{Audit, Verdict};
pub use saved::save_of;
pub use target::Goal;
pub use world::{DiskRead, GuestDisks, OwnKernel, World};

use report::{Effect, FORMAT, Fixed, GuestReport, Guests, Reason, verdict};

/// The guests that are asked about.
#[derive(Debug)]
pub struct Asked {
    /// Their files.
    pub found: Vec<Found>,
    /// Files that nobody may read.
    pub unread: Vec<Unread>,
    /// Whether these are all of the host: then what runs without a file, and the host itself, are judged too.
    pub whole_host: bool,
}

/// Judges guests against the hypervisor that `goal` names, or the one that is installed.
#[must_use]
pub fn audit(probe: &dyn Probe, disks: &dyn GuestDisks, goal: Option<Goal>, asked: Asked) -> Audit {
    let Asked { found, unread, whole_host } = asked;
    let world = World::look(probe, disks, goal, &found);
    let mut guests: Vec<GuestReport> = found.iter().map(|one| guest(one, &world)).collect();
    guests.extend(unread.into_iter().map(not_read));
    if whole_host {
        guests.sort_by(|a, b| a.path.cmp(&b.path));
    }
    between::judged(&found, &mut guests);
    if whole_host {
        guests.extend(running::without_a_file(&world, &guests));
    }
    let saved = if whole_host { saved::judged(&world) } else { Vec::new() };
    let host = if whole_host { host::findings(probe, &world, &guests, &saved) } else { Vec::new() };
    let audit = Audit {
        format: FORMAT,
        from: world.now.as_ref().map(|xen| xen.name.clone()),
        to: world.target.shown(),
        counted: Guests::count(&guests),
        host,
        guests,
        saved,
        notes: world.notes.clone(),
    };
    plain::audit(audit)
}

fn guest(found: &Found, world: &World<'_>) -> GuestReport {
    match &found.file {
        Ok(file) => readable(file, &found.auto, world),
        Err(error) => unreadable(error, &found.auto),
    }
}

fn readable(file: &GuestFile, auto: &[std::path::PathBuf], world: &World<'_>) -> GuestReport {
    let mut judged = judge::judge(file, world, &world.target.xen);
    let fixed = tried(file, &mut judged.reasons, world);
    let plain = verdict(&judged.reasons);
    let name = judged.name.clone().unwrap_or_else(|| stem(file.path()));
    GuestReport {
        running: world.running.as_ref().map(|guests| guests.iter().any(|guest| guest.name == name)),
        name,
        path: Some(file.path().to_owned()),
        kind: Some(judged.kind),
        memory: judged.memory,
        auto: auto.to_vec(),
        now: world.now.as_ref().map(|xen| on(file, world, xen)),
        verdict: if fixed.is_some() { Verdict::StartsAfterChange } else { plain },
        boots: judged.boots,
        reasons: judged.reasons,
        fix: fixed,
    }
}

/// How often a change is followed by another one that it makes needful.
const ROUNDS: usize = 3;

/// Tries the changes that the reasons name: the changed file is judged again. What then stops the guest becomes a reason
/// too, its own change tried with the first; a change that leads nowhere settles nothing. Returns what is sure.
fn tried(file: &GuestFile, reasons: &mut Vec<Reason>, world: &World<'_>) -> Option<Fixed> {
    for _ in 0..ROUNDS {
        let stops = reasons.iter().filter(|reason| reason.effect == Effect::Stops);
        if stops.clone().next().is_none() || stops.clone().any(|reason| reason.edits.is_empty()) {
            return None;
        }
        let fixed = fix::changed(file, reasons)?;
        let again = GuestFile::parse(file.path(), fixed.after.clone().into_bytes()).ok();
        let Some(again) = again.filter(|again| again.refused_by_xl.is_none()) else { break };
        let judged = judge::judge(&again, world, &world.target.xen).reasons;
        if verdict(&judged) == Verdict::Starts {
            let sure = stops.clone().all(|reason| reason.sure)
                && reasons.iter().all(|reason| reason.effect != Effect::NotKnown);
            return sure.then_some(fixed);
        }
        let known: Vec<Reason> = reasons.clone();
        let told = |new: &&Reason| {
            let same = |old: &Reason| new.effect == Effect::NotKnown || old.what == new.what;
            !known.iter().any(|old| old.id == new.id && same(old))
        };
        let later = judged.iter().filter(|reason| reason.effect != Effect::ToKnow).filter(told);
        let later: Vec<Reason> = later.cloned().map(|reason| reason.once_changed()).collect();
        if later.is_empty() {
            break;
        }
        let ends = later.iter().any(|reason| reason.edits.is_empty());
        reasons.extend(later);
        reasons.sort_by_key(|reason| reason.effect);
        if ends {
            break;
        }
    }
    for reason in reasons.iter_mut().filter(|reason| !reason.edits.is_empty()) {
        reason.settles = false;
    }
    None
}

/// The verdict under another hypervisor; nothing is changed for it.
fn on(file: &GuestFile, world: &World<'_>, xen: &Hypervisor) -> Verdict {
    verdict(&judge::judge(file, world, xen).reasons)
}

fn unreadable(error: &GuestError, auto: &[std::path::PathBuf]) -> GuestReport {
    let mut reason = Reason::of_finding(&crate::guest::lint::unreadable(error));
    if error.fault == Fault::NotUtf8 {
        reason.effect = Effect::NotKnown;
    }
    GuestReport {
        name: stem(&error.path),
        path: Some(error.path.clone()),
        kind: None,
        memory: None,
        auto: auto.to_vec(),
        running: None,
        now: None,
        verdict: verdict(std::slice::from_ref(&reason)),
        boots: None,
        reasons: vec![reason],
        fix: None,
    }
}

/// A file that was not read: what xendomains finds no file behind does not start, and of the rest nothing is known.
fn not_read(unread: Unread) -> GuestReport {
    let Unread { path, why } = unread;
    let auto = path.starts_with(AUTO);
    let effect = if auto && why == NOWHERE { Effect::Stops } else { Effect::NotKnown };
    let change = if effect == Effect::Stops {
        "remove the link, or make it lead to the guest's file"
    } else {
        "make it a file that the user who runs xenup may read, or remove it"
    };
    let reason = Reason::new("audit-file-unread", effect, format!("its file was not read: {why}"))
        .seen(report::Evidence::line(&path, 0))
        .advice(change);
    GuestReport {
        name: stem(&path),
        kind: None,
        memory: None,
        auto: if auto { vec![path.clone()] } else { Vec::new() },
        path: Some(path),
        running: None,
        now: None,
        verdict: verdict(std::slice::from_ref(&reason)),
        boots: None,
        reasons: vec![reason],
        fix: None,
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// What a finding's places come to as evidence.
fn places(finding: &Finding) -> Vec<report::Evidence> {
    finding.at.iter().map(|at| report::Evidence::line(&at.path, at.line)).collect()
}

impl Audit {
    /// Returns whether every guest starts as it is and nothing of the host's is in the way: what cannot be told is no yes.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        let all_start = self.guests.iter().all(|guest| guest.verdict == Verdict::Starts);
        all_start && self.host.iter().all(|finding| finding.weight != Weight::Blocks)
    }

    /// Returns the changes that are sure, guest by guest.
    pub fn fixes(&self) -> impl Iterator<Item = (&Path, &Fixed)> {
        self.guests.iter().filter_map(|guest| Some((guest.path.as_deref()?, guest.fix.as_ref()?)))
    }
}
