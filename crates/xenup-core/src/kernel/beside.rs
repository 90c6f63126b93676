//! Names in /boot: which files are kernels, and what lies beside them.
//!
//! Decides: by the names that Debian's packages and GRUB's scripts give and look for. Never: opens one.

/// What grub_file_is_not_garbage (grub-mkconfig_lib) passes over.
pub(crate) fn is_garbage(name: &str) -> bool {
    let ends = [".rpmsave", ".rpmnew", ".sig"];
    name.contains(".dpkg-") || ends.iter().any(|end| name.ends_with(end)) || name.starts_with("README")
}

/// Returns the version in a kernel's name: `vmlinuz-6.1.0-56-amd64` has `6.1.0-56-amd64`.
#[must_use]
pub fn version(name: &str) -> Option<&str> {
    if is_garbage(name) {
        return None;
    }
    name.strip_prefix("vmlinuz-").or_else(|| name.strip_prefix("vmlinux-"))
}

/// Returns whether a file of this name is a kernel: `vmlinuz-*`, `vmlinux-*`, `bzImage`.
#[must_use]
pub fn is_kernel(name: &str) -> bool {
    let bare = ["vmlinuz", "vmlinux", "bzImage"];
    version(name).is_some() || bare.contains(&name) || (name.starts_with("bzImage-") && !is_garbage(name))
}

/// Returns the names that the configuration of a kernel may have, the likeliest first. `release` is what the kernel
/// says of itself.
#[must_use]
pub fn configurations(name: &str, release: Option<&str>) -> Vec<String> {
    let named = version(name).or_else(|| name.strip_prefix("bzImage-"));
    let base = named.and_then(|version| version.strip_suffix(".old"));
    let mut names: Vec<String> =
        [named, base, release].into_iter().flatten().map(|version| format!("config-{version}")).collect();
    names.dedup();
    names
}

/// Returns the name of the hypervisor whose configuration a file of this name is: `xen-4.17-amd64.config` is of
/// `4.17-amd64`.
#[must_use]
pub fn hypervisor(name: &str) -> Option<&str> {
    name.strip_prefix("xen-")?.strip_suffix(".config")
}

#[cfg(test)]
mod tests {
    use super::{configurations, hypervisor, is_kernel};

    #[test]
    fn kernels_are_told_by_their_names() {
        for name in ["vmlinuz-6.1.0-56-amd64", "vmlinux-5.10", "bzImage", "vmlinuz", "bzImage-domU"] {
            assert!(is_kernel(name), "{name}");
        }
        for name in
            ["vmlinuz-6.1.dpkg-new", "initrd.img-6.1", "config-6.1", "xen-4.17-amd64.gz", "vmlinuz.sig"]
        {
            assert!(!is_kernel(name), "{name}");
        }
    }

    #[test]
    fn a_configuration_is_looked_for_by_name_and_by_release() {
        assert_eq!(configurations("vmlinuz-6.1.old", Some("6.1")), ["config-6.1.old", "config-6.1"]);
        assert_eq!(configurations("bzImage", Some("6.12")), ["config-6.12"]);
        assert!(configurations("bzImage", None).is_empty());
        assert_eq!(hypervisor("xen-4.17-amd64.config"), Some("4.17-amd64"));
        assert_eq!(hypervisor("xen-4.17-amd64.gz"), None);
    }
}
