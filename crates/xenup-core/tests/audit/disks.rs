//! Guests' disks that a case describes, a line each:
//! `boots PATH LOADER KERNEL CASE CMDLINE…`, `nothing PATH WORDS…`, `error PATH WORDS…`, `fstab PATH LINE WORDS…`,
//! `missing PATH LOADER KERNEL` (the kernel is not there), `save PATH MAJOR.MINOR`. `PATH@FORMAT` is what a path is where
//! a guest names it with that format.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xenup_core::audit::{DiskRead, GuestDisks, OwnKernel};
use xenup_core::guest::disk::facts::{Boot, Volume};
use xenup_core::guest::disk::{GuestDisk, Note, Pygrub};
use xenup_core::kernel::read;

#[derive(Default)]
pub struct Described {
    disks: Disks,
    starts: BTreeMap<PathBuf, Vec<u8>>,
}

impl Described {
    pub fn of(text: &str) -> Self {
        let mut described = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            let path = PathBuf::from(words[1]);
            let behind = |count: usize| words[count..].join(" ");
            match words[0] {
                "boots" | "missing" => {
                    let there = words[0] == "boots";
                    let disk = disk(&mut described.disks, &path);
                    let number = disk.disk.found.boot.len();
                    let file = if words[2] == "grub" { "/boot/grub/grub.cfg" } else { "/boot/grub/menu.lst" };
                    disk.disk.found.boot.push(Boot {
                        loader: words[2].to_owned(),
                        file: file.to_owned(),
                        entries: 1,
                        kernel: Some(words[3].to_owned()),
                        kernel_path: there.then(|| words[3].to_owned()),
                        cmdline: if there { behind(5) } else { String::new() },
                        initrd: vec!["/boot/initrd.img".to_owned()],
                        ..Boot::default()
                    });
                    if there {
                        let bytes = super::of_kernel_case(words[4]);
                        let (image, error) = match read(&bytes.as_slice()) {
                            Ok(image) => (Some(image), None),
                            Err(error) => (None, Some(error.to_string())),
                        };
                        disk.kernels.push(OwnKernel {
                            boot: number,
                            digest: String::new(),
                            image,
                            error,
                            config: None,
                        });
                    }
                }
                "nothing" => {
                    disk(&mut described.disks, &path).disk.notes.push(Note::new("partition 1", behind(2)))
                }
                "fstab" => {
                    let about = format!("/etc/fstab:{}", words[2]);
                    disk(&mut described.disks, &path).disk.notes.push(Note::new(about, behind(3)));
                }
                "error" => drop(described.disks.insert(path, Err(behind(2)))),
                // `volume PATH NUMBER KIND UUID MOUNTED`, where 0 is a disk without partitions and `-` is none.
                "volume" => {
                    let said = |at: usize| Some(words[at].to_owned()).filter(|word| word != "-");
                    let number = words[2].parse().ok().filter(|number| *number > 0);
                    let disk = &mut disk(&mut described.disks, &path).disk;
                    disk.table = number.map(|_| "mbr".to_owned());
                    let (kind, uuid, mounted) = (said(3), said(4), said(5));
                    disk.volumes.push(Volume { number, kind, uuid, mounted, ..Volume::default() });
                }
                // `no-initrd PATH`: the entries name none.
                "no-initrd" => {
                    let entries = &mut disk(&mut described.disks, &path).disk.found.boot;
                    entries.iter_mut().for_each(|boot| boot.initrd.clear());
                }
                // `pygrub-fails PATH WORDS…`, `pygrub-unknown PATH WORDS…`.
                "pygrub-fails" => {
                    disk(&mut described.disks, &path).pygrub = Some((Pygrub::Fails(behind(2)), None))
                }
                "pygrub-unknown" => {
                    disk(&mut described.disks, &path).pygrub = Some((Pygrub::Unknown(behind(2)), None))
                }
                // `elsewhere PATH DEVICE`: the entries take their kernels from another disk.
                "elsewhere" => {
                    let entries = &mut disk(&mut described.disks, &path).disk.found.boot;
                    entries.iter_mut().for_each(|boot| boot.kernel_device = Some(words[2].to_owned()));
                }
                // `cut PATH WORDS…`: partition 1 holds a file system that is larger than it.
                "cut" => {
                    let note = Note::new("partition 1", format!("the file system has {}", behind(2)));
                    disk(&mut described.disks, &path).disk.notes.push(note);
                }
                "grub2" => {
                    disk(&mut described.disks, &path).disk.found.boot.iter_mut().for_each(|boot| {
                        boot.file = "/boot/grub2/grub.cfg".to_owned();
                    });
                }
                "save" => drop(described.starts.insert(path, save(words[2]))),
                other => panic!("disks.txt does not know `{other}`"),
            }
        }
        described
    }
}

type Disks = BTreeMap<PathBuf, Result<DiskRead, String>>;

fn disk<'a>(disks: &'a mut Disks, path: &Path) -> &'a mut DiskRead {
    let empty = DiskRead { disk: GuestDisk::default(), kernels: Vec::new(), pygrub: None };
    disks.entry(path.to_owned()).or_insert(Ok(empty)).as_mut().expect("no error before")
}

impl GuestDisks for Described {
    fn disk(&self, path: &Path, format: &str) -> Result<DiskRead, String> {
        let as_format = PathBuf::from(format!("{}@{format}", path.display()));
        let told = self.disks.get(&as_format).or_else(|| self.disks.get(path));
        told.cloned().unwrap_or_else(|| Err("the case does not describe it".to_owned()))
    }

    fn start(&self, path: &Path, _: u64) -> Result<Vec<u8>, String> {
        self.starts.get(path).cloned().ok_or_else(|| "the case does not describe it".to_owned())
    }
}

/// A save as xl writes it, up to the guest's memory; `xend` for one of xend's, `junk` for none.
fn save(version: &str) -> Vec<u8> {
    let Some((major, minor)) = version.split_once('.') else {
        return if version == "xend" { b"LinuxGuestRecord".to_vec() } else { b"junk".to_vec() };
    };
    let mut bytes = b"Xen saved domain, xl format\n \0 \r".to_vec();
    for number in [0x0102_0304_u32, 3, 0, 2] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(b"{}LibxlFmt\0\0\0\x02\0\0\0\0\x01\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
    bytes.extend(b"XENF\0\0\0\x03\0\0\0\0\0\0\0\0");
    for number in [1, 12, major.parse::<u32>().expect("a number"), minor.parse().expect("a number")] {
        bytes.extend(number.to_le_bytes());
    }
    bytes
}
