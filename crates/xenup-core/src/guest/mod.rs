//! Guests: their files, read without losing a byte, judged, and written in today's form.
//!
//! Decides: what an xl.cfg(5) file says as libxlu reads it, what an xm file says as far as it is literal Python, what
//! of either stands in the way on this machine, how it reads in today's xl.cfg, and what a new guest comes to. Never: runs xl or Python, writes.
//!
//! Reading order: `parse` (values, bounds) → `xl` and `xm` (the two languages) → `file` (what a key is worth) →
//! `disk_spec`, `vdev`, `vif` (what devices are said to be) → `keys` (what each key is) → `lint` → `convert` → `list` → `create`. What is on a guest's disk is in `disk`.

pub mod convert;
pub mod create;
pub mod disk;
mod disk_spec;
mod error;
mod file;
mod here;
mod keys;
pub mod lint;
pub mod list;
mod model;
mod parse;
mod vdev;
mod vif;
mod xl;
mod xm;
mod xm_text;

pub use disk_spec::{Access, DiskFault, DiskSpec, Format, OldForm};
pub use error::{Code, Fault, GuestError};
pub use file::{Dialect, GuestFile, Setting, as_number};
pub use here::{Here, followed, resolved};
pub(crate) use model::Guest;
pub use model::GuestType;
pub use parse::{Node, Op, SIZE_LIMIT, Statement, Value};
pub use vdev::number as vdev_number;
pub use vif::{Rate, VifFault, VifKind, VifSpec};
