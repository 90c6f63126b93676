//! A check as one page for a browser, a telephone or paper, in the looks of an audit's page. Nothing is loaded from
//! anywhere; every text is escaped, since any of them may come from a guest or an archive.

use std::fmt::Write as _;

use crate::audit::html::{escaped, foot, head};
use crate::inspect::{Finding, Weight};

use super::report::Check;
use super::text;

/// Returns the page.
#[must_use]
pub fn page(check: &Check) -> String {
    let mut out = head(&text::title(check));
    let class = if check.ready { "starts" } else { "not" };
    let _ = writeln!(out, "<p class=\"verdict {class}\">{}</p>", escaped(short(check)));
    out.push_str("<section>\n");
    for (label, words) in text::rows(check) {
        let _ = writeln!(out, "<p><span class=\"label\">{label}</span> {}</p>", escaped(&words));
    }
    out.push_str("</section>\n");
    let stops = text::stops(check);
    if !stops.is_empty() {
        out.push_str("<h2>Guests that run</h2>\n");
        for (guest, words) in stops {
            let _ =
                writeln!(out, "<p><span class=\"label\">{}</span> {}</p>", escaped(&guest), escaped(&words));
        }
    }
    if !check.know.is_empty() {
        out.push_str("<h2>To know</h2>\n<ul class=\"reasons\">\n");
        for finding in &check.know {
            let (class, label) = match finding.weight {
                Weight::Note => ("", "note"),
                _ => ("unknown", "warning"),
            };
            one(&mut out, class, label, finding);
        }
        out.push_str("</ul>\n");
    }
    if !check.notes.is_empty() || !check.audit.notes.is_empty() {
        out.push_str("<h2>Not known</h2>\n");
        for note in check.notes.iter().chain(&check.audit.notes) {
            let _ = writeln!(out, "<p>{}</p>", escaped(note));
        }
    }
    let _ = writeln!(out, "<h2>{}</h2>", escaped(text::verdict(check)));
    if !check.fix.is_empty() {
        out.push_str("<ol class=\"reasons\">\n");
        for finding in &check.fix {
            one(&mut out, "stops", "in the way", finding);
        }
        out.push_str("</ol>\n");
    }
    foot(&mut out, "Nothing was changed. Written by xenup upgrade check.");
    out
}

fn short(check: &Check) -> &'static str {
    if check.ready { "ready" } else { "not ready" }
}

fn one(out: &mut String, class: &str, label: &str, finding: &Finding) {
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
    let _ = writeln!(out, "<p><span class=\"label\">do</span> {}</p></li>", escaped(&finding.fix));
}
