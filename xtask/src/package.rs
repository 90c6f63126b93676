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
    let target = project.join("target");
    let home = Environment::read().home.unwrap_or_else(|| "/root".into());
    let cargo_home = cargo_home(&home);
    // The build dependencies name Debian's toolchain; here the one on the PATH builds (-d).
    Tool::new("dpkg-buildpackage")
        .args(["-b", "-us", "-uc", "-d", "-nc", "--buildinfo-option=-Otarget/package/xenup.buildinfo"])
        .arg("--changes-option=-Otarget/package/xenup.changes")
        .arg("--buildinfo-file=target/package/xenup.buildinfo")
        .arg("--changes-file=target/package/xenup.changes")
        .env("CARGO_TARGET_DIR", &target)
        // debian/rules keeps crates in its own tree for a build daemon; here the registry that cargo has is used.
        .env("CARGO_HOME", cargo_home)
        .current_dir(&project)
        .timeout(Duration::from_secs(3600))
        .run()?;
    let package = self::built()?;
    let made = package.file_name().map(|name| project.join("..").join(name));
    if let Some(made) = made {
        files::rename(&made, &package)?;
    }
    if options.check {
        Tool::new("lintian").args(["--fail-on", "error,warning"]).arg(&package).run()?;
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
