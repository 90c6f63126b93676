//! Keys: unknown, gone, said twice, read in another form, read for another type of guest.

use super::super::file::as_number;
use super::super::keys::{Became, Form, Scope, became, form, nearest};
use super::super::model::GuestType;
use super::super::parse::Value;
use super::{Lint, words};
use crate::inspect::Weight;

/// Keys without which a guest is another: what xl passes over here changes more than a detail.
const VITAL: [&str; 5] = ["name", "memory", "disk", "vif", "kernel"];
/// Keys of an emulated machine, beside those that xl reads for HVM alone.
const EMULATED: [&str; 10] = [
    "device_model_version",
    "device_model_stubdomain_override",
    "stubdomain_kernel",
    "stubdomain_ramdisk",
    "stubdomain_memory",
    "stubdomain_cmdline",
    "vncunused",
    "vnclisten",
    "vncdisplay",
    "vnc",
];

impl Lint<'_> {
    pub(super) fn keys(&mut self) {
        let keys: Vec<String> = self.guest.settings.keys().map(|key| (*key).to_owned()).collect();
        let mut ignored = Vec::new();
        for key in &keys {
            match form(key) {
                Some((form, scope)) => {
                    self.form(key, form);
                    let for_another = match scope {
                        Scope::Any => self.is_inert(key),
                        Scope::Hvm => self.guest.kind != GuestType::Hvm,
                        Scope::Pv => self.guest.kind != GuestType::Pv,
                        Scope::Pvh => self.guest.kind != GuestType::Pvh,
                    };
                    if for_another {
                        ignored.push(key.as_str());
                    }
                }
                None => self.unknown(key),
            }
            self.twice(key);
        }
        self.ignored(&ignored);
        self.left_over();
    }

    /// Keys that xl reads for every type and uses for one.
    fn is_inert(&self, key: &str) -> bool {
        let no_screen = self.guest.kind == GuestType::Pvh && key.starts_with("vnc");
        let emulated = EMULATED.contains(&key) && !key.starts_with("vnc");
        no_screen && EMULATED.contains(&key) || emulated && self.guest.kind != GuestType::Hvm
    }

    fn ignored(&mut self, keys: &[&str]) {
        if keys.is_empty() {
            return;
        }
        let (list, kind) = (keys.join(", "), self.guest.kind.word());
        let (does, is) = if keys.len() == 1 { ("does", "it is") } else { ("do", "they are") };
        let at: Vec<usize> = keys.iter().filter_map(|key| self.at(key)).collect();
        self.add(
            "guest-key-ignored",
            Weight::Note,
            words(
                format!("{list} {does} nothing for a {kind} guest"),
                format!("{is} for another type of guest, and xl passes over what the type does not use"),
                "take it out, or write the type that was meant",
            ),
            at,
        );
    }

    fn unknown(&mut self, key: &str) {
        let at = self.at(key);
        let Some(became) = became(key) else {
            let fix = match nearest(key) {
                Some(meant) => format!("write {meant}, if that was meant; else take it out"),
                None => "take it out".to_owned(),
            };
            let why = "xl passes over keys it does not know, without a word";
            self.add(
                "guest-key-unknown",
                Weight::Warning,
                words(format!("`{key}` is no key of xl"), why, fix),
                at,
            );
            return;
        };
        let why = match became {
            Became::Key(now) => format!("xl calls it {now}"),
            Became::Cmdline => {
                "xm put it on the kernel's command line; with xl it stands in cmdline".to_owned()
            }
            Became::Gone(why) => why.to_owned(),
        };
        let fix = self.convert();
        let what = format!("`{key}` was a key of xm; xl passes over it");
        self.add("guest-key-gone", Weight::Warning, words(what, why, fix), at);
    }

    /// Keys that xl knows and passes over.
    fn left_over(&mut self) {
        let fix = self.convert();
        for (key, why) in [
            ("vif2", "netchannel2 never came into Linux"),
            ("vncviewer", "xl create -V opens a viewer"),
            ("device_model", "xl finds qemu by itself: device_model_override names another"),
        ] {
            let Some(at) = self.at(key) else { continue };
            let what = format!("xl passes over `{key}`");
            self.add("guest-key-gone", Weight::Warning, words(what, why, fix.clone()), [at]);
        }
        let numbered = ["tsc_mode", "timer_mode"].into_iter().filter(|key| {
            self.guest.number(key).is_some_and(|number| (0..=3).contains(&number))
                && !(*key == "timer_mode" && self.guest.kind == GuestType::Pv)
        });
        for key in numbered.collect::<Vec<_>>() {
            let what = format!("`{key}` is given as a number");
            let why = "xl wants the name, and warns of the number";
            let at = self.at(key);
            self.add("guest-number-for-name", Weight::Note, words(what, why, fix.clone()), at);
        }
    }

    fn twice(&mut self, key: &str) {
        let Some(setting) = self.guest.settings.get(key).filter(|setting| !setting.hidden.is_empty()) else {
            return;
        };
        let statements = setting.hidden.iter().chain([&setting.statement]);
        let at: Vec<usize> = statements
            .filter_map(|index| self.file.statements().get(*index))
            .map(|statement| statement.span.start)
            .collect();
        let what = format!("`{key}` is set more than once; the last one counts");
        let why = "xl takes it without a word, and so did xm";
        self.add("guest-key-twice", Weight::Warning, words(what, why, "keep one of them"), at);
    }

    fn form(&mut self, key: &str, form: Form) {
        let Some(setting) = self.guest.settings.get(key) else { return };
        let wrong = match (&setting.value, form) {
            (Value::Nothing, _) => None,
            (Value::Text(_), Form::List) => Some("a list in brackets"),
            (Value::List(_), Form::Text | Form::Number | Form::Bool) => Some("one value, not a list"),
            (Value::Text(text), Form::Number | Form::Bool) if as_number(text).is_none() => {
                Some(if form == Form::Bool { "1 or 0" } else { "a number" })
            }
            (Value::Text(_), Form::Number | Form::Bool) if setting.added => Some("a number, set with `=`"),
            (Value::List(items), Form::List) if items.iter().any(|item| item.text().is_none()) => {
                // Nested lists are what these are made of.
                (!["vnuma", "vsnd", "vkb", "virtio"].contains(&key)).then_some("a list of strings")
            }
            _ => None,
        };
        let Some(wanted) = wrong else { return };
        let weight = if VITAL.contains(&key) { Weight::Blocks } else { Weight::Warning };
        let what = format!("`{key}` takes {wanted}");
        let why = "xl warns, passes over it, and starts another guest than the file means";
        let at = self.at(key);
        self.add("guest-value-form", weight, words(what, why, format!("write {wanted}")), at);
    }
}
