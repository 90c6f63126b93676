//! Reads a guest's disk in a child that can do nothing else: the child gets open descriptors over a socket, gives up
//! what it can give up, and answers on standard output.
//!
//! Decides: which files a child may be handed (the image, and backing files in the image's own folder), how long it may
//! take and how much it may say. Never: looks at a guest's bytes itself, but for the fixed header of a qcow2, which
//! names the backing file; what the child does with them is the caller's affair.

mod child;
mod confine;
mod image;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::process::{ProcessError, Tool};

pub use child::{Handed, serve};
pub use image::{FileDisk, OpenError};

/// The user without rights, on every Debian machine.
const NOBODY: u32 = 65534;
/// The most that a child may say besides a file's bytes.
const LONGEST_ANSWER: usize = 4 << 20;
/// The most bytes of a file that a child hands out.
pub const LONGEST_FILE: usize = 128 << 20;
/// The most digests in a request, which has to fit.
pub const MOST_KNOWN: usize = 256;
/// The longest request.
const LONGEST_REQUEST: usize = 64 << 10;
/// How long a child may take unless the caller says otherwise. It has a limit of processor time besides.
pub const TIME: Duration = Duration::from_secs(60);

/// A guest's disk could not be read.
#[derive(Debug, thiserror::Error)]
pub enum GuestReaderError {
    /// The image cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The child could not be given what it needs.
    #[error("cannot hand {image} to its reader")]
    Hand {
        /// The image.
        image: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The child ended badly: it crashed, took too long, or said too much.
    #[error("the reader of {image} did not come to an answer")]
    Child {
        /// The image.
        image: PathBuf,
        /// How it ended.
        #[source]
        source: ProcessError,
    },
    /// What the child said is no answer.
    #[error("the reader of {image} said what is no answer: {what}")]
    Answer {
        /// The image.
        image: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The child read the image and refuses it.
    #[error("{image}: {why}")]
    Refused {
        /// The image.
        image: PathBuf,
        /// Why.
        why: String,
    },
}

/// What the parent asks of the child.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Request {
    /// "raw" or "qcow2", where it is known.
    format: Option<String>,
    /// What there is of the chain of backing files; those without an error have a descriptor each.
    backing: Vec<Backing>,
    /// Number of the boot entry whose kernel is asked for too.
    kernel: Option<usize>,
    /// Digests of files that the parent needs not be told about again.
    #[serde(default)]
    known: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Backing {
    name: String,
    error: Option<String>,
}

/// How far the child was confined.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Whether it ran as a user without rights.
    pub nobody: bool,
    /// Whether it could not gain rights any more (`no_new_privs`) and had limits of memory, files and processor time.
    pub limits: bool,
    /// Landlock: "full", "partial" (an older kernel), or "none" (the kernel has it not, or not enabled).
    pub landlock: String,
}

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
struct Answer<T> {
    sandbox: Sandbox,
    found: Option<T>,
    error: Option<String>,
    /// How many bytes of a file follow.
    file: usize,
}

/// A guest's disk as a child read it.
#[derive(Debug)]
pub struct Read<T> {
    /// What it found.
    pub found: T,
    /// The bytes of the file that was asked for.
    pub file: Vec<u8>,
    /// How far it was confined.
    pub sandbox: Sandbox,
}

/// How a guest's disk is to be read.
#[derive(Debug, Clone)]
pub struct GuestReader {
    program: Tool,
    format: Option<String>,
    kernel: Option<usize>,
    known: Vec<String>,
    time: Duration,
}

impl GuestReader {
    /// A reader that is this program, called with `verb`, which must end in [`serve`].
    #[must_use]
    pub fn own(verb: &str) -> Self {
        Self::new(Path::new("/proc/self/exe"), verb)
    }

    /// A reader that is another program.
    #[must_use]
    pub fn new(program: &Path, verb: &str) -> Self {
        let program = Tool::new(program).arg(verb).env_clear().current_dir("/");
        Self { program, format: None, kernel: None, known: Vec::new(), time: TIME }
    }

    /// Says the image's format, "raw" or "qcow2", which is otherwise found out.
    #[must_use]
    pub fn format(mut self, format: Option<&str>) -> Self {
        self.format = format.map(str::to_owned);
        self
    }

    /// Asks for the bytes of the kernel that boot entry `boot` names.
    #[must_use]
    pub fn kernel(mut self, boot: usize) -> Self {
        self.kernel = Some(boot);
        self
    }

    /// Says which files need not be looked into again, by their digests; at most [`MOST_KNOWN`] of them are handed on.
    #[must_use]
    pub fn known(mut self, digests: impl IntoIterator<Item = String>) -> Self {
        self.known = digests.into_iter().take(MOST_KNOWN).collect();
        self
    }

    /// Sets how long it may take.
    #[must_use]
    pub fn time(mut self, limit: Duration) -> Self {
        self.time = limit;
        self
    }

    /// Reads the disk in the image at `path`: a file, a block device, a logical volume.
    ///
    /// # Errors
    /// It cannot be opened or read, is refused, or its reader came to no answer.
    pub fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Read<T>, GuestReaderError> {
        let opened = image::open(path, self.format.as_deref())?;
        let hand = |source: std::io::Error| GuestReaderError::Hand { image: path.to_owned(), source };
        let request = Request {
            format: self.format.clone(),
            backing: opened.backing,
            kernel: self.kernel,
            known: self.known.clone(),
        };
        let request = serde_json::to_vec(&request).map_err(|error| hand(error.into()))?;
        let socket = handed(&request, &opened.files).map_err(hand)?;
        let limit = LONGEST_ANSWER + if self.kernel.is_some() { LONGEST_FILE } else { 0 };
        let tool = self.program.clone().stdin_from(socket).capture_limit(limit).timeout(self.time);
        let output =
            tool.run().map_err(|source| GuestReaderError::Child { image: path.to_owned(), source })?;
        answer(path, &output.stdout)
    }
}

/// A socket in which a request and its descriptors wait to be read.
fn handed(request: &[u8], files: &[std::fs::File]) -> std::io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::AsFd as _;
    if request.len() > LONGEST_REQUEST {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let files: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
    let mut space = vec![std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(child::MOST_FILES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    rustix::net::sendmsg(&ours, &[std::io::IoSlice::new(request)], &mut control, SendFlags::empty())?;
    Ok(theirs)
}

/// Reads an answer: a line of JSON, then the bytes of a file where one was asked for.
fn answer<T: DeserializeOwned>(path: &Path, output: &[u8]) -> Result<Read<T>, GuestReaderError> {
    let image = path.to_owned();
    let wrong = |what: String| GuestReaderError::Answer { image: path.to_owned(), what };
    let end =
        output.iter().position(|byte| *byte == b'\n').ok_or_else(|| wrong("it has no end".to_owned()))?;
    let (line, rest) = output.split_at_checked(end).unwrap_or_default();
    let answer: Answer<T> = serde_json::from_slice(line).map_err(|error| wrong(error.to_string()))?;
    let file = rest.get(1..).unwrap_or_default().to_vec();
    if file.len() != answer.file {
        return Err(wrong(format!("{} bytes of a file instead of {}", file.len(), answer.file)));
    }
    match (answer.found, answer.error) {
        (Some(found), None) => Ok(Read { found, file, sandbox: answer.sandbox }),
        (_, Some(why)) => Err(GuestReaderError::Refused { image, why }),
        (None, None) => Err(wrong("it is empty".to_owned())),
    }
}
