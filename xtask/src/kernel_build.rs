//! `xenup kernel build` on Debian's real source: killed in the middle, gone on with, judged, installed; and once more in one
//! go, to the same image.
//!
//! Decides: what has to be said and made. Never: asserts on a time; it prints what a build takes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use xenup_system::files;
use xenup_system::process::Tool;
use xenup_system::stopwatch::Stopwatch;

type Failure = Box<dyn std::error::Error>;

/// The role that this check builds.
const GUEST: &str = "domU-minimal";
/// Nobody: who builds.
const USER: &str = "65534";
const LIMIT: Duration = Duration::from_secs(3 * 3600);
/// Where the folder of a build in one go is.
const WHOLE: &str = "out/whole";
/// The line without a terminal at which the build is killed.
const KILLED_AT: &str = "40 %: ";
/// A file system with hardly any room, seen by this process alone.
const NO_ROOM: &str =
    r#"mkdir -p "$1" && mount -t tmpfs -o size=64m,mode=1777 tmpfs "$1" && shift && exec "$@""#;
/// The same for what is installed: twice, which is once.
const INSTALLED: &str = r#"mkdir -p /var/lib/xenup && mount -t tmpfs tmpfs /var/lib/xenup
"$1" kernel install "$2" > "$3/told-first" && "$1" kernel install "$2" > "$3/told-second"
cmp "$3/told-first" "$3/told-second" && cmp "$2"/vmlinuz-* /var/lib/xenup/kernels/*/vmlinuz && cat "$3/told-first""#;

/// Builds domU-minimal; returns whether all was as it has to be.
///
/// # Errors
/// Nothing to build with.
pub fn run() -> crate::Outcome {
    if !files::is_root() {
        println!("skipped: giving up root for nobody needs it first");
        return Ok(true);
    }
    let place = Place::new()?;
    let good = place.nothing_is_missing()? & place.no_room()?;
    let first = place.killed_and_gone_on_with()?;
    let second = place.in_one_go()?;
    let same = files::read(&image(&first)?)? == files::read(&image(&second)?)?;
    println!(
        "the image of the killed build and of the other are {}",
        if same { "equal" } else { "DIFFERENT" }
    );
    Ok(good && same && can_be_a_guest(&place, &first)? && place.installed(&first)?)
}

/// Where the image of domU-minimal is that this check came to; it is built where there is none.
///
/// # Errors
/// Nothing to build with, or a build that fails.
pub fn built() -> Result<PathBuf, Failure> {
    let kept = crate::project().join("target/kernel-build").join(WHOLE);
    if files::exists(&kept) {
        return image(&kept);
    }
    image(&Place::new()?.in_one_go()?)
}

/// The package of a kernel for the dom0 of a machine: dom0-minimal with the drivers of its devices.
///
/// # Errors
/// As [`built`].
pub fn of_dom0(machine: &[u8]) -> Result<PathBuf, Failure> {
    let place = Place::new()?;
    let facts = place.folder.join("machine.json");
    files::write(&facts, machine)?;
    let kernels = crate::project().join("target/kernels");
    files::create_dir_all(&kernels)?;
    let modules = crate::kernels::Archive::own(&kernels).modules("linux-image-amd64")?;
    let output = place.folder.join("out/dom0");
    let mut words = place.words("dom0-minimal", &place.folder.join("first"), &output);
    words.extend(["--facts".into(), facts.into_os_string(), "--modules".into(), modules.into_os_string()]);
    place.build(&words, &mut |_| {})?;
    let is_package = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("linux-image-") && name.ends_with(".deb") && !name.contains("-dbg")
    };
    let found = files::list(&output)?.into_iter().find(is_package);
    found.ok_or_else(|| format!("{}: no package", output.display()).into())
}

fn image(folder: &Path) -> Result<PathBuf, Failure> {
    let is_image =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"));
    files::list(folder)?
        .into_iter()
        .find(is_image)
        .ok_or_else(|| format!("{}: no image", folder.display()).into())
}

/// What `kernel check` says of the image with its own configuration.
fn can_be_a_guest(place: &Place, folder: &Path) -> Result<bool, Failure> {
    let output = Tool::new(&place.program).args(["kernel", "check", "--json"]).arg(image(folder)?).run()?;
    let said: Value = serde_json::from_str(&output.text())?;
    let verdicts =
        said.pointer("/kernels/0/verdicts").and_then(Value::as_array).ok_or("nothing was judged")?;
    let answer = |role: &str| {
        let of = |verdict: &&Value| verdict.get("role").and_then(Value::as_str) == Some(role);
        verdicts.iter().find(of).and_then(|verdict| verdict.get("answer")).and_then(Value::as_str)
    };
    println!("kernel check: PV {:?}, PVH {:?}, dom0 {:?}", answer("pv"), answer("pvh"), answer("dom0"));
    Ok(answer("pv") == Some("yes") && answer("pvh") == Some("yes") && answer("dom0") == Some("no"))
}

/// docs/kernels.md's own commands: root's for what is missing, the build, the installation.
fn of_page() -> Result<[Vec<String>; 3], Failure> {
    let lines = crate::shown::commands("docs/kernels.md", "sudo xenup kernel install kernel-")?;
    let lines = <[Vec<String>; 3]>::try_from(lines)
        .map_err(|lines| format!("docs/kernels.md has {} commands for a build, not three", lines.len()))?;
    let [missing, build, install] = &lines;
    let words = |line: &[String]| line.join(" ");
    // What INSTALLED types, and what a build that is killed is made of.
    let folder = words(install).strip_prefix("xenup kernel install ").map(str::to_owned);
    if missing != build || !folder.is_some_and(|name| name.starts_with("kernel-") && !name.contains(' ')) {
        return Err(
            format!("docs/kernels.md: `{}`, `{}`: not played so", words(missing), words(install)).into()
        );
    }
    Ok(lines)
}

struct Place {
    folder: PathBuf,
    program: PathBuf,
    tree: PathBuf,
    /// What is typed.
    page: [Vec<String>; 3],
}

impl Place {
    fn new() -> Result<Self, Failure> {
        crate::package::debug_program()?;
        let sources = crate::project().join("target/kernel-sources");
        files::create_dir_all(&sources)?;
        let source = crate::kernel_config::fetched(&sources, "6.1")?;
        let tree = source.ok_or("linux-source-6.1: not in this machine's sources")?.tree;
        let folder = crate::project().join("target/kernel-build");
        files::remove_dir_all(&folder)?;
        for name in ["first", "second", "out"] {
            files::create_dir_all(&folder.join(name))?;
            Tool::new("chown").arg(format!("{USER}:{USER}")).arg(folder.join(name)).run()?;
        }
        Ok(Self { program: crate::project().join("target/debug/xenup"), folder, tree, page: of_page()? })
    }

    /// The words of a build as nobody, with a cache of its own.
    fn words(&self, role: &str, cache: &Path, output: &Path) -> Vec<std::ffi::OsString> {
        let mut words: Vec<std::ffi::OsString> =
            ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "env"].map(Into::into).into();
        words.push(format!("XDG_CACHE_HOME={}", cache.display()).into());
        let [_, build, _] = &self.page;
        words.extend(build.iter().map(|word| match word.as_str() {
            "xenup" => self.program.clone().into(),
            GUEST => role.into(),
            "linux-source-6.1" => self.tree.clone().into(),
            other => other.into(),
        }));
        words.push("--output".into());
        words.push(output.into());
        words
    }

    /// Root is shown what a build needs, and builds nothing.
    fn nothing_is_missing(&self) -> Result<bool, Failure> {
        let [missing, ..] = &self.page;
        let words = missing.iter().skip(1).map(|word| match word.as_str() {
            "linux-source-6.1" => self.tree.clone().into_os_string(),
            other => other.into(),
        });
        let said = Tool::new(&self.program).args(words).arg("--plan").timeout(LIMIT).run()?.text();
        print!("as root: {said}");
        Ok(said.contains("Nothing to do: what building a kernel needs is here."))
    }

    /// A build that is killed once it is well under way, and the same command again.
    fn killed_and_gone_on_with(&self) -> Result<PathBuf, Failure> {
        let output = self.folder.join("out/killed");
        let words = self.words(GUEST, &self.folder.join("first"), &output);
        let mut pid = String::new();
        let mut killed = false;
        let tool = Tool::new("sh").args(["-c", "echo pid $$; exec \"$@\"", "sh"]).args(&words).timeout(LIMIT);
        let ended = tool.run_lines(&mut |line| {
            println!("  {line}");
            if let Some(number) = line.strip_prefix("pid ") {
                pid = number.to_owned();
            }
            if line.starts_with(KILLED_AT) && !killed {
                killed = Tool::new("kill").args(["-KILL", &pid]).run().is_ok();
            }
        });
        if !killed || ended.is_ok() {
            return Err("the build ended before it could be killed".into());
        }
        println!("killed; once more");
        let mut went_on = false;
        self.build(&words, &mut |line| {
            went_on |= line.contains("going on with the build that was not finished")
        })?;
        if went_on { Ok(output) } else { Err("it did not say that it goes on".into()) }
    }

    fn in_one_go(&self) -> Result<PathBuf, Failure> {
        let output = self.folder.join(WHOLE);
        self.build(&self.words(GUEST, &self.folder.join("second"), &output), &mut |_| {})?;
        Ok(output)
    }

    fn build(&self, words: &[std::ffi::OsString], each: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        let watch = Stopwatch::start();
        let (program, args) = words.split_first().ok_or("no words")?;
        Tool::new(program).args(args).timeout(LIMIT).run_lines(&mut |line| {
            println!("  {line}");
            each(line);
        })?;
        println!("built in {:.0} s", watch.elapsed().as_secs_f64());
        Ok(())
    }

    /// Where there is no room, that is said first.
    fn no_room(&self) -> Result<bool, Failure> {
        let cache = self.folder.join("no-room");
        let tool = Tool::new("unshare").args(["--mount", "sh", "-c", NO_ROOM, "sh"]).arg(&cache);
        let output =
            tool.args(self.words(GUEST, &cache, &self.folder.join("out/none"))).timeout(LIMIT).output()?;
        let said = output.stderr_text();
        let good = said.contains("error: this build needs about ") && !said.contains("building in");
        if !good {
            println!("without room: {said}");
        }
        Ok(good)
    }

    fn installed(&self, folder: &Path) -> Result<bool, Failure> {
        let tool = Tool::new("unshare").args(["--mount", "sh", "-euc", INSTALLED, "sh"]).arg(&self.program);
        let output = tool.arg(folder).arg(&self.folder).output()?;
        print!("{}{}", output.text(), output.stderr_text());
        Ok(output.status.success() && output.text().contains("type = \"pvh\""))
    }
}
