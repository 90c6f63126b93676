//! The disk that brings files into the machine: ext4, labelled XENUPFILES, read only to it.
//!
//! It decides the disk's size and label. The files are the caller's, and are not changed.
//!
//! Its size goes in large steps, so that a machine that was kept running while nobody had mounted it finds other files on
//! the same disk later.

use std::path::{Path, PathBuf};

use xenup_system::files;
use xenup_system::process::Tool;

use crate::error::{LabError, during};

/// The file system's label, to mount it by.
pub const LABEL: &str = "XENUPFILES";
/// Room for the file system's own structures: an eighth more than the files, and this.
const OVERHEAD: u64 = 8 << 20;
/// What a size is rounded up to; the image is sparse.
const STEP: u64 = 128 << 20;
const MIB: u64 = 1 << 20;

/// A file for the disk.
#[derive(Debug, Clone)]
pub struct FileOnDisk {
    /// Its name in the disk's only directory.
    pub name: String,
    /// Its content.
    pub from: Source,
    /// Its permission bits.
    pub mode: u32,
}

/// Where a file's content comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file of this machine.
    Path(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// Writes the disk image; `work` is a directory for the tree that it is made of, which is removed again.
///
/// # Errors
/// A name is not that of a file in one directory, a source cannot be read, or mke2fs failed.
pub fn write(image: &Path, of: &[FileOnDisk], work: &Path) -> Result<(), LabError> {
    write_labelled(image, of, LABEL, work)
}

/// As [`write`], with another label.
///
/// # Errors
/// As [`write`].
pub fn write_labelled(image: &Path, of: &[FileOnDisk], label: &str, work: &Path) -> Result<(), LabError> {
    let size = size(of)?;
    let tree = work.join("files-disk");
    files::remove_dir_all(&tree)?;
    files::create_dir_all(&tree)?;
    for file in of {
        let path = tree.join(plain_name(&file.name, image)?);
        match &file.from {
            Source::Path(from) => {
                files::copy_sparse(from, &path)?;
            }
            Source::Bytes(bytes) => files::write(&path, bytes)?,
        }
        files::set_mode(&path, file.mode)?;
    }
    files::remove_file(image)?;
    Tool::new("mke2fs")
        .args([
            "-q",
            "-t",
            "ext4",
            "-O",
            "^has_journal",
            "-m",
            "0",
            "-L",
            label,
            "-E",
            "root_owner=0:0",
            "-d",
        ])
        .args([&tree, image])
        .arg(format!("{}M", size / MIB))
        .run()
        .map_err(during("make the files disk"))?;
    files::remove_dir_all(&tree)?;
    Ok(())
}

/// The size in bytes of the disk that holds these files.
///
/// # Errors
/// A source cannot be read.
pub fn size(of: &[FileOnDisk]) -> Result<u64, LabError> {
    let mut size = OVERHEAD;
    for file in of {
        let bytes = match &file.from {
            Source::Path(from) => files::size(from)?,
            Source::Bytes(bytes) => bytes.len() as u64,
        };
        size += bytes + 4096;
    }
    Ok((size + size / 8).next_multiple_of(STEP))
}

fn plain_name<'a>(name: &'a str, image: &Path) -> Result<&'a str, LabError> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        let source = std::io::Error::from(std::io::ErrorKind::InvalidInput);
        let operation = "put a file with a directory in its name on";
        return Err(files::FileError { operation, path: image.to_owned(), source }.into());
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::{FileOnDisk, LABEL, Source, write};
    use xenup_system::files;
    use xenup_system::process::Tool;

    #[test]
    fn the_disk_has_the_files_their_modes_and_the_label() {
        let work = tempfile::tempdir().unwrap();
        let image = work.path().join("files.img");
        let big = work.path().join("big");
        files::write(&big, &vec![7; 3 << 20]).unwrap();
        let of = [
            FileOnDisk { name: "a.txt".into(), from: Source::Bytes(b"hello\n".to_vec()), mode: 0o600 },
            FileOnDisk { name: "big".into(), from: Source::Path(big), mode: 0o755 },
        ];
        write(&image, &of, work.path()).unwrap();
        let show = |request| Tool::new("debugfs").args(["-R", request]).arg(&image).run().unwrap().text();
        assert_eq!(show("cat /a.txt"), "hello\n");
        assert!(show("stat /a.txt").contains("Mode:  0600"));
        assert!(show("stat /big").contains("Size: 3145728"));
        assert!(show("show_super_stats -h").contains(&format!("Filesystem volume name:   {LABEL}")));
    }

    #[test]
    fn names_with_directories_are_refused() {
        let work = tempfile::tempdir().unwrap();
        for name in ["", "..", "a/b", "/etc/passwd"] {
            let of = [FileOnDisk { name: name.into(), from: Source::Bytes(vec![]), mode: 0o644 }];
            assert!(write(&work.path().join("x"), &of, work.path()).is_err(), "{name}");
        }
    }
}
