//! The names a guest's disks have. Decides which names libxl takes and which number each stands for; never what is
//! behind one. Facts: xen-vbd-interface(7), and libxl__device_disk_dev_number in libxl.

/// Returns the number of a virtual device; `None` where libxl knows no such name.
///
/// Two names of one number are one device: `xvda` and `51712` are.
#[must_use]
pub fn number(name: &str) -> Option<u32> {
    if let Some((disk, partition)) = by_index(name).or_else(|| lettered(name, "xvd", (1 << 20) - 1, 255)) {
        return Some(if disk <= 15 && partition <= 15 {
            202 << 8 | disk << 4 | partition
        } else {
            1 << 28 | disk << 8 | partition
        });
    }
    if let Some(number) = super::file::as_number(name) {
        return u32::try_from(number).ok().filter(|number| *number <= i32::MAX.unsigned_abs());
    }
    if let Some((disk, partition)) = lettered(name, "hd", 3, 63) {
        return Some((if disk < 2 { 3 } else { 22 }) << 8 | (disk & 1) << 6 | partition);
    }
    lettered(name, "sd", 15, 15).map(|(disk, partition)| 8 << 8 | disk << 4 | partition)
}

/// `d0p1`
fn by_index(name: &str) -> Option<(u32, u32)> {
    let (disk, partition) = name.strip_prefix('d')?.split_once('p')?;
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
        digits.parse().ok().filter(|_| plain)
    };
    Some((number(disk)?, number(partition)?)).filter(|(disk, partition)| *disk < 1 << 20 && *partition < 256)
}

/// `xvda`, `xvdaa3`: the disk counted by letters, then the partition without a leading zero.
fn lettered(name: &str, prefix: &str, last_disk: u32, last_partition: u32) -> Option<(u32, u32)> {
    let rest = name.strip_prefix(prefix)?;
    let letters = rest.bytes().take_while(u8::is_ascii_lowercase).count();
    let (letters, digits) = rest.split_at_checked(letters)?;
    let mut disk: u32 = 0;
    for (index, letter) in letters.bytes().enumerate() {
        // `z` is followed by `aa`, as in a spreadsheet.
        let carried = if index == 0 { 0 } else { disk.checked_add(1)?.checked_mul(26)? };
        disk = carried.checked_add(u32::from(letter - b'a'))?;
        if disk > last_disk {
            return None;
        }
    }
    if letters.is_empty() {
        return None;
    }
    if digits.is_empty() {
        return Some((disk, 0));
    }
    let plain = digits.bytes().all(|c| c.is_ascii_digit()) && !digits.starts_with('0');
    let partition = digits.parse().ok().filter(|partition| plain && *partition <= last_partition)?;
    Some((disk, partition))
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn names_have_the_numbers_of_xen_vbd_interface() {
        for (name, expected) in [
            ("xvda", Some(51712)),
            ("xvda1", Some(51713)),
            ("xvdb", Some(51728)),
            ("xvdp15", Some(51967)),
            ("xvdq", Some(1 << 28 | 16 << 8)),
            ("xvdaa", Some(1 << 28 | 26 << 8)),
            ("d0p1", Some(51713)),
            ("51712", Some(51712)),
            ("0x303", Some(0x303)),
            ("hda", Some(768)),
            ("hdc", Some(5632)),
            ("hdd2", Some(5698)),
            ("sda1", Some(2049)),
            ("hde", None),
            ("sdq", None),
            ("sda16", None),
            ("xvda01", None),
            ("xvd", None),
            ("/dev/xvda", None),
            ("xvdA", None),
            ("d0", None),
            ("", None),
        ] {
            assert_eq!(number(name), expected, "{name}");
        }
    }
}
