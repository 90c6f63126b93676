//! What a driver's symbol depends on, asked for along with it.
//!
//! Decides: by the plain conditions of its Kconfig: symbols that have a question. Never: takes back a wish, or touches a
//! symbol that only others can bring; what is still missing then is told by [`crate::kernel::explain`].

use crate::kernel::kconfig::Tree;
use crate::kernel::kconfig::expr::{Atom, Expr, Tristate};
use crate::kernel::profile::{Request, Wanted, Wish};

/// A chain of dependencies is rarely longer than 6.
const DEPTH: usize = 16;
/// They are never switched on for a driver's sake.
const NEVER: [&str; 3] = ["COMPILE_TEST", "BROKEN", "EXPERT"];

/// Adds a wish, and wishes for what it needs.
pub fn along(request: &mut Request, tree: &Tree, wanted: Wanted) {
    let symbol = wanted.symbol.clone();
    let value = match wanted.wish {
        Wish::Switch(value) => value,
        Wish::Number(_) | Wish::Text(_) => Tristate::Y,
    };
    request.add(wanted);
    needs(request, tree, &symbol, value, DEPTH);
}

fn needs(request: &mut Request, tree: &Tree, symbol: &str, value: Tristate, depth: usize) {
    let Some(deeper) = depth.checked_sub(1) else { return };
    let Some(found) = tree.symbol(symbol) else { return };
    let Some(block) = found.definitions.iter().find(|block| block.prompt.is_some()) else { return };
    let prompt = block.prompt.as_ref().and_then(|prompt| prompt.condition.as_ref());
    let conditions = block.depends.iter().map(|condition| &condition.expr).chain(prompt);
    for expr in conditions {
        satisfy(request, tree, expr, symbol, value, deeper);
    }
}

fn satisfy(request: &mut Request, tree: &Tree, expr: &Expr, of: &str, value: Tristate, depth: usize) {
    match expr {
        Expr::All(parts) => parts.iter().for_each(|part| satisfy(request, tree, part, of, value, depth)),
        Expr::Any(parts) => {
            let holds = |part: &Expr| match part {
                Expr::Atom(atom) => atom.symbol().is_some_and(|name| is_on(request, name, tree)),
                // `X || !X` and comparisons hold in one way or another.
                _ => true,
            };
            if !parts.iter().any(holds)
                && let Some(part) = parts.iter().find(|part| can_ask(part, tree))
            {
                satisfy(request, tree, part, of, value, depth);
            }
        }
        Expr::Atom(Atom::Word(name)) if can_ask(expr, tree) => ask(request, tree, name, of, value, depth),
        _ => {}
    }
}

fn ask(request: &mut Request, tree: &Tree, name: &str, of: &str, value: Tristate, depth: usize) {
    match request.wanted.get(name).map(|there| &there.wish) {
        Some(Wish::Switch(there)) if *there >= value || *there == Tristate::N => return,
        _ => {}
    }
    let Some(by) = request.wanted.get(of).cloned() else { return };
    let why = format!("{of} needs it");
    request.add(Wanted { symbol: name.to_owned(), wish: Wish::Switch(value), why, at: by.at });
    needs(request, tree, name, value, depth);
}

/// Whether it is asked for, or on by itself as far as can be told.
fn is_on(request: &Request, name: &str, tree: &Tree) -> bool {
    let asked = request.wanted.get(name).is_some_and(|there| there.wish != Wish::Switch(Tristate::N));
    asked
        || tree.symbol(name).is_some_and(|symbol| symbol.prompt().is_none() && !symbol.definitions.is_empty())
}

/// Whether it is a switch that can be asked for.
fn can_ask(expr: &Expr, tree: &Tree) -> bool {
    let Expr::Atom(Atom::Word(name)) = expr else { return false };
    let Some(symbol) = tree.symbol(name).filter(|_| !NEVER.contains(&name.as_ref())) else { return false };
    let in_choice = symbol.definitions.iter().any(|block| block.choice.is_some());
    symbol.prompt().is_some() && symbol.kind.is_some_and(|kind| kind.is_switch()) && !in_choice
}
