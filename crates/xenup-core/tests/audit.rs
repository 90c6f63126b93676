//! Audits: tests/cases/audit/<case>/ holds guest files (`*.cfg`, which stand in /etc/xen), `machine.txt` (see
//! tests/guest.rs; `bytes PATH FILE` is a file of tests/cases, `answer FILE COMMAND` what a program says, `free MIB` the
//! room everywhere), perhaps `disks.txt` (see audit/disks.rs) and `to`; and `expected/`: `audit.txt`, `audit.json`, and
//! `fix.diff` where something is sure. `XENUP_UPDATE_CASES=1` writes what came out: read it before you commit it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests read cases")]
#![allow(clippy::indexing_slicing, reason = "a case that is too short is a broken test")]

mod cases_of;
#[path = "audit/disks.rs"]
mod disks;
#[path = "guest/known.rs"]
mod known;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cases_of::{every_case, folders, optional_text};
use disks::Described;
use known::Known;
use proptest::prelude::*;
use xenup_core::audit::{Asked, Audit, Verdict, audit, html, plan, text};
use xenup_core::guest::list::{Found, Unread, find};
use xenup_core::guest::{GuestFile, followed};
use xenup_engine::action::{Action, FileState};
use xenup_engine::drill::{Case, Mutant, drill_all};
use xenup_engine::validate::validate;

fn of_kernel_case(name: &str) -> Vec<u8> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/kernel").join(name).join("kernel");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn room() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/audit")
}

/// The machine of a case, its guest files in /etc/xen.
fn machine(case: &Path) -> String {
    let mut text = optional_text(case, "machine.txt").unwrap_or_default();
    let names = fs::read_dir(case).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for name in names.collect::<BTreeSet<_>>().iter().filter(|name| name.ends_with(".cfg")) {
        let folder = case.file_name().unwrap().to_str().unwrap();
        text.push_str(&format!("\nbytes /etc/xen/{name} audit/{folder}/{name}\n"));
    }
    text
}

fn audited(case: &Path) -> Audit {
    let known = Known::of(&machine(case));
    let disks = Described::of(&optional_text(case, "disks.txt").unwrap_or_default());
    let goal = optional_text(case, "to").map(|word| word.trim().parse().unwrap());
    audit(&known, &disks, goal, all(find(&known).unwrap()))
}

fn as_text(audit: &Audit) -> String {
    let lines = text::lines(audit).into_iter().map(|line| match line {
        text::Line::Heading(line) | text::Line::Plain(line) => format!("{line}\n"),
    });
    lines.collect()
}

fn outcome(case: &Path) -> BTreeMap<&'static str, String> {
    let audit = audited(case);
    let mut out = BTreeMap::new();
    out.insert("audit.txt", as_text(&audit));
    out.insert("audit.json", serde_json::to_string_pretty(&audit).unwrap() + "\n");
    let diffs: String = audit.fixes().map(|(_, fixed)| fixed.diff.clone()).collect();
    if !diffs.is_empty() {
        out.insert("fix.diff", diffs);
    }
    out
}

#[test]
fn every_case_comes_to_what_is_expected() {
    every_case("audit", 30, outcome);
}

#[test]
fn each_case_names_its_verdicts() {
    for case in folders("audit") {
        let told =
            optional_text(&case, "verdicts").unwrap_or_else(|| panic!("{}: no verdicts", case.display()));
        let audit = audited(&case);
        let verdicts =
            audit.guests.iter().map(|guest| format!("{}: {}\n", guest.name, guest.verdict.words()));
        assert_eq!(verdicts.collect::<String>(), told, "{}", case.display());
    }
}

#[test]
fn text_fits_80_columns_unless_a_word_does_not() {
    for case in folders("audit") {
        for line in as_text(&audited(&case)).lines() {
            let longest = line.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0);
            assert!(line.chars().count() <= 80 || longest > 60, "{}: {line}", case.display());
        }
    }
}

#[test]
fn a_sure_change_is_carried_by_a_plan_and_helps() {
    let mut changed = 0;
    for case in folders("audit") {
        let first = audited(&case);
        let known = Known::of(&machine(&case));
        let plan = plan(&first, "id", &|path| Some(path.to_owned()));
        assert_eq!(plan.steps().count(), first.fixes().count(), "{}", case.display());
        let (mut found, unread) = find(&known).unwrap();
        for (_, step) in plan.steps() {
            let Action::File { path, state: FileState::Text { text, .. }, seen } = &step.action else {
                panic!("{}: a step that is no file", case.display());
            };
            assert!(seen.is_some(), "{}: drift would go unseen", case.display());
            let file = GuestFile::parse(path, text.clone().into_bytes());
            let one =
                found.iter_mut().find(|one| one.file.as_ref().is_ok_and(|file| file.path() == path)).unwrap();
            one.file = file;
            changed += 1;
        }
        let disks = Described::of(&optional_text(&case, "disks.txt").unwrap_or_default());
        let goal = optional_text(&case, "to").map(|word| word.trim().parse().unwrap());
        let second = audit(&known, &disks, goal, all((found, unread)));
        for (path, _) in first.fixes() {
            let guest = second.guests.iter().find(|guest| guest.path.as_deref() == Some(path)).unwrap();
            assert_eq!(guest.verdict, Verdict::Starts, "{}", case.display());
        }
        assert_eq!(second.fixes().count(), 0, "{}: a second plan is not empty", case.display());
    }
    assert!(changed >= 6, "only {changed} changes");
}

#[test]
fn a_plan_of_what_is_sure_is_carried_out_and_undone_whole_after_a_fault() {
    let mut drilled = Vec::new();
    for case in folders("audit") {
        let audit = audited(&case);
        let plan = plan(&audit, "0123456789abcdef0123456789abcdef", &|path| Some(path.to_owned()));
        if plan.is_empty() {
            continue;
        }
        let mode =
            |before: &str| serde_json::json!({ "text": before, "mode": "640", "owner": 7, "group": 8 });
        let files: serde_json::Map<String, serde_json::Value> =
            audit.fixes().map(|(path, fixed)| (path.display().to_string(), mode(&fixed.before))).collect();
        let before = serde_json::json!({ "files": files }).to_string();
        let name = case.file_name().unwrap().to_str().unwrap();
        drilled.push(Case::read(name, &before, &serde_json::to_string(&plan).unwrap()).unwrap());
    }
    assert!(drilled.len() >= 6, "{} plans", drilled.len());
    let count = drill_all(&drilled, 11, 2, Mutant::None).unwrap();
    assert!(count.faults > 0);
    assert_eq!(count.restored, count.faults, "{:#?}", count.failures);
}

#[test]
fn a_file_is_changed_once_and_each_step_has_its_name() {
    let guest = "name='a'\\ntype='pv'\\nbootloader='/usr/bin/pygrub'\\ndisk=['/srv/a.img,raw,xvda,rw']\\n";
    let known = Known::of(&format!(
        "there /srv/a.img\ntext /etc/xen/web.1.cfg {guest}\ntext /etc/xen/web-1.cfg {guest}\n\
         link /etc/xen/again.cfg /etc/xen/web.1.cfg\nlink /etc/xen/more.cfg /etc/xen/web.1.cfg"
    ));
    let disks = Described::of("boots /srv/a.img grub /boot/vmlinuz-6.1 bzimage-xz root=UUID=1 ro");
    let audit = audit(&known, &disks, Some("trixie".parse().unwrap()), all(find(&known).unwrap()));
    assert_eq!(audit.fixes().count(), 4, "{}", as_text(&audit));
    let plan = plan(&audit, "0123456789abcdef0123456789abcdef", &|path| followed(&known, path).ok()?);
    let steps: Vec<&str> = plan.steps().map(|(_, step)| step.id.as_str()).collect();
    assert_eq!(steps, ["guest-etc-xen-web-1-cfg", "guest-etc-xen-web-1-cfg-2"]);
    validate(&plan).unwrap();
}

#[test]
fn text_page_and_data_say_the_same_of_a_hostile_name() {
    let audit = audited(&room().join("forged-lines"));
    let text = as_text(&audit);
    assert!(!text.lines().any(|line| line.starts_with("web: starts")), "{text}");
    let name = "x\u{fffd}web: starts\u{fffd}\u{fffd}y";
    let json = serde_json::to_string(&audit).unwrap();
    assert!(text.contains(name) && html::page(&audit).contains(name) && json.contains(name), "{text}");
}

#[test]
fn a_page_escapes_what_a_guest_says() {
    let audit = audited(&room().join("hostile-names"));
    let page = html::page(&audit);
    let body = page.split_once("<body>").unwrap().1;
    assert!(!body.contains("<script") && !body.contains("<img") && !body.contains("onload=\""), "{body}");
    assert!(body.contains("&lt;script&gt;"), "{body}");
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("url("));
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()));
    assert!(as_text(&audit).chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn json_is_read_back() {
    for case in folders("audit") {
        let audit = audited(&case);
        let text = serde_json::to_string(&audit).unwrap();
        let back: Audit = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }
}

/// Pieces that guest files are made of, whole and torn.
fn pieces() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "type = \"pv\"\n",
        "type='pvh'\n",
        "type=\"hvm\"\n",
        "builder='linux'\n",
        "name='a'\n",
        "name='\u{202e}<b>'\n",
        "kernel = '/k/32'\n",
        "kernel='/k/64'\n",
        "kernel = '/usr/lib/grub-xen/grub-i386-xen.bin'\n",
        "kernel='/usr/lib/xen-4.17/boot/pv-grub-x86_64.gz'\n",
        "bootloader='/usr/bin/pygrub'\n",
        "hap = 0\n",
        "disk = ['/srv/a,raw,xvda,w']\n",
        "disk = ['phy:/dev/vg/a,sda1,w', 'x']\n",
        "disk=['',]\n",
        "root='/dev/sda1 ro'\n",
        "extra='root=/dev/hda1'\n",
        "cmdline = \"root=/dev/xvda2\"\n",
        "memory = 99999999999999999999\n",
        "memory=-1\n",
        "pvshim=1\n",
        "vif=['']\n",
        "type += 'x'\n",
        "import os\n",
        "'",
        "[",
        "\r\n",
        "=",
        "#",
        "\u{e9}\u{301}",
        ";",
    ]);
    prop::collection::vec(pieces, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_file_and_no_answer_is_too_strange(
        file in pieces(), goal in 0..4_usize, torn in prop::collection::vec(any::<u8>(), 0..200), said in ".{0,80}",
    ) {
        let known = Known::of(
            "bytes /k/32 kernel/linux-32-pvh/kernel\nbytes /k/64 kernel/bzimage-zstd/kernel\n\
             bytes /usr/lib/grub-xen/grub-i386-xen.bin kernel/grub-pv-32/kernel\nthere /var/lib/xen/save/a\n",
        );
        let disks = Torn { disks: Described::of("boots /srv/a grub /boot/vmlinuz linux-32-pvh root=/dev/sda1"), torn, said };
        let goal = [None, Some("etch"), Some("trixie"), Some("4.21")][goal].map(|word| word.parse().unwrap());
        let file = GuestFile::parse("/etc/xen/a.cfg", file.into_bytes());
        let audit = audit(&known, &disks, goal, all((vec![Found { file, auto: Vec::new() }], Vec::new())));
        prop_assert_eq!(audit.guests.len(), 1);
        let page = html::page(&audit);
        prop_assert!(page.ends_with("</html>\n"));
        prop_assert!(as_text(&audit).chars().all(|c| c == '\n' || !c.is_control()));
        for (path, fixed) in audit.fixes() {
            prop_assert!(GuestFile::parse(path, fixed.after.clone().into_bytes()).is_ok());
        }
    }
}

/// Disks as described, and saves of any bytes.
struct Torn {
    disks: Described,
    torn: Vec<u8>,
    said: String,
}

impl xenup_core::audit::GuestDisks for Torn {
    fn disk(&self, path: &Path, format: &str) -> Result<xenup_core::audit::DiskRead, String> {
        self.disks.disk(path, format).map_err(|_| self.said.clone())
    }

    fn start(&self, _: &Path, _: u64) -> Result<Vec<u8>, String> {
        let mut bytes = b"Xen saved domain, xl format\n \0 \r\x04\x03\x02\x01\x03\0\0\0".to_vec();
        bytes.extend(&self.torn);
        Ok(bytes)
    }
}

#[test]
fn guests_of_the_default_folder_are_those_that_are_listed() {
    let known = Known::of("text /etc/xen/a.cfg name='a'\\n\ntext /etc/xen/xlexample.pvlinux name='x'\\n\n");
    let found = find(&known).unwrap();
    assert_eq!(audit(&known, &Described::default(), None, all(found)).guests.len(), 1);
}

#[test]
fn a_guest_that_is_named_is_judged_alone() {
    for case in ["running-guests", "saves-and-xendomains"].map(|name| room().join(name)) {
        let known = Known::of(&machine(&case));
        let (found, unread) = find(&known).unwrap();
        let disks = Described::of(&optional_text(&case, "disks.txt").unwrap_or_default());
        let audit = audit(&known, &disks, None, Asked { found, unread, whole_host: false });
        assert!(audit.host.is_empty() && audit.saved.is_empty(), "{}", case.display());
        assert!(audit.guests.iter().all(|guest| guest.path.is_some()), "{}", case.display());
    }
}

fn all((found, unread): (Vec<Found>, Vec<Unread>)) -> Asked {
    Asked { found, unread, whole_host: true }
}
