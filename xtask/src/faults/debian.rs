//! A small real Debian in a directory, and xenup at work in it, in a process and a network namespace of its own.
//!
//! Decides: what the tree holds before anything is done, and how all that works in it is ended in one moment.
//! Never: touches this machine's own files, packages or links.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_image::Suite;
use xenup_image::plain_tree::{self, PlainTree};
use xenup_system::files;
use xenup_system::process::{Status, Tool};

type Failure = Box<dyn std::error::Error>;

/// What the tree has beyond a minimal Debian: units to enable, GRUB's environment block, links to change.
const PACKAGES: &[&str] = &["systemd", "grub-common", "iproute2"];

/// The packages that the plan installs: with conffiles, timers and a dependency; one whose conffiles were left by an
/// earlier installation; one that is nothing but files. None of them makes a user or group: Debian keeps those.
pub const WANTED: &[&str] = &["anacron", "logrotate", "bridge-utils", "ed"];

/// Counts up with every change of [`PREPARE`] or [`PACKAGES`], so that an older tree is not taken.
const RECIPE: u32 = 1;

/// What is done to the tree once, in it. What apt will need is fetched, so that no round waits for a mirror.
const PREPARE: &str = r#"export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -y --no-install-recommends install bridge-utils
apt-get -qq -y remove bridge-utils
apt-get -qq -y --no-install-recommends --download-only install anacron logrotate bridge-utils ed
echo 0123456789abcdef0123456789abcdef > /etc/machine-id
mkdir -p /boot/grub
grub-editenv /boot/grub/grubenv create
mkdir -p /etc/drill
printf 'one\ntwo\nthree\n' > /etc/drill/edited.conf
printf 'old\n' > /etc/drill/changed.conf
printf 'goes\n' > /etc/drill/removed.conf
ln -sf /etc/hosts /etc/drill/link
chown daemon:mail /etc/drill/changed.conf
chmod 4750 /etc/drill/changed.conf
touch -d '2001-02-03 04:05:06.789' /etc/drill/changed.conf /etc/drill/removed.conf
"#;

/// Mounts what programs in the tree need and runs a command in it. The shell, as first process of the namespace, stays
/// outside: systemctl(1) tells by it that it is in a chroot.
const INSIDE: &str = r#"set -eu
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/run"
mount --rbind /dev "$1/dev"
root=$1
shift
code=0
chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb "$@" || code=$?
exit "$code"
"#;

/// How long a command in the tree may take.
const LIMIT: Duration = Duration::from_secs(900);

/// Returns the tree that each round starts from; made once.
///
/// # Errors
/// No root, no mirror, or packages that cannot be had.
pub fn base(folder: &Path, line: &mut dyn FnMut(&str)) -> Result<PathBuf, Failure> {
    let base = folder.join(format!("debian-{RECIPE}"));
    let spec = PlainTree { suite: Suite::Bookworm, packages: PACKAGES, script: PREPARE };
    plain_tree::make(&spec, &base, line)?;
    let noted = base.join("etc/drill/changed.conf");
    Tool::new("setfattr").args(["-n", "trusted.note", "-v", "kept"]).arg(noted).run()?;
    Ok(base)
}

/// A copy of the tree, with xenup in it and links of its own. It goes when dropped.
pub struct Debian {
    root: PathBuf,
    /// The name of the network namespace, which outlives what is killed in it; `None` where the network is this machine's.
    network: Option<String>,
}

impl Debian {
    /// Copies the tree to `root` and brings the program in; `name` is that of its network namespace.
    ///
    /// # Errors
    /// The copy, or a namespace that cannot be made.
    pub fn copy(base: &Path, root: &Path, program: &Path, name: &str) -> Result<Self, Failure> {
        let mut debian = Self::connected(base, root, program)?;
        debian.network = Some(name.to_owned());
        Tool::new("ip").args(["netns", "add", name]).run()?;
        // Addresses of their own making would differ from round to round.
        let cable =
            "link add nic0 address 52:54:00:aa:bb:01 type veth peer name far0 address 52:54:00:aa:bb:02";
        for words in ["link set lo up", cable, "link set nic0 up"] {
            debian.run(&[&["ip"][..], &words.split(' ').collect::<Vec<_>>()].concat())?;
        }
        Ok(debian)
    }

    /// Copies the tree to `root` and brings the program in; it has this machine's network, and finds mirrors by it.
    ///
    /// # Errors
    /// The copy.
    pub fn connected(base: &Path, root: &Path, program: &Path) -> Result<Self, Failure> {
        files::remove_dir_all(root)?;
        Tool::new("cp").args(["--archive", "--reflink=auto"]).arg(base).arg(root).timeout(LIMIT).run()?;
        files::copy_sparse(program, &root.join("usr/sbin/xenup"))?;
        Ok(Self { root: root.to_owned(), network: None })
    }

    /// Where the tree lies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn tool(&self, command: &[&str]) -> Tool {
        let alone = ["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", INSIDE, "drill"];
        let tool = match &self.network {
            Some(name) => Tool::new("nsenter").arg(format!("--net=/run/netns/{name}")).arg("unshare"),
            None => Tool::new("unshare"),
        };
        tool.args(alone).arg(&self.root).args(command).timeout(LIMIT)
    }

    /// Runs a command in the tree that must succeed; returns what it printed.
    ///
    /// # Errors
    /// It fails.
    pub fn run(&self, command: &[&str]) -> Result<String, Failure> {
        Ok(self.tool(command).run()?.text())
    }

    /// Runs a command in the tree; returns its exit code and all it said.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn attempt(&self, command: &[&str]) -> Result<(i32, String), Failure> {
        let output = self.tool(command).output()?;
        let code = match output.status {
            Status::Code(code) => code,
            Status::Signal(signal) => 128 + signal,
        };
        Ok((code, output.text() + &output.stderr_text()))
    }

    /// Runs a command in the tree, and after `time` kills it and every process that it has started, in one moment:
    /// SIGKILL to the first process of their namespace. Returns whether they were still at work.
    ///
    /// # Errors
    /// It cannot be started, or its first process cannot be found.
    pub fn kill_after(&self, command: &[&str], time: Duration) -> Result<bool, Failure> {
        let mut running = self.tool(command).spawn(None)?;
        if running.wait(time)?.is_some() {
            return Ok(false);
        }
        // nsenter(1) becomes unshare(1), whose only child is the first process of the namespace. It is reaped only when
        // every other process of the namespace has ended, so that none of them works on beside what comes next.
        let children = format!("/proc/{0}/task/{0}/children", running.id());
        let first = files::read_text(Path::new(&children))?.trim().to_owned();
        if first.is_empty() || !Tool::new("kill").args(["-KILL", &first]).output()?.status.success() {
            running.wait(LIMIT)?;
            return Ok(false);
        }
        // unshare(1) ends with another status than its child's where a signal ended that.
        Ok(running.wait(LIMIT)?.is_some_and(|status| !status.success()))
    }

    /// Returns the packages as dpkg and apt know them, a line each, and the links as the kernel does.
    ///
    /// # Errors
    /// A question that fails.
    pub fn state(&self) -> Result<(Vec<String>, String), Failure> {
        let packages = self.packages()?;
        let links = self.run(&["ip", "-o", "-d", "link"])?;
        let addresses = self.run(&["ip", "-o", "address"])?;
        let routes = self.run(&["ip", "route", "show", "table", "all"])?;
        Ok((packages, format!("{links}{addresses}{routes}")))
    }

    /// Returns the packages as dpkg and apt know them, a line each.
    ///
    /// # Errors
    /// A question that fails.
    pub fn packages(&self) -> Result<Vec<String>, Failure> {
        let format = "-f=${binary:Package} ${Version} ${db:Status-Want} ${db:Status-Status}\n";
        let mut packages: Vec<String> =
            self.run(&["dpkg-query", "-W", format])?.lines().map(str::to_owned).collect();
        packages.extend(self.run(&["apt-mark", "showauto"])?.lines().map(|name| format!("{name} automatic")));
        Ok(packages)
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        // What is left of either is named by its path; there is nobody to be told more.
        if let Some(name) = &self.network {
            let _ = Tool::new("ip").args(["netns", "delete", name]).output();
        }
        let _ = files::remove_dir_all(&self.root);
    }
}
