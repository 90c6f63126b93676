//! The commands of a GRUB script: simple ones, `if`, `for`, functions, menu entries. `while` and `until` are told, and not
//! taken; no generated grub.cfg has one.

use std::rc::Rc;

use super::words::{Token, Word, tokens};

/// The deepest nesting that is read.
const DEEPEST: usize = 32;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Simple(Vec<Word>),
    /// Conditions with what they guard; the last may have none, which is `else`.
    If(Vec<(Vec<Command>, Vec<Command>)>),
    Function(String, Rc<Vec<Command>>),
    /// `for NAME in WORDS; do BODY; done`.
    For(String, Vec<Word>, Rc<Vec<Command>>),
    /// `while` and `until`.
    Loop,
    Entry {
        submenu: bool,
        words: Vec<Word>,
        body: Rc<Vec<Command>>,
    },
}

/// What a script comes to.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) commands: Vec<Command>,
    /// It ends inside a last command, which GRUB does not carry out, and which is not among them.
    pub(super) unclosed: bool,
}

/// The commands of a script. What cannot be made out ends the block it is in.
pub(super) fn parse(text: &str) -> Script {
    let mut parser = Parser { tokens: tokens(text).into_iter().peekable(), depth: 0, unclosed: false };
    let mut commands = Vec::new();
    while parser.tokens.peek().is_some() {
        commands.extend(parser.block(&[]));
        // A stray `}`, `fi` or the like: the rest is still read.
        parser.tokens.next();
    }
    if parser.unclosed {
        commands.pop();
    }
    Script { commands, unclosed: parser.unclosed }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
    unclosed: bool,
}

/// Words that end a block.
const ENDS: [&str; 6] = ["fi", "else", "elif", "then", "done", "do"];

impl Parser {
    fn peek_word(&mut self) -> Option<&str> {
        match self.tokens.peek() {
            Some(Token::Word(word)) => word.plain(),
            _ => None,
        }
    }

    /// Takes the word that ends a command of several; at the end of the script it is missed.
    fn closing(&mut self, word: &str) {
        if self.peek_word() == Some(word) {
            self.tokens.next();
        } else {
            self.unclosed |= self.tokens.peek().is_none();
        }
    }

    /// Commands up to `}`, the end, or one of the words that end a block, none of which is taken. `stop` is for words
    /// that only end this one.
    fn block(&mut self, stop: &[&str]) -> Vec<Command> {
        let mut commands = Vec::new();
        self.depth = self.depth.saturating_add(1);
        while self.depth <= DEEPEST {
            match self.tokens.peek() {
                None | Some(Token::Close) => break,
                Some(Token::End | Token::Open) => {
                    self.tokens.next();
                    continue;
                }
                Some(Token::Word(_)) => {}
            }
            let word = self.peek_word().unwrap_or_default().to_owned();
            if ENDS.contains(&word.as_str()) || stop.contains(&word.as_str()) {
                break;
            }
            match word.as_str() {
                "if" => commands.push(self.branches()),
                "for" => commands.extend(self.loop_over()),
                "while" | "until" => {
                    self.tokens.next();
                    drop(self.block(&[]));
                    drop(self.loop_body());
                    commands.push(Command::Loop);
                }
                "function" => commands.extend(self.function()),
                "menuentry" | "submenu" => commands.push(self.entry(word == "submenu")),
                _ => commands.push(Command::Simple(self.words())),
            }
        }
        self.depth = self.depth.saturating_sub(1);
        commands
    }

    /// `do BODY done`.
    fn loop_body(&mut self) -> Vec<Command> {
        while self.tokens.next_if_eq(&Token::End).is_some() {}
        if self.peek_word() == Some("do") {
            self.tokens.next();
        }
        let body = self.block(&[]);
        self.closing("done");
        body
    }

    fn loop_over(&mut self) -> Option<Command> {
        self.tokens.next();
        let mut words = self.words().into_iter();
        let body = self.loop_body();
        let name = words.next()?.plain()?.to_owned();
        let words = words.filter(|word| word.plain() != Some("in")).collect();
        Some(Command::For(name, words, Rc::new(body)))
    }

    /// The words up to the end of a command.
    fn words(&mut self) -> Vec<Word> {
        let mut words = Vec::new();
        while let Some(Token::Word(_)) = self.tokens.peek() {
            if let Some(Token::Word(word)) = self.tokens.next() {
                words.push(word);
            }
        }
        words
    }

    fn branches(&mut self) -> Command {
        let mut branches = Vec::new();
        self.tokens.next();
        loop {
            let condition = self.block(&[]);
            if self.peek_word() == Some("then") {
                self.tokens.next();
            }
            let body = self.block(&[]);
            branches.push((condition, body));
            match self.peek_word() {
                Some("elif") => {
                    self.tokens.next();
                }
                Some("else") => {
                    self.tokens.next();
                    let body = self.block(&[]);
                    branches.push((Vec::new(), body));
                    self.closing("fi");
                    break;
                }
                _ => {
                    self.closing("fi");
                    break;
                }
            }
        }
        Command::If(branches)
    }

    fn body(&mut self) -> Rc<Vec<Command>> {
        while self.tokens.next_if_eq(&Token::End).is_some() {}
        if self.tokens.next_if_eq(&Token::Open).is_none() {
            return Rc::default();
        }
        let body = self.block(&[]);
        if self.tokens.next_if_eq(&Token::Close).is_none() {
            self.unclosed |= self.tokens.peek().is_none();
        }
        Rc::new(body)
    }

    fn function(&mut self) -> Option<Command> {
        self.tokens.next();
        let words = self.words();
        let body = self.body();
        Some(Command::Function(words.first()?.plain()?.to_owned(), body))
    }

    fn entry(&mut self, submenu: bool) -> Command {
        self.tokens.next();
        let words = self.words();
        let body = self.body();
        Command::Entry { submenu, words, body }
    }
}
