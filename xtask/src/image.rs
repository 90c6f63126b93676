//! `xenup image build` for real: twice, by an ordinary user and by root, with caches of their own, from this machine's
//! mirror; then booted by BIOS and by UEFI on an emulated machine whose disk is larger than the image; once more with
//! a volume group, in which `guest create` makes guests; and once with its root on btrfs, where GRUB boots an entry once.
//!
//! Decides: that the two disks are the same bytes, what is refused, and what the first boot has to say on the console.
//! Never: asserts on a time; it prints what the steps take.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_rehearse::inside::{PASSWORD, PASSWORD_HASH, PATIENCE};
use xenup_rehearse::lab::Lab;
use xenup_rehearse::network::{self, Lan};
use xenup_rehearse::qemu::{Firmware, Vm, VmSpec};
use xenup_rehearse::tools;
use xenup_system::files;
use xenup_system::process::Tool;
use xenup_system::stopwatch::Stopwatch;

use crate::carried;
use crate::claims::{asked, holds};
use crate::digest::sha256;
use crate::emulated::{self, BOOT, KEY, SHORT};

type Failure = Box<dyn std::error::Error>;

const BUILD: Duration = Duration::from_secs(3600);
/// What the console has to say first.
const REPORTS: &str = "the first boot reports a Xen host";
/// The disk that the image is written to.
const DISK: &str = "6G";

/// What is asked of every machine.
const OF_EACH: &[(&str, &str)] = &[
    (
        "the NICs have their names by address",
        "test -e /sys/class/net/xenbr0/brif/lan0 -a -e /sys/class/net/xenbr1/brif/lan1",
    ),
    (
        "the clock and the words",
        "test \"$(cat /etc/timezone)\" = Europe/Berlin && grep -q en_GB.UTF-8 /etc/default/locale",
    ),
    ("the Linux entry is there too", "grep -q \"'gnulinux-simple-\" /boot/grub/grub.cfg"),
    ("its own update-grub leaves the menu as it is", SAME_MENU),
    ("xenup plan has nothing to do", "xenup plan --check"),
    ("no unit has failed", "test -z \"$(systemctl --failed --no-legend --plain)\""),
];
const EXT4: &[(&str, &str)] = &[("the root has the disk", "test $(findmnt -n -b -o SIZE /) -gt 5500000000")];
const BTRFS: &[(&str, &str)] = &[
    (
        "the root is btrfs, /boot is not",
        "test \"$(findmnt -n -o FSTYPE /) $(findmnt -n -o FSTYPE /boot)\" = 'btrfs ext4'",
    ),
    ("the root has the disk behind /boot", "test $(findmnt -n -b -o SIZE /) -gt 5000000000"),
    ("the packages' files are as they were packed", "! dpkg --verify | grep -v ' c /'"),
    (
        "a snapshot as docs/images.md has it",
        "btrfs subvolume snapshot -r / /before && btrfs subvolume delete /before",
    ),
    // Debian 12's: later ones give ping none.
    ("a capability is kept", "getcap /usr/bin/ping | grep cap_net_raw=ep"),
    ("xenup can try a boot", "xenup inspect | grep 'a trial boot can be armed'"),
    (
        "an entry is named for the next boot",
        "grub-reboot gnulinux-simple-$(findmnt -n -o UUID /) && grub-editenv - list | grep next_entry=gnulinux",
    ),
];
const BTRFS_AFTER: &[(&str, &str)] = &[
    ("GRUB has booted it", "! grep -q xen /sys/hypervisor/type"),
    ("and has taken it away", "grub-editenv - list | grep -x next_entry="),
];

/// The image has 4 GiB: the volume group gets the rest.
const VOLUMES_DISK: &str = "9G";
const VOLUMES: &[(&str, &str)] = &[
    (
        "the group has what the image leaves",
        "test $(vgs --noheadings --units m --nosuffix -o vg_free guests | cut -d. -f1) -gt 4500",
    ),
    (
        "a group that is not there is refused",
        "xenup guest create no --suite bookworm --type pv --volume nowhere 2>&1 | grep -q -- '--volume guests'",
    ),
    (
        "a filled volume",
        "xenup guest create filled --suite bookworm --type pv --size 2G --volume guests --address 10.99.0.65/24 && xl create /etc/xen/filled.cfg",
    ),
    (
        "a name that is taken is refused",
        "xenup guest create filled --suite bookworm --type pv --volume guests 2>&1 | grep -q already",
    ),
    ("a thin pool", "lvcreate --yes --type thin-pool --size 2000M --name pool guests"),
    (
        "a snapshot of the base in it",
        "xenup guest create thin --suite bookworm --type pv --volume guests/pool --address 10.99.0.66/24 && xl create /etc/xen/thin.cfg",
    ),
    (
        "the second one shares the base's volume",
        "xenup guest create second --suite bookworm --type pv --size 2G --volume guests/pool && test $(lvs --noheadings -o lv_name guests | grep -c xenup-base) = 1",
    ),
    ("a guest that runs is not deleted", "! xenup guest delete --yes filled"),
];
const VOLUMES_AFTER: &[(&str, &str)] = &[
    ("a volume grows", "xenup guest resize filled 2100M && e2fsck -fn /dev/guests/filled-disk"),
    (
        "another volume under its name is left",
        "lvchange --deltag @x guests/second-disk; lvrename guests second-disk kept && lvcreate --yes -L 8M -n second-disk guests && \
         xenup guest delete --yes second 2>&1 | grep -q 'is left' && lvs guests/second-disk",
    ),
    (
        "deleted, volumes and all",
        "xenup guest delete --yes filled && xenup guest delete --yes thin && ! lvs guests/filled-disk && ! lvs guests/thin-disk",
    ),
    ("nothing of them is left", "! ls /etc/xen/filled.cfg /etc/xen/thin.cfg /var/lib/xenup/guests/thin.json"),
];

/// Both NICs under other names than the machine would give them, so that the roles go by address.
fn host_toml() -> String {
    format!(
        "[xen]\ndom0-memory = \"1536M\"\nconsole = \"com1:115200\"\noptions = [\"hap=0\", \"xsave=0\"]\n\n\
         [[bridge]]\nname = \"xenbr0\"\nports = [\"lan0\"]\nmac = \"{}\"\naddress = \"keep\"\n\n\
         [[bridge]]\nname = \"xenbr1\"\nports = [\"lan1\"]\nmac = \"{}\"\naddress = \"none\"\n\n\
         [guests]\non-shutdown = \"shutdown\"\n",
        network::NIC.1,
        network::SECOND_NIC.1
    )
}

/// A machine started by UEFI has the firmware's own menu as one entry more, which an image for both cannot know.
const SAME_MENU: &str = "cp /boot/grub/grub.cfg /tmp/before && update-grub && cp /boot/grub/grub.cfg /tmp/after && \
                         sed -i '/BEGIN .*30_uefi-firmware/,/END .*30_uefi-firmware/d' /tmp/before /tmp/after && \
                         cmp /tmp/before /tmp/after";

/// As a user to whom subuid(5) lends ids, without a change to this machine's own files: the first two arguments are
/// mounted over them.
const AS_USER: &str = r#"mount --bind "$1" /etc/subuid; mount --bind "$1" /etc/subgid; shift
exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@""#;

/// On a small file system.
const IN_LITTLE_ROOM: &str = r#"mkdir -p "$1"; mount -t tmpfs -o size=64M tmpfs "$1"; shift; exec "$@""#;

/// Plays all of it; returns whether everything was as it has to be.
///
/// # Errors
/// No mirror, no emulator, or a machine that does not come up.
pub fn run() -> crate::Outcome {
    if !files::is_root() {
        println!("skipped: the emulated machine's network needs root");
        return Ok(true);
    }
    // What an ordinary user's build takes beside root's.
    tools::ensure_tools_and(&[("newuidmap", "uidmap"), ("mkfs.btrfs", "btrfs-progs")], &mut |line| {
        println!("{line}")
    })?;
    let folder = crate::project().join("target/image");
    let bench = Bench::new(&folder)?;
    let mut good = true;
    let first = bench.build_as_user("first")?;
    let second = bench.build_as_root("second")?;
    let (one, two) = (sha256(&first)?, sha256(&second)?);
    println!("by a user  {one}\nby root    {two}");
    good &= holds("the same input gives the same bytes, whoever builds", one == two);
    for (what, held) in bench.refusals(&second)? {
        good &= holds(&what, held);
    }
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        let said = bench.boot(&second, firmware, EXT4, &[])?;
        for (what, held) in said {
            good &= holds(&format!("{firmware:?}: {what}"), held);
        }
    }
    for (what, held) in bench.volumes()? {
        good &= holds(&format!("volumes: {what}"), held);
    }
    for (what, held) in bench.btrfs()? {
        good &= holds(&format!("btrfs: {what}"), held);
    }
    if good {
        files::remove_dir_all(&folder)?;
    }
    Ok(good)
}

/// The program as it was just compiled, and a package of it, in a folder with a cache of its own.
pub struct Builder {
    folder: PathBuf,
    program: PathBuf,
}

impl Builder {
    /// Makes the folder anew.
    ///
    /// # Errors
    /// It does not compile, or cannot be packed.
    pub fn new(folder: &Path) -> Result<Self, Failure> {
        files::remove_dir_all(folder)?;
        files::create_dir_all(folder)?;
        // Where a user of any id may run it.
        let program = folder.join("xenup");
        Tool::new("strip").arg("-o").arg(&program).arg(crate::package::debug_program()?).run()?;
        let builder = Self { folder: folder.to_owned(), program };
        builder.package()?;
        Ok(builder)
    }

    /// The program, with the folder's own cache.
    pub fn as_root(&self) -> Tool {
        Tool::new(&self.program).env("XDG_CACHE_HOME", self.file("cache"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A package of the program as it was just compiled, and of the patience that an emulated machine needs.
    fn package(&self) -> Result<(), Failure> {
        let tree = self.file("package");
        for (path, text) in [
            (
                "DEBIAN/control",
                "Package: xenup\nVersion: 0~image\nArchitecture: amd64\nMaintainer: nobody <nobody@example>\n\
                 Depends: libc6\nDescription: for a test alone\n",
            ),
            (PATIENCE.0.trim_start_matches('/'), PATIENCE.1),
            (
                "etc/systemd/system/ifupdown-pre.service.d/patience.conf",
                "[Service]\nTimeoutStartSec=900\nExecStart=\nExecStart=/bin/udevadm settle --timeout=890\n",
            ),
        ] {
            let path = tree.join(path);
            files::create_dir_all(path.parent().unwrap_or(&tree))?;
            files::write(&path, text.as_bytes())?;
        }
        Tool::new("install")
            .args(["-D", "-m", "0755"])
            .arg(&self.program)
            .arg(tree.join("usr/sbin/xenup"))
            .run()?;
        let deb = self.file("xenup.deb");
        Tool::new("dpkg-deb").args(["--root-owner-group", "-Zgzip", "--build"]).arg(&tree).arg(deb).run()?;
        Ok(())
    }
}

struct Bench {
    builder: Builder,
    /// The words behind `xenup` of the page's build, and its line that writes the disk.
    page: Vec<String>,
    write: String,
}

impl Bench {
    fn new(folder: &Path) -> Result<Self, Failure> {
        let (page, write) = of_page("docs/images.md", "xenup image build xen.raw")?;
        let bench = Self { builder: Builder::new(folder)?, page, write };
        files::write(&bench.file("host.toml"), host_toml().as_bytes())?;
        files::write(&bench.file("hash"), PASSWORD_HASH.as_bytes())?;
        files::write(&bench.file("key.pub"), format!("{KEY}\n").as_bytes())?;
        files::write(&bench.file("ids"), b"nobody:200000:65536\n")?;
        Ok(bench)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.builder.file(name)
    }

    /// The words of a build: docs/images.md's own, and those by which the machine can be asked what it is.
    fn words(&self, out: &Path) -> Vec<String> {
        let path = |name: &str| self.file(name).display().to_string();
        let shown = self.page.iter().map(|word| match word.as_str() {
            "xen.raw" => out.display().to_string(),
            "host.toml" => path("host.toml"),
            "~/.ssh/id_ed25519.pub" => path("key.pub"),
            other => other.to_owned(),
        });
        let given = [
            ("--root-password-hash", path("hash")),
            ("--package", path("xenup.deb")),
            ("--name", "fresh".to_owned()),
            ("--locale", "en_GB.UTF-8".to_owned()),
            ("--timezone", "Europe/Berlin".to_owned()),
        ];
        shown.chain(given.into_iter().flat_map(|(name, value)| [name.to_owned(), value])).collect()
    }

    fn build_as_user(&self, name: &str) -> Result<PathBuf, Failure> {
        let (home, out) = (self.file("home"), self.file("home").join(format!("{name}.raw")));
        files::create_dir_all(&home)?;
        Tool::new("chown").arg("65534:65534").arg(&home).run()?;
        let tool = Tool::new("unshare")
            .args(["--mount", "sh", "-ec", AS_USER, "sh"])
            .arg(self.file("ids"))
            .arg(&self.builder.program)
            .env("XDG_CACHE_HOME", home.join("cache"))
            // As login.defs(5) has it on Debian.
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games");
        told(tool.args(self.words(&out)))?;
        Ok(out)
    }

    fn build_as_root(&self, name: &str) -> Result<PathBuf, Failure> {
        let out = self.file(&format!("{name}.raw"));
        told(self.as_root().args(self.words(&out)))?;
        Ok(out)
    }

    fn as_root(&self) -> Tool {
        self.builder.as_root()
    }

    /// What must not work, with the packages that are kept by now; and that nothing of it is left.
    fn refusals(&self, built: &Path) -> Result<Vec<(String, bool)>, Failure> {
        let before = sha256(built)?;
        let there = self.as_root().args(self.words(built)).output()?;
        let mut all = vec![(
            "a file that is there is not replaced".to_owned(),
            there.stderr_text().contains("is not replaced") && sha256(built)? == before,
        )];
        let out = self.file("nowhere.raw");
        let words: Vec<String> = self
            .words(&out)
            .into_iter()
            .map(|word| word.replace("Europe/Berlin", "Europe/Nowhere"))
            .collect();
        let nowhere = self.as_root().args(words).timeout(BUILD).output()?;
        let said = nowhere.stderr_text();
        let held = said.contains("knows no time zone Europe/Nowhere") && !files::exists(&out);
        all.push(("a time zone that the release does not have".to_owned(), held));
        let small = self.file("small");
        let little = Tool::new("unshare")
            .args(["--mount", "sh", "-ec", IN_LITTLE_ROOM, "sh"])
            .arg(&small)
            .arg(&self.builder.program)
            .args(self.words(&small.join("disk.raw")))
            .env("XDG_CACHE_HOME", self.file("cache"))
            .output()?;
        let held = little.stderr_text().contains("make room") && little.status.to_string() == "exit status 4";
        all.push(("too little room is told before anything is done".to_owned(), held));
        let left = files::list(&self.file("cache").join("xenup/images"))?;
        let is_work = |path: &PathBuf| path.display().to_string().contains("/build-");
        all.push(("no build leaves its work".to_owned(), !left.iter().any(is_work)));
        Ok(all)
    }

    /// Writes the image to a larger disk and boots it, until its first boot has said what the machine is; asks it, and once
    /// more after a restart where there is something to ask then.
    fn boot(
        &self,
        image: &Path,
        firmware: Firmware,
        own: &[(&str, &str)],
        after: &[(&str, &str)],
    ) -> Result<Vec<(String, bool)>, Failure> {
        let (lab, lan, spec) = self.machine(image, firmware, DISK)?;
        let watch = Stopwatch::start();
        let mut vm = Vm::start(&lab, &lan, &spec)?;
        let console = vm.console();
        let is_host = emulated::first_boot(console, &format!("{firmware:?}"), &watch)?;
        let mut all = vec![(REPORTS.to_owned(), is_host)];
        let info = console.check("xl info", SHORT)?;
        print!("{}", info.lines().map(|line| format!("  {line}\n")).collect::<String>());
        all.push(("xl info answers".to_owned(), info.contains("xen_version")));
        all.extend(asked(console, OF_EACH, SHORT)?);
        all.extend(asked(console, own, SHORT)?);
        if !after.is_empty() {
            console.send("systemctl reboot\n")?;
            console.login_within("root", PASSWORD, BOOT)?;
            all.extend(asked(console, after, SHORT)?);
        }
        Ok(all)
    }

    /// An image with its root on btrfs.
    fn btrfs(&self) -> Result<Vec<(String, bool)>, Failure> {
        let out = self.file("btrfs.raw");
        told(self.as_root().args(self.words(&out)).args(["--filesystem", "btrfs"]))?;
        self.boot(&out, Firmware::Bios, BTRFS, BTRFS_AFTER)
    }

    /// The image on a larger disk, and the machine that it becomes.
    fn machine(&self, image: &Path, firmware: Firmware, size: &str) -> Result<(Lab, Lan, VmSpec), Failure> {
        let (base, disk) = (self.file("base.qcow2"), self.file("disk"));
        write_as_shown(&self.write, ("xen.raw", image), ("/dev/DISK", &disk))?;
        Tool::new("qemu-img").args(["convert", "-f", "raw", "-O", "qcow2"]).arg(&disk).arg(&base).run()?;
        files::remove_file(&disk)?;
        Tool::new("qemu-img").args(["resize", "-q"]).arg(&base).arg(size).run()?;
        let (lab, lan, accelerator) = emulated::laboratory()?;
        Ok((lab, lan, VmSpec::over(&base, firmware, accelerator)))
    }

    /// An image with a volume group: guests as volumes and as snapshots in a thin pool, made, started, grown and deleted.
    fn volumes(&self) -> Result<Vec<(String, bool)>, Failure> {
        let out = self.file("volumes.raw");
        told(self.as_root().args(self.words(&out)).arg("--lvm"))?;
        let (lab, lan, mut spec) = self.machine(&out, Firmware::Bios, VOLUMES_DISK)?;
        spec.files = vec![carried::base(&self.file(carried::BASE))?];
        let watch = Stopwatch::start();
        let mut vm = Vm::start(&lab, &lan, &spec)?;
        let console = vm.console();
        let is_host = emulated::first_boot(console, "with a volume group", &watch)?;
        let mut all = vec![(REPORTS.to_owned(), is_host)];
        console.check(&carried::keep(&spec), SHORT)?;
        all.extend(asked(console, VOLUMES, BOOT)?);
        for (guest, last) in [("filled", 65), ("thin", 66)] {
            let answers = emulated::answers(&lan, Ipv4Addr::new(10, 99, 0, last))?;
            all.push((format!("the {guest} guest answers over the bridge"), answers));
            all.extend(asked(console, &[(guest, &format!("xl destroy {guest}"))], SHORT)?);
        }
        all.extend(asked(console, VOLUMES_AFTER, BOOT)?);
        Ok(all)
    }
}

/// A page's build of an image, its words behind `xenup`, and the line below it that writes the image to a disk.
///
/// # Errors
/// The page has no such block.
pub fn of_page(page: &str, has: &str) -> Result<(Vec<String>, String), Failure> {
    let block = crate::shown::block(page, has)?;
    let line = block.lines().find(|line| line.starts_with("dd if="));
    let build = crate::shown::commands(page, has)?.into_iter().next().unwrap_or_default();
    let words = build.strip_prefix(&["xenup".to_owned()][..]).unwrap_or_default();
    Ok((words.to_vec(), line.ok_or_else(|| format!("{page} writes no disk below its build"))?.to_owned()))
}

/// Carries a page's line out that writes an image to a disk: each name of the page with the file that stands for it.
///
/// # Errors
/// It has not both names, or dd(1) fails.
pub fn write_as_shown(line: &str, image: (&str, &Path), disk: (&str, &Path)) -> Result<(), Failure> {
    let (from, to) = (format!("if={} ", image.0), format!("of={} ", disk.0));
    if !line.contains(&from) || !line.contains(&to) {
        return Err(format!("`{line}` has not both `{from}` and `{to}`").into());
    }
    let line = line.replace(&from, "if=\"$1\" ").replace(&to, "of=\"$2\" ");
    Tool::new("sh").args(["-euc", &line, "sh"]).arg(image.1).arg(disk.1).timeout(SHORT).run()?;
    Ok(())
}

/// Runs a build and shows what it says.
///
/// # Errors
/// The build's.
pub fn told(tool: Tool) -> Result<(), Failure> {
    tool.timeout(BUILD).run_lines(&mut |line| println!("  {line}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use xenup_system::files::{self, WorkDir};

    use super::{of_page, write_as_shown};

    #[test]
    fn what_the_pages_build_and_write() {
        let (words, write) = of_page("docs/images.md", "xenup image build xen.raw").unwrap();
        assert_eq!(
            words.join(" "),
            "image build xen.raw --suite bookworm --host host.toml --ssh-key ~/.ssh/id_ed25519.pub"
        );
        let (medium, stick) = of_page("docs/medium.md", "xenup image build xen.iso").unwrap();
        assert_eq!(
            medium.join(" "),
            "image build xen.iso --suite bookworm --host host.toml --package xenup_0.1.0_amd64.deb"
        );
        let work = WorkDir::new_in(&crate::project().join("target"), "written-").unwrap();
        files::write(&work.join("from"), b"bytes").unwrap();
        for (line, image, disk) in [(write, "xen.raw", "/dev/DISK"), (stick, "xen.iso", "/dev/STICK")] {
            let to = work.join(image);
            write_as_shown(&line, (image, &work.join("from")), (disk, &to)).unwrap();
            assert_eq!(files::read(&to).unwrap(), b"bytes");
            assert!(write_as_shown(&line, ("other", &work.join("from")), (disk, &to)).is_err());
        }
    }
}
