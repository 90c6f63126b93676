//! A salvage with real mails and a real upload: the mails go to a program that keeps them, the upload to the check's queue.

use std::path::PathBuf;

use xenup_system::files;

use super::{CHANGES, Failure, PROFILE, Play, Verdict, WORDS, equal, none, refused};
use crate::ask::Beforehand;
use crate::salvage;

/// The words that confirm a mail: the version in the archive, not the one that is uploaded.
const MAIL_WORDS: &str = "xenup-tiny 0.1.0";
/// Of the package that is salvaged: its maintainer was last seen a year ago.
const CHANGELOG: &str = "xenup-tiny (0.1.0) unstable; urgency=medium\n\n  * First.\n\n \
                         -- Old Hand <old@example.org>  Wed, 01 Jan 2025 12:00:00 +0000\n";
/// Keeps a mail beside itself, or fails where it is told to.
const SENDMAIL: &str = r#"#!/bin/sh
folder=$(dirname "$0")
[ -e "$folder/broken" ] && exit 75
cat >>"$folder/mails"
"#;

impl Play {
    /// Two mails, the Intent to Salvage, 21 days, the delayed queue for seven, and the difference.
    pub(super) fn taken_over(&self) -> Result<(), Failure> {
        let folder = self.work.join("salvage");
        files::create_dir_all(&folder)?;
        files::write(&folder.join("sendmail"), SENDMAIL.as_bytes())?;
        files::set_mode(&folder.join("sendmail"), 0o755)?;
        files::write(&folder.join("difference"), b"-one\n+other\n")?;
        files::write(&folder.join("changelog"), CHANGELOG.as_bytes())?;
        let page = self.salvage_of_page()?;
        self.of_page("2026-01-10", &page.begin, "")?;
        self.of_page("2026-01-10", &page.evidence, "")?;
        self.of_page("2026-01-10", &page.shown, "")?;
        refused("other words", self.salvage("2026-01-10", &["next"], "yes"), "nothing was sent")?;
        none("mails", &self.mails()?)?;
        self.of_page("2026-01-10", &page.next, MAIL_WORDS)?;
        equal("the first mail", &self.mails()?.concat().contains("To: Old Hand <old@example.org>"), &true)?;
        refused("the list too early", self.salvage("2026-01-24", &["next"], MAIL_WORDS), "2026-01-25")?;
        files::write(&folder.join("broken"), b"")?;
        refused("a mail that fails", self.salvage("2026-01-25", &["next"], MAIL_WORDS), "by-hand")?;
        files::remove_file(&folder.join("broken"))?;
        refused(
            "perhaps twice",
            self.salvage("2026-01-25", &["next"], MAIL_WORDS),
            "look whether it was sent",
        )?;
        self.salvage("2026-01-25", &["forget"], "")?;
        self.salvage("2026-01-25", &["next"], MAIL_WORDS)?;
        self.salvage("2026-02-09", &["next"], MAIL_WORDS)?;
        equal("the Intent to Salvage", &self.mails()?.concat().contains("Subject: ITS: xenup-tiny"), &true)?;
        self.salvage("2026-02-09", &["bug", "1000003"], "")?;
        refused("before 21 days", self.upload_taken_over("2026-03-02", "7"), "2026-03-03")?;
        refused("too short a delay", self.upload_taken_over("2026-03-03", "6"), "at least 7 days")?;
        refused("another bug", self.upload_taken_over("2026-03-03", "7"), "Closes: #1000003")?;
        self.of_page("2026-03-03", &page.bug, "")?;
        equal("what arrived", &self.queue.pass()?, &[])?;
        self.of_page("2026-03-03", &page.upload, WORDS)?;
        equal("the queue", &self.queue.pass()?, &[Verdict::Taken(CHANGES.to_owned(), Some(7))])?;
        self.of_page("2026-03-03", &page.difference, MAIL_WORDS)?;
        equal("the difference", &self.mails()?.concat().contains("To: 1000002@bugs.debian.org"), &true)?;
        self.salvage("2026-03-05", &["answer", "objects", "--from", "Old Hand"], "")?;
        refused("an objection", self.salvage("2026-03-11", &["next"], MAIL_WORDS), "cancelled: dcut")?;
        self.cancel(&self.keys.0, WORDS)?;
        self.queue.pass()?;
        none("what is left of it", &self.queue.delayed(7)?)?;
        self.written_down()
    }

    /// Another one, of which a mail was sent by hand, and answered.
    fn written_down(&self) -> Result<(), Failure> {
        files::remove_file(&self.work.join("salvage/state.json"))?;
        let page = self.salvage_of_page()?;
        let mails = self.mails()?;
        for line in [&page.begin, &page.by_hand, &page.answer, &page.status] {
            self.of_page("2026-01-10", line, "")?;
        }
        equal("mails", &self.mails()?, &mails)
    }

    /// What a line of the handbook says.
    fn of_page(&self, day: &str, line: &[String], typed: &str) -> Result<(), Failure> {
        let words: Vec<&str> = line.iter().map(String::as_str).collect();
        self.salvage(day, &words, typed)
    }

    fn upload_taken_over(&self, day: &str, days: &str) -> Result<(), Failure> {
        let changes = self.job.out.join(CHANGES).display().to_string();
        self.salvage(day, &["next", "--changes", &changes, "--to", PROFILE, "--delayed", days], WORDS)
    }

    fn salvage(&self, day: &str, words: &[&str], typed: &str) -> Result<(), Failure> {
        let file = |name: &str| self.work.join("salvage").join(name).display().to_string();
        let mut line: Vec<String> =
            std::iter::once("xenup-tiny").chain(words.iter().copied()).map(str::to_owned).collect();
        line.extend(["--today", day, "--state", &file("state.json")].map(str::to_owned));
        if words.first() == Some(&"next") {
            line.extend(["--sendmail".to_owned(), file("sendmail")]);
        }
        let options = crate::of_words::of_words("salvage", line)?;
        let mut ask = Beforehand(vec![typed.to_owned()]);
        salvage::perform(&options, &mut String::new(), &mut ask, &self.job.env)
    }

    /// Everything that was mailed so far, as one text or none.
    fn mails(&self) -> Result<Vec<String>, Failure> {
        let path: PathBuf = self.work.join("salvage/mails");
        Ok(if files::exists(&path) { vec![files::read_text(&path)?] } else { Vec::new() })
    }
}
