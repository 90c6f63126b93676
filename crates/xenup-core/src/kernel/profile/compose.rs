//! A role with its additions, as what is asked of one tree.
//!
//! Decides: under which name a symbol is asked for (the tree's own symbols tell), which of two wishes is the stronger,
//! and which cannot both be had. Never: leaves a wish out in silence; [`Skipped`] names them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Asked, At, Base, Fault, Part, PartKind, ProfileError, Shelf, Wish};
use crate::host::nearest;
use crate::kernel::kconfig::Tree;
use crate::kernel::kconfig::expr::Tristate;
use crate::kernel::kconfig::tree::Kind;
use crate::kernel::linux::Linux;

/// A wish, under the name that the tree has for the symbol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wanted {
    /// The symbol, without `CONFIG_`.
    pub symbol: String,
    /// What is asked.
    pub wish: Wish,
    /// Why.
    pub why: String,
    /// The line that asks.
    pub at: At,
}

/// A wish for what this tree does not have, and need not have by the profile's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Skipped {
    /// The symbol.
    pub symbol: String,
    /// `gone after 6.9`, `not before 6.9`.
    pub why: String,
}

/// What is asked of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The role.
    pub role: String,
    /// The additions.
    pub with: Vec<String>,
    /// What the wishes are laid over.
    pub base: Base,
    /// Whether the devices of a machine are asked for as well.
    pub hardware: bool,
    /// The wishes, by symbol.
    pub wanted: BTreeMap<String, Wanted>,
    /// What this tree need not have.
    pub skipped: Vec<Skipped>,
}

/// A role that cannot be asked of a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// No such role.
    #[error("there is no role `{}`", .name.escape_debug())]
    Role {
        /// The name.
        name: String,
        /// The role that was probably meant, or all.
        hint: String,
    },
    /// No such addition.
    #[error("there is no addition `{}`", .name.escape_debug())]
    Addition {
        /// The name.
        name: String,
        /// The addition that was probably meant, or all.
        hint: String,
    },
    /// Files that are wrong, alone or together.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

impl Request {
    /// Returns what a role with its additions asks of a tree of that release.
    ///
    /// # Errors
    /// Names that are none; wishes that contradict each other; a symbol that the tree should have and has not.
    pub fn of(
        shelf: &Shelf,
        role: &str,
        with: &[String],
        tree: &Tree,
        linux: Linux,
    ) -> Result<Self, ComposeError> {
        let found = shelf.role(role)?;
        let (seen, layers, faults) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
        let mut composer = Composer { shelf, tree, linux, seen, layers, faults };
        let mut request = Self {
            role: role.to_owned(),
            with: with.to_vec(),
            base: found.base,
            hardware: found.hardware,
            wanted: BTreeMap::new(),
            skipped: Vec::new(),
        };
        composer.part(found, Layer::Role, &mut request);
        for name in with {
            let addition = shelf.get(name).filter(|part| part.kind == PartKind::Addition);
            let addition = addition.ok_or_else(|| ComposeError::Addition {
                name: name.clone(),
                hint: meant(shelf, name, PartKind::Addition),
            })?;
            composer.part(addition, Layer::Addition, &mut request);
        }
        match composer.faults.is_empty() {
            true => Ok(request),
            false => Err(ProfileError { faults: composer.faults }.into()),
        }
    }

    /// Adds a wish that no file has, such as the driver of a device; a stronger one that is there stays.
    pub fn add(&mut self, wanted: Wanted) {
        let stronger =
            self.wanted.get(&wanted.symbol).is_some_and(|there| there.wish == Wish::Switch(Tristate::Y));
        if !stronger {
            self.wanted.insert(wanted.symbol.clone(), wanted);
        }
    }

    /// Returns the wishes as lines of a .config.
    #[must_use]
    pub fn fragment(&self, tree: &Tree) -> String {
        let mut out = String::new();
        for wanted in self.wanted.values() {
            let kind = tree.symbol(&wanted.symbol).and_then(|symbol| symbol.kind);
            let is_text = kind == Some(Kind::Text);
            let name = &wanted.symbol;
            let _ = match &wanted.wish {
                Wish::Switch(Tristate::N) => writeln!(out, "# CONFIG_{name} is not set"),
                // What cannot be a module is part of the kernel: a .config has no other word for it.
                Wish::Switch(Tristate::M) if kind == Some(Kind::Bool) => writeln!(out, "CONFIG_{name}=y"),
                Wish::Text(text) => writeln!(out, "CONFIG_{name}={}", quoted(text)),
                Wish::Number(text) if is_text => writeln!(out, "CONFIG_{name}={}", quoted(text)),
                wish => writeln!(out, "CONFIG_{name}={wish}"),
            };
        }
        out
    }

    /// Returns the .config to begin with: another configuration with the wishes in its place.
    #[must_use]
    pub fn over(&self, config: &str, tree: &Tree) -> String {
        let mut out = String::with_capacity(config.len());
        for line in config.lines() {
            let name = line.strip_prefix("# CONFIG_").or_else(|| line.strip_prefix("CONFIG_"));
            let name = name.and_then(|rest| rest.split(['=', ' ']).next()).unwrap_or_default();
            if !self.wanted.contains_key(name) {
                out.push_str(line);
                out.push('\n');
            }
        }
        out.push_str(&self.fragment(tree));
        out
    }
}

/// A text as a .config has it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

impl Shelf {
    /// Returns a role by its name.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn role(&self, name: &str) -> Result<&Part, ComposeError> {
        let found = self.get(name).filter(|part| part.kind == PartKind::Role);
        found.ok_or_else(|| ComposeError::Role {
            name: name.to_owned(),
            hint: meant(self, name, PartKind::Role),
        })
    }
}

/// The name that was probably meant, or all there are.
fn meant(shelf: &Shelf, name: &str, kind: PartKind) -> String {
    let names = shelf.names(kind);
    let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    let known: Vec<&str> = lower.iter().map(String::as_str).collect();
    let near = nearest(name, &known).and_then(|near| known.iter().position(|name| *name == near));
    match near.and_then(|index| names.get(index)) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("one of: {}", names.join(", ")),
    }
}

/// Whose wish it is. A role has the last word over its parts, and an addition may switch on what the role leaves off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Part,
    Role,
    Addition,
}

impl Layer {
    /// The layer of what a file of this layer includes.
    fn of_included(self) -> Self {
        if self == Self::Role { Self::Part } else { self }
    }

    fn overrides(self, there: Self, wish: &Wish) -> bool {
        match self {
            Self::Part => false,
            Self::Role => there == Self::Part,
            Self::Addition => there < self && *wish == Wish::Switch(Tristate::N),
        }
    }
}

struct Composer<'s> {
    shelf: &'s Shelf,
    tree: &'s Tree,
    linux: Linux,
    seen: BTreeSet<String>,
    layers: BTreeMap<String, Layer>,
    faults: Vec<Fault>,
}

impl Composer<'_> {
    /// Adds a file and what it includes; each once, so that a circle ends.
    fn part(&mut self, part: &Part, layer: Layer, request: &mut Request) {
        if !self.seen.insert(part.name.clone()) {
            return;
        }
        for (name, at) in &part.include {
            match self.shelf.get(name) {
                Some(included) if included.kind != PartKind::Role => {
                    self.part(included, layer.of_included(), request)
                }
                Some(_) => {
                    self.fault(at, format!("{name} is a role, and is not included"), "include its parts")
                }
                None => {
                    let mut names = self.shelf.names(PartKind::Part);
                    names.extend(self.shelf.names(PartKind::Addition));
                    let hint = format!("one of: {}", names.join(", "));
                    self.fault(at, format!("there is no part `{}`", name.escape_debug()), hint);
                }
            }
        }
        for asked in &part.symbols {
            self.symbol(asked, layer, request);
        }
    }

    fn fault(&mut self, at: &At, what: String, hint: impl Into<String>) {
        self.faults.push(Fault { at: at.clone(), what, hint: hint.into() });
    }

    fn symbol(&mut self, asked: &Asked, layer: Layer, request: &mut Request) {
        let names = std::iter::once(&asked.symbol).chain(&asked.was);
        let Some(name) = names.into_iter().find(|name| self.tree.symbol(name).is_some()) else {
            self.absent(asked, request);
            return;
        };
        let wanted = Wanted {
            symbol: name.clone(),
            wish: asked.wish.clone(),
            why: asked.why.clone(),
            at: asked.at.clone(),
        };
        if let Some(kind) = self.tree.symbol(name).and_then(|symbol| symbol.kind)
            && let Some(what) = misfit(kind, &wanted.wish)
        {
            let what = format!("{name} {what}, and `{}` is asked", wanted.wish);
            self.fault(&asked.at, what, format!("xenup kernel explain {name}"));
            return;
        }
        let take = match request.wanted.get(name) {
            None => true,
            Some(there) => {
                let below = self.layers.get(name).copied().unwrap_or(layer);
                match stronger(&there.wish, &wanted.wish) {
                    _ if layer.overrides(below, &there.wish) => true,
                    Some(stronger) => stronger,
                    None => {
                        let what = format!("{name}={} contradicts {}", wanted.wish, there.at);
                        self.fault(&asked.at, what, "leave one of the two out");
                        false
                    }
                }
            }
        };
        if take {
            self.layers.insert(name.clone(), layer);
            request.wanted.insert(name.clone(), wanted);
        }
    }

    fn absent(&mut self, asked: &Asked, request: &mut Request) {
        let symbol = asked.symbol.clone();
        let skipped = |why| Skipped { symbol: symbol.clone(), why };
        let not_yet = asked.since.filter(|since| self.linux < *since);
        let gone = asked.until.filter(|until| self.linux > *until);
        // What is not there is off already.
        if asked.wish == Wish::Switch(Tristate::N) {
            return;
        }
        if let Some(since) = not_yet.filter(|_| asked.was.is_empty()) {
            request.skipped.push(skipped(format!("not before Linux {since}")));
        } else if let Some(until) = gone {
            request.skipped.push(skipped(format!("gone after Linux {until}")));
        } else if not_yet.is_some() && !asked.was.is_empty() {
            request.skipped.push(skipped(format!("not in Linux {} under any name", self.linux)));
        } else {
            let what = format!("Linux {} has no symbol {}", self.linux, asked.symbol);
            let hint = self
                .near(&asked.symbol)
                .unwrap_or_else(|| "write since = or until = where it came or went".to_owned());
            self.fault(&asked.at, what, hint);
        }
    }

    fn near(&self, name: &str) -> Option<String> {
        near_symbol(self.tree, name).map(|near| format!("did you mean {near}?"))
    }
}

/// Returns the symbol of a tree that was probably meant.
#[must_use]
pub fn near_symbol<'t>(tree: &'t Tree, name: &str) -> Option<&'t str> {
    let lower: Vec<String> =
        tree.symbols().iter().map(|symbol| symbol.name.to_lowercase().replace('_', "-")).collect();
    let known: Vec<&str> = lower.iter().map(String::as_str).collect();
    let near = nearest(name, &known)?;
    let index = known.iter().position(|known| *known == near)?;
    tree.symbols().get(index).map(|symbol| symbol.name.as_ref())
}

/// Why a symbol of this kind cannot have such a value.
fn misfit(kind: Kind, wish: &Wish) -> Option<&'static str> {
    match (kind, wish) {
        (Kind::Bool | Kind::Tristate, Wish::Switch(_)) | (Kind::Text, _) => None,
        (Kind::Int | Kind::Hex, Wish::Number(_)) => None,
        (Kind::Bool, _) => Some("is on or off"),
        (Kind::Tristate, _) => Some("is on, a module or off"),
        (Kind::Int | Kind::Hex, _) => Some("is a number"),
    }
}

/// Whether the second wish is stronger; `None` where both cannot be had.
fn stronger(there: &Wish, other: &Wish) -> Option<bool> {
    match (there, other) {
        (there, other) if there == other => Some(false),
        (Wish::Switch(Tristate::N), Wish::Switch(_)) | (Wish::Switch(_), Wish::Switch(Tristate::N)) => None,
        (Wish::Switch(there), Wish::Switch(other)) => Some(other > there),
        _ => None,
    }
}
