use std::collections::BTreeMap;
use std::path::Path;

use super::{Value, Variables};

fn read(text: &str) -> Variables {
    let outputs = BTreeMap::from([("lsb_release -i -s".to_owned(), "Debian".to_owned())]);
    let mut variables = Variables::knowing(outputs);
    variables.read(Path::new("/etc/default/grub"), text);
    variables
}

fn value(text: &str) -> Result<String, &'static str> {
    match read(text).value("A") {
        Value::Known(value) => Ok(value),
        Value::Unset => Err("unset"),
        Value::Unknown(_) => Err("unknown"),
    }
}

#[test]
fn what_follows_from_the_text_is_evaluated() {
    let cases = [
        ("A=0", "0"),
        ("A=\"quiet splash\" # why", "quiet splash"),
        ("A='$B'\nB=1", "$B"),
        ("B=x\nA=\"${B}y$B-\\\"\\$\"", "xyx-\"$"),
        ("A=a\\\nb", "ab"),
        ("export A=1 B=2", "1"),
        ("A=1; A=2", "2"),
        ("A=`lsb_release -i -s`", "Debian"),
        ("A=\"$(lsb_release -i -s) GNU\"", "Debian GNU"),
        ("A=${B:-x y}", "x y"),
        ("B=\nA=${B-x}z", "z"),
        (": ${A:=five}", "five"),
        ("A=1\nif [ \"$B\" = \"\" ]; then A=2; fi", "2"),
        ("A=1\nif [ \"x$B\" != x ]; then A=2; elif [ -z \"$B\" ]; then A=3; else A=4; fi", "3"),
        ("B=1\n[ \"$B\" = 1 ] && A=yes || A=no", "yes"),
        ("B=0\nif ! [ $B -gt 0 ]\nthen\n  A=1\nfi", "1"),
        ("A=1\nfoo A=2 # a command's own\necho B=1 >&2", "1"),
        ("A=1\n(A=2)\nA=3 | cat\n", "1"),
        ("A=1\nunset A\nA=${A:-gone}", "gone"),
        ("A=1\ncat <<EOF\nA=2\nEOF\n", "1"),
        ("A=1\nfor B in 1 2; do C=$B; done", "1"),
        ("A=1\nf() { A=2; }\n", "1"),
        ("A=1\nif command -v x >/dev/null 2>&1; then B=1; fi", "1"),
        ("A=1\nif unknown; then A=1; else A=1; fi", "1"),
    ];
    for (text, expected) in cases {
        assert_eq!(value(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_only_a_shell_could_tell_is_unknown() {
    for text in [
        "A=$(uname -r)",
        "A=\"$HOME/x\"",
        "A=1\nif [ -e /etc/x ]; then A=2; fi",
        "A=1\ntest -x /bin/x && A=2",
        "A=1\n. /etc/other",
        "A=1\neval \"A=2\"",
        "A=1\nf() { A=2; }\nf",
        "A=1\ncase $B in x) A=2;; esac",
        "A=1\nwhile read A; do :; done < /etc/x",
        "A=1\nif unknown; then exit 1; fi\n",
        "A=1\nA=\"never closed",
        "A=1\nif true; then",
        "A=1\n$B A=2; $(x) y",
        "B=$(x)\nA=$B",
        "A=${B%x}",
        "A=~/x",
    ] {
        assert_eq!(value(text), Err("unknown"), "{text}");
    }
    assert_eq!(value("B=1"), Err("unset"));
}

#[test]
fn a_value_is_found_where_it_was_set_last() {
    let variables = read("A=1\n\nif [ \"$A\" = 1 ]\nthen\n  A=2\nfi\n");
    assert_eq!(variables.set_at("A").map(|at| at.line), Some(5));
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    let text = format!("A=1\n{}", "if true; then ".repeat(100_000));
    assert_eq!(value(&text), Err("unknown"));
    let text = format!("A=1\n{}", "( ".repeat(100_000));
    assert_eq!(value(&text), Err("unknown"));
}
