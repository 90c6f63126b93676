//! A Debian with systemd as its first process, in a container within a network namespace of its own.
//!
//! Every process is ended by the id it was started with. Readiness is heard by sd_notify(3), never guessed by time.

pub mod owners;
pub mod roles;

use std::net::Shutdown;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

pub mod cable;

pub use xenup_image::Suite;
use xenup_image::plain_tree::{self, PlainTree};

/// What the container needs beyond a minimal Debian.
const PACKAGES: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "dbus",
    "ifupdown",
    "iproute2",
    "openssh-server",
    "procps",
    "util-linux",
    "dnsmasq-base",
    "iputils-ping",
    "bridge-utils",
    "nftables",
    "udhcpc",
    "udev",
    "netplan.io",
];

/// Our address outside, and the machine's.
pub const OUTSIDE: &str = "10.213.0.1";
pub const INSIDE: &str = "10.213.0.2";

/// Longer than any wait of a test on a busy machine.
const LIMIT: [&str; 3] = ["timeout", "--kill-after=5", "600"];

/// Our addresses outside on the cables of further NICs, which are host1 and host2 in the machine.
const FURTHER: [(&str, &str); 2] = [("ve-one:host1", "10.214.0.1/24"), ("ve-two:host2", "10.215.0.1/24")];

/// Our IPv6 address outside, where addresses are lent: a router that advertises its network.
const ROUTER: &str = "fd00:213::1/64";

/// The cables of a machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wires {
    /// How many NICs of [`FURTHER`] it has.
    pub further: usize,
    /// Whether addresses are lent and a router advertises on the first one, from before the machine asks.
    pub lends: bool,
}

pub struct Container {
    dir: PathBuf,
    wires: Wires,
    server: Option<cable::Server>,
    child: Child,
    leader: u32,
    notify: UnixDatagram,
    said: Receiver<String>,
}

/// Returns why no container can be had here, where that is so.
pub fn missing() -> Option<String> {
    // Containers that boot beside a compiler would be judged by its load: the check `guard` runs them alone.
    if std::env::var_os("XENUP_CONTAINERS").is_none() {
        return Some("XENUP_CONTAINERS is not set".to_owned());
    }
    let id = Command::new("id").arg("-u").output().ok()?;
    if id.stdout != b"0\n" {
        return Some("not root".to_owned());
    }
    let tools = ["systemd-nspawn", "mmdebstrap", "nsenter", "unshare", "ssh", "ssh-keygen"];
    let absent = |tool: &&&str| {
        !Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap().status.success()
    };
    tools.iter().find(absent).map(|tool| format!("{tool} is not installed"))
}

/// Says why no container can be had here, where that is so.
pub fn skipped() -> bool {
    let why = missing();
    if let Some(why) = &why {
        println!("skipped: {why}");
    }
    why.is_some()
}

/// The tree every container is copied from.
fn base() -> PathBuf {
    if let Some(given) = std::env::var_os("XENUP_GUARD_ROOT") {
        return given.into();
    }
    tree("container-root", Suite::Bookworm, PACKAGES)
}

/// The tree of a Debian whose network is NetworkManager's.
fn managed(suite: Suite) -> PathBuf {
    let packages = [PACKAGES, &["network-manager"]].concat();
    tree(&format!("container-root-{}-nm", suite.name()), suite, &packages)
}

/// The tree of a Debian with the DHCP client that its ifupdown recommends.
fn with_client(suite: Suite) -> PathBuf {
    let client = match suite {
        Suite::Bookworm => "isc-dhcp-client",
        Suite::Trixie | Suite::Sid => "dhcpcd-base",
    };
    // ifupdown would take guests' own client before dhcpcd.
    let others = PACKAGES.iter().copied().filter(|package| *package != "udhcpc");
    let packages: Vec<&str> = others.chain([client]).collect();
    tree(&format!("container-root-{}-dhcp", suite.name()), suite, &packages)
}

/// A tree, made once, and anew where it was made of other packages.
fn tree(name: &str, suite: Suite, packages: &[&str]) -> PathBuf {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (list, wanted) = (base.with_extension("packages"), packages.join(" "));
    if std::fs::read_to_string(&list).is_ok_and(|made| made != wanted) || !list.exists() {
        run(Command::new("rm").arg("-rf").arg(&base));
    }
    let spec = PlainTree { suite, packages, script: "" };
    plain_tree::make(&spec, &base, &mut |line| eprintln!("{line}")).unwrap();
    std::fs::write(&list, wanted).unwrap();
    base
}

impl Container {
    /// Boots a fresh copy, whose network is ifupdown's.
    pub fn boot(name: &str) -> Self {
        Self::boot_with(name, |_| ())
    }

    /// Boots a fresh copy after `change` had its tree.
    pub fn boot_with(name: &str, change: impl FnOnce(&Path)) -> Self {
        Self::boot_copy(&base(), name, Wires::default(), change)
    }

    /// Boots a fresh copy of a Debian with NetworkManager after `change` had its tree.
    pub fn boot_managed(name: &str, suite: Suite, change: impl FnOnce(&Path)) -> Self {
        Self::boot_copy(&managed(suite), name, Wires::default(), change)
    }

    /// Boots a fresh copy of a Debian with these packages after `change` had its tree.
    pub fn boot_of(name: &str, suite: Suite, packages: &[&str], change: impl FnOnce(&Path)) -> Self {
        let base = tree(&format!("container-root-{name}"), suite, packages);
        Self::boot_copy(&base, name, Wires::default(), change)
    }

    /// Boots a fresh copy with these cables: of a Debian with NetworkManager, or with ifupdown's DHCP client.
    pub fn boot_wired(
        name: &str,
        (suite, is_managed): (Suite, bool),
        wires: Wires,
        change: impl FnOnce(&Path),
    ) -> Self {
        let base = if is_managed { managed(suite) } else { with_client(suite) };
        Self::boot_copy(&base, name, wires, change)
    }

    fn boot_copy(base: &Path, name: &str, wires: Wires, change: impl FnOnce(&Path)) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("guard-{name}-{}", std::process::id()));
        run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(base).arg(&dir));
        furnish(&dir);
        change(&dir);
        let notify = UnixDatagram::bind(dir.with_extension("notify")).unwrap();
        let child = spawn(&dir, wires.further);
        let said = heard(notify.try_clone().unwrap());
        let mut container = Self { dir, wires, server: None, child, leader: 0, notify, said };
        container.wait_until_ready();
        container
    }

    /// Reboots. systemd-nspawn ends with the boot where it keeps its caller's unit, and is started on the same tree.
    pub fn reboot(&mut self) {
        self.output(&["systemctl", "reboot"]);
        self.boot_again();
    }

    /// Takes the power away: every process ends at once, and it is booted again.
    pub fn power_cut(&mut self) {
        run(Command::new("kill").args(["-KILL", &self.leader.to_string()]));
        self.boot_again();
    }

    /// Waits until the machine goes down by itself, and boots it again.
    pub fn boot_again(&mut self) {
        self.child.wait().unwrap();
        self.leader = 0;
        // The cable's other end went with the machine.
        self.server = None;
        self.child = spawn(&self.dir, self.wires.further);
        self.wait_until_ready();
    }

    /// Waits for the end of a boot.
    fn wait_until_ready(&mut self) {
        loop {
            let text = self.said.recv_timeout(std::time::Duration::from_secs(600)).unwrap();
            for line in text.lines() {
                if let Some(pid) = line.strip_prefix("X_NSPAWN_LEADER_PID=") {
                    self.leader = pid.parse().unwrap();
                    self.outside(&[
                        "ip",
                        "address",
                        "replace",
                        &format!("{OUTSIDE}/24"),
                        "dev",
                        "ve-guarded",
                    ]);
                    self.outside(&["ip", "link", "set", "ve-guarded", "up"]);
                    for (pair, address) in FURTHER.iter().take(self.wires.further) {
                        let (link, _) = pair.split_once(':').unwrap();
                        self.outside(&["ip", "address", "replace", address, "dev", link]);
                        self.outside(&["ip", "link", "set", link, "up"]);
                    }
                    self.server = self.wires.lends.then(|| {
                        self.outside(&["ip", "address", "add", ROUTER, "dev", "ve-guarded", "nodad"]);
                        cable::Server::begin_router(self)
                    });
                }
                // A reload in the boot before has said so as well.
                if line == "READY=1" && self.leader != 0 {
                    return;
                }
            }
        }
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.dir.join(inside.trim_start_matches('/'))
    }

    pub fn read(&self, inside: &str) -> String {
        std::fs::read_to_string(self.path(inside)).unwrap()
    }

    /// A command in the container, in none of its sessions.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.leader.to_string()]);
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--wd=/", "--"]).args(args);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, which must come: a wait for what never happens is told, not waited out.
    pub fn output(&self, args: &[&str]) -> Output {
        self.command(&[&LIMIT[..], args].concat()).output().unwrap()
    }

    /// Runs a command that must succeed; returns what it printed.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert!(output.status.success(), "{args:?}: {output:?}\n{}", self.logs());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn outside(&self, args: &[&str]) -> Output {
        let mut command = self.outer_command(args[0]);
        command.args(&args[1..]).output().unwrap()
    }

    /// A program of the container's own tree, run in the network namespace around it.
    pub fn outer_program(&self, program: &str) -> Command {
        let mut command = self.outer_command("chroot");
        command.arg(&self.dir).arg(program);
        command
    }

    /// A command in the network namespace around the container.
    pub fn outer_command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.child.id().to_string(), "--net", "--", program]);
        command.stdin(Stdio::null());
        command
    }

    /// ssh(1) to the machine, from outside; `more` are options.
    pub fn ssh(&self, more: &[&str], words: &[&str]) -> Command {
        self.ssh_to(INSIDE, more, words)
    }

    /// ssh(1) to the machine at that address.
    pub fn ssh_to(&self, at: &str, more: &[&str], words: &[&str]) -> Command {
        let mut command = self.outer_command(LIMIT[0]);
        command.args(&LIMIT[1..]).arg("ssh");
        command.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o"]);
        command
            .args(["ServerAliveInterval=15", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-i"])
            .arg(key(&self.dir));
        command.args(more).arg(format!("root@{at}")).args(words);
        command
    }

    /// Waits for the end of a process of the container, by the id it has there.
    pub fn wait_for_end(&self, pid: u32) {
        self.run(&["tail", &format!("--pid={pid}"), "-f", "/dev/null"]);
    }

    /// The id a piece of work has in the container: the first word of its state file.
    pub fn pid_of(&self, prefix: &str) -> u32 {
        let text = self.run(&["sh", "-c", &format!("cat /run/xenup/{prefix}*.state")]);
        text.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Waits until the waiting guard has ended, which it may have on a busy machine, and nothing of a guard is there.
    pub fn guards_end(&self) {
        let over = "ends() { for state in /run/xenup/xenup-guard-*.state; do \
                    [ -e \"$state\" ] && tail --pid=\"$(cut -d' ' -f1 \"$state\")\" -f /dev/null; done; }; \
                    ends; until [ ! -e /var/lib/xenup/guard ]; do sleep 0.2; done; ends; :";
        self.run(&["sh", "-c", over]);
    }

    pub fn logs(&self) -> String {
        let text = self.output(&["sh", "-c", "tail -n 30 /var/lib/xenup/log/* /var/log/xenup/* 2>&1"]);
        String::from_utf8_lossy(&text.stdout).into_owned()
    }
}

/// What is said to the socket, until it is shut down. Every reload of the service manager says something, and
/// systemd-nspawn stands still, and the machine with it, once ten messages wait that nobody reads.
fn heard(notify: UnixDatagram) -> Receiver<String> {
    let (sender, said) = channel();
    std::thread::spawn(move || {
        let mut message = [0; 4096];
        while let Ok(length @ 1..) = notify.recv(&mut message) {
            if sender.send(String::from_utf8_lossy(&message[..length]).into_owned()).is_err() {
                break;
            }
        }
    });
    said
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        self.server = None;
        // The leader's end takes the whole container with it; both ids are our own child's and its child's.
        let _ = Command::new("kill").args(["-KILL", &self.leader.to_string()]).status();
        let _ = self.child.wait();
        let _ = self.notify.shutdown(Shutdown::Both);
        for left in ["notify", "console", "key", "key.pub"] {
            let _ = std::fs::remove_file(self.dir.with_extension(left));
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn spawn(dir: &Path, further: usize) -> Child {
    let console = std::fs::File::create(dir.with_extension("console")).unwrap();
    Command::new("unshare")
        .args(["--net", "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot"])
        .args(FURTHER.iter().take(further).map(|(pair, _)| format!("--network-veth-extra={pair}")))
        .args(["--notify-ready=yes", "--network-veth", "--machine=guarded", "--link-journal=no", "-D"])
        .arg(dir)
        .env("NOTIFY_SOCKET", dir.with_extension("notify"))
        .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
        .stdin(Stdio::null())
        .stdout(console.try_clone().unwrap())
        .stderr(console)
        .spawn()
        .unwrap()
}

/// A key for one container alone.
fn key(dir: &Path) -> PathBuf {
    dir.with_extension("key")
}

fn furnish(dir: &Path) {
    std::fs::copy(env!("CARGO_BIN_EXE_xenup"), dir.join("usr/sbin/xenup")).unwrap();
    let interfaces = format!(
        "auto lo\niface lo inet loopback\n\nauto host0\niface host0 inet static\n\taddress {INSIDE}/24\n\
         source /etc/network/interfaces.d/*\n"
    );
    std::fs::write(dir.join("etc/network/interfaces"), interfaces).unwrap();
    std::fs::create_dir_all(dir.join("root/.ssh")).unwrap();
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key(dir)));
    std::fs::copy(dir.with_extension("key.pub"), dir.join("root/.ssh/authorized_keys")).unwrap();
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}
