//! A bare tree of a Debian release, and how something is run in it.
//!
//! Decides: a tree has the essential packages and apt, from this machine's own mirror, and is made anew each time. What
//! runs in it has its own processes, host name and mounts, which end with it. sbuild's way without root needs sub-user
//! ids that a fresh machine has not.
//! Never: leaves a mount behind, or a tree once it is dropped.

use std::path::{Path, PathBuf};

use xenup_image::Suite;
use xenup_image::plain_tree::{self, PlainTree};
use xenup_system::files;
use xenup_system::process::Tool;

use super::job::Job;

type Failure = Box<dyn std::error::Error>;

/// In namespaces of its own. `$1` is the root, `$2` the host name, `$3` the folder whose /proc is wanted too.
const ENTER: &str = r#"root=$1
for proc in "$root/proc" ${3:+"$root$3/proc"}; do mount -t proc proc "$proc"; done
for dev in "$root/dev" ${3:+"$root$3/dev"}; do mount --rbind /dev "$dev"; done
[ -z "$2" ] || hostname "$2"
shift 3
exec chroot "$@""#;

/// What a command in a tree is given.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Whether it reaches this machine's network.
    pub network: bool,
    /// The host name that it sees; this machine's where there is none.
    pub host_name: Option<&'a str>,
    /// The number of the user and group that runs it; root where there is none.
    pub user: Option<&'a str>,
    /// Besides PATH, the only ones.
    pub variables: &'a [(&'a str, &'a str)],
    /// A tree within the tree that another root is changed to.
    pub within: &'a str,
}

impl Surroundings<'_> {
    /// Root, with the network.
    pub const CONNECTED: Self = Self { network: true, ..Self::ALONE };
    /// Root, without a network.
    pub const ALONE: Self = Self { network: false, host_name: None, user: None, variables: &[], within: "" };
}

/// A tree. It goes when dropped.
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Makes a bare tree of the suite.
    ///
    /// # Errors
    /// No root, or no mirror that has the suite.
    pub fn bare(job: &Job, suite: Suite) -> Result<Self, Failure> {
        // apt is in every such tree; mmdebstrap wants a package named.
        Self::with(job, suite, "bare", &["apt"])
    }

    /// Makes a tree of the suite with these packages beside the essential ones.
    ///
    /// # Errors
    /// No root, or no mirror that has the suite and the packages.
    pub fn with(job: &Job, suite: Suite, name: &str, packages: &[&str]) -> Result<Self, Failure> {
        let folder = job.out.join(suite.name());
        let tree = Self { root: folder.join(name) };
        println!("+ a tree of {}, {name}: {}", suite.title(), tree.root.display());
        if !job.dry_run {
            files::create_dir_all(&folder)?;
            files::remove_dir_all(&tree.root)?;
            let spec = PlainTree { suite, packages, script: "" };
            plain_tree::make(&spec, &tree.root, &mut |line| println!("  {line}"))?;
            for name in ["etc/resolv.conf", "etc/hosts"] {
                files::write(&tree.root.join(name), &files::read(&Path::new("/").join(name))?)?;
            }
        }
        Ok(tree)
    }

    /// Copies it, beside it.
    ///
    /// # Errors
    /// No room for it.
    pub fn copy(&self, job: &Job, name: &str) -> Result<Self, Failure> {
        let tree = Self { root: self.folder().join(name) };
        self.copy_to(job, &tree.root)?;
        Ok(tree)
    }

    /// Copies it to another place.
    ///
    /// # Errors
    /// No room for it.
    pub fn copy_to(&self, job: &Job, root: &Path) -> Result<(), Failure> {
        if !job.dry_run {
            files::remove_dir_all(root)?;
        }
        Ok(job.act(&job.tool("cp").args(["--archive", "--reflink=auto"]).arg(&self.root).arg(root))?)
    }

    /// Where what belongs to the suite lies.
    pub fn folder(&self) -> PathBuf {
        self.root.parent().unwrap_or(&self.root).to_owned()
    }

    /// Where a path of the tree lies outside of it.
    pub fn inside(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Copies a file into a folder of the tree.
    ///
    /// # Errors
    /// It cannot be read, or there is no room.
    pub fn bring(&self, job: &Job, file: &Path, folder: &str) -> Result<(), Failure> {
        if !job.dry_run {
            let to = self.inside(folder);
            files::create_dir_all(&to)?;
            files::copy_sparse(file, &to.join(file.file_name().unwrap_or_default()))?;
        }
        Ok(())
    }

    /// A script in the tree.
    pub fn shell(&self, job: &Job, here: &Surroundings<'_>, script: &str, args: &[&str]) -> Tool {
        let words = ["sh", "-euc", script, "sh"];
        self.tool(job, here, &[&words[..], args].concat())
    }

    /// A command in the tree.
    pub fn tool(&self, job: &Job, here: &Surroundings<'_>, command: &[&str]) -> Tool {
        let mut tool =
            job.tool("unshare").args(["--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]);
        if !here.network {
            tool = tool.arg("--net");
        }
        tool = tool.args(["sh", "-euc", ENTER, "enter"]).arg(&self.root);
        tool = tool.args([here.host_name.unwrap_or_default(), here.within]);
        if let Some(user) = here.user {
            tool = tool.arg(format!("--userspec={user}:{user}")).arg("--groups=");
        }
        tool = tool.arg(&self.root).args(["/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
        tool.args(here.variables.iter().map(|(name, value)| format!("{name}={value}"))).args(command)
    }

    /// Writes it down as an archive.
    ///
    /// # Errors
    /// No room for it.
    pub fn pack(&self, job: &Job, to: &Path) -> Result<(), Failure> {
        let tar = job.tool("tar").args(["--create", "--gzip", "--numeric-owner", "--file"]).arg(to);
        Ok(job.act(&tar.arg("--directory").arg(&self.root).arg("."))?)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // What is left of it is named by its path; there is nobody to be told more.
        drop(files::remove_dir_all(&self.root));
    }
}
