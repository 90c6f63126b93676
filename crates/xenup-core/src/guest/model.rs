//! What a guest is, from its file. Decides how xl would read each part; never judges it.

use std::collections::BTreeMap;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::disk_spec::{DiskFault, DiskSpec};
use super::file::{GuestFile, Setting, as_number};
use super::parse::Value;
use super::vif::VifSpec;

/// How a guest is virtualised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GuestType {
    /// Paravirtual.
    Pv,
    /// Hardware, without an emulated machine.
    Pvh,
    /// Hardware, with an emulated machine.
    Hvm,
}

impl GuestType {
    /// Returns xl's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pv => "pv",
            Self::Pvh => "pvh",
            Self::Hvm => "hvm",
        }
    }

    /// Reads `type=`. xl compares as many letters as the value has.
    #[must_use]
    pub fn of_type(word: &str) -> Option<Self> {
        [("hvm", Self::Hvm), ("pv", Self::Pv), ("pvh", Self::Pvh)]
            .into_iter()
            .find(|(known, _)| known.starts_with(word))
            .map(|(_, kind)| kind)
    }

    /// Reads `builder=`.
    #[must_use]
    pub fn of_builder(word: &str) -> Option<Self> {
        [("hvm", Self::Hvm), ("generic", Self::Pv)]
            .into_iter()
            .find(|(known, _)| known.starts_with(word))
            .map(|(_, kind)| kind)
    }
}

/// A disk of the file.
#[derive(Debug, Clone)]
pub(crate) struct GuestDisk {
    /// Where it stands.
    pub span: Range<usize>,
    /// What it says to whoever takes xm's forms too.
    pub spec: Result<DiskSpec, DiskFault>,
    /// Why xl refuses it.
    pub refused: Option<DiskFault>,
}

/// A guest as its file has it.
pub(crate) struct Guest<'a> {
    /// Each key's value in the end.
    pub settings: BTreeMap<&'a str, Setting>,
    /// What `type` and `builder` come to; PV where neither says a thing.
    pub kind: GuestType,
    /// The disks.
    pub disks: Vec<GuestDisk>,
    /// The network interfaces.
    pub vifs: Vec<(Range<usize>, VifSpec)>,
}

impl<'a> Guest<'a> {
    /// Reads what a file says.
    pub fn of(file: &'a GuestFile) -> Self {
        let mut guest =
            Self { settings: file.settings(), kind: GuestType::Pv, disks: Vec::new(), vifs: Vec::new() };
        let by_type = guest.text("type").and_then(GuestType::of_type);
        // xm also took the names of systems, `linux` first.
        let by_builder = guest.text("builder").and_then(GuestType::of_builder);
        guest.kind = by_type.or(by_builder).unwrap_or(GuestType::Pv);
        let disks = guest.texts("disk").into_iter().map(|(span, text)| match DiskSpec::parse(text) {
            Ok(spec) => GuestDisk { span, spec: Ok(spec), refused: None },
            Err(fault) => GuestDisk { span, spec: DiskSpec::parse_old(text), refused: Some(fault) },
        });
        let (disks, vifs) = (
            disks.collect(),
            guest.texts("vif").into_iter().map(|(span, text)| (span, VifSpec::parse(text))).collect(),
        );
        Self { disks, vifs, ..guest }
    }

    /// Returns a text, where the key has one.
    pub fn text(&self, key: &str) -> Option<&str> {
        match &self.settings.get(key)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns a text that is not empty.
    pub fn filled(&self, key: &str) -> Option<&str> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// Returns a number, as xl reads it.
    pub fn number(&self, key: &str) -> Option<i64> {
        self.settings.get(key).filter(|setting| !setting.added)?;
        as_number(self.text(key)?)
    }

    /// Returns the texts of a list; xl reads no further than the first item that is none.
    pub fn texts(&self, key: &str) -> Vec<(Range<usize>, &str)> {
        match self.settings.get(key).map(|setting| &setting.value) {
            Some(Value::List(items)) => {
                items.iter().map_while(|item| Some((item.span.clone(), item.text()?))).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl GuestFile {
    /// Returns the guest's name; the file's where it has none.
    #[must_use]
    pub fn guest_name(&self) -> String {
        let stem = || self.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Guest::of(self).filled("name").map_or_else(stem, str::to_owned)
    }

    /// Returns the guest's network interfaces, each with its line.
    #[must_use]
    pub fn vifs(&self) -> Vec<(u32, VifSpec)> {
        let vifs = Guest::of(self).vifs.into_iter();
        vifs.map(|(span, vif)| (self.line(span.start), vif)).collect()
    }
}
