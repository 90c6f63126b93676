//! Disks and interfaces in today's form.

use super::super::disk_spec::DiskSpec;
use super::super::vif::{VifFault, VifSpec};

/// Returns a disk with every part named, where it is in a form of old times.
pub(super) fn disk(spec: &str) -> Option<String> {
    let read = DiskSpec::parse_old(spec).ok()?;
    if read.old.is_empty() {
        return None;
    }
    let named = read.named();
    // A form that does not come back as the same disk is left to a person.
    DiskSpec::parse(&named)
        .is_ok_and(|again| again.vdev == read.vdev && again.old.is_empty())
        .then_some(named)
}

/// Returns an interface without words of xm, where it has some.
pub(super) fn vif(spec: &str) -> Option<String> {
    let faults = VifSpec::parse(spec).faults;
    let old = |fault: &VifFault| match fault {
        VifFault::Netdev | VifFault::Accel => true,
        VifFault::Value("type", value) => value == "netfront",
        _ => false,
    };
    if !faults.iter().any(old) {
        return None;
    }
    let parts = spec.split(',').map(str::trim_start).filter(|part| !part.is_empty());
    let kept = parts.filter(|part| !part.starts_with("accel=")).map(|part| {
        match (part.strip_prefix("netdev="), part) {
            (Some(name), _) => format!("gatewaydev={name}"),
            (None, "type=netfront") => "type=vif".to_owned(),
            (None, part) => part.to_owned(),
        }
    });
    Some(kept.collect::<Vec<_>>().join(","))
}
