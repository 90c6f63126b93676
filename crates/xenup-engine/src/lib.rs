//! How a machine is changed: actions in a plan, a journal written ahead, an executor that alone owns order,
//! rollback, and the guard around whatever can cut the way in.
//!
//! Decides: in which order things happen, what is recorded before and after, and how they are undone.
//! Never: knows why. Nothing here has heard of Xen.
//!
//! Reading order: [`action`], [`plan`], [`journal`], [`status`], [`executor`], [`perform`], [`undo`],
//! [`rollback`], [`takeback`], [`guard`], [`boot`]; then [`drill`], which holds all of it to its promises.

pub mod action;
pub mod boot;
pub mod conditions;
pub mod confirm;
pub mod digest;
pub mod drill;
pub mod durable;
pub mod error;
pub mod event;
pub mod executor;
pub mod generated;
pub mod grubenv;
pub mod guard;
pub mod journal;
pub mod links;
pub mod make;
pub mod packages;
pub mod perform;
pub mod plan;
pub mod rollback;
pub mod snapshot;
pub mod status;
pub mod store;
pub mod takeback;
pub mod undo;
pub mod units;
pub mod upgrade;
pub mod validate;

pub use error::EngineError;
pub use guard::{GuardKeeper, Session};
