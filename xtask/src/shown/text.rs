//! Markdown as far as the handbook's test needs it: fenced blocks with their info strings, code in running text, links.
//!
//! Decides: what is a command of ours, and which words stand for values of the reader. Never runs one.

use std::collections::BTreeSet;

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The line of its fence, from 1.
    pub line: usize,
    /// The info string behind the fence, which a reader does not see.
    pub info: String,
    /// Its lines, without the indent of the fence.
    pub lines: Vec<String>,
}

/// What is to be done with a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// Run it in a copy of this folder of the project.
    RunIn(String),
    /// Run it with a copy of the first folder, of the project, at the second, of the machine.
    RunAt(String, String),
    /// A test in this file takes the block from the page and runs it, in a machine of its own.
    RunBy(String),
    /// A test in this file compares the block with what a rehearsal types into a machine.
    TypedBy(String),
    /// Its lines stand in this file of a case, which a test compares with what is printed; `…` stands for lines left out.
    ShownIn(String),
    /// Read it as a file of this kind.
    As(String),
    /// Nothing, for this reason.
    NotRun(String),
}

/// Reads the info string: a language, then `run in FOLDER`, `run in FOLDER at PATH`, `run by FILE`, `typed by FILE`,
/// `shown in FILE`, `as KIND` or `not run: REASON`.
pub fn mark(info: &str) -> Option<Mark> {
    let (language, rest) = info.split_once(' ')?;
    let rest = rest.trim();
    let filled = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    if language.is_empty() {
        None
    } else if let Some(reason) = rest.strip_prefix("not run:") {
        filled(reason).map(Mark::NotRun)
    } else if let Some(folder) = rest.strip_prefix("run in ") {
        match folder.split_once(" at ") {
            Some((folder, path)) => {
                filled(folder).zip(filled(path)).map(|(folder, path)| Mark::RunAt(folder, path))
            }
            None => filled(folder).map(Mark::RunIn),
        }
    } else if let Some(file) = rest.strip_prefix("run by ") {
        filled(file).map(Mark::RunBy)
    } else if let Some(file) = rest.strip_prefix("typed by ") {
        filled(file).map(Mark::TypedBy)
    } else if let Some(file) = rest.strip_prefix("shown in ") {
        filled(file).map(Mark::ShownIn)
    } else {
        rest.strip_prefix("as ").and_then(filled).map(Mark::As)
    }
}

/// The names of checks in a reason: what stands behind "the check " or "the checks ", up to the verb.
pub fn checks_named(reason: &str) -> Vec<&str> {
    let Some((_, rest)) = reason.split_once("the check") else { return Vec::new() };
    let words =
        rest.strip_prefix('s').unwrap_or(rest).split(' ').filter(|word| !word.is_empty() && *word != "and");
    let names = words.map(|word| word.trim_end_matches(','));
    if rest.starts_with('s') { names.take(2).collect() } else { names.take(1).collect() }
}

/// A command of a console, and the lines that it is shown to print.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    /// What stands behind the prompt.
    pub command: &'a str,
    /// The lines below it; `…` stands for any that were left out.
    pub output: Vec<&'a str>,
}

/// Splits a console at its prompts.
pub fn console(lines: &[String]) -> Vec<Shown<'_>> {
    let mut shown: Vec<Shown<'_>> = Vec::new();
    for line in lines {
        match (line.strip_prefix("$ "), shown.last_mut()) {
            (Some(command), _) => shown.push(Shown { command, output: Vec::new() }),
            (None, Some(last)) => last.output.push(line),
            (None, None) => {}
        }
    }
    shown
}

/// Whether a program printed what is shown.
pub fn printed(shown: &[&str], lines: &[&str]) -> bool {
    match (shown.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((&"…", rest)), _) => {
            (0..=lines.len()).any(|skip| printed(rest, lines.get(skip..).unwrap_or_default()))
        }
        (Some((wanted, rest)), Some((line, more))) => {
            wanted.trim_end() == line.trim_end() && printed(rest, more)
        }
        _ => false,
    }
}

/// Returns the fenced blocks of a text, and the text without them.
pub fn blocks(text: &str) -> (Vec<Block>, String) {
    let (mut found, mut prose) = (Vec::new(), String::new());
    let mut open: Option<(usize, Block)> = None;
    for (index, line) in text.lines().enumerate() {
        let stripped = line.trim_start();
        let fence = stripped.strip_prefix("```");
        match (open.take(), fence) {
            (None, Some(info)) => {
                let block = Block { line: index + 1, info: info.trim().to_owned(), lines: Vec::new() };
                open = Some((line.len() - stripped.len(), block));
            }
            (Some((_, block)), Some("")) => found.push(block),
            (Some((indent, mut block)), _) => {
                let spaces = line.len() - line.trim_start_matches(' ').len();
                block.lines.push(line.get(spaces.min(indent)..).unwrap_or_default().to_owned());
                open = Some((indent, block));
            }
            (None, None) => prose.push_str(line),
        }
        prose.push('\n');
    }
    found.extend(open.map(|(_, block)| block));
    (found, prose)
}

/// The commands in a block: each line of a script, and in a console what stands behind its prompt.
pub fn commands_of_block(block: &Block) -> Vec<Vec<String>> {
    let language = block.info.split(' ').next().unwrap_or_default();
    let lines = block.lines.iter().filter_map(|line| match language {
        "sh" => Some(line.as_str()),
        "console" => line.strip_prefix("# ").or_else(|| line.strip_prefix("$ ")),
        _ => None,
    });
    lines.flat_map(|line| line.split("&&")).filter_map(ours).collect()
}

/// The commands in running text: code that begins with a program of ours.
pub fn commands_of_prose(prose: &str) -> Vec<Vec<String>> {
    let spans = prose.split('`').skip(1).step_by(2);
    // A drawing is not a command.
    spans.filter(|span| span.is_ascii()).filter_map(ours).collect()
}

/// The words of a command of ours, `xenup …` or `cargo xtask …`; those that stand for the reader's values are filled in.
fn ours(line: &str) -> Option<Vec<String>> {
    let mut words = words(line);
    if words.first().is_some_and(|word| word == "sudo") {
        words.remove(0);
    }
    let known = match (words.first()?.as_str(), words.get(1).map(String::as_str)) {
        ("cargo", Some("xtask")) => {
            words.remove(0);
            true
        }
        ("xenup", Some(_)) => true,
        _ => false,
    };
    known.then_some(words)
}

/// Splits as a shell does, as far as the handbook goes: quotes, and a comment behind a blank. Brackets around what may be
/// left out are taken away, of alternatives the first is taken.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            (None, '#') if word.is_empty() && !begun => break,
            (None, _) if c.is_whitespace() => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            _ => word.push(c),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    let bare = |word: &str| {
        let word = word.trim_start_matches('[').trim_end_matches(']');
        filled_in(word.split('|').next().unwrap_or_default())
    };
    // Where another program or a file takes over, the command has ended.
    let own = words.iter().take_while(|word| !["|", "||", ">", ">>", "<", ";", "&"].contains(&word.as_str()));
    own.map(|word| if word.contains(' ') { word.clone() } else { bare(word) }).collect()
}

/// A value for a word that stands for one.
fn filled_in(word: &str) -> String {
    let value = match word {
        "RELEASE" => "4.20",
        "SUITE" => "trixie",
        "DAYS" | "SECONDS" | "N" | "BUG" | "NUMBER" => "7",
        "VERSION" => "0.2.0",
        "DAY" => "2026-01-01",
        other => other,
    };
    value.to_owned()
}

/// What a source file quotes behind the quoted name of a page, as `block("PAGE", "WORDS")` does.
pub fn words_behind(source: &str, page: &str) -> Vec<String> {
    let name = format!("\"{page}\"");
    let behind = source.split(&name).skip(1);
    let quoted = behind.filter_map(|rest| {
        let rest = rest.strip_prefix(',')?.trim_start().strip_prefix('"')?;
        let (mut words, mut escaped) = (String::new(), false);
        for c in rest.chars() {
            match (escaped, c) {
                (false, '"') => return Some(words),
                (false, '\\') => escaped = true,
                _ => {
                    words.push(c);
                    escaped = false;
                }
            }
        }
        None
    });
    quoted.collect()
}

/// The lines of prose that Markdown shows as a block by their indent alone, from 1.
pub fn indented(prose: &str) -> Vec<usize> {
    let lines: Vec<&str> = prose.lines().collect();
    let pairs = lines.iter().zip(lines.iter().skip(1)).enumerate();
    let mut in_list = false;
    let mut found = Vec::new();
    for (index, (before, line)) in pairs {
        let item = |text: &str| {
            text.starts_with("- ")
                || text.starts_with("* ")
                || text.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok())
        };
        in_list = item(before.trim_start()) || (in_list && (before.is_empty() || before.starts_with(' ')));
        let can_begin = before.is_empty() || before.starts_with('#');
        if can_begin && line.starts_with("    ") && !line.trim().is_empty() && !in_list {
            found.push(index + 2);
        }
    }
    found
}

/// The targets of links that lead to a file of the project.
pub fn links(prose: &str) -> BTreeSet<String> {
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let own = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    own.filter_map(|target| target.split('#').next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        Mark, blocks, checks_named, commands_of_block, commands_of_prose, console, indented, links, mark,
        printed, words_behind,
    };

    #[test]
    fn a_block_says_what_is_done_with_it() {
        assert_eq!(mark("sh not run: it reboots"), Some(Mark::NotRun("it reboots".to_owned())));
        assert_eq!(mark("sh run in tests/cases"), Some(Mark::RunIn("tests/cases".to_owned())));
        assert_eq!(mark("sh run in a at /b"), Some(Mark::RunAt("a".to_owned(), "/b".to_owned())));
        assert_eq!(mark("sh run by a/b.rs"), Some(Mark::RunBy("a/b.rs".to_owned())));
        assert_eq!(mark("sh typed by a/b.rs"), Some(Mark::TypedBy("a/b.rs".to_owned())));
        assert_eq!(mark("text shown in a/b"), Some(Mark::ShownIn("a/b".to_owned())));
        assert_eq!(mark("toml as host.toml"), Some(Mark::As("host.toml".to_owned())));
        for bad in [
            "",
            "sh",
            "sh run",
            "sh run by ",
            "sh typed by ",
            "text shown in ",
            "sh not run:",
            "sh not run: ",
            "sh as ",
            " not run: no language",
            "not run: x",
        ] {
            assert_eq!(mark(bad), None, "{bad}");
        }
    }

    #[test]
    fn checks_are_named_in_a_reason() {
        assert_eq!(checks_named("it converts; the checks guard and rehearsal do"), ["guard", "rehearsal"]);
        assert_eq!(checks_named("it reboots a machine; the check rehearsal does"), ["rehearsal"]);
        assert!(checks_named("a drawing").is_empty());
    }

    #[test]
    fn blocks_lose_the_indent_of_their_fence_and_leave_the_prose() {
        let text = "one `xenup plan`\n   ```sh not run: x\n   xenup apply\n     two\n   ```\nend\n```\nopen";
        let (found, prose) = blocks(text);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].line, found[0].lines.as_slice()),
            (2, ["xenup apply".to_owned(), "  two".to_owned()].as_slice())
        );
        assert_eq!((found[1].line, found[1].info.as_str()), (7, ""));
        assert!(prose.contains("xenup plan") && !prose.contains("xenup apply"));
        assert_eq!(prose.lines().nth(5), Some("end"));
    }

    #[test]
    fn commands_of_ours_are_found_with_values_filled_in() {
        let block = |info: &str, lines: &[&str]| super::Block {
            line: 1,
            info: info.to_owned(),
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        };
        let script = block(
            "sh x",
            &["xenup status   # comment", "ls && cargo xtask docs", "xenupd", "echo '# no' xenup"],
        );
        assert_eq!(commands_of_block(&script), [vec!["xenup", "status"], vec!["xtask", "docs"]]);
        let console = block("console x", &["# xenup plan", "xenup said this"]);
        assert_eq!(commands_of_block(&console), [["xenup", "plan"]]);
        let prose =
            "`xenup audit [--to RELEASE|SUITE]`, `sudo xenup tls`, `xenup`, `xenup → all`, `guest list`";
        assert_eq!(commands_of_prose(prose), [vec!["xenup", "audit", "--to", "4.20"], vec!["xenup", "tls"]]);
        let quoted = "`xenup guard --note \"a b\" -- COMMAND`";
        assert_eq!(commands_of_prose(quoted), [["xenup", "guard", "--note", "a b", "--", "COMMAND"]]);
    }

    #[test]
    fn a_console_is_compared_with_what_is_printed() {
        let lines: Vec<String> = ["$ one", "a", "…", "z", "$ two"].map(str::to_owned).to_vec();
        let shown = console(&lines);
        assert_eq!((shown.len(), shown[0].command, shown[1].output.len()), (2, "one", 0));
        for good in [&["a", "z"][..], &["a", "b", "c", "z"], &["a", "z", "z"]] {
            assert!(printed(&shown[0].output, good), "{good:?}");
        }
        for bad in [&["a"][..], &["b", "z"], &["a", "z", "y"], &[]] {
            assert!(!printed(&shown[0].output, bad), "{bad:?}");
        }
        assert!(printed(&[], &[]) && !printed(&[], &["x"]));
    }

    #[test]
    fn what_a_test_takes_from_a_page_is_found() {
        let source = r#"block("docs/a.md", "one"); here(&c, "docs/a.md",
            "say \"two\"") + block("docs/b.md", "three") + "docs/a.md" + block("docs/a.md", name)"#;
        assert_eq!(words_behind(source, "docs/a.md"), ["one", "say \"two\""]);
        assert!(words_behind(source, "docs/c.md").is_empty());
    }

    #[test]
    fn blocks_by_indent_are_found() {
        assert_eq!(indented("text\n\n    xenup plan\n    more\n\nend"), [3]);
        assert_eq!(indented("## By hand\n    make\n"), [2]);
        assert!(indented("1. one\n\n    rest of it\n- two\n\n    rest\n").is_empty());
    }

    #[test]
    fn links_into_the_project_are_found() {
        let found = links("[a](docs/a.md#x) [b](https://example.org) [c](#here) [d](../b.md)");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["../b.md", "docs/a.md"]);
    }
}
