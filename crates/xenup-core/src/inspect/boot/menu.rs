//! The menu in grub.cfg.
//!
//! Decides: which entries there are, by which ids they are reached, and which boot Xen.
//! Never: evaluates GRUB's script: what a condition hides is still listed.

use super::super::facts::GrubEntry;

/// Deeper nesting of submenus than GRUB shows on a screen.
const DEPTH_MAX: usize = 16;

/// What grub.cfg says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Menu {
    /// Entries and submenus in order.
    pub entries: Vec<GrubEntry>,
    /// The default, from the last `set default=` that is no `${next_entry}`.
    pub default: Option<String>,
    /// The language it was made in, from `set lang=`.
    pub lang: Option<String>,
    /// The line of the first `password`, `password_pbkdf2` or non-empty `set superusers=`.
    pub password: Option<u32>,
}

/// Reads grub.cfg.
pub(super) fn parse(text: &str) -> Menu {
    let mut menu = Menu::default();
    // What each open brace belongs to: a submenu's id, an entry's index, or something else.
    let mut open: Vec<Block> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let words = words(line);
        let Some(first) = words.first() else { continue };
        match first.as_str() {
            "menuentry" | "submenu" => {
                let within = submenus(&open);
                let submenu = first == "submenu";
                if let Some(entry) = entry(&words, submenu, within) {
                    open.push(if submenu {
                        Block::Submenu(entry.id.clone())
                    } else {
                        Block::Entry(menu.entries.len())
                    });
                    menu.entries.push(entry);
                    close_inline(&words, &mut open);
                }
                continue;
            }
            "set" => menu.set(&words, number),
            "password" | "password_pbkdf2" => menu.password = menu.password.or(Some(number)),
            _ => {}
        }
        if let Some(Block::Entry(index)) = open.iter().rev().find(|block| matches!(block, Block::Entry(_)))
            && let Some(entry) = menu.entries.get_mut(*index)
        {
            boots(&words, entry);
        }
        braces(&words, &mut open);
    }
    menu
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Block {
    Submenu(String),
    Entry(usize),
    Other,
}

impl Menu {
    fn set(&mut self, words: &[String], number: u32) {
        let Some((name, value)) = words.get(1).and_then(|word| word.split_once('=')) else { return };
        match name {
            "default" if value != "${next_entry}" => self.default = Some(value.to_owned()),
            "lang" => self.lang = Some(value.to_owned()),
            "superusers" if !value.is_empty() => self.password = self.password.or(Some(number)),
            _ => {}
        }
    }
}

fn submenus(open: &[Block]) -> Vec<String> {
    let ids = open.iter().filter_map(|block| match block {
        Block::Submenu(id) => Some(id.clone()),
        _ => None,
    });
    ids.take(DEPTH_MAX).collect()
}

fn entry(words: &[String], submenu: bool, within: Vec<String>) -> Option<GrubEntry> {
    let title = words.get(1)?.clone();
    let after = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1).cloned()
    };
    let joined = || words.iter().find_map(|word| word.strip_prefix("--id=").map(str::to_owned));
    // Without an id of its own an entry is reached by its title.
    let id = after("$menuentry_id_option")
        .or_else(|| after("${menuentry_id_option}"))
        .or_else(|| after("--id"))
        .or_else(joined)
        .unwrap_or_else(|| title.clone());
    let unrestricted = words.iter().any(|word| word == "--unrestricted");
    Some(GrubEntry { title, id, within, submenu, xen: false, kernel: None, hypervisor: None, unrestricted })
}

/// Takes from a command in an entry what it boots.
fn boots(words: &[String], entry: &mut GrubEntry) {
    let (Some(command), Some(file)) = (words.first(), words.get(1)) else { return };
    let name = file.rsplit(['/', ')']).next().unwrap_or_default();
    match command.as_str() {
        "multiboot" | "multiboot2" | "xen_hypervisor" if name.starts_with("xen") => {
            entry.xen = true;
            entry.hypervisor = Some(name.to_owned());
        }
        // Xen's own EFI image, without multiboot.
        "chainloader" if name.starts_with("xen") && name.ends_with(".efi") => {
            entry.xen = true;
            entry.hypervisor = Some(name.to_owned());
        }
        "linux" | "linuxefi" | "linux16" | "module" | "module2" | "xen_module" if entry.kernel.is_none() => {
            let version = ["vmlinuz-", "vmlinux-", "kernel-"].iter().find_map(|stem| name.strip_prefix(stem));
            entry.kernel = version.map(str::to_owned);
        }
        _ => {}
    }
}

fn braces(words: &[String], open: &mut Vec<Block>) {
    for word in words {
        match word.as_str() {
            "{" => open.push(Block::Other),
            "}" => {
                open.pop();
            }
            _ => {}
        }
    }
}

/// An entry may be written on one line: its first brace is already counted.
fn close_inline(words: &[String], open: &mut Vec<Block>) {
    let Some(brace) = words.iter().position(|word| word == "{") else { return };
    braces(&words[brace + 1..], open);
}

/// Splits a line as GRUB's script does: blanks, quotes, backslashes; `;` and braces are words of their own.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\'', Some('\'')) | ('"', Some('"')) => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('#', None) if word.is_none() => break,
            (' ' | '\t' | ';', None) => words.extend(word.take()),
            ('{' | '}', None) if word.is_none() => words.push(c.to_string()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn entries_submenus_and_what_they_boot() {
        let menu = parse(
            r#"
set default="${next_entry}"
set default="0"
function savedefault {
  if [ -z "${boot_once}" ]; then
    saved_entry="${chosen}"
  fi
}
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-U' {
	linux	/boot/vmlinuz-6.1.0-56-amd64 root=UUID=U ro quiet
}
submenu 'Advanced options for Debian GNU/Linux (with Xen hypervisor)' $menuentry_id_option 'gnulinux-advanced-U' {
	submenu 'Xen hypervisor, version 4.17-amd64' $menuentry_id_option 'xen-hypervisor-4.17-amd64-U' {
		menuentry 'Debian GNU/Linux, with Xen 4.17-amd64 and Linux 6.1.0-56-amd64' $menuentry_id_option 'xen-gnulinux-6.1.0-56-amd64-advanced-U' {
			if [ "$grub_platform" = "pc" -o "$grub_platform" = "" ]; then
			    xen_rm_opts=
			fi
			multiboot2	/boot/xen-4.17-amd64.gz placeholder ${xen_rm_opts}
			module2	/boot/vmlinuz-6.1.0-56-amd64 placeholder root=UUID=U ro
			module2	--nounzip /boot/initrd.img-6.1.0-56-amd64
		}
	}
}
menuentry "It's \"new\"" --unrestricted --id=own { chainloader /EFI/x.efi }
menuentry 'UEFI Firmware Settings' { fwsetup }
"#,
        );
        let ids: Vec<_> =
            menu.entries.iter().map(|entry| (&entry.id[..], entry.within.len(), entry.xen)).collect();
        assert_eq!(
            ids,
            [
                ("gnulinux-simple-U", 0, false),
                ("gnulinux-advanced-U", 0, false),
                ("xen-hypervisor-4.17-amd64-U", 1, false),
                ("xen-gnulinux-6.1.0-56-amd64-advanced-U", 2, true),
                ("own", 0, false),
                ("UEFI Firmware Settings", 0, false)
            ]
        );
        assert_eq!(menu.entries[3].kernel.as_deref(), Some("6.1.0-56-amd64"));
        assert_eq!(menu.entries[3].hypervisor.as_deref(), Some("xen-4.17-amd64.gz"));
        assert!(menu.entries[4].unrestricted && menu.entries[4].title == "It's \"new\"");
        assert_eq!((menu.default.as_deref(), menu.password), (Some("0"), None));
    }

    #[test]
    fn a_password_is_found_with_its_line() {
        assert_eq!(parse("set superusers=\"\"\n\nset superusers=\"root\"\n").password, Some(3));
        assert_eq!(parse("password_pbkdf2 root grub.pbkdf2.sha512.x\n").password, Some(1));
    }
}
