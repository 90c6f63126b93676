//! The packages of a build as a plan. Decides its form; what apt would do comes in.

use std::path::PathBuf;

use xenup_engine::action::{Action, Condition, PackageChange};
use xenup_engine::plan::{Plan, SCHEMA, Slug, Stage, Step};

use crate::packages::AptSimulation;
use crate::plan::package_records;
use crate::plan::step::Draft;

const MIB: u64 = 1 << 20;
/// A source is 130 MiB packed, a compiler 200 MiB unpacked.
const ROOM: u64 = 600 * MIB;

/// What apt would do beside installing, which a rollback could not bring back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Beside {
    /// It would take something away.
    #[error("apt would remove {}", .0.join(", "))]
    Removes(Vec<String>),
    /// It would bring something to another version.
    #[error("apt would upgrade {}", .0.join(", "))]
    Upgrades(Vec<String>),
    /// It would install more than was asked for.
    #[error("apt would install {} as well", .0.join(", "))]
    Adds(Vec<String>),
    /// It would not bring what was asked for.
    #[error("apt would not install {}", .0.join(", "))]
    Lacks(Vec<String>),
}

/// Returns the plan that installs these packages, and what they depend on.
///
/// # Errors
/// apt would do something else than install.
pub fn plan(machine_id: &str, wanted: &[String], apt: &AptSimulation) -> Result<Plan, Beside> {
    removes_nothing(apt)?;
    let upgrades: Vec<String> =
        apt.installs.iter().filter(|one| one.from.is_some()).map(|one| one.name.clone()).collect();
    if !upgrades.is_empty() {
        return Err(Beside::Upgrades(upgrades));
    }
    let is_listed = |name: &&String| apt.installs.iter().any(|one| one.name == **name);
    let lacks: Vec<String> = wanted.iter().filter(|name| !is_listed(name)).cloned().collect();
    if !lacks.is_empty() {
        return Err(Beside::Lacks(lacks));
    }
    let changes: Vec<PackageChange> = apt
        .installs
        .iter()
        .map(|one| PackageChange {
            name: one.name.clone(),
            version: one.version.clone(),
            from: None,
            asked: wanted.contains(&one.name),
        })
        .collect();
    let room = |path: &str| Condition::Room { path: PathBuf::from(path), bytes: ROOM };
    let title = format!("Install {} packages: {}", changes.len(), wanted.join(", "));
    let why = "make, the compiler, a kernel's source, and what packs the result";
    let step = Draft::new("packages", title, why, Action::Packages { changes })
        .needs(vec![room("/var"), room("/usr")])
        .step();
    let purpose = "install what building a kernel needs".to_owned();
    Ok(one_step(machine_id, purpose, ("prepare", "What building a kernel needs".to_owned()), step))
}

/// A rollback could not bring back what apt takes away.
pub(super) fn removes_nothing(apt: &AptSimulation) -> Result<(), Beside> {
    match apt.removes.as_slice() {
        [] => Ok(()),
        removes => Err(Beside::Removes(removes.iter().map(|one| one.name.clone()).collect())),
    }
}

/// A plan of one step that brings packages, in a stage without a guard.
pub(super) fn one_step(
    machine_id: &str,
    purpose: String,
    (stage, title): (&str, String),
    step: Step,
) -> Plan {
    let id = Slug::of(stage);
    let stage = Stage { id, title, guard: None, no_return: None, steps: vec![step], checks: Vec::new() };
    Plan {
        schema: SCHEMA,
        machine_id: machine_id.to_owned(),
        purpose,
        not_restored: package_records(),
        stages: vec![stage],
    }
}

#[cfg(test)]
mod tests {
    use xenup_engine::validate::validate;

    use super::plan;
    use crate::packages::AptSimulation;

    fn planned(said: &str) -> Result<String, String> {
        let wanted = ["bc".to_owned(), "rsync".to_owned()];
        let plan = plan("0123", &wanted, &AptSimulation::parse(said)).map_err(|beside| beside.to_string())?;
        validate(&plan).map_err(|error| error.to_string())?;
        Ok(plan.stages.iter().flat_map(|stage| &stage.steps).map(|step| step.title.clone()).collect())
    }

    #[test]
    fn apt_installs_or_nothing_is_done() {
        let both = "Inst libpopt0 (1.19 Debian:12 [amd64])\nInst bc (1.07 Debian:12 [amd64])\nInst rsync (3.2 Debian:12 [amd64])\n";
        assert_eq!(planned(both).unwrap(), "Install 3 packages: bc, rsync");
        assert_eq!(planned("Inst bc (1.07 Debian:12 [amd64])\n").unwrap_err(), "apt would not install rsync");
        assert_eq!(planned("Inst bc [1.06] (1.07 Debian:12 [amd64])\n").unwrap_err(), "apt would upgrade bc");
        assert_eq!(planned("Remv nano [7.2]\n").unwrap_err(), "apt would remove nano");
    }
}
