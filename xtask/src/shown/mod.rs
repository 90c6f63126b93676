//! What the README, the handbook and the examples show: every block is run, read as what it is, or has a reason why not;
//! every command of ours has options that exist; every link leads somewhere.
//!
//! Decides: which documents are looked at, and what a kind of file is read by. Never runs a block that is not marked to
//! be run, and never outside a copy of the folder that it names.

mod text;

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_core::guest::GuestFile;
use xenup_core::host::Host;
use xenup_core::install::Answers;
use xenup_core::kernel::profile::Part;
use xenup_core::network::interfaces::InterfacesFile;
use xenup_system::files::{self, WorkDir};
use xenup_system::process::Tool;

use text::{Block, Mark};

type Failure = Box<dyn std::error::Error>;

/// What was looked at.
#[derive(Debug, Default)]
struct Count {
    run: usize,
    /// By tests that take them from the page.
    elsewhere: usize,
    /// Compared with what a rehearsal types into its machine.
    typed: usize,
    read: usize,
    excused: usize,
    commands: usize,
    links: usize,
}

/// Looks at every document; prints each fault with its file and line.
///
/// # Errors
/// The programs cannot be built, or a document not read.
pub fn run() -> crate::Outcome {
    let project = crate::project();
    let programs = Programs {
        xenup: crate::package::debug_program()?,
        xtask: xenup_system::environment::this_program()?,
    };
    let (mut count, mut faults) = (Count::default(), Vec::new());
    for path in documents(&project)? {
        let name = path.strip_prefix(&project).unwrap_or(&path).display().to_string();
        let content = files::read_text(&path)?;
        let (blocks, prose) = text::blocks(&content);
        for block in &blocks {
            let fault = judge(&name, block, &programs, &mut count).err();
            faults.extend(fault.map(|fault| format!("{name}:{}: {fault}", block.line)));
        }
        let shown = blocks.iter().flat_map(text::commands_of_block).chain(text::commands_of_prose(&prose));
        for command in shown {
            count.commands += 1;
            faults.extend(programs.know(&command).err().map(|fault| format!("{name}: {fault}")));
        }
        for line in text::indented(&prose) {
            faults.push(format!(
                "{name}:{line}: a block by its indent alone cannot say what is done with it\nhint: put it between fences"
            ));
        }
        for link in text::links(&prose) {
            count.links += 1;
            if !files::exists(&path.parent().unwrap_or(&project).join(&link)) {
                faults.push(format!("{name}: the link to {link} leads nowhere"));
            }
        }
    }
    faults.extend(not_in_the_book(&project)?);
    count.read += examples(&project, &mut faults)?;
    for fault in &faults {
        println!("{fault}");
    }
    let Count { run, elsewhere, typed, read, excused, commands, links } = count;
    println!(
        "{run} blocks run, {elsewhere} by tests that take them from the page, {typed} compared with what a rehearsal types, \
         {read} read as the file that they are or found in one, {excused} with a reason why not; options of {commands} commands exist, \
         {links} links lead to a file"
    );
    Ok(faults.is_empty())
}

/// Returns the one block of a page that has this in it, for a check that runs it in a machine or a tree of its own.
///
/// # Errors
/// The page cannot be read, or has not one such block.
pub fn block(page: &str, has: &str) -> Result<String, Failure> {
    let (blocks, _) = text::blocks(&files::read_text(&crate::project().join(page))?);
    let bodies = blocks.iter().map(|block| block.lines.join("\n"));
    match bodies.filter(|body| body.contains(has)).collect::<Vec<_>>().as_slice() {
        [one] => Ok(one.clone()),
        many => Err(format!("{page} has {} blocks with `{has}`, not one", many.len()).into()),
    }
}

/// Returns the commands of ours in the one block of a page that has this in it, each as its words.
///
/// # Errors
/// As [`block`].
pub fn commands(page: &str, has: &str) -> Result<Vec<Vec<String>>, Failure> {
    let lines = block(page, has)?.lines().map(str::to_owned).collect();
    Ok(text::commands_of_block(&Block { line: 1, info: "sh".to_owned(), lines }))
}

/// README.md, CONTRIBUTING.md and everything below docs.
fn documents(project: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = vec![project.join("README.md"), project.join("CONTRIBUTING.md")];
    let mut folders = vec![project.join("docs")];
    while let Some(folder) = folders.pop() {
        for path in files::list(&folder)? {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The pages of docs that the handbook's table of contents does not have.
fn not_in_the_book(project: &Path) -> Result<Vec<String>, Failure> {
    let contents = project.join("docs/SUMMARY.md");
    let listed = text::links(&files::read_text(&contents)?);
    let mut faults = Vec::new();
    for path in documents(project)? {
        let below = path.strip_prefix(project.join("docs")).map(|path| path.display().to_string());
        if let Ok(name) = below
            && name != "SUMMARY.md"
            // design/README.md lists the decisions itself.
            && (!name.starts_with("design/") || name == "design/README.md")
            && !listed.contains(&name)
        {
            faults.push(format!("docs/SUMMARY.md: {name} is not in the handbook"));
        }
    }
    Ok(faults)
}

/// Reads every example that the package brings as what it is; a preseed file knows no question that is not asked.
fn examples(project: &Path, faults: &mut Vec<String>) -> Result<usize, Failure> {
    let asked = files::read_text(&project.join("debian/xenup-udeb.templates"))?;
    let all = files::list(&project.join("examples"))?;
    for path in &all {
        let name = path.strip_prefix(project).unwrap_or(path).display().to_string();
        let content = files::read_text(path)?;
        let kind = match path.file_name().and_then(|name| name.to_str()) {
            Some("answers.toml") => "answers.toml",
            Some(name) if name.ends_with(".toml") => "host.toml",
            _ => "preseed",
        };
        faults.extend(read_as(kind, &content).err().map(|fault| format!("{name}: {fault}")));
        let questions = content.split_whitespace().filter(|word| word.starts_with("xenup-udeb/"));
        let unknown = questions.filter(|word| !asked.contains(&format!("Template: {word}\n")));
        faults.extend(unknown.map(|word| format!("{name}: nothing asks {word}")));
    }
    Ok(all.len())
}

/// Does with a block what its mark says.
fn judge(page: &str, block: &Block, programs: &Programs, count: &mut Count) -> Result<(), Failure> {
    match text::mark(&block.info) {
        None => Err(format!(
            "`{}` does not say what is done with the block\nhint: ```sh run in FOLDER, ```toml as host.toml, or ```sh not run: REASON",
            block.info
        )
        .into()),
        Some(Mark::NotRun(reason)) => {
            count.excused += 1;
            match text::checks_named(&reason).into_iter().find(|name| !crate::check::exists(name)) {
                Some(name) => Err(format!("there is no check `{name}`").into()),
                None => Ok(()),
            }
        }
        Some(Mark::As(kind)) => {
            count.read += 1;
            read_as(&kind, &block.lines.join("\n"))
        }
        Some(Mark::RunBy(file)) => {
            count.elsewhere += 1;
            taken_from(&file, page, block)
        }
        Some(Mark::TypedBy(file)) => {
            count.typed += 1;
            taken_from(&file, page, block)
        }
        Some(Mark::ShownIn(file)) => {
            count.read += 1;
            shown_in(&file, block)
        }
        Some(Mark::RunAt(folder, path)) => {
            count.run += 1;
            programs.run_at(&folder, &path, &block.lines.join("\n"))
        }
        Some(Mark::RunIn(folder)) => {
            count.run += 1;
            if block.info.starts_with("console ") {
                programs.compare(&folder, &block.lines)
            } else {
                programs.run(&folder, &block.lines.join("\n"))
            }
        }
    }
}

/// Whether a test takes this block: it names the page, and behind it words that this block has.
fn taken_from(file: &str, page: &str, block: &Block) -> Result<(), Failure> {
    let test = files::read_text(&crate::project().join(file))?;
    let body = block.lines.join("\n");
    if text::words_behind(&test, page).iter().any(|words| body.contains(words)) {
        return Ok(());
    }
    Err(format!("{file} does not take this block from {page}").into())
}

/// Whether a block's lines follow each other in a file of a case.
fn shown_in(file: &str, block: &Block) -> Result<(), Failure> {
    let text = files::read_text(&crate::project().join(file))?;
    let there: Vec<&str> = text.lines().collect();
    let shown: Vec<&str> = block.lines.iter().map(String::as_str).chain(["…"]).collect();
    if (0..there.len()).filter_map(|start| there.get(start..)).any(|rest| text::printed(&shown, rest)) {
        return Ok(());
    }
    Err(format!("{file} does not have these lines").into())
}

/// Reads a block as the file that it shows.
fn read_as(kind: &str, text: &str) -> Result<(), Failure> {
    let bytes = format!("{text}\n").into_bytes();
    match kind {
        "answers.toml" => drop(Answers::parse(Path::new("answers.toml"), &bytes)?),
        "host.toml" => drop(Host::parse(Path::new("host.toml"), &bytes)?),
        "interfaces" => drop(InterfacesFile::parse("interfaces", bytes)?),
        "kernel-part" => drop(Part::parse("mine", "mine.toml", text)?),
        "xl.cfg" => drop(GuestFile::parse("guest.cfg", bytes)?),
        "shell" => drop(Tool::new("sh").arg("-n").stdin(bytes).run()?),
        "preseed" => drop(Tool::new("debconf-set-selections").arg("--checkonly").stdin(bytes).run()?),
        "profile" => drop(serde_json::from_slice::<serde_json::Value>(&bytes)?),
        other => return Err(format!("nothing reads a file of the kind `{other}`").into()),
    }
    Ok(())
}

/// The programs of the project, as they were just built.
struct Programs {
    xenup: PathBuf,
    xtask: PathBuf,
}

impl Programs {
    /// Whether a command's verbs and options exist, and its values can be read.
    fn know(&self, command: &[String]) -> Result<(), String> {
        let Some((program, words)) = command.split_first() else { return Ok(()) };
        let path = if program == "xtask" { &self.xtask } else { &self.xenup };
        // Everything before the question for help is judged; the command of a guard is none of ours.
        let own: Vec<&String> = words.iter().take_while(|word| *word != "--").collect();
        let tool = Tool::new(path).args(own).arg("--help").timeout(Duration::from_secs(60));
        match tool.run() {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("`{}`: {error}", command.join(" "))),
        }
    }

    /// Runs a script in a copy of a folder.
    fn run(&self, folder: &str, script: &str) -> Result<(), Failure> {
        let work = copied(folder)?;
        self.shell(&work, script).run()?;
        Ok(())
    }

    /// Runs a script in an empty folder, with a copy of a folder of the project where the page has it on the machine, in
    /// mounts of its own.
    fn run_at(&self, folder: &str, path: &str, script: &str) -> Result<(), Failure> {
        let (copy, work) = (copied(folder)?, WorkDir::new_in(&crate::project().join("target"), "shown-")?);
        let top = Path::new(path).parent().unwrap_or(Path::new("/"));
        let shown = self.shell(&work, PLACED);
        shown.arg("sh").arg(copy.path()).arg(top).arg(path).arg(script).run()?;
        Ok(())
    }

    /// Runs the commands of a console one after another, and compares what each prints with what is shown.
    fn compare(&self, folder: &str, lines: &[String]) -> Result<(), Failure> {
        let work = copied(folder)?;
        for shown in text::console(lines) {
            let printed = self.shell(&work, shown.command).run()?.text();
            if !text::printed(&shown.output, &printed.lines().collect::<Vec<_>>()) {
                return Err(
                    format!("`{}` prints something else than is shown:\n{printed}", shown.command).into()
                );
            }
        }
        Ok(())
    }

    /// A shell in a folder, with these programs first in PATH.
    fn shell(&self, work: &WorkDir, script: &str) -> Tool {
        let bin = self.xenup.parent().unwrap_or(work.path()).display().to_string();
        Tool::new("sh")
            .args(["-euc", script])
            .current_dir(work.path())
            .env_clear()
            .env("PATH", format!("{bin}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"))
            .env("HOME", work.path())
            .timeout(Duration::from_secs(60))
    }
}

/// Has the folder `$1` at `$3`, in the folder `$2` of the machine, for the script `$4` alone.
const PLACED: &str = r#"[ "$(id -u)" = 0 ] || user=--map-root-user
exec unshare ${user:-} --mount sh -euc 'mount -t tmpfs tmpfs "$2"; mkdir -p "$3"; mount --bind "$1" "$3"; eval "$4"' sh "$@""#;

/// Copies a folder of the project.
fn copied(folder: &str) -> Result<WorkDir, Failure> {
    let project = crate::project();
    let work = WorkDir::new_in(&project.join("target"), "shown-")?;
    Tool::new("cp").arg("-a").arg(project.join(folder).join(".")).arg(work.path()).run()?;
    Ok(work)
}
