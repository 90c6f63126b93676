//! Figures of the packages: sizes, the program's start, and what systemd says of each unit.
//!
//! Decides: what is compared with the handbook, which is systemd's figures alone; they are the same on every machine of a
//! release. Never: asserts on a time or a size.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;
use xenup_image::Suite;
use xenup_system::files;
use xenup_system::process::Tool;

use crate::release::job::Job;
use crate::release::judge::Judges;
use crate::release::tree::Surroundings;

type Failure = Box<dyn std::error::Error>;

/// The page that has the units' figures.
const PAGE: &str = "docs/packages.md";
/// Calls in a row, and rounds of both programs in turns.
const CALLS: u32 = 50;
const ROUNDS: u32 = 11;

/// A package's size.
#[derive(Debug, Serialize)]
pub struct Size {
    file: String,
    bytes: u64,
    /// As its control file says it.
    installed_kib: u64,
    /// The program's, where there is one.
    program_bytes: Option<u64>,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, bytes, installed_kib, program_bytes } = self;
        write!(f, "{file}: {bytes} bytes, {installed_kib} KiB installed")?;
        program_bytes.map_or(Ok(()), |bytes| write!(f, ", the program {bytes} bytes"))
    }
}

/// Returns the size of each package in a folder.
///
/// # Errors
/// dpkg-deb cannot read one.
pub fn sizes(folder: &Path) -> Result<Vec<Size>, Failure> {
    let mut found = Vec::new();
    for path in files::list(folder)? {
        if !path.extension().is_some_and(|end| end == "deb" || end == "udeb") {
            continue;
        }
        let field = Tool::new("dpkg-deb").arg("--field").arg(&path).arg("Installed-Size").run()?.text();
        let contents = Tool::new("dpkg-deb").arg("--contents").arg(&path).run()?.text();
        let program = contents.lines().find(|line| line.ends_with("./usr/sbin/xenup"));
        let program_bytes = program.and_then(|line| line.split_whitespace().nth(2)?.parse().ok());
        found.push(Size {
            file: path.file_name().unwrap_or_default().display().to_string(),
            bytes: files::size(&path)?,
            installed_kib: field.trim().parse()?,
            program_bytes,
        });
    }
    Ok(found)
}

/// How long the program takes to say its version, beside a program that does nothing.
#[derive(Debug, Serialize)]
pub struct Start {
    version_ms: f64,
    true_ms: f64,
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version_ms, true_ms } = self;
        let allowed = true_ms.mul_add(2.0, 3.0);
        let word = if *version_ms <= allowed { "within" } else { "ABOVE" };
        write!(
            f,
            "xenup --version {version_ms:.2} ms, true {true_ms:.2} ms: {word} 2 x true + 3 ms = {allowed:.2} ms"
        )
    }
}

/// Both in turns, by the shell that every Debian has. `$1` is the program.
const CALL: &str = r#"TIMEFORMAT=%R
for ((round = 0; round < $3; round++)); do
    for program in /bin/true "$1 --version"; do
        { time for ((i = 0; i < $2; i++)); do $program >/dev/null; done; } 2>&1
    done
done"#;

/// Measures the start, in the tree of the suite.
///
/// # Errors
/// The program does not run there.
pub fn start(job: &Job, judges: &Judges) -> Result<Start, Failure> {
    let (unpacked, _) = judges.unpacked(job, "xenup")?;
    let (program, calls, rounds) =
        (format!("{unpacked}/usr/sbin/xenup"), CALLS.to_string(), ROUNDS.to_string());
    let words = ["bash", "-euc", CALL, "bash", &program, &calls, &rounds];
    let said = job.ask(&judges.tree().tool(job, &Surroundings::ALONE, &words))?.text();
    let seconds: Vec<f64> = said.lines().map(str::parse).collect::<Result<_, _>>()?;
    let each = |nth: usize| {
        let mut all: Vec<f64> = seconds.iter().skip(nth).step_by(2).copied().collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default() * 1000.0 / f64::from(CALLS)
    };
    Ok(Start { version_ms: each(1), true_ms: each(0) })
}

/// Asks systemd what each unit of the packages is exposed to, and compares that with the page.
///
/// # Errors
/// systemd-analyze cannot read a unit.
pub fn exposure(
    job: &Job,
    judges: &Judges,
    suite: Suite,
    faults: &mut Vec<String>,
) -> Result<BTreeMap<String, String>, Failure> {
    let page = files::read_text(&crate::project().join(PAGE))?;
    let mut found = BTreeMap::new();
    for package in ["xenup", "xenup-tls"] {
        let (inside, outside) = judges.unpacked(job, package)?;
        for folder in ["lib/systemd/system", "usr/lib/systemd/system"] {
            if !files::exists(&outside.join(folder)) {
                continue;
            }
            for path in files::list(&outside.join(folder))? {
                let unit = path.file_name().unwrap_or_default().display().to_string();
                let path = format!("{inside}/{folder}/{unit}");
                let words = ["systemd-analyze", "security", "--offline=true", "--no-pager", &path];
                let said = job.ask(&judges.tree().tool(job, &Surroundings::ALONE, &words))?.text();
                let figure =
                    figure_of(&said).ok_or_else(|| format!("{unit}: systemd-analyze gave no figure"))?;
                let shown = shown(&page, &unit, suite);
                if shown != Some(figure) {
                    let suite = suite.name();
                    faults.push(format!(
                        "{PAGE}: {unit} is exposed to {figure} in {suite}, and {shown:?} is shown"
                    ));
                }
                found.insert(unit, figure.to_owned());
            }
        }
    }
    Ok(found)
}

/// The figure in the last line of systemd-analyze(1): `→ Overall exposure level for UNIT: 4.8 OK`.
fn figure_of(said: &str) -> Option<&str> {
    let line = said.lines().rfind(|line| line.contains("Overall exposure level for"))?;
    line.rsplit_once(": ")?.1.split_whitespace().next()
}

/// The figure in the unit's row of the page: after its name Debian 12's, then Debian 13's.
fn shown<'a>(page: &'a str, unit: &str, suite: Suite) -> Option<&'a str> {
    let column = match suite {
        Suite::Bookworm => 2,
        Suite::Trixie => 3,
        Suite::Sid => return None,
    };
    let rows = page.lines().map(|line| line.split('|').map(str::trim));
    rows.filter_map(|mut row| (row.clone().nth(1) == Some(unit)).then(|| row.nth(column)).flatten()).next()
}

#[cfg(test)]
mod tests {
    use xenup_image::Suite;

    use super::{figure_of, shown};

    #[test]
    fn a_figure_is_read_where_it_stands() {
        let said = "✗ PrivateNetwork=  0.5\n\n→ Overall exposure level for xenup-tls.service: 4.8 OK 🙂\n";
        assert_eq!(figure_of(said), Some("4.8"));
        assert_eq!(figure_of("nothing"), None);
        let page = "| unit | 12 | 13 |\n|---|---|---|\n| xenup-tls.service | 4.8 | 4.7 | why |\n";
        assert_eq!(shown(page, "xenup-tls.service", Suite::Bookworm), Some("4.8"));
        assert_eq!(shown(page, "xenup-tls.service", Suite::Trixie), Some("4.7"));
        assert_eq!(shown(page, "xenup.service", Suite::Bookworm), None);
    }
}
