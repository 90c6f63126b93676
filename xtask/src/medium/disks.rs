//! Disks that the installer's program is tried on here: loop devices over images that QEMU exports, so that a sector that
//! cannot be written to (blkdebug) is one for the kernel and for everybody above it.
//!
//! Decides what each holds beforehand, which are refused by whose name, and what the ends of one that failed have to be.
//! Never: names a disk of this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_system::files::{self, DiskFile};
use xenup_system::process::{Output, Tool};
use xenup_system::stopwatch::Stopwatch;

use super::{Failure, KEY};

const MIB: u64 = 1 << 20;
const SECTOR: u64 = 512;
const SIZE: u64 = 6 << 30;
const LIMIT: Duration = Duration::from_secs(3600);

/// Places that fail, one on each disk.
const PLACES: [(&str, u64); 5] = [
    ("the EFI system", 2 * MIB),
    ("the root's beginning", 70 * MIB),
    ("the root's middle", 700 * MIB),
    ("the table's second copy", SIZE - SECTOR),
    ("the table's header", SECTOR),
];

/// The program and a medium that is unpacked.
pub struct Bench<'a> {
    folder: &'a Path,
    program: &'a dyn Fn() -> Tool,
    medium: PathBuf,
    old: PathBuf,
}

/// Installs onto a good disk, onto five that fail, and onto those that are refused; returns what held.
///
/// # Errors
/// No loop device, or no QEMU.
pub fn play(
    folder: &Path,
    medium: &Path,
    program: &dyn Fn() -> Tool,
) -> Result<Vec<(String, bool)>, Failure> {
    let unpacked = folder.join("unpacked");
    let unpack = Tool::new("xorriso").args(["-osirrox", "on", "-indev"]).arg(medium).args(["-extract", "/"]);
    unpack.arg(&unpacked).timeout(LIMIT).run()?;
    let bench = Bench { folder, program, medium: unpacked, old: folder.join("old.raw") };
    old_table(&bench.old)?;
    let mut all = bench.good()?;
    for (name, at) in PLACES {
        all.extend(bench.failing(name, at)?);
    }
    all.extend(bench.mounted()?);
    for (case, words) in
        [("lvm2", "is a physical volume of LVM"), ("md-1.2", "is a member of a software RAID")]
    {
        all.extend(bench.member(case, words)?);
    }
    Ok(all)
}

impl Bench<'_> {
    /// Runs the installer on a disk, with nobody to ask.
    fn install(&self, device: &str) -> Result<Output, Failure> {
        self.typed(device, &["install".to_owned()])
    }

    /// What docs/medium.md has people type on a system that runs; the medium is unpacked instead of mounted, as not every
    /// kernel reads one. Returns what the last command says, and whether the ones before it did as the page says.
    fn by_page(&self, device: &str) -> Result<(Output, bool), Failure> {
        let block = crate::shown::block("docs/medium.md", "xenup install --dry-run")?;
        let lines = crate::shown::commands("docs/medium.md", "xenup install --dry-run")?;
        let [dry, install] = lines.as_slice() else {
            return Err(format!("docs/medium.md has {} commands of ours, not two", lines.len()).into());
        };
        let mounted = block.starts_with("mount -o ro,loop xen.iso /medium\n");
        let page = self.typed(device, dry.get(1..).unwrap_or_default())?;
        let told = page.status.success() && page.stderr_text().contains("ALL OF IT IS ERASED");
        Ok((self.typed(device, install.get(1..).unwrap_or_default())?, mounted && told))
    }

    fn typed(&self, device: &str, words: &[String]) -> Result<Output, Failure> {
        let answers = self.folder.join("device.toml");
        let text =
            format!("disk = \"{device}\"\nerase = true\nhostname = \"here\"\nssh-keys = [\"{KEY}\"]\n");
        files::write(&answers, text.as_bytes())?;
        let tool =
            (self.program)().args(words).arg("--medium").arg(&self.medium).arg("--answers").arg(&answers);
        Ok(tool.timeout(LIMIT).output()?)
    }

    fn good(&self) -> Result<Vec<(String, bool)>, Failure> {
        let raw = self.folder.join("good.raw");
        files::copy_sparse(&self.old, &raw)?;
        let device = Loop::over(&raw)?;
        let watch = Stopwatch::start();
        let (said, shown) = self.by_page(&device.path)?;
        println!("  a good disk, {:.0} s", watch.elapsed().as_secs_f64());
        let verified = Tool::new("sfdisk").args(["--verify"]).arg(&device.path).output()?;
        let twice = self.install(&device.path)?;
        drop(device);
        let root = format!("{}?offset={}", raw.display(), 66 * MIB);
        let checked = Tool::new("e2fsck").args(["-fn", root.as_str()]).timeout(LIMIT).output()?;
        let name = Tool::new("debugfs").args(["-R", "cat /etc/hostname", root.as_str()]).output()?;
        files::remove_file(&raw)?;
        if !said.status.success() {
            print!("{}", said.stderr_text());
        }
        Ok(vec![
            ("what would be done is told first, as the handbook has it".to_owned(), shown),
            ("a good disk is installed".to_owned(), said.status.success()),
            ("its table has no errors".to_owned(), verified.text().contains("No errors detected")),
            ("its root file system is clean".to_owned(), checked.status.success()),
            ("it has the name that was answered".to_owned(), name.text().trim() == "here"),
            (
                "it is not installed a second time unasked".to_owned(),
                twice.stderr_text().contains("has this medium's own system already"),
            ),
        ])
    }

    fn failing(&self, name: &str, at: u64) -> Result<Vec<(String, bool)>, Failure> {
        let raw = self.folder.join("failing.raw");
        files::copy_sparse(&self.old, &raw)?;
        let exported = Exported::new(self.folder, &raw, at / SECTOR)?;
        let device = Loop::over(&exported.file)?;
        let watch = Stopwatch::start();
        let said = self.install(&device.path)?;
        let seconds = watch.elapsed().as_secs_f64();
        drop(device);
        drop(exported);
        let words = said.stderr_text();
        let error = words.lines().find(|line| line.starts_with("error:")).unwrap_or_default();
        println!("  {name}, byte {at}, {seconds:.0} s, {}\n    {error}", said.status);
        let told = error.contains("the installation failed") && error.contains("is the one that was there");
        let code = said.status.to_string() == "exit status 1";
        let whole = ends(&raw)? == ends(&self.old)?;
        files::remove_file(&raw)?;
        Ok(vec![
            (format!("a bad sector at {name} is told, with what is left"), told && code),
            (format!("the old table is whole after a bad sector at {name}"), whole),
        ])
    }

    fn mounted(&self) -> Result<Vec<(String, bool)>, Failure> {
        let raw = self.folder.join("mounted.raw");
        files::copy_sparse(&self.old, &raw)?;
        let device = Loop::over(&raw)?;
        // Not every kernel shows a loop device's partitions: the disk is one file system.
        Tool::new("mke2fs").args(["-q", "-F", "-t", "ext4", device.path.as_str()]).timeout(LIMIT).run()?;
        let place = self.folder.join("mounted");
        files::create_dir_all(&place)?;
        Tool::new("mount").arg(&device.path).arg(&place).run()?;
        let bare = device.path.trim_start_matches("/dev/").to_owned();
        let said = self.install(&device.path);
        Tool::new("umount").arg(&place).run()?;
        drop(device);
        files::remove_file(&raw)?;
        let said = said?.stderr_text();
        let held = said.contains(&format!("{bare} is mounted at {}", place.display()));
        Ok(vec![("a disk that is mounted is refused by that name".to_owned(), held)])
    }

    fn member(&self, case: &str, words: &str) -> Result<Vec<(String, bool)>, Failure> {
        let (raw, before) = (self.folder.join("member.raw"), self.folder.join("member-before.raw"));
        let hex = crate::project().join("tests/cases/disk").join(case).join("disk.hex");
        from_hex(&files::read_text(&hex)?, &raw)?;
        files::copy_sparse(&raw, &before)?;
        let device = Loop::over(&raw)?;
        let said = self.install(&device.path)?;
        drop(device);
        let same = Tool::new("cmp").args([&raw, &before]).timeout(LIMIT).output()?.status.success();
        files::remove_file(&raw)?;
        files::remove_file(&before)?;
        let refused = said.status.to_string() == "exit status 4" && said.stderr_text().contains(words);
        Ok(vec![(format!("a disk that {words} is refused by that name, and as it was"), refused && same)])
    }
}

/// A loop device with its partitions, taken down when it is dropped.
struct Loop {
    path: String,
}

impl Loop {
    fn over(file: &Path) -> Result<Self, Failure> {
        let said = Tool::new("losetup").args(["--find", "--show", "--partscan"]).arg(file).run()?;
        Ok(Self { path: said.text().trim().to_owned() })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // On the way out; a device that is still busy is taken down by the kernel when it is not any more.
        let _ = Tool::new("losetup").args(["--detach", self.path.as_str()]).run();
    }
}

/// An image that QEMU hands out as a file, with a sector that cannot be written to.
struct Exported {
    file: PathBuf,
    pid: PathBuf,
}

impl Exported {
    fn new(folder: &Path, raw: &Path, sector: u64) -> Result<Self, Failure> {
        let (file, pid) = (folder.join("exported"), folder.join("exported.pid"));
        files::write(&file, b"")?;
        let node = format!(
            "driver=raw,node-name=disk,file.driver=blkdebug,file.inject-error.0.event=none,\
             file.inject-error.0.iotype=write,file.inject-error.0.errno=5,file.inject-error.0.once=off,\
             file.inject-error.0.sector={sector},file.image.driver=file,file.image.filename={}",
            raw.display()
        );
        let export = format!(
            "type=fuse,id=disk,node-name=disk,mountpoint={},writable=on,growable=off",
            file.display()
        );
        // It comes back when the file is there.
        Tool::new("qemu-storage-daemon")
            .args(["--daemonize", "--pidfile"])
            .arg(&pid)
            .args(["--blockdev", node.as_str(), "--export", export.as_str()])
            .timeout(Duration::from_secs(120))
            .run()?;
        Ok(Self { file, pid })
    }
}

impl Drop for Exported {
    fn drop(&mut self) {
        let pid = files::read_text(&self.pid).unwrap_or_default();
        let _ = Tool::new("umount").arg(&self.file).run();
        let _ = Tool::new("kill").arg(pid.trim()).run();
        let _ = Tool::new("tail")
            .args(["--pid", pid.trim(), "-f", "/dev/null"])
            .timeout(Duration::from_secs(60))
            .run();
    }
}

/// A disk with a GPT of two partitions.
fn old_table(raw: &Path) -> Result<(), Failure> {
    drop(DiskFile::create(raw, SIZE)?);
    let table = "label: gpt\nstart=2048, size=1000000, type=L, name=\"old one\"\nsize=2000000, type=L, name=\"old two\"\n";
    Tool::new("sfdisk").args(["--quiet", "--no-reread"]).arg(raw).stdin(table).run()?;
    Ok(())
}

/// The first and the last MiB.
fn ends(raw: &Path) -> Result<Vec<u8>, Failure> {
    let file = DiskFile::open(raw)?;
    let mut bytes = vec![0; 2 * MIB as usize];
    let (head, tail) = bytes.split_at_mut(MIB as usize);
    file.read_at(0, head)?;
    file.read_at(SIZE - MIB, tail)?;
    Ok(bytes)
}

/// A disk of tests/cases/disk: rows of an offset and bytes, both hexadecimal.
fn from_hex(text: &str, out: &Path) -> Result<(), Failure> {
    let disk = DiskFile::create(out, SIZE)?;
    for line in text.lines().filter(|line| !line.starts_with("size")) {
        let Some((at, digits)) = line.split_once(' ') else { continue };
        let digits: Vec<char> = digits.chars().filter(char::is_ascii_hexdigit).collect();
        let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
        let bytes: Vec<u8> = digits.chunks(2).map(byte).collect::<Result<_, _>>()?;
        disk.write_at(u64::from_str_radix(at, 16)?, &bytes)?;
    }
    Ok(())
}
