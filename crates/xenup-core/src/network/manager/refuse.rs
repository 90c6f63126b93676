//! What keeps a NIC's profile from moving up to a bridge. Decides that with path and line; never what becomes of it then.

use super::change::{PRIORITY, Wanted};
use super::goes::goes;
use super::keyfile::list;
use super::profile::{DIRECTORIES, Profile, chosen};
use crate::host::AddressPolicy;
use crate::inspect::facts::At;
use crate::inspect::{Finding, Weight};
use crate::network::owner::Goes;

/// Returns whether the NIC has no profile and needs none: dom0 is to have no address on it, so that nothing moves.
pub(super) fn needs_none(theirs: &[Profile], wanted: &Wanted<'_>) -> bool {
    let has_none = wanted.active.is_none_or(|link| link.profile.is_none() && link.uuid.is_none());
    wanted.address == AddressPolicy::None
        && has_none
        && chosen(theirs, &wanted.port, wanted.active).is_empty()
}

/// Returns the profile the NIC gets today and at the next boot.
///
/// # Errors
/// A finding: there is none, the next boot has another one, or it ends with this boot.
pub(super) fn source<'a>(theirs: &'a [Profile], wanted: &Wanted<'_>) -> Result<&'a Profile, Box<Finding>> {
    let port = wanted.port.name.as_str();
    let active = wanted.active.and_then(|link| link.profile.as_ref());
    let next = chosen(theirs, &wanted.port, wanted.active);
    let running = active.and_then(|path| theirs.iter().find(|profile| profile.path == *path));
    let Some(source) =
        running.or_else(|| next.first().copied().filter(|_| active.is_none() && next.len() == 1))
    else {
        let at = next.iter().map(|profile| profile.matched_at()).collect();
        let fix = format!("nmcli connection up ID, with a profile that is for {port}; then once more");
        return Err(Box::new(Finding {
            at,
            ..Finding::blocking(
                "nm-no-profile",
                format!("which profile of NetworkManager is for {port} cannot be told"),
                "none that xenup can read is active on it, and a plan would have to guess what moves to the bridge",
                fix,
            )
        }));
    };
    if next.first().is_none_or(|first| first.path != source.path) {
        let other = next.first().map_or_else(|| "none".to_owned(), |first| first.path.display().to_string());
        return Err(Box::new(Finding {
            at: vec![source.at("connection", "autoconnect")],
            ..Finding::blocking(
                "nm-other-profile-at-boot",
                format!("{port} has {} now, and the next boot gives it: {other}", source.path.display()),
                "a bridge made from either would not be what somebody expects after a reboot",
                "give the one that is meant autoconnect=true and the greatest autoconnect-priority",
            )
        }));
    }
    let volatile = source.path.starts_with(DIRECTORIES[0]) && !source.is_automatic();
    if volatile {
        return Err(Box::new(Finding {
            at: vec![source.matched_at()],
            ..Finding::blocking(
                "nm-profile-ends-with-boot",
                format!("the profile that {port} has lies under /run"),
                "a reboot ends it: nobody could tell what the machine has then",
                "have it on disk: nmcli connection clone ID NAME, and the clone up; or end what makes it",
            )
        }));
    }
    Ok(source)
}

/// Returns the settings of the NIC's profile that stand in the way.
pub(super) fn settings(source: &Profile, wanted: &Wanted<'_>) -> Vec<Finding> {
    let port = wanted.port.name.as_str();
    let mut found = Vec::new();
    let secret = source.keyfile.groups().find(|(group, _)| matches!(*group, "802-1x" | "pppoe" | "macsec"));
    found.extend(secret.map(|(group, line)| Finding {
        at: vec![At { path: source.path.clone(), line }],
        ..unmovable(wanted, &format!("[{group}]"))
    }));
    for entry in source.keyfile.entries() {
        let (group, key, value) = (entry.group.as_str(), entry.key.as_str(), entry.value.as_str());
        let at = || vec![At { path: source.path.clone(), line: entry.line }];
        if goes(group, key) == Goes::Nowhere
            && !value.is_empty()
            && !matches!(group, "802-1x" | "pppoe" | "macsec")
        {
            found.push(Finding { at: at(), ..unmovable(wanted, &format!("{key}={value} in [{group}]")) });
        }
        let named = list(value).flat_map(str::split_ascii_whitespace).any(|word| word == port);
        if named && matches!(group, "ipv4" | "ipv6") && wanted.address == AddressPolicy::Keep {
            found.push(Finding {
                at: at(),
                ..Finding::blocking(
                    "nm-names-nic",
                    format!("{key}={value} in [{group}] names {port}"),
                    "once the bridge has the addresses, it would no longer mean them",
                    format!("write it without {port}, or for {}", wanted.bridge),
                )
            });
        }
        if (group, key, value) == ("ipv4", "method", "shared")
            || (group, key, value) == ("ipv6", "method", "shared")
        {
            found.push(Finding { at: at(), ..unmovable(wanted, "method=shared") });
        }
    }
    found
}

fn unmovable(wanted: &Wanted<'_>, what: &str) -> Finding {
    Finding::blocking(
        "nm-setting-not-movable",
        format!(
            "{}'s profile has {what}, which the port of a bridge cannot have, or which this version does not know",
            wanted.port.name
        ),
        "it would end with the change, or the bridge would not come up",
        format!("take it out of the profile, or name another port for {}", wanted.bridge),
    )
}

/// Returns a finding for each profile that ours could not outrank.
pub(super) fn outranked(theirs: &[Profile], wanted: &Wanted<'_>) -> Vec<Finding> {
    let rivals = theirs.iter().filter(|profile| {
        profile.autoconnects() && profile.fits(&wanted.port) && profile.priority() >= PRIORITY
    });
    let found = rivals.map(|profile| Finding {
        at: vec![profile.at("connection", "autoconnect-priority")],
        ..Finding::blocking(
            "nm-priority-taken",
            format!("a profile for {} has autoconnect-priority={}", wanted.port.name, profile.priority()),
            "the greatest wins, no profile can have more, and the bridge might not come up after a reboot",
            "write a smaller one",
        )
    });
    found.collect()
}

/// Returns a finding for each lasting address that the NIC has and its profile does not declare.
pub(super) fn undeclared(source: &Profile, wanted: &Wanted<'_>) -> Vec<Finding> {
    let (addresses, _) = source.addresses();
    let declared = |ip: &std::net::IpAddr| {
        addresses.iter().any(|address| address.split('/').next().and_then(|ip| ip.parse().ok()) == Some(*ip))
    };
    let kept = wanted.address == AddressPolicy::Keep;
    let found = wanted.lasting.iter().filter(|ip| kept && !declared(ip)).map(|ip| Finding {
        at: vec![source.matched_at()],
        ..Finding::blocking(
            "nm-address-not-declared",
            format!("{} has {ip}, and its profile does not declare it", wanted.port.name),
            "it was set by hand or by another program, and would be gone after a reboot",
            format!("add it to the profile (nmcli connection modify ID +ipv4.addresses {ip}/LENGTH), or take it off the NIC"),
        )
    });
    found.collect()
}

/// Returns a warning where an IPv6 address depends on the profile and the link's name.
pub(super) fn changing_addresses(source: &Profile, wanted: &Wanted<'_>) -> Option<Finding> {
    (wanted.private && wanted.address == AddressPolicy::Keep).then(|| Finding {
        weight: Weight::Warning,
        at: vec![source.at("ipv6", "addr-gen-mode")],
        ..Finding::blocking(
            "ipv6-address-changes",
            format!("{} will have other IPv6 addresses than {}", wanted.bridge, wanted.port.name),
            "NetworkManager makes such an address from the profile and the link's name, and the bridge has others",
            "know the new address from `ip -6 address` before you confirm, or write the address itself",
        )
    })
}

pub(super) fn unknown_identity(source: &Profile, wanted: &Wanted<'_>) -> Finding {
    Finding {
        at: vec![source.at("ipv4", "method")],
        ..Finding::blocking(
            "dhcp-identity-unknown",
            format!("the identity by which {}'s DHCP server knows it could not be read", wanted.port.name),
            "the bridge might have another one, and another address",
            format!(
                "see that `nmcli -f DHCP4 device show {}` has dhcp_client_identifier, or write dhcp-client-id=mac into [ipv4]",
                wanted.port.name
            ),
        )
    }
}
