//! What a kernel's Kconfig files say of each symbol.
//!
//! Decides: nothing; it is the form of what [`super::read`] returns.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use super::expr::{Atom, Expr};

/// A line of a Kconfig file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, below the tree: `arch/x86/xen/Kconfig`.
    pub file: Rc<str>,
    /// The line, from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.file, self.line)
    }
}

/// What kind of value a symbol has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// y or n.
    Bool,
    /// y, m or n.
    Tristate,
    /// A text.
    Text,
    /// A number.
    Int,
    /// A number in base 16.
    Hex,
}

impl Kind {
    /// Returns its word in Kconfig.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Tristate => "tristate",
            Self::Text => "string",
            Self::Int => "int",
            Self::Hex => "hex",
        }
    }

    /// Returns the kind that a word of Kconfig stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        [Self::Bool, Self::Tristate, Self::Text, Self::Int, Self::Hex]
            .into_iter()
            .find(|kind| kind.word() == word)
    }

    /// Returns whether it is off or on.
    #[must_use]
    pub fn is_switch(self) -> bool {
        matches!(self, Self::Bool | Self::Tristate)
    }
}

/// A condition and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The condition.
    pub expr: Rc<Expr>,
    /// The line of the `depends on`, the `if` or the `visible if`.
    pub at: Place,
}

/// The question that a symbol is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Its words.
    pub text: String,
    /// When it is put.
    pub condition: Option<Rc<Expr>>,
}

/// A symbol that another one brings or proposes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brings {
    /// The symbol.
    pub symbol: Rc<str>,
    /// When.
    pub condition: Option<Rc<Expr>>,
    /// The line.
    pub at: Place,
}

/// A value that a symbol takes where nobody gives one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultValue {
    /// The value.
    pub value: Expr,
    /// When.
    pub condition: Option<Rc<Expr>>,
}

/// Bounds of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub least: Atom,
    /// The most.
    pub most: Atom,
    /// When.
    pub condition: Option<Rc<Expr>>,
}

/// One `config` block; a symbol can have several.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its line.
    pub at: Place,
    /// The titles of the menus it is in, outermost first.
    pub menus: Vec<Rc<str>>,
    /// Its question, where it is one.
    pub prompt: Option<Prompt>,
    /// What it depends on: its own lines and those of the blocks around it.
    pub depends: Vec<Condition>,
    /// `visible if` of the menus around it.
    pub visible: Vec<Condition>,
    /// Its own values.
    pub defaults: Vec<DefaultValue>,
    /// What it selects.
    pub selects: Vec<Brings>,
    /// What it implies.
    pub implies: Vec<Brings>,
    /// Its bounds.
    pub ranges: Vec<Range>,
    /// Its help text.
    pub help: String,
    /// The choice it is in, as an index of [`Tree::choices`].
    pub choice: Option<usize>,
}

/// A symbol.
#[derive(Debug, Clone)]
pub struct Symbol {
    /// Its name, without `CONFIG_`.
    pub name: Rc<str>,
    /// Its kind; `None` where no block says one.
    pub kind: Option<Kind>,
    /// Its blocks, in the order of the files.
    pub definitions: Vec<Definition>,
}

/// A choice: one of its symbols is y.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Its line.
    pub at: Place,
    /// Its question.
    pub prompt: String,
    /// Its symbols.
    pub members: Vec<Rc<str>>,
}

/// The Kconfig files of a tree, read.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    pub(super) symbols: Vec<Symbol>,
    pub(super) index: HashMap<Rc<str>, usize>,
    pub(super) choices: Vec<Choice>,
    pub(super) files: usize,
}

impl Tree {
    /// Returns a symbol by its name, without `CONFIG_`.
    #[must_use]
    pub fn symbol(&self, name: &str) -> Option<&Symbol> {
        self.index.get(name).and_then(|index| self.symbols.get(*index))
    }

    /// Returns all symbols, in the order of the files.
    #[must_use]
    pub fn symbols(&self) -> &[Symbol] {
        &self.symbols
    }

    /// Returns a choice.
    #[must_use]
    pub fn choice(&self, index: usize) -> Option<&Choice> {
        self.choices.get(index)
    }

    /// Returns how many files were read.
    #[must_use]
    pub fn files(&self) -> usize {
        self.files
    }

    /// Returns who selects a symbol: the symbol that does, and its line.
    #[must_use]
    pub fn selectors(&self, name: &str) -> Vec<(&Symbol, &Brings)> {
        self.who(name, |definition| &definition.selects)
    }

    /// Returns who implies a symbol.
    #[must_use]
    pub fn impliers(&self, name: &str) -> Vec<(&Symbol, &Brings)> {
        self.who(name, |definition| &definition.implies)
    }

    fn who(&self, name: &str, list: fn(&Definition) -> &Vec<Brings>) -> Vec<(&Symbol, &Brings)> {
        let blocks = self
            .symbols
            .iter()
            .flat_map(|symbol| symbol.definitions.iter().flat_map(list).map(move |brings| (symbol, brings)));
        blocks.filter(|(_, brings)| brings.symbol.as_ref() == name).collect()
    }
}

impl Symbol {
    /// Returns the question, the first where several blocks have one.
    #[must_use]
    pub fn prompt(&self) -> Option<&Prompt> {
        self.definitions.iter().find_map(|definition| definition.prompt.as_ref())
    }
}
