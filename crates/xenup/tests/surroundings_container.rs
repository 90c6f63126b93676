//! What `apply` says on a machine that cannot take the change: in a container, because the whole machine has to be so.
//! Needs root, and is skipped elsewhere. Each folder of tests/cases/surroundings is one machine.
//!
//! A case has `prepare` (a script that makes the machine so, run inside), `plan.json` (`MACHINE` stands for its id) and
//! `expected` (exit code and standard error). `XENUP_UPDATE_CASES=1` rewrites `expected`.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "the test drives a container"
)]

#[allow(dead_code, reason = "another test uses the rest of it")]
mod container;

use std::path::Path;

use container::{Container, missing};

/// Every path of the machine that a plan here could touch, and the state of its packages.
fn picture(container: &Container) -> String {
    container.run(&[
        "sh",
        "-c",
        "cd / && find etc usr/share ! -type d -exec stat -c '%n %U:%G %a %Y %s' {} + | sort; \
         dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\\n'; apt-mark showauto",
    ])
}

/// Runs the case and returns what was said, without the run's id and the container's path.
fn said(container: &Container, case: &Path) -> String {
    let plan = std::fs::read_to_string(case.join("plan.json")).unwrap();
    let plan = plan.replace("MACHINE", container.read("/etc/machine-id").trim());
    std::fs::write(container.path("/root/plan.json"), plan).unwrap();
    let prepare = std::fs::read_to_string(case.join("prepare")).unwrap();
    container.run(&["sh", "-euc", &prepare]);
    let before = picture(container);
    let output = container.output(&["xenup", "apply", "/root/plan.json", "--yes"]);
    assert_eq!(picture(container), before, "{}", container.logs());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let run = container.output(&["sh", "-c", "ls /var/lib/xenup/runs 2>/dev/null || true"]);
    let run = String::from_utf8_lossy(&run.stdout).trim().to_owned();
    let errors = if run.is_empty() { errors } else { errors.replace(&run, "RUN") };
    format!("exit {}\n--- stderr\n{errors}", output.status.code().unwrap_or(-1))
}

#[test]
fn a_machine_that_cannot_take_the_change_is_told_why_and_left_as_it_was() {
    if let Some(why) = missing() {
        println!("skipped: {why}");
        return;
    }
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/surroundings");
    let update = std::env::var_os("XENUP_UPDATE_CASES").is_some();
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(&cases).unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let container = Container::boot(&name);
        let said = said(&container, &entry.path());
        let expected = entry.path().join("expected");
        if update {
            std::fs::write(&expected, &said).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{name}:\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
