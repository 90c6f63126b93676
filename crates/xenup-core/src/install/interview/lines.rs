//! How the interview's questions and its last page read. Decides the words; never what an answer means.

use super::{Asked, Interview, Question};
use crate::amounts;
use crate::host::AddressPolicy;
use crate::install::answers::Then;
use crate::install::disk::Verdict;

impl Interview<'_> {
    pub(super) fn put(&self, question: Question) -> Asked {
        let asked =
            |before: Vec<String>, prompt: String| Asked { before, prompt, hidden: false, erases: false };
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        match question {
            Question::Disk => {
                let default = self.only().ok().map(|index| format!(" [{}]", index + 1));
                asked(self.disk_lines(), format!("Disk{}: ", default.unwrap_or_default()))
            }
            Question::Member => {
                let mut before = self.member_reasons();
                before.push("What it is a part of loses it.".to_owned());
                asked(before, "Overwrite it all the same? [y/N] ".to_owned())
            }
            Question::Hostname => asked(
                lines(&["What is the machine to be called?"]),
                format!("Name [{}]: ", self.manifest.made.hostname),
            ),
            Question::Port(index) => self.put_port(index),
            Question::Address => {
                let bridge = self.keeping().unwrap_or_default();
                let before = format!("How does {bridge}, by which the machine is reached, get its address?");
                asked(vec![before], "dhcp, or ADDRESS/PREFIX [dhcp]: ".to_owned())
            }
            Question::Gateway => asked(Vec::new(), "Its router, or - for none: ".to_owned()),
            Question::Dns => asked(Vec::new(), "Name servers, with commas between them [none]: ".to_owned()),
            Question::Password => {
                let has = if self.manifest.made.password { "the medium's" } else { "none" };
                let before = lines(&["Root's password, for the console. It is not shown."]);
                Asked { before, prompt: format!("Password [{has}]: "), hidden: true, erases: false }
            }
            Question::Again => {
                Asked { before: Vec::new(), prompt: "Once more: ".to_owned(), hidden: true, erases: false }
            }
            Question::Key => {
                let has = match self.manifest.made.keys.len() {
                    0 => "none".to_owned(),
                    count => format!("the {count} of the medium"),
                };
                let before = lines(&["An SSH public key that may log in as root: the line of a .pub file."]);
                asked(before, format!("Key [{has}]: "))
            }
            Question::Erase => {
                let disk = self.chosen().map(|disk| disk.name.clone()).unwrap_or_default();
                let prompt = format!("Erase {disk} and install? [y/N] ");
                Asked { before: self.last_page(), prompt, hidden: false, erases: true }
            }
        }
    }

    fn disk_lines(&self) -> Vec<String> {
        let mut lines = vec!["Which disk? All that is on it will be lost.".to_owned()];
        for (number, disk) in (1..).zip(self.disks) {
            match disk.verdict(self.needed()) {
                Verdict::Refused(why) => {
                    lines.push(format!("  -  {}", disk.words()));
                    lines.extend(why.iter().map(|why| format!("       not this one: {why}")));
                }
                verdict => {
                    lines.push(format!("  {number}  {}", disk.words()));
                    lines.extend(disk.contents().iter().map(|line| format!("       {line}")));
                    if let Verdict::Member(why) = verdict {
                        lines.extend(why.iter().map(|why| format!("       careful: {why}")));
                    }
                }
            }
        }
        if self.disks.is_empty() {
            lines.push("  there is none".to_owned());
        }
        lines
    }

    fn put_port(&self, index: usize) -> Asked {
        let port = self.ports.get(index).map(|(port, _)| port.as_str()).unwrap_or_default();
        let bridges: Vec<&str> = self
            .host
            .bridges
            .iter()
            .filter(|bridge| bridge.nic() == port)
            .map(|bridge| bridge.name.as_str())
            .collect();
        let mut before = vec![format!("Which NIC is {port}, the port of {}?", bridges.join(" and "))];
        for (number, nic) in self.unused() {
            let driver = nic.driver.as_deref().map(|driver| format!(", {driver}")).unwrap_or_default();
            let link = if nic.link { "its cable is in" } else { "no cable, or nothing at its other end" };
            before.push(format!("  {number}  {} {}{driver}: {link}", nic.name, nic.mac));
        }
        before.push(format!("  -  none: {} left out", if bridges.len() == 1 { "it is" } else { "they are" }));
        let default = self.likely().map_or("-".to_owned(), |(number, _)| number.to_string());
        Asked { before, prompt: format!("NIC [{default}]: "), hidden: false, erases: false }
    }

    /// Everything that will be done, and what is lost by it.
    #[must_use]
    pub fn last_page(&self) -> Vec<String> {
        let mut lines = vec!["This is what will be done:".to_owned()];
        if let Some(disk) = self.chosen() {
            lines.push(format!("  disk     {}", disk.words()));
            lines.push("           ALL OF IT IS ERASED. On it now:".to_owned());
            lines.extend(disk.contents().iter().map(|line| format!("             {line}")));
        }
        let manifest = self.manifest;
        lines.push(format!(
            "  system   {} with Xen, as of {}, {} to write",
            manifest.system,
            manifest.archive,
            amounts::size(manifest.bytes())
        ));
        lines.push(format!("  name     {}", self.hostname.as_deref().unwrap_or(&manifest.made.hostname)));
        lines.extend(self.network_lines());
        lines.push(format!("  login    {}", self.login()));
        lines.push(format!(
            "  then     {}",
            match self.then {
                Then::Reboot => "the machine is started again, from that disk",
                Then::PowerOff => "the machine is switched off",
            }
        ));
        lines
    }

    fn network_lines(&self) -> Vec<String> {
        let addresses = match self.addresses.as_deref() {
            None | Some([]) => "DHCP".to_owned(),
            Some(words) if words == ["dhcp"] => "DHCP".to_owned(),
            Some(words) => words.join(", "),
        };
        let mut lines = Vec::new();
        for bridge in &self.host.bridges {
            let role = self.role(bridge.nic());
            let nic = role.and_then(|role| self.nics.iter().find(|nic| Some(nic.mac) == role.mac));
            let address =
                if bridge.address == AddressPolicy::Keep { addresses.as_str() } else { "no address" };
            let head = if lines.is_empty() { "  network" } else { "         " };
            lines.push(match nic {
                Some(nic) => {
                    let link = if nic.link { "" } else { ", no cable" };
                    format!(
                        "{head}  {} over {} ({}, {}{link}), {address}",
                        bridge.name, bridge.port, nic.name, nic.mac
                    )
                }
                None => format!("{head}  {} is left out: no NIC", bridge.name),
            });
        }
        lines
    }

    fn login(&self) -> String {
        let made = &self.manifest.made;
        let count = self.all_keys().len();
        let keys = match count {
            0 => "no SSH key".to_owned(),
            1 => "1 SSH key".to_owned(),
            count => format!("{count} SSH keys"),
        };
        let own = self.password.as_ref().is_some_and(Option::is_some);
        let password = if own || made.password { "a password at the console" } else { "no password" };
        format!("root: {keys}, {password}")
    }
}
