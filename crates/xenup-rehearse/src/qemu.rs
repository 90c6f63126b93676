//! The machine itself: its hardware, its disk, and its power switch.
//!
//! It decides what hardware the machine has (fixed PCI slots, so that names inside never change) and how its disk is
//! written: what the guest has flushed is in this machine's memory or on its disk and outlives QEMU, so that killing
//! QEMU is a power cut to the guest. It never writes to a base image.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use xenup_system::files;
use xenup_system::lab::socket::Listener;
use xenup_system::process::{Running, Tool, find_program};

pub use crate::accelerator::Accelerator;
use crate::console::Console;
use crate::error::{LabError, during};
use crate::files_disk;
pub use crate::files_disk::{FileOnDisk, Source};
use crate::lab::Lab;
use crate::network::{self, Lan};
use crate::qmp::Qmp;
use crate::stage::Stage;

/// QEMU opens its disks and sockets in a second; a busy builder may take long.
const COME_UP: Duration = Duration::from_secs(120);
/// Writing or reading the machine's whole memory.
const SNAPSHOT: Duration = Duration::from_secs(300);

/// A QEMU that closed its monitor ends at once.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// One wait of many for the end of a machine that was left running.
const LONG_WAIT: Duration = Duration::from_secs(3600);

const DISK: &str = "disk.qcow2";
const FILES: &str = "files.img";
const VARIABLES: &str = "efi-variables.qcow2";
const CONSOLE: &str = "console.sock";
const MONITOR: &str = "monitor.sock";
const LOG: &str = "qemu.log";
/// OVMF without Secure Boot, as Debian's ovmf package installs it.
const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// What the machine starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF.
    Uefi,
}

/// What the machine's disk is.
#[derive(Debug, Clone)]
pub enum Disk {
    /// A fresh overlay over this qcow2 image, which is not written to.
    Over(PathBuf),
    /// A kept stage of an earlier run.
    Stage(Stage),
    /// An empty disk of so many bytes.
    Blank(u64),
}

/// The NIC on the LAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nic {
    /// virtio-net: no hardware at all.
    Virtio,
    /// Intel's 82540EM, by the driver that drives the card itself. QEMU's model takes nothing for a second after each write
    /// to its receive control, as promiscuous mode makes one.
    E1000,
    /// Intel's 82574L, by its own driver too.
    E1000e,
}

impl Nic {
    /// Returns its name, QEMU's word and what it is called in a report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Virtio => "virtio-net-pci",
            Self::E1000 => "e1000",
            Self::E1000e => "e1000e",
        }
    }
}

/// The hardware.
#[derive(Debug, Clone)]
pub struct VmSpec {
    /// The firmware.
    pub firmware: Firmware,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Processors.
    pub cpus: u32,
    /// /dev/vda.
    pub disk: Disk,
    /// The files on /dev/vdb, which is read only; no such disk where empty.
    pub files: Vec<FileOnDisk>,
    /// That disk's label.
    pub files_label: &'static str,
    /// The NIC on the LAN.
    pub nic: Nic,
    /// How the processor is made.
    pub accelerator: Accelerator,
    /// Whether QEMU may outlive the thread that starts it, for [`Vm::leave`].
    pub may_outlive: bool,
    /// An ISO in the machine's CD drive, which it starts from where its disk does not start.
    pub cd: Option<PathBuf>,
}

impl VmSpec {
    /// The machine of the rehearsals over a base image: 3 GiB, no files. On KVM two processors; emulated one, since two
    /// emulated ones spend what they gain on waiting for each other and leave this machine's other core no time.
    #[must_use]
    pub fn over(base: &Path, firmware: Firmware, accelerator: Accelerator) -> Self {
        Self {
            firmware,
            memory_mib: 3072,
            cpus: if accelerator == Accelerator::Kvm { 2 } else { 1 },
            disk: Disk::Over(base.to_owned()),
            files: Vec::new(),
            nic: Nic::Virtio,
            accelerator,
            may_outlive: false,
            cd: None,
            files_label: files_disk::LABEL,
        }
    }

    /// QEMU's arguments; paths are relative to the run directory, taps as [`Lan::taps`] names them.
    #[must_use]
    pub fn arguments(&self, name: &str, taps: &[String; 2]) -> Vec<String> {
        let [machine, gateway] = taps;
        let mut words: Vec<String> = Vec::new();
        let mut add = |text: &str| words.extend(text.split(' ').map(str::to_owned));
        add(&format!("-name {name} -nodefaults -no-user-config -display none -S"));
        match self.firmware {
            Firmware::Bios => add("-M q35"),
            Firmware::Uefi => {
                add("-M q35,pflash0=code,pflash1=vars");
                add(&format!(
                    "-blockdev driver=raw,node-name=code,read-only=on,file.driver=file,file.filename={OVMF_CODE}"
                ));
                add(&format!(
                    "-blockdev driver=qcow2,node-name=vars,file.driver=file,file.filename={VARIABLES}"
                ));
            }
        }
        add(&self.accelerator.arguments().join(" "));
        add(&format!("-m {}M -smp {}", self.memory_mib, self.cpus));
        // No flush of this machine's: what the guest flushes leaves QEMU's own caches and so outlives QEMU.
        add(&format!(
            "-blockdev driver=qcow2,node-name=disk,cache.no-flush=on,discard=unmap,file.driver=file,file.filename={DISK}"
        ));
        add("-device virtio-blk-pci,drive=disk,addr=4,bootindex=0");
        if let Some(cd) = &self.cd {
            add(&format!(
                "-blockdev driver=raw,node-name=cd,read-only=on,file.driver=file,file.filename={}",
                cd.display()
            ));
            add("-device ide-cd,bus=ide.0,drive=cd,bootindex=1");
        }
        if !self.files.is_empty() {
            add(&format!(
                "-blockdev driver=raw,node-name=files,read-only=on,file.driver=file,file.filename={FILES}"
            ));
            add("-device virtio-blk-pci,drive=files,addr=5");
        }
        add("-device virtio-rng-pci,addr=6");
        add(&format!("-netdev tap,id=lan,ifname={machine},script=no,downscript=no"));
        add(&format!("-device {},netdev=lan,addr=2,romfile=,mac={}", self.nic.name(), network::NIC.1));
        add(&format!("-netdev tap,id=gate,ifname={gateway},script=no,downscript=no"));
        add(&format!(
            "-netdev user,id=world,ipv6=off,net=10.99.0.0/24,host={},dns={},dhcpstart={}",
            network::GATEWAY,
            network::DNS,
            network::VM
        ));
        add("-netdev hubport,id=hub0,hubid=0,netdev=gate -netdev hubport,id=hub1,hubid=0,netdev=world");
        add("-netdev user,id=alone,ipv6=off,restrict=on,net=10.0.3.0/24");
        add(&format!("-device virtio-net-pci,netdev=alone,addr=3,romfile=,mac={}", network::SECOND_NIC.1));
        // The monitor comes last and calls us: when it does, the console's socket is there.
        add(&format!("-chardev socket,id=console,path={CONSOLE},server=on,wait=off -serial chardev:console"));
        add(&format!("-chardev socket,id=monitor,path={MONITOR},server=off -mon monitor,mode=control"));
        words
    }
}

/// A machine; QEMU ends when it is dropped.
#[derive(Debug)]
pub struct Vm {
    lab: Lab,
    lan: Lan,
    spec: VmSpec,
    console: Console,
    power: Option<Power>,
    /// Whether the shell was logged in when a snapshot was taken.
    snapshots: Vec<(String, bool)>,
}

#[derive(Debug)]
struct Power {
    qemu: Running,
    monitor: Qmp,
}

impl Vm {
    /// Makes the disks and switches the machine on. A stage that was kept running goes on where it was.
    ///
    /// The calling thread must outlive the machine unless the specification says otherwise.
    ///
    /// # Errors
    /// A disk cannot be made, or QEMU does not come up: with its own words.
    pub fn start(lab: &Lab, lan: &Lan, spec: &VmSpec) -> Result<Self, LabError> {
        let mut vm = Self {
            lab: lab.clone(),
            lan: lan.clone(),
            spec: spec.clone(),
            console: Console::new(&lab.path().join("console.log"))?,
            power: None,
            snapshots: Vec::new(),
        };
        vm.make_disks()?;
        match &spec.disk {
            Disk::Stage(Stage { snapshot: Some(name), shell, .. }) => {
                let (name, shell) = (name.clone(), *shell);
                vm.switch_on()?;
                vm.load(&name)?;
                vm.console.rewind(shell);
                vm.resume()?;
            }
            _ => vm.power_on()?,
        }
        Ok(vm)
    }

    fn make_disks(&self) -> Result<(), LabError> {
        let path = |name| self.lab.path().join(name);
        files::remove_file(&path(DISK))?;
        match &self.spec.disk {
            Disk::Over(base) => overlay(base, &path(DISK))?,
            Disk::Blank(size) => blank(*size, &path(DISK))?,
            Disk::Stage(stage) => stage.check_out(&path(DISK), &path(VARIABLES))?,
        }
        if self.spec.firmware == Firmware::Uefi && !files::exists(&path(VARIABLES)) {
            Tool::new("qemu-img")
                .args(["convert", "-f", "raw", "-O", "qcow2", OVMF_VARIABLES])
                .arg(path(VARIABLES))
                .run()
                .map_err(during("copy the EFI variables"))?;
        }
        if !self.spec.files.is_empty() {
            files_disk::write_labelled(
                &path(FILES),
                &self.spec.files,
                self.spec.files_label,
                self.lab.path(),
            )?;
        }
        Ok(())
    }

    /// The serial console.
    pub fn console(&mut self) -> &mut Console {
        &mut self.console
    }

    /// QEMU's monitor.
    ///
    /// # Errors
    /// The machine is off.
    pub fn qmp(&mut self) -> Result<&mut Qmp, LabError> {
        self.power.as_mut().map(|power| &mut power.monitor).ok_or(LabError::Power { off: true })
    }

    /// The hardware.
    #[must_use]
    pub fn spec(&self) -> &VmSpec {
        &self.spec
    }

    /// The machine's disk image: to read only while the machine is off or paused.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.lab.path().join(DISK)
    }

    /// The EFI variables' image, where there is one.
    #[must_use]
    pub fn variables(&self) -> Option<PathBuf> {
        (self.spec.firmware == Firmware::Uefi).then(|| self.lab.path().join(VARIABLES))
    }

    /// Whether QEMU runs (a paused machine's does).
    pub fn is_running(&mut self) -> bool {
        self.power.as_mut().is_some_and(|power| matches!(power.qemu.status(), Ok(None)))
    }

    /// Switches the machine on: same disk, same network; the console is read from the first byte.
    ///
    /// # Errors
    /// It is on, or QEMU does not come up.
    pub fn power_on(&mut self) -> Result<(), LabError> {
        self.switch_on()?;
        self.resume()
    }

    /// Takes the CD out of a machine that is off.
    ///
    /// # Errors
    /// It is on.
    pub fn take_cd(&mut self) -> Result<(), LabError> {
        if self.is_running() {
            return Err(LabError::Power { off: false });
        }
        self.spec.cd = None;
        Ok(())
    }

    /// Starts QEMU with the machine standing still, and wires it.
    fn switch_on(&mut self) -> Result<(), LabError> {
        if self.is_running() {
            return Err(LabError::Power { off: false });
        }
        self.power = None;
        let path = |name| self.lab.path().join(name);
        let listener = Listener::bind(&path(MONITOR))?;
        let mut tool = Tool::new("qemu-system-x86_64")
            .args(self.spec.arguments(&self.lab.namespace(), &self.lan.taps()))
            .current_dir(self.lab.path());
        if !self.spec.may_outlive {
            tool = tool.die_with_parent();
        }
        let mut qemu = tool.spawn(Some(&path(LOG))).map_err(during("start QEMU"))?;
        let Some(stream) = listener.accept(qemu.pidfd(), COME_UP)? else {
            return Err(self.qemu_error(&mut qemu));
        };
        match self.wire(stream) {
            Ok(monitor) => {
                self.power = Some(Power { qemu, monitor });
                Ok(())
            }
            // A QEMU that dislikes its hardware says so only after it has called us.
            Err(e) => match qemu.wait(LAST_WORDS) {
                Ok(Some(_)) => Err(self.qemu_error(&mut qemu)),
                _ => Err(e),
            },
        }
    }

    /// Takes up the monitor, the console and the network of a QEMU that has just come up.
    fn wire(&mut self, monitor: UnixStream) -> Result<Qmp, LabError> {
        let monitor = Qmp::new(monitor)?;
        self.console.attach(xenup_system::lab::socket::connect(&self.lab.path().join(CONSOLE))?)?;
        self.lan.plug()?;
        Ok(monitor)
    }

    fn qemu_error(&self, qemu: &mut Running) -> LabError {
        let what = match qemu.status() {
            Ok(Some(status)) => format!("ended with {status}"),
            _ => format!("did not come up within {} s", COME_UP.as_secs()),
        };
        let log = files::read(&self.lab.path().join(LOG)).unwrap_or_default();
        LabError::Qemu { what, log: String::from_utf8_lossy(&log).into_owned() }
    }

    /// Pulls the plug: what the guest had not flushed may be lost, what it had is there after [`Vm::power_on`].
    ///
    /// # Errors
    /// It is off.
    pub fn power_cut(&mut self) -> Result<(), LabError> {
        let mut power = self.power.take().ok_or(LabError::Power { off: true })?;
        power.qemu.kill();
        self.console.tail(0);
        self.console.detach();
        Ok(())
    }

    /// Presses the reset button.
    ///
    /// # Errors
    /// It is off, or QEMU refuses.
    pub fn reset(&mut self) -> Result<(), LabError> {
        self.command("system_reset")
    }

    /// Presses the power button: an operating system that listens shuts down.
    ///
    /// # Errors
    /// It is off, or QEMU refuses.
    pub fn press_power(&mut self) -> Result<(), LabError> {
        self.command("system_powerdown")
    }

    /// Stops time in the machine.
    ///
    /// # Errors
    /// It is off, or QEMU refuses.
    pub fn pause(&mut self) -> Result<(), LabError> {
        self.command("stop")
    }

    /// Lets time in the machine go on.
    ///
    /// # Errors
    /// It is off, or QEMU refuses.
    pub fn resume(&mut self) -> Result<(), LabError> {
        self.command("cont")
    }

    fn command(&mut self, name: &str) -> Result<(), LabError> {
        self.qmp()?.execute(name, Value::Null)?;
        Ok(())
    }

    /// Waits until the machine has switched itself off (QEMU ends then).
    ///
    /// # Errors
    /// It is still on after `limit`, or QEMU ended otherwise than by a shutdown: with its own words.
    pub fn wait_off(&mut self, limit: Duration) -> Result<(), LabError> {
        let power = self.power.as_mut().ok_or(LabError::Power { off: true })?;
        match power.qemu.wait(limit).map_err(during("wait for QEMU's end"))? {
            Some(status) if status.success() => {}
            Some(_) => return Err(self.unexpected_end()),
            None => return Err(LabError::StillOn { limit }),
        }
        self.power = None;
        self.console.tail(0);
        self.console.detach();
        Ok(())
    }

    fn unexpected_end(&mut self) -> LabError {
        match self.power.take() {
            Some(mut power) => self.qemu_error(&mut power.qemu),
            None => LabError::Power { off: true },
        }
    }

    /// Keeps memory and disk under a name, inside the machine's disk image; the machine goes on.
    ///
    /// # Errors
    /// It is off, or QEMU refuses.
    pub fn snapshot(&mut self, name: &str) -> Result<(), LabError> {
        self.pause()?;
        self.save(name)?;
        self.resume()?;
        let shell = self.console.has_shell();
        self.snapshots.retain(|(other, _)| other != name);
        self.snapshots.push((name.to_owned(), shell));
        Ok(())
    }

    /// Goes back to a snapshot of this machine. Its clock then stands where it stood: [`Console::set_clock`].
    ///
    /// # Errors
    /// It is off, or there is no such snapshot.
    pub fn restore(&mut self, name: &str) -> Result<(), LabError> {
        self.pause()?;
        self.load(name)?;
        let shell = self.snapshots.iter().any(|(other, shell)| other == name && *shell);
        self.console.rewind(shell);
        self.resume()
    }

    fn nodes(&self) -> Value {
        match self.spec.firmware {
            Firmware::Bios => json!(["disk"]),
            Firmware::Uefi => json!(["disk", "vars"]),
        }
    }

    pub(crate) fn save(&mut self, name: &str) -> Result<(), LabError> {
        let nodes = self.nodes();
        // A name is used once: QEMU would refuse the second.
        let _ = self.forget(name);
        let arguments = json!({ "tag": name, "vmstate": "disk", "devices": nodes });
        Ok(self.qmp()?.job("snapshot-save", arguments, SNAPSHOT)?)
    }

    pub(crate) fn load(&mut self, name: &str) -> Result<(), LabError> {
        let arguments = json!({ "tag": name, "vmstate": "disk", "devices": self.nodes() });
        Ok(self.qmp()?.job("snapshot-load", arguments, SNAPSHOT)?)
    }

    pub(crate) fn forget(&mut self, name: &str) -> Result<(), LabError> {
        let arguments = json!({ "tag": name, "devices": self.nodes() });
        Ok(self.qmp()?.job("snapshot-delete", arguments, SNAPSHOT)?)
    }

    /// Ends the run's hold on the machine, which goes on by itself, and returns QEMU's process id and the run
    /// directory. Its specification must say that it may outlive the run.
    ///
    /// # Errors
    /// It is off, or would end with its starter.
    pub fn leave(mut self) -> Result<(u32, PathBuf), LabError> {
        if !self.spec.may_outlive || !self.is_running() {
            return Err(LabError::Power { off: true });
        }
        let power = self.power.take().ok_or(LabError::Power { off: true })?;
        let pid = power.qemu.id();
        let directory = self.lab.leave(pid)?;
        let mut qemu = power.qemu;
        // Dropping it here would end QEMU; a thread that is gone with this process drops nothing.
        std::thread::spawn(move || while matches!(qemu.wait(LONG_WAIT), Ok(None)) {});
        Ok((pid, directory))
    }

    /// How a person gets to the machine's console while no run holds it.
    #[must_use]
    pub fn console_command(&self) -> String {
        format!("socat -,raw,echo=0,escape=0x1d UNIX-CONNECT:{}", self.lab.path().join(CONSOLE).display())
    }
}

/// Makes an empty disk.
fn blank(size: u64, disk: &Path) -> Result<(), LabError> {
    Tool::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2"])
        .arg(disk)
        .arg(size.to_string())
        .run()
        .map_err(during("make the machine's disk"))?;
    Ok(())
}

/// Makes an overlay over a base image, whose absolute path it then carries.
pub(crate) fn overlay(base: &Path, overlay: &Path) -> Result<(), LabError> {
    Tool::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"])
        .args([base, overlay])
        .run()
        .map_err(during("make the machine's disk"))?;
    Ok(())
}

/// QEMU's version as it prints it, for reports and keys; `None` where it is not installed.
#[must_use]
pub fn version() -> Option<String> {
    let program = find_program("qemu-system-x86_64")?;
    let text = Tool::new(program).arg("--version").run().ok()?.text();
    text.lines().next().map(|line| line.trim_start_matches("QEMU emulator version ").to_owned())
}
