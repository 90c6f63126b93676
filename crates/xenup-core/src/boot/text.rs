//! The text of the two drop-ins. Decides Xen's words and those of dom0's Linux; never which entry is the default.

use xenup_engine::digest::Digest;

use crate::host::{Console, DefaultBoot, Host};
use crate::inspect::Facts;
use crate::inspect::facts::Boot;

use super::{Entries, known_good};

/// Which default the last drop-in sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pinned {
    /// None: the administrator's own choice stays, which is not Xen.
    Theirs,
    /// The administrator's own choice by name: as it is written it would become another entry.
    Entry(String),
    /// Plain Linux with the kernel that is known to boot, by name: until a new Xen was booted on trial.
    Known(String),
    /// Plain Linux, by id.
    Linux,
    /// Xen, by id.
    Xen,
    /// Xen, by id, on a disk that was made with it: there is no machine yet that a trial could fall back to.
    Made,
}

/// Above the default once Xen is it.
pub const CONFIRMED: &str = "# Xen: its trial boot was confirmed.";

/// Seconds after which a Linux that panicked as dom0 restarts the machine.
const PANIC_SECONDS: u32 = 30;

/// Returns the text of the first drop-in.
#[must_use]
pub fn first_text() -> String {
    "\
# Written by xenup. Debian's xen.cfg, which is read after this file, makes Xen the default as soon as a hypervisor is
# installed, unless this says no. What boots is set in zz-xenup.cfg.
XEN_OVERRIDE_GRUB_DEFAULT=0
"
    .to_owned()
}

/// Returns the text of the last drop-in.
#[must_use]
pub fn last_text(host: &Host, facts: &Facts, entries: &Entries, pinned: &Pinned) -> String {
    let (before, mut after) = linux_words(host, facts);
    after.push(mark(host, facts));
    let mut text = format!(
        "\
# Written by xenup as host.toml wants it: change that, then `xenup plan` shows what becomes of it.
GRUB_CMDLINE_XEN=\"$GRUB_CMDLINE_XEN {}\"
GRUB_CMDLINE_LINUX_XEN_REPLACE=\"{}${{GRUB_CMDLINE_LINUX_XEN_REPLACE:-$GRUB_CMDLINE_LINUX}}{}\"
",
        xen_words(host).join(" "),
        before.iter().map(|word| format!("{word} ")).collect::<String>(),
        after.iter().map(|word| format!(" {word}")).collect::<String>(),
    );
    match pinned {
        Pinned::Theirs => {}
        Pinned::Entry(name) => {
            text.push_str("# What GRUB booted before, by name: Xen's entries change its number.\n");
            text.push_str(&format!("GRUB_DEFAULT=\"{name}\"\n"));
        }
        Pinned::Known(name) => {
            text.push_str("# Plain Linux as it ran before an upgrade, until a trial boot of the new Xen was confirmed.\n");
            text.push_str(&format!("GRUB_DEFAULT=\"{name}\"\n"));
        }
        Pinned::Linux => {
            text.push_str(match host.boot.default {
                DefaultBoot::Xen => "# Plain Linux, until a trial boot of Xen was confirmed.\n",
                DefaultBoot::Linux => "# Plain Linux; Xen can be chosen from the menu.\n",
            });
            text.push_str(&format!("GRUB_DEFAULT=\"{}\"\n", entries.linux));
        }
        Pinned::Xen => {
            text.push_str(match facts.boot.can_try_newer {
                true => "# Xen as it booted well last, by /boot/grub/xenup.cfg; what is newer is booted once on trial first.",
                false => CONFIRMED,
            });
            text.push('\n');
            text.push_str(&format!("GRUB_DEFAULT=\"{}\"\n", default_id(&facts.boot, entries)));
        }
        Pinned::Made => {
            text.push_str("# Xen: this disk was made with it (xenup image build).\n");
            text.push_str(&format!("GRUB_DEFAULT=\"{}\"\n", entries.xen));
        }
    }
    text
}

/// Returns the id of the entry that is Xen by default: the one that is known to boot, where newer ones are tried first.
#[must_use]
pub fn default_id<'a>(boot: &Boot, entries: &'a Entries) -> &'a str {
    if boot.can_try_newer { known_good::ID } else { &entries.xen }
}

/// Whether two texts of the last drop-in say the same to a shell: comments tell where a default came from.
#[must_use]
pub fn say_the_same(one: &str, other: &str) -> bool {
    let said = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.trim_start().starts_with('#')).map(str::to_owned).collect()
    };
    said(one) == said(other)
}

/// Returns the word by which a booted dom0 shows with which words it was started. Linux passes over a parameter with a
/// dot whose module it does not have.
#[must_use]
pub fn mark(host: &Host, facts: &Facts) -> String {
    let (before, after) = linux_words(host, facts);
    let words = [xen_words(host), before, after].map(|words| words.join(" ")).join("\n");
    format!("xenup.words={}", Digest::of(words.as_bytes()).short())
}

/// Returns custom.cfg with the entry that GRUB takes where it cannot load the one it should, and with what is known to
/// boot, where newer versions are tried; `None` where it has both, or somebody named a fallback.
#[must_use]
pub fn custom_text(now: Option<&str>, boot: &Boot, entries: &Entries) -> Option<String> {
    let now = now.unwrap_or_default();
    let has = |begin: &str| now.lines().any(|line| line.trim_start().starts_with(begin));
    let mut added = String::new();
    if !has("set fallback=") {
        // By number: not every GRUB takes an id here.
        added.push_str(&format!(
            "# xenup: begin. Plain Linux, where GRUB cannot load the entry it should: it would wait for a key.\n\
             set fallback={}\n# xenup: end\n",
            entries.linux_place
        ));
    }
    if boot.can_try_newer && !has("source ${config_directory}/xenup.cfg") {
        added.push_str(
            "# xenup: begin. What is known to boot, and what is tried.\n\
             if [ -f ${config_directory}/xenup.cfg ]; then\n  \
             source ${config_directory}/xenup.cfg\nfi\n# xenup: end\n",
        );
    }
    let end = if now.is_empty() || now.ends_with('\n') { "" } else { "\n" };
    (!added.is_empty()).then(|| format!("{now}{end}{added}"))
}

/// Returns the words of Xen's command line (xen-command-line in Xen's documentation), options as written last: of two
/// words with one key the last one holds.
#[must_use]
pub fn xen_words(host: &Host) -> Vec<String> {
    let xen = &host.xen;
    let mut words = Vec::new();
    if let Some(memory) = &xen.dom0_memory {
        // Without `max` dom0 could be ballooned up to the whole machine.
        words.push(format!("dom0_mem={0},max:{0}", memory.as_str()));
    }
    if let Some(vcpus) = xen.dom0_vcpus {
        words.push(format!("dom0_max_vcpus={vcpus}"));
    }
    if let Some(console) = xen.console {
        words.extend(console_words(console));
    }
    // A hypervisor that hangs restarts the machine, and the machine comes back on Linux while on trial.
    let is_watchdog =
        |word: &String| word.split('=').next().is_some_and(|key| key == "watchdog" || key == "no-watchdog");
    if !xen.options.iter().any(is_watchdog) {
        words.push("watchdog".to_owned());
    }
    words.extend(xen.options.iter().cloned());
    words
}

fn console_words(console: Console) -> Vec<String> {
    let mut words = Vec::new();
    let mut names = Vec::new();
    if let Some(serial) = console.serial {
        words.push(format!("com{}={},8n1", serial.port, serial.speed));
        names.push(format!("com{}", serial.port));
    }
    if console.vga {
        names.push("vga".to_owned());
    }
    words.push(format!("console={}", names.join(",")));
    words
}

/// Returns the words before and after those that Linux has anyway. The last `console=` is the one init writes to:
/// Xen's where Xen has the serial port, else the one that was used before.
#[must_use]
pub fn linux_words(host: &Host, facts: &Facts) -> (Vec<String>, Vec<String>) {
    let on_serial = host.xen.console.is_some_and(|console| console.serial.is_some());
    let has_own = has_own_console(&facts.boot);
    let hvc0 = "console=hvc0".to_owned();
    let tty0 = "console=tty0".to_owned();
    let (before, mut after) = match (on_serial, has_own) {
        (true, _) => (Vec::new(), vec![tty0, hvc0]),
        (false, true) => (vec![hvc0], Vec::new()),
        (false, false) => (Vec::new(), vec![hvc0, tty0]),
    };
    after.extend(restart_words(facts));
    (before, after)
}

/// A Linux that cannot go on as dom0 restarts the machine. The initramfs of initramfs-tools, too, restarts by `panic=`
/// where it cannot find its root; dracut's opens a shell for whoever comes, unless it is told not to
/// (dracut.cmdline(7), rd.shell and rd.emergency).
fn restart_words(facts: &Facts) -> Vec<String> {
    let mut words = vec![format!("panic={PANIC_SECONDS}")];
    if facts.packages.version("dracut").is_some() {
        words.extend(["rd.shell=0", "rd.emergency=reboot"].map(str::to_owned));
    }
    words
}

/// What GRUB gives plain Linux. Where only a shell could tell it is taken to name one: then nothing of it is outdone.
fn has_own_console(boot: &Boot) -> bool {
    let is_console = |words: &String| words.split_whitespace().any(|word| word.starts_with("console="));
    ["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"]
        .into_iter()
        .any(|name| boot.grub_unknown.contains_key(name) || boot.grub.get(name).is_some_and(is_console))
}
