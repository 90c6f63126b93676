//! Python literals as xl writes them. Decides which values are written anew: those that xl could not read as they
//! stand. Comments inside such a value move above its statement.

use std::ops::Range;

use super::super::file::GuestFile;
use super::super::parse::{Node, Op, Statement, Value};
use super::super::xl;
use super::{Edit, hoist, quote_of, quoted, retired};

/// Returns the edits that make an xl file of an xm file.
pub(super) fn edits(file: &GuestFile) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut rewritten: Vec<Range<usize>> = Vec::new();
    for statement in file.statements() {
        if let Some(reason) = unwanted(statement) {
            edits.extend(retired(file, &statement.span, reason));
            rewritten.push(statement.span.clone());
            continue;
        }
        gap(file, statement, &mut edits, &mut rewritten);
        let mut nodes = Vec::new();
        node(file, &statement.node, &mut edits, &mut nodes);
        for span in &nodes {
            hoist(file, statement, span, &mut edits);
        }
        rewritten.extend(nodes);
    }
    for span in &file.parsed.loose {
        edits.extend(retired(file, span, "a text that stands alone is a comment"));
        rewritten.push(span.clone());
    }
    rewritten.sort_by_key(|span| span.start);
    for at in &file.parsed.continuations {
        let next = rewritten.partition_point(|span| span.start <= *at);
        if !rewritten.get(next.wrapping_sub(1)).is_some_and(|span| span.contains(at)) {
            let next = file.statements().partition_point(|one| one.node.span.start <= *at);
            let statement = file.statements().get(next.wrapping_sub(1));
            let inside = statement.is_some_and(|one| one.node.span.contains(at));
            // Between brackets the line may end as it is; elsewhere the next one is its rest.
            let end = if inside { at + 1 } else { at + 2 };
            let line = file.line_around(*at).start;
            let start = line + file.slice(&(line..*at)).trim_end_matches([' ', '\t']).len();
            edits.push(Edit { span: start..end, text: String::new() });
        }
    }
    edits
}

fn unwanted(statement: &Statement) -> Option<&'static str> {
    let mut letters = statement.key.chars();
    let good = letters.next().is_some_and(|c| c.is_ascii_lowercase())
        && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !good {
        return Some("xl knows lower-case keys only, and xm had no such key");
    }
    (statement.node.value == Value::Nothing).then_some("None sets nothing")
}

/// What stands between key and value is written anew where a line ends in it.
fn gap(file: &GuestFile, statement: &Statement, edits: &mut Vec<Edit>, rewritten: &mut Vec<Range<usize>>) {
    let span = statement.span.start + statement.key.len()..statement.node.span.start;
    if file.slice(&span).contains('\n') {
        let text = if statement.op == Op::Add { " += " } else { " = " }.to_owned();
        rewritten.push(span.clone());
        edits.push(Edit { span, text });
    }
}

/// Writes a value anew where xl would not read it as it stands, part by part where it is a list.
fn node(file: &GuestFile, node_: &Node, edits: &mut Vec<Edit>, rewritten: &mut Vec<Range<usize>>) {
    let source = file.slice(&node_.span);
    if xl::value(source).is_some_and(|value| value == node_.value) {
        return;
    }
    let Value::List(items) = &node_.value else {
        edits.push(Edit { span: node_.span.clone(), text: rendered(&node_.value, source) });
        rewritten.push(node_.span.clone());
        return;
    };
    let inside = node_.span.start + 1..node_.span.end.saturating_sub(1);
    let in_order = items.iter().try_fold(inside.start, |at, item| {
        (item.span.start >= at && item.span.end <= inside.end).then_some(item.span.end)
    });
    let bracketed = source.starts_with(['[', '(']) && source.ends_with([']', ')']);
    let sole = in_order.is_some() && bracketed && is_one_list(file, node_, items);
    if !sole || items.iter().any(|item| item.value == Value::Nothing) {
        edits.push(Edit { span: node_.span.clone(), text: rendered(&node_.value, source) });
        rewritten.push(node_.span.clone());
        return;
    }
    if source.starts_with('(') {
        edits.push(Edit { span: node_.span.start..inside.start, text: "[".to_owned() });
        edits.push(Edit { span: inside.end..node_.span.end, text: "]".to_owned() });
    }
    for item in items {
        node(file, item, edits, rewritten);
    }
}

/// Whether nothing but commas, white space and comments stands between the items: no `[…] + […]`, no `((…))`.
fn is_one_list(file: &GuestFile, list: &Node, items: &[Node]) -> bool {
    let mut at = list.span.start + 1;
    let end = list.span.end.saturating_sub(1);
    let starts = items.iter().map(|item| item.span.clone()).chain(std::iter::once(end..end));
    for span in starts {
        let mut rest = at;
        while rest < span.start {
            let comments = &file.parsed.comments;
            let comment = comments.binary_search_by_key(&rest, |comment| comment.start);
            let comment = comment.ok().and_then(|index| comments.get(index));
            let byte = file.text().as_bytes().get(rest).copied().unwrap_or(b'x');
            match comment {
                Some(comment) => rest = comment.end,
                None if matches!(byte, b',' | b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' | b'\\') => rest += 1,
                None => return false,
            }
        }
        at = span.end;
    }
    true
}

fn rendered(value: &Value, source: &str) -> String {
    match value {
        Value::Text(text) => {
            let number = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
            let bare = number && !source.contains(['\'', '"']);
            if bare { text.clone() } else { quoted(text, quote_of(source)) }
        }
        Value::List(items) => {
            let items = items.iter().filter(|item| item.value != Value::Nothing);
            let items: Vec<String> = items.map(|item| rendered(&item.value, "'")).collect();
            if items.is_empty() { "[]".to_owned() } else { format!("[ {} ]", items.join(", ")) }
        }
        Value::Nothing => "''".to_owned(),
    }
}
