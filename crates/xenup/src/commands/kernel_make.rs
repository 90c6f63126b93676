//! make for `kernel build`: how it is called, and how what it says is shown.
//!
//! Decides: its variables, its targets, how often a line is drawn. Never: writes into the source tree.

use std::path::PathBuf;
use std::time::Duration;

use xenup_core::amounts::Span;
use xenup_core::kernel::build::progress::{Progress, planned};
use xenup_core::kernel::build::settings;
use xenup_system::Environment;
use xenup_system::process::{ProcessError, Tool, find_program};
use xenup_system::stopwatch::Stopwatch;

use crate::commands::kernel_config::{FOREIGN, assign};
use crate::commands::machine;
use crate::error::CommandError;
use crate::ui::Ui;

/// Variables of the caller's by which a build would differ from the next one's.
const UNWANTED: [&str; 12] = [
    "ARCH",
    "V",
    "KBUILD_VERBOSE",
    "KCFLAGS",
    "KCPPFLAGS",
    "LOCALVERSION",
    "KERNELRELEASE",
    "INSTALL_MOD_STRIP",
    "KDEB_COMPRESS",
    "DPKG_FLAGS",
    "DEB_BUILD_OPTIONS",
    "DEB_BUILD_PROFILES",
];
/// `make -n` looks at every file once.
const COUNT_TIME: Duration = Duration::from_secs(900);
/// Between two drawings of the meter.
const DRAWN: Duration = Duration::from_millis(100);

/// A build: of which tree, into which folder, how.
pub struct Making {
    /// The source tree.
    pub tree: PathBuf,
    /// The folder of the objects; packages come to lie beside it.
    pub objects: PathBuf,
    /// How many files are compiled at once.
    pub jobs: u16,
    /// The source's own moment, in seconds since 1970.
    pub seconds: i64,
    /// The packages' version.
    pub version: String,
}

impl Making {
    /// Compiles all that is not compiled yet.
    pub fn compile(&self, ui: &mut Ui) -> Result<(), CommandError> {
        if find_program("ccache").is_some() {
            ui.status("ccache is here and is used");
        }
        ui.status("counting what is to be done");
        let watch = Stopwatch::start();
        self.tool(&["prepare"])?.run_lines(&mut |_| {}).map_err(|error| self.failed(error))?;
        let mut progress = Progress::new(self.count()?);
        let counted = watch.elapsed();
        let is_terminal = Environment::read().stderr_is_terminal;
        let width = usize::from(Environment::read().width()).saturating_sub(1);
        let watch = Stopwatch::start();
        let mut drawn: Option<Duration> = None;
        let made = self.tool(&["all"])?.run_lines(&mut |line| {
            if !progress.take(line) {
                return;
            }
            let elapsed = watch.elapsed();
            if !is_terminal {
                if let Some(line) = progress.line(elapsed) {
                    ui.status(line);
                }
            } else if drawn.is_none_or(|last| elapsed.saturating_sub(last) >= DRAWN) {
                ui.meter(&progress.meter(elapsed, width));
                drawn = Some(elapsed);
            }
        });
        ui.end_meter();
        made.map_err(|error| self.failed(error))?;
        let (done, took) = (progress.done(), Span(watch.elapsed().saturating_add(counted)));
        ui.status(format!("compiled: {done} steps in {took}"));
        Ok(())
    }

    /// How many steps make would take; `None` where it does not say.
    fn count(&self) -> Result<Option<u64>, CommandError> {
        let mut count: u64 = 0;
        let tool = self.tool(&["--dry-run", "--keep-going", "all"])?.timeout(COUNT_TIME);
        // It stops where a file is needed that only a real run makes: what it has said until then is nearly all.
        let _ = tool.run_lines(&mut |line| count = count.saturating_add(planned(line)));
        Ok((count > 0).then_some(count))
    }

    /// Packs what was compiled.
    pub fn pack(&self, ui: &mut Ui) -> Result<(), CommandError> {
        ui.status("packing (bindeb-pkg)");
        let watch = Stopwatch::start();
        // What is needed was looked for, by programs and files: dpkg asks for packages, and those may come from elsewhere.
        let tool = self.tool(&["bindeb-pkg", "DPKG_FLAGS=-d"])?;
        tool.run_lines(&mut |_| {}).map_err(|error| self.failed(error))?;
        ui.status(format!("packed in {}", Span(watch.elapsed())));
        Ok(())
    }

    fn tool(&self, words: &[&str]) -> Result<Tool, CommandError> {
        // Every process below make has the lock: what a killed build left running ends before the next one begins.
        let mut tool =
            Tool::new("flock").arg("--no-fork").arg(self.objects.with_extension("lock")).arg("make");
        tool = tool.arg("-C").arg(&self.tree).arg(assign("O=", &self.objects));
        for name in FOREIGN.iter().chain(&UNWANTED) {
            tool = tool.env_remove(name);
        }
        for (name, value) in settings(self.seconds, &self.moment()?, &self.version) {
            tool = tool.env(name, value);
        }
        // An empty LOCALVERSION keeps the name of a git checkout out of the release.
        tool = tool.args(["ARCH=x86_64", "LOCALVERSION="]).arg(format!("-j{}", self.jobs));
        if find_program("ccache").is_some() {
            tool = tool.arg("CC=ccache gcc");
        }
        Ok(tool.args(words).die_with_parent())
    }

    /// The source's moment in words, as the kernel's banner has one.
    fn moment(&self) -> Result<String, CommandError> {
        let date = Tool::new("date").args(["--utc", &format!("--date=@{}", self.seconds)]);
        Ok(date.run().map_err(CommandError::failed)?.text().trim().to_owned())
    }

    fn failed(&self, error: ProcessError) -> CommandError {
        let words = error.to_string();
        let objects = self.objects.display();
        let hint = if words.contains("is not clean") {
            format!(
                "make -C {} mrproper, which removes its .config, or name another tree",
                self.tree.display()
            )
        } else if words.contains("No space left on device") {
            format!("make room: df -h {objects} /tmp; the same command then goes on from here")
        } else {
            machine::hint_for_words(&words).unwrap_or_else(|| {
                format!("the same command goes on from here; to begin anew: rm -r {objects}")
            })
        };
        CommandError::failed(error).hinted(hint)
    }
}
