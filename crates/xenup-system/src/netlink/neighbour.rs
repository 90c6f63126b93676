//! What netlink cannot do: telling neighbours where an address now is, and asking whether one answers.
//!
//! Decides: the frames (RFC 826, RFC 5227; RFC 4861). They are sent past the kernel's own neighbour table, which is
//! left as it is: a static entry there would otherwise stand in for an answer. Never decides what an answer means.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{LinkAddr, MsgFlags, recvfrom, sendto, setsockopt, sockopt::BindToDevice};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use xenup_machine::network::{Address, Mac};
use xenup_machine::{MachineError, Reason};

use super::socket::readable;

/// `ETH_P_ARP` (linux/if_ether.h).
const ETHERTYPE_ARP: u16 = 0x0806;
/// `ARPHRD_ETHER` (linux/if_arp.h).
const ETHERNET: u16 = 1;
const ARP_REQUEST: u16 = 1;
const ARP_REPLY: u16 = 2;
/// Ethernet header and an ARP packet for IPv4.
const ARP_FRAME: usize = 14 + 28;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// Override: what a neighbour has cached gives way (RFC 4861, section 4.4).
const OVERRIDE: u8 = 0x20;
/// Router: without it a neighbour that has us as its default router drops us.
const ROUTER: u8 = 0x80;
/// Every node on the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// How long one question is given before it is put again: the first frame through a new port may be dropped.
const REPEAT: Duration = Duration::from_millis(200);
/// RFC 4861, section 7.1: with any other hop limit the message is dropped.
const HOP_LIMIT: u32 = 255;

/// A link by which frames go out.
struct Port {
    name: String,
    index: u32,
    mac: Mac,
    address: LinkAddr,
}

/// Tells neighbours where addresses are. One packet socket for all: to close one waits for the kernel's readers of its
/// protocol handlers, 10 ms as measured, which must not come between two link operations.
#[derive(Default)]
pub(super) struct Announcer {
    arp: Option<OwnedFd>,
}

impl Announcer {
    /// Sends a gratuitous ARP request, or an unsolicited neighbour advertisement.
    pub(super) fn announce(&mut self, link: &str, ip: IpAddr) -> Result<(), MachineError> {
        let fail = |error: io::Error| failed("announce an address on", link, &error);
        let port = Port::find(link).map_err(fail)?;
        match ip {
            IpAddr::V4(ip) => {
                let socket = match self.arp.take() {
                    Some(socket) => socket,
                    None => packet_socket().map_err(fail)?,
                };
                port.send(self.arp.insert(socket), &arp_request(port.mac, ip, ip)).map_err(fail)
            }
            IpAddr::V6(ip) => port.advertise(ip).map_err(fail),
        }
    }
}

/// Asks until `address` answers on `link`, for `wait` at most.
pub(crate) fn neighbour_answers(link: &str, address: &Address, wait: Duration) -> Result<bool, MachineError> {
    let fail = |error: io::Error| failed("ask for neighbours on", link, &error);
    let port = Port::find(link).map_err(fail)?;
    let deadline = Instant::now() + wait;
    match address.ip {
        IpAddr::V4(target) => {
            let source = source_for(link, target)?;
            port.asks_arp(source, target, deadline).map_err(fail)
        }
        IpAddr::V6(target) => port.asks_icmp6(target, deadline).map_err(fail),
    }
}

fn failed(doing: &'static str, link: &str, error: &io::Error) -> MachineError {
    let reason = match Reason::of_io(error) {
        Reason::Other => Reason::Network,
        sorted => sorted,
    };
    MachineError::new(doing, link, reason, error.to_string())
}

/// Returns our own address in the network of `target`; the unspecified one, as a probe has it, where there is none.
fn source_for(link: &str, target: Ipv4Addr) -> Result<Ipv4Addr, MachineError> {
    let network = super::network()?;
    let covers = |ours: Ipv4Addr, length: u8| {
        let mask = u32::MAX.checked_shl(32_u32.saturating_sub(length.into())).unwrap_or(0);
        (u32::from(ours) ^ u32::from(target)) & mask == 0
    };
    let found = network.addresses_on(link).find_map(|address| match address.ip {
        IpAddr::V4(ours) if covers(ours, address.prefix) => Some(ours),
        _ => None,
    });
    Ok(found.unwrap_or(Ipv4Addr::UNSPECIFIED))
}

fn packet_socket() -> io::Result<OwnedFd> {
    let protocol = NonZeroU32::new(u32::from(ETHERTYPE_ARP.to_be())).map(Protocol::from_raw);
    Ok(rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?)
}

impl Port {
    /// Finds a link that speaks Ethernet. The address in the form that a packet socket wants comes from the C library,
    /// ready made.
    fn find(link: &str) -> io::Result<Self> {
        let address = nix::ifaddrs::getifaddrs()?
            .filter(|interface| interface.interface_name == link)
            .find_map(|interface| {
                interface.address.as_ref().and_then(|address| address.as_link_addr().copied())
            })
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such link"))?;
        let mac = address.addr().map(Mac).filter(|_| address.hatype() == ETHERNET);
        let mac = mac.ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "not an Ethernet link"))?;
        let index = u32::try_from(address.ifindex()).map_err(io::Error::other)?;
        Ok(Self { name: link.to_owned(), index, mac, address })
    }

    fn send(&self, socket: &OwnedFd, frame: &[u8]) -> io::Result<()> {
        sendto(socket.as_raw_fd(), frame, &self.address, MsgFlags::empty())?;
        Ok(())
    }

    fn asks_arp(&self, source: Ipv4Addr, target: Ipv4Addr, deadline: Instant) -> io::Result<bool> {
        let socket = packet_socket()?;
        let question = arp_request(self.mac, source, target);
        let mut frame = [0; 128];
        repeat(
            &socket,
            deadline,
            || self.send(&socket, &question),
            || {
                let (length, from) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut frame)?;
                let here = from.is_some_and(|from| from.ifindex() == self.address.ifindex());
                Ok(here && is_arp_reply(frame.get(..length).unwrap_or_default(), self.mac, target))
            },
        )
    }

    /// Opens a socket for ICMPv6 on this link alone.
    fn icmp6(&self) -> io::Result<OwnedFd> {
        let (family, kind) = (AddressFamily::INET6, SocketType::RAW);
        let socket =
            rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, Some(Protocol::from_raw(ICMPV6)))?;
        setsockopt(&socket, BindToDevice, &self.name.clone().into())?;
        rustix::net::sockopt::set_ipv6_multicast_hops(&socket, HOP_LIMIT)?;
        Ok(socket)
    }

    fn advertise(&self, ip: Ipv6Addr) -> io::Result<()> {
        let socket = self.icmp6()?;
        rustix::net::bind(&socket, &SocketAddrV6::new(ip, 0, 0, self.index))?;
        let sysctl = format!("/proc/sys/net/ipv6/conf/{}/forwarding", self.name);
        let routes = std::fs::read_to_string(sysctl).is_ok_and(|text| text.trim() != "0");
        let flags = OVERRIDE | if routes { ROUTER } else { 0 };
        let message = neighbour_message(NEIGHBOUR_ADVERTISEMENT, flags, ip, 2, self.mac);
        let all = SocketAddrV6::new(ALL_NODES, 0, 0, self.index);
        rustix::net::sendto(&socket, &message, SendFlags::empty(), &all)?;
        Ok(())
    }

    fn asks_icmp6(&self, target: Ipv6Addr, deadline: Instant) -> io::Result<bool> {
        let socket = self.icmp6()?;
        let question = neighbour_message(NEIGHBOUR_SOLICITATION, 0, target, 1, self.mac);
        let group = SocketAddrV6::new(solicited_node(target), 0, 0, self.index);
        let mut packet = [0; 1500];
        let ask = || {
            rustix::net::sendto(&socket, &question, SendFlags::empty(), &group)?;
            Ok(())
        };
        repeat(&socket, deadline, ask, || {
            let (_, length) = rustix::net::recv(&socket, &mut packet[..], RecvFlags::empty())?;
            Ok(is_advertisement(packet.get(..length).unwrap_or_default(), target))
        })
    }
}

/// `IPPROTO_ICMPV6`.
const ICMPV6: NonZeroU32 = NonZeroU32::new(58).unwrap();

/// Asks, listens, and asks again, until `heard` says yes or the deadline passes.
fn repeat(
    socket: &OwnedFd,
    deadline: Instant,
    ask: impl Fn() -> io::Result<()>,
    mut heard: impl FnMut() -> io::Result<bool>,
) -> io::Result<bool> {
    loop {
        ask()?;
        let again = deadline.min(Instant::now() + REPEAT);
        while readable(socket.as_fd(), again)? {
            match heard() {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
    }
}

/// Returns a broadcast frame that asks who has `target` (RFC 826).
fn arp_request(mac: Mac, source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(ARP_FRAME);
    frame.extend([0xff; 6]);
    frame.extend(mac.0);
    frame.extend(ETHERTYPE_ARP.to_be_bytes());
    // Ethernet and IPv4, by their numbers and the lengths of their addresses.
    frame.extend([0, 1, 8, 0, 6, 4]);
    frame.extend(ARP_REQUEST.to_be_bytes());
    frame.extend(mac.0);
    frame.extend(source.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame
}

fn is_arp_reply(frame: &[u8], to: Mac, from: Ipv4Addr) -> bool {
    frame.get(..6) == Some(&to.0[..])
        && frame.get(12..14) == Some(&ETHERTYPE_ARP.to_be_bytes()[..])
        && frame.get(20..22) == Some(&ARP_REPLY.to_be_bytes()[..])
        && frame.get(28..32) == Some(&from.octets()[..])
}

/// Reads bytes as each of the answers they may be.
#[cfg(fuzzing)]
pub(super) fn read_any(bytes: &[u8]) {
    let _ = is_arp_reply(bytes, Mac([0; 6]), Ipv4Addr::LOCALHOST);
    let _ = is_advertisement(bytes, Ipv6Addr::LOCALHOST);
}

/// Returns an ICMPv6 message with our address as its option; the kernel fills in the checksum.
fn neighbour_message(kind: u8, flags: u8, target: Ipv6Addr, option: u8, mac: Mac) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.octets());
    message.extend([option, 1]);
    message.extend(mac.0);
    message
}

fn is_advertisement(packet: &[u8], target: Ipv6Addr) -> bool {
    packet.first() == Some(&NEIGHBOUR_ADVERTISEMENT) && packet.get(8..24) == Some(&target.octets()[..])
}

/// Returns the group that a node joins for each of its addresses (RFC 4291, section 2.7.1).
fn solicited_node(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = ip.octets();
    let last = u16::from_be_bytes([b, c]);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), last)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{arp_request, is_advertisement, is_arp_reply, neighbour_message, solicited_node};
    use xenup_machine::network::Mac;

    #[test]
    fn only_a_reply_to_us_from_the_one_asked_counts() {
        let (us, them) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        let target = Ipv4Addr::new(192, 0, 2, 1);
        let mut frame = arp_request(them, target, Ipv4Addr::new(192, 0, 2, 10));
        assert_eq!(frame.len(), 42);
        assert!(!is_arp_reply(&frame, us, target), "a request is no reply");
        frame[..6].copy_from_slice(&us.0);
        frame[21] = 2;
        assert!(is_arp_reply(&frame, us, target));
        assert!(!is_arp_reply(&frame, them, target));
        assert!(!is_arp_reply(&frame, us, Ipv4Addr::new(192, 0, 2, 2)));
        assert!(!is_arp_reply(&frame[..30], us, target));
    }

    #[test]
    fn an_advertisement_names_its_target() {
        let target = "2001:db8::12:3456".parse().unwrap();
        let message = neighbour_message(136, 0x20, target, 2, Mac([2, 0, 0, 0, 0, 1]));
        assert_eq!(message.len(), 32);
        assert!(is_advertisement(&message, target));
        assert!(!is_advertisement(&message, "2001:db8::1".parse().unwrap()));
        assert_eq!(solicited_node(target).to_string(), "ff02::1:ff12:3456");
    }
}
