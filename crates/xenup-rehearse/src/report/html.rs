//! The report as one page for a browser, a telephone or paper.
//!
//! It decides looks alone. Colour never says what a word does not say too; nothing is loaded from anywhere.

use std::fmt::Write as _;

use super::{Outcome, Report, Step, Verdict, duration, figure};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--faint:#6a737d;--line:#d5dae0;--bar:#3b74b8;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ed;--paper:#14171b;--faint:#98a2ad;--line:#343b43;--bar:#6aa3e6;--bad:#f28b82}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:1rem;font:1rem/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
h1{font-size:1.4rem;margin:.5rem 0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
.verdict{font-weight:600}.failed{color:var(--bad)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem}dt{color:var(--faint)}dd{margin:0;overflow-wrap:anywhere}
ol{list-style:none;margin:0;padding:0}li{padding:.5rem 0;border-top:1px solid var(--line)}
.head{display:flex;gap:1rem;justify-content:space-between}.time{white-space:nowrap;font-variant-numeric:tabular-nums}
.track{height:.4rem;margin:.25rem 0}.bar{height:100%;min-width:2px;background:var(--bar)}.failed .bar{background:var(--bad)}
.outcome,.detail{color:var(--faint);font-size:.9rem;white-space:pre-wrap;overflow-wrap:anywhere}.failed .outcome{color:var(--bad);font-weight:600}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .5rem .25rem 0;border-top:1px solid var(--line)}td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
pre{overflow-x:auto;padding:.5rem;border:1px solid var(--line);font:.8rem/1.35 ui-monospace,monospace}
@media print{body{max-width:none;font-size:10pt}pre{white-space:pre-wrap;overflow-wrap:anywhere}li,pre,tr{break-inside:avoid}.bar{print-color-adjust:exact}}
";

pub(super) fn page(report: &Report) -> String {
    let title = escaped(&report.title);
    let mut out = String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n");
    let _ =
        writeln!(out, "<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>");
    let class = if report.verdict == Verdict::Failed { "verdict failed" } else { "verdict" };
    let _ = writeln!(out, "<p class=\"{class}\">{} in {}</p>", report.verdict, duration(report.seconds));
    facts(&mut out, report);
    steps(&mut out, report);
    measurements(&mut out, report);
    excerpts(&mut out, report);
    out.push_str("</body>\n</html>\n");
    out
}

fn facts(out: &mut String, report: &Report) {
    if report.facts.is_empty() {
        return;
    }
    out.push_str("<dl>\n");
    for (name, value) in &report.facts {
        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value));
    }
    out.push_str("</dl>\n");
}

fn steps(out: &mut String, report: &Report) {
    let longest = report.steps.iter().map(|step| step.seconds).fold(0.0, f64::max);
    out.push_str("<h2>Steps</h2>\n<ol>\n");
    for step in &report.steps {
        one_step(out, step, longest);
    }
    out.push_str("</ol>\n");
}

fn one_step(out: &mut String, step: &Step, longest: f64) {
    let class = if step.outcome == Outcome::Failed { " class=\"failed\"" } else { "" };
    let share = if longest > 0.0 { step.seconds / longest * 100.0 } else { 0.0 };
    let _ = writeln!(
        out,
        "<li{class}><div class=\"head\"><span>{}</span><span class=\"time\">{}</span></div>",
        escaped(&step.name),
        duration(step.seconds)
    );
    let _ = writeln!(out, "<div class=\"track\"><div class=\"bar\" style=\"width:{share:.1}%\"></div></div>");
    let _ = writeln!(out, "<div class=\"outcome\">{}</div>", step.outcome);
    for detail in &step.details {
        let _ = writeln!(out, "<div class=\"detail\">{}</div>", escaped(detail));
    }
    out.push_str("</li>\n");
}

fn measurements(out: &mut String, report: &Report) {
    if report.measurements.is_empty() {
        return;
    }
    out.push_str("<h2>Figures</h2>\n<table>\n<tr><th>Step</th><th>What</th><th>Figure</th></tr>\n");
    for one in &report.measurements {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{} {}</td></tr>",
            escaped(&one.step),
            escaped(&one.name),
            figure(one.value),
            escaped(&one.unit)
        );
    }
    out.push_str("</table>\n");
}

fn excerpts(out: &mut String, report: &Report) {
    if report.console_excerpts.is_empty() {
        return;
    }
    out.push_str("<h2>Console</h2>\n");
    for excerpt in &report.console_excerpts {
        let (step, title) = (escaped(&excerpt.step), escaped(&excerpt.title));
        let _ = writeln!(out, "<p>{step}: {title}</p>\n<pre>{}</pre>", escaped(&excerpt.text));
    }
}

/// Text for HTML, in elements and in attributes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            // A control character has no place in HTML; what the machine printed is untrusted.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
