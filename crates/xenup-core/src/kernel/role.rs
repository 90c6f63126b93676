//! Roles: what a kernel can be under a Xen, and if it cannot, what stops it.
//!
//! Decides: by the rules of Xen's own loaders (libelf-dominfo.c, domain_build.c), the table of hypervisors, and the
//! kernel's configuration where it is known. What nothing speaks of is not known, and never a yes.
//! Never: promises that a kernel has the drivers for a machine.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config;
use super::hypervisor::{Capability, Fact, Hypervisor, RELEASES, Release, State};
use super::image::{Class, Content, Form, Image, Kernel, NotesIn};
use super::note::{DOM0_BIT, NoteType, Value, is_feature};
use super::start::{Start, linux_says};
use super::unpack::Compression;

/// What a kernel can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The first guest, which has the hardware.
    Dom0,
    /// A guest that knows Xen and needs no hardware virtualization.
    Pv,
    /// A guest in hardware virtualization without firmware.
    Pvh,
    /// A guest with firmware, and drivers for Xen's devices.
    Hvm,
}

/// The roles in the order they are shown.
pub const ROLES: [Role; 4] = [Role::Dom0, Role::Pv, Role::Pvh, Role::Hvm];

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Dom0 => "dom0",
            Self::Pv => "PV",
            Self::Pvh => "PVH",
            Self::Hvm => "HVM",
        })
    }
}

/// What shows that a kernel cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// A note, its absence, or a fact about the hypervisor with its source.
    pub what: String,
    /// Where it stands in the ELF file, unpacked where that is packed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

/// Whether a kernel can be something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// It can.
    Yes {
        /// Under these conditions; none where there are none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        given: Vec<String>,
    },
    /// It cannot.
    No {
        /// Why, in words.
        reason: String,
        /// What shows it.
        evidence: Evidence,
        /// What to change.
        change: String,
    },
    /// Nothing says.
    Unknown {
        /// What would have to be known.
        why: String,
    },
}

impl Answer {
    /// Returns one word for a table.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Yes { given } if given.is_empty() => "yes",
            Self::Yes { .. } => "yes, if",
            Self::No { .. } => "no",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// A yes without conditions.
    pub(super) fn yes() -> Self {
        Self::Yes { given: Vec::new() }
    }

    pub(super) fn no(
        reason: impl Into<String>,
        evidence: impl Into<String>,
        offset: Option<u64>,
        change: impl Into<String>,
    ) -> Self {
        let evidence = Evidence { what: evidence.into(), offset };
        Self::No { reason: reason.into(), evidence, change: change.into() }
    }

    pub(super) fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown { why: why.into() }
    }

    /// This answer, or the other where this is a yes: a no outweighs what is not known, which outweighs a yes.
    pub(super) fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Yes { mut given } => match other() {
                Self::Yes { given: more } => {
                    given.extend(more);
                    Self::Yes { given }
                }
                stopped => stopped,
            },
            Self::Unknown { why } => match other() {
                no @ Self::No { .. } => no,
                _ => Self::Unknown { why },
            },
            no @ Self::No { .. } => no,
        }
    }
}

/// Whether a kernel can be one thing under one Xen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// What it would be.
    pub role: Role,
    /// Whether it can.
    #[serde(flatten)]
    pub answer: Answer,
}

/// Returns what the kernel can be under `xen`. `config` is the text of its configuration, where that is known.
#[must_use]
pub fn judge(image: &Image, config: Option<&str>, xen: &Hypervisor) -> Vec<Verdict> {
    ROLES.into_iter().map(|role| Verdict { role, answer: answer(role, image, config, xen) }).collect()
}

/// Returns whether the kernel can be `role` under `xen`.
#[must_use]
pub fn answer(role: Role, image: &Image, config: Option<&str>, xen: &Hypervisor) -> Answer {
    let kernel = match &image.content {
        Content::Kernel(kernel) => kernel,
        Content::Hypervisor => {
            let change = "give a Linux kernel; Xen's own file is what the boot loader starts";
            return Answer::no(
                "this is Xen, not a guest kernel",
                "Xen's banner in a Multiboot file",
                None,
                change,
            );
        }
        Content::Foreign { what } => {
            let reason = format!("this is {what}, which Xen on x86 does not start");
            return Answer::no(reason, "the header it begins with", Some(0), "give a kernel for x86");
        }
        Content::Opaque => return opaque(role, image, config),
    };
    let case = Case { image, kernel, config, xen };
    match role {
        Role::Dom0 => case.dom0(),
        Role::Pv => case.pv(Start::Guest),
        Role::Pvh => case.pvh(),
        Role::Hvm => case.hvm(),
    }
}

/// A run of releases with the same word for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// The first release.
    pub from: String,
    /// The last release.
    pub to: String,
    /// [`Answer::word`] for each of them.
    pub word: String,
}

/// Returns the answer for every release in the table, as runs of the same word.
#[must_use]
pub fn over_releases(role: Role, image: &Image, config: Option<&str>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for release in RELEASES {
        let word = answer(role, image, config, &Hypervisor::of(release)).word();
        extend(&mut spans, release, word);
    }
    spans
}

fn extend(spans: &mut Vec<Span>, release: Release, word: &str) {
    match spans.last_mut().filter(|span| span.word == word) {
        Some(span) => span.to = release.to_string(),
        None => {
            spans.push(Span { from: release.to_string(), to: release.to_string(), word: word.to_owned() })
        }
    }
}

/// A bzImage from before 2.08: no loader of Xen finds an ELF file in it.
fn opaque(role: Role, image: &Image, config: Option<&str>) -> Answer {
    let protocol = image.boot_protocol.as_deref().unwrap_or("unknown");
    if role == Role::Hvm {
        return match config.map(config::has_pv_drivers_in_hvm) {
            Some(true) => Answer::yes(),
            Some(false) => {
                let shown = "its configuration does not set CONFIG_XEN_PVHVM";
                Answer::no(
                    "it has no PV drivers for HVM",
                    shown,
                    None,
                    "give the guest Linux 2.6.36 or newer",
                )
            }
            None => Answer::unknown(format!(
                "a bzImage of boot protocol {protocol} starts under firmware, but whether it has PV drivers only \
                 its configuration says"
            )),
        };
    }
    Answer::no(
        format!("its boot protocol is {protocol}, and Xen loads a bzImage from 2.08 (Linux 2.6.26) on"),
        format!("boot protocol {protocol} in the setup header"),
        Some(0x206),
        "give the vmlinux it was made from, or a newer kernel",
    )
}

/// A kernel and what is known beside it.
struct Case<'a> {
    image: &'a Image,
    kernel: &'a Kernel,
    config: Option<&'a str>,
    xen: &'a Hypervisor,
}

impl Case<'_> {
    fn offset(&self, kind: NoteType) -> Option<u64> {
        self.kernel.note(kind).map(|note| note.offset)
    }

    /// A fact about the hypervisor as an answer.
    fn takes(&self, fact: &Fact, what: &str, change: &str) -> Answer {
        let name = &self.xen.name;
        match fact.state {
            State::Yes => Answer::yes(),
            State::Depends => Answer::Yes {
                given: vec![format!("this build of Xen {name} takes {what} ({})", fact.source)],
            },
            State::No => Answer::no(format!("Xen {name} takes no {what}"), fact.source.clone(), None, change),
            State::Unknown => Answer::unknown(format!("whether Xen {name} takes {what}: {}", fact.source)),
        }
    }

    fn dom0(&self) -> Answer {
        let pv = self.pv(Start::Dom0);
        if let (Answer::No { .. }, true) = (&pv, self.has_phys32_entry()) {
            let pvh = self.xen.fact(Capability::PvhDom0);
            if pvh.state == State::Yes {
                let given = vec![format!("dom0=pvh stands on Xen's command line ({})", pvh.source)];
                return Answer::Yes { given }.and(|| self.pvh()).and(|| self.dom0_feature());
            }
        }
        pv.and(|| self.dom0_feature())
    }

    /// Xen refuses a dom0 only where the kernel has the note and not the bit (dom0_build.c). The bit alone is not
    /// enough: Linux 6.1 sets it in every PV kernel (Debian's cloud kernel has it, and no CONFIG_XEN_DOM0), 6.12 in
    /// those with the option alone. PHYS32_RELOC, which 6.1 lacks and 6.12 has, tells them apart.
    fn dom0_feature(&self) -> Answer {
        let bit = self.kernel.feature_bits().map(|bits| bits & DOM0_BIT != 0);
        let named = self.kernel.features().iter().any(|feature| feature.name == "dom0");
        let option = config::missing(self.config, &["CONFIG_XEN_DOM0"]).change();
        let change = format!("{option}; Debian's linux-image-amd64 has it, its cloud kernel has not");
        let reason = "it was built without dom0";
        let offset = self.offset(NoteType::SupportedFeatures);
        if let (Some(false), false) = (bit, named) {
            let shown = "note SUPPORTED_FEATURES has no bit 11 (dom0)";
            return Answer::no(reason, shown, offset, change);
        }
        match self.config {
            Some(text) if config::can_be_dom0(text) => Answer::yes(),
            Some(_) => {
                let shown = "its configuration sets neither CONFIG_XEN_DOM0 nor CONFIG_XEN_PRIVILEGED_GUEST";
                Answer::no(reason, shown, None, change)
            }
            None if bit.is_none() && !named => Answer::unknown(
                "it has no SUPPORTED_FEATURES note, so only its configuration says whether it can be dom0",
            ),
            None if linux_says(self.kernel) && self.kernel.note(NoteType::Phys32Reloc).is_none() => {
                let why =
                    "CONFIG_XEN_DOM0 is set: kernels of its time say dom0 in their notes without it too";
                Answer::Yes { given: vec![why.to_owned()] }
            }
            None => Answer::yes(),
        }
    }

    fn pv(&self, start: Start) -> Answer {
        self.is_for_xen()
            .and(|| self.interface())
            .and(|| self.has_pv_entry())
            .and(|| self.required_features())
            .and(|| self.word_size(start))
            .and(|| self.notes_are_read())
            .and(|| self.unpacked_by(start))
            .and(|| self.is_not_realtime())
    }

    /// Every note allows it, and in the rehearsal Debian's 6.1-rt stood still on Xen 4.17 before it unpacked its initramfs.
    fn is_not_realtime(&self) -> Answer {
        let is_set = self.config.is_some_and(|text| config::is_set(text, "CONFIG_PREEMPT_RT"));
        if !self.image.realtime && !is_set {
            return Answer::yes();
        }
        Answer::unknown(
            "whether Linux with PREEMPT_RT comes up as PV: Debian's 6.1-rt stood still on Xen 4.17, and as PVH came up",
        )
    }

    /// libelf takes `generic` loaders and Linux.
    fn is_for_xen(&self) -> Answer {
        let option = config::missing(self.config, &["CONFIG_XEN", "CONFIG_XEN_PV"]);
        if self.kernel.notes_in == NotesIn::Nowhere {
            let shown = "no Xen note in a segment or a section, and no section __xen_guest";
            return Answer::no("it was not built for Xen", shown, None, option.change());
        }
        let begins = |kind, with: &str| self.kernel.text(kind).is_some_and(|text| text.starts_with(with));
        if begins(NoteType::Loader, "generic") || begins(NoteType::GuestOs, "linux") {
            return Answer::yes();
        }
        Answer::no(
            "it was not built as a PV guest",
            "neither a LOADER note `generic` nor a GUEST_OS note `linux`",
            self.offset(NoteType::GuestOs).or(self.offset(NoteType::Loader)),
            option.change(),
        )
    }

    fn interface(&self) -> Answer {
        let wanted = self.kernel.text(NoteType::XenVersion);
        let offset = self.offset(NoteType::XenVersion);
        let name = &self.xen.name;
        let shown = match (wanted, self.kernel.notes_in) {
            (Some(text), NotesIn::GuestSection) => format!("__xen_guest says XEN_VER={text}"),
            (Some(text), _) => format!("note XEN_VERSION is `{text}`"),
            (None, _) => "no XEN_VERSION note".to_owned(),
        };
        let (capability, which, change) = match wanted {
            Some(text) if text.starts_with("xen-3.0") => {
                (Capability::Interface3, "xen-3.0", "give the guest a kernel built for Xen 2")
            }
            Some(text) if text.starts_with("2.0") => (
                Capability::Interface2,
                "Xen 2",
                "give the guest a kernel built for the interface xen-3.0: any of Xen 3.0 or newer",
            ),
            _ => {
                let reason = format!("it was built for no interface that Xen {name} has");
                return Answer::no(
                    reason,
                    shown,
                    offset,
                    "give the guest a kernel built for the interface xen-3.0",
                );
            }
        };
        let fact = self.xen.fact(capability);
        match fact.state {
            State::Yes => Answer::yes(),
            State::No => {
                let reason =
                    format!("it was built for the interface of {which}, which Xen {name} does not have");
                Answer::no(reason, format!("{shown}; {}", fact.source), offset, change)
            }
            _ => Answer::unknown(format!("whether Xen {name} has the interface of {which}: {}", fact.source)),
        }
    }

    /// A Linux with notes but without ENTRY has PVH or HVM only.
    fn has_pv_entry(&self) -> Answer {
        let by_section = self.kernel.notes_in == NotesIn::GuestSection;
        if by_section || self.kernel.note(NoteType::Entry).is_some() || !linux_says(self.kernel) {
            return Answer::yes();
        }
        let option = config::missing(self.config, &["CONFIG_XEN_PV"]);
        Answer::no("it has no entry point for PV", "no ENTRY note", None, option.change())
    }

    /// libelf refuses a kernel that requires a feature it has no name for.
    fn required_features(&self) -> Answer {
        let unheard = self.kernel.features().iter().find(|f| f.required && !is_feature(&f.name));
        match unheard {
            None => Answer::yes(),
            Some(feature) => Answer::no(
                format!("it requires the feature `{}`, which Xen does not have", feature.name),
                format!("note FEATURES has `!{}`", feature.name),
                self.offset(NoteType::Features),
                "give the guest another kernel",
            ),
        }
    }

    fn word_size(&self, start: Start) -> Answer {
        if self.kernel.class == Class::Bits64 {
            let fact = self.xen.fact(Capability::Pv64);
            return self.takes(&fact, "64-bit PV guests", "use type = \"pvh\" or \"hvm\"");
        }
        let mode = self.kernel.text(NoteType::PaeMode).unwrap_or("no");
        let bimodal = mode.contains("bimodal");
        let pae = self.xen.fact(Capability::Pv32);
        let change = match start {
            Start::Dom0 => "use a 64-bit kernel".to_owned(),
            Start::Guest => self.change_for_32_bits(),
        };
        let with_pae = || self.takes(&pae, "32-bit PV guests", &change);
        if mode.starts_with("yes") || (bimodal && pae.state != State::No) {
            return with_pae();
        }
        let plain = self.xen.fact(Capability::Pv32WithoutPae);
        match self.takes(&plain, "32-bit PV guests without PAE", "build the kernel with CONFIG_X86_PAE=y") {
            Answer::No { reason, evidence, change } => Answer::No {
                reason,
                evidence: Evidence {
                    what: format!("note PAE_MODE is `{mode}`; {}", evidence.what),
                    offset: self.offset(NoteType::PaeMode),
                },
                change: format!("{change}, or give the guest a 64-bit kernel"),
            },
            other => other,
        }
    }

    fn change_for_32_bits(&self) -> String {
        let mut ways = Vec::new();
        if self.has_phys32_entry() && self.xen.fact(Capability::Pvh).state == State::Yes {
            ways.push("type = \"pvh\", which this kernel can be");
        }
        if self.xen.fact(Capability::Shim).state == State::Yes {
            ways.push("type = \"pvh\" with pvshim = 1");
        }
        ways.push("a 64-bit kernel");
        format!("use {}", ways.join(", or "))
    }

    fn notes_are_read(&self) -> Answer {
        if self.kernel.notes_in == NotesIn::GuestSection {
            return Answer::yes();
        }
        let fact = self.xen.fact(Capability::ElfNotes);
        self.takes(&fact, "ELF notes", "give the guest a kernel of its time, with the section __xen_guest")
    }

    fn unpacked_by(&self, start: Start) -> Answer {
        let change = match self.image.compression.is_none_or(Compression::is_grubs) {
            true => "give the unpacked vmlinux, or let a boot loader inside the guest start it (pvgrub)",
            false => "give the unpacked vmlinux",
        };
        let container = match (self.image.form, start) {
            (Form::BzImage, Start::Guest) => Some(self.xen.fact(Capability::BzImage)),
            (Form::BzImage, Start::Dom0) => Some(self.xen.fact(Capability::BzImageDom0)),
            _ => None,
        };
        let boxed = container.map_or(Answer::yes(), |fact| self.takes(&fact, "bzImages", change));
        boxed.and(|| match self.image.compression {
            None => Answer::yes(),
            Some(packed) => {
                self.takes(&self.xen.unpacks(packed), &format!("kernels packed with {packed}"), change)
            }
        })
    }

    fn has_phys32_entry(&self) -> bool {
        self.kernel.note(NoteType::Phys32Entry).is_some_and(|note| matches!(note.value, Value::Number(_)))
    }

    fn pvh(&self) -> Answer {
        if !self.has_phys32_entry() {
            let option = config::missing(self.config, &["CONFIG_XEN_PVHVM", "CONFIG_XEN_PVH"]);
            let shown = format!(
                "no PHYS32_ENTRY note (type 18) with an address among {} Xen notes",
                self.kernel.notes.len()
            );
            let change = format!("{} (Linux 4.11 or newer)", option.change());
            return Answer::no("it has no entry point for PVH", shown, None, change);
        }
        let change = "use Xen 4.10 or newer";
        let pvh = self.xen.fact(Capability::Pvh);
        self.takes(&pvh, "PVH guests", change)
            .and(|| self.takes(&self.xen.fact(Capability::Hvm), "guests in hardware virtualization", change))
            .and(|| self.linux_is_pvh())
            .and(|| self.required_features())
            .and(|| self.unpacked_by(Start::Guest))
    }

    /// CONFIG_PVH alone brings the note too, for other hypervisors; Xen needs CONFIG_XEN_PVH.
    fn linux_is_pvh(&self) -> Answer {
        let offset = self.offset(NoteType::Phys32Entry);
        let shown = "note PHYS32_ENTRY is there";
        let change = "build it with CONFIG_XEN_PVH=y";
        if let Some(text) = self.config {
            if config::is_set(text, "CONFIG_XEN_PVH") {
                return Answer::yes();
            }
            let shown = format!("{shown}, but its configuration does not set CONFIG_XEN_PVH");
            return Answer::no("its PVH entry point is for other hypervisors", shown, offset, change);
        }
        let says = linux_says(self.kernel) || self.kernel.text(NoteType::GuestOs).is_some();
        if self.image.form != Form::BzImage || says {
            return Answer::yes();
        }
        Answer::unknown(
            "it has a PHYS32_ENTRY note and no GUEST_OS note: CONFIG_PVH alone gives that; whether CONFIG_XEN_PVH is \
             set only its configuration says",
        )
    }

    fn hvm(&self) -> Answer {
        let fact = self.xen.fact(Capability::Hvm);
        let drivers = self.xen.fact(Capability::PvDriversInHvm);
        self.takes(&fact, "HVM guests", "use a Xen built with CONFIG_HVM")
            .and(|| self.has_pv_drivers())
            .and(|| self.takes(&drivers, "PV drivers in HVM guests", "use Xen 4.0 or newer"))
    }

    fn has_pv_drivers(&self) -> Answer {
        if self.kernel.notes_in == NotesIn::GuestSection {
            return Answer::no(
                "it runs on Xen as PV only, not on a machine with firmware",
                "its section __xen_guest is of kernels that were ported to Xen as an architecture of its own",
                self.kernel.notes.first().map(|note| note.offset),
                "give the guest a kernel of Linux 2.6.36 or newer",
            );
        }
        if let Some(text) = self.config {
            if config::has_pv_drivers_in_hvm(text) {
                return Answer::yes();
            }
            let change = config::missing(self.config, &["CONFIG_XEN", "CONFIG_XEN_PVHVM_GUEST"]).change();
            let shown = "its configuration does not set CONFIG_XEN_PVHVM";
            return Answer::no("it has no PV drivers for HVM", shown, None, change);
        }
        // CONFIG_XEN_PVH depends on CONFIG_XEN_PVHVM (arch/x86/xen/Kconfig).
        let callback = self.kernel.features().iter().any(|feature| feature.name == "hvm_callback_vector");
        if callback || (self.has_phys32_entry() && linux_says(self.kernel)) {
            return Answer::yes();
        }
        Answer::unknown("no note says whether it has PV drivers for HVM; its configuration would")
    }
}
