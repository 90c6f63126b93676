//! The file format that systemd's and NetworkManager's configurations share (systemd.syntax(7)).
//! Decides sections, keys and lines; never what a key means.

/// An assignment: its section, key, value and line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The section's name without brackets.
    pub section: String,
    /// The key.
    pub key: String,
    /// The value, continued lines joined by a blank.
    pub value: String,
    /// The line it begins on, counted from 1.
    pub line: u32,
}

/// Reads a file; a line that is neither section nor assignment nor comment is passed over, as systemd does.
pub(super) fn parse(text: &str) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    let mut section = String::new();
    let mut continued = false;
    for (line, content) in (1..).zip(text.lines()) {
        let trimmed = content.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let (body, more) = match trimmed.strip_suffix('\\') {
            Some(body) => (body.trim_end(), true),
            None => (trimmed, false),
        };
        if continued && let Some(last) = settings.last_mut() {
            last.value.push(' ');
            last.value.push_str(body);
        } else if let Some(name) = body.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some((key, value)) = body.split_once('=') {
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            settings.push(Setting { section: section.clone(), key, value, line });
        }
        continued = more;
    }
    settings
}

#[cfg(test)]
mod tests {
    #[test]
    fn sections_comments_and_continuations() {
        let settings = super::parse(
            "[Match]\n# Name=no\nName=eth0 \\\n; inside\n eth1\n[Network]\nDHCP = yes\nrubbish\n",
        );
        let plain: Vec<_> =
            settings.iter().map(|one| (&one.section[..], &one.key[..], &one.value[..], one.line)).collect();
        assert_eq!(plain, [("Match", "Name", "eth0 eth1", 3), ("Network", "DHCP", "yes", 7)]);
    }
}
