//! What a check claims of a machine or a file, one line each. Decides how a claim is printed; never what is claimed.

use std::time::Duration;

use xenup_rehearse::console::Console;

/// Prints whether a claim held, and returns it.
pub fn holds(what: &str, held: bool) -> bool {
    println!("{}: {what}", if held { "holds" } else { "FAILED" });
    held
}

/// Runs a command for each claim on a machine's console, prints what it says, and returns which claims held: those whose
/// command ended with 0.
///
/// # Errors
/// A console that does not answer within `limit`.
pub fn asked(
    console: &mut Console,
    claims: &[(&str, &str)],
    limit: Duration,
) -> Result<Vec<(String, bool)>, Box<dyn std::error::Error>> {
    let mut all = Vec::new();
    for (what, command) in claims {
        let result = console.run(command, limit)?;
        print!("{}", result.output.lines().map(|line| format!("  {line}\n")).collect::<String>());
        if result.status != 0 {
            println!("  {command}: status {}", result.status);
        }
        all.push(((*what).to_owned(), result.status == 0));
    }
    Ok(all)
}
