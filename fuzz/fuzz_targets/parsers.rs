//! One program for all parsers: XENUP_FUZZ names the one that is struck, as `xenup_fuzz::PARSERS` lists them.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use xenup_fuzz::{PARSERS, Parser};

static CHOSEN: OnceLock<Parser> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let parser = CHOSEN.get_or_init(|| {
        let name = std::env::var("XENUP_FUZZ").expect("XENUP_FUZZ names a parser");
        let found = PARSERS.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("no parser is called {name}")).1
    });
    parser(bytes);
});
