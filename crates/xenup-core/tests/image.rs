//! Images of a Xen host: tests/cases/image/<case>/ holds `host.toml` and perhaps `wanted.txt` (a word and its value a
//! line: address, gateway, volumes), and `expected/`: `files.txt` (what lies in the image beside its packages) and
//! `findings.txt`, or the latter alone where the image is refused. `XENUP_UPDATE_CASES=1` writes what came out.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod cases_of;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use cases_of::{every_case, findings, optional_text, text};
use xenup_core::boot;
use xenup_core::guest::create::Addresses;
use xenup_core::host::Host;
use xenup_core::image::{self, HostImage, Wanted};

const ROOT: &str = "11111111-2222-8333-8444-555555555555";
const SCRIPT: &str = "/usr/local/lib/xenup-image/first-boot";

fn outcome(case: &Path) -> BTreeMap<&'static str, String> {
    let words = optional_text(case, "wanted.txt").unwrap_or_default();
    let all = |key: &str| -> Vec<String> {
        let lines = words.lines().filter_map(|line| line.split_once(' '));
        lines.filter(|(word, _)| *word == key).map(|(_, value)| value.to_owned()).collect()
    };
    let gateways: Vec<_> = all("gateway").iter().map(|ip| ip.parse().unwrap()).collect();
    let addresses = Addresses::of(&all("address"), &gateways, &[]).unwrap();
    let host_text = text(case, "host.toml");
    let host = Host::parse(Path::new("host.toml"), host_text.as_bytes()).unwrap();
    let volumes = !all("volumes").is_empty();
    let wanted = Wanted {
        host: &host,
        host_text: &host_text,
        hostname: "xen",
        codename: "trixie",
        addresses: &addresses,
        root: ROOT,
        cmdline: "console=tty0 console=ttyS0,115200n8",
        volumes,
    };
    match image::of(&wanted) {
        Err(found) => BTreeMap::from([("findings.txt", findings(&found))]),
        Ok(made) => BTreeMap::from([
            ("files.txt", shown(&made, &image::packages(&host, volumes))),
            ("findings.txt", findings(&made.findings)),
        ]),
    }
}

fn shown(made: &HostImage, packages: &[String]) -> String {
    let mut out = format!("packages {}\n", packages.join(" "));
    for file in &made.files {
        let _ = writeln!(out, "\n== {} {:04o}", file.path.display(), file.mode);
        match file.path.to_str() {
            // Its head is what differs between images.
            Some(SCRIPT) => file.text.lines().take(4).for_each(|line| out.push_str(&format!("{line}\n"))),
            Some(image::HOST) => out.push_str("as host.toml\n"),
            _ => out.push_str(&file.text),
        }
    }
    for edit in &made.edits {
        let _ = writeln!(out, "\n== lines of {}", edit.path.display());
        for line in &edit.lines {
            let _ = writeln!(out, "-{}\n+{}", line.from, line.to);
        }
    }
    for (link, target) in &made.wants {
        let _ = writeln!(out, "\n== {} -> {}", link.display(), target.display());
    }
    let _ = writeln!(out, "\n== grub.cfg says");
    made.menu.iter().for_each(|line| out.push_str(&format!("{line}\n")));
    out
}

#[test]
fn every_case_gives_the_image_that_is_written() {
    every_case("image", 6, outcome);
}

#[test]
fn an_images_default_is_the_confirmed_one_with_another_reason() {
    let text = "# a\nGRUB_DEFAULT=\"x\"\n";
    assert!(boot::say_the_same(text, "# b\n# c\nGRUB_DEFAULT=\"x\"\n"));
    assert!(!boot::say_the_same(text, "GRUB_DEFAULT=\"y\"\n"));
}
