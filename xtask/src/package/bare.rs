//! The packages of a commit in bare trees of Debian 12 and 13: built twice without a network, compared bit by bit, judged
//! by each suite's own lintian, piuparts and autopkgtest, and installed on plain machines.
//!
//! Decides: what has to be alike, and that every lintian override says why. Never: asserts on a time or a size; both are
//! printed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use xenup_image::Suite;
use xenup_system::files;
use xenup_system::process::Tool;

use super::figures::{self, Size, Start};
use crate::release::build::{self, FIRST, SECOND};
use crate::release::job::Job;
use crate::release::judge::Judges;
use crate::release::tree::Tree;

type Failure = Box<dyn std::error::Error>;

/// Those that the archive has, and that people run.
const SUITES: [Suite; 2] = [Suite::Bookworm, Suite::Trixie];
/// The test of debian/tests that needs no machine of its own.
const TEST: &str = "reads";

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Told {
    suites: Vec<Judged>,
    /// What was wrong, a line each.
    faults: Vec<String>,
}

/// What was found in one suite.
#[derive(Debug, Serialize)]
struct Judged {
    suite: &'static str,
    packages: Vec<Size>,
    start: Start,
    /// systemd's figure of what each unit is exposed to, 0 to 10.
    exposure: BTreeMap<String, String>,
}

/// Builds and judges; returns whether there was nothing to say.
///
/// # Errors
/// The first step that fails: a build, or a judge that refuses.
pub fn in_bare_trees(suite: Option<&str>, again: bool, json: bool) -> crate::Outcome {
    if !files::is_root() {
        println!("skipped: chroot(2) needs root");
        return Ok(true);
    }
    let suites = match suite {
        Some(name) => vec![build::suite_of(name)?],
        None => SUITES.to_vec(),
    };
    let project = crate::project();
    let out = project.join("target/packages");
    let job = Job { tree: project.clone(), out, dry_run: false, env: Vec::new() };
    let mut faults = without_reason(&project)?;
    crate::release::source(&job)?;
    let mut told = Vec::new();
    for suite in suites {
        told.push(judged(&job, suite, again, &mut faults)?);
    }
    for fault in &faults {
        println!("{fault}");
    }
    let good = faults.is_empty();
    if json {
        println!("{}", serde_json::to_string(&Told { suites: told, faults })?);
    }
    Ok(good)
}

/// All that one suite says. The second build comes last: it takes longest, and what a judge refuses has to be built again.
fn judged(job: &Job, suite: Suite, again: bool, faults: &mut Vec<String>) -> Result<Judged, Failure> {
    let entry = job.entry()?;
    let (first, second) = (FIRST.packages(job, suite), SECOND.packages(job, suite));
    let bare = Tree::bare(job, suite)?;
    let ready = if again { None } else { Some(build::with_tools(job, &bare, &entry, suite)?) };
    if let Some(ready) = &ready {
        ready.built(job, &FIRST)?;
    }
    let judges = Judges::of(job, suite, &bare, &entry, &first)?;
    judges.lintian(job)?;
    judges.piuparts(job)?;
    judges.autopkgtest(job, TEST)?;
    let packages = figures::sizes(&first)?;
    let start = figures::start(job, &judges)?;
    let exposure = figures::exposure(job, &judges, suite, faults)?;
    drop(judges);
    on_plain_machines(job, suite)?;
    if let Some(ready) = &ready {
        ready.built(job, &SECOND)?;
    }
    let found = Judged { suite: suite.name(), packages, start, exposure };
    println!("{}\n{found}", suite.title());
    faults.extend(differing(&first, &second)?.into_iter().map(|words| format!("{}: {words}", suite.name())));
    Ok(found)
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for size in &self.packages {
            writeln!(f, "  {size}")?;
        }
        for (unit, figure) in &self.exposure {
            writeln!(f, "  {unit}: exposed to {figure} of 10")?;
        }
        write!(f, "  {}", self.start)
    }
}

/// The packages of two builds that are not the same bytes, each with the paths in which they differ.
fn differing(first: &Path, second: &Path) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    let (one, other) = (digests(first)?, digests(second)?);
    if one.is_empty() || one.keys().ne(other.keys()) {
        words.push(format!("the builds made {:?} and {:?}", one.keys(), other.keys()));
    }
    for (name, digest) in &one {
        if other.get(name) == Some(digest) {
            println!("  the same twice: {digest}  {name}");
        } else {
            words.push(format!(
                "{name} is not the same twice: {}",
                paths(&first.join(name), &second.join(name))?
            ));
        }
    }
    Ok(words)
}

/// sha256 of each binary package in a folder.
fn digests(folder: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let mut found = BTreeMap::new();
    for path in files::list(folder)? {
        if path.extension().is_some_and(|end| end == "deb" || end == "udeb") {
            let name = path.file_name().unwrap_or_default().display().to_string();
            found.insert(name, crate::digest::sha256(&path)?);
        }
    }
    Ok(found)
}

/// The paths in which two packages differ, as diff(1) names them; both are left unpacked.
fn paths(one: &Path, other: &Path) -> Result<String, Failure> {
    let unpacked = |path: &Path| -> Result<PathBuf, Failure> {
        let to = path.with_extension("unpacked");
        files::remove_dir_all(&to)?;
        Tool::new("dpkg-deb").arg("--raw-extract").arg(path).arg(&to).run()?;
        Ok(to)
    };
    let diff = Tool::new("diff").args(["--recursive", "--brief", "--no-dereference"]);
    let said = diff.arg(unpacked(one)?).arg(unpacked(other)?).output()?.text();
    Ok(if said.is_empty() {
        "owners, modes, times or order".to_owned()
    } else {
        said.trim().replace('\n', "; ")
    })
}

/// The overrides of lintian above which no comment says why.
fn without_reason(project: &Path) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for folder in ["debian", "debian/source"] {
        for path in files::list(&project.join(folder))? {
            if path.display().to_string().ends_with("lintian-overrides") {
                let name = path.strip_prefix(project).unwrap_or(&path).display().to_string();
                let lines = unexplained(&files::read_text(&path)?);
                found.extend(lines.into_iter().map(|line| format!("{name}: no comment says why: {line}")));
            }
        }
    }
    Ok(found)
}

/// The overrides of a file without a comment above them; those of one tag that follow each other share one.
fn unexplained(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut explained = None;
    let mut comment = false;
    for line in text.lines() {
        // `package: tag context` or, for the source, `tag context`.
        let tag = line.split_once(": ").map_or(line, |(_, rest)| rest).split(' ').next().unwrap_or_default();
        if line.starts_with('#') {
            comment = true;
        } else if line.is_empty() {
            (comment, explained) = (false, None);
        } else if comment || explained == Some(tag) {
            (comment, explained) = (false, Some(tag));
        } else {
            found.push(line.to_owned());
        }
    }
    found
}

/// Installs, upgrades, removes and purges them on a machine with systemd, in a container.
fn on_plain_machines(job: &Job, suite: Suite) -> Result<(), Failure> {
    let packages = FIRST.packages(job, suite);
    let test =
        ["test", "--package", "xenup", "--test", "package_container", "--", "--nocapture", suite.name()];
    Tool::new("cargo")
        .args(test)
        .current_dir(crate::project())
        .env("XENUP_CONTAINERS", "1")
        .env("XENUP_PACKAGES", packages)
        .timeout(Duration::from_secs(3600))
        .run_lines(&mut |line| println!("  {line}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{unexplained, without_reason};

    #[test]
    fn an_override_says_why() {
        let good = "# why\nxenup: a-tag [usr/sbin/xenup]\nxenup: a-tag other\n\n# why\nxenup: b-tag\n# two\n# lines\nc-tag *\n";
        assert!(unexplained(good).is_empty());
        assert_eq!(unexplained("x: a\n"), ["x: a"]);
        assert_eq!(unexplained("# why\nx: a\nx: b\n"), ["x: b"]);
        assert_eq!(unexplained("# why\nx: a\n\nx: a\n"), ["x: a"]);
        assert_eq!(unexplained("# a heading\n\nx: a\n"), ["x: a"]);
    }

    #[test]
    fn the_overrides_of_this_package_say_why() {
        assert_eq!(without_reason(&crate::project()).unwrap(), Vec::<String>::new());
    }
}
