//! A seed for cloud-init on the guest's own disk.
//!
//! Decides: what user-data can be, and the files from which cloud-init takes it and nothing else. Facts: cloud-init's
//! NoCloud datasource (a seed below /var/lib/cloud/seed/nocloud), its user-data formats, its cloud.cfg.d, and
//! ds-identify, which reads `datasource_list` where it stands in one line. Never: reads what user-data asks for.

use super::inside::{Entry, text_of};
use super::{Identity, Name};

/// The package; a base that has it has [`SEED`].
pub const CLOUD_INIT: &str = "cloud-init";
/// Where the seed is.
pub const SEED: &str = "/var/lib/cloud/seed/nocloud";
const SHOWN: usize = 60;

/// User-data: a cloud-config, a script, or a MIME archive of such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserData(String);

/// A file that is no user-data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserDataFault {
    /// Not UTF-8, or with a NUL.
    #[error("it is no text")]
    NoText,
    /// cloud-init would pass over it.
    #[error("line 1 is `{0}`, and cloud-init takes that for no user-data")]
    Form(String),
}

impl UserDataFault {
    /// Returns one decision that helps.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoText => {
                "name a text: a cloud-config, a script, or both in MIME (cloud-init devel make-mime)"
            }
            Self::Form(_) => {
                "begin it with #cloud-config, with #! and an interpreter, or with Content-Type: or MIME-Version:"
            }
        }
    }
}

impl UserData {
    /// Reads a file of user-data.
    ///
    /// # Errors
    /// No text, or none that begins as user-data does.
    pub fn of(bytes: &[u8]) -> Result<Self, UserDataFault> {
        let text = text_of(bytes).ok_or(UserDataFault::NoText)?;
        let first = text.lines().next().unwrap_or_default();
        let is_mime = ["content-type:", "mime-version:"]
            .iter()
            .any(|field| first.get(..field.len()).is_some_and(|start| start.eq_ignore_ascii_case(field)));
        if !is_mime && !first.starts_with("#!") && !first.starts_with("#cloud-config") {
            return Err(UserDataFault::Form(
                first.chars().take(SHOWN).flat_map(char::escape_debug).collect(),
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Says where cloud-init looks, and what it leaves as the guest was made: its network, its apt sources, root's keys.
const SETTINGS: &str = "\
# xenup guest create: the seed in /var/lib/cloud/seed/nocloud and no other source.
datasource_list: [ NoCloud, None ]
network: {config: disabled}
apt: {preserve_sources_list: true}
disable_root: false
";

/// Returns the seed and its settings as files of the guest.
pub(super) fn entries(data: &UserData, name: &Name, identity: &Identity) -> Vec<Entry> {
    let meta = format!("instance-id: \"{}\"\nlocal-hostname: \"{name}\"\n", identity.uuid);
    vec![
        Entry::file("/etc/cloud/cloud.cfg.d/99-xenup.cfg", 0o644, SETTINGS),
        Entry::file(format!("{SEED}/meta-data"), 0o644, meta),
        Entry::file(format!("{SEED}/network-config"), 0o644, "network: {config: disabled}\n"),
        // It may hold a password.
        Entry::file(format!("{SEED}/user-data"), 0o600, data.0.clone()),
    ]
}
