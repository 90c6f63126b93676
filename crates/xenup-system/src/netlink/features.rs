//! What a NIC does for the kernel while it receives: the features of ethtool(8) `-k`, over generic netlink
//! (Documentation/networking/ethtool-netlink.rst). Never switches one.

use std::collections::BTreeSet;

use netlink_sys::protocols::NETLINK_GENERIC;
use rustix::io::Errno;

use super::socket::{Connection, Refusal};
use super::wire::{ACK, Message, Writer};

/// Segments joined to one before the kernel sees them; what a bridge forwards must not be.
pub(super) const LARGE_RECEIVE: &str = "rx-lro";
/// `GENL_ID_CTRL`: who numbers the families.
const CONTROL: u16 = 16;
/// `CTRL_CMD_GETFAMILY`, and the version that it has.
const GET_FAMILY: [u8; 4] = [3, 2, 0, 0];
/// `ETHTOOL_MSG_FEATURES_GET`, version `ETHTOOL_GENL_VERSION`.
const GET_FEATURES: [u8; 4] = [11, 1, 0, 0];
/// Length of `struct genlmsghdr`.
const BODY: usize = 4;

/// Returns the indices of the links of the calling thread's namespace on which a feature is active; none where the
/// kernel is older than this question (5.6), or was built without it.
pub(super) fn links_with(feature: &str) -> Result<BTreeSet<i32>, Refusal> {
    let mut kernel = Connection::open_on(NETLINK_GENERIC)?;
    let mut family = None;
    let mut question = Writer::new(CONTROL, ACK, &GET_FAMILY);
    question.put_text(2, "ethtool");
    match kernel.ask(question, &mut |message| family = family.or(number(message))) {
        Err(refusal) if refusal.is(&[Errno::NOENT]) => return Ok(BTreeSet::new()),
        other => other?,
    }
    let Some(family) = family else { return Ok(BTreeSet::new()) };
    let mut found = BTreeSet::new();
    let every = |_: &mut Writer| {};
    kernel.dump(family, &GET_FEATURES, &every, &mut |message| {
        found.extend(active(message, feature).filter(|_| message.kind == family));
    })?;
    Ok(found)
}

/// Returns `CTRL_ATTR_FAMILY_ID`.
fn number(message: Message<'_>) -> Option<u16> {
    message.split(BODY)?.1.u16(1)
}

/// Returns the link's index where the feature is in `ETHTOOL_A_FEATURES_ACTIVE`, a list of the names that are set.
fn active(message: Message<'_>, feature: &str) -> Option<i32> {
    let (_, attributes) = message.split(BODY)?;
    let index = attributes.within(1).u32(1)?.cast_signed();
    let bits = attributes.within(4).within(3);
    let is_named = |bit: &[u8]| super::wire::Attributes(bit).text(2).as_deref() == Some(feature);
    bits.iter().any(|(_, bit)| is_named(bit)).then_some(index)
}

/// Reads a message as each of the things it may be.
#[cfg(fuzzing)]
pub(super) fn read_any(message: Message<'_>) {
    let _ = (number(message), active(message, LARGE_RECEIVE));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::wire::messages;

    #[test]
    fn a_feature_is_active_where_it_is_named_so() {
        let features = |active: &str, other: &str| {
            let mut writer = Writer::new(30, 0, &[11, 1, 0, 0]);
            writer.nest(1, |header| {
                header.put_u32(1, 7).put_text(2, "eno1");
            });
            for (kind, name) in [(2, other), (4, active)] {
                writer.nest(kind, |set| {
                    set.put(1, &[]).put_u32(2, 64).nest(3, |bits| {
                        bits.nest(1, |bit| {
                            bit.put_u32(1, 15).put_text(2, name);
                        });
                    });
                });
            }
            writer.finish(1)
        };
        let read = |bytes: &[u8]| messages(bytes).find_map(|message| active(message, LARGE_RECEIVE));
        assert_eq!(read(&features("rx-lro", "rx-gro")), Some(7));
        assert_eq!(read(&features("rx-gro", "rx-lro")), None);
    }

    #[test]
    fn this_kernel_tells_of_its_loopback() {
        let named = links_with("rx-gro").unwrap();
        assert!(named.is_empty() || named.contains(&1), "{named:?}");
        assert!(!links_with(LARGE_RECEIVE).unwrap().contains(&1));
    }
}
