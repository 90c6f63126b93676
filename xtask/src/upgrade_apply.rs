//! `xenup upgrade apply` with the real apt and dpkg: a Xen host of Debian 12 in a tree, led to Debian 13 from this machine's
//! own mirror, undisturbed, and killed at random moments and gone on with; then the same host without xen-system-amd64.
//!
//! Decides: when is struck, and what counts as the same end. What runs is told by files in the tree's /sys and /proc while
//! the plan is made, and by a stand-in for Xen 4.17's own xl; grub-probe, which would look for disks, is answered for. The
//! stages `prepare` and `upgrade` are carried out: there is no boot in a chroot. Never: repairs anything.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use xenup_core::boot::{self, Pinned};
use xenup_core::host::Host as Wish;
use xenup_core::inspect::{Surroundings, gather};
use xenup_image::Suite;
use xenup_image::plain_tree::{self, PlainTree};
use xenup_machine::fake::Chance;
use xenup_system::System;
use xenup_system::files::{self, WorkDir};
use xenup_system::process::Tool;
use xenup_system::stopwatch::Stopwatch;

use crate::faults::debian::Debian;
use crate::project;

type Failure = Box<dyn std::error::Error>;

/// A Xen host's packages, and what the tree needs to be looked at.
const PACKAGES: &[&str] = &["xen-system-amd64", "linux-image-amd64", "grub-pc", "systemd"];
/// Counts up with every change of [`PREPARE`] or [`PACKAGES`].
const RECIPE: u32 = 2;

/// Recommended packages are left out; grub-probe and xl are stand-ins. Services are not started where there is no init.
const PREPARE: &str = r#"echo 'APT::Install-Recommends "false";' > /etc/apt/apt.conf.d/50tree
apt-get -qq update
echo host > /etc/hostname
dpkg-divert --local --rename --divert /usr/sbin/grub-probe.real --add /usr/sbin/grub-probe
cat > /usr/sbin/grub-probe <<'END'
#!/bin/sh
target=
while [ $# -gt 0 ]; do
  case "$1" in
    --target=*) target=${1#--target=} ;;
    -t|--target) target=$2; shift ;;
  esac
  shift
done
case "$target" in
  device) echo /dev/vda1 ;;
  fs) echo ext2 ;;
  fs_uuid) echo 0f3c9d1e-1111-4222-8333-444455556666 ;;
  partmap) echo msdos ;;
  drive) echo '(hd0,msdos1)' ;;
  fs_label|abstraction|cryptodisk_uuid|partuuid|compatibility_hint|hints_string) ;;
  *) exit 1 ;;
esac
END
chmod 755 /usr/sbin/grub-probe
mkdir -p /boot/grub /etc/default/grub.d /etc/xenup /etc/network /var/lib/stub-guests
printf 'GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_DISTRIBUTOR=Debian\nGRUB_CMDLINE_LINUX_DEFAULT=quiet\n' > /etc/default/grub
grub-editenv /boot/grub/grubenv create
update-grub
printf 'auto lo\niface lo inet loopback\n' > /etc/network/interfaces
printf '[xen]\ndom0-memory = "1G"\n\n[boot]\ndefault = "xen"\n' > /etc/xenup/host.toml
cat > /usr/lib/xen-4.17/bin/xl <<'END'
#!/bin/sh
state=/var/lib/stub-guests
case "$*" in
  "list -l") exec cat /xl-list.json ;;
  list) exec cat /xl-list.txt ;;
esac
for last; do :; done
case "$1" in
  domid) [ -e "$state/$last" ] && echo 1 ;;
  shutdown) rm -f "$state/$last" ;;
  *) exit 1 ;;
esac
END
cat > /xl-list.txt <<'END'
Name                                        ID   Mem VCPUs	State	Time(s)
Domain-0                                     0  1024     2     r-----      44.9
web                                          1   128     1     -b----       2.1
END
echo '[{"domid": 0, "config": {"c_info": {"name": "Domain-0"}}}, {"domid": 1, "config": {"c_info": {"type": "pv", "name": "web"}, "b_info": {"max_memkb": 131072}}}]' > /xl-list.json
cp /boot/vmlinuz-* /srv/vmlinuz
printf "name = 'web'\ntype = 'pv'\nmemory = 128\nkernel = '/srv/vmlinuz'\n" > /etc/xen/web.cfg
touch /var/lib/stub-guests/web
"#;

/// Without a terminal, a locale or this machine's variables.
const SURROUNDINGS: [&str; 4] =
    ["-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive"];
const LIMIT: Duration = Duration::from_secs(3600);
/// The tmpfs that every Debian has: dpkg syncs each file, and a killed process loses no write that it has made.
const MEMORY: &str = "/dev/shm";
/// Hosts, and how many rounds are struck on each.
const HOSTS: [(Host, u64); 2] = [(Host::WithMetapackage, 4), (Host::WithoutMetapackage, 1)];
/// How often a round is struck at most.
const STRIKES: u64 = 2;

/// Plays it; returns whether each round came to its end.
///
/// # Errors
/// No mirror, a tree in which nothing can be run, or a plan that fails when nobody disturbs it.
pub fn run() -> crate::Outcome {
    if !files::is_root() {
        println!("skipped: chroot(2) needs root");
        return Ok(true);
    }
    crate::package::debug_program()?;
    let folder = project().join("target/upgrade");
    files::create_dir_all(&folder)?;
    let base = folder.join(format!("apply-debian-{RECIPE}"));
    let spec = PlainTree { suite: Suite::Bookworm, packages: PACKAGES, script: PREPARE };
    plain_tree::make(&spec, &base, &mut |line| println!("{line}"))?;
    let mut wrong = Vec::new();
    for (host, rounds) in HOSTS {
        let place = WorkDir::new_in(Path::new(MEMORY), "xenup-upgrade-")?;
        let drill = Drill::prepare(&base, place.path(), host)?;
        for round in 0..rounds {
            wrong.extend(drill.round(round)?);
        }
    }
    Ok(wrong.is_empty())
}

/// What brings a host its next Xen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    /// xen-system-amd64.
    WithMetapackage,
    /// Nothing that is installed: toolstack and hypervisor were installed by name.
    WithoutMetapackage,
}

/// Takes the metapackage away, and leaves what it had brought.
const NO_METAPACKAGE: &str =
    "apt-mark manual xen-utils-4.17 xen-hypervisor-4.17-amd64 && dpkg --purge xen-system-amd64";

/// What a machine is, as far as two rounds have to agree.
#[derive(Debug, PartialEq, Eq)]
struct End {
    packages: Vec<String>,
    menu: String,
    sources: String,
    /// What is left of files that dpkg was unpacking.
    torn: String,
}

struct Drill {
    /// The host before, with the plan in it and every archive fetched.
    host: PathBuf,
    rounds: PathBuf,
    program: PathBuf,
    took: Duration,
    before: End,
    end: End,
}

impl Drill {
    /// Makes the host and its plan, and carries it out undisturbed.
    fn prepare(base: &Path, rounds: &Path, kind: Host) -> Result<Self, Failure> {
        let program = project().join("target/debug/xenup");
        let host = rounds.join("host");
        // Its Drop is for whoever works in it; the host stays for the rounds.
        let made = std::mem::ManuallyDrop::new(Debian::connected(base, &host, &program)?);
        if kind == Host::WithoutMetapackage {
            made.run(&["sh", "-c", NO_METAPACKAGE])?;
        }
        settle(&host)?;
        plan(&host)?;
        let before = end(&made)?;
        let debian = Debian::connected(&host, &rounds.join("undisturbed"), &program)?;
        let watch = Stopwatch::start();
        let (code, said) = debian.attempt(&["xenup", "apply", "--yes", "/plan.json"])?;
        let took = watch.elapsed();
        if code != 0 {
            return Err(format!("nobody disturbed it, and it ended with {code}:\n{said}").into());
        }
        let end = end(&debian)?;
        println!(
            "{kind:?}, undisturbed: {} packages before, {} after, {:.0} s",
            before.packages.len(),
            end.packages.len(),
            took.as_secs_f64()
        );
        // No round waits for a mirror longer than it has to.
        let archives = "var/cache/apt/archives";
        files::remove_dir_all(&host.join(archives))?;
        Tool::new("cp")
            .arg("--archive")
            .arg(debian.root().join(archives))
            .arg(host.join(archives))
            .timeout(LIMIT)
            .run()?;
        let wrong = checked(&debian, &end)?;
        if !wrong.is_empty() {
            return Err(wrong.join("\n").into());
        }
        Ok(Self { host, rounds: rounds.to_owned(), program, took, before, end })
    }

    fn round(&self, round: u64) -> Result<Vec<String>, Failure> {
        let debian = Debian::connected(&self.host, &self.rounds.join(round.to_string()), &self.program)?;
        let mut chance = Chance::new(round.wrapping_mul(0x9E37_79B9));
        let mut wrong = Vec::new();
        let mut story = Vec::new();
        let mut command: &[&str] = &["xenup", "apply", "--yes", "/plan.json"];
        for _ in 0..STRIKES {
            let millis = usize::try_from(self.took.as_millis()).unwrap_or(usize::MAX);
            let moment = Duration::from_millis(u64::try_from(chance.below(millis)).unwrap_or_default());
            if !debian.kill_after(command, moment)? {
                // It came to its end before.
                command = &["xenup", "status"];
                break;
            }
            command = &["xenup", "upgrade", "apply", "--yes"];
            let (_, status) = debian.attempt(&["xenup", "status"])?;
            let past = status.contains("it goes forward, since apt has no way back");
            let headline = status.lines().next().unwrap_or_default().to_owned();
            story.push(format!("killed after {:.1} s ({headline})", moment.as_secs_f64()));
            if !past {
                let (code, said) = debian.attempt(&["xenup", "rollback", "--yes"])?;
                let now = end(&debian)?;
                if code != 0 || now != self.before {
                    wrong.push(format!(
                        "round {round}: rollback ended with {code}: {said}\n{}",
                        differs(&self.before, &now)
                    ));
                }
                story.push("rolled back".to_owned());
                command = &["xenup", "apply", "--yes", "/plan.json"];
                continue;
            }
            if !status.contains("next: xenup upgrade apply") {
                wrong.push(format!("round {round}: status does not say what to type: {status}"));
            }
            let (code, said) = debian.attempt(&["xenup", "rollback", "--yes"])?;
            if code != 4 || !said.contains("no way back") {
                wrong.push(format!("round {round}: rollback is not refused, but ended with {code}: {said}"));
            }
        }
        let (code, said) = debian.attempt(command)?;
        if code != 0 || (command.contains(&"status") && !said.starts_with("Done")) {
            wrong.push(format!("round {round}: it did not come to its end, but to {code}: {said}"));
        }
        let now = end(&debian)?;
        if now != self.end {
            wrong.push(format!("round {round}: {}", differs(&self.end, &now)));
        }
        wrong.extend(checked(&debian, &now)?);
        println!(
            "round {round}: {}, then led to its end: {}",
            story.join(", "),
            if wrong.is_empty() { "the same" } else { "NOT THE SAME" }
        );
        wrong.iter().for_each(|words| println!("  {words}"));
        Ok(wrong)
    }
}

/// Writes GRUB's drop-ins as a confirmed run of xenup leaves them, and what a kernel under Xen says of itself.
fn settle(host: &Path) -> Result<(), Failure> {
    let text = |path: &str, text: &str| -> Result<(), Failure> {
        let path = host.join(path);
        files::create_dir_all(path.parent().unwrap_or(host))?;
        Ok(files::write(&path, text.as_bytes())?)
    };
    for name in ["etc/resolv.conf", "etc/hosts"] {
        files::write(&host.join(name), &files::read(&Path::new("/").join(name))?)?;
    }
    // The bootstrap leaves it empty, for a machine that is to boot from it.
    text("etc/machine-id", "0123456789abcdef0123456789abcdef\n")?;
    let running = files::list(&host.join("boot"))?
        .into_iter()
        .find_map(|path| path.file_name()?.to_str()?.strip_prefix("vmlinuz-").map(str::to_owned));
    text("proc/sys/kernel/osrelease", &format!("{}\n", running.ok_or("no kernel")?))?;
    text("sys/hypervisor/type", "xen\n")?;
    text("sys/hypervisor/version/major", "4\n")?;
    text("sys/hypervisor/version/minor", "17\n")?;
    text("sys/hypervisor/version/extra", ".7\n")?;
    text("proc/xen/capabilities", "control_d\n")?;
    let wish = files::read(&host.join("etc/xenup/host.toml"))?;
    let wish = Wish::parse(Path::new("host.toml"), &wish)?;
    let facts = gather(&System::tree(host)?, &Surroundings::default());
    let entries = boot::entries(&facts.boot).map_err(|finding| finding.what)?;
    text("etc/default/grub.d/00-xenup.cfg", &boot::first_text())?;
    text("etc/default/grub.d/zz-xenup.cfg", &boot::last_text(&wish, &facts, &entries, &Pinned::Xen))?;
    text("boot/grub/custom.cfg", &boot::custom_text(None, &facts.boot, &entries).unwrap_or_default())?;
    inside(host, &["update-grub"])?;
    Ok(())
}

/// A command in the tree as it lies there, its /proc and /sys being files.
fn inside(host: &Path, command: &[&str]) -> Result<String, Failure> {
    let tool =
        Tool::new("chroot").arg(host).arg("/usr/bin/env").args(SURROUNDINGS).args(command).timeout(LIMIT);
    let output = tool.output()?;
    if output.status.success() {
        return Ok(output.text() + &output.stderr_text());
    }
    Err(format!("{command:?} ended with {:?}: {}{}", output.status, output.text(), output.stderr_text())
        .into())
}

/// Has the verb itself make the plan, and leaves of it what a tree can have.
fn plan(host: &Path) -> Result<(), Failure> {
    println!(
        "{}",
        inside(host, &["xenup", "upgrade", "apply", "--to", "trixie", "--out", "/plan.json"])?.trim_end()
    );
    let path = host.join("plan.json");
    let mut plan: Value = serde_json::from_slice(&files::read(&path)?)?;
    let stages = plan["stages"].as_array_mut().ok_or("a plan has stages")?;
    let names: Vec<String> =
        stages.iter().filter_map(|stage| stage["id"].as_str().map(str::to_owned)).collect();
    if names != ["prepare", "upgrade", "boot-trial", "boot-default", "guests-up", "release"] {
        return Err(format!("its stages are {names:?}").into());
    }
    stages.truncate(2);
    files::write(&path, &serde_json::to_vec_pretty(&plan)?)?;
    Ok(())
}

fn end(debian: &Debian) -> Result<End, Failure> {
    let packages = debian.packages()?;
    let torn =
        debian.run(&["find", "/usr", "/etc", "/boot", "/lib", "/var/lib", "-xdev", "-name", "*.dpkg-new"])?;
    let sources = debian.run(&[
        "sh",
        "-c",
        "cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true",
    ])?;
    let menu = files::read_text(&debian.root().join("boot/grub/grub.cfg"))?;
    Ok(End { packages, menu, sources, torn })
}

/// What has to be there at the end, whatever happened on the way.
fn checked(debian: &Debian, end: &End) -> Result<Vec<String>, Failure> {
    let root = debian.root();
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("it was to hold that {what}"));
        }
    };
    must(end.torn.is_empty(), "no file of an unpacking is left");
    must(end.sources.contains("trixie") && !end.sources.contains("bookworm"), "the sources name trixie");
    must(end.menu.contains("/xen-4.20-amd64.gz"), "the menu has Xen 4.20");
    must(end.menu.contains("set default=\"gnulinux-advanced-"), "the default is plain Linux, by its kernel");
    must(files::exists(&root.join("var/lib/xenup/stash/xen-4.17/bin/xl")), "the old toolstack is kept");
    must(!files::exists(&root.join("usr/lib/xen-4.17/bin/xl")), "apt has taken it away");
    must(files::exists(&root.join("usr/lib/xen-4.20/bin/xl")), "the new one is there");
    must(!files::exists(&root.join("var/lib/stub-guests/web")), "the guest was shut down");
    must(debian.run(&["dpkg", "--audit"])?.trim().is_empty(), "dpkg has nothing half done");
    Ok(wrong)
}

fn differs(one: &End, two: &End) -> String {
    let lines = |gone: &End, from: &End| -> Vec<String> {
        from.packages.iter().filter(|line| !gone.packages.contains(line)).cloned().collect()
    };
    format!(
        "packages gone {:?}, come {:?}; menu the same: {}; sources the same: {}; torn {:?}",
        lines(two, one),
        lines(one, two),
        one.menu == two.menu,
        one.sources == two.sources,
        two.torn
    )
}
