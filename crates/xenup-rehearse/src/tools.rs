//! Which programs of this machine a rehearsal runs, and how those that are missing are installed.
//!
//! It decides which Debian suite packages are taken from: this machine's own sources, and for QEMU its release's
//! backports from the same mirror where the released one does not fit what is installed; they are named by options alone. This machine's own apt sources
//! are not touched, nothing installed is removed, and without root nothing is installed at all.

use std::path::Path;

use xenup_image::mirror::{KEYRING, Mirror};
use xenup_system::files::{self, WorkDir};
use xenup_system::process::{ProcessError, Tool, find_program};

use crate::error::{LabError, during};

/// How often a download is tried: mirrors fail for a moment.
const TRIES: u32 = 3;

/// Program or file, and the Debian package that has it, beside those that building an image needs.
const REQUIRED: &[(&str, &str)] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("qemu-img", "qemu-utils"),
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf"),
    ("/usr/share/seabios/bios-256k.bin", "seabios"),
    ("mke2fs", "e2fsprogs"),
    ("debugfs", "e2fsprogs"),
    ("ip", "iproute2"),
    ("bridge", "iproute2"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("setpriv", "util-linux"),
    ("getfattr", "attr"),
    ("zstd", "zstd"),
];

/// A program that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// The program's name, or the path of a file.
    pub program: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
}

/// The programs and files that are not on this machine.
#[must_use]
pub fn missing() -> Vec<Missing> {
    missing_with(&[])
}

fn missing_with(also: &[(&'static str, &'static str)]) -> Vec<Missing> {
    let image = xenup_image::tools::REQUIRED.iter();
    image
        .chain(REQUIRED)
        .chain(also)
        .filter(|(program, _)| !is_there(program))
        .map(|&(program, package)| Missing { program, package })
        .collect()
}

fn is_there(program: &str) -> bool {
    if program.starts_with('/') { files::exists(Path::new(program)) } else { find_program(program).is_some() }
}

/// Installs what is missing, telling line by line what is done.
///
/// # Errors
/// [`LabError::MissingTools`] without root; apt finds no packages that fit, or fails.
pub fn ensure_tools(tell: &mut dyn FnMut(&str)) -> Result<(), LabError> {
    ensure_tools_and(&[], tell)
}

/// As [`ensure_tools`], with other programs and the Debian packages that have them.
///
/// # Errors
/// As [`ensure_tools`].
pub fn ensure_tools_and(
    also: &[(&'static str, &'static str)],
    tell: &mut dyn FnMut(&str),
) -> Result<(), LabError> {
    let missing = missing_with(also);
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<String> = missing.iter().map(|one| one.package.to_owned()).collect();
    packages.sort();
    packages.dedup();
    let programs = || missing.iter().map(|one| one.program.to_owned()).collect();
    if !files::is_root() {
        return Err(LabError::MissingTools { programs: programs(), packages });
    }
    tell(&format!("installing {}", packages.join(" ")));
    install(&packages, tell)?;
    match missing_with(also).as_slice() {
        [] => Ok(()),
        still => Err(LabError::MissingTools {
            programs: still.iter().map(|one| one.program.to_owned()).collect(),
            packages,
        }),
    }
}

fn install(packages: &[String], tell: &mut dyn FnMut(&str)) -> Result<(), LabError> {
    let own = Apt { options: Vec::new(), suite: None };
    if own.fits(packages).is_ok() {
        return own.install(packages, tell);
    }
    tell("apt's lists are fetched");
    if own.update(tell).is_ok() && own.fits(packages).is_ok() {
        return own.install(packages, tell);
    }
    // The packages of one source refuse each other's other versions; the rest stays as released.
    let (qemu, rest): (Vec<String>, Vec<String>) =
        packages.iter().cloned().partition(|package| package.starts_with("qemu-") || package == "seabios");
    if !rest.is_empty() {
        own.install(&rest, tell)?;
    }
    let work = WorkDir::new_in(&files::cache_dir(), "apt-")?;
    let backports = Apt::backports(&work)?;
    tell("what is installed here comes from its release's backports, so QEMU must too");
    backports.update(tell)?;
    backports.fits(&qemu).map_err(|source| LabError::NoSuite { packages: qemu.clone(), source })?;
    backports.install(&qemu, tell)
}

/// apt with the sources that it is to use.
struct Apt {
    /// `-o` settings.
    options: Vec<String>,
    /// The suite whose packages are preferred; `None` for apt's own choice.
    suite: Option<String>,
}

impl Apt {
    /// This machine's release with its backports, from its own mirror, with lists of its own.
    fn backports(work: &WorkDir) -> Result<Self, LabError> {
        let mirror = Mirror::of_this_machine()?;
        let codename = codename(&files::read_text(Path::new("/etc/os-release"))?).unwrap_or_default();
        let list = work.join("sources.list");
        files::write(&list, sources(&mirror, &codename).as_bytes())?;
        let lists = work.join("lists");
        files::create_dir_all(&lists.join("partial"))?;
        // apt fetches as _apt, which must get at the lists.
        files::set_mode(work.path(), 0o755)?;
        let options = vec![
            format!("Dir::Etc::SourceList={}", list.display()),
            "Dir::Etc::SourceParts=/dev/null".into(),
            format!("Dir::State::Lists={}", lists.display()),
            "Dir::Cache::pkgcache=".into(),
            "Dir::Cache::srcpkgcache=".into(),
        ];
        Ok(Self { options, suite: Some(format!("{codename}-backports")) })
    }

    fn tool(&self) -> Tool {
        let options = self.options.iter().flat_map(|option| ["-o", option.as_str()]);
        Tool::new("apt-get")
            .args(["-q", "-o", "Dpkg::Use-Pty=0"])
            .args(options)
            .env("DEBIAN_FRONTEND", "noninteractive")
    }

    /// What installs these packages, without what it is to do with them.
    fn installing(&self, packages: &[String]) -> Tool {
        let mut tool = self.tool().args(["install", "-y", "--no-remove", "--no-install-recommends"]);
        if let Some(suite) = &self.suite {
            tool = tool.args(["-t", suite]);
        }
        tool.args(packages)
    }

    fn fits(&self, packages: &[String]) -> Result<(), ProcessError> {
        self.installing(packages).arg("-s").run().map(|_| ())
    }

    fn update(&self, tell: &mut dyn FnMut(&str)) -> Result<(), LabError> {
        let update = self.tool().args(["-o", "APT::Update::Error-Mode=any", "update"]);
        retried(&update, tell).map_err(during("fetch apt's lists"))
    }

    fn install(&self, packages: &[String], tell: &mut dyn FnMut(&str)) -> Result<(), LabError> {
        let fetch = self.installing(packages).arg("--download-only");
        retried(&fetch, tell).map_err(during("download packages"))?;
        self.installing(packages).run_lines(&mut |_| {}).map_err(during("install packages"))?;
        Ok(())
    }
}

fn retried(tool: &Tool, tell: &mut dyn FnMut(&str)) -> Result<(), ProcessError> {
    let mut tries = 1;
    loop {
        match tool.run() {
            Ok(_) => return Ok(()),
            Err(e) if tries == TRIES => return Err(e),
            Err(_) => {
                tries += 1;
                tell(&format!("the download failed: try {tries} of {TRIES}"));
            }
        }
    }
}

/// The lines of sources.list(5): the release, its updates and security, and its backports.
fn sources(mirror: &Mirror, codename: &str) -> String {
    let archive = &mirror.archive;
    let mut text = String::new();
    for suite in ["", "-updates", "-backports"] {
        text.push_str(&format!("deb [signed-by={KEYRING}] {archive} {codename}{suite} main\n"));
    }
    if let Some(security) = &mirror.security {
        text.push_str(&format!("deb [signed-by={KEYRING}] {security} {codename}-security main\n"));
    }
    text
}

/// The release's name from os-release(5).
fn codename(os_release: &str) -> Option<String> {
    let line = os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(line.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::{codename, sources};
    use xenup_image::mirror::Mirror;

    #[test]
    fn the_release_is_found_quoted_or_not() {
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(), Some("bookworm"));
        assert_eq!(codename("VERSION_CODENAME=\"trixie\"").as_deref(), Some("trixie"));
        assert_eq!(codename("ID=debian\n"), None);
    }

    #[test]
    fn backports_come_from_the_same_mirror_by_debians_own_keys() {
        let mirror = Mirror {
            archive: "http://mirror.example/debian".into(),
            security: Some("http://mirror.example/debian-security".into()),
            apt_options: vec![],
        };
        let text = sources(&mirror, "bookworm");
        assert_eq!(text.lines().count(), 4);
        assert!(text.lines().all(|line| line.starts_with("deb [signed-by=/usr/share/keyrings/")));
        assert!(text.contains("http://mirror.example/debian bookworm-backports main\n"));
    }
}
