//! debian/copyright and debian/NOTICE, for every crate that the source package has in vendor/ and the program has in it.
//!
//! Decides: what a crate's own files and its entry in Cargo.lock say about who holds the rights, and under which of the
//! names of the machine-readable format. Never: guesses a licence. A crate with one that is not known here is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use xenup_system::files;
use xenup_system::process::Tool;

/// The file, and its part that is written by hand: ours.
const FILE: &str = "debian/copyright";
const OURS: &str = "debian/copyright.in";
/// The notices of crates that have one, which go with the program (Apache-2.0, 4d).
const NOTICES: &str = "debian/NOTICE";

/// Licences whose text Debian has in /usr/share/common-licenses (base-files).
const COMMON: &[(&str, &str)] = &[("LGPL-2.1-or-later", "LGPL-2.1")];
/// Other licences, and the crate and the file of it that have the text.
const TEXTS: &[(&str, &str, &str)] = &[
    ("0BSD", "adler2", "LICENSE-0BSD"),
    ("Apache-2.0 with LLVM-exception exception", "rustix", "LICENSE-Apache-2.0_WITH_LLVM-exception"),
    ("BSD-2-Clause", "zerocopy", "LICENSE-BSD"),
    ("BSD-3-Clause", "encoding_rs", "LICENSE-WHATWG"),
    ("Unicode-3.0", "unicode-ident", "LICENSE-UNICODE"),
    ("Unlicense", "memchr", "UNLICENSE"),
    ("Zlib", "miniz_oxide", "LICENSE-ZLIB.md"),
    ("bzip2-1.0.6", "libbz2-rs-sys", "LICENSE"),
];
/// Where LLVM's exceptions begin in their file, behind the licence that they are exceptions to.
const EXCEPTIONS: &str = "--- LLVM Exceptions to the Apache 2.0 License ----";
/// A licence is some 10 KiB.
const LARGEST: u64 = 1 << 20;
/// What [`OURS`] has already.
const BY_HAND: &[&str] = &["MIT", "Apache-2.0"];

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
}

/// What `cargo metadata` says of a crate (its format version 1).
#[derive(Debug, Clone, Deserialize)]
struct Crate {
    name: String,
    version: String,
    /// Where it comes from; none for our own.
    source: Option<String>,
    license: Option<String>,
    authors: Vec<String>,
    manifest_path: PathBuf,
}

impl Crate {
    fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(Path::new("/"))
    }
}

type Failure = Box<dyn std::error::Error>;

/// Returns the paths of both files and what they should say.
///
/// # Errors
/// cargo cannot tell of a crate, or a crate's licence is not known here.
pub fn files_of(project: &Path) -> Result<[(PathBuf, String); 2], Failure> {
    let crates = crates(project)?;
    Ok([(PathBuf::from(FILE), text(project, &crates)?), (PathBuf::from(NOTICES), notices(&crates)?)])
}

/// Every crate that is not ours, by name and version.
fn crates(project: &Path) -> Result<Vec<Crate>, Failure> {
    let told = Tool::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(project)
        .run()?;
    let metadata: Metadata = serde_json::from_str(&told.text())?;
    let mut crates = metadata.packages;
    crates.retain(|package| package.source.is_some());
    crates.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    Ok(crates)
}

/// The files of that name, whole, one after another.
fn notices(crates: &[Crate]) -> Result<String, Failure> {
    let mut text = "Notices of the crates that this program has in it.\n".to_owned();
    for package in crates {
        for path in files::list(package.folder())? {
            let name = path.file_name().map(|name| name.display().to_string()).unwrap_or_default();
            if name.starts_with("NOTICE") {
                let notice = String::from_utf8_lossy(&files::read_regular(&path, LARGEST)?).into_owned();
                let _ =
                    write!(text, "\n== {} {}, {name}\n\n{}\n", package.name, package.version, notice.trim());
            }
        }
    }
    Ok(text)
}

fn text(project: &Path, crates: &[Crate]) -> Result<String, Failure> {
    let mut text = files::read_text(&project.join(OURS))?;
    let mut used = BTreeSet::new();
    for package in crates {
        let license = short_name(package)?;
        used.extend(names_in(&license));
        // cargo-vendor(1) names the newest of several versions without its number.
        let newest = crates.iter().rfind(|other| other.name == package.name);
        let numbered = newest.is_some_and(|newest| newest.version != package.version);
        let folder =
            if numbered { format!("{}-{}", package.name, package.version) } else { package.name.clone() };
        let holders = holders(package)?.join("\n           ");
        let _ = write!(text, "\nFiles: vendor/{folder}/*\nCopyright: {holders}\nLicense: {license}\n");
    }
    for name in used.iter().filter(|name| !BY_HAND.contains(&name.as_str())) {
        let _ = write!(text, "\nLicense: {name}\n{}", paragraph(name, crates)?);
    }
    Ok(text)
}

/// The licence in the words of the machine-readable format 1.0: lower-case operators, a comma where SPDX has brackets.
fn short_name(package: &Crate) -> Result<String, Failure> {
    let spdx = package.license.as_deref().ok_or_else(|| format!("{} names no licence", package.name))?;
    let spdx = spdx.replace(" / ", " OR ").replace('/', " OR ");
    let spdx = spdx.replace(" WITH LLVM-exception", " with LLVM-exception exception");
    let spdx = match spdx.strip_prefix('(').and_then(|rest| rest.split_once(") AND ")) {
        Some((either, both)) => format!("{either}, AND {both}"),
        None => spdx,
    };
    let name = spdx.replace(" OR ", " or ").replace(" AND ", " and ");
    match names_in(&name).iter().find(|name| !is_known(name)) {
        Some(unknown) => {
            Err(format!("{}: the licence {unknown} has no text here; add it to copyright.rs", package.name)
                .into())
        }
        None => Ok(name),
    }
}

fn is_known(name: &str) -> bool {
    BY_HAND.contains(&name)
        || COMMON.iter().any(|(known, _)| *known == name)
        || TEXTS.iter().any(|(known, ..)| *known == name)
}

fn names_in(license: &str) -> Vec<String> {
    let and = license.split(" and ").flat_map(|part| part.split(" or "));
    and.map(|name| name.trim_end_matches(',').to_owned()).collect()
}

/// Who holds the rights: the lines of the crate's own files that say so, else its authors.
fn holders(package: &Crate) -> Result<Vec<String>, Failure> {
    let mut found = BTreeMap::new();
    for path in files::list(package.folder())? {
        let name = path.file_name().map(|name| name.to_string_lossy().to_uppercase()).unwrap_or_default();
        let speaks = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "AUTHORS"];
        if !speaks.iter().any(|start| name.starts_with(start)) {
            continue;
        }
        // A folder of licences has them in files that the crate's entry names as well.
        let Ok(bytes) = files::read_regular(&path, LARGEST) else { continue };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for line in text.lines().filter_map(holder) {
            found.entry(line.to_lowercase()).or_insert(line);
        }
    }
    if found.is_empty() {
        found.extend(package.authors.iter().map(|author| (author.to_lowercase(), author.clone())));
    }
    if found.is_empty() {
        found.insert(String::new(), format!("the authors of {}", package.name));
    }
    Ok(found.into_values().collect())
}

/// The holder that a line names: `Copyright (c) 2015 A. Person`; not the words of a licence about such lines.
fn holder(line: &str) -> Option<String> {
    let line = line.trim_start_matches(|c: char| c.is_whitespace() || "/*#->".contains(c)).trim_end();
    let rest = line.strip_prefix("Copyright").or_else(|| line.strip_prefix("COPYRIGHT"))?.trim_start();
    let rest = rest.trim_start_matches(':').trim_start();
    let marked = ["(c)", "(C)", "©", "&copy;"].into_iter().find_map(|mark| rest.strip_prefix(mark));
    let said = marked.unwrap_or(rest).trim();
    let template = said.contains(['[', ']', '{', '<']) && !said.contains('@');
    let names =
        marked.is_some() || said.starts_with(|c: char| c.is_ascii_digit()) || said.starts_with("The ");
    (names && !template && said.contains(char::is_alphabetic)).then(|| said.trim_end_matches('.').to_owned())
}

fn paragraph(name: &str, crates: &[Crate]) -> Result<String, Failure> {
    if let Some((_, file)) = COMMON.iter().find(|(known, _)| *known == name) {
        return Ok(in_common_licenses(file));
    }
    let known = TEXTS.iter().find(|(known, ..)| *known == name);
    let (_, package, file) = known.ok_or_else(|| format!("no text of {name}"))?;
    let package = crates.iter().find(|one| one.name == *package);
    let package = package.ok_or_else(|| format!("{name}: the crate that had its text is gone"))?;
    let text = files::read_text(&package.folder().join(file))?;
    let (begun, text) = match text.split_once(EXCEPTIONS) {
        Some((_, exceptions)) => (in_common_licenses("Apache-2.0") + " .\n", exceptions),
        None => (String::new(), text.as_str()),
    };
    let line = |line: &str| match line.trim_end() {
        "" => " .\n".to_owned(),
        line => format!(" {line}\n"),
    };
    Ok(begun + &text.trim().lines().map(line).collect::<String>())
}

fn in_common_licenses(file: &str) -> String {
    format!(" On Debian systems, the full text of this license is in\n /usr/share/common-licenses/{file}.\n")
}

#[cfg(test)]
mod tests {
    use super::{Crate, holder, names_in, short_name};

    fn named(license: &str) -> Result<String, String> {
        let package = Crate {
            name: "x".into(),
            version: "1.0.0".into(),
            source: None,
            license: Some(license.into()),
            authors: Vec::new(),
            manifest_path: "/x/Cargo.toml".into(),
        };
        short_name(&package).map_err(|error| error.to_string())
    }

    #[test]
    fn a_licence_has_the_formats_name() {
        assert_eq!(named("MIT/Apache-2.0").unwrap(), "MIT or Apache-2.0");
        assert_eq!(
            named("(MIT OR Apache-2.0) AND Unicode-3.0").unwrap(),
            "MIT or Apache-2.0, and Unicode-3.0"
        );
        let llvm = "Apache-2.0 WITH LLVM-exception OR MIT";
        assert_eq!(named(llvm).unwrap(), "Apache-2.0 with LLVM-exception exception or MIT");
        assert_eq!(names_in("MIT or Apache-2.0, and Unicode-3.0"), ["MIT", "Apache-2.0", "Unicode-3.0"]);
        assert!(named("Beerware").unwrap_err().contains("Beerware"));
    }

    #[test]
    fn a_line_that_names_a_holder_is_told_from_one_about_such_lines() {
        for (line, expected) in [
            ("Copyright (c) 2015 A. Person", Some("2015 A. Person")),
            ("// Copyright © 2020-2024 The X Authors.", Some("2020-2024 The X Authors")),
            ("Copyright 2019 B. Person <b@example.org>", Some("2019 B. Person <b@example.org>")),
            ("   Copyright [yyyy] [name of copyright owner]", None),
            ("Copyright (c) 2016--2023", None),
            ("Copyright notices and this permission notice", None),
            ("copyright license to reproduce", None),
        ] {
            assert_eq!(holder(line).as_deref(), expected, "{line}");
        }
    }
}
