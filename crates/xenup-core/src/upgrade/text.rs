//! A check as text for a terminal of 80 columns. Decides the words and their order: what would happen, then what is worth
//! knowing, and at the end "Ready" or what is to be fixed first. Never: uses colour.

use crate::audit::text::{Line, labelled, summary as guests, wrapped};
use crate::inspect::{Finding, Weight};

use super::old::Old;
use super::report::{Check, Fortune, Kind, Part};
use super::sources::Fate;

const MB: u64 = 1_000_000;
const MIB: u64 = 1 << 20;

/// Returns the check as lines.
#[must_use]
pub fn lines(check: &Check) -> Vec<Line> {
    let mut out = vec![Line::Heading(title(check))];
    for (label, words) in rows(check) {
        labelled(&mut out, label, &words);
    }
    section(&mut out, "Guests that run", check.stops.is_empty());
    for (guest, words) in stops(check) {
        wrapped(&mut out, &format!("  {guest}: "), 4, &words);
    }
    section(&mut out, "To know", check.know.is_empty());
    for finding in &check.know {
        let weight = if finding.weight == Weight::Warning { "warning" } else { "note" };
        one(&mut out, weight, finding);
    }
    section(&mut out, "Not known", check.notes.is_empty() && check.audit.notes.is_empty());
    for note in check.notes.iter().chain(&check.audit.notes) {
        wrapped(&mut out, "  ", 2, note);
    }
    section(&mut out, verdict(check), false);
    for (number, finding) in (1..).zip(&check.fix) {
        one(&mut out, &format!("{number}."), finding);
    }
    out
}

fn section(out: &mut Vec<Line>, heading: &str, empty: bool) {
    if !empty {
        out.push(Line::Plain(String::new()));
        out.push(Line::Heading(heading.to_owned()));
    }
}

fn one(out: &mut Vec<Line>, label: &str, finding: &Finding) {
    labelled(out, label, &format!("{} [{}]", finding.what, finding.id));
    for at in &finding.at {
        let line = if at.line == 0 { String::new() } else { format!(":{}", at.line) };
        labelled(out, "  seen", &format!("{}{line}", at.path.display()));
    }
    labelled(out, "  why", &finding.why);
    labelled(out, "  do", &finding.fix);
}

/// Returns what the check is about.
#[must_use]
pub fn title(check: &Check) -> String {
    let to = format!("Debian {} ({})", check.to.number, check.to.name);
    match &check.from {
        Some(from) if from != &check.to => format!("From Debian {} ({}) to {to}", from.number, from.name),
        Some(_) => format!("Within {to}"),
        None => format!("To {to}"),
    }
}

/// Returns the last heading.
#[must_use]
pub fn verdict(check: &Check) -> &'static str {
    match check.fix.len() {
        0 => "Ready",
        _ => "Not ready. Fix first, in this order:",
    }
}

/// Returns what would happen, as labels and sentences.
#[must_use]
pub fn rows(check: &Check) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if !check.sources.is_empty() {
        rows.push(("sources", sources(check)));
    }
    if let Some(apt) = &check.apt {
        let counts = apt.counts;
        rows.push((
            "packages",
            format!(
                "{} upgraded, {} new, {} removed, {} kept back",
                counts.upgraded, counts.new, counts.removed, counts.not_upgraded
            ),
        ));
        if let Some(sizes) = apt.sizes {
            let disk = sizes.disk.unsigned_abs().div_ceil(MB);
            let less = if sizes.disk < 0 { "less" } else { "more" };
            rows.push((
                "sizes",
                format!("{} MB to fetch, {disk} MB {less} on the disk", sizes.download.div_ceil(MB)),
            ));
        }
        for (label, kind) in
            [("toolstack", Kind::Toolstack), ("xen", Kind::Hypervisor), ("kernels", Kind::Kernel)]
        {
            let of = check.parts.iter().filter(|part| part.kind == kind);
            let words: Vec<String> = of.map(part).collect();
            rows.push((label, if words.is_empty() { "none".to_owned() } else { words.join("; ") }));
        }
    }
    for room in &check.room {
        let words = format!(
            "{}: {} MiB taken, {} MiB free",
            room.paths.join(", "),
            room.needed.div_ceil(MIB),
            room.free / MIB
        );
        rows.push(("room", words));
    }
    if let Some(old) = &check.old {
        rows.extend(carried(old));
    }
    rows.extend(check.no_trial.as_ref().map(|why| ("trial", trial(why))));
    rows.push((
        "guests",
        format!(
            "on Xen {}: {}",
            check.audit.to.xen,
            guests(&check.audit).first().cloned().unwrap_or_default()
        ),
    ));
    rows
}

/// What is carried over from an old host, and by which verb.
fn carried(old: &Old) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let files: Vec<String> = old.converted.iter().map(|path| path.display().to_string()).collect();
    if !files.is_empty() {
        rows.push((
            "files",
            format!("in another form than today's: {} (xenup guest convert FILE)", files.join(", ")),
        ));
    }
    rows.extend(old.not_converted.iter().map(|why| ("files", format!("not converted: {why}"))));
    rows.extend(old.network.iter().map(|words| ("network", format!("{words} (xenup network import)"))));
    rows.extend(old.kernels.iter().map(|words| ("kernel", format!("to be replaced for {words}"))));
    rows
}

fn sources(check: &Check) -> String {
    let count = |test: &dyn Fn(&Fate) -> bool| check.sources.iter().filter(|entry| test(&entry.fate)).count();
    format!(
        "{} switched to {}, {} kept, {} left out",
        count(&|fate| matches!(fate, Fate::Switched { .. })),
        check.to.name,
        count(&|fate| matches!(fate, Fate::Kept)),
        count(&|fate| matches!(fate, Fate::LeftOut { .. }))
    )
}

fn part(part: &Part) -> String {
    let fortune = match part.fortune {
        Fortune::Comes => "comes",
        Fortune::Upgraded => "is upgraded",
        Fortune::LeftOver => "stays until an autoremove",
        Fortune::Stays => "stays",
        Fortune::Goes => "goes",
    };
    let runs = if part.runs { ", which runs now," } else { "" };
    format!("{} {}{runs} {fortune}", part.package, part.version)
}

fn trial(why: &[String]) -> String {
    if why.is_empty() {
        return "the new Xen can be booted once, and falls back to Linux by itself".to_owned();
    }
    format!("the new Xen cannot be booted once for a trial: {}", why.join("; "))
}

/// Returns each running guest with what becomes of it.
#[must_use]
pub fn stops(check: &Check) -> Vec<(String, String)> {
    let xen = &check.audit.to.xen;
    let words = check.stops.iter().map(|stop| {
        let memory = stop.memory.map(|mib| format!(" ({mib} MiB)")).unwrap_or_default();
        let stop_words = if stop.can_be_saved {
            format!("can be saved{memory} and restored on Xen {xen}, or shut down")
        } else {
            format!("must be shut down: a save made now is not promised to be restored by Xen {xen}")
        };
        let guest = check.audit.guests.iter().find(|guest| guest.name == stop.guest);
        let then = guest.map(|guest| format!("; there: {}", guest.verdict.words())).unwrap_or_default();
        (stop.guest.clone(), format!("{stop_words}{then}"))
    });
    words.collect()
}
