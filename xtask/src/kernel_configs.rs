//! The configurations that `xenup-kernel-configs` brings: each role on Debian's kernels, with the reason of each symbol.
//!
//! Decides: their form, and whether those in the tree are current. Never: which symbols; `xenup kernel config` does.
//!
//! The form is that of the kernel's own defconfig files: what differs from the tree's own defaults, and every symbol that
//! a role asks for. What only the compiler answers is not in it, so that it is the same wherever it is made.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use xenup_system::files;
use xenup_system::process::Tool;

use crate::kernel_config::{RELEASES, Source, asked, fetched, names, typed};

/// `cargo xtask kernel-configs`
#[derive(Debug, clap::Args)]
pub struct KernelConfigs {
    /// Compare what is there instead of writing it
    #[arg(long)]
    pub check: bool,
}

type Failure = Box<dyn std::error::Error>;

/// Writes the configurations, or compares them; returns whether all are current and have make come to what they were made of.
///
/// # Errors
/// Nothing to build with, or a source that cannot be fetched or configured. A source that this machine's apt lacks is told.
pub fn run(options: &KernelConfigs) -> crate::Outcome {
    let work = crate::project().join("target/kernel-sources");
    files::create_dir_all(&work)?;
    crate::package::debug_program()?;
    let (roles, _) = names(&work)?;
    let (mut good, mut sources) = (true, 0);
    for release in RELEASES {
        let Some(source) = fetched(&work, release)? else {
            println!("linux-source-{release}: not in this machine's sources");
            continue;
        };
        sources += 1;
        good &= by_page(&work, &source)?;
        for role in &roles {
            let made = Made::new(&work, &source, role)?;
            good &= made.settle(&work, &source)? & made.keep(options.check)?;
        }
    }
    Ok(good && sources > 0)
}

/// What docs/kernels.md has people do with a file of the package, in a copy of the tree; true of another release than the page's.
fn by_page(work: &Path, source: &Source) -> Result<bool, Failure> {
    let script = crate::shown::block("docs/kernels.md", "linux-source-6.1/.config")?;
    let tree = format!("linux-source-{}", source.release);
    if !script.contains(&format!("{tree}/")) {
        return Ok(true);
    }
    let copies = work.join("by-hand-configs");
    files::remove_dir_all(&copies)?;
    files::create_dir_all(&copies)?;
    // Links: make writes new files beside those of the source.
    Tool::new("cp").arg("--archive").arg("--link").arg(&source.tree).arg(copies.join(&tree)).run()?;
    let packaged = crate::project().join("kernel-configs").display().to_string();
    typed(&copies, &script.replace("/usr/share/xenup/kernel-configs", &packaged)).run()?;
    let asked = files::read_text(&crate::project().join("kernel-configs/6.1/domU-minimal.config"))?;
    let config = files::read_text(&copies.join(&tree).join(".config"))?;
    let there = symbols(&config);
    let lost: Vec<&str> = symbols(&asked).into_iter().filter(|line| !there.contains(line)).collect();
    println!("{tree}, as the handbook has it: {} symbols lost {}", lost.len(), lost.join(", "));
    files::remove_dir_all(&copies)?;
    Ok(lost.is_empty())
}

/// A role's configuration on a release.
struct Made {
    path: PathBuf,
    /// What is brought.
    text: String,
    /// What it was made of: all of make's .config.
    whole: String,
}

impl Made {
    fn new(work: &Path, source: &Source, role: &str) -> Result<Self, Failure> {
        let report: Value = serde_json::from_str(&asked(work, source, role, &[]).run()?.text())?;
        let whole = report.get("config").and_then(Value::as_str).ok_or("the report has no configuration")?;
        let wanted = report.get("wanted").and_then(Value::as_array).ok_or("the report has no wishes")?;
        let short = with_make(work, source, "savedefconfig", whole, "defconfig")?;
        let path =
            crate::project().join("kernel-configs").join(source.release).join(format!("{role}.config"));
        Ok(Self { path, text: text(role, source.release, wanted, whole, &short), whole: whole.to_owned() })
    }

    /// Whether make comes from the text to what it was made of.
    fn settle(&self, work: &Path, source: &Source) -> Result<bool, Failure> {
        let again = with_make(work, source, "olddefconfig", &self.text, ".config")?;
        let differs = symbols(&self.whole) != symbols(&again);
        if differs {
            println!("{}: make comes to another configuration", self.path.display());
        }
        Ok(!differs)
    }

    /// Writes it where it is to be written; else whether it is there.
    fn keep(&self, check: bool) -> Result<bool, Failure> {
        let lines = self.text.lines().count();
        if !check {
            files::create_dir_all(self.path.parent().unwrap_or(Path::new(".")))?;
            files::write(&self.path, self.text.as_bytes())?;
            println!("{}: {lines} lines", self.path.display());
            return Ok(true);
        }
        let current = files::read_text(&self.path).is_ok_and(|there| there == self.text);
        let hint = if current { "current" } else { "STALE: cargo xtask kernel-configs" };
        println!("{}: {lines} lines, {hint}", self.path.display());
        Ok(current)
    }
}

/// Has the tree's make do `target` with a configuration; returns the file that it writes.
fn with_make(
    work: &Path,
    source: &Source,
    target: &str,
    config: &str,
    result: &str,
) -> Result<String, Failure> {
    let objects = work.join(format!("configs-{}", source.release));
    files::create_dir_all(&objects)?;
    files::write(&objects.join(".config"), config.as_bytes())?;
    Tool::new("make")
        .args(["-s", "ARCH=x86_64", target, "-C"])
        .arg(&source.tree)
        .arg(format!("O={}", objects.display()))
        .timeout(Duration::from_secs(1800))
        .run()?;
    Ok(files::read_text(&objects.join(result))?)
}

/// The lines that say what a symbol is.
fn symbols(config: &str) -> Vec<&str> {
    config.lines().filter(|line| name(line).is_some()).collect()
}

/// The symbol that a line of a .config is about.
fn name(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("# ").unwrap_or(line).strip_prefix("CONFIG_")?;
    rest.split_once('=').or_else(|| rest.split_once(" is not set")).map(|(name, _)| name)
}

fn text(role: &str, release: &str, wanted: &[Value], whole: &str, short: &str) -> String {
    let mut text = format!(
        "# {role} for Linux {release}: a configuration for `make olddefconfig`.\n\
         # Written by `cargo xtask kernel-configs` from xenup's profiles, on the source of Debian's linux-source-{release}.\n\
         #     cp THIS-FILE linux-source-{release}/.config && make -C linux-source-{release} olddefconfig\n"
    );
    if role == "dom0-minimal" {
        text += "# It has no drivers of a machine's devices. With them: xenup kernel config dom0-minimal\n";
    }
    let lines: HashMap<&str, &str> = whole.lines().filter_map(|line| Some((name(line)?, line))).collect();
    // Symbols with one reason stand together, in the order in which the reasons are first met.
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for wish in wanted {
        let word = |key| wish.get(key).and_then(Value::as_str).unwrap_or_default();
        let (why, Some(line)) = (word("why"), lines.get(word("symbol"))) else { continue };
        match groups.iter_mut().find(|(other, _)| *other == why) {
            Some((_, lines)) => lines.push(line),
            None => groups.push((why, vec![line])),
        }
    }
    let mut there: Vec<&str> = Vec::new();
    for (why, lines) in &groups {
        let _ = write!(text, "\n# {why}\n{}\n", lines.join("\n"));
        there.extend(lines);
    }
    text += "\n# What differs from this Linux's own defaults besides.\n";
    for line in symbols(short).into_iter().filter(|line| !there.contains(line)) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::text;

    #[test]
    fn each_wish_stands_with_its_reason_and_the_rest_behind_them() {
        let wanted = [
            json!({"symbol": "XEN", "why": "it is a guest of Xen"}),
            json!({"symbol": "MODULES", "why": "nothing is loaded"}),
            json!({"symbol": "XEN_PVH", "why": "it is a guest of Xen"}),
            json!({"symbol": "GONE", "why": "not seen by this Linux"}),
        ];
        let whole = "#\n# Linux\n#\nCONFIG_64BIT=y\nCONFIG_XEN=y\n# CONFIG_MODULES is not set\nCONFIG_XEN_PVH=y\nCONFIG_HZ=100\n";
        let made = text("domU-minimal", "6.1", &wanted, whole, "CONFIG_HZ=100\nCONFIG_XEN=y\n");
        let body = made.split_once("\n\n").map(|(_, body)| body);
        assert_eq!(
            body,
            Some(
                "# it is a guest of Xen\nCONFIG_XEN=y\nCONFIG_XEN_PVH=y\n\n# nothing is loaded\n# CONFIG_MODULES is not set\n\
                 \n# What differs from this Linux's own defaults besides.\nCONFIG_HZ=100\n"
            )
        );
    }
}
