//! Builds the Debian package by its own debian/rules.

use std::path::PathBuf;
use std::time::Duration;

use xenup_system::process::Tool;
use xenup_system::{Environment, files};

/// `cargo xtask package`
#[derive(Debug, clap::Args)]
pub struct Package {
    /// Run lintian on the result; an error or a warning fails
    #[arg(long)]
    pub check: bool,
}

/// Builds the package and returns its path.
///
/// # Errors
/// A build that fails, or with `--check` a complaint of lintian.
pub fn run(options: &Package) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let project = crate::project();
    let built = project.join("target/package");
    files::create_dir_all(&built)?;
    let home = Environment::read().home.unwrap_or_else(|| "/root".into());
    let cargo_home = cargo_home(&home);
    for target in ["clean", "binary"] {
        Tool::new("debian/rules")
            .arg(target)
            .env("CARGO_TARGET_DIR", project.join("target"))
            // debian/rules keeps crates in its own tree for a build daemon; here the registry that cargo has is used.
            .env("CARGO_HOME", &cargo_home)
            .env("PACKAGE_DIR", &built)
            // Set by `cargo run`; dpkg-shlibdeps would search there.
            .env_remove("LD_LIBRARY_PATH")
            .current_dir(&project)
            .timeout(Duration::from_secs(3600))
            .run()?;
    }
    let package = self::built()?;
    if options.check {
        let lintian = Tool::new("lintian")
            .args(["--allow-root", "--fail-on", "error,warning"])
            .arg(&package)
            .output()?;
        print!("{}", lintian.text());
        if !lintian.status.success() {
            return Err("lintian complains".into());
        }
    }
    println!("{}", package.display());
    Ok(package)
}

/// Returns where the package of this version lies once it is built.
///
/// # Errors
/// debian/changelog cannot be read.
pub fn built() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let project = crate::project();
    let name = format!("xenup_{}_amd64.deb", version(&project)?);
    Ok(project.join("target/package").join(name))
}

/// Returns the folder that cargo itself takes: CARGO_HOME, else ~/.cargo.
fn cargo_home(home: &std::path::Path) -> PathBuf {
    option_env!("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from)
}

fn version(project: &std::path::Path) -> Result<String, Box<dyn std::error::Error>> {
    let output = Tool::new("dpkg-parsechangelog").args(["-S", "Version"]).current_dir(project).run()?;
    Ok(output.text().trim().to_owned())
}
