//! `kernel build` and `kernel install` on a tree that stands in for a kernel's: its make prints and makes what kbuild would, in
//! a moment. Root gives itself up for nobody first: that is who builds.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test runs programs and reads files")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Forty files and an image; the 25th waits where there is a gate, and the tenth finds a disk full where one is asked for.
const MAKEFILE: &str = r#"VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 3

objects := $(foreach n,$(shell seq 1 40),$(O)/f$(n).o)
release := 6.12.3-domu-minimal
gate := $(shell test -p "$$GATE" && echo shut)

allnoconfig:
	@cp $$KCONFIG_ALLCONFIG $(O)/.config

prepare:
	@mkdir -p $(O)/include/config $(O)/arch/x86/boot
	@echo $(release) > $(O)/include/config/kernel.release

all: $(O)/arch/x86/boot/bzImage

$(O)/f%.o:
	@echo '  CC      f$*.o'; if test $* = 25 && test -n "$(gate)"; then read word < "$$GATE" || exit 1; fi; \
	if test $* = 10 && test -n "$$FULL"; then cp image /dev/full || exit 1; fi; touch $@

$(O)/arch/x86/boot/bzImage: image $(objects)
	@echo '  BUILD   arch/x86/boot/bzImage'; cp image $@

bindeb-pkg: all
	@echo $$KBUILD_BUILD_USER $$KBUILD_BUILD_TIMESTAMP > $(O)/../linux-image-$(release)_$${KDEB_PKGVERSION}_amd64.deb
	@touch $(O)/../linux-libc-dev_$${KDEB_PKGVERSION}_amd64.deb
"#;
/// What a build runs and this tree does not: they have to be there, that is all.
const STAND_INS: [&str; 10] =
    ["bc", "cpio", "dpkg-buildpackage", "fakeroot", "depmod", "perl", "rsync", "lz4", "zstd", "dh"];

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases")
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { folder };
        for name in ["linux", "cache", "work", "bin"] {
            fs::create_dir(place.at(name)).unwrap();
        }
        let kconfig = cases().join("cli/kernel-config/linux/Kconfig");
        fs::copy(kconfig, place.at("linux/Kconfig")).unwrap();
        fs::write(place.at("linux/Makefile"), MAKEFILE).unwrap();
        fs::copy(cases().join("cli/kernel-check-folder/boot/vmlinux-6.12-domu"), place.at("linux/image"))
            .unwrap();
        for name in STAND_INS {
            fs::write(place.at("bin").join(name), "#!/bin/sh\n").unwrap();
            fs::set_permissions(place.at("bin").join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::copy(env!("CARGO_BIN_EXE_xenup"), place.at("xenup")).unwrap();
        place.give_away();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn give_away(&self) {
        if is_root() {
            let chown = Command::new("chown").args(["-R", "65534:65534"]).arg(self.folder.path()).status();
            assert!(chown.unwrap().success());
        }
    }

    /// The program as an ordinary user.
    fn xenup(&self, args: &[&str]) -> Command {
        let mut command = match is_root() {
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]);
                command.arg(self.at("xenup"));
                command
            }
            false => Command::new(self.at("xenup")),
        };
        self.surrounded(&mut command, args);
        command
    }

    fn surrounded(&self, command: &mut Command, args: &[&str]) {
        command
            .args(args)
            .current_dir(self.at("work"))
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.at("bin").display()))
            .env("XDG_CACHE_HOME", self.at("cache"))
            .env("GATE", self.at("gate"));
    }

    fn build(&self, more: &[&str]) -> Output {
        let args = ["kernel", "build", "domU-minimal", "--jobs", "1", "--source", "../linux"];
        self.xenup(&[&args[..], more].concat()).output().unwrap()
    }

    fn said(&self, bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).replace(&self.folder.path().display().to_string(), "$PLACE")
    }
}

#[test]
fn a_build_that_was_killed_goes_on_and_is_handed_out_once() {
    let place = Place::new();
    let fifo = Command::new("mkfifo").args(["-m", "666"]).arg(place.at("gate")).status().unwrap();
    assert!(fifo.success());
    let args = ["kernel", "build", "domU-minimal", "--jobs", "1", "--source", "../linux"];
    let mut first = place.xenup(&args).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(first.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "60 %: 25 of 41 steps"), "it ended before");
    first.kill().unwrap();
    first.wait().unwrap();
    fs::remove_file(place.at("gate")).unwrap();

    let second = place.build(&[]);
    let (out, err) = (place.said(&second.stdout), place.said(&second.stderr));
    assert!(second.status.success(), "{err}");
    assert!(err.contains("going on with the build that was not finished\n"), "{err}");
    assert!(err.contains("compiled: 17 steps in "), "{err}");
    assert!(err.contains("the image can be PV, PVH under Xen "), "{err}");
    let made = place.at("work/kernel-6.12.3-domu-minimal");
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(made.join("kernel.json")).unwrap()).unwrap();
    let version = record["version"].as_str().unwrap();
    let package = format!("linux-image-6.12.3-domu-minimal_{version}_amd64.deb");
    let expected = format!(
        "6.12.3-domu-minimal: kernel-6.12.3-domu-minimal\n  vmlinuz-6.12.3-domu-minimal\n  \
         config-6.12.3-domu-minimal\n  {package}\n"
    );
    assert_eq!(out, expected);
    let moment = fs::read_to_string(made.join(&package)).unwrap();
    assert!(moment.starts_with("xenup ") && moment.contains("UTC"), "{moment}");

    let third = place.build(&[]);
    assert_eq!(third.status.code(), Some(4));
    assert!(place.said(&third.stderr).contains("error: kernel-6.12.3-domu-minimal is there already\n"));
    let fourth = place.build(&["--output", "again"]);
    assert!(place.said(&fourth.stderr).contains("this kernel was built before: nothing is compiled\n"));
    let both = [&made, &place.at("work/again")].map(|folder| fs::read(folder.join("kernel.json")).unwrap());
    assert_eq!(both[0], both[1]);
}

#[test]
fn a_source_that_was_changed_is_built_again_and_one_of_xenups_own_refused() {
    let place = Place::new();
    assert!(place.build(&["--output", "first"]).status.success());
    fs::write(place.at("linux/MAINTAINERS"), "me\n").unwrap();
    let again = place.build(&["--output", "second"]);
    assert!(place.said(&again.stderr).contains("the source was changed since the build before"));

    let tar = Command::new("tar")
        .args(["-cJf", "work/linux-source-6.12.tar.xz", "linux"])
        .current_dir(place.folder.path())
        .status();
    assert!(tar.unwrap().success());
    place.give_away();
    let archive =
        ["kernel", "build", "domU-minimal", "--source", "linux-source-6.12.tar.xz", "--output", "third"];
    let third = place.xenup(&archive).output().unwrap();
    assert!(third.status.success(), "{}", place.said(&third.stderr));
    let trees = fs::read_dir(place.at("cache/xenup/kernel")).unwrap().map(|entry| entry.unwrap().path());
    let tree = trees
        .into_iter()
        .find(|path| path.is_dir() && path.file_name().unwrap().to_string_lossy().starts_with("tree-"))
        .unwrap();
    fs::write(tree.join("image"), "mine").unwrap();
    let archive = [&archive[..6], &["fourth"]].concat();
    let fourth = place.xenup(&archive).output().unwrap();
    let err = place.said(&fourth.stderr);
    assert_eq!(fourth.status.code(), Some(4), "{err}");
    assert!(err.contains(" was changed since it was unpacked\nhint: rm -r "), "{err}");
    assert!(!place.at("work/fourth").exists());
}

#[test]
fn a_disk_that_fills_up_ends_a_build_and_the_next_goes_on() {
    let place = Place::new();
    let args = ["kernel", "build", "domU-minimal", "--jobs", "1", "--source", "../linux"];
    let full = place.xenup(&args).env("FULL", "1").output().unwrap();
    let err = place.said(&full.stderr);
    assert_eq!(full.status.code(), Some(1), "{err}");
    assert!(err.contains("No space left on device"), "{err}");
    assert!(err.contains("hint: make room: df -h $PLACE/cache/xenup/kernel/build/"), "{err}");
    assert_eq!(fs::read_dir(place.at("work")).unwrap().count(), 0);
    let again = place.build(&[]);
    let err = place.said(&again.stderr);
    assert!(again.status.success() && err.contains("compiled: 32 steps in "), "{err}");
}

#[test]
fn an_image_that_cannot_play_its_role_is_not_handed_out() {
    let place = Place::new();
    fs::copy(cases().join("kernel/linux-64-no-pvh/kernel"), place.at("linux/image")).unwrap();
    place.give_away();
    let built = place.build(&[]);
    let err = place.said(&built.stderr);
    assert_eq!(built.status.code(), Some(4), "{err}");
    assert!(err.contains("error: the image of domU-minimal cannot play its role under Xen "), "{err}");
    assert!(err.contains("\nPVH: "), "{err}");
    assert_eq!(fs::read_dir(place.at("work")).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_done_is_said_before_it_is_begun() {
    let place = Place::new();
    let refused = place.build(&["--output", "/proc/kernels/mine"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(!place.said(&refused.stderr).contains("building in"), "{}", place.said(&refused.stderr));
    let plan = place.build(&["--plan"]);
    assert_eq!(plan.status.code(), Some(2));
    fs::remove_file(place.at("bin/bc")).unwrap();
    let mut poor = place.xenup(&["kernel", "build", "domU-minimal", "--source", "../linux"]);
    // make and the compiler are there, and nothing else of /usr/bin.
    for name in ["make", "gcc", "flex", "bison", "sh", "seq", "cp", "mkdir", "setpriv", "tar", "date"] {
        let _ = std::os::unix::fs::symlink(format!("/usr/bin/{name}"), place.at("bin").join(name));
    }
    let poor = poor.env("PATH", place.at("bin")).output().unwrap();
    let err = place.said(&poor.stderr);
    assert_eq!(poor.status.code(), Some(1), "{err}");
    assert!(err.contains("error: building a kernel needs packages that are not here: bc\n"), "{err}");
    assert!(err.contains("hint: as root: apt-get install --no-install-recommends bc\n"), "{err}");
}

#[test]
fn root_builds_nothing_unless_it_says_so() {
    let headers = ["/usr/include/libelf.h", "/usr/include/openssl/opensslv.h"];
    if !is_root() || headers.iter().any(|path| !Path::new(path).exists()) {
        eprintln!("not tried: root, libelf-dev and libssl-dev are needed");
        return;
    }
    let place = Place::new();
    let mut command = Command::new(place.at("xenup"));
    place.surrounded(&mut command, &["kernel", "build", "domU-minimal", "--source", "../linux"]);
    let output = command.output().unwrap();
    let err = place.said(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{err}");
    assert!(err.contains("hint: call it as an ordinary user, or, where there is none: --as-root\n"), "{err}");
}

#[test]
fn a_result_is_installed_as_it_was_built_or_not_at_all() {
    let place = Place::new();
    assert!(place.build(&["--output", "made"]).status.success());
    let install = |more: &[&str]| {
        let output = place.xenup(&[&["kernel", "install", "made"], more].concat()).output().unwrap();
        (output.status.code(), place.said(&output.stderr))
    };
    let (code, err) = install(&[]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("error: kernel install made changes the machine, and needs root\n"), "{err}");
    let (code, err) = install(&["--name", "../boot"]);
    assert_eq!((code, err.contains("error: `../boot` is no name of a kernel\n")), (Some(2), true), "{err}");
    let image = place.at("work/made/vmlinuz-6.12.3-domu-minimal");
    let mut bytes = fs::read(&image).unwrap();
    bytes.push(0);
    fs::write(&image, bytes).unwrap();
    let (code, err) = install(&[]);
    assert_eq!(code, Some(4), "{err}");
    assert!(err.contains("error: made/vmlinuz-6.12.3-domu-minimal is not as it was built\n"), "{err}");
}
