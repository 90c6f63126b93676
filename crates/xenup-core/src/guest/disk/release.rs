//! Which system it is, and what its programs are built for. Decides from os-release(5), ELF headers and dpkg's own file;
//! never from the names of packages or kernels.

use super::facts::{Architecture, Release};
use super::files::Files;
use crate::inspect::distro;

/// Gathers os-release; old systems that have none are told by a file of their own.
pub(super) fn release(files: &mut Files<'_>) -> Option<Release> {
    for file in ["/etc/os-release", "/usr/lib/os-release"] {
        if let Some(text) = files.text(file) {
            let found = distro::parse(&text);
            return Some(Release {
                id: found.id,
                version: found.version,
                name: found.name,
                file: file.to_owned(),
            });
        }
    }
    for (file, id, name) in
        [("/etc/debian_version", "debian", "Debian GNU/Linux "), ("/etc/redhat-release", "", "")]
    {
        if let Some(text) = files.text(file) {
            let version = text.lines().next().unwrap_or_default().trim().to_owned();
            let name = format!("{name}{version}");
            let version = if id.is_empty() { String::new() } else { version };
            return Some(Release { id: id.to_owned(), version, name, file: file.to_owned() });
        }
    }
    None
}

/// Gathers the architecture.
pub(super) fn architecture(files: &mut Files<'_>) -> Option<Architecture> {
    for path in ["/sbin/init", "/usr/lib/systemd/systemd", "/bin/sh"] {
        let Some(start) = files.start(path, 20) else { continue };
        if let Some(name) = elf(&start) {
            return Some(Architecture { name, evidence: format!("ELF header of {path}") });
        }
    }
    let text = files.text("/var/lib/dpkg/arch")?;
    let name = text.lines().next().map(str::trim).filter(|name| !name.is_empty())?;
    Some(Architecture { name: name.to_owned(), evidence: "/var/lib/dpkg/arch".to_owned() })
}

/// Debian's name for what an ELF header says (the ELF specification's e_ident and e_machine).
fn elf(start: &[u8]) -> Option<String> {
    let &[0x7f, b'E', b'L', b'F', class, order, ..] = start else { return None };
    let machine: [u8; 2] = start.get(18..20)?.try_into().ok()?;
    let machine = if order == 2 { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) };
    let name = match (machine, class, order) {
        (3, 1, 1) => "i386",
        (62, 2, 1) => "amd64",
        (62, 1, 1) => "x32",
        (40, 1, 1) => "arm",
        (183, 2, 1) => "arm64",
        (243, 2, 1) => "riscv64",
        (21, 2, 1) => "ppc64el",
        (50, ..) => "ia64",
        _ => return Some(format!("ELF machine {machine}, {}-bit", if class == 2 { 64 } else { 32 })),
    };
    Some(name.to_owned())
}
