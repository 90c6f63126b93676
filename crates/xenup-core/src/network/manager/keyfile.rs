//! A keyfile, line by line (nm-settings-keyfile(5); the format is GLib's GKeyFile).
//!
//! Decides: groups, keys and values, and which line an edit touches. Every byte is kept: what is read and written again
//! is the same. Never: what a key means.

/// A file that NetworkManager does not take, as GLib would not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {cause}")]
pub struct KeyfileError {
    /// The line, counted from 1.
    pub line: u32,
    /// What is wrong with it.
    pub cause: &'static str,
}

/// An assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its group without brackets, under its present name: `ethernet`, not `802-3-ethernet`.
    pub group: String,
    /// Its key.
    pub key: String,
    /// Its value as it stands there, without white space around it; escapes are not undone.
    pub value: String,
    /// Its line, counted from 1.
    pub line: u32,
}

/// A keyfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyfile {
    /// With their ends.
    lines: Vec<String>,
    entries: Vec<Entry>,
    /// Group and line of each header.
    headers: Vec<(String, u32)>,
}

impl Keyfile {
    /// Reads a keyfile.
    ///
    /// # Errors
    /// The first line that is no header, no assignment and no comment, or an assignment before the first header:
    /// NetworkManager passes over the whole file then.
    pub fn parse(text: &str) -> Result<Self, KeyfileError> {
        let mut file =
            Self { lines: text.split_inclusive('\n').map(str::to_owned).collect(), ..Self::default() };
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            if let Some(rest) = content.strip_prefix('[') {
                let name =
                    rest.strip_suffix(']').filter(|name| !name.is_empty() && !name.contains(['[', ']']));
                let name = name.ok_or(KeyfileError { line, cause: "a group's name does not end with ]" })?;
                file.headers.push((present(name).to_owned(), line));
                continue;
            }
            let (key, value) = content
                .split_once('=')
                .filter(|(key, _)| !key.trim().is_empty())
                .ok_or(KeyfileError { line, cause: "neither [group] nor key=value" })?;
            let Some((group, _)) = file.headers.last() else {
                return Err(KeyfileError { line, cause: "a key stands before the first [group]" });
            };
            let (group, key, value) = (group.clone(), key.trim().to_owned(), value.trim().to_owned());
            file.entries.push(Entry { group, key, value, line });
        }
        Ok(file)
    }

    /// Returns the whole text.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.concat()
    }

    /// Returns all assignments in the file's order; where a key is given twice, the later one counts.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the assignment that counts.
    #[must_use]
    pub fn get(&self, group: &str, key: &str) -> Option<&Entry> {
        self.entries.iter().rfind(|entry| entry.group == group && entry.key == key)
    }

    /// Returns the value that counts, empty ones left out.
    #[must_use]
    pub fn value(&self, group: &str, key: &str) -> Option<&str> {
        self.get(group, key).map(|entry| entry.value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns the groups, in the file's order, each with its line.
    pub fn groups(&self) -> impl Iterator<Item = (&str, u32)> {
        self.headers.iter().map(|(name, line)| (name.as_str(), *line))
    }

    /// Returns the text with a key set: its line is replaced, or one is put below the group's header, or the group is put
    /// at the end. No other byte changes.
    #[must_use]
    pub fn with(&self, group: &str, key: &str, value: &str) -> String {
        let new = format!("{key}={value}\n");
        let mut lines = self.lines.clone();
        let index = |line: u32| usize::try_from(line).unwrap_or(usize::MAX);
        if let Some(line) =
            self.get(group, key).and_then(|entry| lines.get_mut(index(entry.line).saturating_sub(1)))
        {
            *line = if line.ends_with('\n') { new } else { format!("{key}={value}") };
            return lines.concat();
        }
        if let Some(last) = lines.last_mut().filter(|last| !last.ends_with('\n')) {
            last.push('\n');
        }
        match self.groups().find(|(name, _)| *name == group) {
            Some((_, line)) => lines.insert(index(line).min(lines.len()), new),
            None => lines.push(format!("\n[{group}]\n{new}")),
        }
        lines.concat()
    }
}

/// Groups had longer names once, and have both today.
fn present(group: &str) -> &str {
    match group {
        "802-3-ethernet" => "ethernet",
        "802-11-wireless" => "wifi",
        "802-11-wireless-security" => "wifi-security",
        other => other,
    }
}

/// Returns the parts of a list: `;` and `,` part them.
pub(super) fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split([';', ',']).map(str::trim).filter(|part| !part.is_empty())
}

/// Returns what a boolean value says, as NetworkManager takes it.
pub(super) fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Some(true),
        "0" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Keyfile, KeyfileError};

    const LAN: &str = "# by hand\n[connection]\nid = lan\n[802-3-ethernet]\nmtu=9000\n\n[ipv4]\nmethod=auto";

    #[test]
    fn every_byte_is_kept_and_an_edit_touches_its_line_alone() {
        let file = Keyfile::parse(LAN).unwrap_or_default();
        assert_eq!(file.text(), LAN);
        assert_eq!(file.value("ethernet", "mtu"), Some("9000"));
        assert_eq!(file.with("connection", "id", "wan"), LAN.replace("id = lan", "id=wan"));
        let named = file.with("connection", "interface-name", "eno1");
        assert_eq!(named, LAN.replace("[connection]\n", "[connection]\ninterface-name=eno1\n") + "\n");
        assert_eq!(file.with("ipv4", "method", "manual"), LAN.replace("auto", "manual"));
        assert!(file.with("user", "a.b", "c").ends_with("method=auto\n\n[user]\na.b=c\n"));
    }

    #[test]
    fn what_glib_does_not_take_is_refused_with_its_line() {
        let line = |text: &str| Keyfile::parse(text).map_err(|KeyfileError { line, .. }| line).map(|_| ());
        assert_eq!(line("id=lan\n"), Err(1));
        assert_eq!(line("[connection]\n; no comment\n"), Err(2));
        assert_eq!(line("[connection\n"), Err(1));
        assert_eq!(line("[connection]\n=lan\n"), Err(2));
        assert_eq!(line("\n # a comment\n[connection] \nid=\n"), Ok(()));
    }
}
