//! The handbook's blocks, for tests that do what they say.

use std::path::Path;

/// The project's own folder.
pub fn project() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The one block of the page that has this in it, without the indent of its fence.
pub fn block(page: &str, has: &str) -> String {
    let text = std::fs::read_to_string(project().join(page)).unwrap();
    let bodies = text.split("```").skip(1).step_by(2).filter_map(|part| part.split_once('\n'));
    let found: Vec<&str> = bodies.map(|(_, body)| body).filter(|body| body.contains(has)).collect();
    assert_eq!(found.len(), 1, "{page} has {} blocks with `{has}`", found.len());
    found[0].lines().map(str::trim_start).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}
