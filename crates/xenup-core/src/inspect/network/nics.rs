//! Which links are NICs: what a bridge may take as its port.
//!
//! Decides: by the link's kind, and by sysfs for the driver and for Wi-Fi. Never: by its name, Xen's vifs apart.

use xenup_machine::network::{Link, Network};

use super::super::facts::Nic;
use super::super::reader::Reader;

/// RT_TABLE_MAIN of rtnetlink(7).
const MAIN_TABLE: u32 = 254;

/// Returns the NICs in the kernel's order.
pub(super) fn gather(reader: &Reader<'_>, network: &Network) -> Vec<Nic> {
    let mut nics: Vec<Nic> = network
        .links
        .iter()
        .filter(|link| !link.loopback && !is_vif(&link.name))
        .filter(|link| matches!(link.kind.as_deref(), None | Some("bond" | "vlan")))
        .map(|link| nic(reader, network, link))
        .collect();
    if nics.iter().all(|nic| nic.kind.as_deref() == Some("vlan")) {
        // A container or a network namespace: its end of a veth pair is all the NIC it has, VLANs on it apart.
        let ends = network.links.iter().filter(|link| link.kind.as_deref() == Some("veth"));
        nics.extend(ends.filter(|link| link.master.is_none()).map(|link| nic(reader, network, link)));
    }
    nics
}

/// Xen's back-end links have no kind; their names are fixed by xen-netback: `vif3.0`, and `vif3.0-emu` for HVM.
fn is_vif(name: &str) -> bool {
    let Some((domain, device)) = name.strip_prefix("vif").and_then(|rest| rest.split_once('.')) else {
        return false;
    };
    let device = device.strip_suffix("-emu").unwrap_or(device);
    domain.parse::<u32>().is_ok() && device.parse::<u32>().is_ok()
}

fn nic(reader: &Reader<'_>, network: &Network, link: &Link) -> Nic {
    let directory = format!("/sys/class/net/{}", link.name);
    let driver = reader.link(format!("{directory}/device/driver"));
    let driver = driver.and_then(|target| Some(target.file_name()?.to_string_lossy().into_owned()));
    let wireless = ["wireless", "phy80211"].iter().any(|name| reader.exists(format!("{directory}/{name}")));
    Nic {
        name: link.name.clone(),
        mac: link.permanent_mac.filter(|mac| mac.is_station()).or(link.mac),
        driver,
        kind: link.kind.clone(),
        path: id_path(reader, &directory),
        wireless,
        owners: Vec::new(),
        master: link.master.clone(),
        default_route: has_default_route(network, &link.name),
    }
}

/// udev keeps what it knows of a link under the link's number (`/run/udev/data`).
fn id_path(reader: &Reader<'_>, directory: &str) -> Option<String> {
    let index = reader.word(format!("{directory}/ifindex"))?;
    let data = reader.quiet(format!("/run/udev/data/n{index}"))?;
    data.lines().find_map(|line| line.strip_prefix("E:ID_PATH=")).map(str::to_owned)
}

fn has_default_route(network: &Network, link: &str) -> bool {
    let unicast = 1;
    network
        .routes_by(link)
        .any(|route| route.destination.is_none() && route.table == MAIN_TABLE && route.kind == unicast)
}

#[cfg(test)]
mod tests {
    #[test]
    fn back_ends_are_known_by_name() {
        for name in ["vif1.0", "vif12.3-emu"] {
            assert!(super::is_vif(name), "{name}");
        }
        for name in ["eth0", "vif", "vif1", "vifx.0", "enp1s0"] {
            assert!(!super::is_vif(name), "{name}");
        }
    }
}
