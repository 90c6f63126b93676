//! Why a file could not be read as a kernel. Decides the words; the path is the caller's to add.

use std::io;

use xenup_disk::ReadError;

use super::unpack::Compression;

/// A file that is no kernel, or one that cannot be read to the end of its notes.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The file itself could not be read.
    #[error("the file cannot be read")]
    Read(#[source] ReadError),
    /// Nothing that a kernel begins with.
    #[error("this is no kernel: it {0}")]
    NotAKernel(String),
    /// A header points behind the end.
    #[error("{what} lies behind the end: offset {offset:#x} of {size:#x} bytes")]
    BehindEnd {
        /// The thing.
        what: &'static str,
        /// Where it is said to begin.
        offset: u64,
        /// How much there is.
        size: u64,
    },
    /// Something ends before it should.
    #[error("{what} is cut off at offset {offset:#x}")]
    CutOff {
        /// The thing.
        what: &'static str,
        /// Where.
        offset: u64,
    },
    /// A header says something that cannot be.
    #[error("{what} at offset {offset:#x} cannot be right")]
    Malformed {
        /// The thing.
        what: &'static str,
        /// Where.
        offset: u64,
    },
    /// LZO is not read.
    #[error("the payload at offset {offset:#x} is packed with LZO, which xenup does not unpack")]
    Lzo {
        /// Where.
        offset: u64,
    },
    /// No magic number of a compression.
    #[error("the payload at offset {offset:#x} begins with {magic}, which is no compression that Linux has")]
    UnknownCompression {
        /// Where.
        offset: u64,
        /// The first bytes, hexadecimal.
        magic: String,
    },
    /// The decoder gave up.
    #[error("the {compression} data that begins at offset {offset:#x} cannot be unpacked")]
    Unpack {
        /// What it is packed with.
        compression: Compression,
        /// Where it begins in the file.
        offset: u64,
        /// The decoder's words.
        #[source]
        source: io::Error,
    },
    /// More comes out than any kernel has.
    #[error("the {compression} data unpacks to more than {} MiB, which no kernel of its size does", limit >> 20)]
    TooLarge {
        /// What it is packed with.
        compression: Compression,
        /// The limit in bytes.
        limit: u64,
    },
}
