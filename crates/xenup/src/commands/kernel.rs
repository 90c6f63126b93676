//! `xenup kernel`: its verbs, and `kernel check`: what kernels can be under a Xen, as a table, with what stops them. Writes nothing.

use std::error::Error;
use std::path::{Path, PathBuf};

use xenup_core::kernel::report::{Checked, FORMAT, OverReleases, Report};
use xenup_core::kernel::role::{Answer, ROLES, Span, Verdict};
use xenup_core::kernel::{Content, Form, Hypervisor, Image, Kernel, NotesIn, Release, beside, read};
use xenup_system::files::{self, DiskFile};

use crate::args::{KernelCheck, KernelVerb};
use crate::commands::{kernel_build, kernel_config, kernel_explain, kernel_install, print_json};
use crate::error::{CommandError, Exit, Outcome};
use crate::kernel_file::KernelFile;
use crate::ui::Ui;

/// Debian 13's Xen: judged by where none is installed beside the kernels and none is named.
const DEFAULT_XEN: Release = Release { major: 4, minor: 20 };

/// What is read of a configuration; Debian's have 270 KB.
const CONFIG_LIMIT: u64 = 4 << 20;

/// Runs the verb below `kernel`.
pub fn run(ui: &mut Ui, verb: &KernelVerb) -> Outcome {
    match verb {
        KernelVerb::Check(args) => check(ui, args),
        KernelVerb::Config(args) => kernel_config::config(ui, args),
        KernelVerb::Build(args) => kernel_build::build(ui, args),
        KernelVerb::Install(args) => kernel_install::install(ui, args),
        KernelVerb::Roles(args) => kernel_config::roles(ui, args),
        KernelVerb::Explain(args) => kernel_explain::explain(ui, args),
        KernelVerb::Diff(args) => kernel_explain::diff(ui, args),
    }
}

fn check(ui: &mut Ui, args: &KernelCheck) -> Outcome {
    let folder = files::list(&args.path).ok();
    if folder.is_some() && args.config.is_some() {
        let error = CommandError::usage("--config is of one kernel, and a folder was given");
        return Err(error.hinted("name the kernel's own file"));
    }
    let beside = args.path.parent().unwrap_or(Path::new("")).to_owned();
    let beside = if folder.is_some() { args.path.clone() } else { beside };
    let xen = xen(args.xen, &beside);
    let report = match folder {
        None => Report { format: FORMAT, xen: xen.name.clone(), kernels: vec![one(args, &xen)?] },
        Some(entries) => {
            let kernels: Vec<Checked> = entries.iter().filter_map(|path| in_folder(path, &xen)).collect();
            if kernels.is_empty() {
                let words = format!("{}: no vmlinuz-*, vmlinux-* or bzImage there", args.path.display());
                return Err(CommandError::failed(words).hinted("name the kernel's own file"));
            }
            Report { format: FORMAT, xen: xen.name.clone(), kernels }
        }
    };
    let exit = match report.kernels.iter().any(|kernel| kernel.error.is_some()) {
        true => Exit::FailedAndRestored,
        false => Exit::Done,
    };
    if args.json {
        let value = serde_json::to_value(&report).map_err(CommandError::failed)?;
        print_json(ui, &value)?;
        return Ok(exit);
    }
    page(ui, &report);
    Ok(exit)
}

/// The Xen that kernels are judged by: the one that was named, the newest whose configuration lies beside them, or
/// [`DEFAULT_XEN`].
pub(super) fn xen(named: Option<Release>, beside: &Path) -> Hypervisor {
    if let Some(release) = named {
        return Hypervisor::of(release);
    }
    let folder = if beside.as_os_str().is_empty() { Path::new(".") } else { beside };
    let mut newest: Option<Hypervisor> = None;
    for path in files::list(folder).unwrap_or_default() {
        let Some(name) = path.file_name().and_then(|name| beside::hypervisor(name.to_str()?)) else {
            continue;
        };
        let config = found_beside(&path);
        if let Ok(found) = Hypervisor::installed(name, config)
            && newest.as_ref().is_none_or(|newest| newest.release <= found.release)
        {
            newest = Some(found);
        }
    }
    newest.unwrap_or_else(|| Hypervisor::of(DEFAULT_XEN))
}

/// A configuration that nobody named: only a file of a size that one has is read, and a pipe not waited for.
fn found_beside(path: &Path) -> Option<String> {
    String::from_utf8(files::read_regular(path, CONFIG_LIMIT).ok()?).ok()
}

fn one(args: &KernelCheck, xen: &Hypervisor) -> Result<Checked, CommandError> {
    let image = open(&args.path).map_err(|error| {
        let error = CommandError::failed(error);
        match args.path.extension().is_some_and(|end| end == "deb") {
            true => error.hinted("unpack the package first: dpkg-deb -x PACKAGE DIR"),
            false => error.hinted("name a vmlinuz, a vmlinux, a bzImage or a PVH loader: ls /boot"),
        }
    })?;
    let config = match &args.config {
        Some(path) => Some((path.clone(), files::read_text(path).map_err(CommandError::failed)?)),
        None => config(&args.path, &image),
    };
    Ok(Checked::read(args.path.clone(), image, config, xen))
}

fn in_folder(path: &Path, xen: &Hypervisor) -> Option<Checked> {
    if !beside::is_kernel(path.file_name()?.to_str()?) {
        return None;
    }
    Some(match open(path) {
        Ok(image) => {
            let config = config(path, &image);
            Checked::read(path.to_owned(), image, config, xen)
        }
        Err(error) => Checked::unreadable(path.to_owned(), chain(&error)),
    })
}

/// A kernel that cannot be read, with its path.
#[derive(Debug)]
pub(super) struct Unreadable {
    path: PathBuf,
    source: Box<dyn Error>,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: not read as a kernel", self.path.display())
    }
}

impl Error for Unreadable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// Reads a kernel.
pub(super) fn open(path: &Path) -> Result<Image, Unreadable> {
    let unreadable = |source: Box<dyn Error>| Unreadable { path: path.to_owned(), source };
    let file = DiskFile::open(path).and_then(KernelFile::of).map_err(|error| unreadable(error.into()))?;
    read(&file).map_err(|error| unreadable(error.into()))
}

fn chain(error: &Unreadable) -> String {
    let mut words = Vec::new();
    let mut cause: Option<&dyn Error> = error.source();
    while let Some(deeper) = cause {
        words.push(deeper.to_string());
        cause = deeper.source();
    }
    words.join(": ")
}

/// The configuration beside a kernel, where there is one.
pub(super) fn config(path: &Path, image: &Image) -> Option<(PathBuf, String)> {
    let name = path.file_name()?.to_str()?;
    let names = beside::configurations(name, image.release.as_deref());
    names.into_iter().find_map(|name| {
        let path = path.with_file_name(name);
        Some((path.clone(), found_beside(&path)?))
    })
}

fn page(ui: &mut Ui, report: &Report) {
    let name = |kernel: &Checked| {
        kernel.path.file_name().unwrap_or(kernel.path.as_os_str()).to_string_lossy().into_owned()
    };
    let rows: Vec<[String; 6]> = report.kernels.iter().map(|kernel| row(kernel, name(kernel))).collect();
    let head = [&format!("under Xen {}", report.xen), "form", "dom0", "PV", "PVH", "HVM"].map(str::to_owned);
    let wide = |column: usize| {
        let cells = rows.iter().chain([&head]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let line = |row: &[String; 6]| {
        let cells =
            row.iter().enumerate().map(|(column, cell)| format!("{cell:<width$}", width = wide(column)));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    ui.heading(line(&head));
    for row in &rows {
        ui.result(line(row));
    }
    for kernel in &report.kernels {
        stops(ui, kernel, &name(kernel));
    }
    if let [kernel] = report.kernels.as_slice() {
        releases(ui, &kernel.releases);
        notes(ui, kernel.image.as_ref());
    }
}

fn row(kernel: &Checked, name: String) -> [String; 6] {
    let word = |index: usize| match kernel.verdicts.get(index) {
        Some(verdict) => verdict.answer.word().to_owned(),
        None => "-".to_owned(),
    };
    let form = kernel.image.as_ref().map_or_else(|| "unreadable".to_owned(), form);
    [name, form, word(0), word(1), word(2), word(3)]
}

fn form(image: &Image) -> String {
    let mut words = Vec::new();
    words.push(match (image.form, &image.boot_protocol) {
        (Form::BzImage, Some(protocol)) => format!("bzImage {protocol}"),
        (Form::BzImage, None) => "bzImage".to_owned(),
        (Form::Elf, _) => "ELF".to_owned(),
        (Form::Pe, _) => "PE".to_owned(),
        (Form::Arm, _) => "Arm".to_owned(),
        (Form::Packed, _) => "packed".to_owned(),
    });
    words.extend(image.compression.map(|packed| packed.to_string()));
    if let Content::Kernel(kernel) = &image.content {
        words.push(kernel.class.to_string());
    }
    words.join(" ")
}

/// What stops a kernel, what is not known, and under which conditions it can.
fn stops(ui: &mut Ui, kernel: &Checked, name: &str) {
    if let Some(error) = &kernel.error {
        ui.heading(format!("\n{name}"));
        ui.result(format!("  unreadable: {error}"));
        return;
    }
    let open = kernel.verdicts.iter().filter(|verdict| verdict.answer.word() != "yes");
    let open: Vec<&Verdict> = open.collect();
    if open.is_empty() {
        return;
    }
    ui.heading(format!("\n{name}"));
    // Xen itself, or a kernel for another machine, is stopped by the same in every role.
    let same =
        open.len() == ROLES.len() && open.windows(2).all(|two| matches!(two, [a, b] if a.answer == b.answer));
    for verdict in open.iter().take(if same { 1 } else { open.len() }) {
        let role = if same { "any role".to_owned() } else { verdict.role.to_string() };
        stop(ui, &role, &verdict.answer);
    }
}

fn stop(ui: &mut Ui, role: &str, answer: &Answer) {
    match answer {
        Answer::Yes { given } => {
            ui.result(format!("  {role}: yes, if"));
            for condition in given {
                ui.result(format!("    {condition}"));
            }
        }
        Answer::No { reason, evidence, change } => {
            let at = evidence.offset.map(|at| format!(", at {at:#x}")).unwrap_or_default();
            ui.result(format!("  {role}: no, {reason}"));
            ui.result(format!("    seen    {}{at}", evidence.what));
            ui.result(format!("    change  {change}"));
        }
        Answer::Unknown { why } => ui.result(format!("  {role}: not known, {why}")),
    }
}

fn releases(ui: &mut Ui, roles: &[OverReleases]) {
    ui.heading("\nunder which Xen");
    for OverReleases { role, spans } in roles {
        let words: Vec<String> = spans.iter().map(span).collect();
        ui.result(format!("  {:<4}  {}", role.to_string(), words.join("; ")));
    }
}

fn span(span: &Span) -> String {
    let Span { from, to, word } = span;
    if from == to { format!("{word}: {from}") } else { format!("{word}: {from} to {to}") }
}

fn notes(ui: &mut Ui, image: Option<&Image>) {
    let Some(Content::Kernel(kernel)) = image.map(|image| &image.content) else { return };
    ui.heading(format!("\n{}", where_notes_stand(kernel)));
    for note in &kernel.notes {
        let name = note.kind.map_or_else(|| format!("type {}", note.number), |kind| kind.name().to_owned());
        ui.result(format!("  {:#010x}  {name:<18}  {}", note.offset, note.value));
    }
    if let Some(at) = kernel.malformed_note {
        ui.result(format!("  {at:#010x}  a note longer than what is there: of a text, what there is counts; what follows it is not seen"));
    }
}

fn where_notes_stand(kernel: &Kernel) -> &'static str {
    match kernel.notes_in {
        NotesIn::Segment => "Xen notes, in a note segment",
        NotesIn::Section => "Xen notes, in a note section",
        NotesIn::GuestSection => "the section __xen_guest",
        NotesIn::Nowhere => "no Xen notes",
    }
}
