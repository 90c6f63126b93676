//! What a specification may say, and what its derived values are.

use xenup_image::identity::Identity;
use xenup_image::spec::{ExtraFile, SpecError};
use xenup_image::{FileSystem, ImageSpec, Serial, Suite};

fn plain() -> ImageSpec {
    ImageSpec::plain(Suite::Bookworm)
}

#[test]
fn plain_debians_are_good() {
    for suite in [Suite::Bookworm, Suite::Trixie] {
        ImageSpec::plain(suite).validate().unwrap();
    }
}

#[test]
fn values_that_would_break_a_file_or_a_command_are_refused() {
    type Change = fn(&mut ImageSpec);
    let bad: &[(&str, Change)] = &[
        ("hostname", |spec| spec.hostname = "two words".into()),
        ("hostname", |spec| spec.hostname = String::new()),
        ("hostname", |spec| spec.hostname = "-x".into()),
        ("hostname", |spec| spec.hostname = "a.example".into()),
        ("packages", |spec| spec.packages.push("--option".into())),
        ("packages", |spec| spec.packages.push("a,b".into())),
        ("packages", |spec| spec.packages.push("x".into())),
        ("packages", |spec| spec.packages.push("xen=".into())),
        ("masked-units", |spec| spec.masked_units.push("../x.service".into())),
        ("nameservers", |spec| spec.nameservers.push("resolver.example".into())),
        ("root-password-hash", |spec| spec.root_password_hash = Some("secret".into())),
        ("root-password-hash", |spec| spec.root_password_hash = Some("$6$a:b".into())),
        ("root-password-hash", |spec| spec.root_password_hash = Some("$6$a\nuser::".into())),
        ("ssh-authorized-keys", |spec| spec.ssh_authorized_keys.push("a\nb".into())),
        ("kernel-cmdline", |spec| spec.kernel_cmdline = "a=\"b\"".into()),
        ("kernel-cmdline", |spec| spec.kernel_cmdline = "$(reboot)".into()),
        ("grub-environment", |spec| spec.grub_environment.push(("a=b".into(), "c".into()))),
        ("grub-environment", |spec| spec.grub_environment.push(("a".into(), "b\nc".into()))),
        ("extra-files", |spec| spec.extra_files.push(file("relative"))),
        ("extra-files", |spec| spec.extra_files.push(file("/etc/../x"))),
        ("extra-files", |spec| spec.extra_files.push(file("/"))),
    ];
    for (expected, change) in bad {
        let mut spec = plain();
        change(&mut spec);
        match spec.validate() {
            Err(SpecError::Value { field, .. }) => assert_eq!(field, *expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    let small = ImageSpec { size: 1 << 30, ..plain() };
    assert!(matches!(small.validate(), Err(SpecError::TooSmall { .. })));
    let small = ImageSpec { size: 3 << 30, ..plain() }.on(FileSystem::Btrfs);
    assert!(matches!(small.validate(), Err(SpecError::TooSmall { least: 0x1_0000_0000, .. })));
    let alone = ImageSpec { filesystem: FileSystem::Btrfs, ..plain() };
    assert!(matches!(alone.validate(), Err(SpecError::Value { field: "filesystem", .. })));
}

fn file(path: &str) -> ExtraFile {
    ExtraFile { path: path.into(), mode: 0o644, bytes: Vec::new() }
}

#[test]
fn good_values_pass() {
    let mut spec = plain();
    spec.packages.extend(["g++".into(), "xen-system-amd64=4.17.5+72-g0~x-1".into()]);
    spec.masked_units.push("getty@tty1.service".into());
    spec.nameservers.extend(["192.0.2.1".into(), "2001:db8::1".into()]);
    spec.root_password_hash = Some("$y$j9T$abc/def.$xyz".into());
    spec.kernel_cmdline = "net.ifnames=0 mitigations=off".into();
    spec.grub_environment.push(("next_entry".into(), "a>b c".into()));
    spec.extra_files.push(file("/etc/default/grub.d/local.cfg"));
    spec.validate().unwrap();
    spec.on(FileSystem::Btrfs).validate().unwrap();
}

#[test]
fn ext4_is_what_a_specification_means_that_names_no_file_system() {
    let text = serde_json::to_string(&plain()).unwrap();
    assert!(!text.contains("filesystem"), "{text}");
    assert_eq!(serde_json::from_str::<ImageSpec>(&text).unwrap(), plain());
    let btrfs = plain().on(FileSystem::Btrfs);
    assert_ne!(btrfs.digest().unwrap(), plain().digest().unwrap());
}

#[test]
fn the_serial_console_comes_before_the_words_of_the_specification() {
    let cases = [
        (None, "", ""),
        (None, "a b", "a b"),
        (Some(Serial { unit: 1, speed: 9600 }), "", "console=tty0 console=ttyS1,9600n8"),
        (Some(Serial { unit: 0, speed: 115_200 }), "a", "console=tty0 console=ttyS0,115200n8 a"),
    ];
    for (serial, words, expected) in cases {
        let spec = ImageSpec { serial, kernel_cmdline: words.into(), ..plain() };
        assert_eq!(spec.full_cmdline(), expected);
    }
}

#[test]
fn identifiers_follow_from_the_specification_alone() {
    let one = Identity::of(&plain()).unwrap();
    assert_eq!(one, Identity::of(&plain()).unwrap());
    let other = Identity::of(&ImageSpec { hostname: "other".into(), ..plain() }).unwrap();
    let all = |id: &Identity| {
        let partitions = [&id.bios_partition, &id.efi_partition, &id.boot_partition, &id.root_partition];
        let uuids = partitions.into_iter().chain([&id.disk, &id.boot, &id.root, &id.hash_seed]);
        let mut all: Vec<String> = uuids.cloned().collect();
        for uuid in &all {
            let groups: Vec<usize> = uuid.split('-').map(str::len).collect();
            assert_eq!(groups, [8, 4, 4, 4, 12], "{uuid}");
        }
        assert_eq!((id.machine_id.len(), id.efi.len()), (32, 9));
        all.extend([id.efi.clone(), id.machine_id.clone()]);
        all
    };
    let mut both = [all(&one), all(&other)].concat();
    let count = both.len();
    both.sort();
    both.dedup();
    assert_eq!(both.len(), count, "two identifiers are the same");
}
