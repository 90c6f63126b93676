//! The init script of xenup-tls in real 32-bit trees: both directions, with the loader as the witness, and killed at
//! every step and at random moments.
//!
//! Decides: what counts as right after a next start. The trees are Debian's of today: their folder /lib/tls is made
//! here from their own libraries, and their libc is given the words by which a LinuxThreads build is told, because no
//! libc of 2006 is in this machine's sources. Their loaders are the real ones: bullseye's knows /etc/ld.so.nohwcap,
//! bookworm's does not any more, and both look into /lib/tls; trixie's no longer does.
//! Never: boots a kernel. What it runs as is told to the script by a file in the tree's own /proc.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_image::mirror::{KEYRING, Mirror};
use xenup_machine::fake::Chance;
use xenup_system::files::{self, WorkDir};
use xenup_system::process::{Output, Tool};
use xenup_system::stopwatch::Stopwatch;

type Failure = Box<dyn std::error::Error>;

/// The releases whose loader still looks into /lib/tls.
const SUITES: [&str; 2] = ["bullseye", "bookworm"];
/// Random kills, in all of them together.
const KILLS: usize = 200;
/// Counts up with every change of what [`base`] makes.
const RECIPE: u32 = 1;

/// Makes of a tree what a system of 2006 had. Kills play no part in what reaches a disk, so that sync does nothing.
const PREPARE: &str = r#"cd "$1"
libs=lib/i386-linux-gnu
mkdir -p lib/tls proc/xen etc/init.d
for name in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1; do cp -L "$libs/$name" "lib/tls/$name"; done
printf '\0\tlinuxthreads-0.10 by Xavier Leroy\n\0' >> "$(readlink -f "$libs/libc.so.6")"
[ -e etc/ld.so.conf ] || echo 'include /etc/ld.so.conf.d/*.conf' > etc/ld.so.conf
printf '#!/bin/sh\n' > bin/sync
for program in bin/mv bin/rm bin/rmdir bin/sync sbin/ldconfig; do
    mv "$program" "$program.real"
    cp "$2" "$program"
    chmod 755 "$program" "$program.real"
done
chroot . /sbin/ldconfig
"#;

/// Stands before each program that changes something: ends the script and all it started, where it is told to.
const STRIKE: &str = r#"#!/bin/sh
read -r calls </calls || calls=0
read -r moment </moment || moment=
calls=$((calls + 1))
echo $calls >/calls
[ "$moment" = "$calls before" ] && kill -9 0
"$0.real" "$@"
code=$?
[ "$moment" = "$calls after" ] && kill -9 0
exit $code
"#;

/// Everything that may differ between two right states, and nothing else.
const STATE: &str = r#"cd "$1"
find lib/tls* etc/ld.so.nohwcap* etc/ld.so.conf.d ! -type d ! -path '*.xenup-old/*' -exec sha256sum {} + 2>/dev/null
tr '\0' '\n' <etc/ld.so.cache | grep -c '^/lib/tls/'
"#;

/// Plays everything in every suite; returns whether every state was right.
///
/// # Errors
/// A tree whose script fails when nobody disturbs it.
pub fn run() -> crate::Outcome {
    if !files::is_root() {
        println!("skipped: chroot(2) needs root");
        return Ok(true);
    }
    let folder = crate::project().join("target/tls");
    files::create_dir_all(&folder)?;
    let mut bases = Vec::new();
    for suite in SUITES {
        match base(&folder, suite) {
            Ok(base) => bases.push((suite, base)),
            Err(error) => println!("{suite}: left out, no tree of it can be made here: {error}"),
        }
    }
    let kills = KILLS.div_ceil(bases.len().max(1));
    let play = |(suite, base): &(&str, PathBuf)| {
        play(suite, base, kills).map_err(|error| format!("{suite}: {error}"))
    };
    let played: Vec<Result<String, String>> = std::thread::scope(|scope| {
        let workers: Vec<_> = bases.iter().map(|base| scope.spawn(move || play(base))).collect();
        let ended = workers.into_iter().map(|worker| worker.join());
        ended.map(|ended| ended.unwrap_or_else(|_| Err("a drill panicked".to_owned()))).collect()
    });
    for told in &played {
        match told {
            Ok(words) | Err(words) => println!("{words}"),
        }
    }
    // Nothing is proved where no tree could be made.
    Ok(!played.is_empty() && played.iter().all(Result::is_ok))
}

/// Returns a tree with 32-bit programs, made once, from this machine's own mirror.
fn base(folder: &Path, suite: &str) -> Result<PathBuf, Failure> {
    let base = folder.join(format!("{suite}-{RECIPE}"));
    if files::exists(&base) {
        return Ok(base);
    }
    let mirror = Mirror::of_this_machine()?;
    let work = WorkDir::new_in(folder, "bootstrap-")?;
    let tree = work.join("tree");
    Tool::new("unshare")
        .args([
            "--mount",
            "mmdebstrap",
            "--quiet",
            "--mode=root",
            "--variant=extract",
            "--architectures=i386",
        ])
        .args(["--include=dash,coreutils,grep,sed,libc-bin"])
        .arg(format!("--keyring={KEYRING}"))
        .args(mirror.apt_options.iter().map(|option| format!("--aptopt={option}")))
        .arg(suite)
        .arg(&tree)
        .arg(format!("deb {} {suite} main", mirror.archive))
        .env("TMPDIR", work.path())
        .timeout(Duration::from_secs(600))
        .die_with_parent()
        .run()?;
    let strike = work.join("strike");
    files::write(&strike, STRIKE.as_bytes())?;
    Tool::new("sh").args(["-euc", PREPARE, "sh"]).arg(&tree).arg(&strike).run()?;
    files::rename_unsynced(&tree, &base)?;
    Ok(base)
}

/// Which kernel a tree is made to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    Xen,
    Plain,
}

impl Kernel {
    fn other(self) -> Self {
        if self == Self::Xen { Self::Plain } else { Self::Xen }
    }
}

/// When init calls the script.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Boot,
    Shutdown,
}

/// A tree, and its two right states.
struct Drill {
    root: WorkDir,
    under_xen: String,
    plain: String,
}

fn play(suite: &str, base: &Path, kills: usize) -> Result<String, Failure> {
    let (drill, time) = Drill::prepare(base)?;
    drill.nothing_under_running_programs()?;
    drill.by_hand()?;
    let mut points = 0;
    for kernel in [Kernel::Xen, Kernel::Plain] {
        for phase in [Phase::Boot, Phase::Shutdown] {
            for upgraded in [false, true] {
                points += drill.at_every_step(kernel, phase, upgraded)?;
            }
        }
    }
    let hit = drill.at_random(kills, time)?;
    Ok(format!(
        "{suite}: both directions by the loader's own word; {points} kills at steps and {kills} at random ({hit} of them \
         before the end): each time programs ran, and the next start ended in the right one of two states"
    ))
}

impl Drill {
    /// Copies the tree, learns the two states from a start that nobody disturbs, and asks the loader about them.
    fn prepare(base: &Path) -> Result<(Self, Duration), Failure> {
        let root = WorkDir::new_in(base.parent().unwrap_or(base), "drill-")?;
        Tool::new("cp").arg("-a").arg(base.join(".")).arg(root.path()).run()?;
        let script = root.join("etc/init.d/xenup-tls");
        files::write(&script, &files::read(&crate::project().join("debian/xenup-tls.init"))?)?;
        files::set_mode(&script, 0o755)?;
        let mut drill = Self { root, under_xen: String::new(), plain: String::new() };
        drill.loads("/lib/tls/")?;
        drill.boot(Kernel::Plain)?;
        drill.plain = drill.state()?;
        drill.loads("/lib/tls/")?;
        let watch = Stopwatch::start();
        drill.boot(Kernel::Xen)?;
        let time = watch.elapsed();
        drill.under_xen = drill.state()?;
        drill.loads("/lib/i386-linux-gnu/")?;
        if drill.under_xen == drill.plain {
            return Err("a start under Xen changed nothing".into());
        }
        drill.settled(Kernel::Plain, "both directions")?;
        drill.settled(Kernel::Xen, "both directions")?;
        Ok((drill, time))
    }

    fn chroot(&self, env: &[&str], command: &[&str]) -> Tool {
        let tool = Tool::new("setarch").args(["i686", "chroot"]).arg(self.root.path());
        tool.args(["/usr/bin/env", "-i"]).args(env).args(command).timeout(Duration::from_secs(60))
    }

    fn sees(&self, kernel: Kernel) -> Result<(), Failure> {
        let sign = self.root.join("proc/xen/capabilities");
        match kernel {
            Kernel::Xen => files::write(&sign, b"")?,
            Kernel::Plain => drop(files::remove_file(&sign)?),
        }
        Ok(())
    }

    /// The script as init calls it.
    fn script(&self, phase: Phase) -> Tool {
        let (level, verb) = match phase {
            Phase::Boot => ("RUNLEVEL=S", "start"),
            Phase::Shutdown => ("RUNLEVEL=0", "stop"),
        };
        self.chroot(&[level], &["/bin/sh", "/etc/init.d/xenup-tls", verb])
    }

    fn boot(&self, kernel: Kernel) -> Result<Output, Failure> {
        self.sees(kernel)?;
        self.strike_at("")?;
        Ok(self.script(Phase::Boot).run()?)
    }

    fn strike_at(&self, moment: &str) -> Result<(), Failure> {
        files::write(&self.root.join("calls"), b"0\n")?;
        Ok(files::write(&self.root.join("moment"), format!("{moment}\n").as_bytes())?)
    }

    fn state(&self) -> Result<String, Failure> {
        Ok(Tool::new("sh").args(["-c", STATE, "sh"]).arg(self.root.path()).output()?.text())
    }

    /// Asks the loader, through a real 32-bit program, where it takes libc from.
    fn loads(&self, folder: &str) -> Result<(), Failure> {
        let said = self.chroot(&["LD_DEBUG=libs"], &["/bin/true"]).run()?.stderr_text();
        let libc = said.lines().find(|line| line.contains("calling init: ") && line.contains("/libc.so.6"));
        match libc.and_then(|line| line.split_whitespace().last()) {
            Some(path) if path.starts_with(folder) => Ok(()),
            found => Err(format!("the loader takes {found:?}, not what is in {folder}").into()),
        }
    }

    /// Starts under a kernel, and compares.
    fn settled(&self, kernel: Kernel, after: &str) -> Result<(), Failure> {
        let said = self.boot(kernel)?.text();
        let (right, folder) = match kernel {
            Kernel::Xen => (&self.under_xen, "/lib/i386-linux-gnu/"),
            Kernel::Plain => (&self.plain, "/lib/tls/"),
        };
        let state = self.state()?;
        if state != *right {
            return Err(format!(
                "{after}, then {kernel:?}:\n{state}instead of\n{right}the script said\n{said}"
            )
            .into());
        }
        self.loads(folder).map_err(|error| format!("{after}, then {kernel:?}: {error}").into())
    }

    /// Between boot and shutdown the script only says what it would do, unless it is told.
    fn nothing_under_running_programs(&self) -> Result<(), Failure> {
        self.settled(Kernel::Plain, "before")?;
        self.sees(Kernel::Xen)?;
        for verb in ["start", "stop", "restart", "force-reload"] {
            let script = ["/bin/sh", "/etc/init.d/xenup-tls", verb];
            let said = self.chroot(&["RUNLEVEL=2"], &script).run()?.text();
            if self.state()? != self.plain || !said.contains("left to the next boot or shutdown") {
                return Err(format!("{verb} under running programs: {said}").into());
            }
        }
        self.chroot(&[], &["/bin/sh", "/etc/init.d/xenup-tls", "now"]).run()?;
        if self.state()? != self.under_xen {
            return Err("now did not do it at once".into());
        }
        self.chroot(&[], &["/bin/sh", "/etc/init.d/xenup-tls", "undo"]).run()?;
        if self.state()? != self.plain {
            return Err("undo did not take it back under Xen".into());
        }
        Ok(())
    }

    /// What the handbook has people type leads there and back.
    fn by_hand(&self) -> Result<(), Failure> {
        let script = crate::shown::block("docs/tls.md", "/lib/tls.disabled")?;
        self.settled(Kernel::Plain, "before")?;
        let said = self.chroot(&[], &["/bin/sh", "-euc", &script]).run()?.text();
        if self.state()? == self.plain && said.contains("/lib/tls/libc.so") {
            Ok(())
        } else {
            Err(format!("by hand it is not as before: {said}").into())
        }
    }

    /// Kills it before and after every program that changes something; returns how often that was.
    fn at_every_step(&self, kernel: Kernel, phase: Phase, upgraded: bool) -> Result<usize, Failure> {
        for point in 0.. {
            self.settled(kernel.other(), "before")?;
            if upgraded && !self.upgrade()? {
                return Ok(0);
            }
            let moment = format!("{} {}", point / 2 + 1, if point % 2 == 0 { "before" } else { "after" });
            self.sees(kernel)?;
            self.strike_at(&moment)?;
            let ended = self.script(phase).output()?;
            if ended.status.success() {
                self.settled(kernel, "nobody disturbed it")?;
                self.superseded(upgraded)?;
                return if point > 0 || upgraded { Ok(point) } else { Err("no step was struck".into()) };
            }
            let next = if point % 3 == 0 { kernel.other() } else { kernel };
            self.next_start(next, &format!("{kernel:?}, {phase:?}, killed at {moment}"))?;
        }
        Ok(0)
    }

    /// What a libc that is upgraded puts there while the old one is aside; `false` where it is not.
    fn upgrade(&self) -> Result<bool, Failure> {
        let copy = "cd \"$1/lib\" && [ -d tls.xenup ] && cp -a tls.xenup tls";
        Ok(Tool::new("sh").args(["-c", copy, "sh"]).arg(self.root.path()).output()?.status.success())
    }

    /// Libraries are kept under a third name after an upgrade, and never else; they are taken away for the next round.
    fn superseded(&self, expected: bool) -> Result<(), Failure> {
        let found = files::remove_dir_all(&self.root.join("lib/tls.xenup-old"))?;
        if found && !expected { Err("libraries were superseded without an upgrade".into()) } else { Ok(()) }
    }

    /// Kills it at random moments over boot and shutdown; returns how often it had not ended yet.
    fn at_random(&self, kills: usize, time: Duration) -> Result<usize, Failure> {
        let (mut chance, mut hit, mut kernel) = (Chance::new(8), 0, Kernel::Plain);
        let micros = usize::try_from(time.as_micros()).unwrap_or(usize::MAX);
        self.settled(kernel, "before")?;
        for round in 0..kills {
            let phase = if chance.coin() { Phase::Boot } else { Phase::Shutdown };
            kernel = kernel.other();
            self.sees(kernel)?;
            self.strike_at("")?;
            let mut running = self.script(phase).spawn(None)?;
            let moment = Duration::from_micros(u64::try_from(chance.below(micros)).unwrap_or_default());
            hit += usize::from(running.wait(moment)?.is_none());
            running.kill();
            kernel = if chance.coin() { kernel } else { kernel.other() };
            self.next_start(kernel, &format!("random kill {round}, {phase:?}"))?;
            self.superseded(false)?;
        }
        Ok(hit)
    }

    /// After a kill programs run as they are, and the next start ends in the right state.
    fn next_start(&self, kernel: Kernel, after: &str) -> Result<(), Failure> {
        self.chroot(&[], &["/bin/true"]).run().map_err(|error| format!("{after}: {error}"))?;
        self.settled(kernel, after)
    }
}
