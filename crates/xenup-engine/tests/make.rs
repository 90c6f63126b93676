//! Things made new, with a fault at every write: all of them are there in the end, or none.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xenup_engine::make::{Part, make, remove};
use xenup_machine::fake::{FakeMachine, Fault, Injection, Moment, Seen};
use xenup_machine::file::{Attributes, Kind};
use xenup_machine::{Machine, Probe as _};

fn before() -> FakeMachine {
    let mut machine = FakeMachine::new();
    machine.put_dir("/etc", &Attributes::root(0o755));
    machine.put("/etc/mine", b"mine\n", &Attributes::root(0o644));
    machine
}

/// Everything but the times of directories, which a name that came and went moves.
fn tree_of(machine: &FakeMachine) -> BTreeMap<PathBuf, Seen> {
    let mut tree = machine.tree();
    for seen in tree.values_mut().filter(|seen| seen.entry.kind == Kind::Dir) {
        seen.entry.attributes.mtime = None;
    }
    tree
}

fn carry_out(machine: &mut FakeMachine, stop: &dyn Fn() -> bool) -> Result<(), xenup_engine::make::NotMade> {
    let mut disk = |machine: &mut dyn Machine| -> Result<(), Box<dyn std::error::Error>> {
        machine.create_file(Path::new("/srv/disk"), b"disk", &Attributes::root(0o600))?;
        Ok(())
    };
    let parts = vec![
        Part::Directory("/srv".into()),
        Part::File { path: "/srv/record".into(), bytes: b"record".to_vec(), mode: 0o644 },
        Part::Other { path: "/srv/disk".into(), make: &mut disk, unmake: None },
        Part::Directory("/etc".into()),
        Part::File { path: "/etc/new".into(), bytes: b"new".to_vec(), mode: 0o644 },
        Part::Link { path: "/etc/link".into(), target: "/etc/new".into() },
    ];
    make(machine, parts, stop)
}

#[test]
fn all_of_it_is_made() {
    let mut machine = before();
    carry_out(&mut machine, &|| false).unwrap();
    for path in ["/srv/record", "/srv/disk", "/etc/new", "/etc/link", "/etc/mine"] {
        assert!(machine.entry(Path::new(path)).unwrap().is_some(), "{path}");
    }
}

#[test]
fn a_failure_at_any_write_leaves_what_was_there() {
    let mut counting = before();
    counting.trace();
    carry_out(&mut counting, &|| false).unwrap();
    let writes = counting.traced();
    assert!(writes.len() >= 10, "{} writes", writes.len());
    for (at, has_middle) in writes.iter().enumerate() {
        for moment in [Moment::Before, Moment::Middle, Moment::After] {
            if moment == Moment::Middle && !has_middle {
                continue;
            }
            for fault in [Fault::Fails, Fault::DiskFull] {
                let mut machine = before();
                let tree = tree_of(&machine);
                machine.inject(Some(Injection { at, moment, fault }));
                let Err(error) = carry_out(&mut machine, &|| false) else { continue };
                assert!(error.left.is_empty(), "write {at} {moment:?} {fault:?}: {:?}", error.left);
                assert_eq!(tree_of(&machine), tree, "write {at} {moment:?} {fault:?}");
            }
        }
    }
}

#[test]
fn a_kill_at_any_write_leaves_the_record_with_the_rest() {
    for at in 0.. {
        let mut machine = before();
        machine.inject(Some(Injection { at, moment: Moment::After, fault: Fault::Kill }));
        if carry_out(&mut machine, &|| false).is_ok() {
            assert!(at >= 10, "{at}");
            break;
        }
        machine.revive();
        let there = |path: &str| machine.entry(Path::new(path)).unwrap().is_some();
        let others = ["/srv/disk", "/etc/new", "/etc/link"].iter().any(|path| there(path));
        assert!(there("/srv/record") || !others, "write {at}");
    }
}

#[test]
fn whoever_stops_it_gets_everything_back() {
    for stop_at in 0..7 {
        let mut machine = before();
        let tree = tree_of(&machine);
        let asked = Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() > stop_at
        };
        let error = carry_out(&mut machine, &stop).unwrap_err();
        assert!(error.cause.is_none() && error.left.is_empty());
        assert_eq!(tree_of(&machine), tree, "stopped at {stop_at}");
    }
}

#[test]
fn nothing_is_replaced() {
    for taken in ["/srv/record", "/srv/disk", "/etc/new", "/etc/link"] {
        let mut machine = before();
        machine.put_dir("/srv", &Attributes::root(0o755));
        machine.put(taken, b"somebody's", &Attributes::root(0o644));
        let tree = tree_of(&machine);
        let error = carry_out(&mut machine, &|| false).unwrap_err();
        assert!(error.left.is_empty());
        assert_eq!(tree_of(&machine), tree, "{taken}");
    }
}

#[test]
fn what_is_not_there_is_no_error_to_remove() {
    let mut machine = before();
    assert!(!remove(&mut machine, Path::new("/etc/nothing")).unwrap());
    assert!(remove(&mut machine, Path::new("/etc/mine")).unwrap());
    assert!(machine.entry(Path::new("/etc/mine")).unwrap().is_none());
}

#[test]
fn what_is_no_file_is_taken_back_in_its_own_way() {
    for (fails, taken_back) in [(false, 0), (true, 1)] {
        let mut machine = before();
        let count = Cell::new(0);
        let mut volume = |_: &mut dyn Machine| Ok(());
        let mut remove_volume = |_: &mut dyn Machine| {
            count.set(count.get() + 1);
            Ok(())
        };
        let there = if fails { "/etc/mine" } else { "/etc/new" };
        let parts = vec![
            Part::Other { path: "/dev/volume".into(), make: &mut volume, unmake: Some(&mut remove_volume) },
            Part::File { path: there.into(), bytes: b"new".to_vec(), mode: 0o644 },
        ];
        assert_eq!(make(&mut machine, parts, &|| false).is_err(), fails);
        assert_eq!(count.get(), taken_back, "the file that stands there: {fails}");
    }
}

#[test]
fn what_could_not_be_taken_back_is_named() {
    let mut machine = before();
    let mut volume = |_: &mut dyn Machine| Err("no room".into());
    let mut remove_volume = |_: &mut dyn Machine| Err("in use".into());
    let parts =
        vec![Part::Other { path: "/dev/volume".into(), make: &mut volume, unmake: Some(&mut remove_volume) }];
    let error = make(&mut machine, parts, &|| false).unwrap_err();
    let left: Vec<_> =
        error.left.iter().map(|(path, why)| (path.to_str().unwrap(), why.to_string())).collect();
    assert_eq!(left, [("/dev/volume", "in use".to_owned())]);
}

/// A call sees all that was made, and is taken back while all of it is there.
#[test]
fn a_call_that_fails_is_taken_back_before_the_rest() {
    let there = |machine: &mut dyn Machine| machine.entry(Path::new("/etc/new")).unwrap().is_some();
    for (fails, stopped) in [(true, false), (false, true), (false, false)] {
        let mut machine = before();
        let tree = tree_of(&machine);
        let said = std::cell::RefCell::new(Vec::new());
        let mut call = |machine: &mut dyn Machine| -> Result<(), Box<dyn std::error::Error>> {
            said.borrow_mut().push(("called", there(machine)));
            if fails { Err("refused".into()) } else { Ok(()) }
        };
        let mut uncall = |machine: &mut dyn Machine| -> Result<(), Box<dyn std::error::Error>> {
            said.borrow_mut().push(("taken back", there(machine)));
            Ok(())
        };
        let parts = vec![
            Part::File { path: "/etc/new".into(), bytes: b"new".to_vec(), mode: 0o644 },
            // Something stands there, and that is no matter.
            Part::Call { what: "/etc/mine".into(), make: &mut call, unmake: &mut uncall },
        ];
        let made = make(&mut machine, parts, &|| stopped && !said.borrow().is_empty());
        if made.is_ok() {
            assert_eq!(*said.borrow(), [("called", true)]);
            continue;
        }
        assert_eq!(*said.borrow(), [("called", true), ("taken back", true)]);
        assert_eq!(tree_of(&machine), tree);
    }
}
