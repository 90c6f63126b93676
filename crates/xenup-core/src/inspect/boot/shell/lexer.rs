//! Tokens of the POSIX shell's grammar, as far as configuration files use it.
//!
//! Decides: where words, quotes, substitutions and here-documents begin and end.
//! Never: expands anything.

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Characters that stand for themselves.
    Text { text: String, quoted: bool },
    /// A variable: its name, what follows it in `${NAME…}` (empty for a plain one), and whether it is quoted.
    Variable { name: String, operator: String, quoted: bool },
    /// A command or arithmetic substitution, as written without its brackets.
    Command { text: String },
}

/// A word: its pieces in order.
pub(super) type Word = Vec<Part>;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word.
    Word(Word),
    /// `;`, `&`, `&&`, `|`, `||`, `(`, `)`, `;;`, or a newline (`\n`).
    Operator(&'static str),
    /// A redirection operator; the word behind it is its target.
    Redirection,
}

/// A token and its line, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// What it is.
    pub kind: Kind,
    /// Where it begins.
    pub line: u32,
}

/// What the shell itself would stop at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// The line.
    pub line: u32,
}

/// Takes a text apart.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0, line: 1, pending: Vec::new() };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.token(&tokens)? {
        tokens.push(token);
    }
    Ok(tokens)
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: u32,
    /// Delimiters of here-documents whose bodies begin at the next newline.
    pending: Vec<String>,
}

const OPERATORS: [&str; 9] = ["&&", "||", ";;", ";", "&", "|", "(", ")", "\n"];

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.at += 1;
        self.line += u32::from(c == '\n');
        Some(c)
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(index, c)| self.peek(index) == Some(c))
    }

    fn token(&mut self, before: &[Token]) -> Result<Option<Token>, SyntaxError> {
        self.skip_blanks();
        let line = self.line;
        let Some(c) = self.peek(0) else { return Ok(None) };
        if matches!(c, '<' | '>') {
            self.redirection()?;
            return Ok(Some(Token { kind: Kind::Redirection, line }));
        }
        if let Some(operator) = OPERATORS.into_iter().find(|operator| self.starts_with(operator)) {
            for _ in operator.chars() {
                self.next();
            }
            if operator == "\n" {
                self.skip_here_documents();
            }
            return Ok(Some(Token { kind: Kind::Operator(operator), line }));
        }
        let word = self.word()?;
        let after_here = matches!(before.last(), Some(Token { kind: Kind::Redirection, .. }));
        if after_here && self.pending.last().is_some_and(String::is_empty) {
            self.pending.pop();
            self.pending.push(plain(&word));
        }
        Ok(Some(Token { kind: Kind::Word(word), line }))
    }

    fn skip_blanks(&mut self) {
        loop {
            match self.peek(0) {
                Some(' ' | '\t') => self.at += 1,
                Some('\\') if self.peek(1) == Some('\n') => {
                    self.next();
                    self.next();
                }
                Some('#') => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn redirection(&mut self) -> Result<(), SyntaxError> {
        let here = self.starts_with("<<") && !self.starts_with("<<<");
        while self.peek(0).is_some_and(|c| matches!(c, '<' | '>' | '|')) {
            self.next();
        }
        if self.peek(0) == Some('&') || (here && self.peek(0) == Some('-')) {
            self.next();
        }
        if here {
            // The delimiter follows as a word; see `token`.
            self.pending.push(String::new());
        }
        if self.peek(0).is_none() { Err(SyntaxError { line: self.line }) } else { Ok(()) }
    }

    fn skip_here_documents(&mut self) {
        for delimiter in std::mem::take(&mut self.pending) {
            loop {
                let mut content = String::new();
                let mut ended = true;
                while let Some(c) = self.next() {
                    if c == '\n' {
                        ended = false;
                        break;
                    }
                    content.push(c);
                }
                if ended || content.trim_start_matches('\t') == delimiter {
                    break;
                }
            }
        }
    }

    fn word(&mut self) -> Result<Word, SyntaxError> {
        let mut word = Word::new();
        while let Some(c) = self.peek(0) {
            match c {
                ' ' | '\t' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>' => break,
                '\'' => {
                    self.next();
                    let text = self.until('\'')?;
                    word.push(Part::Text { text, quoted: true });
                }
                '"' => {
                    self.next();
                    self.double_quoted(&mut word)?;
                }
                '\\' => {
                    self.next();
                    match self.next() {
                        Some('\n') => {}
                        Some(c) => push_text(&mut word, c, true),
                        None => push_text(&mut word, '\\', true),
                    }
                }
                '$' | '`' => self.substitution(&mut word, false)?,
                c => {
                    self.next();
                    push_text(&mut word, c, false);
                }
            }
        }
        Ok(word)
    }

    fn until(&mut self, end: char) -> Result<String, SyntaxError> {
        let line = self.line;
        let mut text = String::new();
        loop {
            match self.next() {
                Some(c) if c == end => return Ok(text),
                Some(c) => text.push(c),
                None => return Err(SyntaxError { line }),
            }
        }
    }

    fn double_quoted(&mut self, word: &mut Word) -> Result<(), SyntaxError> {
        let line = self.line;
        // An empty pair of quotes is a word too.
        word.push(Part::Text { text: String::new(), quoted: true });
        loop {
            match self.peek(0) {
                None => return Err(SyntaxError { line }),
                Some('"') => {
                    self.next();
                    return Ok(());
                }
                Some('\\') => {
                    self.next();
                    match self.next() {
                        Some('\n') => {}
                        Some(c @ ('$' | '`' | '"' | '\\')) => push_text(word, c, true),
                        Some(c) => {
                            push_text(word, '\\', true);
                            push_text(word, c, true);
                        }
                        None => return Err(SyntaxError { line }),
                    }
                }
                Some('$' | '`') => self.substitution(word, true)?,
                Some(c) => {
                    self.next();
                    push_text(word, c, true);
                }
            }
        }
    }

    fn substitution(&mut self, word: &mut Word, quoted: bool) -> Result<(), SyntaxError> {
        if self.next() == Some('`') {
            let text = self.until('`')?;
            word.push(Part::Command { text });
            return Ok(());
        }
        match self.peek(0) {
            Some('(') => {
                self.next();
                let text = self.balanced('(', ')')?;
                word.push(Part::Command { text });
            }
            Some('{') => {
                self.next();
                let text = self.balanced('{', '}')?;
                let end = text.find(|c: char| !is_name(c)).unwrap_or(text.len());
                let (name, operator) = text.split_at(end);
                word.push(Part::Variable { name: name.to_owned(), operator: operator.to_owned(), quoted });
            }
            Some(c) if is_name(c) && !c.is_ascii_digit() => {
                let mut name = String::new();
                while let Some(c) = self.peek(0).filter(|c| is_name(*c)) {
                    name.push(c);
                    self.next();
                }
                word.push(Part::Variable { name, operator: String::new(), quoted });
            }
            // Positional and special parameters: $1, $?, $$, …
            Some(c) if c.is_ascii_digit() || "?#@*!$-".contains(c) => {
                self.next();
                word.push(Part::Variable { name: c.to_string(), operator: String::new(), quoted });
            }
            _ => push_text(word, '$', quoted),
        }
        Ok(())
    }

    /// The text up to the bracket that closes one already open; brackets in quotes do not count.
    fn balanced(&mut self, open: char, close: char) -> Result<String, SyntaxError> {
        let line = self.line;
        let mut text = String::new();
        let mut depth = 1_u32;
        let mut quote = None;
        while let Some(c) = self.next() {
            match (c, quote) {
                ('\\', None | Some('"')) => {
                    text.push(c);
                    text.extend(self.next());
                    continue;
                }
                (c, Some(open)) if c == open => quote = None,
                ('\'' | '"', None) => quote = Some(c),
                (c, None) if c == open => depth += 1,
                (c, None) if c == close => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(text);
                    }
                }
                _ => {}
            }
            text.push(c);
        }
        Err(SyntaxError { line })
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn push_text(word: &mut Word, c: char, quoted: bool) {
    if let Some(Part::Text { text, quoted: same }) = word.last_mut()
        && *same == quoted
    {
        text.push(c);
        return;
    }
    word.push(Part::Text { text: c.to_string(), quoted });
}

/// The characters of a word, substitutions left out.
pub(super) fn plain(word: &Word) -> String {
    word.iter()
        .map(|part| match part {
            Part::Text { text, .. } => text.as_str(),
            _ => "",
        })
        .collect()
}
