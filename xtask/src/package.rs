//! Builds the Debian package by its own debian/rules.

use std::path::PathBuf;
use std::time::Duration;

use xenup_system::files;
use xenup_system::process::Tool;

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
    // The build dependencies name Debian's toolchain; here the one on the PATH builds (-d).
    Tool::new("dpkg-buildpackage")
        .args(["-b", "-us", "-uc", "-d", "-nc", "--buildinfo-option=-Otarget/package/xenup.buildinfo"])
        .arg("--changes-option=-Otarget/package/xenup.changes")
        .arg("--buildinfo-file=target/package/xenup.buildinfo")
        .arg("--changes-file=target/package/xenup.changes")
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_HOME", cargo_home())
        .current_dir(&project)
        .timeout(Duration::from_secs(3600))
        .run()?;
    let version = version(&project)?;
    let name = format!("xenup_{version}_amd64.deb");
    let package = built.join(&name);
    files::rename(&project.join("..").join(&name), &package)?;
    if options.check {
        Tool::new("lintian").args(["--fail-on", "error,warning"]).arg(&package).run()?;
    }
    println!("{}", package.display());
    Ok(package)
}

fn cargo_home() -> PathBuf {
    let home = |name: &str| std::env::var_os(name).map(PathBuf::from);
    home("CARGO_HOME")
        .or_else(|| home("HOME").map(|home| home.join(".cargo")))
        .unwrap_or_else(|| "/root/.cargo".into())
}

fn version(project: &std::path::Path) -> Result<String, Box<dyn std::error::Error>> {
    let output = Tool::new("dpkg-parsechangelog").args(["-S", "Version"]).current_dir(project).run()?;
    Ok(output.text().trim().to_owned())
}
