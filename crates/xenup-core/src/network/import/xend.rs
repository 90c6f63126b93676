//! The settings of xend's configuration that are about networks.
//!
//! Decides: which value of a setting xend took: the first of several, and its first word (XendOptions.get_config_value).
//! Never: knows what a script does.

use std::path::Path;

use super::error::ImportError;
use super::machine::Machine;
use super::sexp::{self, Sexp};
use super::tell::{Told, line};
use crate::inspect::facts::At;

/// Where xend's configuration is.
pub const CONFIG: &str = "/etc/xen/xend-config.sxp";

/// A setting that is a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// As xend has it.
    pub text: String,
    /// The line of the list.
    pub at: At,
}

/// The settings about networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Xend {
    pub network_script: Option<Setting>,
    pub vif_script: Option<Setting>,
    pub vif_bridge: Option<Setting>,
}

/// Reads xend's configuration; nothing where it is not there.
pub(super) fn read(machine: &Machine<'_>, told: &mut Told) -> Result<Option<Xend>, ImportError> {
    let path = Path::new(CONFIG);
    let bytes = match machine.bytes(path, sexp::SIZE_LIMIT + 1) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(why) => return Err(ImportError::Unreadable { path: path.to_owned(), why }),
    };
    let values = sexp::parse(path, &bytes)?;
    let mut get = |name: &str| setting(&values, name, told);
    Ok(Some(Xend {
        network_script: get("network-script"),
        vif_script: get("vif-script"),
        vif_bridge: get("vif-bridge"),
    }))
}

fn setting(values: &[Sexp], name: &str, told: &mut Told) -> Option<Setting> {
    let mut all = values.iter().filter_map(|value| Some((value.line, value.named(name)?)));
    let (first, words) = all.next()?;
    let at = || line(CONFIG, first);
    for (later, _) in all {
        told.note(
            "import-set-twice",
            format!("`{name}` is set a second time"),
            format!("xend takes the first, line {first}"),
            "remove the one that is not meant, and import again",
            [line(CONFIG, later)],
        );
    }
    if words.len() > 1 {
        let rest: Vec<&str> = words.iter().skip(1).map(|word| word.text().unwrap_or("(…)")).collect();
        told.warn(
            "import-not-quoted",
            format!("`{}` behind the first word of `{name}` is not in its quotes", rest.join(" ")),
            "xend takes the first word alone, so this was never in force",
            "if it was meant, write script and arguments in one pair of quotes, and import again",
            [at()],
        );
    }
    match words.first().map(|word| (word.text(), word.line)) {
        Some((Some(text), _)) => Some(Setting { text: text.to_owned(), at: at() }),
        Some((None, inner)) => {
            told.warn(
                "import-not-a-text",
                format!("`{name}` is a list, not a text"),
                "xend cannot use it",
                "write the script and its arguments in quotes, and import again",
                [line(CONFIG, inner)],
            );
            None
        }
        None => None,
    }
}
