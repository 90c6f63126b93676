//! Which boot loader started this system.
//!
//! Decides: by EFI variables, the kernel's command line, and what is installed, in this order.
//! Never: calls efibootmgr or reads a disk's first sectors.

use super::super::facts::{Loader, Packages};
use super::super::firmware::{GLOBAL, variable};
use super::super::reader::Reader;

/// The name space of the Boot Loader Interface (systemd.io/BOOT_LOADER_INTERFACE).
const LOADER_INTERFACE: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// Gathers the loader and what shows it.
pub(super) fn gather(
    reader: &Reader<'_>,
    packages: &Packages,
    uefi: bool,
    cmdline: &str,
) -> (Loader, String) {
    let info = variable(reader, "LoaderInfo", LOADER_INTERFACE).map(|bytes| utf16(&bytes));
    if let Some(info) = info.filter(|info| !info.to_ascii_lowercase().starts_with("grub")) {
        let loader = if info.starts_with("systemd-boot") { Loader::SystemdBoot } else { Loader::Other };
        return (loader, format!("LoaderInfo says {info}"));
    }
    if uefi && let Some((loader, sign)) = by_boot_entry(reader) {
        return (loader, sign);
    }
    let menu = reader.exists("/boot/grub/grub.cfg");
    // GRUB hands every Linux it starts the path of its image; Xen's multiboot gives `placeholder` instead.
    let by_grub = cmdline.split_ascii_whitespace().any(|word| word.starts_with("BOOT_IMAGE="));
    let on_xen = reader.exists("/sys/hypervisor/type");
    if !cmdline.is_empty() && !by_grub && !on_xen {
        let sign = "no BOOT_IMAGE= in /proc/cmdline, which GRUB always writes".to_owned();
        return (Loader::Other, sign);
    }
    let installed = ["grub-pc", "grub-efi-amd64", "grub-efi-ia32", "grub-xen-host", "grub2"]
        .into_iter()
        .find(|name| packages.version(name).is_some());
    match (menu, installed) {
        (true, Some(package)) => (Loader::Grub, format!("/boot/grub/grub.cfg and package {package}")),
        (true, None) if by_grub => (Loader::Grub, "/boot/grub/grub.cfg and BOOT_IMAGE=".to_owned()),
        _ => other(packages, installed),
    }
}

fn other(packages: &Packages, grub: Option<&str>) -> (Loader, String) {
    let known = [
        ("systemd-boot", Loader::SystemdBoot),
        ("refind", Loader::Other),
        ("extlinux", Loader::Other),
        ("lilo", Loader::Other),
    ];
    match (known.into_iter().find(|(name, _)| packages.version(name).is_some()), grub) {
        (Some((name, loader)), _) => (loader, format!("package {name}, and no /boot/grub/grub.cfg")),
        (None, Some(package)) => (Loader::Unknown, format!("package {package}, but no /boot/grub/grub.cfg")),
        (None, None) => (Loader::Unknown, "no /boot/grub/grub.cfg, no package of a boot loader".to_owned()),
    }
}

/// The firmware's entry that was booted: BootCurrent names BootNNNN (UEFI specification, 3.1.3).
fn by_boot_entry(reader: &Reader<'_>) -> Option<(Loader, String)> {
    let current = variable(reader, "BootCurrent", GLOBAL)?;
    let number = u16::from_le_bytes([*current.first()?, *current.get(1)?]);
    let name = format!("Boot{number:04X}");
    let (description, path) = load_option(&variable(reader, &name, GLOBAL)?)?;
    let both = format!("{description} {path}").to_ascii_lowercase();
    let loader = if both.contains("systemd") {
        Loader::SystemdBoot
    } else if both.contains("refind") {
        Loader::Other
    } else if both.contains("grub") || both.contains("shim") || both.contains("\\efi\\debian\\") {
        Loader::Grub
    } else {
        return None;
    };
    Some((loader, format!("{name} is \"{description}\" ({path})")))
}

/// Reads an EFI_LOAD_OPTION: attributes, length of the path list, description, path list.
/// The file's name stands in the list as UTF-16; its other nodes are of no interest.
fn load_option(bytes: &[u8]) -> Option<(String, String)> {
    let length = usize::from(u16::from_le_bytes([*bytes.get(4)?, *bytes.get(5)?]));
    let rest = bytes.get(6..)?;
    let description = utf16(rest);
    let start = (description.encode_utf16().count() + 1) * 2;
    let mut nodes = rest.get(start..)?;
    nodes = nodes.get(..length).unwrap_or(nodes);
    let mut path = String::new();
    while let [kind, sub, low, high, ..] = *nodes {
        let size = usize::from(u16::from_le_bytes([low, high]));
        // Media device path (4), file path (4).
        if (kind, sub) == (4, 4) {
            path.push_str(&utf16(nodes.get(4..size)?));
        }
        nodes = nodes.get(size.max(4)..).unwrap_or_default();
    }
    Some((description, path))
}

/// Text of 16-bit units, little-endian, up to a zero.
fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::load_option;

    #[test]
    fn a_load_option_has_a_name_and_a_path() {
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let mut bytes = vec![1, 0, 0, 0];
        let file = wide("\\EFI\\debian\\shimx64.efi\0");
        let node = [&[4, 4, (file.len() + 4) as u8, 0][..], &file, &[0x7f, 0xff, 4, 0]].concat();
        bytes.extend((node.len() as u16).to_le_bytes());
        bytes.extend(wide("debian\0"));
        bytes.extend(node);
        let (name, path) = load_option(&bytes).unwrap();
        assert_eq!((&name[..], &path[..]), ("debian", "\\EFI\\debian\\shimx64.efi"));
        for length in 0..bytes.len() {
            let _ = load_option(&bytes[..length]);
        }
    }
}
