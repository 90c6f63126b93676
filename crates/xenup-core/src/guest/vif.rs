//! A network interface of a guest: `vif = [ 'SPEC', … ]`.
//!
//! Decides: what a specification says, and what of it xl passes over. Facts: parse_nic_config in xl_parse.c,
//! libxlu_vif.c, xl-network-configuration(5). Never: looks whether a bridge is there.

use xenup_machine::network::Mac;

/// The kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VifKind {
    /// Paravirtual alone.
    Vif,
    /// Emulated and paravirtual.
    Ioemu,
}

/// A limit on what a guest sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Bytes that may be sent in each interval.
    pub bytes: u64,
    /// Microseconds.
    pub interval: u32,
}

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VifSpec {
    /// Its address in the guest.
    pub mac: Option<Mac>,
    /// The bridge; xl's default where none is named.
    pub bridge: Option<String>,
    /// The interface that vif-route proxies for.
    pub gatewaydev: Option<String>,
    /// The script, in /etc/xen/scripts where it has no `/`; vif-bridge where none is named.
    pub script: Option<String>,
    /// What the script may do with it is its own affair.
    pub ip: Option<String>,
    /// The kind.
    pub kind: Option<VifKind>,
    /// The emulated NIC.
    pub model: Option<String>,
    /// The name in dom0.
    pub vifname: Option<String>,
    /// The domain that serves it.
    pub backend: Option<String>,
    /// The limit.
    pub rate: Option<Rate>,
    /// The index.
    pub devid: Option<u32>,
    /// The MTU.
    pub mtu: Option<u32>,
    /// VLANs, which no script of Debian's reads.
    pub vlan: Option<String>,
    /// Whether the backend is to be trusted.
    pub trusted: Option<bool>,
    /// COLO's keys, as they were said.
    pub others: Vec<String>,
    /// What is wrong; xl goes on behind most of it.
    pub faults: Vec<VifFault>,
}

/// What is wrong in a specification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VifFault {
    /// A word that xl does not know and passes over.
    #[error("`{0}` is nothing that xl knows of a vif")]
    Unknown(String),
    /// A value that a key does not take; xl passes over it.
    #[error("{0} does not take `{1}`")]
    Value(&'static str, String),
    /// What should be a number and is none; xl refuses it, and the guest with it.
    #[error("{0} does not take `{1}`: it is a number")]
    Number(&'static str, String),
    /// An address that names no single station.
    #[error("{0} is no address of one station: its first byte must be even")]
    Group(Mac),
    /// `netdev=`.
    #[error("`netdev=` is the old name of `gatewaydev=`")]
    Netdev,
    /// `accel=`.
    #[error("`accel=` is not supported by xl")]
    Accel,
    /// A rate that xl refuses, and the guest with it.
    #[error("rate does not take `{0}`: write for instance 10Mb/s or 1MB/s@20ms")]
    Rate(String),
}

impl VifSpec {
    /// Reads a specification; nothing in it is refused outright.
    #[must_use]
    pub fn parse(spec: &str) -> Self {
        let mut vif = Self::default();
        for part in spec.split(',').filter(|part| !part.is_empty()) {
            let part = part.trim_start_matches(' ');
            if let Err(fault) = vif.part(part) {
                vif.faults.push(fault);
            }
        }
        vif
    }

    fn part(&mut self, part: &str) -> Result<(), VifFault> {
        let (key, value) = match part.split_once('=') {
            Some(pair) => pair,
            None if part == "trusted" || part == "untrusted" => {
                self.trusted = Some(part == "trusted");
                return Ok(());
            }
            None => return Err(VifFault::Unknown(part.to_owned())),
        };
        let text = || Some(value.to_owned());
        let number = |key| number(value).ok_or_else(|| VifFault::Number(key, value.to_owned()));
        match key {
            "mac" => {
                let mac: Mac = value.parse().map_err(|_| VifFault::Value("mac", value.to_owned()))?;
                self.mac = Some(mac);
                if !mac.is_station() {
                    return Err(VifFault::Group(mac));
                }
            }
            "bridge" => self.bridge = text(),
            "gatewaydev" => self.gatewaydev = text(),
            "netdev" => {
                self.gatewaydev = text();
                return Err(VifFault::Netdev);
            }
            "type" => {
                self.kind = Some(match value {
                    "vif" => VifKind::Vif,
                    "ioemu" => VifKind::Ioemu,
                    _ => return Err(VifFault::Value("type", value.to_owned())),
                });
            }
            "script" => self.script = text(),
            "ip" => self.ip = text(),
            "model" => self.model = text(),
            "vifname" => self.vifname = text(),
            "backend" => self.backend = text(),
            "vlan" => self.vlan = text(),
            "rate" => {
                self.rate = Some(rate(value).ok_or_else(|| VifFault::Rate(value.to_owned()))?);
            }
            "devid" => self.devid = Some(number("devid")?),
            "mtu" => self.mtu = Some(number("mtu")?),
            "accel" => return Err(VifFault::Accel),
            "forwarddev" => self.others.push(part.to_owned()),
            _ if key.starts_with("colo_") => self.others.push(part.to_owned()),
            _ => return Err(VifFault::Unknown(part.to_owned())),
        }
        Ok(())
    }
}

/// Reads a number as xl does (parse_ulong in xl_parse.c): what follows its digits is passed over. `None` where there are
/// no digits, or more than fit.
fn number(text: &str) -> Option<u32> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.get(..digits)?.parse().ok()
}

/// Reads `10Mb/s`, `1MB/s@20ms`; `None` where xl would refuse it.
fn rate(text: &str) -> Option<Rate> {
    let (amount, interval) = match text.split_once('@') {
        Some((amount, interval)) => (amount, Some(interval)),
        None => (text, None),
    };
    let (number, unit) = counted(amount)?;
    let unit = unit.strip_suffix("/s")?;
    let (factor, unit) = match unit.split_at_checked(1)? {
        ("G", unit) => (1_000_000_000, unit),
        ("M", unit) => (1_000_000, unit),
        ("K", unit) => (1_000, unit),
        _ => (1, unit),
    };
    let bytes = number.checked_mul(factor)?;
    let bytes = match unit {
        "b" => bytes / 8,
        "B" => bytes,
        _ => return None,
    };
    let interval = match interval.map(counted) {
        None => 50_000,
        Some(Some((number, "" | "s"))) => number.checked_mul(1_000_000)?,
        Some(Some((number, "ms" | "m"))) => number.checked_mul(1_000)?,
        Some(Some((number, "us" | "u"))) => number,
        Some(_) => return None,
    };
    let interval = u32::try_from(interval).ok()?;
    Some(Rate { bytes: bytes.checked_mul(u64::from(interval))? / 1_000_000, interval })
}

/// A number above 0 that fits 32 bits, and what follows it.
fn counted(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u32 = number.parse().ok().filter(|number| *number > 0)?;
    Some((u64::from(number), unit))
}

#[cfg(test)]
mod tests {
    use super::{Rate, number, rate};

    #[test]
    fn numbers_are_read_as_far_as_they_go() {
        for (text, expected) in [("12", Some(12)), (" 9", Some(9)), ("12x", Some(12)), ("+1", Some(1))] {
            assert_eq!(number(text), expected, "{text}");
        }
        for text in ["", "x", "-1", "99999999999999999999999"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn rates_are_bytes_in_an_interval() {
        for (text, expected) in [
            ("10Mb/s", Some((62_500, 50_000))),
            ("250KB/s", Some((12_500, 50_000))),
            ("1MB/s@20ms", Some((20_000, 20_000))),
            ("8b/s@1s", Some((1, 1_000_000))),
            ("1GB/s@5us", Some((5_000, 5))),
            ("10", None),
            ("10Mb", None),
            ("0b/s", None),
            ("10Tb/s", None),
            ("1MB/s@", None),
            ("1MB/s@1h", None),
            ("4294967295GB/s@4000s", None),
            ("", None),
        ] {
            assert_eq!(rate(text), expected.map(|(bytes, interval)| Rate { bytes, interval }), "{text}");
        }
    }
}
