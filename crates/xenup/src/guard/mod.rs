//! The guard's processes and files: what `arm` leaves behind, and what the hidden verbs do when they wake.
//!
//! Decides: which files are written before the first guarded step and taken away after the last, and in which order.
//! Never: decides what happens to a stage (`xenup_engine::boot::decide` does, from the journal alone).

mod card;
mod files;
mod keeper;
mod trial;
mod watch;

use std::error::Error;
use std::path::Path;

use xenup_engine::store::Store;
use xenup_system::guard::network_file_system;

use crate::error::CommandError;

pub use keeper::Keeper;
pub(crate) use keeper::program_copy;
pub use trial::run_trial;
pub(crate) use trial::{AGAIN, GRACE, after, failing};
pub use watch::{run_boot, run_wait};

/// Where the store of a machine lies.
pub const STORE: &str = "/var/lib/xenup";

/// Returns the store of the running machine.
#[must_use]
pub fn store() -> Store {
    Store::new(STORE)
}

/// Refuses a guard that could not run before the network starts.
pub(crate) fn refuse_over_network() -> Result<(), CommandError> {
    for path in ["/etc", STORE] {
        if let Some(kind) = network_file_system(Path::new(path)).map_err(CommandError::failed)? {
            return Err(CommandError::refused(format!(
                "{path} lies on {kind}, which is there only once the network is: no guard can undo a change before that"
            ))
            .hinted(format!("put {path} on a disk of this machine")));
        }
    }
    Ok(())
}

/// Returns an error and its causes as one line.
pub(crate) fn words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}
