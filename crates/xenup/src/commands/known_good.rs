//! `xenup known-good`: what is known to boot stays what boots by itself, and what is newer is booted once first.
//!
//! Decides: what is kept, and when a trial is armed. A copy is whole and durable before an entry names it, and an entry
//! names no older one before that is removed, so that a power cut at any moment leaves a default that boots.
//! Never: waits for a person, or judges a boot (`trial` does).

mod told;
mod trial;

use std::path::{Path, PathBuf};

use xenup_core::boot::known_good::{
    Boots, Entry, FILE, FOLDER, File, ID, KnownGood, NoEntry, TRIAL_ID, Tried, kernel_files, plain_linux,
    trial_mark,
};
use xenup_core::boot::{MENU, set_default};
use xenup_core::inspect::{Surroundings, gather};
use xenup_core::upgrade::pending::pending;
use xenup_engine::digest::Digest;
use xenup_engine::{durable, grubenv};
use xenup_machine::file::{Attributes, Kind};
use xenup_machine::process::{Command, Query};
use xenup_machine::{Machine, MachineError, Probe};

use crate::args::KnownGood as Verb;
use crate::commands::machine;
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

pub use told::{Told, told};

/// A menu with hundreds of entries has 1 MB.
const MENU_LIMIT: u64 = 16 << 20;
/// An initramfs with all firmware.
const FILE_LIMIT: u64 = 2 << 30;
/// What stays free in /boot beside a copy.
const LEFT_FREE: u64 = 64 << 20;
/// Jobs of the service manager after which GRUB is there again; neither a kexec nor a soft reboot is one.
const GOES_DOWN: [&str; 3] = ["reboot.target", "poweroff.target", "halt.target"];

/// Does what a plan or a unit asks for.
pub fn run(ui: &mut Ui, verb: &Verb) -> Outcome {
    machine::need_root("known-good")?;
    let mut machine = machine::running()?;
    match verb {
        Verb::Keep => {
            let newest = Newest::read(&machine)?;
            as_booted(&machine, &newest)?;
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
        Verb::Check => trial::check(ui, &mut machine),
        Verb::Look => trial::look(ui, &mut machine),
    }
}

/// GRUB's newest entry for Xen, with what its files are now.
struct Newest {
    entry: Entry,
    digests: Vec<Digest>,
    linux: Option<String>,
}

impl Newest {
    fn read(probe: &dyn Probe) -> Result<Self, CommandError> {
        let menu = menu(probe).map_err(machine::machine_error)?;
        let entry = Entry::newest(&menu).map_err(no_entry)?;
        let digest = |name: &String| Ok(Digest::of(&probe.read(&Path::new("/boot").join(name), FILE_LIMIT)?));
        let digests: Result<_, MachineError> = entry.files().iter().map(digest).collect();
        let digests = digests.map_err(machine::machine_error)?;
        Ok(Self { entry, digests, linux: plain_linux(&menu) })
    }

    fn tried(&self) -> Boots {
        self.entry.tried(&self.digests)
    }

    fn words(&self) -> String {
        told::Pair::of(&self.tried()).to_string()
    }
}

fn no_entry(error: NoEntry) -> CommandError {
    CommandError::failed(error)
        .hinted("update-grub, and look whether `grep xen-gnulinux-simple /boot/grub/grub.cfg` finds an entry")
}

pub(super) fn menu(probe: &dyn Probe) -> Result<String, MachineError> {
    Ok(String::from_utf8_lossy(&probe.read(Path::new(MENU), MENU_LIMIT)?).into_owned())
}

fn cmdline(probe: &dyn Probe) -> String {
    let bytes = probe.read(Path::new("/proc/cmdline"), 1 << 16).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
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

/// Refuses to call good what came after the boot, which a confirm says nothing about.
fn as_booted(probe: &dyn Probe, newest: &Newest) -> Result<(), CommandError> {
    let release =
        probe.read(Path::new("/proc/sys/kernel/osrelease"), 4096).map_err(machine::machine_error)?;
    let release = String::from_utf8_lossy(&release).trim().to_owned();
    let linux = newest.tried().linux;
    let since = pending(probe, &gather(probe, &Surroundings::default()));
    let words = if release != linux {
        format!("Linux {release} runs, and GRUB's newest entry for Xen boots {linux}")
    } else if let Some(differs) = since.and_then(|pending| pending.differs.into_iter().next()) {
        differs
    } else if let Some(path) = made_since(probe, newest.entry.files())? {
        format!("{} was made anew since this boot", path.display())
    } else {
        return Ok(());
    };
    Err(CommandError::refused(words)
        .hinted("restart into plain Linux, then: xenup apply, which arms a trial of it"))
}

/// The first of these files of /boot that is younger than the boot; packages give theirs the time of their build.
fn made_since(probe: &dyn Probe, names: &[String]) -> Result<Option<PathBuf>, CommandError> {
    let clock = probe.clock();
    let boot = clock.booted_unix_seconds();
    for path in names.iter().map(|name| Path::new("/boot").join(name)) {
        let entry = probe.entry(&path).map_err(machine::machine_error)?;
        let time = entry.and_then(|entry| entry.attributes.mtime);
        if time.is_some_and(|time| time.seconds > boot && time.seconds <= clock.unix_seconds) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Keeps what is newest; where that fails, what was kept before still is.
fn keep(machine: &mut dyn Machine, newest: &Newest) -> Result<(), CommandError> {
    let known = newest.entry.kept(&newest.digests);
    let before = read(machine).map_err(machine::machine_error)?;
    let folder = Path::new(FOLDER).join(&known.mark);
    if let Err(error) = copy(machine, &known, &folder) {
        let kept = before.known.as_ref().map(|known| known.mark.clone());
        let _ = remove_all_but(machine, kept.as_deref());
        return Err(error);
    }
    let mark = known.mark.clone();
    let state =
        KnownGood { known: Some(known), trial: None, unmet: before.unmet, linux: newest.linux.clone() };
    write(machine, &state).map_err(machine::machine_error)?;
    remove_all_but(machine, Some(&mark)).map_err(machine::machine_error)
}

/// Puts the files of an entry into a folder. The programs, which dpkg replaces and never writes to, get a further name of
/// the same bytes where the file system has such names; an initramfs, which dracut writes over, gets bytes of its own
/// where there is room.
fn copy(machine: &mut dyn Machine, known: &Boots, folder: &Path) -> Result<(), CommandError> {
    durable::make_dirs(machine, folder, 0o755).map_err(machine::machine_error)?;
    for file in &known.files {
        let (from, to) = (Path::new("/boot").join(&file.name), folder.join(&file.name));
        put(machine, &from, &to, known.is_program(file)).map_err(machine::machine_error)?;
    }
    machine.sync_dir(folder).map_err(machine::machine_error)?;
    // What is named is what was copied, though dpkg may be at work.
    if are_as_made(machine, known) {
        return Ok(());
    }
    let words = format!("{} is not what it was: files of /boot are being replaced", folder.display());
    Err(CommandError::failed(words).hinted("try again when apt and update-initramfs have ended"))
}

fn put(machine: &mut dyn Machine, from: &Path, to: &Path, link_first: bool) -> Result<(), MachineError> {
    durable::clear(machine, to)?;
    let size = match machine.entry(from)?.map(|entry| entry.kind) {
        Some(Kind::File { size }) => size,
        _ => 0,
    };
    let has_room = machine.space(durable::parent(to))?.free > size.saturating_add(LEFT_FREE);
    let paths = [from, to].map(|path| path.display().to_string());
    let linked = (link_first || !has_room)
        && machine.run(&Command::new("ln", paths), &mut |_| {}).is_ok_and(|output| output.success());
    if !linked {
        let bytes = machine.read(from, FILE_LIMIT)?;
        let temporary = durable::parent(to).join(".xenup-new");
        durable::put_file(machine, to, &bytes, &Attributes::root(0o600), &temporary)?;
    }
    machine.sync_file(to)
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

/// Whether the machine goes down to where GRUB is. A unit is stopped by package upgrades and by hand as well.
fn is_going_down(probe: &dyn Probe) -> bool {
    let jobs = probe.query(&Query::new("systemctl", ["list-jobs", "--no-legend", "--plain"]));
    let is_one = |line: &str| line.split_whitespace().any(|word| GOES_DOWN.contains(&word));
    jobs.is_ok_and(|output| output.text().lines().any(is_one))
}

/// Whether a kernel is installed: what takes its file away takes its modules, and with them the network.
fn is_installed(probe: &dyn Probe, release: &str) -> bool {
    kernel_files(release).any(|path| matches!(probe.entry(&path), Ok(Some(_))))
}

/// Whether the copies are those that were made, of a kernel that still has modules.
fn is_whole(probe: &dyn Probe, known: &Boots) -> bool {
    is_installed(probe, &known.linux) && are_as_made(probe, known)
}

fn are_as_made(probe: &dyn Probe, known: &Boots) -> bool {
    let folder = Path::new(FOLDER).join(&known.mark);
    let bytes = |file: &File| probe.read(&folder.join(&file.name), FILE_LIMIT);
    known.files.iter().all(|file| bytes(file).is_ok_and(|bytes| Digest::of(&bytes) == file.digest))
}

/// Arms a trial of what is newer than what is kept, once; returns what in words.
fn arm(machine: &mut dyn Machine) -> Result<Option<String>, CommandError> {
    let before = read(machine).map_err(machine::machine_error)?;
    let menu = menu(machine).map_err(machine::machine_error)?;
    // Where the default is somebody's own choice, or another boot was chosen for once, nothing is tried behind their back.
    if before == KnownGood::default() || !menu.contains(&set_default(ID)) {
        return Ok(None);
    }
    let block = machine.read(Path::new(grubenv::PATH), 1 << 20).map_err(machine::machine_error)?;
    if grubenv::value(&block, "next_entry").is_some_and(|next| !next.is_empty()) {
        return Ok(None);
    }
    let newest = Newest::read(machine)?;
    let mut state = before.clone();
    state.known = state.known.filter(|known| is_whole(machine, known));
    state.linux.clone_from(&newest.linux);
    let armed = next_trial(&mut state, &newest, trial_mark(&cmdline(machine)));
    if state != before {
        write(machine, &state).map_err(machine::machine_error)?;
    }
    if !armed {
        return Ok(None);
    }
    let set = machine.run(&grubenv::command("next_entry", Some(TRIAL_ID)), &mut |_| {});
    match set {
        Ok(output) if output.success() => Ok(Some(newest.words())),
        other => {
            write(machine, &before).map_err(machine::machine_error)?;
            let why = other.map_or_else(|error| error.to_string(), |output| output.complaint());
            Err(CommandError::failed(format!("grub-editenv: {why}")))
        }
    }
}

/// Writes down what is tried next; returns whether it is.
fn next_trial(state: &mut KnownGood, newest: &Newest, running: Option<&str>) -> bool {
    let tried = newest.tried();
    if state.known.as_ref().is_some_and(|known| known.mark == tried.mark) {
        state.trial = None;
        return false;
    }
    let mut again = false;
    if let Some(before) = &state.trial {
        // A trial that is left in good order before it was judged has not failed, once.
        again = before.failed.is_none() && !before.again && running == Some(before.boots.mark.as_str());
        // What nobody heard of may have to be switched off by hand: not for a new initramfs alone.
        let hung = before.failed.is_none() && before.boots.has_programs_of(&tried);
        if !again && (before.boots.mark == tried.mark || hung) {
            return false;
        }
    }
    state.trial = Some(Tried { boots: tried, failed: None, again });
    true
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use xenup_core::boot::known_good::{FILE, FOLDER, KnownGood};
    use xenup_engine::grubenv;
    use xenup_machine::Probe as _;
    use xenup_machine::fake::{FakeMachine, Fault, Injection, Moment};
    use xenup_machine::file::{Attributes, Timestamp};

    use super::{Newest, arm, as_booted, forget, is_whole, keep, read};

    const MENU: &str = "set default=\"xenup-known-good\"
menuentry 'D' $menuentry_id_option 'gnulinux-simple-U' {
}
menuentry 'D, with Xen' $menuentry_id_option 'xen-gnulinux-simple-U' {
\tmultiboot2\t/boot/xen-4.17-amd64.gz placeholder
\tmodule2\t/boot/vmlinuz-6.1 placeholder root=UUID=U
\tmodule2\t--nounzip /boot/initrd.img-6.1
}
";

    fn put(machine: &mut FakeMachine, path: &str, text: &str) {
        let mtime = Some(Timestamp { seconds: 0, nanoseconds: 0 });
        machine.put(path, text.as_bytes(), &Attributes { mtime, ..Attributes::root(0o644) });
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

    /// The mark of the entry that boots by itself, whose files are all as they were when it was kept.
    fn boots_whole(machine: &FakeMachine) -> String {
        let known = read(machine).unwrap().known.unwrap();
        assert!(is_whole(machine, &known));
        known.mark
    }

    fn grubenv_of(machine: &mut FakeMachine, variables: &str) {
        put(machine, grubenv::PATH, &format!("{:#<1024}", format!("{}{variables}", grubenv::SIGNATURE)));
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
    fn what_came_after_the_boot_is_not_known_to() {
        let mut machine = host();
        let newest = Newest::read(&machine).unwrap();
        put(&mut machine, "/proc/sys/kernel/osrelease", "6.1\n");
        assert!(as_booted(&machine, &newest).is_ok());
        let mut young = Attributes::root(0o644);
        young.mtime = Some(Timestamp { seconds: machine.clock().unix_seconds, nanoseconds: 0 });
        machine.put("/boot/initrd.img-6.1", b"made anew", &young);
        let words = as_booted(&machine, &newest).unwrap_err().words();
        assert_eq!(words, "/boot/initrd.img-6.1 was made anew since this boot");
        put(&mut machine, "/proc/sys/kernel/osrelease", "6.0\n");
        assert!(as_booted(&machine, &newest).unwrap_err().words().contains("6.0 runs"));
    }

    #[test]
    fn nothing_is_armed_behind_somebodys_back() {
        let mut machine = kept(host());
        let state = read(&machine).unwrap();
        put(&mut machine, "/boot/initrd.img-6.1", "made anew");
        put(&mut machine, "/boot/grub/grub.cfg", &MENU.replace("\"xenup-known-good\"", "\"0\""));
        assert_eq!(arm(&mut machine).unwrap(), None);
        put(&mut machine, "/boot/grub/grub.cfg", MENU);
        grubenv_of(&mut machine, "next_entry=0\n");
        assert_eq!(arm(&mut machine).unwrap(), None);
        assert_eq!((next_entry(&machine), read(&machine).unwrap()), ("0".to_owned(), state));
        // What was not booted then is tried at the restart after it.
        grubenv_of(&mut machine, "");
        assert!(arm(&mut machine).unwrap().is_some());
    }

    #[test]
    fn what_hung_is_not_tried_again_for_a_new_initramfs() {
        let mut machine = kept(host());
        put(&mut machine, "/boot/xen-4.17-amd64.gz", "xen, updated");
        assert!(arm(&mut machine).unwrap().is_some());
        grubenv_of(&mut machine, "");
        put(&mut machine, "/boot/initrd.img-6.1", "made anew");
        assert_eq!(arm(&mut machine).unwrap(), None);
        put(&mut machine, "/boot/xen-4.17-amd64.gz", "xen, updated twice");
        assert!(arm(&mut machine).unwrap().is_some());
    }

    #[test]
    fn a_trial_that_was_left_before_it_was_judged_is_tried_once_more() {
        let mut machine = kept(host());
        put(&mut machine, "/boot/xen-4.17-amd64.gz", "xen, updated");
        for armed in [true, true, false, false] {
            grubenv_of(&mut machine, "");
            assert_eq!(arm(&mut machine).unwrap().is_some(), armed);
            let mark = read(&machine).unwrap().trial.unwrap().boots.mark;
            put(&mut machine, "/proc/cmdline", &format!("root=UUID=U xenup.trial={mark}\n"));
        }
    }

    #[test]
    fn what_is_not_installed_any_more_is_no_way_back() {
        let mut machine = kept(host());
        machine.take("/boot/vmlinuz-6.1");
        put(&mut machine, "/boot/grub/grub.cfg", &MENU.replace("6.1", "6.2"));
        put(&mut machine, "/boot/vmlinuz-6.2", "linux, newer");
        put(&mut machine, "/boot/initrd.img-6.2", "initrd, newer");
        assert!(arm(&mut machine).unwrap().is_some());
        let state = read(&machine).unwrap();
        assert!(state.known.is_none() && state.trial.is_some());
        assert!(state.text().contains("set default=\"gnulinux-simple-U\""));
        // And it is not lost: what is newer still is tried.
        grubenv_of(&mut machine, "");
        put(&mut machine, "/boot/vmlinuz-6.2", "linux, newer still");
        assert!(arm(&mut machine).unwrap().is_some());
    }

    #[test]
    fn a_copy_that_was_written_over_is_no_way_back() {
        let mut machine = kept(host());
        let known = read(&machine).unwrap().known.unwrap();
        put(&mut machine, &format!("{FOLDER}/{}/initrd.img-6.1", known.mark), "in place");
        assert_eq!(arm(&mut machine).unwrap().as_deref(), Some("xen-4.17-amd64.gz with Linux 6.1"));
        assert!(read(&machine).unwrap().known.is_none());
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
            let is_new = boots_whole(&machine) == newest.tried().mark;
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
