//! A network script of the host's own, as far as it is literally calls of Xen's scripts.
//!
//! Decides: which calls a start makes, and which lines only a shell could tell; those are returned with their reason.
//! A `case` on the operation is followed; in any other block nothing is taken, for something decides whether it runs.
//! Never: runs a script, guesses a value.

use super::words::{Unclear, Variables, Word, commands};

/// Longer than any wrapper anybody wrote.
pub(super) const SIZE_LIMIT: u64 = 1 << 18;

/// A call of one of Xen's network scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// The line, counted from 1.
    pub line: u32,
    /// The script's name without its directory: `network-bridge`.
    pub program: String,
    /// What is handed over as `NAME=VALUE`.
    pub settings: Vec<(String, String)>,
    /// Other words.
    pub others: Vec<String>,
}

/// A line that is none of the forms that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Odd {
    /// Counted from 1.
    pub line: u32,
    /// The line, trimmed.
    pub text: String,
    /// Why nothing is taken from it.
    pub why: String,
}

/// What a script comes to when it is called with `start`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Script {
    /// In order.
    pub calls: Vec<Call>,
    /// In order.
    pub odd: Vec<Odd>,
}

/// Reads a script that is called as `DIRECTORY/NAME start ARGUMENTS`.
pub(super) fn read(text: &str, directory: &str, arguments: &[String]) -> Script {
    let mut reader = Reader {
        directory,
        arguments,
        variables: Variables::from([("1".to_owned(), Word::Operation)]),
        script: Script::default(),
        blocks: 0,
        case: Case::Outside,
        ended: None,
    };
    for (line, text) in joined(text) {
        match reader.ended {
            None => reader.line(line, text.trim()),
            Some(why) if text.contains("network-") && !text.trim_start().starts_with('#') => {
                reader.odd(line, text.trim(), why);
            }
            Some(_) => {}
        }
    }
    reader.script
}

/// Lines with those joined to them that a backslash continues, each with the number of its first.
fn joined(text: &str) -> Vec<(u32, String)> {
    let mut lines: Vec<(u32, String)> = Vec::new();
    let mut open = false;
    for (number, line) in (1..).zip(text.lines()) {
        let (body, goes_on) = match line.strip_suffix('\\') {
            Some(body) => (body, true),
            None => (line, false),
        };
        match lines.last_mut() {
            Some((_, whole)) if open => whole.push_str(body),
            _ => lines.push((number, body.to_owned())),
        }
        open = goes_on;
    }
    lines
}

/// Where in a `case` on the operation a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Outside,
    /// Behind `in` or `;;`.
    BeforeLabel,
    /// In a branch that `start` takes.
    Taken,
    /// In another.
    Other,
}

struct Reader<'a> {
    directory: &'a str,
    arguments: &'a [String],
    variables: Variables,
    script: Script,
    blocks: usize,
    case: Case,
    /// Why nothing behind the line is read.
    ended: Option<&'static str>,
}

/// What begins a block that something decides about.
const OPENING: [&str; 6] = ["if", "for", "while", "until", "select", "{"];
const CLOSING: [&str; 3] = ["fi", "done", "}"];
/// Commands that change nothing of the network.
const HARMLESS: [&str; 7] = ["true", ":", "echo", "findCommand", "evalVariables", "logger", "export"];
/// Xen's own files of functions.
const FUNCTIONS: [&str; 5] =
    ["xen-script-common.sh", "xen-network-common.sh", "logging.sh", "locking.sh", "hotplugpath.sh"];

impl Reader<'_> {
    fn odd(&mut self, line: u32, text: &str, why: impl Into<String>) {
        self.script.odd.push(Odd { line, text: text.to_owned(), why: why.into() });
    }

    fn line(&mut self, line: u32, text: &str) {
        if text.is_empty() || text.starts_with('#') {
            return;
        }
        if self.blocks == 0 && self.in_case(line, text) {
            return;
        }
        let first = text.split([' ', '\t', ';']).next().unwrap_or_default();
        let opens = OPENING.contains(&first) || text.contains("()") || (first == "case" && self.blocks > 0);
        if opens {
            if self.blocks == 0 {
                self.odd(
                    line,
                    text,
                    format!("what is in the block of `{first}` runs under a condition or not at all"),
                );
            }
            let closed = CLOSING
                .iter()
                .any(|word| text.ends_with(&format!(" {word}")) || text.ends_with(&format!(";{word}")));
            self.blocks = self.blocks.saturating_add(usize::from(!closed));
            return;
        }
        if CLOSING.contains(&first) || (first == "esac" && self.blocks > 0) {
            self.blocks = self.blocks.saturating_sub(1);
            return;
        }
        if self.blocks > 0 {
            if text.contains("network-") {
                self.odd(line, text, "it runs under a condition that only a shell could tell");
            }
            return;
        }
        self.plain(line, text);
    }

    /// Follows a `case` on the operation; returns whether that was all there is to the line.
    fn in_case(&mut self, line: u32, text: &str) -> bool {
        if self.case == Case::Outside {
            let Some(subject) =
                text.strip_prefix("case ").and_then(|rest| rest.trim_end().strip_suffix("in"))
            else {
                return false;
            };
            match commands(subject, &self.variables).as_deref() {
                Ok([words]) if words.as_slice() == [Word::Operation] => self.case = Case::BeforeLabel,
                _ => {
                    self.odd(
                        line,
                        text,
                        "what is in the block of `case` runs under a condition or not at all",
                    );
                    self.blocks = self.blocks.saturating_add(1);
                }
            }
            return true;
        }
        if text.starts_with("esac") {
            self.case = Case::Outside;
            return true;
        }
        let mut rest = text;
        if self.case == Case::BeforeLabel {
            let Some((label, behind)) = text.split_once(')') else {
                self.odd(line, text, "expected a branch of `case` here");
                return true;
            };
            let words =
                label.trim_start_matches('(').split('|').map(|word| word.trim().trim_matches(['"', '\'']));
            let taken = words.into_iter().any(|word| word == "start");
            self.case = if taken { Case::Taken } else { Case::Other };
            rest = behind.trim();
        }
        let (body, ends) = match rest.split_once(";;") {
            Some((body, _)) => (body.trim(), true),
            None => (rest, false),
        };
        let whole = body == text && !ends;
        if self.case == Case::Taken && whole {
            return false;
        }
        if self.case == Case::Taken && !body.is_empty() {
            self.plain(line, body);
        }
        if ends {
            self.case = Case::BeforeLabel;
        }
        true
    }

    fn plain(&mut self, line: u32, text: &str) {
        if let Some((name, value)) = assignment(text) {
            let value = self.assigned(value);
            return match value {
                Ok(value) => drop(self.variables.insert(name.to_owned(), value)),
                Err(why) => {
                    self.variables.remove(name);
                    self.odd(line, text, why.to_string());
                }
            };
        }
        match commands(text, &self.variables) {
            Ok(all) => all.into_iter().for_each(|command| self.command(line, text, command)),
            Err(why) => {
                if why == Unclear::OpenQuote || text.contains("<<") {
                    self.ended = Some("it stands behind a text of several lines, or in it");
                }
                self.odd(line, text, why.to_string());
            }
        }
    }

    /// What a variable is set to: a text, the operation, or the script's own directory.
    fn assigned(&self, value: &str) -> Result<Word, Unclear> {
        let inner = value.trim().trim_matches('"');
        let own = ["$(dirname $0)", "$(dirname \"$0\")", "`dirname $0`", "`dirname \"$0\"`", "${0%/*}"];
        if own.contains(&inner) {
            return Ok(Word::Text(self.directory.to_owned()));
        }
        let mut all = commands(value, &self.variables)?.into_iter().flatten();
        match (all.next(), all.next()) {
            (None, _) => Ok(Word::Text(String::new())),
            (Some(word), None) => Ok(word),
            (Some(_), Some(_)) => Err(Unclear::Operator(' ')),
        }
    }

    fn command(&mut self, line: u32, text: &str, words: Vec<Word>) {
        let mut words = words.into_iter().peekable();
        let replaces = words.peek() == Some(&Word::Text("exec".to_owned()));
        while words.next_if(|word| matches!(word, Word::Text(text) if is_shell(text))).is_some() {}
        let Some(Word::Text(program)) = words.next() else {
            return self.odd(line, text, "it runs what the caller names");
        };
        let name = program.rsplit('/').next().unwrap_or(&program);
        if replaces || name == "exit" {
            self.ended = Some("the script has ended before it comes to this line");
        }
        match name {
            "exit" => return,
            "shift" => return drop(self.variables.remove("1")),
            "set"
                if words.all(
                    |word| matches!(&word, Word::Text(text) if text != "--" && text.starts_with('-')),
                ) =>
            {
                return;
            }
            _ if HARMLESS.contains(&name) => return,
            _ => {}
        }
        if matches!(name, "." | "source") {
            let file = words.next();
            let known =
                matches!(&file, Some(Word::Text(path)) if FUNCTIONS.iter().any(|own| path.ends_with(own)));
            if !known {
                self.odd(line, text, "it takes in another script");
            }
            return;
        }
        if !name.starts_with("network-") {
            return self.odd(line, text, format!("`{name}` is none of Xen's network scripts"));
        }
        let mut call = Call { line, program: name.to_owned(), settings: Vec::new(), others: Vec::new() };
        for word in words {
            match word {
                Word::Operation => {}
                Word::Arguments => self.arguments.iter().for_each(|argument| call.argument(argument)),
                Word::Text(text) if text == "start" => {}
                Word::Text(text)
                    if matches!(text.as_str(), "stop" | "status") && call.settings.is_empty() =>
                {
                    return;
                }
                Word::Text(text) => call.argument(&text),
            }
        }
        self.script.calls.push(call);
    }
}

impl Call {
    /// Takes an argument as Xen's scripts do: the last of two for the same variable counts.
    pub fn argument(&mut self, text: &str) {
        match text.split_once('=').filter(|(name, _)| is_name(name)) {
            Some((name, value)) => {
                self.settings.retain(|(known, _)| known != name);
                self.settings.push((name.to_owned(), value.to_owned()));
            }
            None => self.others.push(text.to_owned()),
        }
    }

    /// Returns what a variable is set to, where it is set to something.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let found = self.settings.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

fn is_shell(word: &str) -> bool {
    matches!(word, "exec" | "sh" | "bash" | "/bin/sh" | "/bin/bash")
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn assignment(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix("export ").unwrap_or(text);
    let (name, value) = text.split_once('=').filter(|(name, _)| is_name(name))?;
    // `A=b command` sets it for that command alone.
    let plain = value.split_once([' ', '\t']).is_none_or(|(_, rest)| rest.trim_start().starts_with('#'));
    (plain || value.starts_with(['"', '\'', '`', '$'])).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::read;

    fn calls(text: &str) -> Vec<String> {
        let script = read(text, "/etc/xen/scripts", &["netdev=eth7".to_owned()]);
        let calls =
            script.calls.iter().map(|call| format!("{} {} {:?}", call.line, call.program, call.settings));
        let odd = script.odd.iter().map(|odd| format!("{} odd: {}", odd.line, odd.why));
        calls.chain(odd).map(|line| line.replace('"', "")).collect()
    }

    #[test]
    fn literal_calls_are_taken() {
        let text = "#!/bin/sh\ndir=$(dirname \"$0\")\n\"$dir/network-bridge\" \"$@\" vifnum=0\n$dir/network-bridge $1 \\\n  vifnum=1\nexit 0\n";
        assert_eq!(
            calls(text),
            ["3 network-bridge [(netdev, eth7), (vifnum, 0)]", "4 network-bridge [(vifnum, 1)]"]
        );
    }

    #[test]
    fn a_case_on_the_operation_is_followed() {
        let text = "OP=$1\nshift\ncase ${OP} in\nstart)\n  ./network-bridge start vifnum=1\n  ;;\nstop) ./network-bridge stop vifnum=1 ;;\n*)\n  exit 1\nesac\n./network-route start\n";
        assert_eq!(calls(text), ["5 network-bridge [(vifnum, 1)]", "11 network-route []"]);
    }

    #[test]
    fn nothing_is_taken_behind_the_end_of_a_script() {
        let ended = "odd: the script has ended before it comes to this line";
        let text =
            "./network-bridge start vifnum=0\nexit 0\n# network-bridge\n./network-bridge start vifnum=1\n";
        assert_eq!(calls(text), ["1 network-bridge [(vifnum, 0)]", &format!("4 {ended}")]);
        let text = "exec ./network-bridge \"$@\"\n./network-bridge start vifnum=1\n";
        assert_eq!(calls(text), ["1 network-bridge [(netdev, eth7)]", &format!("2 {ended}")]);
        let text = "cat <<END\n./network-bridge start\nEND\n";
        let behind = "2 odd: it stands behind a text of several lines, or in it";
        assert_eq!(calls(text), ["1 odd: `<` joins commands or redirects them", behind]);
        let text = "shift\n./network-bridge start netdev=$1\n";
        assert_eq!(calls(text), ["2 odd: `$1` is not set to a plain text above"]);
    }

    #[test]
    fn what_a_shell_decides_is_named() {
        let text = "for i in 0 1; do\n  ./network-bridge start vifnum=$i\ndone\nif [ -e /x ]; then ./network-bridge start; fi\nf() {\n  true\n}\ncase \"$2\" in\nx)\n ./network-bridge start ;;\nesac\nbrctl addbr br1\n";
        assert_eq!(
            calls(text),
            [
                "1 odd: what is in the block of `for` runs under a condition or not at all",
                "2 odd: it runs under a condition that only a shell could tell",
                "4 odd: what is in the block of `if` runs under a condition or not at all",
                "5 odd: what is in the block of `f()` runs under a condition or not at all",
                "8 odd: what is in the block of `case` runs under a condition or not at all",
                "10 odd: it runs under a condition that only a shell could tell",
                "12 odd: `brctl` is none of Xen's network scripts",
            ]
        );
    }
}
