//! The disk of a Xen host that belongs to no machine yet: without root, and the same bytes for the same input.
//!
//! It decides in which order the steps of [`crate::build`] come with those that a host alone has, and that nothing in the
//! disk tells when or where it was made: no file is younger than the archive its packages came from, and nothing is drawn
//! at random. What is in the files is the caller's decision.
//!
//! It runs as root of its own namespaces ([`xenup_system::namespace`]): what it mounts below its work directory ends with
//! them.

mod date;
mod devices;
pub(crate) mod settle;

use std::path::{Path, PathBuf};
use std::slice;
use std::time::Duration;

use serde::Serialize;
pub use xenup_engine::action::LineEdit;
use xenup_system::files::{self, FileLock, WorkDir};
use xenup_system::process::Tool;
use xenup_system::tree::TreeFiles;

use crate::build::{self, OWNER, WORK};
use crate::check::Built;
use crate::error::{ImageError, during};
use crate::identity::{Identity, sha256_hex};
use crate::medium::{self, MediumSpec};
use crate::mirror::Mirror;
use crate::progress::{Progress, StepTime, Steps};
use crate::spec::{Format, ImageSpec, SpecError, Suite};
use crate::system_tree::{self, Devices, Recipe};
use crate::{boot_loader, check, configure, digest, disk, tools};

const LIMIT: Duration = Duration::from_secs(600);
const MENU: &str = "/boot/grub/grub.cfg";

/// Programs beside [`tools::REQUIRED`], and the Debian packages that have them.
const ALSO_REQUIRED: &[(&str, &str)] = &[
    ("find", "findutils"),
    ("touch", "coreutils"),
    ("date", "coreutils"),
    ("umount", "mount"),
    (date::HELPER, "apt"),
];

/// xenup's own package as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deb {
    /// Where it lies, absolute.
    pub path: PathBuf,
    /// Its version.
    pub version: String,
    /// The SHA-256 of its bytes.
    pub digest: String,
}

impl Deb {
    /// Reads what it says of itself.
    ///
    /// # Errors
    /// It cannot be read, is no Debian package, or is another one than xenup's.
    pub fn read(path: &Path) -> Result<Self, ImageError> {
        let not = |why: String| ImageError::NotThePackage { path: path.to_owned(), why };
        let bytes = files::read(path)?;
        let said = Tool::new("dpkg-deb").arg("--field").arg(path).args(["Package", "Version"]).output();
        let said = said.map_err(during("reading the package (dpkg-deb)"))?;
        if !said.status.success() {
            let words = said.stderr_text();
            return Err(not(words.lines().next().unwrap_or("it is no Debian package").trim().to_owned()));
        }
        let text = said.text();
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
                .trim()
        };
        if field("Package") != "xenup" {
            return Err(not(format!("it is the package {}", field("Package"))));
        }
        Ok(Self { path: path.to_owned(), version: field("Version").to_owned(), digest: sha256_hex(&bytes) })
    }
}

/// What the disk of a host is to be.
#[derive(Debug, Clone)]
pub struct HostSpec {
    /// Its packages, name, access, files.
    pub disk: ImageSpec,
    /// Its identifiers: the files name them, so they come first; see [`identity`].
    pub identity: Identity,
    /// Lines of packages' files, each there once.
    pub edits: Vec<(PathBuf, Vec<LineEdit>)>,
    /// Links: where, and where they lead to.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// What the finished grub.cfg has to say.
    pub menu: Vec<String>,
    /// The locale of its programs, such as `de_DE.UTF-8`; C.UTF-8 without one.
    pub locale: Option<String>,
    /// The time zone, such as `Europe/Berlin`; UTC without one.
    pub time_zone: Option<String>,
    /// xenup's own package.
    pub package: Option<Deb>,
    /// Where the disk goes onto an installer medium, which is then what is built.
    pub medium: Option<MediumSpec>,
}

/// The identifiers of a host's disk: they follow from `disk` as it is before the files that name them are added, and from
/// all else that was given.
///
/// # Errors
/// The specification cannot be written down.
pub fn identity(disk: &ImageSpec, given: &[&str]) -> Result<Identity, ImageError> {
    let digest = disk.digest()?;
    let all: Vec<&str> = [digest.as_str()].into_iter().chain(given.iter().copied()).collect();
    Ok(Identity::from_seed(&sha256_hex(&serde_json::to_vec(&all).map_err(SpecError::Digest)?)))
}

/// A finished disk of a host.
#[derive(Debug, Clone, Serialize)]
pub struct HostImage {
    /// The disk file.
    pub path: PathBuf,
    /// Bytes of the disk, as a machine sees it.
    pub size: u64,
    /// The SHA-256 of the disk file.
    pub digest: String,
    /// The kernels in /boot.
    pub kernels: Vec<String>,
    /// The hypervisors in /boot, by file name.
    pub hypervisors: Vec<String>,
    /// The day of the archive that the packages came from, as it writes it.
    pub archive: String,
    /// The steps in order with their times.
    pub steps: Vec<StepTime>,
}

/// Checks a specification without doing anything.
///
/// # Errors
/// The first value that cannot be.
pub fn validate(spec: &HostSpec) -> Result<(), ImageError> {
    spec.disk.validate()?;
    let bad = |field, value: &str, why| SpecError::Value { field, value: value.to_owned(), why };
    let word = |c: char| c.is_ascii_alphanumeric() || "_@.-".contains(c);
    if let Some(locale) = &spec.locale
        && (!locale.ends_with(".UTF-8") || !locale.chars().all(word))
    {
        return Err(bad("locale", locale, "is no locale in UTF-8, such as de_DE.UTF-8").into());
    }
    if let Some(zone) = &spec.time_zone
        && !zone.split('/').all(|part| {
            part.starts_with(|c: char| c.is_ascii_alphabetic())
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "_+-".contains(c))
        })
    {
        return Err(bad("timezone", zone, "is no time zone, such as Europe/Berlin").into());
    }
    Ok(())
}

/// Builds the disk at `out`, replacing what was there, with the cache and work in progress in `cache`.
///
/// As root of namespaces of its own. On an error nothing is left at `out` but what was there before.
///
/// # Errors
/// No root, programs or mirror that are missing, packages that cannot be had, a zone or locale that the release does not
/// have, a menu without Xen's entry, a disk that does not read back as it was made.
pub fn build_in(
    cache: &Path,
    spec: &HostSpec,
    out: &Path,
    report: &mut dyn FnMut(Progress),
) -> Result<HostImage, ImageError> {
    validate(spec)?;
    if !files::is_root() {
        return Err(ImageError::NotRoot);
    }
    tools::check(&spec.disk)?;
    tools::check_for(ALSO_REQUIRED)?;
    if spec.medium.is_some() {
        tools::check_for(medium::ALSO_REQUIRED)?;
    }
    build::sweep(cache)?;
    let work = WorkDir::new_in(cache, WORK)?;
    let _owner = FileLock::wait(&work.join(OWNER))?;
    let mut steps = Steps::new(report);
    let suite = spec.disk.suite;
    let (mirror, day) = steps.run("mirror", |_| {
        let mirror = Mirror::of_this_machine()?;
        let day = date::of_archive(&mirror, suite, work.path())?;
        Ok::<_, ImageError>((mirror, day))
    })?;
    let epoch = day.epoch;
    let root = work.join("tree");
    steps.run_cached("packages", |line| {
        let recipe = recipe(spec, &mirror, epoch);
        system_tree::make_by(&recipe, cache, &root, Devices::LeftOut, line).map(|cached| ((), cached))
    })?;
    let tree = TreeFiles::open(&root)?;
    let lent = devices::lend(&root)?;
    steps.run("configuration", |_| {
        configure::configure(&spec.disk, &spec.identity, &mirror, &tree)?;
        if spec.medium.is_some() {
            // The installer writes keys into it, and makes no folder.
            tree.directory(Path::new("/root/.ssh"), 0o700)?;
        }
        configure_host(spec, &tree)
    })?;
    let images = steps.run("boot loader", |_| {
        let images = boot_loader::install(&spec.disk, &spec.identity, &tree)?;
        menu_says(spec, &tree)?;
        Ok::<_, ImageError>(images)
    })?;
    lent.take_back()?;
    let raw = work.join("disk.raw");
    let layout = steps.run("root file system", |_| {
        settle::tree(&root, epoch)?;
        let layout = disk::write_root_at(&spec.disk, &spec.identity, &root, &raw, Some(epoch))?;
        settle::file_system(&raw, layout.of_grub(), epoch)?;
        Ok::<_, ImageError>(layout)
    })?;
    steps.run("boot partitions", |_| {
        disk::write_boot_at(&layout, &spec.identity, &images, work.path(), &raw, Some(epoch))
    })?;
    steps.run("check", |_| {
        let grub_config = tree.read(Path::new(MENU))?;
        let built =
            Built { layout: &layout, identity: &spec.identity, images: &images, grub_config: &grub_config };
        check::check(&raw, &built).map_err(|source| ImageError::Check { path: raw.clone(), source })
    })?;
    let kernels = build::kernels(&tree)?;
    let hypervisors = hypervisors(&tree)?;
    match &spec.medium {
        None => steps.run("disk file", |_| build::finish(spec.disk.format, &raw, out))?,
        Some(wanted) => {
            let lent = devices::lend(&root)?;
            let parts = medium::Parts {
                suite,
                serial: spec.disk.serial,
                work: work.path(),
                root: &root,
                tree: &tree,
                raw: &raw,
                layout: &layout,
                epoch,
                archive: &day.text,
            };
            let iso = medium::make(wanted, &parts, &mut steps)?;
            lent.take_back()?;
            steps.run("disk file", |_| build::finish(Format::Raw, &iso, out))?;
        }
    }
    let digest = steps.run("digest", |_| digest::of_file(out))?;
    steps.run("cleaning up", |_| files::remove_dir_all(work.path()))?;
    let size = layout.disk;
    let steps = steps.times;
    Ok(HostImage { path: out.to_owned(), size, digest, kernels, hypervisors, archive: day.text, steps })
}

fn recipe<'a>(spec: &'a HostSpec, mirror: &'a Mirror, epoch: u64) -> Recipe<'a> {
    let mut packages = system_tree::packages(&spec.disk, mirror);
    packages.extend(spec.locale.is_some().then(|| "locales".to_owned()));
    packages.extend(spec.time_zone.is_some().then(|| "tzdata".to_owned()));
    packages.sort();
    packages.dedup();
    let package = spec.package.as_ref();
    Recipe { suite: spec.disk.suite, packages, mirror, epoch: Some(epoch), package }
}

/// What a host has beyond a plain Debian: edited lines, links, language and clock.
fn configure_host(spec: &HostSpec, tree: &TreeFiles) -> Result<(), ImageError> {
    for (path, lines) in &spec.edits {
        let mut text = tree.read_text(path)?;
        for line in lines {
            text =
                LineEdit::apply_all(slice::from_ref(line), &text).ok_or_else(|| ImageError::NotInTree {
                    what: format!("there is not one line `{}`", line.from),
                    path: path.clone(),
                })?;
        }
        tree.rewrite(path, text.as_bytes())?;
    }
    for (link, target) in &spec.links {
        tree.symlink(target, link)?;
    }
    if let Some(zone) = &spec.time_zone {
        let file = Path::new("/usr/share/zoneinfo").join(zone);
        if !tree.exists(&file)? {
            return Err(ImageError::NotInTree {
                what: format!("{} knows no time zone {zone}", spec.disk.suite.title()),
                path: file,
            });
        }
        tree.symlink(&file, Path::new("/etc/localtime"))?;
        tree.write(Path::new("/etc/timezone"), 0o644, format!("{zone}\n").as_bytes())?;
    }
    match &spec.locale {
        Some(locale) => make_locale(spec.disk.suite, locale, tree),
        None => Ok(()),
    }
}

fn make_locale(suite: Suite, locale: &str, tree: &TreeFiles) -> Result<(), ImageError> {
    let known = Path::new("/usr/share/i18n/SUPPORTED");
    let line = format!("{locale} UTF-8");
    if !tree.read_text(known)?.lines().any(|known| known.trim() == line) {
        return Err(ImageError::NotInTree {
            what: format!("{} knows no locale {locale}", suite.title()),
            path: known.to_owned(),
        });
    }
    tree.write(Path::new("/etc/locale.gen"), 0o644, format!("{line}\n").as_bytes())?;
    tools::inside(tree.path(), "locale-gen")
        .timeout(LIMIT)
        .run()
        .map_err(during("making the locale (locale-gen)"))?;
    Ok(configure::language(tree, locale)?)
}

/// The menu was made by the release's own scripts: whether it has the entries is read, not believed.
fn menu_says(spec: &HostSpec, tree: &TreeFiles) -> Result<(), ImageError> {
    let menu = tree.read_text(Path::new(MENU))?;
    match spec.menu.iter().find(|words| !menu.contains(*words)) {
        None => Ok(()),
        Some(words) => Err(ImageError::NotInTree {
            what: format!("GRUB's menu does not say {words}"),
            path: MENU.into(),
        }),
    }
}

fn hypervisors(tree: &TreeFiles) -> Result<Vec<String>, ImageError> {
    let is_one = |name: &String| name.starts_with("xen-") && name.ends_with(".gz");
    let found: Vec<String> = tree.names(Path::new("/boot"))?.into_iter().filter(is_one).collect();
    if found.is_empty() {
        return Err(ImageError::Incomplete { what: "hypervisor", path: "/boot".into() });
    }
    Ok(found)
}
