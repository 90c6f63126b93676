//! A shell at the other end of the line: logging in, and commands whose output and status are told apart by markers.
//!
//! It decides how much may be sent at once. Xen keeps 128 bytes of serial input for dom0, a terminal one line of 4095;
//! what comes beyond is lost. So each piece waits for its echo, and long commands go over as a file first.

use std::time::Duration;

use xenup_system::lab::seconds_since_epoch;
use xenup_system::stopwatch::Stopwatch;

use super::base64;
use super::pattern::Pattern;
use super::view;
use super::{Console, ConsoleError, LINES_IN_ERROR, last_lines};

/// A boot under emulation on a busy builder: 25 to 60 s when alone, and up to four times that.
const BOOT: Duration = Duration::from_secs(400);
/// Any answer of getty, login or a shell.
const ANSWER: Duration = Duration::from_secs(120);
/// After this silence a shell's prompt, over which the kernel may have written, is asked for again.
const SILENCE: Duration = Duration::from_secs(20);
/// What is sent before its echo is waited for: well below what Xen keeps.
const PIECE: usize = 48;
/// An echo that does not come by then was written over; the command's own markers tell whether it arrived.
const ECHO: Duration = Duration::from_secs(10);
/// The longest command that is sent as it is; a longer one goes over in pieces of this size.
const DIRECT: usize = 1500;
/// Where long commands and captured output lie on the machine: memory, not its disk.
const SCRATCH: &str = "/run/xenup-lab";
/// What getty(8) ends its question with.
const LOGIN: &str = " login: ";

/// How a command on the machine ended.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandResult {
    /// Its exit status.
    pub status: i32,
    /// What it printed, both streams, with plain line ends; the kernel may have spoken in between.
    pub output: String,
    /// From the first byte sent to its end.
    pub seconds: f64,
}

impl Console {
    /// Waits up to 400 s for the login prompt, logs in, and starts the shell that [`Console::run`] needs.
    ///
    /// # Errors
    /// As [`Console::expect`]; the login was refused.
    pub fn login(&mut self, user: &str, password: &str) -> Result<(), ConsoleError> {
        self.login_within(user, password, BOOT)
    }

    /// As [`Console::login`], with another limit for the prompt.
    ///
    /// # Errors
    /// As [`Console::login`].
    pub fn login_within(&mut self, user: &str, password: &str, limit: Duration) -> Result<(), ConsoleError> {
        self.shell = false;
        self.expect(&Pattern::text(LOGIN), limit)?;
        self.answer_login(user, password)
    }

    /// As [`Console::login_within`], unless `sign` comes before the prompt. Returns whether somebody is logged in.
    ///
    /// # Errors
    /// As [`Console::login`].
    pub fn login_unless(
        &mut self,
        sign: &str,
        user: &str,
        password: &str,
        limit: Duration,
    ) -> Result<bool, ConsoleError> {
        self.shell = false;
        let seen = self.expect(&Pattern::any(&[Pattern::text(LOGIN), Pattern::text(sign)]), limit)?;
        if seen.index == 1 {
            return Ok(false);
        }
        self.answer_login(user, password).map(|()| true)
    }

    fn answer_login(&mut self, user: &str, password: &str) -> Result<(), ConsoleError> {
        self.send(&format!("{user}\n"))?;
        self.expect(&Pattern::text("Password: "), ANSWER)?;
        self.send(&format!("{password}\n"))?;
        let prompt =
            Pattern::any(&[Pattern::end("# "), Pattern::end("$ "), Pattern::text("Login incorrect")]);
        if self.prompt(&prompt)? == 2 {
            return Err(ConsoleError::Login { user: user.to_owned(), tail: self.tail(LINES_IN_ERROR) });
        }
        // Line editing reads its input byte by byte and rewrites it on the screen: neither is wanted here.
        self.send("exec bash --noediting --norc --noprofile\n")?;
        self.prompt(&Pattern::any(&[Pattern::end("# "), Pattern::end("$ ")]))?;
        self.prepare()
    }

    fn prompt(&mut self, prompt: &Pattern) -> Result<usize, ConsoleError> {
        let watch = Stopwatch::start();
        loop {
            match self.expect(prompt, SILENCE) {
                Ok(found) => return Ok(found.index),
                Err(ConsoleError::Late { .. }) if watch.elapsed() < ANSWER => self.send("\n")?,
                Err(e) => return Err(e),
            }
        }
    }

    fn prepare(&mut self) -> Result<(), ConsoleError> {
        let quiet = "set +H; PS1= PS2= PROMPT_COMMAND=; unset HISTFILE; stty cols 200 -ixon tab0\n";
        let plain = "export LC_ALL=C.UTF-8 PAGER=cat TERM=dumb DEBIAN_FRONTEND=noninteractive\n";
        self.send_pieces(quiet)?;
        self.send_pieces(plain)?;
        self.shell = true;
        let prepared = self.run(&format!("dmesg -n 1; mkdir -p {SCRATCH} && chmod 700 {SCRATCH}"), ANSWER);
        if prepared.is_err() {
            self.shell = false;
        }
        prepared.map(|_| ())
    }

    /// Runs shell text (several lines too) in the shell of [`Console::login`], without standard input, and returns
    /// its status and output. Directory and variables last from command to command.
    ///
    /// # Errors
    /// Nobody is logged in, it does not end in time, or the machine has ended. After an expiry the command still runs:
    /// [`Console::interrupt`].
    pub fn run(&mut self, command: &str, limit: Duration) -> Result<CommandResult, ConsoleError> {
        if !self.shell {
            return Err(ConsoleError::NoShell { command: command.to_owned() });
        }
        let watch = Stopwatch::start();
        let direct = command.len() <= DIRECT && command.bytes().all(is_plain);
        let output = if direct {
            self.converse(&format!("eval {}", quoted(command)), command, limit)?
        } else {
            let file = format!("{SCRATCH}/command");
            self.put_file(&file, command.as_bytes())?;
            self.converse(&format!(". {file}"), command, limit)?
        };
        Ok(CommandResult { seconds: watch.elapsed().as_secs_f64(), ..output })
    }

    /// Runs a command that must succeed and returns what it printed.
    ///
    /// # Errors
    /// As [`Console::run`]; another status than 0.
    pub fn check(&mut self, command: &str, limit: Duration) -> Result<String, ConsoleError> {
        let result = self.run(command, limit)?;
        if result.status == 0 {
            return Ok(result.output);
        }
        let output = last_lines(&result.output, LINES_IN_ERROR);
        Err(ConsoleError::Failed { command: command.to_owned(), status: result.status, output })
    }

    /// As [`Console::run`], but the output is standard output alone, exact to the byte whatever the kernel and Xen
    /// print meanwhile: for JSON and the like.
    ///
    /// # Errors
    /// As [`Console::run`] and [`Console::read_file`].
    pub fn capture(&mut self, command: &str, limit: Duration) -> Result<CommandResult, ConsoleError> {
        let file = format!("{SCRATCH}/output");
        let mut result = self.run(&format!("{{ {command}\n}} >{file}"), limit)?;
        result.output = String::from_utf8_lossy(&self.read_file(&file)?).into_owned();
        Ok(result)
    }

    /// The content of a file of the machine; a megabyte takes about two minutes.
    ///
    /// # Errors
    /// As [`Console::check`]; three transfers were garbled.
    pub fn read_file(&mut self, path: &str) -> Result<Vec<u8>, ConsoleError> {
        let command = format!("base64 {}", quoted(path));
        for _ in 0..3 {
            let text = self.check(&command, BOOT)?;
            if let Some(bytes) = base64::decode(&text) {
                return Ok(bytes);
            }
        }
        Err(ConsoleError::Garbled { path: path.to_owned() })
    }

    /// Writes a small file on the machine (mode 0644 less the umask); large ones belong on the files disk.
    ///
    /// # Errors
    /// As [`Console::check`].
    pub fn put_file(&mut self, path: &str, bytes: &[u8]) -> Result<(), ConsoleError> {
        let path = quoted(path);
        self.check(&format!(": >{path}"), ANSWER)?;
        // Three bytes make four: a piece stays below the length that is sent as it is.
        for piece in bytes.chunks(DIRECT / 2) {
            self.check(&format!("printf %s {} | base64 -d >>{path}", base64::encode(piece)), ANSWER)?;
        }
        Ok(())
    }

    /// Sets the machine's clock to this one's: after a restored snapshot it stands where it stood.
    ///
    /// # Errors
    /// As [`Console::check`].
    pub fn set_clock(&mut self) -> Result<(), ConsoleError> {
        self.check(&format!("date -u -s @{} >/dev/null", seconds_since_epoch()), ANSWER).map(|_| ())
    }

    /// Sends what Ctrl-C sends, to a command that did not end in time.
    ///
    /// # Errors
    /// As [`Console::send`].
    pub fn interrupt(&mut self) -> Result<(), ConsoleError> {
        self.send("\u{3}")
    }

    /// Sends a shell line between two markers and waits for both.
    fn converse(&mut self, line: &str, name: &str, limit: Duration) -> Result<CommandResult, ConsoleError> {
        self.commands += 1;
        let n = self.commands;
        // The echo shows the format, the answer shows what it makes: only the answer matches.
        self.send_pieces(&format!("{}{n}; {line}{}{n} $?\n", view::BEFORE, view::BEHIND))?;
        let name = format!("the end of `{name}`");
        self.expect_as(&Pattern::text(&format!("[[xenup {n}>>\r\n")), limit, &name)?;
        let output = self.expect_as(&Pattern::text(&format!("\n<<xenup {n} ")), limit, &name)?.before;
        let status = self.expect_as(&Pattern::text("]]"), ANSWER, &name)?.before;
        let output = output.strip_suffix('\r').unwrap_or(&output).replace("\r\n", "\n");
        Ok(CommandResult { status: status.trim().parse().unwrap_or(-1), output, seconds: 0.0 })
    }

    /// Sends text piece by piece, each when the one before has been echoed.
    fn send_pieces(&mut self, text: &str) -> Result<(), ConsoleError> {
        let mut rest = text;
        while !rest.is_empty() {
            let end = (1..=PIECE.min(rest.len())).rev().find(|&at| rest.is_char_boundary(at));
            let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
            self.send(piece)?;
            rest = after;
            match self.expect(&Pattern::text(&echo_of(piece)), ECHO) {
                Ok(_) | Err(ConsoleError::Late { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// What a terminal shows when this is typed.
fn echo_of(piece: &str) -> String {
    piece.replace('\n', "\r\n")
}

/// Whether a terminal takes this byte as itself: no control character but the newline.
fn is_plain(byte: u8) -> bool {
    byte == b'\n' || (0x20..0x7f).contains(&byte)
}

/// One word for a POSIX shell.
fn quoted(word: &str) -> String {
    if !word.is_empty() && word.bytes().all(is_path_byte) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-+=:@%,".contains(&byte)
}
