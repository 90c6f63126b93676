//! The folders of tests/cases/rehearse: reports as they are shown, and hardware as QEMU is told it.
//!
//! With SNAPSHOTS=overwrite the expected files are written anew.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests read their cases")]

use std::path::{Path, PathBuf};

use snapbox::{Assert, Data};
use xenup_rehearse::qemu::{Accelerator, FileOnDisk, Firmware, Source, VmSpec};
use xenup_rehearse::report::Report;

fn cases(kind: &str) -> Vec<PathBuf> {
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/rehearse").join(kind);
    let mut cases: Vec<_> = std::fs::read_dir(&room).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

fn same(actual: String, expected: &Path) {
    Assert::new().action_env("SNAPSHOTS").eq(actual, Data::read_from(expected, None).raw());
}

#[test]
fn reports_look_as_they_should() {
    for case in cases("report") {
        let text = std::fs::read_to_string(case.join("report.json")).unwrap();
        let report: Report = serde_json::from_str(&text).unwrap();
        same(report.text(), &case.join("report.txt"));
        same(report.html(), &case.join("report.html"));
        let again: Report = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(again, report, "{}", case.display());
    }
}

#[test]
fn qemu_is_told_the_hardware() {
    for case in cases("hardware") {
        let uefi = case.file_name().unwrap().to_string_lossy().contains("uefi");
        let firmware = if uefi { Firmware::Uefi } else { Firmware::Bios };
        let mut spec = VmSpec::over(Path::new("/images/plain.qcow2"), firmware, Accelerator::Emulate);
        if case.ends_with("uefi-with-files") {
            spec.files.push(FileOnDisk { name: "x".into(), from: Source::Bytes(vec![]), mode: 0o644 });
        }
        let words = spec.arguments("xenup-abc123", &["xuabc123v".into(), "xuabc123g".into()]);
        same(words.join("\n") + "\n", &case.join("arguments"));
    }
}
