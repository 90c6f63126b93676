//! The packages on a plain Debian with systemd, in a container: installed, upgraded, removed and purged. Needs root and
//! packages: the check `packages` builds them and says where they are; skipped elsewhere.
//!
//! Decides: what an installation may not change (files, what boots, the network, what runs), and what of it stays when.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "the test drives a container"
)]

#[allow(dead_code, reason = "another test uses the rest of it")]
mod container;

use std::path::{Path, PathBuf};

use container::{Container, Suite, missing};

/// A server that has GRUB, and nothing of Xen.
const PACKAGES: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "dbus",
    "udev",
    "ifupdown",
    "iproute2",
    "openssh-server",
    "procps",
    "util-linux",
    "nftables",
    "grub2-common",
];

/// Makes of each package the one before it: a lower version, and another /etc/default/xenup-tls.
const BEFORE: &str = r#"mkdir /srv/before
for deb in /srv/now/*.deb; do
    dpkg-deb --raw-extract "$deb" /srv/raw
    sed -i 's/^Version: .*/&~before/' /srv/raw/DEBIAN/control
    [ ! -e /srv/raw/etc/default/xenup-tls ] || echo '# the version before' >>/srv/raw/etc/default/xenup-tls
    dpkg-deb --root-owner-group -Zgzip --build /srv/raw /srv/before >/dev/null
    rm -r /srv/raw
done"#;

/// Everything that may not change: files and links with owner, mode and content; what boots; links, addresses, routes,
/// rules and settings of the kernel's network; what runs since when, what is listened on, what starts at boot. On a busy
/// machine the service manager may take longer than systemctl's own patience.
const PICTURE: &str = r#"export SYSTEMD_BUS_TIMEOUT=600
find /etc /boot /root /home -xdev -printf '%y %m %U:%G %p -> %l\n' | LC_ALL=C sort
find /etc /boot /root /home -xdev -type f -exec sha256sum {} + | LC_ALL=C sort -k 2
while ip address | grep -q tentative; do sleep 0.2; done
ip -details link; ip address; ip rule; ip -6 rule; nft list ruleset
ip route show table all; ip -6 route show table all
sysctl --all --ignore --pattern '^net\.ipv[46]\.' 2>/dev/null
running=$(systemctl list-units --type=service --state=running --plain --no-legend | cut -d ' ' -f 1 |
    grep -vE '^systemd-(hostnamed|localed|timedated).service$')
systemctl show --property=Id,MainPID,NRestarts,ExecMainStartTimestampMonotonic $running
systemctl list-units --type=socket,timer,path,mount --plain --no-legend | cut -c 1-60
systemctl list-unit-files --state=enabled --no-legend
[ -z "$(systemctl list-units --failed --no-legend)" ] || systemctl list-units --failed
"#;

/// What the administrator has made and changed.
const ADMINISTRATOR: &str = r#"mkdir -p /etc/xen /etc/xenup /var/lib/xenup/runs/one /var/lib/xenup/kernels/6.1-mine
echo "name = 'web'" >/etc/xen/web.cfg
echo '# wanted' >/etc/xenup/host.toml
echo mine >/etc/xenup/mine
echo kernel >/var/lib/xenup/kernels/6.1-mine/vmlinuz
systemctl --quiet enable xenup-boot.service
echo 'TLS=leave' >/etc/default/xenup-tls"#;

const INSTALL: &str = "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-confold install";

/// The packages of the check.
fn packages() -> Option<PathBuf> {
    std::env::var_os("XENUP_PACKAGES").map(PathBuf::from)
}

/// Puts the packages, and what a machine with GRUB has, into the tree.
fn furnish(dir: &Path, packages: &Path) {
    // The program comes with its package.
    std::fs::remove_file(dir.join("usr/sbin/xenup")).unwrap();
    std::fs::create_dir_all(dir.join("srv/now")).unwrap();
    let mut brought = 0;
    for path in std::fs::read_dir(packages).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|end| end == "deb") {
            std::fs::copy(&path, dir.join("srv/now").join(path.file_name().unwrap())).unwrap();
            brought += 1;
        }
    }
    assert!(brought > 0, "no package in {}", packages.display());
    std::fs::create_dir_all(dir.join("boot/grub")).unwrap();
    for name in ["vmlinuz-6.1.0-1-amd64", "initrd.img-6.1.0-1-amd64", "grub/grub.cfg", "grub/grubenv"] {
        std::fs::write(dir.join("boot").join(name), name).unwrap();
    }
    for name in ["apt-daily.timer", "apt-daily-upgrade.timer"] {
        std::os::unix::fs::symlink("/dev/null", dir.join("etc/systemd/system").join(name)).unwrap();
    }
}

/// A machine with the packages and those before them, and nothing installed of either.
struct Machine {
    container: Container,
    /// What it is like without them, and without anything of the administrator's.
    plain: Vec<String>,
}

impl Machine {
    fn boot(suite: Suite, packages: &Path) -> Self {
        let name = format!("packages-{}", suite.name());
        let container = Container::boot_of(&name, suite, PACKAGES, |dir| furnish(dir, packages));
        let machine = Self { container, plain: Vec::new() };
        machine.sh(BEFORE);
        Self { plain: machine.picture(), ..machine }
    }

    fn sh(&self, script: &str) -> String {
        self.container.run(&["sh", "-euc", script])
    }

    /// The machine without the paths and units that bear our name.
    fn picture(&self) -> Vec<String> {
        let said = self.sh(PICTURE);
        said.lines()
            .filter(|line| !line.contains("xenup") && !line.contains("/etc/xen"))
            .map(str::to_owned)
            .collect()
    }

    fn is_as_before(&self, after: &str) {
        let now = self.picture();
        let gone = self.plain.iter().filter(|line| !now.contains(line)).map(|line| format!("- {line}"));
        let come = now.iter().filter(|line| !self.plain.contains(line)).map(|line| format!("+ {line}"));
        let differing: Vec<String> = gone.chain(come).collect();
        assert!(differing.is_empty(), "{after}:\n{}", differing.join("\n"));
        println!("{after}: {} lines of files, network, services and boot are as before", now.len());
    }

    /// What bears our name outside of caches, logs and dpkg's records.
    fn ours(&self) -> Vec<String> {
        let find = "find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /srv -o -path /var/log -o -path \
                    /var/cache -o -path /var/lib/dpkg -o -path /tmp \\) -prune -o -path '*xenup*' -print";
        self.sh(&format!("{find} | LC_ALL=C sort")).lines().map(str::to_owned).collect()
    }

    /// Paths of ours in /etc and /boot that no package has; enabling a unit or an init script makes links.
    fn unowned(&self) -> Vec<String> {
        let script = "dpkg-query --listfiles xenup xenup-tls >/tmp/owned
            find /etc /boot -path '*xenup*' | grep -vxFf /tmp/owned || true";
        self.sh(script).lines().map(str::to_owned).collect()
    }

    fn install(&self, which: &str) {
        self.sh(&format!("{INSTALL} /srv/{which}/*.deb"));
    }

    fn state(&self, unit: &str) -> String {
        let output = self.container.output(&["systemctl", "is-enabled", unit]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// Leaves an emergency shell: in a container whose command line says nothing of a trial, without that condition.
const LEAVE: &str = "unit=$(systemctl show --property=FragmentPath --value xenup-boot-failed.service)
sed '/^Condition/d' $unit >/run/systemd/system/leave.service
systemctl daemon-reload
systemctl start --no-block leave.service";

fn play(suite: Suite) {
    let packages = match (missing(), packages()) {
        (None, Some(packages)) => packages,
        (why, _) => {
            println!("skipped: {}", why.unwrap_or_else(|| "XENUP_PACKAGES is not set".to_owned()));
            return;
        }
    };
    let mut machine = Machine::boot(suite, &packages);
    installed(&machine);
    upgraded(&machine);
    removed(&machine);
    machine.install("now");
    machine.sh(LEAVE);
    machine.container.boot_again();
    println!("a trial boot in an emergency shell is left by its unit");
}

fn installed(machine: &Machine) {
    machine.install("before");
    machine.is_as_before("installed");
    for unit in ["xenup-boot", "xenup-boot-trial", "xenup-boot-failed", "xenup-boot-known"] {
        assert_eq!(machine.state(&format!("{unit}.service")), "disabled");
    }
    let link = |path: &String| {
        path.ends_with("xenup-tls") && path.contains("/rc") || path.ends_with(".wants/xenup-tls.service")
    };
    let unowned = machine.unowned();
    assert!(unowned.iter().all(link), "{unowned:?}");
    assert!(
        machine.container.output(&["systemctl", "is-active", "xenup-tls.service"]).stdout == b"inactive\n"
    );
}

/// Configuration files that somebody changed are kept, the others are the new ones.
fn upgraded(machine: &Machine) {
    machine.sh(ADMINISTRATOR);
    machine.install("now");
    let version = machine.sh("dpkg-query -W -f '${Version} ' xenup xenup-tls xenup-doc xenup-kernel-configs");
    assert!(!version.contains("before"), "{version}");
    assert!(machine.sh("xenup --version").starts_with("xenup "));
    assert_eq!(machine.container.read("/etc/default/xenup-tls"), "TLS=leave\n");
    assert_eq!(machine.state("xenup-boot.service"), "enabled");
    machine.sh("systemctl --quiet disable xenup-boot.service");
    machine.is_as_before("upgraded");
    machine.sh("apt-get -q -y purge xenup-tls");
    machine.sh(&format!("{INSTALL} /srv/before/xenup-tls_*.deb"));
    machine.install("now");
    assert!(!machine.container.read("/etc/default/xenup-tls").contains("the version before"));
    machine.is_as_before("upgraded, with nothing changed by hand");
}

/// What was configured stays until a purge; what is the administrator's stays then too.
fn removed(machine: &Machine) {
    machine.sh("apt-get -q -y remove xenup xenup-tls xenup-doc xenup-kernel-configs");
    for path in ["/etc/xenup/host.toml", "/etc/default/xenup-tls", "/var/lib/xenup/runs/one"] {
        assert!(machine.container.path(path).exists(), "{path}");
    }
    machine.is_as_before("removed");
    machine.install("now");
    machine.sh("systemctl --quiet enable xenup-boot.service; apt-get -q -y purge xenup xenup-tls xenup-doc xenup-kernel-configs");
    machine.is_as_before("purged");
    let theirs = ["/etc/xenup", "/etc/xenup/mine", "/var/lib/xenup", "/var/lib/xenup/kernels"];
    let kernel = ["/var/lib/xenup/kernels/6.1-mine", "/var/lib/xenup/kernels/6.1-mine/vmlinuz"];
    assert_eq!(machine.ours(), [&theirs[..], &kernel[..]].concat());
    assert!(machine.container.read("/etc/xen/web.cfg").contains("web"));
}

#[test]
fn bookworm_is_as_before_when_the_packages_come_and_go() {
    play(Suite::Bookworm);
}

#[test]
fn trixie_is_as_before_when_the_packages_come_and_go() {
    play(Suite::Trixie);
}
