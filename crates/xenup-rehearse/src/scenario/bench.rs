//! The rehearsal's machine: a plain Debian, built, booted once so that it has settled, and kept for the next run.
//!
//! Decides what the plain machine has and what a kept one must agree with. Never looks at what xenup does in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_image::{ExtraFile, ImageSpec, Suite};
use xenup_system::files;

use super::failure::Failure;
use super::{Hypervisor, RehearseOptions, guests, typed};
use crate::event::{Recorder, StepScope};
use crate::files_disk;
use crate::inside::{PASSWORD, PASSWORD_HASH, patience};
use crate::lab::Lab;
use crate::network::{self, Lan};
use crate::qemu::{Accelerator, FileOnDisk, Firmware, Source, Vm, VmSpec};
use crate::report::Report;
use crate::ssh::Ssh;
use crate::stage::{Depth, Stage, StageKey, Stages};
use crate::tools;

/// Where the second disk is mounted inside.
pub const BROUGHT: &str = "/mnt";
/// What the package is called on the second disk.
pub const PACKAGE: &str = "xenup.deb";
/// What `apply` ends with: applied, and waiting for confirm.
pub const AWAITING: i32 = 6;
/// Short commands, under emulation on a busy machine.
pub const SHORT: Duration = Duration::from_secs(180);
/// A boot, or a shutdown with all its waits.
pub const BOOT: Duration = Duration::from_secs(600);

/// What Linux says of a processor whose timer does not fire: each wait of its then takes 21 s. Seen once in some sixty
/// boots under emulation, in a Debian that nobody had touched.
const LOST_TIMER: &str = "Possible timer handling issue on cpu=";
/// How often such a boot is begun again.
const RESETS: usize = 2;

/// The laboratory with its machine.
#[derive(Debug)]
pub struct Bench {
    /// The run directory.
    pub lab: Lab,
    /// The LAN and its outside.
    pub lan: Lan,
    /// The way in from outside.
    pub ssh: Ssh,
    /// The machine, logged in on the console.
    pub vm: Vm,
    /// The plain machine's disk, switched off, as it was before anything was brought in.
    pub plain: Stage,
    /// Whether it is the Xen host that an earlier run came to; else it is plain.
    pub is_xen_host: bool,
    stages: Stages,
    /// The Xen host that the conversion makes of the plain machine.
    host_key: StageKey,
}

/// What a run begins with: where it works, and what its machine is made of.
struct Ground {
    lab: Lab,
    lan: Lan,
    image: ImageSpec,
    base: PathBuf,
    stages: Stages,
    spec: VmSpec,
    anew: bool,
}

impl Ground {
    fn new(
        options: &RehearseOptions,
        files: Vec<FileOnDisk>,
        rec: &mut Recorder<'_>,
    ) -> Result<Self, Failure> {
        if options.install_tools {
            rec.step("programs", |s| tools::ensure_tools(&mut |line| s.note(line)))?;
        }
        let lab = Lab::open(&options.cache)?;
        let lan = Lan::create(&lab)?;
        let (accelerator, why) = Accelerator::probe(&lab);
        rec.fact("processor", &why);
        let image = image_spec(options)?;
        let stages = Stages::at(&options.cache.join("stages"))?;
        let base = options.cache.join("rehearsal").join(format!("plain-{}.qcow2", short(&image.digest()?)));
        let over = VmSpec::over(&base, options.firmware, accelerator);
        let mut spec = VmSpec { nic: options.nic, ..over };
        spec.files = files;
        spec.may_outlive = options.keep;
        Ok(Self { lab, lan, image, base, stages, spec, anew: options.anew })
    }

    fn find(&self, key: &StageKey) -> Result<Option<Stage>, Failure> {
        if self.anew { Ok(None) } else { Ok(self.stages.find(key, &self.spec)?) }
    }

    /// Builds the image, boots it for the first time, switches it off in good order, and keeps that.
    fn make_plain(&self, key: &StageKey, rec: &mut Recorder<'_>) -> Result<Stage, Failure> {
        rec.step("plain image", |s| build(&self.image, &self.base, s))?;
        let mut vm = rec.step("first boot of plain Debian", |s| {
            let mut vm = Vm::start(&self.lab, &self.lan, &self.spec)?;
            log_in_to_plain(&mut vm, s)?;
            let boot = vm.console().check("systemd-analyze | head -1", SHORT)?;
            s.detail(boot.trim());
            if self.spec.firmware == Firmware::Uefi {
                // An installer runs under the firmware, whose setup GRUB then offers in its menu.
                vm.console().check("update-grub", SHORT)?;
            }
            Ok::<_, Failure>(vm)
        })?;
        rec.step("shut down, keep the plain disk", |_| {
            switch_off(&mut vm)?;
            Ok(self.stages.keep(key, &mut vm, Depth::Disk, Report::empty("plain"))?)
        })
    }

    /// Boots the plain machine to its prompt, and keeps that.
    fn boot_plain(&mut self, plain: &Stage, key: &StageKey, rec: &mut Recorder<'_>) -> Result<Vm, Failure> {
        self.spec.disk = plain.disk();
        rec.step("boot plain Debian", |s| {
            let mut vm = Vm::start(&self.lab, &self.lan, &self.spec)?;
            log_in_to_plain(&mut vm, s)?;
            self.stages.keep(key, &mut vm, Depth::Running, Report::empty("ready"))?;
            Ok(vm)
        })
    }
}

/// Makes the plain machine, switched off and at its prompt, where no earlier run has kept it.
///
/// # Errors
/// The harness cannot do it on this machine, or the plain Debian does not boot.
pub fn make_plain(options: &RehearseOptions, rec: &mut Recorder<'_>) -> Result<(), Failure> {
    // A second disk as the rehearsal's, without the package: the machine has not looked at what is on it.
    let mut ground = Ground::new(options, guests::files(), rec)?;
    let keys = PlainKeys::new(&ground.image, &ground.spec)?;
    let plain = match ground.find(&keys.off)? {
        Some(plain) => plain,
        None => ground.make_plain(&keys.off, rec)?,
    };
    if ground.find(&keys.ready)?.is_none() {
        ground.boot_plain(&plain, &keys.ready, rec)?;
    }
    Ok(())
}

impl Bench {
    /// Builds or takes from the cache the plain machine, and brings it to its prompt.
    ///
    /// # Errors
    /// The harness cannot do it on this machine, or the plain Debian does not boot.
    pub fn open(options: &RehearseOptions, rec: &mut Recorder<'_>) -> Result<Self, Failure> {
        let mut ground = Ground::new(options, brought(&options.package), rec)?;
        let ssh = Ssh::create(&ground.lab, &ground.lan)?;
        let plain_keys = PlainKeys::new(&ground.image, &ground.spec)?;
        let host_key = host_key(&ground.image, &options.package)?;
        let kept = ground.find(&plain_keys.off)?;
        let host = if options.resume && kept.is_some() { ground.find(&host_key)? } else { None };
        let is_xen_host = host.is_some();
        let what =
            if is_xen_host { "the Xen host, from the last run" } else { "plain Debian, from the last run" };
        let running = host.map_or_else(|| ground.find(&plain_keys.ready), |host| Ok(Some(host)))?;
        let (plain, running) = match kept {
            Some(plain) => (plain, running),
            None => (ground.make_plain(&plain_keys.off, rec)?, None),
        };
        let vm = match running {
            Some(running) => {
                rec.recall(running.story.clone());
                rec.step(what, |_| resume(&ground.lab, &ground.lan, &mut ground.spec, &running))?
            }
            None => ground.boot_plain(&plain, &plain_keys.ready, rec)?,
        };
        let Ground { lab, lan, stages, .. } = ground;
        let mut bench = Self { lab, lan, ssh, vm, plain, is_xen_host, stages, host_key };
        bench.ssh.authorize(bench.vm.console())?;
        Ok(bench)
    }

    /// Keeps the machine, now a Xen host, for a run of the same package and the same program.
    ///
    /// # Errors
    /// It cannot be copied.
    pub fn keep_xen_host(&mut self, rec: &mut Recorder<'_>) -> Result<(), Failure> {
        let story = rec.so_far();
        rec.step("keep the Xen host for the next run", |_| {
            self.stages.keep(&self.host_key, &mut self.vm, Depth::Running, story)?;
            self.vm.console().set_clock()?;
            Ok::<_, Failure>(())
        })
    }

    /// Runs a command on the console; its status must be `expected`. Returns what it printed, which is also recorded.
    ///
    /// # Errors
    /// Another status, with the output; or the console failed.
    pub fn run(
        &mut self,
        s: &mut StepScope<'_, '_>,
        command: &str,
        expected: i32,
        limit: Duration,
    ) -> Result<String, Failure> {
        let result = self.vm.console().run(command, limit)?;
        s.excerpt(&format!("# {command}"), &as_shown(&result.output));
        if result.status == expected {
            return Ok(result.output);
        }
        let what = format!("`{command}`");
        Err(Failure::unexpected(
            what,
            format!("exit status {expected}"),
            format!("{}\n(exit status {})", result.output.trim_end(), result.status),
        ))
    }

    /// As [`Bench::run`] with status 0, and the output must contain `words`.
    ///
    /// # Errors
    /// As [`Bench::run`]; the words are missing.
    pub fn says(&mut self, s: &mut StepScope<'_, '_>, command: &str, words: &str) -> Result<(), Failure> {
        let output = self.run(s, command, 0, SHORT)?;
        if output.contains(words) {
            return Ok(());
        }
        Err(Failure::unexpected(format!("`{command}`"), format!("`{words}` in its output"), output))
    }

    /// Runs a command over a new connection from outside; its status must be `expected`.
    ///
    /// # Errors
    /// No connection, or another status, with the output.
    pub fn outside(
        &mut self,
        s: &mut StepScope<'_, '_>,
        command: &str,
        expected: i32,
    ) -> Result<String, Failure> {
        self.outside_within(s, command, expected, SHORT)
    }

    /// The same, for a command that takes its time.
    ///
    /// # Errors
    /// As [`Self::outside`].
    pub fn outside_within(
        &mut self,
        s: &mut StepScope<'_, '_>,
        command: &str,
        expected: i32,
        time: Duration,
    ) -> Result<String, Failure> {
        let result = self.ssh.run(network::VM, command, time)?;
        s.excerpt(&format!("outside$ ssh root@{} {command}", network::VM), &result.output);
        if result.status == expected {
            return Ok(result.output);
        }
        Err(Failure::unexpected(
            format!("`{command}` over a new connection"),
            format!("exit status {expected}"),
            format!("{}\n(exit status {})", result.output.trim_end(), result.status),
        ))
    }

    /// Asks the machine to restart and waits for its shell.
    ///
    /// # Errors
    /// It does not come back.
    pub fn restart(&mut self, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
        let watch = xenup_system::stopwatch::Stopwatch::start();
        self.vm.console().send(&format!("{}\n", typed::REBOOT))?;
        self.come_back()?;
        s.measure("from `systemctl reboot` to a shell", tenths(watch.elapsed()), "s");
        Ok(())
    }

    /// Pulls the plug, puts it in again and waits for the shell of whatever boots.
    ///
    /// # Errors
    /// It does not come back.
    pub fn lose_power(&mut self) -> Result<(), Failure> {
        self.vm.power_cut()?;
        self.vm.power_on()?;
        self.come_back()
    }

    /// Waits for the login prompt of a machine that boots by itself, and logs in.
    ///
    /// # Errors
    /// The prompt does not come.
    pub fn come_back(&mut self) -> Result<(), Failure> {
        log_in(&mut self.vm)
    }

    /// Shuts the machine down and waits until it is off.
    ///
    /// # Errors
    /// It stays on.
    pub fn switch_off(&mut self) -> Result<(), Failure> {
        switch_off(&mut self.vm)
    }

    /// Mounts the second disk.
    ///
    /// # Errors
    /// It is not there.
    pub fn mount_brought(&mut self) -> Result<(), Failure> {
        // What the machine has read of it at its boot may be of a run that brought other files.
        let command = format!(
            "mountpoint -q {BROUGHT} || {{ blockdev --flushbufs /dev/vdb && mount -o ro LABEL=XENUPFILES {BROUGHT}; }}"
        );
        self.vm.console().check(&command, SHORT)?;
        Ok(())
    }
}

/// What a terminal shows of lines that were written over, as dpkg's and apt's progress is.
pub fn as_shown(text: &str) -> String {
    let shown =
        |line: &str| line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default().to_owned() + "\n";
    text.lines().map(shown).collect()
}

fn log_in(vm: &mut Vm) -> Result<(), Failure> {
    vm.console().login_within("root", PASSWORD, BOOT)?;
    wait_for_services(vm)
}

/// As [`log_in`], on a Debian that xenup has not seen: a boot whose emulated processor lost its timer is begun again.
fn log_in_to_plain(vm: &mut Vm, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    for _ in 0..RESETS {
        if vm.console().login_unless(LOST_TIMER, "root", PASSWORD, BOOT)? {
            return wait_for_services(vm);
        }
        s.detail("the emulator lost a processor's timer while it started, and the kernel says so: reset");
        vm.reset()?;
        vm.console().drain();
    }
    log_in(vm)
}

/// The prompt comes before the last services of a boot are up; a unit that failed is not this one's business.
fn wait_for_services(vm: &mut Vm) -> Result<(), Failure> {
    vm.console().run("systemctl is-system-running --wait", BOOT)?;
    Ok(())
}

fn switch_off(vm: &mut Vm) -> Result<(), Failure> {
    vm.console().send("systemctl poweroff\n")?;
    vm.wait_off(BOOT)?;
    Ok(())
}

/// Goes on from a kept running machine, whose clock then stands where it stood.
fn resume(lab: &Lab, lan: &Lan, spec: &mut VmSpec, ready: &Stage) -> Result<Vm, Failure> {
    spec.disk = ready.disk();
    let mut vm = Vm::start(lab, lan, spec)?;
    vm.console().set_clock()?;
    Ok(vm)
}

/// Tenths of a second are finer than an emulated machine repeats.
pub fn tenths(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// The plain machine, as an earlier run may have kept it.
struct PlainKeys {
    /// Switched off.
    off: StageKey,
    /// At its prompt; nobody has mounted the second disk.
    ready: StageKey,
}

impl PlainKeys {
    fn new(image: &ImageSpec, spec: &VmSpec) -> Result<Self, Failure> {
        // The kept memory knows the second disk's size, and none of the files on it.
        let size = files_disk::size(&spec.files)?.to_string();
        let ready = image_key("ready", image)?.with("second disk", &size);
        Ok(Self { off: image_key("plain", image)?, ready })
    }
}

/// The key of the Xen host that this package makes of this image, its second disk mounted.
fn host_key(image: &ImageSpec, package: &Path) -> Result<StageKey, Failure> {
    let mut key = image_key("host", image)?.with_file("package", package)?;
    for file in guests::files() {
        if let Source::Bytes(bytes) = &file.from {
            key = key.with(&file.name, &String::from_utf8_lossy(bytes));
        }
    }
    // What this program does with the machine is part of it.
    Ok(key.with_file("program", Path::new("/proc/self/exe"))?)
}

/// The key of what comes of this image alone.
fn image_key(name: &str, image: &ImageSpec) -> Result<StageKey, Failure> {
    Ok(StageKey::new(name).with("image", &image.digest()?).with("archive", &archive_state()?))
}

/// The dates of the archive's suites as this machine's apt last saw them: a kept machine whose packages the mirror
/// has replaced since could not install anything.
fn archive_state() -> Result<String, Failure> {
    let lists = PathBuf::from("/var/lib/apt/lists");
    let mut state = String::new();
    if !files::exists(&lists) {
        return Ok(state);
    }
    let releases = files::list(&lists)?;
    for path in releases.iter().filter(|path| path.to_string_lossy().ends_with("InRelease")) {
        let start = files::read_start(path, 4096)?;
        let text = String::from_utf8_lossy(&start);
        state.extend(text.lines().filter(|line| line.starts_with("Date: ")));
    }
    Ok(state)
}

fn brought(package: &Path) -> Vec<FileOnDisk> {
    let package = FileOnDisk { name: PACKAGE.into(), from: Source::Path(package.to_owned()), mode: 0o644 };
    std::iter::once(package).chain(guests::files()).collect()
}

/// A Debian as its installer leaves it, with the network that the harness gives it.
fn image_spec(options: &RehearseOptions) -> Result<ImageSpec, Failure> {
    let mut spec = ImageSpec::plain(Suite::Bookworm);
    spec.hostname = "plain".into();
    spec.interfaces = options.addressing.interfaces();
    spec.nameservers = vec![network::DNS.to_string()];
    spec.root_password_hash = Some(PASSWORD_HASH.into());
    // Debian's installer leaves both on every machine; the guests are made of busybox, zstd would make an initramfs.
    spec.packages.extend(["busybox".to_owned(), "zstd".to_owned()]);
    spec.extra_files.push(patience());
    if options.hypervisor == Hypervisor::WithShadowPaging {
        spec.extra_files.push(ExtraFile {
            path: "/etc/apt/preferences.d/xen".into(),
            mode: 0o644,
            bytes:
                b"# PVH under emulation needs shadow paging, which the security update is built without.\n\
                     Package: src:xen\nPin: release n=bookworm,l=Debian\nPin-Priority: 1001\n"
                    .to_vec(),
        });
    }
    Ok(spec)
}

fn build(spec: &ImageSpec, to: &Path, s: &mut StepScope<'_, '_>) -> Result<(), Failure> {
    if let Some(directory) = to.parent() {
        files::create_dir_all(directory)?;
    }
    let image = xenup_image::build(spec, to, &mut |progress| {
        if let xenup_image::Progress::Started { step } = progress {
            s.note(step);
        }
    })?;
    for step in &image.steps {
        let kept = if step.cached { ", from the cache" } else { "" };
        s.detail(format!("{}: {:.1} s{kept}", step.step, step.elapsed.as_secs_f64()));
    }
    Ok(())
}
