//! Kernels: what a kernel file says about itself, and what it can be under which Xen.
//!
//! Decides: by a file's bytes, Xen's own loaders' rules, and a table of what each Xen takes.
//! Never: starts a kernel, or trusts one: it may come from a guest.
//!
//! - [`read`]: a bzImage, a vmlinux (packed or not), a PVH loader; its Xen notes.
//! - [`hypervisor`]: what each Xen from 2.0 on takes, with the source of each fact.
//! - [`profile`]: what a role asks of a kernel's configuration, with reasons; [`kconfig`] reads a tree's own words,
//!   [`explain`] says why a wish was not fulfilled, [`hardware`] adds a machine's devices.
//! - [`build`]: what building one needs, how far it is, and whether it plays its role.
//! - [`role`]: dom0, PV, PVH, HVM: yes, no with the reason, or not known.

pub mod beside;
mod body;
pub mod build;
mod bzimage;
pub mod compare;
pub mod config;
pub mod describe;
mod elf;
mod error;
pub mod explain;
mod field;
mod foreign;
mod guest_section;
pub mod hardware;
pub mod hypervisor;
mod image;
pub mod kconfig;
pub mod linux;
mod lz4;
mod note;
pub mod profile;
pub mod report;
pub mod role;
mod start;
mod table;
mod unpack;
mod zstd;

use xenup_disk::ReadAt;

pub use body::UNPACKED_LIMIT;
pub use error::KernelError;
pub use hypervisor::{Hypervisor, Release};
pub use image::{Class, Content, Form, Image, Kernel, NotesIn};
pub use note::{DOM0_BIT, Feature, Mask, Note, NoteType, Value};
pub use role::{Answer, Role, Verdict, judge};
pub use unpack::Compression;

use body::Body;
use elf::Ident;

/// The setup header, the ELF header, and a PE file's section table lie in the first of these.
const START: usize = 4096;

/// Returns what a kernel file is and which Xen notes it has.
///
/// # Errors
/// A file that is no kernel, that is cut off before its notes end, that is packed with LZO, or that unpacks to more
/// than [`UNPACKED_LIMIT`] or than a kernel of its size does.
pub fn read(file: &dyn ReadAt) -> Result<Image, KernelError> {
    let start = bzimage::part(file, 0, START)?;
    if bzimage::is_bzimage(&start) {
        return read_bzimage(file);
    }
    if start.starts_with(b"\x7fELF") {
        return read_elf(&mut Body::Plain(file), None);
    }
    if let Some(what) = foreign::arm(&start) {
        return Ok(image(Form::Arm, None, Content::Foreign { what: what.to_owned() }));
    }
    if let Some(pe) = foreign::pe(&start) {
        let is_xen = foreign::is_hypervisor(&mut Body::Plain(file))?;
        let content = if is_xen { Content::Hypervisor } else { Content::Foreign { what: pe.what(&start) } };
        return Ok(image(Form::Pe, None, content));
    }
    match Compression::of(&start) {
        Some(Compression::Lzo) => Err(KernelError::Lzo { offset: 0 }),
        Some(compression) => {
            read_elf(&mut Body::packed(file, 0, file.size(), compression), Some(compression))
        }
        None => Err(KernelError::NotAKernel(match start.get(..8) {
            Some(bytes) => format!("begins with {}", bzimage::hex(bytes)),
            None => format!("has {} bytes", start.len()),
        })),
    }
}

fn image(form: Form, compression: Option<Compression>, content: Content) -> Image {
    Image { form, boot_protocol: None, release: None, realtime: false, compression, content }
}

fn read_bzimage(file: &dyn ReadAt) -> Result<Image, KernelError> {
    let header = bzimage::read(file)?;
    let mut found = match &header.payload {
        None => image(Form::BzImage, None, Content::Opaque),
        Some(payload) => {
            let mut body = match payload.compression {
                Some(compression) => Body::packed(file, payload.start, payload.end, compression),
                None => Body::within(file, payload.start, payload.end),
            };
            read_elf(&mut body, payload.compression)?
        }
    };
    found.form = Form::BzImage;
    let [major, minor] = header.protocol.to_be_bytes();
    found.boot_protocol = Some(format!("{major}.{minor:02}"));
    found.release = header.release;
    found.realtime = header.realtime;
    Ok(found)
}

/// Reads the ELF file that a body is, or says what else it is.
fn read_elf(body: &mut Body<'_>, compression: Option<Compression>) -> Result<Image, KernelError> {
    let start = body.start(START)?;
    let content = match elf::ident(&start) {
        Some(Ident::X86(class)) => {
            let kernel = elf::kernel(body, class)?;
            // A Xen that is a guest itself (pvshim) has notes, and so is no mere hypervisor.
            if kernel.notes.is_empty() && foreign::is_hypervisor(body)? {
                Content::Hypervisor
            } else {
                Content::Kernel(kernel)
            }
        }
        Some(Ident::Other(machine)) => Content::Foreign { what: format!("a kernel for {machine}") },
        None if start.starts_with(b"\x7fELF") => {
            return Err(KernelError::CutOff { what: "the ELF header", offset: start.len() as u64 });
        }
        None => match foreign::arm(&start) {
            Some(what) => {
                return Ok(image(Form::Arm, compression, Content::Foreign { what: what.to_owned() }));
            }
            None => {
                let what = "a packed file without an ELF file in it".to_owned();
                return Ok(image(Form::Packed, compression, Content::Foreign { what }));
            }
        },
    };
    Ok(image(Form::Elf, compression, content))
}
