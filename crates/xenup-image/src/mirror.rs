//! Which Debian mirror packages come from: the one that this machine's own apt sources name, and no other.
//!
//! It decides by what the mirror's Release file says of itself (Origin: Debian), or, where apt has not fetched that
//! file yet, by the entry's key ring. Whatever it takes is verified with Debian's own key ring while packages are
//! fetched, so that a third party which only calls itself Debian gains nothing.

use serde::Serialize;
use xenup_system::process::{ProcessError, Tool};

use crate::spec::Suite;

/// Debian's own key ring, as the package debian-archive-keyring installs it.
pub const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Settings of this machine's apt without which its mirror may not answer, or not be accepted.
const CARRIED_OPTIONS: &[&str] = &[
    "Acquire::Check-Valid-Until",
    "Acquire::Check-Date",
    "Acquire::Retries",
    "Acquire::http::Proxy",
    "Acquire::https::Proxy",
];

/// No mirror could be taken from this machine's apt sources.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// apt could not be asked.
    #[error("apt did not list its sources")]
    Ask(#[source] ProcessError),
    /// None of the sources is Debian's own archive.
    #[error(
        "none of this machine's {entries} apt index entries is from Debian's own archive over http or https"
    )]
    None {
        /// How many entries there are.
        entries: usize,
    },
}

/// The archive that packages come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mirror {
    /// The main archive's address, without a slash at the end.
    pub archive: String,
    /// The security archive's address; `None` where this machine has none.
    pub security: Option<String>,
    /// apt settings to fetch with, each `Name "value";`.
    pub apt_options: Vec<String>,
}

impl Mirror {
    /// The mirror of this machine, by `apt-get indextargets` and `apt-config dump`.
    pub fn of_this_machine() -> Result<Self, MirrorError> {
        let targets = Tool::new("apt-get").arg("indextargets").run().map_err(MirrorError::Ask)?;
        let config = Tool::new("apt-config").args(["dump", "Acquire"]).run().map_err(MirrorError::Ask)?;
        Self::from_apt(&targets.text(), &config.text())
    }

    /// The mirror that apt's own words name: `targets` as `apt-get indextargets` prints it, `config` as
    /// `apt-config dump` does.
    pub fn from_apt(targets: &str, config: &str) -> Result<Self, MirrorError> {
        let entries: Vec<_> =
            targets.split("\n\n").map(Entry::parse).filter(|e| e.identifier == "Packages").collect();
        let find = |part| {
            entries
                .iter()
                .find(|e| e.part() == Some(part) && e.over_http())
                .map(|e| e.uri.trim_end_matches('/'))
        };
        Ok(Self {
            archive: find(Part::Main).ok_or(MirrorError::None { entries: entries.len() })?.to_owned(),
            security: find(Part::Security).map(str::to_owned),
            apt_options: carried_options(config),
        })
    }

    /// The lines of sources.list(5) for a suite: main, updates, and security where this machine has it; main alone for
    /// sid, which has neither.
    #[must_use]
    pub fn sources_list(&self, suite: Suite) -> String {
        let (name, archive) = (suite.name(), &self.archive);
        if suite == Suite::Sid {
            return format!("deb {archive} {name} main\n");
        }
        let mut text = format!("deb {archive} {name} main\ndeb {archive} {name}-updates main\n");
        if let Some(security) = &self.security {
            text.push_str(&format!("deb {security} {name}-security main\n"));
        }
        text
    }

    /// The apt settings that hold on another machine too: all but proxies on this one's loopback.
    #[must_use]
    pub fn portable_options(&self) -> Vec<&str> {
        let local =
            |option: &&str| ["localhost", "127.0.0.", "[::1]"].iter().any(|name| option.contains(name));
        self.apt_options.iter().map(String::as_str).filter(|option| !local(option)).collect()
    }

    /// Whether packages come over https, for which the installed system needs ca-certificates.
    #[must_use]
    pub fn over_https(&self) -> bool {
        [Some(&self.archive), self.security.as_ref()]
            .into_iter()
            .flatten()
            .any(|uri| uri.starts_with("https:"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Main,
    Security,
}

/// The fields of one stanza that matter here; empty where absent.
#[derive(Debug, Default)]
struct Entry<'a> {
    identifier: &'a str,
    uri: &'a str,
    origin: &'a str,
    label: &'a str,
    release: &'a str,
    component: &'a str,
    signed_by: &'a str,
}

impl<'a> Entry<'a> {
    fn parse(stanza: &'a str) -> Self {
        let mut entry = Self::default();
        for (name, value) in stanza.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name {
                "Identifier" => entry.identifier = value,
                "Repo-URI" => entry.uri = value,
                "Origin" => entry.origin = value,
                "Label" => entry.label = value,
                "Release" => entry.release = value,
                "Component" => entry.component = value,
                "Signed-By" => entry.signed_by = value,
                _ => {}
            }
        }
        entry
    }

    fn over_http(&self) -> bool {
        self.uri.starts_with("http://") || self.uri.starts_with("https://")
    }

    /// Which of Debian's archives this is; `None` for a third party's and for backports and the like.
    fn part(&self) -> Option<Part> {
        if self.component != "main" {
            return None;
        }
        match (self.origin, self.label) {
            ("Debian", "Debian") => Some(Part::Main),
            ("Debian", "Debian-Security") => Some(Part::Security),
            // Not fetched yet: the suite's name and the key ring must do.
            ("", "") if self.signed_by.contains("debian-archive") => match self.release {
                release if release.ends_with("-security") => Some(Part::Security),
                release if release.contains('-') => None,
                _ => Some(Part::Main),
            },
            _ => None,
        }
    }
}

fn carried_options(config: &str) -> Vec<String> {
    let carried = |line: &&str| {
        line.split_once(' ').is_some_and(|(name, value)| CARRIED_OPTIONS.contains(&name) && value != "\"\";")
    };
    config.lines().filter(carried).map(str::to_owned).collect()
}
