//! The child's side: takes what it is handed, confines itself, reads, answers.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::rc::Rc;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags};
use serde::Serialize;
use xenup_disk::ReadAt;
use xenup_disk::image::{BackingFiles, Format, LONGEST_CHAIN};

use super::{Answer, FileDisk, LONGEST_FILE, LONGEST_REQUEST, Request, confine};

/// The image and the chain behind it.
pub(super) const MOST_FILES: usize = LONGEST_CHAIN;

/// What the child was handed.
pub struct Handed {
    /// The image's bytes.
    pub image: Rc<dyn ReadAt>,
    /// Its format, where it is known.
    pub format: Option<Format>,
    /// Number of the boot entry whose kernel is asked for too.
    pub kernel: Option<usize>,
    /// Digests of files that need not be looked into again.
    pub known: Vec<String>,
    backing: Vec<Result<Rc<dyn ReadAt>, String>>,
}

impl BackingFiles for Handed {
    fn open(&self, depth: usize, _: &str) -> Result<Rc<dyn ReadAt>, String> {
        self.backing.get(depth).cloned().unwrap_or_else(|| Err("it was not handed to the reader".to_owned()))
    }
}

/// Reads what was handed over on standard input with `read`, confined, and writes the answer to standard output: what
/// was found and a file's bytes, or why the image is refused.
///
/// # Errors
/// Standard input is not the socket that [`super::GuestReader`] makes, the limits cannot be set, or the answer cannot be
/// written.
pub fn serve<T: Serialize>(read: impl FnOnce(&Handed) -> Result<(T, Vec<u8>), String>) -> io::Result<()> {
    let (request, files) = receive()?;
    let sandbox = confine::confine()?;
    let answer = match handed(request, files).and_then(|handed| read(&handed)) {
        Ok((found, file)) if file.len() <= LONGEST_FILE => {
            (Answer { sandbox, found: Some(found), error: None, file: file.len() }, file)
        }
        Ok(_) => (refusal(sandbox, "the file is too long".to_owned()), Vec::new()),
        Err(error) => (refusal(sandbox, error), Vec::new()),
    };
    let mut line = serde_json::to_vec(&answer.0)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.write_all(&answer.1)?;
    out.flush()
}

fn refusal<T>(sandbox: super::Sandbox, error: String) -> Answer<T> {
    Answer { sandbox, found: None, error: Some(error), file: 0 }
}

fn receive() -> io::Result<(Request, Vec<File>)> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = vec![0; LONGEST_REQUEST];
    let received = rustix::net::recvmsg(
        rustix::stdio::stdin(),
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut files = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            files.extend(descriptors.map(File::from));
        }
    }
    let request = serde_json::from_slice(bytes.get(..received.bytes).unwrap_or_default())?;
    Ok((request, files))
}

fn handed(request: Request, files: Vec<File>) -> Result<Handed, String> {
    let format = match request.format.as_deref() {
        None => None,
        Some("raw") => Some(Format::Raw),
        Some("qcow2") => Some(Format::Qcow2),
        Some(other) => return Err(format!("the format {other:?} is not read")),
    };
    let files = RefCell::new(files.into_iter());
    let next = || -> Result<Rc<dyn ReadAt>, String> {
        let file = files.borrow_mut().next().ok_or("a descriptor is missing")?;
        Ok(Rc::new(FileDisk::new(file).map_err(|error| error.to_string())?))
    };
    let image = next()?;
    let backing = request.backing.into_iter().map(|file| match file.error {
        Some(error) => Err(error),
        None => next(),
    });
    Ok(Handed { image, format, kernel: request.kernel, known: request.known, backing: backing.collect() })
}
