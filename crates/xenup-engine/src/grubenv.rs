//! GRUB's environment block, `/boot/grub/grubenv`: read here, written by `grub-editenv` alone.
//!
//! Decides: what a block says. Never: writes one; GRUB wants its size and place kept.
//! `grub-editenv - list` is not used for reading: it creates the file where there is none.

use std::borrow::Cow;

use xenup_machine::process::Command;

/// Where Debian's GRUB keeps it.
pub const PATH: &str = "/boot/grub/grubenv";

/// First line of every block (GRUB's `include/grub/lib/envblk.h`).
pub const SIGNATURE: &str = "# GRUB Environment Block\n";

/// Bytes of a block that `grub-editenv` makes (DEFAULT_ENVBLK_SIZE).
pub const SIZE: u64 = 1024;

/// Returns whether the bytes are a whole block: the signature that GRUB asks for, as long as it was before
/// (a write never changes that), and no zeroes where a crash left a hole.
#[must_use]
pub fn is_sound(block: &[u8], size: u64) -> bool {
    block.starts_with(SIGNATURE.as_bytes()) && block.len() as u64 == size && !block.contains(&0)
}

/// Returns the variables of a block in their order. The unused rest is `#`, which begins no name.
pub fn variables(block: &[u8]) -> impl Iterator<Item = (Cow<'_, str>, String)> {
    let body = block.strip_prefix(SIGNATURE.as_bytes()).unwrap_or_default();
    lines(body).into_iter().filter(|line| !line.starts_with(b"#")).filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        let (name, value) = line.split_at(at);
        Some((String::from_utf8_lossy(name), unescaped(value.get(1..).unwrap_or_default())))
    })
}

/// Returns the value of a variable; `None` where it is not set or the block is none.
#[must_use]
pub fn value(block: &[u8], name: &str) -> Option<String> {
    variables(block).find(|(variable, _)| variable == name).map(|(_, value)| value)
}

/// Returns the command that sets a variable, or unsets it where `value` is `None`.
#[must_use]
pub fn command(name: &str, value: Option<&str>) -> Command {
    match value {
        Some(value) => Command::new("grub-editenv", ["-", "set", &format!("{name}={value}")]),
        None => Command::new("grub-editenv", ["-", "unset", name]),
    }
    .within(60)
}

/// Splits at line ends that no backslash precedes: a value may contain an escaped one.
fn lines(body: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, byte) in body.iter().enumerate() {
        match byte {
            b'\\' if !escaped => escaped = true,
            b'\n' if !escaped => {
                lines.push(body.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => escaped = false,
        }
    }
    lines
}

fn unescaped(value: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut escaped = false;
    for byte in value {
        if *byte == b'\\' && !escaped {
            escaped = true;
        } else {
            bytes.push(*byte);
            escaped = false;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{SIGNATURE, is_sound, value, variables};

    #[test]
    fn a_block_is_read_as_grub_reads_it() {
        let block = format!("{SIGNATURE}saved_entry=xen>a\\\\b\nnext_entry=\nnote=two\\\nlines\n####");
        assert!(is_sound(block.as_bytes(), block.len() as u64));
        assert_eq!(value(block.as_bytes(), "saved_entry").as_deref(), Some("xen>a\\b"));
        assert_eq!(value(block.as_bytes(), "next_entry").as_deref(), Some(""));
        assert_eq!(value(block.as_bytes(), "note").as_deref(), Some("two\nlines"));
        assert_eq!(value(block.as_bytes(), "absent"), None);
        assert_eq!(variables(block.as_bytes()).count(), 3);
    }

    #[test]
    fn torn_bytes_are_no_block() {
        assert!(!is_sound(b"", 0));
        assert!(!is_sound(b"# GRUB Env", 10));
        assert!(!is_sound(SIGNATURE.as_bytes(), 1024));
        assert!(!is_sound(format!("{SIGNATURE}\0").as_bytes(), SIGNATURE.len() as u64 + 1));
        assert_eq!(value(b"next_entry=x\n", "next_entry"), None);
    }
}
