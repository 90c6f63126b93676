//! `xenup kernel build`: a kernel for a role, from Debian's source to packages whose image can play it.
//!
//! Decides: the order (what is wrong with the call, what is missing, configuration, room, make, the judgement), which
//! folder a build goes on in, and what is handed out. Never: hands out an image that cannot play its role.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xenup_core::kernel::build::record::{self, Built, State};
use xenup_core::kernel::build::{needs, package_version, room, unplayable};
use xenup_core::kernel::kconfig::Values;
use xenup_core::kernel::linux;
use xenup_core::kernel::profile::report::Made;
use xenup_core::kernel::profile::{Base, debian};
use xenup_core::kernel::report::Checked;
use xenup_core::kernel::role::Role;
use xenup_engine::digest::Digest;
use xenup_system::Environment;
use xenup_system::files::{self, FileLock, WorkDir};

use crate::args::{KernelBuild, KernelWish};
use crate::commands::kernel_config::{self, Configured};
use crate::commands::kernel_make::Making;
use crate::commands::kernel_source::{self, Extent, KernelSource, USR_SRC, cannot_write};
use crate::commands::{kernel, kernel_needs, machine};
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// Counts up with every change of how a build is made: what was begun in another way is begun anew.
const RECIPE: u32 = 1;
/// An image has 15 MB, a package of Debian's whole kernel 100.
const FILE_LIMIT: u64 = 1 << 30;

/// Builds a kernel.
pub fn build(ui: &mut Ui, args: &KernelBuild) -> Outcome {
    let role = kernel_config::role(&args.wish)?;
    if let Some(output) = args.output.as_deref() {
        refuse_taken(output)?;
    }
    if let Some(source) = args.wish.source.as_deref() {
        kernel_source::look(source)?;
    }
    if let Some(exit) = packages(ui, args, role.base)? {
        return Ok(exit);
    }
    let Configured { made, source } = kernel_config::configured(ui, &args.wish, Extent::Whole)?;
    kernel_config::granted(ui, &made)?;
    ui.status(kernel_config::summary(&made));
    let debhelper = files::exists(&source.folder.join("scripts/package/debian/rules"));
    let missing = kernel_needs::missing(&needs::of(&Values::parse(&made.config), debhelper));
    if !missing.is_empty() {
        return Err(kernel_needs::refuse(&missing, &args.wish.role));
    }
    let build = Build::open(ui, args, &source, &made)?;
    refuse_taken(&build.output)?;
    build.make(ui, &made)?;
    let release = build.release()?;
    judge(ui, args, &build, &role.plays)?;
    let built = build.hand_out(&made, release, role.plays)?;
    ui.result(format!("{}: {}", built.release, build.output.display()));
    for name in [&built.image, &built.config].into_iter().chain(&built.packages) {
        ui.result(format!("  {name}"));
    }
    if !built.plays.contains(&Role::Dom0) {
        ui.status(format!("next: sudo xenup kernel install {}", build.output.display()));
    }
    Ok(Exit::Done)
}

fn refuse_taken(output: &Path) -> Result<(), CommandError> {
    if !files::exists(output) {
        return Ok(());
    }
    Err(CommandError::refused(format!("{} is there already", output.display()))
        .hinted("name another folder: --output DIR, or take it away first"))
}

/// Sees to what is missing before there is a configuration; an exit, where that is all that is done.
fn packages(ui: &mut Ui, args: &KernelBuild, base: Base) -> Result<Option<Exit>, CommandError> {
    let named = args.wish.source.as_deref();
    let mut brought: Vec<String> = kernel_source::package(named).into_iter().collect();
    brought.extend(configuration(&args.wish, base));
    if !Environment::read().is_root {
        if args.plan || args.yes {
            let error = CommandError::usage("--plan and --yes are about packages, which root installs");
            return Err(error.hinted("leave them out, or call it as root"));
        }
        if kernel_needs::missing(&needs::TO_CONFIGURE).is_empty() && brought.is_empty() {
            return Ok(None);
        }
        let mut all = kernel_needs::missing(&needs::usual());
        all.append(&mut brought);
        return Err(kernel_needs::refuse(&all, &args.wish.role));
    }
    let mut all = kernel_needs::missing(&needs::usual());
    all.append(&mut brought);
    if !all.is_empty() {
        let exit = kernel_needs::install(ui, &all, args)?;
        if args.plan || exit != Exit::Done || !args.as_root {
            if exit == Exit::Done && !args.plan {
                ui.status(format!("next, as an ordinary user: xenup kernel build {}", args.wish.role));
            }
            return Ok(Some(exit));
        }
    } else if args.plan {
        ui.result("Nothing to do: what building a kernel needs is here.");
        return Ok(Some(Exit::Done));
    }
    if args.as_root {
        return Ok(None);
    }
    let error = CommandError::refused("nothing has to be installed, and a kernel is built without root");
    Err(error.hinted("call it as an ordinary user, or, where there is none: --as-root"))
}

/// The package of Debian's configuration, where the role is laid over it and no kernel here has one.
fn configuration(wish: &KernelWish, base: Base) -> Option<String> {
    if base != Base::Debian || wish.base.is_some() {
        return None;
    }
    let linux = kernel_source::named_release(wish.source.as_deref())?;
    let boot = files::list(Path::new("/boot")).unwrap_or_default();
    let is_here = files::exists(&debian::packaged(Path::new(USR_SRC), linux))
        || debian::newest_of(linux, boot).is_some();
    (!is_here).then(|| format!("linux-config-{linux}"))
}

/// Refuses an image that cannot be what it was built for.
fn judge(ui: &mut Ui, args: &KernelBuild, build: &Build, plays: &[Role]) -> Result<(), CommandError> {
    let xen = kernel::xen(args.xen, Path::new("/boot"));
    let image = kernel::open(&build.image()).map_err(CommandError::failed)?;
    let config = build.objects().join(".config");
    let text = files::read_text(&config).map_err(CommandError::failed)?;
    let checked = Checked::read(build.image(), image, Some((config, text)), &xen);
    let failing = unplayable(plays, &checked.verdicts);
    let names: Vec<String> = plays.iter().map(Role::to_string).collect();
    if failing.is_empty() {
        ui.status(format!("the image can be {} under Xen {}", names.join(", "), xen.name));
        return Ok(());
    }
    let why: Vec<String> = failing.iter().map(ToString::to_string).collect();
    let words = format!(
        "the image of {} cannot play its role under Xen {}\n{}",
        args.wish.role,
        xen.name,
        why.join("\n")
    );
    let change = failing.iter().find_map(|one| one.change.clone());
    let hint = change.unwrap_or_else(|| format!("xenup kernel check {}", build.image().display()));
    Err(CommandError::refused(words).hinted(hint))
}

/// A build in its folder, which nobody else works in meanwhile.
struct Build {
    folder: PathBuf,
    output: PathBuf,
    making: Making,
    state: State,
    _lock: FileLock,
}

impl Build {
    /// Finds the folder of this source and configuration: what was begun there goes on.
    fn open(
        ui: &mut Ui,
        args: &KernelBuild,
        source: &KernelSource,
        made: &Made,
    ) -> Result<Self, CommandError> {
        let version = linux::version(source.files.as_ref()).map_err(CommandError::failed)?;
        let config = Digest::of(made.config.as_bytes());
        let tree = source.digest()?;
        let key =
            Digest::of(format!("{RECIPE}\n{}\n{}", source.folder.display(), config.as_str()).as_bytes());
        let key: String = key.as_str().chars().take(16).collect();
        let folder = files::cache_dir().join("kernel/build").join(format!("{version}-{}-{key}", made.role));
        let cannot = |error| cannot_write(error, &folder);
        files::create_dir_all(&folder).map_err(cannot)?;
        let lock = FileLock::attempt(&folder.join("lock")).map_err(cannot)?.ok_or_else(|| {
            CommandError::refused(format!("another xenup builds in {}", folder.display()))
                .hinted("wait until it is done")
        })?;
        let before = files::read(&folder.join("state.json")).ok();
        let before: Option<State> = before.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let state = State { format: record::FORMAT, tree, config: config.clone(), done: false };
        let state = match before.filter(|before| before.format == record::FORMAT && before.config == config) {
            None => {
                kernel_source::need_room(&folder, room(&Values::parse(&made.config)), "this build")?;
                state
            }
            Some(before) if before.tree != state.tree => {
                ui.status("the source was changed since the build before: what that touches is built again");
                state
            }
            Some(before) if before.done => before,
            Some(_) => {
                ui.status("going on with the build that was not finished");
                state
            }
        };
        let local = Values::parse(&made.config).get("LOCALVERSION").unwrap_or_default().to_owned();
        let output = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("kernel-{version}{local}")));
        let making = Making {
            tree: source.folder.clone(),
            objects: folder.join("objects"),
            jobs: args.jobs.unwrap_or_else(xenup_system::parallel::processors),
            seconds: moment(source)?,
            version: package_version(&version, config.as_str()),
        };
        let build = Self { folder, output, making, state, _lock: lock };
        build.refuse_unwritable()?;
        Ok(build)
    }

    /// Hours are not to end at a folder that cannot be made.
    fn refuse_unwritable(&self) -> Result<(), CommandError> {
        WorkDir::new_in(parent(&self.output), ".xenup-").map(drop).map_err(|error| {
            let hint = machine::hint_for_words(&error.source.to_string())
                .unwrap_or_else(|| "name a folder in one that you may write to: --output DIR".to_owned());
            CommandError::failed(error).hinted(hint)
        })
    }

    fn objects(&self) -> &Path {
        &self.making.objects
    }

    fn image(&self) -> PathBuf {
        self.objects().join("arch/x86/boot/bzImage")
    }

    fn make(&self, ui: &mut Ui, made: &Made) -> Result<(), CommandError> {
        if self.state.done && files::exists(&self.image()) && !self.packages()?.is_empty() {
            ui.status("this kernel was built before: nothing is compiled");
            return Ok(());
        }
        let cannot = |error| cannot_write(error, &self.folder);
        files::create_dir_all(self.objects()).map_err(cannot)?;
        self.write_state(false)?;
        let config = self.objects().join(".config");
        // A new time would have make look at every symbol again.
        if files::read(&config).ok().as_deref() != Some(made.config.as_bytes()) {
            files::write(&config, made.config.as_bytes()).map_err(cannot)?;
        }
        for old in self.packages()? {
            files::remove_file(&old).map_err(cannot)?;
        }
        ui.status(format!("building in {}", self.folder.display()));
        self.making.compile(ui)?;
        self.making.pack(ui)?;
        if self.packages()?.is_empty() {
            return Err(CommandError::failed(format!("make packed nothing in {}", self.folder.display()))
                .hinted(format!("to begin anew: rm -r {}", self.folder.display())));
        }
        self.write_state(true)
    }

    fn write_state(&self, done: bool) -> Result<(), CommandError> {
        let state = State { done, ..self.state.clone() };
        let text = serde_json::to_vec_pretty(&state).map_err(CommandError::failed)?;
        files::write_atomic(&self.folder.join("state.json"), &text, 0o644)
            .map_err(|error| cannot_write(error, &self.folder))
    }

    /// The packages of kernel and headers; linux-libc-dev, which kbuild packs besides, would replace Debian's, and debug
    /// information stays where it was packed.
    fn packages(&self) -> Result<Vec<PathBuf>, CommandError> {
        let mut all = files::list(&self.folder).map_err(CommandError::failed)?;
        all.retain(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let ours = name.starts_with("linux-image-") || name.starts_with("linux-headers-");
            ours && name.ends_with(".deb") && !name.contains("-dbg_")
        });
        Ok(all)
    }

    /// What `uname -r` will say, as make has settled it.
    fn release(&self) -> Result<String, CommandError> {
        let path = self.objects().join("include/config/kernel.release");
        let text = files::read_text(&path).map_err(CommandError::failed)?;
        let release = text.trim();
        match record::is_name(release) {
            true => Ok(release.to_owned()),
            false => Err(CommandError::failed(format!("{}: no release of a kernel", path.display()))),
        }
    }

    /// Puts image, configuration and packages into the output folder, all at once.
    fn hand_out(&self, made: &Made, release: String, plays: Vec<Role>) -> Result<Built, CommandError> {
        let work = WorkDir::new_in(parent(&self.output), ".xenup-").map_err(CommandError::failed)?;
        let failed = |error| cannot_write(error, parent(&self.output));
        let mut digests = BTreeMap::new();
        let mut put = |from: &Path, name: String| -> Result<String, CommandError> {
            let bytes = files::read_regular(from, FILE_LIMIT).map_err(CommandError::failed)?;
            files::write_atomic(&work.join(&name), &bytes, 0o644).map_err(failed)?;
            digests.insert(name.clone(), Digest::of(&bytes));
            Ok(name)
        };
        let image = put(&self.image(), format!("vmlinuz-{release}"))?;
        let config = put(&self.objects().join(".config"), format!("config-{release}"))?;
        let mut packages = Vec::new();
        for package in self.packages()? {
            let name =
                package.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            packages.push(put(&package, name)?);
        }
        let built = Built {
            format: record::FORMAT,
            role: made.role.clone(),
            with: made.with.clone(),
            release,
            version: self.making.version.clone(),
            plays,
            image,
            config,
            packages,
            files: digests,
        };
        let text = serde_json::to_vec_pretty(&built).map_err(CommandError::failed)?;
        files::write_atomic(&work.join(record::RESULT), &text, 0o644).map_err(failed)?;
        files::set_mode(work.path(), 0o755).map_err(failed)?;
        refuse_taken(&self.output)?;
        files::rename(work.path(), &self.output).map_err(failed)?;
        Ok(built)
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The moment of a source: when its Makefile was written last.
fn moment(source: &KernelSource) -> Result<i64, CommandError> {
    let entry = source.files.entry(Path::new("/Makefile")).map_err(machine::machine_error)?;
    Ok(entry.and_then(|entry| entry.attributes.mtime).map_or(0, |time| time.seconds))
}
