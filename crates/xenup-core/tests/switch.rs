//! The switch: `tests/cases/switch/<case>/network.json` and `request.json` → `ops.txt`, as ip(8) commands.

mod cases_of;

use cases_of::{expect, folders, text};
use serde::Deserialize;
use xenup_core::host::AddressPolicy;
use xenup_core::network::switch::switch;
use xenup_machine::network::{Mac, Network, VlanRange};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    bridge: String,
    port: String,
    mac: Mac,
    address: String,
    #[serde(default)]
    vlans: Vec<VlanRange>,
}

#[test]
fn every_case_gives_its_sequence() {
    for case in folders("switch") {
        let network: Network =
            serde_json::from_str(&text(&case, "network.json")).expect("network.json is a network");
        let request: Request =
            serde_json::from_str(&text(&case, "request.json")).expect("request.json is a request");
        let policy = match request.address.as_str() {
            "keep" => AddressPolicy::Keep,
            "none" => AddressPolicy::None,
            other => panic!("{}: {other}", case.display()),
        };
        let ops = switch(&network, &request.bridge, &request.port, request.mac, policy, &request.vlans);
        let lines: String = ops.iter().map(|op| format!("{op}\n")).collect();
        expect(&case, "ops.txt", &lines);
    }
}
