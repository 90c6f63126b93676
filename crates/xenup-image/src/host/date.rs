//! Of which day an archive is: the `Date` of its Release files, the youngest of them. Decides the time that every file of
//! a disk takes for the present; never trusts the file with more than that (apt verifies it where packages are fetched).

use std::path::Path;
use std::time::Duration;

use xenup_system::files;
use xenup_system::process::Tool;

use crate::error::{ImageError, during};
use crate::mirror::Mirror;
use crate::spec::Suite;

/// apt's own way of fetching a file: with this machine's proxies and settings.
pub(super) const HELPER: &str = "/usr/lib/apt/apt-helper";
const LIMIT: Duration = Duration::from_secs(300);

/// A day of an archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day {
    /// Seconds since 1970.
    pub epoch: u64,
    /// As the archive writes it.
    pub text: String,
}

/// Returns the youngest day of its parts.
///
/// # Errors
/// The mirror does not answer, does not have the suite, or its file has no date.
pub(super) fn of_archive(mirror: &Mirror, suite: Suite, work: &Path) -> Result<Day, ImageError> {
    let mut youngest: Option<Day> = None;
    for (place, dist) in dists(mirror, suite) {
        let file = work.join("InRelease");
        Tool::new(HELPER)
            .arg("download-file")
            .arg(format!("{place}/dists/{dist}/InRelease"))
            .arg(&file)
            .timeout(LIMIT)
            .run()
            .map_err(during("asking the mirror for the archive's day (apt-helper)"))?;
        let text = files::read_text(&file)?;
        files::remove_file(&file)?;
        youngest = youngest.max(Some(day(&text, suite)?));
    }
    youngest.ok_or_else(|| ImageError::NoDate { suite: suite.name(), why: "it has no parts".to_owned() })
}

/// The parts of the archive, as [`Mirror::sources_list`] names them.
fn dists(mirror: &Mirror, suite: Suite) -> Vec<(String, String)> {
    let list = mirror.sources_list(suite);
    let part = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    };
    list.lines().filter_map(part).collect()
}

fn day(release: &str, suite: Suite) -> Result<Day, ImageError> {
    let no = |why: String| ImageError::NoDate { suite: suite.name(), why };
    let date = release.lines().find_map(|line| line.strip_prefix("Date:")).map(str::trim);
    let date = date.ok_or_else(|| no("its Release file has no Date".to_owned()))?;
    let said = Tool::new("date").args(["--utc", "+%s", "--date"]).arg(date).output();
    let said = said.map_err(during("reading the archive's day (date)"))?;
    let epoch = said.text().trim().parse().map_err(|_| no(format!("`{date}` is no date")))?;
    Ok(Day { epoch, text: date.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::{day, dists};
    use crate::mirror::Mirror;
    use crate::spec::Suite;

    #[test]
    fn the_day_is_read_and_every_part_is_asked() {
        let release = "Origin: Debian\nDate: Sat, 06 Sep 2025 09:58:21 UTC\nValid-Until: x\n";
        assert_eq!(day(release, Suite::Trixie).unwrap().epoch, 1_757_152_701);
        assert!(day("Origin: Debian\n", Suite::Trixie).is_err());
        assert!(day("Date: some day\n", Suite::Trixie).is_err());
        let mirror = Mirror { archive: "a".into(), security: Some("s".into()), apt_options: Vec::new() };
        let names: Vec<String> =
            dists(&mirror, Suite::Trixie).into_iter().map(|(a, d)| a + " " + &d).collect();
        assert_eq!(names, ["a trixie", "a trixie-updates", "s trixie-security"]);
    }
}
