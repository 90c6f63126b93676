//! A throw-away machine in QEMU that is driven over its serial console, watched from outside, cut off and restored.
//!
//! It decides how such a machine is wired, driven and reported on. It never touches this machine's own network, boot
//! or packages, but for the programs that [`tools::ensure_tools`] is told to install; what it makes lies in one run
//! directory and one network namespace, and goes with them.
//!
//! A run: [`lab::Lab`] → [`network::Lan`] → [`qemu::Vm`], driven by [`console::Console`] and [`ssh::Ssh`], watched by
//! [`probe::Probing`], shortened by [`stage::Stages`], told by [`event::Recorder`] and [`report::Report`].

pub mod accelerator;
pub mod console;
pub mod error;
pub mod event;
pub mod files_disk;
pub mod inside;
pub mod lab;
pub mod network;
pub mod probe;
pub mod qemu;
pub mod qmp;
pub mod report;
pub mod scenario;
pub mod ssh;
pub mod stage;
pub mod tools;

pub use error::LabError;
