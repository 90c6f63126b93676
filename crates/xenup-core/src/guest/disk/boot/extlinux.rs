//! extlinux.conf, isolinux.cfg and syslinux.cfg (the Syslinux project's doc/syslinux.txt): keywords without regard to
//! case, labels, includes.

use super::{Choice, Entry, folder};
use crate::guest::disk::files::Files;

/// The most labels that are read, and the deepest includes.
const MOST_LABELS: usize = 1000;
const DEEPEST: usize = 4;

#[derive(Default)]
struct Menu {
    default: Option<String>,
    on_timeout: Option<String>,
    marked: Option<String>,
    append: String,
    labels: Vec<(String, Entry)>,
}

/// What the file would boot.
pub(super) fn choose(files: &mut Files<'_>, file: &str) -> Option<Choice> {
    let text = files.text(file)?;
    let mut menu = Menu::default();
    menu.read(files, file, &text, 0);
    let count = menu.labels.len();
    let wanted =
        [("ONTIMEOUT", &menu.on_timeout), ("MENU DEFAULT", &menu.marked), ("DEFAULT", &menu.default)];
    let chosen = wanted.into_iter().find_map(|(word, label)| {
        let label = label.as_ref()?;
        let (_, entry) = menu.labels.iter().find(|(name, _)| name == label)?;
        Some((entry.clone(), format!("{word} {label}")))
    });
    let first = menu.labels.first().map(|(_, entry)| (entry.clone(), "the first label".to_owned()));
    let (mut entry, why) = chosen.or(first)?;
    if entry.cmdline.is_empty() {
        entry.cmdline = menu.append;
    }
    let initrds = entry.cmdline.split_ascii_whitespace().filter_map(|word| word.strip_prefix("initrd="));
    let initrds: Vec<_> = initrds.flat_map(|list| list.split(',')).map(|path| beside(file, path)).collect();
    entry.initrd.extend(initrds);
    Some(Choice { loader: "extlinux", file: file.to_owned(), entries: count, why, entry })
}

/// A path as the loader takes it: from its own folder where it is not absolute.
fn beside(file: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", folder(file)) }
}

impl Menu {
    fn read(&mut self, files: &mut Files<'_>, file: &str, text: &str, depth: usize) {
        for line in text.lines().map(str::trim) {
            let (word, rest) = line.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((line, ""));
            let rest = rest.trim();
            let full = self.labels.len() >= MOST_LABELS;
            match (word.to_ascii_lowercase().as_str(), self.labels.last_mut()) {
                ("default", _) => self.default = Some(rest.to_owned()),
                ("ontimeout", _) => self.on_timeout = Some(rest.to_owned()),
                ("label", _) if !full => {
                    let entry = Entry { title: rest.to_owned(), ..Entry::default() };
                    self.labels.push((rest.to_owned(), entry));
                }
                ("kernel" | "linux", Some((_, entry))) => entry.kernel = Some(beside(file, rest)),
                ("append", Some((_, entry))) => entry.cmdline = rest.to_owned(),
                ("append", None) => self.append = rest.to_owned(),
                ("initrd", Some((_, entry))) => {
                    entry.initrd.extend(rest.split(',').map(|path| beside(file, path)));
                }
                ("menu", Some((label, entry))) => {
                    let lower = rest.to_ascii_lowercase();
                    if lower == "default" {
                        self.marked = Some(label.clone());
                    } else if lower.starts_with("label") {
                        let title = rest.get(5..).unwrap_or_default().trim();
                        entry.title = title.replace('^', "");
                    }
                }
                ("include", _) if depth < DEEPEST => {
                    let other = beside(file, rest);
                    if let Some(text) = files.text(&other) {
                        self.read(files, &other, &text, depth.saturating_add(1));
                    }
                }
                _ => {}
            }
        }
    }
}
