//! Work on many things at once, on as many threads as the machine has processors. Decides the number of threads; never
//! the order in which the work is begun to the caller's knowledge: results come in the order of the things.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many processors this process may use; 1 where that cannot be told.
#[must_use]
pub fn processors() -> u16 {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// Does `work` for each of `things`; a result is missing where a thread of the work fell.
pub fn map<T: Sync, R: Send>(things: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<Option<R>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(things.len());
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let worker = || {
        while let Some((index, thing)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            things.get(index).map(|thing| (index, thing))
        } {
            let result = work(thing);
            if let Ok(mut results) = results.lock() {
                results.push((index, result));
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        for thread in threads {
            let _ = thread.join();
        }
    });
    let mut ordered: Vec<Option<R>> = things.iter().map(|_| None).collect();
    for (index, result) in results.into_inner().unwrap_or_default() {
        if let Some(place) = ordered.get_mut(index) {
            *place = Some(result);
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::map;

    #[test]
    fn results_come_in_the_order_of_the_things() {
        let things: Vec<u64> = (0..1000).collect();
        let doubled: Vec<u64> = map(&things, |thing| thing * 2).into_iter().flatten().collect();
        assert_eq!(doubled, things.iter().map(|thing| thing * 2).collect::<Vec<_>>());
        assert!(map(&[0_u8; 0], |_| ()).is_empty());
    }
}
