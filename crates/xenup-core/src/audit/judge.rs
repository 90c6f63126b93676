//! A guest against a hypervisor: what `guest check` finds in its file, what that release of Xen and this processor do
//! not do, and what it boots.
//!
//! Decides: the reasons of a verdict, each with its evidence and the change. Facts with their sources are in
//! docs/audit.md. Never: looks at the machine; all that was read is in [`World`].

use crate::guest::lint::{CONVERTIBLE, lint};
use crate::guest::{Guest, GuestFile, GuestType, Value};
use crate::inspect::{Finding, Weight};
use crate::kernel::hypervisor::{Capability, Fact, State};
use crate::kernel::{Hypervisor, Release};

use super::fix::Change;
use super::report::{Effect, Evidence, Reason};
use super::world::{FILES, World};

/// Findings of `guest check` that are about a build of Xen: here the release in question decides, not what is installed.
const JUDGED_HERE: [&str; 7] = [
    "guest-pv32",
    "guest-shadow",
    "guest-pygrub-path",
    "guest-qemu-traditional",
    "guest-dom0-kernel",
    "guest-type-missing",
    "guest-pvh-pci",
];
/// Findings that no edit of the file's own words settles: something has to be made, found or decided.
const NOT_SETTLED: [&str; 6] = [
    "guest-file-absent",
    "guest-disk-absent",
    "guest-script-absent",
    "guest-disk-refused",
    "guest-disk-twice",
    "guest-boots-nothing",
];
/// The first release without /usr/bin/pygrub.
const NO_PYGRUB_LINK: Release = Release { major: 4, minor: 19 };
const NO_QEMU_TRADITIONAL: Release = Release { major: 4, minor: 21 };

/// What judging a guest came to.
pub(super) struct Judged {
    pub name: Option<String>,
    pub kind: GuestType,
    pub memory: Option<u64>,
    pub boots: Option<String>,
    pub reasons: Vec<Reason>,
}

/// A guest being judged.
pub(super) struct Case<'a> {
    pub file: &'a GuestFile,
    pub guest: Guest<'a>,
    pub world: &'a World<'a>,
    pub xen: &'a Hypervisor,
    pub reasons: Vec<Reason>,
    pub boots: Option<String>,
}

/// Judges a guest against `xen`.
pub(super) fn judge(file: &GuestFile, world: &World<'_>, xen: &Hypervisor) -> Judged {
    let guest = Guest::of(file);
    let mut case = Case { file, guest, world, xen, reasons: Vec::new(), boots: None };
    case.words();
    case.hardware();
    case.paths_of_a_release();
    case.device_model();
    case.what_boots();
    case.reasons.sort_by_key(|reason| reason.effect);
    let memory = case.guest.number("memory").and_then(|mib| u64::try_from(mib).ok());
    Judged {
        name: case.guest.filled("name").map(str::to_owned),
        kind: case.guest.kind,
        memory,
        boots: case.boots,
        reasons: case.reasons,
    }
}

impl Case<'_> {
    /// The line of the statement that decides a key.
    pub fn line(&self, key: &str) -> Evidence {
        let setting = self.guest.settings.get(key);
        let statement = setting.and_then(|setting| self.file.statements().get(setting.statement));
        let line = statement.map_or(0, |statement| self.file.line(statement.span.start));
        Evidence::line(self.file.path(), line)
    }

    pub fn push(&mut self, reason: Reason) {
        self.reasons.push(reason);
    }

    /// What the file says, whatever hypervisor it is for.
    fn words(&mut self) {
        for finding in lint(self.file, &self.world.here) {
            if JUDGED_HERE.contains(&finding.id.as_str()) || finding.weight == Weight::Note {
                continue;
            }
            if finding.id == "guest-file-absent"
                && self.guest.filled("bootloader").is_some_and(is_known_pygrub)
                && finding.what.starts_with("bootloader ")
            {
                continue;
            }
            let mut reason = Reason::of_finding(&finding);
            reason.settles = reason.effect == Effect::Stops && settles(&finding);
            if finding.id == "guest-pygrub-root"
                && let Some(packed) = self.packed_against_grub().filter(|_| self.guest.kind == GuestType::Pv)
            {
                let change = format!(
                    "write bootloader_restrict = 1 (Xen 4.20); GRUB for Xen does not unpack {packed} for PV"
                );
                reason = reason.advice(change);
            }
            if CONVERTIBLE.contains(&finding.id.as_str()) {
                reason = reason.edits(vec![Change::Convert], true);
            }
            self.push(reason);
        }
    }

    /// Hardware virtualization, and the page tables that it needs.
    fn hardware(&mut self) {
        let kind = self.guest.kind;
        if kind == GuestType::Pv {
            return;
        }
        let passed = matches!(
            self.guest.settings.get("pci").map(|setting| &setting.value),
            Some(Value::List(items)) if !items.is_empty()
        );
        if kind == GuestType::Pvh && passed {
            self.push(
                Reason::new("audit-pvh-pci", Effect::Stops, "a PVH guest takes no PCI device of the host's")
                    .seen(self.line("pci"))
                    .advice("take pci out, or give the guest type = \"pv\" or \"hvm\""),
            );
        }
        if kind == GuestType::Hvm {
            let fact = self.xen.fact(Capability::Hvm);
            self.capability("audit-hvm", &fact, "HVM guests", "type");
        }
        if self.world.hvm == Some(false) {
            let what = format!("{} needs hardware virtualization, and Xen sees none", named(kind));
            self.push(
                Reason::new("audit-no-hvm", Effect::Stops, what)
                    .seen(Evidence::words("xl info: virt_caps has no hvm"))
                    .advice("switch it on in the machine's firmware, or give the guest type = \"pv\""),
            );
        }
        let shadow = self.xen.fact(Capability::Shadow);
        let asked = self.guest.number("hap") == Some(0);
        if self.world.hap == Some(false) && shadow.state == State::No {
            let what = format!(
                "this processor has no nested page tables (EPT, NPT), and Xen {} has no shadow paging",
                self.xen.name
            );
            let advice = match kind {
                GuestType::Pvh => {
                    "give the guest type = \"pv\" where its kernel can be that, keep a Xen with CONFIG_SHADOW_PAGING, or take another machine"
                }
                _ => "keep a Xen with CONFIG_SHADOW_PAGING, or take another machine",
            };
            let reason = Reason::new("audit-no-hap", Effect::Stops, what)
                .seen(Evidence::words("the processor's flags, or virt_caps of xl info"))
                .seen(Evidence::words(shadow.source.clone()))
                .advice(advice);
            self.push(reason);
        } else if asked {
            self.asked_for_shadow(&shadow);
        }
        self.unknown_processor(&shadow, asked);
    }

    /// What the processor would have to have, where nobody could ask it. A guest that needs it is promised nothing.
    fn unknown_processor(&mut self, shadow: &Fact, asked: bool) {
        let kind = named(self.guest.kind);
        let tables = "nested page tables (EPT, NPT)";
        let name = &self.xen.name;
        let what = match (self.world.hvm, self.world.hap, shadow.state) {
            (None, None, State::No) if !asked => {
                format!(
                    "{kind} needs hardware virtualization and {tables}: whether this processor has them is not known"
                )
            }
            (None, _, _) => {
                format!("{kind} needs hardware virtualization: whether this processor has it is not known")
            }
            (Some(true), None, State::No) if !asked => {
                format!(
                    "Xen {name} has no shadow paging, and whether this processor has {tables} is not known"
                )
            }
            (Some(true), None | Some(false), State::Depends | State::Unknown) if !asked => {
                let has = if self.world.hap.is_none() { "may have no" } else { "has no" };
                format!(
                    "this processor {has} {tables}, and whether this build of Xen {name} has shadow paging is not known"
                )
            }
            _ => return,
        };
        let reason = Reason::new("audit-processor", Effect::NotKnown, what).seen(self.line("type"));
        self.push(reason.advice(
            "ask that machine: virt_caps of xl info (hvm, hap), or the flags of /proc/cpuinfo without Xen (vmx or svm, ept or npt)",
        ));
    }

    fn asked_for_shadow(&mut self, shadow: &Fact) {
        let (line, source) = (self.line("hap"), Evidence::words(shadow.source.clone()));
        let name = &self.xen.name;
        let reason = match shadow.state {
            State::Yes => return,
            State::No => {
                let what = format!("hap = 0 asks for shadow paging, which Xen {name} does not have");
                let sure = self.world.hap == Some(true);
                let given = if sure { "" } else { ", where the processor has nested page tables" };
                let change = format!("write hap = 1{given}");
                let reason = Reason::new("audit-shadow", Effect::Stops, what).settled_by(change);
                reason.edits(vec![Change::set("hap", "1")], sure)
            }
            State::Depends | State::Unknown => {
                let what = format!(
                    "hap = 0 asks for shadow paging; whether this build of Xen {name} has it is not known"
                );
                Reason::new("audit-shadow", Effect::NotKnown, what)
                    .advice("write hap = 1, where nothing speaks against it")
            }
        };
        self.push(reason.seen(line).seen(source));
    }

    /// A fact about the hypervisor that the guest depends on.
    pub fn capability(&mut self, id: &str, fact: &Fact, what: &str, key: &str) {
        let name = &self.xen.name;
        let (effect, what) = match fact.state {
            State::Yes => return,
            State::No => (Effect::Stops, format!("Xen {name} takes no {what}")),
            State::Depends => (Effect::NotKnown, format!("some builds of Xen {name} take {what}")),
            State::Unknown => (Effect::NotKnown, format!("whether Xen {name} takes {what} is not known")),
        };
        let reason =
            Reason::new(id, effect, what).seen(self.line(key)).seen(Evidence::words(fact.source.clone()));
        self.push(reason);
    }

    pub fn is_pygrub(&self) -> bool {
        super::world::is_pygrub(&self.guest)
    }

    /// Files that come with one release of Xen's tools and go with it.
    fn paths_of_a_release(&mut self) {
        if self.is_pygrub() && self.guest.kind != GuestType::Hvm {
            self.pygrub_path();
        }
        for key in FILES {
            let Some(path) = self.guest.filled(key).filter(|_| !self.is_passed_over(key)) else { continue };
            let end = self.world.end_of(path);
            let Some(release) = release_of(end).or_else(|| release_of(path)) else { continue };
            if release == self.xen.release {
                continue;
            }
            let leads = if end == path { String::new() } else { format!("leads to {end}, which ") };
            let what = format!(
                "{key} {path} {leads}is of the tools of Xen {release}, which go when those of {} come",
                self.xen.release
            );
            let change = if end.contains("pv-grub") {
                self.instead_of_pv_grub()
            } else {
                format!("take {key} out, or name a file that stays")
            };
            let reason =
                Reason::new("audit-path-of-release", Effect::Stops, what).seen(self.line(key)).advice(change);
            self.push(reason);
        }
    }

    /// Whether nothing comes of a key in this guest, or another rule judges it.
    fn is_passed_over(&self, key: &str) -> bool {
        let hvm = self.guest.kind == GuestType::Hvm;
        match key {
            // xl passes over hvmloader, and a boot loader puts its own kernel in the place of this one.
            "kernel" if hvm => self.guest.filled(key).is_some_and(super::boot::is_hvmloader),
            "kernel" | "ramdisk" => !hvm && self.guest.filled("bootloader").is_some(),
            "bootloader" => hvm || self.is_pygrub(),
            "firmware" | "firmware_override" | "bios_path_override" | "smbios_firmware" | "acpi_firmware" => {
                !hvm
            }
            "stubdomain_kernel" | "stubdomain_ramdisk" => {
                !hvm || self.guest.number("device_model_stubdomain_override").is_none_or(|on| on == 0)
            }
            "pvshim_path" => self.guest.kind != GuestType::Pvh || self.guest.number("pvshim") != Some(1),
            _ => false,
        }
    }

    fn pygrub_path(&mut self) {
        let Some(path) = self.guest.filled("bootloader").filter(|path| *path != "pygrub") else { return };
        let release = match path {
            "/usr/bin/pygrub" => None,
            path => release_of(self.world.end_of(path)).or_else(|| release_of(path)),
        };
        let gone = match release {
            Some(release) => release != self.xen.release,
            None => path == "/usr/bin/pygrub" && self.xen.release >= NO_PYGRUB_LINK,
        };
        let what = format!("bootloader names {path} by its path, which Xen {} does not have", self.xen.name);
        let shown = if release.is_some() {
            "Debian keeps each release's tools in a folder of its own"
        } else {
            "Xen 4.19 and later install no link /usr/bin/pygrub; Debian 13 has none"
        };
        if gone {
            let reason = Reason::new("audit-pygrub-path", Effect::Stops, what)
                .seen(self.line("bootloader"))
                .seen(Evidence::words(shown))
                .settled_by("write bootloader = \"pygrub\": xl finds it by its name")
                .edits(vec![Change::Convert], true);
            self.push(reason);
        }
    }

    fn device_model(&mut self) {
        if self.guest.text("device_model_version") != Some("qemu-xen-traditional")
            || self.xen.release < NO_QEMU_TRADITIONAL
        {
            return;
        }
        let what = format!(
            "device_model_version is qemu-xen-traditional, which Xen {} does not have",
            self.xen.name
        );
        let reason = Reason::new("audit-qemu-traditional", Effect::Stops, what)
            .seen(self.line("device_model_version"))
            .seen(Evidence::words("CHANGELOG.md of 4.21: qemu-traditional is removed"))
            .settled_by("write qemu-xen; the guest then sees other emulated devices");
        self.push(reason);
    }
}

/// A guest of a type, in words.
fn named(kind: GuestType) -> &'static str {
    match kind {
        GuestType::Pv => "a PV guest",
        GuestType::Pvh => "a PVH guest",
        GuestType::Hvm => "an HVM guest",
    }
}

/// Whether a finding's fix is all that the file needs.
fn settles(finding: &Finding) -> bool {
    let by_a_package = finding.fix.starts_with("apt install ");
    by_a_package || !NOT_SETTLED.contains(&finding.id.as_str())
}

/// Whether that is pygrub where a release has it, or its name alone: whether it is there after is judged here.
fn is_known_pygrub(path: &str) -> bool {
    let of_release = release_of(path).is_some() && path.ends_with("/bin/pygrub");
    of_release || matches!(path, "pygrub" | "/usr/bin/pygrub")
}

/// The release whose folder a path lies in: `/usr/lib/xen-4.17/…`.
pub(super) fn release_of(path: &str) -> Option<Release> {
    path.strip_prefix("/usr/lib/xen-")?.split_once('/')?.0.parse().ok()
}
