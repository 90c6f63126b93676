//! A host and its router in two network namespaces, joined by a cable, and the traffic between them.
//!
//! Decides: addresses, rates, and how long is watched. Never: touches this machine's own links.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_rehearse::probe::{Loss, Trace};
use xenup_system::lab::echo::{Prober, Target};
use xenup_system::lab::tcp::{Conversations, Talk, Way};
use xenup_system::lab::udp::Answerer;
use xenup_system::process::Tool;

type Failure = Box<dyn std::error::Error>;

/// The host's addresses; the router has ::1 and .1 of the same networks.
pub const HOST: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(192, 0, 2, 10), Ipv6Addr::new(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 0x10));
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// RFC 862.
const ECHO: u16 = 7;
/// Five thousand datagrams a second, over each of IPv4 and IPv6.
const PERIOD: Duration = Duration::from_micros(200);
/// How long a datagram may be under way.
const GRACE: Duration = Duration::from_millis(200);
/// How long answers come before anything is counted, so that both ends know each other.
const SETTLING: Duration = Duration::from_millis(300);
/// What is counted before a command begins, and after it: some cost a second when their command has long ended.
const BEFORE: Duration = Duration::from_millis(200);
const AFTER: Duration = Duration::from_millis(1500);
/// What each connection waits between two bytes.
const TALK: Duration = Duration::from_millis(50);

/// Gives a tree this namespace's /sys, in the mounts that ip-netns(8) makes for one command.
const IN_TREE: &str = "mount -t sysfs sysfs \"$1/sys\" && mount -t proc proc \"$1/proc\" && \
                       mount --bind /dev \"$1/dev\" && exec chroot \"$1\" sh -c \"$2\"";

/// What a command cost the traffic: IPv4 and IPv6 together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams without an answer.
    pub lost: u64,
    /// The longest time without an answer, of the two, in milliseconds.
    pub gap_ms: f64,
}

/// Two namespaces and a cable, gone when dropped.
pub struct Cable {
    host: String,
    router: String,
}

impl Cable {
    /// Lays it; the host's end is `eth0`, down and without an address.
    pub fn new() -> Result<Self, Failure> {
        let name = |end: &str| format!("xenup-bench-{}-{end}", std::process::id());
        let cable = Self { host: name("host"), router: name("router") };
        for namespace in [&cable.host, &cable.router] {
            Tool::new("ip").args(["netns", "add", namespace]).run()?;
        }
        let Self { host, router } = &cable;
        let link = format!("link add eth0 address 52:54:00:aa:bb:cc type veth peer name far netns {router}");
        ip(host, &link)?;
        ip(host, "link set lo up")?;
        ip(router, "address add 192.0.2.1/24 dev far")?;
        ip(router, "address add 2001:db8:99::1/64 dev far nodad")?;
        ip(router, "link set far up")?;
        Ok(cable)
    }

    /// Runs a shell command in the host's namespace; in a tree, where one is named.
    pub fn host(&self, tree: Option<&Path>, command: &str) -> Result<(), Failure> {
        let tool = Tool::new("ip").args(["netns", "exec", &self.host]);
        let tool = match tree {
            None => tool.args(["sh", "-c", command]),
            Some(tree) => tool.args(["sh", "-c", IN_TREE, "sh"]).arg(tree).arg(command),
        };
        tool.timeout(Duration::from_secs(60)).run()?;
        Ok(())
    }

    /// Begins to ask; what is counted comes later.
    pub fn watch(&self) -> Result<Watched, Failure> {
        let answerer = Answerer::start(&namespace(&self.host), ECHO)?;
        let from = namespace(&self.router);
        let start = |ip: IpAddr| Prober::start(&from, Target::Udp(SocketAddr::new(ip, ECHO)), PERIOD);
        let mut watched = Watched {
            probers: [start(IpAddr::V4(HOST.0))?, start(IpAddr::V6(HOST.1))?],
            _answerer: answerer,
        };
        watched.wait(SETTLING)?;
        Ok(watched)
    }

    /// Opens `count` connections to the host, and as many from it.
    pub fn talk(&self, count: u32) -> Result<[Conversations; 2], Failure> {
        let (host, router) = (namespace(&self.host), namespace(&self.router));
        let there = Way { from: router.clone(), to: host.clone(), address: HOST.0.into(), port: 1000 };
        let back = Way { from: host, to: router, address: ROUTER.into(), port: 1000 };
        Ok([Conversations::start(&there, count, TALK)?, Conversations::start(&back, count, TALK)?])
    }

    /// Lets connections go on, with a command among it; what became of them.
    pub fn talked(
        talks: [Conversations; 2],
        work: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Talk, Failure> {
        pause(BEFORE)?;
        work()?;
        pause(AFTER)?;
        let mut all = Talk::default();
        for talk in talks {
            let Talk { longest, answers, broken, sent_again } = talk.stop()?;
            all.longest.extend(longest);
            all.answers += answers;
            all.broken += broken;
            all.sent_again += sent_again;
        }
        Ok(all)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for namespace in [&self.host, &self.router] {
            // Nobody is left to be told; the name says whose it is.
            let _ = Tool::new("ip").args(["netns", "delete", namespace]).output();
        }
    }
}

/// Datagrams under way.
pub struct Watched {
    probers: [Prober; 2],
    _answerer: Answerer,
}

/// A stretch of time in which something was done, on the scale of each prober.
pub struct Stretch([std::ops::Range<Duration>; 2]);

impl Watched {
    /// Lets them go on for this long; why they have ended, where they have.
    fn wait(&mut self, time: Duration) -> Result<(), Failure> {
        let [one, other] = &mut self.probers;
        if !one.wait(time) {
            one.failure()?;
        }
        other.failure()?;
        Ok(())
    }

    /// Does something, with a while before it and after it.
    pub fn during(&mut self, work: impl FnOnce() -> Result<(), Failure>) -> Result<Stretch, Failure> {
        let now = |watched: &Self| watched.probers.each_ref().map(Prober::elapsed);
        let begin = now(self);
        self.wait(BEFORE)?;
        work()?;
        self.wait(AFTER)?;
        let [end_one, end_other] = now(self);
        let [one, other] = begin;
        Ok(Stretch([one..end_one, other..end_other]))
    }

    /// Ends them and returns what each stretch cost.
    pub fn stop(self, stretches: &[Stretch]) -> Result<Vec<Cost>, Failure> {
        let traces: Vec<Trace> = self
            .probers
            .into_iter()
            .map(|prober| Ok(Trace::new(prober.stop(GRACE)?, PERIOD)))
            .collect::<Result<_, Failure>>()?;
        let cost = |Stretch(stretch): &Stretch| {
            traces.iter().zip(stretch).fold(Cost::default(), |cost, (trace, stretch)| {
                let Loss { sent, lost, longest_gap_ms, .. } = trace.loss(stretch.clone());
                Cost {
                    sent: cost.sent + sent,
                    lost: cost.lost + lost,
                    gap_ms: cost.gap_ms.max(longest_gap_ms),
                }
            })
        };
        Ok(stretches.iter().map(cost).collect())
    }
}

fn namespace(name: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name)
}

/// Nothing is asked here, so nothing tells when: a program that sleeps.
fn pause(time: Duration) -> Result<(), Failure> {
    Tool::new("sleep").arg(time.as_secs_f64().to_string()).run()?;
    Ok(())
}

fn ip(namespace: &str, words: &str) -> Result<(), Failure> {
    Tool::new("ip").args(["-n", namespace]).args(words.split(' ')).run()?;
    Ok(())
}
