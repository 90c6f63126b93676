//! What this machine is, and what stands in Xen's way on it.
//!
//! Decides: which facts are gathered, and which of them are findings.
//! Never: writes, or plans a change.

pub mod facts;
pub mod finding;

pub use facts::Facts;
pub use finding::{Finding, Weight};
