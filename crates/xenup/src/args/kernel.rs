//! How the verbs below `kernel` are spelt. Decides names, help texts and defaults; never acts on them.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use xenup_core::kernel::Release;

/// `kernel`
#[derive(Debug, ClapArgs)]
pub struct KernelCommand {
    /// The verb
    #[command(subcommand)]
    pub verb: KernelVerb,
}

/// The verbs below `kernel`.
#[derive(Debug, Subcommand)]
pub enum KernelVerb {
    /// Say of a kernel, or of all in a folder, whether it can be dom0, PV, PVH or HVM, and what stops it
    Check(KernelCheck),
    /// Make a kernel's configuration for a role, by the source tree's own `make`
    ///
    /// Prints the .config, or writes it to --output. Every symbol that was asked for and is not in the
    /// result is explained with the dependency that stopped it; then nothing is written, and the exit code
    /// is 4, unless --waive names it. The source tree is not touched: make's own files go below xenup's
    /// cache.
    Config(KernelConfig),
    /// Build a kernel for a role from Debian's source: image and packages, as an ordinary user
    ///
    /// Configures as `kernel config` does, compiles, packs (bindeb-pkg), and judges the image as `kernel check`
    /// does: one that cannot play its role is not handed out, and the exit code is 4. A build that was ended in
    /// the middle goes on where it was. What it needs from Debian and is missing is named; called as root, it
    /// is installed by a plan that `xenup rollback` takes back. Sources and objects go below xenup's cache.
    Build(KernelBuild),
    /// Put a guest's kernel where guests find it, below /var/lib/xenup/kernels
    Install(KernelInstall),
    /// List the roles and the additions that `kernel config` knows
    Roles(KernelRoles),
    /// Say what a symbol is, what it needs, what selects it, and why a role asks for it
    Explain(KernelExplain),
    /// Compare two .config files: what each kernel can be, and which symbols of which role differ
    Diff(KernelDiff),
}

/// `kernel check`
#[derive(Debug, ClapArgs)]
pub struct KernelCheck {
    /// A kernel (vmlinuz, bzImage, vmlinux), or a folder of them
    #[arg(value_name = "FILE|DIR")]
    pub path: PathBuf,
    /// Judge by this release of Xen instead of the one installed beside the kernel (else 4.20, Debian 13's)
    #[arg(long, value_name = "VERSION")]
    pub xen: Option<Release>,
    /// Take the kernel's configuration from FILE instead of config-VERSION beside it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON (schema: kernel.schema.json)
    #[arg(long)]
    pub json: bool,
}

/// `kernel config`
#[derive(Debug, ClapArgs)]
pub struct KernelConfig {
    /// What is asked for
    #[command(flatten)]
    pub wish: KernelWish,
    /// Write the .config to FILE, which must not be there yet, instead of printing it
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print what was asked, what came of it, and the .config as JSON (schema: kernel-config.schema.json)
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
}

/// `kernel build`
#[derive(Debug, ClapArgs)]
pub struct KernelBuild {
    /// What is asked for
    #[command(flatten)]
    pub wish: KernelWish,
    /// Put the image, its configuration and the packages into DIR, which must not be there yet (else kernel-RELEASE here)
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Compile so many files at once (else as many as there are processors)
    #[arg(short, long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Judge the image by this release of Xen instead of the newest in /boot (else 4.20, Debian 13's)
    #[arg(long, value_name = "VERSION")]
    pub xen: Option<Release>,
    /// Build as root where there is no ordinary user
    #[arg(long)]
    pub as_root: bool,
    /// As root, where packages are missing: show the plan that installs them, and do nothing
    #[arg(long)]
    pub plan: bool,
    /// As root, where packages are missing: install them without asking
    #[arg(long, conflicts_with = "plan")]
    pub yes: bool,
}

/// `kernel install`
#[derive(Debug, ClapArgs)]
pub struct KernelInstall {
    /// The folder that `kernel build` made, or a linux-image-*.deb
    #[arg(value_name = "DIR|FILE")]
    pub from: PathBuf,
    /// Call it NAME instead of what `uname -r` will say
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Put a kernel that can be dom0 where guests find it
    #[arg(long)]
    pub guest: bool,
    /// Show the plan that would install a kernel for dom0, and install nothing
    #[arg(long, conflicts_with = "guest")]
    pub plan: bool,
    /// Install a kernel for dom0 without asking
    #[arg(long, conflicts_with = "plan")]
    pub yes: bool,
    /// Judge it by this release of Xen instead of the newest in /boot (else 4.20, Debian 13's)
    #[arg(long, value_name = "VERSION")]
    pub xen: Option<Release>,
}

/// A role on a source.
#[derive(Debug, ClapArgs)]
pub struct KernelWish {
    /// The role: domU-minimal, domU-full, dom0-minimal or dom0-full
    #[arg(value_name = "ROLE")]
    pub role: String,
    /// The kernel's source: a folder, a linux-source-*.tar.xz, or a package's name (linux-source-6.1)
    ///
    /// Where it is not given, the newest linux-source-* below /usr/src.
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<PathBuf>,
    /// Add to the role: a name that `kernel roles` lists, or a TOML file of the same form
    #[arg(long, value_name = "ADDITION", num_args = 1.., value_delimiter = ',')]
    pub with: Vec<String>,
    /// Lay dom0-full over FILE instead of Debian's configuration (linux-config-*, /boot/config-*)
    #[arg(long, value_name = "FILE")]
    pub base: Option<PathBuf>,
    /// For dom0-minimal: take the devices of the machine whose root is mounted at DIR (with its /sys) instead of this one's
    #[arg(long, value_name = "DIR", conflicts_with = "facts")]
    pub root: Option<PathBuf>,
    /// For dom0-minimal: take the devices from FILE, written by `xenup inspect --json` on that machine
    #[arg(long, value_name = "FILE")]
    pub facts: Option<PathBuf>,
    /// For dom0-minimal: take the names of drivers from DIR, a /lib/modules/VERSION of a kernel with many
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
    /// For dom0-minimal: ask for no device's driver; they are yours to add
    #[arg(long, conflicts_with_all = ["root", "facts", "modules"])]
    pub no_hardware: bool,
    /// Do without these symbols where the tree does not grant them
    #[arg(long, value_name = "SYMBOL", num_args = 1.., value_delimiter = ',')]
    pub waive: Vec<String>,
}

/// `kernel roles`
#[derive(Debug, ClapArgs)]
pub struct KernelRoles {
    /// Print JSON (schema: kernel-roles.schema.json)
    #[arg(long)]
    pub json: bool,
}

/// `kernel explain`
#[derive(Debug, ClapArgs)]
pub struct KernelExplain {
    /// The symbol, with or without CONFIG_
    #[arg(value_name = "SYMBOL")]
    pub symbol: String,
    /// The kernel's source, as for `kernel config`
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<PathBuf>,
    /// Say also what the symbol is in this .config, and what keeps it off
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON (schema: kernel-explain.schema.json)
    #[arg(long)]
    pub json: bool,
}

/// `kernel diff`
#[derive(Debug, ClapArgs)]
pub struct KernelDiff {
    /// A .config
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// Another one
    #[arg(value_name = "B")]
    pub after: PathBuf,
    /// List the symbols that no role asks for as well
    #[arg(long)]
    pub all: bool,
    /// Print JSON (schema: kernel-diff.schema.json)
    #[arg(long)]
    pub json: bool,
}
