//! The command line as its users see it: every folder of tests/cases/cli is one call.
//!
//! A case has `args` (one argument a line) and `expected` (exit code, standard output, standard error); every other
//! file is an input. The program runs in a copy of the folder, with an empty environment but for a cache of its own. `XENUP_UPDATE_CASES=1`
//! rewrites `expected`: its difference is then read like any other change.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test runs programs and reads files")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/cli")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_name() != "args" && entry.file_name() != "expected" {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Returns what a call printed and how it ended, with the folder's path taken out.
fn call(case: &Path) -> String {
    let folder = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    copy(case, folder.path());
    let args = fs::read_to_string(case.join("args")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_xenup"))
        .args(args.lines())
        .current_dir(folder.path())
        .env_clear()
        .env("COLUMNS", "80")
        .env("XDG_CACHE_HOME", cache.path())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes)
            .replace(&folder.path().display().to_string(), "$CASE")
            .replace(&cache.path().display().to_string(), "$CACHE");
        without_digests(text.trim_end())
    };
    let left = names(folder.path());
    let code = output.status.code().unwrap_or(-1);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let mut said = format!("exit {code}\n--- stdout\n{out}\n--- stderr\n{err}\n");
    let new: Vec<String> = left.into_iter().filter(|name| !case.join(name).exists()).collect();
    if !new.is_empty() {
        said.push_str(&format!("--- written\n{}\n", new.join("\n")));
    }
    said
}

/// A folder of the cache is named by a digest of where its source lies, which is another place in each run.
fn without_digests(text: &str) -> String {
    let mut parts = text.split("$CACHE/");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (path, rest) = part.split_at(part.find([' ', '`', '\n']).unwrap_or(part.len()));
        let start = path.rfind('-').filter(|at| path.len() - at == 17).unwrap_or(path.len());
        out += "$CACHE/";
        out += path.get(..start).unwrap_or(path);
        out += if start < path.len() { "-DIGEST" } else { "" };
        out += rest;
    }
    out
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn every_call_says_what_it_should() {
    let update = std::env::var_os("XENUP_UPDATE_CASES").is_some();
    let mut wrong = Vec::new();
    let mut count = 0;
    for name in names(&cases()) {
        let case = cases().join(&name);
        let said = call(&case);
        let expected = case.join("expected");
        if update {
            fs::write(&expected, &said).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{name}:\n{said}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{} of {count} calls differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 0, "no cases");
}
