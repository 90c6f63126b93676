//! Onto bare metal: what an installer medium asks, of which disks it keeps away, and in which order a disk is written.
//!
//! Decides: what each disk is and whether it may be erased (`disk`), what is asked and what an answer means (`answers`,
//! `interview`), what of the medium's system becomes this machine's own (`personal`), and the bytes of the partition table
//! for a disk of this size (`gpt`).
//! Never: reads or writes a disk, and never takes a yes that nobody gave.

pub mod answers;
pub mod crypt;
pub mod disk;
pub mod gpt;
pub mod interview;
pub mod look;
pub mod manifest;
pub mod meter;
pub mod personal;

pub use answers::{Answers, AnswersError};
pub use disk::{Disk, Part, User, Verdict};
pub use interview::{Interview, Nic};
pub use manifest::{Chunk, Made, Manifest};
