//! Why a symbol is not what was asked for.
//!
//! Decides: by the tree's own Kconfig and the configuration that came out: which dependency stopped it, and what that
//! one hangs on in turn. Never: solves; it names what is missing, and the choice stays with the reader.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kconfig::expr::{Atom, Expr, Tristate, Truth};
use super::kconfig::tree::{Brings, Condition, Definition, Symbol};
use super::kconfig::{Tree, Values};
use super::profile::{At, Request, Wanted, Wish, near_symbol};

/// How far a chain of dependencies is followed.
const DEPTH: usize = 6;
/// How many selecting symbols are named.
const MOST_NAMED: usize = 8;

/// A wish that was not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lost {
    /// The symbol, without `CONFIG_`.
    pub symbol: String,
    /// What was asked.
    pub asked: Wish,
    /// What it became, as the .config has it; `n` where it is not there.
    pub got: String,
    /// Why it was asked for.
    pub why: String,
    /// The line that asks.
    pub at: At,
    /// What stopped it.
    pub stopped: Stopped,
}

/// What stands between a symbol and a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Stopped {
    /// The tree has no such symbol.
    NotThere {
        /// The symbol that was probably meant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        near: Option<String>,
    },
    /// A condition does not hold.
    Condition {
        /// The condition.
        condition: String,
        /// Its line: `arch/x86/xen/Kconfig:9`.
        at: String,
        /// What of it is missing.
        needs: Vec<Need>,
    },
    /// It is no question of its own; others bring it.
    NotAsked {
        /// Who selects it.
        selected_by: Vec<String>,
    },
    /// Another symbol of the same choice was taken.
    Choice {
        /// The choice's question.
        choice: String,
        /// The symbol that was taken, where one was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        taken: Option<String>,
    },
    /// Symbols that are on bring it.
    Selected {
        /// Those symbols, each with its line.
        by: Vec<String>,
    },
    /// Its number lies outside of its bounds.
    Range {
        /// The bounds.
        range: String,
    },
    /// The compiler, the linker or a script decides it.
    Toolchain {
        /// The question that is put to it.
        question: String,
        /// The line.
        at: String,
    },
    /// Nothing in the Kconfig files says why.
    Unknown,
}

/// What a condition lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Need {
    /// The symbol or comparison; several where one of them is enough.
    pub one_of: Vec<String>,
    /// What it should be.
    pub should_be: String,
    /// What it is.
    pub is: String,
    /// Why it is not, followed further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<Box<Stopped>>,
}

/// Returns every wish that a configuration does not fulfil, by symbol.
#[must_use]
pub fn lost(request: &Request, tree: &Tree, values: &Values) -> Vec<Lost> {
    let unmet = request.wanted.values().filter(|wanted| !met(wanted, values));
    unmet.map(|wanted| explain(wanted, tree, values)).collect()
}

/// Returns whether a configuration has what a wish asks for. A module that became part of the kernel is more, not less.
#[must_use]
pub fn met(wanted: &Wanted, values: &Values) -> bool {
    match (&wanted.wish, values.get(&wanted.symbol)) {
        (Wish::Switch(Tristate::N), _) => values.switch(&wanted.symbol) == Tristate::N,
        (Wish::Switch(least), _) => values.switch(&wanted.symbol) >= *least,
        (Wish::Number(asked), Some(got)) => number(asked).is_some() && number(asked) == number(got),
        (Wish::Text(asked), got) => got.unwrap_or_default() == asked,
        (Wish::Number(_), None) => false,
    }
}

fn number(text: &str) -> Option<i128> {
    match text.strip_prefix("0x") {
        Some(hex) => i128::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn explain(wanted: &Wanted, tree: &Tree, values: &Values) -> Lost {
    let got = values.get(&wanted.symbol).unwrap_or("n").to_owned();
    let mut reasons = Reasons { tree, values, seen: BTreeSet::new() };
    let stopped = match &wanted.wish {
        Wish::Switch(Tristate::N) => reasons.on(&wanted.symbol),
        Wish::Switch(want) => reasons.off(&wanted.symbol, *want, DEPTH),
        Wish::Number(_) | Wish::Text(_) => reasons.other(&wanted.symbol),
    };
    let Wanted { symbol, wish: asked, why, at } = wanted.clone();
    Lost { symbol, asked, got, why, at, stopped }
}

/// Returns what keeps a symbol from being on, as the configuration stands; `None` where it is on, or nothing does.
#[must_use]
pub fn why_off(symbol: &str, tree: &Tree, values: &Values) -> Option<Stopped> {
    if values.switch(symbol) > Tristate::N {
        return None;
    }
    let stopped = Reasons { tree, values, seen: BTreeSet::new() }.off(symbol, Tristate::M, DEPTH);
    (stopped != Stopped::Unknown).then_some(stopped)
}

struct Reasons<'a> {
    tree: &'a Tree,
    values: &'a Values,
    seen: BTreeSet<String>,
}

impl Reasons<'_> {
    /// Why a symbol is less than `want`.
    fn off(&mut self, name: &str, want: Tristate, depth: usize) -> Stopped {
        self.seen.insert(name.to_owned());
        let tree = self.tree;
        let Some(symbol) = tree.symbol(name) else {
            return Stopped::NotThere { near: near_symbol(tree, name).map(str::to_owned) };
        };
        let asks: Vec<&Definition> =
            symbol.definitions.iter().filter(|definition| definition.prompt.is_some()).collect();
        if let Some(stopped) = self.choice(symbol) {
            return stopped;
        }
        // Of several blocks, one whose conditions hold is enough: then no dependency is to blame.
        let mut first = None;
        for definition in &asks {
            match self.blocked(definition, want, depth) {
                None => {
                    first = None;
                    break;
                }
                Some(stopped) => first = first.or(Some(stopped)),
            }
        }
        if let Some(stopped) = first {
            return stopped;
        }
        if asks.is_empty() {
            return self.not_asked(symbol, want, depth);
        }
        Stopped::Unknown
    }

    /// A symbol without a question: a condition of its own, or nobody brings it.
    fn not_asked(&mut self, symbol: &Symbol, want: Tristate, depth: usize) -> Stopped {
        let tree = self.tree;
        let selected_by: Vec<String> =
            tree.selectors(&symbol.name).iter().map(|(by, _)| by.name.to_string()).collect();
        for definition in &symbol.definitions {
            for default in &definition.defaults {
                let parts = [Some(&default.value), default.condition.as_deref()];
                let question = parts.into_iter().flatten().find_map(toolchain);
                if let Some(question) = question {
                    return Stopped::Toolchain { question, at: definition.at.to_string() };
                }
            }
            if selected_by.is_empty() {
                if let Some(stopped) = self.blocked(definition, want, depth) {
                    return stopped;
                }
                for default in &definition.defaults {
                    let condition = default.condition.as_deref().unwrap_or(&default.value);
                    if let Some(stopped) = self.condition(condition, &definition.at.to_string(), want, depth)
                    {
                        return stopped;
                    }
                }
            }
        }
        Stopped::NotAsked { selected_by }
    }

    /// The first condition of a block that does not hold.
    fn blocked(&mut self, definition: &Definition, want: Tristate, depth: usize) -> Option<Stopped> {
        for Condition { expr, at } in &definition.depends {
            if let Some(stopped) = self.condition(expr, &at.to_string(), want, depth) {
                return Some(stopped);
            }
        }
        let visible =
            definition.visible.iter().map(|condition| (condition.expr.as_ref(), condition.at.to_string()));
        let prompt = definition.prompt.iter().filter_map(|prompt| prompt.condition.as_deref());
        let prompt = prompt.map(|expr| (expr, definition.at.to_string()));
        for (expr, at) in visible.chain(prompt) {
            // A question is put at all where its condition is m.
            if let Some(stopped) = self.condition(expr, &at, Tristate::M, depth) {
                return Some(stopped);
            }
        }
        None
    }

    fn condition(&mut self, expr: &Expr, at: &str, want: Tristate, depth: usize) -> Option<Stopped> {
        match expr.truth(self.values) {
            Truth::Known(value) if value >= want => None,
            Truth::Unknown => {
                let question = toolchain(expr).unwrap_or_else(|| expr.to_string());
                Some(Stopped::Toolchain { question, at: at.to_owned() })
            }
            Truth::Known(_) => {
                let mut needs = Vec::new();
                self.needs(expr, want, depth, &mut needs);
                Some(Stopped::Condition { condition: expr.to_string(), at: at.to_owned(), needs })
            }
        }
    }

    /// What of a condition is missing.
    fn needs(&mut self, expr: &Expr, want: Tristate, depth: usize, into: &mut Vec<Need>) {
        if matches!(expr.truth(self.values), Truth::Known(value) if value >= want) {
            return;
        }
        match expr {
            Expr::All(parts) => parts.iter().for_each(|part| self.needs(part, want, depth, into)),
            Expr::Any(parts) => {
                let one_of = parts.iter().map(Expr::to_string).collect();
                let should_be = format!("{} for one of them", at_least(want));
                into.push(Need { one_of, should_be, is: "n".to_owned(), because: None });
            }
            Expr::Atom(atom) => {
                let Some(name) = atom.symbol() else {
                    into.push(need(expr, at_least(want), "n"));
                    return;
                };
                let is = self.values.switch(name);
                let because = match depth.checked_sub(1) {
                    Some(deeper) if is < want && !self.seen.contains(name) => {
                        Some(self.off(name, want, deeper)).filter(|stopped| *stopped != Stopped::Unknown)
                    }
                    _ => None,
                };
                into.push(Need { because: because.map(Box::new), ..need(expr, at_least(want), is.letter()) });
            }
            Expr::Not(inner) => {
                let is = match inner.truth(self.values) {
                    Truth::Known(value) => value.letter(),
                    Truth::Unknown => "not known",
                };
                into.push(need(inner, "n", is));
            }
            Expr::Compare(left, _, right) => {
                let value = |atom: &Atom| {
                    let name = atom.symbol()?;
                    Some(format!("{name} is {}", self.values.get(name).unwrap_or("n")))
                };
                let is: Vec<String> = [left, right].into_iter().filter_map(value).collect();
                into.push(need(expr, "true", &is.join(", ")));
            }
        }
    }

    /// Another member of its choice that is on.
    fn choice(&self, symbol: &Symbol) -> Option<Stopped> {
        let index = symbol.definitions.iter().find_map(|definition| definition.choice)?;
        let choice = self.tree.choice(index)?;
        let on = |name: &&std::rc::Rc<str>| self.values.switch(name) == Tristate::Y;
        let taken = choice.members.iter().find(on)?.to_string();
        Some(Stopped::Choice { choice: choice.prompt.clone(), taken: Some(taken) })
    }

    /// Why a symbol is on that should be off.
    fn on(&self, name: &str) -> Stopped {
        let Some(symbol) = self.tree.symbol(name) else { return Stopped::NotThere { near: None } };
        let active = |(by, brings): &(&Symbol, &Brings)| {
            let condition = brings.condition.as_ref().map(|expr| expr.truth(self.values));
            self.values.switch(&by.name) > Tristate::N && condition != Some(Truth::Known(Tristate::N))
        };
        let by: Vec<String> = self
            .tree
            .selectors(name)
            .into_iter()
            .filter(active)
            .map(|(by, brings)| format!("{} ({})", by.name, brings.at))
            .collect();
        if !by.is_empty() {
            return Stopped::Selected { by };
        }
        if let Some(index) = symbol.definitions.iter().find_map(|definition| definition.choice)
            && let Some(choice) = self.tree.choice(index)
        {
            return Stopped::Choice { choice: choice.prompt.clone(), taken: None };
        }
        if symbol.prompt().is_none() {
            return Stopped::NotAsked { selected_by: Vec::new() };
        }
        let shown = symbol.definitions.iter().any(|definition| {
            let condition = definition.prompt.as_ref().and_then(|prompt| prompt.condition.as_ref());
            definition.prompt.is_some()
                && condition.is_none_or(|expr| expr.truth(self.values) != Truth::Known(Tristate::N))
        });
        let hidden = symbol.definitions.iter().find_map(|definition| {
            Some((definition.prompt.as_ref()?.condition.as_ref()?, definition.at.to_string()))
        });
        match hidden.filter(|_| !shown) {
            Some((expr, at)) => {
                Stopped::Condition { condition: expr.to_string(), at, needs: vec![need(expr, "y", "n")] }
            }
            None => Stopped::Unknown,
        }
    }

    /// Why a number or a text is another one.
    fn other(&mut self, name: &str) -> Stopped {
        let tree = self.tree;
        let Some(symbol) = tree.symbol(name) else { return self.off(name, Tristate::Y, DEPTH) };
        if symbol.prompt().is_none() {
            return Stopped::NotAsked { selected_by: Vec::new() };
        }
        for definition in symbol.definitions.iter().filter(|definition| definition.prompt.is_some()) {
            if let Some(stopped) = self.blocked(definition, Tristate::M, DEPTH) {
                return stopped;
            }
            let holds = |condition: &Option<std::rc::Rc<Expr>>| {
                condition.as_ref().is_none_or(|expr| expr.truth(self.values) != Truth::Known(Tristate::N))
            };
            if let Some(range) = definition.ranges.iter().find(|range| holds(&range.condition)) {
                return Stopped::Range { range: format!("{} to {}", range.least, range.most) };
            }
        }
        Stopped::Unknown
    }
}

fn need(expr: &Expr, should_be: &str, is: &str) -> Need {
    Need { one_of: vec![expr.to_string()], should_be: should_be.to_owned(), is: is.to_owned(), because: None }
}

fn at_least(want: Tristate) -> &'static str {
    match want {
        Tristate::Y => "y",
        Tristate::M => "y or m",
        Tristate::N => "n",
    }
}

/// The first macro in a condition.
fn toolchain(expr: &Expr) -> Option<String> {
    let of = |atom: &Atom| match atom {
        Atom::Macro(text) => Some(text.to_string()),
        Atom::Word(_) | Atom::Text(_) => None,
    };
    match expr {
        Expr::Atom(atom) => of(atom),
        Expr::Not(inner) => toolchain(inner),
        Expr::All(parts) | Expr::Any(parts) => parts.iter().find_map(toolchain),
        Expr::Compare(left, _, right) => of(left).or_else(|| of(right)),
    }
}

impl Stopped {
    /// Returns it as lines of words, what is deeper being indented.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::NotThere { near } => {
                let near = near.as_ref().map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                vec![format!("this tree has no such symbol{near}")]
            }
            Self::Condition { condition, at, needs } => {
                let mut lines = vec![format!("it needs `{condition}` ({at})")];
                lines.extend(needs.iter().flat_map(Need::lines).map(|line| format!("  {line}")));
                lines
            }
            Self::NotAsked { selected_by } if selected_by.is_empty() => {
                vec!["the tree decides it by itself".to_owned()]
            }
            Self::NotAsked { selected_by } => {
                vec![format!("it is no question of its own: {} brings it", named(selected_by))]
            }
            Self::Choice { choice, taken: Some(taken) } => {
                vec![format!("of the choice \"{choice}\" {taken} was taken, and only one can be")]
            }
            Self::Choice { choice, taken: None } => {
                vec![format!("the choice \"{choice}\" takes it where no other of its symbols is asked for")]
            }
            Self::Selected { by } => vec![format!("it is brought by {}", by.join(", "))],
            Self::Range { range } => vec![format!("its bounds are {range}")],
            Self::Toolchain { question, at } => {
                vec![format!("the compiler, the linker or a script answers `{question}` with no ({at})")]
            }
            Self::Unknown => vec!["the tree's Kconfig files do not say why".to_owned()],
        }
    }
}

impl Need {
    fn lines(&self) -> Vec<String> {
        let mut lines = match self.one_of.as_slice() {
            [one] if self.should_be == "true" => vec![format!("{one} does not hold: {}", self.is)],
            [one] => vec![format!("{one} is {}, and should be {}", self.is, self.should_be)],
            several => vec![format!("none of {} is on", several.join(", "))],
        };
        if let Some(because) = &self.because {
            lines.extend(because.lines().into_iter().map(|line| format!("  {line}")));
        }
        lines
    }
}

fn named(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(MOST_NAMED).map(String::as_str).collect();
    match names.len().saturating_sub(shown.len()) {
        0 => shown.join(" or "),
        more => format!("{} or one of {more} others", shown.join(", ")),
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}={} is {} (asked at {}: {})", self.symbol, self.asked, self.got, self.at, self.why)?;
        for line in self.stopped.lines() {
            write!(out, "\n  {line}")?;
        }
        Ok(())
    }
}
