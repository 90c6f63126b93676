//! A small dpkg and apt: an archive, a status file in dpkg's own form, and what a kill in the middle leaves.
//!
//! Decides: in which states a package passes through an installation or a removal, and what apt refuses.
//! Never: solves dependencies beyond what it is told, or chooses versions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::MachineError;
use crate::file::Attributes;
use crate::process::Output;

use super::FakeMachine;
use super::programs::{failed, said};

const STATUS: &str = "/var/lib/dpkg/status";
const AUTO: &str = "/var/lib/apt/extended_states";
const UNDER_WAY: &str = "/var/lib/dpkg/updates/0001";
const INFO: &str = "/var/lib/dpkg/info";
pub(super) const ARCHIVES: &str = "/var/cache/apt/archives";

/// A package as the archive has it.
#[derive(Debug, Clone, Default)]
pub struct Package {
    /// Its version.
    pub version: String,
    /// Packages that have to be there.
    pub depends: Vec<String>,
    /// Packages that must not be there: apt would remove them.
    pub conflicts: Vec<String>,
    /// Directories it owns, outermost first.
    pub dirs: Vec<PathBuf>,
    /// Files it brings.
    pub files: BTreeMap<PathBuf, String>,
    /// Configuration files it brings: they stay on a removal, and go on a purge.
    pub conffiles: BTreeMap<PathBuf, String>,
    /// Files its postinst writes; its postrm removes them on a purge.
    pub configures: BTreeMap<PathBuf, String>,
    /// Whether its postinst and postrm run `update-grub`.
    pub updates_grub: bool,
}

/// One line of dpkg's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// `installed`, `half-installed`, …
    pub status: String,
    /// Version.
    pub version: String,
}

type Table = BTreeMap<String, Installed>;

impl FakeMachine {
    /// Returns dpkg's list.
    #[must_use]
    pub fn packages(&self) -> Table {
        let text = self.text(Path::new(STATUS));
        let stanzas = text.split("\n\n").filter_map(|stanza| {
            let field = |name: &str| {
                stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
            };
            let status = field("Status")?.split(' ').next_back()?.to_owned();
            Some((field("Package")?, Installed { status, version: field("Version")? }))
        });
        stanzas.collect()
    }

    /// Returns the packages that are marked automatic.
    #[must_use]
    pub fn automatic(&self) -> BTreeSet<String> {
        let text = self.text(Path::new(AUTO));
        text.lines().filter_map(|line| line.strip_prefix("Package: ")).map(str::to_owned).collect()
    }

    /// Puts a package there as an earlier installation would have left it.
    ///
    /// # Errors
    /// The archive does not have it.
    pub fn preinstall(&mut self, name: &str, auto: bool) -> Result<(), MachineError> {
        self.install(&[name.to_owned()])?;
        let mut marks = self.automatic();
        if auto {
            marks.insert(name.to_owned());
        }
        self.save_marks(&marks)?;
        self.world.disk.sync_all();
        Ok(())
    }

    /// Removes a package so that its configuration files are left.
    ///
    /// # Errors
    /// The disk is full.
    pub fn unpreinstall(&mut self, name: &str) -> Result<(), MachineError> {
        self.dpkg(|machine| machine.remove(name, false))?;
        self.world.disk.sync_all();
        Ok(())
    }

    fn save(&mut self, table: &Table) -> Result<(), MachineError> {
        let stanzas = table.iter().map(|(name, package)| {
            let Installed { status, version } = package;
            format!(
                "Package: {name}\nStatus: install ok {status}\nArchitecture: amd64\nVersion: {version}\n\n"
            )
        });
        let text: String = stanzas.collect();
        self.database(Path::new(STATUS), &text)
    }

    fn save_marks(&mut self, marks: &BTreeSet<String>) -> Result<(), MachineError> {
        let stanzas = marks.iter().map(|name| format!("Package: {name}\nAuto-Installed: 1\n\n"));
        let text: String = stanzas.collect();
        self.database(Path::new(AUTO), &text)
    }

    /// dpkg and apt make their own databases durable, whole or not at all: one write here. With it goes every name
    /// that was made or removed before: ext4 and xfs, on which dpkg relies, keep the order of their metadata.
    /// (Bytes have no such order: what a maintainer script wrote may still be torn.)
    fn database(&mut self, path: &Path, text: &str) -> Result<(), MachineError> {
        self.write("write", path, false, |world, _| {
            let is_new = world.disk.entry(path)?.is_none();
            if let Err(error) = world.disk.overwrite(path, text.as_bytes()) {
                // Both write beside and rename: what a full disk cut short never gets the name.
                if is_new {
                    world.disk.remove_file(path)?;
                }
                return Err(error);
            }
            world.disk.sync_file(path)?;
            world.disk.sync_names();
            Ok(())
        })
    }

    fn set_status(&mut self, name: &str, status: &str) -> Result<(), MachineError> {
        let mut table = self.packages();
        let version = self.version_of(name);
        match status {
            "not-installed" => drop(table.remove(name)),
            _ => drop(table.insert(name.to_owned(), Installed { status: status.to_owned(), version })),
        }
        self.save(&table)
    }

    fn version_of(&self, name: &str) -> String {
        self.archive.get(name).map(|package| package.version.clone()).unwrap_or_default()
    }

    // --- dpkg ---

    fn begin(&mut self) -> Result<(), MachineError> {
        self.database(Path::new(UNDER_WAY), "")
    }

    fn end(&mut self) -> Result<(), MachineError> {
        self.write("remove", Path::new(UNDER_WAY), false, |world, _| {
            world.disk.remove_file(Path::new(UNDER_WAY))?;
            world.disk.sync_names();
            Ok(())
        })
    }

    fn was_interrupted(&self) -> bool {
        self.exists(Path::new(UNDER_WAY))
    }

    /// Runs dpkg: an orderly failure leaves no mark of an interruption, a kill does.
    fn dpkg(&mut self, work: impl FnOnce(&mut Self) -> Result<(), MachineError>) -> Result<(), MachineError> {
        self.begin()?;
        let done = work(self);
        if self.is_running() {
            self.end()?;
        }
        done
    }

    fn install(&mut self, names: &[String]) -> Result<(), MachineError> {
        self.dpkg(|machine| {
            for name in names {
                machine.unpack(name)?;
            }
            names.iter().try_for_each(|name| machine.configure(name))
        })
    }

    /// Unpacks a package. Until all of it is there no list says what it brought: a kill before that leaves files that
    /// dpkg does not know; a failure cleans up after itself.
    fn unpack(&mut self, name: &str) -> Result<(), MachineError> {
        let package = self.archive.get(name).cloned().unwrap_or_default();
        let was = self.packages().remove(name).map_or_else(|| "not-installed".to_owned(), |was| was.status);
        self.set_status(name, "half-installed")?;
        let kept = |path: &Path, machine: &Self| package.conffiles.contains_key(path) && machine.exists(path);
        let brought = package.files.iter().chain(&package.conffiles);
        let brought: Vec<(&PathBuf, &String)> = brought.filter(|(path, _)| !kept(path, self)).collect();
        let old = self.text(&list_of(name));
        if let Err(error) = self.lay_out(&package.dirs, &brought) {
            // An upgrade that failed is left for the next attempt, which unpacks the package again.
            if self.is_running() && matches!(was.as_str(), "not-installed" | "config-files") {
                self.clean_up(&package.dirs, &brought)?;
                self.set_status(name, if was == "config-files" { &was } else { "not-installed" })?;
            }
            return Err(error);
        }
        let list: String = package.files.keys().map(|path| format!("{}\n", path.display())).collect();
        for gone in old.lines().map(Path::new).filter(|path| !package.files.contains_key(*path)) {
            self.program_removes(gone)?;
        }
        self.database(&list_of(name), &list)?;
        self.set_status(name, "unpacked")
    }

    /// dpkg writes every file beside its place, syncs it, and then moves each into it (dpkg(1), `--force-unsafe-io`).
    fn lay_out(&mut self, dirs: &[PathBuf], brought: &[(&PathBuf, &String)]) -> Result<(), MachineError> {
        for dir in dirs {
            if !self.exists(dir) {
                self.write("create", dir, false, |world, _| {
                    world.disk.create_dir(dir, &Attributes::root(0o755))
                })?;
            }
        }
        for (path, text) in brought {
            self.program_writes(&beside(path), text)?;
        }
        for (path, _) in brought {
            self.write("sync", &beside(path), false, |world, _| world.disk.sync_file(&beside(path)))?;
        }
        for (path, _) in brought {
            self.write("rename", path, false, |world, _| world.disk.rename(&beside(path), path))?;
        }
        Ok(())
    }

    fn clean_up(&mut self, dirs: &[PathBuf], brought: &[(&PathBuf, &String)]) -> Result<(), MachineError> {
        for (path, _) in brought {
            self.program_removes(&beside(path))?;
            self.program_removes(path)?;
        }
        self.remove_empty(dirs)
    }

    fn configure(&mut self, name: &str) -> Result<(), MachineError> {
        let package = self.archive.get(name).cloned().unwrap_or_default();
        self.set_status(name, "half-configured")?;
        for (path, text) in &package.configures {
            self.program_writes(path, text)?;
        }
        if package.updates_grub {
            self.update_grub()?;
        }
        self.set_status(name, "installed")
    }

    /// Removes a package: the files that its list names, and on a purge what its scripts and its list of conffiles name,
    /// which are there once it was unpacked.
    fn remove(&mut self, name: &str, purge: bool) -> Result<(), MachineError> {
        let package = self.archive.get(name).cloned().unwrap_or_default();
        if !self.packages().contains_key(name) {
            return Ok(());
        }
        // A removal that is done is not begun again, so the mark goes first.
        let mut marks = self.automatic();
        if marks.remove(name) {
            self.save_marks(&marks)?;
        }
        let list = list_of(name);
        if self.exists(&list) {
            self.set_status(name, "half-installed")?;
            let text = self.text(&list);
            for path in text.lines().map(Path::new) {
                self.program_removes(path)?;
            }
            self.remove_empty(&package.dirs)?;
            self.set_status(name, "config-files")?;
            if purge {
                for path in package.conffiles.keys().chain(package.configures.keys()) {
                    self.program_removes(path)?;
                }
                self.remove_empty(&package.dirs)?;
            }
            if package.updates_grub {
                self.update_grub()?;
            }
        }
        if !purge {
            return Ok(());
        }
        self.set_status(name, "not-installed")?;
        self.program_removes(&list)
    }

    fn remove_empty(&mut self, dirs: &[PathBuf]) -> Result<(), MachineError> {
        for dir in dirs.iter().rev() {
            if self.world.disk.list(dir).is_ok_and(|names| names.is_empty()) {
                self.write("remove", dir, false, |world, _| world.disk.remove_dir(dir))?;
            }
        }
        Ok(())
    }

    /// Installed packages that need one of these and are not among them.
    fn dependents(&self, names: &[&str]) -> Vec<String> {
        let table = self.packages();
        let needs = |name: &&String| {
            let package = self.archive.get(*name);
            package
                .is_some_and(|package| package.depends.iter().any(|needed| names.contains(&needed.as_str())))
        };
        let there =
            table.iter().filter(|(_, package)| package.status != "config-files").map(|(name, _)| name);
        there.filter(|name| !names.contains(&name.as_str())).filter(needs).cloned().collect()
    }

    pub(super) fn run_dpkg(&mut self, args: &[&str]) -> Result<Output, MachineError> {
        let names: Vec<&str> = args.iter().filter(|arg| !arg.starts_with('-')).copied().collect();
        if args.contains(&"--configure") {
            let waiting = self
                .packages()
                .into_iter()
                .filter(|(_, package)| matches!(package.status.as_str(), "unpacked" | "half-configured"));
            let waiting: Vec<String> = waiting.map(|(name, _)| name).collect();
            self.dpkg(|machine| waiting.iter().try_for_each(|name| machine.configure(name)))?;
            return Ok(said(""));
        }
        if args.contains(&"--unpack") {
            return self.run_unpack(&names);
        }
        if args.contains(&"--purge") || args.contains(&"--remove") {
            let purge = args.contains(&"--purge");
            if let Some(first) = self.dependents(&names).first() {
                return Ok(failed(1, &format!("dpkg: dependency problems: {first} depends on it")));
            }
            self.dpkg(|machine| names.iter().try_for_each(|name| machine.remove(name, purge)))?;
            return Ok(said(""));
        }
        Ok(failed(2, "dpkg: need an action option"))
    }

    fn run_unpack(&mut self, archives: &[&str]) -> Result<Output, MachineError> {
        for path in archives.iter().map(Path::new) {
            let text = self.text(path);
            let Some(name) = text.strip_prefix("!<arch> ").and_then(|rest| rest.strip_suffix('\n')) else {
                return Ok(failed(1, "dpkg-deb: error: not a Debian format archive"));
            };
            let name = name.to_owned();
            self.dpkg(|machine| machine.unpack(&name))?;
        }
        Ok(said(""))
    }

    pub(super) fn query_dpkg(&self, args: &[&str]) -> Output {
        let table = self.packages();
        let (mut out, mut status) = (String::new(), 0);
        for name in args.iter().filter(|arg| !arg.starts_with('-')) {
            match table.get(*name) {
                Some(Installed { status, version }) => {
                    out += &format!("{name}\tamd64\t{name}\t{status}\t{version}\n");
                }
                None => status = 1,
            }
        }
        Output { status, stdout: out.into_bytes(), stderr: Vec::new() }
    }

    // --- apt ---

    /// What apt would do, in the words of its simulation; an error in its own words.
    fn simulate(&self, verb: &str, names: &[&str]) -> Result<String, String> {
        if self.was_interrupted() {
            return Err("E: dpkg was interrupted, you must manually run 'dpkg --configure -a'".to_owned());
        }
        let table = self.packages();
        if let Some((name, _)) = table.iter().find(|(_, package)| package.status == "half-installed") {
            return Err(format!("E: The package {name} needs to be reinstalled"));
        }
        let mut out = String::from("NOTE: This is only a simulation!\n");
        if verb != "install" {
            let word = if verb == "purge" { "Purg" } else { "Remv" };
            for name in self.dependents(names).iter().map(String::as_str).chain(names.iter().copied()) {
                out += &format!("{word} {name} [{}]\n", self.version_of(name));
            }
            return Ok(out);
        }
        for name in self.with_dependencies(names)? {
            let package = self.archive.get(&name).ok_or(format!("E: Unable to locate package {name}"))?;
            for gone in package.conflicts.iter().filter(|gone| table.contains_key(*gone)) {
                out += &format!("Remv {gone} [1]\n");
            }
            out += &format!("Inst {name} ({} Debian:12.1/stable [amd64])\n", package.version);
        }
        Ok(out)
    }

    /// What a full upgrade does, or what mends a half-done one: names to take away, and names to unpack in that order.
    fn upgrade_of(&self, upgrade: &Upgrade<'_>) -> Result<(Vec<String>, Vec<String>), String> {
        if self.was_interrupted() {
            return Err("E: dpkg was interrupted, you must manually run 'dpkg --configure -a'".to_owned());
        }
        let table = self.packages();
        let newer = |name: &str, there: &Installed| {
            let other = self.archive.get(name).is_some_and(|package| package.version != there.version);
            there.status == "half-installed" || (upgrade.all && there.status == "installed" && other)
        };
        let due = table.iter().filter(|(name, there)| newer(name, there)).map(|(name, _)| name.as_str());
        let named = upgrade.named.iter().copied().filter(|name| !table.contains_key(*name));
        let due = due.chain(named);
        let mut install: Vec<String> = Vec::new();
        for name in due {
            let package = self.archive.get(name).ok_or(format!("E: no archive of {name}"))?;
            let needed: Vec<&str> = package.depends.iter().map(String::as_str).collect();
            let mut needed = self.with_dependencies(&needed)?;
            needed.push(name.to_owned());
            install.extend(needed.into_iter().filter(|one| !install.contains(one)).collect::<Vec<_>>());
        }
        let conflicts =
            install.iter().filter_map(|name| self.archive.get(name)).flat_map(|package| &package.conflicts);
        let there = |name: &&String| table.get(*name).is_some_and(|there| there.status != "config-files");
        let mut gone: Vec<String> = conflicts.filter(there).cloned().collect();
        gone.sort();
        gone.dedup();
        install.retain(|name| !gone.contains(name));
        Ok((gone, install))
    }

    fn simulate_upgrade(&self, upgrade: &Upgrade<'_>) -> Result<String, String> {
        let (gone, install) = self.upgrade_of(upgrade)?;
        let table = self.packages();
        let mut out = String::new();
        for name in gone {
            out += &format!("Remv {name} [{}]\n", table.get(&name).map_or("", |there| &there.version));
        }
        for name in install {
            let old = table.get(&name).map(|there| format!("[{}] ", there.version)).unwrap_or_default();
            out += &format!("Inst {name} {old}({} Debian:13.1/stable [amd64])\n", self.version_of(&name));
        }
        Ok(out)
    }

    fn run_upgrade(&mut self, upgrade: &Upgrade<'_>, only_fetch: bool) -> Result<Output, MachineError> {
        let (gone, install) = match self.upgrade_of(upgrade) {
            Ok(both) => both,
            Err(words) => return Ok(failed(100, &words)),
        };
        self.download(&install)?;
        if only_fetch {
            return Ok(said("Download complete\n"));
        }
        let table = self.packages();
        let mut marks = self.automatic();
        let comes = |name: &&String| !table.contains_key(*name) && !upgrade.named.contains(&name.as_str());
        marks.extend(install.iter().filter(comes).cloned());
        if marks != self.automatic() {
            self.save_marks(&marks)?;
        }
        self.dpkg(|machine| gone.iter().try_for_each(|name| machine.remove(name, false)))?;
        self.install(&install)?;
        Ok(said("Setting up\n"))
    }

    /// The named packages and what they need that is not there, needed ones first.
    fn with_dependencies(&self, names: &[&str]) -> Result<Vec<String>, String> {
        let table = self.packages();
        let mut order: Vec<String> = Vec::new();
        let mut ahead: Vec<(String, bool)> =
            names.iter().rev().map(|name| ((*name).to_owned(), false)).collect();
        while let Some((word, ready)) = ahead.pop() {
            let (name, version) = word.split_once('=').unwrap_or((&word, ""));
            let there = table.get(name).is_some_and(|package| package.status == "installed");
            if there || order.iter().any(|done| done == name) {
                continue;
            }
            let package = self.archive.get(name).ok_or(format!("E: Unable to locate package {name}"))?;
            if !version.is_empty() && version != package.version {
                return Err(format!("E: Version '{version}' for '{name}' was not found"));
            }
            if ready {
                order.push(name.to_owned());
                continue;
            }
            let needed: Vec<(String, bool)> =
                package.depends.iter().map(|needed| (needed.clone(), false)).collect();
            ahead.push((name.to_owned(), true));
            ahead.extend(needed);
        }
        Ok(order)
    }

    pub(super) fn run_apt_get(&mut self, args: &[&str]) -> Result<Output, MachineError> {
        if let Some(upgrade) = Upgrade::of(args) {
            return self.run_upgrade(&upgrade, args.contains(&"--download-only"));
        }
        if args.contains(&"update") {
            return Ok(said("Reading package lists...\n"));
        }
        let (verb, names) = apt_words(args);
        if let Err(words) = self.simulate(verb, &names) {
            return Ok(failed(100, &words));
        }
        if verb != "install" {
            let doomed = self.dependents(&names);
            let doomed = doomed.iter().map(String::as_str).chain(names.iter().copied()).rev();
            let doomed: Vec<String> = doomed.map(str::to_owned).collect();
            let purge = verb == "purge";
            self.dpkg(|machine| doomed.iter().try_for_each(|name| machine.remove(name, purge)))?;
            return Ok(said(""));
        }
        match self.with_dependencies(&names) {
            Ok(order) => {
                self.download(&order)?;
                if !args.contains(&"--download-only") {
                    self.install(&order)?;
                }
                Ok(said("Setting up\n"))
            }
            Err(words) => Ok(failed(100, &words)),
        }
    }

    /// Fetches what is not there yet, as apt does: by its size alone it tells, so a torn one passes.
    fn download(&mut self, names: &[String]) -> Result<(), MachineError> {
        for name in names {
            let path = Path::new(ARCHIVES).join(format!("{name}_{}_amd64.deb", self.version_of(name)));
            if !self.exists(&path) {
                self.program_writes(&path, &format!("!<arch> {name}\n"))?;
            }
        }
        Ok(())
    }

    pub(super) fn query_apt_get(&self, args: &[&str]) -> Output {
        let (verb, names) = apt_words(args);
        let simulated = match Upgrade::of(args) {
            Some(upgrade) => self.simulate_upgrade(&upgrade),
            None => self.simulate(verb, &names),
        };
        match simulated {
            Ok(text) => said(&text),
            Err(words) => failed(100, &words),
        }
    }

    pub(super) fn run_apt_mark(&mut self, args: &[&str]) -> Result<Output, MachineError> {
        let words: Vec<&str> = args.iter().filter(|arg| !arg.starts_with('-')).copied().collect();
        let Some((how, names)) = words.split_first() else { return Ok(failed(100, "E: what?")) };
        let mut marks = self.automatic();
        for name in names {
            match *how {
                "auto" => drop(marks.insert((*name).to_owned())),
                _ => drop(marks.remove(*name)),
            }
        }
        self.save_marks(&marks)?;
        Ok(said(""))
    }
}

fn list_of(name: &str) -> PathBuf {
    Path::new(INFO).join(format!("{name}.list"))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".dpkg-new");
    PathBuf::from(name)
}

/// An upgrade of all packages, with what is asked for by name beside; or of those alone that are broken.
struct Upgrade<'a> {
    all: bool,
    named: Vec<&'a str>,
}

impl<'a> Upgrade<'a> {
    /// Reads a command line of `apt-get`; `None` where it is no upgrade.
    fn of(args: &[&'a str]) -> Option<Self> {
        if let Some(at) = args.iter().position(|arg| *arg == "full-upgrade") {
            let named = args.iter().skip(at.saturating_add(1)).copied().collect();
            return Some(Self { all: true, named });
        }
        args.ends_with(&["-f", "install"]).then(|| Self { all: false, named: Vec::new() })
    }
}

/// Returns the verb of an `apt-get` command line and the words after it.
fn apt_words<'a>(args: &[&'a str]) -> (&'a str, Vec<&'a str>) {
    let at = args.iter().position(|arg| matches!(*arg, "install" | "remove" | "purge"));
    let Some(at) = at else { return ("", Vec::new()) };
    let names = args.iter().skip(at + 1).filter(|arg| !arg.starts_with('-'));
    (args.get(at).copied().unwrap_or_default(), names.copied().collect())
}
