//! Guests that do work which would show a loss: each counts seconds on its own disk, and says over http how far it is.
//!
//! Decides what they are made of, and what a disk must say after a shutdown and after the next boot. Never starts one that a
//! machine is to start itself.

use std::net::Ipv4Addr;
use std::time::Duration;

use xenup_system::stopwatch::Stopwatch;

use super::bench::{Bench, SHORT, tenths};
use super::failure::Failure;
use super::guests::{BRIDGE, page};
use super::roles::LOG_CONSOLES;
use crate::error::LabError;
use crate::event::StepScope;
use crate::network;
use crate::probe::{Loss, Probing};

const MAKE: &str = include_str!("guest/count-make");
const INIT: &str = include_str!("guest/count-init");
const OFF: &str = include_str!("guest/count-off");
/// `xl create` takes 6 to 60 s under emulation, on a machine that others use too.
const CREATE: Duration = Duration::from_secs(600);
/// From `xl create` to the guest's answer.
const ANSWER: Duration = Duration::from_secs(900);
/// Seconds of the machine between two looks at a guest that does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// A guest that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// Its name, as guest/count-make has it.
    pub name: &'static str,
    last: u8,
}

/// pv1 is in /etc/xen/auto.
pub const COUNTERS: [Counter; 3] =
    [Counter { name: "pv1", last: 71 }, Counter { name: "pv2", last: 72 }, Counter { name: "pvh", last: 73 }];

/// What a guest's disk says of its last moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Last {
    /// How far it had counted.
    pub count: u64,
    /// In which boot.
    pub boot: u64,
    /// Whether its shutdown wrote the count, and nothing counted after it.
    pub clean: bool,
}

impl Last {
    /// Reads a first sector.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let mut number = |name: &str| (words.next()? == name).then(|| words.next()?.parse().ok()).flatten();
        let (count, boot) = (number("count")?, number("boot")?);
        match words.next()? {
            "clean" => Some(Self { count, boot, clean: true }),
            "running" => Some(Self { count, boot, clean: false }),
            _ => None,
        }
    }
}

impl Counter {
    /// Its address, as guest/count-make has it.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, 0, self.last)
    }

    /// How far it says over http that it is; `None` where it does not answer.
    fn says(self, bench: &Bench) -> Result<Option<u64>, Failure> {
        let page = page(bench, self.address())?;
        let words = format!("guest {} counts ", self.address());
        let count = page.lines().find_map(|line| line.strip_prefix(&words));
        Ok(count.and_then(|count| count.trim().parse().ok()))
    }

    /// Waits until it has counted beyond `from`; returns how far it is.
    ///
    /// # Errors
    /// It has not in its time.
    pub fn beyond(self, bench: &mut Bench, from: u64) -> Result<u64, Failure> {
        let watch = Stopwatch::start();
        let mut probing = Probing::start(&bench.lan, self.address(), 1)?;
        let mut said = None;
        while watch.elapsed() < ANSWER {
            said = self.says(bench)?.or(said);
            if let Some(count) = said.filter(|count| *count > from) {
                return Ok(count);
            }
            probing.wait(PAUSE)?;
        }
        let list = bench.vm.console().run("xl list; xl dmesg | tail -20", SHORT)?.output;
        let found = format!("{said:?}\n{list}");
        let expected = format!("more than {from} within {} s", ANSWER.as_secs());
        Err(Failure::unexpected(format!("the count of {}", self.name), expected, found))
    }

    /// Returns what its disk says, read in dom0 while it does not run.
    ///
    /// # Errors
    /// The disk says nothing of the kind.
    pub fn on_disk(self, bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<Last, Failure> {
        let command = format!("head -c 512 /srv/guests/{}.img", self.name);
        let said = bench.run(s, &command, 0, SHORT)?;
        Last::parse(&said)
            .ok_or_else(|| Failure::unexpected(format!("the disk of {}", self.name), "a count", said))
    }

    /// Returns what its boots have said on its disk, in their order.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn boots(self, bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<Vec<String>, Failure> {
        let command = format!("head -c 8192 /srv/guests/{}.img | tr -d '\\0'", self.name);
        let said = bench.run(s, &command, 0, SHORT)?;
        Ok(said.lines().map(|line| line.trim().to_owned()).filter(|line| line.starts_with("boot ")).collect())
    }

    /// Checks that its shutdown was clean: the last count on its disk is the one that its console said last.
    ///
    /// # Errors
    /// It was not.
    pub fn is_clean(self, bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<Last, Failure> {
        let last = self.on_disk(bench, s)?;
        let said = format!("grep -a GUEST-CLEAN /var/log/xen/console/guest-{}.log | tail -n 1", self.name);
        let said = bench.run(s, &said, 0, SHORT)?;
        let wrote = said.trim().strip_prefix("GUEST-CLEAN ").and_then(|count| count.trim().parse().ok());
        s.detail(format!("{}: {} at its clean shutdown, {} on its disk", self.name, said.trim(), last.count));
        if last.clean && wrote == Some(last.count) {
            return Ok(last);
        }
        let expected = "one count at its clean shutdown and on its disk";
        Err(Failure::unexpected(self.name, expected, format!("{said}\n{last:?}")))
    }

    /// Checks that it counts on from where it stood, in the boot after that, as this type on this minor of Xen.
    ///
    /// # Errors
    /// It does not.
    pub fn goes_on(
        self,
        bench: &mut Bench,
        s: &mut StepScope<'_, '_>,
        from: Last,
        (kind, minor): (&str, &str),
    ) -> Result<(), Failure> {
        let count = self.beyond(bench, from.count)?;
        let boot = from.boot.saturating_add(1);
        let expected = format!("boot {boot} as {kind} on Xen {minor} from {} clean", from.count);
        let boots = self.boots(bench, s)?;
        s.detail(format!("{}: {}, and is at {count}", self.name, boots.last().map_or("", String::as_str)));
        if boots.last() == Some(&expected) {
            return Ok(());
        }
        Err(Failure::unexpected(format!("the boots of {}", self.name), expected, boots.join("\n")))
    }
}

/// Makes the guests, and what writes down what they say, over restarts too.
///
/// # Errors
/// A tool failed in the machine.
pub fn make(bench: &mut Bench, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    let file = |text: &str| text.as_bytes().to_vec();
    for (name, text) in [("count-make", MAKE), ("count-init", INIT), ("count-off", OFF)] {
        bench.ssh.put_bytes(network::VM, file(text), &format!("/root/{name}"), SHORT)?;
    }
    let command = format!("sh /root/count-make /root/count-init /root/count-off {BRIDGE}");
    bench.outside_within(s, &command, 0, CREATE)?;
    // A configuration file that the administrator has changed: it stays, and is listed.
    let always = "echo 'XENCONSOLED_ARGS=\"--log=guest --log-dir=/var/log/xen/console\"' >> /etc/default/xen";
    bench.outside(s, always, 0)?;
    bench.outside(s, LOG_CONSOLES, 0)?;
    bench.run(s, "cat /etc/xen/pvh.cfg && ls -l /etc/xen/auto /srv/guests", 0, SHORT).map(|_| ())
}

/// Starts one, and waits until it counts.
///
/// # Errors
/// It does not start, or does not count.
pub fn start(bench: &mut Bench, s: &mut StepScope<'_, '_>, guest: Counter) -> Result<(), Failure> {
    let watch = Stopwatch::start();
    bench.run(s, &format!("xl create /etc/xen/{}.cfg", guest.name), 0, CREATE)?;
    let count = guest.beyond(bench, 0)?;
    s.measure("from xl create to its count outside", tenths(watch.elapsed()), "s");
    s.detail(format!("it has counted to {count}"));
    Ok(())
}

/// The guests, watched from outside once a second.
#[derive(Debug)]
pub struct Watched(Vec<(Counter, Probing)>);

impl Watched {
    /// Begins.
    ///
    /// # Errors
    /// As [`Probing::start`].
    pub fn start(bench: &Bench) -> Result<Self, LabError> {
        let start = |guest: Counter| Ok((guest, Probing::start(&bench.lan, guest.address(), 1)?));
        Ok(Self(COUNTERS.into_iter().map(start).collect::<Result<_, LabError>>()?))
    }

    /// Ends, and tells how long each was not reached.
    ///
    /// # Errors
    /// A prober had ended by itself.
    pub fn tell(self, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
        for (guest, probing) in self.0 {
            let Loss { longest_gap_ms, .. } = probing.stop()?.whole();
            s.measure(&format!("downtime of {}", guest.name), (longest_gap_ms / 100.0).round() / 10.0, "s");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Last;

    #[test]
    fn what_a_disk_says_is_read() {
        let last = |count, boot, clean| Some(Last { count, boot, clean });
        assert_eq!(Last::parse("count 12 boot 1 running        \n"), last(12, 1, false));
        assert_eq!(Last::parse("count 90 boot 2 clean\n"), last(90, 2, true));
        for text in ["", "count", "count x boot 1 clean", "count 1 boot 1", "\0\0\0", "boot 1 count 1 clean"]
        {
            assert_eq!(Last::parse(text), None, "{text}");
        }
    }
}
