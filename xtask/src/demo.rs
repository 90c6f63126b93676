//! The demonstration: the package is built, a plain Debian boots and becomes a Xen host, a report is written.

use std::time::Duration;

use xenup_system::process::Tool;

/// `cargo xtask demo`
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Handed on to `xenup rehearse`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Plays it.
///
/// # Errors
/// A build that fails. A rehearsal that fails is `false`; its own words say why.
pub fn run(options: &Demo) -> crate::Outcome {
    let package = crate::package::build()?;
    println!("{}", package.display());
    let program = crate::project().join("target/release/xenup");
    let output = Tool::new(&program)
        .args(["rehearse", "--resume", "--package"])
        .arg(&package)
        .args(&options.rest)
        .timeout(Duration::from_secs(7200))
        .run_lines(&mut |line| println!("{line}"))?;
    Ok(output.status.success())
}
