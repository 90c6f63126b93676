//! The source package, from a commit.
//!
//! Decides: that only what is committed is in it, and the crates of Cargo.lock, as a build has no network.

use std::path::Path;

use xenup_system::files;

use super::job::Job;

type Failure = Box<dyn std::error::Error>;

/// Has cargo take crates from the source package alone.
const VENDORED: &str = r#"
[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = "vendor"
"#;

/// Makes the source package of the commit that is checked out, unsigned.
///
/// # Errors
/// The tree has changes that are not committed, or dpkg-buildpackage refuses it.
pub fn make(job: &Job) -> Result<(), Failure> {
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

fn vendored(job: &Job, copy: &Path) -> Result<(), Failure> {
    job.act(&job.tool("cargo").args(["vendor", "--quiet", "--locked", "vendor"]).current_dir(copy))?;
    println!("+ append to .cargo/config.toml: crates come from vendor/");
    if !job.dry_run {
        files::create_dir_all(&copy.join(".cargo"))?;
        files::append(&copy.join(".cargo/config.toml"), VENDORED.as_bytes())?;
    }
    Ok(())
}
