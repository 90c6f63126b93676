//! `xenup docgen`: man pages, completions and schemas, from the same definitions the program runs on.

use std::path::Path;

use clap::{Command, CommandFactory as _, ValueEnum as _};
use clap_complete::Shell;
use xenup_system::files::{self, FileError};

use crate::args::{Args, Docgen};
use crate::error::{CommandError, Exit, Outcome};

/// Writes `man/`, `completions/` and `schema/` into the folder.
pub fn run(args: &Docgen) -> Outcome {
    write_all(&args.dir).map_err(CommandError::failed)?;
    Ok(Exit::Done)
}

fn write_all(dir: &Path) -> Result<(), FileError> {
    for folder in ["man", "completions", "schema"] {
        files::create_dir_all(&dir.join(folder))?;
    }
    let mut command = Args::command();
    command.build();
    manual(&dir.join("man"), &command, "xenup")?;
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = format!("xenup-{}", verb.get_name());
        manual(&dir.join("man"), verb, &name)?;
        for part in verb.get_subcommands().filter(|part| !part.is_hide_set()) {
            manual(&dir.join("man"), part, &format!("{name}-{}", part.get_name()))?;
        }
    }
    for shell in
        Shell::value_variants().iter().filter(|shell| matches!(shell, Shell::Bash | Shell::Zsh | Shell::Fish))
    {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut offered(&Args::command()), "xenup", &mut script);
        let name = match shell {
            Shell::Zsh => "_xenup",
            Shell::Fish => "xenup.fish",
            _ => "xenup.bash",
        };
        files::write(&dir.join("completions").join(name), &script)?;
    }
    schema::<xenup_core::inspect::Facts>(dir, "facts")?;
    schema::<xenup_core::kernel::report::Report>(dir, "kernel")?;
    schema::<xenup_core::kernel::profile::report::Made>(dir, "kernel-config")?;
    schema::<xenup_core::kernel::profile::report::Roles>(dir, "kernel-roles")?;
    schema::<xenup_core::kernel::describe::Described>(dir, "kernel-explain")?;
    schema::<xenup_core::kernel::compare::Compared>(dir, "kernel-diff")?;
    schema::<xenup_core::guest::list::GuestList>(dir, "guest-list")?;
    schema::<xenup_core::guest::lint::Checked>(dir, "guest-check")?;
    schema::<xenup_core::audit::Audit>(dir, "audit")?;
    schema::<xenup_core::upgrade::Check>(dir, "upgrade-check")?;
    schema::<xenup_core::guest::disk::GuestDisk>(dir, "guest-disk")?;
    schema::<xenup_core::tls::Report>(dir, "tls")?;
    schema::<xenup_core::network::import::Import>(dir, "network-import")?;
    schema::<xenup_core::network::show::Picture>(dir, "network-show")?;
    schema::<super::status::Told>(dir, "status")?;
    schema::<super::history::Told>(dir, "history")?;
    schema::<xenup_engine::plan::Plan>(dir, "plan")
}

/// Returns the command without the verbs that only xenup's own services call: a shell would offer them.
fn offered(command: &Command) -> Command {
    let shown = command.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
    let about = command.get_about().cloned().unwrap_or_default();
    let offered =
        Command::new("xenup").about(about).version(command.get_version().unwrap_or_default().to_owned());
    offered.disable_help_subcommand(true).args(command.get_arguments().cloned()).subcommands(shown)
}

fn manual(dir: &Path, command: &Command, name: &str) -> Result<(), FileError> {
    let date = "2026-11-22";
    let page = clap_mangen::Man::new(command.clone().name(name.to_owned()))
        .title(name.to_uppercase())
        .section("8")
        .date(date)
        .source("xenup")
        .manual("System administration");
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _ = page.render(&mut text);
    files::write(&dir.join(format!("{name}.8")), &text)
}

fn schema<T: schemars::JsonSchema>(dir: &Path, name: &str) -> Result<(), FileError> {
    let mut text = serde_json::to_string_pretty(&schemars::schema_for!(T)).unwrap_or_default();
    text.push('\n');
    files::write(&dir.join("schema").join(format!("{name}.schema.json")), text.as_bytes())
}
