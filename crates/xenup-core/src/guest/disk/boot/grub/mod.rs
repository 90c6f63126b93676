//! grub.cfg of GRUB 2: a script, of which as much is carried out as decides what boots.
//!
//! Decides: the menu, its default, and what the default's body loads. Conditions are evaluated; commands that change
//! nothing about that count as done. Bounded in words, depth and steps, whatever the script says.

mod parse;
mod run;
mod words;

use super::{Choice, Entry, bls, folder};
use crate::guest::disk::files::Files;
use run::{Item, Machine};

/// What is noted of a script with a loop that has no end of its own.
pub(crate) const LOOPS: &str = "while and until are not carried out: what it boots may be another entry";

/// The deepest submenu that is gone into.
const DEEPEST_MENU: usize = 8;

/// What the file would boot.
pub(super) fn choose(files: &mut Files<'_>, file: &str) -> Option<Choice> {
    let text = files.text(file)?;
    let mut machine = Machine::new(files, folder(file));
    let mut menu = machine.menu_of(&text);
    if machine.has_bls {
        let (default, variables) = (machine.variables.get("default").cloned(), machine.variables.clone());
        let saved = default.filter(|default| !default.is_empty());
        let choice = bls::choose(files, saved.as_deref(), "default of grub.cfg", &variables);
        // Entries of the script itself follow those of blscfg; the default is mostly one of the latter.
        if choice.is_some() {
            return choice;
        }
        machine = Machine::new(files, folder(file));
        menu = machine.menu_of(&text);
    }
    let entries = menu.len();
    let wanted = machine.variables.get("default").cloned().unwrap_or_default();
    let mut why = if wanted.is_empty() {
        "the first, since no default is set".to_owned()
    } else {
        format!("set default={wanted:?}{}", machine.whence_default())
    };
    let mut path = wanted.split('>');
    let mut chosen = None;
    for _ in 0..DEEPEST_MENU {
        let name = path.next().unwrap_or_default();
        let item = match find(&menu, name) {
            Some(item) => item.clone(),
            None => {
                why = format!("the first, since {why} names no entry");
                menu.first()?.clone()
            }
        };
        if !item.submenu {
            chosen = Some(item);
            break;
        }
        menu = machine.submenu(&item);
    }
    let item = chosen?;
    let entry = Entry { title: item.title.clone(), ..machine.boot(&item) };
    machine.say_notes(file);
    Some(Choice { loader: "grub", file: file.to_owned(), entries, why, entry })
}

/// An entry by number, id or title; an empty name is the first.
fn find<'m>(menu: &'m [Item], name: &str) -> Option<&'m Item> {
    if name.is_empty() {
        return menu.first();
    }
    let named = menu.iter().find(|item| item.title == name || item.id.as_deref() == Some(name));
    named.or_else(|| menu.get(name.parse::<usize>().ok()?))
}
