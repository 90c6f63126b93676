//! The lines of docs/maintainership.md as the check types them: a small package instead of this one, a queue and keys of its
//! own, a day in the past.
//!
//! Decides: which word of the page stands for which of the check's. Never: a line of its own; where the page has other lines
//! than those that are played, the check fails.

use xenup_system::process::Tool;

use super::{CHANGES, Failure, PROFILE, Play, Verdict, equal, none};
use crate::ask::Beforehand;
use crate::release;
use crate::shown;

const PAGE: &str = "docs/maintainership.md";

/// A line of the page: its words behind `cargo xtask release`, or `cargo xtask salvage PACKAGE`.
pub(super) type Line = Vec<String>;

/// The section "A release".
pub(super) struct ReleaseLines {
    pub prepare: Line,
    /// A line of the shell.
    pub commit: String,
    pub source: Line,
    pub build: Line,
    pub sign: Line,
    pub upload: Line,
    pub queue: Line,
    pub cancel: Line,
}

/// The section "Somebody else's package".
pub(super) struct SalvageLines {
    pub begin: Line,
    pub shown: Line,
    pub next: Line,
    pub by_hand: Line,
    pub answer: Line,
    pub evidence: Line,
    pub bug: Line,
    pub upload: Line,
    pub difference: Line,
    pub status: Line,
}

/// What stands behind the first words of a line.
fn behind(line: &[String], first: &[&str]) -> Result<Line, Failure> {
    if line.len() >= first.len() && line.iter().zip(first).all(|(word, first)| word == first) {
        return Ok(line.iter().skip(first.len()).cloned().collect());
    }
    Err(format!("{PAGE}: `{}` does not begin with {}", line.join(" "), first.join(" ")).into())
}

fn other_lines(found: usize) -> Failure {
    format!("{PAGE} has other lines than those that are played: {found} of ours").into()
}

impl Play {
    pub(super) fn release_of_page(&self) -> Result<ReleaseLines, Failure> {
        let block = shown::block("docs/maintainership.md", "cargo xtask release prepare")?;
        let lines = shown::commands("docs/maintainership.md", "cargo xtask release prepare")?;
        let [prepare, docs, source, build, sign, upload, queue, cancel] = lines.as_slice() else {
            return Err(other_lines(lines.len()));
        };
        // The small package has none; the check `docs` sees to this one's.
        equal("the page's second line", docs, &["xtask".to_owned(), "docs".to_owned()][..])?;
        let commit = block.lines().find(|line| line.starts_with("git commit "));
        let line = |line: &Line| {
            let words = behind(line, &["xtask", "release"])?;
            Ok::<Line, Failure>(words.into_iter().map(|word| self.in_place_of(&word)).collect())
        };
        Ok(ReleaseLines {
            prepare: line(prepare)?,
            commit: commit.ok_or("the page commits nothing")?.to_owned(),
            source: line(source)?,
            build: with_this_suite(line(build)?)?,
            sign: line(sign)?,
            upload: line(upload)?,
            queue: line(queue)?,
            cancel: line(cancel)?,
        })
    }

    pub(super) fn salvage_of_page(&self) -> Result<SalvageLines, Failure> {
        let lines = shown::commands("docs/maintainership.md", "salvage PACKAGE begin")?;
        let words = |line: &Line| {
            let words = behind(line, &["xtask", "salvage", "PACKAGE"])?;
            Ok::<Line, Failure>(words.into_iter().map(|word| self.in_place_of(&word)).collect())
        };
        let lines = lines.iter().map(words).collect::<Result<Vec<_>, _>>()?;
        let count = lines.len();
        let Ok([begin, shown, next, by_hand, answer, evidence, bug, upload, difference, status]) =
            <[Line; 10]>::try_from(lines)
        else {
            return Err(other_lines(count));
        };
        Ok(SalvageLines { begin, shown, next, by_hand, answer, evidence, bug, upload, difference, status })
    }

    /// What the check has where the page has this.
    fn in_place_of(&self, word: &str) -> String {
        let file = |name: &str| self.work.join("salvage").join(name).display().to_string();
        match word {
            "FINGERPRINT" => self.keys.0.clone(),
            "ftp-master" => PROFILE.to_owned(),
            "1.5-2" => "0.1.0".to_owned(),
            "LIST" => "l@example.org".to_owned(),
            "New Hand <new@example.org>" => "A. Maintainer <maintainer@example.org>".to_owned(),
            "debian/changelog" => file("changelog"),
            "FILE.changes" => self.job.out.join(CHANGES).display().to_string(),
            "FILE" => file("difference"),
            other => other.to_owned(),
        }
    }

    /// Does what a line of the section "A release" says, to the check's own tree.
    pub(super) fn perform(&self, line: &Line, more: &[&str], typed: &str) -> Result<(), Failure> {
        let words = line.iter().cloned().chain(more.iter().map(|word| (*word).to_owned()));
        let options = crate::of_words::of_words("release", words)?;
        release::perform(&options, &self.job, &mut Beforehand(vec![typed.to_owned()]))
    }

    /// The same without us: a source package, signed, delayed, and cancelled.
    pub(super) fn by_hand(&self) -> Result<(), Failure> {
        let source = shown::block("docs/maintainership.md", "git archive --prefix=xenup-0.2.0/")?;
        let upload = shown::block("docs/maintainership.md", "debsign -kFINGERPRINT")?;
        // The small package has no crates.
        let crates = " && cargo vendor --locked vendor >> .cargo/config.toml";
        if !source.contains(crates) {
            return Err(format!("{PAGE} brings crates in another way").into());
        }
        let here = |script: &str| {
            let named = script.replace(crates, "").replace("xenup", "xenup-tiny");
            named.replace("FINGERPRINT", &self.keys.0).replace("ftp-master", PROFILE)
        };
        let upload = here(&upload);
        let (send, cancel) = upload.rsplit_once('\n').ok_or("the page cancels nothing")?;
        self.sh("tree", &here(&source))?;
        self.sh("tree", send)?;
        equal("by hand", &self.queue.pass()?, &[Verdict::Taken(CHANGES.to_owned(), Some(7))])?;
        self.sh("tree", cancel)?;
        let done = Verdict::Done(format!("cancel {CHANGES}"));
        equal("cancelled by hand", &self.queue.pass()?, &[done])?;
        none("what is left of it", &self.queue.delayed(7)?)
    }

    /// Runs a script in a folder of the check, in the surroundings of the release.
    fn sh(&self, folder: &str, script: &str) -> Result<(), Failure> {
        let tool = self.job.tool("sh").args(["-euc", script]).current_dir(self.work.join(folder));
        let tool = tool.env("DEBEMAIL", "maintainer@example.org").env("DEBFULLNAME", "A. Maintainer");
        tool.run_lines(&mut |line| println!("  {line}"))?;
        Ok(())
    }
}

/// The suite of this machine, which has a mirror of it for certain, in place of the page's.
fn with_this_suite(mut line: Line) -> Result<Line, Failure> {
    let suite = Tool::new("sh").args(["-c", ". /etc/os-release; echo \"$VERSION_CODENAME\""]).run()?.text();
    for word in line.iter_mut().filter(|word| *word == "sid") {
        *word = suite.trim().to_owned();
    }
    Ok(line)
}
