//! `xenup audit`: will each guest start on that Xen. Decides where files come from, how the answer is set out and which
//! exit code it has; never judges a guest (xenup-core does), and changes nothing: `--fix` writes a plan.

use std::io;
use std::path::{Path, PathBuf};

use xenup_core::audit::{self, Asked, Audit, Goal, html, text};
use xenup_core::guest::list::{self, Found, Unread};
use xenup_core::guest::{GuestFile, SIZE_LIMIT, followed};
use xenup_engine::validate::validate;
use xenup_machine::Probe;
use xenup_system::files;

use super::audit_disks::Disks;
use super::{guest, machine, print_json};
use crate::args::Audit as Args;
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// Runs the verb.
pub fn run(ui: &mut Ui, args: &Args) -> Outcome {
    let probe = guest::opened(args.root.as_deref())?;
    let audit = if args.files.is_empty() {
        whole_host(&*probe, args.root.as_deref(), args.to)?
    } else {
        let (found, unread) = named(&args.files)?;
        judged(&*probe, args.root.as_deref(), args.to, Asked { found, unread, whole_host: false })
    };
    if let Some(path) = &args.html {
        files::write_atomic(path, html::page(&audit).as_bytes(), 0o644).map_err(CommandError::failed)?;
        ui.status(format!("wrote {}", path.display()));
    }
    if args.json {
        print_json(ui, &serde_json::to_value(&audit).map_err(CommandError::failed)?)?;
    } else if args.fix {
        return fix(ui, args, &*probe, &audit);
    } else {
        print(ui, &audit);
    }
    Ok(if audit.is_clear() { Exit::Done } else { Exit::Refused })
}

/// Judges every guest of the host, and the host.
pub fn whole_host(probe: &dyn Probe, root: Option<&Path>, to: Option<Goal>) -> Result<Audit, CommandError> {
    let (found, unread) = list::find(probe).map_err(machine::machine_error)?;
    Ok(judged(probe, root, to, Asked { found, unread, whole_host: true }))
}

fn judged(probe: &dyn Probe, root: Option<&Path>, to: Option<Goal>, asked: Asked) -> Audit {
    audit::audit(probe, &Disks::below(root, probe), to, asked)
}

fn print(ui: &mut Ui, audit: &Audit) {
    for line in text::lines(audit) {
        match line {
            text::Line::Heading(line) => ui.heading(line),
            text::Line::Plain(line) => ui.result(line),
        }
    }
    if audit.fixes().next().is_some() {
        ui.status(
            "next: xenup audit --fix, with the same arguments, shows what is sure to help and writes a plan",
        );
    }
}

/// Files that the caller named, and those in folders that the caller named.
fn named(paths: &[PathBuf]) -> Result<(Vec<Found>, Vec<Unread>), CommandError> {
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    for path in paths {
        let Ok(inside) = files::list(path) else {
            let bytes = files::read_regular(path, SIZE_LIMIT + 1).map_err(|error| {
                CommandError::usage(error).hinted("xenup guest list names the guest files")
            })?;
            found.push(Found { file: GuestFile::parse(path, bytes), auto: Vec::new() });
            continue;
        };
        for path in inside {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if list::is_example(&name) || files::list(&path).is_ok() {
                continue;
            }
            match files::read_regular(&path, SIZE_LIMIT + 1) {
                Ok(bytes) => {
                    let file = GuestFile::parse(&path, bytes);
                    if list::is_guest(&name, &file) {
                        found.push(Found { file, auto: Vec::new() });
                    }
                }
                // A pipe or a socket is a guest's file only by its name.
                Err(error)
                    if error.source.kind() == io::ErrorKind::InvalidInput && !name.ends_with(".cfg") => {}
                Err(error) => unread.push(Unread { path, why: error.source.to_string() }),
            }
        }
    }
    Ok((found, unread))
}

/// Shows the changes that are sure, and writes them as a plan.
fn fix(ui: &mut Ui, args: &Args, probe: &dyn Probe, audit: &Audit) -> Outcome {
    for (_, fixed) in audit.fixes() {
        ui.result(fixed.diff.trim_end());
    }
    let machine_id = probe.read(Path::new("/etc/machine-id"), 1024).map_err(machine::machine_error)?;
    let root = args.root.as_deref().map(machine::absolute);
    // A plan has the paths of the machine that it is for.
    let place = |path: &Path| {
        let absolute = if args.files.is_empty() { path.to_owned() } else { machine::absolute(path) };
        let inside = match &root {
            Some(root) if !args.files.is_empty() => Path::new("/").join(absolute.strip_prefix(root).ok()?),
            _ => absolute,
        };
        followed(probe, &inside).ok().flatten()
    };
    let plan = audit::plan(audit, String::from_utf8_lossy(&machine_id).trim(), &place);
    validate(&plan).map_err(CommandError::failed)?;
    let steps = plan.steps().count();
    let elsewhere = audit.fixes().filter(|(path, _)| place(path).is_none()).count();
    let needing = audit.guests.iter().filter(|guest| guest.verdict != audit::Verdict::Starts);
    let left = needing.filter(|guest| guest.fix.is_none()).count() + elsewhere;
    if elsewhere > 0 {
        ui.warning(format!(
            "{elsewhere} of the changed files is not on the machine that is audited, and not in the plan"
        ));
    }
    if steps > 0 {
        let json = serde_json::to_string_pretty(&plan).map_err(CommandError::failed)?;
        files::write_atomic(&args.out, format!("{json}\n").as_bytes(), 0o600)
            .map_err(CommandError::failed)?;
        let out = args.out.display();
        ui.status(format!("wrote {out}; carry it out with: xenup apply {out}"));
    } else {
        ui.status("no change is sure to help");
    }
    if left == 0 {
        return Ok(Exit::Done);
    }
    let guests = if left == 1 { "1 guest is" } else { &format!("{left} guests are") };
    ui.status(format!("{guests} not helped by it: xenup audit says why"));
    Ok(Exit::Refused)
}
