//! Kernels: tests/cases/kernel/<case>/{kernel, config?, xen?} → expected.json: what the file is or why it cannot be
//! read, what it can be under each Xen in `xen` (4.20 where there is none), and over all releases. `made-by` says how
//! the kernel was made; tests/make-kernel-cases.py makes them.
#![allow(clippy::unwrap_used, reason = "a case that cannot be read is a broken test")]

mod cases_of;

use std::error::Error;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use xenup_core::kernel::role::{ROLES, over_releases};
use xenup_core::kernel::{Hypervisor, Image, judge, read};

fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        words.push_str(&format!(": {deeper}"));
        cause = deeper.source();
    }
    words
}

fn describe(image: &Image, config: Option<&str>, releases: &str) -> Value {
    let under = releases.lines().map(|release| {
        let xen = Hypervisor::of(release.parse().unwrap());
        json!({ "xen": release, "verdicts": judge(image, config, &xen) })
    });
    let over = ROLES.iter().map(|role| {
        let spans = over_releases(*role, image, config);
        let runs = spans.iter().map(|span| format!("{} to {}: {}", span.from, span.to, span.word));
        (role.to_string(), runs.collect::<Vec<_>>().into())
    });
    json!({
        "image": image,
        "under": under.collect::<Vec<_>>(),
        "over": over.collect::<serde_json::Map<_, _>>(),
    })
}

fn found(case: &Path) -> Value {
    let bytes = cases_of::bytes(case, "kernel");
    let config = cases_of::optional_text(case, "config");
    let xen = cases_of::optional_text(case, "xen").unwrap_or_else(|| "4.20\n".to_owned());
    match read(&&bytes[..]) {
        Ok(image) => describe(&image, config.as_deref(), &xen),
        Err(error) => json!({ "error": chain(&error) }),
    }
}

#[test]
fn every_case_reads_as_written() {
    let cases = cases_of::folders("kernel");
    assert!(cases.len() > 45, "cases are missing");
    for case in cases {
        let text = serde_json::to_string_pretty(&found(&case)).unwrap() + "\n";
        cases_of::expect(&case, "expected.json", &text);
    }
}

#[test]
fn kernels_of_xen_2_and_3_get_opposite_verdicts() {
    let word = |case: &str, xen: &str| {
        let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/kernel").join(case);
        let image = read(&&cases_of::bytes(&case, "kernel")[..]).unwrap();
        let verdicts = judge(&image, None, &Hypervisor::of(xen.parse().unwrap()));
        let pv = verdicts.iter().find(|verdict| verdict.role == xenup_core::kernel::Role::Pv).unwrap();
        pv.answer.word()
    };
    assert_eq!(word("2006-xen-2.0", "2.0"), "yes");
    assert_eq!(word("2006-xen-2.0", "3.0"), "no");
    assert_eq!(word("2006-xen-3.0", "2.0"), "no");
    // A 32-bit hypervisor of 3.0 is built either for kernels with PAE or for those without.
    assert_eq!(word("2006-xen-3.0", "3.0"), "yes, if");
}

#[test]
fn a_configuration_overrides_the_table() {
    use xenup_core::kernel::hypervisor::{Capability, State};
    let debian = "CONFIG_PV=y\n# CONFIG_PV32 is not set\nCONFIG_HVM=y\n# CONFIG_SHADOW_PAGING is not set\n";
    let xen = Hypervisor::installed("4.14-amd64", Some(debian.to_owned())).unwrap();
    assert_eq!(xen.fact(Capability::Pv32).state, State::No);
    assert_eq!(xen.fact(Capability::Shadow).state, State::No);
    assert_eq!(Hypervisor::of("4.14".parse().unwrap()).fact(Capability::Pv32).state, State::Yes);
    let with = Hypervisor::installed(
        "4.20-amd64",
        Some(debian.replace("# CONFIG_PV32 is not set", "CONFIG_PV32=y")),
    );
    assert_eq!(with.unwrap().fact(Capability::Pv32).state, State::Yes);
    assert!(Hypervisor::installed("5.0", None).is_err());
}

#[test]
fn every_truncation_is_answered_or_refused() {
    for case in cases_of::folders("kernel") {
        let bytes = cases_of::bytes(&case, "kernel");
        if case.file_name().unwrap().to_string_lossy().starts_with("bomb") {
            continue;
        }
        for end in (0..bytes.len()).step_by(61) {
            let _ = read(&&bytes[..end]);
        }
    }
}

/// Kernels of every packing and of every place for notes.
fn some_kernel() -> impl Strategy<Value = Vec<u8>> {
    let names = [
        "2006-xen-3.0-pae",
        "bzimage-gzip",
        "bzimage-bzip2",
        "bzimage-lzma",
        "bzimage-xz",
        "bzimage-lz4",
        "bzimage-zstd",
        "every-type",
        "linux-32-pae",
        "linux-64-section-notes",
        "uki",
        "xen",
    ];
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/kernel");
    prop::sample::select(names.to_vec()).prop_map(move |name| cases_of::bytes(&room.join(name), "kernel"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_never_panic(
        mut bytes in some_kernel(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(image) = read(&&bytes[..]) {
            for role in ROLES {
                let _ = over_releases(role, &image, None);
            }
        }
    }

    /// Headers alone: changed where every byte has a meaning.
    #[test]
    fn changed_headers_never_panic(
        mut bytes in some_kernel(),
        changes in prop::collection::vec((0_usize..256, any::<u8>()), 1..6),
        tail in any::<prop::sample::Index>(),
        last in any::<u8>(),
    ) {
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        let end = bytes.len() - 1 - tail.index(400.min(bytes.len()));
        bytes[end] = last;
        let _ = read(&&bytes[..]);
    }

    #[test]
    fn noise_behind_a_magic_number_never_panics(
        magic in prop::sample::select(vec![
            &b"\x1f\x8b\x08\0"[..], b"BZh9", b"\x5d\0\0\x80\0", b"\xfd7zXZ\0\0\x01", b"\x02\x21\x4c\x18",
            b"\x28\xb5\x2f\xfd", b"\x7fELF\x02\x01\x01", b"\x7fELF\x01\x01\x01", b"MZ",
        ]),
        noise in prop::collection::vec(any::<u8>(), 0..2048),
    ) {
        let bytes = [magic, &noise].concat();
        let _ = read(&&bytes[..]);
    }
}
