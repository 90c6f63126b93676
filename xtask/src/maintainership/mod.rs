//! The maintainer's chores against a queue of this machine's own: real dput-ng, dcut, debsign and gpg, a real FTP server
//! on loopback, and a key that is made for the check.
//!
//! Decides: what each step must leave in the queue and in the archive behind it. Never reaches any other machine.

mod page;
mod queued;
mod takeover;

use std::path::PathBuf;

use jiff::civil::date;
use xenup_system::Environment;
use xenup_system::files::{self, WorkDir};
use xenup_system::process::Tool;

use crate::ask::Beforehand;
use crate::release::job::Job;
use crate::release::{self, queue};
use queued::{Queue, Server, Verdict};

type Failure = Box<dyn std::error::Error>;

/// The profile of dput-ng that stands for the archive.
const PROFILE: &str = "here";
/// The upload of the tree in tests/cases/maintainership-release/tiny.
const CHANGES: &str = "xenup-tiny_0.2.0_source.changes";
/// What confirms it.
const WORDS: &str = "xenup-tiny 0.2.0";

/// Plays a release, from the changelog into the archive, and a salvage that the maintainer objects to in the end.
///
/// # Errors
/// The first step that did not do what it must.
pub fn run() -> crate::Outcome {
    if !files::is_root() {
        println!("skipped: the FTP server changes its root, and that needs root");
        return Ok(true);
    }
    let play = Play::prepare()?;
    play.made_from_the_changelog()?;
    play.nothing_without_the_words()?;
    play.delayed_listed_cancelled()?;
    play.by_hand()?;
    play.moved_and_removed()?;
    play.bad_signatures()?;
    play.taken_over()?;
    play.after_its_days()?;
    println!(
        "released to a queue of its own: confirmed, delayed, listed, cancelled, refused, and taken after its days; \
         salvaged: asked twice, intended, waited for, uploaded, objected to and cancelled"
    );
    Ok(true)
}

/// Builds the package of the release in a bare tree of this machine's own suite, and has lintian and piuparts judge it.
///
/// # Errors
/// The first step that did not do what it must.
pub fn build() -> crate::Outcome {
    if !files::is_root() {
        println!("skipped: piuparts needs root");
        return Ok(true);
    }
    let play = Play::prepare()?;
    play.made_from_the_changelog()?;
    let page = play.release_of_page()?;
    play.perform(&page.build, &[], "")?;
    Ok(true)
}

/// The surroundings of the check.
struct Play {
    job: Job,
    queue: Queue,
    /// The key that the queue knows, and one that it does not.
    keys: (String, String),
    server: Server,
    // Dropped after the server.
    work: WorkDir,
}

impl Play {
    fn prepare() -> Result<Self, Failure> {
        let tmp = Environment::read().tmpdir.unwrap_or_else(|| PathBuf::from("/tmp"));
        // A short path: the socket of gpg-agent lies below it.
        let work = WorkDir::new_in(&tmp, "xenup-queue-")?;
        files::set_mode(work.path(), 0o755)?;
        let tree = work.join("tree");
        let tiny = crate::project().join("tests/cases/maintainership-release/tiny");
        Tool::new("cp").arg("-a").arg(tiny).arg(&tree).run()?;
        for folder in ["home/.dput.d/profiles", "gnupg", "server"] {
            files::create_dir_all(&work.join(folder))?;
        }
        files::set_mode(&work.join("gnupg"), 0o700)?;
        let env = vec![("HOME", work.join("home")), ("GNUPGHOME", work.join("gnupg"))];
        let job = Job { tree, out: work.join("out"), dry_run: false, env };
        let keys =
            (key(&job, "A. Maintainer <maintainer@example.org>")?, key(&job, "Stranger <s@example.org>")?);
        let ring = work.join("ring.gpg");
        job.tool("gpg").args(["--batch", "--output"]).arg(&ring).args(["--export", &keys.0]).run()?;
        let queue = Queue::make(&work.join("server"), &ring)?;
        let vsftpd = crate::check::unpacked("vsftpd", "usr/sbin/vsftpd")?;
        Tool::new("sh")
            .args(["-euc", LIBRARIES, "sh"])
            .arg(vsftpd.ancestors().nth(3).unwrap_or(&vsftpd))
            .run()?;
        let server = Server::start(&vsftpd, &work.join("server"), &work.join("vsftpd.conf"))?;
        let profile = serde_json::json!({
            "fqdn": server.address.to_string(), "incoming": "/pub/UploadQueue/", "login": "anonymous",
            "meta": "debian", "method": "ftp",
        });
        let path = work.join(&format!("home/.dput.d/profiles/{PROFILE}.json"));
        files::write(&path, profile.to_string().as_bytes())?;
        Ok(Self { job, queue, keys, server, work })
    }

    /// CHANGELOG.md to debian/changelog to a source package that is signed; and never of what is not committed.
    fn made_from_the_changelog(&self) -> Result<(), Failure> {
        let before = files::read_text(&self.job.tree.join("CHANGELOG.md"))?;
        let dry = Job { dry_run: true, ..self.job.clone() };
        release::prepare(&dry, "0.2.0", date(2026, 12, 1), "unstable")?;
        equal("a dry run writes", &files::read_text(&self.job.tree.join("CHANGELOG.md"))?, &before)?;
        let page = self.release_of_page()?;
        self.perform(&page.prepare, &["--date", "2026-12-01"], "")?;
        refused(
            "the same version again",
            release::prepare(&self.job, "0.2.0", date(2026, 12, 2), "unstable"),
            "already",
        )?;
        equal("the version", &self.job.entry()?.version, "0.2.0")?;
        let git = |args: &[&str]| self.job.tool("git").args(args).run().map(drop);
        git(&["init", "--quiet"])?;
        git(&["config", "user.name", "A. Maintainer"])?;
        git(&["config", "user.email", "maintainer@example.org"])?;
        refused("a tree that is not committed", release::source(&self.job), "not committed")?;
        git(&["add", "--all"])?;
        self.job.tool("sh").args(["-euc", &page.commit]).run()?;
        refused("no source package yet", queue::sign(&self.job, &self.keys.0), "release source")?;
        self.perform(&page.source, &[], "")?;
        refused("not signed", self.upload(Some(7), WORDS), "is not signed")?;
        self.perform(&page.sign, &[], "")
    }

    /// Nothing reaches the queue where the words are others, nobody can be asked, the days are wrong, or it is a dry run.
    fn nothing_without_the_words(&self) -> Result<(), Failure> {
        for words in ["y", "yes", "xenup-tiny", "0.2.0", "xenup-tiny 0.2", ""] {
            refused("other words", self.upload(Some(7), words), "nothing was sent")?;
        }
        let nobody = queue::upload(&self.job, PROFILE, Some(7), &mut Beforehand::default());
        refused("nobody to ask", nobody, "there is no terminal")?;
        refused("days", self.upload(Some(16), WORDS), "0 to 15")?;
        let nowhere = queue::upload(&self.job, "nowhere", Some(7), &mut Beforehand(vec![WORDS.to_owned()]));
        refused("no such profile", nowhere, "dirt hosts")?;
        let dry = Job { dry_run: true, ..self.job.clone() };
        queue::upload(&dry, PROFILE, Some(7), &mut Beforehand::default())?;
        queue::cancel(&dry, PROFILE, &self.keys.0, &mut Beforehand::default())?;
        equal("what arrived", &self.queue.pass()?, &[])
    }

    /// Into the delayed queue, seen there, and out of it by the key that the queue knows alone.
    fn delayed_listed_cancelled(&self) -> Result<(), Failure> {
        let page = self.release_of_page()?;
        self.perform(&page.upload, &[], WORDS)?;
        equal("the queue", &self.queue.pass()?, &[Verdict::Taken(CHANGES.to_owned(), Some(7))])?;
        self.perform(&page.queue, &[], "")?;
        let listed = queue::listed(&self.job, PROFILE)?;
        equal("the list", &queue::table(&listed), &format!("{CHANGES}: 7 days at most\n"))?;
        self.queue.day()?;
        let listed = queue::listed(&self.job, PROFILE)?;
        equal("a day later", &queue::table(&listed), &format!("{CHANGES}: 6 days at most\n"))?;
        refused("other words", self.cancel(&self.keys.0, "yes"), "nothing was sent")?;
        self.cancel(&self.keys.1, WORDS)?;
        equal("a stranger's command", &refusals(&self.queue.pass()?), &1)?;
        equal("what still waits", &self.queue.delayed(6)?.contains(&CHANGES.to_owned()), &true)?;
        self.perform(&page.cancel, &[], WORDS)?;
        let done = Verdict::Done(format!("cancel {CHANGES}"));
        equal("the command", &self.queue.pass()?, &[done])?;
        none("what is left of it", &self.queue.delayed(6)?)?;
        equal("the list", &queue::listed(&self.job, PROFILE)?, &[])?;
        none("the archive", &self.queue.archive()?)
    }

    /// What dcut does besides, by hand: another day, and single files by name and by path.
    fn moved_and_removed(&self) -> Result<(), Failure> {
        let dcut = |words: &[&str]| {
            let dcut = self.job.tool("dcut").args([
                "-k",
                &self.keys.0,
                "-m",
                "A. Maintainer <maintainer@example.org>",
            ]);
            dcut.arg(PROFILE).args(words).run()
        };
        let done = |what: &str| Verdict::Done(what.to_owned());
        self.upload(Some(5), WORDS)?;
        self.queue.pass()?;
        dcut(&["reschedule", "-f", CHANGES, "-d", "3"])?;
        equal("another day", &self.queue.pass()?, &[done(&format!("reschedule {CHANGES} 3-day"))])?;
        none("where it waited", &self.queue.delayed(5)?)?;
        equal(
            "the list",
            &queue::table(&queue::listed(&self.job, PROFILE)?),
            &format!("{CHANGES}: 3 days at most\n"),
        )?;
        dcut(&["rm", "--searchdirs", "-f", "xenup-tiny_0.2.0.dsc"])?;
        equal("by its name", &self.queue.pass()?, &[done("rm --searchdirs xenup-tiny_0.2.0.dsc")])?;
        dcut(&["rm", "-f", "DELAYED/3-day/xenup-tiny_0.2.0.tar.xz"])?;
        equal("by its path", &self.queue.pass()?, &[done("rm  DELAYED/3-day/xenup-tiny_0.2.0.tar.xz")])?;
        let left = self.queue.delayed(3)?;
        let gone = |name: &str| !left.iter().any(|file| file.ends_with(name));
        equal("what is left", &(gone(".dsc") && gone(".tar.xz") && !gone(".changes")), &true)?;
        self.cancel(&self.keys.0, WORDS)?;
        self.queue.pass()?;
        none("what is left of it", &self.queue.delayed(3)?)
    }

    /// A key that the queue does not know, a .changes altered after it was signed, a file altered on the way.
    fn bad_signatures(&self) -> Result<(), Failure> {
        queue::sign(&self.job, &self.keys.1)?;
        self.upload(Some(7), WORDS)?;
        equal("a stranger's upload", &refusals(&self.queue.pass()?), &1)?;
        none("what is left of it", &self.queue.delayed(7)?)?;
        self.forget_upload()?;
        queue::sign(&self.job, &self.keys.0)?;
        let good = files::read_text(&self.job.out.join(CHANGES))?;
        let altered = good.replacen("Distribution: unstable", "Distribution: experimental", 1);
        self.put("DELAYED/7-day", CHANGES, altered.as_bytes())?;
        equal("an altered .changes", &refusals(&self.queue.pass()?), &1)?;
        self.put("DELAYED/7-day", CHANGES, good.as_bytes())?;
        for file in ["xenup-tiny_0.2.0.dsc", "xenup-tiny_0.2.0_source.buildinfo"] {
            self.put("DELAYED/7-day", file, &files::read(&self.job.out.join(file))?)?;
        }
        self.put("DELAYED/7-day", "xenup-tiny_0.2.0.tar.xz", b"something else")?;
        equal("an altered file", &refusals(&self.queue.pass()?), &1)?;
        none("what is left of it", &self.queue.delayed(7)?)
    }

    /// Two days in the delayed queue, then in the archive.
    fn after_its_days(&self) -> Result<(), Failure> {
        self.upload(Some(2), WORDS)?;
        equal("the queue", &self.queue.pass()?, &[Verdict::Taken(CHANGES.to_owned(), Some(2))])?;
        for _ in 0..2 {
            self.queue.day()?;
            none("the archive before its day", &self.queue.archive()?)?;
        }
        self.queue.day()?;
        equal("in the archive", &self.queue.archive()?.contains(&CHANGES.to_owned()), &true)?;
        self.forget_upload()?;
        self.upload(None, WORDS)?;
        equal("at once", &self.queue.pass()?, &[Verdict::Taken(CHANGES.to_owned(), None)])
    }

    fn upload(&self, days: Option<u8>, words: &str) -> Result<(), Failure> {
        queue::upload(&self.job, PROFILE, days, &mut Beforehand(vec![words.to_owned()]))
    }

    fn cancel(&self, key: &str, words: &str) -> Result<(), Failure> {
        queue::cancel(&self.job, PROFILE, key, &mut Beforehand(vec![words.to_owned()]))
    }

    /// Puts a file into the queue past dput, as somebody would who means harm.
    fn put(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.work.join("put");
        files::write(&path, bytes)?;
        let to = format!("ftp://{}/pub/UploadQueue/{folder}/{name}", self.server.address);
        Tool::new("curl").args(["--silent", "--show-error", "--upload-file"]).arg(&path).arg(to).run()?;
        Ok(())
    }

    /// Has dput forget that it uploaded this once.
    fn forget_upload(&self) -> Result<(), Failure> {
        files::remove_file(&queue::upload_log(&self.job, CHANGES, PROFILE))?;
        Ok(())
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        // The agent that gpg started for this home; a home that is gone has none.
        drop(self.job.tool("gpgconf").args(["--kill", "all"]).current_dir("/").run());
    }
}

/// Unpacks the library of vsftpd that a machine without it lacks.
const LIBRARIES: &str = r#"cd "$1"
[ -e usr/lib/x86_64-linux-gnu/libwrap.so.0 ] && exit
apt-get -qq download libwrap0
dpkg-deb -x libwrap0_*.deb .
"#;

/// Makes a key without a passphrase in the home of the check; returns its fingerprint.
fn key(job: &Job, name: &str) -> Result<String, Failure> {
    let gpg = || job.tool("gpg").args(["--batch", "--quiet"]).current_dir("/");
    gpg()
        .args(["--pinentry-mode", "loopback", "--passphrase", ""])
        .args(["--quick-generate-key", name, "ed25519", "sign", "never"])
        .run()?;
    let listed = gpg().args(["--with-colons", "--list-keys", name]).run()?.text();
    let print = listed.lines().find_map(|line| line.strip_prefix("fpr:"));
    print.map(|rest| rest.trim_matches(':').to_owned()).ok_or_else(|| "gpg made no key".into())
}

fn refusals(verdicts: &[Verdict]) -> usize {
    verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Refused(..))).count()
}

fn equal<A, B>(what: &str, found: &A, wanted: &B) -> Result<(), Failure>
where
    A: std::fmt::Debug + PartialEq<B> + ?Sized,
    B: std::fmt::Debug + ?Sized,
{
    if found == wanted { Ok(()) } else { Err(format!("{what}: {found:?}, not {wanted:?}").into()) }
}

fn none(what: &str, found: &[String]) -> Result<(), Failure> {
    if found.is_empty() { Ok(()) } else { Err(format!("{what}: {found:?}").into()) }
}

fn refused(what: &str, outcome: Result<(), Failure>, word: &str) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.to_string().contains(word) => Ok(()),
        Err(error) => Err(format!("{what}: refused, but not for `{word}`: {error}").into()),
        Ok(()) => Err(format!("{what}: not refused").into()),
    }
}
