//! A machine's devices as wishes: tests/cases/kernel-hardware/<case>/{devices.json, modules.alias, tree/} → expected/:
//! `wishes` with the reasons and `unknown` devices, or `refused.txt`.
#![allow(clippy::disallowed_methods, reason = "tests read their own case folders")]
#![allow(clippy::unwrap_used, reason = "a case that cannot be read is a broken test")]

mod cases_of;

use std::collections::BTreeMap;
use std::path::Path;

use cases_of::{every_case, text};
use xenup_core::inspect::devices::Devices;
use xenup_core::inspect::{Surroundings, gather};
use xenup_core::kernel::hardware::{Aliases, add, additions};
use xenup_core::kernel::kconfig;
use xenup_core::kernel::linux::Linux;
use xenup_core::kernel::profile::{Part, Request, Shelf};
use xenup_machine::fake::FakeMachine;
use xenup_machine::file::Attributes;

fn files(machine: &mut FakeMachine, root: &Path, folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(machine, root, &path);
        } else {
            let inside = Path::new("/").join(path.strip_prefix(root).unwrap());
            machine.put(inside, &std::fs::read(&path).unwrap(), &Attributes::root(0o644));
        }
    }
}

fn outcome(case: &Path) -> BTreeMap<&'static str, String> {
    let mut machine = FakeMachine::new();
    files(&mut machine, &case.join("tree"), &case.join("tree"));
    let tree = kconfig::read(&machine).unwrap();
    let mut shelf = Shelf::built_in().unwrap();
    shelf.add(Part::parse("role", "role.toml", "about = \"x\"\nkind = \"role\"\nhardware = true\n").unwrap());
    let mut request = Request::of(&shelf, "role", &[], &tree, Linux { major: 6, minor: 1 }).unwrap();
    let devices: Devices = serde_json::from_str(&text(case, "devices.json")).unwrap();
    let aliases = Aliases::parse(&text(case, "modules.alias"));
    match add(&mut request, &devices, &aliases, &tree, &machine) {
        Err(error) => [("refused.txt", format!("{error}\n"))].into(),
        Ok(found) => {
            let must = |name: &str| if found.essential.contains(name) { " (must)" } else { "" };
            let lines = request.wanted.values().map(|wanted| {
                format!("{}={}{}: {}\n", wanted.symbol, wanted.wish, must(&wanted.symbol), wanted.why)
            });
            let layers = additions(&devices).into_iter().map(|name| format!("with {name}\n"));
            [
                ("wishes", lines.chain(layers).collect()),
                ("unknown", found.unknown.iter().map(|device| format!("{device}\n")).collect()),
            ]
            .into()
        }
    }
}

#[test]
fn every_case_comes_to_what_is_written() {
    every_case("kernel-hardware", 3, outcome);
}

#[test]
fn devices_are_gathered_with_what_hangs_on_them() {
    let mut machine = FakeMachine::new();
    let root = Attributes::root(0o644);
    for (path, text) in [
        ("/sys/devices/pci0000:00/0000:00:03.0/modalias", "pci:v00008086d000010D3\n"),
        ("/sys/devices/pci0000:00/0000:00:1f.2/modalias", "pci:v00008086d00002922\n"),
        ("/sys/devices/pci0000:00/0000:00:05.0/modalias", "pci:v00001234d00001111\n"),
        ("/sys/bus/cpu/devices/cpu0/modalias", "cpu:type:x86\n"),
        ("/sys/block/dm-0/dm/uuid", "LVM-abc\n"),
        ("/sys/block/dm-1/dm/uuid", "CRYPT-LUKS2-abc\n"),
        ("/proc/self/mountinfo", "26 1 254:0 / / rw - ext4 /dev/mapper/vg-root rw\n"),
    ] {
        machine.put(path, text.as_bytes(), &root);
    }
    let pci = "../../../devices/pci0000:00";
    for name in ["0000:00:03.0", "0000:00:1f.2", "0000:00:05.0"] {
        machine.put_link(format!("/sys/bus/pci/devices/{name}"), format!("{pci}/{name}"));
    }
    machine.put_link("/sys/class/net/eno1", "../../devices/pci0000:00/0000:00:03.0/net/eno1");
    machine.put_link("/sys/block/sda", "../devices/pci0000:00/0000:00:1f.2/ata1/host0/block/sda");
    let devices = gather(&machine, &Surroundings::default()).devices;
    let shown: Vec<_> = devices
        .found
        .iter()
        .map(|device| format!("{} {} {:?} {:?}", device.at, device.modalias, device.nics, device.disks))
        .collect();
    assert_eq!(
        shown,
        [
            "pci/0000:00:03.0 pci:v00008086d000010D3 [\"eno1\"] []",
            "pci/0000:00:05.0 pci:v00001234d00001111 [] []",
            "pci/0000:00:1f.2 pci:v00008086d00002922 [] [\"sda\"]",
        ]
    );
    assert_eq!(devices.root.as_deref(), Some("ext4"));
    assert_eq!(additions(&devices), ["lvm", "crypt"]);
}
