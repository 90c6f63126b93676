//! Builds the Debian package by its own debian/rules.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use xenup_system::files;
use xenup_system::process::{ProcessError, Tool};

/// `cargo xtask package`
#[derive(Debug, clap::Args)]
pub struct Package {
    /// Run lintian on the result; an error or a warning fails
    #[arg(long)]
    pub check: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Built<'a> {
    package: &'a Path,
    bytes: u64,
    /// Whether lintian looked at it; `false` leaves it out.
    checked: bool,
    /// What lintian said, a line each.
    lintian: Vec<String>,
}

/// Builds the package, and with `--check` has lintian judge it; returns whether it has nothing to say.
///
/// # Errors
/// A build that fails, or no lintian.
pub fn run(options: &Package) -> crate::Outcome {
    let package = build()?;
    let (mut good, mut said) = (true, String::new());
    if options.check {
        let lintian = Tool::new("lintian")
            .args(["--allow-root", "--fail-on", "error,warning"])
            .arg(&package)
            .arg(package.with_file_name(name_of("xenup-doc", "all")?))
            .arg(package.with_file_name(name_of("xenup-kernel-configs", "all")?))
            .arg(package.with_file_name(name_of("xenup-tls", "all")?))
            .output()?;
        (good, said) = (lintian.status.success(), lintian.text());
    }
    if options.json {
        let lintian = said.lines().map(ToOwned::to_owned).collect();
        let bytes = files::size(&package)?;
        let built = Built { package: &package, bytes, checked: options.check, lintian };
        println!("{}", serde_json::to_string(&built)?);
    } else {
        print!("{said}");
        println!("{}", package.display());
    }
    Ok(good)
}

/// Builds the package and returns its path.
///
/// # Errors
/// A build that fails.
pub fn build() -> Result<PathBuf, Box<dyn std::error::Error>> {
    Tool::new(".ci/package").current_dir(crate::project()).timeout(Duration::from_secs(3600)).run()?;
    self::built()
}

/// Builds the program unoptimised, for checks that run it, and returns its path.
///
/// # Errors
/// It does not compile.
pub fn debug_program() -> Result<PathBuf, ProcessError> {
    Tool::new("cargo")
        .args(["build", "--quiet", "--package", "xenup"])
        .current_dir(crate::project())
        .timeout(Duration::from_secs(3600))
        .run()?;
    Ok(crate::project().join("target/debug/xenup"))
}

/// Returns where the package of this version lies once it is built.
///
/// # Errors
/// debian/changelog cannot be read.
pub fn built() -> Result<PathBuf, Box<dyn std::error::Error>> {
    Ok(crate::project().join("target/package").join(name_of("xenup", "amd64")?))
}

fn name_of(package: &str, architecture: &str) -> Result<String, Box<dyn std::error::Error>> {
    Ok(format!("{package}_{}_{architecture}.deb", version(&crate::project())?))
}

fn version(project: &std::path::Path) -> Result<String, Box<dyn std::error::Error>> {
    let output = Tool::new("dpkg-parsechangelog").args(["-S", "Version"]).current_dir(project).run()?;
    Ok(output.text().trim().to_owned())
}
