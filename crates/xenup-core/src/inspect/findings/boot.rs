//! Findings about what boots. Decides what would keep a trial boot from being armed or from falling back; never edits
//! a setting.

use super::super::facts::Loader;
use super::{Context, Hit, joined};

pub(super) fn loader_not_grub(context: &Context<'_>) -> Vec<Hit> {
    let boot = &context.facts.boot;
    let what = match boot.loader {
        Loader::Grub => return Vec::new(),
        Loader::SystemdBoot => "systemd-boot starts this machine, not GRUB".to_owned(),
        Loader::Other => "another loader than GRUB starts this machine".to_owned(),
        Loader::Unknown => "no boot loader was found".to_owned(),
    };
    let sign = if boot.loader_sign.is_empty() { String::new() } else { format!(" ({})", boot.loader_sign) };
    let package = if context.facts.firmware.uefi { "grub-efi-amd64" } else { "grub-pc" };
    Hit::new(
        format!("{what}{sign}"),
        "Debian's Xen is started by GRUB, and the trial boot relies on GRUB's way back to Linux",
        format!("make GRUB the loader of this machine: apt-get install {package}"),
    )
    .once()
}

pub(super) fn grubenv_unwritable(context: &Context<'_>) -> Vec<Hit> {
    let obstacle = &context.facts.boot.grubenv_obstacle;
    if obstacle.is_empty() {
        return Vec::new();
    }
    Hit::new(
        format!("GRUB cannot write /boot/grub/grubenv at boot: {obstacle}"),
        "a trial boot of Xen would then be tried again at every boot instead of once",
        "write default = \"linux\" under [boot] in host.toml and choose Xen in GRUB's menu at the console, or put /boot \
         on a plain ext4 partition",
    )
    .once()
}

pub(super) fn grub_password(context: &Context<'_>) -> Vec<Hit> {
    let boot = &context.facts.boot;
    let Some(at) = &boot.grub_password else { return Vec::new() };
    let mut xen = boot.entries.iter().filter(|entry| entry.xen).peekable();
    if xen.peek().is_some() && xen.all(|entry| entry.unrestricted) {
        return Vec::new();
    }
    Hit::new(
        "GRUB asks for a password",
        "an entry without --unrestricted, as 20_linux_xen makes it, waits for somebody to type the password",
        "add --unrestricted to CLASS in /etc/grub.d/20_linux_xen and in 10_linux, then update-grub",
    )
    .at([at.clone()])
    .once()
}

pub(super) fn submenu_disabled(context: &Context<'_>) -> Vec<Hit> {
    let boot = &context.facts.boot;
    let set = boot.grub.get("GRUB_DISABLE_SUBMENU").map(String::as_str);
    if !matches!(set, Some("y" | "yes" | "true")) {
        return Vec::new();
    }
    Hit::new(
        "GRUB_DISABLE_SUBMENU is set",
        "20_linux_xen then makes no \"with Xen hypervisor\" entry: GRUB falls to its first entry, which is plain Linux",
        "remove GRUB_DISABLE_SUBMENU, then update-grub",
    )
    .at(boot.grub_set_at.get("GRUB_DISABLE_SUBMENU").cloned())
    .once()
}

pub(super) fn savedefault(context: &Context<'_>) -> Vec<Hit> {
    let boot = &context.facts.boot;
    let set = |name: &str, value: &str| boot.grub.get(name).is_some_and(|own| own == value);
    let name = match (set("GRUB_SAVEDEFAULT", "true"), set("GRUB_DEFAULT", "saved")) {
        (true, _) => "GRUB_SAVEDEFAULT",
        (false, true) => "GRUB_DEFAULT",
        (false, false) => return Vec::new(),
    };
    let value = boot.grub.get(name).map(String::as_str).unwrap_or_default();
    Hit::new(
        format!("GRUB boots what was booted last ({name}={value})"),
        "once a trial boot of Xen was confirmed xenup sets the default itself (at once where the saved entry is Xen or a \
         number); after that an entry chosen by hand is no longer remembered",
        "decide whether you can do without it; a rollback brings it back",
    )
    .at(boot.grub_set_at.get(name).cloned())
    .once()
}

/// Settings that the plan relies on.
const RELIED_ON: [&str; 7] = [
    "GRUB_DEFAULT",
    "GRUB_DISABLE_SUBMENU",
    "GRUB_DISTRIBUTOR",
    "GRUB_CMDLINE_LINUX",
    "GRUB_CMDLINE_LINUX_DEFAULT",
    "GRUB_CMDLINE_XEN",
    "GRUB_CMDLINE_XEN_DEFAULT",
];

pub(super) fn setting_unknown(context: &Context<'_>) -> Vec<Hit> {
    let boot = &context.facts.boot;
    // Debian's own xen.cfg translates the title of its entry; what it became stands in grub.cfg.
    let debians = |name: &str| {
        let at = boot.grub_set_at.get(name);
        name == "GRUB_DEFAULT" && at.is_some_and(|at| at.path.ends_with("grub.d/xen.cfg"))
    };
    let unknown: Vec<&str> = RELIED_ON
        .into_iter()
        .filter(|name| boot.grub_unknown.contains_key(*name) && !debians(name))
        .collect();
    if unknown.is_empty() {
        return Vec::new();
    }
    let why = unknown.first().and_then(|name| boot.grub_unknown.get(*name)).cloned().unwrap_or_default();
    Hit::new(
        format!("only a shell can tell {}", joined(&unknown)),
        format!("{why}; the plan cannot show what the menu will be"),
        "write the value out in /etc/default/grub",
    )
    .at(unknown.iter().filter_map(|name| boot.grub_set_at.get(*name).cloned()))
    .once()
}

pub(super) fn kexec_skips_grub(context: &Context<'_>) -> Vec<Hit> {
    let Some(at) = &context.facts.boot.kexec_reboots else { return Vec::new() };
    Hit::new(
        "kexec-tools takes reboots past the firmware and GRUB (LOAD_KEXEC=true)",
        "a reboot would start Linux directly, and the trial entry armed in GRUB would wait for some later power cycle",
        format!("set LOAD_KEXEC=false in {}", at.path.display()),
    )
    .at([at.clone()])
    .once()
}

pub(super) fn unlocked_over_network(context: &Context<'_>) -> Vec<Hit> {
    let Some(by) = &context.facts.boot.unlocked_over_network else { return Vec::new() };
    Hit::new(
        format!("the root file system is unlocked over the network: {by}"),
        "each boot waits for that before any deadline counts, the trial boot and the way back included",
        "be ready to unlock twice, or have the console at hand",
    )
    .once()
}
