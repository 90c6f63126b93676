//! Why an old set-up cannot be read, with the place. Decides the words of every refusal; never finds a fault.

use std::path::PathBuf;

use super::sexp::{DEPTH_LIMIT, NODE_LIMIT, SIZE_LIMIT};
use crate::guest::GuestError;

/// What is wrong at a place of an S-expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SexpFault {
    /// More than any configuration of xend has.
    #[error("the file is longer than {SIZE_LIMIT} bytes")]
    TooLarge,
    /// Not UTF-8.
    #[error("this byte is not UTF-8")]
    NotUtf8,
    /// Lists nested beyond reason.
    #[error("lists are nested deeper than {DEPTH_LIMIT}")]
    TooDeep,
    /// More values than any configuration has.
    #[error("more than {NODE_LIMIT} values")]
    TooMany,
    /// A character that begins nothing.
    #[error("`{}` begins nothing that belongs here", .0.escape_debug())]
    Character(char),
    /// A `)` without its `(`.
    #[error("`)` closes no list")]
    StrayClose,
    /// A list without its end.
    #[error("the list that begins here is not closed")]
    OpenList,
    /// A string without its end.
    #[error("the string that begins here does not end")]
    OpenString,
    /// An escape that xend reads as something else than what is written.
    #[error("`\\{}` is no escape in a string", .0.escape_debug())]
    Escape(char),
}

/// An old set-up that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file of xend that is not what xend reads.
    #[error("{}:{line}:{column}: {fault}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u32,
        /// In characters, counted from 1.
        column: u32,
        /// What is wrong there.
        fault: SexpFault,
    },
    /// xl.conf, which is in the language of guest files, is not what xl reads.
    #[error("{0}")]
    XlConf(GuestError),
    /// A file that is there and cannot be read.
    #[error("{}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// Neither xend's configuration nor xl's nor a bridge in interfaces(5).
    #[error("there is no network of an old Xen host here: no {}, no {}, no bridge in {}", .0[0], .0[1], .0[2])]
    Nothing([&'static str; 3]),
}

impl ImportError {
    /// Returns one command or decision that helps.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::XlConf(GuestError { path, line, .. }) | Self::Syntax { path, line, .. } => {
                format!("editor +{line} {}", path.display())
            }
            Self::Unreadable { .. } => "run it as a user who may read the file".to_owned(),
            Self::Nothing(_) => {
                "mount the old host's root and name it: xenup network import --root DIR".to_owned()
            }
        }
    }
}
