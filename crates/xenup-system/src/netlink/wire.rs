//! Bytes of netlink(7) messages and their attributes, both ways. Pure: never opens a socket.
//!
//! Written here and not taken from a crate: what the kernel says in an attribute we do not know is skipped, so that a
//! newer kernel or an odd driver cannot make a whole machine unreadable. Host byte order throughout, as netlink has it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `NLM_F_REQUEST` (linux/netlink.h).
pub(super) const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`.
pub(super) const ACK: u16 = 0x4;
/// `NLM_F_DUMP_INTR`: what is dumped changed on the way.
pub(super) const DUMP_INTERRUPTED: u16 = 0x10;
/// `NLM_F_DUMP`.
pub(super) const DUMP: u16 = 0x300;
/// `NLM_F_REPLACE`.
pub(super) const REPLACE: u16 = 0x100;
/// `NLM_F_EXCL`.
pub(super) const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_CREATE`.
pub(super) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`.
pub(super) const APPEND: u16 = 0x800;
/// `NLMSG_ERROR`.
pub(super) const ERROR: u16 = 2;
/// `NLMSG_DONE`.
pub(super) const DONE: u16 = 3;
/// `NLM_F_ACK_TLVS`: attributes follow in an error message.
const ACK_TLVS: u16 = 0x200;
/// `NLM_F_CAPPED`: the request is not repeated in an error message.
const CAPPED: u16 = 0x100;
/// `NLMSGERR_ATTR_MSG`: the extended acknowledgement's text.
const ERROR_TEXT: u16 = 1;
/// `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`: flags in an attribute's type.
const TYPE_MASK: u16 = 0x3fff;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
const HEADER: usize = 16;

/// A message being written.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Starts a message of this type with its fixed body, which must be a multiple of four bytes long.
    pub(super) fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(REQUEST | flags).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(body);
        Self { bytes }
    }

    /// Adds an attribute.
    pub(super) fn put(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// Adds a text with its closing zero.
    pub(super) fn put_text(&mut self, kind: u16, text: &str) -> &mut Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.put(kind, &value)
    }

    /// Adds a number of 32 bits.
    pub(super) fn put_u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// Adds an address, 4 or 16 bytes.
    pub(super) fn put_ip(&mut self, kind: u16, ip: IpAddr) -> &mut Self {
        match ip {
            IpAddr::V4(ip) => self.put(kind, &ip.octets()),
            IpAddr::V6(ip) => self.put(kind, &ip.octets()),
        }
    }

    /// Adds an attribute made of what `inside` writes.
    pub(super) fn nest(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.bytes.len();
        self.put(kind | NESTED, &[]);
        inside(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX).to_ne_bytes();
        if let Some(place) = self.bytes.get_mut(start..start + 2) {
            place.copy_from_slice(&length);
        }
        self
    }

    /// Adds bytes as they are: the fixed part of a nested message.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Adds `NLM_F_*` flags.
    pub(super) fn add_flags(&mut self, flags: u16) {
        let flags = u16_at(&self.bytes, 6).unwrap_or(0) | flags;
        if let Some(place) = self.bytes.get_mut(6..8) {
            place.copy_from_slice(&flags.to_ne_bytes());
        }
    }

    /// Returns the message under a sequence number.
    pub(super) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX).to_ne_bytes();
        for (at, value) in [(0, length), (8, sequence.to_ne_bytes())] {
            if let Some(place) = self.bytes.get_mut(at..at + 4) {
                place.copy_from_slice(&value);
            }
        }
        self.bytes
    }
}

/// A message as it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    /// Its type.
    pub(super) kind: u16,
    /// `NLM_F_*`.
    pub(super) flags: u16,
    /// The request it answers; 0 for an event.
    pub(super) sequence: u32,
    /// All after the header.
    pub(super) body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Returns the fixed body of `length` bytes and the attributes after it; `None` where it is shorter.
    pub(super) fn split(self, length: usize) -> Option<(&'a [u8], Attributes<'a>)> {
        let (fixed, rest) = self.body.split_at_checked(length)?;
        Some((fixed, Attributes(rest)))
    }

    /// Returns what an `NLMSG_ERROR` or `NLMSG_DONE` says: the error's number (positive; 0 is an acknowledgement) and
    /// the extended acknowledgement's text, empty where there is none.
    pub(super) fn error(self) -> (i32, String) {
        let code = i32_at(self.body, 0).unwrap_or(0).saturating_neg();
        let mut at = if self.kind == ERROR { 4 + HEADER } else { 4 };
        if self.kind == ERROR && self.flags & CAPPED == 0 {
            // The whole request is repeated before the attributes; its length is in its header.
            let length =
                u32_at(self.body, 4).and_then(|length| usize::try_from(length).ok()).unwrap_or(HEADER);
            at = 4 + length.max(HEADER).saturating_add(3) / 4 * 4;
        }
        if self.flags & ACK_TLVS == 0 {
            return (code, String::new());
        }
        let rest = Attributes(self.body.get(at..).unwrap_or_default());
        (code, rest.find(ERROR_TEXT).map(text).unwrap_or_default())
    }
}

/// Walks the messages in a datagram; a torn last one ends the walk.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let body = bytes.get(HEADER..length)?;
        let message =
            Message { kind: u16_at(bytes, 4)?, flags: u16_at(bytes, 6)?, sequence: u32_at(bytes, 8)?, body };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// A run of attributes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Attributes<'a> {
    /// Walks them as type and value; a torn last one ends the walk.
    pub(super) fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut bytes = self.0;
        std::iter::from_fn(move || {
            let length = usize::from(u16_at(bytes, 0)?);
            let kind = u16_at(bytes, 2)? & TYPE_MASK;
            let value = bytes.get(4..length)?;
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
            Some((kind, value))
        })
    }

    /// Returns the first of a type.
    pub(super) fn find(self, kind: u16) -> Option<&'a [u8]> {
        self.iter().find(|&(found, _)| found == kind).map(|(_, value)| value)
    }

    /// Returns the attributes within the first of a type; none where it is not there.
    pub(super) fn within(self, kind: u16) -> Self {
        Self(self.find(kind).unwrap_or_default())
    }

    /// Returns a number of 32 bits.
    pub(super) fn u32(self, kind: u16) -> Option<u32> {
        self.find(kind).and_then(|value| u32_at(value, 0))
    }

    /// Returns a number of 16 bits.
    pub(super) fn u16(self, kind: u16) -> Option<u16> {
        self.find(kind).and_then(|value| u16_at(value, 0))
    }

    /// Returns a number of 8 bits.
    pub(super) fn u8(self, kind: u16) -> Option<u8> {
        self.find(kind).and_then(|value| value.first().copied())
    }

    /// Returns a text.
    pub(super) fn text(self, kind: u16) -> Option<String> {
        self.find(kind).map(text)
    }

    /// Returns an address, by its length.
    pub(super) fn ip(self, kind: u16) -> Option<IpAddr> {
        self.find(kind).and_then(ip)
    }
}

/// Returns a text up to its first zero; bytes that are not UTF-8 become U+FFFD.
pub(super) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

/// Returns an address of 4 or 16 bytes.
pub(super) fn ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(value).ok().map(|octets| Ipv6Addr::from(octets).into())
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at).map(u16::from_ne_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_ne_bytes)
}

pub(super) fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes_at(bytes, at).map(i32::from_ne_bytes)
}

pub(super) fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::{ACK, Attributes, Message, Writer, messages};
    use proptest::prelude::{any, proptest};

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = Writer::new(16, ACK, &[7; 16]);
        writer.put_text(3, "xenbr0").put(1, &[1, 2, 3]).nest(18, |inside| {
            inside.put_text(1, "bridge").put_u32(2, 9);
        });
        let bytes = writer.finish(42);
        let all: Vec<Message<'_>> = messages(&bytes).collect();
        assert_eq!((all.len(), all[0].kind, all[0].flags, all[0].sequence), (1, 16, 5, 42));
        let (fixed, attributes) = all[0].split(16).unwrap();
        assert_eq!(fixed, [7; 16]);
        assert_eq!(attributes.text(3).as_deref(), Some("xenbr0"));
        assert_eq!(attributes.find(1), Some(&[1, 2, 3][..]));
        assert_eq!(attributes.within(18).text(1).as_deref(), Some("bridge"));
        assert_eq!(attributes.within(18).u32(2), Some(9));
    }

    #[test]
    fn the_extended_acknowledgement_is_found_with_and_without_the_request_repeated() {
        let attribute = [&10_u16.to_ne_bytes()[..], &1_u16.to_ne_bytes(), b"taken\0", &[0; 2]].concat();
        let code = (-17_i32).to_ne_bytes();
        let mut capped = code.to_vec();
        capped.extend([0; 16]);
        capped.extend(&attribute);
        let message = Message { kind: 2, flags: 0x300, sequence: 1, body: &capped };
        assert_eq!(message.error(), (17, "taken".to_owned()));
        let mut whole = code.to_vec();
        whole.extend(24_u32.to_ne_bytes());
        whole.extend([0; 20]);
        whole.extend(&attribute);
        let message = Message { kind: 2, flags: 0x200, sequence: 1, body: &whole };
        assert_eq!(message.error(), (17, "taken".to_owned()));
        let silent = Message { kind: 2, flags: 0, sequence: 1, body: &capped };
        assert_eq!(silent.error(), (17, String::new()));
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_walk(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for message in messages(&bytes) {
                let _ = message.error();
                if let Some((_, attributes)) = message.split(8) {
                    attributes.iter().for_each(drop);
                }
            }
            for (_, value) in Attributes(&bytes).iter() {
                let _ = (super::text(value), super::ip(value));
            }
        }
    }
}
