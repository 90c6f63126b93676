//! A console's lines as a person wants to read them: without what the harness wraps around its commands.
//!
//! It decides that wrapping's form. Pure.

/// What is sent before a command, up to the command's number.
pub(super) const BEFORE: &str = "printf '[[xenup %d>>\\n' ";
/// What is sent behind a command, up to the command's number.
pub(super) const BEHIND: &str = " </dev/null; printf '\\n<<xenup %d %d]]\\n' ";

/// The text with each wrapped command as a line (or several) after "# ", and without the markers in the output.
pub(super) fn as_read(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with("<<xenup ") && line.ends_with("]]") {
            // The marker begins with a line end of its own, which is no empty line where the output ended with one.
            if lines.last().is_some_and(String::is_empty) {
                lines.pop();
            }
            continue;
        }
        if line.starts_with("[[xenup ") && line.ends_with(">>") {
            continue;
        }
        let command = line.strip_prefix(BEFORE).and_then(|rest| rest.split_once("; "));
        let shown = match command {
            Some((_, rest)) => format!("# {}", rest.strip_prefix("eval ").unwrap_or(rest)),
            None => line.to_owned(),
        };
        lines.push(match shown.split_once(BEHIND) {
            Some((command, _)) => command.to_owned(),
            None => shown,
        });
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{BEFORE, BEHIND, as_read};

    #[test]
    fn commands_read_as_typed_and_markers_are_gone() {
        let sent = format!("{BEFORE}4; eval 'a b\nc'{BEHIND}4 $?");
        let text = format!("host login: root\n{sent}\n[[xenup 4>>\none\ntwo\n\n<<xenup 4 0]]\nend");
        assert_eq!(as_read(&text), "host login: root\n# 'a b\nc'\none\ntwo\nend");
    }

    #[test]
    fn what_a_machine_prints_stays() {
        let text = "\n[[xenup is a word>\nprintf 'x'\n<<xenup";
        assert_eq!(as_read(text), text);
    }
}
