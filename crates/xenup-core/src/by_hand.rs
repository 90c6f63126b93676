//! A plan around a command that somebody else wrote: everything a change of the network can touch is recorded before.
//!
//! Decides: which files, links and firewall rules that is on Debian, and what has to go away that the command made.
//! Never: knows what the command does, or whether it is good.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xenup_engine::action::{Action, FileState, Lasts, Undo};
use xenup_engine::digest::Digest;
use xenup_engine::plan::{Guard, Plan, Risk, SCHEMA, Slug, Stage, Step, Watch};
use xenup_machine::file::Kind;
use xenup_machine::network::Network;
use xenup_machine::process::{Command, Query};
use xenup_machine::{MachineError, Probe, Reason};

/// Where the owners of a network keep their configuration on Debian, with what lies below.
pub const FOLDERS: [&str; 6] = [
    "/etc/network",
    "/etc/netplan",
    "/etc/systemd/network",
    "/etc/NetworkManager",
    "/etc/nftables.d",
    "/etc/sysctl.d",
];
/// Single files of the same kind.
pub const FILES: [&str; 5] =
    ["/etc/resolv.conf", "/etc/nftables.conf", "/etc/hosts", "/etc/sysctl.conf", "/etc/dhcpcd.conf"];
/// The one stage of such a plan.
const STAGE: &str = "by-hand";
/// Directories within directories that are followed.
const DEEPEST: usize = 4;
/// The longest file that is taken in; a configuration file is far below.
const LONGEST: u64 = 1 << 20;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The command, program first.
    pub command: &'a [String],
    /// Seconds until it is undone unless confirmed.
    pub deadline_seconds: u64,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// A directory of its own for what the undo reads back; not there yet.
    pub aside: PathBuf,
    /// The command that notes, once the command has ended, what it made (see [`made`]).
    pub note: Command,
    /// The command that moves away what was made and the plan does not know (see [`made`]).
    pub sweep: Command,
}

/// Returns a plan of one guarded stage, and what a person has to be told that it will not bring back.
///
/// # Errors
/// What is there cannot be read, or the command is empty.
pub fn plan(probe: &dyn Probe, request: &Request<'_>) -> Result<Plan, MachineError> {
    let [program, args @ ..] = request.command else {
        return Err(MachineError::new(
            "run",
            "an empty command",
            Reason::Other,
            "nothing was given after `--`",
        ));
    };
    let mut not_restored = Vec::new();
    let mut steps = vec![aside(request)];
    for path in known_files(probe)? {
        steps.extend(kept_file(probe, &path)?);
    }
    steps.extend(firewall(probe, request, &mut not_restored)?);
    steps.push(kernel(&probe.network()?));
    let forward = Command::new(program, args.iter().cloned()).within(request.deadline_seconds);
    steps.push(step(
        "run-command",
        &format!("Run {}", forward.line()),
        Action::Run {
            forward: Some(forward),
            backward: Some(request.sweep.clone()),
            generates: Vec::new(),
            put_back: false,
            once: true,
        },
        Undo::Command,
        Lasts::OnDisk,
    ));
    let note = Action::Run {
        forward: Some(request.note.clone()),
        backward: None,
        generates: Vec::new(),
        put_back: false,
        once: true,
    };
    steps.push(step("note-what-was-made", "Note what it made", note, Undo::Command, Lasts::OnDisk));
    let guard = Guard { watch: Watch::Network, deadline_seconds: request.deadline_seconds, trial: None };
    let stage = Stage {
        id: Slug::of(STAGE),
        title: "A change of the network by hand".to_owned(),
        guard: Some(guard),
        no_return: None,
        steps,
        checks: Vec::new(),
    };
    Ok(Plan {
        schema: SCHEMA,
        machine_id: request.machine_id.clone(),
        purpose: format!("xenup guard -- {}", request.command.join(" ")),
        stages: vec![stage],
        not_restored,
    })
}

fn step(id: &str, title: &str, action: Action, undo: Undo, lasts: Lasts) -> Step {
    Step {
        id: Slug::of(id),
        title: title.to_owned(),
        why: "whatever the command does to it, it comes back unless confirmed".to_owned(),
        risks: vec![Risk::CutsNetwork],
        needs: Vec::new(),
        action,
        leaves: Vec::new(),
        undo,
        lasts,
    }
}

fn aside(request: &Request<'_>) -> Step {
    let path = request.aside.clone();
    let action = Action::File { path, state: FileState::Dir { mode: 0o700 }, seen: None };
    step("room-aside", "Make room for what an undo reads back", action, Undo::Restore, Lasts::OnDisk)
}

/// A step that changes nothing and records everything: its undo restores bytes, owner, mode and time.
fn kept_file(probe: &dyn Probe, path: &Path) -> Result<Option<Step>, MachineError> {
    let (state, seen) = match probe.entry(path)?.map(|entry| entry.kind) {
        Some(Kind::Symlink { target }) => {
            let seen = Digest::of(target.as_os_str().as_encoded_bytes());
            (FileState::Link { target }, Some(seen))
        }
        Some(Kind::File { size }) if size <= LONGEST => {
            let seen = Digest::of(&probe.read(path, LONGEST)?);
            (FileState::Edited { lines: Vec::new() }, Some(seen))
        }
        None => (FileState::Absent, None),
        Some(_) => return Ok(None),
    };
    let id = format!("keep{}", path.display());
    let action = Action::File { path: path.to_owned(), state, seen };
    Ok(Some(step(&id, &format!("Keep {}", path.display()), action, Undo::Restore, Lasts::OnDisk)))
}

/// Every file of the network's owners, single files that are absent included: what the command puts there goes.
fn known_files(probe: &dyn Probe) -> Result<BTreeSet<PathBuf>, MachineError> {
    let mut paths: BTreeSet<PathBuf> = FILES.iter().map(PathBuf::from).collect();
    for folder in FOLDERS {
        walk(probe, Path::new(folder), DEEPEST, &mut paths)?;
    }
    Ok(paths)
}

fn walk(
    probe: &dyn Probe,
    dir: &Path,
    depth: usize,
    paths: &mut BTreeSet<PathBuf>,
) -> Result<(), MachineError> {
    let names = match probe.list(dir) {
        Err(error) if error.is_not_found() => return Ok(()),
        names => names?,
    };
    for path in names.into_iter().map(|name| dir.join(name)) {
        match probe.entry(&path)?.map(|entry| entry.kind) {
            Some(Kind::Dir) if depth > 0 => walk(probe, &path, depth - 1, paths)?,
            Some(Kind::File { .. } | Kind::Symlink { .. }) => {
                paths.insert(path);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The kernel's links, addresses and routes: changed by nothing here, put back by the undo.
fn kernel(network: &Network) -> Step {
    let touches = network.links.iter().filter(|link| !link.loopback).map(|link| link.name.clone()).collect();
    let action = Action::Links { ops: Vec::new(), touches };
    step("keep-kernel", "Keep links, addresses and routes", action, Undo::Restore, Lasts::ThisBoot)
}

/// The loaded firewall, as text that nft(8) reads back. Rules of iptables-nft cannot be read back by nft.
fn firewall(
    probe: &dyn Probe,
    request: &Request<'_>,
    not_restored: &mut Vec<String>,
) -> Result<Vec<Step>, MachineError> {
    let said = match probe.query(&Query::new("nft", ["list", "ruleset"])) {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        said => said?,
    };
    let rules = said.text();
    if !said.success() || rules.contains("managed by iptables") || rules.contains("xt target") {
        not_restored
            .push("the firewall rules in the kernel: those of iptables cannot be put back by nft".to_owned());
        return Ok(Vec::new());
    }
    let path = request.aside.join("ruleset.nft");
    let state = FileState::Text { text: format!("flush ruleset\n{rules}"), mode: 0o600 };
    let file = Action::File { path: path.clone(), state, seen: None };
    let back = Command::new("nft", ["-f".to_owned(), path.display().to_string()]).within(60);
    let load = Action::run(None, Some(back));
    Ok(vec![
        step("keep-ruleset", "Write the firewall's rules down", file, Undo::Restore, Lasts::OnDisk),
        step("keep-firewall", "Keep the firewall's rules", load, Undo::Command, Lasts::ThisBoot),
    ])
}

/// What is there that a plan of this room does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Files of the network's owners.
    pub files: Vec<PathBuf>,
    /// Links that can be deleted, ports before what they are in.
    pub links: Vec<String>,
}

impl Made {
    /// Returns what of it was there already when something else was seen: what came later is somebody else's.
    #[must_use]
    pub fn seen_in(mut self, earlier: &Self) -> Self {
        self.files.retain(|path| earlier.files.contains(path));
        self.links.retain(|link| earlier.links.contains(link));
        self
    }
}

/// Returns what is there now that the plan does not know: right after the command, that is what the command made.
///
/// # Errors
/// What is there cannot be read.
pub fn made(probe: &dyn Probe, plan: &Plan) -> Result<Made, MachineError> {
    Ok(Made { files: unknown_files(probe, plan)?, links: unknown_links(&probe.network()?, plan) })
}

/// Returns whether a plan is one of this room.
#[must_use]
pub fn is_by_hand(plan: &Plan) -> bool {
    let once = |step: &Step| matches!(&step.action, Action::Run { once: true, .. });
    matches!(&plan.stages[..], [stage] if stage.id.as_str() == STAGE && stage.steps.iter().any(once))
}

/// Returns the directory that a plan of this room makes for itself, which no other plan has.
#[must_use]
pub fn aside_of(plan: &Plan) -> Option<&Path> {
    plan.steps().find_map(|(_, step)| match &step.action {
        Action::File { path, state: FileState::Dir { .. }, .. } if is_by_hand(plan) => Some(path.as_path()),
        _ => None,
    })
}

/// Returns the files of the network's owners that a plan of this room does not know.
fn unknown_files(probe: &dyn Probe, plan: &Plan) -> Result<Vec<PathBuf>, MachineError> {
    let known: BTreeSet<&PathBuf> = plan
        .steps()
        .filter_map(|(_, step)| match &step.action {
            Action::File { path, .. } => Some(path),
            _ => None,
        })
        .collect();
    Ok(known_files(probe)?.into_iter().filter(|path| !known.contains(path)).collect())
}

/// Returns the links that a plan of this room does not know and that can be deleted, ports before what they are in.
/// A guest's are left alone: guests come first.
fn unknown_links(network: &Network, plan: &Plan) -> Vec<String> {
    let known: BTreeSet<&String> = plan
        .steps()
        .filter_map(|(_, step)| match &step.action {
            Action::Links { touches, .. } => Some(touches),
            _ => None,
        })
        .flatten()
        .collect();
    let made =
        |kind: &str| matches!(kind, "bridge" | "bond" | "vlan" | "dummy" | "macvlan" | "veth" | "ipvlan");
    let mut links: Vec<_> = network
        .links
        .iter()
        .filter(|link| !known.contains(&link.name) && link.kind.as_deref().is_some_and(made))
        .collect();
    links.sort_by_key(|link| link.master.is_none());
    links.into_iter().map(|link| link.name.clone()).collect()
}

/// Returns where an undo moves a file of somebody else's, so that no name meets another.
#[must_use]
pub fn moved_aside(aside: &Path, path: &Path) -> PathBuf {
    let flat = path.display().to_string().trim_start_matches('/').replace('/', "+");
    aside.join(flat)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use xenup_machine::fake::{FakeMachine, nic};
    use xenup_machine::file::Attributes;
    use xenup_machine::network::{Link, Mac, Network};
    use xenup_machine::process::Command;

    use super::{Made, Request, aside_of, is_by_hand, made, plan};

    #[test]
    fn what_came_after_the_command_is_not_its() {
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let bridge = |name: &str| Link { kind: Some("bridge".to_owned()), ..nic(name, mac) };
        let mut network = Network { links: vec![nic("eno1", mac)], ..Network::default() };
        let mut machine = FakeMachine::new();
        machine.put("/etc/network/interfaces", b"auto lo\n", &Attributes::root(0o644));
        machine.connect(network.clone());
        let aside = PathBuf::from("/var/lib/xenup/aside-1");
        let command = ["true".to_owned()];
        let nothing = || Command::new("true", [""; 0]);
        let request = Request {
            command: &command,
            deadline_seconds: 60,
            machine_id: "0".repeat(32),
            aside: aside.clone(),
            note: nothing(),
            sweep: nothing(),
        };
        let plan = plan(&machine, &request).unwrap();
        assert!(is_by_hand(&plan));
        assert_eq!(aside_of(&plan), Some(aside.as_path()));
        assert_eq!(made(&machine, &plan).unwrap(), Made::default());
        machine.put("/etc/network/interfaces.d/its", b"", &Attributes::root(0o644));
        network.links.push(bridge("its"));
        machine.connect(network.clone());
        let seen = made(&machine, &plan).unwrap();
        let its = Made { files: vec!["/etc/network/interfaces.d/its".into()], links: vec!["its".to_owned()] };
        assert_eq!(seen, its);
        machine.put("/etc/network/interfaces.d/theirs", b"", &Attributes::root(0o644));
        network.links.push(bridge("theirs"));
        machine.connect(network);
        assert_eq!(made(&machine, &plan).unwrap().seen_in(&seen), its);
    }
}
