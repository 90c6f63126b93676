//! Boot loader entries (the UAPI group's Boot Loader Specification, type 1): a file for each entry in loader/entries,
//! read by GRUB's `blscfg` and by systemd-boot.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{Choice, Entry};
use crate::guest::disk::files::Files;

/// The most entries that are read.
const MOST_ENTRIES: usize = 200;

/// The entry that loader.conf, or else the highest version, names; for a guest whose GRUB has no word of them.
pub(super) fn choose_alone(files: &mut Files<'_>) -> Option<Choice> {
    let conf = files.text("/boot/loader/loader.conf").unwrap_or_default();
    let default = conf.lines().find_map(|line| line.trim().strip_prefix("default")).map(str::trim);
    let default = default.filter(|default| !default.is_empty()).map(str::to_owned);
    choose(files, default.as_deref(), "default of /boot/loader/loader.conf", &BTreeMap::new())
}

/// The entry of that id (its file's name without .conf, or the start of one before `*`), or else the first.
pub(super) fn choose(
    files: &mut Files<'_>,
    default: Option<&str>,
    whence: &str,
    variables: &BTreeMap<String, String>,
) -> Option<Choice> {
    let folder = "/boot/loader/entries";
    let mut names = files.names(folder);
    names.retain(|name| name.ends_with(".conf"));
    names.sort_by(|a, b| order(b, a));
    names.truncate(MOST_ENTRIES);
    let count = names.len();
    let id = |name: &str| name.trim_end_matches(".conf").to_owned();
    let wanted = default.and_then(|default| {
        let default = default.trim_end_matches(".conf");
        let fits = |name: &&String| match default.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => id(name) == default,
        };
        let by_number = default.parse().ok().and_then(|index: usize| names.get(index));
        names.iter().find(fits).or(by_number)
    });
    let why = match (wanted, default) {
        (Some(_), Some(default)) => format!("{whence}: {default}"),
        (None, Some(default)) => format!("the highest version, since {default:?} ({whence}) is not there"),
        _ => "the highest version".to_owned(),
    };
    let name = wanted.or(names.first())?.clone();
    let file = format!("{folder}/{name}");
    let text = files.text(&file)?;
    Some(Choice { loader: "bls", file, entries: count, why, entry: read(&text, variables) })
}

fn read(text: &str, variables: &BTreeMap<String, String>) -> Entry {
    let mut entry = Entry::default();
    let mut options = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some((key, value)) = line.split_once(|c: char| c.is_ascii_whitespace()) else { continue };
        let value = value.trim();
        match key {
            "title" => value.clone_into(&mut entry.title),
            "linux" => entry.kernel = Some(value.to_owned()),
            "initrd" => entry.initrd.extend(value.split_ascii_whitespace().map(str::to_owned)),
            "options" => options.push(expanded(value, variables)),
            _ => {}
        }
    }
    // An initrd that is a variable ($tuned_initrd) is another's extra.
    entry.initrd.retain(|path| !path.starts_with('$'));
    entry.cmdline = options.join(" ");
    entry
}

/// The options with GRUB's variables in them ($kernelopts) replaced by what they are.
fn expanded(text: &str, variables: &BTreeMap<String, String>) -> String {
    let words = text.split_ascii_whitespace().map(|word| match word.strip_prefix('$') {
        Some(name) => variables.get(name.trim_matches(['{', '}'])).map_or("", String::as_str),
        None => word,
    });
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Compares versions: numbers by value, letters by order, and the longer one is the higher.
fn order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (parts(a), parts(b));
    loop {
        let ordering = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (number(a), number(b)) {
                (Some(a), Some(b)) => a.len().cmp(&b.len()).then(a.cmp(b)),
                (Some(_), None) => Ordering::Greater,
                (None, Some(_)) => Ordering::Less,
                (None, None) => a.cmp(b),
            },
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

fn number(part: &str) -> Option<&str> {
    part.starts_with(|c: char| c.is_ascii_digit()).then(|| part.trim_start_matches('0'))
}

/// Runs of digits and runs of letters.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).flat_map(runs)
}

fn runs(word: &str) -> Vec<&str> {
    let (mut runs, mut rest) = (Vec::new(), word);
    while let Some(first) = rest.chars().next() {
        let digit = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(rest.len());
        let (run, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        runs.push(run);
        rest = after;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let mut names = ["a-5.9.conf", "a-5.10.conf", "a-0-rescue.conf", "a-5.10-1.conf"];
        names.sort_by(|a, b| order(b, a));
        assert_eq!(names[2..], ["a-5.9.conf", "a-0-rescue.conf"]);
    }
}
