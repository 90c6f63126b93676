//! `cargo xtask switch-here`: the switch that a plan makes, in the network namespace of this process.
//!
//! Decides nothing: the operations are those of a plan. Never run by people: the bench `network` starts it.

use clap::Args;
use xenup_core::host::AddressPolicy;
use xenup_core::network::switch::switch;
use xenup_machine::{Machine as _, Probe as _};
use xenup_system::System;

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
}

/// Makes the switch.
///
/// # Errors
/// No such NIC, or an operation that the kernel refuses.
pub fn run(here: &SwitchHere) -> Outcome {
    let mut machine = System::running()?;
    let network = machine.network()?;
    let mac = network.link(&here.port).and_then(|link| link.mac).ok_or("no such NIC")?;
    machine.change_links(&switch(&network, &here.bridge, &here.port, mac, AddressPolicy::Keep))?;
    Ok(true)
}
