//! `xenup kernel check` beside the decoder that it has, alone, and beside the kernel's own extract-vmlinux with readelf.
//!
//! Decides: which kernels, one for each way that Debian packs them. Never: judges what is said of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_system::files;
use xenup_system::process::Tool;

use super::figures::Table;
use super::host::{in_turns, program};
use crate::kernels::Archive;
use crate::project;

type Failure = Box<dyn std::error::Error>;

/// A kernel that Debian packs with xz.
///
/// # Errors
/// It cannot be fetched, or a program cannot be run.
pub fn xz(runs: usize) -> Result<Table, Failure> {
    check("kernel-check-xz", "linux-image-amd64", runs)
}

/// One packed with lz4.
///
/// # Errors
/// As above.
pub fn lz4(runs: usize) -> Result<Table, Failure> {
    check("kernel-check-lz4", "linux-image-cloud-amd64", runs)
}

/// One of Linux 6.12.
///
/// # Errors
/// As above.
pub fn newer(runs: usize) -> Result<Table, Failure> {
    check("kernel-check-6.12", "linux-image-6.12-cloud-amd64", runs)
}

fn check(name: &'static str, meta: &str, runs: usize) -> Result<Table, Failure> {
    let folder = project().join("target/kernels");
    files::create_dir_all(&folder)?;
    let kernels = Archive::own(&folder).kernel(meta)?;
    let kernel = kernels.first().ok_or("the sources have no such kernel")?;
    let mut commands = vec![
        (
            "xenup kernel check --json",
            Tool::new(program()).args(["kernel", "check", "--json", "--xen", "4.20"]).arg(kernel),
        ),
        ("the same decoder, alone, to the end", Tool::new(decoder()?).arg(kernel)),
    ];
    let mut skipped = Vec::new();
    let vmlinux = folder.join("bench-vmlinux");
    match extract_vmlinux() {
        Some(script) => {
            let both = "\"$1\" \"$2\" > \"$3\" && readelf --notes --wide \"$3\"";
            let tool = Tool::new("sh").args(["-c", both, "sh"]).arg(script).arg(kernel).arg(&vmlinux);
            commands.push(("extract-vmlinux, then readelf -n", tool));
        }
        None => skipped
            .push("extract-vmlinux: no kernel source below target/kernel-sources or /usr/src".to_owned()),
    }
    let rows = in_turns(runs, &commands)?;
    let _ = files::remove_file(&vmlinux);
    let size = files::read(kernel)?.len();
    let notes = vec![
        format!("{}, {size} bytes", kernel.file_name().unwrap_or_default().to_string_lossy()),
        "target: at most 1.3 times the decoder alone, and faster than extract-vmlinux with readelf"
            .to_owned(),
    ];
    Ok(Table { name, rows, notes, skipped })
}

/// Builds the decoder alone, optimised.
fn decoder() -> Result<PathBuf, Failure> {
    Tool::new("cargo")
        .args(["build", "--quiet", "--release", "--package", "xenup-core", "--example", "unpack_kernel"])
        .current_dir(project())
        .timeout(Duration::from_secs(3600))
        .run()?;
    Ok(project().join("target/release/examples/unpack_kernel"))
}

/// The kernel's script, where a kernel's source is.
fn extract_vmlinux() -> Option<PathBuf> {
    let sources = [project().join("target/kernel-sources"), PathBuf::from("/usr/src")];
    let trees = sources.iter().flat_map(|dir: &PathBuf| files::list(dir).unwrap_or_default());
    let scripts = trees.map(|tree| tree.join("scripts/extract-vmlinux"));
    scripts.into_iter().find(|script: &PathBuf| files::exists(Path::new(script)))
}
