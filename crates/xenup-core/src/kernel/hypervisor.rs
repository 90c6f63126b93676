//! Hypervisors: what each Xen from 2.0 to 4.21 takes as a kernel, each fact with its source.
//!
//! Decides: by a table of steps: from which release on something holds. What no source was found for is not known,
//! and never counts as a yes. An installed Xen's own configuration overrides the table.
//! Never: asks a running Xen.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::is_set;
use super::table::{STEPS, Step};
use super::unpack::Compression;

/// A release of Xen: `4.17`. Point releases share what the table knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// The 4 of 4.17.
    pub major: u8,
    /// The 17 of 4.17.
    pub minor: u8,
}

/// The releases that the table speaks of, oldest first.
pub const RELEASES: [Release; 28] = {
    const fn at(major: u8, minor: u8) -> Release {
        Release { major, minor }
    }
    [
        at(2, 0),
        at(3, 0),
        at(3, 1),
        at(3, 2),
        at(3, 3),
        at(3, 4),
        at(4, 0),
        at(4, 1),
        at(4, 2),
        at(4, 3),
        at(4, 4),
        at(4, 5),
        at(4, 6),
        at(4, 7),
        at(4, 8),
        at(4, 9),
        at(4, 10),
        at(4, 11),
        at(4, 12),
        at(4, 13),
        at(4, 14),
        at(4, 15),
        at(4, 16),
        at(4, 17),
        at(4, 18),
        at(4, 19),
        at(4, 20),
        at(4, 21),
    ]
};

impl fmt::Display for Release {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

/// A word that is no release of Xen in the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no release of Xen that xenup knows: 2.0, 3.0 to 3.4, 4.0 to 4.21")]
pub struct UnknownRelease(String);

impl FromStr for Release {
    type Err = UnknownRelease;

    /// Reads `4.17`, and `4.17.5` or `4.17-amd64` as that.
    fn from_str(word: &str) -> Result<Self, UnknownRelease> {
        let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
        let parsed = word.split_once('.').and_then(|(major, rest)| {
            Some(Self { major: major.parse().ok()?, minor: digits(rest).parse().ok()? })
        });
        parsed.filter(|release| RELEASES.contains(release)).ok_or_else(|| UnknownRelease(word.to_owned()))
    }
}

/// What a hypervisor, or the domain builder that comes with it, may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Kernels built for the interface of Xen 2 (`XEN_VER=2.0`).
    Interface2,
    /// Kernels built for the interface `xen-3.0`.
    Interface3,
    /// Notes in place of `__xen_guest`.
    ElfNotes,
    /// bzImages for guests.
    BzImage,
    /// bzImages for dom0.
    BzImageDom0,
    /// Payloads packed with bzip2.
    Bzip2,
    /// Payloads packed with lzma.
    Lzma,
    /// Payloads packed with xz.
    Xz,
    /// Payloads packed with lz4.
    Lz4,
    /// Payloads packed with zstd.
    Zstd,
    /// PV guests with 64 bits.
    Pv64,
    /// PV guests with 32 bits and PAE.
    Pv32,
    /// PV guests with 32 bits and without PAE.
    Pv32WithoutPae,
    /// HVM guests.
    Hvm,
    /// PV drivers in HVM guests.
    PvDriversInHvm,
    /// PVH guests as they are today, started at PHYS32_ENTRY.
    Pvh,
    /// PVH as dom0.
    PvhDom0,
    /// PV guests inside a PVH guest (`pvshim=1`).
    Shim,
    /// Shadow page tables: live migration of PV guests, HVM without EPT or NPT.
    Shadow,
}

/// Whether something is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It is, in some builds of the release.
    Depends,
    /// No source says.
    Unknown,
}

/// A fact about a hypervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    /// Whether it is so.
    pub state: State,
    /// Where that is known from.
    pub source: String,
}

/// A hypervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hypervisor {
    /// Its release.
    pub release: Release,
    /// Its name for people: `4.17`, or `4.17-amd64` where it is installed.
    pub name: String,
    /// Its configuration (`/boot/xen-*.config`), where it is installed, or known of a build.
    config: Option<String>,
    /// Where the configuration is known from.
    origin: String,
}

impl Hypervisor {
    /// Returns a release as its makers built it.
    #[must_use]
    pub fn of(release: Release) -> Self {
        Self { release, name: release.to_string(), config: None, origin: String::new() }
    }

    /// Returns an installed Xen: `name` as in `/boot/xen-<name>.gz`, with the text of its configuration.
    ///
    /// # Errors
    /// A name that does not begin with a release in the table.
    pub fn installed(name: &str, config: Option<String>) -> Result<Self, UnknownRelease> {
        let origin = format!("/boot/xen-{name}.config");
        Ok(Self { release: name.parse()?, name: name.to_owned(), config, origin })
    }

    /// Returns a release as a distribution built it: `config` has the options that are known of the build, `origin`
    /// says where from.
    #[must_use]
    pub fn built(release: Release, config: &str, origin: &str) -> Self {
        let config = Some(config.to_owned());
        Self { release, name: release.to_string(), config, origin: origin.to_owned() }
    }

    /// Returns what is known of a capability: from its own configuration where that speaks of it, else from the table.
    #[must_use]
    pub fn fact(&self, capability: Capability) -> Fact {
        self.configured(capability).unwrap_or_else(|| {
            let step = STEPS.iter().rev().find(|step| step.what == capability && step.since <= self.release);
            match step {
                Some(Step { state, source, .. }) => Fact { state: *state, source: (*source).to_owned() },
                None => Fact { state: State::Unknown, source: "no source was found".to_owned() },
            }
        })
    }

    fn configured(&self, capability: Capability) -> Option<Fact> {
        let config = self.config.as_deref()?;
        // 32-bit guests need PV first; an option that the file does not mention is of another release.
        let options: &[&str] = match capability {
            Capability::Pv64 => &["CONFIG_PV"],
            Capability::Pv32 => &["CONFIG_PV", "CONFIG_PV32"],
            Capability::Hvm | Capability::Pvh => &["CONFIG_HVM"],
            Capability::Shadow => &["CONFIG_SHADOW_PAGING"],
            _ => return None,
        };
        let speaks =
            |symbol: &str| is_set(config, symbol) || config.contains(&format!("# {symbol} is not set"));
        let named: Vec<&str> = options.iter().copied().filter(|symbol| speaks(symbol)).collect();
        let unset = named.iter().find(|symbol| !is_set(config, symbol));
        match (unset, named.last()) {
            (Some(symbol), _) => Some(self.configured_as(State::No, &format!("{symbol} is not set"))),
            // What a configuration allows, an old release may still not have.
            (None, Some(symbol)) if capability != Capability::Pvh => {
                Some(self.configured_as(State::Yes, &format!("{symbol}=y")))
            }
            _ => None,
        }
    }

    fn configured_as(&self, state: State, words: &str) -> Fact {
        Fact { state, source: format!("{}: {words}", self.origin) }
    }

    /// Returns what is known of kernels packed so.
    #[must_use]
    pub fn unpacks(&self, compression: Compression) -> Fact {
        self.fact(match compression {
            // Every release unpacks gzip itself, for kernels before bzImages too.
            Compression::Gzip => {
                let source = "Xen's tools link zlib for it since the interface of 3.0".to_owned();
                return Fact { state: State::Yes, source };
            }
            Compression::Bzip2 => Capability::Bzip2,
            Compression::Lzma => Capability::Lzma,
            Compression::Xz => Capability::Xz,
            Compression::Lz4 => Capability::Lz4,
            Compression::Zstd => Capability::Zstd,
            Compression::Lzo => {
                let source = "xenup does not read it, and so cannot say".to_owned();
                return Fact { state: State::Unknown, source };
            }
        })
    }
}
