//! The whole plan: every room's steps in one order of stages.
//!
//! Decides: the order, and what each stage is for. Prepare (files, packages, the default pinned to Linux) → network
//! (confirmed on plain Linux, because the fallback boots with it too) → boot trial → boot default → guests. Where the
//! facts show that a step's result is there, the step is left out: a second plan is empty.
//! Never: reads a machine; facts, wishes and apt's answer come in, a plan or findings come out.

mod guests;
pub mod installer;
mod prepare;
pub mod render;
pub(crate) mod step;

use xenup_engine::action::Condition;
use xenup_engine::plan::{Guard, Plan, SCHEMA, Slug, Stage, Step};

use crate::host::Host;
use crate::inspect::{Facts, Finding, Weight};
use crate::network::plan::NetworkPlan;
use crate::packages::{AptSimulation, wants};
use crate::{boot, network};

/// A plan, and what somebody should know who carries it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The plan; empty where everything is as wanted.
    pub plan: Plan,
    /// Notes and warnings; none of them blocks.
    pub findings: Vec<Finding>,
    /// What the files that the plan changes say before it.
    pub before: render::Before,
}

impl Planned {
    /// Returns the plan as text, see [`render::text`].
    #[must_use]
    pub fn text(&self, explain: bool) -> String {
        render::text(&self.plan, &self.before, explain)
    }
}

/// Returns the plan that leads from `facts` to `host`.
///
/// `apt` is what apt said it would do for [`wants`]; it may be `None` where nothing is wanted. What `inspect` finds
/// about the machine is for the caller to heed.
///
/// # Errors
/// Every finding that makes the wish impossible here, blocking ones first.
pub fn plan(facts: &Facts, host: &Host, apt: Option<&AptSimulation>) -> Result<Planned, Vec<Finding>> {
    let mut findings = memory(facts, host);
    let wanted = wants(host, facts);
    let changes = packages(&wanted, apt).unwrap_or_else(|found| {
        findings.extend(found);
        Vec::new()
    });
    let boot = boot::plan(facts, host, !wanted.is_empty()).unwrap_or_else(|found| {
        findings.push(*found);
        boot::BootPlan::default()
    });
    let network = network::plan::plan(facts, host).unwrap_or_else(|found| {
        findings.extend(found);
        NetworkPlan::default()
    });
    let prepared = prepare::steps(facts, host, &boot, &changes);
    let guests = guests::steps(facts, host);
    findings.extend(network.findings.iter().cloned());
    findings.extend(network::pin::not_pinned(facts, host));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
    if findings.iter().any(|finding| finding.weight == Weight::Blocks) {
        return Err(findings);
    }
    let not_restored = not_restored(&network, !changes.is_empty());
    let mut stages = Vec::new();
    let title = if boot.theirs {
        "Files, packages, GRUB's menu; the default stays what it is"
    } else {
        "Files, packages, GRUB's menu; the default stays on Linux"
    };
    stages.extend(stage("prepare", title, None, prepared, Vec::new()));
    stages.extend(stage("network", "The bridges", Some(NetworkPlan::guard()), network.steps, network.checks));
    let trial_checks = trial_checks(facts, network.lasting_checks);
    stages.extend(stage("boot-trial", "Xen, booted once on trial", boot.guard, boot.trial, trial_checks));
    stages.extend(stage("boot-default", "Xen by default", None, boot.default, Vec::new()));
    stages.extend(stage("guests", "What happens to guests", None, guests, Vec::new()));
    let plan = Plan {
        schema: SCHEMA,
        machine_id: facts.machine_id.clone(),
        purpose: format!("make {} a Xen host as {} wants it", named(facts), host.path.display()),
        not_restored: if stages.is_empty() { Vec::new() } else { not_restored },
        stages,
    };
    let before = render::before(&plan, facts);
    Ok(Planned { plan, findings, before })
}

fn named(facts: &Facts) -> &str {
    if facts.hostname.is_empty() { "this machine" } else { &facts.hostname }
}

fn stage(
    id: &str,
    title: &str,
    guard: Option<Guard>,
    steps: Vec<Step>,
    checks: Vec<Condition>,
) -> Option<Stage> {
    (!steps.is_empty()).then(|| Stage {
        id: Slug::of(id),
        title: title.to_owned(),
        guard,
        no_return: None,
        steps,
        checks,
    })
}

fn packages(
    wanted: &[String],
    apt: Option<&AptSimulation>,
) -> Result<Vec<xenup_engine::action::PackageChange>, Vec<Finding>> {
    match apt {
        _ if wanted.is_empty() => Ok(Vec::new()),
        Some(simulation) => simulation.changes(wanted),
        None => Err(vec![Finding::blocking(
            "apt-not-asked",
            format!("nobody asked apt what installing {} would do", wanted.join(", ")),
            "a plan names every package with its version",
            format!("plan on the machine itself, where `apt-get -s install {}` runs", wanted.join(" ")),
        )]),
    }
}

const MIB: u64 = 1 << 20;
/// What Xen keeps for itself and its own tables on a small machine.
const XEN_OWN: u64 = 128 * MIB;

/// Looks whether the machine has what dom0 is to get. In dom0 itself the facts show dom0's share, not the machine's.
fn memory(facts: &Facts, host: &Host) -> Vec<Finding> {
    if facts.xen.running.is_some() || facts.hardware.memory == 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    if let Some(memory) = &host.xen.dom0_memory
        && memory.bytes + XEN_OWN > facts.hardware.memory
    {
        found.push(Finding::blocking(
            "dom0-memory-too-large",
            format!(
                "dom0 is to get {}, and the machine has {} MiB",
                memory.as_str(),
                facts.hardware.memory / MIB
            ),
            "Xen needs some itself, and guests need the rest",
            "write a smaller dom0-memory in host.toml",
        ));
    }
    if let Some(vcpus) = host.xen.dom0_vcpus
        && vcpus > facts.hardware.cpus
    {
        let finding = Finding::blocking(
            "dom0-vcpus-too-many",
            format!("dom0 is to get {vcpus} processors, and the machine has {}", facts.hardware.cpus),
            "Xen gives it as many as there are",
            format!("write dom0-vcpus = {} in host.toml", facts.hardware.cpus),
        );
        found.push(Finding { weight: Weight::Warning, ..finding });
    }
    found
}

/// What has to hold in the booted trial before anybody is asked to confirm it.
pub(crate) fn trial_checks(facts: &Facts, network: Vec<Condition>) -> Vec<Condition> {
    let mut checks = vec![
        Condition::FileSays { path: "/proc/xen/capabilities".into(), text: "control_d".to_owned() },
        Condition::Succeeds { command: vec!["xl".to_owned(), "info".to_owned()] },
    ];
    checks.extend(network);
    let remote = ["ssh.service", "sshd.service", "ssh.socket"];
    let active = remote.into_iter().find(|unit| facts.services.active.iter().any(|active| active == unit));
    checks.extend(active.map(|unit| Condition::UnitActive { unit: unit.to_owned() }));
    checks
}

fn not_restored(network: &NetworkPlan, packages: bool) -> Vec<String> {
    let mut list = Vec::new();
    if packages {
        list.extend(package_records());
    }
    if network.dhcp {
        list.push(
            "what the DHCP client writes whenever it renews (/var/lib/dhcp, /etc/resolv.conf): its times move on"
                .to_owned(),
        );
    }
    list
}

/// What apt and dpkg keep of an installation, whatever is undone.
pub(crate) fn package_records() -> Vec<String> {
    vec![
        "apt's and dpkg's own records of what happened (/var/log/apt, /var/log/dpkg.log, /var/cache/apt, \
         /var/lib/dpkg/*-old): they tell the story, and a rollback is part of it"
            .to_owned(),
        "users, groups and empty directories that a package's scripts leave behind when it is purged"
            .to_owned(),
    ]
}
