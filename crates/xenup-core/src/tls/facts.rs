//! What a system has of the libraries in question. Decides which file says what; never what follows from it.

use std::path::{Path, PathBuf};

use xenup_machine::file::Kind;
use xenup_machine::{Probe, Reason};

/// More than any libc, loader or cache has.
const FILE_LIMIT: u64 = 16 << 20;
/// More than any configuration file read here has.
const TEXT_LIMIT: u64 = 1 << 20;

/// Folders that the loader prefers to those above them. Each is moved as a whole, by one rename.
const UNITS: [&str; 4] = ["/lib/tls", "/lib/i686", "/lib/i386-linux-gnu/tls", "/lib/i386-linux-gnu/i686"];
/// Where in a unit a libc can be.
const BELOW: [&str; 8] = ["", "cmov", "tls", "tls/cmov", "i486", "i586", "i686", "i686/cmov"];
pub(super) const NOSEGNEG: [&str; 3] = ["i686/nosegneg", "tls/nosegneg", "nosegneg"];
/// The loader of every 32-bit x86 program.
pub(super) const LOADER: &str = "/lib/ld-linux.so.2";
/// The flag file of Debian's loader.
pub(super) const NOHWCAP: &str = "/etc/ld.so.nohwcap";
/// Our line for ldconfig.
pub(super) const OWN_CONF: &str = "/etc/ld.so.conf.d/xenup-tls.conf";
const CONF: &str = "/etc/ld.so.conf";
const CACHE: &str = "/etc/ld.so.cache";
/// Where the user says to leave them.
pub(super) const CHOICE: &str = "/etc/default/xenup-tls";

/// How a kernel runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Xen {
    /// As a PV machine, dom0 included.
    Pv,
    /// As an HVM or PVH guest.
    Hvm,
    /// Not under Xen.
    None,
}

/// A kernel, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// What `uname -m` says.
    pub machine: String,
    /// How it runs.
    pub xen: Xen,
}

impl Kernel {
    /// Reads how the running kernel runs. /sys/hypervisor/guest_type came with Linux 4.13.
    #[must_use]
    pub fn gather(probe: &dyn Probe, machine: &str) -> Self {
        let word = |path: &str| text(probe, path).map(|text| text.trim().to_owned());
        let xen = match word("/sys/hypervisor/guest_type").as_deref() {
            Some("PV") => Xen::Pv,
            Some(_) => Xen::Hvm,
            None => {
                let here = word("/sys/hypervisor/type").as_deref() == Some("xen")
                    || exists(probe, Path::new("/proc/xen/capabilities"));
                match word("/sys/class/dmi/id/product_name").as_deref() {
                    _ if !here => Xen::None,
                    Some("HVM domU") => Xen::Hvm,
                    _ => Xen::Pv,
                }
            }
        };
        Self { machine: machine.to_owned(), xen }
    }

    /// Whether it is one of 32 bits.
    pub(super) fn is_32_bit(&self) -> bool {
        matches!(self.machine.as_bytes(), [b'i', _, b'8', b'6'])
    }
}

/// A libc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Libc {
    /// Where.
    pub path: PathBuf,
    /// How it names itself; the same for all variants of one build.
    pub banner: Option<Vec<u8>>,
    /// Whether it reaches thread-local storage through %gs: all do but LinuxThreads without it.
    pub tls: bool,
}

/// A unit under its own name, or the one it was moved to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Every libc in it but nosegneg.
    pub libcs: Vec<Libc>,
    /// Whether it has anything but folders.
    pub holds: bool,
    /// A library that the folder of the programs' libc does not have.
    pub lone: Option<PathBuf>,
    /// A file that dpkg has not yet put in its place.
    pub unfinished: Option<PathBuf>,
    /// Folders below it, of which each has a nosegneg libc.
    pub nosegneg: Vec<&'static str>,
}

impl Standing {
    /// The first libc that uses thread-local storage.
    pub(super) fn troubling(&self) -> Option<&Path> {
        self.libcs.iter().find(|libc| libc.tls).map(|libc| libc.path.as_path())
    }
}

/// A folder that the loader prefers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    /// Its own name.
    pub path: PathBuf,
    /// What stands there.
    pub here: Option<Standing>,
    /// What stands where it is moved to.
    pub aside: Option<Standing>,
    /// Whether ld.so.cache names something in it.
    pub cached: bool,
}

impl Unit {
    /// Where it is moved to: a name that neither the loader nor ldconfig looks for.
    pub(super) fn aside_path(&self) -> PathBuf {
        aside_path(&self.path)
    }
}

fn aside_path(unit: &Path) -> PathBuf {
    let mut name = unit.as_os_str().to_owned();
    name.push(".xenup");
    name.into()
}

/// Whether ldconfig is told of nosegneg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Yes,
    /// A file of ours can.
    Can,
    No,
}

/// The flag file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    Absent,
    Ours,
    Others,
}

/// What a system has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whether the loader knows the flag file; `None` where there is no loader.
    pub(super) loader: Option<bool>,
    /// The libc of programs where the loader prefers nothing else.
    pub(super) base: Option<Libc>,
    /// The folders that are there, in the order they are looked at.
    pub(super) units: Vec<Unit>,
    /// ldconfig's configuration.
    pub(super) told: Told,
    /// The flag file.
    pub(super) flag: Flag,
    /// Whether the user says to leave them.
    pub(super) leave: bool,
    /// What a write that was cut off left.
    pub(super) leftovers: Vec<PathBuf>,
    /// What ld.so.cache names of nosegneg folders; `None` where there is no cache.
    pub(super) cached_nosegneg: Option<Vec<PathBuf>>,
}

impl Facts {
    /// Reads them. What cannot be read is not there.
    #[must_use]
    pub fn gather(probe: &dyn Probe) -> Self {
        let base = ["/lib/i386-linux-gnu", "/lib"].into_iter().find_map(|dir| libc(probe, Path::new(dir)));
        let base_dir = base.as_ref().and_then(|libc| libc.path.parent()).map(Path::to_owned);
        let cache = probe.read(Path::new(CACHE), FILE_LIMIT).ok();
        let cache_has = |dir: &Path| {
            let mut start = dir.as_os_str().as_encoded_bytes().to_vec();
            start.push(b'/');
            cache.as_deref().is_some_and(|cache| texts(cache).any(|text| text.starts_with(&start)))
        };
        let units: Vec<Unit> = UNITS
            .into_iter()
            .map(|unit| {
                let path = Path::new(unit);
                Unit {
                    path: path.to_owned(),
                    here: standing(probe, path, base_dir.as_deref()),
                    aside: standing(probe, &aside_path(path), base_dir.as_deref()),
                    cached: cache_has(path),
                }
            })
            .collect();
        let nosegneg = UNITS.iter().flat_map(|unit| NOSEGNEG.iter().map(|below| Path::new(unit).join(below)));
        let cached_nosegneg = cache.is_some().then(|| nosegneg.filter(|dir| cache_has(dir)).collect());
        let loader = probe.read(Path::new(LOADER), FILE_LIMIT).ok();
        let leftovers = [NOHWCAP, OWN_CONF].map(|path| aside_path(Path::new(path)));
        Self {
            loader: loader.map(|bytes| texts(&bytes).any(|text| text.ends_with(b"ld.so.nohwcap"))),
            base,
            units,
            told: told(probe),
            flag: flag(probe),
            leave: text(probe, CHOICE).is_some_and(|text| text.lines().any(leaves)),
            leftovers: leftovers.into_iter().filter(|path| exists(probe, path)).collect(),
            cached_nosegneg,
        }
    }
}

/// Whether a system has the loader of 64-bit x86 programs.
pub(super) fn is_64_bit(probe: &dyn Probe) -> bool {
    exists(probe, Path::new("/lib64/ld-linux-x86-64.so.2"))
}

fn text(probe: &dyn Probe, path: impl AsRef<Path>) -> Option<String> {
    let bytes = probe.read(path.as_ref(), TEXT_LIMIT).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether something stands at a path, links followed; a whole file is not read for it.
fn exists(probe: &dyn Probe, path: &Path) -> bool {
    match probe.entry(path) {
        Ok(Some(entry)) if matches!(entry.kind, Kind::Symlink { .. }) => {
            is_dir(probe, path)
                || probe.read(path, 0).is_ok()
                || probe.read(path, 0).is_err_and(|error| error.reason == Reason::TooLarge)
        }
        Ok(entry) => entry.is_some(),
        Err(_) => false,
    }
}

fn is_dir(probe: &dyn Probe, path: &Path) -> bool {
    probe.list(path).is_ok()
}

/// The texts in a binary file: what stands between NULs and line ends.
fn texts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| matches!(byte, 0 | b'\n'))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|found| found == what)
}

fn libc(probe: &dyn Probe, dir: &Path) -> Option<Libc> {
    let path = dir.join("libc.so.6");
    let bytes = probe.read(&path, FILE_LIMIT).ok()?;
    let numbered = |text: &[u8]| {
        let name = b"linuxthreads-";
        let ends = text.windows(name.len() + 1).filter(|found| found.starts_with(name));
        ends.filter_map(<[u8]>::last).any(u8::is_ascii_digit)
    };
    let linuxthreads = texts(&bytes).any(numbered);
    let supported = texts(&bytes).any(|text| find(text, b"Thread-local storage support").is_some());
    Some(Libc { path, banner: texts(&bytes).find_map(banner), tls: !linuxthreads || supported })
}

fn banner(text: &[u8]) -> Option<Vec<u8>> {
    let named = text.get(find(text, b"GNU C Library")?..)?;
    find(named, b" release version ").map(|_| named.to_owned())
}

fn standing(probe: &dyn Probe, unit: &Path, base: Option<&Path>) -> Option<Standing> {
    if !is_dir(probe, unit) {
        return None;
    }
    let mut standing = Standing::default();
    for (at, below) in BELOW.iter().chain(&NOSEGNEG).enumerate() {
        let dir = unit.join(below);
        let variant = at < BELOW.len();
        let mut names: Vec<String> = probe
            .list(&dir)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .collect();
        // A shell's pattern leaves these out.
        names.retain(|name| !name.starts_with('.'));
        standing.holds |=
            names.iter().any(|name| exists(probe, &dir.join(name)) && !is_dir(probe, &dir.join(name)));
        if !variant {
            continue;
        }
        standing.libcs.extend(libc(probe, &dir));
        let waits = |name: &&String| name.ends_with(".dpkg-new") || name.ends_with(".dpkg-tmp");
        standing.unfinished =
            standing.unfinished.or_else(|| names.iter().find(waits).map(|name| dir.join(name)));
        let lone = |name: &&String| {
            is_library(name)
                && exists(probe, &dir.join(name))
                && base.is_some_and(|base| !exists(probe, &base.join(name)))
        };
        standing.lone = standing.lone.or_else(|| names.iter().find(lone).map(|name| dir.join(name)));
    }
    let variants = NOSEGNEG.into_iter().filter(|below| exists(probe, &unit.join(below).join("libc.so.6")));
    standing.nosegneg = variants.collect();
    Some(standing)
}

/// Whether a name is lib*.so. and a digit, with anything after it.
fn is_library(name: &str) -> bool {
    let after = |at: usize| name.as_bytes().get(at + ".so.".len()).is_some_and(u8::is_ascii_digit);
    name.starts_with("lib") && name.match_indices(".so.").any(|(at, _)| after(at))
}

/// ldconfig reads ld.so.conf and what it includes; Debian's includes ld.so.conf.d/*.conf.
fn told(probe: &dyn Probe) -> Told {
    let Some(main) = text(probe, CONF) else { return Told::No };
    let includes = main.lines().any(|line| {
        let words = line.trim_start().strip_prefix("include");
        words.is_some_and(|words| words.starts_with([' ', '\t']) && words.contains("ld.so.conf.d/*.conf"))
    });
    let mut texts = vec![main];
    if includes {
        let dir = Path::new("/etc/ld.so.conf.d");
        let names = probe.list(dir).unwrap_or_default().into_iter();
        let paths =
            names.map(|name| dir.join(name)).filter(|path| path.extension().is_some_and(|end| end == "conf"));
        texts.extend(paths.filter_map(|path| text(probe, path)));
    }
    let says = |line: &str| {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        matches!(words[..], ["hwcap", bit, "nosegneg"] if bit.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match (texts.iter().flat_map(|text| text.lines()).any(says), includes) {
        (true, _) => Told::Yes,
        (false, true) => Told::Can,
        (false, false) => Told::No,
    }
}

fn flag(probe: &dyn Probe) -> Flag {
    match text(probe, NOHWCAP) {
        Some(text) if text.lines().any(|line| line.starts_with("xenup-tls")) => Flag::Ours,
        Some(_) => Flag::Others,
        None if exists(probe, Path::new(NOHWCAP)) => Flag::Others,
        None => Flag::Absent,
    }
}

fn leaves(line: &str) -> bool {
    let value = line.trim_start_matches(' ').strip_prefix("TLS=").unwrap_or_default();
    value.trim_start_matches(['"', '\'']).starts_with("leave")
}
