//! The values that host.toml can hold, each parsed once and right ever after.
//! Decides the grammar of each; never decides whether this machine can have it.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Why a value cannot be used, and what could be written instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong, as one sentence without a full stop.
    pub what: String,
    /// What to write instead.
    pub hint: String,
}

fn refused<T>(what: impl Into<String>, hint: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { what: what.into(), hint: hint.into() })
}

/// The name of a link that xenup makes: one that the kernel, ifupdown and Xen's scripts all take as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkName(String);

impl LinkName {
    /// Returns its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for LinkName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// IFNAMSIZ of linux/if.h is 16 with the closing zero byte.
pub(super) const LONGEST_NAME: usize = 15;

impl FromStr for LinkName {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        if text.len() > LONGEST_NAME {
            let what = format!("`{text}` has {} bytes; a link's name has {LONGEST_NAME} at most", text.len());
            return refused(what, "choose a shorter name, such as \"xenbr0\"");
        }
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !text.starts_with(|c: char| c.is_ascii_alphabetic()) || !text.chars().all(good) {
            // A dot would make ifupdown's vlan script take it for a VLAN.
            let what = format!("`{}` cannot be a bridge's name", text.escape_debug());
            return refused(what, "write letters, digits, hyphens and underscores, a letter first");
        }
        let digits_after = |prefix: &str| {
            text.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        // /proc/sys/net/*/conf has two directories of these names; the others are taken by their makers.
        let taken = matches!(text, "all" | "default" | "lo" | "none")
            || ["vlan", "vif", "tap", "eth", "wlan"].iter().any(|prefix| digits_after(prefix));
        if taken {
            let what = format!("`{text}` already means something else to the kernel, ifupdown or Xen");
            return refused(what, "choose another name, such as \"xenbr0\"");
        }
        Ok(Self(text.to_owned()))
    }
}

/// An amount of memory, as Xen's command line takes it: a number and M or G.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    text: String,
    /// Bytes.
    pub bytes: u64,
}

impl Memory {
    /// Returns it as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Serialize for Memory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

const MIB: u64 = 1 << 20;
/// Debian's kernel with its initrd does not come up in less.
const LEAST_DOM0: u64 = 256 * MIB;

impl FromStr for Memory {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let hint = "write a number and M or G, such as \"2G\" or \"1536M\"";
        let unit = match text.chars().last() {
            Some('M') => MIB,
            Some('G') => MIB << 10,
            _ => return refused(format!("`{}` is not an amount of memory", text.escape_debug()), hint),
        };
        let digits = &text[..text.len() - 1];
        let number = digits.bytes().all(|c| c.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten();
        let Some(bytes) = number.and_then(|number| number.checked_mul(unit)) else {
            return refused(format!("`{}` is not an amount of memory", text.escape_debug()), hint);
        };
        if bytes < LEAST_DOM0 {
            return refused(
                format!("`{text}` is too little for Debian as dom0"),
                "give dom0 256M at least; 2G is usual",
            );
        }
        Ok(Self { text: text.to_owned(), bytes })
    }
}

/// Where Xen writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Console {
    /// A serial port.
    pub serial: Option<Serial>,
    /// The screen.
    pub vga: bool,
}

/// A serial port of the PC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Serial {
    /// 1 or 2: Xen's com1 and com2, Linux's ttyS0 and ttyS1.
    pub port: u8,
    /// Bits per second.
    pub speed: u32,
}

const SPEEDS: [u32; 7] = [9600, 19200, 38400, 57600, 115_200, 230_400, 921_600];

impl FromStr for Console {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let hint = "write \"com1:115200\", \"vga\", or both as \"com1:115200,vga\"";
        let mut console = Self { serial: None, vga: false };
        for word in text.split(',') {
            match word {
                "vga" if !console.vga => console.vga = true,
                _ if word.starts_with("com") && console.serial.is_none() => {
                    console.serial = Some(serial(word, hint)?)
                }
                _ => return refused(format!("`{}` is not a console of Xen's", text.escape_debug()), hint),
            }
        }
        Ok(console)
    }
}

fn serial(word: &str, hint: &str) -> Result<Serial, Refused> {
    let (port, speed) = word.split_once(':').unwrap_or((word, ""));
    let port = match port {
        "com1" => 1,
        "com2" => 2,
        _ => return refused(format!("Xen has no serial port `{}`", port.escape_debug()), hint),
    };
    match speed.parse() {
        Ok(speed) if SPEEDS.contains(&speed) => Ok(Serial { port, speed }),
        _ => {
            let speeds: Vec<String> = SPEEDS.iter().map(u32::to_string).collect();
            let what = format!("`{}` is not a speed of a serial port", speed.escape_debug());
            refused(what, format!("write one of {}, such as \"com{port}:115200\"", speeds.join(", ")))
        }
    }
}

/// An IPv4 network, written `10.77.0.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    /// Network address.
    pub network: Ipv4Addr,
    /// Length of its prefix in bits, 8 to 30; to 32 where it is routed.
    pub length: u8,
}

impl Subnet {
    /// Returns whether a host may have this address: inside, neither the network's nor the broadcast address.
    #[must_use]
    pub fn has_host(self, address: Ipv4Addr) -> bool {
        let host = u32::from(address) & !self.mask();
        u32::from(address) & self.mask() == u32::from(self.network) && host != 0 && host != !self.mask()
    }

    /// Returns the first host's address.
    #[must_use]
    pub fn first_host(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.network) + 1)
    }

    /// Returns whether the two have an address in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let mask = self.mask() & other.mask();
        u32::from(self.network) & mask == u32::from(other.network) & mask
    }

    /// Returns whether another network, given by an address of it and its prefix, has an address in common with it.
    #[must_use]
    pub fn meets(self, ip: Ipv4Addr, length: u8) -> bool {
        let mask = self.mask() & u32::MAX.checked_shl(u32::from(32_u8.saturating_sub(length))).unwrap_or(0);
        u32::from(self.network) & mask == u32::from(ip) & mask
    }

    /// Returns the last host's address.
    #[must_use]
    pub fn last_host(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.broadcast()).saturating_sub(1))
    }

    /// Returns the address of all of its hosts.
    #[must_use]
    pub fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.network) | !self.mask())
    }

    /// Returns the mask of its prefix.
    #[must_use]
    pub fn netmask(self) -> Ipv4Addr {
        Ipv4Addr::from(self.mask())
    }

    fn mask(self) -> u32 {
        u32::MAX << (32 - self.length)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.length)
    }
}

impl Serialize for Subnet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Subnet {
    /// Reads an address with its prefix of 8 to 32 bits; returns the address and its network.
    pub(super) fn of_address(text: &str) -> Option<(Ipv4Addr, Self)> {
        let (ip, length) = text.split_once('/')?;
        let length = length.parse::<u8>().ok().filter(|length| (8..=32).contains(length))?;
        let ip = ip.parse::<Ipv4Addr>().ok()?;
        let network = Self { network: ip, length };
        Some((ip, Self { network: Ipv4Addr::from(u32::from(ip) & network.mask()), length }))
    }

    /// Reads a network, a single address with its 32 bits among them.
    ///
    /// # Errors
    /// Text that is none, and an address within a network.
    pub(super) fn up_to_a_host(text: &str) -> Result<Self, Refused> {
        let Some((ip, subnet)) = Self::of_address(text) else {
            let what = format!("`{}` is not an IPv4 network", text.escape_debug());
            return refused(what, "write address and prefix, 8 to 32 bits, such as \"198.51.100.0/28\"");
        };
        subnet.beginning_at(ip)
    }

    fn beginning_at(self, ip: Ipv4Addr) -> Result<Self, Refused> {
        if self.network == ip {
            return Ok(self);
        }
        let what = format!("`{ip}/{}` is an address in a network, not a network", self.length);
        refused(what, format!("write \"{self}\""))
    }
}

impl FromStr for Subnet {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let read = Self::of_address(text).filter(|(_, subnet)| subnet.length <= 30);
        let Some((ip, subnet)) = read else {
            let what = format!("`{}` is not an IPv4 network", text.escape_debug());
            return refused(what, "write address and prefix, 8 to 30 bits, such as \"10.77.0.0/24\"");
        };
        subnet.beginning_at(ip)
    }
}

/// Checks a word of Xen's command line: it goes through a shell and GRUB's own language on its way.
///
/// # Errors
/// Words that either would take for more than a word.
pub fn xen_option(text: &str) -> Result<String, Refused> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.,:=@/+%[]~^".contains(c);
    if text.is_empty() {
        return refused("an option is empty", "remove it");
    }
    if let Some(bad) = text.chars().find(|c| !good(*c)) {
        let what = format!(
            "`{}` has a character that Xen's command line cannot carry: `{}`",
            text.escape_debug(),
            bad.escape_debug()
        );
        return refused(what, "write each option as one word, such as [\"hap=0\", \"ucode=scan\"]");
    }
    let key = text.split_once('=').map_or(text, |(key, _)| key);
    let own = match key {
        "dom0_mem" => Some("dom0-memory"),
        "dom0_max_vcpus" => Some("dom0-vcpus"),
        "console" | "com1" | "com2" => Some("console"),
        _ => None,
    };
    match own {
        Some(own) => {
            refused(format!("`{text}` has a key of its own"), format!("write it as `{own}` in [xen]"))
        }
        None => Ok(text.to_owned()),
    }
}
