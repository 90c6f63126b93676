//! Man pages, completions, schemas, debian/copyright and debian/NOTICE: written from what the program and its crates say, committed,
//! and checked to be current.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use xenup_system::files::{self, WorkDir};
use xenup_system::process::Tool;

/// `cargo xtask docs`
#[derive(Debug, clap::Args)]
pub struct Docs {
    /// Write nothing; fail where a committed file is not what would be written
    #[arg(long)]
    pub check: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Told<'a> {
    /// The documents that are, or were, not what the program writes.
    stale: &'a [PathBuf],
    /// Whether they were written now.
    written: bool,
}

const FOLDERS: [&str; 3] = ["man", "completions", "schema"];

/// Writes or checks the generated documents.
///
/// # Errors
/// A build or a write that fails.
pub fn run(options: &Docs) -> crate::Outcome {
    let project = crate::project();
    let fresh = WorkDir::new_in(&project.join("target"), "docgen")?;
    Tool::new("cargo")
        .args(["run", "--quiet", "--package", "xenup", "--", "docgen"])
        .arg(fresh.path())
        .current_dir(&project)
        .timeout(Duration::from_secs(1800))
        .run()?;
    let mut stale = Vec::new();
    for folder in FOLDERS {
        let (made, kept) = (fresh.path().join(folder), project.join(folder));
        files::create_dir_all(&kept)?;
        stale.extend(differences(&made, &kept)?);
    }
    files::create_dir_all(&fresh.path().join("debian"))?;
    for (name, text) in crate::copyright::files_of(&project)? {
        files::write(&fresh.path().join(&name), text.as_bytes())?;
        let kept = project.join(&name);
        if !files::exists(&kept) || files::read(&kept)? != text.as_bytes() {
            stale.push(name);
        }
    }
    if !options.check {
        for path in &stale {
            write_from(fresh.path(), &project, path)?;
        }
    }
    if options.json {
        println!("{}", serde_json::to_string(&Told { stale: &stale, written: !options.check })?);
    } else if options.check {
        for path in &stale {
            println!("stale: {}", path.display());
        }
        if !stale.is_empty() {
            println!("run: cargo xtask docs");
        }
    } else {
        println!("{} files written", stale.len());
    }
    Ok(stale.is_empty() || !options.check)
}

/// Returns the names (folder and file) that differ or are on one side only. Hand-written pages of section 5
/// and 7 are left alone.
fn differences(made: &Path, kept: &Path) -> Result<Vec<PathBuf>, files::FileError> {
    let folder = kept.file_name().map(PathBuf::from).unwrap_or_default();
    let mut different = Vec::new();
    for path in files::list(made)? {
        let Some(name) = path.file_name() else { continue };
        let other = kept.join(name);
        if !files::exists(&other) || files::read(&path)? != files::read(&other)? {
            different.push(folder.join(name));
        }
    }
    for path in files::list(kept)? {
        let Some(name) = path.file_name() else { continue };
        let by_hand = path.extension().is_some_and(|section| section == "5" || section == "7");
        if !by_hand && !files::exists(&made.join(name)) {
            different.push(folder.join(name));
        }
    }
    Ok(different)
}

fn write_from(fresh: &Path, project: &Path, name: &Path) -> Result<(), files::FileError> {
    let (made, kept) = (fresh.join(name), project.join(name));
    if files::exists(&made) {
        files::write(&kept, &files::read(&made)?)
    } else {
        files::remove_file(&kept).map(|_| ())
    }
}
