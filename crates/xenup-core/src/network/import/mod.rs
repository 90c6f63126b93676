//! An old Xen host's network, read from what xend, xl and ifupdown were told, and said again in host.toml.
//!
//! Decides: which bridges the old scripts made over which NICs, what each is called so that old guests find it, and
//! what of the old set-up host.toml cannot say: that becomes a finding with the way by hand, never a silence.
//! Never: runs a script, changes a file, disables anything of the old set-up.
//!
//! Reading order: `sexp` (xend's language) → `xend` (its settings) → `words`, `script` (wrappers) → `rule` (which
//! network-bridge) → `calls` (what was called) → `made` (which bridges came of it) → `guests` → `write`.

mod calls;
mod error;
mod guests;
mod machine;
mod made;
mod report;
mod rule;
mod script;
mod sexp;
mod tell;
mod words;
mod write;
mod xend;

use crate::network::interfaces::MAIN;
use xenup_machine::Probe;

pub use error::{ImportError, SexpFault};
pub use report::{FORMAT, GuestVif, Import, OldBridge, Ruled, Said};
pub use rule::Rule;
pub use sexp::{Sexp, Value, parse as parse_sexp};
pub use xend::CONFIG;

use machine::{Machine, XL_CONF};
use tell::Told;

/// Reads the old network of a machine, or of a tree of its files.
///
/// A finding that blocks is among [`Import::findings`] where no bridge comes of it: then there is nothing to write.
///
/// # Errors
/// xend's configuration or xl's cannot be read; or there is nothing of an old Xen host.
pub fn import(probe: &dyn Probe) -> Result<Import, ImportError> {
    let machine = Machine::look(probe);
    let mut told = Told::default();
    let xend = xend::read(&machine, &mut told)?;
    let xl_default =
        machine.xl_conf(&["vif.default.bridge", "defaultbridge"]).map_err(ImportError::XlConf)?;
    let xl_script = machine.xl_conf(&["vif.default.script", "vifscript"]).map_err(ImportError::XlConf)?;
    if let Some(Err(error)) = &machine.interfaces {
        told.warn(
            "import-interfaces",
            format!("the interfaces files cannot be read: {error}"),
            "what NICs and bridges have there is not known",
            "correct the file at that line, and import again",
            [],
        );
    }
    if xend.is_none() && xl_default.is_none() && machine.bridges().is_empty() && machine.interfaces_read() {
        return Err(ImportError::Nothing([CONFIG, XL_CONF, MAIN]));
    }
    let called = calls::calls(&machine, xend.as_ref(), &mut told);
    let ruled = calls::ruled(&machine, &called, &mut told);
    let made = made::made(&machine, &called, ruled.as_ref(), &mut told);
    let default = guests::default_of(xend.as_ref(), xl_default.as_ref(), &made);
    let bridges = made::named(&machine, &made, default.as_ref(), &mut told);
    guests::vif_scripts(xend.as_ref(), xl_script.as_ref(), &mut told);
    let guests = guests::check(probe, &bridges, &made, default.as_ref(), &mut told);
    told_of_state(&machine, &mut told);
    if bridges.is_empty() {
        told.block(
            "import-no-bridge",
            "no bridge comes of this that host.toml could have",
            "neither a call of network-bridge nor a bridge with one port could be taken over",
            "write host.toml from what this machine is: xenup init",
        );
    }
    let findings = told.findings;
    let ruled = ruled.map(|known| known.ruled);
    let host_toml = write::host_toml(&bridges, ruled.as_ref(), &findings);
    Ok(Import { format: FORMAT, rule: ruled, bridges, guests, findings, host_toml })
}

/// xend kept bridges and made them again at its start, whatever its configuration said by then.
fn told_of_state(machine: &Machine<'_>, told: &mut Told) {
    const STATE: &str = "/var/lib/xend/state/network.xml";
    if machine.is_there(STATE) {
        told.note(
            "import-kept-state",
            "xend kept a state of its own of bridges",
            "it made them again at each start; nothing is taken from it",
            format!("less {STATE} shows it; add a [[bridge]] where a guest needs one of them"),
            [crate::inspect::facts::At { path: STATE.into(), line: 0 }],
        );
    }
}
