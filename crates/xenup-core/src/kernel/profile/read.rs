//! A file of symbols, read so that every fault is named with its line and none hides another.
//! Decides which keys there are.

use std::ops::Range;
use std::path::Path;

use toml_edit::{Item, TableLike};

use super::{Asked, At, Base, Fault, Part, PartKind, ProfileError, Wish};
use crate::kernel::kconfig::expr::Tristate;
use crate::kernel::linux::Linux;
use crate::kernel::role::{ROLES, Role};
use crate::toml_file::{self, Faults};

const TOP: &[&str] = &["about", "kind", "base", "hardware", "plays", "include", "symbol"];
const SYMBOL: &[&str] = &["value", "why", "was", "since", "until"];

pub(super) fn read(name: &str, file: &str, text: &str) -> Result<Part, ProfileError> {
    let part = toml_file::read(Path::new(file), text.as_bytes(), |faults| Reader { file, faults }.part(name));
    part.map_err(|faulty| {
        let at = |line| At { file: file.to_owned(), line };
        let fault =
            |fault: toml_file::Fault| Fault { at: at(fault.line), what: fault.what, hint: fault.hint };
        ProfileError { faults: faulty.faults.into_iter().map(fault).collect() }
    })
}

struct Reader<'f, 't> {
    file: &'f str,
    faults: &'f mut Faults<'t>,
}

impl Reader<'_, '_> {
    fn at(&self, offset: usize) -> At {
        At { file: self.file.to_owned(), line: self.faults.place(offset).0 }
    }

    fn fault(&mut self, offset: usize, what: impl Into<String>, hint: impl Into<String>) {
        self.faults.add(offset..offset, what, hint);
    }

    fn part(&mut self, name: &str) -> Option<Part> {
        let document = self.faults.document("a symbol reads: NAME = { value = \"m\", why = \"…\" }")?;
        let top = document.as_table();
        self.faults.unknown_keys(top, "the file", 0, TOP);
        let about = self.string(top, "about", 0).map(|(text, _)| text);
        if about.is_none() && top.get("about").is_none() {
            self.fault(0, "the file does not say what it is for", "add a line: about = \"…\"");
        }
        let kinds = [("role", PartKind::Role), ("part", PartKind::Part), ("addition", PartKind::Addition)];
        let kind = self.one_of(top, "kind", &kinds).unwrap_or(PartKind::Addition);
        let bases = [("nothing", Base::Nothing), ("defaults", Base::Defaults), ("debian", Base::Debian)];
        let base = self.one_of(top, "base", &bases);
        if base.is_some() && kind != PartKind::Role {
            let start = start(top.get("base"), 0);
            self.fault(start, "a base is of a role alone", "remove it, or write kind = \"role\"");
        }
        let hardware = top.get("hardware").map(|item| (item.as_bool(), start(Some(item), 0)));
        if let Some((None, start)) = hardware {
            self.fault(start, "`hardware` is true or false", "write hardware = true");
        }
        let hardware = hardware.is_some_and(|(value, _)| value == Some(true));
        let plays = self.plays(top, kind);
        let include = self.strings(top, "include", 0);
        let include = include.into_iter().map(|(text, span)| (text, self.at(span.start))).collect();
        let symbols = match top.get("symbol") {
            None => Vec::new(),
            Some(item) => match item.as_table_like() {
                Some(table) => self.symbols(table, start(Some(item), 0)),
                None => {
                    self.fault(
                        start(Some(item), 0),
                        "`symbol` is a table",
                        "write [symbol] above the symbols",
                    );
                    Vec::new()
                }
            },
        };
        Some(Part {
            name: name.to_owned(),
            about: about?,
            kind,
            base: base.unwrap_or(Base::Nothing),
            hardware,
            plays,
            include,
            symbols,
        })
    }

    /// What a role's kernel has to be able to be.
    fn plays(&mut self, top: &dyn TableLike, kind: PartKind) -> Vec<Role> {
        let named = self.strings(top, "plays", 0);
        if kind != PartKind::Role && !named.is_empty() {
            let start = start(top.get("plays"), 0);
            self.fault(start, "only a role is played", "remove `plays`, or write kind = \"role\"");
        }
        let mut roles = Vec::new();
        for (text, span) in named {
            match ROLES.into_iter().find(|role| role.to_string() == text) {
                Some(role) => roles.push(role),
                None => {
                    let what = format!("`{}` is nothing that a kernel plays", text.escape_debug());
                    self.fault(span.start, what, "one of: dom0, PV, PVH, HVM");
                }
            }
        }
        roles
    }

    fn string(&mut self, table: &dyn TableLike, key: &str, outside: usize) -> Option<(String, usize)> {
        let item = table.get(key)?;
        let start = start(Some(item), outside);
        match item.as_str() {
            Some(text) if !text.trim().is_empty() => Some((text.to_owned(), start)),
            Some(_) => {
                self.fault(start, format!("`{key}` is empty"), format!("write {key} = \"…\""));
                None
            }
            None => {
                self.fault(start, format!("`{key}` is no text"), format!("write {key} = \"…\""));
                None
            }
        }
    }

    fn one_of<T: Copy>(&mut self, table: &dyn TableLike, key: &str, words: &[(&str, T)]) -> Option<T> {
        let (text, start) = self.string(table, key, 0)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let what = format!("`{}` is no {key}", text.escape_debug());
            self.fault(start, what, format!("one of: {}", known.join(", ")));
        }
        found.map(|(_, value)| *value)
    }

    fn strings(&mut self, table: &dyn TableLike, key: &str, outside: usize) -> Vec<(String, Range<usize>)> {
        let Some(item) = table.get(key) else { return Vec::new() };
        let outer = start(Some(item), outside);
        if let Some(text) = item.as_str() {
            return vec![(text.to_owned(), outer..outer)];
        }
        let values = item.as_array().map(|array| array.iter().collect::<Vec<_>>()).unwrap_or_default();
        let texts: Vec<_> = values
            .iter()
            .filter_map(|value| Some((value.as_str()?.to_owned(), value.span().unwrap_or(outer..outer))))
            .collect();
        if item.as_array().is_none() || texts.len() != values.len() {
            self.fault(outer, format!("`{key}` is a list of names"), format!("write {key} = [\"…\"]"));
        }
        texts
    }

    fn symbols(&mut self, table: &dyn TableLike, outside: usize) -> Vec<Asked> {
        let mut all = Vec::new();
        for (name, item) in table.iter() {
            let start = key_start(table, name, start(Some(item), outside));
            match item.as_table_like() {
                Some(keys) => all.extend(self.symbol(name, keys, start)),
                None => {
                    let hint = format!("write {name} = {{ value = \"m\", why = \"…\" }}");
                    self.fault(start, format!("{name} gives no reason"), hint);
                }
            }
        }
        all
    }

    fn symbol(&mut self, name: &str, keys: &dyn TableLike, start: usize) -> Option<Asked> {
        self.faults.unknown_keys(keys, name, start, SYMBOL);
        let was = self.strings(keys, "was", start);
        for (name, start) in
            std::iter::once((name, start)).chain(was.iter().map(|(name, span)| (name.as_str(), span.start)))
        {
            self.name(name, start);
        }
        let why = self.string(keys, "why", start);
        if keys.get("why").is_none() {
            self.fault(start, format!("{name} gives no reason"), "add why = \"…\"");
        }
        let wish = self.wish(name, keys, start);
        let since = self.linux(keys, "since", start);
        let until = self.linux(keys, "until", start);
        if let (Some(since), Some(until)) = (since, until)
            && since > until
        {
            let what = format!("{name} is there since {since} and until {until}, which is never");
            self.fault(start, what, "swap since and until");
        }
        let was = was.into_iter().map(|(name, _)| name).collect();
        Some(Asked {
            symbol: name.to_owned(),
            was,
            wish: wish?,
            why: why?.0,
            since,
            until,
            at: self.at(start),
        })
    }

    fn name(&mut self, name: &str, start: usize) {
        if let Some(rest) = name.strip_prefix("CONFIG_") {
            let what = format!("{name}: symbols are named without CONFIG_");
            self.fault(start, what, format!("write {rest}"));
        } else if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            let what = format!("`{}` is no symbol's name", name.escape_debug());
            self.fault(start, what, "letters, digits and _, as in the tree's Kconfig files");
        }
    }

    fn wish(&mut self, name: &str, keys: &dyn TableLike, outside: usize) -> Option<Wish> {
        let Some(item) = keys.get("value") else { return Some(Wish::Switch(Tristate::Y)) };
        if let Some(number) = item.as_integer() {
            return Some(Wish::Number(number.to_string()));
        }
        if let Some(text) = item.as_str() {
            if text.contains(['\n', '\0']) {
                self.fault(
                    start(Some(item), outside),
                    format!("{name}: a .config has one line for a value"),
                    "write it without line ends",
                );
                return None;
            }
            return Some(match Tristate::of(text) {
                Some(value) => Wish::Switch(value),
                None if is_hex(text) => Wish::Number(text.to_owned()),
                None => Wish::Text(text.to_owned()),
            });
        }
        let what = format!("{name}: a value is \"y\", \"m\", \"n\", a number or a text");
        self.fault(start(Some(item), outside), what, "write value = \"y\", or leave it out, which means y");
        None
    }

    fn linux(&mut self, keys: &dyn TableLike, key: &str, outside: usize) -> Option<Linux> {
        let (text, start) = self.string(keys, key, outside)?;
        match text.parse() {
            Ok(release) => Some(release),
            Err(what) => {
                self.fault(start, what, format!("write {key} = \"6.1\""));
                None
            }
        }
    }
}

fn is_hex(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn start(item: Option<&Item>, outside: usize) -> usize {
    item.and_then(Item::span).map_or(outside, |span| span.start)
}

fn key_start(table: &dyn TableLike, name: &str, outside: usize) -> usize {
    let key = table.get_key_value(name).and_then(|(key, _)| key.span());
    key.map_or(outside, |span| span.start)
}
