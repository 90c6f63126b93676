//! From facts to a decision. Decides the means and the steps; never asks a machine.

use std::path::{Path, PathBuf};

use super::facts::{
    CHOICE, Facts, Flag, Kernel, LOADER, NOHWCAP, NOSEGNEG, OWN_CONF, Standing, Told, Unit, Xen,
};
use super::{Decision, Means, Step};

/// Returns what is to be done under `kernel`: the gentlest means that works, and the steps from here to there.
#[must_use]
pub fn decide(facts: &Facts, kernel: &Kernel) -> Decision {
    let (means, why, variant) = means(facts, kernel);
    Decision { means, why, steps: steps(facts, means, variant.as_deref()) }
}

/// The means, why, and the folder of the libc for this kernel.
type Chosen = (Means, String, Option<PathBuf>);

fn chosen(means: Means, why: impl Into<String>) -> Chosen {
    (means, why.into(), None)
}

fn means(facts: &Facts, kernel: &Kernel) -> Chosen {
    if facts.loader.is_none() {
        return chosen(
            Means::None,
            format!("there is no 32-bit loader {LOADER}, so nothing looks into /lib/tls"),
        );
    }
    if facts.base.is_none() {
        return chosen(
            Means::Untouched,
            "there is no libc.so.6 in /lib, so it cannot be told what programs would use",
        );
    }
    if let Some(why) = facts.units.iter().find_map(unclear) {
        return chosen(Means::Untouched, why);
    }
    if !kernel.is_32_bit() {
        return chosen(Means::None, "a 64-bit kernel gives 32-bit programs whole segments");
    }
    match kernel.xen {
        Xen::None => chosen(Means::None, "this kernel does not run under Xen"),
        Xen::Hvm => chosen(Means::None, "an HVM or PVH guest has segments of its own"),
        Xen::Pv if facts.leave => chosen(
            Means::Leave,
            format!("{CHOICE} says to leave them; programs are slower, because Xen steps in at each access"),
        ),
        Xen::Pv => under_xen(facts),
    }
}

/// Why a unit is not to be touched.
fn unclear(unit: &Unit) -> Option<String> {
    let here = unit.here.as_ref()?;
    if let Some(file) = &here.unfinished {
        return Some(format!("dpkg has not finished: {}", file.display()));
    }
    let stuck = unit.aside.is_some() && here.libcs.is_empty() && here.holds;
    stuck.then(|| {
        let (aside, unit) = (unit.aside_path(), unit.path.display());
        format!("{} cannot go back, because {unit} has files again but no libc.so.6", aside.display())
    })
}

fn under_xen(facts: &Facts) -> Chosen {
    let worst = facts.units.iter().find_map(|unit| {
        let found = [&unit.here, &unit.aside].into_iter().flatten().find_map(Standing::troubling)?;
        Some((unit, found))
    });
    let base = facts.base.as_ref().filter(|libc| libc.tls);
    if worst.is_none() && base.is_none() {
        return chosen(Means::None, "no libc here uses thread-local storage");
    }
    let variant = facts.units.iter().find_map(|unit| nosegneg(unit, worst.map(|(_, libc)| libc)));
    if let Some(variant) = variant.filter(|_| facts.told != Told::No) {
        let why = format!("a libc for this kernel is there: {}", variant.display());
        return (Means::Nosegneg, why, Some(variant));
    }
    if let Some(base) = base {
        let why = format!(
            "{} uses thread-local storage itself; only a libc built with nosegneg helps (libc6-xen)",
            base.path.display()
        );
        return chosen(Means::Helpless, why);
    }
    let dir = facts.base.as_ref().and_then(|libc| libc.path.parent()).unwrap_or(Path::new("/lib"));
    if let Some(lone) = facts.units.iter().find_map(|unit| unit.here.as_ref()?.lone.as_ref()) {
        let (lone, dir) = (lone.display(), dir.display());
        return chosen(
            Means::Helpless,
            format!("{lone} is not in {dir} too: programs that need it would not start"),
        );
    }
    let unit = worst.map(|(unit, _)| unit.path.display().to_string()).unwrap_or_default();
    if facts.loader == Some(true) {
        chosen(Means::Nohwcap, format!("the loader leaves out {unit} while {NOHWCAP} is there"))
    } else {
        chosen(Means::Move, format!("the loader takes {unit} where it is there, and does not know {NOHWCAP}"))
    }
}

/// A folder of a unit with a libc for this kernel, which the loader prefers to the worst one: tls counts above all else.
fn nosegneg(unit: &Unit, worst: Option<&Path>) -> Option<PathBuf> {
    let in_tls = |dir: &Path| dir.iter().any(|name| name == "tls" || name == "tls.xenup");
    let tls_only = worst.and_then(Path::parent).is_some_and(in_tls);
    let has = |below: &&str| {
        let mut standings = unit.here.iter().chain(&unit.aside);
        standings.any(|standing| standing.nosegneg.contains(below))
    };
    let dirs = NOSEGNEG.iter().filter(|below| has(below)).map(|below| unit.path.join(below));
    dirs.into_iter().find(|dir| !tls_only || in_tls(dir))
}

fn steps(facts: &Facts, means: Means, variant: Option<&Path>) -> Vec<Step> {
    if means == Means::Untouched {
        return Vec::new();
    }
    let mut steps: Vec<Step> = facts.leftovers.iter().cloned().map(Step::Sweep).collect();
    if means == Means::Nohwcap && facts.flag == Flag::Absent {
        steps.push(Step::Set(NOHWCAP.into()));
    }
    let (mut moved, mut expected) = (false, Vec::new());
    for unit in &facts.units {
        let before = steps.len();
        if unit_steps(facts, means, unit, &mut steps) {
            expected.push(unit);
        }
        let renames = |step: &Step| matches!(step, Step::Supersede(_) | Step::Aside(_) | Step::Back(_));
        moved |= steps.iter().skip(before).any(renames);
    }
    if means == Means::Nosegneg && facts.told == Told::Can {
        steps.push(Step::Write(OWN_CONF.into()));
        moved = true;
    }
    // Without a cache the loader looks into the folders themselves.
    if let Some(cached) = &facts.cached_nosegneg
        && (moved || stale(facts, cached, means, variant, &expected))
    {
        steps.push(Step::Cache);
    }
    if means != Means::Nohwcap && facts.flag == Flag::Ours {
        steps.push(Step::Remove(NOHWCAP.into()));
    }
    steps
}

/// Adds the steps of one unit; returns whether a libc with thread-local storage stands under its own name afterwards.
fn unit_steps(facts: &Facts, means: Means, unit: &Unit, steps: &mut Vec<Step>) -> bool {
    let (mut here, mut aside) = (unit.here.as_ref(), unit.aside.as_ref());
    if aside.is_some() && here.is_some_and(|here| !here.holds) {
        steps.push(Step::Empty(unit.path.clone()));
        here = None;
    }
    // What dpkg wrote since takes the place of what was moved away before.
    if aside.is_some_and(|aside| here.is_some() || !current(facts, aside)) {
        steps.push(Step::Supersede(unit.aside_path()));
        aside = None;
    }
    if means == Means::Move {
        if troubles(here) {
            steps.push(Step::Aside(unit.path.clone()));
            here = None;
        }
    } else if aside.is_some() {
        steps.push(Step::Back(unit.path.clone()));
        here = aside;
    }
    troubles(here)
}

fn troubles(standing: Option<&Standing>) -> bool {
    standing.is_some_and(|standing| standing.troubling().is_some())
}

/// Whether a unit that is aside is of the libc that programs use now.
fn current(facts: &Facts, aside: &Standing) -> bool {
    let base = facts.base.as_ref().and_then(|libc| libc.banner.as_ref());
    aside.libcs.iter().all(|libc| libc.banner.as_ref() == base)
}

/// Whether ld.so.cache names what is not there, or does not name what is. Where programs' own libc uses thread-local
/// storage, the libraries are nobody's to move, and a ldconfig of today no longer looks for them.
fn stale(
    facts: &Facts,
    cached: &[PathBuf],
    means: Means,
    variant: Option<&Path>,
    expected: &[&Unit],
) -> bool {
    if means == Means::Nosegneg && !variant.is_some_and(|variant| cached.iter().any(|dir| dir == variant)) {
        return true;
    }
    let base_tls = facts.base.as_ref().is_none_or(|libc| libc.tls);
    facts.units.iter().any(|unit| {
        if expected.iter().any(|stands| stands.path == unit.path) {
            !base_tls && !unit.cached
        } else {
            unit.here.is_none() && unit.cached
        }
    })
}
