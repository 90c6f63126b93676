//! A disk image of a Xen host: what of host.toml and of a plain Debian its file system holds before it ever ran.
//!
//! Decides: nothing that a plan does not decide. The plan for a plain Debian with these NICs is made (`machine`), and
//! what its steps would leave on disk is what the image holds; so an image and `xenup apply` cannot come apart, and a
//! first `xenup plan` on the machine has nothing to do. Its own are the NICs' roles (an address for each where there are
//! several), the default, which is Xen at once, and what the first boot does (`first_boot`).
//! Never: makes a file, knows how a disk is made, or what is in a package.

mod first_boot;
mod machine;
mod roles;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xenup_engine::action::{Action, FileState, LineEdit};
use xenup_engine::plan::Plan;

use crate::boot::{self, Pinned};
use crate::guest::create::Addresses;
use crate::host::{DefaultBoot, Host};
use crate::inspect::{Finding, Weight};
use crate::network::interfaces::MAIN;
use crate::packages;
use crate::plan;

/// Where host.toml lies on the machine.
pub const HOST: &str = "/etc/xenup/host.toml";

/// What an image is made from.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What host.toml says.
    pub host: &'a Host,
    /// Its text, which goes along.
    pub host_text: &'a str,
    /// The machine's name.
    pub hostname: &'a str,
    /// The release's code name.
    pub codename: &'a str,
    /// What the bridge that keeps an address gets; by DHCP each of them.
    pub addresses: &'a Addresses,
    /// The root file system's UUID.
    pub root: &'a str,
    /// The words of Linux's command line in /etc/default/grub (GRUB_CMDLINE_LINUX).
    pub cmdline: &'a str,
    /// Whether what lies behind the root on the machine's disk becomes a volume group for guests.
    pub volumes: bool,
}

/// A file of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Where.
    pub path: PathBuf,
    /// Permission bits; it belongs to root.
    pub mode: u32,
    /// Its text.
    pub text: String,
}

/// Lines of a file that a package brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The file.
    pub path: PathBuf,
    /// The replacements, each of a line that is there once.
    pub lines: Vec<LineEdit>,
}

/// What an image holds beside its packages, and what somebody should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostImage {
    /// Files, by path.
    pub files: Vec<NewFile>,
    /// Lines of packages' files.
    pub edits: Vec<Edit>,
    /// Units of these files that are started at boot, as links below /etc/systemd/system.
    pub wants: Vec<(PathBuf, PathBuf)>,
    /// What the finished menu has to say.
    pub menu: Vec<String>,
    /// Notes and warnings; none of them blocks.
    pub findings: Vec<Finding>,
}

/// Returns the packages that make a plain Debian this host, and those that the first boot needs.
#[must_use]
pub fn packages(host: &Host, volumes: bool) -> Vec<String> {
    let mut wanted = packages::wants(&roles::made(host), &machine::bare());
    wanted.extend(first_boot::PACKAGES.iter().map(|name| (*name).to_owned()));
    let volumes = if volumes { first_boot::VOLUMES } else { &[] };
    wanted.extend(volumes.iter().map(|name| (*name).to_owned()));
    wanted
}

/// Returns what the image holds.
///
/// # Errors
/// Every finding that makes it impossible: NICs that nothing tells apart, addresses without a bridge, and what the plan
/// refuses.
pub fn of(wanted: &Wanted<'_>) -> Result<HostImage, Vec<Finding>> {
    let mut findings = roles::look(wanted);
    if findings.iter().any(|finding| finding.weight == Weight::Blocks) {
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
        return Err(findings);
    }
    let host = roles::made(wanted.host);
    let facts = machine::plain(wanted, &host);
    let planned = plan::plan(&facts, &host, None)?;
    findings.extend(planned.findings);
    let interfaces = machine::interfaces(wanted, &host);
    let mut left = Left::of(&planned.plan)?;
    left.texts.entry(PathBuf::from(MAIN)).or_insert((interfaces, 0o644));
    left.texts.insert(PathBuf::from(HOST), (wanted.host_text.to_owned(), 0o644));
    let entries = boot::entries(&facts.boot).map_err(|finding| vec![*finding])?;
    let mut menu = vec![format!("'{}'", entries.linux), format!("'{}'", entries.xen)];
    let default = if host.boot.default == DefaultBoot::Xen {
        let text = boot::last_text(&host, &facts, &entries, &Pinned::Made);
        left.texts.insert(PathBuf::from(boot::LAST), (text, 0o644));
        &entries.xen
    } else {
        &entries.linux
    };
    menu.push(format!("set default=\"{default}\""));
    let first = first_boot::of(&host, wanted.volumes);
    left.texts.extend(first.files.into_iter().map(|file| (file.path, (file.text, file.mode))));
    let files = left.texts.into_iter().map(|(path, (text, mode))| NewFile { path, mode, text }).collect();
    let edits = left.edits.into_iter().map(|(path, lines)| Edit { path, lines }).collect();
    Ok(HostImage { files, edits, wants: first.wants, menu, findings })
}

/// What the steps of a plan leave on disk.
#[derive(Debug, Default)]
struct Left {
    texts: BTreeMap<PathBuf, (String, u32)>,
    edits: BTreeMap<PathBuf, Vec<LineEdit>>,
}

impl Left {
    /// Goes through the steps in their order. Links, commands and the trial's variable are this boot's alone: an image
    /// has none, and its menu is made by the same program that the commands run.
    fn of(plan: &Plan) -> Result<Self, Vec<Finding>> {
        let mut left = Self::default();
        for step in plan.stages.iter().flat_map(|stage| &stage.steps) {
            match &step.action {
                Action::File { path, state, .. } if is_kept(path) => match state {
                    FileState::Text { text, mode } => {
                        left.texts.insert(path.clone(), (text.clone(), *mode));
                    }
                    FileState::Edited { lines } => {
                        left.edits.entry(path.clone()).or_default().extend(lines.iter().cloned());
                    }
                    FileState::Absent | FileState::Dir { .. } | FileState::Link { .. } => {
                        return Err(vec![unknown(&step.title)]);
                    }
                },
                Action::File { .. }
                | Action::Packages { .. }
                | Action::Links { .. }
                | Action::BootVariable { .. }
                | Action::Run { .. } => {}
                Action::Upgrade { .. } | Action::Unit { .. } => return Err(vec![unknown(&step.title)]),
            }
        }
        Ok(left)
    }
}

fn is_kept(path: &Path) -> bool {
    ["/run", "/proc", "/sys"].iter().all(|volatile| !path.starts_with(volatile))
}

fn unknown(title: &str) -> Finding {
    Finding::blocking(
        "image-step",
        format!("an image cannot have done: {title}"),
        "its files are written, and nothing of it runs before its first boot",
        "leave that part of host.toml out, and apply it on the machine: xenup apply",
    )
}
