//! The picture as text. Decides lines and indents; never what is drawn.
//!
//! ASCII alone, for serial consoles and mails. A line is broken at blanks before column 80; a name or path that is
//! longer stays whole.

use std::fmt::Write as _;

use super::Picture;
use super::drawing::{Change, Drawing, Drawn, Kind};
use crate::network::one_line;

const WIDTH: usize = 80;

/// Returns the whole picture.
pub(super) fn text(picture: &Picture) -> String {
    let mut out = String::new();
    let machine = one_line(&picture.machine);
    match &picture.after {
        None => {
            let _ = writeln!(out, "{machine}");
            tree(&mut out, &picture.before);
        }
        Some(after) => {
            let _ = writeln!(out, "{machine}, as it is");
            tree(&mut out, &picture.before);
            let _ = writeln!(out, "\n{machine}, as the plan leaves it");
            tree(&mut out, after);
        }
    }
    out
}

fn tree(out: &mut String, drawing: &Drawing) {
    for top in drawing.tops() {
        out.push('\n');
        link(out, drawing, top, "", "");
    }
    if drawing.links.is_empty() {
        out.push_str("\nno links are known\n");
    }
    if !drawing.gone.is_empty() {
        let _ = writeln!(out, "\ngone: {}", drawing.gone.join(", "));
    }
}

/// Draws a link behind `first`, and everything below it behind `rest`.
fn link(out: &mut String, drawing: &Drawing, drawn: &Drawn, first: &str, rest: &str) {
    let ports: Vec<&Drawn> = drawing.ports(&drawn.name).collect();
    let name = one_line(&drawn.name);
    wrapped(out, &format!("{first}{name}  "), &format!("{rest}    "), &head(drawn));
    let stem = if ports.is_empty() { format!("{rest}    ") } else { format!("{rest}|   ") };
    for detail in details(drawn) {
        wrapped(out, &stem, &format!("{stem}  "), &detail.join(", "));
    }
    for (number, port) in (1..).zip(&ports) {
        let (corner, below) = if number == ports.len() { ("`- ", "   ") } else { ("|- ", "|  ") };
        link(out, drawing, port, &format!("{rest}{corner}"), &format!("{rest}{below}"));
    }
}

/// What stands behind a link's name.
pub(super) fn head(drawn: &Drawn) -> String {
    let mut words = Vec::new();
    words.push(one_line(&drawn.guest_words().unwrap_or_else(|| drawn.what.clone())));
    words.extend(drawn.mac.clone());
    words.extend(state(drawn).map(str::to_owned));
    words.extend(drawn.mtu.map(|mtu| format!("MTU {mtu}")));
    words.extend(drawn.change.map(|change| change_word(change).to_owned()));
    words.join(", ")
}

pub(super) fn change_word(change: Change) -> &'static str {
    match change {
        Change::New => "new",
        Change::Changed => "changed",
    }
}

/// Whether a link is up, where somebody can tell.
pub(super) fn state(drawn: &Drawn) -> Option<&'static str> {
    Some(match (drawn.up?, drawn.carrier) {
        (true, true) => "up",
        (true, false) => "up, no carrier",
        (false, _) => "down",
    })
}

/// Addresses, gateways, then each owner with its places: what belongs together in one list.
pub(super) fn details(drawn: &Drawn) -> Vec<Vec<String>> {
    let mut groups = vec![drawn.addresses.clone()];
    groups.push(drawn.gateways.iter().map(|gateway| format!("default via {gateway}")).collect());
    for owner in &drawn.owners {
        let mut items: Vec<String> = owner
            .at
            .iter()
            .map(|at| match at.line {
                0 => one_line(&at.path.display().to_string()),
                line => one_line(&format!("{}:{line}", at.path.display())),
            })
            .collect();
        match items.first_mut() {
            Some(first) => first.insert_str(0, &format!("{} ", owner.kind.program())),
            None => items.push(owner.kind.program().to_owned()),
        }
        groups.push(items);
    }
    // A port needs no stanza: the one of its master names it.
    if drawn.owners.is_empty() && drawn.master.is_none() && !matches!(drawn.kind, Kind::Vif | Kind::Other) {
        groups.push(vec!["in no file".to_owned()]);
    }
    groups.retain(|items| !items.is_empty());
    groups
}

/// Writes a text behind `first`, further lines behind `rest`.
fn wrapped(out: &mut String, first: &str, rest: &str, text: &str) {
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let wide = line.chars().count() + usize::from(!empty) + word.chars().count();
        if wide > WIDTH && !empty {
            let _ = writeln!(out, "{}", line.trim_end());
            rest.clone_into(&mut line);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    let _ = writeln!(out, "{}", line.trim_end());
}
