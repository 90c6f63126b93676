//! The title of the entry that boots plain Linux, as somebody at the boot menu sees it.

/// Returns the title of the first entry of a grub.cfg whose title does not speak of Xen; `None` where there is none.
///
/// Debian's grub-mkconfig writes `menuentry 'TITLE' …`, with `'\''` for a quote (10_linux, grub-mkconfig_lib).
#[must_use]
pub fn linux_entry(grub_cfg: &str) -> Option<String> {
    grub_cfg.lines().filter_map(|line| title(line.trim_start())).find(|title| !title.contains("Xen"))
}

fn title(line: &str) -> Option<String> {
    let mut rest = line.strip_prefix("menuentry ")?.trim_start().strip_prefix('\'')?;
    let mut title = String::new();
    loop {
        let (part, after) = rest.split_once('\'')?;
        title.push_str(part);
        match after.strip_prefix("\\''") {
            Some(more) => {
                title.push('\'');
                rest = more;
            }
            None => return Some(title),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::linux_entry;

    #[test]
    fn the_first_entry_without_xen_is_found() {
        let cfg = "# menuentry 'no'\nmenuentry 'Debian GNU/Linux, with Xen hypervisor' --class xen {\n}\n\
                   menuentry 'Anna'\\''s Linux' --class gnu {\n}\nmenuentry 'Debian GNU/Linux' {\n";
        assert_eq!(linux_entry(cfg).as_deref(), Some("Anna's Linux"));
        assert_eq!(linux_entry("menuentry 'torn"), None);
        assert_eq!(linux_entry("menuentry \"double\" {"), None);
    }
}
