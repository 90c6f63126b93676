//! The source package from a commit, and its build in a clean chroot.
//!
//! Decides: that only what is committed is built, that the chroot holds the suite's essential packages and the build
//! dependencies and no more, and that the build itself has no network. The chroot is mmdebstrap's own, made new each
//! time and thrown away: sbuild's way without root needs sub-user ids that a fresh machine has not.
//! Never: builds in the tree that is worked in.

use std::path::Path;

use xenup_image::mirror::{KEYRING, Mirror};
use xenup_system::files;
use xenup_system::process::Tool;

use super::job::{Entry, Job};

type Failure = Box<dyn std::error::Error>;

/// Has cargo take crates from the source package alone.
const VENDORED: &str = r#"
[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = "vendor"
"#;
/// In the chroot, with a network: what the build needs.
const PREPARE: &str = r#"chroot "$1" sh -ec "cd /build
apt-get -qq --yes --no-install-recommends build-dep ./*.dsc
dpkg-source --extract *.dsc tree
chown -R nobody:nogroup /build""#;
/// In the chroot, without a network and without root.
const BUILD: &str = r#"unshare --net chroot --userspec=nobody:nogroup "$1" env HOME=/build sh -ec "cd /build/tree
dpkg-buildpackage --unsigned-changes --build=binary""#;

/// Makes the source package of the commit that is checked out, unsigned.
///
/// # Errors
/// The tree has changes that are not committed, or dpkg-buildpackage refuses it.
pub fn source(job: &Job) -> Result<(), Failure> {
    let entry = job.entry()?;
    let status = job.ask(&job.tool("git").args(["status", "--porcelain"]))?.text();
    if let Some(line) = status.lines().next().filter(|_| !job.dry_run) {
        return Err(format!(
            "the tree has changes that are not committed: {line}\nhint: commit or stash them"
        )
        .into());
    }
    let name = format!("{}-{}", entry.source, entry.version);
    let (tar, copy) = (job.out.join(format!("{name}.tar")), job.out.join(&name));
    if !job.dry_run {
        files::create_dir_all(&job.out)?;
        files::remove_dir_all(&copy)?;
    }
    let archive = job.tool("git").args(["archive", "--format=tar"]).arg(format!("--prefix={name}/"));
    job.act(&archive.arg("--output").arg(&tar).arg("HEAD"))?;
    job.act(&job.tool("tar").args(["--extract", "--file"]).arg(&tar).current_dir(&job.out))?;
    if files::exists(&job.tree.join("Cargo.lock")) {
        vendored(job, &copy)?;
    }
    let build = ["-S", "-us", "-uc", "-nc", "-d"];
    job.act(&job.tool("dpkg-buildpackage").args(build).current_dir(&copy))?;
    if !job.dry_run {
        files::remove_dir_all(&copy)?;
        files::remove_file(&tar)?;
    }
    println!("next: cargo xtask release build");
    Ok(())
}

/// Puts the crates of Cargo.lock into the source, as the build has no network.
fn vendored(job: &Job, copy: &Path) -> Result<(), Failure> {
    job.act(&job.tool("cargo").args(["vendor", "--quiet", "--locked", "vendor"]).current_dir(copy))?;
    println!("+ append to .cargo/config.toml: crates come from vendor/");
    if !job.dry_run {
        files::create_dir_all(&copy.join(".cargo"))?;
        files::append(&copy.join(".cargo/config.toml"), VENDORED.as_bytes())?;
    }
    Ok(())
}

/// Builds the binary packages in a clean chroot, then has lintian and piuparts judge them.
///
/// # Errors
/// A build that fails, or a judge that finds a fault.
pub fn binaries(job: &Job, suite: Option<&str>) -> Result<(), Failure> {
    let entry = job.entry()?;
    let suite = suite.unwrap_or(&entry.distribution);
    let mirror = Mirror::of_this_machine()?;
    let built = job.out.join("built");
    if !job.dry_run {
        files::remove_dir_all(&built)?;
        files::create_dir_all(&built)?;
    }
    job.act(&in_chroot(job, &mirror, suite, &entry, &built))?;
    let changes = if job.dry_run { built.join("*.changes") } else { one_changes(&built)? };
    let lintian =
        job.tool("lintian").args(["--allow-root", "-EvIL", "+pedantic", "--fail-on", "error,warning"]);
    job.act(&lintian.arg(&changes))?;
    let base = job.out.join(format!("{suite}.tar.gz"));
    job.act(&debootstrapped(job, &mirror, "minbase").arg(suite).arg(&base).arg(&mirror.archive))?;
    let piuparts =
        job.tool("piuparts").arg("--basetgz").arg(&base).args(["--distribution", suite, "--no-eatmydata"]);
    job.act(&piuparts.arg("--mirror").arg(format!("{} main", mirror.archive)).arg(&changes))?;
    println!("next: cargo xtask release sign --key FINGERPRINT");
    Ok(())
}

/// A chroot of this machine's own mirror.
fn debootstrapped(job: &Job, mirror: &Mirror, variant: &str) -> Tool {
    job.tool("mmdebstrap")
        .args(["--quiet", &format!("--variant={variant}"), &format!("--keyring={KEYRING}")])
        .args(mirror.apt_options.iter().map(|option| format!("--aptopt={option}")))
        .current_dir(&job.out)
}

/// The build, from the source package in `job.out` to the packages in `built`.
fn in_chroot(job: &Job, mirror: &Mirror, suite: &str, entry: &Entry, built: &Path) -> Tool {
    let dsc = format!("{}_{}.dsc", entry.source, entry.version);
    let tar = format!("{}_{}.tar.xz", entry.source, entry.version);
    let hooks = [
        r#"mkdir "$1/build""#.to_owned(),
        format!("copy-in {dsc} {tar} /build"),
        PREPARE.to_owned(),
        BUILD.to_owned(),
        r#"rm -rf "$1/build/tree""#.to_owned(),
        format!("sync-out /build {}", built.display()),
    ];
    debootstrapped(job, mirror, "buildd")
        .args(hooks.map(|hook| format!("--customize-hook={hook}")))
        .arg(suite)
        .arg("/dev/null")
        .arg(&mirror.archive)
}

fn one_changes(folder: &Path) -> Result<std::path::PathBuf, Failure> {
    let mut found = files::list(folder)?;
    found.retain(|path| path.extension().is_some_and(|end| end == "changes"));
    match found.as_slice() {
        [one] => Ok(one.clone()),
        many => Err(format!("{} has {} .changes, not one", folder.display(), many.len()).into()),
    }
}
