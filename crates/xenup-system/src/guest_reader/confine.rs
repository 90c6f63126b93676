//! What the child gives up before it looks at a guest's bytes: rights it could gain, files, sockets, memory, time.
//!
//! Landlock (landlock(7)) is taken as far as the running kernel has it; what was had is reported. The limits are not
//! optional: where they cannot be set, nothing is read.

use std::io;

use landlock::{ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetStatus, Scope};
use rustix::io::Errno;
use rustix::process::{Gid, Resource, Rlimit, Signal, Uid, geteuid, setrlimit};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::Sandbox;

/// Address space of the child, in bytes.
const MEMORY: u64 = 256 << 20;
/// Processor time of the child, in seconds.
const SECONDS: u64 = 20;
/// Descriptors of the child: the three of every process, the image and its chain, a few to spare.
const DESCRIPTORS: u64 = 24;
/// The newest Landlock that is known here; the crate takes what the kernel has of it.
const KNOWN: ABI = ABI::V6;

/// Confines this process.
pub(super) fn confine() -> io::Result<Sandbox> {
    // Before the rest: a change of user takes back that this process dies with its parent.
    become_nobody()?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    for (resource, most) in [
        (Resource::As, MEMORY),
        (Resource::Cpu, SECONDS),
        (Resource::Nofile, DESCRIPTORS),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    // Root is not bound by this one, and need not be: it cannot start a program either, by Landlock.
    setrlimit(Resource::Nproc, Rlimit { current: Some(0), maximum: Some(0) })?;
    let landlock = match restrict() {
        Ok(RulesetStatus::FullyEnforced) => "full",
        Ok(RulesetStatus::PartiallyEnforced) => "partial",
        Ok(RulesetStatus::NotEnforced) | Err(_) => "none",
    };
    Ok(Sandbox { nobody: geteuid().as_raw() == super::NOBODY, limits: true, landlock: landlock.to_owned() })
}

/// Gives up root's rights for good. The process has one thread, so that what is asked for a thread is for all of it. Done
/// here and not by whoever starts it, since a start as another user copies the parent's memory map for each disk.
fn become_nobody() -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(super::NOBODY), Gid::from_raw(super::NOBODY));
    let given_up = set_thread_groups(&[])
        .and_then(|()| set_thread_res_gid(group, group, group))
        .and_then(|()| set_thread_res_uid(user, user, user));
    match given_up {
        // Root of a user namespace that knows no user nobody, or may not drop its groups: it is nobody outside already.
        Err(Errno::INVAL | Errno::PERM) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// No file can be opened, no port bound or connected, no process outside signalled.
fn restrict() -> Result<RulesetStatus, landlock::RulesetError> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?
        .restrict_self()?;
    Ok(status.ruleset)
}
