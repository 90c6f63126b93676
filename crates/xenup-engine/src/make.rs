//! New things made where nothing stands: all of them, or none.
//!
//! Decides: the order (as given), that nothing is replaced, and what is taken back when one cannot be made. Never: keeps a
//! journal; whoever wants to know after a power cut what was made writes that down as the first part.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use xenup_machine::file::{Attributes, Kind};
use xenup_machine::{Machine, MachineError, Reason};

use crate::durable::parent;

/// What makes something of its own kind, or takes it back. Where a maker fails it leaves nothing, or has one beside it that takes
/// back what it has left.
pub type Maker<'a> = &'a mut dyn FnMut(&mut dyn Machine) -> Result<(), Box<dyn Error>>;

/// Something to be made, owned by root.
pub enum Part<'a> {
    /// A directory, where there is none.
    Directory(PathBuf),
    /// A file.
    File {
        /// Where.
        path: PathBuf,
        /// Its bytes.
        bytes: Vec<u8>,
        /// Its permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// Where.
        path: PathBuf,
        /// Where it leads, as written.
        target: PathBuf,
    },
    /// A file that is made in another way.
    Other {
        /// Where.
        path: PathBuf,
        /// How.
        make: Maker<'a>,
        /// How it is taken back; without it as a file is.
        unmake: Option<Maker<'a>>,
    },
    /// Something that is done, and that nothing at a path stands for.
    Call {
        /// What is called.
        what: PathBuf,
        /// How it is done; where it fails it may be done in part.
        make: Maker<'a>,
        /// How it is taken back.
        unmake: Maker<'a>,
    },
}

impl Part<'_> {
    /// Returns where it will be.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Directory(path)
            | Self::File { path, .. }
            | Self::Link { path, .. }
            | Self::Other { path, .. }
            | Self::Call { what: path, .. } => path,
        }
    }
}

/// Why the parts are not there.
#[derive(Debug)]
pub struct NotMade {
    /// What could not be made; `None` where the caller stopped it.
    pub cause: Option<Box<dyn Error>>,
    /// What was made and could not be taken back, with the reason.
    pub left: Vec<(PathBuf, Box<dyn Error>)>,
}

impl fmt::Display for NotMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.cause.is_some() { "it could not be made" } else { "stopped" })?;
        f.write_str(if self.left.is_empty() {
            "; nothing of it is left"
        } else {
            "; not all of it could be removed"
        })
    }
}

impl Error for NotMade {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref()
    }
}

/// Makes the parts in order; `stop` is asked before each, and once behind the last.
///
/// # Errors
/// The first that could not be made: then what was made before it is removed again, the last one first.
pub fn make(machine: &mut dyn Machine, parts: Vec<Part<'_>>, stop: &dyn Fn() -> bool) -> Result<(), NotMade> {
    let mut made: Vec<(PathBuf, Back<'_>)> = Vec::new();
    let mut cause = None;
    let mut stopped = false;
    for part in parts {
        stopped = stop();
        if stopped {
            break;
        }
        if let Err(error) = one(machine, part, &mut made) {
            cause = Some(error);
            break;
        }
    }
    if cause.is_none() && !stopped && !stop() {
        return Ok(());
    }
    let mut left = Vec::new();
    for (path, back) in made.into_iter().rev() {
        if let Err(error) = take_back(machine, &path, back) {
            left.push((path, error));
        }
    }
    Err(NotMade { cause, left })
}

/// How something that was made is taken back.
enum Back<'a> {
    Directory,
    File,
    Own(Maker<'a>),
}

fn one<'a>(
    machine: &mut dyn Machine,
    part: Part<'a>,
    made: &mut Vec<(PathBuf, Back<'a>)>,
) -> Result<(), Box<dyn Error>> {
    let path = part.path().to_owned();
    let is_directory = matches!(part, Part::Directory(_));
    let stands = if matches!(part, Part::Call { .. }) { None } else { machine.entry(&path)? };
    if let Some(there) = stands {
        return match there.kind {
            // A link may lead to a directory; what is made in it says whether it does.
            Kind::Dir | Kind::Symlink { .. } if is_directory => Ok(()),
            _ => Err(MachineError::at("make", &path, Reason::Exists, "something stands there").into()),
        };
    }
    // From here on it may be there, whatever the call says; but not by us where the name was taken meanwhile.
    let (done, back) = write(machine, part);
    let by_another = done.as_ref().err().is_some_and(|error| {
        error.downcast_ref::<MachineError>().is_some_and(|error| error.reason == Reason::Exists)
    });
    if !by_another {
        made.push((path, back));
    }
    done
}

fn write<'a>(machine: &mut dyn Machine, part: Part<'a>) -> (Result<(), Box<dyn Error>>, Back<'a>) {
    match part {
        Part::Directory(path) => (directory(machine, &path).map_err(Into::into), Back::Directory),
        Part::File { path, bytes, mode } => {
            (file(machine, &path, &bytes, mode).map_err(Into::into), Back::File)
        }
        Part::Link { path, target } => (link(machine, &path, &target).map_err(Into::into), Back::File),
        Part::Call { make, unmake, .. } => (make(machine), Back::Own(unmake)),
        Part::Other { make, unmake, .. } => (make(machine), unmake.map_or(Back::File, Back::Own)),
    }
}

fn directory(machine: &mut dyn Machine, path: &Path) -> Result<(), MachineError> {
    machine.create_dir(path, &Attributes::root(0o755))?;
    machine.sync_dir(parent(path))
}

fn file(machine: &mut dyn Machine, path: &Path, bytes: &[u8], mode: u32) -> Result<(), MachineError> {
    machine.create_file(path, bytes, &Attributes::root(mode))?;
    machine.sync_file(path)?;
    machine.sync_dir(parent(path))
}

fn link(machine: &mut dyn Machine, path: &Path, target: &Path) -> Result<(), MachineError> {
    machine.create_symlink(path, target, &Attributes::root(0o777))?;
    machine.sync_dir(parent(path))
}

fn take_back(machine: &mut dyn Machine, path: &Path, back: Back<'_>) -> Result<(), Box<dyn Error>> {
    match back {
        Back::File => Ok(remove(machine, path).map(drop)?),
        Back::Own(unmake) => unmake(machine),
        Back::Directory => {
            let removed = match machine.remove_dir(path) {
                // Somebody else has put something there since.
                Err(error) if matches!(error.reason, Reason::NotEmpty | Reason::NotFound) => return Ok(()),
                removed => removed,
            };
            Ok(removed.and_then(|()| machine.sync_dir(parent(path)))?)
        }
    }
}

/// Removes a file or link for good; `false` where there was none.
///
/// # Errors
/// It cannot be removed.
pub fn remove(machine: &mut dyn Machine, path: &Path) -> Result<bool, MachineError> {
    if machine.entry(path)?.is_none() {
        return Ok(false);
    }
    machine.remove_file(path)?;
    machine.sync_dir(parent(path))?;
    Ok(true)
}
