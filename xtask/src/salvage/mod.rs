//! The salvage of somebody else's package, from a first friendly mail to the delayed queue.
//!
//! Decides: which words go where, and that every step is refused before its day. Asking comes first: the Intent to Salvage
//! of the Developer's Reference 5.12 only when two mails had no answer. Never sends anything before the package's name and
//! version were typed in full, and never twice: a step is written down before it is sent and after it.

mod args;
mod letters;
mod rules;
mod state;
mod told;
mod uploads;

pub use args::Salvage;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use xenup_system::files;
use xenup_system::process::Tool;

use crate::ask::{Ask, Terminal, typed};
use crate::release::job::{Entry, Job};
use crate::release::queue;
use args::{Action, Begin, Forward, Shown};
use rules::{DELAY_DAYS, Next};
use state::{Event, Evidence, FORMAT, State, Step, What};
use told::{tell, words};

type Failure = Box<dyn std::error::Error>;

/// Does what is asked and prints it.
///
/// # Errors
/// It is not allowed, or not yet; the words name the day or what is lacking.
pub fn run(options: &Salvage) -> crate::Outcome {
    real_days(options, crate::today::today()?)?;
    let mut out = String::new();
    let outcome = perform(options, &mut out, &mut Terminal, &[]);
    print!("{out}");
    outcome.map(|()| true)
}

/// Another day is for writing down what was done by hand and for looking ahead: nothing is sent on it, and what has not
/// happened yet is not written down.
fn real_days(options: &Salvage, today: Date) -> Result<(), String> {
    let Some(other) = options.today.filter(|day| *day != today && !options.dry_run) else { return Ok(()) };
    let sends = matches!(&options.action, Some(Action::Next(forward)) if !forward.by_hand);
    let writes = !matches!(&options.action, None | Some(Action::Status { .. }));
    if sends {
        return Err(format!(
            "nothing is sent on another day than today, {today}\nhint: leave out --today, or add --dry-run"
        ));
    }
    if writes && other > today {
        return Err(format!(
            "{other} has not come yet\nhint: write it down on its day, or add --dry-run to look ahead"
        ));
    }
    Ok(())
}

/// Does what is asked; `env` is for the programs that send.
pub fn perform(
    options: &Salvage,
    out: &mut String,
    ask: &mut dyn Ask,
    env: &[(&'static str, PathBuf)],
) -> Result<(), Failure> {
    let name = options.state.clone().unwrap_or_else(|| format!("{}.salvage.json", options.package).into());
    let mut book = Book { path: std::path::absolute(name)?, dry_run: options.dry_run };
    let today = options.today.map_or_else(crate::today::today, Ok)?;
    if let Some(Action::Begin(begin)) = &options.action {
        return begin_with(&mut book, &options.package, begin, today, out);
    }
    let mut state = book.open(&options.package)?;
    if let Some(last) = state.events.last().filter(|last| last.on > today) {
        return Err(format!("it is {today}, and something of {} is written down already\nhint: look at the clock, or at --today", last.on).into());
    }
    let happened = |state: &mut State, what: What| state.events.push(Event { on: today, what });
    match &options.action {
        None | Some(Action::Status { json: false } | Action::Begin(_)) => {}
        Some(Action::Status { json: true }) => {
            out.push_str(&state.write()?);
            return Ok(());
        }
        Some(Action::Evidence(shown)) => add_evidence(&mut state.evidence, shown)?,
        Some(Action::Answer { says, from, until, note }) => {
            let answer = What::Answer { from: from.clone(), says: *says, until: *until, note: note.clone() };
            happened(&mut state, answer);
        }
        Some(Action::Bug { number }) if state.sent(Step::Intent).is_some() => {
            happened(&mut state, What::Bug { number: *number });
        }
        Some(Action::Bug { .. }) => {
            return Err("no Intent to Salvage was filed\nhint: salvage PACKAGE says what comes next".into());
        }
        Some(Action::Forget) => state.sending = None,
        Some(Action::Stop { why }) => happened(&mut state, What::Stopped { why: why.clone() }),
        Some(Action::Next(forward)) => {
            Sender { book: &book, today, ask, env }.forward(&mut state, forward, out)?
        }
    }
    book.keep(&state)?;
    tell(&state, today, out);
    Ok(())
}

/// The state file.
struct Book {
    path: PathBuf,
    dry_run: bool,
}

impl Book {
    fn open(&self, package: &str) -> Result<State, Failure> {
        if !files::exists(&self.path) {
            return Err(format!(
                "there is no {}\nhint: cargo xtask salvage {package} begin --help",
                self.path.display()
            )
            .into());
        }
        let text = files::read_text(&self.path)?;
        State::read(&text, package).map_err(|error| format!("{}: {error}", self.path.display()).into())
    }

    /// Writes it where something changed; reading it back must give the same.
    fn keep(&self, state: &State) -> Result<(), Failure> {
        let text = state.write()?;
        let same = files::exists(&self.path) && files::read_text(&self.path)? == text;
        if !same && !self.dry_run {
            files::write_atomic(&self.path, text.as_bytes(), 0o644)?;
        }
        Ok(())
    }
}

fn begin_with(
    book: &mut Book,
    package: &str,
    begin: &Begin,
    today: Date,
    out: &mut String,
) -> Result<(), Failure> {
    if files::exists(&book.path) {
        return Err(format!(
            "there is {} already\nhint: cargo xtask salvage {package} says where it stands",
            book.path.display()
        )
        .into());
    }
    let people = [&begin.maintainer, &begin.list, &begin.me].into_iter().chain(&begin.uploaders);
    if let Some(bad) = people.into_iter().find(|person| !letters::is_address(person)) {
        return Err(format!(
            "`{bad}` is no address\nhint: write it as `Name <name@example.org>`, without quotes or commas"
        )
        .into());
    }
    let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    let version = |c: char| c.is_ascii_alphanumeric() || ".+-~:".contains(c);
    if package.is_empty()
        || !package.chars().all(name)
        || begin.version.is_empty()
        || !begin.version.chars().all(version)
    {
        return Err(format!(
            "`{package} {}` is no source package with its version\nhint: rmadison PACKAGE lists them",
            begin.version
        )
        .into());
    }
    let state = State {
        format: FORMAT,
        package: package.to_owned(),
        version: begin.version.clone(),
        maintainer: begin.maintainer.clone(),
        uploaders: begin.uploaders.clone(),
        list: begin.list.clone(),
        salvager: begin.me.clone(),
        reason: begin.reason.split_whitespace().collect::<Vec<_>>().join(" "),
        evidence: Evidence::default(),
        sending: None,
        events: Vec::new(),
    };
    book.keep(&state)?;
    tell(&state, today, out);
    Ok(())
}

fn add_evidence(evidence: &mut Evidence, shown: &Shown) -> Result<(), Failure> {
    if let Some(path) = &shown.changelog {
        let uploads = uploads::read(&files::read_text(path)?);
        let Some(last) = uploads.last_of_maintainer else {
            return Err(format!(
                "{} names no upload of a maintainer\nhint: give the package's whole debian/changelog",
                path.display()
            )
            .into());
        };
        evidence.nmus_in_a_row = uploads.nmus_in_a_row;
        evidence.last_activity = evidence.last_activity.max(Some(last));
    }
    evidence.unanswered_bugs.extend(&shown.unanswered);
    evidence.unanswered_bugs.sort_unstable();
    evidence.unanswered_bugs.dedup();
    evidence.upstream_bug = shown.upstream.or(evidence.upstream_bug);
    evidence.quality.extend(shown.quality.iter().cloned());
    evidence.last_activity = evidence.last_activity.max(shown.last_activity);
    evidence.missing |= shown.missing;
    Ok(())
}

/// Sends a step.
struct Sender<'a> {
    book: &'a Book,
    today: Date,
    ask: &'a mut dyn Ask,
    env: &'a [(&'static str, PathBuf)],
}

impl Sender<'_> {
    /// Does the step that comes next, if it is allowed.
    fn forward(&mut self, state: &mut State, forward: &Forward, out: &mut String) -> Result<(), Failure> {
        let interrupted = state.sending.filter(|_| forward.by_hand);
        let step = match (interrupted, rules::next(state, self.today)) {
            (Some(step), _) | (None, Next::Allowed(step)) => step,
            (None, other) => return Err(format!("refused: {}", words(&other)).into()),
        };
        let days = if step == Step::Upload { delay(state, forward.delayed)? } else { None };
        if !forward.by_hand {
            match step {
                Step::Upload => self.upload(state, forward, days)?,
                _ => self.mail(state, step, forward, out)?,
            }
        }
        if !self.book.dry_run {
            state.sending = None;
            state.events.push(Event { on: self.today, what: What::Sent { step, days } });
        }
        Ok(())
    }

    fn mail(
        &mut self,
        state: &mut State,
        step: Step,
        forward: &Forward,
        out: &mut String,
    ) -> Result<(), Failure> {
        let difference = match (&forward.difference, step) {
            (Some(path), Step::Difference) => files::read_text(path)?,
            (None, Step::Difference) => {
                return Err("the difference is not given\nhint: debdiff OLD.dsc NEW.dsc > FILE, then --difference FILE".into());
            }
            _ => String::new(),
        };
        let Some(letter) = letters::letter(state, step, &difference) else { return Ok(()) };
        let sendmail =
            self.env.iter().fold(Tool::new(&forward.sendmail), |tool, (name, value)| tool.env(name, value));
        let sendmail = sendmail.args(["-t", "-oi"]).stdin(letter.clone().into_bytes());
        let _ = writeln!(out, "+ {}", sendmail.command_line());
        if self.book.dry_run {
            let _ = writeln!(out, "{letter}");
            return Ok(());
        }
        typed(self.ask, &format!("{letter}\nThis mail is sent."), &state.words())?;
        self.about_to(state, step)?;
        sendmail.run().map_err(|error| {
            format!("{error}\nhint: look whether it was sent; then `next --by-hand`, or `forget`")
        })?;
        Ok(())
    }

    /// Written down before it is sent, so that an end in between is seen.
    fn about_to(&self, state: &mut State, step: Step) -> Result<(), Failure> {
        state.sending = Some(step);
        self.book.keep(state)
    }

    fn upload(&mut self, state: &mut State, forward: &Forward, days: Option<u8>) -> Result<(), Failure> {
        let (Some(changes), Some(to)) = (&forward.changes, &forward.to) else {
            return Err("what to upload and where is not given\nhint: --changes FILE --to PROFILE".into());
        };
        let changes = std::path::absolute(changes)?;
        let folder = changes.parent().unwrap_or(Path::new("/")).to_owned();
        let job =
            Job { tree: folder.clone(), out: folder, dry_run: self.book.dry_run, env: self.env.to_vec() };
        let entry = checked(state, &files::read_text(&changes)?)?;
        let name = changes.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut ask = Noted { ask: &mut *self.ask, book: self.book, state, words: entry.words() };
        queue::send(&job, to, days, &entry, &name, &mut ask)
    }
}

/// Writes the upload down the moment that it is confirmed, before it is sent.
struct Noted<'a> {
    ask: &'a mut dyn Ask,
    book: &'a Book,
    state: &'a mut State,
    words: String,
}

impl Ask for Noted<'_> {
    fn line(&mut self, question: &str) -> std::io::Result<Option<String>> {
        let typed = self.ask.line(question)?;
        if typed.as_deref() == Some(self.words.as_str()) {
            self.state.sending = Some(Step::Upload);
            self.book.keep(self.state).map_err(|error| std::io::Error::other(error.to_string()))?;
        }
        Ok(typed)
    }
}

/// The days in the delayed queue: at least seven where nobody agreed.
fn delay(state: &State, wanted: Option<u8>) -> Result<Option<u8>, Failure> {
    match (rules::least_delay(state), wanted) {
        (None, wanted) => Ok(wanted),
        (Some(least), None) => Ok(Some(least)),
        (Some(least), Some(days)) if days >= least => Ok(Some(days)),
        (Some(least), Some(days)) => Err(format!(
            "refused: without an agreement the upload waits at least {least} days in the delayed queue, not {days}\nhint: --delayed {DELAY_DAYS} or more"
        )
        .into()),
    }
}

/// Returns what a .changes uploads, when it is this package and closes the Intent to Salvage.
fn checked(state: &State, text: &str) -> Result<Entry, Failure> {
    let field = |name: &str| {
        let found = text.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name);
        found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let entry = Entry {
        source: field("Source"),
        version: field("Version"),
        distribution: field("Distribution"),
        maintainer: field("Maintainer"),
    };
    if entry.source != state.package {
        return Err(format!(
            "the .changes is of `{}`, not of {}\nhint: --changes FILE",
            entry.source, state.package
        )
        .into());
    }
    let closes = field("Closes");
    match state.bug() {
        Some(bug) if !closes.split_whitespace().any(|closed| closed == bug.to_string()) => Err(format!(
            "the upload does not close the Intent to Salvage\nhint: write `Closes: #{bug}` into debian/changelog"
        )
        .into()),
        _ => Ok(entry),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use xenup_system::files::{self, WorkDir};

    use super::state::State;
    use super::{Salvage, perform, real_days};
    use crate::ask::Beforehand;
    use crate::cases;
    use crate::of_words::of_words;

    /// The words of a line; a word in quotes may have spaces.
    fn words(line: &str) -> Vec<String> {
        let parts = line.split('"').enumerate();
        parts
            .flat_map(|(index, part)| match index % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            })
            .collect()
    }

    /// tests/cases/maintainership-salvage/<case>/script: a day and the arguments in each line, played in this order;
    /// `said` is what was printed and refused, `state.json` what is left.
    #[test]
    fn every_salvage_goes_as_the_rules_say() {
        cases::every_case("maintainership-salvage", 8, |case| {
            let work = WorkDir::new_in(&crate::project().join("target"), "salvage-").unwrap();
            for input in ["changelog", "difference", "xenup-tiny_2.0-1_source.changes"] {
                files::write(&work.join(input), case.text(input).as_bytes()).unwrap();
            }
            let state = work.join("state.json");
            let mut said = String::new();
            for line in case.text("script").lines().filter(|line| !line.starts_with('#')) {
                let (day, rest) = line.split_once(' ').unwrap();
                let rest = rest.replace("@/", &format!("{}/", work.path().display()));
                let fixed = ["--today", day, "--state", &state.display().to_string()].map(str::to_owned);
                let line_words = std::iter::once("xenup-tiny".to_owned()).chain(words(&rest)).chain(fixed);
                let options: Salvage = of_words("salvage", line_words).unwrap();
                let mut out = String::new();
                said.push_str(&format!("$ {line}\n"));
                let outcome = perform(&options, &mut out, &mut Beforehand::default(), &[]);
                said.push_str(&out);
                if let Err(error) = outcome {
                    said.push_str(&format!("error: {error}\n"));
                }
            }
            let left = if files::exists(&state) { files::read_text(&state).unwrap() } else { String::new() };
            if !left.is_empty() {
                assert_eq!(
                    State::read(&left, "xenup-tiny").unwrap().write().unwrap(),
                    left,
                    "not byte for byte"
                );
            }
            vec![("said", said.replace(&work.path().display().to_string(), ".")), ("state.json", left)]
        });
    }

    #[test]
    fn nothing_is_sent_on_another_day() {
        let on = |line: &str| {
            real_days(&of_words("salvage", line.split(' ').map(str::to_owned)).unwrap(), date(2026, 3, 10))
        };
        for good in [
            "p next",
            "p next --today 2026-03-10",
            "p next --today 2027-01-01 --dry-run",
            "p next --by-hand --today 2026-03-01",
            "p --today 2027-01-01",
            "p status --today 2027-01-01",
        ] {
            assert!(on(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("p next --today 2027-01-01", "nothing is sent"),
            ("p next --today 2026-03-01", "nothing is sent"),
            ("p next --by-hand --today 2026-03-11", "has not come"),
            ("p stop --why x --today 2026-03-11", "has not come"),
        ] {
            assert!(on(bad).unwrap_err().contains(why), "{bad}");
        }
    }
}
