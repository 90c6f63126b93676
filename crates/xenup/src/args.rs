//! How the verbs are spelt. Decides names, help texts and defaults; never acts on them.

mod kernel;

use std::path::PathBuf;
use std::process::ExitCode;

use anstream::ColorChoice;
use clap::{Args as ClapArgs, Parser, Subcommand};
use xenup_core::audit::Goal;
use xenup_engine::plan::Slug;

use crate::error::Exit;

pub use kernel::{
    KernelBuild, KernelCheck, KernelCommand, KernelConfig, KernelDiff, KernelExplain, KernelInstall,
    KernelRoles, KernelVerb, KernelWish,
};
mod guest;
mod image;
mod install;
mod rehearse;

pub use guest::{GuestCreate, GuestDelete, GuestResize, Kind as GuestKind, Network as GuestNetwork};
pub use image::{Image, ImageBuild, Kind as ImageKind};
pub use install::Install;
pub use rehearse::{NetworkOwner, NicModel, Rehearse, Scenario};

/// Turn this Debian machine into a Xen host, and keep the way in open
///
/// Nothing changes before `xenup apply`. What can cut the network or the boot is undone by itself
/// unless it is confirmed.
#[derive(Debug, Parser)]
#[command(name = "xenup", version, help_expected = true, disable_help_subcommand = true, max_term_width = 80)]
pub struct Args {
    /// When to use colour: auto, always or never; NO_COLOR is honoured
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", value_parser = color)]
    pub color: ColorChoice,

    /// Print results and errors alone
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// The verb
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Say what this machine is, and what stands in Xen's way on it
    Inspect(Inspect),
    /// Write /etc/xenup/host.toml from what was found; nothing else changes
    Init(Init),
    /// Show every file, package and command a change would bring
    Plan(Plan),
    /// Carry the plan out
    Apply(Apply),
    /// Keep what was applied, or undone; without this it goes back
    Confirm(Confirm),
    /// Undo a run
    ///
    /// A network that was confirmed goes back first and under a guard: the verb ends with exit code 6, and
    /// `xenup confirm` over a new connection goes on with the rest. Without it the network of before comes
    /// back at the deadline and before the next boot's network.
    Rollback(Rollback),
    /// Say what happened, what is pending, and what to type
    Status(Status),
    /// List the runs
    History(History),
    /// List guest files, judge them, write them in today's form
    #[command(subcommand)]
    Guest(Guest),
    /// Build a disk that boots as a Xen host
    #[command(subcommand)]
    Image(Image),
    /// Install a Xen host onto a disk of this machine, from a medium of `image build`
    ///
    /// What is run where that medium is started. It asks, each question with its default, and erases nothing before the yes
    /// to its last page; an answer file answers beforehand. A disk in use is refused, and its user named. The partition
    /// table that is on the disk stays whole until all else was written and read back.
    Install(Install),
    /// Say of each guest whether it starts on a Xen, and if not, why and what to change
    ///
    /// Exit code 4 unless every guest starts as it is. Nothing is changed: --fix writes a plan.
    Audit(Audit),
    /// Say what stands between this host and the next release of Debian, and upgrade to it
    #[command(subcommand)]
    Upgrade(Upgrade),
    /// Try the whole conversion on a throw-away virtual machine
    Rehearse(Rehearse),
    /// Say what kernels can be under Xen; configure one for a role, with every reason
    Kernel(KernelCommand),
    /// Say what keeps /lib/tls out of the way of a 32-bit system under PV Xen, or would
    ///
    /// Changes nothing: on such a system that is done by /etc/init.d/xenup-tls of the package xenup-tls, which
    /// decides alike.
    Tls(Tls),
    /// Draw the network, read an old Xen host's
    #[command(subcommand)]
    Network(Network),
    /// Put the same deadline and undo around any change of the network made by hand
    Guard(GuardCommand),
    /// Wait for a deadline and undo a stage (run by the guard's own service)
    #[command(hide = true)]
    GuardWait(RunStage),
    /// Undo what a reboot left unconfirmed (run by the boot-time unit)
    #[command(hide = true)]
    GuardBoot,
    /// Check a trial boot and wait for its confirmation (run by the trial's unit)
    #[command(hide = true)]
    GuardTrial,
    /// Keep what is known to boot, and try what is newer once (run by a plan, and by the units of the package)
    #[command(hide = true, subcommand)]
    KnownGood(KnownGood),
    /// Note what a guarded command made (run after the command of `guard -- COMMAND`)
    #[command(hide = true)]
    GuardNote {
        /// The directory of the run
        #[arg(value_name = "DIR")]
        aside: PathBuf,
    },
    /// Move away what a guarded command made (run by the undo of `guard -- COMMAND`)
    #[command(hide = true)]
    GuardSweep {
        /// The directory of the run
        #[arg(value_name = "DIR")]
        aside: PathBuf,
    },
    /// Carry out a plan in this process (run by apply's own service)
    #[command(hide = true, name = "carry-out")]
    ApplyHere(ApplyHere),
    /// Undo a run in this process (run by rollback's own service)
    #[command(hide = true, name = "take-back")]
    RollbackHere(RollbackHere),
    /// Write man pages, completions and schemas
    #[command(hide = true)]
    Docgen(Docgen),
}

/// What is done about the entry that is known to boot.
#[derive(Debug, Subcommand)]
pub enum KnownGood {
    /// Keep what GRUB's newest entry for Xen boots
    Keep,
    /// Take away what was kept
    Forget,
    /// Arm a trial of what is newer, where the machine is being shut down
    Arm,
    /// In a trial boot: keep it where it is good, else go back
    Check,
    /// In a boot of what is known to: leave it where its kernel's modules are gone
    Look,
}

/// Which machine is looked at.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Source {
    /// Read the machine whose root is mounted at DIR instead of the running one
    #[arg(long, value_name = "DIR", conflicts_with = "facts")]
    pub root: Option<PathBuf>,
    /// Take the facts from FILE, written by `xenup inspect --json` on any machine
    #[arg(long, value_name = "FILE")]
    pub facts: Option<PathBuf>,
}

/// `inspect`
#[derive(Debug, ClapArgs)]
pub struct Inspect {
    /// The machine
    #[command(flatten)]
    pub source: Source,
    /// Print JSON (schema: facts.schema.json)
    #[arg(long)]
    pub json: bool,
}

/// `init`
#[derive(Debug, ClapArgs)]
pub struct Init {
    /// The machine
    #[command(flatten)]
    pub source: Source,
    /// Print the file instead of writing it
    #[arg(long)]
    pub print: bool,
    /// Replace a host.toml that is already there
    #[arg(long)]
    pub force: bool,
    /// Write to FILE
    #[arg(long, value_name = "FILE", default_value = "/etc/xenup/host.toml")]
    pub to: PathBuf,
}

/// `plan`
#[derive(Debug, ClapArgs)]
pub struct Plan {
    /// The machine
    #[command(flatten)]
    pub source: Source,
    /// Read what is wanted from FILE
    #[arg(long, value_name = "FILE", default_value = "/etc/xenup/host.toml")]
    pub host: PathBuf,
    /// Write the plan to FILE, for `xenup apply FILE`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print nothing; exit 5 when there is something to do
    #[arg(long)]
    pub check: bool,
    /// Say of each step why it is there and how it is undone
    #[arg(long)]
    pub explain: bool,
    /// Print JSON (schema: plan.schema.json)
    #[arg(long)]
    pub json: bool,
    /// Take what apt would do from FILE, the output of `apt-get -s install`
    #[arg(long, value_name = "FILE", hide = true)]
    pub apt: Option<PathBuf>,
}

/// `apply`
#[derive(Debug, ClapArgs)]
pub struct Apply {
    /// Carry out this plan file instead of a fresh plan
    #[arg(value_name = "PLAN")]
    pub plan: Option<PathBuf>,
    /// Read what is wanted from FILE
    #[arg(long, value_name = "FILE", default_value = "/etc/xenup/host.toml")]
    pub host: PathBuf,
    /// Do what lasts on disk, and make Xen the default: in a system that an installer has made and that does not run yet
    #[arg(long, conflicts_with_all = ["plan", "wait", "deadline"])]
    pub installer: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Wait for the confirmation instead of ending with exit code 6
    #[arg(long)]
    pub wait: bool,
    /// Seconds to wait for the confirmation of the network, instead of the plan's own (180)
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(20..=86_400))]
    pub deadline: Option<u64>,
}

/// `carry-out`: named so that it is not taken for a misspelt `apply`
#[derive(Debug, ClapArgs)]
pub struct ApplyHere {
    /// The plan file
    #[arg(value_name = "PLAN")]
    pub plan: Option<PathBuf>,
}

/// `confirm`
#[derive(Debug, ClapArgs)]
pub struct Confirm {
    /// Confirm from this machine's own console instead of over a new connection
    #[arg(long)]
    pub console: bool,
}

/// `rollback`
#[derive(Debug, ClapArgs)]
pub struct Rollback {
    /// The run to undo; the newest one that was not undone, where none is named
    #[arg(value_name = "ID")]
    pub run: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Seconds to wait for the confirmation that the way in works without the bridge
    #[arg(long, value_name = "SECONDS", default_value_t = 180, value_parser = clap::value_parser!(u64).range(20..=86_400))]
    pub deadline: u64,
}

/// `take-back`
#[derive(Debug, ClapArgs)]
pub struct RollbackHere {
    /// The run
    #[arg(value_name = "ID")]
    pub run: String,
    /// Seconds to wait for a confirmation
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    pub deadline: u64,
}

/// `status`
#[derive(Debug, ClapArgs)]
pub struct Status {
    /// Print JSON (schema: status.schema.json)
    #[arg(long)]
    pub json: bool,
}

/// `history`
#[derive(Debug, ClapArgs)]
pub struct History {
    /// Print JSON (schema: history.schema.json)
    #[arg(long)]
    pub json: bool,
}

/// `guest`
#[derive(Debug, Subcommand)]
pub enum Guest {
    /// List the guests that have a file below /etc/xen
    List(GuestFiles),
    /// Say what keeps each guest from starting, or will
    ///
    /// Exit code 4 where something is in a guest's way.
    Check(GuestCheck),
    /// Show an xm or xl file in today's form, as a diff; with --in-place or --out, write it
    Convert(GuestConvert),
    /// Make a Debian guest: its disk and its file, in about a second once a base of its release is kept
    ///
    /// Starts nothing, and replaces nothing. On a failure nothing is left.
    Create(Box<GuestCreate>),
    /// Make the disk of a guest that `guest create` made larger, with its file system; the guest is off meanwhile
    Resize(GuestResize),
    /// Remove what `guest create` made for a guest: its file, its link in /etc/xen/auto, its disk
    Delete(GuestDelete),
    /// Say what is on a guest's disk: system, kernel that would boot, what depends on names; nothing is mounted
    Disk(GuestDisk),
}

/// `guest list`
#[derive(Debug, ClapArgs)]
pub struct GuestFiles {
    /// Read the machine whose root is mounted at DIR instead of the running one
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Print JSON (schema: guest-list.schema.json)
    #[arg(long)]
    pub json: bool,
}

/// `guest check`
#[derive(Debug, ClapArgs)]
pub struct GuestCheck {
    /// The guest files, `-` for standard input; those that `guest list` lists, where none is named
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Look for bridges, disks and kernels on the machine whose root is mounted at DIR
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Print JSON (schema: guest-check.schema.json)
    #[arg(long)]
    pub json: bool,
}

/// `guest convert`
#[derive(Debug, ClapArgs)]
pub struct GuestConvert {
    /// The guest file, `-` for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write it in its place, as a run that `xenup rollback` undoes
    #[arg(long, conflicts_with = "out")]
    pub in_place: bool,
    /// Write it to OUT, which must not be there yet; `-` is standard output
    #[arg(long, value_name = "OUT")]
    pub out: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long, requires = "in_place")]
    pub yes: bool,
}

/// `audit`
#[derive(Debug, ClapArgs)]
pub struct Audit {
    /// Guest files, or folders of them; those that `guest list` lists, where none is named
    #[arg(value_name = "FILE|DIR")]
    pub files: Vec<PathBuf>,
    /// Judge by this release of Xen (4.20) or the one of a Debian suite (trixie) instead of the installed one
    #[arg(long, value_name = "RELEASE|SUITE")]
    pub to: Option<Goal>,
    /// Read the machine whose root is mounted at DIR instead of the running one
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Write the report to FILE as one page for a browser, a telephone or paper
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Show the changes of guest files that are sure, and write them as a plan for `xenup apply`
    #[arg(long)]
    pub fix: bool,
    /// Where --fix writes the plan
    #[arg(long, value_name = "FILE", default_value = "xenup-audit-plan.json", requires = "fix")]
    pub out: PathBuf,
    /// Print JSON (schema: audit.schema.json)
    #[arg(long, conflicts_with = "fix")]
    pub json: bool,
}

/// `upgrade`
#[derive(Debug, Subcommand)]
pub enum Upgrade {
    /// Say what an upgrade would do to Xen and its guests, and what to fix first; nothing is changed
    ///
    /// apt works out the upgrade in a folder of its own, with sources made of the machine's own. The page ends in
    /// "Ready", or in what to fix first. Exit code 4 where something is to be fixed first.
    Check(UpgradeCheck),
    /// Upgrade this host to the next release, with guests shut down in order and the new Xen booted once on trial
    ///
    /// Checks first, and is refused where something is to be fixed. Up to the stage `upgrade` everything is undone by
    /// `xenup rollback`, and by itself where something fails. From there on there is no way back, as apt has none: what was
    /// cut short, by a power cut too, is finished by the same command. Then the new Xen is booted once; `xenup confirm`
    /// keeps it and starts the guests that ran before, and without a confirm the machine goes back to plain Linux.
    Apply(UpgradeApply),
}

/// `upgrade apply`
#[derive(Debug, ClapArgs)]
pub struct UpgradeApply {
    /// The suite of Debian to upgrade to (trixie); the next release where none is named
    #[arg(long, value_name = "SUITE")]
    pub to: Option<Goal>,
    /// What this machine is to be
    #[arg(long, value_name = "FILE", default_value = xenup_core::host::PATH)]
    pub host: PathBuf,
    /// Print the plan, and change nothing
    #[arg(long, conflicts_with_all = ["yes", "out"])]
    pub plan: bool,
    /// Write the plan to FILE for `xenup apply FILE`, and change nothing else
    #[arg(long, value_name = "FILE", conflicts_with = "yes")]
    pub out: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// `upgrade check`
#[derive(Debug, ClapArgs)]
pub struct UpgradeCheck {
    /// The suite of Debian to upgrade to (trixie)
    #[arg(long, value_name = "SUITE")]
    pub to: Goal,
    /// Read the machine whose root is mounted at DIR instead of the running one; apt is not asked
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Write the page to FILE for a browser, a telephone or paper
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print JSON (schema: upgrade-check.schema.json)
    #[arg(long)]
    pub json: bool,
}

/// `tls`
#[derive(Debug, ClapArgs)]
pub struct Tls {
    /// Look at the system whose root is mounted at DIR, under both kinds of kernel
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Print JSON (schema: tls.schema.json)
    #[arg(long)]
    pub json: bool,
}

/// `network`
#[derive(Debug, Subcommand)]
pub enum Network {
    /// Read what xend and ifupdown made of an old host's network into a host.toml
    ///
    /// Prints the host.toml, each value with the file and the line it comes from, and what it cannot
    /// say as comments with the way by hand. Exit code 4 where no bridge comes of it.
    Import(NetworkImport),
    /// Draw who is a port of whom, who has which address, whose file says so; before and after a plan
    Show(NetworkShow),
}

/// `network import`
#[derive(Debug, ClapArgs)]
pub struct NetworkImport {
    /// Read the machine whose root is mounted at DIR instead of the running one
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Write the host.toml to FILE, which must not be there yet, and print the findings
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print JSON (schema: network-import.schema.json)
    #[arg(long)]
    pub json: bool,
}

/// `network show`
#[derive(Debug, ClapArgs)]
pub struct NetworkShow {
    /// The machine
    #[command(flatten)]
    pub source: Source,
    /// Draw also what this plan file would leave
    #[arg(long, value_name = "FILE", conflicts_with = "host")]
    pub plan: Option<PathBuf>,
    /// Draw also what a plan for this host.toml would leave
    #[arg(long, value_name = "FILE")]
    pub host: Option<PathBuf>,
    /// Print JSON (schema: network-show.schema.json)
    #[arg(long, conflicts_with = "svg")]
    pub json: bool,
    /// Write the picture as SVG to FILE; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// `guard`
#[derive(Debug, ClapArgs)]
pub struct GuardCommand {
    /// Seconds until the change is undone unless confirmed
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(20..=86_400))]
    pub deadline: u64,
    /// The command, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `guest disk`
#[derive(Debug, ClapArgs)]
pub struct GuestDisk {
    /// A raw or qcow2 image, a block device, or a logical volume
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// The image's format, raw or qcow2; found out where it is not given
    #[arg(long, value_name = "FORMAT", value_parser = ["raw", "qcow2"], hide_possible_values = true)]
    pub format: Option<String>,
    /// Print JSON (schema: guest-disk.schema.json)
    #[arg(long)]
    pub json: bool,
}

/// A stage of a run.
#[derive(Debug, ClapArgs)]
pub struct RunStage {
    /// The run
    #[arg(long, value_name = "ID")]
    pub run: String,
    /// The stage
    #[arg(long, value_name = "STAGE")]
    pub stage: Slug,
}

/// `docgen`
#[derive(Debug, ClapArgs)]
pub struct Docgen {
    /// Where to write
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

fn color(word: &str) -> Result<ColorChoice, String> {
    match word {
        "auto" => Ok(ColorChoice::Auto),
        "always" => Ok(ColorChoice::Always),
        "never" => Ok(ColorChoice::Never),
        _ => Err("expected auto, always or never".to_owned()),
    }
}

/// Prints what clap has to say and returns the exit code for it.
pub fn refuse(refused: &clap::Error) -> ExitCode {
    let _ = refused.print();
    if refused.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() }
}
