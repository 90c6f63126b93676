//! The file format that systemd's and NetworkManager's configurations share (systemd.syntax(7)).
//! Decides sections, keys and lines; never what a key means.

/// An assignment: its section, key, value and line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The section's name without brackets.
    pub section: String,
    /// Which of the file's section headers it stands below, counted from 1; 0 before the first.
    pub group: usize,
    /// The key.
    pub key: String,
    /// The value, continued lines joined by a blank.
    pub value: String,
    /// The line it begins on, counted from 1.
    pub line: u32,
}

/// Reads a file; a line that is neither section nor assignment nor comment is passed over, as systemd does.
///
/// A comment within a continued value is left out of it; a blank line ends the value.
pub(crate) fn parse(text: &str) -> Vec<Setting> {
    let mut reading = Reading::default();
    for (line, content) in (1..).zip(text.lines()) {
        let trimmed = content.trim_start();
        if trimmed.starts_with(['#', ';']) {
            continue;
        }
        let slashes = trimmed.bytes().rev().take_while(|byte| *byte == b'\\').count();
        let (body, more) = match trimmed.strip_suffix('\\') {
            Some(body) if slashes % 2 == 1 => (body, true),
            _ => (trimmed, false),
        };
        let whole = reading.open.get_or_insert_with(|| (line, String::new()));
        if !whole.1.is_empty() {
            whole.1.push(' ');
        }
        whole.1.push_str(body.trim());
        if !more {
            reading.close();
        }
    }
    reading.close();
    reading.settings
}

#[derive(Default)]
struct Reading {
    settings: Vec<Setting>,
    section: String,
    group: usize,
    /// The line that may go on in the next one, and where it began.
    open: Option<(u32, String)>,
}

impl Reading {
    fn close(&mut self) {
        let Some((line, whole)) = self.open.take() else { return };
        let whole = whole.trim();
        if let Some(name) = whole.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut self.section);
            self.group = self.group.saturating_add(1);
        } else if let Some((key, value)) = whole.split_once('=') {
            self.settings.push(Setting {
                section: self.section.clone(),
                group: self.group,
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
                line,
            });
        }
    }
}

/// Returns what a boolean value says (parse_boolean of systemd); `None` for anything else.
pub(crate) fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sections_comments_and_continuations() {
        let settings =
            parse("[Match]\n# Name=no\nName=eth0 \\\n; inside\n eth1\n[Network]\nDHCP = yes\nrubbish\n");
        let plain: Vec<_> =
            settings.iter().map(|one| (&one.section[..], &one.key[..], &one.value[..], one.line)).collect();
        assert_eq!(plain, [("Match", "Name", "eth0 eth1", 3), ("Network", "DHCP", "yes", 7)]);
    }

    #[test]
    fn a_blank_line_ends_a_value_and_headers_are_counted() {
        let settings = parse("[A]\nK=1 \\\n\nL=2\\\\\n[B]\n[A]\nK=3\n");
        let plain: Vec<_> =
            settings.iter().map(|one| (one.group, &one.key[..], &one.value[..], one.line)).collect();
        assert_eq!(plain, [(1, "K", "1", 2), (1, "L", "2\\\\", 4), (3, "K", "3", 7)]);
    }
}
