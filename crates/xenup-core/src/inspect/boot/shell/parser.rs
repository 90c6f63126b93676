//! The shell's grammar over its tokens, as far as configuration files use it.
//!
//! Decides: what a command, a list and an `if` are; other compound commands become [`Node::Loose`].
//! Never: evaluates anything.

use super::lexer::{Kind, Part, SyntaxError, Token, Word, plain, tokens};

/// Deeper nesting than anybody writes.
const DEPTH_MAX: usize = 32;
/// More `elif` than anybody writes; each is a level when they are evaluated.
const ARMS_MAX: usize = 64;

/// A piece of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// Assignments and a command with its arguments.
    Simple { words: Vec<Word>, line: u32 },
    /// `if` and `elif` with their conditions, then `else`.
    If { arms: Vec<(Vec<Node>, Vec<Node>)>, otherwise: Vec<Node> },
    /// A command, then those after `&&` (true) or `||` (false).
    Chain { first: Box<Node>, rest: Vec<(bool, Node)> },
    /// `! command`.
    Not(Box<Node>),
    /// `{ …; }`.
    Group(Vec<Node>),
    /// A pipeline of several commands, a subshell, a background command: no variable of ours changes.
    Apart,
    /// `case`, `for`, `while`, `until`: each assignment inside may happen or not.
    Loose { assigned: Vec<String>, opaque: bool, line: u32 },
    /// A function's definition.
    Function { name: String, assigned: Vec<String>, opaque: bool },
}

/// Reads a program.
pub(super) fn program(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let nodes = parser.list(&[])?;
    if parser.at < parser.tokens.len() { Err(parser.error()) } else { Ok(nodes) }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn error(&self) -> SyntaxError {
        let token = self.tokens.get(self.at).or(self.tokens.last());
        SyntaxError { line: token.map_or(1, |token| token.line) }
    }

    fn line(&self) -> u32 {
        self.tokens.get(self.at).map_or(0, |token| token.line)
    }

    fn operator(&self) -> Option<&'static str> {
        match self.tokens.get(self.at)?.kind {
            Kind::Operator(operator) => Some(operator),
            _ => None,
        }
    }

    /// The word here, where it is a bare one and so may be reserved.
    fn bare(&self) -> Option<&str> {
        match &self.tokens.get(self.at)?.kind {
            Kind::Word(word) => match &word[..] {
                [Part::Text { text, quoted: false }] => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    fn skip_ends(&mut self) {
        while matches!(self.operator(), Some("\n" | ";" | "&")) {
            self.at += 1;
        }
    }

    /// Reads commands up to one of the reserved words `ends`, or `)`, or the end.
    fn list(&mut self, ends: &[&str]) -> Result<Vec<Node>, SyntaxError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error());
        }
        let mut nodes = Vec::new();
        loop {
            self.skip_ends();
            if self.at >= self.tokens.len() || self.operator().is_some_and(|operator| operator == ")") {
                break;
            }
            if self.bare().is_some_and(|word| ends.contains(&word)) {
                break;
            }
            let node = self.chain()?;
            let background = self.operator() == Some("&");
            nodes.push(if background { Node::Apart } else { node });
            if !matches!(self.operator(), Some("\n" | ";" | "&" | ")") | None) {
                return Err(self.error());
            }
        }
        self.depth -= 1;
        Ok(nodes)
    }

    fn chain(&mut self) -> Result<Node, SyntaxError> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        while let Some(operator @ ("&&" | "||")) = self.operator() {
            self.at += 1;
            self.skip_newlines();
            rest.push((operator == "&&", self.pipeline()?));
        }
        Ok(if rest.is_empty() { first } else { Node::Chain { first: Box::new(first), rest } })
    }

    fn skip_newlines(&mut self) {
        while self.operator() == Some("\n") {
            self.at += 1;
        }
    }

    fn pipeline(&mut self) -> Result<Node, SyntaxError> {
        let not = self.bare() == Some("!");
        self.at += usize::from(not);
        let mut node = self.command()?;
        while self.operator() == Some("|") {
            self.at += 1;
            self.skip_newlines();
            self.command()?;
            node = Node::Apart;
        }
        Ok(if not { Node::Not(Box::new(node)) } else { node })
    }

    fn command(&mut self) -> Result<Node, SyntaxError> {
        let line = self.line();
        if self.operator() == Some("(") {
            self.at += 1;
            self.list(&[])?;
            self.close(")")?;
            return self.redirected(Node::Apart);
        }
        let node = match self.bare() {
            Some("if") => self.conditional()?,
            Some("{") => {
                self.at += 1;
                let nodes = self.list(&["}"])?;
                self.reserved("}")?;
                Node::Group(nodes)
            }
            Some("case") => self.loose("case", "esac", line)?,
            Some("for" | "while" | "until") => self.loose("do", "done", line)?,
            Some("then" | "else" | "elif" | "fi" | "do" | "done" | "esac" | "}") => return Err(self.error()),
            _ => return self.simple(line),
        };
        self.redirected(node)
    }

    fn conditional(&mut self) -> Result<Node, SyntaxError> {
        let mut arms = Vec::new();
        let mut otherwise = Vec::new();
        self.at += 1;
        loop {
            let condition = self.list(&["then"])?;
            self.reserved("then")?;
            let body = self.list(&["elif", "else", "fi"])?;
            arms.push((condition, body));
            match self.bare() {
                Some("elif") if arms.len() < ARMS_MAX => self.at += 1,
                Some("else") => {
                    self.at += 1;
                    otherwise = self.list(&["fi"])?;
                    break;
                }
                _ => break,
            }
        }
        self.reserved("fi")?;
        Ok(Node::If { arms, otherwise })
    }

    fn reserved(&mut self, word: &str) -> Result<(), SyntaxError> {
        if self.bare() != Some(word) {
            return Err(self.error());
        }
        self.at += 1;
        Ok(())
    }

    fn close(&mut self, operator: &str) -> Result<(), SyntaxError> {
        if self.operator() != Some(operator) {
            return Err(self.error());
        }
        self.at += 1;
        Ok(())
    }

    /// Passes over the redirections behind a compound command.
    fn redirected(&mut self, node: Node) -> Result<Node, SyntaxError> {
        while self.redirection()? {}
        Ok(node)
    }

    fn redirection(&mut self) -> Result<bool, SyntaxError> {
        let digit = self.bare().is_some_and(|word| word.bytes().all(|c| c.is_ascii_digit()))
            && matches!(self.tokens.get(self.at + 1), Some(Token { kind: Kind::Redirection, .. }));
        let here = self.at + usize::from(digit);
        if !matches!(self.tokens.get(here), Some(Token { kind: Kind::Redirection, .. })) {
            return Ok(false);
        }
        self.at = here + 1;
        if !matches!(self.tokens.get(self.at), Some(Token { kind: Kind::Word(_), .. })) {
            return Err(self.error());
        }
        self.at += 1;
        Ok(true)
    }

    fn simple(&mut self, line: u32) -> Result<Node, SyntaxError> {
        let mut words: Vec<Word> = Vec::new();
        loop {
            if self.redirection()? {
                continue;
            }
            match self.tokens.get(self.at).map(|token| &token.kind) {
                Some(Kind::Word(word)) => words.push(word.clone()),
                Some(Kind::Operator("(")) if words.len() == 1 => return self.function(&words[0]),
                _ => break,
            }
            self.at += 1;
        }
        Ok(Node::Simple { words, line })
    }

    fn function(&mut self, name: &Word) -> Result<Node, SyntaxError> {
        self.at += 1;
        self.close(")")?;
        self.skip_newlines();
        if !(self.bare() == Some("{") || self.operator() == Some("(")) {
            return Err(self.error());
        }
        let start = self.at;
        self.command()?;
        let (assigned, opaque) = effects(&self.tokens[start..self.at]);
        Ok(Node::Function { name: plain(name), assigned, opaque })
    }

    /// Passes over a compound command that ends with `close`; `open` nests.
    fn loose(&mut self, open: &str, close: &str, line: u32) -> Result<Node, SyntaxError> {
        let start = self.at;
        let mut depth = 0_u32;
        while self.at < self.tokens.len() {
            let word = self.bare().unwrap_or_default();
            depth += u32::from(word == open);
            if word == close {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    self.at += 1;
                    let (assigned, opaque) = effects(&self.tokens[start..self.at]);
                    return Ok(Node::Loose { assigned, opaque, line });
                }
            }
            self.at += 1;
        }
        Err(self.error())
    }
}

/// The names that tokens may assign, and whether they may do anything at all (`eval`, `.`).
fn effects(tokens: &[Token]) -> (Vec<String>, bool) {
    let mut names = Vec::new();
    let mut opaque = false;
    let mut naming = false;
    for token in tokens {
        let Kind::Word(word) = &token.kind else {
            naming = false;
            continue;
        };
        let text = plain(word);
        if let Some(name) = assigned_name(word) {
            names.push(name.to_owned());
        } else if naming && is_name(&text) {
            names.push(text.clone());
        }
        for part in word {
            if let Part::Variable { name, operator, .. } = part
                && operator.trim_start_matches(':').starts_with('=')
            {
                names.push(name.clone());
            }
        }
        naming = naming || matches!(text.as_str(), "for" | "read" | "unset" | "export" | "readonly");
        opaque =
            opaque || matches!(text.as_str(), "eval" | "." | "source" | "alias" | "exit" | "return" | "exec");
    }
    (names, opaque)
}

/// The name that a word assigns to (`NAME=…`), where it does.
pub(super) fn assigned_name(word: &Word) -> Option<&str> {
    let Some(Part::Text { text, quoted: false }) = word.first() else { return None };
    let (name, _) = text.split_once('=')?;
    is_name(name).then_some(name)
}

/// Returns whether a text is a variable's name.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
