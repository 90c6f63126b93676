//! Changes of a guest's file that are sure, and the plan that makes them.
//!
//! Decides: how a change is written with the fewest bytes touched. Whether it is enough is judged again, by the file with
//! the change in it. Never: writes; a plan is carried out by `xenup apply`, and undone by `xenup rollback`.

use std::collections::BTreeSet;
use std::path::Path;

use xenup_engine::plan::{Plan, SCHEMA, Slug, Stage};

use crate::guest::convert::{convert, shown_diff};
use crate::guest::{GuestFile, Op, Value};
use crate::plan::step::{Draft, write};

use super::report::{Audit, Effect, Fixed, Reason};

/// One change of a guest's file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Change {
    /// As `xenup guest convert` writes it.
    #[default]
    Convert,
    /// A key gets a value.
    Set {
        /// The key.
        key: String,
        /// The value as it is written.
        value: String,
    },
    /// A word of a key's text becomes another.
    Replace {
        /// The key.
        key: String,
        /// The word.
        from: String,
        /// What stands there then.
        to: String,
    },
}

impl Change {
    /// A key that gets a text, or a number.
    pub fn set(key: &str, value: &str) -> Self {
        let number = value.bytes().all(|c| c.is_ascii_digit());
        let value = if number { value.to_owned() } else { format!("\"{value}\"") };
        Self::Set { key: key.to_owned(), value }
    }
}

/// Returns the file with every change that the reasons ask for; `None` where one of them has none, or where a change cannot
/// be made.
pub(super) fn changed(file: &GuestFile, reasons: &[Reason]) -> Option<Fixed> {
    let stops = || reasons.iter().filter(|reason| reason.effect == Effect::Stops);
    if stops().any(|reason| reason.edits.is_empty()) {
        return None;
    }
    let edits: Vec<&Change> = stops().flat_map(|reason| &reason.edits).collect();
    let typed = edits.iter().any(|edit| matches!(edit, Change::Set { key, .. } if key == "type"));
    let old = file.settings().keys().any(|key| matches!(*key, "builder" | "pvh"));
    let mut text = file.text().to_owned();
    if edits.contains(&&Change::Convert) || typed && old {
        text = convert(file).ok()?.after;
    }
    for edit in &edits {
        text = match edit {
            Change::Convert => text,
            Change::Set { key, value } => set(&text, key, value)?,
            Change::Replace { key, from, to } => replaced(&text, key, from, to)?,
        };
    }
    let path = file.path();
    let names = (format!("{} (as it is)", path.display()), format!("{} (changed)", path.display()));
    let before = file.text().to_owned();
    let diff = shown_diff(&before, &text, (&names.0, &names.1));
    let mut changes: Vec<String> = stops().filter_map(|reason| reason.change.clone()).collect();
    changes.dedup();
    Some(Fixed { changes, diff, before, after: text })
}

fn parsed(text: &str) -> Option<GuestFile> {
    GuestFile::parse("guest", text.as_bytes().to_vec()).ok()
}

/// Gives a key a value: where it is set last, or at the end.
fn set(text: &str, key: &str, value: &str) -> Option<String> {
    let file = parsed(text)?;
    let Some(setting) = file.settings().remove(key) else {
        let feed = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        return Some(format!("{text}{feed}{key} = {value}\n"));
    };
    let statement = file.statements().get(setting.statement).filter(|statement| statement.op == Op::Set)?;
    let (before, behind) = (text.get(..statement.node.span.start)?, text.get(statement.node.span.end..)?);
    Some(format!("{before}{value}{behind}"))
}

/// Replaces a word that stands once in the text of a key.
fn replaced(text: &str, key: &str, from: &str, to: &str) -> Option<String> {
    let file = parsed(text)?;
    // A conversion joins root and extra to cmdline.
    let settings = file.settings();
    let (key, from, to) = match (settings.contains_key(key), key) {
        (true, "root") => ("root", from.strip_prefix("root=")?, to.strip_prefix("root=")?),
        (true, key) => (key, from, to),
        (false, _) => ("cmdline", from, to),
    };
    let setting = settings.get(key)?;
    let statement = file.statements().get(setting.statement).filter(|statement| statement.op == Op::Set)?;
    let Value::Text(_) = statement.node.value else { return None };
    let span = statement.node.span.clone();
    let source = text.get(span.clone())?;
    let ends = |at: usize| {
        let next = source.get(at..)?.chars().next()?;
        Some(next.is_whitespace() || matches!(next, '"' | '\''))
    };
    let mut found = source.match_indices(from).filter(|(at, _)| ends(at + from.len()) == Some(true));
    let (at, _) = found.next()?;
    if found.next().is_some() {
        return None;
    }
    let (head, tail) = (source.get(..at)?, source.get(at.checked_add(from.len())?..)?);
    Some(format!("{}{head}{to}{tail}{}", text.get(..span.start)?, text.get(span.end..)?))
}

/// Returns the plan that changes the files of an audit as far as that is sure. `place` gives the file that a path leads
/// to.
#[must_use]
pub fn plan(audit: &Audit, machine_id: &str, place: &dyn Fn(&Path) -> Option<std::path::PathBuf>) -> Plan {
    let (mut places, mut ids) = (BTreeSet::new(), BTreeSet::new());
    let steps: Vec<_> = audit
        .fixes()
        .filter_map(|(path, fixed)| {
            // Two names may lead to one file.
            let path = place(path).filter(|path| places.insert(path.clone()))?;
            let action = write(&path, &fixed.after, Some(&fixed.before))?;
            let title = format!("Change {}", path.display());
            let id = free(&mut ids, &format!("guest-{}", path.display()));
            Some(Draft::new(id.as_str(), title, fixed.changes.join("; "), action).step())
        })
        .collect();
    let stages = if steps.is_empty() {
        Vec::new()
    } else {
        let title = format!("Guest files as Xen {} starts them", audit.to.xen);
        vec![Stage { id: Slug::of("guests"), title, guard: None, no_return: None, steps, checks: Vec::new() }]
    };
    Plan {
        schema: SCHEMA,
        machine_id: machine_id.to_owned(),
        purpose: format!("start guests on Xen {}", audit.to.xen),
        not_restored: Vec::new(),
        stages,
    }
}

/// Takes a step's name that no other has: a slug tells fewer files apart than a path.
fn free(taken: &mut BTreeSet<Slug>, wanted: &str) -> Slug {
    let mut slug = Slug::of(wanted);
    let mut number = 1_u64;
    while !taken.insert(slug.clone()) {
        number = number.saturating_add(1);
        slug = Slug::of(&format!("{wanted}-{number}"));
    }
    slug
}

#[cfg(test)]
mod tests {
    use super::{replaced, set};

    #[test]
    fn a_key_is_set_where_it_stands_or_at_the_end() {
        assert_eq!(
            set("type = 'pv' # old\nname='a'", "type", "\"pvh\"").unwrap(),
            "type = \"pvh\" # old\nname='a'"
        );
        assert_eq!(set("name='a'", "type", "\"pvh\"").unwrap(), "name='a'\ntype = \"pvh\"\n");
        assert_eq!(set("type='pv'\ntype='hvm'\n", "type", "1").unwrap(), "type='pv'\ntype=1\n");
        assert_eq!(set("type += 'pv'\n", "type", "1"), None);
    }

    #[test]
    fn a_word_is_replaced_where_it_stands_once() {
        let once = |text: &str| replaced(text, "cmdline", "root=/dev/sda1", "root=/dev/xvda1");
        assert_eq!(once("cmdline='root=/dev/sda1 ro'\n").unwrap(), "cmdline='root=/dev/xvda1 ro'\n");
        assert_eq!(once("cmdline='root=/dev/sda10 ro'\n"), None);
        assert_eq!(once("cmdline='root=/dev/sda1 root=/dev/sda1'\n"), None);
        let root = replaced("root = '/dev/sda1 ro'\n", "root", "root=/dev/sda1", "root=/dev/xvda1");
        assert_eq!(root.unwrap(), "root = '/dev/xvda1 ro'\n");
    }
}
