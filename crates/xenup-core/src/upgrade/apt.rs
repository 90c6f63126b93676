//! How apt is asked what it would do with another release's sources: a state of its own, and the machine's packages.
//!
//! Decides: apt's configuration for that state, and the questions. Everything that a run of apt changes lies in the state's
//! folder; dpkg's status and apt's marks are the machine's, and are only read; hooks are cleared, since they are
//! commands of other packages that change the machine (apt.conf(5), `#clear`). Never: runs apt.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_machine::process::Query;

use super::sources::SourceFile;

/// Slow mirrors exist.
const FETCH: Duration = Duration::from_secs(900);
/// apt thinks for a minute about a thousand packages on a slow machine.
const THINK: Duration = Duration::from_secs(900);

/// Folders of a state, the outermost first.
pub const FOLDERS: [&str; 8] = [
    "lists",
    "lists/partial",
    "cache",
    "cache/archives",
    "cache/archives/partial",
    "log",
    "sources.list.d",
    "now",
];

/// The machine's own sources, packages and marks, with apt's caches elsewhere.
const NOW: &str = "now.conf";
/// The other release's sources.
const THEN: &str = "then.conf";

/// What a state's configurations have in common. `#clear` takes away what the machine's configuration set.
const COMMON: &str = "\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Update::Post-Invoke-Stats;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear AptCli::Hooks;
#clear Acquire::IndexTargets;
Acquire::IndexTargets::deb::Packages {
  MetaKey \"$(COMPONENT)/binary-$(ARCHITECTURE)/Packages\";
  flatMetaKey \"Packages\";
  ShortDescription \"Packages\";
  Description \"$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Packages\";
  flatDescription \"$(RELEASE) Packages\";
  Optional \"no\";
};
Acquire::Languages \"none\";
APT::Update::Error-Mode \"any\";
APT::Get::Show-User-Simulation-Note \"no\";
APT::Get::Assume-Yes \"no\";
APT::Get::Simulate \"no\";
Dir::State::status \"/var/lib/dpkg/status\";
Dir::State::extended_states \"/var/lib/apt/extended_states\";
";

/// A state in a folder.
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    dir: &'a Path,
}

impl<'a> State<'a> {
    /// Returns the state in `dir`, an absolute path. Nothing is made there.
    #[must_use]
    pub fn at(dir: &'a Path) -> Self {
        Self { dir }
    }

    /// Returns the files that the state begins with: apt's configurations, and the sources.
    #[must_use]
    pub fn files(&self, sources: &[SourceFile]) -> Vec<(PathBuf, String)> {
        let dir = self.dir.display();
        let now = format!("{COMMON}Dir::Cache \"{dir}/now\";\nDir::Log \"{dir}/log\";\n");
        let then = format!(
            "{COMMON}Dir::State \"{dir}\";\nDir::State::lists \"{dir}/lists\";\nDir::Cache \"{dir}/cache\";\n\
             Dir::Cache::archives \"{dir}/cache/archives\";\nDir::Log \"{dir}/log\";\n\
             Dir::Etc::sourcelist \"{dir}/sources.list\";\nDir::Etc::sourceparts \"{dir}/sources.list.d\";\n"
        );
        let mut files = vec![(self.dir.join(NOW), now), (self.dir.join(THEN), then)];
        if sources.iter().all(|file| file.path.file_name() != Some("sources.list".as_ref())) {
            files.push((self.dir.join("sources.list"), String::new()));
        }
        for file in sources {
            let name = file.path.file_name().unwrap_or_default();
            let place =
                if name == "sources.list" { self.dir.to_owned() } else { self.dir.join("sources.list.d") };
            files.push((place.join(name), file.text.clone()));
        }
        files
    }

    fn ask(&self, program: &str, conf: &str, words: &[&str]) -> Query {
        let conf = self.dir.join(conf).display().to_string();
        let fixed = ["-q".to_owned(), "-c".to_owned(), conf];
        Query::new(program, fixed.into_iter().chain(words.iter().map(|&word| word.to_owned())))
    }

    /// Returns the question that fetches the other release's lists into the state.
    #[must_use]
    pub fn update(&self) -> Query {
        self.ask("apt-get", THEN, &["update"]).within(FETCH)
    }

    /// Returns the question what an upgrade would do, `named` being asked for beside.
    #[must_use]
    pub fn simulate(&self, named: &[&str]) -> Query {
        self.ask("apt-get", THEN, &[&["-s", "full-upgrade"], named].concat()).within(THINK)
    }

    /// Returns the question how much an upgrade would fetch and fill, `named` being asked for beside.
    #[must_use]
    pub fn sizes(&self, named: &[&str]) -> Query {
        self.ask("apt-get", THEN, &[&["--print-uris", "full-upgrade"], named].concat()).within(THINK)
    }

    /// Returns the question which packages are on hold; one a line.
    #[must_use]
    pub fn held(&self) -> Query {
        self.ask("apt-mark", NOW, &["showhold"])
    }

    /// Returns the question which installed packages no source of Debian has, or come from another source; one a line,
    /// behind the first (apt-patterns(7)).
    #[must_use]
    pub fn foreign(&self) -> Query {
        let pattern = "?or(?and(?installed,?not(?origin(^Debian))),\
                       ?narrow(?installed,?not(?origin(^Debian)),?origin(.)))";
        self.ask("apt", NOW, &["list", pattern]).within(THINK)
    }
}

/// Reads the answer to [`State::foreign`]. Kernels of Debian that were replaced in its archive are no foreign packages.
#[must_use]
pub fn foreign(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| line.split_once('/')).map(|(name, _)| name);
    let kernel = |name: &str| {
        ["linux-image-", "linux-headers-", "linux-kbuild-"].iter().any(|stem| name.starts_with(stem))
    };
    names.filter(|name| !name.contains(' ') && !kernel(name)).map(str::to_owned).collect()
}

/// Reads the answer to [`State::held`].
#[must_use]
pub fn held(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|name| !name.is_empty() && !name.contains(' '))
        .map(str::to_owned)
        .collect()
}

/// Returns apt's complaints, a line each without what marks them, and none twice.
#[must_use]
pub fn complaints(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in text.lines() {
        let Some(words) = line.strip_prefix("E: ").or_else(|| line.strip_prefix("W: ")) else { continue };
        if !found.iter().any(|known| known == words) {
            found.push(words.trim_end().to_owned());
        }
    }
    found
}
