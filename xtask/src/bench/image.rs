//! `xenup image build` beside plain mmdebstrap(1) making a tree of the very same packages.
//!
//! Decides: what is measured. Never: keeps a package or a tree from one round to the next; both fetch everything.

use std::path::PathBuf;
use std::time::Duration;

use xenup_image::Suite;
use xenup_image::mirror::{KEYRING, Mirror};
use xenup_system::files;
use xenup_system::process::Tool;
use xenup_system::stopwatch::Stopwatch;

use super::figures::{Row, Table};
use super::host::program;
use crate::digest::sha256;
use crate::emulated::KEY;
use crate::project;

type Failure = Box<dyn std::error::Error>;

const SUITE: Suite = Suite::Bookworm;
const LIMIT: Duration = Duration::from_secs(3600);
/// Each round takes minutes.
const MOST: usize = 3;

/// A host whose one NIC belongs to the bridge.
const HOST: &str = "[xen]\ndom0-memory = \"1536M\"\n\n[[bridge]]\nname = \"xenbr0\"\nports = [\"lan0\"]\n\
                    mac = \"52:54:00:12:34:56\"\naddress = \"keep\"\n\n[guests]\non-shutdown = \"shutdown\"\n";

/// Measures in turns; the first round is none of it, since it alone finds out which packages there are.
///
/// # Errors
/// No root, no mirror, or a build that fails.
pub fn build(runs: usize) -> Result<Table, Failure> {
    if !files::is_root() {
        return Err("plain mmdebstrap makes its tree as root".into());
    }
    let folder = project().join("target/bench-image");
    files::remove_dir_all(&folder)?;
    files::create_dir_all(&folder)?;
    files::write(&folder.join("host.toml"), HOST.as_bytes())?;
    files::write(&folder.join("key.pub"), format!("{KEY}\n").as_bytes())?;
    let bench = Bench { cache: folder.join("cache"), tree: folder.join("tree"), folder };
    let mirror = Mirror::of_this_machine()?;
    bench.ours()?;
    let (packages, first) = (bench.packages()?, bench.digest()?);
    let mut rows =
        vec![Row::new("xenup image build, raw disk"), Row::new("mmdebstrap, a tree of the same packages")];
    let mut same = true;
    for _ in 0..runs.min(MOST) {
        let (ours, theirs) = (bench.ours()?, bench.plain(&mirror, &packages)?);
        same &= bench.digest()? == first;
        for (row, time) in rows.iter_mut().zip([ours, theirs]) {
            row.samples_ms.push(time.as_secs_f64() * 1000.0);
        }
    }
    files::remove_dir_all(&bench.folder)?;
    let notes = vec![
        format!("{}, {} packages; both fetch all of them each time", SUITE.title(), packages.len()),
        format!("every disk the same bytes: {same}"),
        "target: at most 0.75 times mmdebstrap".to_owned(),
    ];
    Ok(Table { name: "image", rows, notes, skipped: Vec::new() })
}

struct Bench {
    folder: PathBuf,
    cache: PathBuf,
    tree: PathBuf,
}

impl Bench {
    fn disk(&self) -> PathBuf {
        self.folder.join("disk.raw")
    }

    fn ours(&self) -> Result<Duration, Failure> {
        files::remove_dir_all(&self.cache)?;
        let watch = Stopwatch::start();
        Tool::new(program())
            .args(["image", "build", "--force", "--suite", SUITE.name(), "--host"])
            .arg(self.folder.join("host.toml"))
            .arg("--ssh-key")
            .arg(self.folder.join("key.pub"))
            .arg(self.disk())
            .env("XDG_CACHE_HOME", &self.cache)
            .timeout(LIMIT)
            .run()?;
        Ok(watch.elapsed())
    }

    /// Every package of the tree that the build has kept.
    fn packages(&self) -> Result<Vec<String>, Failure> {
        let kept = files::list(&self.cache.join("xenup/images"))?;
        let is_tree = |path: &&PathBuf| path.extension().is_some_and(|end| end == "tar");
        let tree = kept.iter().find(is_tree).ok_or("the build has kept no tree")?;
        let said = Tool::new("tar").args(["-xO", "./var/lib/dpkg/status", "-f"]).arg(tree).run()?.text();
        Ok(said.lines().filter_map(|line| line.strip_prefix("Package: ")).map(str::to_owned).collect())
    }

    fn plain(&self, mirror: &Mirror, packages: &[String]) -> Result<Duration, Failure> {
        files::remove_dir_all(&self.tree)?;
        let watch = Stopwatch::start();
        Tool::new("unshare")
            .args(["--mount", "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"])
            .arg(format!("--keyring={KEYRING}"))
            .arg(format!("--include={}", packages.join(",")))
            .args(mirror.apt_options.iter().map(|option| format!("--aptopt={option}")))
            .arg(SUITE.name())
            .arg(&self.tree)
            .arg("-")
            .stdin(mirror.sources_list(SUITE))
            .timeout(LIMIT)
            .run()?;
        Ok(watch.elapsed())
    }

    fn digest(&self) -> Result<String, Failure> {
        Ok(sha256(&self.disk())?)
    }
}
