//! host.toml: `tests/cases/host/<case>/host.toml` → `expected.json`, or `errors.txt` where it cannot be used.

mod cases_of;

use std::path::Path;

use cases_of::{bytes, expect, folders};
use xenup_core::host::{Host, from_facts};
use xenup_core::inspect::Facts;

#[test]
fn every_case_is_read_or_refused_as_written() {
    for case in folders("host") {
        match Host::parse(Path::new("host.toml"), &bytes(&case, "host.toml")) {
            Ok(host) => {
                assert!(
                    !case.join("errors.txt").exists(),
                    "{} was read, though it has errors.txt",
                    case.display()
                );
                let json = serde_json::to_string_pretty(&host).expect("plain data is JSON");
                expect(&case, "expected.json", &(json + "\n"));
            }
            Err(error) => {
                assert!(!case.join("expected.json").exists(), "{}: {error}", case.display());
                expect(&case, "errors.txt", &format!("{error}\n"));
            }
        }
    }
}

#[test]
fn what_init_writes_can_be_read_on_any_machine() {
    let text = from_facts(&Facts::default());
    Host::parse(Path::new("host.toml"), text.as_bytes()).expect("an empty machine's proposal is read");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_fall(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let _ = Host::parse(Path::new("host.toml"), &bytes);
    }

    #[test]
    fn no_value_makes_the_reader_fall(key in "[a-z0-9_-]{0,12}", value in "\\PC{0,40}") {
        for table in ["[xen]", "[boot]", "[[bridge]]", "[[nat]]", "[guests]", ""] {
            let text = format!("{table}\n{key} = {value}\nname = {value}\nports = [{value}]\nsubnet = \"{value}\"\n");
            let _ = Host::parse(Path::new("host.toml"), text.as_bytes());
        }
    }
}
