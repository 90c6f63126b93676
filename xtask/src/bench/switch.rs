//! `cargo xtask switch-here`: the switch that a plan makes, in the network namespace of this process, and its undo.
//!
//! Decides nothing: the operations are those of a plan, and of the engine's undo. Never run by people: the bench
//! `network` starts it.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};
use xenup_core::host::AddressPolicy;
use xenup_core::network::switch::{switch, touched};
use xenup_engine::links::restore_ops;
use xenup_machine::network::{LinkOp, Network};
use xenup_machine::{Machine as _, Probe as _};
use xenup_system::lab::links;
use xenup_system::{System, files};

use crate::Outcome;

/// Make a NIC the port of a new bridge, in this network namespace
#[derive(Debug, Args)]
pub struct SwitchHere {
    /// The bridge
    #[arg(value_name = "BRIDGE")]
    bridge: String,
    /// The NIC
    #[arg(value_name = "NIC")]
    port: String,
    /// Where it is kept what was there before, and how long the NIC had no address of its own
    #[arg(long, value_name = "FILE")]
    record: PathBuf,
    /// Go back to what that file says
    #[arg(long, conflicts_with = "routes_first")]
    back: bool,
    /// Move the routes before the NIC becomes a port, as no plan does
    #[arg(long)]
    routes_first: bool,
}

/// What is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    before: Network,
    /// From the enslave to the last address off the port.
    critical_ms: f64,
    /// All operations.
    whole_ms: f64,
}

/// Makes the switch, or takes it back.
///
/// # Errors
/// No such NIC, or an operation that the kernel refuses.
pub fn run(here: &SwitchHere) -> Outcome {
    let mut machine = System::running()?;
    let before = machine.network()?;
    if here.back {
        return back(here, &mut machine, before);
    }
    let mac = before.link(&here.port).and_then(|link| link.mac).ok_or("no such NIC")?;
    let mut ops = switch(&before, &here.bridge, &here.port, mac, AddressPolicy::Keep, &[]);
    if here.routes_first {
        routes_first(&mut ops);
    }
    let (first, last) = critical(&ops, &here.port).ok_or("a switch without an enslave")?;
    let times = links::change_links(&ops)?;
    let done = |at: Option<usize>| at.and_then(|at| times.get(at)).copied().unwrap_or_default();
    let critical_ms = (done(Some(last)) - done(first.checked_sub(1))).as_secs_f64() * 1000.0;
    let whole_ms = done(times.len().checked_sub(1)).as_secs_f64() * 1000.0;
    let kept = Kept { before, critical_ms, whole_ms };
    files::write(&here.record, serde_json::to_string(&kept)?.as_bytes())?;
    Ok(true)
}

/// As the engine undoes it: asked again until nothing is left to do.
fn back(here: &SwitchHere, machine: &mut System, mut now: Network) -> Outcome {
    let kept: Kept = serde_json::from_str(&files::read_text(&here.record)?)?;
    let touched = touched(&here.bridge, &here.port, AddressPolicy::Keep);
    for _ in 0..4 {
        let ops = restore_ops(&kept.before, &now, &touched);
        if ops.is_empty() {
            break;
        }
        machine.change_links(&ops)?;
        now = machine.network()?;
    }
    Ok(true)
}

fn enslaves(op: &LinkOp, port: &str) -> bool {
    matches!(op, LinkOp::SetMaster { link, master: Some(_) } if link == port)
}

fn critical(ops: &[LinkOp], port: &str) -> Option<(usize, usize)> {
    let takes_off = |op: &LinkOp| matches!(op, LinkOp::DeleteAddress { link, .. } if link == port);
    Some((ops.iter().position(|op| enslaves(op, port))?, ops.iter().rposition(takes_off)?))
}

fn routes_first(ops: &mut Vec<LinkOp>) {
    let (routes, others): (Vec<LinkOp>, Vec<LinkOp>) =
        ops.drain(..).partition(|op| matches!(op, LinkOp::ReplaceRoute { .. }));
    let at = others.iter().rposition(|op| matches!(op, LinkOp::SetMaster { .. })).unwrap_or(0);
    *ops = others;
    ops.splice(at..at, routes);
}
