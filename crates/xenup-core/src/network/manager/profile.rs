//! Which profile a NIC gets.
//!
//! Decides: by type, name, permanent address, autoconnect and its priority, as NetworkManager does. Where several stay,
//! the one that is active counts: NetworkManager takes the one that was used last. Never: decides by what only
//! NetworkManager could tell ([match]).

use std::path::{Path, PathBuf};

use xenup_machine::network::{Mac, Network};

use super::keyfile::{Keyfile, boolean, list};
use crate::inspect::facts::{At, ConfigFile, ManagedLink, Nic};

/// Where profiles lie. Of two with one UUID, the one in the directory that stands first here counts.
pub const DIRECTORIES: [&str; 3] = [
    "/run/NetworkManager/system-connections",
    "/etc/NetworkManager/system-connections",
    "/usr/lib/NetworkManager/system-connections",
];

/// The directory of what somebody wrote to stay.
pub(super) const ETC: &str = "/etc/NetworkManager/system-connections";

/// The group and key by which a bridge's profile says whose place it takes: `[user]` is for such data.
pub(super) const FROM: (&str, &str) = ("user", "xenup.profile");

/// A profile; the default is that of a NIC that has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub keyfile: Keyfile,
}

/// A NIC as profiles are matched with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The address burnt in, by which profiles go.
    pub permanent: Option<Mac>,
}

impl Port {
    /// Returns a NIC as profiles see it.
    #[must_use]
    pub fn of(nic: &Nic, kernel: &Network) -> Self {
        let burnt_in = kernel.link(&nic.name).and_then(|link| link.permanent_mac);
        Self { name: nic.name.clone(), permanent: burnt_in.or(nic.mac) }
    }
}

impl Profile {
    /// Returns whether there is none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.path.as_os_str().is_empty()
    }

    /// Returns its type under its present name: `ethernet`, `bridge`, …
    #[must_use]
    pub fn kind(&self) -> &str {
        match self.keyfile.value("connection", "type").unwrap_or_default() {
            "802-3-ethernet" => "ethernet",
            "802-11-wireless" => "wifi",
            other => other,
        }
    }

    /// Returns the link it is for; `None` where it is for any of its type.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        self.keyfile.value("connection", "interface-name")
    }

    /// Returns its UUID, where the file has one.
    #[must_use]
    pub fn uuid(&self) -> Option<&str> {
        self.keyfile.value("connection", "uuid")
    }

    /// Whether NetworkManager brings it up by itself.
    #[must_use]
    pub fn autoconnects(&self) -> bool {
        self.keyfile.value("connection", "autoconnect").and_then(boolean).unwrap_or(true)
    }

    /// Returns the priority by which profiles for one link are ordered: the greatest wins.
    #[must_use]
    pub fn priority(&self) -> i32 {
        let value = self.keyfile.value("connection", "autoconnect-priority");
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// Returns the master it makes its link a port of.
    #[must_use]
    pub fn controller(&self) -> Option<&str> {
        let value = |key| self.keyfile.value("connection", key);
        value("controller").or_else(|| value("master"))
    }

    /// Whether NetworkManager made it by itself, for a NIC without a profile (NetworkManager.conf(5), no-auto-default).
    #[must_use]
    pub fn is_automatic(&self) -> bool {
        self.path.starts_with(DIRECTORIES[0]) && self.is_marked("nm-generated") && !self.is_external()
    }

    /// Whether NetworkManager made it up to show a link that others configured.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.is_marked("external")
    }

    fn is_marked(&self, key: &str) -> bool {
        self.keyfile.value(".nmmeta", key).and_then(boolean) == Some(true)
    }

    /// Whether it names one NIC, by name or by address.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.interface().is_some() || self.keyfile.value("ethernet", "mac-address").is_some()
    }

    /// Whether it may be for a NIC.
    #[must_use]
    pub fn fits(&self, port: &Port) -> bool {
        let mac = |text: &str| text.parse::<Mac>().ok();
        let ethernet = |key: &str| self.keyfile.value("ethernet", key);
        let wanted = ethernet("mac-address");
        let mut shunned =
            ["mac-address-denylist", "mac-address-blacklist"].into_iter().filter_map(ethernet).flat_map(list);
        self.kind() == "ethernet"
            && !self.is_external()
            && self.interface().is_none_or(|name| name == port.name)
            && wanted.is_none_or(|wanted| mac(wanted).is_some() && mac(wanted) == port.permanent)
            && !shunned.any(|one| mac(one).is_some() && mac(one) == port.permanent)
    }

    /// Returns the addresses it declares, with their prefix lengths, and the gateways: `address1=IP/LENGTH,GATEWAY`, and
    /// `gateway=`.
    #[must_use]
    pub fn addresses(&self) -> (Vec<String>, Vec<String>) {
        let (mut addresses, mut gateways) = (Vec::new(), Vec::new());
        for entry in
            self.keyfile.entries().iter().filter(|entry| matches!(entry.group.as_str(), "ipv4" | "ipv6"))
        {
            let numbered =
                entry.key.strip_prefix("address").filter(|rest| rest.chars().all(|c| c.is_ascii_digit()));
            match (entry.key.as_str(), numbered) {
                ("gateway", _) => gateways.extend(list(&entry.value).map(str::to_owned)),
                (_, Some(_)) => {
                    let mut parts = list(&entry.value).map(str::to_owned);
                    addresses.extend(parts.next());
                    gateways.extend(parts.next());
                }
                ("addresses", _) => addresses.extend(list(&entry.value).map(str::to_owned)),
                _ => {}
            }
        }
        (addresses, gateways)
    }

    /// Returns where it says for whom it is.
    #[must_use]
    pub fn matched_at(&self) -> At {
        let entry = |group, key| self.keyfile.get(group, key);
        let named = entry("connection", "interface-name").or_else(|| entry("ethernet", "mac-address"));
        let named = named.or_else(|| entry("connection", "type"));
        At { path: self.path.clone(), line: named.map_or(0, |entry| entry.line) }
    }

    /// Returns where a key is set, or where the profile says for whom it is.
    #[must_use]
    pub fn at(&self, group: &str, key: &str) -> At {
        let entry = self.keyfile.get(group, key);
        entry.map_or_else(|| self.matched_at(), |entry| At { path: self.path.clone(), line: entry.line })
    }
}

/// Returns whether a profile is one that [`super::change`] made.
#[must_use]
pub fn is_ours(profile: &Profile) -> bool {
    let name = profile.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    profile.path.starts_with(ETC) && name.starts_with(super::change::PREFIX)
}

/// Returns the profiles that count, by path. A file that NetworkManager could not read is none.
#[must_use]
pub fn profiles(files: &[ConfigFile]) -> Vec<Profile> {
    let mut found: Vec<Profile> = Vec::new();
    for directory in DIRECTORIES {
        for file in files.iter().filter(|file| file.path.parent() == Some(Path::new(directory))) {
            let Ok(keyfile) = Keyfile::parse(&file.text) else { continue };
            let profile = Profile { path: file.path.clone(), keyfile };
            let hidden = profile.uuid().is_some() && found.iter().any(|other| other.uuid() == profile.uuid());
            if !hidden {
                found.push(profile);
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// Returns the profiles that a NIC may get at the next boot: those of the greatest priority that are brought up by
/// themselves. Among several, NetworkManager takes the one that was used last: the active one stands first.
#[must_use]
pub fn chosen<'a>(profiles: &'a [Profile], port: &Port, active: Option<&ManagedLink>) -> Vec<&'a Profile> {
    let fitting = || profiles.iter().filter(|profile| profile.autoconnects() && profile.fits(port));
    let greatest = fitting().map(Profile::priority).max();
    let mut best: Vec<&Profile> = fitting().filter(|profile| Some(profile.priority()) == greatest).collect();
    let is_active =
        |profile: &Profile| active.is_some_and(|link| link.profile.as_ref() == Some(&profile.path));
    best.sort_by_key(|profile| !is_active(profile));
    best
}

#[cfg(test)]
mod tests {
    use super::{Port, chosen, profiles};
    use crate::inspect::facts::{ConfigFile, ManagedLink};

    const MAC: &str = "52:54:00:aa:bb:01";

    fn file(name: &str, rest: &str) -> ConfigFile {
        let directory = if name.starts_with('/') { "" } else { "/etc/NetworkManager/system-connections/" };
        let text = format!("[connection]\nid={name}\ntype=ethernet\n{rest}");
        ConfigFile { path: format!("{directory}{name}").into(), text }
    }

    fn names(files: &[ConfigFile], active: Option<&str>) -> Vec<String> {
        let active = active.map(|name| ManagedLink {
            link: "eno1".to_owned(),
            uuid: None,
            profile: Some(format!("/etc/NetworkManager/system-connections/{name}").into()),
            client4: None,
        });
        let port = Port { name: "eno1".to_owned(), permanent: MAC.parse().ok() };
        let all = profiles(files);
        let found = chosen(&all, &port, active.as_ref());
        found
            .iter()
            .map(|one| one.path.file_name().unwrap_or_default().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn the_greatest_priority_that_fits_and_autoconnects_is_taken() {
        let files = [
            file("any", ""),
            file("other", "interface-name=eno2\nautoconnect-priority=9\n"),
            file("never", "autoconnect=false\nautoconnect-priority=9\n"),
            file(
                "card",
                &format!("autoconnect-priority=1\n[ethernet]\nmac-address={}\n", MAC.to_uppercase()),
            ),
            file("shunned", &format!("autoconnect-priority=9\n[ethernet]\nmac-address-blacklist={MAC};\n")),
            file("broken", "interface-name=eno1\nautoconnect-priority=9\nrubbish\n"),
        ];
        assert_eq!(names(&files, None), ["card"]);
        assert_eq!(names(&files[..3], None), ["any"]);
    }

    #[test]
    fn of_two_alike_the_active_one_stands_first() {
        let files = [file("one", ""), file("two", "interface-name=eno1\n")];
        assert_eq!(names(&files, Some("two")), ["two", "one"]);
        assert_eq!(names(&files, None), ["one", "two"]);
    }

    #[test]
    fn of_two_with_one_uuid_the_one_under_run_counts() {
        let uuid = "uuid=7c2e5b1e-51a4-4d0c-8d8e-0d6f5d9f4a10\n";
        let files =
            [file("lan", uuid), file("/run/NetworkManager/system-connections/lan.nmconnection", uuid)];
        assert_eq!(names(&files, None), ["lan.nmconnection"]);
    }
}
