//! What a build runs and includes, by Debian package.
//!
//! Decides: from the configuration, by what kbuild's Makefiles call for it (Linux 5.10 to 6.18). Never: looks whether it is
//! there.

use crate::kernel::kconfig::Values;
use crate::kernel::kconfig::expr::Tristate;

/// By what a package shows that it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// A program in the search path.
    Program(&'static str),
    /// A file.
    File(&'static str),
}

/// Something that a build needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// The Debian package.
    pub package: &'static str,
    /// What shows it.
    pub shown: Shown,
}

const fn program(package: &'static str, name: &'static str) -> Need {
    Need { package, shown: Shown::Program(name) }
}

const fn file(package: &'static str, path: &'static str) -> Need {
    Need { package, shown: Shown::File(path) }
}

const LIBELF: Need = file("libelf-dev", "/usr/include/libelf.h");
const OPENSSL: Need = file("libssl-dev", "/usr/include/openssl/opensslv.h");
const LZ4: Need = program("lz4", "lz4");
const ZSTD: Need = program("zstd", "zstd");
const XZ: Need = program("xz-utils", "xz");
const DEBHELPER: Need = program("debhelper", "dh");

/// What make runs before there is a configuration.
pub const TO_CONFIGURE: [Need; 5] = [
    program("make", "make"),
    program("gcc", "gcc"),
    file("libc6-dev", "/usr/include/stdio.h"),
    program("flex", "flex"),
    program("bison", "bison"),
];

/// What every build runs, and the packing of its result.
const TO_BUILD: [Need; 7] = [
    program("bc", "bc"),
    program("cpio", "cpio"),
    program("dpkg-dev", "dpkg-buildpackage"),
    program("fakeroot", "fakeroot"),
    program("kmod", "depmod"),
    program("perl", "perl"),
    program("rsync", "rsync"),
];

/// What most configurations call for besides: installed with the rest, so that there is one plan and not two.
const USUAL: [Need; 6] = [LIBELF, OPENSSL, LZ4, ZSTD, XZ, DEBHELPER];

/// Returns everything that an ordinary build needs, before its configuration is known.
#[must_use]
pub fn usual() -> Vec<Need> {
    TO_CONFIGURE.into_iter().chain(TO_BUILD).chain(USUAL).collect()
}

/// Returns what a configuration needs. `debhelper` says whether the tree packs with it (Linux 6.3 and newer).
#[must_use]
pub fn of(values: &Values, debhelper: bool) -> Vec<Need> {
    let on = |names: &[&str]| names.iter().any(|name| values.switch(name) != Tristate::N);
    let by_symbol: [(&[&str], Need); 8] = [
        (&["OBJTOOL", "STACK_VALIDATION", "UNWINDER_ORC"], LIBELF),
        (&["MODULE_SIG", "SYSTEM_TRUSTED_KEYRING", "SYSTEM_DATA_VERIFICATION"], OPENSSL),
        (&["KERNEL_LZ4"], LZ4),
        (&["KERNEL_ZSTD", "MODULE_COMPRESS_ZSTD"], ZSTD),
        (&["KERNEL_XZ", "KERNEL_LZMA", "MODULE_COMPRESS_XZ"], XZ),
        (&["KERNEL_BZIP2"], program("bzip2", "bzip2")),
        (&["KERNEL_LZO"], program("lzop", "lzop")),
        (&["DEBUG_INFO_BTF"], program("dwarves", "pahole")),
    ];
    let mut needs: Vec<Need> = TO_CONFIGURE.into_iter().chain(TO_BUILD).collect();
    needs.extend(by_symbol.into_iter().filter(|(names, _)| on(names)).map(|(_, need)| need));
    needs.extend(debhelper.then_some(DEBHELPER));
    needs
}

/// Returns the packages of those that are not there, by name.
#[must_use]
pub fn missing(needs: &[Need], is_there: impl Fn(&Shown) -> bool) -> Vec<String> {
    let mut packages: Vec<String> =
        needs.iter().filter(|need| !is_there(&need.shown)).map(|need| need.package.to_owned()).collect();
    packages.sort();
    packages.dedup();
    packages
}

#[cfg(test)]
mod tests {
    use super::{Shown, missing, of, usual};
    use crate::kernel::kconfig::Values;

    #[test]
    fn a_configuration_says_what_it_needs() {
        let nothing = |_: &Shown| false;
        let packages = |text: &str, debhelper| missing(&of(&Values::parse(text), debhelper), nothing);
        let least = packages("", false);
        assert!(least.contains(&"bc".to_owned()) && !least.contains(&"lz4".to_owned()));
        let all = packages("CONFIG_OBJTOOL=y\nCONFIG_KERNEL_LZ4=y\nCONFIG_MODULE_SIG=y\n", true);
        let more: Vec<&String> = all.iter().filter(|name| !least.contains(name)).collect();
        assert_eq!(more, ["debhelper", "libelf-dev", "libssl-dev", "lz4"]);
    }

    #[test]
    fn what_is_there_is_not_asked_for() {
        let only_bc = |shown: &Shown| *shown != Shown::Program("bc");
        assert_eq!(missing(&usual(), only_bc), ["bc"]);
        assert!(missing(&usual(), |_| true).is_empty());
    }
}
