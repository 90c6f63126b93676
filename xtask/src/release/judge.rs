//! What Debian's own programs say of packages: lintian, piuparts and autopkgtest, each the suite's own.
//!
//! Decides: they run in a tree of the suite that has them, so that this machine needs none of them. Never: passes over a
//! tag that the package does not override with its reason.

use std::path::{Path, PathBuf};

use xenup_image::Suite;
use xenup_image::mirror::Mirror;
use xenup_system::files;

use super::build::one;
use super::job::{Entry, Job};
use super::tree::{Surroundings, Tree};

type Failure = Box<dyn std::error::Error>;

const PACKAGES: &[&str] = &["autopkgtest", "lintian", "piuparts", "systemd"];
/// Where the packages lie in the tree of the judges.
const HERE: &str = "/judged";
/// Where another bare tree lies in it, for tests.
const TESTBED: &str = "/testbed";

/// Runs a test, `$1`. Another one that this testbed cannot have is skipped, which is status 2.
const RUN: &str = r#"test=$1
shift
autopkgtest --summary-file=/tmp/summary "$@" || [ $? -eq 2 ]
grep -q "^$test  *PASS" /tmp/summary"#;

/// The judges, and what they judge.
pub struct Judges {
    tree: Tree,
    suite: Suite,
    mirror: Mirror,
    /// The .changes of the binary packages, in the tree.
    changes: String,
    /// That of the source package, in the tree, where it was made here.
    source: Option<String>,
    /// The packages, in the tree.
    debs: Vec<String>,
}

impl Judges {
    /// Makes their tree, and brings them a folder of packages, the source package in `job.out` and a bare tree.
    ///
    /// # Errors
    /// No mirror that has them, or no packages.
    pub fn of(job: &Job, suite: Suite, bare: &Tree, entry: &Entry, built: &Path) -> Result<Self, Failure> {
        let tree = Tree::with(job, suite, "judges", PACKAGES)?;
        let mirror = Mirror::of_this_machine()?;
        let named = |path: &Path| {
            format!("{HERE}/{}", path.file_name().map(|name| name.display().to_string()).unwrap_or_default())
        };
        let mut judges = Self { tree, suite, mirror, changes: String::new(), source: None, debs: Vec::new() };
        if job.dry_run {
            judges.changes = format!("{HERE}/*.changes");
        } else {
            judges.changes = named(&one(built, "changes")?);
            let built = files::list(built)?;
            judges.debs.extend(
                built
                    .iter()
                    .filter(|path| path.extension().is_some_and(|end| end == "deb"))
                    .map(|path| named(path)),
            );
            let source =
                [entry.dsc(), entry.tar(), entry.buildinfo(), entry.changes()].map(|name| job.out.join(name));
            for path in built.iter().chain(&source) {
                judges.tree.bring(job, path, HERE)?;
            }
            judges.source = Some(format!("{HERE}/{}", entry.changes()));
            bare.pack(job, &judges.tree.inside(&format!("{HERE}/bare.tar.gz")))?;
        }
        bare.copy_to(job, &judges.tree.inside(TESTBED))?;
        Ok(judges)
    }

    /// lintian on the binary and the source packages, with every tag that it knows shown.
    ///
    /// # Errors
    /// An error or a warning that is not overridden.
    pub fn lintian(&self, job: &Job) -> Result<(), Failure> {
        let words =
            ["lintian", "--allow-root", "-EvIL", "+pedantic", "--fail-on", "error,warning", &self.changes];
        let words: Vec<&str> = words.into_iter().chain(self.source.as_deref()).collect();
        let here = Surroundings { variables: &[("LC_ALL", "C.UTF-8")], ..Surroundings::ALONE };
        Ok(job.act(&self.tree.tool(job, &here, &words))?)
    }

    /// Installs, removes and purges each package in the bare tree, and all together.
    ///
    /// # Errors
    /// Something is left, or a script fails.
    pub fn piuparts(&self, job: &Job) -> Result<(), Failure> {
        let (tar, mirror) = (format!("{HERE}/bare.tar.gz"), format!("{} main", self.mirror.archive));
        let words = [
            "piuparts",
            "--basetgz",
            &tar,
            "--distribution",
            self.suite.name(),
            "--no-eatmydata",
            "--mirror",
        ];
        let words: Vec<&str> = words.into_iter().chain([mirror.as_str(), &self.changes]).collect();
        Ok(job.act(&self.tree.tool(job, &Surroundings::CONNECTED, &words))?)
    }

    /// Runs one of the package's own tests in the bare tree, with these packages installed from where they lie.
    ///
    /// # Errors
    /// It fails, or is skipped.
    pub fn autopkgtest(&self, job: &Job, test: &str) -> Result<(), Failure> {
        // An unpacked source of which it reads debian/ alone.
        let unpack = r#"mkdir -p "$1/source"; tar --extract --strip-components=1 --wildcards --file "$1"/*.tar.xz --directory "$1/source" '*/debian'"#;
        job.act(&self.tree.shell(job, &Surroundings::ALONE, unpack, &[HERE]))?;
        let (name, source) = (format!("--test-name={test}"), format!("{HERE}/source/"));
        let mut words = vec![test, name.as_str(), "--no-built-binaries"];
        words.extend(self.debs.iter().map(String::as_str));
        words.extend([source.as_str(), "--", "chroot", TESTBED]);
        let here = Surroundings { within: TESTBED, ..Surroundings::CONNECTED };
        Ok(job.act(&self.tree.shell(job, &here, RUN, &words))?)
    }

    /// Unpacks a package in the tree; returns where, as the tree sees it and as this machine does.
    ///
    /// # Errors
    /// There is no such package.
    pub fn unpacked(&self, job: &Job, package: &str) -> Result<(String, PathBuf), Failure> {
        let deb = self.debs.iter().find(|deb| deb.starts_with(&format!("{HERE}/{package}_")));
        let deb = deb.ok_or_else(|| format!("there is no package {package}"))?;
        let to = format!("/unpacked/{package}");
        let unpack = r#"mkdir -p "$2"; dpkg-deb --extract "$1" "$2""#;
        job.act(&self.tree.shell(job, &Surroundings::ALONE, unpack, &[deb, &to]))?;
        let outside = self.tree.inside(&to);
        Ok((to, outside))
    }

    /// The tree that they are in.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }
}
