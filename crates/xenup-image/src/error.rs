//! Why an image could not be built. Decides nothing; a hint is one runnable command or one decision.

use std::path::PathBuf;

use xenup_system::files::FileError;
use xenup_system::process::ProcessError;
use xenup_system::tree::TreeError;

use crate::check::CheckError;
use crate::mirror::MirrorError;
use crate::spec::SpecError;

/// A build that did not succeed; nothing is left at the image's path.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The specification asks for something that cannot be built.
    #[error("the image's specification cannot be built")]
    Spec(#[from] SpecError),
    /// The build was started without root's rights.
    #[error("building an image needs root: its files belong to many users")]
    NotRoot,
    /// Programs are missing on this machine.
    #[error("not installed on this machine: {}", .programs.join(", "))]
    MissingTools {
        /// The programs.
        programs: Vec<String>,
        /// The Debian packages that have them.
        packages: Vec<String>,
    },
    /// No Debian mirror is known from this machine's apt sources.
    #[error("no Debian mirror to take packages from")]
    Mirror(#[from] MirrorError),
    /// A program failed.
    #[error("{step} failed")]
    Tool {
        /// What it was run for.
        step: &'static str,
        /// What it said.
        #[source]
        source: ProcessError,
    },
    /// A file could not be read or written.
    #[error("the image's files cannot be handled")]
    File(#[from] FileError),
    /// A file of the system in the making could not be read or written.
    #[error("the installed system's files cannot be handled")]
    Tree(#[from] TreeError),
    /// The tree of packages lacks something that the disk needs.
    #[error("the installed system has no {what} ({})", path.display())]
    Incomplete {
        /// What is missing.
        what: &'static str,
        /// Where it was expected.
        path: PathBuf,
    },
    /// What was asked for does not go together with the packages of that release.
    #[error("{what} ({})", path.display())]
    NotInTree {
        /// What is not there.
        what: String,
        /// Where it was expected.
        path: PathBuf,
    },
    /// A file that should be xenup's package is not.
    #[error("{} is not xenup's Debian package: {why}", path.display())]
    NotThePackage {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// The archive's own date cannot be told.
    #[error("the archive of {suite} does not say of which day it is: {why}")]
    NoDate {
        /// The release.
        suite: &'static str,
        /// What it says.
        why: String,
    },
    /// A kept base is not what it was when it was kept.
    #[error("the kept base {} is damaged: {why}", image.display())]
    Base {
        /// Its file.
        image: PathBuf,
        /// What is known of it, in a file beside.
        beside: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A path that cannot be written inside a disk.
    #[error("{} cannot be written inside a disk: letters, digits and `._-@+` alone", path.display())]
    Unfit {
        /// The path.
        path: PathBuf,
    },
    /// A guest's disk does not hold what was written to it.
    #[error("the guest's disk {} does not read back as made: {what}", path.display())]
    NotWritten {
        /// Where the disk was to be.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// What is to be changed is not the guest's disk any more.
    #[error("{} is not the guest's disk as it was made: {what}", path.display())]
    NotTheDisk {
        /// Where it is.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// The finished disk does not read back as what was to be built.
    #[error("the finished disk {} does not read back as built", path.display())]
    Check {
        /// The disk.
        path: PathBuf,
        /// What differs.
        #[source]
        source: CheckError,
    },
}

impl ImageError {
    /// One runnable command or one decision that helps, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Spec(SpecError::Value { field, .. }) => value_hint(field).map(str::to_owned),
            Self::NotRoot => Some("run it with sudo".into()),
            Self::MissingTools { packages, .. } => Some(format!("apt-get install {}", packages.join(" "))),
            Self::Mirror(MirrorError::None { entries: 0 }) => Some("apt-get update".into()),
            Self::Mirror(MirrorError::None { .. }) => {
                Some("name Debian's own archive in /etc/apt/sources.list, then run apt-get update".into())
            }
            Self::NotThePackage { .. } => {
                Some("name the file xenup_VERSION_amd64.deb, or leave --package out".into())
            }
            Self::NoDate { .. } => Some("apt-get update says whether the mirror answers".into()),
            Self::Base { image, beside, .. } => {
                Some(format!("rm {} {}: it is then made anew", image.display(), beside.display()))
            }
            Self::NotTheDisk { path, .. } => Some(format!("xenup guest disk {}", path.display())),
            Self::Tool { step, source: ProcessError::Failed { .. } } if step.contains("e2fsck") => {
                Some("copy the disk, then let e2fsck -f ask you about each fault; nothing was grown".into())
            }
            Self::File(error) if error.source.raw_os_error() == Some(28) => {
                let place = error.path.parent().unwrap_or(&error.path);
                Some(format!("make room: df -h {}", place.display()))
            }
            Self::Tool { step, source } if step.contains("mmdebstrap") => Some(match source.to_string() {
                said if said.contains("No space left on device") => "make room: df -h".to_owned(),
                _ => "apt-get update says whether the mirror answers; nothing of the attempt is kept"
                    .to_owned(),
            }),
            _ => None,
        }
    }
}

/// What to write instead, for values that somebody gave as they are.
fn value_hint(field: &str) -> Option<&'static str> {
    match field {
        "hostname" => Some("--name xen"),
        "locale" => Some("--locale de_DE.UTF-8; a Debian has them all in /usr/share/i18n/SUPPORTED"),
        "timezone" => Some("--timezone Europe/Berlin; timedatectl list-timezones has them all"),
        "root-password-hash" => Some("write the file by: mkpasswd --method=yescrypt > FILE (package whois)"),
        _ => None,
    }
}

/// Names the step that a failed program belonged to.
pub(crate) fn during(step: &'static str) -> impl FnOnce(ProcessError) -> ImageError {
    move |source| ImageError::Tool { step, source }
}
