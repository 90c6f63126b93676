//! What GRUB boots when nobody chooses, and whether it still does once Xen's entries are in the menu.
//!
//! Decides: which entry the default is, as GRUB finds it, and by which name it stays that entry. GRUB takes a number, an
//! id or a title, `>` leading into a submenu; what it does not find is the first entry (its normal/menu.c, 2.06 and
//! 2.12); `saved` is what stands in grubenv (its 00_header). 20_linux_xen writes its two entries behind those of 10_linux
//! and before those of every later script, so numbers from there on name others then.
//! Never: chooses another default than the one that is there, but where that is Xen.

use std::path::Path;

use crate::inspect::Finding;
use crate::inspect::facts::{Boot, GrubEntry};

use super::text::{Pinned, default_id};
use super::{Entries, LAST, known_good};

/// How 10_linux and 20_linux_xen begin the id of their submenu.
const SUBMENU: &str = "gnulinux-advanced-";

/// Returns the default that stays until a trial boot of Xen is confirmed.
///
/// # Errors
/// A finding, where the default would become another entry and has no name that could be written in its place.
pub(super) fn kept(boot: &Boot, entries: &Entries) -> Result<Pinned, Box<Finding>> {
    let menu = Menu { entries: &boot.entries };
    let top = menu.top();
    let spec = chosen(boot);
    // It is in custom.cfg, which is not part of the menu that was read, and it boots Xen.
    if spec == known_good::ID {
        return Ok(Pinned::Linux);
    }
    let (first, rest) = split(&spec);
    let found = menu.find(&top, &first);
    let Some(place) = found.or((!top.is_empty()).then_some(0)) else { return Ok(Pinned::Linux) };
    let Some(entry) = top.get(place).and_then(|at| boot.entries.get(*at)) else { return Ok(Pinned::Linux) };
    let booted = menu.booted(&top, &spec);
    if booted.is_none_or(|booted| booted.xen || booted.id == entries.linux) {
        return Ok(Pinned::Linux);
    }
    let is_ours = boot.grub_set_at.get("GRUB_DEFAULT").is_some_and(|at| at.path == Path::new(LAST));
    let stays = number(&first).is_none_or(|number| number < xen_place(boot, &top, entries));
    match (found, is_ours) {
        (Some(_), false) if stays => Ok(Pinned::Theirs),
        (Some(_), true) if stays => Ok(Pinned::Entry(spec)),
        // Nor does a name stay that nothing has: Xen's entries may have it.
        _ => named(&menu, &top, place, entry, rest)
            .map(Pinned::Entry)
            .ok_or_else(|| Box::new(nameless(boot, entry))),
    }
}

/// Returns what grub.cfg says as its default, where that can be compared: `default` is the one that was kept.
pub(super) fn in_menu(boot: &Boot, entries: &Entries, default: &Pinned) -> Option<String> {
    match default {
        Pinned::Linux => Some(entries.linux.clone()),
        Pinned::Xen => Some(default_id(boot, entries).to_owned()),
        Pinned::Made => Some(entries.xen.clone()),
        Pinned::Entry(name) | Pinned::Known(name) => Some(name.clone()),
        Pinned::Theirs => match written(boot) {
            "saved" => Some("${saved_entry}".to_owned()),
            "" => Some("0".to_owned()),
            other if other == "${saved_entry}" || is_plain(other) => Some(other.to_owned()),
            _ => None,
        },
    }
}

/// Returns whether GRUB boots what stands in grubenv.
pub(super) fn is_saved(boot: &Boot) -> bool {
    matches!(written(boot), "saved" | "${saved_entry}")
}

/// Debian's xen.cfg computes the variable, so that it may be unknown where the menu tells.
fn written(boot: &Boot) -> &str {
    boot.grub.get("GRUB_DEFAULT").or(boot.menu_default.as_ref()).map_or("", String::as_str)
}

fn chosen(boot: &Boot) -> String {
    let spec = if is_saved(boot) {
        boot.grubenv.get("saved_entry").map_or("", String::as_str)
    } else {
        written(boot)
    };
    if spec.is_empty() { "0".to_owned() } else { spec.to_owned() }
}

/// Splits at the first `>`; a doubled one stands for itself.
fn split(spec: &str) -> (String, Option<&str>) {
    let mut first = String::new();
    let mut chars = spec.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == '>' && chars.next_if(|(_, next)| *next == '>').is_none() {
            return (first, spec.get(at + 1..));
        }
        first.push(c);
    }
    (first, None)
}

/// Reads a number as GRUB's strtoul does: what stands behind the digits does not count, not even in a title.
fn number(word: &str) -> Option<usize> {
    let word = word.trim_start();
    let octal = word.strip_prefix('0').filter(|rest| rest.starts_with(|c: char| c.is_digit(8)));
    let (digits, radix) = match (word.strip_prefix("0x"), octal) {
        (Some(hex), _) => (hex, 16),
        (None, Some(rest)) => (rest, 8),
        (None, None) => (word, 10),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    usize::from_str_radix(digits.get(..end)?, radix).ok()
}

/// The menu; entries are named by their place in the whole list.
struct Menu<'a> {
    entries: &'a [GrubEntry],
}

impl Menu<'_> {
    fn top(&self) -> Vec<usize> {
        self.level(0, 0)
    }

    /// Returns the entries of one level from `start` on, up to the end of the submenu they are in.
    fn level(&self, start: usize, depth: usize) -> Vec<usize> {
        let inside =
            self.entries.iter().enumerate().skip(start).take_while(|(_, entry)| entry.within.len() >= depth);
        inside.filter(|(_, entry)| entry.within.len() == depth).map(|(at, _)| at).collect()
    }

    /// Returns the place in a level.
    fn find(&self, level: &[usize], word: &str) -> Option<usize> {
        match number(word) {
            Some(number) => (number < level.len()).then_some(number),
            None => level.iter().position(|at| {
                self.entries.get(*at).is_some_and(|entry| entry.title == word || entry.id == word)
            }),
        }
    }

    /// Returns the entry that is booted in the end; a submenu boots its own default.
    fn booted(&self, top: &[usize], spec: &str) -> Option<&GrubEntry> {
        let mut level = top.to_vec();
        let mut rest = Some(spec);
        for depth in 1.. {
            let (first, more) = rest.map(split).unwrap_or_default();
            let at = *level.get(self.find(&level, &first).unwrap_or(0))?;
            let entry = self.entries.get(at)?;
            level = if entry.submenu { self.level(at + 1, depth) } else { Vec::new() };
            if level.is_empty() {
                return Some(entry);
            }
            rest = more;
        }
        None
    }
}

/// Returns the place at the top of the menu where Xen's entries are or will be.
fn xen_place(boot: &Boot, top: &[usize], entries: &Entries) -> usize {
    let behind = top.get(entries.linux_place + 1).and_then(|at| boot.entries.get(*at));
    let has_submenu = behind.is_some_and(|entry| entry.submenu && entry.id.starts_with(SUBMENU));
    entries.linux_place + 1 + usize::from(has_submenu)
}

/// Returns a name of an entry that leads to it and to no other, with the way within it.
fn named(
    menu: &Menu<'_>,
    top: &[usize],
    place: usize,
    entry: &GrubEntry,
    rest: Option<&str>,
) -> Option<String> {
    let leads =
        |name: &&&String| is_plain(name) && number(name).is_none() && menu.find(top, name) == Some(place);
    let name = [&entry.id, &entry.title].iter().find(leads)?.replace('>', ">>");
    match rest {
        None => Some(name),
        Some(rest) => is_plain(rest).then(|| format!("{name}>{rest}")),
    }
}

/// What neither a shell nor GRUB reads in another way between double quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_control() || "\"$`\\".contains(c))
}

fn nameless(boot: &Boot, entry: &GrubEntry) -> Finding {
    let set_at = boot.grub_set_at.get("GRUB_DEFAULT").cloned();
    let finding = Finding::blocking(
        "grub-default-moves",
        format!("GRUB boots \"{}\" by its place in the menu", entry.title),
        "20_linux_xen puts Xen's entries before it: the same number would boot Xen, which has not been tried",
        "give that entry an id (menuentry ... --id NAME) and write GRUB_DEFAULT=NAME, then update-grub",
    );
    Finding { at: set_at.into_iter().collect(), ..finding }
}

#[cfg(test)]
mod tests {
    use super::{number, split};

    #[test]
    fn a_number_is_what_grub_reads_as_one() {
        let cases = [
            ("0", Some(0)),
            ("2", Some(2)),
            (" 2", Some(2)),
            ("2nd disk", Some(2)),
            ("010", Some(8)),
            ("08", Some(8)),
            ("0x1f", Some(31)),
            ("", None),
            ("saved", None),
            ("99999999999999999999999", None),
        ];
        for (word, expected) in cases {
            assert_eq!(number(word), expected, "{word}");
        }
    }

    #[test]
    fn a_doubled_sign_stands_for_itself() {
        assert_eq!(split("a>b>c"), ("a".to_owned(), Some("b>c")));
        assert_eq!(split("a>>b>c"), ("a>b".to_owned(), Some("c")));
        assert_eq!(split("a>"), ("a".to_owned(), Some("")));
        assert_eq!(split("a"), ("a".to_owned(), None));
    }
}
