//! Guests around an upgrade: shut down one after another before it, started again after it.
//!
//! Decides: the order (that of xendomains, then that in which they were started), and how long each is waited for.
//! Never: saves one: a save is not promised to be restored by a later release.

use std::path::PathBuf;

use xenup_engine::action::{Action, Condition};
use xenup_engine::plan::{Plan, Risk, Stage, Step};
use xenup_machine::process::Command;

use crate::inspect::{Facts, Finding};
use crate::plan::step::Draft;

use super::super::report::Check;
use super::{GUESTS, packages, stage};

/// As xendomains has it for each guest.
const WAIT_SECONDS: u64 = 300;
/// What Xen takes to clear away a guest that has shut down, and more.
const AFTER_SECONDS: u64 = 120;

/// Shuts NAME down and waits SECONDS for it, and until Xen has cleared it away. One that is gone already is no fault.
const STOP: &str = r#"xl domid "$1" >/dev/null 2>&1 || exit 0
timeout "$2" xl shutdown -w -F "$1" || true
n=0
while xl domid "$1" >/dev/null 2>&1; do
  n=$((n + 1))
  [ "$n" -le 60 ] || { echo "$1 has not shut down" >&2; exit 1; }
  sleep 1
done"#;

/// Starts NAME from FILE. One that is still there may be shutting down, and gets a minute for it; one that stays runs.
const AGAIN: &str = r#"grep -q control_d /proc/xen/capabilities 2>/dev/null || exit 0
n=0
while xl domid "$1" >/dev/null 2>&1; do
  n=$((n + 1))
  [ "$n" -le 60 ] || exit 0
  sleep 1
done
xl create "$2""#;

/// Starts each NAME from its FILE unless it runs; one that does not start does not stop the others. One whose file was taken
/// away is not wanted any more. A power cut after the confirm may have led to plain Linux.
const START: &str = r#"grep -q control_d /proc/xen/capabilities 2>/dev/null ||
  { echo 'no guest starts without Xen: systemctl reboot, then xenup upgrade apply' >&2; exit 1; }
failed=0
while [ $# -gt 1 ]; do
  xl domid "$1" >/dev/null 2>&1 || [ ! -e "$2" ] || xl create "$2" || { echo "$1 does not start" >&2; failed=1; }
  shift 2
done
exit "$failed""#;

/// Whether NAME runs, or its FILE was taken away.
const RUNS: &str = r#"[ ! -e "$2" ] || xl domid "$1" >/dev/null"#;

/// A guest that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Running {
    name: String,
    file: PathBuf,
}

/// Returns the guests that run, in the order in which they are started.
///
/// # Errors
/// A finding where one has no file to be started from again.
pub(super) fn running(check: &Check, facts: &Facts) -> Result<Vec<Running>, Box<Finding>> {
    let mut ordered = Vec::new();
    for stop in &check.stops {
        let report = check.audit.guests.iter().find(|guest| guest.name == stop.guest);
        let Some(file) = report.and_then(|report| report.path.clone()) else {
            return Err(Box::new(Finding::blocking(
                "upgrade-guest-no-file",
                format!("{} runs, and has no file among those that were read", stop.guest),
                "it is shut down for the upgrade, and nothing would start it again",
                format!("write down what it is: xl list -l {}", stop.guest),
            )));
        };
        let auto = report.and_then(|report| report.auto.first().cloned());
        let place = facts.xen.domains.iter().position(|domain| domain.name == stop.guest);
        let key = (auto.is_none(), auto, place);
        ordered.push((key, Running { name: stop.guest.clone(), file }));
    }
    ordered.sort_by(|one, two| one.0.cmp(&two.0));
    Ok(ordered.into_iter().map(|(_, guest)| guest).collect())
}

fn shell(script: &str, args: &[&str], seconds: u64) -> Command {
    let fixed = ["-euc", script, "xenup"].into_iter();
    Command::new("sh", fixed.chain(args.iter().copied())).within(seconds)
}

/// Returns the steps that shut them down, the last one started first, and that keep others from being started.
pub(super) fn down(up: &[Running], facts: &Facts) -> Vec<Step> {
    let mut steps: Vec<Step> =
        (1..).zip(up.iter().rev()).map(|(number, guest)| one_down(number, guest)).collect();
    let dom0 = facts.xen.running.as_ref().is_some_and(|xen| xen.dom0);
    if dom0 && facts.services.systemd {
        let systemctl =
            |verb: &str| Command::new("systemctl", [verb, "--runtime", "xendomains.service"]).within(120);
        let action = Action::run(Some(systemctl("mask")), Some(systemctl("unmask")));
        let why = "a package's script would start it, and with it guests, while Xen's toolstack is exchanged";
        let draft =
            Draft::new("hold-xendomains", "Keep xendomains from starting guests in this boot", why, action);
        steps.push(draft.risks(&[Risk::TouchesServices]).this_boot().step());
    }
    steps
}

fn one_down(number: usize, guest: &Running) -> Step {
    let file = guest.file.to_string_lossy();
    let wait = WAIT_SECONDS.to_string();
    let action = Action::run(
        Some(shell(STOP, &[&guest.name, &wait], WAIT_SECONDS.saturating_add(AFTER_SECONDS))),
        Some(shell(AGAIN, &[&guest.name, &file], AFTER_SECONDS)),
    );
    let title = format!("Shut {} down", guest.name);
    let why = "its toolstack goes while packages are upgraded, and the restart would cut it off";
    Draft::new(&format!("stop {number} {}", guest.name), title, why, action)
        .risks(&[Risk::TouchesServices])
        .step()
}

/// Returns the stage that starts them again, where any ran.
pub(super) fn up(up: &[Running]) -> Option<Stage> {
    if up.is_empty() {
        return None;
    }
    let names: Vec<&str> = up.iter().map(|guest| guest.name.as_str()).collect();
    let files: Vec<String> = up.iter().map(|guest| guest.file.to_string_lossy().into_owned()).collect();
    let args: Vec<&str> = names.iter().zip(&files).flat_map(|(name, file)| [*name, file.as_str()]).collect();
    let guests = u64::try_from(up.len()).unwrap_or(u64::MAX);
    let action = Action::run(Some(shell(START, &args, AFTER_SECONDS.saturating_mul(guests))), None);
    let title = format!("Start {}", names.join(", "));
    let why = "they ran before the upgrade; those of xendomains run already";
    let draft = Draft::new("start-guests", title, why, action).risks(&[Risk::TouchesServices]).this_boot();
    let runs = |(name, file): (&&str, &String)| {
        let words = ["sh", "-euc", RUNS, "xenup", name, file];
        Condition::Succeeds { command: words.map(str::to_owned).to_vec() }
    };
    let step = packages::onward(draft, "a guest that runs is not stopped again");
    Some(Stage {
        no_return: Some("guests that run again are left running".to_owned()),
        checks: names.iter().zip(&files).map(runs).collect(),
        ..stage(GUESTS, "The guests that ran before".to_owned(), vec![step])
    })
}

/// Returns the guests that a plan starts again, with their files.
pub(super) fn of(plan: &Plan) -> Vec<(String, String)> {
    let start = plan.steps().find(|(stage, _)| stage.id.as_str() == GUESTS).map(|(_, step)| &step.action);
    let Some(Action::Run { forward: Some(command), .. }) = start else { return Vec::new() };
    // Behind the options, the script and its name.
    let args = command.args.get(3..).unwrap_or_default();
    args.chunks_exact(2).filter_map(|pair| Some((pair.first()?.clone(), pair.get(1)?.clone()))).collect()
}
