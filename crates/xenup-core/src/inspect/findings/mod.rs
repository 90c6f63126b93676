//! What stands in Xen's way, found from the facts.
//!
//! Decides: which facts are findings, how much each weighs, and what is done about it: a table of checks.
//! Never: reads a machine; what a wish of host.toml makes impossible is the plan's to say.

mod boot;
mod machine;
mod network;
mod packages;

use super::facts::{At, Facts};
use super::finding::{Finding, Weight};
use crate::host::{DefaultBoot, Host};

/// A check: what it is called, what it weighs, and how it looks.
pub struct Check {
    /// The finding's id; the handbook explains it under this name.
    pub id: &'static str,
    /// The finding's weight.
    pub weight: Weight,
    find: fn(&Context<'_>) -> Vec<Hit>,
}

/// What a check looks at.
struct Context<'a> {
    facts: &'a Facts,
    /// The NICs that are to become ports of bridges.
    ports: Vec<&'a str>,
}

/// One thing a check found.
struct Hit {
    what: String,
    why: String,
    fix: String,
    at: Vec<At>,
}

impl Hit {
    fn new(what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), fix: fix.into(), at: Vec::new() }
    }

    fn at(mut self, at: impl IntoIterator<Item = At>) -> Self {
        self.at.extend(at);
        self
    }

    fn once(self) -> Vec<Self> {
        vec![self]
    }
}

const fn blocks(id: &'static str, find: fn(&Context<'_>) -> Vec<Hit>) -> Check {
    Check { id, weight: Weight::Blocks, find }
}

const fn warns(id: &'static str, find: fn(&Context<'_>) -> Vec<Hit>) -> Check {
    Check { id, weight: Weight::Warning, find }
}

const fn notes(id: &'static str, find: fn(&Context<'_>) -> Vec<Hit>) -> Check {
    Check { id, weight: Weight::Note, find }
}

/// All checks; findings of equal weight come in this order.
pub const CHECKS: &[Check] = &[
    // The machine.
    blocks("container", machine::container),
    blocks("not-debian", machine::not_debian),
    blocks("release-too-old", machine::release_too_old),
    warns("release-untested", machine::release_untested),
    blocks("not-amd64", machine::not_amd64),
    blocks("secure-boot-on", machine::secure_boot_on),
    warns("little-memory", machine::little_memory),
    warns("inside-hypervisor", machine::inside_hypervisor),
    notes("pv-only", machine::pv_only),
    notes("no-watchdog", machine::no_watchdog),
    notes("facts-unread", machine::facts_unread),
    // Packages.
    blocks("dpkg-broken", packages::dpkg_broken),
    blocks("apt-busy", packages::apt_busy),
    blocks("unattended-upgrade-running", packages::unattended_upgrade_running),
    notes("unattended-upgrades", packages::unattended_upgrades),
    warns("packages-held", packages::held),
    warns("third-party-sources", packages::third_party_sources),
    blocks("no-dom0-kernel", packages::no_dom0_kernel),
    notes("dom0-kernel-untried", packages::dom0_kernel_untried),
    warns("toolstack-gone", packages::toolstack_gone),
    blocks("no-room-in-boot", packages::no_room_in_boot),
    blocks("no-room-in-var", packages::no_room_in_var),
    // What boots.
    blocks("loader-not-grub", boot::loader_not_grub),
    blocks("grubenv-unwritable", boot::grubenv_unwritable),
    blocks("grub-password", boot::grub_password),
    blocks("grub-submenu-disabled", boot::submenu_disabled),
    warns("grub-savedefault", boot::savedefault),
    warns("grub-setting-unknown", boot::setting_unknown),
    blocks("kexec-skips-grub", boot::kexec_skips_grub),
    warns("unlocked-over-network", boot::unlocked_over_network),
    // The network.
    blocks("interfaces-unreadable", network::interfaces_unreadable),
    blocks("root-on-network", network::root_on_network),
    blocks("nic-two-owners", network::two_owners),
    blocks("network-owner-not-supported", network::owner_not_supported),
    blocks("nic-wireless", network::wireless),
    blocks("nic-enslaved", network::enslaved),
    warns("nic-without-owner", network::without_owner),
    warns("configured-nic-absent", network::configured_absent),
    warns("nic-named-elsewhere", network::named_elsewhere),
    warns("cloud-init-network", network::cloud_init),
    warns("forward-policy-drop", network::forward_drop),
    warns("dhcp-on-every-link", network::dhcp_on_every_link),
    notes("session-through-nic", network::session),
];

/// Findings that concern the trial boot of Xen and nothing else.
const OF_TRIAL: [&str; 4] =
    ["grubenv-unwritable", "grub-password", "grub-submenu-disabled", "kexec-skips-grub"];

/// Returns the findings, the heaviest first.
///
/// `ports` are the NICs that are to become ports of bridges; without them it is the one `init` would choose.
#[must_use]
pub fn findings(facts: &Facts, ports: Option<&[&str]>) -> Vec<Finding> {
    let ports = ports.map_or_else(|| network::likely_ports(facts), <[&str]>::to_vec);
    let context = Context { facts, ports };
    let mut findings: Vec<Finding> = Vec::new();
    for check in CHECKS {
        findings.extend((check.find)(&context).into_iter().map(|hit| Finding {
            id: check.id.to_owned(),
            weight: check.weight,
            what: hit.what,
            why: hit.why,
            fix: hit.fix,
            at: hit.at,
        }));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
    findings
}

/// Returns the findings that matter to `host`: its ports, and its boot. Where Linux stays the default, no trial boot
/// is armed, and what would skip it is only worth a warning.
#[must_use]
pub fn findings_for(facts: &Facts, host: &Host) -> Vec<Finding> {
    // A NIC that carries a VLAN stays what it is.
    let over_nics = host.bridges.iter().filter(|bridge| bridge.vlan.is_none());
    let ports: Vec<&str> = over_nics.map(|bridge| bridge.port.as_str()).collect();
    let mut findings = findings(facts, Some(&ports));
    for finding in findings.iter_mut().filter(|finding| finding.id == "nic-named-elsewhere") {
        finding.fix = network::lines_for_bridges(facts, host, finding);
    }
    if host.boot.default == DefaultBoot::Linux {
        for finding in findings.iter_mut().filter(|finding| OF_TRIAL.contains(&finding.id.as_str())) {
            finding.weight = Weight::Warning;
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
    }
    findings
}

/// Writes names as a sentence does: `a`, `a and b`, `a, b and c`.
fn joined(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::findings_for;
    use crate::host::Host;
    use crate::inspect::facts::{At, Facts, Mention, Nic};

    #[test]
    fn lines_that_name_a_port_are_shown_for_its_bridge() {
        let mut facts = Facts::default();
        facts.network.nics = vec![Nic {
            name: "eno1".to_owned(),
            mac: None,
            driver: None,
            kind: None,
            path: None,
            wireless: false,
            owners: Vec::new(),
            master: None,
            default_route: true,
        }];
        let mention = |line, of: &str, text: &str| Mention {
            at: At { path: "/etc/x".into(), line },
            nic: "eno1".to_owned(),
            text: text.to_owned(),
            of: of.to_owned(),
        };
        facts.network.mentions = vec![
            mention(1, "nftables", "iifname \"eno1\" accept"),
            mention(2, "iptables", "-A INPUT -i en+ -j ACCEPT"),
            mention(3, "sysctl", "net.ipv4.conf.eno1.rp_filter = 1"),
            mention(4, "systemd", "ExecStart=tc qdisc add dev eno1 root fq"),
        ];
        let said = |address: &str| {
            let host =
                format!("[[bridge]]\nname = \"xenbr0\"\nports = [\"eno1\"]\naddress = \"{address}\"\n");
            let host = Host::parse(Path::new("host.toml"), host.as_bytes()).ok();
            let found = host.map(|host| findings_for(&facts, &host)).unwrap_or_default();
            found
                .into_iter()
                .find(|one| one.id == "nic-named-elsewhere")
                .map(|one| one.fix)
                .unwrap_or_default()
        };
        let usual = "name the bridge beside eno1 in these lines before the change";
        assert_eq!(said("none"), usual);
        assert_eq!(
            said("keep"),
            format!(
                "{usual}; beside each of these: /etc/x:1 `iifname \"xenbr0\" accept`, \
                 /etc/x:3 `net.ipv4.conf.xenbr0.rp_filter = 1`"
            )
        );
    }
}
