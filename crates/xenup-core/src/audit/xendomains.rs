//! What xendomains does with guests when dom0 goes down. Decides what /etc/default/xendomains and the unit's drop-ins
//! say; never runs them. Debian's file is sourced by a shell, and is read as `inspect` reads those of GRUB: what only a
//! shell could tell is not known.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use xenup_machine::Probe;

use crate::inspect::shell::{Value, Variables};

const DEFAULTS: &str = "/etc/default/xendomains";
const DROP_INS: &str = "/etc/systemd/system/xendomains.service.d";
const LIMIT: u64 = 1 << 20;
/// As the unit of Debian 13 and the generator of Debian 12 have it, for all guests together.
const UNIT_SECONDS: u64 = 300;

/// The settings.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Xendomains {
    /// Where guests are saved; `None` where they are shut down.
    pub save: Setting<PathBuf>,
    /// Seconds for each guest.
    pub wait: Setting<u64>,
    /// Seconds for all of them; `None` for no limit.
    pub unit: Option<u64>,
}

/// A variable.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Setting<T> {
    /// Set, with the line.
    Set(T, u32),
    /// Empty or absent.
    Empty,
    /// Only a shell can tell.
    NotKnown,
}

impl Setting<String> {
    /// Returns what the word says; a word that says nothing of its kind is not known.
    fn parsed<T: FromStr>(self) -> Setting<T> {
        match self {
            Self::Set(word, line) => {
                word.parse().map_or(Setting::NotKnown, |value| Setting::Set(value, line))
            }
            Self::Empty => Setting::Empty,
            Self::NotKnown => Setting::NotKnown,
        }
    }
}

impl Xendomains {
    /// Reads the settings; `None` where xendomains is not installed.
    pub fn read(probe: &dyn Probe) -> Option<Self> {
        let text = text(probe, Path::new(DEFAULTS))?;
        let variables = sourced(&text);
        let save = setting(&variables, "XENDOMAINS_SAVE").parsed();
        let wait = setting(&variables, "XENDOMAINS_STOP_MAXWAIT").parsed();
        Some(Self { save, wait, unit: unit(probe) })
    }
}

fn text(probe: &dyn Probe, path: &Path) -> Option<String> {
    let bytes = probe.read(path, LIMIT).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn sourced(text: &str) -> Variables {
    let mut variables = Variables::default();
    variables.read(Path::new(DEFAULTS), text);
    variables
}

/// What a variable is worth when the file has been sourced.
fn setting(variables: &Variables, name: &str) -> Setting<String> {
    match variables.value(name) {
        Value::Known(value) if value.is_empty() => Setting::Empty,
        Value::Known(value) => Setting::Set(value, variables.set_at(name).map_or(0, |at| at.line)),
        Value::Unset => Setting::Empty,
        Value::Unknown(_) => Setting::NotKnown,
    }
}

/// The unit's time to stop, the drop-ins read in the order of their names.
fn unit(probe: &dyn Probe) -> Option<u64> {
    let mut seconds = Some(UNIT_SECONDS);
    for name in probe.list(Path::new(DROP_INS)).unwrap_or_default() {
        let path = Path::new(DROP_INS).join(&name);
        let Some(text) = text(probe, &path).filter(|_| path.extension().is_some_and(|end| end == "conf"))
        else {
            continue;
        };
        for line in text.lines() {
            let value =
                ["TimeoutStopSec=", "TimeoutSec="].iter().find_map(|key| line.trim().strip_prefix(key));
            if let Some(value) = value {
                seconds = span(value.trim()).unwrap_or(seconds);
            }
        }
    }
    seconds
}

/// Reads systemd.time(7)'s spans: `90`, `5min 20s`, `infinity`; the outer `None` where it is none.
fn span(text: &str) -> Option<Option<u64>> {
    if text == "infinity" || text == "0" {
        return Some(None);
    }
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, behind) = rest.split_at_checked(digits)?;
        let behind = behind.trim_start();
        let letters = behind.len() - behind.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, behind) = behind.split_at_checked(letters)?;
        let seconds = match unit {
            "" | "s" | "sec" | "second" | "seconds" => 1,
            "m" | "min" | "minute" | "minutes" => 60,
            "h" | "hr" | "hour" | "hours" => 3600,
            "d" | "day" | "days" => 86_400,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(seconds)?)?;
        rest = behind.trim_start();
    }
    (total > 0).then_some(Some(total))
}

#[cfg(test)]
mod tests {
    use super::{Setting, setting, sourced, span};

    #[test]
    fn a_variable_is_its_last_assignment_or_not_known() {
        let of = |text: &str| setting(&sourced(text), "XENDOMAINS_SAVE");
        assert_eq!(of("XENDOMAINS_SAVE=/a\n"), Setting::Set("/a".to_owned(), 1));
        assert_eq!(of("XENDOMAINS_SAVE=/a\nXENDOMAINS_SAVE=\"\" # no\n"), Setting::Empty);
        assert_eq!(of("#XENDOMAINS_SAVE=/a\nXENDOMAINS_SAVES=x\n"), Setting::Empty);
        assert_eq!(of("XENDOMAINS_SAVE=$(pwd)/save\n"), Setting::NotKnown);
        assert_eq!(of("DIR=/a\nXENDOMAINS_SAVE=$DIR/save\n"), Setting::Set("/a/save".to_owned(), 2));
        assert_eq!(of("XENDOMAINS_SAVE=/a\n. /etc/more\n"), Setting::NotKnown);
        assert_eq!(of("XENDOMAINS_SAVE=\"/a"), Setting::NotKnown);
        assert_eq!(of("XENDOMAINS_SAVE='/a b'"), Setting::Set("/a b".to_owned(), 1));
    }

    #[test]
    fn spans_are_read_as_systemd_reads_them() {
        assert_eq!(span("300"), Some(Some(300)));
        assert_eq!(span("5min 20s"), Some(Some(320)));
        assert_eq!(span("1h30min"), Some(Some(5400)));
        assert_eq!(span("infinity"), Some(None));
        for bad in ["", "min", "5 fortnights", "99999999999999999999", "5min ?"] {
            assert_eq!(span(bad), None, "{bad}");
        }
    }
}
