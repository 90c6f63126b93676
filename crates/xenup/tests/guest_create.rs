//! Guests made, judged, read and removed by the program itself, on this machine with an /etc, a /var/lib and a network
//! of their own (overlays and namespaces, gone with the test). Needs root and, where no base is kept, a mirror:
//! `cargo test -p xenup --test guest_create -- --ignored`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test runs programs")]

use std::process::Command;

use xenup_image::Suite;
use xenup_image::guest::{BaseSpec, Manager, base};

/// What both scripts begin with; they stop at the first thing that is not as it should be, and say its line.
const ROOM: &str = include_str!("guest_room.sh");

/// Runs a script in a room of its own, with a base that is kept or made here, where there is a network.
fn run(script: &str, suite: Suite, manager: Manager, packages: &[&str]) {
    let packages = packages.iter().map(|&name| name.to_owned()).collect();
    base::ready(&base::cache(), &BaseSpec { suite, manager, packages }, false, &mut |_| {}).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let old =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cases/cli/kernel-check-2006/vmlinux-2.6.11-xenU");
    let output = Command::new("unshare")
        .args(["--mount", "--net", "bash", "-euc", &format!("{ROOM}\n{script}")])
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

fn suite() -> Suite {
    let name = std::env::var("XENUP_SUITE").unwrap_or_else(|_| "bookworm".to_owned());
    Suite::parse(&name).unwrap()
}

#[test]
#[ignore = "needs root, and two minutes and a Debian mirror where no base is kept"]
fn guests_are_made_judged_read_and_removed() {
    run(include_str!("guest_create.sh"), suite(), Manager::Ifupdown, &[]);
}

#[test]
#[ignore = "needs root, and three minutes and a Debian mirror where no base is kept"]
fn netplan_cloud_init_and_a_script_are_where_the_guest_looks_for_them() {
    run(include_str!("guest_cloud.sh"), suite(), Manager::Netplan, &["cloud-init"]);
}
