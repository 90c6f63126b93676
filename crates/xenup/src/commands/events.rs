//! The engine's events as lines. Decides their words; never reads the journal.

use xenup_engine::event::Event;
use xenup_engine::journal::{Cause, UndoNote};
use xenup_engine::packages::is_counting;
use xenup_engine::plan::Slug;
use xenup_engine::rollback::Report;

use crate::commands::status::because;
use crate::ui::Ui;

/// Shows one event.
pub fn show(ui: &mut Ui, event: &Event) {
    match event {
        Event::Run { run } => ui.status(format!("run {run}")),
        Event::StageStarted { title, number, of, stage } => {
            ui.status(format!("[{number}/{of}] {stage}: {title}"))
        }
        Event::GuardArmed { seconds, .. } => {
            ui.status(format!("  guarded: undone by itself after {seconds} s without a confirm, a crash and a reboot included"));
        }
        Event::StepStarted { title, number, of, .. } => ui.status(format!("  {number}/{of} {title}")),
        Event::Line { text, .. } if is_counting(text) => {}
        Event::Line { text, .. } => ui.status(format!("      {text}")),
        Event::StepDone { .. }
        | Event::StepUndone { .. }
        | Event::StepReturned { .. }
        | Event::AwaitingConfirm { .. } => {}
        Event::StepFailed { step, why } => ui.error(format!("step {step} failed: {}", one_line(why))),
        Event::StageVerified { stage } => ui.status(format!("  {stage} verified")),
        Event::Confirmed { stage } => ui.status(format!("{stage} confirmed")),
        Event::UndoStarted { stages, why, steps } => {
            let names: Vec<&str> = stages.iter().map(Slug::as_str).collect();
            if is_unsaid(why, stages) {
                ui.error(one_line(&because(why)));
            }
            ui.status(format!("undoing {} of {}", count(*steps, "step"), names.join(", ")));
        }
        Event::TakeBackStarted { stage, steps, seconds } => {
            ui.status(format!("undoing {} of {stage} first, under a guard", count(*steps, "step")));
            ui.status(format!(
                "  guarded: comes back by itself after {seconds} s without a confirm, a crash and a reboot included"
            ));
        }
        Event::ReturnStarted { stage, why } => {
            ui.status(format!("bringing {stage} back: {}", because(why)));
        }
        Event::ReturnFailed { step, why } => ui.warning(format!("{step} could not be brought back: {why}")),
        Event::UndoFailed { step, why } => ui.warning(format!("{step} could not be undone: {why}")),
        Event::LeftAsChanged { what, .. } => ui.warning(format!("left as somebody changed it: {what}")),
        Event::KeptBeside { path, kept, .. } => {
            ui.warning(format!(
                "{} was changed by somebody else; theirs is now {}",
                path.display(),
                kept.display()
            ));
        }
        Event::Warning { text } => ui.warning(text),
    }
}

/// A step that failed has said why; what else ends a stage is said where its undo begins.
fn is_unsaid(why: &Cause, stages: &[Slug]) -> bool {
    match why {
        Cause::Asked => false,
        Cause::StepFailed { step, .. } => stages.contains(step),
        _ => true,
    }
}

/// A cause may be what a program said over several lines.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Says that what others had changed was left.
pub fn say_left(ui: &mut Ui, report: &Report) {
    ui.error(format!("undone, but for what somebody else had changed: {}", report.left().join("; ")));
    ui.hint("look at each, and put it back by hand where it is not wanted");
}

/// Says what an undo left, kept beside or could not do.
pub fn show_report(ui: &mut Ui, report: &Report) {
    ui.status(format!("{} undone and read again", count(report.undone.len(), "step")));
    show_rest(ui, report, "undone");
}

/// Says the same of a return.
pub fn show_return(ui: &mut Ui, report: &Report) {
    ui.status(format!("{} brought back and read again", count(report.undone.len(), "step")));
    show_rest(ui, report, "brought back");
}

fn show_rest(ui: &mut Ui, report: &Report, what: &str) {
    for (step, note) in &report.notes {
        ui.status(format!("  {step}: {}", note_words(note)));
    }
    for (step, why) in &report.failed {
        ui.warning(format!("{step} could not be {what}: {why}"));
    }
    if let Some(why) = &report.unrecorded {
        ui.warning(format!("the journal could not be written: {why}"));
    }
}

fn note_words(note: &UndoNote) -> String {
    match note {
        UndoNote::LeftAsChanged { what } => format!("left as somebody changed it since: {what}"),
        UndoNote::KeptBeside { path, kept } => {
            format!("{} was changed since; that version is now {}", path.display(), kept.display())
        }
        UndoNote::EndedWithBoot => "had ended with the boot it was made in".to_owned(),
        UndoNote::Irreversible { why } => format!("cannot be undone: {why}"),
        UndoNote::UnpackedInPart { package } => UndoNote::unpacked_in_part(package),
        UndoNote::RegeneratedDifferently { path } => {
            format!("{} was made again by its owner, and differs from before", path.display())
        }
    }
}
