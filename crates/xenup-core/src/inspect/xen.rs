//! Hypervisors and toolstacks: which are installed, which one runs.
//!
//! Decides: versions as Debian's wrapper /usr/lib/xen-common/bin/xen-version forms them.
//! Never: talks to a hypervisor except by `xl list` in a dom0.

use std::path::Path;
use std::time::Duration;

use xenup_machine::process::Query;

use super::facts::{Domain, Hypervisor, RunningXen, Xen};
use super::reader::Reader;
use crate::kernel::beside::is_garbage;
use crate::kernel::config::is_set;

/// `xl list` answers at once, or waits for a xenstored that is not there.
const XL_TIMEOUT: Duration = Duration::from_secs(5);

/// Gathers hypervisors, toolstacks and guests.
pub(super) fn gather(reader: &Reader<'_>) -> Xen {
    let running = running(reader);
    let toolstacks = toolstacks(reader);
    let table = match &running {
        Some(xen) if xen.dom0 && toolstacks.contains(&xen.version) => table(reader),
        _ => String::new(),
    };
    let (guests, domains) = (guest_names(&table), domains(&table));
    Xen { running, hypervisors: hypervisors(reader), toolstacks, guests, domains }
}

fn running(reader: &Reader<'_>) -> Option<RunningXen> {
    if reader.word("/sys/hypervisor/type")? != "xen" {
        return None;
    }
    let part = |name: &str| reader.word(format!("/sys/hypervisor/version/{name}")).unwrap_or_default();
    let version = format!("{}.{}", part("major"), part("minor"));
    let full = format!("{version}{}", part("extra"));
    let capabilities = reader.quiet("/proc/xen/capabilities").unwrap_or_default();
    Some(RunningXen { version, full, dom0: capabilities.contains("control_d") })
}

fn toolstacks(reader: &Reader<'_>) -> Vec<String> {
    let names = reader.list("/usr/lib").into_iter();
    let versions = names.filter_map(|name| name.strip_prefix("xen-").map(str::to_owned));
    versions.filter(|version| reader.exists(format!("/usr/lib/xen-{version}/bin/xl"))).collect()
}

/// The files that 20_linux_xen takes for hypervisors: /boot/xen* without symbols, policies, configurations.
fn hypervisors(reader: &Reader<'_>) -> Vec<Hypervisor> {
    let names = reader.list("/boot").into_iter().filter(|name| {
        name.starts_with("xen")
            && !name.starts_with("xen-syms-")
            && !name.starts_with("xenpolicy-")
            && !name.ends_with(".config")
            && !is_garbage(name)
    });
    names
        .map(|file| {
            let name = file.strip_prefix("xen-").unwrap_or(&file);
            let base = name.strip_suffix(".old").unwrap_or(name);
            let base = base.strip_suffix(".gz").or_else(|| base.strip_suffix(".efi")).unwrap_or(base);
            let config = reader.text(format!("/boot/xen-{base}.config"));
            let option = |symbol: &str| config.as_deref().map(|text| is_set(text, symbol));
            Hypervisor {
                path: Path::new("/boot").join(&file),
                name: base.to_owned(),
                shadow_paging: option("CONFIG_SHADOW_PAGING"),
                pv32: option("CONFIG_PV32"),
            }
        })
        .collect()
}

fn table(reader: &Reader<'_>) -> String {
    let query = Query::new("xl", ["list"]).within(XL_TIMEOUT);
    reader.answer(&query).map(|output| output.text()).unwrap_or_default()
}

/// Returns the rows of `xl list`'s table: a name, and the five columns behind it.
fn rows(table: &str) -> impl Iterator<Item = (String, Vec<&str>)> {
    table.lines().skip(1).filter_map(|line| {
        // A name may contain blanks; the columns do not.
        let mut words: Vec<&str> = line.split_ascii_whitespace().collect();
        let columns = words.split_off(words.len().checked_sub(5)?);
        Some((words.join(" "), columns))
    })
}

/// Returns the names without dom0.
fn guest_names(table: &str) -> Vec<String> {
    rows(table).map(|(name, _)| name).filter(|name| !name.is_empty() && name != "Domain-0").collect()
}

/// Returns the names with their numbers, without dom0.
fn domains(table: &str) -> Vec<Domain> {
    let numbered = rows(table).filter_map(|(name, columns)| {
        let id = columns.first()?.parse().ok().filter(|id| *id != 0)?;
        Some(Domain { id, name })
    });
    numbered.filter(|domain| !domain.name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Domain, domains, guest_names};

    #[test]
    fn guests_are_the_names_below_the_head() {
        let table = "Name                                        ID   Mem VCPUs\tState\tTime(s)\n\
                     Domain-0                                     0  1024     2     r-----      44.9\n\
                     pv1                                          3   128     1     -b----       2.1\n";
        assert_eq!(guest_names(table), ["pv1"]);
        assert_eq!(domains(table), [Domain { id: 3, name: "pv1".to_owned() }]);
        assert!(guest_names("").is_empty() && domains("").is_empty());
    }
}
