//! A disk written and read back: a small tree and made-up boot images, no packages, no root.
#![allow(clippy::disallowed_methods, reason = "tests make their own trees")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::{Path, PathBuf};

use xenup_image::boot_loader::BootImages;
use xenup_image::check::{Built, check};
use xenup_image::disk::{Layout, write_boot, write_root};
use xenup_image::identity::Identity;
use xenup_image::{FileSystem, Format, ImageSpec, Suite, tools};
use xenup_system::files::DiskFile;

struct Fixture {
    directory: tempfile::TempDir,
    disk: PathBuf,
    layout: Layout,
    identity: Identity,
    images: BootImages,
    config: Vec<u8>,
}

impl Fixture {
    /// `None` where the tools are not installed here.
    fn new(filesystem: FileSystem) -> Option<Self> {
        let size = filesystem.smallest() + 12_345;
        let plain = ImageSpec::plain(Suite::Bookworm).on(filesystem);
        let spec = ImageSpec { size, format: Format::Raw, ..plain };
        if let Err(error) = tools::check(&spec) {
            println!("skipped: {error}");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let identity = Identity::of(&spec).unwrap();
        let tree = directory.path().join("tree");
        std::fs::create_dir_all(tree.join("boot/grub")).unwrap();
        std::fs::create_dir_all(tree.join("etc")).unwrap();
        let (root, grub) = (&identity.root, identity.of_grub(filesystem));
        let config =
            format!("search --no-floppy --fs-uuid --set=root {grub}\nlinux /vmlinuz root=UUID={root} ro\n");
        let fstab = format!("UUID={root} / btrfs x\nUUID={} /boot ext4 x\n", identity.boot);
        std::fs::write(tree.join("etc/fstab"), fstab).unwrap();
        std::fs::write(tree.join("boot/grub/grub.cfg"), &config).unwrap();
        let pattern =
            |length: usize| (0..length).map(|n| u8::try_from(n % 253).unwrap()).collect::<Vec<u8>>();
        let images =
            BootImages { bios_boot: pattern(512), bios_core: pattern(30_000), efi: pattern(150_000) };
        let disk = directory.path().join("disk");
        let layout = write_root(&spec, &identity, &tree, &disk).unwrap();
        write_boot(&layout, &identity, &images, directory.path(), &disk).unwrap();
        Some(Self { directory, disk, layout, identity, images, config: config.into_bytes() })
    }

    fn check(&self, disk: &Path) -> Result<(), String> {
        let built = Built {
            layout: &self.layout,
            identity: &self.identity,
            images: &self.images,
            grub_config: &self.config,
        };
        check(disk, &built).map_err(|error| error.to_string())
    }
}

#[test]
fn a_disk_reads_back_as_written_and_each_change_of_it_is_seen() {
    let Some(made) = Fixture::new(FileSystem::Ext4) else { return };
    assert_eq!(made.layout.disk, 2 << 30, "rounded down to whole MiB");
    made.check(&made.disk).unwrap();
    let (bios, efi, root) = (made.layout.bios.offset, made.layout.efi.offset, made.layout.root.offset);
    let changes: &[(u64, &str)] = &[
        (0x1fe, "the first sector's mark"),
        (0x5c, "the first sector's way"),
        (512 + 56, "what is wrong with the partition table"),
        (bios + 0x1f4, "the core image's way"),
        (bios + 20_000, "the core image's rest"),
        (efi + 67, "the EFI file system"),
        (root + 1024 + 0x68, "the root file system"),
        (root + 1024 + 0x38, "the root file system"),
        (root + 1024 + 0x60, "the root file system"),
    ];
    each_change_is_seen(&made, changes);
}

#[test]
fn a_disk_with_btrfs_reads_back_as_written_and_each_change_of_it_is_seen() {
    let Some(made) = Fixture::new(FileSystem::Btrfs) else { return };
    made.check(&made.disk).unwrap();
    let (boot, root) = (made.layout.boot.unwrap().offset, made.layout.root.offset);
    let superblock = root + (64 << 10);
    let changes: &[(u64, &str)] = &[
        (boot + 1024 + 0x68, "the file system of /boot"),
        (superblock + 0x40, "the root file system"),
        (superblock + 0x20, "the root file system"),
        (superblock + 0x88, "the root file system"),
        (superblock + 0xd6, "the root file system's size"),
    ];
    each_change_is_seen(&made, changes);
    assert!(made.directory.path().join("tree/boot/grub/grub.cfg").exists(), "the tree is as it was");
}

fn each_change_is_seen(made: &Fixture, changes: &[(u64, &str)]) {
    for (offset, expected) in changes {
        let copy = made.directory.path().join("copy");
        xenup_system::files::copy_sparse(&made.disk, &copy).unwrap();
        let file = DiskFile::open_write(&copy).unwrap();
        let mut byte = [0];
        file.read_at(*offset, &mut byte).unwrap();
        file.write_at(*offset, &[byte[0] ^ 0x04]).unwrap();
        let error = made.check(&copy).err().unwrap_or_default();
        assert!(error.starts_with(expected), "offset {offset}: {error}");
    }
}

#[test]
fn a_disk_with_another_root_than_grub_names_is_refused() {
    let Some(mut made) = Fixture::new(FileSystem::Ext4) else { return };
    made.config = b"linux /vmlinuz root=/dev/sda3 ro\n".to_vec();
    let error = made.check(&made.disk).unwrap_err();
    assert!(error.starts_with("grub.cfg: expected"), "{error}");
}

#[test]
fn partitions_are_aligned_and_end_before_the_second_table() {
    let sizes = [2048, 4096, 8192, 100_000].map(|mib| (mib, FileSystem::Ext4));
    for (mib, filesystem) in
        sizes.into_iter().chain([(4096, FileSystem::Btrfs), (100_000, FileSystem::Btrfs)])
    {
        let layout = Layout::of((mib << 20) + 777, filesystem);
        assert_eq!(layout.boot.is_some(), filesystem == FileSystem::Btrfs);
        let parts: Vec<_> = [Some(layout.bios), Some(layout.efi), layout.boot, Some(layout.root)]
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(layout.disk, mib << 20);
        assert!(parts.iter().all(|part| part.offset % (1 << 20) == 0 && part.size % (1 << 20) == 0));
        assert!(parts.windows(2).all(|pair| pair[0].offset + pair[0].size == pair[1].offset));
        assert_eq!(layout.root.offset + layout.root.size + (1 << 20), layout.disk);
    }
}
