//! The answer file of an unattended installation: answers.toml(5), and the same words on the kernel's command line.
//!
//! Decides: which answers there are, and names everything that is wrong with its line and column.
//! Never: decides whether an answer fits this machine; that is the interview's.

use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;

use toml_edit::{Item, TableLike};
use xenup_machine::network::Mac;

use crate::guest::create::{Addresses, authorized_keys};
use crate::toml_file::{self, Faults, FaultyFile};

/// Before each key on the kernel's command line.
pub const PREFIX: &str = "xenup.";

const TOP: &[&str] = &[
    "disk",
    "overwrite",
    "erase",
    "hostname",
    "ssh-keys",
    "root-password-hash",
    "address",
    "gateway",
    "dns",
    "nic",
    "then",
];
const NIC: &[&str] = &["port", "mac"];

/// What was answered beforehand; `None`, or nothing, is not answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// Where the system goes to: a name, a path, a serial number, or `only`.
    pub disk: Option<String>,
    /// Whether a disk may be taken that is a part of something larger.
    pub overwrite: bool,
    /// Whether the disk may be erased without anybody being asked.
    pub erase: bool,
    /// The machine's name.
    pub hostname: Option<String>,
    /// Lines for root's authorized_keys.
    pub keys: Vec<String>,
    /// Root's password as crypt(5) has it.
    pub password_hash: Option<String>,
    /// `dhcp`, or addresses with the prefix's length.
    pub addresses: Vec<String>,
    /// Routers.
    pub gateways: Vec<IpAddr>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// Names of ports in host.toml, each with its NIC's address.
    pub nics: Vec<(String, Mac)>,
    /// What comes after the installation.
    pub then: Option<Then>,
}

/// What comes after an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The machine is started again.
    Reboot,
    /// It is switched off.
    PowerOff,
}

/// Answers that cannot be used, with everything that is wrong with them; the path may be that of the command line.
pub type AnswersError = FaultyFile;

impl Answers {
    /// Reads an answer file. `path` is for the errors alone.
    ///
    /// # Errors
    /// Every fault found, each with line, column and a hint.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, AnswersError> {
        toml_file::read(path, bytes, |faults| Reader { faults }.all())
    }

    /// Reads the words of the kernel's command line (/proc/cmdline) that are answers, and puts them over those of a file.
    ///
    /// Each is `xenup.KEY=VALUE`, with quotation marks around a value with blanks; lists have commas between their parts,
    /// and a NIC is `xenup.nic=PORT/MAC`.
    ///
    /// # Errors
    /// As [`Answers::parse`], in terms of the answer file that says the same, a line for each word.
    pub fn and_command_line(mut self, line: &str) -> Result<Self, AnswersError> {
        let words = command_line_words(line);
        let mut text = String::new();
        let mut nics = String::new();
        for (key, value) in words.iter().filter_map(|word| word.strip_prefix(PREFIX)?.split_once('=')) {
            let quoted = |part: &str| format!("\"{}\"", part.escape_default());
            let list = || value.split(',').map(quoted).collect::<Vec<_>>().join(", ");
            match key {
                "overwrite" | "erase" => {
                    let value = match value {
                        "yes" | "true" => "true".to_owned(),
                        "no" | "false" => "false".to_owned(),
                        other => quoted(other),
                    };
                    text.push_str(&format!("{key} = {value}\n"));
                }
                "ssh-keys" | "address" | "gateway" | "dns" => {
                    text.push_str(&format!("{key} = [{}]\n", list()))
                }
                "nic" => {
                    let (port, mac) = value.split_once('/').unwrap_or((value, ""));
                    nics.push_str(&format!("[[nic]]\nport = {}\nmac = {}\n", quoted(port), quoted(mac)));
                }
                key => text.push_str(&format!("{key} = {}\n", quoted(value))),
            }
        }
        text.push_str(&nics);
        let over = Self::parse(Path::new("kernel-command-line"), text.as_bytes())?;
        self.overwrite |= over.overwrite;
        self.erase |= over.erase;
        self.disk = over.disk.or(self.disk);
        self.hostname = over.hostname.or(self.hostname);
        self.password_hash = over.password_hash.or(self.password_hash);
        self.then = over.then.or(self.then);
        if !over.addresses.is_empty() {
            (self.addresses, self.gateways, self.dns) = (over.addresses, over.gateways, over.dns);
        }
        if !over.keys.is_empty() {
            self.keys = over.keys;
        }
        self.nics.retain(|(port, _)| over.nics.iter().all(|(other, _)| other != port));
        self.nics.extend(over.nics);
        Ok(self)
    }
}

/// The words of a kernel's command line; quotation marks hold blanks together and are taken off (kernel-parameters).
fn command_line_words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.trim_end().chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => words.push(String::new()),
            c => {
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
        }
    }
    words
}

struct Reader<'f, 't> {
    faults: &'f mut Faults<'t>,
}

impl Reader<'_, '_> {
    fn fault(&mut self, span: Range<usize>, what: impl Into<String>, hint: impl Into<String>) {
        self.faults.add(span, what, hint);
    }

    fn all(&mut self) -> Option<Answers> {
        let document = self.faults.document("see answers.toml(5) for an example")?;
        let top = document.as_table();
        self.faults.unknown_keys(top, "the answer file", 0, TOP);
        let answers = Answers {
            disk: self.text_of(top, "disk").map(|(text, _)| text),
            overwrite: self.switch(top, "overwrite"),
            erase: self.switch(top, "erase"),
            hostname: self.hostname(top),
            keys: self.ssh_keys(top),
            password_hash: self.hash(top),
            addresses: self.list(top, "address").into_iter().map(|(word, _)| word).collect(),
            gateways: self.ips(top, "gateway"),
            dns: self.ips(top, "dns"),
            nics: self.nics(top),
            then: self.then(top),
        };
        self.address_words(top, &answers);
        Some(answers)
    }

    fn text_of(&mut self, table: &dyn TableLike, key: &str) -> Option<(String, Range<usize>)> {
        let item = table.get(key)?;
        let span = item.span().unwrap_or(0..0);
        match item.as_str() {
            Some(text) if !text.is_empty() && !text.contains(char::is_control) => {
                Some((text.to_owned(), span))
            }
            Some(_) => {
                self.fault(span, format!("`{key}` is empty or more than one line"), "leave the key out");
                None
            }
            None => {
                let what = format!("`{key}` is not a text");
                self.fault(span, what, "write it in quotation marks");
                None
            }
        }
    }

    fn switch(&mut self, table: &dyn TableLike, key: &str) -> bool {
        let Some(item) = table.get(key) else { return false };
        if item.as_bool().is_none() {
            let what = format!("`{key}` is neither true nor false");
            self.fault(item.span().unwrap_or(0..0), what, format!("write {key} = true, or leave it out"));
        }
        item.as_bool().unwrap_or_default()
    }

    /// A list of texts, or one text by itself.
    fn list(&mut self, table: &dyn TableLike, key: &str) -> Vec<(String, Range<usize>)> {
        let Some(item) = table.get(key) else { return Vec::new() };
        let span = item.span().unwrap_or(0..0);
        if item.is_str() {
            return self.text_of(table, key).into_iter().collect();
        }
        let Some(array) = item.as_array() else {
            self.fault(span, format!("`{key}` is not a list"), format!("write {key} = [\"…\"]"));
            return Vec::new();
        };
        let mut words = Vec::new();
        for value in array {
            let span = value.span().unwrap_or(span.clone());
            match value.as_str() {
                Some(word) => words.push((word.to_owned(), span)),
                None => self.fault(
                    span,
                    format!("`{key}` holds something else than text"),
                    "write it in quotation marks",
                ),
            }
        }
        words
    }

    fn hostname(&mut self, table: &dyn TableLike) -> Option<String> {
        let (text, span) = self.text_of(table, "hostname")?;
        if is_hostname(&text) {
            return Some(text);
        }
        self.fault(
            span,
            format!("`{text}` is no host name"),
            "letters, digits and inner hyphens, at most 63",
        );
        None
    }

    fn ssh_keys(&mut self, table: &dyn TableLike) -> Vec<String> {
        let mut keys = Vec::new();
        for (line, span) in self.list(table, "ssh-keys") {
            match authorized_keys(&line) {
                Ok(found) => keys.extend(found),
                Err(fault) => {
                    let what = format!("`ssh-keys` holds no public key: {fault}");
                    self.fault(
                        span,
                        what,
                        "write the line of a .pub file, such as \"ssh-ed25519 AAAA… you@here\"",
                    );
                }
            }
        }
        keys
    }

    fn hash(&mut self, table: &dyn TableLike) -> Option<String> {
        let (text, span) = self.text_of(table, "root-password-hash")?;
        if is_password_hash(&text) {
            return Some(text);
        }
        let hint = "write what mkpasswd --method=yescrypt prints (package whois)";
        self.fault(span, "`root-password-hash` is no crypt(5) hash, which begins with `$`", hint);
        None
    }

    fn ips(&mut self, table: &dyn TableLike, key: &str) -> Vec<IpAddr> {
        let mut all = Vec::new();
        for (word, span) in self.list(table, key) {
            match word.parse() {
                Ok(ip) => all.push(ip),
                Err(_) => {
                    let what = format!("`{}` is no IP address", word.escape_debug());
                    self.fault(span, what, format!("write an address, such as {key} = \"192.0.2.1\""));
                }
            }
        }
        all
    }

    fn nics(&mut self, top: &dyn TableLike) -> Vec<(String, Mac)> {
        let Some(item) = top.get("nic") else { return Vec::new() };
        let Some(tables) = item.as_array_of_tables() else {
            self.fault(item.span().unwrap_or(0..0), "`nic` is not a list of tables", "write each as [[nic]]");
            return Vec::new();
        };
        let mut all: Vec<(String, Mac)> = Vec::new();
        for table in tables {
            self.faults.unknown_keys(table, "[[nic]]", 0, NIC);
            let start = table.span().map_or(0, |span| span.start);
            for key in NIC.iter().filter(|key| !table.contains_key(key)) {
                let hint = "write both: port = \"lan0\" and mac = \"52:54:00:aa:bb:cc\"";
                self.fault(start..start, format!("[[nic]] has no `{key}`"), hint);
            }
            let (port, mac) = (self.text_of(table, "port"), self.text_of(table, "mac"));
            let (Some((port, place)), Some((mac, span))) = (port, mac) else { continue };
            if all.iter().any(|(other, _)| *other == port) {
                self.fault(
                    place,
                    format!("`{port}` is two NICs"),
                    "write one [[nic]] for each port of host.toml",
                );
                continue;
            }
            match mac.parse::<Mac>() {
                Ok(mac) if mac.is_station() => all.push((port, mac)),
                _ => {
                    let what = format!("`{}` is no NIC's address", mac.escape_debug());
                    self.fault(span, what, "write it as it is on the label, such as \"52:54:00:aa:bb:cc\"");
                }
            }
        }
        all
    }

    fn then(&mut self, table: &dyn TableLike) -> Option<Then> {
        let (text, span) = self.text_of(table, "then")?;
        match text.as_str() {
            "reboot" => Some(Then::Reboot),
            "poweroff" => Some(Then::PowerOff),
            _ => {
                let what = format!("`then` cannot be `{}`", text.escape_debug());
                self.fault(span, what, "write \"reboot\" or \"poweroff\"");
                None
            }
        }
    }

    /// Addresses that exclude each other: one sentence for all three keys.
    fn address_words(&mut self, table: &dyn TableLike, answers: &Answers) {
        let found = Addresses::of(&answers.addresses, &answers.gateways, &answers.dns);
        if let Err(fault) = found {
            let item: Option<&Item> = ["address", "gateway", "dns"].iter().find_map(|key| table.get(key));
            let span = item.and_then(Item::span).unwrap_or(0..0);
            // That hint may be in the command line's words.
            let hint = Some(fault.hint()).filter(|hint| !hint.contains("--"));
            self.fault(span, fault.to_string(), hint.unwrap_or("see answers.toml(5) for an example"));
        }
    }
}

/// Whether a machine can be called so (hostname(7)), without a domain.
#[must_use]
pub fn is_hostname(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_password_hash(text: &str) -> bool {
    text.starts_with('$') && text.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}
