//! Times the bridge switch in network namespaces and counts what an echo from outside loses meanwhile.
//!
//! `cargo run --release -p xenup-system --example switch_timing -- [RUNS] [PER_SECOND]`, as root. One line of JSON per
//! run and one for all: milliseconds of the whole and of the part that moves the address, packets lost, longest gap in
//! milliseconds between two answers, the same without a switch (`control`).
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench on real links"
)]

#[path = "../tests/support/namespace.rs"]
mod namespace;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use namespace::Namespace;
use xenup_machine::network::{Address, Bridge, LinkOp, Mac, Prefix, Route};
use xenup_machine::{Machine, Probe};
use xenup_system::System;

const MAC: Mac = Mac([0x52, 0x54, 0, 0xaa, 0xbb, 0xcc]);
const HOST: &str = "192.0.2.10:7";

/// Milliseconds of all and of the part that counts; what the switch and what an interval without one cost.
type Run = (f64, f64, Cost, Cost);

/// What an interval cost.
#[derive(Clone, Copy)]
struct Cost {
    sent: u64,
    lost: u64,
    longest_gap_ms: f64,
}

fn main() {
    let mut args = std::env::args().skip(1).map(|word| word.parse::<u32>().expect("numbers"));
    let (runs, rate) = (args.next().unwrap_or(15), args.next().unwrap_or(1000));
    let mut all = Vec::new();
    for run in 0..runs {
        let Some((host, router)) = cable() else { return };
        let control = watched(&host, &router, rate, || ()).0;
        let (cost, times) = watched(&host, &router, rate, || host.run(switch));
        let (whole, critical) = times;
        println!(
            "{{\"run\":{run},\"whole_ms\":{whole:.2},\"critical_ms\":{critical:.2},\"sent\":{},\"lost\":{},\
             \"longest_gap_ms\":{:.1},\"control_lost\":{},\"control_gap_ms\":{:.1}}}",
            cost.sent, cost.lost, cost.longest_gap_ms, control.lost, control.longest_gap_ms
        );
        all.push((whole, critical, cost, control));
    }
    let median = |of: fn(&Run) -> f64| {
        let mut values: Vec<f64> = all.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let worst = all.iter().map(|run| run.2.longest_gap_ms).fold(0.0, f64::max);
    println!(
        "{{\"runs\":{},\"per_second\":{rate},\"median_whole_ms\":{:.2},\"median_critical_ms\":{:.2},\"runs_with_loss\":{},\
         \"lost\":{},\"median_gap_ms\":{:.1},\"worst_gap_ms\":{worst:.1},\"control_lost\":{},\"median_control_gap_ms\":{:.1}}}",
        all.len(),
        median(|run| run.0),
        median(|run| run.1),
        all.iter().filter(|run| run.2.lost > 0).count(),
        all.iter().map(|run| run.2.lost).sum::<u64>(),
        median(|run| run.2.longest_gap_ms),
        all.iter().map(|run| run.3.lost).sum::<u64>(),
        median(|run| run.3.longest_gap_ms),
    );
}

fn cable() -> Option<(Namespace, Namespace)> {
    let (host, router) = (Namespace::new()?, Namespace::new()?);
    host.ip(&format!("link add eno1 address {MAC} type veth peer name cable netns {}", router.id));
    router.ip("link set cable up");
    router.ip("address add 192.0.2.1/24 dev cable");
    host.ip("link set eno1 up");
    host.ip("address add 192.0.2.10/24 dev eno1");
    host.ip("route add default via 192.0.2.1 dev eno1 metric 100");
    let (echo, asker) =
        (host.run(|| UdpSocket::bind(HOST).unwrap()), router.run(|| UdpSocket::bind("192.0.2.1:0").unwrap()));
    echo.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    // Until the cable carries anything, what is lost says nothing about a switch.
    while asker.send_to(b"up?", HOST).is_err() || echo.recv(&mut [0; 8]).is_err() {}
    Some((host, router))
}

/// Counts what is lost while `work` goes on, with 300 ms before and 1.5 s after it.
fn watched<T>(host: &Namespace, router: &Namespace, rate: u32, work: impl FnOnce() -> T) -> (Cost, T) {
    let stop = Arc::new(AtomicBool::new(false));
    let echo = host.run(|| UdpSocket::bind(HOST).unwrap());
    let asker = router.run(|| UdpSocket::bind("192.0.2.1:0").unwrap());
    let threads = [echoing(echo, &stop)];
    let counting = asking(asker, rate, &stop);
    std::thread::sleep(Duration::from_millis(300));
    let result = work();
    std::thread::sleep(Duration::from_millis(1500));
    stop.store(true, Ordering::Relaxed);
    let cost = counting.join().unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    (cost, result)
}

fn echoing(socket: UdpSocket, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    let stop = Arc::clone(stop);
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while !stop.load(Ordering::Relaxed) {
            if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..length], from);
            }
        }
    })
}

fn asking(socket: UdpSocket, rate: u32, stop: &Arc<AtomicBool>) -> JoinHandle<Cost> {
    let (stop, to): (_, SocketAddr) = (Arc::clone(stop), HOST.parse().unwrap());
    let hearing = socket.try_clone().unwrap();
    hearing.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let listener = std::thread::spawn(move || {
        let (mut heard, mut last, mut longest) = (0_u64, Instant::now(), Duration::ZERO);
        let mut buffer = [0; 64];
        // The socket is quiet for its time limit only when the asker has stopped or nothing comes through.
        let mut quiet = 0;
        while quiet < 10 {
            match hearing.recv_from(&mut buffer) {
                Ok((1, _)) => break,
                Ok(_) => {
                    heard += 1;
                    longest = longest.max(last.elapsed());
                    (last, quiet) = (Instant::now(), 0);
                }
                Err(_) => quiet += 1,
            }
        }
        (heard, longest)
    });
    std::thread::spawn(move || {
        let (start, mut sent) = (Instant::now(), 0_u64);
        while !stop.load(Ordering::Relaxed) {
            let _ = socket.send_to(&sent.to_ne_bytes(), to);
            sent += 1;
            let next = start + Duration::from_secs(sent) / rate;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        // What is under way arrives in much less; a single byte to ourselves ends the listening.
        std::thread::sleep(Duration::from_millis(20));
        let _ = socket.send_to(&[0], socket.local_addr().unwrap());
        let (heard, longest) = listener.join().unwrap();
        Cost { sent, lost: sent - heard, longest_gap_ms: longest.as_secs_f64() * 1000.0 }
    })
}

/// Makes the switch; returns the milliseconds of it all and of the part that moves the address.
fn switch() -> (f64, f64) {
    let link = |name: &str| name.to_owned();
    let mut machine = System::running().unwrap();
    let up = |name: &str| LinkOp::SetUp { link: link(name), up: true };
    let port = |name: &str| LinkOp::SetMaster { link: link(name), master: Some(link("xenbr0")) };
    let bridge = Bridge { stp: false, forward_delay: 0, vlan_filtering: false };
    let prepare = [
        LinkOp::CreateBridge { link: link("xenbr0"), mac: MAC, bridge },
        LinkOp::CreateVeth { link: link("xenup-a"), peer: link("xenup-b") },
        port("xenup-a"),
        up("xenup-b"),
        up("xenup-a"),
        up("xenbr0"),
        LinkOp::WaitUp { link: link("xenbr0"), at_most_ms: 10_000 },
    ];
    let address = Address::new("192.0.2.10".parse().unwrap(), 24);
    let before = machine.network().unwrap();
    let default = before.routes_by("eno1").find(|route| route.destination.is_none()).unwrap();
    let route = Route { link: Some(link("xenbr0")), ..default.clone() };
    assert!(route.destination.is_none_or(|Prefix { length, .. }| length == 0));
    let critical = [
        LinkOp::AddAddress { link: link("xenbr0"), address: address.clone() },
        port("eno1"),
        LinkOp::ReplaceRoute { route },
        LinkOp::DeleteAddress { link: link("eno1"), address },
        LinkOp::Announce { link: link("xenbr0"), ip: "192.0.2.10".parse().unwrap() },
    ];
    let after = [LinkOp::Delete { link: link("xenup-a") }];
    let start = Instant::now();
    machine.change_links(&prepare).unwrap();
    let middle = Instant::now();
    machine.change_links(&critical).unwrap();
    let critical_ms = middle.elapsed().as_secs_f64() * 1000.0;
    machine.change_links(&after).unwrap();
    (start.elapsed().as_secs_f64() * 1000.0, critical_ms)
}
