//! A disk image as the disk it stands for: raw, or qcow2 with its backing files.
//!
//! Decides the form of an image and whether it can be read. Never opens a file: a backing file comes from the caller,
//! who alone knows where one may lie. Formats that are not read are refused by name.

mod cache;
mod qcow2;

use std::rc::Rc;

pub use qcow2::{BackingFile, Compression, Header};

use crate::budget::{Budget, Metered};
use crate::field;
use crate::read_at::{ReadAt, ReadError};

/// How many images may stand behind each other.
pub const LONGEST_CHAIN: usize = 8;

/// The forms that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The disk's bytes as they are: a plain file or a block device.
    Raw,
    /// QEMU's qcow2, versions 2 and 3.
    Qcow2,
}

impl Format {
    /// The name that QEMU and xl use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// An image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Its bytes cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It has a form or a feature that is not read.
    #[error("the image is not read: {what}")]
    Unsupported {
        /// The form or feature, by name.
        what: String,
    },
    /// Its header makes no sense.
    #[error("the qcow2 header is damaged: {what}")]
    Damaged {
        /// What is wrong.
        what: String,
    },
    /// It stands on a file that is not to be had.
    #[error("its backing file {name:?} is not read: {why}")]
    Backing {
        /// The file, as the image names it.
        name: String,
        /// Why not.
        why: String,
    },
}

/// Where backing files come from.
pub trait BackingFiles {
    /// The bytes of the backing file that image number `depth` of the chain names; 0 is the image itself.
    ///
    /// # Errors
    /// Why the file is not to be had, in words for people.
    fn open(&self, depth: usize, name: &str) -> Result<Rc<dyn ReadAt>, String>;
}

/// No backing files at all.
#[derive(Debug, Clone, Copy)]
pub struct NoBackingFiles;

impl BackingFiles for NoBackingFiles {
    fn open(&self, _: usize, _: &str) -> Result<Rc<dyn ReadAt>, String> {
        Err("no backing files are allowed here".to_owned())
    }
}

/// An image, opened: it reads as the guest's disk.
pub struct Image {
    /// Its form.
    pub format: Format,
    /// What is not as it should be and yet does not stop the reading, for people.
    pub notes: Vec<String>,
    /// The backing files' names, the nearest first.
    pub backing: Vec<String>,
    disk: Rc<dyn ReadAt>,
    budget: Rc<Budget>,
}

impl Image {
    /// Opens an image. Where `format` is not said it is found out; to say it is safer, since a guest can write the
    /// header of any format to the start of a raw disk. Every read of the disk, and every cluster that is unpacked for
    /// it, comes off the budget.
    ///
    /// # Errors
    /// The image cannot be read, or has a form or feature that is not read.
    pub fn open(
        bytes: Rc<dyn ReadAt>,
        format: Option<Format>,
        files: &dyn BackingFiles,
        budget: Rc<Budget>,
    ) -> Result<Self, ImageError> {
        let (notes, backing) = (Vec::new(), Vec::new());
        let mut image = Self { format: Format::Raw, notes, backing, disk: bytes, budget };
        image.format = match format {
            Some(format) => format,
            None => probe(&image.disk)?,
        };
        if image.format == Format::Qcow2 {
            image.disk = image.open_qcow2(Rc::clone(&image.disk), 0, files)?;
        }
        image.disk = Rc::new(Metered::new(Rc::clone(&image.disk), Rc::clone(&image.budget)));
        Ok(image)
    }

    fn open_qcow2(
        &mut self,
        bytes: Rc<dyn ReadAt>,
        depth: usize,
        files: &dyn BackingFiles,
    ) -> Result<Rc<dyn ReadAt>, ImageError> {
        let header = Header::read(&bytes)?;
        if header.corrupt {
            self.notes.push("the qcow2 image is marked as corrupt: qemu-img check".to_owned());
        }
        let behind = match &header.backing {
            None => None,
            Some(file) => Some(self.open_backing(file, depth, files)?),
        };
        Ok(Rc::new(qcow2::Qcow2::new(bytes, header, behind, Rc::clone(&self.budget))))
    }

    fn open_backing(
        &mut self,
        file: &BackingFile,
        depth: usize,
        files: &dyn BackingFiles,
    ) -> Result<Rc<dyn ReadAt>, ImageError> {
        let refuse = |why: String| ImageError::Backing { name: file.name.clone(), why };
        let next = depth.saturating_add(1);
        if next >= LONGEST_CHAIN {
            return Err(refuse(format!("more than {LONGEST_CHAIN} images stand behind each other")));
        }
        let bytes = files.open(depth, &file.name).map_err(refuse)?;
        self.backing.push(file.name.clone());
        let format = match file.format.as_deref() {
            Some("raw") => Format::Raw,
            Some("qcow2") => Format::Qcow2,
            None => probe(&bytes)?,
            Some(other) => return Err(refuse(format!("its format is {other:?}"))),
        };
        match format {
            Format::Raw => Ok(bytes),
            Format::Qcow2 => self.open_qcow2(bytes, next, files),
        }
    }

    /// The guest's disk.
    #[must_use]
    pub fn disk(&self) -> Rc<dyn ReadAt> {
        Rc::clone(&self.disk)
    }
}

/// The backing file that an image names, where it is a qcow2 that names one.
///
/// # Errors
/// As [`Image::open`].
pub fn backing_file(bytes: &dyn ReadAt) -> Result<Option<BackingFile>, ImageError> {
    match probe(bytes)? {
        Format::Raw => Ok(None),
        Format::Qcow2 => Ok(Header::read(bytes)?.backing),
    }
}

/// Marks at the start of images that are not read, and what they are called.
const FOREIGN: [(&[u8], &str); 6] = [
    (b"KDMV", "VMDK"),
    (b"COWD", "VMDK (COW)"),
    (b"# Disk DescriptorFile", "VMDK (descriptor)"),
    (b"conectix", "VHD"),
    (b"vhdxfile", "VHDX"),
    (b"QED\0", "QED"),
];

fn probe(bytes: &dyn ReadAt) -> Result<Format, ImageError> {
    let mut start = [0; 512];
    let length = usize::try_from(bytes.size()).map_or(start.len(), |size| size.min(start.len()));
    bytes.read_at(0, start.get_mut(..length).unwrap_or_default())?;
    let foreign = FOREIGN.iter().find(|(mark, _)| field::has(&start, 0, mark));
    let vdi = (field::u32_le(&start, 0x40) == 0xbeda_107f).then_some("VDI");
    if let Some(name) = foreign.map(|(_, name)| *name).or(vdi) {
        return Err(ImageError::Unsupported { what: format!("it is a {name} image") });
    }
    if !field::has(&start, 0, qcow2::MAGIC) {
        return Ok(Format::Raw);
    }
    Ok(Format::Qcow2)
}
