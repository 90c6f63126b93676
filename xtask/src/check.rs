//! Everything that must hold before a change lands, in the order of what it costs.

use std::time::Duration;

use xenup_system::process::Tool;
use xenup_system::stopwatch::Stopwatch;

/// `cargo xtask check`
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Add the matrices that take hours
    #[arg(long)]
    long: bool,
    /// Run only the checks whose name contains WORD
    #[arg(value_name = "WORD")]
    only: Option<String>,
}

type Body = fn(&Check) -> crate::Outcome;

/// The checks: name and body.
const CHECKS: &[(&str, Body)] = &[
    ("format", |_| tool("cargo", &["fmt", "--all", "--check"])),
    ("words", |_| words()),
    ("lints", |_| tool("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    ("tests", |_| tool("cargo", &["test", "--workspace", "--quiet", "--no-fail-fast"])),
    ("docs-are-current", |_| crate::docs::run(&crate::docs::Docs { check: true })),
    ("manual-pages", |_| manual_pages()),
    ("spelling", |_| spelling()),
    ("package", |_| crate::package::run(&crate::package::Package { check: true }).map(|_| true)),
];

/// Runs the checks, every one even after a failure, and prints the counts.
///
/// # Errors
/// None of its own: a check that cannot run has failed.
pub fn run(options: &Check) -> crate::Outcome {
    let (mut passed, mut failed) = (0, Vec::new());
    let wanted = |name: &str| options.only.as_deref().is_none_or(|word| name.contains(word));
    for (name, body) in CHECKS.iter().filter(|(name, _)| wanted(name)) {
        let watch = Stopwatch::start();
        println!("== {name}");
        let good = body(options).unwrap_or_else(|error| {
            println!("{error}");
            false
        });
        println!(
            "== {name}: {} in {:.1} s",
            if good { "passed" } else { "FAILED" },
            watch.elapsed().as_secs_f64()
        );
        if good {
            passed += 1;
        } else {
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    println!("checks: {passed} passed, {} failed", failed.len());
    Ok(failed.is_empty())
}

/// Runs a program in the project's folder with its output shown as it comes.
fn tool(program: &str, args: &[&str]) -> crate::Outcome {
    let output = Tool::new(program)
        .args(args)
        .current_dir(crate::project())
        .timeout(Duration::from_secs(3600))
        .run_lines(&mut |line| println!("{line}"));
    match output {
        Ok(_) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn words() -> crate::Outcome {
    let found = crate::words::forbidden(&crate::project())?;
    for line in &found {
        println!("{line}");
    }
    Ok(found.is_empty())
}

fn manual_pages() -> crate::Outcome {
    let pages = xenup_system::files::list(&crate::project().join("man"))?;
    let output = Tool::new("mandoc").args(["-Tlint", "-Wwarning"]).args(&pages).output()?;
    print!("{}", output.text());
    Ok(output.status.success() && !pages.is_empty())
}

fn spelling() -> crate::Outcome {
    tool(
        "codespell",
        &["--skip", "target,vendor,.git,Cargo.lock,tests/cases", "--ignore-words", ".ci/words", "."],
    )
}
