//! The way from a release of Debian to the next, for a Xen host: what stands in it.
//!
//! Decides: which sources the next release has, how apt is asked, what of its answer matters to a Xen host, and whether
//! the host is ready: nothing has to be fixed first.
//! Never: changes anything. apt works in a state of its own; guests are judged by [`crate::audit`].
//!
//! Reading order: [`sources`] → [`apt`] (the questions) → [`simulation`] (the answers) → `parts`, `room`, `findings` →
//! [`check`] → [`report`] → [`text`], [`html`]; then [`mod@apply`], the upgrade itself.

pub mod apply;
pub mod apt;
pub mod conffiles;
mod findings;
pub mod html;
mod loader;
pub mod old;
mod parts;
pub mod pending;
pub mod report;
mod room;
pub mod simulation;
pub mod sources;
pub mod text;

use xenup_engine::packages::INSTALLED;
use xenup_machine::Probe;

use crate::audit::target::{SUITES, Suite};
use crate::audit::{Audit, Goal};
use crate::inspect::{Facts, Finding, Weight};
use crate::kernel::Release;
use crate::packages::XEN_SYSTEM;

pub use report::Check;

use old::Old;
use report::{AptSummary, FORMAT, ReleaseName, Stop};
use simulation::{Simulation, Sizes};
use sources::Derived;

/// Returns what has to be asked for by name beside an upgrade, so that a new Xen comes: the package by which Debian leads a
/// host from a Xen to the next, where it is not installed and nothing else brings one.
#[must_use]
pub fn named_beside(facts: &Facts, simulation: &Simulation) -> &'static [&'static str] {
    let parts = parts::parts(facts, simulation);
    let there = facts
        .packages
        .relevant
        .iter()
        .any(|package| package.name == XEN_SYSTEM && package.status == INSTALLED);
    match findings::no_new_xen(&parts, simulation) {
        Some(_) if !there => &[XEN_SYSTEM],
        _ => &[],
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The release that is there, where the machine says which.
    pub from: Option<&'a Suite>,
    /// The release that is asked about.
    pub to: &'a Suite,
    /// Whether the way is no upgrade: the host is made anew, and what it has is carried over.
    pub anew: bool,
}

/// What apt answered.
#[derive(Debug)]
pub enum Answer {
    /// It was not asked, and why.
    NotAsked(String),
    /// It could not tell.
    Failed(Box<Finding>),
    /// It told.
    Told(Box<Told>),
}

/// What apt told.
#[derive(Debug)]
pub struct Told {
    /// What it would do.
    pub simulation: Simulation,
    /// How much it would fetch and fill.
    pub sizes: Option<Sizes>,
    /// Packages that are not Debian's.
    pub foreign: Option<Vec<String>>,
    /// Packages on hold.
    pub held: Vec<String>,
}

/// A wish that makes no sense, and what to ask instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAWay {
    /// The machine runs no release that is known.
    #[error("this machine runs {0}, which is no release of Debian that has a next one here")]
    From(String),
    /// Releases are upgraded one after the other.
    #[error("from {from} to {to} leads over {over}: Debian upgrades a release at a time")]
    Over {
        /// The machine's release.
        from: &'static str,
        /// The one that was named.
        to: &'static str,
        /// The one between.
        over: &'static str,
    },
    /// There is no way back.
    #[error("{to} is older than {from}, which this machine runs: apt has no way back")]
    Back {
        /// The machine's release.
        from: &'static str,
        /// The one that was named.
        to: &'static str,
    },
}

/// Returns the releases between which a machine is upgraded. The same twice is an update within a release. A `tree` of an
/// older release has a way too: it is made anew.
///
/// # Errors
/// A way that Debian does not have.
pub fn way(
    from: Option<&'static Suite>,
    facts: &Facts,
    to: &'static Suite,
    tree: bool,
) -> Result<Asked<'static>, NotAWay> {
    let place = |suite: &Suite| SUITES.iter().position(|other| other.name == suite.name).unwrap_or(0);
    let Some(from) = from else {
        if tree {
            return Ok(Asked { from: None, to, anew: true });
        }
        let name = &facts.distro.name;
        return Err(NotAWay::From(if name.is_empty() {
            "no Debian that says which".to_owned()
        } else {
            name.clone()
        }));
    };
    let next = place(from).saturating_add(1);
    if place(to) < place(from) {
        return Err(NotAWay::Back { from: from.name, to: to.name });
    }
    let over = place(to) > next;
    if over && !tree {
        let over = SUITES.get(next).unwrap_or(to).name;
        return Err(NotAWay::Over { from: from.name, to: to.name, over });
    }
    Ok(Asked { from: Some(from), to, anew: over })
}

/// Returns the release that comes after one.
#[must_use]
pub fn next(from: Option<&Suite>) -> Option<&'static Suite> {
    let place = SUITES.iter().position(|suite| Some(suite.name) == from.map(|from| from.name))?;
    SUITES.get(place.checked_add(1)?)
}

/// Returns the suite that a goal names.
///
/// # Errors
/// A release of Xen alone is no release of Debian; returns a suite that has it, where there is one.
pub fn suite(goal: Goal) -> Result<&'static Suite, Option<&'static Suite>> {
    match goal {
        Goal::Suite(suite) => Ok(suite),
        Goal::Release(release) => Err(SUITES.iter().find(|suite| suite.xen == release)),
    }
}

/// What was found out before a check is composed.
#[derive(Debug)]
pub struct Known<'a> {
    /// The machine.
    pub facts: &'a Facts,
    /// The findings of `inspect`; what does not concern an upgrade is passed over.
    pub inspected: &'a [Finding],
    /// The other release's sources.
    pub derived: &'a Derived,
    /// What apt answered.
    pub answer: Answer,
    /// Every guest against the other release's Xen.
    pub audit: Audit,
    /// What is carried over, where the host is made anew.
    pub old: Option<Old>,
}

/// Composes the check.
#[must_use]
pub fn check(probe: &dyn Probe, asked: Asked<'_>, known: Known<'_>) -> Check {
    let Known { facts, inspected, derived, answer, audit, old } = known;
    let name = |suite: &Suite| ReleaseName { name: suite.name.to_owned(), number: suite.number.to_owned() };
    let mut check = Check {
        format: FORMAT,
        from: asked.from.map(name),
        to: name(asked.to),
        ready: false,
        fix: Vec::new(),
        know: Vec::new(),
        sources: if asked.anew { Vec::new() } else { derived.entries.clone() },
        apt: None,
        parts: Vec::new(),
        room: Vec::new(),
        stops: stops(facts, &audit),
        no_trial: None,
        old,
        audit,
        notes: Vec::new(),
    };
    let mut found = if asked.anew { findings::anew(&asked) } else { findings::of_inspect(inspected) };
    found.extend(findings::of_sources(derived, &asked));
    let simulation = match answer {
        Answer::NotAsked(why) => {
            // What is not known is no yes; a host that is made anew has no use for it.
            found.extend((!asked.anew).then(|| findings::apt_not_asked(&why, asked.to.name)));
            None
        }
        Answer::Failed(finding) => {
            found.push(*finding);
            check.notes.push("what apt would do: it could not tell".to_owned());
            None
        }
        Answer::Told(told) => {
            let summary = summary(&told);
            let Told { simulation, sizes, .. } = *told;
            check.parts = parts::parts(facts, &simulation);
            check.room = room::room(probe, sizes, &check.parts);
            found.extend(findings::of_apt(&summary, &simulation));
            found.extend(loader::disks(probe, facts));
            found.extend(findings::of_xen(&check.parts, facts, &simulation));
            if sizes.is_none() {
                check.notes.push("how much apt would fetch and fill: it did not say".to_owned());
            }
            check.apt = Some(summary);
            Some(simulation)
        }
    };
    found.extend(findings::of_room(&check));
    found.extend(findings::of_guests(&check.audit, simulation.as_ref(), asked.to.name));
    let running: Vec<&str> = check.stops.iter().map(|stop| stop.guest.as_str()).collect();
    found.extend(findings::toolstack_goes(&check.parts, facts, &running));
    if !asked.anew {
        let trial = inspected.iter().filter(|finding| findings::OF_TRIAL.contains(&finding.id.as_str()));
        check.no_trial = Some(trial.map(|finding| finding.what.clone()).collect());
    }
    check.found(found);
    check
}

fn summary(told: &Told) -> AptSummary {
    let Told { simulation, sizes, foreign, held } = told;
    let installs = &simulation.changes.installs;
    // The libraries of Debian 13 were renamed for 64-bit time: libssl3 goes where libssl3t64 comes.
    let renamed =
        |name: &str| installs.iter().any(|one| one.name != name && one.name.replacen("t64", "", 1) == name);
    let gone =
        simulation.changes.removes.iter().filter(|one| !renamed(&one.name) && !parts::is_part(&one.name));
    AptSummary {
        counts: simulation.counts,
        sizes: *sizes,
        removed: gone.map(|one| one.name.clone()).collect(),
        kept_back: simulation.kept_back.clone(),
        held: held.clone(),
        foreign: foreign.clone(),
    }
}

/// A save is restored by the release that made it and by the next one; Debian's releases skip some.
fn stops(facts: &Facts, audit: &Audit) -> Vec<Stop> {
    let now = facts.xen.running.as_ref().and_then(|xen| xen.version.parse::<Release>().ok());
    let then = audit.to.xen.parse::<Release>().ok();
    let can_be_saved = now.zip(then).is_some_and(|(now, then)| {
        now.major == then.major
            && now.minor.checked_add(1).is_some_and(|next| (now.minor..=next).contains(&then.minor))
    });
    let running = audit.guests.iter().filter(|guest| guest.running == Some(true));
    let mut stops: Vec<Stop> =
        running.map(|guest| Stop { guest: guest.name.clone(), memory: guest.memory, can_be_saved }).collect();
    for guest in &facts.xen.guests {
        if stops.iter().all(|stop| stop.guest != *guest) {
            stops.push(Stop { guest: guest.clone(), memory: None, can_be_saved });
        }
    }
    stops
}

/// Returns the finding for lists that apt could not fetch, with its own words.
#[must_use]
pub fn lists_not_fetched(complaints: &[String], to: &Suite) -> Box<Finding> {
    let said = complaints.first().map_or("it did not say why", |words| words.trim_end_matches('.'));
    let more = complaints.len().saturating_sub(1);
    let more = if more == 0 { String::new() } else { format!(" (and {more} more complaints)") };
    let keys = complaints.iter().any(|words| words.contains("NO_PUBKEY") || words.contains("not signed"));
    let absent = complaints
        .iter()
        .any(|words| words.contains("does not have a Release file") || words.contains("404"));
    let fix = if keys {
        "apt-get install --only-upgrade debian-archive-keyring".to_owned()
    } else if absent {
        format!("name a mirror that has {} in apt's sources, or take that source out", to.name)
    } else {
        "see that the mirrors of apt's sources can be reached: apt-get update".to_owned()
    };
    Box::new(Finding {
        weight: Weight::Blocks,
        ..Finding::blocking(
            "upgrade-lists",
            format!("apt cannot fetch the lists of {}: {said}{more}", to.name),
            "what an upgrade would do follows from them",
            fix,
        )
    })
}

/// Returns the finding for an upgrade that apt finds no way to, with its own words.
#[must_use]
pub fn no_solution(complaints: &[String], said: &str) -> Box<Finding> {
    let words = complaints.first().map_or(said, String::as_str).trim_end_matches(['.', '\n']);
    let fix = if words.contains("APT::Default-Release") {
        "take APT::Default-Release out of apt's configuration: grep -r Default-Release /etc/apt"
    } else if words.contains("held broken packages") {
        "apt-mark showhold lists what is on hold; apt-mark unhold frees it"
    } else {
        "put apt in order first: apt-get check"
    };
    Box::new(Finding::blocking(
        "upgrade-no-solution",
        format!("apt finds no way to the new release: {words}"),
        "an upgrade would end with the same words",
        fix,
    ))
}
