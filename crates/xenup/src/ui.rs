//! Words to people. Decides which stream a word goes to and how it is set off.
//!
//! Standard output carries results alone; everything else goes to standard error.
//! Colour never carries a meaning of its own.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();
const STRONG: Style = Style::new().bold();

/// The two streams, and what may be asked on them.
pub struct Ui {
    out: AutoStream<io::Stdout>,
    err: Whole,
    quiet: bool,
    /// How many columns of a terminal's last line a meter takes.
    meter: usize,
}

/// Standard error, a line at a time: what shares it, a terminal or an ssh session, cannot come in between.
struct Whole {
    styled: bool,
}

impl Whole {
    fn new(color: ColorChoice) -> Self {
        Self { styled: AutoStream::new(io::stderr(), color).current_choice() != ColorChoice::Never }
    }

    fn line(&self, line: fmt::Arguments<'_>) {
        self.write(format_args!("{line}\n"));
    }

    /// A reader who has gone away is no error.
    fn write(&self, text: fmt::Arguments<'_>) {
        let mut text = text.to_string();
        if !self.styled {
            text = anstream::adapter::strip_str(&text).to_string();
        }
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

impl Ui {
    /// Returns the streams of this process.
    pub fn new(color: ColorChoice, quiet: bool) -> Self {
        Self { out: AutoStream::new(io::stdout(), color), err: Whole::new(color), quiet, meter: 0 }
    }

    /// Writes a line of the result. A reader who has gone away is no error.
    pub fn result(&mut self, line: impl fmt::Display) {
        let _ = writeln!(self.out, "{line}");
    }

    /// Writes data as it is: a file's own bytes, for a program or a file.
    pub fn data(&mut self, text: &str) {
        let _ = io::stdout().write_all(text.as_bytes());
    }

    /// Writes a heading of the result.
    pub fn heading(&mut self, line: impl fmt::Display) {
        let _ = writeln!(self.out, "{STRONG}{line}{STRONG:#}");
    }

    /// Writes what is going on, unless quiet.
    pub fn status(&mut self, line: impl fmt::Display) {
        if !self.quiet {
            self.err.line(format_args!("{line}"));
        }
    }

    /// Draws a line that the next one replaces, unless quiet. For a terminal alone.
    pub fn meter(&mut self, line: &str) {
        if !self.quiet {
            let width = line.chars().count();
            // Blanks instead of an escape sequence: they do on every terminal.
            self.err.write(format_args!("\r{line}{:1$}", "", self.meter.saturating_sub(width)));
            self.meter = width;
        }
    }

    /// Takes the meter away.
    pub fn end_meter(&mut self) {
        if self.meter > 0 {
            self.err.write(format_args!("\r{:1$}\r", "", self.meter));
            self.meter = 0;
        }
    }

    /// Writes a line that another process of ours wrote with these methods; what is said even when quiet stays said.
    pub fn relay(&mut self, line: &str) {
        let said = ["error:", "warning:", "hint:", "  caused by:"];
        if !self.quiet || said.iter().any(|start| line.starts_with(start)) {
            self.err.line(format_args!("{line}"));
        }
    }

    /// Writes a warning.
    pub fn warning(&mut self, line: impl fmt::Display) {
        self.err.line(format_args!("{WARNING}warning:{WARNING:#} {line}"));
    }

    /// Writes an error.
    pub fn error(&mut self, line: impl fmt::Display) {
        self.err.line(format_args!("{ERROR}error:{ERROR:#} {line}"));
    }

    /// Writes the cause of the error above it.
    pub fn caused_by(&mut self, line: impl fmt::Display) {
        self.err.line(format_args!("  caused by: {line}"));
    }

    /// Writes what the reader can run or decide.
    pub fn hint(&mut self, line: impl fmt::Display) {
        self.err.line(format_args!("{HINT}hint:{HINT:#} {line}"));
    }

    /// Returns whether somebody is there to answer.
    pub fn can_prompt(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks a question whose default is No.
    pub fn confirm(&mut self, question: &str) -> bool {
        self.err.write(format_args!("{question} [y/N] "));
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer).is_ok();
        read && matches!(answer.trim(), "y" | "Y" | "yes")
    }
}
