//! How a machine is changed: actions in a plan, a journal written ahead, an executor that alone owns order,
//! rollback, and the guard around whatever can cut the way in.
//!
//! Decides: in which order things happen, what is recorded before and after, and how they are undone.
//! Never: knows why. Nothing here has heard of Xen.
//!
//! Reading order: [`action`], [`plan`], [`journal`], then the executor.

pub mod action;
pub mod digest;
pub mod plan;
