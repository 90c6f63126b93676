//! A login on Xen's console, and the libraries of /lib/tls. Decides from files alone; whether a console works is not
//! known before the guest runs.

use super::facts::{Boot, Console, Tls};
use super::files::Files;

/// Xen's consoles: hvc0 since Linux 2.6.26, xvc0 of the kernels before.
const CONSOLES: [&str; 2] = ["hvc0", "xvc0"];

/// Gathers what offers a login on Xen's console.
pub(super) fn console(files: &mut Files<'_>, boot: &[Boot]) -> Console {
    let mut evidence = inittab(files);
    for console in CONSOLES {
        for (path, what) in [
            (
                format!("/etc/systemd/system/getty.target.wants/serial-getty@{console}.service"),
                "enabled unit",
            ),
            (format!("/etc/init/{console}.conf"), "upstart job"),
            (format!("/etc/event.d/{console}"), "upstart job"),
        ] {
            if files.stat(&path).is_some() {
                evidence.push(format!("{what} {path}"));
            }
        }
    }
    let folders = ["/usr/lib/systemd", "/lib/systemd"];
    let generator =
        folders.iter().map(|folder| format!("{folder}/system-generators/systemd-getty-generator"));
    if let Some(generator) = generator.into_iter().find(|path| files.stat(path).is_some()) {
        evidence.push(format!("{generator}, which starts one on hvc0 in every virtual machine that has it"));
    }
    let login = !evidence.is_empty();
    for entry in boot.iter().take(1) {
        let words = entry.cmdline.split_ascii_whitespace();
        let consoles: Vec<_> = words.filter(|word| word.starts_with("console=")).collect();
        if !consoles.is_empty() {
            evidence.push(format!("kernel command line of {}: {}", entry.file, consoles.join(" ")));
        }
    }
    Console { login, evidence }
}

fn inittab(files: &mut Files<'_>) -> Vec<String> {
    let text = files.text("/etc/inittab").unwrap_or_default();
    let lines = text.lines().enumerate().filter(|(_, line)| {
        let mut words = line.split(|c: char| !c.is_alphanumeric());
        !line.trim_start().starts_with('#')
            && line.contains(":respawn:")
            && words.any(|word| CONSOLES.contains(&word))
    });
    lines.take(4).map(|(number, _)| format!("/etc/inittab:{}", number.saturating_add(1))).collect()
}

/// Gathers /lib/tls.
pub(super) fn tls(files: &mut Files<'_>) -> Tls {
    let mut libraries = |folder: &str| files.names(folder).iter().any(|name| name.contains(".so"));
    let present = libraries("/lib/tls") || libraries("/lib/tls/i686") || libraries("/lib/tls/i686/cmov");
    let variants = ["/lib/i686/nosegneg", "/lib/i386-linux-gnu/i686/nosegneg", "/lib/tls/i686/nosegneg"];
    Tls { present, nosegneg: variants.iter().any(|folder| libraries(folder)) }
}
