//! `install`: from a medium onto a disk of this machine. Decides where answers come from and what is said; what is asked
//! and refused is xenup-core's, and in which order the disk is written xenup-image's.
//!
//! Never: writes to a disk before the yes to the last page, or an answer file's `erase = true`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_core::host::Host;
use xenup_core::install::answers::Then;
use xenup_core::install::interview::Choice;
use xenup_core::install::{Answers, Interview, Manifest, Nic, look, personal};
use xenup_image::install::{self, Failure, MediumFile, Own, Phase, Table};
use xenup_image::medium;
use xenup_machine::Machine as _;
use xenup_system::block_device::BlockDevice;
use xenup_system::power::{self, Power};
use xenup_system::process::Tool;
use xenup_system::stopwatch::Stopwatch;
use xenup_system::{System, files};

use super::install_talk::Talk;
use crate::args::Install;
use crate::commands::machine;
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// A manifest has a hundred bytes for each 4 MiB.
const MANIFEST_LIMIT: u64 = 64 << 20;
const ANSWERS_LIMIT: u64 = 1 << 20;
/// What belongs to the medium that was started, in its initramfs.
const OWN_MANIFEST: &str = "/etc/xenup-medium/manifest.json";
/// Where a disk with answers is mounted.
const OTHER_ANSWERS: &str = "/answers/answers.toml";
/// A NIC says that it has a cable after so long at most.
const CABLE: Duration = Duration::from_secs(5);
const BLINK: Duration = Duration::from_millis(250);

/// Installs, or says what would be done.
pub fn run(ui: &mut Ui, args: &Install) -> Outcome {
    if !args.dry_run {
        machine::need_root("install")?;
    }
    let manifest = manifest(args)?;
    let mut talk = Talk::new(ui, args.consoles);
    if args.consoles {
        return on_its_own(&mut talk, args, &manifest);
    }
    match attempt(&mut talk, args, &manifest)? {
        Some(Then::Reboot) => talk.say("next: systemctl reboot, with the medium out"),
        Some(Then::PowerOff) => talk.say("next: systemctl poweroff"),
        None => {}
    }
    Ok(Exit::Done)
}

/// On a medium: again and again, until the machine is switched or somebody wants a shell.
fn on_its_own(talk: &mut Talk<'_>, args: &Install, manifest: &Manifest) -> Outcome {
    talk.say("");
    talk.say(&format!("xenup {}: {} with Xen", env!("CARGO_PKG_VERSION"), manifest.system));
    loop {
        match attempt(talk, args, manifest) {
            Ok(Some(then)) => {
                let power = if then == Then::Reboot { Power::Restart } else { Power::Off };
                power::switch(power).map_err(CommandError::failed)?;
            }
            Ok(None) => talk.say("Nothing was written."),
            Err(error) => error.tell(&mut |line| talk.say(line)),
        }
        talk.forget_typed();
        let next = "Enter begins again, s is a shell, r restarts the machine, o switches it off: ";
        match talk.ask(next, false).as_deref().map(str::trim) {
            Some("r") => power::switch(Power::Restart).map_err(CommandError::failed)?,
            Some("o") => power::switch(Power::Off).map_err(CommandError::failed)?,
            Some("s") | None => return Ok(Exit::Done),
            Some(_) => {}
        }
    }
}

/// One installation; `None` where the last page was answered by a no, or nothing was to be done.
fn attempt(talk: &mut Talk<'_>, args: &Install, manifest: &Manifest) -> Result<Option<Then>, CommandError> {
    let mut system = machine::running()?;
    let answers = answers(args)?;
    let nics = nics(&mut system, args.consoles);
    let disks = look::disks(&system, &install::open_disk);
    let host = Host::parse(Path::new(xenup_core::host::PATH), manifest.made.host.as_bytes());
    let host = host.map_err(CommandError::failed)?;
    let salt = salt()?;
    let (mut interview, complaints) = Interview::new(manifest, host, &disks, &nics, &answers, salt);
    let unasked = answers.erase || args.dry_run;
    if unasked && !complaints.is_empty() {
        return Err(
            CommandError::refused(complaints.join("\n")).hinted("change the answers: answers.toml(5)")
        );
    }
    complaints.iter().for_each(|complaint| talk.say(&format!("not taken: {complaint}")));
    if !unasked && !talk.can_ask() {
        return Err(CommandError::usage("nobody can be asked: there is no terminal")
            .hinted("write everything into an answer file, with erase = true: answers.toml(5)"));
    }
    while let Some(asked) = interview.next() {
        if unasked {
            if asked.erases && args.dry_run {
                break;
            }
            interview.take("").map_err(|why| {
                CommandError::refused(format!("not answered beforehand, and there is no default: {why}"))
                    .hinted("say it in the answer file: answers.toml(5)")
            })?;
            continue;
        }
        asked.before.iter().for_each(|line| talk.say(line));
        let Some(answer) = talk.ask(&asked.prompt, asked.hidden) else { return Ok(None) };
        if let Err(why) = interview.take(&answer) {
            talk.say(&format!("not taken: {why}"));
        }
    }
    if unasked {
        interview.last_page().iter().for_each(|line| talk.say(line));
    }
    match interview.choice() {
        Some(choice) if !args.dry_run => carry_out(talk, args, manifest, &choice).map(Some),
        _ => Ok(None),
    }
}

fn carry_out(
    talk: &mut Talk<'_>,
    args: &Install,
    manifest: &Manifest,
    choice: &Choice,
) -> Result<Then, CommandError> {
    let made = personal::of(&manifest.made, &choice.roles, &choice.hostname, &choice.addresses);
    let own = Own::of(manifest, choice, &made.map_err(CommandError::refused)?);
    let device = Path::new("/dev").join(&choice.disk.name);
    let mut source = MediumFile::open(&args.medium.join(medium::CHUNKS)).map_err(CommandError::failed)?;
    let mut target = BlockDevice::hold(&device).map_err(|error| {
        CommandError::refused(error).hinted(format!("see who uses it: lsblk {}", device.display()))
    })?;
    let watch = Stopwatch::start();
    let mut write_own = || own.write(&device, Path::new("/run")).map_err(|error| crate::guard::words(&error));
    let written =
        install::write(&mut target, &mut source, manifest, &mut write_own, &mut |tell| talk.tell(tell));
    written.map_err(|failure| failed(failure, &device))?;
    let seconds = watch.elapsed().as_secs_f64();
    talk.say(&format!("{} is installed on {} ({seconds:.0} s).", choice.hostname, device.display()));
    talk.say("Take the medium out. The first boot says on the console whether the machine is a Xen host.");
    Ok(choice.then)
}

/// A failure, with what is left on the disk.
fn failed(failure: Failure, device: &Path) -> CommandError {
    let device = device.display();
    let left = match &failure.table {
        Table::Untouched | Table::Restored if failure.phase == Phase::Looking => {
            format!("nothing was written to {device}")
        }
        Table::Untouched => format!(
            "the partition table of {device} is the one that was there, untouched; what lay between 1 and {} MiB is \
             overwritten",
            failure.written >> 20
        ),
        Table::Restored => format!(
            "the partition table of {device} is the one that was there, put back and read again; what lay between 1 \
             and {} MiB is overwritten",
            failure.written >> 20
        ),
        Table::Lost(why) => {
            format!("the partition table of {device} that was there could not be put back everywhere ({why})")
        }
    };
    let exit = match failure.table {
        Table::Lost(_) => Exit::NotRestored,
        _ => Exit::FailedAndRestored,
    };
    let doing = match failure.phase {
        Phase::Looking => "before the first write",
        Phase::Writing => "while writing",
        Phase::Reading => "while reading back",
        Phase::Own => "while writing this machine's own files",
        Phase::Table => "while writing the partition table",
    };
    let hint = match failure.cause {
        xenup_image::install::write::Cause::Medium(_) => "make the medium anew, or try another stick",
        _ => "try another disk; dmesg has what the kernel says of this one",
    };
    CommandError::new(
        exit,
        format!("the installation failed {doing}: {}; {left}", crate::guard::words(&failure)),
    )
    .hinted(hint)
}

fn manifest(args: &Install) -> Result<Manifest, CommandError> {
    let of_medium = args.medium.join(medium::MANIFEST);
    let path = if args.consoles { PathBuf::from(OWN_MANIFEST) } else { of_medium };
    let bytes = files::read_regular(&path, MANIFEST_LIMIT).map_err(|error| {
        CommandError::usage(error)
            .hinted("mount the medium: mount -o ro FILE.iso /medium, or name it: --medium DIR")
    })?;
    Manifest::parse(&bytes).map_err(|error| {
        CommandError::usage(error).hinted(format!("{} is not of this version's media", path.display()))
    })
}

/// The file that was named, else that of a second disk, else the medium's own; on a medium the kernel's command line goes
/// over it.
fn answers(args: &Install) -> Result<Answers, CommandError> {
    let own = args.medium.join(medium::ANSWERS);
    let given = args.answers.clone();
    let other =
        (args.consoles && files::exists(Path::new(OTHER_ANSWERS))).then(|| PathBuf::from(OTHER_ANSWERS));
    let path = given.or(other).or_else(|| files::exists(&own).then_some(own));
    let answers = match path {
        None => Answers::default(),
        Some(path) => {
            let bytes = files::read_regular(&path, ANSWERS_LIMIT).map_err(CommandError::usage)?;
            Answers::parse(&path, &bytes).map_err(CommandError::usage)?
        }
    };
    if !args.consoles {
        return Ok(answers);
    }
    let line = files::read_text(Path::new("/proc/cmdline")).map_err(CommandError::failed)?;
    answers.and_command_line(&line).map_err(CommandError::usage)
}

/// The NICs; on a medium, where nobody else uses them, they are switched on so that they see their cables.
fn nics(system: &mut System, switch_on: bool) -> Vec<Nic> {
    let mut nics = look::nics(system);
    if !switch_on {
        return nics;
    }
    for nic in &nics {
        // One that cannot be switched on has no cable for us.
        let _ = Tool::new("ip").args(["link", "set", nic.name.as_str(), "up"]).output();
    }
    let watch = Stopwatch::start();
    while nics.iter().any(|nic| !nic.link) && watch.elapsed() < CABLE {
        system.pause(BLINK);
        nics = look::nics(system);
    }
    nics
}

fn salt() -> Result<[u8; 12], CommandError> {
    let random = files::read_start(Path::new("/dev/urandom"), 12).map_err(CommandError::failed)?;
    let mut salt = [0; 12];
    for (to, from) in salt.iter_mut().zip(random) {
        *to = from;
    }
    Ok(salt)
}
