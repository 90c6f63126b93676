//! `guest disk`: what is on a guest's disk, read in a confined child. Decides how it is set out; never reads a byte of a
//! guest in this process.

use xenup_core::guest::disk::facts::{Boot, GuestDisk, Mount, NamedBy, Volume};
use xenup_core::guest::disk::{self, Note};
use xenup_system::guest_reader::{self, GuestReader, GuestReaderError, Sandbox};

use super::print_json;
use crate::args::GuestDisk as Args;
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// What the child is called with, alone.
pub(super) const CHILD: &str = "guest-disk-read";

/// Runs the verb.
pub fn run(ui: &mut Ui, args: &Args) -> Outcome {
    let reader = GuestReader::own(CHILD).format(args.format.as_deref());
    let read = reader.read::<GuestDisk>(&args.image).map_err(refused)?;
    let mut disk = read.found;
    disk.notes.extend(weaker(&read.sandbox));
    if args.json {
        let value = serde_json::to_value(&disk).map_err(CommandError::failed)?;
        return print_json(ui, &value);
    }
    ui.heading(format!("{}: {}, {}", args.image.display(), disk.image, bytes(disk.size)));
    for line in lines(&disk) {
        ui.result(line);
    }
    for note in &disk.notes {
        ui.result(format!("  note      {}: {}", note.about, note.text));
    }
    Ok(Exit::Done)
}

fn refused(error: GuestReaderError) -> CommandError {
    let hint = match &error {
        GuestReaderError::Open(guest_reader::OpenError::Io { source, .. })
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Some("run it as a user who may read the image")
        }
        GuestReaderError::Refused { .. } => {
            Some("qemu-img info says what it is; qemu-img convert -O qcow2 makes one that is read")
        }
        _ => None,
    };
    let failed = CommandError::failed(error);
    match hint {
        Some(hint) => failed.hinted(hint),
        None => failed,
    }
}

/// Notes on a child that was confined less than it could be.
fn weaker(sandbox: &Sandbox) -> Option<Note> {
    let text = match sandbox.landlock.as_str() {
        "full" | "partial" => return None,
        _ => "this kernel has no Landlock: the reader was confined by its limits and its user alone",
    };
    Some(Note::new("sandbox", text))
}

/// The child: reads what it is handed and answers.
pub fn serve() -> Outcome {
    let served = guest_reader::serve(|handed| {
        let image = std::rc::Rc::clone(&handed.image);
        let mut reading = disk::read(image, handed.format, handed).map_err(|error| error.to_string())?;
        let kernel = match handed.kernel {
            Some(boot) => reading.kernel(boot).map_err(|error| error.to_string())?,
            None => Vec::new(),
        };
        Ok((reading.disk, kernel))
    });
    served.map_err(CommandError::failed)?;
    Ok(Exit::Done)
}

fn bytes(size: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (size.max(1).ilog2() / 10).min(4);
    let unit = UNITS.get(power as usize).unwrap_or(&"B");
    let tenths = size.saturating_mul(10).checked_shr(power * 10).unwrap_or_default();
    if power == 0 { format!("{size} B") } else { format!("{}.{} {unit}", tenths / 10, tenths % 10) }
}

fn lines(disk: &GuestDisk) -> Vec<String> {
    let mut lines = Vec::new();
    let mut put = |word: &str, text: String| lines.push(format!("  {word:<9} {text}"));
    for name in &disk.backing {
        put("behind", name.clone());
    }
    for volume in &disk.volumes {
        put(if volume.number.is_some() { "part" } else { "whole" }, volume_words(volume));
    }
    let found = &disk.found;
    if let Some(release) = &found.release {
        let name = match release.name.as_str() {
            "" => format!("{} {}", release.id, release.version),
            name => name.to_owned(),
        };
        put("system", format!("{} ({})", name.trim(), release.file));
    }
    if let Some(architecture) = &found.architecture {
        put("built for", format!("{} ({})", architecture.name, architecture.evidence));
    }
    for boot in &found.boot {
        for line in boot_words(boot) {
            put("boots", line);
        }
    }
    if found.boot.is_empty() && !found.kernels.is_empty() {
        put("kernels", format!("{}; no boot loader's file says which", found.kernels.join(" ")));
    }
    for mount in found.fstab.iter().filter(|mount| mount.by != NamedBy::Other) {
        put("fstab", mount_words(mount));
    }
    for interface in &found.network {
        put("network", format!("{} by {} ({})", interface.name, interface.owner, interface.file));
    }
    match (found.console.login, found.console.evidence.as_slice()) {
        (true, evidence) => put("console", evidence.join("; ")),
        (false, _) if found.release.is_some() => put("console", "nothing offers a login on hvc0".to_owned()),
        _ => {}
    }
    if found.tls.present {
        let variant =
            if found.tls.nosegneg { "and libraries built for Xen besides" } else { "and none built for Xen" };
        put("/lib/tls", format!("there, {variant}"));
    }
    lines
}

fn volume_words(volume: &Volume) -> String {
    let mut words = Vec::new();
    words.extend(volume.number.map(|number| number.to_string()));
    words.push(bytes(volume.size));
    words.push(volume.kind.clone().unwrap_or_else(|| "nothing known".to_owned()));
    words.extend(volume.label.as_ref().map(|label| format!("LABEL={label}")));
    words.extend(volume.uuid.as_ref().map(|uuid| format!("UUID={uuid}")));
    words.extend(volume.subvolume.as_ref().map(|name| format!("subvolume {name}")));
    words.extend(volume.mounted.as_ref().map(|point| format!("read as {point}")));
    words.join(" ")
}

fn boot_words(boot: &Boot) -> Vec<String> {
    let chosen = format!("{:?} of {} in {} ({})", boot.title, boot.entries, boot.file, boot.why);
    let kernel = match (&boot.kernel_path, boot.kernel_size, &boot.kernel) {
        (Some(path), Some(size), _) => format!("{path} ({})", bytes(size)),
        (_, _, Some(named)) => match &boot.kernel_device {
            Some(device) => format!("{named} on another disk, {device}"),
            None => format!("{named}, which is not there"),
        },
        _ => "no kernel".to_owned(),
    };
    let mut lines = vec![chosen, format!("{kernel} {}", boot.cmdline).trim_end().to_owned()];
    lines.extend(boot.hypervisor.as_ref().map(|hypervisor| format!("under its own hypervisor {hypervisor}")));
    lines
}

fn mount_words(mount: &Mount) -> String {
    let place = mount.partition.map(|number| format!(" (partition {number})")).unwrap_or_default();
    format!("{} on {} {}{place}", mount.target, mount.source, mount.kind)
}
