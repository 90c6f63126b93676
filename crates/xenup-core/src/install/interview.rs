//! What is asked, in which order, and what an answer means. It begins with what an answer file has answered.
//!
//! Decides: the default of each question, which answers cannot be, and that nothing is erased without a yes: the last
//! page's default is No.
//! Never: reads a key or writes a word by itself.

mod lines;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use xenup_machine::network::Mac;

use super::answers::{Answers, Then, is_hostname};
use super::crypt;
use super::disk::{Disk, Part, Verdict};
use super::manifest::Manifest;
use super::personal::{self, Role};
use crate::guest::create::{Addresses, authorized_keys};
use crate::host::{AddressPolicy, Host};

/// A NIC of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Nic {
    /// The name that this boot gave it.
    pub name: String,
    /// Its address.
    pub mac: Mac,
    /// Its driver.
    #[serde(default)]
    pub driver: Option<String>,
    /// Whether there is a cable with something at its other end.
    #[serde(default)]
    pub link: bool,
}

/// A question as it is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Lines before it.
    pub before: Vec<String>,
    /// The question itself, with its default.
    pub prompt: String,
    /// Whether the answer is not to be seen.
    pub hidden: bool,
    /// Whether a yes to it erases the disk.
    pub erases: bool,
}

/// Everything that was settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The disk.
    pub disk: Disk,
    /// The machine's name.
    pub hostname: String,
    /// Which NIC each port of host.toml is.
    pub roles: Vec<Role>,
    /// What the bridge that keeps an address gets.
    pub addresses: Addresses,
    /// Lines for root's authorized_keys, those of the medium among them.
    pub keys: Vec<String>,
    /// Root's password, where it is another than the medium's.
    pub password_hash: Option<String>,
    /// What comes afterwards.
    pub then: Then,
}

/// The questions, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Disk,
    Member,
    Hostname,
    Port(usize),
    Address,
    Gateway,
    Dns,
    Password,
    Again,
    Key,
    Erase,
}

/// The state of it.
#[derive(Debug, Clone)]
pub struct Interview<'a> {
    manifest: &'a Manifest,
    host: Host,
    disks: &'a [Disk],
    nics: &'a [Nic],
    salt: [u8; 12],
    then: Then,
    disk: Option<usize>,
    member: bool,
    hostname: Option<String>,
    ports: Vec<(String, Option<Mac>)>,
    roles: Vec<Role>,
    addresses: Option<Vec<String>>,
    gateways: Option<Vec<IpAddr>>,
    dns: Option<Vec<IpAddr>>,
    password: Option<Option<String>>,
    typed: Option<String>,
    keys: Option<Vec<String>>,
    erase: Option<bool>,
}

impl<'a> Interview<'a> {
    /// Begins with what was answered; also returns the answers that this machine cannot have, a sentence each.
    ///
    /// `host` is the medium's host.toml, read; `salt` is random.
    #[must_use]
    pub fn new(
        manifest: &'a Manifest,
        host: Host,
        disks: &'a [Disk],
        nics: &'a [Nic],
        answers: &Answers,
        salt: [u8; 12],
    ) -> (Self, Vec<String>) {
        let mut interview = Self {
            manifest,
            ports: personal::ports(&host),
            host,
            disks,
            nics,
            salt,
            then: answers.then.unwrap_or(Then::Reboot),
            disk: None,
            member: false,
            hostname: answers.hostname.clone(),
            roles: Vec::new(),
            addresses: (!answers.addresses.is_empty()).then(|| answers.addresses.clone()),
            gateways: (!answers.addresses.is_empty()).then(|| answers.gateways.clone()),
            dns: (!answers.addresses.is_empty()).then(|| answers.dns.clone()),
            password: answers.password_hash.clone().map(Some),
            typed: None,
            keys: (!answers.keys.is_empty()).then(|| answers.keys.clone()),
            erase: answers.erase.then_some(true),
        };
        let complaints = interview.answered(answers);
        (interview, complaints)
    }

    fn answered(&mut self, answers: &Answers) -> Vec<String> {
        let mut complaints = Vec::new();
        if let Some(word) = &answers.disk {
            let found = if word == "only" { self.only() } else { self.named(word) };
            match found.and_then(|disk| self.take_disk(disk, answers.overwrite)) {
                Ok(()) => {}
                Err(why) => complaints.push(format!("disk = \"{word}\": {why}")),
            }
        }
        for (port, mac) in &answers.nics {
            if !self.ports.iter().any(|(known, _)| known == port) {
                let known: Vec<&str> = self.ports.iter().map(|(port, _)| port.as_str()).collect();
                complaints
                    .push(format!("the medium's host.toml has no port {port}; it has {}", known.join(", ")));
            } else if !self.nics.iter().any(|nic| nic.mac == *mac) {
                complaints.push(format!("no NIC of this machine has the address {mac} of {port}"));
            } else {
                self.roles.push(Role { port: port.clone(), mac: Some(*mac) });
            }
        }
        // What host.toml says itself is answered where the machine has that NIC.
        for (port, mac) in self.ports.clone() {
            let there = mac.filter(|mac| self.nics.iter().any(|nic| nic.mac == *mac));
            if self.role(&port).is_none() && there.is_some() {
                self.roles.push(Role { port, mac: there });
            }
        }
        complaints
    }

    fn role(&self, port: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.port == port)
    }

    /// The next question; nothing where all is settled.
    #[must_use]
    pub fn next(&self) -> Option<Asked> {
        self.question().map(|question| self.put(question))
    }

    fn question(&self) -> Option<Question> {
        let disk = self.disk.and_then(|index| self.disks.get(index));
        let member = disk.is_some_and(|disk| matches!(disk.verdict(self.needed()), Verdict::Member(_)));
        let port = self.ports.iter().position(|(port, _)| self.role(port).is_none());
        let keeps = self.keeping().is_some();
        let fixed = self.addresses.as_ref().is_some_and(|words| words.iter().any(|word| word != "dhcp"));
        Some(match () {
            () if self.disk.is_none() => Question::Disk,
            () if member && !self.member => Question::Member,
            () if self.hostname.is_none() => Question::Hostname,
            () if port.is_some() => Question::Port(port.unwrap_or_default()),
            () if keeps && self.addresses.is_none() => Question::Address,
            () if keeps && fixed && self.gateways.is_none() => Question::Gateway,
            () if keeps && fixed && self.dns.is_none() => Question::Dns,
            () if self.password.is_none() && self.typed.is_some() => Question::Again,
            () if self.password.is_none() => Question::Password,
            () if self.keys.is_none() => Question::Key,
            () if self.erase.is_none() => Question::Erase,
            () => return None,
        })
    }

    /// Takes an answer to the question that [`Interview::next`] has put; an empty one is its default.
    ///
    /// # Errors
    /// Why that cannot be; the question stands.
    pub fn take(&mut self, text: &str) -> Result<(), String> {
        let Some(question) = self.question() else { return Ok(()) };
        let text = if matches!(question, Question::Password | Question::Again) { text } else { text.trim() };
        match question {
            Question::Disk => {
                let index = match text {
                    "" => self.only()?,
                    text => self.numbered(text).map_or_else(|| self.named(text), Ok)?,
                };
                self.take_disk(index, false)
            }
            Question::Member => {
                if is_yes(text) {
                    self.member = true;
                } else {
                    self.disk = None;
                    if self.erase == Some(true) {
                        return Err(self.refused_members());
                    }
                }
                Ok(())
            }
            Question::Hostname => {
                let name = if text.is_empty() { &self.manifest.made.hostname } else { text };
                if !is_hostname(name) {
                    return Err(format!(
                        "`{name}` is no host name: letters, digits and inner hyphens, at most 63"
                    ));
                }
                self.hostname = Some(name.to_owned());
                Ok(())
            }
            Question::Port(index) => self.take_port(index, text),
            Question::Address => {
                let words = listed(text, "dhcp");
                Addresses::of(&words, &[], &[]).map_err(|fault| fault.to_string())?;
                self.addresses = Some(words);
                Ok(())
            }
            Question::Gateway => self.take_ips(text, true),
            Question::Dns => self.take_ips(text, false),
            Question::Password => {
                if text.is_empty() {
                    self.password = Some(None);
                } else {
                    self.typed = Some(text.to_owned());
                }
                Ok(())
            }
            Question::Again => {
                let typed = self.typed.take().unwrap_or_default();
                if typed != text {
                    return Err("the two are not the same".to_owned());
                }
                let hashed = crypt::hashed(&typed, self.salt);
                self.password = Some(Some(hashed.map_err(|error| format!("no hash of it: {error}"))?));
                Ok(())
            }
            Question::Key => self.take_key(text),
            Question::Erase => {
                self.erase = Some(is_yes(text));
                Ok(())
            }
        }
    }

    /// What was settled, with a yes to the last page; `None` while something is open, or after a no.
    #[must_use]
    pub fn choice(&self) -> Option<Choice> {
        if self.question().is_some() || self.erase != Some(true) {
            return None;
        }
        Some(Choice {
            disk: self.chosen()?.clone(),
            hostname: self.hostname.clone()?,
            roles: self.roles.clone(),
            addresses: self.settled_addresses().ok()?,
            keys: self.all_keys(),
            password_hash: self.password.clone().flatten(),
            then: self.then,
        })
    }

    /// The medium's keys, then those that were given here.
    fn all_keys(&self) -> Vec<String> {
        let mut keys = self.manifest.made.keys.clone();
        keys.extend(self.keys.iter().flatten().filter(|key| !self.manifest.made.keys.contains(key)).cloned());
        keys
    }

    fn needed(&self) -> u64 {
        self.manifest.disk
    }

    fn chosen(&self) -> Option<&Disk> {
        self.disks.get(self.disk?)
    }

    /// The bridge that keeps an address, where one has a port.
    fn keeping(&self) -> Option<&str> {
        let has_nic = |port: &str| !matches!(self.role(port), Some(Role { mac: None, .. }));
        let mut bridges = self.host.bridges.iter();
        let bridge = bridges.find(|bridge| bridge.address == AddressPolicy::Keep && has_nic(bridge.nic()))?;
        Some(bridge.name.as_str())
    }

    fn settled_addresses(&self) -> Result<Addresses, String> {
        let words = self.addresses.clone().unwrap_or_default();
        let none = Vec::new();
        let (gateways, dns) = (self.gateways.as_ref().unwrap_or(&none), self.dns.as_ref().unwrap_or(&none));
        Addresses::of(&words, gateways, dns).map_err(|fault| fault.to_string())
    }

    // Disks.

    /// The one disk that may be taken.
    fn only(&self) -> Result<usize, String> {
        let free = |index: &usize| {
            self.disks.get(*index).is_some_and(|disk| disk.verdict(self.needed()) == Verdict::Free)
        };
        let mut all = (0..self.disks.len()).filter(free);
        match (all.next(), all.next()) {
            (Some(one), None) => Ok(one),
            (Some(_), Some(_)) => Err("there are several disks that could be taken".to_owned()),
            (None, _) => {
                let why: Vec<String> = self.disks.iter().flat_map(|disk| self.reasons(disk)).collect();
                let why = if why.is_empty() { "there is none".to_owned() } else { why.join("; ") };
                Err(format!("no disk can be taken: {why}"))
            }
        }
    }

    fn reasons(&self, disk: &Disk) -> Vec<String> {
        match disk.verdict(self.needed()) {
            Verdict::Free => Vec::new(),
            Verdict::Member(why) | Verdict::Refused(why) => why,
        }
    }

    fn numbered(&self, text: &str) -> Option<usize> {
        let number: usize = text.parse().ok()?;
        number.checked_sub(1).filter(|index| *index < self.disks.len())
    }

    fn named(&self, word: &str) -> Result<usize, String> {
        let mut all = (0..).zip(self.disks).filter(|(_, disk)| disk.is_called(word));
        match (all.next(), all.next()) {
            (Some((index, _)), None) => Ok(index),
            (Some((_, one)), Some((_, other))) => {
                Err(format!("both {} and {} are called so", one.name, other.name))
            }
            (None, _) => {
                let names: Vec<&str> = self.disks.iter().map(|disk| disk.name.as_str()).collect();
                Err(format!("there is no such disk; there are {}", names.join(", ")))
            }
        }
    }

    fn take_disk(&mut self, index: usize, overwrite: bool) -> Result<(), String> {
        let disk = self.disks.get(index).ok_or_else(|| "there is no such disk".to_owned())?;
        match disk.verdict(self.needed()) {
            Verdict::Refused(why) => return Err(why.join("; ")),
            Verdict::Member(why) if self.erase == Some(true) && !overwrite => {
                return Err(format!("{}; overwrite = true would allow it", why.join("; ")));
            }
            Verdict::Member(_) => self.member = overwrite,
            Verdict::Free => {}
        }
        // A machine that starts the medium again would otherwise be erased at each start.
        let own = |part: &&Part| part.held.uuid.as_deref() == Some(self.manifest.made.root.as_str());
        if let Some(part) = disk.parts.iter().find(own)
            && self.erase == Some(true)
        {
            return Err(format!(
                "{} has this medium's own system already: take the medium out; nobody is asked, so it is not installed twice",
                part.name
            ));
        }
        self.disk = Some(index);
        Ok(())
    }

    fn member_reasons(&self) -> Vec<String> {
        self.chosen().map(|disk| self.reasons(disk)).unwrap_or_default()
    }

    fn refused_members(&self) -> String {
        self.member_reasons().join("; ")
    }

    // NICs.

    /// Those that no port has yet, with their numbers.
    fn unused(&self) -> Vec<(usize, &Nic)> {
        let is_unused = |(_, nic): &(usize, &Nic)| !self.roles.iter().any(|role| role.mac == Some(nic.mac));
        (1..).zip(self.nics).filter(is_unused).collect()
    }

    /// The first with a cable, else the first.
    fn likely(&self) -> Option<(usize, &Nic)> {
        let unused = self.unused();
        unused.iter().find(|(_, nic)| nic.link).or(unused.first()).copied()
    }

    fn take_port(&mut self, index: usize, text: &str) -> Result<(), String> {
        let port = self.ports.get(index).map(|(port, _)| port.clone()).unwrap_or_default();
        let mac = match text {
            "" => self.likely().map(|(_, nic)| nic.mac),
            "-" => None,
            text => {
                let means = |(number, nic): &(usize, &Nic)| {
                    number.to_string() == text
                        || nic.name == text
                        || nic.mac.to_string() == text.to_ascii_lowercase()
                };
                let found = self.unused().into_iter().find(means);
                Some(found.ok_or_else(|| format!("`{text}` is none of them"))?.1.mac)
            }
        };
        self.roles.push(Role { port, mac });
        Ok(())
    }

    // Words.

    fn take_ips(&mut self, text: &str, gateways: bool) -> Result<(), String> {
        let words = if text == "-" { Vec::new() } else { listed(text, "") };
        if gateways && text.is_empty() {
            return Err(
                "a machine without a router reaches its own network alone: write - where that is meant"
                    .into(),
            );
        }
        let parse = |word: &String| word.parse().map_err(|_| format!("`{word}` is no IP address"));
        let ips: Vec<IpAddr> =
            words.iter().filter(|word| !word.is_empty()).map(parse).collect::<Result<_, _>>()?;
        let before = (self.gateways.clone(), self.dns.clone());
        if gateways {
            self.gateways = Some(ips)
        } else {
            self.dns = Some(ips)
        }
        if let Err(why) = self.settled_addresses() {
            (self.gateways, self.dns) = before;
            return Err(why);
        }
        Ok(())
    }

    fn take_key(&mut self, text: &str) -> Result<(), String> {
        if text.is_empty() {
            let made = &self.manifest.made;
            let password = made.password || self.password.as_ref().is_some_and(Option::is_some);
            if !password && made.keys.is_empty() {
                if self.erase != Some(true) {
                    self.password = None;
                }
                return Err("nobody could log in: give a password or a key".to_owned());
            }
            self.keys = Some(Vec::new());
            return Ok(());
        }
        self.keys = Some(authorized_keys(text).map_err(|fault| fault.to_string())?);
        Ok(())
    }
}

fn is_yes(text: &str) -> bool {
    matches!(text, "y" | "Y" | "yes" | "Yes" | "YES")
}

/// The words of a list with commas or blanks between them; `default` where there is none.
fn listed(text: &str, default: &str) -> Vec<String> {
    let words: Vec<String> =
        text.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    if words.is_empty() { vec![default.to_owned()] } else { words }
}
