//! What must not stand in the tree: host names of package mirrors, paths of one machine, unfinished words.

use std::path::Path;

use xenup_system::files;
use xenup_system::process::Tool;

/// Returns each place that breaks the rule, as `path:line: text`.
///
/// # Errors
/// No git, or apt sources that cannot be read.
pub fn forbidden(project: &Path) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut found = Vec::new();
    for host in mirror_hosts()? {
        found.extend(grep(project, &["-F", "-I"], &host)?);
    }
    found.extend(grep(project, &["-E", "-I"], r"\b(TODO|FIXME)\b|todo!\(|unimplemented!\(")?);
    found.retain(|line| !line.starts_with("Cargo.lock:") && !line.starts_with("xtask/src/words.rs:"));
    Ok(found)
}

/// Returns the host names in the machine's own apt sources.
fn mirror_hosts() -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let folder = Path::new("/etc/apt/sources.list.d");
    let mut sources = if files::exists(folder) { files::list(folder)? } else { Vec::new() };
    sources.push("/etc/apt/sources.list".into());
    let mut hosts = Vec::new();
    for source in sources.iter().filter(|path| files::exists(path)) {
        let text = String::from_utf8_lossy(&files::read(source)?).into_owned();
        for after in text.split("://").skip(1) {
            let host: String =
                after.chars().take_while(|c| c.is_ascii_alphanumeric() || ".-".contains(*c)).collect();
            if host.contains('.') {
                hosts.push(host);
            }
        }
    }
    hosts.sort();
    hosts.dedup();
    Ok(hosts)
}

fn grep(project: &Path, flags: &[&str], pattern: &str) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let output = Tool::new("git")
        .args(["grep", "-n"])
        .args(flags)
        .args(["-e", pattern])
        .current_dir(project)
        .output()?;
    Ok(output.text().lines().map(ToOwned::to_owned).collect())
}
