//! Guests made, judged, read and removed by the program itself, on this machine with an /etc, a /var/lib and a network
//! of their own (overlays and namespaces, gone with the test). Needs root and, where no base is kept, a mirror:
//! `cargo test -p xenup --test guest_create -- --ignored`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test runs programs")]

use std::process::Command;

use xenup_image::Suite;
use xenup_image::guest::{BaseSpec, Manager, base};

/// Stops at the first thing that is not as it should be, and says its line.
const SCRIPT: &str = include_str!("guest_create.sh");

#[test]
#[ignore = "needs root, and two minutes and a Debian mirror where no base is kept"]
fn guests_are_made_judged_read_and_removed() {
    let name = std::env::var("XENUP_SUITE").unwrap_or_else(|_| "bookworm".to_owned());
    let suite = Suite::parse(&name).unwrap();
    let spec = BaseSpec { suite, manager: Manager::Ifupdown, packages: Vec::new() };
    // Here, where there is a network.
    base::ready(&base::cache(), &spec, false, &mut |_| {}).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cases/cli/kernel-check-2006/vmlinux-2.6.11-xenU");
    let output = Command::new("unshare")
        .args(["--mount", "--net", "bash", "-euc", SCRIPT])
        .arg("guest_create.sh")
        .env("XENUP", env!("CARGO_BIN_EXE_xenup"))
        .env("OLD_KERNEL", old)
        .env("SUITE", suite.name())
        .env("FOLDER", folder.path())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}
