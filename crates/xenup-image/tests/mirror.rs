//! Mirrors: `tests/cases/mirror/<case>/{targets.txt,config.txt}` (what `apt-get indextargets` and `apt-config dump`
//! print) → `expected.txt`: the sources of the image for both suites, and the apt settings, or the error.
#![allow(clippy::disallowed_methods, reason = "tests read their own case folders")]
#![allow(clippy::unwrap_used, reason = "a case that cannot be read is a broken test")]

use std::path::Path;

use xenup_image::Suite;
use xenup_image::mirror::Mirror;

fn describe(targets: &str, config: &str) -> String {
    match Mirror::from_apt(targets, config) {
        Err(error) => format!("error: {error}\n"),
        Ok(mirror) => format!(
            "{}--\n{}--\nhere: {:?}\nin the image: {:?}\nca-certificates: {}\n",
            mirror.sources_list(Suite::Bookworm),
            mirror.sources_list(Suite::Trixie),
            mirror.apt_options,
            mirror.portable_options(),
            mirror.over_https(),
        ),
    }
}

#[test]
fn every_case_gives_the_mirror_that_is_written() {
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/mirror");
    let mut cases: Vec<_> = std::fs::read_dir(room).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 7, "cases are missing");
    for case in cases {
        let read = |name| std::fs::read_to_string(case.join(name)).unwrap_or_default();
        let expected = case.join("expected.txt");
        let expected = snapbox::Data::read_from(&expected, Some(snapbox::data::DataFormat::Text));
        let found = describe(&read("targets.txt"), &read("config.txt"));
        snapbox::Assert::new().action_env("SNAPSHOTS").eq(found, expected.raw());
    }
}
