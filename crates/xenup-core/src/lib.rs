//! What xenup knows. Each room turns facts and wishes into findings, plans and verdicts.
//!
//! Decides: everything about Debian and Xen that can be decided by thinking.
//! Never: has an effect. The rooms read a machine through `Probe` and return data.

pub mod amounts;
pub mod audit;
pub mod boot;
pub mod by_hand;
pub mod guest;
pub mod host;
pub mod image;
pub mod inspect;
pub mod install;
pub mod kernel;
mod markup;
pub mod network;
pub mod packages;
pub mod plan;
pub mod recovery;
mod shown_path;
pub mod tls;
pub mod toml_file;
pub mod upgrade;
