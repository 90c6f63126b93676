//! What a symbol is, as `kernel explain` says it.
//!
//! Decides: what of a tree's Kconfig belongs to a symbol. Never: what it should be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::explain::{Stopped, why_off};
use super::kconfig::expr::{Expr, Tristate, Truth};
use super::kconfig::tree::{Brings, Definition, Symbol};
use super::kconfig::{Tree, Values};
use super::profile::{At, Shelf, Wish};

/// The format number.
pub const FORMAT: u32 = 1;

/// A symbol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Described {
    /// [`FORMAT`].
    pub format: u32,
    /// The tree's release.
    pub linux: String,
    /// Its name, without `CONFIG_`.
    pub symbol: String,
    /// bool, tristate, string, int or hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its blocks.
    pub blocks: Vec<Block>,
    /// The choice it is one of: its question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<String>,
    /// The other symbols of that choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// Who selects it, with the condition.
    pub selected_by: Vec<String>,
    /// Who implies it.
    pub implied_by: Vec<String>,
    /// Which roles and additions ask for it, and why.
    pub asked_by: Vec<AskedBy>,
    /// Its value in the configuration that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What keeps it off there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

/// A `config` block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Block {
    /// Its line.
    pub at: String,
    /// The menus it is in.
    pub menus: Vec<String>,
    /// Its question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The help text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub help: String,
    /// What it needs.
    pub needs: Vec<Needed>,
    /// What it is where nobody says.
    pub defaults: Vec<String>,
    /// What it selects.
    pub selects: Vec<String>,
}

/// A condition of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Needed {
    /// The condition.
    pub condition: String,
    /// Its line.
    pub at: String,
    /// Whether it holds in the configuration that was given: `y`, `m`, `n`; nothing where only a compiler knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Tristate>,
}

/// A line of a profile that asks for the symbol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AskedBy {
    /// The file: a role, a part, an addition.
    pub part: String,
    /// The roles that the file is of, by what they include; empty for an addition.
    pub roles: Vec<String>,
    /// What it asks.
    pub wish: Wish,
    /// Why.
    pub why: String,
    /// The line.
    pub at: At,
}

/// Returns what a tree says of a symbol; `None` where it has none of that name.
#[must_use]
pub fn describe(
    name: &str,
    tree: &Tree,
    linux: &str,
    values: Option<&Values>,
    shelf: &Shelf,
) -> Option<Described> {
    let symbol = tree.symbol(name)?;
    let choice = symbol.definitions.iter().find_map(|definition| tree.choice(definition.choice?));
    let others = choice.map(|choice| choice.members.iter().filter(|member| member.as_ref() != name));
    let value = values.map(|values| values.get(name).unwrap_or("n").to_owned());
    Some(Described {
        format: FORMAT,
        linux: linux.to_owned(),
        symbol: name.to_owned(),
        kind: symbol.kind.map(|kind| kind.word().to_owned()),
        blocks: symbol.definitions.iter().map(|definition| block(definition, values)).collect(),
        choice: choice.map(|choice| choice.prompt.clone()),
        others: others.into_iter().flatten().map(|member| member.to_string()).collect(),
        selected_by: tree.selectors(name).iter().map(who).collect(),
        implied_by: tree.impliers(name).iter().map(who).collect(),
        asked_by: asked_by(name, shelf),
        stopped: values
            .filter(|_| symbol.kind.is_none_or(|kind| kind.is_switch()))
            .and_then(|values| why_off(name, tree, values)),
        value,
    })
}

fn block(definition: &Definition, values: Option<&Values>) -> Block {
    let brings = |brings: &Brings| conditional(&brings.symbol, brings.condition.as_deref());
    let holds = |expr: &Expr| match expr.truth(values?) {
        Truth::Known(value) => Some(value),
        Truth::Unknown => None,
    };
    let prompt = definition.prompt.as_ref();
    let visible = definition.visible.iter().map(|condition| (condition.expr.as_ref(), &condition.at));
    let asked = prompt.and_then(|prompt| prompt.condition.as_deref()).map(|expr| (expr, &definition.at));
    let needs = definition.depends.iter().map(|condition| (condition.expr.as_ref(), &condition.at));
    Block {
        at: definition.at.to_string(),
        menus: definition.menus.iter().map(|menu| menu.to_string()).collect(),
        prompt: prompt.map(|prompt| prompt.text.clone()),
        help: definition.help.clone(),
        needs: needs
            .chain(visible)
            .chain(asked)
            .map(|(expr, at)| Needed { condition: expr.to_string(), at: at.to_string(), holds: holds(expr) })
            .collect(),
        defaults: definition
            .defaults
            .iter()
            .map(|default| conditional(&default.value.to_string(), default.condition.as_deref()))
            .collect(),
        selects: definition.selects.iter().map(brings).collect(),
    }
}

fn conditional(what: &str, condition: Option<&Expr>) -> String {
    match condition {
        None => what.to_owned(),
        Some(condition) => format!("{what} if {condition}"),
    }
}

fn who((by, brings): &(&Symbol, &Brings)) -> String {
    conditional(&by.name, brings.condition.as_deref())
}

fn asked_by(name: &str, shelf: &Shelf) -> Vec<AskedBy> {
    let mut all = Vec::new();
    for part in shelf.parts() {
        let asks =
            part.symbols.iter().find(|asked| asked.symbol == name || asked.was.iter().any(|was| was == name));
        if let Some(asked) = asks {
            all.push(AskedBy {
                part: part.name.clone(),
                roles: shelf.roles_with(&part.name),
                wish: asked.wish.clone(),
                why: asked.why.clone(),
                at: asked.at.clone(),
            });
        }
    }
    all
}
