//! The plan that is carried out in a real Debian: every kind of action that works without a running service manager.
//!
//! Decides: the steps. Never: carries them out.

use std::path::{Path, PathBuf};

use xenup_core::packages::AptSimulation;
use xenup_engine::action::{Action, FileState, Lasts, LineEdit, Undo, UnitState};
use xenup_engine::digest::Digest;
use xenup_engine::plan::{Plan, SCHEMA, Slug, Stage, Step};
use xenup_machine::network::{Address, Bridge, LinkOp, Mac};
use xenup_machine::process::Command;
use xenup_system::files;

type Failure = Box<dyn std::error::Error>;

/// Returns the plan for the tree at `root`, in which apt says that it would do what is in `simulation`.
///
/// # Errors
/// A file of the tree that cannot be read, or packages that would not be installed.
pub fn plan(root: &Path, wanted: &[String], simulation: &AptSimulation) -> Result<Plan, Failure> {
    let changes = simulation.changes(wanted).map_err(|findings| format!("apt: {findings:?}"))?;
    let mut files = before_packages(root)?;
    files.push(links());
    let packages = vec![
        step("packages", Undo::Restore, Action::Packages { changes }),
        file("conffile-edited", "/etc/logrotate.conf", edited("weekly", "daily"), None),
        unit("timer-off", "logrotate.timer", false),
        step("boot-variable", Undo::Restore, variable("next_entry", "drill")),
        alternatives(),
    ];
    let stage = |id: &str, steps| Stage {
        id: Slug::of(id),
        title: id.to_owned(),
        guard: None,
        no_return: None,
        steps,
        checks: Vec::new(),
    };
    Ok(Plan {
        schema: SCHEMA,
        machine_id: files::read_text(&root.join("etc/machine-id"))?.trim().to_owned(),
        purpose: "a drill with real files and packages".to_owned(),
        stages: vec![stage("files", files), stage("packages", packages)],
        not_restored: Vec::new(),
    })
}

fn before_packages(root: &Path) -> Result<Vec<Step>, Failure> {
    let seen = |path: &str| -> Result<Option<Digest>, Failure> {
        Ok(Some(Digest::of(&files::read(&root.join(path.trim_start_matches('/')))?)))
    };
    let (changed, removed) = ("/etc/drill/changed.conf", "/etc/drill/removed.conf");
    let long: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
    let service = "[Unit]\nDescription=A drill\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
    Ok(vec![
        file("file-changed", changed, text("new\n", 0o600), seen(changed)?),
        file("file-edited", "/etc/drill/edited.conf", edited("two", "2\nzwei"), None),
        file("file-removed", removed, FileState::Absent, seen(removed)?),
        file("directory", "/etc/drill/new", FileState::Dir { mode: 0o750 }, None),
        file("file-new", "/etc/drill/new/long.conf", text(&long, 0o640), None),
        file(
            "link",
            "/etc/drill/new/link",
            FileState::Link { target: PathBuf::from("../edited.conf") },
            None,
        ),
        file("unit-file", "/etc/systemd/system/drill.service", text(service, 0o644), None),
        unit("unit-on", "drill.service", true),
    ])
}

fn links() -> Step {
    let name = |name: &str| name.to_owned();
    let address = Address::new([192, 0, 2, 10].into(), 24);
    let bridge = Bridge { stp: false, forward_delay: 0, vlan_filtering: false };
    let ops = vec![
        LinkOp::CreateBridge { link: name("br0"), mac: Mac([2, 0, 0, 0, 0, 1]), bridge },
        LinkOp::SetMaster { link: name("nic0"), master: Some(name("br0")) },
        LinkOp::SetUp { link: name("br0"), up: true },
        LinkOp::AddAddress { link: name("br0"), address },
    ];
    let touches = vec![name("br0"), name("nic0")];
    Step { lasts: Lasts::ThisBoot, ..step("links", Undo::Restore, Action::Links { ops, touches }) }
}

fn alternatives() -> Step {
    let command = |args: &[&str]| Command::new("update-alternatives", args.iter().copied());
    let action = Action::Run {
        forward: Some(command(&["--install", "/usr/bin/drill", "drill", "/bin/true", "10"])),
        backward: Some(command(&["--quiet", "--remove", "drill", "/bin/true"])),
        generates: vec![PathBuf::from("/var/lib/dpkg/alternatives/drill")],
        put_back: false,
        once: false,
    };
    step("alternatives", Undo::Command, action)
}

fn step(id: &str, undo: Undo, action: Action) -> Step {
    Step {
        id: Slug::of(id),
        title: id.replace('-', " "),
        why: "the drill needs one of each kind".to_owned(),
        risks: Vec::new(),
        needs: Vec::new(),
        action,
        leaves: Vec::new(),
        undo,
        lasts: Lasts::OnDisk,
    }
}

fn file(id: &str, path: &str, state: FileState, seen: Option<Digest>) -> Step {
    step(id, Undo::Restore, Action::File { path: PathBuf::from(path), state, seen })
}

fn unit(id: &str, unit: &str, enabled: bool) -> Step {
    let state = UnitState { enabled: Some(enabled), active: None };
    step(id, Undo::Restore, Action::Unit { unit: unit.to_owned(), state })
}

fn variable(name: &str, value: &str) -> Action {
    Action::BootVariable { name: name.to_owned(), value: Some(value.to_owned()) }
}

fn text(text: &str, mode: u32) -> FileState {
    FileState::Text { text: text.to_owned(), mode }
}

fn edited(from: &str, to: &str) -> FileState {
    FileState::Edited { lines: vec![LineEdit { from: from.to_owned(), to: to.to_owned() }] }
}
