//! interfaces(5) of ifupdown 0.8, as Debian 12 and 13 have it: read without losing a byte, edited by the fewest lines.
//!
//! Decides: what each line of `/etc/network/interfaces` and of what it includes means, what a stanza configures,
//! and which edits turn a NIC into the port of a bridge.
//! Never: reads or writes a file, runs a script, asks the kernel. Where only a run of a mapping script or of a shell
//! could tell, it refuses with path and line.
//!
//! Reading order: `lines` (what a line is) → `file` (what it says) → `tree` (what is included) → `address` (what a
//! stanza configures) → `edit` (changing lines) → `hooks` (commands that name the NIC) → `bridge` (the change).
//! The source of every rule is ifupdown's `config.c`, `main.c` and `*.defn`, interfaces(5), and
//! bridge-utils-interfaces(5) with its `if-pre-up.d/bridge`.

mod address;
mod bridge;
mod edit;
mod error;
mod file;
pub(crate) mod glob;
mod hooks;
mod lines;
mod notes;
mod refuse;
mod request;
mod source;
mod target;
mod tree;
mod writer;

pub use address::{
    AddressPlan, Addressing, BridgeOptions, Broadcast, Configured, ConfiguredStanza, DhcpOptions, Dns, Hook,
    HwAddress, HwAddressOption, NotHwAddress, StaticAddress, V6Options, configured,
};
pub use bridge::bridge;
pub use edit::{Editor, undo};
pub use error::{InterfacesError, Place, Syntax};
pub use file::{Family, InterfacesFile, Item, ItemKind, Mapping, Selector, Stanza, StanzaOption, is_hook};
pub use request::{
    BridgeAddress, BridgeError, BridgeRequest, FileEdit, Note, NoteKind, OWN_FILE, Request, Rewrite, Severity,
};
pub use source::{MAIN, by_path, load_of};
pub use tree::{
    Effective, Files, InterfacesTree, Selection, SkipReason, Skipped, StanzaId, StanzaView, load,
};
