//! The picture as SVG: boxes joined by lines, in black on white, for a handbook or a printer.
//!
//! Decides: where each box stands. What carries a cable is on the left, bridges are in the middle, guests on the right.
//! Never: refers to anything outside the document; no script, no style sheet, no font of its own. Names come from
//! machines and guests: every one is escaped, control characters are taken out.

use std::fmt::Write as _;

use super::Picture;
use super::drawing::{Drawing, Drawn, Kind};
use super::text::{change_word, details, state};
use crate::markup;
use crate::network::one_line;

/// The advance of a character of a monospaced font, in tenths of its size.
const ADVANCE_TENTHS: usize = 6;
const SIZE: usize = 12;
const LINE: usize = 16;
const PAD: usize = 8;
const GAP: usize = 14;
/// Between two columns, where the lines run.
const AISLE: usize = 44;
const MARGIN: usize = 20;
/// The longest line of a box, in characters.
const WIDEST: usize = 40;
/// Slaves of bonds that carry VLANs, bonds and NICs that carry something, ports, bridges, guests.
const COLUMNS: usize = 5;
const CABLES: usize = 2;
const BRIDGES: usize = 3;
const GUESTS: usize = 4;

fn escaped(text: &str) -> String {
    // XML has no place for these two, nor for control characters.
    markup::escaped(text, |c| (c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')).then_some(' '))
}

/// A box in its place.
struct Placed {
    name: String,
    /// What stands behind the name: ` (new)`.
    mark: String,
    lines: Vec<String>,
    column: usize,
    top: usize,
}

impl Placed {
    /// The title's length, in characters.
    fn title(&self) -> usize {
        self.name.chars().count() + self.mark.chars().count()
    }

    fn height(&self) -> usize {
        box_height(self.lines.len())
    }

    fn middle(&self) -> usize {
        self.top + self.height() / 2
    }
}

fn box_height(lines: usize) -> usize {
    (lines + 1) * LINE + PAD
}

/// A drawing with every box in its place.
struct Layout {
    boxes: Vec<Placed>,
    /// From, to: names of boxes.
    lines: Vec<(String, String)>,
    bottom: usize,
}

/// Returns the document.
pub(super) fn svg(picture: &Picture) -> String {
    let machine = one_line(&picture.machine);
    let parts: Vec<(String, &Drawing)> = match &picture.after {
        None => vec![(machine.clone(), &picture.before)],
        Some(after) => {
            vec![
                (format!("{machine}, as it is"), &picture.before),
                (format!("{machine}, as the plan leaves it"), after),
            ]
        }
    };
    let mut layouts = Vec::new();
    let mut top = MARGIN;
    for (title, drawing) in parts {
        let laid = layout(drawing, top + 2 * LINE);
        let start = top;
        top = laid.bottom + 2 * LINE;
        layouts.push((title, start, laid));
    }
    let all = || layouts.iter().flat_map(|(_, _, laid)| &laid.boxes);
    let widths: Vec<usize> =
        (0..COLUMNS).map(|column| width(all().filter(|one| one.column == column))).collect();
    let lefts = lefts(&widths);
    let right =
        lefts.iter().zip(&widths).map(|(left, width)| left + width).max().unwrap_or(0).max(320) + MARGIN;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{right}\" height=\"{top}\" viewBox=\"0 0 {right} {top}\" font-family=\"DejaVu Sans Mono, Liberation Mono, monospace\" font-size=\"{SIZE}\">\n\
         <title>Network of {}</title>\n\
         <rect width=\"{right}\" height=\"{top}\" fill=\"#ffffff\"/>",
        escaped(&machine)
    );
    for (title, start, laid) in &layouts {
        let _ = writeln!(
            out,
            "<text x=\"{MARGIN}\" y=\"{}\" font-size=\"15\" font-weight=\"bold\">{}</text>",
            start + LINE,
            escaped(title)
        );
        draw(&mut out, laid, &lefts, &widths);
    }
    out.push_str("</svg>\n");
    out
}

fn width<'a>(boxes: impl Iterator<Item = &'a Placed>) -> usize {
    let wide =
        |one: &Placed| one.lines.iter().map(|line| line.chars().count()).max().unwrap_or(0).max(one.title());
    let longest = boxes.map(wide).max();
    longest.map_or(0, |longest| (longest * SIZE * ADVANCE_TENTHS).div_ceil(10) + 2 * PAD + longest / 4)
}

/// Where each column begins; a column without a box takes no room.
fn lefts(widths: &[usize]) -> Vec<usize> {
    let mut at = MARGIN;
    let mut lefts = Vec::new();
    for width in widths {
        lefts.push(at);
        if *width > 0 {
            at += width + AISLE;
        }
    }
    lefts
}

/// Gives each group of links a band: what carries it, the bridge, its guests.
fn layout(drawing: &Drawing, top: usize) -> Layout {
    let mut laid = Layout { boxes: Vec::new(), lines: Vec::new(), bottom: top };
    // A link below a VLAN stands beside it.
    let carries = |link: &Drawn| drawing.links.iter().any(|other| other.below.as_deref() == Some(&link.name));
    for link in drawing.tops().filter(|link| !carries(link)) {
        band(&mut laid, drawing, link);
    }
    for link in &drawing.links {
        if !laid.has(&link.name) {
            band(&mut laid, drawing, link);
        }
    }
    laid
}

impl Layout {
    fn has(&self, name: &str) -> bool {
        self.boxes.iter().any(|one| one.name == name)
    }
}

fn band(laid: &mut Layout, drawing: &Drawing, link: &Drawn) {
    let top = laid.bottom;
    if link.kind != Kind::Bridge {
        let column = if link.guest.is_some() { GUESTS } else { CABLES };
        laid.bottom = cabled(laid, drawing, link, column, top) + GAP;
        return;
    }
    let (mut left, mut right) = (top, top);
    for port in drawing.ports(&link.name) {
        if port.guest.is_some() {
            right = put(laid, port, GUESTS, right);
            laid.lines.push((link.name.clone(), port.name.clone()));
        } else {
            left = cabled(laid, drawing, port, CABLES, left);
            laid.lines.push((port.name.clone(), link.name.clone()));
        }
    }
    let own = box_height(lines(link).len()) + GAP;
    let high = left.max(right).max(top + own) - top;
    laid.bottom = put(laid, link, BRIDGES, top + (high - own) / 2).max(top + high) + GAP;
}

/// Places a NIC, bond or VLAN, with what it stands on to its left; returns where the next may begin.
fn cabled(laid: &mut Layout, drawing: &Drawing, link: &Drawn, column: usize, top: usize) -> usize {
    let mut bottom = top;
    let below = link.below.as_deref().and_then(|name| drawing.link(name));
    if let Some(left) = column.checked_sub(1).filter(|left| *left < CABLES) {
        for under in drawing.ports(&link.name).chain(below).filter(|under| under.name != link.name) {
            if !laid.has(&under.name) {
                bottom = cabled(laid, drawing, under, left, bottom);
            }
            laid.lines.push((under.name.clone(), link.name.clone()));
        }
    }
    bottom.max(put(laid, link, column, top))
}

/// Places a box unless it has its place; returns where the next may begin.
fn put(laid: &mut Layout, link: &Drawn, column: usize, top: usize) -> usize {
    if laid.has(&link.name) {
        return top;
    }
    let placed = Placed {
        name: link.name.clone(),
        lines: lines(link),
        column,
        top,
        mark: link.change.map(|change| format!(" ({})", change_word(change))).unwrap_or_default(),
    };
    let bottom = top + placed.height() + GAP;
    laid.boxes.push(placed);
    bottom
}

/// What stands in a box below the link's name.
fn lines(link: &Drawn) -> Vec<String> {
    let mut texts = Vec::new();
    let what = || match state(link) {
        Some(state) => format!("{}, {state}", link.what),
        None => link.what.clone(),
    };
    texts.push(one_line(&link.guest_words().unwrap_or_else(what)));
    texts.extend(link.mac.clone());
    texts.extend(link.mtu.map(|mtu| format!("MTU {mtu}")));
    texts.extend(details(link).into_iter().flatten());
    texts.iter().flat_map(|text| broken(text)).collect()
}

/// Breaks a text at blanks, and a word that is longer than a line behind a `/` or `-`.
fn broken(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDEST {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for piece in word.split_inclusive(['/', '-']) {
            if !line.is_empty() && line.chars().count() + piece.chars().count() > WIDEST {
                lines.push(std::mem::take(&mut line));
            }
            for letter in piece.chars() {
                if line.chars().count() >= WIDEST {
                    lines.push(std::mem::take(&mut line));
                }
                line.push(letter);
            }
        }
    }
    lines.push(line);
    lines
}

fn draw(out: &mut String, laid: &Layout, lefts: &[usize], widths: &[usize]) {
    let left = |one: &Placed| lefts.get(one.column).copied().unwrap_or(MARGIN);
    let wide = |one: &Placed| widths.get(one.column).copied().unwrap_or(0);
    let find = |name: &str| laid.boxes.iter().find(|one| one.name == name);
    for (from, to) in &laid.lines {
        let (Some(from), Some(to)) = (find(from), find(to)) else { continue };
        let (x1, x2) = (left(from) + wide(from), left(to));
        let half = usize::midpoint(x1, x2);
        let _ = writeln!(
            out,
            "<polyline points=\"{x1},{} {half},{} {half},{} {x2},{}\" fill=\"none\" stroke=\"#000000\" stroke-width=\"1.5\"/>",
            from.middle(),
            from.middle(),
            to.middle(),
            to.middle()
        );
    }
    for one in &laid.boxes {
        let stroke = if one.mark.is_empty() { "1" } else { "3" };
        let _ = writeln!(
            out,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"3\" fill=\"#ffffff\" stroke=\"#000000\" stroke-width=\"{stroke}\"/>",
            left(one),
            one.top,
            wide(one),
            one.height()
        );
        let x = left(one) + PAD;
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"{}\"><tspan font-weight=\"bold\">{}</tspan>{}</text>",
            one.top + LINE,
            escaped(&one.name),
            one.mark
        );
        for (number, line) in (2..).zip(&one.lines) {
            let y = one.top + LINE * number;
            let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" fill=\"#333333\">{}</text>", escaped(line));
        }
    }
}
