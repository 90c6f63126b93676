//! menu.lst and grub.conf of GRUB 0.9x, which old Debian guests have and pygrub and pv-grub read.

use super::{Choice, Entry, Place, device_place, folder, split_device};
use crate::guest::disk::files::Files;

/// The most entries that are read.
const MOST_ENTRIES: usize = 1000;

/// What the file would boot.
pub(super) fn choose(files: &mut Files<'_>, file: &str) -> Option<Choice> {
    let text = files.text(file)?;
    let (default, entries) = read(&text);
    let (index, why) = match default.as_deref() {
        None => (0, "the first, since no default is set".to_owned()),
        Some("saved") => saved(files, file),
        Some(number) => match number.parse() {
            Ok(index) => (index, format!("default {number}")),
            Err(_) => (0, format!("the first, since default {number:?} is no number")),
        },
    };
    let count = entries.len();
    let missing = format!("the first of {count}, since {why} is not there");
    let (entry, why) = match entries.get(index) {
        Some(entry) => (entry.clone(), why),
        None => (entries.into_iter().next()?, missing),
    };
    Some(Choice { loader: "grub-legacy", file: file.to_owned(), entries: count, why, entry })
}

/// `default saved`: the number that `savedefault` wrote into the file `default` beside the menu.
fn saved(files: &mut Files<'_>, file: &str) -> (usize, String) {
    let beside = format!("{}/default", folder(file));
    let text = files.text(&beside).unwrap_or_default();
    let number = text.lines().next().and_then(|line| line.trim().parse().ok());
    match number {
        Some(number) => (number, format!("default saved: {number} in {beside}")),
        None => (0, "the first, since default is saved and none was".to_owned()),
    }
}

fn read(text: &str) -> (Option<String>, Vec<Entry>) {
    let (mut default, mut root) = (None, Place::Unknown);
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let split = line.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(line.len());
        let (word, rest) = line.split_at_checked(split).unwrap_or_default();
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '=').trim_end();
        if word == "title" && entries.len() >= MOST_ENTRIES {
            break;
        }
        match (word, entries.last_mut()) {
            ("title", _) => {
                entries.push(Entry { title: rest.to_owned(), place: root.clone(), ..Entry::default() });
            }
            ("default", None) => default = Some(rest.to_owned()),
            ("root" | "rootnoverify", found) => {
                let device = rest.trim_start_matches('(').split(')').next().unwrap_or_default();
                let place = device_place(device, 0);
                match found {
                    Some(entry) => entry.place = place,
                    None => root = place,
                }
            }
            // Ubuntu's pv-grub of 2009 has the file system's UUID here.
            ("uuid", Some(entry)) => entry.place = Place::Uuid(rest.to_owned()),
            ("kernel", Some(entry)) => kernel(entry, rest),
            ("module", Some(entry)) => module(entry, rest),
            ("initrd", Some(entry)) => entry.initrd.push(split_device(rest, 0).1.to_owned()),
            _ => {}
        }
    }
    (default, entries)
}

fn kernel(entry: &mut Entry, rest: &str) {
    let mut words = rest.split_ascii_whitespace().skip_while(|word| word.starts_with("--"));
    let Some(path) = words.next() else { return };
    let (place, path) = split_device(path, 0);
    if let Some(place) = place {
        entry.place = place;
    }
    entry.kernel = Some(path.to_owned());
    entry.cmdline = words.collect::<Vec<_>>().join(" ");
}

/// The first module of a hypervisor is its dom0's kernel, the second the initrd.
fn module(entry: &mut Entry, rest: &str) {
    if entry.hypervisor.is_none() {
        entry.hypervisor = entry.kernel.take();
        kernel(entry, rest);
    } else {
        let path = rest.split_ascii_whitespace().next().unwrap_or_default();
        entry.initrd.push(split_device(path, 0).1.to_owned());
    }
}
