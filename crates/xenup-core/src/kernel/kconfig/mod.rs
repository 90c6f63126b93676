//! A kernel tree's Kconfig: which symbols there are, what each depends on, who selects it.
//!
//! Decides: by the tree's own files, read and not run. Never: what a configuration becomes; that is the tree's own
//! `make olddefconfig`. This reader says why it became so.
//!
//! - [`read`]: all Kconfig files of a tree, from `Kconfig` at its top.
//! - [`values`]: a .config.

mod error;
pub mod expr;
mod lexer;
mod parser;
pub mod tree;
pub mod values;

use xenup_machine::Probe;

pub use error::KconfigError;
pub use tree::Tree;
pub use values::Values;

/// The folder below arch/ that both x86 word sizes share (`SRCARCH`).
pub const ARCH: &str = "x86";

/// Reads the Kconfig files of a tree; its root is the probe's.
///
/// # Errors
/// A file that is named and not there; a line that is no Kconfig; more than any kernel has.
pub fn read(tree: &dyn Probe) -> Result<Tree, KconfigError> {
    let mut parser = parser::Parser::new(tree, ARCH);
    parser.file("Kconfig", None, 0)?;
    Ok(parser.tree)
}
