//! Disks and network interfaces: what xl refuses, what it passes over, what is there twice.

use std::collections::BTreeMap;

use super::super::disk_spec::OldForm;
use super::super::model::GuestType;
use super::super::vdev;
use super::super::vif::{VifFault, VifKind};
use super::{Lint, words};
use crate::inspect::Weight;

impl Lint<'_> {
    pub(super) fn disks(&mut self) {
        let convert = self.convert();
        let mut old = Vec::new();
        let mut numbers: BTreeMap<u32, Vec<(usize, String)>> = BTreeMap::new();
        for disk in self.guest.disks.clone() {
            let at = disk.span.start;
            let spec = match disk.spec {
                Ok(spec) => spec,
                Err(fault) => {
                    let what = format!("xl refuses this disk: {fault}");
                    let why = "a guest with a disk that xl cannot read is not started";
                    let fix = "write it as format=…,vdev=…,access=…,target=…";
                    self.add("guest-disk-refused", Weight::Blocks, words(what, why, fix), [at]);
                    continue;
                }
            };
            if let Some(fault) = &disk.refused {
                let shared = spec.old.contains(&OldForm::Shared);
                let why = if shared {
                    "xm let several guests write to one disk; xl asks nobody, and the block script refuses a second \
                     writer"
                } else {
                    "xm took it, xl does not"
                };
                let what = format!("xl refuses this disk: {fault}");
                self.add("guest-disk-xm", Weight::Blocks, words(what, why, convert.clone()), [at]);
            } else if !spec.old.is_empty() {
                old.push(at);
            }
            if let Some(number) = vdev::number(&spec.vdev) {
                numbers.entry(number).or_default().push((at, spec.vdev));
            }
        }
        if !old.is_empty() {
            let what = "disks are written in a form of old times (phy:, file:, tap:, :cdrom)";
            let why = "xl-disk-configuration(5) calls them deprecated, and likely to be dropped";
            self.add("guest-disk-old", Weight::Note, words(what, why, convert), old);
        }
        for same in numbers.into_values().filter(|same| same.len() > 1) {
            let names: Vec<&str> = same.iter().map(|(_, name)| name.as_str()).collect();
            let what = format!("two disks are one device: {}", names.join(", "));
            let why = "libxl refuses a device that is there already";
            let at = same.iter().map(|(at, _)| *at);
            self.add("guest-disk-twice", Weight::Blocks, words(what, why, "give each its own vdev"), at);
        }
    }

    pub(super) fn vifs(&mut self) {
        let mut macs: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        let (mut nameless, mut inert) = (Vec::new(), Vec::new());
        for (span, vif) in self.guest.vifs.clone() {
            for fault in &vif.faults {
                self.vif_fault(fault, span.start);
            }
            match vif.mac {
                Some(mac) => macs.entry(mac).or_default().push(span.start),
                None => nameless.push(span.start),
            }
            // type=ioemu is refused there, which has a finding of its own.
            let emulated = vif.kind != Some(VifKind::Ioemu) && (vif.kind.is_some() || vif.model.is_some());
            let words = [
                vif.ip.as_ref().map(|_| "ip"),
                vif.vlan.as_ref().map(|_| "vlan"),
                (emulated && self.guest.kind != GuestType::Hvm).then_some("type and model"),
            ];
            let default_script = vif.script.is_none();
            inert.extend(
                words
                    .into_iter()
                    .flatten()
                    .filter(|word| *word != "ip" || default_script)
                    .map(|w| (span.start, w)),
            );
        }
        for (mac, at) in macs.into_iter().filter(|(_, at)| at.len() > 1) {
            let what = format!("{mac} is the address of two interfaces");
            let why = "a bridge then sends each packet to one of them";
            self.add("guest-mac-twice", Weight::Warning, words(what, why, "give each its own address"), at);
        }
        if !nameless.is_empty() && self.guest.filled("uuid").is_none() {
            let why = "xl makes a new one at each start, and DHCP and udev's names then change";
            let what = "an interface has no mac=";
            let fix = "write mac=00:16:3e:…, or a uuid for the guest";
            self.add("guest-mac-missing", Weight::Note, words(what, why, fix), nameless);
        }
        for (at, word) in inert {
            let why = match word {
                "ip" => "Debian's vif-bridge sets no filter by it",
                "vlan" => {
                    "no script of Xen 4.20 reads it; on a bridge with `vlans` in host.toml a hook of ours does"
                }
                _ => "they are about an emulated NIC, which only HVM guests have",
            };
            let what = format!("{word} of this interface: nothing comes of it");
            self.add(
                "guest-vif-inert",
                Weight::Note,
                words(what, why, "take it out, or do it in a script"),
                [at],
            );
        }
    }

    fn vif_fault(&mut self, fault: &VifFault, at: usize) {
        let (id, weight, why, fix) = match fault {
            VifFault::Rate(_) => {
                ("guest-vif-rate", Weight::Blocks, "xl refuses it", "write a rate, or none".into())
            }
            VifFault::Number(..) => {
                ("guest-vif-number", Weight::Blocks, "xl refuses it", "write a number, or none".into())
            }
            VifFault::Netdev => {
                ("guest-vif-netdev", Weight::Note, "xl takes it with a warning", self.convert())
            }
            VifFault::Group(_) | VifFault::Value("mac", _) => (
                "guest-mac",
                Weight::Warning,
                "xl goes on with an address that is cut short or that no NIC may have",
                "write six bytes, such as 00:16:3e:12:34:56".into(),
            ),
            _ => ("guest-vif-word", Weight::Warning, "xl says so, and passes over it", "take it out".into()),
        };
        self.add(id, weight, words(fault.to_string(), why, fix), [at]);
    }
}
