//! What is known to boot, and what is tried next: two entries of our own in GRUB's menu.
//!
//! Decides: the text of /boot/grub/xenup.cfg, which is the only memory of it. An entry that booted well is kept with
//! copies of its files under their own folder, so that neither dpkg, which replaces a hypervisor and a kernel under one
//! name, nor update-initramfs can change what it boots; a newer one is the same entry of grub.cfg with a word by which
//! the boot knows itself. Both are what 20_linux_xen wrote, word for word but for names and paths.
//! Never: makes an entry of its own invention, or chooses a default.

use std::fmt::Write as _;

use xenup_engine::digest::Digest;

/// Where GRUB reads the entries, by way of custom.cfg.
pub const FILE: &str = "/boot/grub/xenup.cfg";
/// Where copies of the files are. Not a name that 10_linux or 20_linux_xen looks for.
pub const FOLDER: &str = "/boot/known-good";
/// The id of the entry that is known to boot.
pub const ID: &str = "xenup-known-good";
/// The id of the entry that is booted once.
pub const TRIAL_ID: &str = "xenup-trial";
/// The word on dom0's command line that tells a trial boot, `=` and its mark behind it.
pub const TRIAL_WORD: &str = "xenup.trial";
/// The same for the entry that is known to boot.
const KNOWN_WORD: &str = "xenup.known-good";
/// The unit that arms the trial when the machine is shut down, with those of the trial behind it.
pub const UNIT: &str = "xenup-boot.service";
/// How 20_linux_xen begins the id of its first entry.
const NEWEST: &str = "xen-gnulinux-simple-";

const HEAD: &str = "\
# Written by xenup (known-good): the Xen and Linux that booted well, and what was tried since. GRUB reads it by way of
# custom.cfg; copies of the files are in /boot/known-good.
";

/// Why a menu has no entry that could be kept or tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoEntry {
    /// 20_linux_xen wrote none at the top of the menu.
    #[error("the menu has no entry `{NEWEST}…` for Xen")]
    NotThere,
    /// It boots in another way than those of 20_linux_xen.
    #[error("the menu's entry for Xen {0}")]
    Unlike(&'static str),
}

/// An entry of grub.cfg that boots Xen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// From `menuentry` to its brace, the last line's end included.
    text: String,
    id: String,
    /// The files' folder as GRUB names it: `/boot`, `/@/boot`, or nothing where /boot is a file system of its own.
    folder: String,
    /// The names of the files in it: the hypervisor, the kernel, what else is loaded.
    files: Vec<String>,
}

impl Entry {
    /// Returns the entry of a menu that 20_linux_xen makes of the newest hypervisor and kernel.
    ///
    /// # Errors
    /// There is none, or it loads what cannot be copied.
    pub fn newest(menu: &str) -> Result<Self, NoEntry> {
        let lines = || menu.split_inclusive('\n');
        let is_it = |line: &&str| line.starts_with("menuentry ") && line.contains(&format!("'{NEWEST}"));
        let begin = lines().position(|line| is_it(&line)).ok_or(NoEntry::NotThere)?;
        let length = lines().skip(begin).position(|line| line.trim_end() == "}").ok_or(NoEntry::NotThere)?;
        let text: String = lines().skip(begin).take(length + 1).collect();
        let rest = text.split_once(&format!("'{NEWEST}")).map_or("", |(_, rest)| rest);
        let uuid = rest.split('\'').next().unwrap_or_default();
        let mut paths = text.lines().flat_map(paths);
        let folder_of =
            |path: &str| path.rsplit_once('/').map(|(folder, name)| (folder.to_owned(), name.to_owned()));
        let (folder, hypervisor) = paths
            .next()
            .and_then(folder_of)
            .filter(|(_, name)| name.starts_with("xen"))
            .ok_or(NoEntry::Unlike("loads no hypervisor first"))?;
        let mut files = vec![hypervisor];
        for path in paths {
            match folder_of(path) {
                Some((place, name)) if place == folder => files.push(name),
                _ => return Err(NoEntry::Unlike("loads files of several folders")),
            }
        }
        if files.iter().any(|name| name.is_empty() || name.starts_with('.'))
            || !files.iter().any(|name| is_kernel(name))
        {
            return Err(NoEntry::Unlike("loads no kernel"));
        }
        Ok(Self { id: format!("{NEWEST}{uuid}"), text, folder, files })
    }

    /// Returns the names of the files in /boot that it loads, each without a folder.
    #[must_use]
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Returns the mark of what it boots: of its words, and of the bytes of its files in their order.
    #[must_use]
    pub fn mark(&self, files: &[Digest]) -> String {
        let digests: Vec<&str> = files.iter().map(Digest::as_str).collect();
        Digest::of(format!("{}{}", self.text, digests.join("\n")).as_bytes()).short().to_owned()
    }

    /// Returns it as the entry that is known to boot, with the copies in `FOLDER/mark`.
    #[must_use]
    pub fn kept(&self, mark: &str) -> Boots {
        let name = FOLDER.trim_start_matches("/boot");
        let to = format!("{}{name}/{mark}/", self.folder);
        self.named(mark, ID, KNOWN_WORD, " (known to boot)", Some(&to))
    }

    /// Returns it as the entry that is tried.
    #[must_use]
    pub fn tried(&self, mark: &str) -> Boots {
        self.named(mark, TRIAL_ID, TRIAL_WORD, " (on trial)", None)
    }

    fn named(&self, mark: &str, id: &str, word: &str, behind: &str, folder: Option<&str>) -> Boots {
        let mut text = String::new();
        for (number, line) in self.text.split_inclusive('\n').enumerate() {
            let mut line = match number {
                0 => titled(line, behind).replacen(&format!("'{}'", self.id), &format!("'{id}'"), 1),
                _ => line.to_owned(),
            };
            let loaded: Vec<String> = paths(&line).map(str::to_owned).collect();
            if loaded.iter().any(|path| is_kernel(path.rsplit('/').next().unwrap_or_default())) {
                line = format!("{} {word}={mark}\n", line.trim_end());
            }
            for path in folder.map(|_| &loaded).into_iter().flatten() {
                let name = path.rsplit('/').next().unwrap_or_default();
                line = line.replacen(path, &format!("{}{name}", folder.unwrap_or_default()), 1);
            }
            text.push_str(&line);
        }
        let kernel = self.files.iter().find(|name| is_kernel(name));
        Boots {
            mark: mark.to_owned(),
            xen: self.files.first().cloned().unwrap_or_default(),
            linux: kernel.map_or_else(String::new, |name| release(name).to_owned()),
            text,
        }
    }
}

/// Returns the files that a line of an entry loads. What stands behind `placeholder` are words for what was loaded.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    let mut words = line.split_whitespace();
    let loads = matches!(
        words.next(),
        Some("multiboot" | "multiboot2" | "module" | "module2" | "xen_hypervisor" | "xen_module")
    );
    words.take_while(move |word| loads && *word != "placeholder").filter(|word| word.starts_with('/'))
}

fn is_kernel(name: &str) -> bool {
    release(name) != name
}

/// The release of a kernel by its file's name; the name where it is none.
fn release(name: &str) -> &str {
    ["vmlinuz-", "vmlinux-", "kernel-"].iter().find_map(|stem| name.strip_prefix(stem)).unwrap_or(name)
}

/// Puts words behind the title, which is the first quoted word of the line; `'\''` stands for a quote within it.
fn titled(line: &str, behind: &str) -> String {
    let Some((first, rest)) = line.split_once('\'') else { return line.to_owned() };
    let end = rest.replace("'\\''", "    ").find('\'');
    match end.and_then(|end| rest.split_at_checked(end)) {
        Some((title, rest)) => format!("{first}'{title}{behind}{rest}"),
        None => line.to_owned(),
    }
}

/// An entry of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boots {
    /// Of what it boots.
    pub mark: String,
    /// The hypervisor's file name: `xen-4.17-amd64.gz`.
    pub xen: String,
    /// The kernel's release.
    pub linux: String,
    text: String,
}

/// What was tried and not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// What.
    pub boots: Boots,
    /// What did not hold; `None` where the boot was never heard of.
    pub failed: Option<String>,
}

/// What xenup.cfg says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownGood {
    /// What is known to boot.
    pub known: Option<Boots>,
    /// What is or was tried since.
    pub trial: Option<Tried>,
}

impl KnownGood {
    /// Reads the file as [`KnownGood::text`] writes it; what somebody else wrote is passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut read = Self::default();
        let mut lines = text.split_inclusive('\n');
        while let Some(line) = lines.next() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let &["#", what @ ("known-good" | "trial"), mark, xen, linux] = words.as_slice() else {
                if let (Some(why), Some(trial)) = (line.strip_prefix("# failed: "), &mut read.trial) {
                    trial.failed = Some(why.trim_end().to_owned());
                }
                continue;
            };
            let mut entry = String::new();
            for line in lines.by_ref() {
                entry.push_str(line);
                if line.trim_end() == "}" {
                    break;
                }
            }
            let boots =
                Boots { mark: mark.to_owned(), xen: xen.to_owned(), linux: linux.to_owned(), text: entry };
            match what {
                "known-good" => read.known = Some(boots),
                _ => read.trial = Some(Tried { boots, failed: None }),
            }
        }
        read
    }

    /// Returns the file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        let mut add = |what: &str, boots: &Boots| {
            let _ = write!(text, "# {what} {} {} {}\n{}", boots.mark, boots.xen, boots.linux, boots.text);
        };
        if let Some(known) = &self.known {
            add("known-good", known);
        }
        if let Some(trial) = &self.trial {
            add("trial", &trial.boots);
        }
        if let Some(why) = self.trial.as_ref().and_then(|trial| trial.failed.as_ref()) {
            let line: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = writeln!(text, "# failed: {line}");
        }
        text
    }
}

/// Returns the mark of the trial that a boot is by its command line; `None` where it is none.
#[must_use]
pub fn trial_mark(cmdline: &str) -> Option<&str> {
    cmdline.split_whitespace().find_map(|word| word.strip_prefix(TRIAL_WORD)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::{Digest, Entry, KnownGood, NoEntry, Tried, trial_mark};

    const MENU: &str = r"
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-U' {
	linux	/boot/vmlinuz-6.1.0-56-amd64 root=UUID=U ro quiet
}
menuentry 'L'\''un, with Xen hypervisor' --class xen $menuentry_id_option 'xen-gnulinux-simple-U' {
	insmod ext2
	search --no-floppy --fs-uuid --set=root U
	if [ x$grub_platform = xefi ]; then
		xen_rm_opts=no-real-mode
	fi
	multiboot2	/boot/xen-4.17-amd64.gz placeholder dom0_mem=1G,max:1G ${xen_rm_opts}
	module2	/boot/vmlinuz-6.1.0-56-amd64 placeholder root=UUID=U ro init=/sbin/init
	module2	--nounzip   /boot/initrd.img-6.1.0-56-amd64
}
";

    fn entry() -> Entry {
        Entry::newest(MENU).unwrap()
    }

    #[test]
    fn what_is_kept_is_the_menus_entry_with_its_own_files() {
        let entry = entry();
        assert_eq!(
            entry.files(),
            ["xen-4.17-amd64.gz", "vmlinuz-6.1.0-56-amd64", "initrd.img-6.1.0-56-amd64"]
        );
        let kept = entry.kept("m1");
        assert_eq!((&kept.xen[..], &kept.linux[..]), ("xen-4.17-amd64.gz", "6.1.0-56-amd64"));
        assert_eq!(
            kept.text,
            r"menuentry 'L'\''un, with Xen hypervisor (known to boot)' --class xen $menuentry_id_option 'xenup-known-good' {
	insmod ext2
	search --no-floppy --fs-uuid --set=root U
	if [ x$grub_platform = xefi ]; then
		xen_rm_opts=no-real-mode
	fi
	multiboot2	/boot/known-good/m1/xen-4.17-amd64.gz placeholder dom0_mem=1G,max:1G ${xen_rm_opts}
	module2	/boot/known-good/m1/vmlinuz-6.1.0-56-amd64 placeholder root=UUID=U ro init=/sbin/init xenup.known-good=m1
	module2	--nounzip   /boot/known-good/m1/initrd.img-6.1.0-56-amd64
}
"
        );
        let tried = entry.tried("m2").text;
        assert!(tried.contains("(on trial)' --class xen $menuentry_id_option 'xenup-trial' {"), "{tried}");
        assert!(tried.contains("module2\t/boot/vmlinuz-6.1.0-56-amd64 placeholder root=UUID=U ro init=/sbin/init xenup.trial=m2\n"), "{tried}");
    }

    #[test]
    fn a_boot_of_its_own_has_no_folder() {
        let entry = Entry::newest(&MENU.replace("/boot/", "/")).unwrap();
        let text = entry.kept("m").text;
        assert!(text.contains("multiboot2\t/known-good/m/xen-4.17-amd64.gz placeholder"), "{text}");
        assert!(text.contains("module2\t/known-good/m/vmlinuz-6.1.0-56-amd64 placeholder"), "{text}");
    }

    #[test]
    fn a_mark_is_of_words_and_bytes() {
        let entry = entry();
        let digests = |initrd: &[u8]| [Digest::of(b"x"), Digest::of(b"k"), Digest::of(initrd)];
        let mark = entry.mark(&digests(b"i"));
        assert_eq!(mark, entry.mark(&digests(b"i")));
        assert_ne!(mark, entry.mark(&digests(b"j")));
        let other = Entry::newest(&MENU.replace("dom0_mem=1G", "dom0_mem=2G")).unwrap();
        assert_ne!(mark, other.mark(&digests(b"i")));
    }

    #[test]
    fn what_was_written_is_read() {
        let entry = entry();
        let known = KnownGood { known: Some(entry.kept("m1")), trial: None };
        let tried = Tried { boots: entry.tried("m2"), failed: None };
        let trial = KnownGood { trial: Some(tried.clone()), ..known.clone() };
        let failed = Tried { failed: Some("xl info ended with 1".to_owned()), ..tried };
        let failed = KnownGood { trial: Some(failed), ..known.clone() };
        for state in [KnownGood::default(), known, trial, failed] {
            assert_eq!(KnownGood::parse(&state.text()), state);
        }
        assert_eq!(KnownGood::parse("menuentry 'x' {\n}\n# trial\n"), KnownGood::default());
    }

    #[test]
    fn what_cannot_be_kept_is_said() {
        assert_eq!(Entry::newest(""), Err(NoEntry::NotThere));
        let elsewhere = MENU.replace("/boot/vmlinuz", "/old/vmlinuz");
        assert_eq!(Entry::newest(&elsewhere), Err(NoEntry::Unlike("loads files of several folders")));
        let none = MENU.replace("\tmodule2\t/boot/vmlinuz-6.1.0-56-amd64 placeholder", "\techo");
        assert_eq!(Entry::newest(&none), Err(NoEntry::Unlike("loads no kernel")));
        let no_xen = MENU.replace("multiboot2", "echo");
        assert_eq!(Entry::newest(&no_xen), Err(NoEntry::Unlike("loads no hypervisor first")));
    }

    #[test]
    fn a_trial_knows_itself() {
        assert_eq!(trial_mark("placeholder root=UUID=U ro xenup.trial=m2 quiet\n"), Some("m2"));
        assert_eq!(trial_mark("root=UUID=U xenup.trials=1 xenup.known-good=m"), None);
    }
}
