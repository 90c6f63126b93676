//! How `install` is spelt.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// `install`
#[derive(Debug, ClapArgs)]
pub struct Install {
    /// Where the medium is mounted that `xenup image build FILE.iso` has made
    #[arg(long, value_name = "DIR", default_value = "/medium")]
    pub medium: PathBuf,
    /// Take answers from FILE instead of the medium's own: answers.toml(5)
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
    /// Say what would be done with every default, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Ask on every console of the kernel, and switch the machine at the end (run by the medium)
    #[arg(long, hide = true)]
    pub consoles: bool,
}
