//! The deb822 style: stanzas of fields. Decides which words of `Suites:` change; a stanza of which nothing is left is
//! switched off with `Enabled: no`.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use crate::inspect::facts::At;

use super::{Entry, Fate, Switch};

/// A word of a field: its place in the file.
type Word = Range<usize>;

/// The fields of a stanza that matter here.
#[derive(Default)]
struct Stanza {
    types: Vec<Word>,
    uris: Vec<Word>,
    suites: Vec<Word>,
    signed_by: Vec<Word>,
    enabled: Vec<Word>,
    /// The line of `URIs:`.
    line: u32,
    /// Where its first field begins.
    start: Option<usize>,
}

impl Stanza {
    fn field(&mut self, name: &str) -> Option<&mut Vec<Word>> {
        match name.to_ascii_lowercase().as_str() {
            "types" => Some(&mut self.types),
            "uris" => Some(&mut self.uris),
            "suites" => Some(&mut self.suites),
            "signed-by" => Some(&mut self.signed_by),
            "enabled" => Some(&mut self.enabled),
            _ => None,
        }
    }
}

/// Returns the text for the other release, and its entries.
pub(super) fn switched(path: &Path, text: &str, switch: &Switch<'_>) -> (String, Vec<Entry>) {
    let mut entries = Vec::new();
    let mut edits: Vec<(Word, String)> = Vec::new();
    for stanza in stanzas(text) {
        edit(path, text, &stanza, switch, &mut entries, &mut edits);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    edits.sort_by_key(|(place, _)| place.start);
    for (place, new) in edits {
        out.push_str(text.get(at..place.start).unwrap_or_default());
        out.push_str(&new);
        at = place.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    (out, entries)
}

fn edit(
    path: &Path,
    text: &str,
    stanza: &Stanza,
    switch: &Switch<'_>,
    entries: &mut Vec<Entry>,
    edits: &mut Vec<(Word, String)>,
) {
    let of = |word: &Word| text.get(word.clone()).unwrap_or_default();
    let off = |word: &str| {
        matches!(word.to_ascii_lowercase().as_str(), "no" | "false" | "off" | "0" | "without" | "disable")
    };
    if stanza.enabled.first().is_some_and(|word| off(of(word))) {
        return;
    }
    if stanza.uris.is_empty() || stanza.suites.is_empty() {
        return;
    }
    let binary = stanza.types.iter().any(|word| of(word) == "deb");
    if !binary && !stanza.types.iter().any(|word| of(word) == "deb-src") {
        return;
    }
    let signed_by: Vec<&str> = stanza.signed_by.iter().map(of).collect();
    let signed_by = signed_by.join(" ");
    let mut named: BTreeSet<String> = BTreeSet::new();
    let (mut gone, mut left) = (Vec::new(), 0_usize);
    let mut foreign: Vec<bool> = vec![true; stanza.uris.len()];
    for suite in &stanza.suites {
        let mut kept: Option<Fate> = None;
        for (uri, foreign) in stanza.uris.iter().zip(&mut foreign) {
            let (origin, fate) = switch.judge(of(uri), of(suite), &signed_by);
            if !matches!(fate, Fate::LeftOut { .. }) {
                *foreign = false;
                kept = Some(fate.clone());
            }
            entries.push(Entry {
                at: At { path: path.to_owned(), line: stanza.line },
                uri: of(uri).to_owned(),
                suite: of(suite).to_owned(),
                origin,
                binary,
                fate,
            });
        }
        // A suite that several of the names come to is named once.
        match kept {
            Some(Fate::Switched { to }) if named.insert(to.clone()) => edits.push((suite.clone(), to)),
            Some(Fate::Kept) if named.insert(of(suite).to_owned()) => {}
            Some(_) => gone.push(suite.clone()),
            None => {
                left = left.saturating_add(1);
                gone.push(suite.clone());
            }
        }
    }
    if left < stanza.suites.len() {
        removed(text, &stanza.suites, &gone, edits);
        let uris = stanza.uris.iter().zip(&foreign).filter(|(_, foreign)| **foreign);
        let uris: Vec<Word> = uris.map(|(uri, _)| uri.clone()).collect();
        removed(text, &stanza.uris, &uris, edits);
        return;
    }
    match (stanza.enabled.first(), stanza.start) {
        (Some(word), _) => edits.push((word.clone(), "no".to_owned())),
        (None, Some(start)) => edits.push((start..start, "Enabled: no\n".to_owned())),
        (None, None) => {}
    }
}

/// Takes words out of a field whose words are `all`: a continued line that would be left blank would end the stanza, and
/// goes as a whole.
fn removed(text: &str, all: &[Word], gone: &[Word], edits: &mut Vec<(Word, String)>) {
    for word in gone {
        let line = line_of(text, word);
        let continued = text.get(line.clone()).is_some_and(|line| line.starts_with([' ', '\t']));
        let mut beside = all.iter().filter(|other| line.contains(&other.start));
        let place = if continued && beside.all(|other| gone.contains(other)) {
            line
        } else {
            let before = text.get(line.start..word.start).unwrap_or_default();
            let after = text.get(word.end..line.end).unwrap_or_default();
            let blanks = after.len().saturating_sub(after.trim_start_matches([' ', '\t']).len());
            // The first word of a line takes the blanks behind it along, any other those before it.
            let bare = before.trim_end_matches([' ', '\t']);
            if bare.is_empty() || bare.ends_with(':') {
                word.start..word.end.saturating_add(blanks)
            } else {
                line.start.saturating_add(bare.len())..word.end
            }
        };
        if edits.iter().all(|(other, _)| *other != place) {
            edits.push((place, String::new()));
        }
    }
}

/// The line that a word stands in, with its end.
fn line_of(text: &str, word: &Word) -> Range<usize> {
    let before = text.get(..word.start).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
    let behind = text.get(word.end..).unwrap_or_default();
    let end = behind.find('\n').map_or(text.len(), |at| word.end.saturating_add(at).saturating_add(1));
    start..end
}

fn stanzas(text: &str) -> Vec<Stanza> {
    let mut stanzas = vec![Stanza::default()];
    let mut field = String::new();
    let mut at = 0_usize;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let start = at;
        at = at.saturating_add(line.len());
        let Some(stanza) = stanzas.last_mut() else { break };
        if line.trim().is_empty() {
            field.clear();
            stanzas.push(Stanza::default());
        } else if line.starts_with('#') {
        } else if line.starts_with([' ', '\t']) {
            if let Some(words) = stanza.field(&field) {
                words.extend(words_of(line, start));
            }
        } else if let Some((name, value)) = line.split_once(':') {
            stanza.start.get_or_insert(start);
            name.trim().clone_into(&mut field);
            if field.eq_ignore_ascii_case("uris") {
                stanza.line = number;
            }
            let value_at = start.saturating_add(line.len().saturating_sub(value.len()));
            if let Some(words) = stanza.field(&field) {
                *words = words_of(value, value_at);
            }
        }
    }
    stanzas
}

/// The words of a text that begins at `at` of its file.
fn words_of(text: &str, at: usize) -> Vec<Word> {
    let mut words = Vec::new();
    let mut begun: Option<usize> = None;
    for (place, c) in text.char_indices() {
        match (c.is_whitespace(), begun) {
            (false, None) => begun = Some(place),
            (true, Some(start)) => {
                words.push(at.saturating_add(start)..at.saturating_add(place));
                begun = None;
            }
            _ => {}
        }
    }
    words.extend(begun.map(|start| at.saturating_add(start)..at.saturating_add(text.len())));
    words
}
