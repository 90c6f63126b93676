//! From calls of network-bridge, and from interfaces(5), to the bridges that were there.
//!
//! Decides: the bridge and the NIC of each call by the rule of its version, and the name that host.toml gives it.
//! Never: decides that a NIC is there today; the plan does.

use std::path::Path;

use super::calls::{Called, Known};
use super::guests::UsualBridge;
use super::machine::{Machine, Written};
use super::report::{OldBridge, Ruled, Said};
use super::rule::Rule;
use super::tell::Told;
use crate::host::{Host, LinkName};
use crate::inspect::facts::At;
use crate::network::interfaces::MAIN;

/// A bridge that the old host had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct One {
    pub bridge: Said,
    pub nic: Said,
    /// Whose addresses say what dom0 has there: the NIC's, or the bridge's own stanza.
    pub addressed: String,
}

/// What the old host had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Made {
    /// In the order in which they came to be.
    pub bridges: Vec<One>,
    /// Bridges of interfaces(5) that host.toml cannot say, and that stay as they are.
    pub outside: Vec<String>,
}

/// Returns the bridges of the old host.
pub(super) fn made(machine: &Machine<'_>, called: &[Called], known: Option<&Known>, told: &mut Told) -> Made {
    let mut made = Made::default();
    let written = machine.bridges();
    let once = known.is_some_and(|known| known.ruled.rule == Rule::NicNameOnce);
    let idle = once && !written.is_empty();
    if let (true, Some(first), Some(there)) = (idle, called.first(), written.first()) {
        told.note(
            "import-network-bridge-idle",
            format!("network-bridge did nothing: {} is there from {MAIN}", there.name),
            "since Xen 4.1 it leaves a host alone that has a bridge",
            "nothing; the bridges of interfaces(5) are taken",
            [first.at.clone(), there.at.clone()],
        );
    }
    for (number, one) in called.iter().enumerate().filter(|_| !idle) {
        let Some(known) = known else { break };
        if once && number == 1 {
            told.note(
                "import-second-call",
                "of several calls of network-bridge the first alone made a bridge",
                "since Xen 4.1 it leaves a host alone that has a bridge",
                "keep the [[bridge]] of the later calls where a guest needs it, else remove it",
                [one.at.clone()],
            );
        }
        if let Some(bridge) = resolve(machine, one, known, told) {
            add(&mut made, bridge, told);
        }
    }
    for bridge in written {
        interfaces(&mut made, bridge, told);
    }
    made
}

fn add(made: &mut Made, new: One, told: &mut Told) {
    let at = || [&new.bridge.at, &new.nic.at].into_iter().flatten().next().cloned();
    let (bridge, nic) = (&new.bridge.value, &new.nic.value);
    let same = made.bridges.iter().find(|one| one.bridge.value == *bridge || one.nic.value == *nic);
    let Some(same) = same else { return made.bridges.push(new) };
    let (id, what, why) = if same.bridge.value == *bridge && same.nic.value == *nic {
        return;
    } else if same.bridge.value == *bridge {
        (
            "import-two-nics",
            format!("{bridge} was to have {nic} beside {}", same.nic.value),
            "two cables in one bridge make a loop unless the switch expects it",
        )
    } else {
        (
            "import-nic-twice",
            format!("{nic} was to be in {bridge} too"),
            "a NIC can be in one bridge only: the second call failed",
        )
    };
    let fix = format!(
        "decide which; as written, {} is over {}. For two cables make a bond first",
        same.bridge.value, same.nic.value
    );
    told.warn(id, what, why, fix, at());
}

/// A bridge of interfaces(5); host.toml has those over one NIC.
fn interfaces(made: &mut Made, written: Written, told: &mut Told) {
    let Written { name, ports, at, ports_at } = written;
    let ports: Vec<String> = ports.into_iter().filter(|port| port != "none").collect();
    let dynamic = ports.iter().any(|port| matches!(port.as_str(), "all" | "regex" | "noregex"));
    if let ([port], false) = (ports.as_slice(), dynamic) {
        let bridge = Said::at(&name, "the stanza's name", at);
        let nic = Said::at(port, "`bridge_ports`", ports_at);
        return add(made, One { bridge, nic, addressed: name }, told);
    }
    let what = if ports.is_empty() {
        format!("host.toml cannot say {name}: it has no port")
    } else if dynamic {
        format!("host.toml cannot say {name}: its ports are chosen when it comes up")
    } else {
        format!("host.toml cannot say {name}: it has {} ports", ports.len())
    };
    told.note(
        "import-bridge-stays",
        what,
        "a [[bridge]] is over one NIC, bond or VLAN",
        format!("nothing: it stays in {} as it is, and guests find it there", at.path.display()),
        [ports_at],
    );
    made.outside.push(name);
}

/// Works out what a call came to.
fn resolve(machine: &Machine<'_>, called: &Called, known: &Known, told: &mut Told) -> Option<One> {
    let Called { call, at } = called;
    if call.setting("bridge") == Some("null") {
        told.note(
            "import-bridge-null",
            "this call made no bridge: bridge=null",
            "network-bridge does nothing then",
            "nothing",
            [at.clone()],
        );
        return None;
    }
    let vifnum = match call.setting("vifnum").map(str::parse::<u32>) {
        None => None,
        Some(Ok(number)) => Some(number),
        Some(Err(_)) => {
            told.warn(
                "import-argument",
                format!(
                    "vifnum `{}` is no number",
                    call.setting("vifnum").unwrap_or_default().escape_debug()
                ),
                "names of bridge and NIC are made of it",
                "correct it, or name bridge= and netdev=, and import again",
                [at.clone()],
            );
            return None;
        }
    };
    let by_rule = Unnamed { machine, rule: known.ruled.rule, vifnum, ruled: &known.ruled };
    let nic = match call.setting("netdev") {
        Some(name) => Said::at(name, "`netdev=`", at.clone()),
        None => by_rule.nic(known.cuts_names, at, told)?,
    };
    let bridge = match call.setting("bridge") {
        Some(name) => Said::at(name, "`bridge=`", at.clone()),
        None => by_rule.bridge(&nic.value),
    };
    Some(One { addressed: nic.value.clone(), bridge, nic })
}

/// What a call does not name.
struct Unnamed<'a> {
    machine: &'a Machine<'a>,
    rule: Rule,
    vifnum: Option<u32>,
    ruled: &'a Ruled,
}

impl Unnamed<'_> {
    fn said(&self, value: &str, why: &str) -> Said {
        Said { value: value.to_owned(), why: why.to_owned(), at: self.ruled.at.clone() }
    }

    /// The number in the names: vifnum, else what the version took for it.
    fn number(&self) -> u32 {
        let of_route = || {
            let nics = self.machine.route_nics();
            let digits = |(name, _): &(String, Option<At>)| {
                name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().ok()
            };
            nics.first().and_then(digits)
        };
        let guessed = if self.rule == Rule::VifnumOfRoute { of_route() } else { None };
        self.vifnum.or(guessed).unwrap_or(0)
    }

    fn bridge(&self, nic: &str) -> Said {
        let versions = self.rule.versions();
        match self.rule {
            Rule::XenBr0 => self.said("xen-br0", &format!("what {versions} took")),
            Rule::NicName | Rule::NicNameOnce => {
                self.said(nic, &format!("the NIC's name, which {versions} took"))
            }
            _ => self.said(&format!("xenbr{}", self.number()), &format!("what {versions} took: xenbrVIFNUM")),
        }
    }

    fn nic(&self, cuts_names: bool, at: &At, told: &mut Told) -> Option<Said> {
        let versions = self.rule.versions();
        match self.rule {
            Rule::XenBr0 => return Some(self.said("eth0", &format!("what {versions} took"))),
            Rule::Vifnum | Rule::VifnumOfRoute => {
                let name = format!("eth{}", self.number());
                return Some(self.said(&name, &format!("what {versions} took: ethVIFNUM")));
            }
            Rule::RouteNic | Rule::NicName | Rule::NicNameOnce => {}
        }
        let nics = self.machine.route_nics();
        if let [first, second, ..] = nics.as_slice() {
            told.warn(
                "import-several-routes",
                format!("a default route leaves by {} and by {}", first.0, second.0),
                "network-bridge then took several names for one and made no bridge",
                format!(
                    "{} is taken; where that is wrong, name netdev= in the call and import again",
                    first.0
                ),
                nics.iter().filter_map(|(_, at)| at.clone()),
            );
        }
        let Some((name, route_at)) = nics.into_iter().next() else {
            if self.rule.takes_nics_name() {
                return Some(
                    self.said("eth0", &format!("no default route is known; {versions} then took eth0")),
                );
            }
            told.warn(
                "import-nic-unknown",
                "the NIC of this bridge is not known: the call names none, and no default route is known",
                format!("{versions} took the NIC of the default route"),
                "name netdev= in the call and import again, or write the [[bridge]] by hand",
                [at.clone()],
            );
            return None;
        };
        if cuts_names && !letters_then_digits(&name) {
            told.warn(
                "import-name-cut",
                format!("network-bridge could not read the name {name}: it made no bridge"),
                "it took letters and digits behind them, as in eth0",
                "look whether a guest needs this bridge; if none does, remove it from host.toml",
                route_at.clone(),
            );
        }
        let why = "the NIC of the default route";
        Some(route_at.map_or_else(|| Said::known(&name, why), |at| Said::at(&name, why, at)))
    }
}

fn letters_then_digits(name: &str) -> bool {
    let rest = name.trim_start_matches(|c: char| c.is_ascii_lowercase());
    rest.len() < name.len() && !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the bridges as host.toml has them, that of guests which name none first.
pub(super) fn named(
    machine: &Machine<'_>,
    made: &Made,
    default: Option<&UsualBridge>,
    told: &mut Told,
) -> Vec<OldBridge> {
    let mut ones: Vec<&One> = made.bridges.iter().filter(|one| port_fits(one, told)).collect();
    ones.sort_by_key(|one| default.is_none_or(|usual| usual.name != one.bridge.value));
    let nics: Vec<&str> = ones.iter().map(|one| one.nic.value.as_str()).collect();
    let fits = |one: &One| {
        let name = one.bridge.value.as_str();
        name.parse::<LinkName>().is_ok() && !nics.contains(&name)
    };
    let mut taken: Vec<String> = made.outside.clone();
    taken.extend(ones.iter().filter(|one| fits(one)).map(|one| one.bridge.value.clone()));
    let mut bridges = Vec::new();
    for one in ones {
        let name = if fits(one) { one.bridge.clone() } else { renamed(one, &mut taken) };
        bridges.push(OldBridge {
            was: one.bridge.clone(),
            name,
            mac: machine.mac(&one.nic.value),
            address: machine.address(&one.addressed),
            port: one.nic.clone(),
        });
    }
    bridges
}

/// Whether host.toml's own reader takes the NIC's name.
fn port_fits(one: &One, told: &mut Told) -> bool {
    let nic = &one.nic.value;
    let quoted = toml_edit::Value::from(nic.as_str());
    let text = format!("[[bridge]]\nname = \"xenup\"\nports = [{quoted}]\naddress = \"none\"\n");
    let Err(error) = Host::parse(Path::new("host.toml"), text.as_bytes()) else { return true };
    let fault = error.faults.first();
    told.warn(
        "import-port-refused",
        fault.map_or_else(|| error.to_string(), |fault| fault.what.clone()),
        format!("{} was to be over it", one.bridge.value.escape_debug()),
        "name a NIC in the call and import again, or write the [[bridge]] by hand",
        one.nic.at.clone(),
    );
    false
}

/// A name that a bridge can have where the old one cannot be its name: vif-bridge took `xenbrN` for `ethN` too.
fn renamed(one: &One, taken: &mut Vec<String>) -> Said {
    let digits: String =
        one.nic.value.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    let wanted = digits.parse::<u32>().unwrap_or(0);
    let free = |number: u32| Some(format!("xenbr{number}")).filter(|name| !taken.contains(name));
    let name = free(wanted).or_else(|| (0..=u32::from(u16::MAX)).find_map(free));
    let name = name.unwrap_or_else(|| "xenbr".to_owned());
    taken.push(name.clone());
    let was = one.bridge.value.escape_debug();
    let why = if one.bridge.value == one.nic.value {
        format!("`{was}` is the NIC's own name, and stays it")
    } else {
        format!("`{was}` cannot be a bridge's name")
    };
    Said::known(&name, why)
}
