//! The words of `cargo xtask salvage`.

use std::path::PathBuf;

use jiff::civil::Date;

use super::state::Says;

/// `cargo xtask salvage`
#[derive(Debug, clap::Args)]
pub struct Salvage {
    /// The source package
    pub(super) package: String,
    /// What to do [default: say where it stands]
    #[command(subcommand)]
    pub(super) action: Option<Action>,
    /// Where it is written down [default: PACKAGE.salvage.json here]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) state: Option<PathBuf>,
    /// Count from this day [default: today, UTC]
    #[arg(long, global = true, value_name = "YYYY-MM-DD")]
    pub(super) today: Option<Date>,
    /// Show what would be sent and written, send and write nothing
    #[arg(long, global = true)]
    pub(super) dry_run: bool,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Write down who maintains the package, and why it needs help
    Begin(Begin),
    /// Say where it stands and what comes next
    Status {
        /// Print the state file
        #[arg(long)]
        json: bool,
    },
    /// Write down what shows that the package is neglected
    Evidence(Shown),
    /// Do the next step, when its day has come
    Next(Forward),
    /// Write down an answer of the maintainer, an uploader or the team
    Answer {
        /// What it means
        says: Says,
        /// Who answered
        #[arg(long, value_name = "WHO")]
        from: String,
        /// Until when they ask for time
        #[arg(long, value_name = "YYYY-MM-DD", required_if_eq("says", "time"))]
        until: Option<Date>,
        /// In their words
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Write down the number that the bug tracker gave the Intent to Salvage
    Bug {
        /// The number
        number: u32,
    },
    /// Forget a step that was about to be sent and was not
    Forget,
    /// Give it up
    Stop {
        /// Why
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
}

/// `begin`
#[derive(Debug, clap::Args)]
pub(super) struct Begin {
    /// Its version in the archive
    #[arg(long)]
    pub(super) version: String,
    /// Who maintains it, `Name <address>`
    #[arg(long, value_name = "WHO")]
    pub(super) maintainer: String,
    /// An uploader or the team; may be repeated
    #[arg(long = "uploader", value_name = "WHO")]
    pub(super) uploaders: Vec<String>,
    /// The list that is asked in public: the team's, or that of Debian's developers
    #[arg(long, value_name = "ADDRESS")]
    pub(super) list: String,
    /// Who wants to maintain it, `Name <address>`
    #[arg(long, value_name = "WHO")]
    pub(super) me: String,
    /// Why it needs help, in a sentence or two for the maintainer to read
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: String,
}

/// `evidence`
#[derive(Debug, clap::Args)]
pub(super) struct Shown {
    /// The package's debian/changelog: uploads by others and the maintainer's last are counted in it
    #[arg(long, value_name = "FILE")]
    pub(super) changelog: Option<PathBuf>,
    /// A bug that the maintainer never answered; may be repeated
    #[arg(long = "unanswered", value_name = "BUG")]
    pub(super) unanswered: Vec<u32>,
    /// The bug that asks for a newer upstream version
    #[arg(long, value_name = "BUG")]
    pub(super) upstream: Option<u32>,
    /// Another issue of quality, in a sentence; may be repeated
    #[arg(long, value_name = "SENTENCE")]
    pub(super) quality: Vec<String>,
    /// The last day on which the maintainer was seen at work on it
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(super) last_activity: Option<Date>,
    /// The maintainer seems to be gone from everywhere
    #[arg(long)]
    pub(super) missing: bool,
}

/// `next`
#[derive(Debug, Default, clap::Args)]
pub(super) struct Forward {
    /// Write down that it was done by hand on this day, and send nothing
    #[arg(long)]
    pub(super) by_hand: bool,
    /// The program that takes a mail on its standard input
    #[arg(long, value_name = "PROGRAM", default_value = "/usr/sbin/sendmail")]
    pub(super) sendmail: PathBuf,
    /// The signed .changes to upload
    #[arg(long, value_name = "FILE")]
    pub(super) changes: Option<PathBuf>,
    /// A profile of dput-ng
    #[arg(long, value_name = "PROFILE")]
    pub(super) to: Option<String>,
    /// Days in the delayed queue [default: 7; none after an agreement]
    #[arg(long, value_name = "DAYS")]
    pub(super) delayed: Option<u8>,
    /// What debdiff(1) says between the archive's .dsc and the new one
    #[arg(long, value_name = "FILE")]
    pub(super) difference: Option<PathBuf>,
}
