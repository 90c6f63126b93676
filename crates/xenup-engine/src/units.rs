//! systemd units: what `systemctl` says of them, and the commands that change them.
//!
//! Decides: which words of `systemctl` mean enabled and active. Never: runs a command.

use xenup_machine::process::{Command, Query};
use xenup_machine::{MachineError, Probe};

use crate::action::UnitState;

/// Returns the word of `systemctl is-enabled`: `enabled`, `disabled`, `static`, `masked`, …
///
/// # Errors
/// `systemctl` is not there or does not answer.
pub fn is_enabled(probe: &dyn Probe, unit: &str) -> Result<String, MachineError> {
    word(probe, "is-enabled", unit)
}

/// Returns the word of `systemctl is-active`: `active`, `inactive`, `failed`, …
///
/// # Errors
/// As [`is_enabled`].
pub fn is_active(probe: &dyn Probe, unit: &str) -> Result<String, MachineError> {
    word(probe, "is-active", unit)
}

fn word(probe: &dyn Probe, question: &str, unit: &str) -> Result<String, MachineError> {
    let said = probe.query(&Query::new("systemctl", [question, unit]))?;
    Ok(said.text().lines().next().unwrap_or_default().trim().to_owned())
}

/// Returns whether a unit whose word is `active` has to be called running.
#[must_use]
pub fn is_running(active: &str) -> bool {
    matches!(active, "active" | "reloading" | "activating")
}

/// Returns the state that these two words describe, as far as `systemctl` can bring it about:
/// a unit that is `static`, `masked` or `generated` is neither enabled nor disabled.
#[must_use]
pub fn state_of(enabled: &str, active: &str) -> UnitState {
    let enabled = match enabled {
        "enabled" => Some(true),
        "disabled" => Some(false),
        _ => None,
    };
    UnitState { enabled, active: Some(is_running(active)) }
}

/// Returns whether the words meet a wanted state.
#[must_use]
pub fn meets(enabled: &str, active: &str, wanted: &UnitState) -> bool {
    wanted.enabled.is_none_or(|wanted| (enabled == "enabled") == wanted)
        && wanted.active.is_none_or(|wanted| is_running(active) == wanted)
}

/// Returns the commands that lead from these words to a wanted state. A unit is disabled before it is stopped
/// and enabled before it is started, so that a crash in between leaves it off.
#[must_use]
pub fn commands(unit: &str, enabled: &str, active: &str, wanted: &UnitState) -> Vec<Command> {
    let mut verbs = Vec::new();
    match wanted.enabled {
        Some(true) if enabled != "enabled" => verbs.push("enable"),
        Some(false) if enabled == "enabled" => verbs.push("disable"),
        _ => {}
    }
    match wanted.active {
        Some(true) if !is_running(active) => verbs.push("start"),
        Some(false) if is_running(active) => verbs.push("stop"),
        _ => {}
    }
    verbs.into_iter().map(|verb| Command::new("systemctl", [verb, unit]).within(300)).collect()
}
