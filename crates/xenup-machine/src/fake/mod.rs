//! A fake machine in memory: files in two layers, dpkg and apt, systemd, GRUB and a network, all small, and a
//! fault at any write.
//!
//! Decides: what a write, a kill and a power cut leave. Never: touches a real machine.
//!
//! The process that uses it can be killed at any write: from then on nothing it asks for is done, as if it had
//! ended there, until [`FakeMachine::revive`] (another process, the same boot) or [`FakeMachine::power_on`].

mod chance;
mod disk;
mod fault;
mod network;
mod packages;
mod programs;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use chance::Chance;
pub use disk::{Disk, Seen};
pub use fault::{Fault, Injection, Moment};
use fault::{Faults, dead, device_error};
pub use network::{FakeNetwork, connected, nic};
pub use packages::{Installed, Package};

use crate::file::{Attributes, Entry, Space};
use crate::network::{Address, LinkOp, Network};
use crate::process::{Command, Output, Query};
use crate::{Clock, Lock, Machine, MachineError, Probe, Reason};

/// Everything a fault can leave half-done.
#[derive(Debug, Clone)]
struct World {
    disk: Disk,
    network: FakeNetwork,
    active: BTreeSet<String>,
    lock: Option<String>,
    boot: u32,
    boottime_ns: u64,
    /// Syncs that do nothing: what an engine would do that had forgotten them.
    lost_syncs: Option<Sync>,
    /// How long a NIC that retrains its link has no carrier.
    retraining: Duration,
    /// When those that are at it have it again.
    carrier_at: u64,
}

/// A kind of sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Of the bytes of a file.
    Files,
    /// Of the names in a directory.
    Names,
    /// Of everything, by sync(1), after a program that syncs nothing itself.
    Everything,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    Running,
    Killed,
    Off { seed: u64 },
}

/// The machine.
#[derive(Debug, Clone)]
pub struct FakeMachine {
    world: World,
    archive: BTreeMap<String, Package>,
    at_boot: Network,
    faults: Faults,
    power: Power,
}

impl Default for FakeMachine {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeMachine {
    /// Returns a machine with the directories of a Debian system, a machine id, no packages and no links.
    #[must_use]
    pub fn new() -> Self {
        let world = World {
            disk: Disk::new(),
            network: FakeNetwork::default(),
            active: BTreeSet::new(),
            lock: None,
            boot: 1,
            boottime_ns: 60_000_000_000,
            lost_syncs: None,
            retraining: Duration::ZERO,
            carrier_at: 0,
        };
        let mut machine = Self {
            world,
            archive: BTreeMap::new(),
            at_boot: Network::default(),
            faults: Faults::default(),
            power: Power::Running,
        };
        for dir in
            ["/boot/grub", "/etc/systemd/system", "/lib/systemd/system", "/run", "/var/lib/dpkg/updates"]
        {
            machine.make_dirs(Path::new(dir));
        }
        machine.make_dirs(Path::new("/var/lib/dpkg/info"));
        machine.make_dirs(Path::new(packages::ARCHIVES));
        machine.make_dirs(Path::new("/var/lib/apt"));
        machine.put("/lib/systemd/system/ssh.service", b"[Install]\n", &Attributes::root(0o644));
        machine.put_link(
            "/etc/systemd/system/multi-user.target.wants/ssh.service",
            "/lib/systemd/system/ssh.service",
        );
        machine.activate("ssh.service");
        machine.put("/etc/machine-id", b"0123456789abcdef0123456789abcdef\n", &Attributes::root(0o444));
        machine
    }

    // --- setting up: no fault strikes here, and everything is durable ---

    fn make_dirs(&mut self, dir: &Path) {
        let missing = dir.ancestors().filter(|dir| !self.exists(dir)).map(Path::to_owned).collect::<Vec<_>>();
        for dir in missing.iter().rev() {
            // The parent is there and the name is free, so this cannot fail.
            let _ = self.world.disk.create_dir(dir, &Attributes::root(0o755));
        }
        self.world.disk.sync_all();
    }

    /// Puts a file there, durable, with the directories it needs.
    pub fn put(&mut self, path: impl AsRef<Path>, bytes: &[u8], attributes: &Attributes) {
        let path = path.as_ref();
        self.make_dirs(path.parent().unwrap_or(path));
        let _ = self.world.disk.remove_file(path);
        let _ = self.world.disk.create_file(path, bytes, attributes);
        self.world.disk.sync_all();
    }

    /// Puts a directory there, durable.
    pub fn put_dir(&mut self, path: impl AsRef<Path>, attributes: &Attributes) {
        self.make_dirs(path.as_ref());
        let _ = self.world.disk.set_attributes(path.as_ref(), attributes);
        self.world.disk.sync_all();
    }

    /// Puts a symbolic link there, durable.
    pub fn put_link(&mut self, path: impl AsRef<Path>, target: impl AsRef<Path>) {
        let path = path.as_ref();
        self.make_dirs(path.parent().unwrap_or(path));
        let _ = self.world.disk.create_symlink(path, target.as_ref(), &Attributes::root(0o777));
        self.world.disk.sync_all();
    }

    /// Removes a file or link, durable: for a change that somebody else makes.
    pub fn take(&mut self, path: impl AsRef<Path>) {
        let _ = self.world.disk.remove_file(path.as_ref());
        self.world.disk.sync_all();
    }

    /// Adds a package to the archive.
    pub fn publish(&mut self, name: &str, package: Package) {
        self.archive.insert(name.to_owned(), package);
    }

    /// Sets the network, also as it is after each boot.
    pub fn connect(&mut self, network: Network) {
        self.at_boot = network.clone();
        self.world.network = FakeNetwork::new(network);
    }

    /// Makes a unit active, as if it had been started at boot.
    pub fn activate(&mut self, unit: &str) {
        self.world.active.insert(unit.to_owned());
    }

    /// Generates grub.cfg, so that a later run of `update-grub` has something to be compared with.
    ///
    /// # Errors
    /// The disk is full.
    pub fn generate_grub(&mut self) -> Result<(), MachineError> {
        self.update_grub()?;
        self.world.disk.sync_all();
        Ok(())
    }

    /// Has a NIC lose its carrier for so long when it becomes a port.
    pub fn retrain(&mut self, nic: &str, time: Duration) {
        self.world.network.retraining.push(nic.to_owned());
        self.world.retraining = time;
    }

    /// Has another process hold the lock.
    pub fn hold_lock(&mut self, holder: &str) {
        self.world.lock = Some(holder.to_owned());
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.world.boottime_ns = self.world.boottime_ns.saturating_add(nanoseconds);
        self.world.disk.advance(i64::try_from(nanoseconds).unwrap_or(i64::MAX));
        if self.world.boottime_ns >= self.world.carrier_at {
            self.world.network.dark.clear();
            self.world.network.look_for_carrier();
        }
    }

    // --- faults ---

    /// Sets the fault to come, and counts writes from 0 again.
    pub fn inject(&mut self, fault: Option<Injection>) {
        self.faults.set(fault);
    }

    /// Counts writes from 0 again and remembers them.
    pub fn trace(&mut self) {
        self.faults.trace();
    }

    /// Returns the writes since [`Self::trace`], and whether each has a middle.
    pub fn traced(&mut self) -> Vec<bool> {
        self.faults.traced()
    }

    /// Makes syncs of one kind do nothing: a mutant that the fault drills have to notice.
    pub fn lose_syncs(&mut self, kind: Sync) {
        self.world.lost_syncs = Some(kind);
    }

    /// Gives a full disk its space back.
    pub fn make_room(&mut self) {
        self.world.disk.capacity = u64::MAX;
    }

    /// Makes a directory a file system of its own, with room for everything.
    pub fn mount(&mut self, dir: impl Into<PathBuf>) {
        self.world.disk.mounts.push((dir.into(), u64::MAX));
    }

    /// Gives the root file system this many bytes in all.
    pub fn limit_root(&mut self, bytes: u64) {
        self.world.disk.capacity = bytes;
    }

    /// Fills the root file system; what is mounted elsewhere keeps its room.
    pub fn fill_root(&mut self) {
        self.world.disk.capacity = 0;
    }

    /// Returns whether the process that uses the machine is alive.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.power == Power::Running
    }

    /// Starts another process in the same boot, or after a power cut in a new one.
    pub fn revive(&mut self) {
        if let Power::Off { seed } = self.power {
            self.lose_power(seed);
        }
        self.world.lock = None;
        self.power = Power::Running;
    }

    /// Cuts the power now, and starts the machine again.
    pub fn power_cycle(&mut self, seed: u64) {
        self.power = Power::Off { seed };
        self.revive();
    }

    /// Makes durable whatever is on the disk, as time does.
    pub fn settle(&mut self) {
        self.world.disk.sync_all();
    }

    /// Shuts the machine down in good order, and starts it again.
    pub fn shut_down(&mut self) {
        self.world.disk.sync_all();
        self.power_cycle(0);
    }

    fn lose_power(&mut self, seed: u64) {
        self.world.disk.cut_power(&mut Chance::new(seed));
        self.world.network = FakeNetwork::new(self.at_boot.clone());
        self.world.boot += 1;
        self.world.boottime_ns = 20_000_000_000;
        let wants = Path::new("/etc/systemd/system/multi-user.target.wants");
        let enabled = self.world.disk.list(wants).unwrap_or_default();
        self.world.active = enabled.iter().map(|unit| unit.to_string_lossy().into_owned()).collect();
    }

    /// Performs one write: whole, or as a fault leaves it. `act` is told to stop half-way by [`Moment::Middle`].
    fn write<T>(
        &mut self,
        doing: &'static str,
        path: &Path,
        has_middle: bool,
        mut act: impl FnMut(&mut World, Moment) -> Result<T, MachineError>,
    ) -> Result<T, MachineError> {
        let subject = path.display().to_string();
        if !self.is_running() {
            return Err(dead(doing, &subject));
        }
        self.world.boottime_ns += 1_000_000;
        let Some((moment, fault)) = self.faults.meet(has_middle) else {
            return act(&mut self.world, Moment::After);
        };
        if fault == Fault::DiskFull {
            self.world.disk.capacity = self.world.disk.used() + if moment == Moment::Middle { 7 } else { 0 };
            return act(&mut self.world, Moment::After);
        }
        if moment != Moment::Before {
            // What it says of itself is heard by nobody.
            let _ = act(&mut self.world, moment);
        }
        match fault {
            Fault::Fails | Fault::DiskFull => return Err(device_error(doing, &subject)),
            Fault::Kill => self.power = Power::Killed,
            Fault::PowerCut { seed } => self.power = Power::Off { seed },
        }
        Err(dead(doing, &subject))
    }

    // --- looking ---

    /// Returns everything on the disk, by path.
    #[must_use]
    pub fn tree(&self) -> BTreeMap<PathBuf, Seen> {
        self.world.disk.tree()
    }

    /// Returns the units that are active.
    #[must_use]
    pub fn active_units(&self) -> &BTreeSet<String> {
        &self.world.active
    }

    /// Returns the kernel's network.
    #[must_use]
    pub fn links(&self) -> &Network {
        &self.world.network.state
    }

    /// Returns the text of a file; empty where there is none.
    #[must_use]
    pub fn text(&self, path: &Path) -> String {
        self.world
            .disk
            .read(path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn exists(&self, path: &Path) -> bool {
        self.world.disk.entry(path).is_ok_and(|entry| entry.is_some())
    }

    fn alive(&self, doing: &'static str, subject: &Path) -> Result<(), MachineError> {
        if self.is_running() { Ok(()) } else { Err(dead(doing, &subject.display().to_string())) }
    }
}

impl Probe for FakeMachine {
    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, MachineError> {
        self.alive("read", path)?;
        let bytes = self.world.disk.read(path)?;
        if bytes.len() as u64 > limit {
            return Err(MachineError::at(
                "read",
                path,
                Reason::TooLarge,
                format!("longer than {limit} bytes"),
            ));
        }
        Ok(bytes.to_vec())
    }

    fn entry(&self, path: &Path) -> Result<Option<Entry>, MachineError> {
        self.alive("stat", path)?;
        self.world.disk.entry(path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<OsString>, MachineError> {
        self.alive("list", dir)?;
        self.world.disk.list(dir)
    }

    fn space(&self, path: &Path) -> Result<Space, MachineError> {
        self.alive("statvfs", path)?;
        let (total, free) = self.world.disk.space(path);
        Ok(Space { free, total, read_only: false })
    }

    fn query(&self, query: &Query) -> Result<Output, MachineError> {
        self.alive("run", Path::new(&query.program))?;
        self.ask(query)
    }

    fn network(&self) -> Result<Network, MachineError> {
        self.alive("read", Path::new("the network"))?;
        Ok(self.world.network.state.clone())
    }

    fn neighbour_answers(
        &self,
        link: &str,
        address: &Address,
        _wait: Duration,
    ) -> Result<bool, MachineError> {
        self.alive("ask", Path::new(link))?;
        Ok(self.world.network.answers(link, address.ip))
    }

    fn clock(&self) -> Clock {
        Clock {
            unix_seconds: self.world.disk.unix_seconds(),
            boottime_ns: self.world.boottime_ns,
            boot_id: format!("boot-{}", self.world.boot),
        }
    }
}

/// Returns the first half of some bytes, where a write stops in its middle.
fn part(bytes: &[u8], moment: Moment) -> &[u8] {
    let end = if moment == Moment::Middle { bytes.len() / 2 } else { bytes.len() };
    bytes.get(..end).unwrap_or_default()
}

impl Machine for FakeMachine {
    fn create_file(
        &mut self,
        path: &Path,
        bytes: &[u8],
        attributes: &Attributes,
    ) -> Result<(), MachineError> {
        self.write("create", path, true, |world, moment| {
            world.disk.create_file(path, part(bytes, moment), attributes)
        })
    }

    fn append(&mut self, path: &Path, bytes: &[u8]) -> Result<(), MachineError> {
        self.write("append to", path, true, |world, moment| world.disk.append(path, part(bytes, moment)))
    }

    fn create_symlink(
        &mut self,
        path: &Path,
        target: &Path,
        attributes: &Attributes,
    ) -> Result<(), MachineError> {
        self.write("link", path, false, |world, _| world.disk.create_symlink(path, target, attributes))
    }

    fn create_dir(&mut self, path: &Path, attributes: &Attributes) -> Result<(), MachineError> {
        self.write("create", path, false, |world, _| world.disk.create_dir(path, attributes))
    }

    fn set_attributes(&mut self, path: &Path, attributes: &Attributes) -> Result<(), MachineError> {
        self.write("change", path, false, |world, _| world.disk.set_attributes(path, attributes))
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), MachineError> {
        self.write("rename", from, false, |world, _| world.disk.rename(from, to))
    }

    fn remove_file(&mut self, path: &Path) -> Result<(), MachineError> {
        self.write("remove", path, false, |world, _| world.disk.remove_file(path))
    }

    fn remove_dir(&mut self, path: &Path) -> Result<(), MachineError> {
        self.write("remove", path, false, |world, _| world.disk.remove_dir(path))
    }

    fn sync_file(&mut self, path: &Path) -> Result<(), MachineError> {
        self.write("sync", path, false, |world, _| {
            if world.lost_syncs == Some(Sync::Files) { Ok(()) } else { world.disk.sync_file(path) }
        })
    }

    fn sync_dir(&mut self, dir: &Path) -> Result<(), MachineError> {
        self.write("sync", dir, false, |world, _| match world.disk.entry(dir)? {
            Some(_) if world.lost_syncs == Some(Sync::Names) => Ok(()),
            _ => world.disk.sync_dir(dir),
        })
    }

    fn run(&mut self, command: &Command, line: &mut dyn FnMut(&str)) -> Result<Output, MachineError> {
        let program = PathBuf::from(&command.program);
        self.write("run", &program, false, |_, _| Ok(()))?;
        let output = self.start(command)?;
        output.text().lines().for_each(line);
        Ok(output)
    }

    fn change_links(&mut self, ops: &[LinkOp]) -> Result<(), MachineError> {
        for (at, op) in ops.iter().enumerate() {
            let subject = PathBuf::from(format!("{at}: {op}"));
            self.write("change links by", &subject, false, |world, _| {
                let refused = |words| {
                    MachineError::new("change links by", format!("{at}: {op}"), Reason::Network, words)
                };
                let dark = world.network.dark.len();
                world.network.change(op).map_err(refused)?;
                if world.network.dark.len() > dark {
                    let time = u64::try_from(world.retraining.as_nanos()).unwrap_or(u64::MAX);
                    world.carrier_at = world.boottime_ns.saturating_add(time);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn pause(&mut self, time: Duration) {
        self.wait(time);
    }

    fn lock(&mut self, path: &Path, owner: &str) -> Result<Lock, MachineError> {
        if let Some(holder) = &self.world.lock {
            return Ok(Lock::HeldBy(holder.clone()));
        }
        self.write("lock", path, false, |world, _| {
            world.disk.overwrite(path, owner.as_bytes())?;
            Ok(Lock::Taken)
        })
    }

    fn seize_lock(&mut self, path: &Path, _holder: &str, owner: &str) -> Result<(), MachineError> {
        self.world.lock = None;
        self.lock(path, owner).map(drop)
    }
}
