//! Extended attributes: reading all of them, and making a file carry exactly a given set.
//!
//! Never decides which attributes matter, but leaves alone those that a security module writes by itself.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// Attributes that the kernel's security modules set by themselves: added when asked for, never removed.
const KEPT: [&str; 4] = ["security.selinux", "security.SMACK64", "security.ima", "security.evm"];

/// Returns every attribute of what `path` names; none where the file system knows none.
///
/// `path` is followed once: it is a `/proc/self/fd` link to the thing itself.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Vec<u8>>, Errno> {
    let names = match grown(|buffer| rustix::fs::listxattr(path, buffer)) {
        // ENOENT: no /proc, as early at boot; a file system there holds no attributes that anything could restore.
        Err(Errno::NOTSUP | Errno::NOENT) => return Ok(BTreeMap::new()),
        names => names?,
    };
    let mut attributes = BTreeMap::new();
    for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        match grown(|buffer| rustix::fs::getxattr(path, name, buffer)) {
            Ok(value) => attributes.insert(name.to_owned(), value),
            Err(Errno::NODATA | Errno::NOTSUP) => None,
            Err(errno) => return Err(errno),
        };
    }
    Ok(attributes)
}

/// Makes what `path` names carry exactly `wanted`.
pub(crate) fn write(path: &Path, wanted: &BTreeMap<String, Vec<u8>>) -> Result<(), Errno> {
    let present = read(path)?;
    for name in present.keys().filter(|name| !wanted.contains_key(*name)) {
        if !KEPT.iter().any(|kept| name.starts_with(kept)) {
            rustix::fs::removexattr(path, name.as_str())?;
        }
    }
    for (name, value) in wanted.iter().filter(|(name, value)| present.get(*name) != Some(*value)) {
        rustix::fs::setxattr(path, name.as_str(), value, XattrFlags::empty())?;
    }
    Ok(())
}

/// Calls with a buffer that grows to the kernel's limit (64 KiB, XATTR_SIZE_MAX and XATTR_LIST_MAX).
fn grown(mut call: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 256];
    loop {
        match call(&mut buffer) {
            Err(Errno::RANGE) if buffer.len() < 64 << 10 => buffer.resize(64 << 10, 0),
            length => {
                let length = length?;
                buffer.truncate(length);
                return Ok(buffer);
            }
        }
    }
}
