//! The digest of a file, as sha256sum(1) gives it. Decides nothing.

use std::path::Path;

use xenup_system::process::{ProcessError, Tool};

/// Returns 64 hexadecimal digits.
///
/// # Errors
/// The file cannot be read.
pub fn sha256(file: &Path) -> Result<String, ProcessError> {
    let said = Tool::new("sha256sum").arg(file).run()?.text();
    Ok(said.split_whitespace().next().unwrap_or_default().to_owned())
}
