//! xen-tools' `xen-create-image`, in a tree of Debian 12 that has it, as a peer of `xenup guest create`.
//!
//! Decides: that both make a guest of the same packages: a role of ours installs what a base has beside what it installs
//! itself, and its hook takes Debian's cloud kernel. Never: changes this machine's own /etc, or leaves a mount.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_image::guest::BaseSpec;
use xenup_image::mirror::Mirror;
use xenup_image::plain_tree::{self, PlainTree};
use xenup_system::files;
use xenup_system::process::Tool;
use xenup_system::stopwatch::Stopwatch;

use crate::project;

type Failure = Box<dyn std::error::Error>;

const LIMIT: Duration = Duration::from_secs(1800);
/// The system that its tar cache is filled with, in the tree.
const BASE: &str = "/base.tar";
/// The hook that would take Debian's full kernel.
const KERNEL_HOOK: &str = "usr/share/xen-tools/debian.d/80-install-kernel";
const FULL: &str = "KERNEL_PKG=\"linux-image-$XEN_ARCH\"";
const CLOUD: &str = "KERNEL_PKG=\"linux-image-cloud-$XEN_ARCH\"";
/// The guest's disk, in the tree.
const DISK: &str = "work/domains/peer/disk.img";

/// In a mount namespace of its own, so that no mount of its hooks stays.
const INSIDE: &str = r#"tree=$1; shift
mount --rbind /dev "$tree/dev"
mount -t proc proc "$tree/proc"
mount -t sysfs sysfs "$tree/sys"
mount --bind /etc/resolv.conf "$tree/etc/resolv.conf"
exec chroot "$tree" "$@""#;

/// The tree with the peer.
pub(super) struct XenTools {
    tree: PathBuf,
    mirror: Mirror,
}

/// Where its system comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// debootstrap(8).
    Debootstrap,
    /// A tar that debootstrap's tree was packed into before.
    Tar,
}

impl XenTools {
    /// Makes the tree where there is none, and the tar.
    ///
    /// # Errors
    /// No root, no mirror, or an xen-tools whose hooks read otherwise than they did.
    pub fn ready(spec: &BaseSpec) -> Result<Self, Failure> {
        let tree = project().join("target/bench-xen-tools");
        let packages = &["xen-tools", "debootstrap", "debian-archive-keyring", "e2fsprogs"];
        let script = "mkdir -p /etc/xen /work; truncate -s 0 /etc/resolv.conf";
        plain_tree::make(&PlainTree { suite: spec.suite, packages, script }, &tree, &mut |_| {})?;
        let peer = Self { tree, mirror: Mirror::of_this_machine()? };
        peer.same_packages(spec)?;
        if !files::exists(&peer.tree.join(BASE.trim_start_matches('/'))) {
            let pack = "debootstrap \"$1\" /base \"$2\"; tar -C /base -cf \"$3.partial\" .; mv \"$3.partial\" \"$3\"; \
                        rm -rf --one-file-system /base";
            let archive = peer.mirror.archive.as_str();
            peer.inside().args(["sh", "-euc", pack, "sh", spec.suite.name(), archive, BASE]).run()?;
        }
        Ok(peer)
    }

    fn same_packages(&self, spec: &BaseSpec) -> Result<(), Failure> {
        let hook = self.tree.join(KERNEL_HOOK);
        let text = files::read_text(&hook)?;
        if !text.contains(FULL) && !text.contains(CLOUD) {
            return Err(format!("{}: takes its kernel otherwise than it did", hook.display()).into());
        }
        files::write(&hook, text.replace(FULL, CLOUD).as_bytes())?;
        let role = format!(
            "#!/bin/sh\nexec chroot \"$1\" env DEBIAN_FRONTEND=noninteractive apt-get install --yes \
             --no-install-recommends {}\n",
            spec.all_packages(&self.mirror).join(" ")
        );
        let path = self.tree.join("etc/xen-tools/role.d/same-packages");
        files::create_dir_all(path.parent().unwrap_or(&self.tree))?;
        files::write(&path, role.as_bytes())?;
        Tool::new("chmod").arg("0755").arg(&path).run()?;
        Ok(())
    }

    fn inside(&self) -> Tool {
        Tool::new("unshare")
            .args(["--mount", "sh", "-euc", INSIDE, "inside"])
            .arg(&self.tree)
            .env("LC_ALL", "C.UTF-8")
            .timeout(LIMIT)
    }

    /// Makes a guest anew, and returns how long that took.
    ///
    /// # Errors
    /// It says that it failed, or no disk is there.
    pub fn create(&self, spec: &BaseSpec, from: Source) -> Result<Duration, Failure> {
        files::remove_dir_all(&self.tree.join("work/domains"))?;
        let method: &[&str] = match from {
            Source::Debootstrap => &["--install-method=debootstrap"],
            Source::Tar => &["--install-method=tar", "--install-source", BASE],
        };
        let watch = Stopwatch::start();
        let said = self
            .inside()
            .args(["xen-create-image", "--hostname=peer", "--dir=/work", "--fs=ext4", "--image=sparse"])
            .args(["--size=10G", "--noswap", "--memory=256M", "--dhcp", "--pygrub", "--genpass=0"])
            .args(["--password=x", "--nohosts", "--force", "--verbose", "--role=same-packages"])
            .arg(format!("--dist={}", spec.suite.name()))
            .arg(format!("--mirror={}", self.mirror.archive))
            .args(method)
            .run()?;
        let elapsed = watch.elapsed();
        if !files::exists(&self.disk()) {
            let last: Vec<String> = said.text().lines().rev().take(3).map(str::to_owned).collect();
            return Err(format!("xen-create-image made no disk: {}", last.join("; ")).into());
        }
        Ok(elapsed)
    }

    /// The disk that the last [`Self::create`] made.
    pub fn disk(&self) -> PathBuf {
        self.tree.join(DISK)
    }
}

/// Counts the packages that dpkg has installed in a file system, without a mount.
///
/// # Errors
/// debugfs(8) is not there, or finds no list.
pub(super) fn packages_in(image: &Path) -> Result<usize, Failure> {
    let said = Tool::new("debugfs").args(["-R", "cat /var/lib/dpkg/status"]).arg(image).run()?.text();
    match said.lines().filter(|line| line.starts_with("Status: ") && line.ends_with(" installed")).count() {
        0 => Err(format!("{}: no list of packages", image.display()).into()),
        count => Ok(count),
    }
}
