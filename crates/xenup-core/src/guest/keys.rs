//! Every key of a guest file, and what became of it.
//!
//! Decides: what xl 4.20 reads and in which form, and what each key of xm became. Sources: xl_parse.c of Xen 4.20 and
//! xl.cfg(5) for the first table; create.py of Xen 4.4 (the last with xm) less that for the second.
//! Never: judges a value.

use Form::{Bool, Either, List, Number, Text};
use Scope::{Any, Hvm, Pv, Pvh};

/// How xl reads a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A number.
    Number,
    /// A number that is taken as no (0) or yes.
    Bool,
    /// A string.
    Text,
    /// A list.
    List,
    /// A list, or a string.
    Either,
}

/// For which type of guest xl reads a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every.
    Any,
    /// HVM guests.
    Hvm,
    /// PV guests.
    Pv,
    /// PVH guests.
    Pvh,
}

/// What became of a key that xl does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// Another key has its meaning.
    Key(&'static str),
    /// It is a word on the guest kernel's command line.
    Cmdline,
    /// Nothing has its meaning; the reason, as a sentence.
    Gone(&'static str),
}

/// Returns how xl 4.20 reads a key; `None` where it does not.
#[must_use]
pub fn form(key: &str) -> Option<(Form, Scope)> {
    let row = KEYS.binary_search_by_key(&key, |row| row.0).ok()?;
    KEYS.get(row).map(|(_, form, scope)| (*form, *scope))
}

/// Returns what became of a key of xm or of an older xl; `None` where nobody ever knew it.
#[must_use]
pub fn became(key: &str) -> Option<Became> {
    OLD_KEYS.iter().find(|row| row.0 == key).map(|row| row.1)
}

/// Returns the key of xl that was probably meant.
#[must_use]
pub fn nearest(key: &str) -> Option<&'static str> {
    // The longest key has 32 letters.
    if key.len() > 40 {
        return None;
    }
    // Two words whose lengths differ by more than a slip are not compared: that is most of them.
    let near = |known: &&str| known.len() > 2 && known.len().abs_diff(key.len()) <= (known.len() / 3).max(1);
    let dashed: Vec<String> =
        KEYS.iter().map(|row| row.0).filter(near).map(|known| known.replace('_', "-")).collect();
    let candidates: Vec<&str> = dashed.iter().map(String::as_str).collect();
    let meant = crate::host::nearest(key, &candidates)?;
    KEYS.iter().map(|row| row.0).find(|known| known.replace('_', "-") == meant)
}

/// Sorted by name.
const KEYS: &[(&str, Form, Scope)] = &[
    ("acpi", Bool, Any),
    ("acpi_firmware", Text, Hvm),
    ("acpi_laptop_slate", Bool, Hvm),
    ("acpi_s3", Bool, Hvm),
    ("acpi_s4", Bool, Hvm),
    ("altp2m", Either, Any),
    ("altp2mhvm", Bool, Hvm),
    ("apic", Bool, Any),
    ("bios", Text, Hvm),
    ("bios_path_override", Text, Hvm),
    ("boot", Text, Hvm),
    ("bootloader", Text, Any),
    ("bootloader_args", Either, Any),
    ("bootloader_restrict", Number, Any),
    ("bootloader_user", Text, Any),
    ("builder", Text, Any),
    ("cap", Number, Any),
    ("channel", List, Any),
    ("cmdline", Text, Any),
    ("cpu_weight", Number, Any),
    ("cpuid", Either, Any),
    ("cpus", Either, Any),
    ("cpus_soft", Either, Any),
    ("device_model", Text, Any),
    ("device_model_args", List, Any),
    ("device_model_args_hvm", List, Any),
    ("device_model_args_pv", List, Any),
    ("device_model_override", Text, Any),
    ("device_model_stubdomain_override", Bool, Any),
    ("device_model_stubdomain_seclabel", Text, Any),
    ("device_model_user", Text, Any),
    ("device_model_version", Text, Any),
    ("device_tree", Text, Any),
    ("disk", List, Any),
    ("display", Text, Any),
    ("dm_restrict", Bool, Any),
    ("driver_domain", Bool, Any),
    ("dtdev", List, Any),
    ("e820_host", Bool, Pv),
    ("extra", Text, Any),
    ("extratime", Number, Any),
    ("firmware", Text, Any),
    ("firmware_override", Text, Hvm),
    ("gfx_passthru", Either, Hvm),
    ("gic_version", Text, Any),
    ("hap", Bool, Any),
    ("hdtype", Text, Hvm),
    ("hpet", Bool, Hvm),
    ("hvm_pirq", Bool, Any),
    ("init_seclabel", Text, Any),
    ("iomem", List, Any),
    ("ioports", List, Any),
    ("irqs", List, Any),
    ("kernel", Text, Any),
    ("keymap", Text, Any),
    ("latency", Number, Any),
    ("llc_colors", Either, Any),
    ("localtime", Bool, Any),
    ("max_event_channels", Number, Any),
    ("max_grant_frames", Number, Any),
    ("max_grant_version", Number, Any),
    ("max_maptrack_frames", Number, Any),
    ("maxmem", Number, Any),
    ("maxvcpus", Number, Any),
    ("mca_caps", List, Hvm),
    ("memory", Number, Any),
    ("mmio_hole", Number, Hvm),
    ("ms_vm_genid", Text, Hvm),
    ("msr_relaxed", Bool, Any),
    ("name", Text, Any),
    ("nestedhvm", Bool, Any),
    ("nographic", Bool, Hvm),
    ("nomigrate", Bool, Any),
    ("nr_spis", Number, Any),
    ("nx", Bool, Hvm),
    ("on_crash", Text, Any),
    ("on_poweroff", Text, Any),
    ("on_reboot", Text, Any),
    ("on_soft_reset", Text, Any),
    ("on_watchdog", Text, Any),
    ("oos", Bool, Any),
    ("opengl", Bool, Any),
    ("p9", List, Any),
    ("pae", Bool, Hvm),
    ("passthrough", Text, Any),
    ("pci", List, Any),
    ("pci_msitranslate", Number, Any),
    ("pci_permissive", Number, Any),
    ("pci_power_mgmt", Number, Any),
    ("pci_seize", Number, Any),
    ("period", Number, Any),
    ("pool", Text, Any),
    ("pvcalls", List, Any),
    ("pvshim", Bool, Pvh),
    ("pvshim_cmdline", Text, Pvh),
    ("pvshim_extra", Text, Pvh),
    ("pvshim_path", Text, Pvh),
    ("ramdisk", Text, Any),
    ("rdm", Text, Any),
    ("rdm_mem_boundary", Number, Hvm),
    ("root", Text, Any),
    ("rtc_timeoffset", Number, Any),
    ("sdl", Bool, Any),
    ("seclabel", Text, Any),
    ("serial", Either, Hvm),
    ("shadow_memory", Number, Any),
    ("slice", Number, Any),
    ("smbios", List, Hvm),
    ("smbios_firmware", Text, Hvm),
    ("soundhw", Text, Hvm),
    ("spice", Bool, Hvm),
    ("spice_clipboard_sharing", Bool, Hvm),
    ("spice_image_compression", Text, Hvm),
    ("spice_streaming_video", Text, Hvm),
    ("spiceagent_mouse", Bool, Hvm),
    ("spicedisable_ticketing", Bool, Hvm),
    ("spicehost", Text, Hvm),
    ("spicepasswd", Text, Hvm),
    ("spiceport", Number, Hvm),
    ("spicetls_port", Number, Hvm),
    ("spiceusbredirection", Number, Hvm),
    ("spicevdagent", Bool, Hvm),
    ("stdvga", Number, Hvm),
    ("stubdomain_cmdline", Text, Any),
    ("stubdomain_kernel", Text, Any),
    ("stubdomain_memory", Number, Any),
    ("stubdomain_ramdisk", Text, Any),
    ("sve", Text, Any),
    ("tee", Text, Any),
    ("timer_mode", Either, Any),
    ("tsc_mode", Either, Any),
    ("type", Text, Any),
    ("usb", Bool, Hvm),
    ("usbctrl", List, Any),
    ("usbdev", List, Any),
    ("usbdevice", Either, Hvm),
    ("usbversion", Number, Hvm),
    ("uuid", Text, Any),
    ("vcpus", Number, Any),
    ("vdispl", List, Any),
    ("vendor_device", Text, Hvm),
    ("vfb", List, Any),
    ("vga", Text, Hvm),
    ("videoram", Number, Any),
    ("vif", List, Any),
    ("vif2", List, Any),
    ("viridian", Either, Hvm),
    ("virtio", List, Any),
    ("vkb", List, Any),
    ("vkb_device", Bool, Hvm),
    ("vmtrace_buf_kb", Number, Any),
    ("vnc", Bool, Any),
    ("vncdisplay", Number, Any),
    ("vnclisten", Text, Any),
    ("vncpasswd", Text, Any),
    ("vncunused", Bool, Any),
    ("vncviewer", Number, Any),
    ("vnuma", List, Any),
    ("vpmu", Bool, Any),
    ("vpt_align", Bool, Hvm),
    ("vsnd", List, Any),
    ("vtpm", List, Any),
    ("vuart", Text, Any),
    ("xauthority", Text, Any),
    ("xen_platform_pci", Bool, Hvm),
    ("xend_suspend_evtchn_compat", Bool, Any),
];

/// The keys that xm 4.4 read and xl 4.20 does not, and two of older xl.
const OLD_KEYS: &[(&str, Became)] = &[
    (
        "access_control",
        Became::Gone("xm's access control lists left with xend: XSM policies with seclabel came instead"),
    ),
    ("blkif", Became::Gone("a guest that serves disks is driver_domain=1 now")),
    ("bootargs", Became::Key("bootloader_args")),
    ("bootentry", Became::Gone("the loader's own menu decides which entry boots")),
    ("cpu", Became::Key("cpus")),
    ("cpu_cap", Became::Key("cap")),
    ("cpuid_check", Became::Gone("xl does not compare the processor's features: cpuid sets them")),
    ("description", Became::Gone("a comment says it as well")),
    ("dhcp", Became::Cmdline),
    ("fda", Became::Gone("xl gives a guest no floppy drive")),
    ("fdb", Became::Gone("xl gives a guest no floppy drive")),
    ("features", Became::Gone("the kernel's own notes say which features it has")),
    ("gateway", Became::Cmdline),
    ("guest_os_type", Became::Gone("xl asks for no name of the system")),
    ("hostname", Became::Cmdline),
    ("interface", Became::Cmdline),
    ("ip", Became::Cmdline),
    ("irq", Became::Key("irqs")),
    ("isa", Became::Gone("xl gives an HVM guest no ISA-only machine")),
    ("loader", Became::Gone("xl finds the firmware by itself: firmware_override names another")),
    (
        "machine_address_size",
        Became::Gone("it kept 32-bit PV guests below a limit, and Debian's Xen runs none"),
    ),
    ("memory_sharing", Became::Gone("xl shares no memory between guests")),
    ("monitor", Became::Gone("qemu's monitor is reached through QMP")),
    ("monitor_path", Became::Gone("qemu's monitor is reached through QMP")),
    ("netif", Became::Gone("a guest that serves a network is driver_domain=1 now")),
    ("netmask", Became::Cmdline),
    ("nfs_root", Became::Cmdline),
    ("nfs_server", Became::Cmdline),
    ("nics", Became::Gone("the list vif says how many there are")),
    ("on_xend_start", Became::Gone("there is no xend: a link in /etc/xen/auto starts a guest with the host")),
    ("on_xend_stop", Became::Gone("there is no xend: XENDOMAINS_SAVE in /etc/default/xendomains decides")),
    ("parallel", Became::Gone("xl gives a guest no parallel port")),
    ("pvh", Became::Key("type")),
    ("restart", Became::Key("on_reboot")),
    ("s3_integrity", Became::Gone("xl does not verify memory after a suspend (tboot)")),
    ("superpages", Became::Gone("Xen has no superpages for PV guests any more")),
    ("suppress_spurious_page_faults", Became::Gone("xl has no such switch")),
    (
        "target",
        Became::Gone("it named the guest that a stub domain serves, and xl makes stub domains itself"),
    ),
    ("vcpu_avail", Became::Gone("vcpus counts those that are there at first, maxvcpus all of them")),
    ("vhpt", Became::Gone("it was for ia64, which Xen left with 4.2")),
    ("vncconsole", Became::Gone("xl create -V opens a viewer")),
    ("vscsi", Became::Gone("xl gives a guest no SCSI host")),
    ("vusb", Became::Gone("usbctrl and usbdev give a guest USB devices")),
];

#[cfg(test)]
mod tests {
    use super::{KEYS, OLD_KEYS, form};

    #[test]
    fn the_keys_are_sorted_and_no_key_is_in_both_tables() {
        assert!(KEYS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(OLD_KEYS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(OLD_KEYS.iter().all(|row| form(row.0).is_none()));
    }
}
