//! What `/proc/PID/stat` says (proc_pid_stat(5)). Pure: never reads it.

/// Nanoseconds of one clock tick: USER_HZ is 100 on every architecture that runs Xen.
pub const TICK_NS: u64 = 10_000_000;

/// The fields of `/proc/PID/stat` that tell who a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcStat {
    /// Its id.
    pub pid: u32,
    /// Its short name, 15 bytes at most.
    pub name: String,
    /// Its parent's id; 0 where it has none here.
    pub parent: u32,
    /// The device number of its terminal; 0 where it has none.
    pub terminal: u32,
    /// When it started, in ticks since boot, suspend included.
    pub start_ticks: u64,
}

impl ProcStat {
    /// Reads one line of the file; `None` where it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // The name may hold spaces and parentheses; the last one closes it.
        let (open, close) = (text.find('(')?, text.rfind(')')?);
        let fields: Vec<&str> = text.get(close + 1..)?.split_ascii_whitespace().collect();
        Some(Self {
            pid: text.get(..open)?.trim().parse().ok()?,
            name: text.get(open + 1..close)?.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            // The kernel prints it signed.
            terminal: fields.get(4)?.parse::<i32>().ok()?.cast_unsigned(),
            start_ticks: fields.get(19)?.parse().ok()?,
        })
    }

    /// Returns when it started, in nanoseconds since boot; rounded down to a tick, so never too late.
    #[must_use]
    pub fn start_ns(&self) -> u64 {
        self.start_ticks.saturating_mul(TICK_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::ProcStat;

    #[test]
    fn a_name_may_hold_what_closes_it() {
        let line = "812 (a) b (c)) S 1 812 812 34816 812 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 1 2 3\n";
        let stat = ProcStat::parse(line).unwrap();
        assert_eq!((stat.pid, stat.name.as_str(), stat.parent), (812, "a) b (c)", 1));
        assert_eq!((stat.terminal, stat.start_ticks, stat.start_ns()), (34816, 4711, 47_110_000_000));
        for bad in ["", "1 (", "1 (x) S", "x (x) S 1 1 1 1 1 1"] {
            assert_eq!(ProcStat::parse(bad), None, "{bad}");
        }
    }
}
