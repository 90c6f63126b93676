//! Makes the plain Debian that a rehearsal starts from. `./demo` runs it while the compiler makes the rest.

use xenup_rehearse::scenario::{RehearseOptions, make_plain};
use xenup_system::files;

fn main() -> std::process::ExitCode {
    let options = RehearseOptions::conversion(std::path::PathBuf::new(), files::cache_dir());
    match make_plain(&options, &mut |event| println!("plain disk | {event}")) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            // The rehearsal will meet the same, and says what helps.
            println!("plain disk | {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
