//! Our reading of real kernels against binutils': Debian's kernels and GRUB's loaders, fetched without being installed.
//!
//! Decides: nothing about kernels. `readelf -n` on what the system's own unpackers make of them is
//! the oracle.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use xenup_system::files;
use xenup_system::process::Tool;

/// Fetched for every run: small, and packed in two ways.
const SOME: [&str; 2] = ["linux-image-cloud-amd64", "linux-image-6.12-cloud-amd64"];
/// Fetched for `--long` as well: large.
const MORE: [&str; 2] = ["linux-image-amd64", "linux-image-6.12-amd64"];
/// Fetched for `--long` from Debian 11, 32 bits among them.
const OLD: [(&str, &str); 2] = [("amd64", ""), ("686-pae", ":i386")];
/// Where those are.
const OLD_SUITE: &str = "bullseye";
/// GRUB as a PV and as a PVH guest.
const LOADERS: &str = "grub-xen-host";

type Failure = Box<dyn std::error::Error>;

/// Compares the notes of every kernel that this machine's sources have.
///
/// # Errors
/// A kernel that cannot be fetched or unpacked; a source that lacks one is told and passed over.
pub fn run(long: bool) -> crate::Outcome {
    let folder = crate::project().join("target/kernels");
    files::create_dir_all(&folder)?;
    let here = Archive::own(&folder);
    let mut kernels = here.unpacked(LOADERS, "usr/lib/grub-xen")?;
    let more: &[&str] = if long { &MORE } else { &[] };
    for meta in SOME.iter().chain(more) {
        kernels.extend(here.kernel(meta)?);
    }
    if long {
        match Archive::of_suite(&folder, OLD_SUITE) {
            Ok(old) => {
                for (flavour, architecture) in OLD {
                    kernels.extend(old.newest(flavour, architecture)?);
                }
            }
            Err(error) => println!("{OLD_SUITE}: not to be had: {error}"),
        }
    }
    let mut wrong = 0;
    for kernel in &kernels {
        let theirs = notes_by_readelf(&folder, kernel)?;
        let ours = notes_by_us(kernel)?;
        let good = !ours.is_empty() && theirs == ours;
        println!("{}: {} notes, {}", kernel.display(), ours.len(), if good { "equal" } else { "DIFFERENT" });
        if !good {
            println!("  readelf {theirs:?}\n  xenup   {ours:?}");
            wrong += 1;
        }
    }
    Ok(wrong == 0 && kernels.len() > 3)
}

/// Debian's metapackages whose kernels are started as guests, from this machine's own sources.
const STARTED: [&str; 5] = [
    "linux-image-amd64",
    "linux-image-cloud-amd64",
    "linux-image-rt-amd64",
    "linux-image-6.12-amd64",
    "linux-image-6.12-cloud-amd64",
];
/// And flavours of Debian 11, whose 32-bit kernels differ in what they can be.
const STARTED_OLD: [(&str, &str); 3] = [("amd64", ""), ("686-pae", ":i386"), ("686", ":i386")];
/// The fewest kernels that say anything.
const FEWEST: usize = 6;

/// Fetches kernels of every kind, GRUB's loaders among them, for whoever starts them as guests.
///
/// # Errors
/// One cannot be fetched or unpacked, or there are fewer than six.
pub fn to_start() -> Result<Vec<PathBuf>, Failure> {
    let folder = crate::project().join("target/kernels");
    files::create_dir_all(&folder)?;
    let here = Archive::own(&folder);
    let mut kernels = Vec::new();
    for meta in STARTED {
        kernels.extend(here.kernel(meta)?);
    }
    let old = Archive::of_suite(&folder, OLD_SUITE)?;
    for (flavour, architecture) in STARTED_OLD {
        match old.newest(flavour, architecture) {
            Ok(found) => kernels.extend(found),
            Err(error) => println!("{OLD_SUITE}, {flavour}: not to be had: {error}"),
        }
    }
    if kernels.len() < FEWEST {
        return Err(format!("{} kernels are to be had, of {FEWEST} at least", kernels.len()).into());
    }
    kernels.extend(here.unpacked(LOADERS, "usr/lib/grub-xen")?);
    Ok(kernels)
}

/// Where packages come from, and the folder that they are unpacked in.
pub struct Archive {
    folder: PathBuf,
    /// What apt is told; nothing for this machine's own sources.
    options: Vec<String>,
}

impl Archive {
    /// This machine's own sources.
    pub fn own(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), options: Vec::new() }
    }

    /// Another suite of the archive that this machine's sources name, for both architectures of x86; apt's own state is
    /// not touched.
    ///
    /// # Errors
    /// No source names an archive, or it has no such suite.
    pub fn of_suite(folder: &Path, suite: &str) -> Result<Self, Failure> {
        let state = folder.join(format!("apt-{suite}"));
        for part in ["lists/partial", "archives/partial"] {
            files::create_dir_all(&state.join(part))?;
        }
        let targets = Tool::new("apt-get")
            .args(["indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"])
            .output()?;
        let text = targets.text();
        let mut sites: Vec<&str> =
            text.lines().filter_map(|line| line.split_once(' ')).map(|(site, _)| site).collect();
        sites.sort_unstable();
        sites.dedup();
        let key = "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg";
        let lines = sites.iter().map(|site| {
            let name = if site.contains("security") { format!("{suite}-security") } else { suite.to_owned() };
            format!("deb [arch=amd64,i386 {key}] {site} {name} main\n")
        });
        let sources = state.join("sources.list");
        files::write(&sources, lines.collect::<String>().as_bytes())?;
        files::write(&state.join("status"), b"")?;
        let set = |name: &str, value: &Path| format!("{name}={}", value.display());
        let mut options = vec![
            set("Dir::Etc::sourcelist", &sources),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            set("Dir::State::lists", &state.join("lists")),
            set("Dir::State::status", &state.join("status")),
            set("Dir::Cache", &state),
            "APT::Sandbox::User=root".to_owned(),
            "APT::Architectures::=amd64".to_owned(),
            "APT::Architectures::=i386".to_owned(),
        ];
        options = options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect();
        let archive = Self { folder: folder.to_owned(), options };
        archive.tool("apt-get").args(["-qq", "update"]).timeout(Duration::from_secs(600)).run()?;
        Ok(archive)
    }

    fn tool(&self, program: &str) -> Tool {
        Tool::new(program).args(&self.options)
    }

    /// Fetches the kernel behind a metapackage; none where the sources lack it, which is told.
    ///
    /// # Errors
    /// It cannot be fetched or unpacked.
    pub fn kernel(&self, meta: &str) -> Result<Vec<PathBuf>, Failure> {
        match self.behind(meta)? {
            Some(package) => self.unpacked(&package, "boot"),
            None => {
                println!("{meta}: not in this machine's sources");
                Ok(Vec::new())
            }
        }
    }

    /// Fetches the modules of the kernel behind a metapackage, with what depmod makes of them; returns their folder.
    ///
    /// # Errors
    /// The sources lack it, or it cannot be fetched or unpacked.
    pub fn modules(&self, meta: &str) -> Result<PathBuf, Failure> {
        let package = self.behind(meta)?.ok_or_else(|| format!("{meta}: not in this machine's sources"))?;
        let there = self.fetched(&package, "lib/modules")?;
        let folders = files::list(&there)?;
        let modules = folders.first().ok_or_else(|| format!("{package}: no modules"))?;
        let release = modules.file_name().unwrap_or_default();
        Tool::new("depmod").arg("-b").arg(self.folder.join(&package)).arg(release).run()?;
        Ok(modules.clone())
    }

    /// Fetches the newest kernel of a flavour that can be had: a mirror of an old suite may lack the last ones.
    ///
    /// # Errors
    /// None can be fetched.
    pub fn newest(&self, flavour: &str, architecture: &str) -> Result<Vec<PathBuf>, Failure> {
        let pattern = format!("^linux-image-[0-9.]+-[0-9]+-{flavour}$");
        let found = self.tool("apt-cache").args(["search", "--names-only", &pattern]).output()?;
        let text = found.text();
        let mut names: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
        names.sort_unstable();
        let mut why: Option<Failure> = None;
        for name in names.iter().rev() {
            match self.unpacked(&format!("{name}{architecture}"), "boot") {
                Ok(kernels) => return Ok(kernels),
                Err(error) => why = why.or(Some(error)),
            }
        }
        Err(why.unwrap_or_else(|| format!("{flavour}: not in these sources").into()))
    }

    /// Returns the package that a metapackage stands for; `None` where there is no such metapackage.
    fn behind(&self, meta: &str) -> Result<Option<String>, Failure> {
        let shown = self.tool("apt-cache").args(["show", "--no-all-versions", meta]).output()?;
        let text = shown.text();
        let depends = text.lines().find_map(|line| line.strip_prefix("Depends: "));
        let names = depends.unwrap_or_default().split([',', ' ']);
        let found = names.map(str::to_owned).find(|name| name.starts_with("linux-image-"));
        let other =
            meta.split_once(':').map(|(_, architecture)| format!(":{architecture}")).unwrap_or_default();
        Ok(found.map(|name| name + &other))
    }

    /// Fetches a package, and returns the kernels below `within` in it.
    ///
    /// # Errors
    /// It cannot be fetched or unpacked.
    pub fn unpacked(&self, package: &str, within: &str) -> Result<Vec<PathBuf>, Failure> {
        let there = self.fetched(package, within)?;
        let wanted = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("vmlinuz-") || name.ends_with(".bin")
        };
        Ok(files::list(&there)?.into_iter().filter(wanted).collect())
    }

    /// Fetches a package and unpacks what lies below `within`; returns where that is.
    ///
    /// # Errors
    /// It cannot be fetched or unpacked.
    pub fn fetched(&self, package: &str, within: &str) -> Result<PathBuf, Failure> {
        let root = self.folder.join(package.replace(':', "-"));
        let there = root.join(within);
        if files::exists(&there) {
            return Ok(there);
        }
        files::create_dir_all(&root)?;
        let time = Duration::from_secs(600);
        self.tool("apt-get").args(["-qq", "download", package]).current_dir(&root).timeout(time).run()?;
        let debs: Vec<PathBuf> = files::list(&root)?;
        let deb = debs.iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
        let deb = deb.ok_or("apt-get fetched no package")?;
        Tool::new("sh")
            .args(["-ec", "dpkg-deb --fsys-tarfile \"$1\" | tar -x --wildcards \"./$2*\"", "sh"])
            .arg(deb)
            .arg(within)
            .current_dir(&root)
            .run()?;
        files::remove_file(deb)?;
        Ok(there)
    }
}

/// How a kernel's payload begins, and what unpacks it; as the kernel's scripts/extract-vmlinux has them.
const PACKINGS: [(&[u8], &str); 4] = [
    (b"\xfd7zXZ\0", "unxz"),
    (b"\x02\x21\x4c\x18", "lz4 -d"),
    (b"\x28\xb5\x2f\xfd", "unzstd"),
    (b"\x1f\x8b\x08", "gunzip"),
];

/// Unpacks a kernel by trying every place where a payload could begin, without looking at its header.
fn extract(kernel: &Path, vmlinux: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let bytes = files::read(kernel)?;
    for (magic, program) in PACKINGS {
        let places = bytes.windows(magic.len()).enumerate().filter(|(_, found)| *found == magic);
        for (at, _) in places {
            // What stands behind the stream makes the program end badly, after it has written all.
            let script = format!("tail -c +{} \"$1\" | {program} > \"$2\" 2> /dev/null || true", at + 1);
            Tool::new("sh").args(["-c", &script, "sh"]).arg(kernel).arg(vmlinux).run()?;
            if files::read_start(vmlinux, 4)?.starts_with(b"\x7fELF") {
                return Ok(());
            }
        }
    }
    Err(format!("{}: no payload unpacks to an ELF file", kernel.display()).into())
}

/// A note: its number, and its bytes without a NUL at the end of a text, which FEATURES lacks.
type Shown = (u64, Vec<u8>);

/// The types whose bytes are a text.
const TEXTS: [u64; 8] = [0, 5, 6, 7, 8, 9, 10, 11];

fn notes_by_readelf(folder: &Path, kernel: &Path) -> Result<Vec<Shown>, Box<dyn std::error::Error>> {
    let mut vmlinux = kernel.to_owned();
    if !files::read_start(kernel, 4)?.starts_with(b"\x7fELF") {
        vmlinux = folder.join("vmlinux");
        extract(kernel, &vmlinux)?;
    }
    let output = Tool::new("readelf").args(["--notes", "--wide"]).arg(&vmlinux).output()?;
    Ok(parse(&output.text()))
}

/// Reads readelf's table: a line with owner, size and type, the bytes in it or on the next.
fn parse(text: &str) -> Vec<Shown> {
    let mut notes: Vec<Shown> = Vec::new();
    let mut in_xen = false;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let (Some(&owner), Some(size)) = (words.first(), words.get(1))
            && size.starts_with("0x")
        {
            in_xen = owner == "Xen";
            if in_xen {
                notes.push((number(line), Vec::new()));
            }
        }
        if let (true, Some((_, bytes))) = (in_xen, line.split_once("description data:")) {
            let bytes = bytes.split_whitespace().filter_map(|word| u8::from_str_radix(word, 16).ok());
            if let Some(note) = notes.last_mut() {
                note.1 = bytes.collect();
                if TEXTS.contains(&note.0) && note.1.last() == Some(&0) {
                    note.1.pop();
                }
            }
        }
    }
    notes
}

/// readelf shows some numbers by the names that they have in core dumps.
fn number(line: &str) -> u64 {
    const NAMES: [(&str, u64); 3] = [("NT_VERSION", 1), ("NT_ARCH", 2), ("GO BUILDID", 4)];
    if let Some((_, number)) = NAMES.iter().find(|(name, _)| line.contains(name)) {
        return *number;
    }
    let hex = line.split_once("(0x").and_then(|(_, rest)| rest.split(')').next());
    hex.and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(u64::MAX)
}

/// Our notes, as bytes again.
fn notes_by_us(kernel: &Path) -> Result<Vec<Shown>, Box<dyn std::error::Error>> {
    let output = Tool::new("cargo")
        .args(["run", "--quiet", "--package", "xenup", "--", "kernel", "check", "--json"])
        .arg(kernel)
        .current_dir(crate::project())
        .timeout(Duration::from_secs(1800))
        .run()?;
    let report: Value = serde_json::from_str(&output.text())?;
    let wide =
        report.pointer("/kernels/0/image/content/kernel/class").and_then(Value::as_str) == Some("64-bit");
    let notes = report.pointer("/kernels/0/image/content/kernel/notes").and_then(Value::as_array);
    let notes = notes.ok_or("the report has no notes")?;
    // Of a note that is cut short we take the text, as Xen does; readelf drops it.
    let cut = report.pointer("/kernels/0/image/content/kernel/malformed_note");
    Ok(notes
        .iter()
        .filter(|note| cut.is_none() || note.get("offset") != cut)
        .map(|note| {
            let number = note.get("number").and_then(Value::as_u64).unwrap_or(u64::MAX);
            let value = note.get("value").unwrap_or(&Value::Null);
            (number, bytes(number, value, wide))
        })
        .collect())
}

/// The bytes that a value stands for. Linux gives these numbers as a pointer or as four bytes.
fn bytes(number: u64, value: &Value, wide: bool) -> Vec<u8> {
    let word = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or_default();
    let sized = |number: u64, short: bool| {
        let bytes = number.to_le_bytes();
        if short { bytes[..4].to_vec() } else { bytes.to_vec() }
    };
    if let Some(text) = value.get("text").and_then(Value::as_str) {
        return text.as_bytes().to_vec();
    }
    if let Some(found) = value.get("number") {
        // SUSPEND_CANCEL, MOD_START_PFN and, in PVH loaders, PHYS32_ENTRY are .long in both.
        return sized(word(Some(found)), !wide || matches!(number, 14 | 16));
    }
    if let Some(features) = value.get("features").and_then(Value::as_array) {
        let name = |feature: &Value| {
            let mark = if feature.get("required") == Some(&Value::Bool(true)) { "!" } else { "" };
            format!("{mark}{}", feature.get("name").and_then(Value::as_str).unwrap_or_default())
        };
        let list: Vec<String> = features.iter().map(name).collect();
        return list.join("|").into_bytes();
    }
    if let Some(found) = value.get("feature-bits") {
        return sized(word(found.get("bits")), true);
    }
    if let Some(pairs) = value.get("masks").and_then(Value::as_array) {
        let both =
            |pair: &Value| [sized(word(pair.get("mask")), false), sized(word(pair.get("value")), false)];
        return pairs.iter().flat_map(both).flatten().collect();
    }
    if let Some(found) = value.get("relocation") {
        let three = ["align", "min", "max"].map(|key| sized(word(found.get(key)), true));
        return three.concat();
    }
    Vec::new()
}
