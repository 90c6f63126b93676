//! How well the machine was reached from outside: probes lost and the longest gap, of any stretch of a trace.
//!
//! It decides what is lost and what a gap is. Under emulation a figure means little by itself, hence the comparison
//! with an equal stretch in which nothing was done.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xenup_system::lab::echo::{Echoes, Prober, Sample, Target};

use crate::error::LabError;
use crate::network::Lan;

/// How long the last replies may be on their way; an emulated machine on a busy builder answers late.
const GRACE: Duration = Duration::from_secs(2);

/// Probing that goes on until it is stopped.
#[derive(Debug)]
pub struct Probing {
    prober: Prober,
    period: Duration,
}

impl Probing {
    /// Sends `rate` ICMP echo requests a second from the LAN's outside to `target`.
    ///
    /// # Errors
    /// No raw socket in the namespace, or no route from it.
    pub fn start(lan: &Lan, target: Ipv4Addr, rate: u32) -> Result<Self, LabError> {
        let period = Duration::from_secs(1) / rate.max(1);
        Ok(Self { prober: Prober::start(&lan.namespace_file(), Target::Icmp(target), period)?, period })
    }

    /// The time since the start, to mark a stretch by.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.prober.elapsed()
    }

    /// Lets it go on for this long.
    ///
    /// # Errors
    /// It ended by itself: why.
    pub fn wait(&mut self, time: Duration) -> Result<(), LabError> {
        if self.prober.wait(time) {
            return Ok(());
        }
        Ok(self.prober.failure()?)
    }

    /// Stops it and returns all that was seen, replies that come within two seconds included.
    ///
    /// # Errors
    /// It had ended by itself.
    pub fn stop(self) -> Result<Trace, LabError> {
        let echoes = self.prober.stop(GRACE)?;
        Ok(Trace { echoes, period: self.period })
    }
}

/// All probes of one run of [`Probing`].
#[derive(Debug, Clone)]
pub struct Trace {
    echoes: Echoes,
    period: Duration,
}

impl Trace {
    /// A trace of these probes, sent one per `period`.
    #[must_use]
    pub fn new(echoes: Echoes, period: Duration) -> Self {
        Self { echoes, period }
    }

    /// What was lost of all of it.
    #[must_use]
    pub fn whole(&self) -> Loss {
        self.count(&self.echoes.samples)
    }

    /// What was lost of the probes sent in this stretch (times since the start).
    #[must_use]
    pub fn loss(&self, stretch: Range<Duration>) -> Loss {
        let samples = &self.echoes.samples;
        let start = samples.partition_point(|sample| sample.sent < stretch.start);
        let end = samples.partition_point(|sample| sample.sent < stretch.end);
        self.count(samples.get(start..end).unwrap_or_default())
    }

    /// How often this machine was too busy to send at its tick, in the whole run.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.echoes.skipped
    }

    fn count(&self, samples: &[Sample]) -> Loss {
        let lost = |sample: &&Sample| sample.answered.is_none();
        Loss {
            sent: samples.len() as u64,
            lost: samples.iter().filter(lost).count() as u64,
            longest_gap_ms: milliseconds(longest_gap(samples)),
            intervals: self.intervals(samples),
        }
    }

    /// Runs of lost probes, as times since the stretch's first probe; the end is one period after the last lost one.
    fn intervals(&self, samples: &[Sample]) -> Vec<Gap> {
        let start = samples.first().map(|first| first.sent).unwrap_or_default();
        let since = |time: Duration| milliseconds(time.saturating_sub(start));
        samples
            .chunk_by(|one, next| one.answered.is_none() == next.answered.is_none())
            .filter(|run| run.iter().all(|sample| sample.answered.is_none()))
            .filter_map(|run| {
                let (first, last) = (run.first()?, run.last()?);
                let (from_ms, to_ms) = (since(first.sent), since(last.sent + self.period));
                Some(Gap { from_ms, to_ms, lost: run.len() as u64 })
            })
            .collect()
    }
}

/// The longest time without a reply, counted from the first probe and up to the last one.
fn longest_gap(samples: &[Sample]) -> Duration {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Duration::ZERO };
    let mut replies: Vec<Duration> = samples.iter().filter_map(|sample| sample.answered).collect();
    replies.push(first.sent);
    // Replies that come after the last probe bound a gap too, hence no push where the last was answered.
    if last.answered.is_none() {
        replies.push(last.sent);
    }
    replies.sort_unstable();
    replies.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    // A tenth of a millisecond is finer than anything an emulated machine does on time.
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// What was lost in one stretch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Probes sent.
    pub sent: u64,
    /// Probes without a reply.
    pub lost: u64,
    /// The longest time without a reply, in milliseconds.
    pub longest_gap_ms: f64,
    /// Where probes were lost.
    pub intervals: Vec<Gap>,
}

/// A run of lost probes; times in milliseconds since the stretch's first probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// When the first lost one was sent.
    pub from_ms: f64,
    /// When the next one was due.
    pub to_ms: f64,
    /// How many were lost.
    pub lost: u64,
}

/// A stretch in which something was done, beside one of equal length in which nothing was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// While it was done.
    pub during: Loss,
    /// While nothing was.
    pub control: Loss,
}

impl Comparison {
    /// How many more were lost than in the control; negative where fewer.
    #[must_use]
    pub fn extra_lost(&self) -> i64 {
        i64::try_from(self.during.lost)
            .unwrap_or(i64::MAX)
            .saturating_sub(i64::try_from(self.control.lost).unwrap_or(i64::MAX))
    }

    /// How much longer the longest gap was than the control's, in milliseconds; negative where shorter.
    #[must_use]
    pub fn gap_longer_ms(&self) -> f64 {
        self.during.longest_gap_ms - self.control.longest_gap_ms
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use xenup_system::lab::echo::{Echoes, Sample};

    use super::{Comparison, Gap, Loss, Trace};

    const PERIOD: Duration = Duration::from_millis(5);

    /// A trace at 200 a second; each answer is the delay in milliseconds, `None` a loss.
    fn trace(answers: &[Option<u64>]) -> Trace {
        let samples = answers.iter().enumerate().map(|(n, delay)| {
            let sent = PERIOD * u32::try_from(n).unwrap();
            Sample { sent, answered: delay.map(|ms| sent + Duration::from_millis(ms)) }
        });
        Trace::new(Echoes { samples: samples.collect(), skipped: 0 }, PERIOD)
    }

    #[test]
    fn nothing_lost() {
        let loss = trace(&[Some(1), Some(1), Some(2), Some(1)]).whole();
        assert_eq!(loss, Loss { sent: 4, lost: 0, longest_gap_ms: 6.0, intervals: vec![] });
    }

    #[test]
    fn two_runs_of_losses_and_the_gap_between_replies() {
        let loss = trace(&[Some(1), None, None, Some(1), None, Some(1)]).whole();
        assert_eq!((loss.sent, loss.lost, loss.longest_gap_ms), (6, 3, 15.0));
        let gap = |from_ms, to_ms, lost| Gap { from_ms, to_ms, lost };
        assert_eq!(loss.intervals, [gap(5.0, 15.0, 2), gap(20.0, 25.0, 1)]);
    }

    #[test]
    fn a_late_reply_is_no_loss_but_a_gap() {
        let loss = trace(&[Some(1), Some(40), Some(35), Some(30)]).whole();
        assert_eq!((loss.lost, loss.longest_gap_ms), (0, 44.0));
        assert!(loss.intervals.is_empty());
    }

    #[test]
    fn all_lost_and_nothing_sent() {
        let loss = trace(&[None, None, None]).whole();
        assert_eq!((loss.lost, loss.longest_gap_ms), (3, 10.0));
        assert_eq!(trace(&[]).whole(), Loss { sent: 0, lost: 0, longest_gap_ms: 0.0, intervals: vec![] });
    }

    #[test]
    fn a_stretch_counts_its_own_probes_from_its_own_start() {
        let trace = trace(&[Some(1), Some(1), None, Some(1), Some(1)]);
        let during = trace.loss(PERIOD * 2..PERIOD * 4);
        assert_eq!((during.sent, during.lost), (2, 1));
        assert_eq!(during.intervals, [Gap { from_ms: 0.0, to_ms: 5.0, lost: 1 }]);
        let control = trace.loss(Duration::ZERO..PERIOD * 2);
        let both = Comparison { during, control };
        assert_eq!((both.extra_lost(), both.gap_longer_ms()), (1, 1.0));
    }
}
