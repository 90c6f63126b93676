//! Words of a shell line, as far as nothing but the text decides them.
//!
//! Decides: quoting, variables that were set literally above, and which line needs a shell to be understood.
//! Never: runs anything, looks at a file name that a pattern would match.

use std::collections::BTreeMap;

/// What a variable or a word is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// A text.
    Text(String),
    /// `$1`: the operation that the script was called with, `start` or `stop`.
    Operation,
    /// `"$@"` or `$*`: the operation and all arguments behind it.
    Arguments,
}

/// Variables that were set to what the text says.
pub(super) type Variables = BTreeMap<String, Word>;

/// Why a line is no plain command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unclear {
    #[error("the quote is not closed")]
    OpenQuote,
    #[error("it runs another command for its output")]
    Substitution,
    #[error("`${0}` is not set to a plain text above")]
    Variable(String),
    #[error("`{0}` joins commands or redirects them")]
    Operator(char),
    #[error("`{0}` is a pattern of file names")]
    Pattern(char),
    #[error("only a part of a word is an argument of the script")]
    Mixed,
}

/// Splits a line into its commands at `;`, and each into words. A comment ends the line.
pub(super) fn commands(line: &str, variables: &Variables) -> Result<Vec<Vec<Word>>, Unclear> {
    let mut splitter =
        Splitter { rest: line.chars().peekable(), variables, commands: vec![Vec::new()], word: None };
    splitter.run()?;
    Ok(splitter.commands.into_iter().filter(|command| !command.is_empty()).collect())
}

struct Splitter<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    variables: &'a Variables,
    commands: Vec<Vec<Word>>,
    word: Option<Word>,
}

impl Splitter<'_> {
    fn run(&mut self) -> Result<(), Unclear> {
        while let Some(next) = self.rest.next() {
            match next {
                ' ' | '\t' | '\r' => self.end_word(),
                '#' if self.word.is_none() => break,
                ';' => {
                    self.end_word();
                    self.commands.push(Vec::new());
                }
                '\'' => self.single()?,
                '"' => self.double()?,
                '\\' => {
                    let next = self.rest.next().unwrap_or('\\');
                    self.push(next)?;
                }
                '$' => self.variable()?,
                '`' => return Err(Unclear::Substitution),
                '|' | '&' | '<' | '>' | '(' | ')' => return Err(Unclear::Operator(next)),
                '*' | '?' | '[' => return Err(Unclear::Pattern(next)),
                other => self.push(other)?,
            }
        }
        self.end_word();
        Ok(())
    }

    fn end_word(&mut self) {
        if let (Some(word), Some(command)) = (self.word.take(), self.commands.last_mut()) {
            command.push(word);
        }
    }

    fn text(&mut self, added: &str) -> Result<(), Unclear> {
        match self.word.get_or_insert_with(|| Word::Text(String::new())) {
            Word::Text(text) => text.push_str(added),
            _ if added.is_empty() => {}
            _ => return Err(Unclear::Mixed),
        }
        Ok(())
    }

    fn push(&mut self, next: char) -> Result<(), Unclear> {
        self.text(next.encode_utf8(&mut [0; 4]))
    }

    fn single(&mut self) -> Result<(), Unclear> {
        self.text("")?;
        loop {
            match self.rest.next().ok_or(Unclear::OpenQuote)? {
                '\'' => return Ok(()),
                other => self.push(other)?,
            }
        }
    }

    fn double(&mut self) -> Result<(), Unclear> {
        let empty = self.rest.peek() == Some(&'"');
        if empty {
            self.text("")?;
        }
        loop {
            match self.rest.next().ok_or(Unclear::OpenQuote)? {
                '"' => return Ok(()),
                '$' => self.variable()?,
                '`' => return Err(Unclear::Substitution),
                '\\' => {
                    let next = self.rest.next().unwrap_or('\\');
                    self.push(next)?;
                }
                other => self.push(other)?,
            }
        }
    }

    fn variable(&mut self) -> Result<(), Unclear> {
        let braced = self.rest.next_if_eq(&'{').is_some();
        let mut name = String::new();
        match self.rest.peek().copied() {
            Some('(') => return Err(Unclear::Substitution),
            Some(c @ ('@' | '*' | '0'..='9')) => {
                self.rest.next();
                name.push(c);
            }
            _ => {
                while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                }
            }
        }
        if braced && self.rest.next_if_eq(&'}').is_none() {
            return Err(Unclear::Variable(format!("{{{name}…}}")));
        }
        let value = match name.as_str() {
            "@" | "*" => Word::Arguments,
            _ => self.variables.get(&name).cloned().ok_or(Unclear::Variable(name))?,
        };
        match (value, &self.word) {
            (Word::Text(text), _) => self.text(&text),
            (other, None) => {
                self.word = Some(other);
                Ok(())
            }
            _ => Err(Unclear::Mixed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_as_a_shell_would_where_no_shell_is_needed() {
        let text = |text: &str| Word::Text(text.to_owned());
        let variables = Variables::from([
            ("dir".to_owned(), text("/x")),
            ("OP".to_owned(), Word::Operation),
            ("1".to_owned(), Word::Operation),
        ]);
        let read = |line: &str| commands(line, &variables);
        assert_eq!(read("a  'b c' \"d\"e # f"), Ok(vec![vec![text("a"), text("b c"), text("de")]]));
        assert_eq!(
            read("\"$dir/nb\" \"$@\" ${OP} $1"),
            Ok(vec![vec![text("/x/nb"), Word::Arguments, Word::Operation, Word::Operation]])
        );
        assert_eq!(read("a; b"), Ok(vec![vec![text("a")], vec![text("b")]]));
        assert_eq!(read("a '' \"\""), Ok(vec![vec![text("a"), text(""), text("")]]));
        for (line, why) in [
            ("a 'b", Unclear::OpenQuote),
            ("a \"b", Unclear::OpenQuote),
            ("a $(b)", Unclear::Substitution),
            ("a `b`", Unclear::Substitution),
            ("a $i", Unclear::Variable("i".into())),
            ("a ${i:-0}", Unclear::Variable("{i…}".into())),
            ("a || b", Unclear::Operator('|')),
            ("a > b", Unclear::Operator('>')),
            ("a eth*", Unclear::Pattern('*')),
            ("a eth$1", Unclear::Mixed),
            ("a $1x", Unclear::Mixed),
        ] {
            assert_eq!(read(line), Err(why), "{line}");
        }
    }
}
