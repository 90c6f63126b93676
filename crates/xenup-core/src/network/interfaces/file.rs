//! One interfaces(5) file: every byte kept, every line given its meaning, as ifupdown 0.8 (Debian 12 and 13) reads it.
//! It decides what each line is. It never follows an include and never judges a value.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use super::error::{InterfacesError, Place, Syntax};
use super::lines::{self, Logical, WORD_MAX};

/// An address family of ifupdown.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
    /// IPX.
    Ipx,
    /// Controller area network.
    Can,
    /// No addresses.
    Meta,
}

impl Family {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "inet" => Self::Inet,
            "inet6" => Self::Inet6,
            "ipx" => Self::Ipx,
            "can" => Self::Can,
            "meta" => Self::Meta,
            _ => return None,
        })
    }

    /// Returns the word that stands for it on an `iface` line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Inet6 => "inet6",
            Self::Ipx => "ipx",
            Self::Can => "can",
            Self::Meta => "meta",
        }
    }

    /// Returns the methods ifupdown 0.8 knows for it on Linux (its `*.defn` files).
    pub fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Inet => {
                &["loopback", "static", "manual", "dhcp", "bootp", "tunnel", "ppp", "wvdial", "ipv4ll"]
            }
            Self::Inet6 => &["auto", "loopback", "static", "manual", "dhcp", "tunnel", "v4tunnel", "6to4"],
            Self::Ipx => &["static", "dynamic"],
            Self::Can => &["static"],
            Self::Meta => &["none"],
        }
    }
}

/// What a line of interface names says about them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Selector {
    /// `auto` (class "auto") and `allow-CLASS`.
    Allow(String),
    /// `no-auto-down`.
    NoAutoDown,
    /// `no-scripts`.
    NoScripts,
    /// `rename CURRENT=NEW`.
    Rename,
}

/// What a logical line is. Indexes are those of [`InterfacesFile::stanzas`] and [`InterfacesFile::mappings`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemKind {
    /// Nothing but white space.
    Blank,
    /// A comment.
    Comment,
    /// A line of names. `stanza` is set where the line stands bare inside a stanza and means its interface.
    Select {
        /// What it says.
        selector: Selector,
        /// The names and patterns, in order.
        names: Vec<String>,
        /// The stanza around it, for a bare line.
        stanza: Option<usize>,
    },
    /// `source` with its pattern.
    Source(String),
    /// `source-directory` (any word that begins with `source-dir`) with its pattern.
    SourceDirectory(String),
    /// The first line of a stanza.
    Iface(usize),
    /// An option: stanza, then index in its options.
    IfaceOption(usize, usize),
    /// The first line of a mapping.
    Mapping(usize),
    /// A `script` or `map` line of a mapping.
    MappingLine(usize),
}

/// A logical line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its physical lines, counted from 0.
    pub lines: RangeInclusive<usize>,
    /// What it is.
    pub kind: ItemKind,
}

impl Item {
    /// Returns the number of its first line, from 1.
    pub fn line(&self) -> usize {
        self.lines.start() + 1
    }
}

/// An option of a stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StanzaOption {
    /// The name; `post-up` is `up` and `pre-down` is `down`, as ifupdown stores them.
    pub name: String,
    /// The value, continuations joined, without the white space around it.
    pub value: String,
    /// Its first line, from 1.
    pub line: usize,
}

/// Whether `name` is one of the options that hold a command and may be repeated.
pub fn is_hook(name: &str) -> bool {
    matches!(name, "pre-up" | "up" | "down" | "post-down")
}

/// An `iface` stanza as written; what it inherits is resolved by the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stanza {
    /// The logical interface.
    pub name: String,
    /// The family; none where it is inherited.
    pub family: Option<Family>,
    /// The method; none where it is inherited.
    pub method: Option<String>,
    /// The stanza it inherits from.
    pub inherits: Option<String>,
    /// A word behind the method that ifupdown ignores with a warning.
    pub ignored: Option<String>,
    /// The options, in order.
    pub options: Vec<StanzaOption>,
    /// The line of `iface`, from 1.
    pub line: usize,
    /// Indexes in [`InterfacesFile::items`] of all lines that are part of it, bare `auto` lines included.
    pub items: Vec<usize>,
}

impl Stanza {
    /// Returns the values of option `name`, in order, with their lines.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, usize)> + 'a {
        self.options.iter().filter(move |o| o.name == name).map(|o| (o.value.as_str(), o.line))
    }
}

/// A `mapping` stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The patterns of its first line.
    pub patterns: Vec<String>,
    /// The script.
    pub script: Option<String>,
    /// The `map` lines.
    pub map: Vec<String>,
    /// The line of `mapping`, from 1.
    pub line: usize,
}

/// A parsed file that keeps every byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfacesFile {
    path: PathBuf,
    text: String,
    physical: Vec<Range<usize>>,
    /// Its logical lines, in order.
    pub items: Vec<Item>,
    /// Its `iface` stanzas, in order.
    pub stanzas: Vec<Stanza>,
    /// Its `mapping` stanzas, in order.
    pub mappings: Vec<Mapping>,
}

impl InterfacesFile {
    /// Parses the bytes of the file at `path`.
    ///
    /// # Errors
    /// Not UTF-8, a NUL byte, or a line that ifupdown 0.8 would refuse, each with its line.
    pub fn parse(path: impl Into<PathBuf>, bytes: Vec<u8>) -> Result<Self, InterfacesError> {
        let path = path.into();
        let text = text_of(&path, bytes)?;
        let physical = lines::physical(&text);
        let logical = lines::logical(&text, &physical);
        let mut parser = Parser {
            file: Self { path, text, physical, items: Vec::new(), stanzas: Vec::new(), mappings: Vec::new() },
            open: Open::Nothing,
        };
        for line in logical {
            parser.line(line)?;
        }
        Ok(parser.file)
    }

    /// Returns the path it was parsed under.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the file as it was read, byte for byte.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the physical lines, each with its line end.
    pub fn physical_lines(&self) -> impl Iterator<Item = &str> {
        self.physical.iter().map(|range| &self.text[range.clone()])
    }

    /// Returns the place of line `line` (from 1).
    pub fn at(&self, line: usize) -> Place {
        Place::new(&self.path, line)
    }
}

fn text_of(path: &Path, bytes: Vec<u8>) -> Result<String, InterfacesError> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let (valid, bytes) = (error.utf8_error().valid_up_to(), error.as_bytes());
        let before = &bytes[..valid];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let column = valid - before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1) + 1;
        InterfacesError::NotUtf8(Place::new(path, line), column)
    })?;
    match text.find('\0') {
        Some(at) => {
            let line = text[..at].matches('\n').count() + 1;
            Err(InterfacesError::Nul(Place::new(path, line)))
        }
        None => Ok(text),
    }
}

#[derive(Clone, Copy)]
enum Open {
    Nothing,
    Iface(usize),
    Mapping(usize),
}

struct Parser {
    file: InterfacesFile,
    open: Open,
}

impl Parser {
    fn line(&mut self, line: Logical) -> Result<(), InterfacesError> {
        let number = line.lines.start() + 1;
        let kind = self
            .kind(&line, number)
            .map_err(|kind| InterfacesError::Syntax { at: self.file.at(number), kind })?;
        let index = self.file.items.len();
        let stanza = match &kind {
            ItemKind::Iface(stanza) | ItemKind::IfaceOption(stanza, _) => Some(*stanza),
            ItemKind::Select { stanza, .. } => *stanza,
            _ => None,
        };
        if let Some(stanza) = stanza {
            self.file.stanzas[stanza].items.push(index);
        }
        self.file.items.push(Item { lines: line.lines, kind });
        Ok(())
    }

    fn kind(&mut self, line: &Logical, number: usize) -> Result<ItemKind, Syntax> {
        if line.comment {
            return Ok(ItemKind::Comment);
        }
        let Some((first, rest)) = lines::next_word(&line.text) else { return Ok(ItemKind::Blank) };
        if first.is_empty() {
            return Err(Syntax::EmptyWord);
        }
        check_length(first)?;
        match first {
            "mapping" => self.mapping(rest, number),
            "source" => Ok(self.closing(ItemKind::Source(rest.to_owned()))),
            _ if first.starts_with("source-dir") => {
                Ok(self.closing(ItemKind::SourceDirectory(rest.to_owned())))
            }
            "iface" => self.iface(rest, number),
            "auto" => self.select(Selector::Allow("auto".to_owned()), rest),
            "no-auto-down" => self.select(Selector::NoAutoDown, rest),
            "no-scripts" => self.select(Selector::NoScripts, rest),
            "rename" => self.rename(rest),
            _ => match first.strip_prefix("allow-") {
                Some(class) if !class.is_empty() => self.select(Selector::Allow(class.to_owned()), rest),
                _ => self.option(first, rest, number),
            },
        }
    }

    fn closing(&mut self, kind: ItemKind) -> ItemKind {
        self.open = Open::Nothing;
        kind
    }

    fn select(&mut self, selector: Selector, rest: &str) -> Result<ItemKind, Syntax> {
        // A bare word inside a stanza names that stanza's interface and does not end the stanza.
        if let (true, Open::Iface(stanza)) = (rest.is_empty(), self.open) {
            let names = vec![self.file.stanzas[stanza].name.clone()];
            return Ok(ItemKind::Select { selector, names, stanza: Some(stanza) });
        }
        let names = checked_words(rest)?;
        Ok(self.closing(ItemKind::Select { selector, names, stanza: None }))
    }

    fn rename(&mut self, rest: &str) -> Result<ItemKind, Syntax> {
        let names = checked_words(rest)?;
        if let Some(name) = names.iter().find(|name| !name.contains('=')) {
            return Err(Syntax::Rename(name.clone()));
        }
        Ok(self.closing(ItemKind::Select { selector: Selector::Rename, names, stanza: None }))
    }

    fn mapping(&mut self, rest: &str, line: usize) -> Result<ItemKind, Syntax> {
        let patterns = checked_words(rest)?;
        let index = self.file.mappings.len();
        self.file.mappings.push(Mapping { patterns, script: None, map: Vec::new(), line });
        self.open = Open::Mapping(index);
        Ok(ItemKind::Mapping(index))
    }

    fn iface(&mut self, rest: &str, line: usize) -> Result<ItemKind, Syntax> {
        let words = checked_words(rest)?;
        let mut words = words.iter().map(String::as_str);
        let name = words.next().ok_or(Syntax::IfaceName)?.to_owned();
        let word = words.next().unwrap_or_default();
        let family = Family::parse(word);
        let mut method = None;
        let mut inherits = false;
        match family {
            None if word == "inherits" => inherits = true,
            None if word.is_empty() => return Err(Syntax::NoFamily(name)),
            None => return Err(Syntax::Family(word.to_owned())),
            Some(family) => match words.next().unwrap_or_default() {
                "inherits" => inherits = true,
                "" => return Err(Syntax::NoMethod { name, family: family.word() }),
                word if family.methods().contains(&word) => method = Some(word.to_owned()),
                word => return Err(Syntax::Method { family: family.word(), method: word.to_owned() }),
            },
        }
        let mut ignored = None;
        if !inherits {
            match words.next() {
                Some("inherits") => inherits = true,
                other => ignored = other.map(str::to_owned),
            }
        }
        let inherits = match inherits {
            true => Some(words.next().ok_or(Syntax::InheritsNothing)?.to_owned()),
            false => None,
        };
        let index = self.file.stanzas.len();
        let (options, items) = (Vec::new(), Vec::new());
        self.file.stanzas.push(Stanza { name, family, method, inherits, ignored, options, line, items });
        self.open = Open::Iface(index);
        Ok(ItemKind::Iface(index))
    }

    fn option(&mut self, name: &str, value: &str, line: usize) -> Result<ItemKind, Syntax> {
        match self.open {
            Open::Nothing if name == "template" => Err(Syntax::Template),
            Open::Nothing => Err(Syntax::MisplacedOption(name.to_owned())),
            Open::Iface(_) if name.ends_with('?') => Err(Syntax::OptionName(name.to_owned())),
            Open::Iface(_) if value.is_empty() => Err(Syntax::EmptyOption(name.to_owned())),
            Open::Iface(stanza) => {
                let name = match name {
                    "post-up" => "up",
                    "pre-down" => "down",
                    other => other,
                };
                let options = &mut self.file.stanzas[stanza].options;
                options.push(StanzaOption { name: name.to_owned(), value: value.to_owned(), line });
                Ok(ItemKind::IfaceOption(stanza, options.len() - 1))
            }
            Open::Mapping(index) => {
                let mapping = &mut self.file.mappings[index];
                match name {
                    "script" if mapping.script.is_some() => return Err(Syntax::MappingScript),
                    "script" => mapping.script = Some(value.to_owned()),
                    "map" => mapping.map.push(value.to_owned()),
                    other => return Err(Syntax::MappingOption(other.to_owned())),
                }
                Ok(ItemKind::MappingLine(index))
            }
        }
    }
}

fn check_length(word: &str) -> Result<(), Syntax> {
    if word.len() > WORD_MAX { Err(Syntax::LongWord(word.to_owned())) } else { Ok(()) }
}

fn checked_words(text: &str) -> Result<Vec<String>, Syntax> {
    lines::words(text).map(|word| check_length(word).map(|()| word.to_owned())).collect()
}
