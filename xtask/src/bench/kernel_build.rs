//! A kernel for a guest: `xenup kernel build domU-minimal` beside a configuration made by hand and plain make, and `kernel
//! config` beside `make olddefconfig`, on Debian's source.
//!
//! Decides what is built, and what of it is measured. Never: writes outside target/, or judges what comes of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_system::files;
use xenup_system::process::Tool;
use xenup_system::stopwatch::Stopwatch;

use super::figures::{Row, Table};
use super::host::{in_turns, program};
use crate::kernel_config::{Source, fetched};
use crate::{package, project};

type Failure = Box<dyn std::error::Error>;

/// Debian 12's kernel.
const RELEASE: &str = "6.1";
const ROLE: &str = "domU-minimal";
/// Next to this file.
const HAND_MADE: &str = "xtask/src/bench/data/hand-made.config-fragment";
const LIMIT: Duration = Duration::from_secs(3 * 3600);
/// What `kernel build` says before and after it compiles.
const COMPILES: &str = "counting what is to be done";
const COMPILED: &str = "compiled: ";

/// Builds each of the two once, from clean.
///
/// # Errors
/// No such source, nothing to build with, or a build that fails.
pub fn build() -> Result<Table, Failure> {
    let source = source()?;
    let folder = project().join("target/bench-kernel");
    files::remove_dir_all(&folder)?;
    files::create_dir_all(&folder)?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    let ours = ours(&source, &folder, &jobs)?;
    let theirs = by_hand(&source, &folder, &jobs)?;
    let row =
        |name: &str, time: Duration| Row { samples_ms: vec![time.as_secs_f64() * 1000.0], ..Row::new(name) };
    let rows = vec![
        row("xenup kernel build domU-minimal, compiling", ours.compiling),
        row("make bzImage of the hand-made configuration", theirs.compiling),
        row("xenup kernel build, packing included", ours.whole),
        row("make of the hand-made, allnoconfig included", theirs.whole),
    ];
    let mut notes = vec![
        format!(
            "linux-source-{RELEASE}, -j{jobs}, each built once and one after another: a build takes minutes"
        ),
        format!("steps: xenup {}", ours.told),
        compared("text, data and bss of vmlinux", ours.loaded, theirs.loaded),
        compared(&format!("bzImage ({} and {})", ours.packed_by, theirs.packed_by), ours.image, theirs.image),
        "target: at most 0.9 times the hand-made's time, at most its sizes with the same compression"
            .to_owned(),
    ];
    if ours.packed_by != theirs.packed_by {
        notes.push("the images are packed differently, and their sizes do not compare".to_owned());
    }
    Ok(Table { name: "kernel-build", rows, notes, skipped: Vec::new() })
}

/// `xenup kernel config` beside make's own pass over the same configuration.
///
/// # Errors
/// No such source, or a program that cannot be run.
pub fn config(runs: usize) -> Result<Table, Failure> {
    let source = source()?;
    let folder = project().join("target/bench-kernel-config");
    files::remove_dir_all(&folder)?;
    let objects = folder.join("objects");
    files::create_dir_all(&objects)?;
    let ready = project().join("kernel-configs").join(RELEASE).join(format!("{ROLE}.config"));
    files::copy_sparse(&ready, &objects.join(".config"))?;
    let ours = Tool::new(program())
        .args(["kernel", "config", ROLE, "--json", "--source"])
        .arg(&source.tree)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .timeout(LIMIT);
    let theirs = make(&source, &objects).arg("olddefconfig");
    for tool in [&ours, &theirs] {
        tool.run()?;
    }
    let rows = in_turns(runs, &[("xenup kernel config domU-minimal", ours), ("make olddefconfig", theirs)])?;
    files::remove_dir_all(&folder)?;
    let notes = vec![
        format!("linux-source-{RELEASE}; both with what the first round has compiled of Kconfig"),
        "target: at most 1.3 times make olddefconfig".to_owned(),
    ];
    Ok(Table { name: "kernel-config", rows, notes, skipped: Vec::new() })
}

/// What a build came to.
struct Built {
    compiling: Duration,
    whole: Duration,
    /// Bytes of text, data and bss of vmlinux.
    loaded: u64,
    /// Bytes of the bzImage.
    image: u64,
    /// How it is packed.
    packed_by: String,
    /// What `kernel build` says of its steps.
    told: String,
}

fn source() -> Result<Source, Failure> {
    let folder = project().join("target/kernel-sources");
    files::create_dir_all(&folder)?;
    fetched(&folder, RELEASE)?
        .ok_or_else(|| format!("linux-source-{RELEASE} is not in this machine's sources").into())
}

fn ours(source: &Source, folder: &Path, jobs: &str) -> Result<Built, Failure> {
    let (cache, output) = (folder.join("cache"), folder.join("out"));
    let mut tool = Tool::new(package::debug_program()?)
        .args(["kernel", "build", ROLE, "--jobs", jobs, "--source"])
        .arg(&source.tree)
        .arg("--output")
        .arg(&output)
        .env("XDG_CACHE_HOME", &cache)
        // Files that an earlier build compiled are no build from clean.
        .env("CCACHE_DISABLE", "1")
        .timeout(LIMIT);
    if files::is_root() {
        tool = tool.arg("--as-root");
    }
    let watch = Stopwatch::start();
    let (mut began, mut ended, mut told) = (None, None, String::new());
    tool.run_lines(&mut |line| {
        if line == COMPILES {
            began = Some(watch.elapsed());
        } else if let Some(steps) = line.strip_prefix(COMPILED) {
            ended = Some(watch.elapsed());
            told = steps.to_owned();
        }
    })?;
    let whole = watch.elapsed();
    let (Some(began), Some(ended)) = (began, ended) else {
        return Err("`xenup kernel build` did not say when it compiles".into());
    };
    let builds = files::list(&cache.join("xenup/kernel/build"))?;
    let objects = builds.first().ok_or("`xenup kernel build` left no objects")?.join("objects");
    measured(&objects, ended.saturating_sub(began), whole, told)
}

fn by_hand(source: &Source, folder: &Path, jobs: &str) -> Result<Built, Failure> {
    let objects = folder.join("hand-made");
    files::create_dir_all(&objects)?;
    let watch = Stopwatch::start();
    make(source, &objects).arg("allnoconfig").env("KCONFIG_ALLCONFIG", project().join(HAND_MADE)).run()?;
    let configured = watch.elapsed();
    make(source, &objects).arg(format!("-j{jobs}")).arg("bzImage").run()?;
    let whole = watch.elapsed();
    measured(&objects, whole.saturating_sub(configured), whole, String::new())
}

fn make(source: &Source, objects: &Path) -> Tool {
    let tool = Tool::new("make").arg("-C").arg(&source.tree).arg(format!("O={}", objects.display()));
    tool.timeout(LIMIT)
}

fn measured(objects: &Path, compiling: Duration, whole: Duration, told: String) -> Result<Built, Failure> {
    let sizes = Tool::new("size").arg(objects.join("vmlinux")).run()?.text();
    let image: PathBuf = objects.join("arch/x86/boot/bzImage");
    let config = files::read_text(&objects.join(".config"))?;
    Ok(Built {
        compiling,
        whole,
        loaded: loaded(&sizes).ok_or("size(1) did not say how large vmlinux is")?,
        image: files::size(&image)?,
        packed_by: packed_by(&config).unwrap_or("unknown").to_owned(),
        told,
    })
}

/// The sum of size(1)'s first three columns, in bytes.
fn loaded(sizes: &str) -> Option<u64> {
    let columns: Vec<u64> =
        sizes.lines().nth(1)?.split_whitespace().take(3).map_while(|word| word.parse().ok()).collect();
    (columns.len() == 3).then(|| columns.iter().sum())
}

/// How a kernel of this configuration is packed: "LZ4".
fn packed_by(config: &str) -> Option<&str> {
    config.lines().find_map(|line| line.strip_prefix("CONFIG_KERNEL_")?.strip_suffix("=y"))
}

fn compared(what: &str, ours: u64, theirs: u64) -> String {
    let ratio = ours as f64 / (theirs as f64).max(1.0);
    format!("{what}: {ours} bytes, hand-made {theirs}: {ratio:.3} times")
}

#[cfg(test)]
mod tests {
    use super::{compared, loaded, packed_by};

    #[test]
    fn sizes_are_read_and_compared() {
        let text = "   text\t   data\t    bss\t    dec\t    hex\tfilename\n100\t20\t3\t123\t7b\tvmlinux\n";
        assert_eq!(loaded(text), Some(123));
        assert_eq!((loaded(""), loaded("a\nb c d\n")), (None, None));
        assert_eq!(compared("bss", 5, 10), "bss: 5 bytes, hand-made 10: 0.500 times");
    }

    #[test]
    fn how_a_kernel_is_packed() {
        let config = "CONFIG_HAVE_KERNEL_XZ=y\n# CONFIG_KERNEL_XZ is not set\nCONFIG_KERNEL_LZ4=y\n";
        assert_eq!(packed_by(config), Some("LZ4"));
        assert_eq!(packed_by(""), None);
    }
}
