//! ICMP echo messages as RFC 792 lays them out, inside IPv4 as a raw socket delivers them. Pure.

/// The bytes of payload after the header: a sequence number of 64 bits, so that a wrapped 16-bit one is not mistaken.
const PAYLOAD: usize = 8;
const HEADER: usize = 8;
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;

/// An echo request with this identifier and number.
pub(super) fn request(identifier: u16, number: u64) -> [u8; HEADER + PAYLOAD] {
    let mut message = [0; HEADER + PAYLOAD];
    let [.., high, low] = number.to_be_bytes();
    let [id_high, id_low] = identifier.to_be_bytes();
    message[..HEADER].copy_from_slice(&[ECHO_REQUEST, 0, 0, 0, id_high, id_low, high, low]);
    message[HEADER..].copy_from_slice(&number.to_be_bytes());
    let [sum_high, sum_low] = checksum(&message).to_be_bytes();
    message[2] = sum_high;
    message[3] = sum_low;
    message
}

/// The number that an IPv4 packet with an echo reply to `identifier` carries; `None` for any other packet.
pub(super) fn reply(packet: &[u8], identifier: u16) -> Option<u64> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let message = packet.get(header..)?;
    let carried = u16::from_be_bytes([*message.get(4)?, *message.get(5)?]);
    if *message.first()? != ECHO_REPLY || carried != identifier || checksum(message) != 0 {
        return None;
    }
    Some(u64::from_be_bytes(message.get(HEADER..HEADER + PAYLOAD)?.try_into().ok()?))
}

/// The ones' complement sum of RFC 1071; zero over a message whose own sum is right.
fn checksum(message: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in message.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // Truncation is exact: the loop above left 16 bits.
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::{checksum, reply, request};

    fn answered(identifier: u16, number: u64) -> Vec<u8> {
        let mut packet = vec![0x45; 20];
        let mut message = request(identifier, number);
        message[0] = 0;
        message[2..4].copy_from_slice(&[0, 0]);
        let sum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        packet.extend_from_slice(&message);
        packet
    }

    #[test]
    fn a_request_sums_to_zero_and_its_reply_carries_the_number() {
        assert_eq!(checksum(&request(7, 70_000)), 0);
        assert_eq!(reply(&answered(7, 70_000), 7), Some(70_000));
    }

    #[test]
    fn other_packets_are_not_replies() {
        let good = answered(7, 1);
        assert_eq!(reply(&good, 8), None);
        assert_eq!(reply(&good[..30], 7), None);
        assert_eq!(reply(&[], 7), None);
        let mut spoilt = good.clone();
        if let Some(last) = spoilt.last_mut() {
            *last ^= 1;
        }
        assert_eq!(reply(&spoilt, 7), None);
        let mut request_packet = vec![0x45; 20];
        request_packet.extend_from_slice(&request(7, 1));
        assert_eq!(reply(&request_packet, 7), None);
    }
}
