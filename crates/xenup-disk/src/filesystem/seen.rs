//! What stood at the paths that were looked at: each file is asked for by a path whose folders others were asked for by,
//! and a reader goes from the root each time. Never more than [`MOST_BYTES`] of paths: then it forgets them all.

use std::collections::HashMap;

use super::{FsError, Stat};

/// Bytes of paths that are kept.
const MOST_BYTES: usize = 256 << 10;
/// What a path costs besides its own bytes.
const EACH: usize = 96;

/// Paths, and what stands there; `None` where nothing does.
#[derive(Debug, Default)]
pub(super) struct Seen {
    paths: HashMap<Vec<u8>, Option<Stat>>,
    bytes: usize,
}

impl Seen {
    /// What stands at a path, by `look` where that is not known. What cannot be read is looked at again.
    pub(super) fn stat(
        &mut self,
        path: &[u8],
        look: impl FnOnce() -> Result<Stat, FsError>,
    ) -> Result<Stat, FsError> {
        if let Some(known) = self.paths.get(path) {
            return known.ok_or_else(|| FsError::not_found(path));
        }
        let found = look();
        match &found {
            Ok(stat) => self.keep(path, Some(*stat)),
            Err(error) if error.is_not_found() => self.keep(path, None),
            Err(_) => {}
        }
        found
    }

    fn keep(&mut self, path: &[u8], found: Option<Stat>) {
        let size = path.len().saturating_add(EACH);
        if self.bytes.saturating_add(size) > MOST_BYTES {
            self.paths.clear();
            self.bytes = 0;
        }
        if size <= MOST_BYTES {
            self.bytes = self.bytes.saturating_add(size);
            self.paths.insert(path.to_vec(), found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::FileKind;
    use super::*;

    const FILE: Stat = Stat { kind: FileKind::File, size: 7, mode: 0o644 };

    #[test]
    fn a_path_is_looked_at_once_and_one_that_cannot_be_read_again() {
        let mut seen = Seen::default();
        let never = || -> Result<Stat, FsError> { panic!("it is known") };
        assert_eq!(seen.stat(b"/a", || Ok(FILE)).unwrap(), FILE);
        assert_eq!(seen.stat(b"/a", never).unwrap(), FILE);
        assert!(seen.stat(b"/b", || Err(FsError::not_found(b"/b"))).unwrap_err().is_not_found());
        assert!(seen.stat(b"/b", never).unwrap_err().is_not_found());
        let damaged = || Err(FsError::Damaged { what: "x".to_owned() });
        assert!(seen.stat(b"/c", damaged).is_err());
        assert_eq!(seen.stat(b"/c", || Ok(FILE)).unwrap(), FILE);
    }

    #[test]
    fn it_never_holds_more_than_its_bytes() {
        let mut seen = Seen::default();
        for number in 0..20_000 {
            seen.stat(format!("/a/path/of/some/length/{number}").as_bytes(), || Ok(FILE)).unwrap();
            assert!(seen.bytes <= MOST_BYTES);
        }
        let long = vec![b'x'; MOST_BYTES];
        seen.stat(&long, || Ok(FILE)).unwrap();
        assert!(!seen.paths.contains_key(&long));
    }
}
