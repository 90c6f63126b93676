//! A release, from CHANGELOG.md to the delayed queue of the archive, and back out of it.
//!
//! Decides: the order (version and changelogs, a source package from a commit, a build in a clean chroot, lintian,
//! piuparts, signing, upload), and that nothing is sent before the package's name and version were typed in full.
//! Never: sends mail, knows where the archive is (dput-ng's own profiles do), or keeps a key.

pub mod build;
pub mod changelog;
pub mod job;
pub mod judge;
pub mod queue;
mod source;
pub mod tree;
mod version;

pub use source::make as source;

use std::path::PathBuf;

use jiff::civil::Date;
use xenup_system::files;

use crate::ask::{Ask, Terminal};
use job::Job;

/// `cargo xtask release`
#[derive(Debug, clap::Args)]
pub struct Release {
    /// What to do, in this order
    #[command(subcommand)]
    step: Step,
    /// The source tree [default: this project]
    #[arg(long, global = true, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// Where packages are put [default: target/release-package]
    #[arg(long, global = true, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show every command, change and send nothing
    #[arg(long, global = true)]
    dry_run: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Step {
    /// Set the version, and make debian/changelog's paragraph of CHANGELOG.md's unreleased section
    Prepare {
        /// Three numbers
        version: String,
        /// The day of the release [default: today, UTC]
        #[arg(long, value_name = "YYYY-MM-DD")]
        date: Option<Date>,
        /// The suite that it is for
        #[arg(long, value_name = "SUITE", default_value = "unstable")]
        distribution: String,
    },
    /// Make the source package from the commit that is checked out
    Source,
    /// Build it in a clean chroot, then lintian and piuparts
    Build {
        /// The suite of the chroot [default: what debian/changelog says]
        #[arg(long, value_name = "SUITE")]
        suite: Option<String>,
    },
    /// Sign the source package
    Sign {
        /// The OpenPGP key's fingerprint
        #[arg(long, value_name = "FINGERPRINT")]
        key: String,
    },
    /// Upload it, into the delayed queue unless told otherwise
    Upload {
        /// A profile of dput-ng (`dirt hosts` lists them)
        #[arg(long, value_name = "PROFILE")]
        to: String,
        /// Days in the delayed queue, 0 to 15
        #[arg(long, value_name = "DAYS", default_value_t = 7)]
        delayed: u8,
        /// Into the archive at once, not into the delayed queue
        #[arg(long, conflicts_with = "delayed")]
        at_once: bool,
    },
    /// Say what is in the delayed queue
    Queue {
        /// A profile of dput-ng whose server lets its queue be listed
        #[arg(long, value_name = "PROFILE", required_unless_present = "status")]
        to: Option<String>,
        /// The archive's own summary of its delayed queue, fetched before
        #[arg(long, value_name = "FILE", conflicts_with = "to")]
        status: Option<PathBuf>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Take it out of the delayed queue
    Cancel {
        /// A profile of dput-ng
        #[arg(long, value_name = "PROFILE")]
        to: String,
        /// The OpenPGP key's fingerprint
        #[arg(long, value_name = "FINGERPRINT")]
        key: String,
    },
}

/// Does the step.
///
/// # Errors
/// It cannot be done; the words say what to do about it.
pub fn run(options: &Release) -> crate::Outcome {
    let here = |path: &Option<PathBuf>| path.as_ref().map(std::path::absolute).transpose();
    let project = crate::project();
    let tree = here(&options.tree)?.unwrap_or_else(|| project.clone());
    let out = here(&options.out)?.unwrap_or_else(|| project.join("target/release-package"));
    let job = Job { tree, out, dry_run: options.dry_run, env: Vec::new() };
    perform(options, &job, &mut Terminal)?;
    Ok(true)
}

/// Does the step to the tree of a job.
///
/// # Errors
/// As [`run`].
pub fn perform(options: &Release, job: &Job, ask: &mut dyn Ask) -> Result<(), Box<dyn std::error::Error>> {
    match &options.step {
        Step::Prepare { version, date, distribution } => {
            let date = date.map_or_else(crate::today::today, Ok)?;
            prepare(job, version, date, distribution)?;
        }
        Step::Source => source(job)?,
        Step::Build { suite } => build::binaries(job, suite.as_deref())?,
        Step::Sign { key } => queue::sign(job, key)?,
        Step::Upload { to, delayed, at_once } => {
            let days = if *at_once { None } else { Some(*delayed) };
            queue::upload(job, to, days, ask)?;
        }
        Step::Queue { to: Some(profile), json, .. } => queue::show(&queue::listed(job, profile)?, *json)?,
        Step::Queue { status, json, .. } => {
            let text = status.as_deref().map(files::read_text).transpose()?.unwrap_or_default();
            queue::show(&queue::from_status(&text)?, *json)?;
        }
        Step::Cancel { to, key } => queue::cancel(job, to, key, ask)?,
    }
    Ok(())
}

/// Sets the version everywhere and cuts the changelogs.
///
/// # Errors
/// A version, or a changelog, of which no release can be made. Nothing was written then.
pub fn prepare(
    job: &Job,
    version: &str,
    date: Date,
    distribution: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let version = version::checked(version)?;
    let read = |name: &str| files::read_text(&job.tree.join(name));
    if !read("debian/source/format")?.contains("(native)") {
        return Err("debian/source/format is not native, and its version would need a Debian revision\nhint: make the paragraph with dch(1)".into());
    }
    let hinted = |error: changelog::ChangelogError| format!("{error}\nhint: {}", error.hint());
    let cut = changelog::cut(&read("CHANGELOG.md")?, version, date).map_err(hinted)?;
    let section = changelog::section(&cut, version).map_err(hinted)?;
    let entry = job.entry()?;
    let head = changelog::Head {
        source: &entry.source,
        // A native package has the version of what it packages.
        version,
        distribution,
        maintainer: &entry.maintainer,
        date,
    };
    let paragraph = changelog::paragraph(&section, &head);
    let mut written = vec![
        ("CHANGELOG.md", cut),
        ("debian/changelog", format!("{paragraph}{}", read("debian/changelog")?)),
    ];
    if files::exists(&job.tree.join("Cargo.toml")) {
        let (manifest, old) = version::in_manifest(&read("Cargo.toml")?, version)?;
        written.push(("Cargo.toml", manifest));
        for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
            if files::exists(&job.tree.join(lock)) {
                written.push((lock, version::in_lock(&read(lock)?, &old, version)?));
            }
        }
    }
    print!("{paragraph}");
    for (name, text) in &written {
        job.write(name, text)?;
    }
    println!("next: cargo xtask docs, read the difference, ./test, commit; then cargo xtask release source");
    Ok(())
}
