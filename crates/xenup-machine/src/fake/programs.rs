//! The programs of the fake: systemd's, GRUB's, and a few small ones, as far as the engine calls them.
//!
//! Decides: which files they read and write, and in which careless ways. Each write of a program is a write of
//! the machine, where a fault can strike. Never: starts anything.

use std::path::{Path, PathBuf};

use crate::process::{Command, Output, Query};
use crate::{MachineError, Reason};

use super::fault::Moment;
use super::{FakeMachine, Sync};

const GRUBENV: &str = "/boot/grub/grubenv";
const GRUB_CFG: &str = "/boot/grub/grub.cfg";
const SIGNATURE: &str = "# GRUB Environment Block\n";
const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";

pub(super) fn said(text: &str) -> Output {
    Output { status: 0, stdout: text.as_bytes().to_vec(), stderr: Vec::new() }
}

pub(super) fn failed(status: i32, words: &str) -> Output {
    Output { status, stdout: Vec::new(), stderr: words.as_bytes().to_vec() }
}

fn no_such(doing: &'static str, program: &str) -> MachineError {
    MachineError::new(doing, program, Reason::NotFound, "No such file or directory (os error 2)")
}

impl FakeMachine {
    pub(super) fn ask(&self, query: &Query) -> Result<Output, MachineError> {
        let args: Vec<&str> = query.args.iter().map(String::as_str).collect();
        match (query.program.as_str(), args.as_slice()) {
            ("true", _) => Ok(said("")),
            ("false", _) => Ok(failed(1, "")),
            ("dpkg-query", args) => Ok(self.query_dpkg(args)),
            ("dpkg", ["--print-architecture"]) => Ok(said("amd64\n")),
            ("apt-mark", ["showauto"]) => {
                Ok(said(&self.automatic().iter().map(|name| format!("{name}\n")).collect::<String>()))
            }
            ("apt-get", args) => Ok(self.query_apt_get(args)),
            ("systemctl", ["is-enabled", unit]) => Ok(match self.enabled_word(unit) {
                "" => failed(1, "Failed to get unit file state"),
                word => said(&format!("{word}\n")),
            }),
            ("systemctl", ["is-active", unit]) => {
                Ok(said(if self.world.active.contains(*unit) { "active\n" } else { "inactive\n" }))
            }
            (program, _) => Err(no_such("run", program)),
        }
    }

    /// Runs a program. Where a write of it fails, it complains and ends; where it is killed, so are we.
    pub(super) fn start(&mut self, command: &Command) -> Result<Output, MachineError> {
        let args: Vec<&str> = command.args.iter().map(String::as_str).collect();
        let done = match command.program.as_str() {
            "sync" => self.run_sync(),
            "true" => Ok(said("")),
            "false" => Ok(failed(1, "false")),
            "apt-get" => self.run_apt_get(&args),
            "apt-mark" => self.run_apt_mark(&args),
            "dpkg" => self.run_dpkg(&args),
            "systemctl" => self.run_systemctl(&args),
            "grub-editenv" => self.run_grub_editenv(&args),
            "update-grub" => self.update_grub().map(|()| said("done\n")),
            program => Err(no_such("run", program)),
        };
        match done {
            Err(error) if self.is_running() && error.doing != "run" => Ok(failed(1, &error.to_string())),
            other => other,
        }
    }

    fn run_sync(&mut self) -> Result<Output, MachineError> {
        self.write("sync", Path::new("/"), false, |world, _| {
            if world.lost_syncs != Some(Sync::Everything) {
                world.disk.sync_all();
            }
            Ok(said(""))
        })
    }

    /// Writes a file as programs do: in place, and synced by nobody.
    pub(super) fn program_writes(&mut self, path: &Path, text: &str) -> Result<(), MachineError> {
        self.write("write", path, true, |world, moment| {
            let bytes = text.as_bytes();
            let part = if moment == Moment::Middle { bytes.len() / 2 } else { bytes.len() };
            world.disk.overwrite(path, bytes.get(..part).unwrap_or_default())
        })
    }

    pub(super) fn program_removes(&mut self, path: &Path) -> Result<(), MachineError> {
        if !self.exists(path) {
            return Ok(());
        }
        self.write("remove", path, false, |world, _| world.disk.remove_file(path))
    }

    // --- systemctl ---

    fn unit_file(unit: &str) -> PathBuf {
        Path::new("/lib/systemd/system").join(unit)
    }

    fn enabled_word(&self, unit: &str) -> &'static str {
        if self.exists(&Path::new(WANTS).join(unit)) {
            "enabled"
        } else if self.text(&Self::unit_file(unit)).contains("[Install]") {
            "disabled"
        } else if self.exists(&Self::unit_file(unit)) {
            "static"
        } else {
            ""
        }
    }

    fn run_systemctl(&mut self, args: &[&str]) -> Result<Output, MachineError> {
        let [verb, unit] = args else { return Ok(failed(1, "Unknown command verb")) };
        let (file, link) = (Self::unit_file(unit), Path::new(WANTS).join(unit));
        if !self.exists(&file) && *verb != "stop" {
            return Ok(failed(1, &format!("Unit file {unit} does not exist.")));
        }
        match *verb {
            "enable" => {
                let wants = Path::new(WANTS);
                if !self.exists(wants) {
                    self.write("create", wants, false, |world, _| {
                        world.disk.create_dir(wants, &crate::file::Attributes::root(0o755))
                    })?;
                }
                self.write("link", &link, false, |world, _| {
                    let attributes = crate::file::Attributes::root(0o777);
                    world.disk.create_symlink(&link, &file, &attributes)
                })?;
            }
            "disable" => {
                self.program_removes(&link)?;
                let wants = Path::new(WANTS);
                if self.world.disk.list(wants).is_ok_and(|names| names.is_empty()) {
                    self.write("remove", wants, false, |world, _| world.disk.remove_dir(wants))?;
                }
            }
            "start" | "stop" => {
                let (starts, unit) = (*verb == "start", (*unit).to_owned());
                self.write("signal", &file, false, |world, _| {
                    if starts {
                        world.active.insert(unit.clone())
                    } else {
                        world.active.remove(&unit)
                    };
                    Ok(())
                })?;
            }
            _ => return Ok(failed(1, "Unknown command verb")),
        }
        Ok(said(""))
    }

    // --- GRUB ---

    fn run_grub_editenv(&mut self, args: &[&str]) -> Result<Output, MachineError> {
        let path = Path::new(GRUBENV);
        if !self.exists(path) {
            self.program_writes(path, &block(&[]))?;
        }
        let text = self.text(path);
        let Some(body) = text.strip_prefix(SIGNATURE) else {
            return Ok(failed(1, "grub-editenv: error: invalid environment block."));
        };
        let known = body.lines().filter(|line| !line.starts_with('#'));
        let mut lines: Vec<String> = known.map(str::to_owned).collect();
        match args {
            ["-", "set", assignment] => {
                let name = assignment.split('=').next().unwrap_or_default();
                let place = lines.iter().position(|line| line.split('=').next() == Some(name));
                match place.and_then(|at| lines.get_mut(at)) {
                    Some(line) => (*assignment).clone_into(line),
                    None => lines.push((*assignment).to_owned()),
                }
            }
            ["-", "unset", name] => lines.retain(|line| line.split('=').next() != Some(*name)),
            _ => return Ok(failed(1, "grub-editenv: unknown command")),
        }
        self.program_writes(path, &block(&lines))?;
        Ok(said(""))
    }

    /// Makes grub.cfg from what there is. As Debian's grub-mkconfig it writes beside, and then over the old one
    /// in place.
    pub(super) fn update_grub(&mut self) -> Result<(), MachineError> {
        let mut text = String::from("# made by update-grub\n");
        text += &self.text(Path::new("/etc/default/grub"));
        let dir = Path::new("/etc/default/grub.d");
        for name in self.world.disk.list(dir).unwrap_or_default() {
            if name.as_encoded_bytes().ends_with(b".cfg") {
                text += &self.text(&dir.join(name));
            }
        }
        for name in self.world.disk.list(Path::new("/boot")).unwrap_or_default() {
            let name = name.to_string_lossy();
            if name.starts_with("vmlinuz") || name.starts_with("xen-") {
                text += &format!("menuentry {name}\n");
            }
        }
        let beside = Path::new("/boot/grub/grub.cfg.new");
        self.program_writes(beside, &text)?;
        self.program_writes(Path::new(GRUB_CFG), &text)?;
        self.program_removes(beside)
    }
}

/// Returns an environment block of GRUB's fixed size.
fn block(lines: &[String]) -> String {
    let mut text = SIGNATURE.to_owned();
    for line in lines {
        text += line;
        text.push('\n');
    }
    let rest = 1024_usize.saturating_sub(text.len());
    text + &"#".repeat(rest)
}
