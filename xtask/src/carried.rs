//! A guest's base, carried into an emulated machine that then makes guests by itself.
//!
//! Decides: that the base is this machine's kept one: mmdebstrap under emulation would take the better part of an hour.

use std::path::Path;

use xenup_image::Suite;
use xenup_image::guest::{BaseSpec, Manager, base};
use xenup_rehearse::qemu::{FileOnDisk, Source, VmSpec};
use xenup_system::files;
use xenup_system::process::Tool;

use crate::emulated::SHORT;

type Failure = Box<dyn std::error::Error>;

/// The file on the machine's second disk.
pub const BASE: &str = "base.tar";

/// Returns the base for a machine's second disk, packed at `packed`; made first where this machine keeps none.
///
/// # Errors
/// None kept and none to be made, or tar(1).
pub fn base(packed: &Path) -> Result<FileOnDisk, Failure> {
    if !files::exists(packed) {
        let spec = BaseSpec { suite: Suite::Bookworm, manager: Manager::Ifupdown, packages: Vec::new() };
        let base = base::ready(&base::cache(), &spec, false, &mut |_| {})?;
        let folder = base.image.parent().unwrap_or(Path::new("/"));
        let beside = base.image.with_extension("json");
        let names = [&base.image, &beside].map(|path| path.file_name().unwrap_or_default().to_owned());
        Tool::new("tar").arg("-C").arg(folder).arg("-Scf").arg(packed).args(names).timeout(SHORT).run()?;
    }
    Ok(FileOnDisk { name: BASE.into(), from: Source::Path(packed.to_owned()), mode: 0o644 })
}

/// Returns the command by which the machine keeps it as its own.
pub fn keep(spec: &VmSpec) -> String {
    let label = spec.files_label;
    format!(
        "mkdir -p /run/brought /var/cache/xenup/guests && mount -o ro LABEL={label} /run/brought && \
         tar -C /var/cache/xenup/guests -xSf /run/brought/{BASE} && umount /run/brought"
    )
}
