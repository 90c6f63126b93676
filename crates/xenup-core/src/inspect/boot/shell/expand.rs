//! Expansion of words, and the test command. Decides values from what is known; never splits or globs.

use super::lexer::{Part, Word};
use super::parser::program;
use super::{Node, Value, Variables};

/// Longer than any setting; `A=$A$A` doubles with each line.
const LENGTH_MAX: usize = 1 << 16;

impl Variables {
    /// Expands an assignment's value or a word of which no splitting is expected.
    pub(super) fn expand(&self, word: &[Part]) -> Result<String, String> {
        let mut out = String::new();
        for (index, part) in word.iter().enumerate() {
            match part {
                Part::Text { text, quoted } => {
                    if index == 0 && !quoted && text.starts_with('~') {
                        return Err("a home directory is needed".to_owned());
                    }
                    out.push_str(text);
                }
                Part::Variable { name, operator, .. } => out.push_str(&self.variable(name, operator)?),
                Part::Command { text } => match self.outputs.get(text.trim()) {
                    Some(output) => out.push_str(output),
                    None => {
                        let words: Vec<&str> = text.split_whitespace().collect();
                        return Err(format!("it is the output of `{}`", words.join(" ")));
                    }
                },
            }
            if out.len() > LENGTH_MAX {
                return Err("it is too long".to_owned());
            }
        }
        Ok(out)
    }

    fn variable(&self, name: &str, operator: &str) -> Result<String, String> {
        let value = match self.value(name) {
            Value::Known(value) => Some(value),
            Value::Unset => None,
            Value::Unknown(why) => return Err(format!("${name} is not known: {why}")),
        };
        if operator.is_empty() {
            return Ok(value.unwrap_or_default());
        }
        let colon = operator.starts_with(':');
        let rest = operator.strip_prefix(':').unwrap_or(operator);
        let there = value.filter(|value| !(colon && value.is_empty()));
        let mut chars = rest.chars();
        match (chars.next(), there) {
            (Some('-' | '='), Some(value)) => Ok(value),
            (Some('-' | '='), None) | (Some('+'), Some(_)) => self.word_of(chars.as_str()),
            (Some('+'), None) => Ok(String::new()),
            _ => Err(format!("${{{name}{operator}}} is not evaluated")),
        }
    }

    /// Expands the word inside `${NAME-word}`.
    fn word_of(&self, text: &str) -> Result<String, String> {
        // Double quotes keep its blanks together; the text itself may have quotes of its own, then it is left.
        if text.contains(['"', '\'', '\\', '`']) || text.contains("$(") {
            return Err(format!("`{text}` is not evaluated"));
        }
        match program(&format!(": \"{text}\"")).ok().as_deref() {
            Some([Node::Simple { words, .. }]) if words.len() == 2 => self.expand(&words[1]),
            _ => Err(format!("`{text}` is not evaluated")),
        }
    }

    /// Evaluates `[ … ]` or `test …`; `None` where that needs a shell.
    pub(super) fn test(&self, name: &str, arguments: &[Word]) -> Option<bool> {
        let mut words = Vec::new();
        for word in arguments {
            let text = self.expand(word).ok()?;
            // An unquoted expansion may vanish or split.
            let bare = word
                .iter()
                .any(|part| matches!(part, Part::Variable { quoted: false, .. } | Part::Command { .. }));
            if bare && (text.is_empty() || text.contains([' ', '\t', '\n', '*', '?', '['])) {
                return None;
            }
            words.push(text);
        }
        if name == "[" && words.pop().as_deref() != Some("]") {
            return None;
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        test(&words)
    }
}

fn test(words: &[&str]) -> Option<bool> {
    match *words {
        [] => Some(false),
        [word] => Some(!word.is_empty()),
        ["!", ref rest @ ..] => test(rest).map(|result| !result),
        ["-z", word] => Some(word.is_empty()),
        ["-n", word] => Some(!word.is_empty()),
        [left, "=" | "==", right] => Some(left == right),
        [left, "!=", right] => Some(left != right),
        [left, operator, right] => {
            let (left, right): (i64, i64) = (left.parse().ok()?, right.parse().ok()?);
            match operator {
                "-eq" => Some(left == right),
                "-ne" => Some(left != right),
                "-lt" => Some(left < right),
                "-le" => Some(left <= right),
                "-gt" => Some(left > right),
                "-ge" => Some(left >= right),
                _ => None,
            }
        }
        _ => None,
    }
}
