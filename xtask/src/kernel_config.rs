//! Every role and every addition against Debian's real kernel sources, by those sources' own make.
//!
//! Decides: which combinations are tried. Never: judges a symbol; `xenup kernel config` refuses what it cannot have, and
//! a configuration that it lets pass is compared with what was asked here once more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use xenup_system::files;
use xenup_system::process::Tool;
use xenup_system::stopwatch::Stopwatch;

/// Debian 12's kernel, and Debian 13's (in bookworm-backports too).
pub const RELEASES: [&str; 2] = ["6.1", "6.12"];

/// The release that the handbook has.
const SHOWN: &str = "6.1";

type Failure = Box<dyn std::error::Error>;

/// A tree and Debian's own configuration for it.
pub struct Source {
    /// "6.1".
    pub release: &'static str,
    /// The unpacked tree.
    pub tree: PathBuf,
    config: PathBuf,
}

/// Makes each role's configuration alone and with all additions; with `long` with each addition by itself.
///
/// # Errors
/// Nothing to build with; a source that this machine's apt has is not fetched. One that it lacks is told.
pub fn run(long: bool) -> crate::Outcome {
    let folder = crate::project().join("target/kernel-sources");
    files::create_dir_all(&folder)?;
    crate::package::debug_program()?;
    let (roles, additions) = names(&folder)?;
    let mut good = true;
    let mut sources = 0;
    for release in RELEASES {
        let Some(source) = fetched(&folder, release)? else {
            println!("linux-source-{release}: not in this machine's sources");
            continue;
        };
        sources += 1;
        if source.release == SHOWN {
            good &= by_page(&folder, &source)?;
        }
        for role in &roles {
            good &= tried(&folder, &source, role, &[])?;
            good &= tried(&folder, &source, role, &additions)?;
            for addition in additions.iter().filter(|_| long) {
                good &= tried(&folder, &source, role, std::slice::from_ref(addition))?;
            }
        }
    }
    Ok(good && sources > 0)
}

fn xenup(folder: &Path, args: &[&str]) -> Tool {
    Tool::new(crate::project().join("target/debug/xenup"))
        .arg("kernel")
        .args(args)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .timeout(Duration::from_secs(1800))
}

/// The roles, and the additions.
///
/// # Errors
/// The program does not list them.
pub fn names(folder: &Path) -> Result<(Vec<String>, Vec<String>), Failure> {
    let listed: Value = serde_json::from_str(&xenup(folder, &["roles", "--json"]).run()?.text())?;
    let rows = listed.get("listed").and_then(Value::as_array).ok_or("no roles are listed")?;
    let of = |kind: &str| {
        let rows = rows.iter().filter(|row| row.get("kind").and_then(Value::as_str) == Some(kind));
        rows.filter_map(|row| Some(row.get("name")?.as_str()?.to_owned())).collect::<Vec<_>>()
    };
    Ok((of("role"), of("addition")))
}

/// `xenup kernel config` for a role with additions on a source, its report in JSON.
pub fn asked(folder: &Path, source: &Source, role: &str, with: &[String]) -> Tool {
    let mut tool = xenup(folder, &["config", role, "--json", "--source"]).arg(&source.tree);
    for addition in with {
        tool = tool.args(["--with", addition]);
    }
    match role {
        "dom0-full" => tool.arg("--base").arg(&source.config),
        "dom0-minimal" => tool.arg("--no-hardware"),
        _ => tool,
    }
}

/// A script of the handbook, to be run in the folder with the sources. This machine gets no package by it.
pub fn typed(folder: &Path, script: &str) -> Tool {
    let programs = crate::project().join("target/debug");
    let script = script.replace("apt-get install", "apt-get --simulate install");
    Tool::new("sh")
        .args(["-euc", &format!("PATH={}:$PATH\n{script}", programs.display())])
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .timeout(Duration::from_secs(1800))
}

/// What docs/kernels.md has people type: with xenup, and with make alone for the wishes of two roles.
fn by_page(folder: &Path, source: &Source) -> Result<bool, Failure> {
    let with_us = crate::shown::block("docs/kernels.md", "--with nfs,docker -o domu.config")?;
    let made = folder.join("domu.config");
    files::remove_file(&made)?;
    typed(folder, &with_us).run()?;
    println!("the handbook's own: {} bytes", files::size(&made)?);
    files::remove_file(&made)?;
    let over_nothing = crate::shown::block("docs/kernels.md", "allnoconfig")?;
    let over_debians = crate::shown::block("docs/kernels.md", "config.amd64_none_amd64.xz > /tmp/O/.config")?;
    let mut good = true;
    for (role, script) in [("domU-minimal", over_nothing), ("dom0-full", over_debians)] {
        let objects = folder.join("by-hand");
        files::remove_dir_all(&objects)?;
        let report: Value = serde_json::from_str(&asked(folder, source, role, &[]).run()?.text())?;
        files::write(&folder.join("wishes"), wishes(&report).as_bytes())?;
        let script = script.replace("/tmp/O", &objects.display().to_string()).replace(
            "/usr/src/linux-config-6.1/config.amd64_none_amd64.xz",
            &source.config.display().to_string(),
        );
        let output = typed(folder, &script).output()?;
        let kept = output.status.success();
        println!("{role} by hand: {}", if kept { "all that was asked for" } else { "LOST" });
        if !kept {
            println!("{}{}", output.text(), output.stderr_text());
        }
        good &= kept;
        files::remove_file(&folder.join("wishes"))?;
        files::remove_dir_all(&objects)?;
    }
    Ok(good)
}

/// The symbols that were asked for, as the .config has them that came of it.
fn wishes(report: &Value) -> String {
    let config = report.get("config").and_then(Value::as_str).unwrap_or_default();
    let wanted = report.get("wanted").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let lines = wanted.iter().filter_map(|wish| {
        let name = wish.get("symbol")?.as_str()?;
        let (set, unset) = (format!("CONFIG_{name}="), format!("# CONFIG_{name} is not set"));
        config.lines().find(|line| line.starts_with(&set) || *line == unset)
    });
    lines.map(|line| format!("{line}\n")).collect()
}

fn tried(folder: &Path, source: &Source, role: &str, with: &[String]) -> Result<bool, Failure> {
    let watch = Stopwatch::start();
    let output = asked(folder, source, role, with).output()?;
    let what = match with {
        [] => role.to_owned(),
        [one] => format!("{role} with {one}"),
        several => format!("{role} with {} additions", several.len()),
    };
    let Ok(made) = serde_json::from_str::<Value>(&output.text()) else {
        println!("{what} on {}: {}", source.release, output.stderr_text().trim());
        return Ok(false);
    };
    let lost = made.get("lost").and_then(Value::as_array).ok_or("the report does not say what was lost")?;
    let asked =
        made.get("wanted").and_then(Value::as_array).ok_or("the report does not say what was asked")?;
    let missing = not_in(asked, made.get("config").and_then(Value::as_str).unwrap_or_default());
    println!(
        "{what} on {}: {} symbols asked for, {} lost, {:.1} s",
        source.release,
        asked.len(),
        missing.len(),
        watch.elapsed().as_secs_f64()
    );
    for one in lost {
        println!("  {}", serde_json::to_string(one)?);
    }
    if missing.len() != lost.len() {
        println!("  lost by what the .config says: {}", missing.join(", "));
    }
    Ok(output.status.success() && lost.is_empty() && missing.is_empty() && asked.len() > 20)
}

/// Which wishes the .config does not have, by whole lines, without xenup's reader of it.
fn not_in(asked: &[Value], config: &str) -> Vec<String> {
    let lines: std::collections::HashSet<&str> = config.lines().collect();
    let has = |line: String| lines.contains(line.as_str());
    let met = |name: &str, wish: &str| match wish {
        "n" => !has(format!("CONFIG_{name}=y")) && !has(format!("CONFIG_{name}=m")),
        "m" => has(format!("CONFIG_{name}=y")) || has(format!("CONFIG_{name}=m")),
        wish => has(format!("CONFIG_{name}={wish}")) || has(format!("CONFIG_{name}=\"{wish}\"")),
    };
    let pairs =
        asked.iter().filter_map(|row| Some((row.get("symbol")?.as_str()?, row.get("wish")?.as_str()?)));
    pairs.filter(|(name, wish)| !met(name, wish)).map(|(name, wish)| format!("{name}={wish}")).collect()
}

/// Fetches a source and Debian's configuration for it; `None` where apt knows no such package.
///
/// # Errors
/// apt or dpkg-deb fails.
pub fn fetched(folder: &Path, release: &'static str) -> Result<Option<Source>, Failure> {
    let source = Source {
        release,
        tree: folder.join(format!("linux-source-{release}")),
        config: folder.join(format!("x{release}/usr/src/linux-config-{release}/config.amd64_none_amd64.xz")),
    };
    let done = folder.join(format!("x{release}/done"));
    if files::exists(&done) {
        return Ok(Some(source));
    }
    let packages = [format!("linux-source-{release}"), format!("linux-config-{release}")];
    for package in &packages {
        if Tool::new("apt-cache").args(["show", "--no-all-versions", package]).output()?.stdout.is_empty() {
            return Ok(None);
        }
    }
    let there = folder.join(format!("x{release}"));
    files::remove_dir_all(&there)?;
    files::remove_dir_all(&source.tree)?;
    files::create_dir_all(&there)?;
    let time = Duration::from_secs(1800);
    Tool::new("apt-get").args(["-qq", "download"]).args(&packages).current_dir(&there).timeout(time).run()?;
    for deb in files::list(&there)?.iter().filter(|path| path.extension().is_some_and(|end| end == "deb")) {
        Tool::new("dpkg-deb").arg("-x").arg(deb).arg(&there).timeout(time).run()?;
        files::remove_file(deb)?;
    }
    let archive = there.join(format!("usr/src/linux-source-{release}.tar.xz"));
    Tool::new("tar").arg("-xf").arg(&archive).current_dir(folder).timeout(time).run()?;
    files::remove_file(&archive)?;
    files::write(&done, b"")?;
    Ok(Some(source))
}
