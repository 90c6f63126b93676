//! Kconfig trees and profiles: tests/cases/kconfig/<case>/{tree/, role.toml, with.toml?, config?, explain?} → expected/:
//! `refused.txt` where the profile or the tree cannot be used, else `wishes`, and `lost.txt` with a `config` that the
//! tree's make could have made, and `explain.json` for each symbol in `explain`.
#![allow(clippy::disallowed_methods, reason = "tests read their own case folders")]
#![allow(clippy::unwrap_used, reason = "a case that cannot be read is a broken test")]

mod cases_of;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use cases_of::{every_case, optional_text};
use proptest::prelude::*;
use xenup_core::kernel::describe::describe;
use xenup_core::kernel::explain::lost;
use xenup_core::kernel::kconfig::{self, Tree, Values};
use xenup_core::kernel::linux::{self, KNOWN, Linux};
use xenup_core::kernel::profile::{ComposeError, Part, PartKind, Request, Shelf};
use xenup_machine::fake::FakeMachine;
use xenup_machine::file::Attributes;

fn files(machine: &mut FakeMachine, root: &Path, folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(machine, root, &path);
        } else {
            let inside = Path::new("/").join(path.strip_prefix(root).unwrap());
            machine.put(inside, &std::fs::read(&path).unwrap(), &Attributes::root(0o644));
        }
    }
}

fn tree(case: &Path) -> FakeMachine {
    let mut machine = FakeMachine::new();
    files(&mut machine, &case.join("tree"), &case.join("tree"));
    machine
}

fn chain(error: &dyn Error) -> String {
    let mut words = format!("{error}\n");
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let _ = writeln!(words, "  caused by: {deeper}");
        cause = deeper.source();
    }
    words
}

fn refused(error: &ComposeError) -> String {
    match error {
        ComposeError::Profile(error) => {
            error.faults.iter().map(|fault| format!("{fault}\n  hint: {}\n", fault.hint)).collect()
        }
        ComposeError::Role { hint, .. } | ComposeError::Addition { hint, .. } => {
            format!("{error}\n  hint: {hint}\n")
        }
    }
}

fn outcome(case: &Path) -> BTreeMap<&'static str, String> {
    let machine = tree(case);
    let mut told = BTreeMap::new();
    let linux = match linux::release(&machine) {
        Ok(linux) => linux,
        Err(error) => return [("refused.txt", chain(&error))].into(),
    };
    let tree = match kconfig::read(&machine) {
        Ok(tree) => tree,
        Err(error) => return [("refused.txt", chain(&error))].into(),
    };
    let mut shelf = Shelf::built_in().unwrap();
    let mut with = Vec::new();
    for name in ["role", "with"] {
        let file = format!("{name}.toml");
        let Some(text) = optional_text(case, &file) else { continue };
        match Part::parse(name, &file, &text) {
            Ok(part) => shelf.add(part),
            Err(error) => return [("refused.txt", refused(&error.into()))].into(),
        }
        with.extend((name == "with").then(|| name.to_owned()));
    }
    let request = match Request::of(&shelf, "role", &with, &tree, linux) {
        Ok(request) => request,
        Err(error) => return [("refused.txt", refused(&error))].into(),
    };
    let skipped = request.skipped.iter().map(|skipped| format!("{}: {}\n", skipped.symbol, skipped.why));
    told.insert("wishes", request.fragment(&tree) + &skipped.collect::<String>());
    let values = optional_text(case, "config").map(|text| Values::parse(&text));
    if let Some(values) = &values {
        let lines = lost(&request, &tree, values).into_iter().map(|lost| format!("{lost}\n"));
        told.insert("lost.txt", lines.collect());
    }
    if let Some(names) = optional_text(case, "explain") {
        let of = |name| describe(name, &tree, &linux.to_string(), values.as_ref(), &shelf);
        let all: Vec<_> = names.lines().map(of).collect();
        told.insert("explain.json", serde_json::to_string_pretty(&all).unwrap() + "\n");
    }
    told
}

#[test]
fn every_case_comes_to_what_is_written() {
    every_case("kconfig", 10, outcome);
}

#[test]
fn our_own_profiles_are_right_by_themselves() {
    let shelf = Shelf::built_in().unwrap();
    let roles = shelf.names(PartKind::Role);
    assert_eq!(roles, ["dom0-full", "dom0-minimal", "domU-full", "domU-minimal"]);
    // A tree without any symbol: whatever is not bound to a release is missing there, nothing else is wrong.
    for linux in [KNOWN.0, KNOWN.1, Linux { major: 6, minor: 1 }] {
        for role in &roles {
            let Err(ComposeError::Profile(error)) = Request::of(&shelf, role, &[], &Tree::default(), linux)
            else {
                panic!("{role} asks nothing");
            };
            for fault in error.faults {
                assert!(fault.what.contains("has no symbol"), "{fault}");
            }
        }
    }
    let reaches = |name: &str| !shelf.roles_with(name).is_empty();
    for part in shelf.parts().filter(|part| part.kind == PartKind::Part) {
        assert!(reaches(&part.name), "{} is of no role", part.name);
    }
}

const WORDS: [&str; 32] = [
    "config A\n",
    "config B\n",
    "menuconfig C\n",
    "\tbool \"a\"\n",
    "\ttristate\n",
    "\tdepends on A && !B\n",
    "\tdepends on (\n",
    "if A\n",
    "endif\n",
    "menu \"m\"\n",
    "endmenu\n",
    "choice\n",
    "endchoice\n",
    "\tselect B if C=m\n",
    "\tdefault y if $(success,x)\n",
    "source \"Kconfig\"\n",
    "\thelp\n",
    "\t  words\n",
    "\trange 1 2\n",
    "\\\n",
    "$(",
    "\"",
    "a := b\n",
    "\tvisible if A\n",
    "comment \"c\"\n",
    "\timply A\n",
    "\tdef_bool A\n",
    "\u{fffd}",
    "\tint \"i\"\n",
    "#\n",
    "\tprompt \"p\" if B\n",
    "\n",
];

proptest! {
    #[test]
    fn any_text_is_read_or_refused(words in proptest::collection::vec(0..WORDS.len(), 0..60)) {
        let text: String = words.into_iter().filter_map(|word| WORDS.get(word).copied()).collect();
        let mut machine = FakeMachine::new();
        machine.put("/Kconfig", text.as_bytes(), &Attributes::root(0o644));
        if let Ok(tree) = kconfig::read(&machine) {
            let values = Values::parse("CONFIG_A=m\n");
            for symbol in tree.symbols() {
                let _ = describe(&symbol.name, &tree, "6.1", Some(&values), &Shelf::built_in().unwrap());
            }
        }
    }

    #[test]
    fn any_profile_is_read_or_refused(text in "(\\[symbol\\]|about|kind|base|A|=|\"y\"|\\{|\\}|why|\n|,|\\[|1| ){0,60}") {
        let _ = Part::parse("x", "x.toml", &text);
    }
}
