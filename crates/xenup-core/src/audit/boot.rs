//! What a guest boots, and whether that can be what the guest is.
//!
//! Decides: the way (a kernel of dom0's, pygrub, GRUB for Xen, firmware), the kernel at its end, and what another type
//! would make of it. Facts: libxl takes the first disk for a boot loader; GRUB for Xen unpacks kernels itself, so what
//! Xen's own loader unpacks does not matter there. Never: promises that a kernel has drivers.

use std::path::{Path, PathBuf};

use crate::guest::disk::facts::Boot;
use crate::guest::{GuestType, Value};
use crate::kernel::hypervisor::{Capability, State};
use crate::kernel::role::answer;
use crate::kernel::{Answer, Class, Compression, Content, Hypervisor, Image, NoteType, Release, Role};

use super::fix::Change;
use super::judge::Case;
use super::report::{Effect, Evidence, Reason};
use super::world::{GRUB_XEN, KernelSeen};

/// Keys that a PVH guest has no use for, or another one, and that a guest has for a reason.
const NOT_FOR_PVH: [&str; 15] = [
    "pci",
    "vfb",
    "usbctrl",
    "usbdev",
    "vnc",
    "sdl",
    "vkb",
    "ioports",
    "irqs",
    "iomem",
    "passthrough",
    "e820_host",
    "vnuma",
    "rdm",
    "dtdev",
];

/// A kernel that would run, and how the guest comes to it.
pub(super) struct Boots<'b> {
    pub image: Image,
    /// How the file is packed, whoever unpacks it.
    pub packed: Option<Compression>,
    pub config: Option<&'b str>,
    /// Its path, with the disk where it is on one.
    pub name: String,
    /// The file it is in.
    pub place: PathBuf,
    pub by: By,
    /// The command line, where a boot loader's file has it.
    pub entry: Option<&'b Boot>,
}

/// How a guest comes to its kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// `kernel =` is it.
    Direct,
    /// dom0 reads it from the guest's disk.
    Pygrub,
    /// GRUB runs in the guest.
    Grub,
}

impl<'a> Case<'a> {
    pub(super) fn what_boots(&mut self) {
        self.way();
        let told = self.reasons.iter().any(|reason| reason.effect != Effect::ToKnow);
        if self.boots.is_none() && !told {
            let what = "what it boots was not found, and nothing that was read says that it boots nothing";
            let reason = Reason::new("audit-boots-unknown", Effect::NotKnown, what);
            self.push(reason.seen(Evidence::line(self.file.path(), 0)));
        }
    }

    /// Follows the way to the kernel.
    fn way(&mut self) {
        let world = self.world;
        let role = match self.guest.kind {
            GuestType::Hvm => return self.hvm(),
            GuestType::Pvh if self.in_shim() => {
                let fact = self.xen.fact(Capability::Shim);
                self.capability("audit-shim", &fact, "PV guests inside a PVH one", "pvshim");
                Role::Pv
            }
            GuestType::Pv => Role::Pv,
            GuestType::Pvh => Role::Pvh,
        };
        self.not_followed();
        let kernel = self.guest.filled("kernel").map(str::to_owned);
        if let (Some(path), None) = (&kernel, self.guest.filled("bootloader")) {
            // A link says nothing: what it leads to is what starts.
            let end = world.end_of(path);
            let file = end.rsplit('/').next().unwrap_or(end);
            if file.starts_with("pv-grub") {
                return self.pv_grub(path);
            }
            match world.kernels.get(Path::new(path)) {
                // `guest check` has said so; with it there, this is what it would start.
                Some(KernelSeen::Absent) if is_loader(file) => match self.own(By::Grub) {
                    Ok(own) => self.judged(role, &own),
                    Err(reason) => self.push(*reason),
                },
                // `guest check` has said so; its own disk may hold another.
                Some(KernelSeen::Absent) => self.instead_of_absent(),
                // A path that no kernel was looked for at has its reason from `not_followed`.
                None => {}
                Some(KernelSeen::Unreadable(why)) => {
                    let what = format!("{path} cannot be read as a kernel: {why}");
                    let reason =
                        Reason::new("audit-kernel-unread", Effect::NotKnown, what).seen(self.line("kernel"));
                    self.push(reason);
                }
                Some(KernelSeen::Read(image, config)) => self.kernel(role, path, image, config.as_deref()),
            }
            return;
        }
        if self.is_pygrub() {
            match self.own(By::Pygrub) {
                Ok(boots) => self.judged(role, &boots),
                Err(reason) => self.push(*reason),
            }
        } else if let Some(loader) = self.guest.filled("bootloader") {
            let what = format!("what {loader} boots is not known: only pygrub is");
            let reason =
                Reason::new("audit-bootloader", Effect::NotKnown, what).seen(self.line("bootloader"));
            self.push(reason);
        }
    }

    /// An HVM guest boots by its firmware, unless a kernel is put in its place: xl passes over hvmloader alone.
    fn hvm(&mut self) {
        match self.guest.filled("kernel") {
            Some(path) if !is_hvmloader(path) => {
                let what = format!("the firmware starts {path} itself: whether it can is not known");
                let reason =
                    Reason::new("audit-hvm-kernel", Effect::NotKnown, what).seen(self.line("kernel"));
                self.push(reason);
            }
            _ => self.boots = Some("by its firmware".to_owned()),
        }
    }

    /// What decides over the boot and is not followed here.
    fn not_followed(&mut self) {
        let loader = self.guest.filled("bootloader").is_some();
        for key in ["kernel", "ramdisk"] {
            // A boot loader puts its own in their place.
            let relative = self.guest.filled(key).filter(|path| !loader && !path.starts_with('/'));
            let Some(path) = relative.map(str::to_owned) else { continue };
            let what =
                format!("{key} {path} is looked for in the folder that xl is started in, which is not known");
            let reason = Reason::new("audit-path-relative", Effect::NotKnown, what)
                .seen(self.line(key))
                .advice(format!("write the whole path, from / on, as {key}"));
            self.push(reason);
        }
        if let Some(firmware) = self.guest.filled("firmware").map(str::to_owned) {
            let what = format!("what firmware {firmware} finds and unpacks on the guest's disk is not known");
            let reason = Reason::new("audit-firmware", Effect::NotKnown, what)
                .seen(self.line("firmware"))
                .advice("boot by GRUB for Xen in its place: package grub-xen-host");
            self.push(reason);
        }
        let arguments = self.guest.filled("bootloader_args").is_some()
            || self
                .guest
                .settings
                .get("bootloader_args")
                .is_some_and(|setting| matches!(&setting.value, Value::List(items) if !items.is_empty()));
        if loader && arguments {
            let what = "bootloader_args can name another entry, kernel or partition, and are not read";
            let reason = Reason::new("audit-bootloader-args", Effect::NotKnown, what)
                .seen(self.line("bootloader_args"));
            self.push(reason);
        }
    }

    /// `kernel =`: a kernel, or a loader that looks for one on the guest's disk.
    fn kernel(&mut self, role: Role, path: &str, image: &Image, config: Option<&'a str>) {
        let end = self.world.end_of(path);
        let file = end.rsplit('/').next().unwrap_or(end);
        let place = PathBuf::from(path);
        let boots = |by| Boots {
            image: image.clone(),
            packed: image.compression,
            config,
            name: path.to_owned(),
            place,
            by,
            entry: None,
        };
        if !is_loader(file) && !is_grub(image) {
            let boots = boots(By::Direct);
            self.judged(role, &boots);
            self.of_dom0(path);
            return;
        }
        // The loader has to start, and then the guest's own kernel.
        let loader = boots(By::Grub);
        let own = self.own(By::Grub);
        let loaded = answer(role, image, config, &self.inner());
        match (loaded, own) {
            (Answer::Yes { given }, Ok(own)) if given.is_empty() => {
                if image_class(image) == Some(Class::Bits64)
                    && role == Role::Pv
                    && image_class(&own.image) == Some(Class::Bits32)
                {
                    let what = format!("{file} starts 64-bit kernels, and {} has 32 bits", own.name);
                    let reason =
                        Reason::new("audit-loader-class", Effect::Stops, what).seen(self.line("kernel"));
                    let reason = self.other_type(role, &own, reason);
                    self.push(reason);
                } else {
                    self.judged(role, &own);
                }
            }
            (Answer::Yes { given }, Err(reason)) if given.is_empty() => self.push(*reason),
            (stopped, Ok(own)) => {
                let mut reason = self.refused(role, &loader, stopped);
                reason.change = None;
                let reason = self.other_type(role, &own, reason);
                self.push(reason);
            }
            (stopped, Err(unread)) => {
                let reason = self.refused(role, &loader, stopped);
                self.push(reason);
                self.push(*unread);
            }
        }
    }

    /// The GRUB 0.97 of Xen's own tools: it reads menu.lst, and what it unpacks is not known here.
    fn pv_grub(&mut self, path: &str) {
        if super::judge::release_of(self.world.end_of(path))
            .is_some_and(|release| release != self.xen.release)
        {
            return;
        }
        let what = format!("what {path} finds and unpacks on the guest's disk is not known");
        let reason = Reason::new("audit-pv-grub", Effect::NotKnown, what).seen(self.line("kernel"));
        let change = self.instead_of_pv_grub();
        self.push(reason.advice(change));
    }

    /// What the guest's own disk offers where the kernel of its file is not there.
    fn instead_of_absent(&mut self) {
        let Ok(own) = self.own(By::Grub) else { return };
        let ways = [(Role::Pvh, "grub-i386-xen_pvh.bin"), (Role::Pv, "grub-x86_64-xen.bin")];
        let mut ways =
            ways.into_iter().filter(|(role, _)| *role == Role::Pv || self.pvh_runs() == Some(true));
        let Some((kind, loader)) = ways.find(|(role, _)| can(*role, &own, self.xen)) else {
            return;
        };
        let what = format!("the guest's own disk has a kernel that can be {kind}: {}", own.name);
        let word = if kind == Role::Pvh { "pvh" } else { "pv" };
        let reason = Reason::new("audit-own-kernel", Effect::ToKnow, what).advice(format!(
            "type = \"{word}\" and kernel = \"{GRUB_XEN}/{loader}\" boot it, without ramdisk and cmdline"
        ));
        self.push(reason);
    }

    /// Judges the kernel at the end of the way.
    fn judged(&mut self, role: Role, boots: &Boots<'_>) {
        self.root_device(boots);
        if let (Role::Pv, By::Grub, Some(packed)) = (role, boots.by, boots.packed)
            && !packed.is_grubs()
        {
            let reason = self.not_unpacked(boots, packed);
            return self.push(reason);
        }
        match answer(role, &boots.image, boots.config, &self.inner()) {
            Answer::Yes { given } if given.is_empty() => {
                let inside = if self.in_shim() { " in the shim" } else { "" };
                self.boots = Some(format!("{}, which can be {role}{inside}", boots.name));
            }
            stopped => {
                let stops = matches!(stopped, Answer::No { .. });
                let mut reason = self.refused(role, boots, stopped);
                if stops {
                    reason = self.other_type(role, boots, reason);
                }
                self.push(reason);
            }
        }
    }

    /// Why a kernel is not what the guest is, or why that cannot be told.
    fn refused(&self, role: Role, boots: &Boots<'_>, answer: Answer) -> Reason {
        let name = &boots.name;
        let typed = if self.guest.settings.contains_key("type") || self.guest.settings.contains_key("builder")
        {
            self.line("type")
        } else {
            Evidence { what: "no type= in it, and then xl makes a PV guest".to_owned(), ..self.line("type") }
        };
        match answer {
            Answer::Yes { given } => {
                let what = format!("{name} can be {role} only if {}", given.join(", and if "));
                Reason::new("audit-kernel-condition", Effect::NotKnown, what).seen(typed)
            }
            Answer::Unknown { why } => {
                let what = format!("whether {name} can be {role} is not known: {why}");
                Reason::new("audit-kernel-unknown", Effect::NotKnown, what).seen(typed)
            }
            Answer::No { reason, evidence, change } => {
                let what = format!("{name} cannot be {role}: {reason}");
                // What a hypervisor does not take is no fact of the kernel's file.
                let of_xen = evidence.offset.is_none() && reason.starts_with("Xen ");
                let inside = boots.entry.and_then(|entry| entry.kernel_path.as_deref());
                let inside = inside.map(|path| format!("in {path}, ")).unwrap_or_default();
                let shown = if of_xen {
                    Evidence::words(evidence.what)
                } else {
                    let words = Evidence::words(format!("{inside}{}", evidence.what));
                    Evidence { path: Some(boots.place.clone()), offset: evidence.offset, ..words }
                };
                let mut reason = Reason::new("audit-kernel-role", Effect::Stops, what).seen(typed);
                if of_xen && let Some(class) = image_class(&boots.image) {
                    let words = Evidence::words(format!("{inside}a {class} kernel{}", packed(&boots.image)));
                    reason = reason.seen(Evidence { path: Some(boots.place.clone()), ..words });
                }
                reason.seen(shown).advice(change)
            }
        }
    }

    /// Adds to a reason what another type would make of the kernel.
    pub(super) fn other_type(&self, role: Role, boots: &Boots<'_>, reason: Reason) -> Reason {
        if self.in_shim() {
            return reason;
        }
        let (other, word) = if role == Role::Pv { (Role::Pvh, "pvh") } else { (Role::Pv, "pv") };
        let held = if other == Role::Pvh { self.held() } else { None };
        let runs = if other == Role::Pvh { self.pvh_runs() } else { Some(true) };
        let small =
            boots.by == By::Grub && other == Role::Pv && image_class(&boots.image) != Some(Class::Bits64);
        let where_known =
            if runs.is_none() { ", where the processor has hardware virtualization" } else { "" };
        if runs == Some(false) {
            return reason.advice(
                "give the guest a 64-bit kernel for PV: this processor runs no PVH guest under that Xen",
            );
        }
        if small {
            return reason;
        }
        if can(other, boots, self.xen) {
            if let Some(key) = held {
                let why = if key == "maxmem" { "is not its memory" } else { "is for PV or HVM" };
                let words = format!("type = \"{word}\" would do for the kernel, but {key}= {why}: decide");
                return reason.advice(words);
            }
            let mut edits = vec![Change::set("type", word)];
            let mut words = format!("write type = \"{word}\": this kernel can be {other}{where_known}");
            if boots.by == By::Grub {
                let loader = if other == Role::Pvh { "grub-i386-xen_pvh.bin" } else { "grub-x86_64-xen.bin" };
                let path = format!("{GRUB_XEN}/{loader}");
                words = format!(
                    "write type = \"{word}\" and kernel = \"{path}\": the guest's kernel can be {other}{where_known}"
                );
                edits.push(Change::set("kernel", &path));
            }
            let sure = runs == Some(true);
            return reason.settled_by(words).edits(edits, sure);
        }
        // In the shim 32-bit PV is there whatever the hypervisor was built with.
        if other == Role::Pvh
            && boots.by != By::Grub
            && held.is_none()
            && image_class(&boots.image) == Some(Class::Bits32)
            && self.xen.fact(Capability::Shim).state == State::Yes
            && can(Role::Pv, boots, &shim(self.xen.release))
        {
            return reason.settled_by(format!(
                "write type = \"pvh\" and pvshim = 1: the kernel then runs inside a PVH guest{where_known}"
            ));
        }
        reason
    }

    /// A key that keeps a change to PVH from being sure.
    fn held(&self) -> Option<&'static str> {
        let named = NOT_FOR_PVH.into_iter().find(|key| self.guest.settings.contains_key(*key));
        let (memory, most) = (self.guest.number("memory"), self.guest.number("maxmem"));
        // PVH fills what is between them on demand, and its guest has to balloon early.
        let balloons = self.guest.settings.contains_key("maxmem") && (most.is_none() || memory != most);
        named.or_else(|| balloons.then_some("maxmem"))
    }

    /// Whether PVH guests run on this processor.
    fn pvh_runs(&self) -> Option<bool> {
        let shadow = self.xen.fact(Capability::Shadow).state;
        match (self.world.hvm, self.world.hap) {
            (Some(false), _) => Some(false),
            (_, Some(false)) if shadow == State::No => Some(false),
            (Some(true), hap) if hap == Some(true) || shadow == State::Yes => Some(true),
            _ => None,
        }
    }

    /// Whether the guest is a PV guest inside a PVH one.
    fn in_shim(&self) -> bool {
        self.guest.kind == GuestType::Pvh && self.guest.number("pvshim") == Some(1)
    }

    /// The hypervisor that the kernel sees.
    fn inner(&self) -> Hypervisor {
        if self.in_shim() { shim(self.xen.release) } else { self.xen.clone() }
    }

    /// A kernel of dom0's own packages.
    fn of_dom0(&mut self, path: &str) {
        let version =
            path.strip_prefix("/boot/vmlinuz-").filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if version.is_none() {
            return;
        }
        let what = format!("it boots dom0's own {path}, which goes when apt removes that kernel");
        let change = "keep a copy beside the guest's disks, or boot the guest's own kernel";
        let reason =
            Reason::new("audit-dom0-kernel", Effect::ToKnow, what).seen(self.line("kernel")).advice(change);
        self.push(reason);
    }
}

/// The Xen that a PV guest inside a PVH one runs on: it is built for that, 32-bit guests included.
fn shim(release: Release) -> Hypervisor {
    Hypervisor::built(release, "CONFIG_PV=y\nCONFIG_PV32=y\n", "the shim")
}

/// Whether a kernel can be something, and nothing more would have to be known.
pub(super) fn can(role: Role, boots: &Boots<'_>, xen: &Hypervisor) -> bool {
    let by_grub = role == Role::Pv && boots.by == By::Grub;
    (!by_grub || boots.packed.is_none_or(Compression::is_grubs))
        && matches!(answer(role, &boots.image, boots.config, xen), Answer::Yes { given } if given.is_empty())
}

fn packed(image: &Image) -> String {
    image.compression.map(|packed| format!(", packed with {packed}")).unwrap_or_default()
}

/// What xl passes over as the kernel of an HVM guest.
pub(super) fn is_hvmloader(path: &str) -> bool {
    path.rsplit('/').next() == Some("hvmloader")
}

/// GRUB built for PV, by what its notes say of it, whatever its file is called.
fn is_grub(image: &Image) -> bool {
    let Content::Kernel(kernel) = &image.content else { return false };
    kernel.notes.iter().any(|note| {
        note.kind == Some(NoteType::GuestOs)
            && matches!(&note.value, crate::kernel::Value::Text(name) if name == "GRUB")
    })
}

/// GRUB built for Xen, by the name that Debian gives it.
fn is_loader(file: &str) -> bool {
    file.starts_with("grub-") && file.contains("xen") && file.ends_with(".bin")
}

fn image_class(image: &Image) -> Option<Class> {
    match &image.content {
        Content::Kernel(kernel) => Some(kernel.class),
        _ => None,
    }
}
