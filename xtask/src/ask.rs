//! A typed confirmation before anything leaves this machine.
//!
//! Decides: that the words are typed in full, on a terminal. Never takes a "y", an option or a pipe for them.

use std::io::{BufRead, Write};

use xenup_system::Environment;

/// Where an answer comes from.
pub trait Ask {
    /// Puts a question and returns the line that was typed, without its end; `None` where nobody can be asked.
    ///
    /// # Errors
    /// The terminal cannot be read or written.
    fn line(&mut self, question: &str) -> std::io::Result<Option<String>>;
}

/// The terminal of who runs the chore.
pub struct Terminal;

impl Ask for Terminal {
    fn line(&mut self, question: &str) -> std::io::Result<Option<String>> {
        if !Environment::read().stdin_is_terminal {
            return Ok(None);
        }
        let mut out = std::io::stdout().lock();
        out.write_all(question.as_bytes())?;
        out.flush()?;
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()))
    }
}

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum NotConfirmed {
    /// Standard input is no terminal.
    #[error(
        "nothing was sent: it must be confirmed by typing `{words}`, and there is no terminal\nhint: run it in a terminal, or with --dry-run to see what would be sent"
    )]
    NoTerminal {
        /// What had to be typed.
        words: String,
    },
    /// Something else was typed.
    #[error(
        "nothing was sent: `{typed}` is not `{words}`\nhint: run it again and type the name and the version in full"
    )]
    Otherwise {
        /// What had to be typed.
        words: String,
        /// What was.
        typed: String,
    },
    /// The terminal cannot be used.
    #[error("nothing was sent: the terminal cannot be read")]
    Terminal(#[source] std::io::Error),
}

/// Returns when `words` were typed in full: of a package, its name and version.
///
/// # Errors
/// They were not. Nothing may be sent then.
pub fn typed(ask: &mut dyn Ask, what: &str, words: &str) -> Result<(), NotConfirmed> {
    let question = format!("{what}\nType `{words}` to send it, anything else to leave it: ");
    match ask.line(&question).map_err(NotConfirmed::Terminal)? {
        None => Err(NotConfirmed::NoTerminal { words: words.to_owned() }),
        Some(typed) if typed == words => Ok(()),
        Some(typed) => Err(NotConfirmed::Otherwise { words: words.to_owned(), typed }),
    }
}

/// Answers given beforehand, for the checks.
#[derive(Debug, Default)]
pub struct Beforehand(pub Vec<String>);

impl Ask for Beforehand {
    fn line(&mut self, _: &str) -> std::io::Result<Option<String>> {
        Ok(self.0.pop())
    }
}

#[cfg(test)]
mod tests {
    use super::{Beforehand, NotConfirmed, typed};

    #[test]
    fn only_the_whole_words_confirm() {
        let answer = |line: &str| typed(&mut Beforehand(vec![line.to_owned()]), "upload", "xenup 0.2.0");
        assert!(answer("xenup 0.2.0").is_ok());
        for other in ["y", "yes", "xenup", "0.2.0", "xenup 0.2.0 ", " xenup 0.2.0", "xenup 0.2.00", ""] {
            assert!(matches!(answer(other), Err(NotConfirmed::Otherwise { .. })), "{other}");
        }
        let nobody = typed(&mut Beforehand::default(), "upload", "xenup 0.2.0");
        assert!(nobody.unwrap_err().to_string().contains("there is no terminal"));
    }
}
