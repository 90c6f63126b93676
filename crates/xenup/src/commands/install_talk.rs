//! Who `install` talks to: every console of a medium's machine, the terminal it was called on, or nobody. Decides where
//! words go; never what is said.

use std::time::Duration;

use xenup_core::install::meter;
use xenup_image::install::{Phase, Tell};
use xenup_system::consoles::Consoles;
use xenup_system::stopwatch::Stopwatch;

use crate::ui::Ui;

/// A meter is drawn anew so often.
const DRAWN: Duration = Duration::from_secs(1);
/// Where there is no terminal, a line comes so often.
const LINE: Duration = Duration::from_secs(10);

/// The other side.
pub struct Talk<'a> {
    ui: &'a mut Ui,
    consoles: Option<Consoles>,
    /// Columns that the meter takes.
    width: usize,
    phase: Option<(Phase, Stopwatch)>,
    drawn: Option<Stopwatch>,
}

impl<'a> Talk<'a> {
    /// With every console of the kernel, or the terminal of this process where it has one.
    pub fn new(ui: &'a mut Ui, kernels: bool) -> Self {
        let consoles = if kernels { Consoles::of_the_kernel() } else { Consoles::of_this_process() };
        Self { ui, consoles: consoles.ok(), width: 0, phase: None, drawn: None }
    }

    /// Whether anybody can answer.
    pub fn can_ask(&self) -> bool {
        self.consoles.is_some()
    }

    /// Says a line.
    pub fn say(&mut self, line: &str) {
        self.end_meter();
        match &mut self.consoles {
            Some(consoles) => consoles.write(&format!("{line}\n")),
            None => self.ui.status(line),
        }
    }

    /// Asks; `None` where nobody answers any more.
    pub fn ask(&mut self, prompt: &str, hidden: bool) -> Option<String> {
        self.end_meter();
        let consoles = self.consoles.as_mut()?;
        consoles.write(prompt);
        consoles.read_line(hidden, None)
    }

    /// Throws away what was typed before.
    pub fn forget_typed(&mut self) {
        if let Some(consoles) = &mut self.consoles {
            consoles.forget_typed();
        }
    }

    /// Says how far the disk is.
    pub fn tell(&mut self, tell: Tell) {
        let what = match tell.phase {
            Phase::Looking => "looking at the disk and the medium",
            Phase::Writing => "writing",
            Phase::Reading => "reading back",
            Phase::Own => "writing this machine's own files",
            Phase::Table => "writing the partition table",
        };
        let begins = self.phase.is_none_or(|(phase, _)| phase != tell.phase);
        if begins {
            self.phase = Some((tell.phase, Stopwatch::start()));
            self.drawn = None;
        }
        if tell.all == 0 {
            if begins {
                self.say(what);
            }
            return;
        }
        let often = if self.consoles.is_some() { DRAWN } else { LINE };
        let is_due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= often);
        let Some((_, watch)) = self.phase else { return };
        if !is_due && tell.done < tell.all {
            return;
        }
        self.drawn = Some(Stopwatch::start());
        let line = meter::line(what, tell.done, tell.all, watch.elapsed());
        let pad = self.width.saturating_sub(line.chars().count());
        match &mut self.consoles {
            Some(consoles) => {
                // Blanks instead of an escape sequence: they do on every terminal.
                consoles.write(&format!("\r{line}{:pad$}", ""));
                self.width = line.chars().count();
            }
            None => self.ui.status(line),
        }
        if tell.done >= tell.all {
            self.end_meter();
        }
    }

    /// The line of the meter stays as it is last.
    fn end_meter(&mut self) {
        if self.width > 0 {
            if let Some(consoles) = &mut self.consoles {
                consoles.write("\n");
            }
            self.width = 0;
        }
    }
}
