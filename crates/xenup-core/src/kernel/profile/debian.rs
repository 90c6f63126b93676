//! Debian's own configuration of a kernel, which dom0-full is laid over.
//!
//! Decides: which file it is, and how it is unpacked. Never: looks for one on a disk.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::kernel::kconfig::Values;
use crate::kernel::linux::Linux;

/// Debian's configurations have 0.3 MB.
const LIMIT: u64 = 16 << 20;
/// What xz may need, in KiB.
const MEMORY_KIB: u32 = 64 << 10;

/// Returns where the package linux-config of a Linux puts the configuration of Debian's ordinary kernel.
#[must_use]
pub fn packaged(usr_src: &Path, linux: Linux) -> PathBuf {
    usr_src.join(format!("linux-config-{linux}/config.amd64_none_amd64.xz"))
}

/// Returns, of the files in /boot, the configuration of the newest Debian kernel of that Linux.
#[must_use]
pub fn newest_of(linux: Linux, boot: Vec<PathBuf>) -> Option<PathBuf> {
    let start = format!("config-{linux}.");
    let numbers = |path: &PathBuf| -> Option<Vec<u32>> {
        let rest = path.file_name()?.to_str()?.strip_prefix(&start)?;
        let rest =
            rest.strip_suffix("-amd64").filter(|rest| !rest.contains("cloud") && !rest.contains("rt"))?;
        Some(rest.split(['.', '-', '+']).filter_map(|word| word.parse().ok()).collect())
    };
    let all = boot.into_iter().filter_map(|path| Some((numbers(&path)?, path)));
    all.max_by(|(left, _), (right, _)| left.cmp(right)).map(|(_, path)| path)
}

/// Returns the text of a configuration, plain or packed with xz.
///
/// # Errors
/// In words: damaged, too large, or no configuration.
pub fn text(bytes: &[u8]) -> Result<String, String> {
    let mut out = Vec::new();
    let mut packed;
    let mut plain = bytes;
    let reader: &mut dyn std::io::Read = if bytes.starts_with(b"\xfd7zXZ\0") {
        packed = lzma_rust2::XzReader::new_mem_limit(bytes, false, MEMORY_KIB);
        &mut packed
    } else {
        &mut plain
    };
    reader
        .take(LIMIT.saturating_add(1))
        .read_to_end(&mut out)
        .map_err(|error| format!("cannot be unpacked: {error}"))?;
    if out.len() as u64 > LIMIT {
        return Err("is larger than any configuration".to_owned());
    }
    let text = String::from_utf8(out).map_err(|_| "is no text".to_owned())?;
    match Values::parse(&text).is_empty() {
        true => Err("has no line of a .config".to_owned()),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{newest_of, text};
    use crate::kernel::linux::Linux;

    #[test]
    fn the_newest_kernel_of_a_release_is_taken() {
        let names = [
            "config-6.1.0-9-amd64",
            "config-6.1.0-56-amd64",
            "config-6.1.0-57-cloud-amd64",
            "config-6.12.1-amd64",
        ];
        let boot = names.map(|name| PathBuf::from("/boot").join(name)).to_vec();
        let found = newest_of(Linux { major: 6, minor: 1 }, boot);
        assert_eq!(found, Some(PathBuf::from("/boot/config-6.1.0-56-amd64")));
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        assert_eq!(text(b"CONFIG_A=y\n").as_deref(), Ok("CONFIG_A=y\n"));
        for bytes in [&b"words\n"[..], b"\xfd7zXZ\0damaged", b"\xff\xfe"] {
            assert!(text(bytes).is_err());
        }
    }
}
