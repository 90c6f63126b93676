//! A password as shadow(5) keeps it: crypt(5)'s SHA-512 method. Decides the method alone; the salt is the caller's, and
//! random.

use sha_crypt::password_hash::{Error, PasswordHasher as _};
use sha_crypt::{Algorithm, Params, ShaCrypt};

/// Returns `$6$rounds=5000$SALT$…` with a salt out of these bytes.
///
/// # Errors
/// None that is known: the salt's bytes have no form that crypt(5) cannot write.
pub fn hashed(password: &str, random: [u8; 12]) -> Result<String, Error> {
    let method = ShaCrypt::new(Algorithm::Sha512Crypt, Params::RECOMMENDED);
    Ok(method.hash_password_with_salt(password.as_bytes(), &random)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As crypt(3) of libcrypt gives it.
    #[test]
    fn the_sum_is_the_one_that_libcrypt_makes() {
        let salt = [0, 1, 63, 64, 255, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(
            hashed("rehearsal", salt).unwrap(),
            "$6$rounds=5000$.2kD.xj.1EE/4Q.0$Aq1ETp64gOdtdJeclrKnnWiBl8h6bH2tT2tePHgKf/SXNVtJICJvWq3ds7eUvJowQPPt3daC7DX7XpSYu6thN0"
        );
    }
}
