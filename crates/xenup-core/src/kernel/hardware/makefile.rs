//! Which symbol builds a module: the tree's own Makefiles.
//!
//! Decides: by their lines `obj-$(CONFIG_X) += module.o folder/`, from the top folders down. Never: runs make.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use xenup_machine::Probe;

/// The largest of the kernel's has 50 KB.
const FILE_LIMIT: u64 = 1 << 20;
/// Linux 6.12 has 3000.
const MOST_FILES: usize = 20_000;
/// Where modules are built.
const TOP: [&str; 11] =
    ["arch/x86", "block", "crypto", "drivers", "fs", "kernel", "lib", "mm", "net", "security", "sound"];

/// Returns the symbols that build each module, by its name with `_`; the ones named first come first.
#[must_use]
pub fn symbols(tree: &dyn Probe) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut open: Vec<PathBuf> = TOP.iter().rev().map(PathBuf::from).collect();
    let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
    while let Some(folder) = open.pop() {
        if seen.len() >= MOST_FILES || !seen.insert(folder.clone()) {
            continue;
        }
        // Kbuild takes the place of a Makefile where both are there.
        let read = |name: &str| tree.read(&Path::new("/").join(&folder).join(name), FILE_LIMIT).ok();
        let Some(bytes) = read("Kbuild").or_else(|| read("Makefile")) else { continue };
        for (symbol, target) in targets(&String::from_utf8_lossy(&bytes)) {
            if let Some(below) = target.strip_suffix('/') {
                open.extend(inside(&folder, below));
            } else if let (Some(symbol), Some(object)) = (symbol, target.strip_suffix(".o")) {
                let module = object.rsplit('/').next().unwrap_or(object).replace('-', "_");
                let symbols = found.entry(module).or_default();
                if !symbols.contains(&symbol) {
                    symbols.push(symbol);
                }
            }
        }
    }
    found
}

/// A folder below another one, where the name leads down and not out.
fn inside(folder: &Path, below: &str) -> Option<PathBuf> {
    let plain = below.split('/').all(|part| !part.is_empty() && part != ".." && !part.contains('$'));
    plain.then(|| folder.join(below))
}

/// The targets of `obj-…` lines, with the symbol that asks for each.
fn targets(text: &str) -> Vec<(Option<String>, String)> {
    let mut all = Vec::new();
    let joined = text.replace("\\\n", " ");
    for line in joined.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some((left, right)) =
            line.split_once("+=").or_else(|| line.split_once(":=")).or_else(|| line.split_once('='))
        else {
            continue;
        };
        let left = left.trim();
        if !left.starts_with("obj-") {
            continue;
        }
        let symbol = left.split_once("$(CONFIG_").and_then(|(_, rest)| rest.split(')').next());
        all.extend(right.split_whitespace().map(|word| (symbol.map(str::to_owned), word.to_owned())));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{inside, targets};
    use std::path::Path;

    #[test]
    fn lines_of_objects_are_read() {
        let text = "obj-$(CONFIG_E1000E) += e1000e.o\nobj-y += intel/ \\\n\tother/\n# obj-y += no/\n\
                    obj-$(subst m,y,$(CONFIG_USB)) += usb/\ne1000e-objs := netdev.o\n";
        let found = targets(text);
        let names: Vec<(Option<&str>, &str)> =
            found.iter().map(|(symbol, target)| (symbol.as_deref(), target.as_str())).collect();
        let expected =
            [(Some("E1000E"), "e1000e.o"), (None, "intel/"), (None, "other/"), (Some("USB"), "usb/")];
        assert_eq!(names, expected);
        assert_eq!(inside(Path::new("a"), "../b"), None);
    }
}
