//! The source tree that is released, and the commands around it: shown or run.

use std::path::PathBuf;
use std::time::Duration;

use xenup_system::files;
use xenup_system::process::{Output, ProcessError, Tool};

type Failure = Box<dyn std::error::Error>;

/// The longest that a program of a release may take: a whole build in a clean chroot.
const LIMIT: Duration = Duration::from_secs(3 * 3600);

/// A release at work.
#[derive(Debug, Clone)]
pub struct Job {
    /// The source tree.
    pub tree: PathBuf,
    /// Where the source package and what is built of it lie.
    pub out: PathBuf,
    /// Show every command, run none that changes or sends something.
    pub dry_run: bool,
    /// Variables for every program; the checks set HOME and GNUPGHOME.
    pub env: Vec<(&'static str, PathBuf)>,
}

/// What the newest paragraph of debian/changelog says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The source package.
    pub source: String,
    /// The version of the Debian package.
    pub version: String,
    /// The suite that it is for.
    pub distribution: String,
    /// `Name <address>`.
    pub maintainer: String,
}

impl Entry {
    /// The words that confirm it.
    pub fn words(&self) -> String {
        format!("{} {}", self.source, self.version)
    }

    /// The name of its .changes for an upload of the source alone.
    pub fn changes(&self) -> String {
        self.named("_source.changes")
    }

    /// The name of its .buildinfo where the source alone was built.
    pub fn buildinfo(&self) -> String {
        self.named("_source.buildinfo")
    }

    /// The name of its .dsc.
    pub fn dsc(&self) -> String {
        self.named(".dsc")
    }

    /// The name of its archive; the source is native.
    pub fn tar(&self) -> String {
        self.named(".tar.xz")
    }

    fn named(&self, end: &str) -> String {
        // A file name has no epoch.
        let version = self.version.split_once(':').map_or(self.version.as_str(), |(_, rest)| rest);
        format!("{}_{version}{end}", self.source)
    }
}

impl Job {
    /// A program in the surroundings of this release.
    pub fn tool(&self, program: &str) -> Tool {
        let tool = Tool::new(program).current_dir(&self.tree).timeout(LIMIT);
        self.env.iter().fold(tool, |tool, (name, value)| tool.env(name, value))
    }

    /// Shows a command, and runs it unless this is a dry run; its words are shown as they come.
    ///
    /// # Errors
    /// It fails.
    pub fn act(&self, tool: &Tool) -> Result<(), ProcessError> {
        println!("+ {}", tool.command_line());
        if !self.dry_run {
            tool.run_lines(&mut |line| println!("  {line}"))?;
        }
        Ok(())
    }

    /// Runs a command that only reads, in a dry run too.
    ///
    /// # Errors
    /// It fails.
    pub fn ask(&self, tool: &Tool) -> Result<Output, ProcessError> {
        tool.run()
    }

    /// Shows that a file is written, and writes it unless this is a dry run.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<(), files::FileError> {
        println!("+ write {name}");
        if self.dry_run { Ok(()) } else { files::write(&self.tree.join(name), text.as_bytes()) }
    }

    /// Returns the newest paragraph of debian/changelog.
    ///
    /// # Errors
    /// There is none, or dpkg-parsechangelog is missing.
    pub fn entry(&self) -> Result<Entry, Failure> {
        let field = |name: &str| -> Result<String, Failure> {
            let output = self.ask(&self.tool("dpkg-parsechangelog").args(["-S", name]))?;
            Ok(output.text().trim().to_owned())
        };
        Ok(Entry {
            source: field("Source")?,
            version: field("Version")?,
            distribution: field("Distribution")?,
            maintainer: field("Maintainer")?,
        })
    }
}
