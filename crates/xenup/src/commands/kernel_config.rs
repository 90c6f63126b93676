//! `xenup kernel config`, `kernel roles`: a configuration for a role. Decides how make is called and how the answer reads.
//!
//! Never: touches the source tree, or writes a configuration that lacks what was asked for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_core::kernel::explain::{Lost, lost};
use xenup_core::kernel::hardware::{self, DEVICES, Found};
use xenup_core::kernel::kconfig::Values;
use xenup_core::kernel::profile::report::{self, Made, Roles};
use xenup_core::kernel::profile::{
    Base, ComposeError, Listed, Part, PartKind, ProfileError, Request, Shelf, debian,
};
use xenup_system::files::{self, FileLock};
use xenup_system::process::{ProcessError, Tool, find_program};

use crate::args::{KernelConfig, KernelRoles, KernelWish};
use crate::commands::kernel_hardware::{self, Hardware};
use crate::commands::kernel_source::{Extent, KernelSource, USR_SRC, cannot_write};
use crate::commands::{machine, print_json};
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// Loaded machines need minutes where an idle one needs seconds.
const MAKE_TIME: Duration = Duration::from_secs(900);
/// Variables of the caller's by which make would build something else, or elsewhere.
pub const FOREIGN: [&str; 7] = [
    "MAKEFLAGS",
    "MAKELEVEL",
    "KBUILD_OUTPUT",
    "KCONFIG_CONFIG",
    "KCONFIG_ALLCONFIG",
    "CROSS_COMPILE",
    "SRCARCH",
];
/// A configuration has 0.3 MB.
const CONFIG_LIMIT: u64 = 16 << 20;

/// Lists roles and additions.
pub fn roles(ui: &mut Ui, args: &KernelRoles) -> Outcome {
    let listed = shelf()?.listed();
    if args.json {
        let roles = Roles { format: report::FORMAT, listed };
        return print_json(ui, &serde_json::to_value(&roles).map_err(CommandError::failed)?);
    }
    let wide = listed.iter().map(|row| row.name.len()).max().unwrap_or_default();
    for (kind, title) in [(PartKind::Role, "roles"), (PartKind::Addition, "\nadditions, for --with")] {
        ui.heading(title);
        for Listed { name, about, .. } in listed.iter().filter(|row| row.kind == kind) {
            ui.result(format!("  {name:<wide$}  {about}"));
        }
    }
    Ok(Exit::Done)
}

/// Makes a configuration.
pub fn config(ui: &mut Ui, args: &KernelConfig) -> Outcome {
    if let Some(output) = args.output.as_deref().filter(|output| files::exists(output)) {
        return Err(CommandError::refused(format!("{} is there already", output.display()))
            .hinted("name another file, or take it away first"));
    }
    let made = configured(ui, &args.wish, Extent::Configuration)?.made;
    tell(ui, args, &made)
}

/// A configuration, the source it is of, and what the role's kernel has to be able to be.
pub struct Configured {
    /// The configuration, with what was lost.
    pub made: Made,
    /// The source.
    pub source: KernelSource,
}

/// The role of a wish, before any source is looked at.
pub fn role(wish: &KernelWish) -> Result<Part, CommandError> {
    Ok(shelf()?.role(&wish.role).map_err(compose_error)?.clone())
}

/// Has make decide what the wish comes to; what was lost is for the caller to heed.
pub fn configured(ui: &mut Ui, wish: &KernelWish, extent: Extent) -> Result<Configured, CommandError> {
    let mut shelf = shelf()?;
    let mut with: Vec<String> =
        wish.with.iter().map(|named| addition(&mut shelf, named)).collect::<Result<_, _>>()?;
    let role = shelf.role(&wish.role).map_err(compose_error)?;
    let hardware = hardware(wish, role)?;
    for layer in hardware.iter().flat_map(|hardware| hardware::additions(&hardware.devices)) {
        if !with.contains(&layer) {
            with.push(layer);
        }
    }
    tools()?;
    let source = KernelSource::open(ui, wish.source.as_deref(), extent)?;
    let mut request =
        Request::of(&shelf, &wish.role, &with, &source.tree, source.linux).map_err(compose_error)?;
    let devices = match &hardware {
        None => Found::default(),
        Some(Hardware { devices, aliases }) => {
            hardware::add(&mut request, devices, aliases, &source.tree, source.files.as_ref()).map_err(
                |error| {
                    CommandError::refused(error).hinted(
                        "take a newer kernel's source or its --modules, or leave devices out: --no-hardware",
                    )
                },
            )?
        }
    };
    let base = base(wish, &request, &source)?;
    let text = make(&source, &request, base.as_ref().map(|(_, text)| text.as_str()))?;
    let values = Values::parse(&text);
    let (waived, lost): (Vec<Lost>, Vec<Lost>) =
        lost(&request, &source.tree, &values).into_iter().partition(|lost| waived(wish, &lost.symbol));
    let (without_driver, lost) = lost
        .into_iter()
        .partition(|lost| lost.at.file == DEVICES && !devices.essential.contains(&lost.symbol));
    let made = Made {
        format: report::FORMAT,
        role: request.role.clone(),
        with: request.with.clone(),
        linux: source.linux.to_string(),
        over: base.map(|(path, _)| path),
        wanted: request.wanted.into_values().collect(),
        skipped: request.skipped,
        lost,
        waived,
        without_driver,
        unknown_devices: devices.unknown,
        config: text,
    };
    Ok(Configured { made, source })
}

fn waived(args: &KernelWish, symbol: &str) -> bool {
    args.waive.iter().any(|name| name.strip_prefix("CONFIG_").unwrap_or(name) == symbol)
}

fn tell(ui: &mut Ui, args: &KernelConfig, made: &Made) -> Outcome {
    if args.json {
        print_json(ui, &serde_json::to_value(made).map_err(CommandError::failed)?)?;
        return Ok(if made.lost.is_empty() { Exit::Done } else { Exit::Refused });
    }
    granted(ui, made)?;
    match &args.output {
        Some(output) => files::write_atomic(output, made.config.as_bytes(), 0o644).map_err(|error| {
            let hint = machine::hint_for_words(&error.source.to_string())
                .unwrap_or_else(|| "name a file in a folder that you may write to".to_owned());
            CommandError::failed(error).hinted(hint)
        })?,
        None => ui.result(made.config.trim_end()),
    }
    let place = args.output.as_ref().map(|path| format!(", in {}", path.display())).unwrap_or_default();
    ui.status(format!("{}{place}", summary(made)));
    Ok(Exit::Done)
}

/// Refuses what lacks a symbol that was asked for; what is done without is told.
pub fn granted(ui: &mut Ui, made: &Made) -> Result<(), CommandError> {
    for lost in &made.without_driver {
        ui.warning(format!("a device has no driver: {lost}"));
    }
    for lost in &made.waived {
        ui.warning(format!("waived: {lost}"));
    }
    if made.lost.is_empty() {
        return Ok(());
    }
    let all: Vec<String> = made.lost.iter().map(Lost::to_string).collect();
    let names: Vec<&str> = made.lost.iter().map(|lost| lost.symbol.as_str()).collect();
    let count = format!("{} of {} symbols asked for are not in the result", all.len(), made.wanted.len());
    let hint = format!("change what stops them, or do without: --waive {}", names.join(","));
    Err(CommandError::refused(format!("{count}\n{}", all.join("\n"))).hinted(hint))
}

/// What came of a wish, in a line.
pub fn summary(made: &Made) -> String {
    let on = |letter| Values::parse(&made.config).iter().filter(|(_, value)| *value == letter).count();
    let skipped = match made.skipped.len() {
        0 => String::new(),
        count => format!(", {count} not in this Linux"),
    };
    let asked = made.wanted.len();
    let there = match made.waived.len().saturating_add(made.without_driver.len()) {
        0 => format!("all {asked}"),
        without => format!("{} of {asked}", asked.saturating_sub(without)),
    };
    format!(
        "{} for Linux {}: {there} symbols asked for are there{skipped}; {} built in, {} modules",
        made.role,
        made.linux,
        on("y"),
        on("m")
    )
}

pub fn shelf() -> Result<Shelf, CommandError> {
    Shelf::built_in().map_err(profile_error)
}

/// A name of xenup's own, or a file, which is put on the shelf.
fn addition(shelf: &mut Shelf, named: &str) -> Result<String, CommandError> {
    let name = named.strip_prefix('+').unwrap_or(named);
    if !name.contains('/') && !name.ends_with(".toml") {
        return Ok(name.to_owned());
    }
    let text = files::read_text(Path::new(name)).map_err(|error| {
        CommandError::usage(error).hinted("name a TOML file of symbols, or one of: xenup kernel roles")
    })?;
    let mut part = Part::parse(name, name, &text).map_err(profile_error)?;
    part.kind = PartKind::Addition;
    shelf.add(part);
    Ok(name.to_owned())
}

fn compose_error(error: ComposeError) -> CommandError {
    match error {
        ComposeError::Profile(error) => profile_error(error),
        ComposeError::Role { ref hint, .. } | ComposeError::Addition { ref hint, .. } => {
            let hint = hint.clone();
            CommandError::usage(error).hinted(hint)
        }
    }
}

/// The devices to build for, where the role is for one machine.
fn hardware(args: &KernelWish, role: &Part) -> Result<Option<Hardware>, CommandError> {
    let given = args.root.is_some() || args.facts.is_some() || args.modules.is_some() || args.no_hardware;
    match role.hardware {
        true if args.no_hardware => Ok(None),
        true => kernel_hardware::read(args).map(Some),
        false if given => Err(CommandError::usage(format!("{} is for no machine's devices", role.name))
            .hinted("leave --root, --facts, --modules and --no-hardware out, or take the role dom0-minimal")),
        false => Ok(None),
    }
}

fn profile_error(error: ProfileError) -> CommandError {
    let hints: Vec<String> =
        error.faults.iter().map(|fault| format!("line {}: {}", fault.at.line, fault.hint)).collect();
    let hint = match error.faults.as_slice() {
        [one] => one.hint.clone(),
        _ => hints.join("; "),
    };
    CommandError::usage(error).hinted(hint)
}

/// What make runs for a configuration.
fn tools() -> Result<(), CommandError> {
    let missing: Vec<&str> = ["make", "gcc", "flex", "bison"]
        .into_iter()
        .filter(|program| find_program(program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(CommandError::failed(format!("the kernel's own make needs {}", missing.join(", ")))
        .hinted(format!("apt-get install {}", missing.join(" "))))
}

/// The configuration that the role is laid over, where it is laid over one.
fn base(
    args: &KernelWish,
    request: &Request,
    source: &KernelSource,
) -> Result<Option<(PathBuf, String)>, CommandError> {
    if request.base != Base::Debian {
        return match &args.base {
            None => Ok(None),
            Some(_) => Err(CommandError::usage(format!("{} is laid over no configuration", request.role))
                .hinted("leave --base out, or take the role dom0-full")),
        };
    }
    let path = match &args.base {
        Some(path) => path.clone(),
        None => debians(source).ok_or_else(|| {
            let linux = source.linux;
            CommandError::usage(format!("Debian's configuration of Linux {linux} is not here")).hinted(
                format!("apt-get install linux-config-{linux}, or name one: --base /boot/config-VERSION"),
            )
        })?,
    };
    let no_config = |error: Box<dyn std::error::Error>| {
        CommandError::usage(error).hinted("name a kernel's .config, plain or packed with xz: --base FILE")
    };
    let bytes = files::read_regular(&path, CONFIG_LIMIT).map_err(|error| no_config(error.into()))?;
    let text =
        debian::text(&bytes).map_err(|error| no_config(format!("{}: {error}", path.display()).into()))?;
    Ok(Some((path, text)))
}

/// Debian's configuration of that Linux: of the package linux-config, else of the newest kernel in /boot.
fn debians(source: &KernelSource) -> Option<PathBuf> {
    let package = debian::packaged(Path::new(USR_SRC), source.linux);
    if files::exists(&package) {
        return Some(package);
    }
    let boot = files::list(Path::new("/boot")).unwrap_or_default();
    debian::newest_of(source.linux, boot)
}

/// Has the tree's own make decide.
fn make(source: &KernelSource, request: &Request, base: Option<&str>) -> Result<String, CommandError> {
    let objects = source.objects();
    let cannot = |error| cannot_write(error, &objects);
    files::create_dir_all(&objects).map_err(cannot)?;
    let _lock = FileLock::wait(&objects.join("xenup.lock")).map_err(cannot)?;
    let (config, wishes) = (objects.join(".config"), objects.join("xenup.wishes"));
    let mut tool = Tool::new("make").arg("-s").arg("-C").arg(&source.folder).arg(assign("O=", &objects));
    for name in FOREIGN {
        tool = tool.env_remove(name);
    }
    tool = match request.base {
        Base::Nothing => {
            files::write(&wishes, request.fragment(&source.tree).as_bytes()).map_err(cannot)?;
            tool.arg("allnoconfig").env("KCONFIG_ALLCONFIG", &wishes)
        }
        Base::Defaults | Base::Debian => {
            let start = request.over(base.unwrap_or_default(), &source.tree);
            files::write(&config, start.as_bytes()).map_err(cannot)?;
            tool.arg("olddefconfig")
        }
    };
    tool.arg("ARCH=x86_64")
        .timeout(MAKE_TIME)
        .die_with_parent()
        .run()
        .map_err(|error| make_error(error, source))?;
    files::read_text(&config).map_err(cannot)
}

/// A variable of make's.
pub fn assign(name: &str, path: &Path) -> std::ffi::OsString {
    let mut word = std::ffi::OsString::from(name);
    word.push(path);
    word
}

/// make failed.
pub fn make_error(error: ProcessError, source: &KernelSource) -> CommandError {
    let words = error.to_string();
    let hint = if words.contains("is not clean") {
        Some(format!(
            "make -C {} mrproper, which removes its .config, or name another tree",
            source.folder.display()
        ))
    } else {
        machine::hint_for_words(&words)
    };
    let hint = hint.unwrap_or_else(|| {
        format!("see it for yourself: make -C {} O=/tmp/O olddefconfig", source.folder.display())
    });
    CommandError::failed(error).hinted(hint)
}
