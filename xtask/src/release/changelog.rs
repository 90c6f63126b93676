//! CHANGELOG.md in the form of Keep a Changelog, and the paragraph of debian/changelog that is made of a section.
//!
//! Decides: where a release's section begins and ends, how its items are wrapped, and the urgency. Never reads a clock or
//! a file, and never rewrites an item's words.

use std::fmt::Write as _;

use jiff::civil::Date;

/// The groups of Keep a Changelog 1.1, in its order.
const GROUPS: [&str; 6] = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];
/// The longest line of a paragraph, in characters: what dch(1) writes and lintian accepts.
const WIDTH: usize = 79;

/// A changelog from which no release can be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangelogError {
    /// There is no section that a release could take.
    #[error("CHANGELOG.md has no `## [Unreleased]`")]
    NoUnreleased,
    /// Nothing has been written down since the last release.
    #[error("CHANGELOG.md:{line}: the section has no item")]
    Empty {
        /// The section's heading.
        line: usize,
    },
    /// The version was released before.
    #[error("CHANGELOG.md:{line}: {version} has a section already")]
    Released {
        /// Its heading.
        line: usize,
        /// The version.
        version: String,
    },
    /// There is no section of this version.
    #[error("CHANGELOG.md has no section of {version}")]
    NoSection {
        /// The version.
        version: String,
    },
    /// A group that Keep a Changelog does not have.
    #[error("CHANGELOG.md:{line}: `{name}` is none of {}", GROUPS.join(", "))]
    Group {
        /// Where it stands.
        line: usize,
        /// The group's name.
        name: String,
    },
    /// A line that is no heading, no item and no continuation of one.
    #[error("CHANGELOG.md:{line}: neither an item (`- `) nor the indented rest of one: {text}")]
    Stray {
        /// Where it stands.
        line: usize,
        /// What stands there.
        text: String,
    },
}

impl ChangelogError {
    /// What can be done about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoUnreleased => "put `## [Unreleased]` above the newest release in CHANGELOG.md",
            Self::Empty { .. } => {
                "write what a user must know below `### Added`, `### Fixed` or another group"
            }
            Self::Released { .. } => "choose the next version",
            Self::NoSection { .. } => "run: cargo xtask release prepare VERSION",
            Self::Group { .. } | Self::Stray { .. } => "put it in the form of Keep a Changelog",
        }
    }
}

/// A release's section.
#[derive(Debug, PartialEq, Eq)]
pub struct Section {
    groups: Vec<Group>,
}

#[derive(Debug, PartialEq, Eq)]
struct Group {
    name: String,
    items: Vec<String>,
}

/// What the head and the foot of a paragraph need.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    /// The source package.
    pub source: &'a str,
    /// The version of the Debian package.
    pub version: &'a str,
    /// The suite that it is for.
    pub distribution: &'a str,
    /// `Name <address>` of who releases.
    pub maintainer: &'a str,
    /// The day of the release; the time is noon UTC, so that it is the same wherever it is written.
    pub date: Date,
}

/// Returns the changelog with its unreleased section named after a version and a fresh one above it.
///
/// # Errors
/// There is nothing to release, or the version has a section.
pub fn cut(text: &str, version: &str, date: Date) -> Result<String, ChangelogError> {
    if let Some((line, _)) = headings(text).find(|(_, name)| *name == version) {
        return Err(ChangelogError::Released { line, version: version.to_owned() });
    }
    section(text, "Unreleased")?;
    let mut out = String::with_capacity(text.len() + 64);
    for line in text.split_inclusive('\n') {
        out.push_str(line);
        if heading(line) == Some("Unreleased") {
            let _ = write!(out, "\n## [{version}] - {date}\n");
        }
    }
    Ok(out)
}

/// Returns the section of a version, or of `Unreleased`.
///
/// # Errors
/// There is none, it is empty, or a line of it is not in the form.
pub fn section(text: &str, version: &str) -> Result<Section, ChangelogError> {
    let missing = || match version {
        "Unreleased" => ChangelogError::NoUnreleased,
        _ => ChangelogError::NoSection { version: version.to_owned() },
    };
    let (start, _) = headings(text).find(|(_, name)| *name == version).ok_or_else(missing)?;
    let mut groups: Vec<Group> = Vec::new();
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line)).skip(start);
    for (line, content) in lines.take_while(|(_, content)| heading(content).is_none()) {
        take(&mut groups, line, content)?;
    }
    groups.retain(|group| !group.items.is_empty());
    if groups.is_empty() {
        return Err(ChangelogError::Empty { line: start });
    }
    Ok(Section { groups })
}

/// Adds a line of a section to the groups that were read so far.
fn take(groups: &mut Vec<Group>, line: usize, content: &str) -> Result<(), ChangelogError> {
    // The links from versions to comparisons, at the end of the file.
    let link = content.starts_with('[') && content.contains("]: ");
    if content.trim().is_empty() || link {
        return Ok(());
    }
    if let Some(name) = content.strip_prefix("### ").map(str::trim) {
        if !GROUPS.contains(&name) {
            return Err(ChangelogError::Group { line, name: name.to_owned() });
        }
        groups.push(Group { name: name.to_owned(), items: Vec::new() });
        return Ok(());
    }
    let stray = || ChangelogError::Stray { line, text: content.to_owned() };
    let group = groups.last_mut().ok_or_else(stray)?;
    let item = content.strip_prefix("- ").or_else(|| content.strip_prefix("* "));
    match (item, group.items.last_mut()) {
        (Some(item), _) => group.items.push(item.trim().to_owned()),
        (None, Some(last)) if content.starts_with("  ") => {
            last.push(' ');
            last.push_str(content.trim());
        }
        _ => return Err(stray()),
    }
    Ok(())
}

/// Returns the paragraph of debian/changelog, with the empty line that parts it from the next.
pub fn paragraph(section: &Section, head: &Head<'_>) -> String {
    let urgent = section.groups.iter().any(|group| group.name == "Security");
    let mut out = format!(
        "{} ({}) {}; urgency={}\n\n",
        head.source,
        head.version,
        head.distribution,
        if urgent { "high" } else { "medium" }
    );
    for group in &section.groups {
        let _ = writeln!(out, "  * {}:", group.name);
        for item in &group.items {
            wrap(&mut out, item);
        }
    }
    let day = head.date.strftime("%a, %d %b %Y");
    let _ = write!(out, "\n -- {}  {day} 12:00:00 +0000\n\n", head.maintainer);
    out
}

/// Writes an item with its sign and its indent.
fn wrap(out: &mut String, item: &str) {
    let (mut line, mut words) = ("    -".to_owned(), 0);
    for word in item.split_whitespace() {
        if words > 0 && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(out, "{line}");
            (line, words) = ("     ".to_owned(), 0);
        }
        let _ = write!(line, " {word}");
        words += 1;
    }
    let _ = writeln!(out, "{line}");
}

/// The version in a heading of the second level, `## [1.2.0] - 2026-11-22`.
fn heading(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("## ")?.trim();
    let name = rest.strip_prefix('[').and_then(|rest| rest.split(']').next());
    name.or_else(|| rest.split_whitespace().next())
}

/// Every heading of the second level, with its line counted from 1.
fn headings(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, heading(line)?)))
}

#[cfg(test)]
mod tests {
    use super::{Head, cut, paragraph, section};
    use crate::cases;

    /// tests/cases/maintainership-changelog/<case>/: CHANGELOG.md, and what a release of 0.2.0 on 2026-12-01 makes of it.
    #[test]
    fn every_changelog_comes_to_what_is_expected() {
        cases::every_case("maintainership-changelog", 6, |case| {
            let text = case.text("CHANGELOG.md");
            let date = jiff::civil::date(2026, 12, 1);
            let made = cut(&text, "0.2.0", date).and_then(|cut| Ok((section(&cut, "0.2.0")?, cut)));
            match made {
                Err(error) => vec![("error.txt", format!("{error}\nhint: {}\n", error.hint()))],
                Ok((section, cut)) => {
                    let head = Head {
                        source: "xenup",
                        version: "0.2.0",
                        distribution: "unstable",
                        maintainer: "A. Maintainer <maintainer@example.org>",
                        date,
                    };
                    vec![("CHANGELOG.after.md", cut), ("debian-changelog", paragraph(&section, &head))]
                }
            }
        });
    }
}
