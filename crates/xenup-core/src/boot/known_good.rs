//! What is known to boot, and what is tried next: two entries of our own in GRUB's menu.
//!
//! Decides: the text of /boot/grub/xenup.cfg, which is the only memory of it. An entry that booted well is kept with
//! copies of its files under their own folder, so that neither dpkg, which replaces a hypervisor and a kernel under one
//! name, nor update-initramfs can change what it boots; a newer one is the same entry of grub.cfg with a word by which
//! the boot knows itself. Both are what 20_linux_xen wrote, word for word but for names and paths. Where nothing is known
//! to boot any more, GRUB is told to take plain Linux for it.
//! Never: makes an entry of its own invention, or chooses a default.

use std::fmt::Write as _;
use std::path::PathBuf;

use xenup_engine::digest::Digest;

use super::entries::SIMPLE_LINUX;

/// Where GRUB reads the entries, by way of custom.cfg.
pub const FILE: &str = "/boot/grub/xenup.cfg";
/// Where copies of the files are. Not a name that 10_linux or 20_linux_xen looks for.
pub const FOLDER: &str = "/boot/known-good";
/// The id of the entry that is known to boot.
pub const ID: &str = "xenup-known-good";
/// The id of the entry that is booted once.
pub const TRIAL_ID: &str = "xenup-trial";
/// The word on dom0's command line that tells a trial boot, `=` and its mark behind it.
const TRIAL_WORD: &str = "xenup.trial";
/// The same for the entry that is known to boot.
const KNOWN_WORD: &str = "xenup.known-good";
/// The unit that arms the trial when the machine is shut down, with those of the trial behind it.
pub const UNIT: &str = "xenup-boot.service";
/// What there is where that unit is enabled (systemctl(1)).
pub const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants/xenup-boot.service";
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

    /// Returns it as the entry that is known to boot, with the copies in a folder of its mark; `digests` are of its files.
    #[must_use]
    pub fn kept(&self, digests: &[Digest]) -> Boots {
        let mark = self.mark(digests);
        let to = format!("{}{}/{mark}/", self.folder, FOLDER.trim_start_matches("/boot"));
        self.named(mark, digests, [ID, KNOWN_WORD, " (known to boot)"], Some(&to))
    }

    /// Returns it as the entry that is tried.
    #[must_use]
    pub fn tried(&self, digests: &[Digest]) -> Boots {
        self.named(self.mark(digests), digests, [TRIAL_ID, TRIAL_WORD, " (on trial)"], None)
    }

    /// Of what it boots: its words, and the bytes of its files in their order.
    fn mark(&self, digests: &[Digest]) -> String {
        let digests: Vec<&str> = digests.iter().map(Digest::as_str).collect();
        Digest::of(format!("{}{}", self.text, digests.join("\n")).as_bytes()).short().to_owned()
    }

    fn named(&self, mark: String, digests: &[Digest], names: [&str; 3], folder: Option<&str>) -> Boots {
        let [id, word, behind] = names;
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
        let pair = |(name, digest): (&String, &Digest)| File { name: name.clone(), digest: digest.clone() };
        Boots {
            mark,
            xen: self.files.first().cloned().unwrap_or_default(),
            linux: kernel.map_or_else(String::new, |name| release(name).to_owned()),
            files: self.files.iter().zip(digests).map(pair).collect(),
            text,
        }
    }
}

/// Returns the id of the menu's entry for plain Linux with the newest kernel.
#[must_use]
pub fn plain_linux(menu: &str) -> Option<String> {
    let mut ids = menu.lines().filter(|line| line.starts_with("menuentry ")).filter_map(|line| {
        let (_, rest) = line.split_once(&format!("'{SIMPLE_LINUX}"))?;
        Some(format!("{SIMPLE_LINUX}{}", rest.split('\'').next()?))
    });
    ids.find(|id| id.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.:".contains(&c)))
}

/// Returns where the file of an installed kernel can be: a package that goes takes it along, with the modules.
pub fn kernel_files(release: &str) -> impl Iterator<Item = PathBuf> {
    KERNELS.iter().map(move |stem| PathBuf::from(format!("/boot/{stem}{release}")))
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

/// How kernels are called in /boot.
const KERNELS: [&str; 3] = ["vmlinuz-", "vmlinux-", "kernel-"];

fn is_kernel(name: &str) -> bool {
    release(name) != name
}

/// The release of a kernel by its file's name; the name where it is none.
fn release(name: &str) -> &str {
    KERNELS.iter().find_map(|stem| name.strip_prefix(stem)).unwrap_or(name)
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

/// A file that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name, without a folder.
    pub name: String,
    /// Of its bytes.
    pub digest: Digest,
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
    /// What it loads.
    pub files: Vec<File>,
    text: String,
}

impl Boots {
    /// Returns whether a file of it is the hypervisor or the kernel.
    #[must_use]
    pub fn is_program(&self, file: &File) -> bool {
        file.name == self.xen || is_kernel(&file.name)
    }

    /// Returns whether both have the very same hypervisor and kernel, whatever words and initramfs they get.
    #[must_use]
    pub fn has_programs_of(&self, other: &Self) -> bool {
        let programs = |boots: &Self| -> Vec<Digest> {
            let programs = boots.files.iter().filter(|file| boots.is_program(file));
            programs.map(|file| file.digest.clone()).collect()
        };
        programs(self) == programs(other)
    }
}

/// What was tried and not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// What.
    pub boots: Boots,
    /// What did not hold; `None` where the boot was never heard of.
    pub failed: Option<String>,
    /// Whether an earlier boot of it was left before it was judged; that is granted once.
    pub again: bool,
}

/// What xenup.cfg says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownGood {
    /// What is known to boot.
    pub known: Option<Boots>,
    /// What is or was tried since.
    pub trial: Option<Tried>,
    /// Checks that do not hold in what is known to boot either: nobody can ask them of a trial.
    pub unmet: Vec<String>,
    /// The id of plain Linux, which boots where nothing is known to.
    pub linux: Option<String>,
}

impl KnownGood {
    /// Reads the file as [`KnownGood::text`] writes it; what somebody else wrote is passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut read = Self::default();
        let mut lines = text.split_inclusive('\n');
        while let Some(line) = lines.next() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match *words.as_slice() {
                ["#", "known-good", mark, xen, linux] => {
                    read.known = Some(boots([mark, xen, linux], &mut lines));
                }
                ["#", "trial", mark, xen, linux] => {
                    let boots = boots([mark, xen, linux], &mut lines);
                    read.trial = Some(Tried { boots, failed: None, again: false });
                }
                ["#", "plain-linux", id] => read.linux = Some(id.to_owned()),
                ["#", "again"] => read.trial.iter_mut().for_each(|trial| trial.again = true),
                _ => read.told(line.trim_end()),
            }
        }
        read
    }

    fn told(&mut self, line: &str) {
        if let (Some(why), Some(trial)) = (line.strip_prefix("# failed: "), &mut self.trial) {
            trial.failed = Some(why.to_owned());
        }
        self.unmet.extend(line.strip_prefix("# unmet: ").map(str::to_owned));
    }

    /// Returns the file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        let mut add = |what: &str, boots: &Boots| {
            let _ = writeln!(text, "# {what} {} {} {}", boots.mark, boots.xen, boots.linux);
            for file in &boots.files {
                let _ = writeln!(text, "# file {} {}", file.name, file.digest.as_str());
            }
            text.push_str(&boots.text);
        };
        if let Some(known) = &self.known {
            add("known-good", known);
        }
        if let Some(trial) = &self.trial {
            add("trial", &trial.boots);
        }
        if self.trial.as_ref().is_some_and(|trial| trial.again) {
            text.push_str("# again\n");
        }
        let failed = self.trial.as_ref().and_then(|trial| trial.failed.as_ref());
        let lines = failed.map(|why| ("failed", why)).into_iter();
        for (what, words) in lines.chain(self.unmet.iter().map(|words| ("unmet", words))) {
            let words: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = writeln!(text, "# {what}: {}", words.trim());
        }
        if let Some(id) = &self.linux {
            let _ = writeln!(text, "# plain-linux {id}");
            if self.known.is_none() {
                let _ =
                    write!(text, "if [ \"${{default}}\" = \"{ID}\" ]; then\n  set default=\"{id}\"\nfi\n");
            }
        }
        text
    }
}

/// Reads the files and the entry below a line that names what it boots.
fn boots<'a>([mark, xen, linux]: [&str; 3], lines: &mut impl Iterator<Item = &'a str>) -> Boots {
    let (mut files, mut text) = (Vec::new(), String::new());
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let (&["#", "file", name, digest], true) = (words.as_slice(), text.is_empty()) {
            files.extend(digest.parse().ok().map(|digest| File { name: name.to_owned(), digest }));
            continue;
        }
        text.push_str(line);
        if line.trim_end() == "}" {
            break;
        }
    }
    Boots { mark: mark.to_owned(), xen: xen.to_owned(), linux: linux.to_owned(), files, text }
}

/// Returns the mark of the trial that a boot is by its command line; `None` where it is none.
#[must_use]
pub fn trial_mark(cmdline: &str) -> Option<&str> {
    mark_behind(cmdline, TRIAL_WORD)
}

/// The same for what is known to boot.
#[must_use]
pub fn known_mark(cmdline: &str) -> Option<&str> {
    mark_behind(cmdline, KNOWN_WORD)
}

fn mark_behind<'a>(cmdline: &'a str, word: &str) -> Option<&'a str> {
    cmdline.split_whitespace().find_map(|found| found.strip_prefix(word)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::{Digest, Entry, KnownGood, NoEntry, Tried, known_mark, plain_linux, trial_mark};

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

    fn digests(initrd: &[u8]) -> [Digest; 3] {
        [Digest::of(b"x"), Digest::of(b"k"), Digest::of(initrd)]
    }

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
        let kept = entry.kept(&digests(b"i"));
        assert_eq!((&kept.xen[..], &kept.linux[..]), ("xen-4.17-amd64.gz", "6.1.0-56-amd64"));
        assert_eq!(
            kept.text.replace(&kept.mark, "m1"),
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
        let tried = entry.tried(&digests(b"i"));
        let tried = tried.text.replace(&tried.mark, "m2");
        assert!(tried.contains("(on trial)' --class xen $menuentry_id_option 'xenup-trial' {"), "{tried}");
        assert!(tried.contains("module2\t/boot/vmlinuz-6.1.0-56-amd64 placeholder root=UUID=U ro init=/sbin/init xenup.trial=m2\n"), "{tried}");
    }

    #[test]
    fn a_boot_of_its_own_has_no_folder() {
        let entry = Entry::newest(&MENU.replace("/boot/", "/")).unwrap();
        let kept = entry.kept(&digests(b"i"));
        let text = kept.text.replace(&kept.mark, "m");
        assert!(text.contains("multiboot2\t/known-good/m/xen-4.17-amd64.gz placeholder"), "{text}");
        assert!(text.contains("module2\t/known-good/m/vmlinuz-6.1.0-56-amd64 placeholder"), "{text}");
    }

    #[test]
    fn a_mark_is_of_words_and_bytes() {
        let entry = entry();
        let tried = entry.tried(&digests(b"i"));
        assert_eq!(tried.mark, entry.kept(&digests(b"i")).mark);
        let remade = entry.tried(&digests(b"j"));
        assert!(tried.mark != remade.mark && tried.has_programs_of(&remade));
        let other = Entry::newest(&MENU.replace("dom0_mem=1G", "dom0_mem=2G")).unwrap();
        assert_ne!(tried.mark, other.tried(&digests(b"i")).mark);
        let updated = [Digest::of(b"x2"), Digest::of(b"k"), Digest::of(b"i")];
        assert!(!tried.has_programs_of(&entry.tried(&updated)));
    }

    #[test]
    fn what_was_written_is_read() {
        let entry = entry();
        let linux = plain_linux(MENU);
        assert_eq!(linux.as_deref(), Some("gnulinux-simple-U"));
        let known = KnownGood { known: Some(entry.kept(&digests(b"i"))), linux, ..KnownGood::default() };
        let tried = Tried { boots: entry.tried(&digests(b"j")), failed: None, again: true };
        let trial =
            KnownGood { trial: Some(tried.clone()), unmet: vec!["no address".into()], ..known.clone() };
        let failed = Tried { failed: Some("xl info ended with 1".to_owned()), ..tried };
        let failed = KnownGood { trial: Some(failed), ..known.clone() };
        let nothing = KnownGood { known: None, ..failed.clone() };
        assert!(
            !failed.text().contains("set default")
                && nothing.text().contains("set default=\"gnulinux-simple-U\"\n")
        );
        for state in [KnownGood::default(), known, trial, failed, nothing] {
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
        assert_eq!(known_mark("root=UUID=U xenup.known-good=m"), Some("m"));
    }
}
