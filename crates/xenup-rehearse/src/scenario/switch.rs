//! A command that switches the network, seen from outside: what was lost while it did, beside an equal time without.
//!
//! Decides where the switch begins and ends (by what the command says on the console). Never drives it by the network.

use std::time::Duration;

use xenup_system::process::Running;

use super::bench::{Bench, as_shown};
use super::failure::Failure;
use crate::console::{Match, Pattern};
use crate::event::StepScope;
use crate::network;
use crate::probe::{Comparison, Loss, Probing};

/// The name of the measurement of what a switch loses beyond the control stretch.
pub const LOST: &str = "more lost with the switch";
/// Probes a second.
const RATE: u32 = 200;
/// What a switch may cost beyond the control stretch.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Probes lost.
    more_lost: i64,
    /// The longest gap, in milliseconds.
    longer_gap_ms: f64,
}

impl Bounds {
    /// Emulated, on a machine that does nothing else.
    pub const QUIET: Self = Self { more_lost: 3, longer_gap_ms: 100.0 };
    /// On a machine whose other work decides how long a few instructions of the emulated one take: a second tells a
    /// switch that stalls (an answer of a neighbour lost, a port that learns) from one that does not.
    pub const BUSY: Self = Self { more_lost: RATE as i64, longer_gap_ms: 1000.0 };
}

/// How long after the command's end its effects are looked for.
const AFTERWARDS: Duration = Duration::from_secs(3);
/// apt and update-grub under emulation on a busy machine take minutes.
pub const APPLY: Duration = Duration::from_secs(2400);

/// What a watched command came to.
#[derive(Debug)]
pub struct Watched {
    /// Its exit status.
    pub status: i32,
    /// What it printed.
    pub output: String,
    /// The outside's view.
    pub probing: Probing,
    /// The stretch in which the network was switched, since the probing began.
    pub stretch: std::ops::Range<Duration>,
}

/// The last step before the network, in the words of `apply`: half a minute under emulation, enough to see that the
/// probes come through, and minutes after the start, in which they would only keep the machine from its work.
const AHEAD: &str = "Make GRUB's menu anew\r";

/// Runs a command on the console, the part of it that switches the network under the eyes of the outside. The stretch
/// begins with the line that contains `from` and ends with the command.
///
/// # Errors
/// The console or the probing failed, or that line never came.
pub fn watch(bench: &mut Bench, command: &str, from: &str) -> Result<Watched, Failure> {
    let console = bench.vm.console();
    // The echo shows the format, the answer what it makes: only the answer matches.
    console.send(&format!("{command} </dev/null; printf '[[%s %d]]\\n' watched $?\n"))?;
    let end = Pattern::text("[[watched ");
    let mut output = String::new();
    let take = |found: Match, output: &mut String| {
        output.push_str(&found.before);
        output.push_str(&found.matched);
        found.index
    };
    let [ahead, from] = [Pattern::text(AHEAD), Pattern::text(from)];
    let ahead = console.expect(&Pattern::any(&[ahead, from.clone(), end.clone()]), APPLY)?;
    let mut met = take(ahead, &mut output);
    let mut probing = Probing::start(&bench.lan, network::VM, RATE)?;
    let console = bench.vm.console();
    if met == 0 {
        met = 1 + take(console.expect(&Pattern::any(&[from, end.clone()]), APPLY)?, &mut output);
    }
    let begun = probing.elapsed();
    if met == 1 {
        take(console.expect(&end, APPLY)?, &mut output);
    }
    let status = console.expect(&Pattern::text("]]"), Duration::from_secs(60))?.before;
    let output = as_shown(output.trim_end_matches("[[watched "));
    // A switch that stalls does so afterwards: the first answer of a neighbour is lost, and a second goes by.
    probing.wait(AFTERWARDS)?;
    let stretch = begun..probing.elapsed();
    Ok(Watched { status: status.trim().parse().unwrap_or(-1), output, probing, stretch })
}

impl Watched {
    /// Lets the probing go on for as long as the switch took, ends it, and compares.
    ///
    /// # Errors
    /// More was lost, or a gap was longer, than a switch may cost; the probing failed.
    pub fn compare(mut self, s: &mut StepScope<'_, '_>, bounds: Bounds) -> Result<Comparison, Failure> {
        let length = self.stretch.end.saturating_sub(self.stretch.start);
        let control_from = self.probing.elapsed();
        self.probing.wait(length)?;
        let trace = self.probing.stop()?;
        let during = trace.loss(self.stretch);
        let control = trace.loss(control_from..control_from + length);
        s.detail(format!("with the switch: {}", words(&during)));
        s.detail(format!("without: {}", words(&control)));
        let comparison = Comparison { during, control };
        let lost = comparison.extra_lost();
        let gap = (comparison.gap_longer_ms() * 10.0).round() / 10.0;
        s.measure("probes sent in each stretch", comparison.during.sent as f64, "");
        s.measure(LOST, lost as f64, "probes");
        s.measure("longest gap, beyond that without", gap, "ms");
        let Bounds { more_lost, longer_gap_ms } = bounds;
        if lost <= more_lost && gap <= longer_gap_ms {
            return Ok(comparison);
        }
        let expected = format!("at most {more_lost} more lost and no gap {longer_gap_ms} ms longer");
        Err(Failure::unexpected(
            "the switch from outside",
            expected,
            format!("{lost} more lost, {gap} ms longer"),
        ))
    }

    /// The status must be this.
    ///
    /// # Errors
    /// It is another; with the output.
    pub fn ended_with(&self, expected: i32) -> Result<(), Failure> {
        if self.status == expected {
            return Ok(());
        }
        let found = format!("{}\n(exit status {})", self.output.trim_end(), self.status);
        Err(Failure::unexpected("the watched command", format!("exit status {expected}"), found))
    }
}

fn words(loss: &Loss) -> String {
    format!("{} of {} probes lost, longest gap {} ms", loss.lost, loss.sent, loss.longest_gap_ms)
}

/// A connection that was open before the switch: it says `alive` when told to over the console, then what
/// `xenup confirm` answers it.
#[derive(Debug)]
pub struct OldConnection {
    session: Running,
    log: std::path::PathBuf,
}

impl OldConnection {
    /// Opens it.
    ///
    /// # Errors
    /// ssh does not start, or does not get in.
    pub fn open(bench: &mut Bench) -> Result<Self, Failure> {
        let log = bench.lab.path().join("old-connection.log");
        // By one way: ssh brings what is said on two in any order.
        let command = "exec 2>&1; echo open > /run/rehearsal-open; \
                       until [ -e /run/rehearsal-ask ]; do sleep 0.5; done; \
                       echo alive; xenup confirm; echo status $?";
        let session = bench.ssh.spawn(network::VM, command, &log)?;
        let opened = "until [ -e /run/rehearsal-open ]; do sleep 0.2; done";
        bench.vm.console().check(opened, super::bench::SHORT)?;
        Ok(Self { session, log })
    }

    /// Asks for its answer and returns it: empty where the connection is dead.
    ///
    /// # Errors
    /// The console failed, or ssh does not end.
    pub fn ask(mut self, bench: &mut Bench) -> Result<String, Failure> {
        bench.vm.console().check("touch /run/rehearsal-ask", super::bench::SHORT)?;
        let ended = self.session.wait(super::bench::SHORT);
        ended.map_err(crate::error::during("wait for the old connection"))?;
        Ok(xenup_system::files::read_text(&self.log)?)
    }
}
