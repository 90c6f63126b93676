//! The guests of the old host, and whether each finds its bridge.
//!
//! Decides: which bridge a vif meant. Facts: xend, vif-bridge of Xen 3.2 to 4.4 (xenbrN stood for ethN), xl.
//! Never: edits a guest's file.

use std::collections::BTreeMap;

use xenup_machine::Probe;

use super::made::Made;
use super::report::{GuestVif, OldBridge, Said};
use super::script::Call;
use super::tell::{Told, line};
use super::xend::{Setting, Xend};
use crate::guest::{GuestFile, list};
use crate::inspect::facts::At;

/// The bridge that xl takes where nobody names one.
const USUAL: &str = "xenbr0";

/// The bridge of a vif that names none, by its old name.
pub(super) struct UsualBridge {
    pub name: String,
    /// Whether a setting says so; else it is the first that was made, and vif-bridge took the first that brctl showed.
    pub is_said: bool,
}

/// Returns the bridge of a vif that names none; nothing where there was none.
pub(super) fn default_of(xend: Option<&Xend>, xl: Option<&Said>, made: &Made) -> Option<UsualBridge> {
    let of_script =
        xend.and_then(|xend| xend.vif_script.as_ref()).and_then(|setting| bridge_argument(&setting.text));
    let of_setting = xend.and_then(|xend| xend.vif_bridge.as_ref()).map(|setting| setting.text.clone());
    let said = of_script.or(of_setting).or_else(|| xl.map(|said| said.value.clone()));
    let said = said.or_else(|| xend.is_none().then(|| USUAL.to_owned()));
    if let Some(name) = said {
        return Some(UsualBridge { name, is_said: true });
    }
    let first = made.bridges.first()?;
    Some(UsualBridge { name: first.bridge.value.clone(), is_said: made.bridges.len() == 1 })
}

fn bridge_argument(text: &str) -> Option<String> {
    let mut call = Call { line: 0, program: String::new(), settings: Vec::new(), others: Vec::new() };
    text.split(' ').skip(1).for_each(|word| call.argument(word));
    call.setting("bridge").map(|name| name.trim_matches(['"', '\'']).to_owned())
}

/// Tells of a script for vifs that is not Xen's for bridges.
pub(super) fn vif_scripts(xend: Option<&Xend>, xl: Option<&Said>, told: &mut Told) {
    let of_xend = xend.and_then(|xend| xend.vif_script.as_ref());
    let of_xend = of_xend.map(|Setting { text, at }| ("vif-script", text.clone(), Some(at.clone())));
    let of_xl = xl.map(|said| ("vif.default.script", said.value.clone(), said.at.clone()));
    for (setting, text, at) in of_xend.into_iter().chain(of_xl) {
        let name = text.split(' ').next().unwrap_or_default();
        let name = name.rsplit('/').next().unwrap_or_default();
        if matches!(name, "" | "vif-bridge") {
            continue;
        }
        let (what, fix) = match name {
            "vif-route" | "vif-nat" => (
                format!("`{setting}` is {name}: guests are not in a bridge by default"),
                format!(
                    "by hand: vif.default.script=\"{name}\" in /etc/xen/xl.conf, or script={name} in the vif of each guest that needs it"
                ),
            ),
            _ => (
                format!("`{setting}` is a script of the host's own: {name}"),
                format!(
                    "read it; to go on with it, bring it to /etc/xen/scripts and write script={name} in each guest's vif"
                ),
            ),
        };
        told.warn("import-vif-script", what, "host.toml has no setting for vifs", fix, at);
    }
}

/// What is wanted of a bridge by guests: lines of their files.
type Lines = BTreeMap<String, Vec<At>>;

/// Looks at every guest file of the host.
pub(super) fn check(
    probe: &dyn Probe,
    bridges: &[OldBridge],
    made: &Made,
    default: Option<&UsualBridge>,
    told: &mut Told,
) -> Vec<GuestVif> {
    let (found, unread) = list::find(probe).unwrap_or_else(|error| {
        told.warn(
            "import-guest-unread",
            format!("the guest files cannot be listed: {error}"),
            "no guest was checked",
            "xenup guest list",
            [],
        );
        (Vec::new(), Vec::new())
    });
    for list::Unread { path, why } in unread {
        unreadable(told, why, line(path, 0));
    }
    let names = Names { bridges, made, default };
    let (mut guests, mut old, mut missing, mut silent) = (Vec::new(), Lines::new(), Lines::new(), Vec::new());
    for file in found {
        let file = match file.file {
            Ok(file) => file,
            Err(error) => {
                unreadable(told, error.fault.to_string(), line(error.path, error.line));
                continue;
            }
        };
        for vif in vifs(&file, &names) {
            match (&vif.asks, &vif.gets) {
                (Some(asks), Some(gets)) if asks != gets => {
                    old.entry(asks.clone()).or_default().push(vif.at.clone())
                }
                (Some(asks), None) => missing.entry(asks.clone()).or_default().push(vif.at.clone()),
                (None, gets) if gets.as_deref() != names.new_default() => silent.push(vif.at.clone()),
                _ => {}
            }
            guests.push(vif);
        }
    }
    renamed(bridges, &mut old, told);
    for (bridge, at) in missing {
        told.warn(
            "import-guest-bridge",
            format!("no bridge of the old set-up is called {}", bridge.escape_debug()),
            "the guests at these lines name it",
            "write it as a [[bridge]], or name another bridge in their vif",
            at,
        );
    }
    if let (false, Some(usual)) = (silent.is_empty(), default) {
        let was = usual.name.as_str();
        let were = match usual.is_said {
            true => format!("were in {was}"),
            false => format!("were in the first bridge that brctl showed, most likely {was}"),
        };
        let now =
            bridges.iter().find(|bridge| bridge.was.value == was).map_or(was, |bridge| &bridge.name.value);
        told.warn(
            "import-guest-default",
            format!("these vifs name no bridge, and {were}"),
            format!("xl would put them into {}", names.new_default().unwrap_or(USUAL)),
            format!("write bridge={now} in each, or vif.default.bridge=\"{now}\" in /etc/xen/xl.conf"),
            silent,
        );
    }
    guests
}

fn unreadable(told: &mut Told, why: String, at: At) {
    told.warn(
        "import-guest-unread",
        format!("a guest file cannot be read: {why}"),
        "whether it finds its bridge is not known",
        format!("see its vif against host.toml; xenup guest check {} says more", at.path.display()),
        [at],
    );
}

/// A bridge whose old name it cannot keep, with the guests that use it.
fn renamed(bridges: &[OldBridge], old: &mut Lines, told: &mut Told) {
    for bridge in bridges.iter().filter(|bridge| bridge.was.value != bridge.name.value) {
        let (was, name) = (bridge.was.value.escape_debug().to_string(), &bridge.name.value);
        let guests = old.remove(&bridge.was.value).unwrap_or_default();
        let what = format!("host.toml cannot call a bridge `{was}`: it is {name}");
        let why = bridge.name.why.clone();
        if guests.is_empty() {
            told.note(
                "import-bridge-renamed",
                what,
                why,
                format!("nothing: no guest file names bridge={was}"),
                bridge.was.at.clone(),
            );
        } else {
            told.warn(
                "import-bridge-renamed",
                what,
                why,
                format!(
                    "by hand: write bridge={name} in place of bridge={was} at these lines; or, where no link of the new \
                     machine is called {was}, also = [\"{was}\"] below name = \"{name}\""
                ),
                guests,
            );
        }
    }
}

/// The names of bridges, then and now.
struct Names<'a> {
    bridges: &'a [OldBridge],
    made: &'a Made,
    default: Option<&'a UsualBridge>,
}

impl Names<'_> {
    /// The bridge that stands for an old name.
    fn now(&self, old: &str) -> Option<String> {
        let by = |holds: &dyn Fn(&OldBridge) -> bool| self.bridges.iter().find(|bridge| holds(bridge));
        let found = by(&|bridge| bridge.name.value == old)
            .or_else(|| by(&|bridge| bridge.was.value == old))
            .or_else(|| {
                // vif-bridge: xenbrN stands for ethN where the one is not there and the other is a bridge.
                let nic = format!("eth{}", old.strip_prefix(USUAL.trim_end_matches('0'))?);
                by(&|bridge| bridge.was.value == nic)
            });
        let outside = || self.made.outside.iter().find(|name| *name == old).cloned();
        found.map(|bridge| bridge.name.value.clone()).or_else(outside)
    }

    /// The bridge of a vif that names none, once host.toml is applied: the plan writes it into xl.conf.
    fn new_default(&self) -> Option<&str> {
        let name = |bridge: &&OldBridge| bridge.name.value == USUAL;
        let bridge = self.bridges.iter().find(name).or_else(|| self.bridges.first());
        bridge.map(|bridge| bridge.name.value.as_str())
    }
}

fn vifs(file: &GuestFile, names: &Names<'_>) -> Vec<GuestVif> {
    let guest = file.guest_name();
    let routed = |script: &Option<String>| {
        let name = script.as_deref().map(|script| script.rsplit('/').next().unwrap_or(script));
        name.is_some_and(|name| name != "vif-bridge")
    };
    let all = file.vifs().into_iter().filter(|(_, vif)| !routed(&vif.script) && vif.backend.is_none());
    let one = |(number, vif): (u32, crate::guest::VifSpec)| {
        let asks = vif.bridge.filter(|name| !name.is_empty());
        let gets = asks
            .as_deref()
            .or(names.default.map(|usual| usual.name.as_str()))
            .and_then(|name| names.now(name));
        GuestVif { guest: guest.clone(), at: line(file.path(), number), asks, gets }
    };
    all.map(one).collect()
}
