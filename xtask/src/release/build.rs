//! A release's packages: built in a bare tree of the suite, and judged there.
//!
//! Decides: what a build may have, the essential packages and the build dependencies and no more, without a network and
//! without root; and in which other surroundings a second build has to come to the same bytes.
//! Never: builds in the tree that is worked in.

use std::path::{Path, PathBuf};

use xenup_image::Suite;
use xenup_system::files;

use super::job::{Entry, Job};
use super::judge::Judges;
use super::tree::{Surroundings, Tree};

type Failure = Box<dyn std::error::Error>;

/// With a network: what the build needs.
const PREPARE: &str = r#"apt-get -qq update
cd /source
DEBIAN_FRONTEND=noninteractive apt-get -qq --yes --no-install-recommends build-dep ./*.dsc"#;
/// The source, where this build has it. `$1` is the folder, `$2` who builds.
const UNPACK: &str = r#"mkdir -p "$1"
dpkg-source --extract /source/*.dsc "$1/tree" >/dev/null
chown -R "$2:$2" "$1""#;
/// Without a network and without root. `$1` is the folder, `$2` the umask.
const BUILD: &str = r#"cd "$1/tree"
umask "$2"
exec dpkg-buildpackage --unsigned-changes --build=binary"#;

/// What differs from one build to another. The clock needs no help: the second build is later, and by its time zone in
/// another day.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    name: &'static str,
    /// Where the source lies.
    folder: &'static str,
    host_name: &'static str,
    user: &'static str,
    umask: &'static str,
    variables: [(&'static str, &'static str); 3],
}

impl Way {
    /// Where its packages are put.
    pub fn packages(&self, job: &Job, suite: Suite) -> PathBuf {
        job.out.join(suite.name()).join(format!("packages-{}", self.name))
    }
}

/// As a build daemon does it.
pub const FIRST: Way = Way {
    name: "first",
    folder: "/build",
    host_name: "first",
    user: "65534",
    umask: "0022",
    variables: [("TZ", "<-12>12"), ("LC_ALL", "C.UTF-8"), ("HOME", "/build")],
};
/// As somebody else does it, in another place.
pub const SECOND: Way = Way {
    name: "second",
    folder: "/var/tmp/another-place-of-some-length",
    host_name: "second.example.org",
    user: "12345",
    umask: "0002",
    variables: [("TZ", "<+14>-14"), ("LC_ALL", "C"), ("HOME", "/nowhere")],
};

/// Builds the binary packages in a bare tree, then has the suite's own lintian and piuparts judge them.
///
/// # Errors
/// A build that fails, or a judge that finds a fault.
pub fn binaries(job: &Job, suite: Option<&str>) -> Result<(), Failure> {
    let entry = job.entry()?;
    let suite = suite_of(suite.unwrap_or(&entry.distribution))?;
    let bare = Tree::bare(job, suite)?;
    let built = with_tools(job, &bare, &entry, suite)?.built(job, &FIRST)?;
    let judges = Judges::of(job, suite, &bare, &entry, &built)?;
    judges.lintian(job)?;
    judges.piuparts(job)?;
    println!("next: cargo xtask release sign --key FINGERPRINT");
    Ok(())
}

/// The suite of a name, as debian/changelog or the command line has it.
///
/// # Errors
/// A name of none that a tree can be made of.
pub fn suite_of(name: &str) -> Result<Suite, Failure> {
    let hint = "hint: --suite bookworm, trixie or sid";
    Suite::parse(name).ok_or_else(|| format!("no tree can be made of the suite `{name}`\n{hint}").into())
}

/// A tree that has what the build needs, and the source package.
pub struct Ready(Tree, Suite);

/// Copies the bare tree and installs the build dependencies of the source package in `job.out`.
///
/// # Errors
/// There is no source package, or the suite lacks what it needs.
pub fn with_tools(job: &Job, bare: &Tree, entry: &Entry, suite: Suite) -> Result<Ready, Failure> {
    let tree = bare.copy(job, "build")?;
    for name in [entry.dsc(), entry.tar()] {
        tree.bring(job, &job.out.join(name), "source")?;
    }
    job.act(&tree.shell(job, &Surroundings::CONNECTED, PREPARE, &[]))?;
    Ok(Ready(tree, suite))
}

impl Ready {
    /// Builds in a copy of its own; returns the folder with what was built, and nothing else.
    ///
    /// # Errors
    /// The build fails.
    pub fn built(&self, job: &Job, way: &Way) -> Result<PathBuf, Failure> {
        let tree = self.0.copy(job, way.name)?;
        let here = Surroundings { host_name: Some(way.host_name), ..Surroundings::ALONE };
        job.act(&tree.shell(job, &here, UNPACK, &[way.folder, way.user]))?;
        let here = Surroundings { user: Some(way.user), variables: &way.variables, ..here };
        job.act(&tree.shell(job, &here, BUILD, &[way.folder, way.umask]))?;
        let out = way.packages(job, self.1);
        if !job.dry_run {
            files::remove_dir_all(&out)?;
            files::create_dir_all(&out)?;
            for path in files::list(&tree.inside(way.folder))?.iter().filter(|path| path.is_file()) {
                let name = path.file_name().map(PathBuf::from).unwrap_or_default();
                files::copy_sparse(path, &out.join(name))?;
            }
        }
        Ok(out)
    }
}

/// The one file of a folder with this ending.
///
/// # Errors
/// There is none, or more than one.
pub fn one(folder: &Path, end: &str) -> Result<PathBuf, Failure> {
    let mut found = files::list(folder)?;
    found.retain(|path| path.extension().is_some_and(|found| found == end));
    match found.as_slice() {
        [one] => Ok(one.clone()),
        many => Err(format!("{} has {} .{end}, not one", folder.display(), many.len()).into()),
    }
}
