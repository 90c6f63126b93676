//! The demonstration: a plain Debian boots and becomes a Xen host by the package that was built, a report is written.

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
/// No package was built. A rehearsal that fails is `false`; its own words say why.
pub fn run(options: &Demo) -> crate::Outcome {
    let package = crate::package::built()?;
    let program = crate::project().join("target/release/xenup");
    let output = Tool::new(&program)
        .args(["rehearse", "--resume", "--package"])
        .arg(&package)
        .args(&options.rest)
        .timeout(Duration::from_secs(7200))
        .run_lines(&mut |line| println!("{line}"))?;
    Ok(output.status.success())
}
