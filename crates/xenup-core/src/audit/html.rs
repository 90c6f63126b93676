//! An audit as one page for a browser, a telephone or paper. Nothing is loaded from anywhere.
//!
//! Decides looks alone. Colour never says what a word does not say too; every text is escaped, since any of them may come
//! from a guest.

use std::fmt::Write as _;

use crate::inspect::{Finding, Weight};
use crate::markup;

use super::report::{Audit, GuestReport, Reason, Verdict};
use super::text;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--faint:#5f6872;--line:#d5dae0;--good:#1a6b36;--mid:#8a5a00;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ed;--paper:#14171b;--faint:#98a2ad;--line:#343b43;--good:#7fd39a;--mid:#f0c05a;--bad:#f28b82}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:52rem;padding:1rem;font:1rem/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);overflow-wrap:anywhere}
h1{font-size:1.4rem;line-height:1.25;margin:.5rem 0}h2{font-size:1.1rem;margin:2rem 0 .5rem}h3{font-size:1rem;margin:0}
.counts{list-style:none;display:flex;flex-wrap:wrap;gap:.5rem;margin:.75rem 0;padding:0}
.counts li{border:1px solid var(--line);border-radius:.3rem;padding:.25rem .6rem}.counts b{font-size:1.2rem;margin-right:.3rem}
section{border-top:1px solid var(--line);padding:.75rem 0}
.head{display:flex;flex-wrap:wrap;gap:0 1rem;justify-content:space-between;align-items:baseline}
.verdict{font-weight:600}.starts{color:var(--good)}.change,.unknown{color:var(--mid)}.not{color:var(--bad)}
.faint,.seen{color:var(--faint);font-size:.9rem;margin:0}
ul.reasons{list-style:none;margin:.4rem 0 0;padding:0}ul.reasons>li{margin:.5rem 0;padding-left:.75rem;border-left:3px solid var(--line)}
ul.reasons>li.stops{border-color:var(--bad)}ul.reasons>li.unknown{border-color:var(--mid);color:inherit}
.label{font-weight:600}p{margin:.15rem 0}
details{margin:.5rem 0}summary{cursor:pointer}
pre{overflow-x:auto;padding:.5rem;border:1px solid var(--line);font:.8rem/1.35 ui-monospace,monospace;margin:.4rem 0}
footer{margin-top:2rem;border-top:1px solid var(--line);padding-top:.5rem}
@media print{body{max-width:none;font-size:10pt;padding:0}section,li,pre{break-inside:avoid}pre{white-space:pre-wrap}}
";

/// Returns the page.
#[must_use]
pub fn page(audit: &Audit) -> String {
    let mut out = head(&text::title(audit));
    counts(&mut out, audit);
    for guest in text::in_order(&audit.guests) {
        one(&mut out, guest, audit);
    }
    if !audit.saved.is_empty() {
        out.push_str("<h2>Saved guests</h2>\n<ul class=\"reasons\">\n");
        for save in &audit.saved {
            let label = text::restored(save.restored);
            let _ = writeln!(
                out,
                "<li><p><span class=\"label\">{label}</span> {}</p></li>",
                escaped(&text::saved_words(save))
            );
        }
        out.push_str("</ul>\n");
    }
    host(&mut out, &audit.host);
    if !audit.notes.is_empty() {
        out.push_str("<h2>Not known</h2>\n");
        for note in &audit.notes {
            let _ = writeln!(out, "<p>{}</p>", escaped(note));
        }
    }
    foot(&mut out, &format!("What is known of this Xen: {}. Written by xenup audit.", audit.to.source));
    out
}

/// The page up to its first heading.
pub(crate) fn head(title: &str) -> String {
    let title = escaped(title);
    let mut out = String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n");
    out.push_str("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n");
    let _ =
        writeln!(out, "<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>");
    out
}

/// The end of the page.
pub(crate) fn foot(out: &mut String, words: &str) {
    let _ = writeln!(out, "<footer class=\"faint\">{}</footer>", escaped(words));
    out.push_str("</body>\n</html>\n");
}

fn counts(out: &mut String, audit: &Audit) {
    let counted = &audit.counted;
    out.push_str("<ul class=\"counts\">\n");
    let guests = if counted.all == 1 { "guest" } else { "guests" };
    for (count, words, class) in [
        (counted.all, guests, ""),
        (counted.start, Verdict::Starts.words(), "starts"),
        (counted.start_after_change, Verdict::StartsAfterChange.words(), "change"),
        (counted.will_not_start, Verdict::WillNotStart.words(), "not"),
        (counted.cannot_be_told, Verdict::CannotBeTold.words(), "unknown"),
    ] {
        if count > 0 || class.is_empty() {
            let _ = writeln!(out, "<li class=\"{class}\"><b>{count}</b>{words}</li>");
        }
    }
    out.push_str("</ul>\n");
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Starts => "starts",
        Verdict::StartsAfterChange => "change",
        Verdict::WillNotStart => "not",
        Verdict::CannotBeTold => "unknown",
    }
}

fn one(out: &mut String, guest: &GuestReport, audit: &Audit) {
    let verdict = escaped(&text::verdict(guest, audit));
    let _ = writeln!(
        out,
        "<section><div class=\"head\"><h3>{}</h3><span class=\"verdict {}\">{verdict}</span></div>",
        escaped(&guest.name),
        class(guest.verdict)
    );
    let _ = writeln!(out, "<p class=\"faint\">{}</p>", escaped(&text::described(guest)));
    if let Some(boots) = &guest.boots {
        let _ = writeln!(out, "<p>boots {}</p>", escaped(boots));
    }
    if !guest.reasons.is_empty() {
        out.push_str("<ul class=\"reasons\">\n");
        for reason in &guest.reasons {
            because(out, reason);
        }
        out.push_str("</ul>\n");
    }
    if let Some(fixed) = &guest.fix {
        let _ = writeln!(
            out,
            "<details open><summary>What <code>xenup audit --fix</code> changes</summary><pre>{}</pre></details>",
            escaped_lines(&fixed.diff)
        );
    }
    out.push_str("</section>\n");
}

fn because(out: &mut String, reason: &Reason) {
    let label = text::effect(reason.effect);
    let class = match label {
        "stops" => "stops",
        "not known" => "unknown",
        _ => "",
    };
    let _ = writeln!(
        out,
        "<li class=\"{class}\"><p><span class=\"label\">{label}</span> {}</p>",
        escaped(&reason.what)
    );
    for evidence in &reason.evidence {
        let _ = writeln!(out, "<p class=\"seen\">{}</p>", escaped(&evidence.to_string()));
    }
    if let Some(change) = &reason.change {
        let _ = writeln!(out, "<p><span class=\"label\">change</span> {}</p>", escaped(change));
    }
    out.push_str("</li>\n");
}

fn host(out: &mut String, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    out.push_str("<h2>The host</h2>\n<ul class=\"reasons\">\n");
    for finding in findings {
        let (class, label) = match finding.weight {
            Weight::Blocks => ("stops", "in the way"),
            Weight::Warning => ("unknown", "warning"),
            Weight::Note => ("", "to know"),
        };
        let _ = writeln!(
            out,
            "<li class=\"{class}\"><p><span class=\"label\">{label}</span> {}</p><p class=\"seen\">{}</p>",
            escaped(&finding.what),
            escaped(&finding.why)
        );
        for at in &finding.at {
            let line = if at.line == 0 { String::new() } else { format!(":{}", at.line) };
            let _ = writeln!(out, "<p class=\"seen\">{}{line}</p>", escaped(&at.path.display().to_string()));
        }
        let _ = writeln!(out, "<p><span class=\"label\">change</span> {}</p></li>", escaped(&finding.fix));
    }
    out.push_str("</ul>\n");
}

/// Text whose lines and tabs stay.
fn escaped_lines(text: &str) -> String {
    let line = |line: &str| line.split('\t').map(escaped).collect::<Vec<_>>().join("\t");
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Text for HTML, in elements and in attributes.
pub(crate) fn escaped(text: &str) -> String {
    // A control character has no place in HTML; marks that turn the direction of text hide what stands there.
    markup::escaped(text, |c| crate::guest::disk::hides(c).then_some('\u{fffd}'))
}
