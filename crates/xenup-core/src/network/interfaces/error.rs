//! What can be wrong with a set of interfaces files, each with the file and the line.
//! It decides the words of every refusal. It never prints.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A line of a file, counted from 1.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
}

impl Place {
    /// Returns the place of line `line` (from 1) of `path`.
    pub fn new(path: impl Into<PathBuf>, line: usize) -> Self {
        Self { path: path.into(), line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// What ifupdown cannot read. In the main file it then gives up altogether; in an included one it drops the rest
/// of that file with a warning. xenup refuses both, and refuses what ifupdown changes in silence
/// ([`Syntax::LongWord`], [`Syntax::OptionName`], [`Syntax::EmptyWord`]).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Syntax {
    /// An option before any `iface` or `mapping`, or after a line that ended one.
    #[error("`{0}` is an option, but no iface or mapping stanza is open here")]
    MisplacedOption(String),
    /// `template` of ifupdown-ng and ifupdown2.
    #[error("`template` is not known to Debian's ifupdown, where a template is an ordinary iface stanza")]
    Template,
    /// An option without a value.
    #[error("option `{0}` has no value")]
    EmptyOption(String),
    /// An option name that ends in `?`, with which ifupdown marks values that must not replace others.
    #[error("`{0}` ends in `?`, which ifupdown keeps for itself")]
    OptionName(String),
    /// A logical line that begins with white space after a continuation.
    #[error("the line begins with white space after a continuation, so it has no first word")]
    EmptyWord,
    /// A word that ifupdown would cut.
    #[error("`{0}` is longer than 79 bytes, which ifupdown would cut off")]
    LongWord(String),
    /// `iface` without a name.
    #[error("iface needs a name, a family and a method")]
    IfaceName,
    /// No family.
    #[error("iface {0} needs a family (inet, inet6) and a method")]
    NoFamily(String),
    /// No method.
    #[error("iface {name} {family} needs a method, such as static or dhcp")]
    NoMethod {
        /// The interface.
        name: String,
        /// The family.
        family: &'static str,
    },
    /// A family other than inet, inet6, ipx, can, meta.
    #[error("`{0}` is no address family (inet, inet6, ipx, can) and not `inherits`")]
    Family(String),
    /// A method the family does not have.
    #[error("`{method}` is no method of {family} and not `inherits`")]
    Method {
        /// The family.
        family: &'static str,
        /// What stands in the method's place.
        method: String,
    },
    /// `inherits` with nothing behind it.
    #[error("`inherits` needs the name of a stanza")]
    InheritsNothing,
    /// `inherits` of a stanza that was not read before this line.
    #[error("no stanza `{0}` to inherit from was read before this line")]
    InheritsUnknown(String),
    /// Another option than `script` and `map` in a mapping.
    #[error("`{0}` is no option of a mapping (script, map)")]
    MappingOption(String),
    /// A second `script` in a mapping.
    #[error("the mapping has a script already")]
    MappingScript,
    /// A `rename` argument without `=`.
    #[error("`{0}` is not of the form CURRENT=NEW")]
    Rename(String),
}

/// Why a set of interfaces files cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterfacesError {
    /// A file is not UTF-8.
    #[error("{0}: byte {column} of the line is not UTF-8", column = .1)]
    NotUtf8(Place, usize),
    /// A NUL byte, at which ifupdown stops to read the line.
    #[error("{0}: a NUL byte")]
    Nul(Place),
    /// A line ifupdown cannot read.
    #[error("{at}: {kind}")]
    Syntax {
        /// Where.
        at: Place,
        /// What.
        kind: Syntax,
    },
    /// A file cannot be read.
    #[error("{path}: cannot be read{}", included_from(.from))]
    Unreadable {
        /// The file.
        path: String,
        /// The `source` line that names it.
        from: Option<Place>,
        /// The cause.
        source: io::Error,
    },
    /// A directory of a `source` pattern or a `source-directory` cannot be listed.
    #[error("{path}: cannot be listed (named at {from})")]
    Unlistable {
        /// The directory.
        path: String,
        /// The line that names it.
        from: Place,
        /// The cause.
        source: io::Error,
    },
    /// A file includes itself, directly or through others.
    #[error("{at}: includes {path}, which is being read already{}", included_from(.first))]
    Loop {
        /// The line that closes the loop.
        at: Place,
        /// The file it names.
        path: String,
        /// The line that included that file first; none for the main file.
        first: Option<Place>,
    },
    /// Includes are nested too deep.
    #[error("{at}: includes {path} at depth {depth}, which is deeper than xenup follows")]
    TooDeep {
        /// The line.
        at: Place,
        /// The file it names.
        path: String,
        /// The depth it would have.
        depth: usize,
    },
    /// One file under two names, which ifupdown would read twice.
    #[error("{at}: includes {path}, which was read under another name{}", included_from(.first))]
    ReadTwice {
        /// The line.
        at: Place,
        /// The file as named there.
        path: String,
        /// The line that included it first.
        first: Option<Place>,
    },
    /// A `source` pattern that only a shell could expand.
    #[error("{at}: `{pattern}`: {why}")]
    Pattern {
        /// The line.
        at: Place,
        /// The pattern as written.
        pattern: String,
        /// What xenup does not follow.
        why: &'static str,
    },
    /// An option's value is not what the option takes.
    #[error("{at}: {option} `{value}`: expected {expected}")]
    Value {
        /// The line.
        at: Place,
        /// The option.
        option: String,
        /// Its value.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// An option that takes one value was given again.
    #[error("{at}: {option} was given before, at line {first}; ifupdown would join both values")]
    Repeated {
        /// The second line.
        at: Place,
        /// The option.
        option: String,
        /// The first line (of the file where it stands).
        first: usize,
    },
    /// A static stanza without an address.
    #[error("{0}: a static stanza needs an address")]
    NoAddress(Place),
}

fn included_from(place: &Option<Place>) -> String {
    place.as_ref().map(|place| format!(" (included at {place})")).unwrap_or_default()
}

impl InterfacesError {
    /// One runnable command or one decision that helps, where there is one.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotUtf8(at, _) => {
                format!("iconv -f ISO-8859-1 -t UTF-8 {} shows it converted", at.path.display())
            }
            Self::Syntax { kind: Syntax::Template, .. } => "write `iface` for `template`".to_owned(),
            Self::Syntax { at, .. } | Self::Value { at, .. } | Self::Repeated { at, .. } => {
                format!("editor +{} {}", at.line, at.path.display())
            }
            Self::Loop { at, .. } | Self::ReadTwice { at, .. } => {
                format!("take line {} out of {}", at.line, at.path.display())
            }
            Self::Pattern { .. } => "name the files, or use * ? and [...] alone".to_owned(),
            _ => return None,
        };
        Some(hint)
    }
}
