//! The options of a chore out of words, as a page or a test has them. Decides nothing: the options say what they take.

use clap::Args;

/// Returns what the words behind a chore's name ask for.
///
/// # Errors
/// clap's own, for what is no command line.
pub fn of_words<T: Args>(
    chore: &'static str,
    words: impl IntoIterator<Item = String>,
) -> Result<T, clap::Error> {
    let line = std::iter::once(chore.to_owned()).chain(words);
    T::from_arg_matches(&T::augment_args(clap::Command::new(chore)).try_get_matches_from(line)?)
}
