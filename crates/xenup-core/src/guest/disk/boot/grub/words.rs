//! The words of a GRUB script (GRUB's manual, "Writing full configuration files directly"): quotes, escapes, variables.

/// The most words and characters of one script; a real one has a few thousand words.
const MOST_TOKENS: usize = 100_000;

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Variable(String),
}

/// A word, put together from its pieces when it is used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Word(pub(super) Vec<Part>);

impl Word {
    /// The word where it has no variable in it.
    pub(super) fn plain(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    fn push(&mut self, c: char) {
        match self.0.last_mut() {
            Some(Part::Text(text)) => text.push(c),
            _ => self.0.push(Part::Text(c.to_string())),
        }
    }
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(Word),
    /// A newline or `;`.
    End,
    Open,
    Close,
}

/// The tokens of a script; what lies behind the most that are taken is left out.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: text.chars().peekable(), tokens: Vec::new() };
    while lexer.tokens.len() < MOST_TOKENS && lexer.token() {}
    lexer.tokens
}

struct Lexer<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    /// Takes a token; `false` at the end of the text.
    fn token(&mut self) -> bool {
        let Some(&c) = self.rest.peek() else { return false };
        match c {
            '\n' | ';' | '|' | '&' => {
                self.rest.next();
                self.tokens.push(Token::End);
            }
            '#' => while self.rest.next_if(|c| *c != '\n').is_some() {},
            c if c.is_whitespace() => {
                self.rest.next();
            }
            _ => {
                let word = self.word();
                match word.plain() {
                    Some("{") => self.tokens.push(Token::Open),
                    Some("}") => self.tokens.push(Token::Close),
                    // Nothing but a line that goes on.
                    None if word.0.is_empty() => {}
                    _ => self.tokens.push(Token::Word(word)),
                }
            }
        }
        true
    }

    fn word(&mut self) -> Word {
        let mut word = Word::default();
        let mut quoted = false;
        while let Some(&c) = self.rest.peek() {
            match c {
                '\'' => {
                    self.rest.next();
                    quoted = true;
                    while let Some(c) = self.rest.next_if(|c| *c != '\'') {
                        word.push(c);
                    }
                    self.rest.next();
                }
                '"' => {
                    self.rest.next();
                    quoted = true;
                    self.double(&mut word);
                }
                '$' => self.variable(&mut word),
                '\\' => {
                    self.rest.next();
                    match self.rest.next() {
                        None | Some('\n') => {}
                        Some(c) => word.push(c),
                    }
                }
                ';' | '|' | '&' => break,
                c if c.is_whitespace() => break,
                c => {
                    self.rest.next();
                    word.push(c);
                }
            }
        }
        if quoted && word.0.is_empty() {
            word.0.push(Part::Text(String::new()));
        }
        word
    }

    fn double(&mut self, word: &mut Word) {
        while let Some(&c) = self.rest.peek() {
            match c {
                '"' => {
                    self.rest.next();
                    return;
                }
                '$' => self.variable(word),
                '\\' => {
                    self.rest.next();
                    match self.rest.next() {
                        None | Some('\n') => {}
                        Some(c @ ('"' | '\\' | '$')) => word.push(c),
                        Some(c) => {
                            word.push('\\');
                            word.push(c);
                        }
                    }
                }
                c => {
                    self.rest.next();
                    word.push(c);
                }
            }
        }
    }

    fn variable(&mut self, word: &mut Word) {
        self.rest.next();
        let mut name = String::new();
        if self.rest.next_if_eq(&'{').is_some() {
            while let Some(c) = self.rest.next_if(|c| *c != '}' && *c != '\n') {
                name.push(c);
            }
            self.rest.next_if_eq(&'}');
        } else {
            while let Some(c) = self.rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
                name.push(c);
            }
            if name.is_empty()
                && let Some(c) = self.rest.next_if(|c| "?#*@".contains(*c))
            {
                name.push(c);
            }
        }
        if name.is_empty() {
            word.push('$');
        } else {
            word.0.push(Part::Variable(name));
        }
    }
}
