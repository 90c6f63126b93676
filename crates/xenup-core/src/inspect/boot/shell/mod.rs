//! Variables of a configuration file that a shell sources, such as /etc/default/grub.
//!
//! Decides: what a variable's value is wherever that follows from the text: assignments, quotes, `$NAME`, `if [ … ]`.
//! Never: runs anything, and never guesses: a value that only a shell could tell is [`Value::Unknown`] with the
//! reason. Source: POSIX.1-2017, "Shell Command Language".

mod expand;
mod lexer;
mod parser;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::super::facts::At;
use lexer::{Part, Word, plain};
use parser::{Node, assigned_name, is_name, program};

/// A variable's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// It is this.
    Known(String),
    /// Nobody set it.
    Unset,
    /// Only a shell could tell; why.
    Unknown(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    value: Value,
    at: At,
}

/// All variables after some files were read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables {
    slots: BTreeMap<String, Slot>,
    /// From here on anything may have been set, and why.
    opaque: Option<String>,
    functions: BTreeMap<String, (Vec<String>, bool)>,
    /// Command substitutions whose output is known, by their text.
    outputs: BTreeMap<String, String>,
    path: PathBuf,
}

/// Whether reading goes on behind a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Ended,
}

impl Variables {
    /// Returns no variables, and the outputs of command substitutions that are known by their text.
    pub fn knowing(outputs: BTreeMap<String, String>) -> Self {
        Self { outputs, ..Self::default() }
    }

    /// Reads one more file, as `. FILE` would.
    pub fn read(&mut self, path: &Path, text: &str) {
        path.clone_into(&mut self.path);
        match program(text) {
            Ok(nodes) => {
                self.run(&nodes);
            }
            Err(error) => {
                self.opaque = Some(format!("{}:{}: not understood", path.display(), error.line));
            }
        }
    }

    /// Returns a variable's value.
    pub fn value(&self, name: &str) -> Value {
        match (self.slots.get(name), &self.opaque) {
            (_, Some(why)) => Value::Unknown(why.clone()),
            (Some(slot), None) => slot.value.clone(),
            (None, None) if is_of_environment(name) => {
                Value::Unknown(format!("{name} comes from the environment"))
            }
            (None, None) => Value::Unset,
        }
    }

    /// Returns where a variable was set last.
    pub fn set_at(&self, name: &str) -> Option<&At> {
        self.slots.get(name).map(|slot| &slot.at)
    }

    /// Returns the names that were set, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.slots.keys().map(String::as_str)
    }

    fn set(&mut self, name: &str, value: Value, line: u32) {
        let at = At { path: self.path.clone(), line };
        self.slots.insert(name.to_owned(), Slot { value, at });
    }

    fn run(&mut self, nodes: &[Node]) -> Flow {
        for node in nodes {
            if self.execute(node).1 == Flow::Ended {
                return Flow::Ended;
            }
        }
        Flow::On
    }

    /// Carries out a node; returns its exit status as far as it is known, and whether reading goes on.
    fn execute(&mut self, node: &Node) -> (Option<bool>, Flow) {
        match node {
            Node::Simple { words, line } => self.simple(words, *line),
            Node::If { arms, otherwise } => (None, self.choose(arms, otherwise)),
            Node::Chain { first, rest } => self.chain(first, rest),
            Node::Not(node) => {
                let (status, flow) = self.execute(node);
                (status.map(|status| !status), flow)
            }
            Node::Group(nodes) => self.condition(nodes),
            Node::Apart => (None, Flow::On),
            Node::Loose { assigned, opaque, line } => {
                self.blur(assigned, *opaque, *line);
                (None, Flow::On)
            }
            Node::Function { name, assigned, opaque } => {
                self.functions.insert(name.clone(), (assigned.clone(), *opaque));
                (Some(true), Flow::On)
            }
        }
    }

    fn condition(&mut self, nodes: &[Node]) -> (Option<bool>, Flow) {
        let mut last = (Some(true), Flow::On);
        for node in nodes {
            last = self.execute(node);
            if last.1 == Flow::Ended {
                break;
            }
        }
        last
    }

    fn choose(&mut self, arms: &[(Vec<Node>, Vec<Node>)], otherwise: &[Node]) -> Flow {
        let Some(((condition, body), more)) = arms.split_first() else { return self.run(otherwise) };
        let (status, flow) = self.condition(condition);
        match (status, flow) {
            (_, Flow::Ended) => Flow::Ended,
            (Some(true), _) => self.run(body),
            (Some(false), _) => self.choose(more, otherwise),
            (None, _) => {
                let mut other = self.clone();
                let flows = [self.run(body), other.choose(more, otherwise)];
                self.merge(&other, flows)
            }
        }
    }

    fn chain(&mut self, first: &Node, rest: &[(bool, Node)]) -> (Option<bool>, Flow) {
        let (mut status, mut flow) = self.execute(first);
        for (and, node) in rest {
            if flow == Flow::Ended {
                break;
            }
            match status {
                Some(known) if known == *and => (status, flow) = self.execute(node),
                Some(_) => {}
                None => {
                    let other = self.clone();
                    let (_, ran) = self.execute(node);
                    flow = self.merge(&other, [ran, Flow::On]);
                }
            }
        }
        (status, flow)
    }

    /// Joins the results of two ways of which only one was taken: what differs is unknown.
    fn merge(&mut self, other: &Self, flows: [Flow; 2]) -> Flow {
        if flows == [Flow::Ended, Flow::Ended] {
            return Flow::Ended;
        }
        let why = "it depends on a command that only a shell can run";
        if flows[0] != flows[1] {
            self.opaque = Some(format!("{}: {why}", self.path.display()));
        }
        let names: BTreeSet<String> = self.slots.keys().chain(other.slots.keys()).cloned().collect();
        for name in names {
            let (ours, theirs) = (self.slots.get(&name), other.slots.get(&name));
            if ours.map(|slot| &slot.value) == theirs.map(|slot| &slot.value) {
                continue;
            }
            let Some(slot) = ours.or(theirs) else { continue };
            let slot = Slot { value: Value::Unknown(why.to_owned()), at: slot.at.clone() };
            self.slots.insert(name, slot);
        }
        self.opaque = self.opaque.take().or_else(|| other.opaque.clone());
        self.functions.extend(other.functions.clone());
        Flow::On
    }

    /// What a construct may have set is unknown behind it.
    fn blur(&mut self, assigned: &[String], opaque: bool, line: u32) {
        let why = "it is set in a loop, a case or a function";
        for name in assigned {
            self.set(name, Value::Unknown(why.to_owned()), line);
        }
        if opaque {
            self.opaque = Some(format!("{}:{line}: it may set anything", self.path.display()));
        }
    }

    fn simple(&mut self, words: &[Word], line: u32) -> (Option<bool>, Flow) {
        self.default_assignments(words, line);
        let command = words.iter().position(|word| assigned_name(word).is_none());
        let Some(command) = command else {
            return (self.assign(words, line).then_some(true), Flow::On);
        };
        let arguments = &words[command + 1..];
        let name = match self.expand(&words[command]) {
            Ok(name) => name,
            Err(_) => {
                self.blur(&[], true, line);
                return (None, Flow::On);
            }
        };
        match name.as_str() {
            "[" | "test" => return (self.test(&name, arguments), Flow::On),
            ":" | "true" => return (Some(true), Flow::On),
            "false" => return (Some(false), Flow::On),
            "export" | "readonly" | "local" => {
                let assignments: Vec<Word> =
                    arguments.iter().filter(|word| assigned_name(word).is_some()).cloned().collect();
                self.assign(&assignments, line);
            }
            "unset" => {
                for word in arguments {
                    self.slots.remove(&plain(word));
                }
            }
            "read" => {
                let names: Vec<String> = arguments.iter().map(plain).filter(|name| is_name(name)).collect();
                self.blur(&names, false, line);
            }
            "." | "source" | "eval" | "alias" => self.blur(&[], true, line),
            "exit" | "return" | "exec" => return (None, Flow::Ended),
            name => {
                if let Some((assigned, opaque)) = self.functions.get(name).cloned() {
                    self.blur(&assigned, opaque, line);
                }
            }
        }
        (None, Flow::On)
    }

    /// Returns whether the status is sure to be 0: a command substitution would pass on its own.
    fn assign(&mut self, words: &[Word], line: u32) -> bool {
        let mut sure = true;
        for word in words {
            let Some(name) = assigned_name(word) else { continue };
            let mut value = word.clone();
            if let Some(Part::Text { text, .. }) = value.first_mut() {
                *text = text[name.len() + 1..].to_owned();
            }
            sure = sure && !value.iter().any(|part| matches!(part, Part::Command { .. }));
            let value = match self.expand(&value) {
                Ok(text) => Value::Known(text),
                Err(why) => Value::Unknown(why),
            };
            let name = name.to_owned();
            self.set(&name, value, line);
        }
        sure
    }

    /// `${NAME:=word}` assigns while it is expanded.
    fn default_assignments(&mut self, words: &[Word], line: u32) {
        for part in words.iter().flatten() {
            let Part::Variable { name, operator, .. } = part else { continue };
            if !operator.trim_start_matches(':').starts_with('=') {
                continue;
            }
            let value = match self.expand(std::slice::from_ref(part)) {
                Ok(text) => Value::Known(text),
                Err(why) => Value::Unknown(why),
            };
            self.set(name, value, line);
        }
    }
}

/// Variables that whoever runs update-grub brings along, and the shell's own: those of a GRUB file are upper case.
fn is_of_environment(name: &str) -> bool {
    const NAMES: [&str; 10] =
        ["PATH", "HOME", "LANG", "LANGUAGE", "USER", "LOGNAME", "SHELL", "TERM", "PWD", "HOSTNAME"];
    NAMES.contains(&name)
        || name.starts_with("LC_")
        || !name.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_')
        || !name.starts_with(|c: char| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests;
