//! Upgrades. tests/cases/upgrade-sources/<case>/ has apt's files (`sources.list`, `sources.list.d/`), `origins` (address,
//! suite, publisher) and `way` (two suites); tests/cases/upgrade-simulation/<case>/ what apt printed (`full-upgrade.txt`,
//! `print-uris.txt`); tests/cases/upgrade-check/<case>/ a machine (`machine.txt` as in tests/audit.rs, guests' `*.cfg`,
//! `sources.list`), the suite (`to`), what is to be fixed (`fix`) and apt's answers (`simulation` names a case of
//! upgrade-simulation; `foreign.txt`, `held.txt`; or `update.txt`, `no-solution.txt` with its complaints where it failed); tests/cases/upgrade-apply/<case>/ the same, beside `host`, a case
//! of tests/cases/plan whose machine it is otherwise, as its plan leaves it, or, with `fresh`, as it was before, and
//! `named`, what apt was asked for by name; `machine-id`, where it is another. `XENUP_UPDATE_CASES=1` writes `expected/`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "tests read cases")]

#[path = "audit/disks.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod disks;
#[path = "guest/known.rs"]
mod known;

mod cases_of;
#[allow(dead_code, reason = "each test binary uses its part")]
mod convergence;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use cases_of::{every_case, folders, optional_text, text as read};
use disks::Described;
use known::Known;
use proptest::prelude::*;
use xenup_core::audit::target::{SUITES, Suite};
use xenup_core::audit::{self, Asked, Goal, text::Line};
use xenup_core::guest::list::find;
use xenup_core::host::{self, Host};
use xenup_core::inspect::facts::{AptSource, At};
use xenup_core::inspect::{Facts, Finding, Surroundings, Weight, findings, gather};
use xenup_core::packages::AptSimulation;
use xenup_core::plan::{self, render};
use xenup_core::upgrade::pending::pending;
use xenup_core::upgrade::simulation::{Simulation, Sizes};
use xenup_core::upgrade::sources::{Derived, Fate, SourceFile, derive};
use xenup_core::upgrade::{self, Answer, Check, Told, apply, apt, html, old, text};
use xenup_engine::action::{Action, Undo};
use xenup_engine::plan::{Plan, Step};
use xenup_engine::validate::validate;

fn of_kernel_case(name: &str) -> Vec<u8> {
    cases_of::bytes(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/kernel").join(name),
        "kernel",
    )
}

fn suite(name: &str) -> &'static Suite {
    SUITES.iter().find(|suite| suite.name == name).unwrap_or_else(|| panic!("no suite {name}"))
}

fn source_files(case: &Path) -> Vec<SourceFile> {
    let mut files: Vec<SourceFile> = optional_text(case, "sources.list")
        .map(|text| SourceFile { path: "/etc/apt/sources.list".into(), text })
        .into_iter()
        .collect();
    let parts = case.join("sources.list.d");
    let mut names: Vec<PathBuf> =
        fs::read_dir(&parts).map(|all| all.map(|one| one.unwrap().path()).collect()).unwrap_or_default();
    names.sort();
    for path in names {
        let name = path.file_name().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        files.push(SourceFile { path: Path::new("/etc/apt/sources.list.d").join(name), text });
    }
    files
}

fn origins(case: &Path) -> Vec<AptSource> {
    let text = optional_text(case, "origins").unwrap_or_default();
    let source = |line: &str| {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let at = At { path: PathBuf::new(), line: 0 };
        AptSource { at, uri: words.next().unwrap(), suite: words.next().unwrap(), origin: words.next() }
    };
    text.lines().map(source).collect()
}

fn way_of(case: &Path) -> (&'static Suite, &'static Suite) {
    let way = read(case, "way");
    let (from, to) = way.trim().split_once(' ').unwrap();
    (suite(from), suite(to))
}

fn derived(case: &Path) -> Derived {
    let (from, to) = way_of(case);
    derive(&source_files(case), &origins(case), from, to)
}

fn shown(files: &[SourceFile]) -> String {
    files.iter().map(|file| format!("==> {}\n{}", file.path.display(), file.text)).collect()
}

#[test]
fn sources_of_every_shape_become_the_other_releases() {
    every_case("upgrade-sources", 10, |case| {
        let derived = derived(case);
        let mut entries = String::new();
        for entry in &derived.entries {
            let fate = match &entry.fate {
                Fate::Kept => "kept".to_owned(),
                Fate::Switched { to } => format!("becomes {to}"),
                Fate::LeftOut { why } => format!("left out: {why}"),
            };
            let kind = if entry.binary { "" } else { " (sources)" };
            let at = &entry.at;
            writeln!(entries, "{}:{} {} {}{kind} {fate}", at.path.display(), at.line, entry.uri, entry.suite)
                .unwrap();
        }
        BTreeMap::from([("sources.txt", shown(&derived.files)), ("entries.txt", entries)])
    });
}

#[test]
fn a_second_derivation_changes_nothing() {
    for case in folders("upgrade-sources") {
        let (from, to) = way_of(&case);
        let first = derived(&case);
        // Who publishes an entry is known by its new suite as well.
        let mut known = origins(&case);
        for entry in &first.entries {
            if let Fate::Switched { to } = &entry.fate {
                known.push(AptSource {
                    at: entry.at.clone(),
                    uri: entry.uri.clone(),
                    suite: to.clone(),
                    origin: entry.origin.clone(),
                });
            }
        }
        let second = derive(&first.files, &known, from, to);
        assert_eq!(shown(&second.files), shown(&first.files), "{}", case.display());
        assert!(
            second.entries.iter().all(|entry| entry.fate == Fate::Kept),
            "{}: {:#?}",
            case.display(),
            second.entries
        );
    }
}

#[test]
fn within_a_release_no_byte_of_its_own_sources_changes() {
    for case in folders("upgrade-sources") {
        let (from, _) = way_of(&case);
        let files = source_files(&case);
        let same = derive(&files, &origins(&case), from, from);
        if same.entries.iter().all(|entry| entry.fate == Fate::Kept) {
            assert_eq!(same.files, files, "{}", case.display());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_list_of_sources_is_too_strange(pieces in prop::collection::vec(prop::sample::select(vec![
        "deb", "deb-src", " ", "\t", "\n", "[", "]", "#", "cdrom:[a b]/", "http://m/debian", "bookworm", "bookworm/updates",
        "stable", "sid", "Types:", "URIs:", "Suites:", "Enabled:", " no", "Signed-By:", "\r\n", "\u{e9}", "-", "\n .\n", "signed-by=a",
    ]), 0..24), said in "\\PC{0,60}") {
        let text = pieces.concat();
        for path in ["/etc/apt/sources.list", "/etc/apt/sources.list.d/a.sources"] {
            let files = [SourceFile { path: path.into(), text: text.clone() }];
            let there = derive(&files, &[], suite("bookworm"), suite("trixie"));
            prop_assert_eq!(there.files.len(), 1);
            if there.entries.is_empty() {
                prop_assert_eq!(&there.files[0].text, &text);
            }
        }
        let _ = (Simulation::parse(&said), Sizes::parse(&said), apt::foreign(&said), apt::complaints(&said));
    }
}

#[test]
fn what_apt_printed_is_read() {
    every_case("upgrade-simulation", 3, |case| {
        let simulation = Simulation::parse(&read(case, "full-upgrade.txt"));
        let mut out = format!("{:?}\n", simulation.counts);
        for (list, names) in [
            ("no longer needed", &simulation.no_longer_needed),
            ("kept back", &simulation.kept_back),
            ("held, changed", &simulation.held_changed),
            ("downgraded", &simulation.downgraded),
            ("essential, removed", &simulation.essential_removed),
        ] {
            writeln!(out, "{list}: {}", names.join(" ")).unwrap();
        }
        let removes: Vec<&str> = simulation.changes.removes.iter().map(|one| one.name.as_str()).collect();
        writeln!(out, "removes: {}", removes.join(" ")).unwrap();
        let matters = |name: &str| ["xen-", "linux-image-"].iter().any(|stem| name.starts_with(stem));
        for one in simulation.changes.installs.iter().filter(|one| matters(&one.name)) {
            writeln!(out, "installs {} {} in the place of {:?}", one.name, one.version, one.from).unwrap();
        }
        let unique: BTreeSet<&str> =
            simulation.changes.installs.iter().map(|one| one.name.as_str()).collect();
        // What apt counts is what was read.
        let counts = simulation.counts;
        assert_eq!(unique.len(), counts.upgraded + counts.new, "{}", case.display());
        assert_eq!(removes.len(), counts.removed, "{}", case.display());
        if let Some(text) = optional_text(case, "print-uris.txt") {
            writeln!(out, "{:?}", Sizes::parse(&text)).unwrap();
        }
        BTreeMap::from([("simulation.txt", out)])
    });
}

fn machine(case: &Path) -> Known {
    let mut text = optional_text(case, "machine.txt").unwrap_or_default();
    let folder = case.file_name().unwrap().to_str().unwrap();
    let room = case.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let names = fs::read_dir(case).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for name in names.collect::<BTreeSet<_>>() {
        let place = match name.as_str() {
            "sources.list" => "/etc/apt/sources.list".to_owned(),
            "status" => "/var/lib/dpkg/status".to_owned(),
            guest if guest.ends_with(".cfg") => format!("/etc/xen/{guest}"),
            _ => continue,
        };
        write!(text, "\nbytes {place} {room}/{folder}/{name}\n").unwrap();
    }
    Known::of(&text)
}

fn answer(case: &Path, to: &Suite) -> Answer {
    if let Some(text) = optional_text(case, "update.txt") {
        return Answer::Failed(upgrade::lists_not_fetched(&apt::complaints(&text), to));
    }
    if let Some(text) = optional_text(case, "no-solution.txt") {
        return Answer::Failed(upgrade::no_solution(&apt::complaints(&text), &text));
    }
    let Some(name) = optional_text(case, "simulation") else {
        return Answer::NotAsked("this is a tree of files: what apt would do was not asked".to_owned());
    };
    let said = case.join("../../upgrade-simulation").join(name.trim());
    Answer::Told(Box::new(Told {
        simulation: Simulation::parse(&read(&said, "full-upgrade.txt")),
        sizes: optional_text(&said, "print-uris.txt").and_then(|text| Sizes::parse(&text)),
        foreign: optional_text(case, "foreign.txt").map(|text| apt::foreign(&text)),
        held: apt::held(&optional_text(case, "held.txt").unwrap_or_default()),
    }))
}

fn checked(case: &Path) -> Check {
    let known = machine(case);
    let to = suite(read(case, "to").trim());
    let facts = gather(&known, &Surroundings::default());
    let tree = read(case, "machine.txt").lines().any(|line| line == "tree");
    let asked = upgrade::way(old::release(&known, &facts), &facts, to, tree).unwrap();
    let files = xenup_core::upgrade::sources::read(&known).unwrap();
    let derived = derive(&files, &facts.packages.sources, asked.from.unwrap_or(to), to);
    let disks = Described::of(&optional_text(case, "disks.txt").unwrap_or_default());
    let (found, unread) = find(&known).unwrap();
    let audit =
        audit::audit(&known, &disks, Some(Goal::Suite(to)), Asked { found, unread, whole_host: true });
    let carried = asked.anew.then(|| old::carried(&known, &find(&known).unwrap().0, &audit));
    let known_of = upgrade::Known {
        facts: &facts,
        inspected: &findings(&facts, None),
        derived: &derived,
        answer: answer(case, to),
        audit,
        old: carried,
    };
    upgrade::check(&known, asked, known_of)
}

fn as_text(check: &Check) -> String {
    let lines = text::lines(check).into_iter().map(|line| match line {
        Line::Heading(line) | Line::Plain(line) => format!("{line}\n"),
    });
    lines.collect()
}

#[test]
fn every_check_comes_to_what_is_expected() {
    every_case("upgrade-check", 8, |case| {
        let check = checked(case);
        let json = serde_json::to_string_pretty(&check).unwrap() + "\n";
        let back: Check = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string_pretty(&back).unwrap() + "\n", json);
        BTreeMap::from([("check.txt", as_text(&check)), ("check.json", json)])
    });
}

/// A machine that a plan has made a Xen host, or is to make one, with the packages, kernels and guests of another case.
fn host_of(case: &Path, gathered: &Facts) -> (Facts, Host) {
    let folder = case.join("../../plan").join(read(case, "host").trim());
    let host = Host::parse(Path::new(host::PATH), read(&folder, "host.toml").as_bytes()).unwrap();
    let text = read(&folder, "facts.json").replace("6.1.0-41", "6.1.0-56");
    let mut facts: Facts = serde_json::from_str(&text).unwrap();
    if !case.join("fresh").exists() {
        let said = optional_text(&folder, "apt.txt").map(|text| AptSimulation::parse(&text));
        let planned = plan::plan(&facts, &host, said.as_ref()).unwrap();
        planned.plan.stages.iter().for_each(|stage| convergence::carry_out(&mut facts, stage));
    }
    let mut packages = gathered.packages.clone();
    for package in &facts.packages.relevant {
        if packages.relevant.iter().all(|there| there.name != package.name) {
            packages.relevant.push(package.clone());
        }
    }
    let named = optional_text(case, "named").unwrap_or_default();
    packages.relevant.retain(|package| named.lines().all(|name| name != package.name));
    let machine_id = optional_text(case, "machine-id").unwrap_or_else(|| facts.machine_id.clone());
    let xen = gathered.xen.clone();
    (Facts { packages, xen, machine_id, ..facts }, host)
}

fn asked_for(case: &Path) -> Result<(Plan, String), Vec<Finding>> {
    let known = machine(case);
    let (facts, host) = host_of(case, &gather(&known, &Surroundings::default()));
    let files = xenup_core::upgrade::sources::read(&known).unwrap();
    let derived = derive(&files, &facts.packages.sources, suite("bookworm"), suite("trixie"));
    let Answer::Told(told) = answer(case, suite("trixie")) else {
        panic!("{}: apt was not asked", case.display())
    };
    let named = optional_text(case, "named").unwrap_or_default();
    let plan = apply::plan(&apply::Known {
        facts: &facts,
        host: &host,
        check: &checked(case),
        simulation: &told.simulation,
        named: &named.lines().collect::<Vec<_>>(),
        files: &files,
        derived: &derived,
    })?;
    let mut before = render::before(&plan, &facts);
    before.extend(files.into_iter().map(|file| (file.path, file.text)));
    let text = render::text(&plan, &before, true);
    Ok((plan, text))
}

/// Packages are hundreds, and the same as in the simulation.
fn without_packages(text: &str) -> String {
    let is_package = |line: &str| {
        line.starts_with("     | ")
            && [")", "(new)"].iter().any(|end| line.ends_with(end))
            && line.contains("  (")
    };
    let mut left = 0_usize;
    let mut out = String::new();
    for line in text.lines() {
        if is_package(line) {
            left += 1;
        } else {
            if left > 0 {
                writeln!(out, "     | ({left} packages)").unwrap();
                left = 0;
            }
            writeln!(out, "{line}").unwrap();
        }
    }
    out
}

#[test]
fn every_upgrade_is_planned_or_refused_as_written() {
    every_case("upgrade-apply", 8, |case| match asked_for(case) {
        Ok((plan, text)) => {
            validate(&plan).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
            BTreeMap::from([("plan.txt", without_packages(&text))])
        }
        Err(found) => {
            let all: String =
                found.iter().map(|one| format!("{}: {}\n  {}\n", one.id, one.what, one.fix)).collect();
            BTreeMap::from([("refused.txt", all)])
        }
    });
}

/// Nothing that cannot be undone comes before everything is fetched and every guest is down.
#[test]
fn what_cannot_be_undone_comes_last_and_names_why() {
    for case in folders("upgrade-apply") {
        let Ok((plan, _)) = asked_for(&case) else { continue };
        let name = case.display();
        assert!(apply::is_upgrade(&plan), "{name}");
        let at = plan.stages.iter().position(|stage| stage.no_return.is_some()).unwrap();
        assert_eq!(plan.stages[at].id.as_str(), apply::UPGRADE, "{name}");
        let before: Vec<&Step> = plan.stages[..at].iter().flat_map(|stage| &stage.steps).collect();
        assert!(before.iter().all(|step| !matches!(step.undo, Undo::Irreversible { .. })), "{name}");
        let fetched = before.iter().position(|step| step.id.as_str() == "fetch").unwrap();
        let stops: Vec<usize> =
            (0..before.len()).filter(|at| before[*at].id.as_str().starts_with("stop-")).collect();
        assert!(stops.iter().all(|at| *at > fetched), "{name}");
        assert_eq!(stops.len(), apply::guests(&plan).len(), "{name}");
    }
}

#[test]
fn each_case_names_what_is_to_be_fixed() {
    for case in folders("upgrade-check") {
        let check = checked(&case);
        let ids: String = check.fix.iter().map(|finding| format!("{}\n", finding.id)).collect();
        assert_eq!(ids, read(&case, "fix"), "{}", case.display());
        assert_eq!(check.ready, check.fix.is_empty());
        assert!(check.fix.iter().all(|finding| finding.weight == Weight::Blocks));
    }
}

#[test]
fn text_fits_80_columns_unless_a_word_does_not_and_no_finding_lacks_a_fix() {
    for case in folders("upgrade-check") {
        let check = checked(&case);
        for line in as_text(&check).lines() {
            let longest = line.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0);
            assert!(line.chars().count() <= 80 || longest > 60, "{}: {line}", case.display());
        }
        for finding in check.fix.iter().chain(&check.know) {
            for text in [&finding.what, &finding.why, &finding.fix] {
                assert!(!text.is_empty() && !text.ends_with(['.', '!', '\n']), "{}: {text}", finding.id);
            }
        }
    }
}

#[test]
fn a_page_loads_nothing_and_escapes_what_was_said() {
    for case in folders("upgrade-check") {
        let page = html::page(&checked(&case));
        let (head, body) = page.split_once("<body>").unwrap();
        assert!(!head.contains("http") || !head.contains("href"), "{}", case.display());
        assert!(
            !body.contains("<script") && !body.contains("<img") && !body.contains("href="),
            "{}",
            case.display()
        );
        assert!(page.ends_with("</html>\n"), "{}", case.display());
    }
}

#[test]
fn a_way_that_debian_does_not_have_is_refused() {
    let way = |from: &str, to: &str| {
        let id = if from == "noble" { "ubuntu" } else { "debian" };
        let known = Known::of(&format!("text /etc/os-release ID={id}\\nVERSION_CODENAME={from}\\n\n"));
        let facts = gather(&known, &Surroundings::default());
        let way = upgrade::way(old::release(&known, &facts), &facts, suite(to), false);
        way.map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(way("bookworm", "trixie"), Ok(()));
    assert_eq!(way("bookworm", "bookworm"), Ok(()));
    for (from, to, words) in [
        ("bullseye", "trixie", "over bookworm"),
        ("trixie", "bookworm", "no way back"),
        ("noble", "trixie", "no release"),
    ] {
        assert!(way(from, to).unwrap_err().contains(words), "{from} {to}");
    }
}

/// tests/cases/upgrade-pending/<case>/machine.txt; `boot` is at 0, and `unpacked PACKAGE SECONDS` says when dpkg did.
#[test]
fn what_waits_for_a_reboot_is_told_with_what_works() {
    every_case("upgrade-pending", 6, |case| {
        let known = Known::of(&read(case, "machine.txt"));
        let told = pending(&known, &gather(&known, &Surroundings::default()));
        let lines = told.map_or("nothing waits\n".to_owned(), |told| {
            format!("{}\nuntil then: {}\nnext: {}\n", told.differs.join("\n"), told.until_then, told.next)
        });
        BTreeMap::from([("pending.txt", lines)])
    });
}

#[test]
fn hooks_of_the_machine_are_cleared_and_every_path_that_apt_writes_is_the_states() {
    let sources = [SourceFile { path: "/etc/apt/sources.list.d/a.sources".into(), text: "x\n".to_owned() }];
    let files = apt::State::at(Path::new("/t")).files(&sources);
    let names: Vec<&str> = files.iter().map(|(path, _)| path.to_str().unwrap()).collect();
    assert_eq!(names, ["/t/now.conf", "/t/then.conf", "/t/sources.list", "/t/sources.list.d/a.sources"]);
    for (_, conf) in &files[..2] {
        for hook in [
            "APT::Update::Post-Invoke",
            "APT::Update::Post-Invoke-Success",
            "DPkg::Post-Invoke",
            "AptCli::Hooks",
        ] {
            assert!(conf.contains(&format!("#clear {hook};\n")), "{hook}");
        }
        assert!(conf.contains("Dir::Cache \"/t/"));
    }
}

/// Stands in for xl: a guest that runs is a file in `up`; one named in `stays` does not shut down, one in `broken` does not
/// start. What changes a guest is written down.
const XL: &str = r#"#!/bin/sh
cd "${0%/*}"
for last; do :; done
name=${last##*/}
name=${name%.cfg}
case "$1" in
  domid) [ -e "up/$name" ]; exit ;;
  shutdown) [ -e "stays/$name" ] || rm "up/$name" ;;
  create) [ ! -e "broken/$name" ] && [ ! -e "up/$name" ] && : > "up/$name" ;;
esac || exit 1
echo "$1 $name" >> said
"#;

struct Guests(tempfile::TempDir);

impl Guests {
    fn all_up(names: &[&str]) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        // Nobody waits a minute here, and every machine is a dom0.
        for (name, text) in [("xl", XL), ("sleep", "#!/bin/sh\n"), ("grep", "#!/bin/sh\n")] {
            fs::write(dir.path().join(name), text).unwrap();
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        for folder in ["up", "stays", "broken"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let guests = Self(dir);
        for name in names {
            guests.mark("up", name);
            guests.mark("", &format!("{name}.cfg"));
        }
        guests
    }

    fn mark(&self, folder: &str, name: &str) {
        fs::write(self.0.path().join(folder).join(name), "").unwrap();
    }

    fn run(&self, command: &xenup_machine::process::Command) -> bool {
        let path = format!("{}:/usr/bin:/bin", self.0.path().display());
        let mut sh = std::process::Command::new(&command.program);
        let files = format!("{}/", self.0.path().display());
        let args = command.args.iter().map(|arg| arg.replace("/etc/xen/", &files));
        sh.args(args).env("PATH", path).output().unwrap().status.success()
    }

    /// What was done since the last look.
    fn said(&self) -> String {
        let said = fs::read_to_string(self.0.path().join("said")).unwrap_or_default();
        let _ = fs::remove_file(self.0.path().join("said"));
        said.replace('\n', ", ")
    }
}

#[test]
fn guests_go_down_last_started_first_and_come_back_and_a_second_time_nothing_is_done() {
    let case = folders("upgrade-apply").into_iter().find(|case| case.ends_with("guests-in-order")).unwrap();
    let (plan, _) = asked_for(&case).unwrap();
    let commands = |id: &str| -> Vec<_> {
        let steps = plan.steps().filter(|(_, step)| step.id.as_str().starts_with(id));
        let runs = steps.map(|(_, step)| match &step.action {
            Action::Run { forward, backward, .. } => (forward.clone().unwrap(), backward.clone()),
            other => panic!("{other:?}"),
        });
        runs.collect()
    };
    let (stops, starts) = (commands("stop-"), commands("start-guests"));
    let guests = Guests::all_up(&["db", "web", "spare"]);
    assert!(stops.iter().all(|(stop, _)| guests.run(stop)));
    assert_eq!(guests.said(), "shutdown spare, shutdown web, shutdown db, ");
    assert!(stops.iter().all(|(stop, _)| guests.run(stop)));
    assert_eq!(guests.said(), "");
    // An undo goes the other way round.
    assert!(stops.iter().rev().all(|(_, start)| guests.run(start.as_ref().unwrap())));
    assert_eq!(guests.said(), "create db, create web, create spare, ");
    assert!(stops.iter().rev().all(|(_, start)| guests.run(start.as_ref().unwrap())));
    assert_eq!(guests.said(), "");
    // One that does not shut down stops the plan there.
    guests.mark("stays", "web");
    assert_eq!(stops.iter().map(|(stop, _)| guests.run(stop)).collect::<Vec<_>>(), [true, false, true]);
    guests.said();
    // One that does not start stops none of the others, and is told.
    guests.mark("broken", "db");
    assert!(!guests.run(&starts[0].0));
    assert_eq!(guests.said(), "create spare, ");
    fs::rename(guests.0.path().join("db.cfg"), guests.0.path().join("db.gone")).unwrap();
    assert!(guests.run(&starts[0].0));
    assert_eq!(guests.said(), "");
    fs::rename(guests.0.path().join("db.gone"), guests.0.path().join("db.cfg")).unwrap();
    fs::remove_file(guests.0.path().join("broken/db")).unwrap();
    assert!(guests.run(&starts[0].0));
    assert_eq!(guests.said(), "create db, ");
}
