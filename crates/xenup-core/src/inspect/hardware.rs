//! Processor, memory, and what this machine is itself a guest of.
//!
//! Decides: which signs in /proc and /sys name a hypervisor or a container.
//! Never: executes CPUID or a detection program.

use super::facts::Hardware;
use super::reader::Reader;

/// Gathers processor and memory. `architecture` is dpkg's; `dom0` is whether this machine is one, which is no guest.
pub(super) fn gather(reader: &Reader<'_>, architecture: String, dom0: bool) -> Hardware {
    let cpu = cpuinfo(&reader.quiet("/proc/cpuinfo").unwrap_or_default());
    let memory = reader.quiet("/proc/meminfo").and_then(|text| total_memory(&text)).unwrap_or_default();
    Hardware {
        architecture,
        cpu: cpu.model,
        cpus: cpu.count,
        virtualization: cpu.virtualization,
        guest_of: if dom0 { None } else { guest_of(reader, cpu.hypervisor) },
        memory,
        container: container(reader),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Cpu {
    model: String,
    count: u32,
    virtualization: Option<String>,
    hypervisor: bool,
}

/// Reads /proc/cpuinfo (proc(5)) as x86 writes it.
fn cpuinfo(text: &str) -> Cpu {
    let mut cpu = Cpu::default();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.trim() {
            "processor" => cpu.count += 1,
            "model name" if cpu.model.is_empty() => value.trim().clone_into(&mut cpu.model),
            // One processor's flags are enough, and the longest lines of the file.
            "flags" if cpu.count <= 1 => {
                let mut flags = value.split_ascii_whitespace();
                cpu.hypervisor = flags.clone().any(|flag| flag == "hypervisor");
                cpu.virtualization = flags.find(|flag| matches!(*flag, "vmx" | "svm")).map(str::to_owned);
            }
            _ => {}
        }
    }
    cpu
}

/// Returns `MemTotal` of /proc/meminfo in bytes.
fn total_memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Words in the DMI strings by which a hypervisor names itself, as systemd-detect-virt(1) knows them.
const VENDORS: [(&str, &str); 12] = [
    ("KVM", "kvm"),
    ("OpenStack", "kvm"),
    ("Amazon EC2", "amazon"),
    ("Google Compute Engine", "google"),
    ("QEMU", "qemu"),
    ("VMware", "vmware"),
    ("VMW", "vmware"),
    ("innotek GmbH", "virtualbox"),
    ("VirtualBox", "virtualbox"),
    ("Xen", "xen"),
    ("Bochs", "qemu"),
    ("Parallels", "parallels"),
];

fn guest_of(reader: &Reader<'_>, hypervisor_flag: bool) -> Option<String> {
    if reader.word("/sys/hypervisor/type").as_deref() == Some("xen") {
        return Some("xen".to_owned());
    }
    if !hypervisor_flag {
        return None;
    }
    let strings: Vec<String> = ["product_name", "sys_vendor", "board_vendor", "bios_vendor"]
        .iter()
        .filter_map(|name| reader.word(format!("/sys/class/dmi/id/{name}")))
        .collect();
    if strings.iter().any(|text| text == "Virtual Machine")
        && strings.iter().any(|text| text.starts_with("Microsoft"))
    {
        return Some("hyper-v".to_owned());
    }
    let known = VENDORS.iter().find(|(word, _)| strings.iter().any(|text| text.starts_with(word)));
    Some(known.map_or("unknown", |(_, name)| name).to_owned())
}

/// The first process name space of a kernel has this inode number (PROC_PID_INIT_INO, include/linux/proc_ns.h).
const FIRST_PID_SPACE: &str = "pid:[4026531836]";

/// Names a container by the marks that its manager leaves (container interface of systemd, Docker, Podman).
/// A machine whose disk was made from a container's image has them too, but runs in the first name space.
fn container(reader: &Reader<'_>) -> Option<String> {
    if reader.link("/proc/self/ns/pid").is_some_and(|space| space.as_os_str() == FIRST_PID_SPACE) {
        return None;
    }
    if let Some(name) = reader.word("/run/systemd/container").filter(|name| !name.is_empty()) {
        return Some(name);
    }
    for (mark, name) in [("/.dockerenv", "docker"), ("/run/.containerenv", "podman")] {
        if reader.exists(mark) {
            return Some(name.to_owned());
        }
    }
    let environment = reader.quiet("/proc/1/environ")?;
    let name = environment.split('\0').find_map(|word| word.strip_prefix("container="))?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{cpuinfo, total_memory};

    #[test]
    fn processors_are_counted_and_flags_read() {
        let text = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu vme svm hypervisor\n\
                    \nprocessor\t: 1\nmodel name\t: AMD EPYC\nflags\t\t: fpu\npower management:\n";
        let cpu = cpuinfo(text);
        assert_eq!((cpu.count, &cpu.model[..], cpu.hypervisor), (2, "AMD EPYC", true));
        assert_eq!(cpu.virtualization.as_deref(), Some("svm"));
        assert_eq!(cpuinfo(""), super::Cpu::default());
    }

    #[test]
    fn memory_is_in_bytes() {
        assert_eq!(total_memory("MemTotal:       24683520 kB\nMemFree: 1 kB\n"), Some(24_683_520 * 1024));
        assert_eq!(total_memory("MemTotal: many kB\n"), None);
    }
}
