//! What a package's own changelog says of who uploaded it.
//!
//! Decides: which entries are non-maintainer uploads, by their first words or by their version (Developer's Reference
//! 5.11.2). Never looks anything up.

use jiff::civil::Date;

/// The uploads at the top of a changelog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uploads {
    /// Non-maintainer uploads since the maintainer's last.
    pub nmus_in_a_row: u16,
    /// The day of the maintainer's last.
    pub last_of_maintainer: Option<Date>,
}

/// Reads debian/changelog; what is not in its form is passed over.
pub fn read(text: &str) -> Uploads {
    let mut uploads = Uploads::default();
    let (mut version, mut said) = (String::new(), false);
    for line in text.lines() {
        if let Some(date) =
            line.strip_prefix(" -- ").and_then(|foot| foot.split_once("  ")).map(|(_, date)| date)
        {
            if !said && !is_nmu_version(&version) {
                let day = jiff::fmt::rfc2822::parse(date.trim()).map(|moment| moment.date());
                uploads.last_of_maintainer = day.ok();
                return uploads;
            }
            uploads.nmus_in_a_row = uploads.nmus_in_a_row.saturating_add(1);
        } else if line.starts_with("  ") {
            let words = line.trim_start_matches([' ', '*', '-']).to_ascii_lowercase();
            said |= words.starts_with("non-maintainer upload") || words.starts_with("nmu");
        } else if let Some((_, rest)) = line.split_once(" (") {
            version = rest.split(')').next().unwrap_or_default().to_owned();
            said = false;
        }
    }
    uploads
}

/// `1.5-2.1`, `1.5+nmu1`: nobody but a stranger to the package counts like that.
fn is_nmu_version(version: &str) -> bool {
    let numbers = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let by_word = version.rsplit_once("+nmu").is_some_and(|(_, count)| numbers(count));
    let revision = version.rsplit_once('-').map(|(_, revision)| revision);
    by_word
        || revision
            .and_then(|revision| revision.split_once('.'))
            .is_some_and(|(one, two)| numbers(one) && numbers(two))
}
