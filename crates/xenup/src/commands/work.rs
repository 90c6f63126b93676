//! Work that outlives its terminal: a verb of ours run in a service of its own, its words shown here.
//!
//! Decides: the service's name and log. Never: does the work; a lost terminal does not disturb it.

use std::path::{Path, PathBuf};

use xenup_engine::plan::Plan;
use xenup_machine::Probe as _;
use xenup_system::environment::this_program;
use xenup_system::files;
use xenup_system::service::{self, Ended, Task, UnitKind};

use crate::commands::machine;
use crate::error::{CommandError, Exit};
use crate::guard::STORE;
use crate::ui::Ui;

/// Where the services' words are kept; a terminal that was lost finds them there.
const LOGS: &str = "/var/log/xenup";

/// Runs a hidden verb in a service, shows what it says, and returns how it ended.
pub fn run(ui: &mut Ui, name: &str, args: &[String]) -> Result<Exit, CommandError> {
    files::create_dir_all(Path::new(LOGS)).map_err(CommandError::failed)?;
    let unit = format!("xenup-{name}-{}", machine::running()?.clock().boottime_ns);
    let task = Task {
        unit: unit.clone(),
        description: format!("xenup {name}"),
        kind: UnitKind::Work,
        program: this_program().map_err(CommandError::failed)?,
        args: args.to_vec(),
        log: Path::new(LOGS).join(format!("{unit}.log")),
        state_dir: service::state_dir(),
    };
    let mut following = service::start(&task).map_err(CommandError::failed)?;
    match following.follow(&mut |line| ui.relay(line)).map_err(CommandError::failed)? {
        Ended::With(code) => Ok(Exit::from_code(code)),
        // By its guard too, which is then undoing it: nothing else is to be begun before that is known.
        Ended::Killed => {
            Err(CommandError::new(Exit::NotRestored, "the work was ended in the middle")
                .hinted("xenup status"))
        }
    }
}

/// Keeps the plan where the service finds it, whatever becomes of the caller's directory.
pub fn keep_plan(plan: &Plan, unique: u64) -> Result<PathBuf, CommandError> {
    let folder = Path::new(STORE);
    files::create_dir_all(folder).map_err(CommandError::failed)?;
    // As the engine makes it: journals and pre-images are root's alone.
    files::set_mode(folder, 0o700).map_err(CommandError::failed)?;
    let path = folder.join(format!("asked-{unique}.json"));
    let text = serde_json::to_vec_pretty(plan).map_err(CommandError::failed)?;
    files::write_atomic(&path, &text, 0o600).map_err(CommandError::failed)?;
    Ok(path)
}
