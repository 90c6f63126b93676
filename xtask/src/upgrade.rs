//! `xenup upgrade check` in real Debian trees, with the real apt and this machine's own mirror: with xen-system-amd64 and
//! without it.
//!
//! Decides: what the page has to say of each tree, and that no path of it has changed afterwards. What runs in a tree is
//! told by files in its /sys and /proc, which are not mounted, and by a stand-in for Xen 4.17's own xl: there is no Xen in
//! a chroot. Never: asserts on a time; it prints what the check takes beyond apt's own answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use xenup_core::upgrade::apt;
use xenup_core::upgrade::sources::SourceFile;
use xenup_image::Suite;
use xenup_image::plain_tree::{self, PlainTree};
use xenup_rehearse::scenario::listing::Listing;
use xenup_rehearse::scenario::tree::Tree;
use xenup_system::apt_state::AptState;
use xenup_system::files;
use xenup_system::process::{Status, Tool};
use xenup_system::stopwatch::Stopwatch;

type Failure = Box<dyn std::error::Error>;

/// A Xen host's packages; recommended ones are left out.
const PACKAGES: &[&str] = &["xen-system-amd64", "linux-image-amd64"];
/// Counts up with every change of [`PREPARE`] or [`PACKAGES`].
const RECIPE: u32 = 1;

/// Lays traps, which are hooks that would leave a trace, and makes xl the stand-in.
const PREPARE: &str = r#"apt-get -qq update
cat > /etc/apt/apt.conf.d/50trap <<'END'
APT::Update::Pre-Invoke { "touch /trap-update-before"; };
APT::Update::Post-Invoke { "touch /trap-update"; };
APT::Update::Post-Invoke-Success { "touch /trap-update-success"; };
DPkg::Pre-Invoke { "touch /trap-dpkg-before"; };
DPkg::Post-Invoke { "touch /trap-dpkg"; };
END
cat > /usr/lib/xen-4.17/bin/xl <<'END'
#!/bin/sh
case "$*" in
"list -l") exec cat /xl-list.json ;;
list) exec cat /xl-list.txt ;;
esac
exit 1
END
"#;

/// What a kernel under Xen says of itself, to whoever reads the tree.
const RUNS: [(&str, &str); 5] = [
    ("sys/hypervisor/type", "xen\n"),
    ("sys/hypervisor/version/major", "4\n"),
    ("sys/hypervisor/version/minor", "17\n"),
    ("sys/hypervisor/version/extra", ".7\n"),
    ("proc/xen/capabilities", "control_d\n"),
];

/// Without a terminal, a locale or this machine's variables.
const SURROUNDINGS: [&str; 4] =
    ["-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive"];
const LIMIT: Duration = Duration::from_secs(1800);

const HEAD: &str = "Name                                        ID   Mem VCPUs\tState\tTime(s)\n\
                    Domain-0                                     0  1024     2     r-----      44.9\n";
const GUEST: &str = "web                                          1   128     1     -b----       2.1\n";

/// Plays the check in both trees; returns whether every page said what it had to.
///
/// # Errors
/// No mirror, or a tree in which nothing can be run.
pub fn run() -> crate::Outcome {
    if !files::is_root() {
        println!("skipped: chroot(2) needs root");
        return Ok(true);
    }
    crate::package::debug_program()?;
    let folder = crate::project().join("target/upgrade");
    files::create_dir_all(&folder)?;
    let base = folder.join(format!("debian-{RECIPE}"));
    let spec = PlainTree { suite: Suite::Bookworm, packages: PACKAGES, script: PREPARE };
    plain_tree::make(&spec, &base, &mut |line| println!("{line}"))?;
    let mut wrong = Vec::new();
    wrong.extend(by_hand(&HostTree::copy(&base, &folder.join("by-hand"))?)?);
    wrong.extend(with_metapackage(&HostTree::copy(&base, &folder.join("with"))?)?);
    wrong.extend(without_metapackage(&HostTree::copy(&base, &folder.join("without"))?)?);
    for words in &wrong {
        println!("{words}");
    }
    Ok(wrong.is_empty())
}

/// What the handbook has people type says the same as apt does.
fn by_hand(tree: &HostTree) -> Result<Vec<String>, Failure> {
    let script = crate::shown::block("docs/upgrade.md", "-s full-upgrade")?;
    let said = tree.run(&["sh", "-uc", &script])?;
    print!("by hand: {said}");
    let wanted = ["Inst xen-hypervisor-4.20-amd64", "Inst xen-utils-4.20", "Remv xen-utils-4.17"];
    let missing = wanted.iter().filter(|line| !said.contains(*line));
    Ok(missing.map(|line| format!("by hand: no line says {line}")).collect())
}

/// Where the metapackage is installed the new Xen comes, and the old toolstack goes under the guests.
fn with_metapackage(tree: &HostTree) -> Result<Vec<String>, Failure> {
    let mut wrong = Vec::new();
    tree.guests(true)?;
    let (checked, took) = tree.check(&mut wrong)?;
    told("with xen-system-amd64", &checked);
    let apts = tree.apts_own()?;
    println!(
        "the check took {:.1} s, apt's own update and simulation {:.1} s: {:.1} s beyond them",
        took.as_secs_f64(),
        apts.as_secs_f64(),
        took.saturating_sub(apts).as_secs_f64()
    );
    expect(&mut wrong, &checked, &["upgrade-toolstack-goes"]);
    for (package, fortune) in
        [("xen-utils-4.17", "goes"), ("xen-utils-4.20", "comes"), ("xen-hypervisor-4.20-amd64", "comes")]
    {
        if fortune_of(&checked, package) != Some(fortune) {
            wrong.push(format!("{package} is not said to be one that {fortune}"));
        }
    }
    tree.guests(false)?;
    let (checked, _) = tree.check(&mut wrong)?;
    told("with xen-system-amd64, no guest", &checked);
    expect(&mut wrong, &checked, &[]);
    Ok(wrong)
}

/// Where it is not installed nothing comes, and one command mends that.
fn without_metapackage(tree: &HostTree) -> Result<Vec<String>, Failure> {
    let mut wrong = Vec::new();
    tree.run(&["apt-mark", "manual", "xen-utils-4.17", "xen-hypervisor-4.17-amd64"])?;
    tree.run(&["dpkg", "--remove", "xen-system-amd64"])?;
    tree.guests(false)?;
    let (checked, _) = tree.check(&mut wrong)?;
    told("without xen-system-amd64", &checked);
    expect(&mut wrong, &checked, &["upgrade-no-xen"]);
    let fix = checked["fix"][0]["fix"].as_str().unwrap_or_default();
    println!("mending it: {fix}");
    tree.run(&["sh", "-euc", &format!("{} -y", fix)])?;
    let (checked, _) = tree.check(&mut wrong)?;
    told("mended", &checked);
    expect(&mut wrong, &checked, &[]);
    Ok(wrong)
}

fn told(name: &str, checked: &Value) {
    let ids: Vec<&str> = ids(checked);
    let counts = &checked["apt"]["counts"];
    println!(
        "{name}: {} to upgrade, {} new, {} to remove; to fix first: {ids:?}",
        counts["upgraded"], counts["new"], counts["removed"]
    );
}

fn ids(checked: &Value) -> Vec<&str> {
    let fix = checked["fix"].as_array().map(Vec::as_slice).unwrap_or_default();
    fix.iter().filter_map(|finding| finding["id"].as_str()).collect()
}

fn expect(wrong: &mut Vec<String>, checked: &Value, wanted: &[&str]) {
    if ids(checked) != wanted {
        wrong.push(format!("to fix first should be {wanted:?}, and is {:#}", checked["fix"]));
    }
}

fn fortune_of<'a>(checked: &'a Value, package: &str) -> Option<&'a str> {
    let parts = checked["parts"].as_array()?;
    parts.iter().find(|part| part["package"] == package)?["fortune"].as_str()
}

/// A copy of the tree. It goes when dropped.
struct HostTree(PathBuf);

impl HostTree {
    fn copy(base: &Path, root: &Path) -> Result<Self, Failure> {
        files::remove_dir_all(root)?;
        Tool::new("cp").args(["--archive", "--reflink=auto"]).arg(base).arg(root).timeout(LIMIT).run()?;
        let tree = Self(root.to_owned());
        files::copy_sparse(&crate::project().join("target/debug/xenup"), &root.join("usr/sbin/xenup"))?;
        for (name, text) in RUNS {
            let path = root.join(name);
            files::create_dir_all(path.parent().unwrap_or(root))?;
            files::write(&path, text.as_bytes())?;
        }
        for name in ["etc/resolv.conf", "etc/hosts"] {
            files::write(&root.join(name), &files::read(&Path::new("/").join(name))?)?;
        }
        Ok(tree)
    }

    fn tool(&self, command: &[&str]) -> Tool {
        Tool::new("chroot").arg(&self.0).arg("/usr/bin/env").args(SURROUNDINGS).args(command).timeout(LIMIT)
    }

    fn run(&self, command: &[&str]) -> Result<String, Failure> {
        Ok(self.tool(command).run()?.text())
    }

    /// Says whether a guest runs.
    fn guests(&self, any: bool) -> Result<(), Failure> {
        let guest = r#"{"domid": 1, "config": {"c_info": {"type": "pvh", "name": "web"}, "b_info": {"max_memkb": 131072}}}"#;
        let dom0 = r#"{"domid": 0, "config": {"c_info": {"name": "Domain-0"}}}"#;
        let (table, list) = if any {
            (format!("{HEAD}{GUEST}"), format!("[{dom0},{guest}]"))
        } else {
            (HEAD.to_owned(), format!("[{dom0}]"))
        };
        files::write(&self.0.join("xl-list.txt"), table.as_bytes())?;
        files::write(&self.0.join("xl-list.json"), list.as_bytes())?;
        let file = self.0.join("etc/xen/web.cfg");
        files::remove_file(&file)?;
        if any {
            files::write(&file, b"name = 'web'\ntype = 'hvm'\nmemory = 128\n")?;
        }
        Ok(())
    }

    /// Runs the check, and notes every path that it changed.
    fn check(&self, wrong: &mut Vec<String>) -> Result<(Value, Duration), Failure> {
        let before = self.listing()?;
        let watch = Stopwatch::start();
        let output =
            self.tool(&["xenup", "--quiet", "upgrade", "check", "--to", "trixie", "--json"]).output()?;
        let took = watch.elapsed();
        let after = self.listing()?;
        let checked: Value = serde_json::from_str(&output.text())
            .map_err(|error| format!("{error}: {}", output.stderr_text()))?;
        let exit = if checked["ready"] == true { 0 } else { 4 };
        if output.status != Status::Code(exit) {
            wrong.push(format!("it ended with {:?}, and ready is {}", output.status, checked["ready"]));
        }
        let mut changed: Vec<String> = Vec::new();
        for path in before.keys().chain(after.keys()) {
            if before.get(path) != after.get(path) {
                changed.push(path.clone());
            }
        }
        changed.sort();
        changed.dedup();
        // A folder was made and removed in it: its own time is what is left of that.
        changed.retain(|path| path != "tmp");
        println!("{} paths compared, {} changed", before.len(), changed.len());
        if !changed.is_empty() {
            wrong.push(format!("the check changed {}", changed.join(", ")));
        }
        Ok((checked, took))
    }

    fn listing(&self) -> Result<Tree, Failure> {
        Ok(Listing::of(&self.0, &self.0.with_extension("listing"))?.tree)
    }

    /// How long the same questions take when apt alone is asked.
    fn apts_own(&self) -> Result<Duration, Failure> {
        let made = AptState::new_in(&self.0.join("tmp"), &apt::FOLDERS)?;
        let inside = Path::new("/").join(made.path().strip_prefix(&self.0)?);
        let state = apt::State::at(&inside);
        let text = files::read_text(&self.0.join("etc/apt/sources.list"))?.replace("bookworm", "trixie");
        let sources = [SourceFile { path: "/etc/apt/sources.list".into(), text }];
        let inside_out =
            |(path, text): (PathBuf, String)| (self.0.join(path.strip_prefix("/").unwrap_or(&path)), text);
        made.write(&state.files(&sources).into_iter().map(inside_out).collect::<Vec<_>>())?;
        let watch = Stopwatch::start();
        for query in [state.update(), state.simulate(&[])] {
            let command: Vec<&str> = std::iter::once(query.program.as_str())
                .chain(query.args.iter().map(String::as_str))
                .collect();
            self.run(&command)?;
        }
        Ok(watch.elapsed())
    }
}

impl Drop for HostTree {
    fn drop(&mut self) {
        // What is left of it is named by its path; there is nobody to be told more.
        let _ = files::remove_dir_all(&self.0);
    }
}
