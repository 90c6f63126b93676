//! `xenup known-good`: what is known to boot stays what boots by itself, and what is newer is booted once first.
//!
//! Decides: when a trial is armed, and what of it is kept. A copy is whole and durable before an entry names it, and an
//! entry names no older one before that is removed, so that a power cut at any moment leaves a default that boots.
//! Never: waits for a person; the checks are those that somebody confirmed when Xen was first tried.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use xenup_core::boot::MENU;
use xenup_core::boot::known_good::{
    Boots, Entry, FILE, FOLDER, ID, KnownGood, NoEntry, TRIAL_ID, Tried, trial_mark,
};
use xenup_engine::digest::Digest;
use xenup_engine::plan::Slug;
use xenup_engine::status::StageState;
use xenup_engine::store::{Run, Store};
use xenup_engine::{durable, grubenv};
use xenup_machine::file::{Attributes, Kind};
use xenup_machine::process::{Command, Query};
use xenup_machine::{Machine, MachineError, Probe};
use xenup_system::guard::{announce, reboot, settled};

use crate::args::KnownGood as Verb;
use crate::commands::machine;
use crate::error::{CommandError, Exit, Outcome};
use crate::guard::failing;
use crate::ui::Ui;

/// A menu with hundreds of entries has 1 MB.
const MENU_LIMIT: u64 = 16 << 20;
/// An initramfs with all firmware.
const FILE_LIMIT: u64 = 2 << 30;
/// How long the boot may take to settle; the unit ends the whole after fifteen minutes.
const SETTLES: Duration = Duration::from_secs(600);
/// How long what must hold may take after that, and how long until it is looked at again.
const GRACE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(3);

/// Does what a plan or a unit asks for.
pub fn run(ui: &mut Ui, verb: &Verb) -> Outcome {
    machine::need_root("known-good")?;
    let mut machine = machine::running()?;
    match verb {
        Verb::Keep => {
            let newest = Newest::read(&machine)?;
            runs(&machine, &newest)?;
            keep(&mut machine, &newest)?;
            ui.status(format!("{} is known to boot", newest.words()));
            Ok(Exit::Done)
        }
        Verb::Forget => {
            forget(&mut machine).map_err(machine::machine_error)?;
            Ok(Exit::Done)
        }
        Verb::Arm if !is_going_down(&machine) => Ok(Exit::Done),
        Verb::Arm => {
            let unfinished = machine::store().newest_unfinished(&machine).map_err(machine::engine_error)?;
            if unfinished.is_none()
                && let Some(words) = arm(&mut machine)?
            {
                ui.status(format!("the next boot is a trial of {words}"));
            }
            Ok(Exit::Done)
        }
        Verb::Check => check(ui, &mut machine),
    }
}

/// GRUB's newest entry for Xen, with what its files are now.
struct Newest {
    entry: Entry,
    mark: String,
}

impl Newest {
    fn read(probe: &dyn Probe) -> Result<Self, CommandError> {
        let menu = probe.read(Path::new(MENU), MENU_LIMIT).map_err(machine::machine_error)?;
        let entry = Entry::newest(&String::from_utf8_lossy(&menu)).map_err(no_entry)?;
        let mark = mark(probe, &entry, Path::new("/boot")).map_err(machine::machine_error)?;
        Ok(Self { entry, mark })
    }

    fn words(&self) -> String {
        Pair::of(&self.entry.tried(&self.mark)).to_string()
    }
}

/// Refuses to call a kernel good that came between the trial boot and its confirm.
fn runs(probe: &dyn Probe, newest: &Newest) -> Result<(), CommandError> {
    let release =
        probe.read(Path::new("/proc/sys/kernel/osrelease"), 4096).map_err(machine::machine_error)?;
    let release = String::from_utf8_lossy(&release);
    let linux = newest.entry.tried(&newest.mark).linux;
    if release.trim() == linux {
        return Ok(());
    }
    let words = format!("Linux {} runs, and GRUB's newest entry for Xen boots {linux}", release.trim());
    Err(CommandError::refused(words)
        .hinted("restart into plain Linux, then: xenup apply, which arms a trial of it"))
}

fn no_entry(error: NoEntry) -> CommandError {
    CommandError::failed(error)
        .hinted("update-grub, and look whether `grep xen-gnulinux-simple /boot/grub/grub.cfg` finds an entry")
}

/// The mark of an entry whose files are in a folder.
fn mark(probe: &dyn Probe, entry: &Entry, folder: &Path) -> Result<String, MachineError> {
    let digest = |name: &String| Ok(Digest::of(&probe.read(&folder.join(name), FILE_LIMIT)?));
    let digests: Vec<Digest> = entry.files().iter().map(digest).collect::<Result<_, _>>()?;
    Ok(entry.mark(&digests))
}

fn read(probe: &dyn Probe) -> Result<KnownGood, MachineError> {
    match probe.read(Path::new(FILE), MENU_LIMIT) {
        Ok(bytes) => Ok(KnownGood::parse(&String::from_utf8_lossy(&bytes))),
        Err(error) if error.is_not_found() => Ok(KnownGood::default()),
        Err(error) => Err(error),
    }
}

fn write(machine: &mut dyn Machine, state: &KnownGood) -> Result<(), MachineError> {
    let path = Path::new(FILE);
    let temporary = durable::parent(path).join(".xenup.cfg.xenup-new");
    durable::put_file(machine, path, state.text().as_bytes(), &Attributes::root(0o644), &temporary)
}

/// Keeps what is newest.
fn keep(machine: &mut dyn Machine, newest: &Newest) -> Result<(), CommandError> {
    let folder = Path::new(FOLDER).join(&newest.mark);
    copy(machine, &newest.entry, &folder).map_err(machine::machine_error)?;
    // What is named is what was copied, though dpkg may be at work.
    let copied = mark(machine, &newest.entry, &folder).map_err(machine::machine_error)?;
    if copied != newest.mark {
        let words = format!("{} is not what it was: files of /boot are being replaced", folder.display());
        return Err(CommandError::failed(words).hinted("try again when apt and update-initramfs have ended"));
    }
    let state = KnownGood { known: Some(newest.entry.kept(&newest.mark)), trial: None };
    write(machine, &state).map_err(machine::machine_error)?;
    remove_all_but(machine, Some(&newest.mark)).map_err(machine::machine_error)
}

/// Puts the files of an entry into a folder, as further names of the same bytes where the file system has such names.
fn copy(machine: &mut dyn Machine, entry: &Entry, folder: &Path) -> Result<(), MachineError> {
    durable::make_dirs(machine, folder, 0o755)?;
    for name in entry.files() {
        let (from, to) = (Path::new("/boot").join(name), folder.join(name));
        durable::clear(machine, &to)?;
        let paths = [from.as_path(), to.as_path()].map(|path| path.display().to_string());
        let linked = machine.run(&Command::new("ln", paths), &mut |_| {});
        // Not on every file system, such as that of a small /boot of UEFI's.
        if !linked.is_ok_and(|output| output.success()) {
            let bytes = machine.read(&from, FILE_LIMIT)?;
            let temporary = folder.join(format!(".{name}.xenup-new"));
            durable::put_file(machine, &to, &bytes, &Attributes::root(0o600), &temporary)?;
        }
        machine.sync_file(&to)?;
    }
    machine.sync_dir(folder)
}

/// Takes away the entries, then the copies.
fn forget(machine: &mut dyn Machine) -> Result<(), MachineError> {
    durable::clear(machine, Path::new(FILE))?;
    remove_all_but(machine, None)?;
    durable::remove_dir_if_empty(machine, Path::new(FOLDER))
}

fn remove_all_but(machine: &mut dyn Machine, mark: Option<&str>) -> Result<(), MachineError> {
    let folders = match machine.list(Path::new(FOLDER)) {
        Err(error) if error.is_not_found() => return Ok(()),
        names => names?,
    };
    for name in folders.into_iter().filter(|name| mark.is_none_or(|mark| name != mark)) {
        let folder = Path::new(FOLDER).join(name);
        if machine.entry(&folder)?.is_none_or(|entry| entry.kind != Kind::Dir) {
            continue;
        }
        for file in machine.list(&folder)? {
            durable::clear(machine, &folder.join(file))?;
        }
        durable::remove_dir_if_empty(machine, &folder)?;
    }
    Ok(())
}

/// A unit is stopped by package upgrades and by hand as well.
fn is_going_down(probe: &dyn Probe) -> bool {
    let answer = probe.query(&Query::new("systemctl", ["is-system-running"]));
    answer.is_ok_and(|output| output.text().trim() == "stopping")
}

/// Arms a trial of what is newer than what is kept, once; returns what in words.
fn arm(machine: &mut dyn Machine) -> Result<Option<String>, CommandError> {
    let mut state = read(machine).map_err(machine::machine_error)?;
    let Some(known) = &state.known else { return Ok(None) };
    let menu = machine.read(Path::new(MENU), MENU_LIMIT).map_err(machine::machine_error)?;
    // The default is somebody's own choice: then nothing is tried behind its back.
    if !String::from_utf8_lossy(&menu).contains(&format!("set default=\"{ID}\"")) {
        return Ok(None);
    }
    let newest = Newest::read(machine)?;
    let tried = state.trial.as_ref().is_some_and(|trial| trial.boots.mark == newest.mark);
    let has_modules = is_there(machine, &Path::new("/lib/modules").join(&known.linux).join("modules.dep"))?;
    if newest.mark == known.mark || (tried && has_modules) {
        return Ok(None);
    }
    // A kernel whose modules were removed has no network: GRUB's fallback is better.
    state.known = state.known.filter(|_| has_modules);
    state.trial = Some(Tried { boots: newest.entry.tried(&newest.mark), failed: None });
    write(machine, &state).map_err(machine::machine_error)?;
    let block = machine.read(Path::new(grubenv::PATH), 1 << 20).map_err(machine::machine_error)?;
    if grubenv::value(&block, "next_entry").is_some_and(|next| !next.is_empty()) {
        return Ok(None);
    }
    let set = machine.run(&grubenv::command("next_entry", Some(TRIAL_ID)), &mut |_| {});
    let set = set.map_err(machine::machine_error)?;
    match set.success() {
        true => Ok(Some(newest.words())),
        false => Err(CommandError::failed(format!("grub-editenv: {}", set.complaint()))),
    }
}

fn is_there(probe: &dyn Probe, path: &Path) -> Result<bool, CommandError> {
    Ok(probe.entry(path).map_err(machine::machine_error)?.is_some())
}

/// Judges a trial boot by what the first trial had to hold.
fn check(ui: &mut Ui, machine: &mut xenup_system::System) -> Outcome {
    let cmdline = machine.read(Path::new("/proc/cmdline"), 1 << 16).map_err(machine::machine_error)?;
    let cmdline = String::from_utf8_lossy(&cmdline).into_owned();
    let Some(mark) = trial_mark(&cmdline) else { return Ok(Exit::Done) };
    settled(SETTLES);
    match holds(ui, machine)? {
        None => promote(ui, machine, mark),
        Some(why) => {
            let mut state = read(machine).map_err(machine::machine_error)?;
            if let Some(trial) = &mut state.trial {
                trial.failed = Some(why.clone());
            }
            write(machine, &state).map_err(machine::machine_error)?;
            announce(&format!("this trial boot is not good: {why}; restarting into what is known to boot"));
            reboot();
            Err(CommandError::failed(why))
        }
    }
}

/// Returns what does not hold after some patience.
fn holds(ui: &mut Ui, machine: &mut xenup_system::System) -> Result<Option<String>, CommandError> {
    let (run, stage) = confirmed(&machine::store(), machine)?;
    let until =
        machine.clock().boottime_ns.saturating_add(u64::try_from(GRACE.as_nanos()).unwrap_or(u64::MAX));
    loop {
        let Some(why) = failing(&run, &stage) else { return Ok(None) };
        if machine.clock().boottime_ns >= until {
            return Ok(Some(why));
        }
        ui.warning(format!("does not hold yet: {why}"));
        machine.pause(AGAIN);
    }
}

/// The newest run with a trial of Xen that was kept.
fn confirmed(store: &Store, probe: &dyn Probe) -> Result<(Run, Slug), CommandError> {
    for id in store.runs(probe).map_err(machine::engine_error)?.iter().rev() {
        let run = store.load(probe, id).map_err(machine::engine_error)?;
        let found = run
            .status
            .stages
            .iter()
            .find(|stage| stage.id.as_str() == "boot-trial" && stage.state == StageState::Kept);
        if let Some(stage) = found.map(|stage| stage.id.clone()) {
            return Ok((run, stage));
        }
    }
    Err(CommandError::failed("no run of this machine has a trial boot that was confirmed"))
}

fn promote(ui: &mut Ui, machine: &mut dyn Machine, mark: &str) -> Outcome {
    let newest = Newest::read(machine)?;
    if newest.mark == mark {
        keep(machine, &newest)?;
        announce(&format!("{} booted well, and is what boots by itself from now on", newest.words()));
        return Ok(Exit::Done);
    }
    // What booted is not on disk any more: what is there now is tried at the next restart.
    let state = KnownGood { trial: None, ..read(machine).map_err(machine::machine_error)? };
    write(machine, &state).map_err(machine::machine_error)?;
    ui.status("files of /boot were replaced since; the next restart tries them");
    Ok(Exit::Done)
}

/// What `xenup status` says of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Told {
    /// What boots by itself; `None` where the modules of its kernel are gone.
    known: Option<Pair>,
    /// What is or was tried since.
    trial: Option<Pair>,
    /// What did not hold in that boot; `None` where nothing was heard of it.
    failed: Option<String>,
    /// Whether the machine runs in it.
    in_trial: bool,
}

/// A hypervisor with its Linux.
#[derive(Debug, Serialize, JsonSchema)]
struct Pair {
    /// The hypervisor's file name.
    xen: String,
    /// The kernel's release.
    linux: String,
}

impl Pair {
    fn of(boots: &Boots) -> Self {
        Self { xen: boots.xen.clone(), linux: boots.linux.clone() }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with Linux {}", self.xen, self.linux)
    }
}

/// Reads it; `None` where nothing is kept.
pub fn told(probe: &dyn Probe) -> Option<Told> {
    let state = read(probe).ok().filter(|state| *state != KnownGood::default())?;
    let cmdline = probe.read(Path::new("/proc/cmdline"), 1 << 16).unwrap_or_default();
    Some(Told {
        known: state.known.as_ref().map(Pair::of),
        trial: state.trial.as_ref().map(|trial| Pair::of(&trial.boots)),
        failed: state.trial.and_then(|trial| trial.failed),
        in_trial: trial_mark(&String::from_utf8_lossy(&cmdline)).is_some(),
    })
}

impl Told {
    /// Returns a heading, and the lines below it.
    pub fn lines(&self) -> (&'static str, Vec<String>) {
        let known = match &self.known {
            Some(known) => format!("  known to boot: {known}, which boots by itself"),
            None => "  known to boot: nothing; plain Linux boots by itself".to_owned(),
        };
        match &self.trial {
            None => ("Later versions of Xen and Linux are tried first", vec![known]),
            Some(trial) if self.in_trial => {
                let next = "  next: nothing; it is kept or left by itself".to_owned();
                ("This boot is a trial of a later version", vec![format!("  running: {trial}"), known, next])
            }
            Some(trial) => {
                let why = self.failed.as_deref().unwrap_or("nothing was heard of that boot");
                let next = format!(
                    "  next: nothing; to try it once more: grub-reboot {TRIAL_ID}, then systemctl reboot"
                );
                let heading = "A later version did not boot well, and is not tried again";
                (heading, vec![format!("  {trial}: {why}"), known, next])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use xenup_core::boot::known_good::{FILE, FOLDER, KnownGood, Tried};
    use xenup_engine::grubenv;
    use xenup_machine::Probe as _;
    use xenup_machine::fake::{FakeMachine, Fault, Injection, Moment};
    use xenup_machine::file::Attributes;

    use super::{Newest, arm, forget, keep, mark, read, runs};

    const MENU: &str = "set default=\"xenup-known-good\"
menuentry 'D, with Xen' $menuentry_id_option 'xen-gnulinux-simple-U' {
\tmultiboot2\t/boot/xen-4.17-amd64.gz placeholder
\tmodule2\t/boot/vmlinuz-6.1 placeholder root=UUID=U
\tmodule2\t--nounzip /boot/initrd.img-6.1
}
";

    fn put(machine: &mut FakeMachine, path: &str, text: &str) {
        machine.put(path, text.as_bytes(), &Attributes::root(0o644));
    }

    /// A machine on which Xen was tried, before anything is kept.
    fn host() -> FakeMachine {
        let mut machine = FakeMachine::new();
        put(&mut machine, "/boot/grub/grub.cfg", MENU);
        put(&mut machine, "/boot/xen-4.17-amd64.gz", "xen");
        put(&mut machine, "/boot/vmlinuz-6.1", "linux");
        put(&mut machine, "/boot/initrd.img-6.1", "initrd");
        put(&mut machine, "/lib/modules/6.1/modules.dep", "");
        put(&mut machine, grubenv::PATH, &format!("{:#<1024}", grubenv::SIGNATURE));
        machine
    }

    fn kept(mut machine: FakeMachine) -> FakeMachine {
        let newest = Newest::read(&machine).unwrap();
        keep(&mut machine, &newest).unwrap();
        machine
    }

    fn next_entry(machine: &FakeMachine) -> String {
        let block = machine.read(Path::new(grubenv::PATH), 4096).unwrap();
        grubenv::value(&block, "next_entry").unwrap_or_default()
    }

    /// The entry that boots by itself, with all its files as they were when it was kept.
    fn boots_whole(machine: &FakeMachine) -> String {
        let known = read(machine).unwrap().known.unwrap();
        let newest = Newest::read(machine).unwrap();
        let folder = Path::new(FOLDER).join(&known.mark);
        assert_eq!(mark(machine, &newest.entry, &folder).unwrap(), known.mark);
        known.mark
    }

    #[test]
    fn a_later_version_is_armed_once_and_then_kept() {
        let mut machine = kept(host());
        let first = boots_whole(&machine);
        assert_eq!(arm(&mut machine).unwrap(), None);
        put(&mut machine, "/boot/xen-4.17-amd64.gz", "xen, updated");
        assert_eq!(arm(&mut machine).unwrap().as_deref(), Some("xen-4.17-amd64.gz with Linux 6.1"));
        assert_eq!((next_entry(&machine), boots_whole(&machine)), ("xenup-trial".to_owned(), first.clone()));
        // GRUB takes the variable away when it reads it; a trial that was not kept is not armed again.
        put(&mut machine, grubenv::PATH, &format!("{:#<1024}", grubenv::SIGNATURE));
        assert_eq!(arm(&mut machine).unwrap(), None);
        let machine = kept(machine);
        assert_ne!(boots_whole(&machine), first);
        assert_eq!(read(&machine).unwrap().trial, None);
        assert_eq!(machine.list(Path::new(FOLDER)).unwrap().len(), 1);
    }

    #[test]
    fn what_does_not_run_is_not_known_to_boot() {
        let mut machine = host();
        let newest = Newest::read(&machine).unwrap();
        put(&mut machine, "/proc/sys/kernel/osrelease", "6.1\n");
        assert!(runs(&machine, &newest).is_ok());
        put(&mut machine, "/proc/sys/kernel/osrelease", "6.0\n");
        assert!(runs(&machine, &newest).is_err());
    }

    #[test]
    fn nothing_is_armed_behind_somebodys_back() {
        let mut machine = kept(host());
        put(&mut machine, "/boot/initrd.img-6.1", "made anew");
        put(&mut machine, "/boot/grub/grub.cfg", &MENU.replace("\"xenup-known-good\"", "\"0\""));
        assert_eq!(arm(&mut machine).unwrap(), None);
        put(&mut machine, "/boot/grub/grub.cfg", MENU);
        put(
            &mut machine,
            grubenv::PATH,
            &format!("{:#<1024}", format!("{}next_entry=0\n", grubenv::SIGNATURE)),
        );
        assert_eq!(arm(&mut machine).unwrap(), None);
        assert_eq!(next_entry(&machine), "0");
    }

    #[test]
    fn a_kernel_without_modules_is_no_way_back() {
        let mut machine = kept(host());
        machine.take("/lib/modules/6.1/modules.dep");
        put(&mut machine, "/boot/grub/grub.cfg", &MENU.replace("6.1", "6.2"));
        put(&mut machine, "/boot/vmlinuz-6.2", "linux, newer");
        put(&mut machine, "/boot/initrd.img-6.2", "initrd, newer");
        assert!(arm(&mut machine).unwrap().is_some());
        let state = read(&machine).unwrap();
        assert!(state.known.is_none() && matches!(state.trial, Some(Tried { failed: None, .. })));
    }

    #[test]
    fn a_power_cut_at_any_write_leaves_a_default_that_boots() {
        let mut moments = 0;
        for (at, seed) in (0..).flat_map(|at| (0..4).map(move |seed| (at, seed))) {
            let mut machine = kept(host());
            put(&mut machine, "/boot/xen-4.17-amd64.gz", "xen, updated");
            let newest = Newest::read(&machine).unwrap();
            machine.inject(Some(Injection { at, moment: Moment::After, fault: Fault::PowerCut { seed } }));
            let ended = keep(&mut machine, &newest).is_ok();
            if !machine.is_running() {
                machine.revive();
            }
            let is_new = boots_whole(&machine) == newest.mark;
            if ended {
                assert!(is_new, "it had ended");
                break;
            }
            moments += 1;
        }
        assert!(moments >= 40, "{moments} writes");
    }

    #[test]
    fn nothing_is_left_of_what_was_kept() {
        let before: Vec<_> = host().tree().into_keys().collect();
        let mut machine = kept(host());
        forget(&mut machine).unwrap();
        forget(&mut machine).unwrap();
        assert_eq!(machine.tree().into_keys().collect::<Vec<_>>(), before);
        assert_eq!(read(&machine).unwrap(), KnownGood::default());
        assert!(machine.entry(Path::new(FILE)).unwrap().is_none());
    }
}
