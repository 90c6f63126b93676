//! Files of one's own that go into a new guest: user-data and scripts. Decides how they are read, and how a refusal names them.
//!
//! Never: writes; what a file must be is xenup-core's.

use std::path::Path;

use xenup_core::guest::create::{Script, UserData};
use xenup_system::files;

use crate::args::GuestCreate;
use crate::error::CommandError;

/// More is no text that somebody wrote.
const LIMIT: u64 = 1 << 20;

/// Returns the user-data for cloud-init, where there is any.
pub fn user_data(args: &GuestCreate) -> Result<Option<UserData>, CommandError> {
    let Some(path) = &args.cloud_init else { return Ok(None) };
    let bytes = read(path, "name a file of user-data that can be read: --cloud-init FILE")?;
    let refused = |words: String, hint| Err(CommandError::usage(words).hinted(hint));
    match UserData::of(&bytes) {
        Ok(data) => Ok(Some(data)),
        Err(fault) => refused(format!("{}: {fault}", path.display()), fault.hint()),
    }
}

/// Returns the scripts for the first boot, in their order.
pub fn scripts(args: &GuestCreate) -> Result<Vec<Script>, CommandError> {
    args.scripts.iter().map(|path| script(path)).collect()
}

fn script(path: &Path) -> Result<Script, CommandError> {
    let bytes = read(path, "name a script that can be read: --script FILE")?;
    Script::of(path, &bytes).map_err(|fault| {
        let hint = fault.hint().replace("FILE", &path.display().to_string());
        CommandError::usage(format!("{}: {fault}", path.display())).hinted(hint)
    })
}

fn read(path: &Path, hint: &str) -> Result<Vec<u8>, CommandError> {
    files::read_regular(path, LIMIT).map_err(|error| CommandError::usage(error).hinted(hint))
}
