//! A plan as text: every file as a diff, every package, every command, with its reason, its risk and how it is undone.
//!
//! Decides: the words and their order; nothing of the plan is left out.
//! Never: uses colour or the width of a terminal. The same plan is the same text everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use similar::TextDiff;
use xenup_engine::action::{Action, Condition, FileState, LineEdit, PackageChange, Undo, UnitState};
use xenup_engine::conditions::describe;
use xenup_engine::plan::{Plan, Risk, Stage, Step, Watch};

use crate::inspect::Facts;

/// What files say before a plan, by path.
pub type Before = BTreeMap<PathBuf, String>;

/// Returns the plan as text. `before` has the files it changes, as they are; one that is missing there is shown whole.
/// With `explain`, each step also says what it needs and what it leaves.
#[must_use]
pub fn text(plan: &Plan, before: &Before, explain: bool) -> String {
    if plan.is_empty() {
        return "Nothing to do: everything is as host.toml wants it.\n".to_owned();
    }
    let mut show = Show { text: String::new(), files: before.clone(), explain };
    let steps: usize = plan.stages.iter().map(|stage| stage.steps.len()).sum();
    let stages = plan.stages.len();
    let _ = writeln!(show.text, "To {}: {}, {}.", plan.purpose, count(stages, "stage"), count(steps, "step"));
    for (index, stage) in plan.stages.iter().enumerate() {
        let _ = writeln!(show.text, "\nStage {} of {stages}, {}: {}.", index + 1, stage.id, stage.title);
        let _ = writeln!(show.text, "{}", guard_words(stage));
        for (number, step) in stage.steps.iter().enumerate() {
            show.step(number + 1, step);
        }
        show.checks(stage);
    }
    show.left_out(plan);
    show.text
}

/// Returns the plan in short: a line for each stage, with what can go wrong in it.
#[must_use]
pub fn summary(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for stage in &plan.stages {
        let risks: BTreeSet<Risk> = stage.steps.iter().flat_map(|step| step.risks.iter().copied()).collect();
        let risks: Vec<&str> = risks.into_iter().map(risk_words).collect();
        let risks = if risks.is_empty() { String::new() } else { format!("; {}", risks.join("; ")) };
        let title = &stage.title;
        lines.push(format!("{}: {title}, {}{risks}", stage.id, count(stage.steps.len(), "step")));
        lines.extend(
            (stage.guard.is_some() || stage.no_return.is_some()).then(|| format!("  {}", guard_words(stage))),
        );
    }
    lines
}

/// Returns what the files of the facts say, as far as the plan changes them.
#[must_use]
pub fn before(plan: &Plan, facts: &Facts) -> Before {
    let changed = |path: &Path| {
        plan.steps()
            .any(|(_, step)| matches!(&step.action, Action::File { path: changed, .. } if changed == path))
    };
    let all = facts.files.iter().chain(&facts.network.files);
    all.filter(|file| changed(&file.path)).map(|file| (file.path.clone(), file.text.clone())).collect()
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

struct Show {
    text: String,
    /// What the files say, as the steps so far leave them.
    files: Before,
    explain: bool,
}

const INDENT: &str = "     ";

impl Show {
    fn line(&mut self, label: &str, text: &str) {
        let text = text.replace('\n', &format!("\n{INDENT}  "));
        let _ = writeln!(self.text, "{INDENT}{label}: {text}");
    }

    fn block(&mut self, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.text, "{}", format!("{INDENT}| {line}").trim_end());
        }
    }

    fn step(&mut self, number: usize, step: &Step) {
        let _ = writeln!(self.text, "\n{number:3}. {} ({})", step.title, step.id);
        self.line("why", &step.why);
        if !step.risks.is_empty() {
            let risks: Vec<&str> = step.risks.iter().map(|risk| risk_words(*risk)).collect();
            self.line("risk", &risks.join("; "));
        }
        self.line("undo", &undo_words(step));
        if self.explain && !step.needs.is_empty() {
            self.line("only if", &step.needs.iter().map(condition).collect::<Vec<_>>().join("; "));
        }
        self.action(&step.action);
        if self.explain && !step.leaves.is_empty() {
            self.line("then", &step.leaves.iter().map(condition).collect::<Vec<_>>().join("; "));
        }
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::File { path, state, .. } => self.file(path, state),
            Action::Packages { changes } => {
                let lines: String = changes.iter().map(package).collect();
                self.block(&lines);
            }
            Action::Upgrade { changes, only_fetch: true, .. } => {
                let named = changes.iter().filter(|change| change.asked);
                let named: String = named.map(|change| format!(" {}", change.name)).collect();
                self.block(&format!("apt-get --download-only full-upgrade{named}"));
            }
            Action::Upgrade { changes, removes, .. } => {
                let gone: String = removes.iter().map(|name| format!("{name}  (taken away)\n")).collect();
                let lines: String = changes.iter().map(upgraded).collect();
                self.block(&format!("{gone}{lines}"));
            }
            Action::Unit { unit, state } => self.block(&unit_words(unit, state)),
            Action::Links { ops, .. } => {
                let lines: String = ops.iter().map(|op| format!("{op}\n")).collect();
                self.block(&lines);
            }
            Action::BootVariable { name, value } => {
                let command = match value {
                    Some(value) => format!("grub-editenv - set {name}={value}"),
                    None => format!("grub-editenv - unset {name}"),
                };
                self.block(&command);
            }
            Action::Run { forward, generates, .. } => {
                if let Some(forward) = forward {
                    self.block(&forward.line());
                }
                let list: Vec<String> = generates.iter().map(|path| path.display().to_string()).collect();
                if self.explain && !list.is_empty() {
                    self.line("makes", &list.join(", "));
                }
            }
        }
    }

    fn file(&mut self, path: &Path, state: &FileState) {
        let before = self.files.get(path).cloned();
        let after = match state {
            FileState::Absent => String::new(),
            FileState::Text { text, .. } => text.clone(),
            FileState::Edited { lines } => return self.edited(path, lines),
            FileState::Dir { mode } => return self.block(&format!("mkdir -m {mode:04o} {}", path.display())),
            FileState::Link { target } => {
                return self.block(&format!("ln -sfn {} {}", target.display(), path.display()));
            }
        };
        let name = path.display().to_string();
        let old_name = if before.is_some() { name.as_str() } else { "/dev/null" };
        let new_name = if matches!(state, FileState::Absent) { "/dev/null" } else { name.as_str() };
        let before = before.unwrap_or_default();
        let diff = TextDiff::from_lines(before.as_str(), after.as_str());
        let diff = diff.unified_diff().context_radius(3).header(old_name, new_name).to_string();
        self.block(&diff);
        self.files.insert(path.to_owned(), after);
    }

    /// A file nobody has seen yet: the lines are what is known.
    fn edited(&mut self, path: &Path, edits: &[LineEdit]) {
        if let Some(text) = self.files.get(path).and_then(|text| LineEdit::apply_all(edits, text)) {
            return self.file(path, &FileState::Text { text, mode: 0 });
        }
        let mut text = format!("--- {0}\n+++ {0}\n", path.display());
        for edit in edits {
            let _ = writeln!(text, "@@ the line as its package brings it @@\n-{}", edit.from);
            text.extend(edit.to.lines().map(|line| format!("+{line}\n")));
        }
        self.block(&text);
    }

    fn left_out(&mut self, plan: &Plan) {
        if plan.not_restored.is_empty() {
            return;
        }
        self.text.push_str("\nA rollback brings everything back but:\n");
        for one in &plan.not_restored {
            let _ = writeln!(self.text, "  - {one}");
        }
    }

    fn checks(&mut self, stage: &Stage) {
        if stage.checks.is_empty() {
            return;
        }
        let when = match stage.guard.as_ref().map(|guard| guard.watch) {
            Some(Watch::TrialBoot) => "In the trial boot it is checked that",
            _ => "Then it is checked that",
        };
        let _ = writeln!(self.text, "\n{when}:");
        for check in &stage.checks {
            let _ = writeln!(self.text, "  - {}", condition(check));
        }
    }
}

fn guard_words(stage: &Stage) -> String {
    if let Some(why) = &stage.no_return {
        return format!(
            "Once it has begun there is no way back: {why}. What stops it leaves it there; apply goes on."
        );
    }
    let Some(guard) = &stage.guard else { return "It is kept as soon as it is verified.".to_owned() };
    let time = match guard.deadline_seconds {
        seconds if seconds % 60 == 0 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} seconds"),
    };
    match guard.watch {
        Watch::Network => {
            format!("It undoes itself after {time}, at a restart too, unless it is confirmed.")
        }
        Watch::TrialBoot => {
            format!(
                "It undoes itself {time} after that boot, by a restart to the default entry, unless it is confirmed."
            )
        }
    }
}

fn package(change: &PackageChange) -> String {
    let how = if change.asked { "" } else { "  (needed by the others)" };
    let from = change.from.as_ref().map(|from| format!("  (now {from})")).unwrap_or_default();
    format!("{} {}{from}{how}\n", change.name, change.version)
}

fn upgraded(change: &PackageChange) -> String {
    let from = change.from.as_ref().map_or_else(|| "new".to_owned(), |from| format!("now {from}"));
    format!("{} {}  ({from})\n", change.name, change.version)
}

fn unit_words(unit: &str, state: &UnitState) -> String {
    let words = [
        state.enabled.map(|enabled| if enabled { "enable" } else { "disable" }),
        state.active.map(|active| if active { "start" } else { "stop" }),
    ];
    words.into_iter().flatten().map(|word| format!("systemctl {word} {unit}\n")).collect()
}

fn risk_words(risk: Risk) -> &'static str {
    match risk {
        Risk::CutsNetwork => "can cut the way in over the network",
        Risk::DecidesBoot => "decides what boots next",
        Risk::TouchesServices => "starts or stops services",
        Risk::NeedsReboot => "takes effect at the next boot",
    }
}

fn undo_words(step: &Step) -> String {
    match (&step.undo, &step.action) {
        (Undo::Irreversible { why }, _) => format!("not possible: {why}"),
        (Undo::Command, Action::Run { backward: Some(command), put_back: true, .. }) => {
            format!("what was made is put back as it was; {} where others have made it since", command.line())
        }
        (Undo::Command, Action::Run { backward: Some(command), .. }) => command.line(),
        (Undo::Command, _) => "nothing to undo here".to_owned(),
        (Undo::Restore, Action::File { .. }) => {
            "the journal brings back what was there, byte for byte".to_owned()
        }
        (Undo::Restore, Action::Packages { .. }) => {
            "the packages are purged, and those that were there are as they were".to_owned()
        }
        (Undo::Restore, Action::Upgrade { .. }) => {
            "nothing to undo here: archives stay in apt's cache".to_owned()
        }
        (Undo::Restore, Action::Links { .. }) => {
            "links, addresses and routes are put back as the journal has them".to_owned()
        }
        (Undo::Restore, _) => "the journal brings back what was there".to_owned(),
    }
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Room { path, bytes } => format!("{} has {} MiB free", path.display(), bytes >> 20),
        other => describe(other),
    }
}
