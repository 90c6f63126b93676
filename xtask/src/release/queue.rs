//! Signing, the upload queue and its delayed part, by debsign, dput and dcut.
//!
//! Decides: what must hold before a question is put, and how the two ways of reading a queue are told. Never knows a
//! server: dput-ng's own reader of its profiles is asked.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use xenup_system::files;

use super::job::{Entry, Job};
use crate::ask::{Ask, typed};

type Failure = Box<dyn std::error::Error>;

/// The most days that the delayed queue of Debian's archive takes (Developer's Reference 5.6.3).
pub const MOST_DAYS: u8 = 15;

/// Has dput-ng (it runs on Debian's own Python) read a profile, with everything that its own files put together.
const READ_PROFILE: &str = "import json, sys
try:
    import dput.profile
    profile = dput.profile.load_profile(sys.argv[1])
except Exception as error:
    sys.exit(str(error))
print(json.dumps({key: profile.get(key) for key in ('fqdn', 'incoming', 'method', 'allow_dcut')}))";

/// Where dput-ng uploads to.
#[derive(Debug, Deserialize)]
pub struct Profile {
    fqdn: Option<String>,
    incoming: Option<String>,
    method: Option<String>,
    allow_dcut: Option<bool>,
}

/// An upload that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The name of its .changes.
    pub changes: String,
    /// How long it still waits, in the queue's own words.
    pub remaining: String,
    /// From when on it is no longer in the queue, where the queue says so.
    pub until: Option<String>,
    /// The fingerprint of who signed it, where the queue says so.
    pub signed_by: Option<String>,
}

/// What `queue --json` prints.
#[derive(Serialize)]
struct Told<'a> {
    format: u8,
    waiting: &'a [Waiting],
}

/// Reads a profile of dput-ng.
///
/// # Errors
/// There is no dput-ng, or no such profile.
pub fn profile(job: &Job, name: &str) -> Result<Profile, Failure> {
    let read = job.tool("/usr/bin/python3").args(["-c", READ_PROFILE, name]).output()?;
    if !read.status.success() {
        return Err(format!(
            "dput-ng has no profile `{name}`: {}\nhint: apt-get install dput-ng, then `dirt hosts` lists its profiles",
            read.stderr_text().trim()
        )
        .into());
    }
    Ok(serde_json::from_slice(&read.stdout)?)
}

/// Signs the source package with its .dsc and .buildinfo.
///
/// # Errors
/// There is no source package, or no such key.
pub fn sign(job: &Job, key: &str) -> Result<(), Failure> {
    let changes = made(job, &job.entry()?)?;
    Ok(job.act(&job.tool("debsign").arg("--re-sign").arg(format!("-k{key}")).arg(job.out.join(changes)))?)
}

/// Uploads the source package: into the delayed queue for `days`, or into the archive where there are none.
///
/// # Errors
/// Days that no queue has, no source package, a signature that does not hold, a confirmation that was not typed.
/// Nothing was sent then.
pub fn upload(job: &Job, to: &str, days: Option<u8>, ask: &mut dyn Ask) -> Result<(), Failure> {
    let entry = job.entry()?;
    let changes = made(job, &entry)?;
    send(job, to, days, &entry, &changes, ask)
}

/// Uploads a .changes of `job.out`.
///
/// # Errors
/// As [`upload`].
pub fn send(
    job: &Job,
    to: &str,
    days: Option<u8>,
    entry: &Entry,
    changes: &str,
    ask: &mut dyn Ask,
) -> Result<(), Failure> {
    if let Some(days) = days.filter(|days| *days > MOST_DAYS) {
        return Err(format!(
            "the delayed queue takes 0 to {MOST_DAYS} days, not {days}\nhint: --delayed {MOST_DAYS}, and dcut reschedule later"
        )
        .into());
    }
    profile(job, to)?;
    let path = job.out.join(changes);
    let dput = job.tool("dput");
    let dput = match days {
        Some(days) => dput.args(["--delayed", &days.to_string()]),
        None => dput,
    };
    let dput = dput.arg(to).arg(&path);
    let whereto = match days {
        Some(days) => format!("the delayed queue of {to} for {days} days"),
        None => format!("{to}, at once"),
    };
    if job.dry_run {
        return Ok(job.act(&dput)?);
    }
    job.ask(&job.tool("gpg").args(["--batch", "--verify"]).arg(&path)).map_err(|error| {
        format!("{changes} is not signed by a key that is known here: {error}\nhint: cargo xtask release sign --key FINGERPRINT")
    })?;
    let what = format!("{changes}, for {}, goes to {whereto}", entry.distribution);
    typed(ask, &what, &entry.words())?;
    job.act(&dput)?;
    match days {
        Some(_) => println!(
            "next: cargo xtask release queue --to {to}; to take it back: cargo xtask release cancel --to {to} --key FINGERPRINT"
        ),
        None => println!("next: read the archive's mail about it"),
    }
    Ok(())
}

/// Takes the upload out of the delayed queue.
///
/// # Errors
/// The profile takes no commands, or the confirmation was not typed. Nothing was sent then.
pub fn cancel(job: &Job, to: &str, key: &str, ask: &mut dyn Ask) -> Result<(), Failure> {
    let entry = job.entry()?;
    let profile = profile(job, to)?;
    if profile.allow_dcut != Some(true) {
        return Err(format!(
            "the profile `{to}` takes no commands (allow_dcut is not true)\nhint: name the profile of the archive's own queue"
        )
        .into());
    }
    let dcut =
        job.tool("dcut").args(["-k", key, "-m", &entry.maintainer, to, "cancel", "-f", &entry.changes()]);
    if !job.dry_run {
        let what = format!("{} is cancelled in the delayed queue of {to}", entry.changes());
        typed(ask, &what, &entry.words())?;
    }
    job.act(&dcut)?;
    if !job.dry_run {
        // dput refuses to upload again what its own record says was uploaded.
        files::remove_file(&upload_log(job, &entry.changes(), to))?;
    }
    println!("next: cargo xtask release queue --to {to}: the queue acts on commands within minutes");
    Ok(())
}

/// Returns where dput-ng records that a .changes was uploaded to a profile.
pub fn upload_log(job: &Job, changes: &str, to: &str) -> PathBuf {
    job.out.join(format!("{}.{to}.upload", changes.trim_end_matches(".changes")))
}

/// Lists the delayed queue through the server of a profile, where it lets that be listed.
///
/// # Errors
/// The profile is not one of FTP, or no folder of the queue can be listed.
pub fn listed(job: &Job, name: &str) -> Result<Vec<Waiting>, Failure> {
    const HINT: &str =
        "hint: fetch the archive's own summary of its delayed queue, then: release queue --status FILE";
    let profile = profile(job, name)?;
    let (Some("ftp"), Some(server)) = (profile.method.as_deref(), profile.fqdn.as_deref()) else {
        return Err(
            format!("the queue of `{name}` cannot be listed: it is not reached by FTP\n{HINT}").into()
        );
    };
    let incoming = profile.incoming.unwrap_or_default();
    let incoming = incoming.trim_matches('/');
    let (mut waiting, mut read, mut last) = (Vec::new(), false, String::new());
    for days in 0..=MOST_DAYS {
        let folder = format!("ftp://{server}/{incoming}/DELAYED/{days}-day/");
        let curl = job.tool("curl").args(["--silent", "--show-error", "--list-only", "--max-time", "60"]);
        match job.ask(&curl.arg(folder)) {
            Ok(output) => {
                read = true;
                waiting.extend(in_folder(&output.text(), days));
            }
            Err(error) => last = error.to_string(),
        }
    }
    if read {
        Ok(waiting)
    } else {
        Err(format!("no folder of the delayed queue can be listed: {last}\n{HINT}").into())
    }
}

/// The uploads among the names of a folder.
fn in_folder(names: &str, days: u8) -> impl Iterator<Item = Waiting> {
    let changes = names.lines().map(str::trim).filter(|name| name.ends_with(".changes"));
    changes.map(move |name| Waiting {
        changes: name.to_owned(),
        remaining: format!("{days} days at most"),
        until: None,
        signed_by: None,
    })
}

/// A file that is not the archive's summary.
#[derive(Debug, thiserror::Error)]
#[error("the file has no paragraph with `Changes-file:`\nhint: fetch the summary for machines, not the page")]
pub struct NoSummary;

/// Reads the summary that the archive publishes of its delayed queue: paragraphs of fields, one for each upload.
///
/// # Errors
/// It is something else. An empty file is an empty queue.
pub fn from_status(text: &str) -> Result<Vec<Waiting>, NoSummary> {
    let paragraphs = text.split("\n\n");
    let field = |paragraph: &str, name: &str| {
        let mut values = paragraph.lines().filter_map(|line| line.split_once(':'));
        let found = values.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let waiting: Vec<Waiting> = paragraphs
        .filter_map(|paragraph| {
            Some(Waiting {
                changes: field(paragraph, "Changes-file")?,
                remaining: field(paragraph, "Delay-Remaining").unwrap_or_else(|| "not told".to_owned()),
                until: field(paragraph, "Delayed-Until"),
                signed_by: field(paragraph, "Fingerprint"),
            })
        })
        .collect();
    if waiting.is_empty() && !text.trim().is_empty() { Err(NoSummary) } else { Ok(waiting) }
}

/// Prints the delayed queue.
///
/// # Errors
/// None that can be expected: it is JSON of strings.
pub fn show(waiting: &[Waiting], json: bool) -> Result<(), serde_json::Error> {
    if json {
        println!("{}", serde_json::to_string(&Told { format: 1, waiting })?);
    } else if waiting.is_empty() {
        println!("the delayed queue is empty");
    } else {
        print!("{}", table(waiting));
    }
    Ok(())
}

/// One line for each upload.
pub fn table(waiting: &[Waiting]) -> String {
    let line = |upload: &Waiting| {
        let until = upload.until.as_ref().map(|until| format!(", until {until}")).unwrap_or_default();
        let by = upload.signed_by.as_ref().map(|by| format!(", signed by {by}")).unwrap_or_default();
        format!("{}: {}{until}{by}\n", upload.changes, upload.remaining)
    };
    waiting.iter().map(line).collect()
}

fn made(job: &Job, entry: &Entry) -> Result<String, Failure> {
    let changes = entry.changes();
    if job.dry_run || files::exists(&job.out.join(&changes)) {
        return Ok(changes);
    }
    Err(format!("there is no {}\nhint: cargo xtask release source", job.out.join(changes).display()).into())
}

#[cfg(test)]
mod tests {
    use super::{from_status, table};
    use crate::cases;

    /// tests/cases/maintainership-queue/<case>/: the archive's summary, and the lines that are shown.
    #[test]
    fn every_summary_of_the_delayed_queue_is_read() {
        cases::every_case("maintainership-queue", 3, |case| match from_status(&case.text("status")) {
            Ok(waiting) => vec![("shown", table(&waiting))],
            Err(error) => vec![("error.txt", format!("{error}\n"))],
        });
    }
}
