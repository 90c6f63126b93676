//! The machine's own files, written into the root file system before the disk has a table. Decides their list and that each
//! reads back; what is in them was thought by [`xenup_core::install::personal`].

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use xenup_core::install::interview::Choice;
use xenup_core::install::personal::Personal;
use xenup_core::install::{Made, Manifest};
use xenup_disk::filesystem::{FileSystem, FsError};
use xenup_disk::{ReadError, View};
use xenup_system::files::{DiskFile, FileError, WorkDir};
use xenup_system::process::Tool;

use crate::check::OnDisk;
use crate::configure;
use crate::error::{ImageError, during};
use crate::guest::Entry;
use crate::guest::{check, debugfs};

const LIMIT: Duration = Duration::from_secs(1800);
const KEYS: &str = "/root/.ssh/authorized_keys";
const SHADOW: &str = "/etc/shadow";

/// What could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// A tool failed, or a file does not read back.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A file could not be handled.
    #[error(transparent)]
    File(#[from] FileError),
    /// The root file system is not what the medium says.
    #[error("the root file system cannot be read: {0}")]
    System(String),
}

impl From<FsError> for OwnError {
    fn from(error: FsError) -> Self {
        Self::System(error.to_string())
    }
}

impl From<ReadError> for OwnError {
    fn from(error: ReadError) -> Self {
        Self::System(error.to_string())
    }
}

/// What is to be written.
#[derive(Debug, Clone)]
pub struct Own {
    entries: Vec<Entry>,
    password_hash: Option<String>,
    root: u64,
    size: u64,
}

impl Own {
    /// From what was settled.
    #[must_use]
    pub fn of(manifest: &Manifest, choice: &Choice, personal: &Personal) -> Self {
        let made: &Made = &manifest.made;
        let file = |path: &str, mode, text: String| Entry::File {
            path: path.into(),
            mode,
            bytes: text.into_bytes(),
        };
        let mut entries: Vec<Entry> = personal
            .files
            .iter()
            .map(|new| Entry::File {
                path: new.path.clone(),
                mode: new.mode,
                bytes: new.text.clone().into_bytes(),
            })
            .collect();
        entries.extend(personal.gone.iter().map(|path| Entry::Gone { path: path.clone() }));
        if choice.hostname != made.hostname {
            entries.push(file("/etc/hostname", 0o644, format!("{}\n", choice.hostname)));
            entries.push(file("/etc/hosts", 0o644, configure::hosts(&choice.hostname)));
        }
        if choice.keys != made.keys {
            let keys = choice.keys.iter().map(|key| format!("{key}\n")).collect();
            entries.push(file(KEYS, 0o600, keys));
        }
        if !choice.addresses.dns.is_empty() {
            let servers: Vec<String> = choice.addresses.dns.iter().map(ToString::to_string).collect();
            entries.push(file("/etc/resolv.conf", 0o644, configure::resolv_conf(&servers)));
        }
        Self {
            entries,
            password_hash: choice.password_hash.clone(),
            root: manifest.root,
            size: manifest.body_end().saturating_sub(manifest.root),
        }
    }

    /// Writes it all into the file system that begins at the manifest's place of this disk, and reads it back.
    ///
    /// # Errors
    /// A tool that failed, or a file that does not read back.
    pub fn write(&self, disk: &Path, work: &Path) -> Result<(), OwnError> {
        let mut entries = self.entries.clone();
        if let Some(hash) = &self.password_hash {
            let mut system = self.system(disk)?;
            let size = system.stat(SHADOW.as_bytes())?.size;
            let shadow = system.read(SHADOW.as_bytes(), 0, size)?;
            let shadow = configure::with_root_password(&String::from_utf8_lossy(&shadow), hash);
            entries.push(Entry::File { path: SHADOW.into(), mode: 0o640, bytes: shadow.into_bytes() });
        }
        if entries.is_empty() {
            return Ok(());
        }
        let place = self.place(disk);
        debugfs::write(&place, &entries, &WorkDir::new_in(work, "own-")?)?;
        Tool::new("e2fsck")
            .arg("-fn")
            .arg(&place)
            .timeout(LIMIT)
            .run()
            .map_err(during("checking the root file system (e2fsck)"))?;
        check::entries(&mut self.system(disk)?, &entries)
            .map_err(|what| ImageError::NotWritten { path: disk.to_owned(), what })?;
        Ok(())
    }

    /// As e2fsprogs name a file system within a disk.
    fn place(&self, disk: &Path) -> PathBuf {
        let mut name = disk.as_os_str().to_owned();
        name.push(format!("?offset={}", self.root));
        name.into()
    }

    fn system(&self, disk: &Path) -> Result<FileSystem, OwnError> {
        let file = DiskFile::open(disk)?;
        let bytes = OnDisk { size: file.size()?, file };
        let opened = FileSystem::open(Rc::new(View::new(bytes, self.root, self.size)))?;
        opened.ok_or_else(|| OwnError::System("there is none".to_owned()))
    }
}
