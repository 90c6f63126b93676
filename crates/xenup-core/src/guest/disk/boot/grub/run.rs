//! Carrying a GRUB script out as far as it decides what boots.

use std::collections::BTreeMap;
use std::rc::Rc;

use xenup_disk::filesystem::FileKind;
use xenup_engine::grubenv;

use super::super::{Entry, Place, device_place, split_device};
use super::parse::{Command, parse};
use super::words::{Part, Word};
use crate::guest::disk::files::{Files, clean};

/// The most commands that are carried out.
const MOST_STEPS: usize = 50_000;
/// The longest word, and the deepest calls.
const LONGEST_WORD: usize = 64 << 10;
const DEEPEST: usize = 24;
/// The most entries of a menu.
const MOST_ENTRIES: usize = 2000;

/// An entry of a menu.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) title: String,
    pub(super) id: Option<String>,
    pub(super) submenu: bool,
    body: Rc<Vec<Command>>,
}

/// The state of a script.
pub(super) struct Machine<'a, 'b> {
    files: &'a mut Files<'b>,
    prefix: String,
    pub(super) variables: BTreeMap<String, String>,
    /// Whether `blscfg` was called.
    pub(super) has_bls: bool,
    functions: BTreeMap<String, Rc<Vec<Command>>>,
    menu: Vec<Item>,
    entry: Entry,
    /// Variables that grubenv gave.
    saved: Vec<String>,
    steps: usize,
    depth: usize,
    notes: Vec<String>,
}

impl<'a, 'b> Machine<'a, 'b> {
    /// A machine before its script, whose file lies in the folder `prefix`.
    pub(super) fn new(files: &'a mut Files<'b>, prefix: &str) -> Self {
        // What grub-mkconfig's scripts ask for; the features are those of 2.02 and later.
        let features = ["feature_menuentry_id", "feature_menuentry_options", "feature_default_font_path"];
        let features = features.into_iter().chain(["feature_timeout_style", "feature_platform_search_hint"]);
        let mut variables: BTreeMap<_, _> = features.map(|name| (name.to_owned(), "y".to_owned())).collect();
        for (name, value) in [
            ("prefix", prefix),
            ("config_directory", prefix),
            ("grub_platform", "xen"),
            ("grub_cpu", "x86_64"),
        ] {
            variables.insert(name.to_owned(), value.to_owned());
        }
        Self {
            files,
            prefix: prefix.to_owned(),
            variables,
            has_bls: false,
            functions: BTreeMap::new(),
            menu: Vec::new(),
            entry: Entry::default(),
            saved: Vec::new(),
            steps: 0,
            depth: 0,
            notes: Vec::new(),
        }
    }

    /// The menu that a script makes.
    pub(super) fn menu_of(&mut self, text: &str) -> Vec<Item> {
        self.script(text);
        std::mem::take(&mut self.menu)
    }

    /// The menu within a submenu.
    pub(super) fn submenu(&mut self, item: &Item) -> Vec<Item> {
        self.run(&item.body);
        std::mem::take(&mut self.menu)
    }

    /// What an entry's body loads.
    pub(super) fn boot(&mut self, item: &Item) -> Entry {
        self.entry = Entry::default();
        self.run(&item.body);
        std::mem::take(&mut self.entry)
    }

    /// " (saved_entry of grubenv)" where the default came from there.
    pub(super) fn whence_default(&self) -> String {
        let default = self.variables.get("default");
        let from = self.saved.iter().find(|name| {
            ["next_entry", "saved_entry"].contains(&name.as_str()) && self.first_value(name) == default
        });
        from.map(|name| format!(" ({name} of grubenv)")).unwrap_or_default()
    }

    fn first_value(&self, name: &str) -> Option<&String> {
        self.variables.get(&format!("grubenv {name}"))
    }

    /// Hands over what has to be known.
    pub(super) fn say_notes(&mut self, file: &str) {
        for note in std::mem::take(&mut self.notes) {
            self.files.note(file, note);
        }
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < 20 && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn expand(&self, word: &Word) -> String {
        let mut text = String::new();
        for part in &word.0 {
            text.push_str(match part {
                Part::Text(text) => text,
                Part::Variable(name) => self.variables.get(name).map_or("", String::as_str),
            });
            if text.len() > LONGEST_WORD {
                return String::new();
            }
        }
        text
    }

    /// The words of a command; a lone variable that is empty is no word, and one with blanks is several.
    fn expand_all(&self, words: &[Word]) -> Vec<String> {
        let mut all = Vec::new();
        for word in words {
            let text = self.expand(word);
            if let [Part::Variable(_)] = word.0.as_slice() {
                all.extend(text.split_ascii_whitespace().map(str::to_owned));
            } else {
                all.push(text);
            }
        }
        all
    }

    /// Carries commands out, and returns whether the last one succeeded.
    fn run(&mut self, commands: &[Command]) -> bool {
        if self.depth >= DEEPEST {
            return false;
        }
        self.depth = self.depth.saturating_add(1);
        let mut fine = true;
        for command in commands {
            self.steps = self.steps.saturating_add(1);
            if self.steps > MOST_STEPS {
                self.note(format!(
                    "the script takes more than {MOST_STEPS} steps: the rest is not looked at"
                ));
                break;
            }
            fine = match command {
                Command::Simple(words) => self.simple(words),
                Command::If(branches) => self.branch(branches),
                Command::Function(name, body) => {
                    self.functions.insert(name.clone(), Rc::clone(body));
                    true
                }
                Command::For(name, words, body) => self.each(name, words, body),
                Command::Loop => {
                    self.note(super::LOOPS.to_owned());
                    true
                }
                Command::Entry { submenu, words, body } => self.add(*submenu, words, body),
            };
        }
        self.depth = self.depth.saturating_sub(1);
        fine
    }

    /// A body once for each word; steps bound the whole.
    fn each(&mut self, name: &str, words: &[Word], body: &Rc<Vec<Command>>) -> bool {
        let mut fine = true;
        for word in self.expand_all(words) {
            if self.steps > MOST_STEPS {
                break;
            }
            self.variables.insert(name.to_owned(), word);
            fine = self.run(body);
        }
        fine
    }

    fn branch(&mut self, branches: &[(Vec<Command>, Vec<Command>)]) -> bool {
        for (condition, body) in branches {
            if condition.is_empty() || self.run(condition) {
                return self.run(body);
            }
        }
        true
    }

    fn add(&mut self, submenu: bool, words: &[Word], body: &Rc<Vec<Command>>) -> bool {
        let words = self.expand_all(words);
        let mut rest = words.iter();
        let (mut title, mut id) = (None, None);
        while let Some(word) = rest.next() {
            match word.split_once('=').unwrap_or((word, "")) {
                ("--id", "") => id = rest.next().cloned(),
                ("--id", value) => id = Some(value.to_owned()),
                ("--class" | "--users" | "--hotkey" | "--source", "") => {
                    rest.next();
                }
                (option, _) if option.starts_with("--") => {}
                _ => title = title.or_else(|| Some(word.clone())),
            }
        }
        if self.menu.len() < MOST_ENTRIES {
            let title = title.unwrap_or_default();
            self.menu.push(Item { title, id, submenu, body: Rc::clone(body) });
        }
        true
    }

    fn simple(&mut self, words: &[Word]) -> bool {
        let words = self.expand_all(words);
        let Some((name, arguments)) = words.split_first() else { return true };
        match name.as_str() {
            "set" => arguments.first().is_none_or(|assignment| self.assign(assignment)),
            "unset" => {
                arguments.iter().for_each(|name| drop(self.variables.remove(name)));
                true
            }
            "[" | "test" => self.test(arguments),
            "!" => {
                let rest: Vec<_> =
                    arguments.iter().map(|word| Word(vec![Part::Text(word.clone())])).collect();
                !self.simple(&rest)
            }
            "false" | "keystatus" => false,
            "load_env" => self.load_env(arguments),
            "search" | "search.fs_uuid" | "search.fs_label" => self.search(name, arguments),
            "linux" | "linux16" | "linuxefi" => self.linux(arguments),
            "multiboot" | "multiboot2" | "xen_hypervisor" => {
                self.entry.hypervisor = arguments.iter().find(|word| !word.starts_with("--")).cloned();
                true
            }
            "module" | "module2" | "xen_module" if self.entry.kernel.is_none() => self.linux(arguments),
            "initrd" | "initrd16" | "initrdefi" | "module" | "module2" | "xen_module" => {
                let paths = arguments.iter().filter(|word| !word.starts_with("--"));
                self.entry.initrd.extend(paths.map(|path| split_device(path, 1).1.to_owned()));
                true
            }
            "source" | "." | "configfile" => self.source(arguments),
            "blscfg" => {
                self.has_bls = true;
                true
            }
            assignment if is_assignment(assignment) => self.assign(assignment),
            other => match self.functions.get(other).cloned() {
                Some(body) => self.run(&body),
                None => true,
            },
        }
    }

    fn assign(&mut self, assignment: &str) -> bool {
        if let Some((name, value)) = assignment.split_once('=') {
            self.variables.insert(name.to_owned(), value.to_owned());
        }
        true
    }

    /// `linux PATH WORDS`: the path may carry a device; else `$root` says where it lies.
    fn linux(&mut self, arguments: &[String]) -> bool {
        let mut words = arguments.iter().skip_while(|word| word.starts_with("--"));
        let Some(path) = words.next() else { return false };
        let (device, path) = split_device(path, 1);
        let root = self
            .variables
            .get("root")
            .map_or(Place::Unknown, |root| device_place(root.trim_matches(['(', ')']), 1));
        self.entry.place = device.unwrap_or(root);
        self.entry.kernel = Some(path.to_owned());
        self.entry.cmdline = words.map(String::as_str).collect::<Vec<_>>().join(" ");
        true
    }

    /// `search`: what is found is not looked for here, but kept as what was asked for.
    fn search(&mut self, name: &str, arguments: &[String]) -> bool {
        let (mut by, mut variable, mut value) = ("file", None, None);
        match name {
            "search.fs_uuid" => by = "uuid",
            "search.fs_label" => by = "label",
            _ => {}
        }
        let mut rest = arguments.iter();
        while let Some(word) = rest.next() {
            match word.split_once('=').unwrap_or((word, "")) {
                ("-u" | "--fs-uuid", _) => by = "uuid",
                ("-l" | "--label" | "--fs-label", _) => by = "label",
                ("-f" | "--file", _) => by = "file",
                ("-s" | "--set", "") => variable = Some("root".to_owned()),
                ("--set", name) => variable = Some(name.to_owned()),
                ("--hint", "") => drop(rest.next()),
                (option, _) if option.starts_with('-') => {}
                _ if value.is_none() => value = Some(word.clone()),
                // `--set root UUID` of old scripts, and search.fs_uuid's own order.
                (word, _) if by != "file" && value.as_deref() == Some("root") => {
                    value = Some(word.to_owned())
                }
                _ => {}
            }
        }
        if by != "file"
            && let Some(value) = value
        {
            self.variables.insert(variable.unwrap_or_else(|| "root".to_owned()), format!("{by}={value}"));
        }
        true
    }

    fn load_env(&mut self, arguments: &[String]) -> bool {
        let named = arguments.iter().position(|word| word == "-f" || word == "--file");
        let named = named.and_then(|at| arguments.get(at.checked_add(1)?));
        let path = match named {
            Some(path) => split_device(path, 1).1.to_owned(),
            None => format!("{}/grubenv", self.prefix),
        };
        let Some(block) = self.files.bytes(&path) else { return false };
        for (name, value) in grubenv::variables(&block).take(200) {
            let (name, value) = (clean(&name), clean(&value));
            self.variables.insert(format!("grubenv {name}"), value.clone());
            self.variables.insert(name.clone(), value);
            self.saved.push(name);
        }
        true
    }

    fn source(&mut self, arguments: &[String]) -> bool {
        let Some(path) = arguments.first() else { return false };
        let path = split_device(path, 1).1.to_owned();
        let Some(text) = self.files.text(&path) else { return false };
        // A file that includes itself ends at the depth of calls.
        self.script(&text)
    }

    fn script(&mut self, text: &str) -> bool {
        let script = parse(text);
        if script.unclosed {
            self.note(
                "it ends inside a command that is not closed, which GRUB does not carry out".to_owned(),
            );
        }
        self.run(&script.commands)
    }

    /// `[ ... ]`: `-a` and `-o` from left to right, `!`, comparisons of words and numbers, and tests of files.
    fn test(&mut self, arguments: &[String]) -> bool {
        let end = arguments.iter().rposition(|word| word == "]").unwrap_or(arguments.len());
        let words = arguments.get(..end).unwrap_or_default();
        let mut alternatives = words.split(|word| word == "-o");
        alternatives.any(|words| words.split(|word| word == "-a").all(|words| self.one_test(words)))
    }

    fn one_test(&mut self, words: &[String]) -> bool {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["!", rest @ ..] => {
                let rest: Vec<_> = rest.iter().map(|word| (*word).to_owned()).collect();
                !self.one_test(&rest)
            }
            [] => false,
            [word] | ["-n", word] => !word.is_empty(),
            ["-z", word] => word.is_empty(),
            [test @ ("-f" | "-e" | "-s" | "-d"), path] => self.file_test(test, path),
            [a, "=" | "==", b] => a == b,
            [a, "!=", b] => a != b,
            [a, compare, b] => {
                let (Ok(a), Ok(b)) = (a.parse::<i64>(), b.parse::<i64>()) else { return false };
                match *compare {
                    "-eq" => a == b,
                    "-ne" => a != b,
                    "-lt" => a < b,
                    "-le" => a <= b,
                    "-gt" => a > b,
                    "-ge" => a >= b,
                    _ => false,
                }
            }
            _ => false,
        }
    }

    fn file_test(&mut self, test: &str, path: &str) -> bool {
        let Some(stat) = self.files.stat(split_device(path, 1).1) else { return false };
        match test {
            "-f" => stat.kind == FileKind::File,
            "-s" => stat.size > 0,
            "-d" => stat.kind == FileKind::Directory,
            _ => true,
        }
    }
}

/// Whether a word sets a variable: a name, `=`, anything.
fn is_assignment(word: &str) -> bool {
    let named = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    word.split_once('=').is_some_and(|(name, _)| named(name))
}
