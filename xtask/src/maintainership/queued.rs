//! An upload queue for the check: a real FTP server on loopback in front of a folder, and what the archive's queue daemon
//! does with what arrives there.
//!
//! Decides: whether a .changes or .commands is taken (a signature by a key of the queue's ring, and every file as the
//! .changes says), what `cancel`, `rm` and `reschedule` do, and what a day does to the delayed folders.
//! Never: listens anywhere but on 127.0.0.1, or runs beyond the check.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use xenup_system::files;
use xenup_system::process::Tool;

type Failure = Box<dyn std::error::Error>;

/// Where a client finds the queue below the server's root, as the archive's own has it.
const INCOMING: &str = "pub/UploadQueue";

/// A server of the machine's own vsftpd, one process for each connection, as inetd starts it.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves `root` to anyone, for reading and writing, on a port that is free.
    ///
    /// # Errors
    /// No port, or no file for its settings.
    pub fn start(vsftpd: &Path, root: &Path, settings: &Path) -> Result<Self, Failure> {
        let empty = root.with_file_name("empty");
        files::create_dir_all(&empty)?;
        let text = format!(
            "listen=NO\nanonymous_enable=YES\nlocal_enable=NO\nno_anon_password=YES\nwrite_enable=YES\n\
             anon_upload_enable=YES\nanon_world_readable_only=NO\nanon_umask=022\nanon_root={}\n\
             secure_chroot_dir={}\nftp_username=daemon\nseccomp_sandbox=NO\npasv_address=127.0.0.1\nxferlog_enable=NO\n\
             connect_from_port_20=NO\nsession_support=NO\n",
            root.display(),
            empty.display()
        );
        files::write(settings, text.as_bytes())?;
        files::set_mode(settings, 0o600)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let libraries = vsftpd.ancestors().nth(3).unwrap_or(vsftpd).join("usr/lib/x86_64-linux-gnu");
        let tool = Tool::new(vsftpd).arg(settings).env("LD_LIBRARY_PATH", libraries);
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                // Its status says how the client left, which is no matter of the queue.
                if let Err(error) = tool.clone().stdin_from(OwnedFd::from(socket)).output() {
                    println!("vsftpd: {error}");
                }
            }
        });
        Ok(Self { address, stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread up, which then sees that it is over.
        drop(std::net::TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The queue behind the server.
pub struct Queue {
    root: PathBuf,
    ring: PathBuf,
}

/// What the daemon did with a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Taken: it waits for this many days, or is in the archive.
    Taken(String, Option<u8>),
    /// Refused and removed, with the reason.
    Refused(String, String),
    /// A command was carried out.
    Done(String),
}

/// Where uploads wait.
type Place = Option<u8>;

impl Queue {
    /// Makes the folders; only keys of `ring` may upload.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn make(root: &Path, ring: &Path) -> Result<Self, Failure> {
        let queue = Self { root: root.to_owned(), ring: ring.to_owned() };
        for place in Self::places() {
            files::create_dir_all(&queue.folder(place))?;
            files::create_dir_all(&queue.waiting(place))?;
            files::set_mode(&queue.folder(place), 0o777)?;
        }
        Ok(queue)
    }

    fn places() -> impl Iterator<Item = Place> {
        std::iter::once(None).chain((0..=crate::release::queue::MOST_DAYS).map(Some))
    }

    /// Where clients put files.
    fn folder(&self, place: Place) -> PathBuf {
        let incoming = self.root.join(INCOMING);
        match place {
            None => incoming,
            Some(days) => incoming.join(format!("DELAYED/{days}-day")),
        }
    }

    /// Where the daemon keeps what it took: in the same folder while it is delayed, else in the archive.
    fn waiting(&self, place: Place) -> PathBuf {
        if place.is_none() { self.root.with_file_name("archive") } else { self.folder(place) }
    }

    /// Looks through everything that arrived since the last time, as the daemon does every few minutes.
    ///
    /// # Errors
    /// A file cannot be read or moved: a fault of the check, not of an upload.
    pub fn pass(&self) -> Result<Vec<Verdict>, Failure> {
        let mut verdicts = Vec::new();
        for place in Self::places() {
            for path in files::list(&self.folder(place))? {
                match path.extension().and_then(|end| end.to_str()) {
                    Some("changes") => verdicts.extend(self.upload(&path, place)?),
                    Some("commands") => verdicts.extend(self.commands(&path)?),
                    _ => {}
                }
            }
        }
        Ok(verdicts)
    }

    /// The day passes: what waited long enough is in the archive, the rest a folder nearer.
    ///
    /// # Errors
    /// A file cannot be moved.
    pub fn day(&self) -> Result<(), Failure> {
        for days in 0..=crate::release::queue::MOST_DAYS {
            let to = self.waiting(days.checked_sub(1));
            for path in files::list(&self.folder(Some(days)))? {
                files::rename_unsynced(&path, &to.join(path.file_name().unwrap_or_default()))?;
            }
        }
        Ok(())
    }

    /// The names in the archive.
    ///
    /// # Errors
    /// It cannot be listed.
    pub fn archive(&self) -> Result<Vec<String>, Failure> {
        names(&self.waiting(None))
    }

    /// The names that wait for this many days.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn delayed(&self, days: u8) -> Result<Vec<String>, Failure> {
        names(&self.waiting(Some(days)))
    }

    fn upload(&self, path: &Path, place: Place) -> Result<Option<Verdict>, Failure> {
        let name = name_of(path);
        let marker = path.with_extension("taken");
        if files::exists(&marker) {
            return Ok(None);
        }
        let folder = self.folder(place);
        let judged = self.signed(path).and_then(|text| listed_files(&text, &folder).map_err(Into::into));
        Ok(Some(match judged {
            Err(reason) => {
                self.remove(path, &folder)?;
                Verdict::Refused(name, reason.to_string())
            }
            Ok(mut found) if place.is_none() => {
                found.push(name.clone());
                for file in found {
                    files::rename_unsynced(&folder.join(&file), &self.waiting(None).join(&file))?;
                }
                Verdict::Taken(name, None)
            }
            Ok(_) => {
                files::write(&marker, b"")?;
                Verdict::Taken(name, place)
            }
        }))
    }

    fn commands(&self, path: &Path) -> Result<Vec<Verdict>, Failure> {
        let signed = self.signed(path);
        let name = name_of(path);
        files::remove_file(path)?;
        let text = match signed {
            Ok(text) => text,
            Err(reason) => return Ok(vec![Verdict::Refused(name, reason.to_string())]),
        };
        let lines = text.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
        let commands = lines.take_while(|line| line.starts_with(' ')).map(str::trim);
        commands.map(|command| self.command(command)).collect()
    }

    fn command(&self, command: &str) -> Result<Verdict, Failure> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let refused = |why: &str| Verdict::Refused(command.to_owned(), why.to_owned());
        let done = match words.as_slice() {
            ["cancel", changes] => {
                self.everywhere(changes, |queue, path, folder| queue.remove(path, folder))?
            }
            ["rm", "--searchdirs", file] => {
                self.everywhere(file, |_, path, _| Ok(files::remove_file(path).map(drop)?))?
            }
            ["rm", file] if file.contains("..") => return Ok(refused("not in the queue")),
            ["rm", file] => files::remove_file(&self.root.join(INCOMING).join(file))?,
            ["reschedule", changes, days] => {
                let Some(to) = days.strip_suffix("-day").and_then(|days| days.parse().ok()) else {
                    return Ok(refused("no such queue"));
                };
                self.everywhere(changes, |queue, path, folder| queue.reschedule(path, folder, to))?
            }
            _ => return Ok(refused("unknown command")),
        };
        Ok(if done { Verdict::Done(command.to_owned()) } else { refused("no such file in the queue") })
    }

    /// Does something to a file of this name in each delayed folder that has one.
    fn everywhere(
        &self,
        name: &str,
        act: impl Fn(&Self, &Path, &Path) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let mut found = false;
        for place in Self::places().flatten() {
            let folder = self.folder(Some(place));
            let path = folder.join(name);
            if !name.contains('/') && files::exists(&path) {
                act(self, &path, &folder)?;
                found = true;
            }
        }
        Ok(found)
    }

    fn reschedule(&self, path: &Path, folder: &Path, days: u8) -> Result<(), Failure> {
        let to = self.folder(Some(days));
        for file in self.all_of(path, folder) {
            files::rename_unsynced(&folder.join(&file), &to.join(&file))?;
        }
        Ok(())
    }

    /// Removes a .changes and every file of it that arrived.
    fn remove(&self, path: &Path, folder: &Path) -> Result<(), Failure> {
        for file in self.all_of(path, folder) {
            files::remove_file(&folder.join(file))?;
        }
        Ok(())
    }

    /// Every file of an upload that is in its folder, with what the daemon wrote beside it. Whatever the .changes names
    /// is taken by its last part alone: its words may be anybody's.
    fn all_of(&self, path: &Path, folder: &Path) -> Vec<String> {
        let text =
            files::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let mut names: Vec<String> = entries(&text, "Files").map(|entry| entry.name).collect();
        names.extend([name_of(path), name_of(&path.with_extension("taken"))]);
        names.retain(|name| !name.contains('/') && files::exists(&folder.join(name)));
        names
    }

    /// Returns what a file says, when it is signed by a key of the ring.
    fn signed(&self, path: &Path) -> Result<String, Failure> {
        let gpgv = Tool::new("gpgv").arg("--keyring").arg(&self.ring).args(["--output", "-"]).arg(path);
        Ok(gpgv.run()?.text())
    }
}

/// A line of a field with files.
struct Entry {
    sum: String,
    size: String,
    name: String,
}

/// The lines of a field of a .changes that has files: sum, size, and at the end the name.
fn entries(text: &str, field: &str) -> impl Iterator<Item = Entry> {
    let start = format!("{field}:");
    let lines = text.lines().skip_while(move |line| *line != start.as_str()).skip(1);
    lines.take_while(|line| line.starts_with(' ')).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [sum, size, .., name] = words.as_slice() else { return None };
        Some(Entry { sum: (*sum).to_owned(), size: (*size).to_owned(), name: (*name).to_owned() })
    })
}

/// Returns the files of a .changes when each is in the folder and as the .changes says.
fn listed_files(text: &str, folder: &Path) -> Result<Vec<String>, String> {
    let sums: BTreeMap<String, Entry> =
        entries(text, "Checksums-Sha256").map(|entry| (entry.name.clone(), entry)).collect();
    if sums.is_empty() {
        return Err("it names no file".to_owned());
    }
    for (name, entry) in &sums {
        let path = folder.join(name);
        let size = files::size(&path).map_err(|_| format!("{name} did not arrive"))?;
        let sum = crate::digest::sha256(&path).map_err(|error| error.to_string())?;
        if size.to_string() != entry.size || sum != entry.sum {
            return Err(format!("{name} is not what the .changes says"));
        }
    }
    Ok(sums.into_keys().collect())
}

fn names(folder: &Path) -> Result<Vec<String>, Failure> {
    Ok(files::list(folder)?.iter().filter(|path| path.is_file()).map(|path| name_of(path)).collect())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
