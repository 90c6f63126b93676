//! Kconfig files as blocks: config, choice, menu, if, source.
//!
//! Decides: which block a line belongs to, and which conditions stand around it (Documentation/kbuild/kconfig-language).
//! Never: runs a macro. `$(SRCARCH)` in a file's name is the only one that is known.

use std::path::Path;
use std::rc::Rc;

use xenup_machine::Probe;

use super::error::KconfigError;
use super::expr::{Atom, Expr, atom};
use super::lexer::{Token, tokens};
use super::tree::{
    Brings, Choice, Condition, DefaultValue, Definition, Kind, Place, Prompt, Range, Symbol, Tree,
};

/// The largest Kconfig file of the kernel has 0.1 MB.
const FILE_LIMIT: u64 = 8 << 20;
/// All of Linux 6.12's Kconfig files together have 7 MB.
const ALL_LIMIT: usize = 64 << 20;
/// Linux 6.12 has 1750 files.
const MOST_FILES: usize = 20_000;
/// Files within each other; the kernel has 8.
const DEEPEST: usize = 64;
/// Blocks within each other, over all files.
const MOST_SCOPES: usize = 256;
/// `config` blocks; Linux 6.12 has 18 000.
const MOST_DEFINITIONS: usize = 200_000;

/// Conditions around all `config` blocks together; Linux 6.12 has some 100 000.
const MOST_CONDITIONS: usize = 2_000_000;

/// A block around others.
struct Scope {
    what: What,
    at: Place,
    title: Option<Rc<str>>,
    depends: Vec<Condition>,
    visible: Vec<Condition>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    If,
    Menu,
    Choice(usize),
}

impl What {
    fn end(self) -> &'static str {
        match self {
            Self::If => "endif",
            Self::Menu => "endmenu",
            Self::Choice(_) => "endchoice",
        }
    }
}

/// What a line without a block of its own belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Current {
    Nothing,
    /// A definition, by the indices of its symbol and of the block in it.
    Config(usize, usize),
    /// The innermost scope: a menu or a choice whose entries have not begun.
    Scope,
    /// A comment: its conditions are of no interest.
    Comment,
}

pub(super) struct Parser<'p> {
    probe: &'p dyn Probe,
    arch: &'p str,
    pub tree: Tree,
    scopes: Vec<Scope>,
    current: Current,
    read: usize,
    definitions: usize,
    conditions: usize,
}

/// The lines of a file, with the number of the next.
struct Lines<'t> {
    rest: std::iter::Peekable<std::str::Lines<'t>>,
    number: u32,
}

impl<'t> Lines<'t> {
    fn next(&mut self) -> Option<&'t str> {
        let line = self.rest.next()?;
        self.number = self.number.saturating_add(1);
        Some(line)
    }
}

impl<'p> Parser<'p> {
    pub fn new(probe: &'p dyn Probe, arch: &'p str) -> Self {
        let (tree, scopes, current) = (Tree::default(), Vec::new(), Current::Nothing);
        Self { probe, arch, tree, scopes, current, read: 0, definitions: 0, conditions: 0 }
    }

    /// Reads a file and all that it names.
    pub fn file(&mut self, name: &str, by: Option<&Place>, depth: usize) -> Result<(), KconfigError> {
        let file: Rc<str> = name.into();
        let start = Place { file: file.clone(), line: 1 };
        if depth > DEEPEST {
            return Err(KconfigError::TooMuch { at: start, what: "files within each other" });
        }
        self.tree.files = self.tree.files.saturating_add(1);
        if self.tree.files > MOST_FILES {
            return Err(KconfigError::TooMuch { at: start, what: "as many files" });
        }
        let path = Path::new("/").join(name);
        let bytes = self.probe.read(&path, FILE_LIMIT).map_err(|source| KconfigError::Read {
            file: name.to_owned(),
            by: by.cloned(),
            source,
        })?;
        self.read = self.read.saturating_add(bytes.len());
        if self.read > ALL_LIMIT {
            return Err(KconfigError::TooMuch { at: start, what: "as much text" });
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = Lines { rest: text.lines().peekable(), number: 0 };
        let outside = self.scopes.len();
        while let Some(line) = lines.next() {
            let at = Place { file: file.clone(), line: lines.number };
            if let Some(before) = line.strip_suffix('\\') {
                let whole = continued(before, &mut lines);
                self.line(&whole, at, &mut lines, depth)?;
            } else {
                self.line(line, at, &mut lines, depth)?;
            }
        }
        match self.scopes.get(outside) {
            None => Ok(()),
            Some(open) => Err(KconfigError::Line {
                at: open.at.clone(),
                what: format!("this block has no {}", open.what.end()),
            }),
        }
    }

    fn line(
        &mut self,
        line: &str,
        at: Place,
        lines: &mut Lines<'_>,
        depth: usize,
    ) -> Result<(), KconfigError> {
        let bad = |what: &str| KconfigError::Line { at: at.clone(), what: what.to_owned() };
        let keyword = first_word(line);
        if keyword == "help" || keyword == "---help---" {
            let help = help_text(lines);
            if let Some(definition) = self.definition() {
                definition.help = help;
            }
            return Ok(());
        }
        if keyword.is_empty() || is_assignment(line, keyword) {
            return Ok(());
        }
        let tokens = tokens(line)
            .ok_or_else(|| bad("a text or a macro has no end, or a sign is none of Kconfig's"))?;
        let rest = tokens.get(1..).unwrap_or_default();
        match keyword {
            "config" | "menuconfig" => self.config(rest, at),
            "choice" => {
                let index = self.tree.choices.len();
                self.tree.choices.push(Choice { at: at.clone(), prompt: String::new(), members: Vec::new() });
                self.open(What::Choice(index), at, Vec::new(), None)
            }
            "menu" => {
                let Some(Token::Text(title)) = rest.first() else {
                    return Err(bad("a menu has no title"));
                };
                self.open(What::Menu, at, Vec::new(), Some(title.as_ref().into()))
            }
            "if" => {
                let expr = Expr::parse(rest).ok_or_else(|| bad("no condition after `if`"))?;
                let condition = Condition { expr: Rc::new(expr), at: at.clone() };
                self.open(What::If, at, vec![condition], None)?;
                self.current = Current::Nothing;
                Ok(())
            }
            "endif" | "endmenu" | "endchoice" => self.close(keyword, &at),
            "comment" => {
                self.current = Current::Comment;
                Ok(())
            }
            "source" => {
                let Some(Token::Text(name)) = rest.first() else {
                    return Err(bad("`source` names no file"));
                };
                self.current = Current::Nothing;
                let name = name.replace("$(SRCARCH)", self.arch);
                self.file(&name, Some(&at), depth.saturating_add(1))
            }
            "mainmenu" => Ok(()),
            _ => self.attribute(keyword, rest, at),
        }
    }

    fn config(&mut self, rest: &[Token<'_>], at: Place) -> Result<(), KconfigError> {
        let Some(Token::Word(name)) = rest.first() else {
            return Err(KconfigError::Line { at, what: "`config` names no symbol".to_owned() });
        };
        self.definitions = self.definitions.saturating_add(1);
        if self.definitions > MOST_DEFINITIONS {
            return Err(KconfigError::TooMuch { at, what: "as many symbols" });
        }
        let around = self.scopes.iter().map(|scope| scope.depends.len().saturating_add(scope.visible.len()));
        self.conditions = self.conditions.saturating_add(around.sum());
        if self.conditions > MOST_CONDITIONS {
            return Err(KconfigError::TooMuch { at, what: "as many conditions" });
        }
        let name: Rc<str> = (*name).into();
        let index = *self.tree.index.entry(name.clone()).or_insert(self.tree.symbols.len());
        if index == self.tree.symbols.len() {
            self.tree.symbols.push(Symbol { name: name.clone(), kind: None, definitions: Vec::new() });
        }
        let choice = self.scopes.iter().rev().find_map(|scope| match scope.what {
            What::Choice(index) => Some(index),
            _ => None,
        });
        if let Some(choice) = choice.and_then(|choice| self.tree.choices.get_mut(choice)) {
            choice.members.push(name);
        }
        let definition = Definition {
            at,
            menus: self.scopes.iter().filter_map(|scope| scope.title.clone()).collect(),
            prompt: None,
            depends: self.scopes.iter().flat_map(|scope| scope.depends.iter().cloned()).collect(),
            visible: self.scopes.iter().flat_map(|scope| scope.visible.iter().cloned()).collect(),
            defaults: Vec::new(),
            selects: Vec::new(),
            implies: Vec::new(),
            ranges: Vec::new(),
            help: String::new(),
            choice,
        };
        if let Some(symbol) = self.tree.symbols.get_mut(index) {
            self.current = Current::Config(index, symbol.definitions.len());
            symbol.definitions.push(definition);
        }
        Ok(())
    }

    fn open(
        &mut self,
        what: What,
        at: Place,
        depends: Vec<Condition>,
        title: Option<Rc<str>>,
    ) -> Result<(), KconfigError> {
        if self.scopes.len() >= MOST_SCOPES {
            return Err(KconfigError::TooMuch { at, what: "blocks within each other" });
        }
        self.scopes.push(Scope { what, at, title, depends, visible: Vec::new() });
        self.current = Current::Scope;
        Ok(())
    }

    fn close(&mut self, keyword: &str, at: &Place) -> Result<(), KconfigError> {
        self.current = Current::Nothing;
        match self.scopes.pop() {
            Some(scope) if scope.what.end() == keyword && scope.at.file == at.file => Ok(()),
            _ => Err(KconfigError::Line {
                at: at.clone(),
                what: format!("`{keyword}` closes no block of this file"),
            }),
        }
    }

    fn definition(&mut self) -> Option<&mut Definition> {
        match self.current {
            Current::Config(symbol, block) => {
                self.tree.symbols.get_mut(symbol).and_then(|symbol| symbol.definitions.get_mut(block))
            }
            _ => None,
        }
    }

    fn attribute(&mut self, keyword: &str, rest: &[Token<'_>], at: Place) -> Result<(), KconfigError> {
        if self.current == Current::Comment {
            return Ok(());
        }
        let wrong = |what: &str| KconfigError::Line { at: at.clone(), what: what.to_owned() };
        let no_condition = || wrong("no condition where one should stand");
        match keyword {
            "bool" | "boolean" | "tristate" | "string" | "int" | "hex" => {
                let kind = Kind::of(keyword).unwrap_or(Kind::Bool);
                self.kind(kind);
                self.prompt(rest).ok_or_else(no_condition)
            }
            "prompt" => self.prompt(rest).ok_or_else(no_condition),
            "def_bool" | "def_tristate" => {
                self.kind(if keyword == "def_bool" { Kind::Bool } else { Kind::Tristate });
                self.default(rest).ok_or_else(no_condition)
            }
            "default" => self.default(rest).ok_or_else(no_condition),
            "depends" => {
                let expr = rest.get(1..).and_then(Expr::parse).ok_or_else(no_condition)?;
                self.condition(Condition { expr: Rc::new(expr), at }, false);
                Ok(())
            }
            "visible" => {
                let expr = rest.get(1..).and_then(Expr::parse).ok_or_else(no_condition)?;
                self.condition(Condition { expr: Rc::new(expr), at }, true);
                Ok(())
            }
            "select" | "imply" => {
                let (words, condition) = with_condition(rest).ok_or_else(no_condition)?;
                let [Token::Word(name)] = words else { return Err(wrong("no symbol that it brings")) };
                let brings = Brings { symbol: (*name).into(), condition, at };
                if let Some(definition) = self.definition() {
                    let list =
                        if keyword == "select" { &mut definition.selects } else { &mut definition.implies };
                    list.push(brings);
                }
                Ok(())
            }
            "range" => {
                let (words, condition) = with_condition(rest).ok_or_else(no_condition)?;
                let ends: Vec<Atom> = words.iter().filter_map(atom).collect();
                let [least, most] = <[Atom; 2]>::try_from(ends).map_err(|_| wrong("a range has two ends"))?;
                if let Some(definition) = self.definition() {
                    definition.ranges.push(Range { least, most, condition });
                }
                Ok(())
            }
            // How the symbol of modules is marked, and how a choice of old could be off: of no consequence here.
            "option" | "modules" | "optional" | "transitional" | "allnoconfig_y" => Ok(()),
            other => Err(wrong(&format!("`{}` is no word of Kconfig", other.escape_debug()))),
        }
    }

    fn kind(&mut self, kind: Kind) {
        if let Current::Config(symbol, _) = self.current
            && let Some(symbol) = self.tree.symbols.get_mut(symbol)
        {
            symbol.kind.get_or_insert(kind);
        }
    }

    /// `None` where the condition is none.
    fn prompt(&mut self, rest: &[Token<'_>]) -> Option<()> {
        let (words, condition) = with_condition(rest)?;
        let Some(Token::Text(text)) = words.first() else { return words.is_empty().then_some(()) };
        let text = text.clone().into_owned();
        if let Some(definition) = self.definition() {
            definition.prompt = Some(Prompt { text, condition });
        } else if let Some(What::Choice(index)) = self.scopes.last().map(|scope| scope.what)
            && let Some(choice) = self.tree.choices.get_mut(index)
        {
            choice.prompt = text;
        }
        Some(())
    }

    fn default(&mut self, rest: &[Token<'_>]) -> Option<()> {
        let (words, condition) = with_condition(rest)?;
        let value = Expr::parse(words)?;
        if let Some(definition) = self.definition() {
            definition.defaults.push(DefaultValue { value, condition });
        }
        Some(())
    }

    fn condition(&mut self, condition: Condition, visible: bool) {
        if let Some(definition) = self.definition() {
            definition.depends.push(condition);
        } else if self.current == Current::Scope
            && let Some(scope) = self.scopes.last_mut()
        {
            let list = if visible { &mut scope.visible } else { &mut scope.depends };
            list.push(condition);
        }
    }
}

/// Splits `VALUE if CONDITION`; `None` where the condition is none.
fn with_condition<'a, 't>(rest: &'a [Token<'t>]) -> Option<(&'a [Token<'t>], Option<Rc<Expr>>)> {
    match rest.iter().position(|token| *token == Token::Word("if")) {
        None => Some((rest, None)),
        Some(at) => {
            let (words, condition) = rest.split_at_checked(at)?;
            Some((words, Some(Rc::new(Expr::parse(condition.get(1..)?)?))))
        }
    }
}

/// A line with those it continues on.
fn continued(first: &str, lines: &mut Lines<'_>) -> String {
    let mut whole = first.to_owned();
    while let Some(line) = lines.next() {
        whole.push(' ');
        match line.strip_suffix('\\') {
            Some(before) => whole.push_str(before),
            None => {
                whole.push_str(line);
                break;
            }
        }
    }
    whole
}

/// The first word of a line; empty for comments, blank lines and macros that stand alone.
fn first_word(line: &str) -> &str {
    let line = line.trim_start();
    let end =
        line.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(line.len());
    line.get(..end).unwrap_or_default()
}

/// `name = value`, `name := value`, `name += value`: macros, which are not run.
fn is_assignment(line: &str, keyword: &str) -> bool {
    let rest = line.trim_start().get(keyword.len()..).unwrap_or_default().trim_start();
    ["=", ":=", "+="].iter().any(|sign| rest.starts_with(sign))
}

/// A help text: the lines that are indented at least as the first one; shown without that indent.
fn help_text(lines: &mut Lines<'_>) -> String {
    let mut text = String::new();
    let mut indent = None;
    while let Some(line) = lines.rest.peek() {
        let line = *line;
        let depth = depth(line);
        if !line.trim().is_empty() {
            let least = *indent.get_or_insert(depth);
            if depth < least || depth == 0 {
                break;
            }
        }
        let _ = lines.next();
        let kept = line.trim();
        if !(text.is_empty() && kept.is_empty()) {
            let deeper = depth.saturating_sub(indent.unwrap_or_default());
            text.extend(std::iter::repeat_n(' ', if kept.is_empty() { 0 } else { deeper.min(40) }));
            text.push_str(kept);
            text.push('\n');
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// How deep a line is indented, a tab being eight.
fn depth(line: &str) -> usize {
    let mut depth = 0_usize;
    for c in line.chars() {
        match c {
            ' ' => depth = depth.saturating_add(1),
            '\t' => depth = depth.saturating_add(8).saturating_sub(depth % 8),
            _ => break,
        }
    }
    depth
}
