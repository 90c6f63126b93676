//! Plays a scenario without the rest of xenup: `rehearse plain|conversion|sabotage PACKAGE REPORT-DIRECTORY [anew]
//! [keep] [uefi] [dhcp] [security]`.
//!
//! Decides nothing: `xenup rehearse` is the verb; this is for those who work on the scenarios.

use std::error::Error;
use std::path::PathBuf;

use xenup_rehearse::qemu::Firmware;
use xenup_rehearse::scenario::{Addressing, Hypervisor, RehearseOptions, Scenario, rehearse};
use xenup_system::files;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [scenario, package, report, flags @ ..] = words.as_slice() else {
        return Err("rehearse plain|conversion|sabotage PACKAGE REPORT-DIRECTORY [FLAG...]".into());
    };
    let has = |flag: &str| flags.iter().any(|word| word == flag);
    let mut options = RehearseOptions::conversion(PathBuf::from(package), files::cache_dir());
    options.scenario = match scenario.as_str() {
        "plain" => Scenario::Plain,
        "sabotage" => Scenario::Sabotage,
        _ => Scenario::Conversion,
    };
    options.anew = has("anew");
    options.keep = has("keep");
    if has("uefi") {
        options.firmware = Firmware::Uefi;
    }
    if has("dhcp") {
        options.addressing = Addressing::Dhcp;
    }
    if has("security") {
        options.hypervisor = Hypervisor::Security;
    }
    let report_of = rehearse(&options, &mut |event| eprintln!("{event}"))?;
    let directory = PathBuf::from(report);
    files::create_dir_all(&directory)?;
    files::write(&directory.join("report.txt"), report_of.text().as_bytes())?;
    files::write(&directory.join("report.json"), report_of.json().as_bytes())?;
    files::write(&directory.join("report.html"), report_of.html().as_bytes())?;
    println!("{}", report_of.text());
    Ok(())
}
