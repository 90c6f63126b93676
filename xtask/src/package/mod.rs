//! The Debian packages: built here by debian/rules, or from a commit in bare trees and judged there.
//!
//! Decides: which of the two, and what lintian is shown of the first. Never: counts as checked what was built here.

mod bare;
mod figures;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use xenup_system::files;
use xenup_system::process::{ProcessError, Tool};

pub use bare::in_bare_trees;

/// `cargo xtask package`
#[derive(Debug, clap::Args)]
pub struct Package {
    /// Run lintian on what was built here; an error or a warning fails
    #[arg(long, conflicts_with = "check")]
    pub lintian: bool,
    /// Build the commit twice in bare trees of Debian 12 and 13 instead, without a network, and have both judged
    #[arg(long)]
    pub check: bool,
    /// With --check: in this suite alone
    #[arg(long, value_name = "SUITE", requires = "check")]
    pub suite: Option<String>,
    /// With --check: judge once more what it has built before, without building
    #[arg(long, requires = "check")]
    pub again: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints of a package that was built here.
#[derive(Debug, Serialize)]
struct Built<'a> {
    package: &'a Path,
    bytes: u64,
    /// Whether lintian looked at it; `false` leaves it out.
    checked: bool,
    /// What lintian said, a line each.
    lintian: Vec<String>,
}

/// Builds the packages and has them judged where that is asked for; returns whether nobody has anything to say.
///
/// # Errors
/// A build that fails, or no judge.
pub fn run(options: &Package) -> crate::Outcome {
    if options.check {
        return in_bare_trees(options.suite.as_deref(), options.again, options.json);
    }
    judged(&build()?, options)
}

/// Has a package that is built here judged where that is asked for, and says where it is.
fn judged(package: &Path, options: &Package) -> crate::Outcome {
    let (mut good, mut said) = (true, String::new());
    if options.lintian {
        let lintian = Tool::new("lintian")
            .args(["--allow-root", "--fail-on", "error,warning"])
            .arg(package)
            .arg(package.with_file_name(name_of("xenup-doc", "all")?))
            .arg(package.with_file_name(name_of("xenup-kernel-configs", "all")?))
            .arg(package.with_file_name(name_of("xenup-tls", "all")?))
            .output()?;
        (good, said) = (lintian.status.success(), lintian.text());
    }
    if options.json {
        let lintian = said.lines().map(ToOwned::to_owned).collect();
        let bytes = files::size(package)?;
        let built = Built { package, bytes, checked: options.lintian, lintian };
        println!("{}", serde_json::to_string(&built)?);
    } else {
        print!("{said}");
        println!("{}", package.display());
    }
    Ok(good)
}

/// The check `package`: built here as README has it, asked whether apt would install it, and shown to lintian, which takes
/// as long as the compiler.
///
/// # Errors
/// A build that fails, a package that apt refuses, or no lintian.
pub fn built_here() -> crate::Outcome {
    let script = crate::shown::block("README.md", "apt-get install ./target/package/xenup_*_amd64.deb")?;
    let script = script.replace("apt-get install", "apt-get --quiet --simulate install");
    let shell = Tool::new("sh").args(["-euc", &script]).current_dir(crate::project());
    shell.timeout(Duration::from_secs(3600)).run()?;
    judged(&built()?, &Package { lintian: true, check: false, suite: None, again: false, json: false })
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
