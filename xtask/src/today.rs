//! The calendar day, in UTC, by which the chores count.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use xenup_machine::Probe;

/// Returns the day of the machine's wall clock.
///
/// # Errors
/// The clock cannot be read, or stands where no calendar reaches.
pub fn today() -> Result<Date, Box<dyn std::error::Error>> {
    let seconds = xenup_system::System::running()?.clock().unix_seconds;
    Ok(TimeZone::UTC.to_datetime(jiff::Timestamp::from_second(seconds)?).date())
}
