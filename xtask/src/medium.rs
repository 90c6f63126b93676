//! `xenup image build FILE.iso` and `xenup install` for real: the medium is built, and emulated machines are started from it.
//!
//! Decides: what an installed machine has to be, by BIOS and by UEFI with the answers of a second disk, and by UEFI with
//! somebody who types. Disks that fail and disks that are refused are tried on this machine: see `disks`.
//! Never: asserts on a time; it prints what the parts take.

mod disks;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_rehearse::accelerator::Accelerator;
use xenup_rehearse::console::Pattern;
use xenup_rehearse::inside::PASSWORD;
use xenup_rehearse::network::{self, Lan};
use xenup_rehearse::qemu::{Disk, FileOnDisk, Firmware, Source, Vm, VmSpec};
use xenup_system::files;
use xenup_system::stopwatch::Stopwatch;

use crate::carried;
use crate::claims::{asked, holds};
use crate::emulated::{self, BOOT, KEY, SHORT};
use crate::image;

type Failure = Box<dyn std::error::Error>;

const INSTALL: Duration = Duration::from_secs(3600);
/// The disk that is installed to.
const DISK: u64 = 6 << 30;
/// What the medium looks for on other disks.
const LABEL: &str = "XENUPCONF";
const GUEST: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 64);
/// The last question of an interview.
const LAST: &str = "and install? [y/N] ";

/// Nobody knows this machine's NIC: the installer finds the one with a cable.
const HOST: &str = "[xen]\ndom0-memory = \"1536M\"\nconsole = \"com1:115200\"\noptions = [\"hap=0\", \"xsave=0\"]\n\n\
                    [[bridge]]\nname = \"xenbr0\"\nports = [\"lan0\"]\naddress = \"keep\"\n\n\
                    [guests]\non-shutdown = \"shutdown\"\n";

/// Plays all of it; returns whether everything was as it has to be.
///
/// # Errors
/// No mirror, no emulator, or a machine that does not come up.
pub fn run() -> crate::Outcome {
    if !files::is_root() {
        println!("skipped: the emulated machine's network needs root");
        return Ok(true);
    }
    let tell = &mut |line: &str| println!("{line}");
    xenup_rehearse::tools::ensure_tools_and(&[("xorriso", "xorriso")], tell)?;
    let bench = Bench::new(&crate::project().join("target/medium"))?;
    let mut good = true;
    let scenes = [Bench::refused_answers, Bench::disks, Bench::by_bios, Bench::by_uefi, Bench::typed];
    for scene in scenes {
        for (what, held) in scene(&bench)? {
            good &= holds(&what, held);
        }
    }
    if good {
        files::remove_dir_all(&bench.folder)?;
    }
    Ok(good)
}

struct Bench {
    folder: PathBuf,
    /// What the machines are started from: the stick.
    medium: PathBuf,
    builder: image::Builder,
    /// The words behind `xenup` of docs/medium.md's build.
    page: Vec<String>,
}

type Claims = Result<Vec<(String, bool)>, Failure>;

impl Bench {
    /// A medium that somebody who works on the installer has put into target/ is taken as it is, and that is said.
    fn new(folder: &Path) -> Result<Self, Failure> {
        let builder = image::Builder::new(folder)?;
        files::write(&folder.join("host.toml"), HOST.as_bytes())?;
        files::write(&folder.join("key.pub"), format!("{KEY}\n").as_bytes())?;
        let kept = crate::project().join("target/medium.iso");
        let is_kept = files::exists(&kept);
        let medium = if is_kept { kept } else { folder.join("stick") };
        let (page, write) = image::of_page("docs/medium.md", "xenup image build xen.iso")?;
        let bench = Self { folder: folder.to_owned(), medium, builder, page };
        if is_kept {
            println!("NOT built by this run: {}", bench.medium.display());
            return Ok(bench);
        }
        let watch = Stopwatch::start();
        let built = folder.join("medium.iso");
        image::told(bench.builder.as_root().args(bench.words(&built, &[])))?;
        image::write_as_shown(&write, ("xen.iso", &built), ("/dev/STICK", &bench.medium))?;
        files::remove_file(&built)?;
        let size = files::size(&bench.medium)? >> 20;
        println!("the medium: {size} MiB after {:.0} s", watch.elapsed().as_secs_f64());
        Ok(bench)
    }

    fn words(&self, out: &Path, more: &[&str]) -> Vec<String> {
        let path = |name: &str| self.folder.join(name).display().to_string();
        let (host, deb, out) = (path("host.toml"), path("xenup.deb"), out.display().to_string());
        let shown = self.page.iter().map(|word| match word.as_str() {
            "xen.iso" => &out,
            "host.toml" => &host,
            "xenup_0.1.0_amd64.deb" => &deb,
            other => other,
        });
        shown.chain(["--name", "fresh"]).chain(more.iter().copied()).map(str::to_owned).collect()
    }

    /// A medium with answers that cannot be is not built, and says in which line.
    fn refused_answers(&self) -> Claims {
        let answers = self.folder.join("wrong.toml");
        files::write(&answers, b"# one\ndisk = \"only\"\nerase = true\naddres = \"dhcp\"\n")?;
        let answers = answers.display().to_string();
        let out = self.folder.join("wrong.iso");
        let said = self.builder.as_root().args(self.words(&out, &["--answers", &answers])).output()?;
        let words = said.stderr_text();
        let held =
            words.contains("wrong.toml:4:1: the answer file has no key `addres`") && !files::exists(&out);
        Ok(vec![("answers with an error in line 4 are refused by the build".to_owned(), held)])
    }

    fn spec(&self, firmware: Firmware, accelerator: Accelerator) -> VmSpec {
        VmSpec {
            disk: Disk::Blank(DISK),
            cd: Some(self.medium.clone()),
            files_label: LABEL,
            ..VmSpec::over(Path::new(""), firmware, accelerator)
        }
    }

    fn by_bios(&self) -> Claims {
        self.unattended(Firmware::Bios, "BIOS")
    }

    fn by_uefi(&self) -> Claims {
        self.unattended(Firmware::Uefi, "UEFI")
    }

    /// With the answers of a second disk: nobody types anything until the machine is a Xen host.
    fn unattended(&self, firmware: Firmware, name: &str) -> Claims {
        let (lab, lan, accelerator) = emulated::laboratory()?;
        let answers = format!(
            "disk = \"/dev/vda\"\nerase = true\nhostname = \"alone\"\nssh-keys = [\"{KEY}\"]\n\
             root-password-hash = \"{}\"\n",
            xenup_rehearse::inside::PASSWORD_HASH
        );
        let mut spec = self.spec(firmware, accelerator);
        let answers = Source::Bytes(answers.into_bytes());
        spec.files = vec![
            FileOnDisk { name: "answers.toml".into(), from: answers, mode: 0o644 },
            carried::base(&self.folder.join(carried::BASE))?,
        ];
        let watch = Stopwatch::start();
        let mut vm = Vm::start(&lab, &lan, &spec)?;
        let console = vm.console();
        let ends = [Pattern::text("alone is installed on /dev/vda ("), Pattern::text("Enter begins again")];
        let end = console.expect(&Pattern::any(&ends), INSTALL)?;
        println!("{name}, unattended: installed after {:.0} s", watch.elapsed().as_secs_f64());
        shown(&end.before);
        let mut all = vec![(format!("{name}: the answers of a second disk install"), end.index == 0)];
        if end.index == 0 {
            all.extend(host(&mut vm, name, "alone", &watch)?);
            vm.console().check(&carried::keep(&spec), SHORT)?;
            all.extend(guest(&mut vm, &lan, name)?);
        }
        Ok(all)
    }

    /// By UEFI, by somebody who types on the serial console: once to the last page and no further, then for good.
    fn typed(&self) -> Claims {
        let (lab, lan, accelerator) = emulated::laboratory()?;
        let watch = Stopwatch::start();
        let mut vm = Vm::start(&lab, &lan, &self.spec(Firmware::Uefi, accelerator))?;
        let console = vm.console();
        let mut all = Vec::new();
        let first = [
            ("Disk [1]: ", "\n"),
            ("Name [fresh]: ", "-no\n"),
            ("Name [fresh]: ", "typed\n"),
            ("NIC [1]: ", "\n"),
        ];
        let then =
            [("[dhcp]: ", "\n"), ("Password [none]: ", PASSWORD), ("Once more: ", PASSWORD), ("Key [", "\n")];
        for (round, answer) in [(1, "\n"), (2, "yes\n")] {
            for (question, typed) in first.iter().chain(&then) {
                let before = console.expect(&Pattern::text(question), BOOT)?.before;
                if round == 1 {
                    shown(&before);
                }
                console.send(if typed.ends_with('\n') { typed } else { "" })?;
                if !typed.ends_with('\n') {
                    console.send(&format!("{typed}\n"))?;
                }
            }
            let page = console.expect(&Pattern::text(LAST), SHORT)?.before;
            shown(&page);
            console.send(answer)?;
            let erased = page.contains("ALL OF IT IS ERASED");
            all.push((format!("UEFI, round {round}: the last page says what is erased"), erased));
            if round == 1 {
                let said = console.expect(&Pattern::text("switches it off: "), SHORT)?.before;
                all.push((
                    "UEFI: no is the default of the last page".to_owned(),
                    said.contains("Nothing was written."),
                ));
                console.send("\n")?;
            }
        }
        let ends = [Pattern::text("typed is installed on /dev/vda ("), Pattern::text("switches it off: ")];
        let end = console.expect(&Pattern::any(&ends), INSTALL)?;
        println!("UEFI, typed: installed after {:.0} s", watch.elapsed().as_secs_f64());
        all.push(("UEFI: what is typed installs".to_owned(), end.index == 0));
        if end.index == 0 {
            all.extend(host(&mut vm, "UEFI", "typed", &watch)?);
        }
        Ok(all)
    }

    /// Disks that fail in five places, and disks that are not to be taken: on this machine, as loop devices.
    fn disks(&self) -> Claims {
        disks::play(&self.folder, &self.medium, &|| self.builder.as_root())
    }
}

/// Follows an installed machine from its own disk to the report of its first boot, and looks around.
fn host(vm: &mut Vm, firmware: &str, name: &str, watch: &Stopwatch) -> Claims {
    let console = vm.console();
    let is_host = emulated::first_boot(console, firmware, watch)?;
    let mut all = vec![(format!("{firmware}: the first boot reports a Xen host"), is_host)];
    let info = console.check("xl info", SHORT)?;
    all.push((format!("{firmware}: xl info answers"), info.contains("xen_version")));
    let mac = network::NIC.1;
    let named = format!("test \"$(hostname)\" = {name} && grep -q {name} /etc/hosts");
    let pinned = format!("grep -q {mac} /etc/systemd/network/10-xenup-lan0.link /etc/xenup/host.toml");
    let gateway = format!("ping -c 3 -W 10 {}", network::GATEWAY);
    let claims = [
        ("the root has the disk", "test $(findmnt -n -b -o SIZE /) -gt 5500000000"),
        ("it has its name", named.as_str()),
        ("the NIC with the cable is the bridge's port", "test -e /sys/class/net/xenbr0/brif/lan0"),
        ("by its address", pinned.as_str()),
        ("the bridge reaches the router", gateway.as_str()),
        (
            "both copies of the partition table are good",
            "sfdisk --verify /dev/vda 2>&1 | grep -q 'No errors'",
        ),
        ("shadow is the group's", "test \"$(stat -c '%a %U %G' /etc/shadow)\" = '640 root shadow'"),
        ("xenup plan has nothing to do", "xenup plan --check"),
        ("no unit has failed", "test -z \"$(systemctl --failed --no-legend --plain)\""),
    ];
    let claims = asked(console, &claims, SHORT)?;
    all.extend(claims.into_iter().map(|(what, held)| (format!("{firmware}: {what}"), held)));
    Ok(all)
}

/// A PV guest of `xenup guest create` on the bridge that the installation made, and whether the outside reaches it.
fn guest(vm: &mut Vm, lan: &Lan, firmware: &str) -> Claims {
    let console = vm.console();
    let watch = Stopwatch::start();
    let create = format!(
        "xenup guest create web --suite bookworm --type pv --address {GUEST}/24 --gateway {}",
        network::GATEWAY
    );
    print!(
        "{}",
        console.check(&create, SHORT)?.lines().map(|line| format!("  {line}\n")).collect::<String>()
    );
    let created = watch.elapsed().as_secs_f64();
    console.check("xl create /etc/xen/web.cfg", SHORT)?;
    let answers = emulated::answers(lan, GUEST)?;
    println!(
        "{firmware}: a guest was made in {created:.0} s, and answered over xenbr0 {:.0} s after xl create",
        watch.elapsed().as_secs_f64() - created
    );
    Ok(vec![(format!("{firmware}: a guest of guest create answers the outside"), answers)])
}

fn shown(text: &str) {
    // What firmware and GRUB draw is full of escape sequences.
    let is_plain = |line: &&str| !line.trim().is_empty() && !line.contains('\u{1b}');
    for line in text.lines().map(str::trim_end).filter(is_plain) {
        // A meter is one line that is drawn many times.
        println!("  | {}", line.rsplit('\r').find(|part| !part.is_empty()).unwrap_or(line));
    }
}
