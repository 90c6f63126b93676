//! A password as shadow(5) keeps it: crypt(5)'s SHA-512 method, 5000 rounds. Decides nothing: the algorithm is Ulrich
//! Drepper's "Unix crypt using SHA-256 and SHA-512", version 0.6. The salt is the caller's, and random.

use sha2::{Digest as _, Sha512};

const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ROUNDS: usize = 5000;
const SUM: usize = 64;

/// Returns `$6$SALT$…` with the salt drawn from these bytes.
#[must_use]
pub fn hashed(password: &str, random: [u8; 12]) -> String {
    let salt: String = random.iter().map(|byte| letter(u32::from(*byte))).collect();
    with_salt(password.as_bytes(), &salt)
}

fn letter(value: u32) -> char {
    ALPHABET.get(value as usize & 63).map_or('.', |byte| char::from(*byte))
}

fn with_salt(password: &[u8], salt: &str) -> String {
    let salted = salt.as_bytes();
    let b = Sha512::new().chain_update(password).chain_update(salted).chain_update(password).finalize();
    let mut a = Sha512::new().chain_update(password).chain_update(salted);
    a.update(repeated(&b, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        if bits & 1 == 1 {
            a.update(b)
        } else {
            a.update(password)
        }
        bits >>= 1;
    }
    let a = a.finalize();
    let dp = password.iter().fold(Sha512::new(), |sum, _| sum.chain_update(password)).finalize();
    let p = repeated(&dp, password.len());
    let times = usize::from(a.first().copied().unwrap_or_default()) + 16;
    let ds = (0..times).fold(Sha512::new(), |sum, _| sum.chain_update(salted)).finalize();
    let s = repeated(&ds, salted.len());
    let mut sum = a;
    for round in 0..ROUNDS {
        let mut next = Sha512::new();
        if round & 1 == 1 {
            next.update(&p)
        } else {
            next.update(sum)
        }
        if !round.is_multiple_of(3) {
            next.update(&s);
        }
        if !round.is_multiple_of(7) {
            next.update(&p);
        }
        if round & 1 == 1 {
            next.update(sum)
        } else {
            next.update(&p)
        }
        sum = next.finalize();
    }
    format!("$6${salt}${}", written(&sum))
}

fn repeated(bytes: &[u8], length: usize) -> Vec<u8> {
    bytes.iter().copied().cycle().take(length).collect()
}

/// Base 64 of the sum in the order of the specification: triples of bytes 21 apart, turned by one place each time.
fn written(sum: &[u8]) -> String {
    let byte = |at: usize| u32::from(sum.get(at).copied().unwrap_or_default());
    let mut text = String::new();
    let mut place = (0, 21, 42);
    for _ in 0..21 {
        let (a, b, c) = place;
        letters(&mut text, byte(a) << 16 | byte(b) << 8 | byte(c), 4);
        place = (b + 1, c + 1, a + 1);
    }
    letters(&mut text, byte(SUM - 1), 2);
    text
}

fn letters(text: &mut String, mut value: u32, count: usize) {
    for _ in 0..count {
        text.push(letter(value));
        value >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both as `openssl passwd -6` gives them; the first is the specification's own example.
    #[test]
    fn the_sums_are_those_of_the_specification() {
        assert_eq!(
            with_salt(b"Hello world!", "saltstring"),
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
        );
        assert_eq!(
            with_salt(b"rehearsal", "rehearsal"),
            "$6$rehearsal$KvE53SAPxzqTg9vgeGez9G.SWSHYzpMj9lc299CT6sBzcYCeu9rMaHm49HKR2QDS14A38KQRsAt3gbbXwcjjx/"
        );
        assert!(hashed("a", [0, 1, 63, 64, 255, 2, 3, 4, 5, 6, 7, 8]).starts_with("$6$./z.z0123456$"));
    }
}
