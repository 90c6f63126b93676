//! Plans: `tests/cases/plan/<case>/{facts.json, host.toml, apt.txt?}` → `plan.json` and `plan.txt`, with what somebody
//! should know in `findings.txt`; or `refused.txt` alone.

mod cases_of;
mod convergence;

use std::path::{Path, PathBuf};

use cases_of::{expect, folders, optional_text, text};
use xenup_core::host::{Host, PATH};
use xenup_core::inspect::{Facts, Finding};
use xenup_core::packages::AptSimulation;
use xenup_core::plan::{Planned, installer, plan};
use xenup_engine::action::{Action, Lasts};
use xenup_engine::plan::Plan;
use xenup_engine::validate::validate;

struct Case {
    folder: PathBuf,
    facts: Facts,
    host: Host,
    apt: Option<AptSimulation>,
}

fn cases() -> Vec<Case> {
    let read = |folder: PathBuf| {
        let facts = serde_json::from_str(&text(&folder, "facts.json"))
            .unwrap_or_else(|error| panic!("{}: facts.json: {error}", folder.display()));
        let host = Host::parse(Path::new(PATH), text(&folder, "host.toml").as_bytes())
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let apt = optional_text(&folder, "apt.txt").map(|text| AptSimulation::parse(&text));
        Case { folder, facts, host, apt }
    };
    folders("plan").into_iter().map(read).collect()
}

fn lines(findings: &[Finding]) -> String {
    let one = |finding: &Finding| {
        let at: String =
            finding.at.iter().map(|at| format!("  at:  {}:{}\n", at.path.display(), at.line)).collect();
        let weight = format!("{:?}", finding.weight).to_lowercase();
        format!(
            "{weight}: {} ({})\n  why: {}\n  fix: {}\n{at}",
            finding.what, finding.id, finding.why, finding.fix
        )
    };
    findings.iter().map(one).collect()
}

#[test]
fn every_case_is_planned_or_refused_as_written() {
    for case in cases() {
        let name = case.folder.display();
        match plan(&case.facts, &case.host, case.apt.as_ref()) {
            Ok(planned) => {
                let Planned { plan, findings, .. } = &planned;
                assert!(
                    !case.folder.join("refused.txt").exists(),
                    "{name} was planned, though it has refused.txt"
                );
                validate(plan).unwrap_or_else(|error| panic!("{name}: {error}"));
                let json = serde_json::to_string_pretty(plan).expect("a plan is JSON");
                let again: Plan = serde_json::from_str(&json).expect("its own JSON is read");
                assert_eq!(&again, plan, "{name}: the plan changed on its way through JSON");
                expect(&case.folder, "plan.json", &(json + "\n"));
                expect(&case.folder, "plan.txt", &planned.text(true));
                if !findings.is_empty() || case.folder.join("findings.txt").exists() {
                    expect(&case.folder, "findings.txt", &lines(findings));
                }
            }
            Err(findings) => {
                assert!(!case.folder.join("plan.json").exists(), "{name} was refused:\n{}", lines(&findings));
                expect(&case.folder, "refused.txt", &lines(&findings));
            }
        }
    }
}

/// Every stage is carried out on the facts; then a plan for the same wish is empty. Stopped after any stage, a new
/// plan has the later stages left and nothing of those done.
#[test]
fn a_plan_carried_out_leaves_nothing_to_do() {
    let mut planned = 0;
    for case in cases() {
        let Ok(Planned { plan: first, .. }) = plan(&case.facts, &case.host, case.apt.as_ref()) else {
            continue;
        };
        let mut facts = case.facts.clone();
        for (index, stage) in first.stages.iter().enumerate() {
            convergence::carry_out(&mut facts, stage);
            let name = format!("{}, after stage {}", case.folder.display(), stage.id);
            let again =
                plan(&facts, &case.host, None).unwrap_or_else(|found| panic!("{name}:\n{}", lines(&found)));
            let left: Vec<&str> = again.plan.stages.iter().map(|stage| stage.id.as_str()).collect();
            let expected: Vec<&str> =
                first.stages[index + 1..].iter().map(|stage| stage.id.as_str()).collect();
            assert_eq!(left, expected, "{name}:\n{}", again.text(false));
        }
        planned += 1;
    }
    assert!(planned >= 12, "{planned} cases can be planned");
}

/// In a system that does not run no step needs a link, a service or a confirm; what is left is written as one case has it.
#[test]
fn an_installer_does_what_lasts_in_files() {
    // Whoever plans for an installer has no units that try what is newer.
    for case in cases().into_iter().filter(|case| !case.facts.boot.can_try_newer) {
        let Ok(planned) = plan(&case.facts, &case.host, case.apt.as_ref()) else { continue };
        let name = case.folder.display();
        let only = match installer::only(planned, &case.host) {
            Ok(only) => only,
            Err(found) => {
                assert!(found.iter().all(|finding| finding.id == "installer-cannot"), "{name}");
                continue;
            }
        };
        validate(&only.plan).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(only.plan.stages.iter().all(|stage| stage.guard.is_none()), "{name}");
        let steps = only.plan.stages.iter().flat_map(|stage| &stage.steps);
        assert!(steps.clone().all(|step| step.lasts == Lasts::OnDisk), "{name}");
        let told = serde_json::to_string(&only.plan).expect("a plan is JSON");
        assert!(!told.contains("trial boot was confirmed"), "{name}: nothing has booted yet");
        if case.folder.join("installer.txt").exists() {
            let told: String = steps.map(|step| format!("{}\n", step.id)).collect();
            expect(&case.folder, "installer.txt", &told);
        }
    }
}

/// Words of host.toml that are new are tried with plain Linux to fall back to, also where something is known to boot, and
/// what was tried is kept then.
#[test]
fn new_words_are_tried_from_linux_where_something_is_known_to_boot() {
    let case =
        cases().into_iter().find(|case| case.folder.ends_with("later-versions-tried")).expect("a case");
    let first = plan(&case.facts, &case.host, case.apt.as_ref()).expect("it is planned").plan;
    let mut facts = case.facts.clone();
    first.stages.iter().for_each(|stage| convergence::carry_out(&mut facts, stage));
    let wish = text(&case.folder, "host.toml").replace("dom0-vcpus = 2", "dom0-vcpus = 1");
    let host = Host::parse(Path::new(PATH), wish.as_bytes()).expect("it is a wish");
    let again = plan(&facts, &host, None).expect("it is planned");
    let stages: Vec<&str> = again.plan.stages.iter().map(|stage| stage.id.as_str()).collect();
    assert_eq!(stages, ["prepare", "boot-trial", "boot-default"], "{}", again.text(false));
    let shown = again.text(false);
    let place = |words: &str| shown.find(words).unwrap_or_else(|| panic!("{words}:\n{shown}"));
    assert!(place("+GRUB_DEFAULT=\"gnulinux-simple-") < place("(arm-trial)"));
    assert!(place("(arm-trial)") < place("(known-good)"));
    assert!(place("(known-good)") < place("+GRUB_DEFAULT=\"xenup-known-good\""));
}

/// Until a trial boot was confirmed GRUB boots something else than Xen when nobody chooses, and what it booted before
/// where that was not Xen: Xen's entries have come into the menu by then, and numbers count them.
#[test]
fn nothing_but_a_confirmed_trial_makes_xen_the_default() {
    for case in cases() {
        let Ok(Planned { plan, .. }) = plan(&case.facts, &case.host, case.apt.as_ref()) else { continue };
        let mut facts = case.facts.clone();
        let before = convergence::booted(&facts).clone();
        for stage in plan.stages.iter().take_while(|stage| stage.id.as_str() != "boot-default") {
            convergence::carry_out(&mut facts, stage);
            let now = convergence::booted(&facts);
            let name = format!("{}, after stage {}", case.folder.display(), stage.id);
            assert!(!now.xen, "{name}: GRUB boots {}", now.title);
            assert!(before.xen || now.id == before.id, "{name}: GRUB boots {}", now.title);
        }
    }
}

/// An undo may come while the server is away: the client is started, and goes on asking by itself.
#[test]
fn an_undo_waits_for_no_lease() {
    let mut clients = 0;
    for case in cases() {
        let Ok(Planned { plan, .. }) = plan(&case.facts, &case.host, case.apt.as_ref()) else { continue };
        for (_, step) in plan.steps() {
            let Action::Run { forward, backward, .. } = &step.action else { continue };
            let at_once = |line: &str| line.split(' ').any(|word| ["-nw", "--background"].contains(&word));
            if step.id.as_str().contains("-stop-") {
                let line = backward.as_ref().expect("a client that is stopped is started again").line();
                assert!(at_once(&line), "{}: {line}", case.folder.display());
                assert!(!line.split(' ').any(|word| word == "-1"), "{}: {line}", case.folder.display());
                clients += 1;
            }
            if step.id.as_str().contains("-start-") {
                let line = forward.as_ref().expect("a client is started").line();
                assert!(!at_once(&line), "{}: {line}", case.folder.display());
            }
        }
    }
    assert!(clients > 0, "no case has a DHCP client");
}

/// Apt's own lines, all of them: one that was passed over would be a package nobody saw.
#[test]
fn no_line_of_a_simulation_is_passed_over() {
    for folder in folders("plan") {
        let Some(text) = optional_text(&folder, "apt.txt") else { continue };
        let simulation = AptSimulation::parse(&text);
        let count = |verb: &str| text.lines().filter(|line| line.starts_with(verb)).count();
        assert_eq!(simulation.installs.len(), count("Inst "), "{}", folder.display());
        assert_eq!(simulation.removes.len(), count("Remv ") + count("Purg "), "{}", folder.display());
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_of_simulations_fall(text in "(Inst|Remv|Purg|Conf)? ?[a-z0-9:.+-]{0,9} ?\\PC{0,60}") {
        let _ = AptSimulation::parse(&text);
    }
}
