//! Shell patterns: fnmatch(3) for names, and the part of wordexp(3) that `source` needs, without any substitution.
//! It decides what a pattern matches. It never lists a directory itself.

/// One unit of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    Any,
    One,
    Set { negated: bool, members: Vec<Member> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Member {
    Range(char, char),
    Class(&'static str),
}

const CLASSES: [&str; 8] = ["alpha", "digit", "alnum", "upper", "lower", "punct", "space", "xdigit"];

/// A pattern for one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Token>);

impl Pattern {
    /// Reads a pattern of fnmatch(3), where a backslash quotes.
    pub fn new(text: &str) -> Self {
        let mut chars = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match c {
                '\\' => chars.extend(rest.next().map(|c| (c, true))),
                c => chars.push((c, false)),
            }
        }
        Self::from_chars(&chars)
    }

    /// Reads characters, each with whether it is quoted and so stands for itself.
    fn from_chars(chars: &[(char, bool)]) -> Self {
        let mut tokens = Vec::new();
        let mut at = 0;
        while let Some(&(c, quoted)) = chars.get(at) {
            at += 1;
            tokens.push(match (c, quoted) {
                ('*', false) => Token::Any,
                ('?', false) => Token::One,
                ('[', false) => match set(&chars[at..]) {
                    Some((token, used)) => {
                        at += used;
                        token
                    }
                    None => Token::Char('['),
                },
                (c, _) => Token::Char(c),
            });
        }
        Self(tokens)
    }

    /// Returns whether it matches the whole of `name`.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        // Greedy with one point to return to: linear in practice, quadratic at worst, never exponential.
        let (mut token, mut at, mut star) = (0, 0, None);
        while at < name.len() {
            match self.0.get(token) {
                Some(Token::Any) => {
                    star = Some((token, at));
                    token += 1;
                    continue;
                }
                Some(one) if one.takes(name[at]) => {
                    token += 1;
                    at += 1;
                    continue;
                }
                _ => {}
            }
            let Some((star_token, star_at)) = star else { return false };
            star = Some((star_token, star_at + 1));
            token = star_token + 1;
            at = star_at + 1;
        }
        self.0[token..].iter().all(|token| *token == Token::Any)
    }

    /// Returns whether it matches the file name `name` as glob(3) does: a leading dot must be written.
    pub fn matches_file(&self, name: &str) -> bool {
        (!name.starts_with('.') || self.0.first() == Some(&Token::Char('.'))) && self.matches(name)
    }

    /// Returns the name it stands for if it holds no wildcard.
    fn literal(&self) -> Option<String> {
        let plain = |token: &Token| if let Token::Char(c) = token { Some(*c) } else { None };
        self.0.iter().map(plain).collect()
    }
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::Any => false,
            Self::One => true,
            Self::Set { negated, members } => members.iter().any(|member| member.takes(c)) != *negated,
        }
    }
}

impl Member {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Range(low, high) => (*low..=*high).contains(&c),
            Self::Class("alpha") => c.is_ascii_alphabetic(),
            Self::Class("digit") => c.is_ascii_digit(),
            Self::Class("alnum") => c.is_ascii_alphanumeric(),
            Self::Class("upper") => c.is_ascii_uppercase(),
            Self::Class("lower") => c.is_ascii_lowercase(),
            Self::Class("punct") => c.is_ascii_punctuation(),
            Self::Class("xdigit") => c.is_ascii_hexdigit(),
            Self::Class(_) => c.is_ascii_whitespace(),
        }
    }
}

/// Reads a bracket expression behind its `[`; `None` where it never closes. Returns the characters used.
fn set(chars: &[(char, bool)]) -> Option<(Token, usize)> {
    let negated = matches!(chars.first(), Some(('!' | '^', false)));
    let start = usize::from(negated);
    let mut members = Vec::new();
    let mut at = start;
    loop {
        let &(c, quoted) = chars.get(at)?;
        if c == ']' && !quoted && at > start {
            return Some((Token::Set { negated, members }, at + 1));
        }
        if let Some((class, used)) = class(&chars[at..]) {
            members.push(Member::Class(class));
            at += used;
            continue;
        }
        match (chars.get(at + 1), chars.get(at + 2)) {
            (Some(('-', false)), Some(&(high, high_quoted))) if high != ']' || high_quoted => {
                members.push(Member::Range(c, high));
                at += 3;
            }
            _ => {
                members.push(Member::Range(c, c));
                at += 1;
            }
        }
    }
}

fn class(chars: &[(char, bool)]) -> Option<(&'static str, usize)> {
    if !matches!(chars, [('[', false), (':', _), ..]) {
        return None;
    }
    let name: String = chars[2..].iter().map(|(c, _)| *c).take_while(|c| *c != ':').collect();
    let end = 2 + name.chars().count();
    let closed = matches!(chars.get(end..end + 2), Some([(':', _), (']', _)]));
    let known = CLASSES.into_iter().find(|known| *known == name)?;
    closed.then_some((known, end + 2))
}

/// A word of a `source` line after quote removal: a path whose components may be patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathPattern {
    /// Whether it begins with a slash.
    pub absolute: bool,
    /// Its components; empty ones are left out.
    pub components: Vec<Component>,
}

/// A component of a path pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Component {
    /// A plain name.
    Name(String),
    /// A name with wildcards.
    Pattern(Pattern),
}

impl PathPattern {
    /// Returns whether it would match the absolute path `path` if a file of that name existed, relative patterns
    /// being below `directory`.
    pub fn covers(&self, directory: &std::path::Path, path: &std::path::Path) -> bool {
        let path = match self.absolute {
            true => path.strip_prefix("/").ok(),
            false => path.strip_prefix(directory).ok(),
        };
        let Some(path) = path else { return false };
        let names: Vec<_> = path.iter().map(|name| name.to_string_lossy()).collect();
        names.len() == self.components.len()
            && self.components.iter().zip(&names).all(|(component, name)| match component {
                Component::Name(own) => own == name.as_ref(),
                Component::Pattern(pattern) => pattern.matches_file(name),
            })
    }

    fn new(chars: &[(char, bool)]) -> Self {
        let components = chars.split(|(c, _)| *c == '/').filter(|part| !part.is_empty()).map(|part| {
            let pattern = Pattern::from_chars(part);
            pattern.literal().map_or(Component::Pattern(pattern), Component::Name)
        });
        Self { absolute: matches!(chars.first(), Some(('/', _))), components: components.collect() }
    }
}

/// Takes a `source` line's words apart as wordexp(3) with WRDE_NOCMD does, quotes removed.
///
/// # Errors
/// What only a shell could expand, or what wordexp refuses (and ifupdown then skips without a word).
pub(super) fn path_patterns(text: &str) -> Result<Vec<PathPattern>, &'static str> {
    let mut out = Vec::new();
    let mut word: Option<Vec<(char, bool)>> = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' => out.extend(word.take().map(|word| PathPattern::new(&word))),
            '\\' => {
                let next = rest.next().ok_or("a backslash at the end quotes nothing")?;
                word.get_or_insert_default().push((next, true));
            }
            '\'' => quoted_single(&mut rest, word.get_or_insert_default())?,
            '"' => quoted_double(&mut rest, word.get_or_insert_default())?,
            '$' | '`' => return Err("xenup follows no variable and no command substitution here"),
            '~' if word.is_none() => return Err("xenup follows no home directory here"),
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '{' | '}' => {
                return Err("wordexp(3) refuses this character unquoted, so ifupdown reads nothing here");
            }
            c => word.get_or_insert_default().push((c, false)),
        }
    }
    out.extend(word.map(|word| PathPattern::new(&word)));
    Ok(out)
}

fn quoted_single(rest: &mut std::str::Chars<'_>, word: &mut Vec<(char, bool)>) -> Result<(), &'static str> {
    loop {
        match rest.next().ok_or("the quote is not closed")? {
            '\'' => return Ok(()),
            c => word.push((c, true)),
        }
    }
}

fn quoted_double(rest: &mut std::str::Chars<'_>, word: &mut Vec<(char, bool)>) -> Result<(), &'static str> {
    loop {
        match rest.next().ok_or("the quote is not closed")? {
            '"' => return Ok(()),
            '$' | '`' => return Err("xenup follows no variable and no command substitution here"),
            '\\' => match rest.next().ok_or("the quote is not closed")? {
                c @ ('"' | '$' | '`' | '\\') => word.push((c, true)),
                c => word.extend([('\\', true), (c, true)]),
            },
            c => word.push((c, true)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_fnmatch_matches() {
        for (pattern, name, expected) in [
            ("eth*", "eth0", true),
            ("eth*", "eth", true),
            ("eth?", "eth", false),
            ("*.cfg", "50-cloud-init.cfg", true),
            ("*.cfg", "cfg", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[]]x", "]x", true),
            ("[x", "[x", true),
            ("[[:digit:]]*", "5a", true),
            ("[[:digit:]]*", "a5", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("", "", true),
            ("[a-]", "-", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
        assert!(!Pattern::new("*").matches_file(".hidden"));
        assert!(Pattern::new(".*").matches_file(".hidden"));
    }

    #[test]
    fn a_hostile_pattern_ends() {
        let pattern = "*a".repeat(200);
        assert!(!Pattern::new(&pattern).matches(&"a".repeat(150)));
    }

    #[test]
    fn source_words_are_split_and_unquoted() {
        let words = path_patterns("/etc/'a b'/*.d \"x*\"").unwrap();
        assert_eq!(words.len(), 2);
        assert!(words[0].covers("/".as_ref(), "/etc/a b/foo.d".as_ref()));
        assert!(!words[1].absolute);
        assert_eq!(words[1].components, [Component::Name("x*".to_owned())]);
        for refused in ["$(id)", "`id`", "${HOME}/x", "~/x", "a;b", "{a,b}", "'x", "\"$x\"", "a\\"] {
            assert!(path_patterns(refused).is_err(), "{refused}");
        }
        assert!(path_patterns("/etc/a~").is_ok());
    }
}
