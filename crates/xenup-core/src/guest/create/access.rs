//! Who may log in: the lines of root's authorized_keys. Decides which lines are public keys; never whose they are.

/// A line that cannot be in authorized_keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// A private key, which must not leave where it is.
    #[error("this is a private key: it stays where it is")]
    Private,
    /// No key.
    #[error("line {0} is no public key of OpenSSH")]
    Form(usize),
    /// No line at all.
    #[error("no public key in it")]
    Nothing,
}

/// The names that a public key begins with (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
const KINDS: &[&str] = &["ssh-ed25519", "ssh-rsa", "ssh-dss", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"];

/// Returns the keys of a file in the form of authorized_keys or of one `.pub` file; comments and empty lines left out.
///
/// # Errors
/// A private key, a line that is no key, or no key at all.
pub fn authorized_keys(text: &str) -> Result<Vec<String>, KeyFault> {
    if text.contains("PRIVATE KEY-----") {
        return Err(KeyFault::Private);
    }
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // Options may stand before the kind, with blanks inside quotes.
        let words: Vec<&str> = line.split_whitespace().collect();
        let kind = words.iter().position(|word| KINDS.iter().any(|kind| word.starts_with(kind)));
        let blob = kind.and_then(|at| words.get(at + 1));
        let is_blob = |blob: &&&str| {
            blob.len() >= 16 && blob.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
        };
        let plain = line.chars().all(|c| !c.is_control() || c == '\t');
        if blob.filter(is_blob).is_none() || !plain {
            return Err(KeyFault::Form(number + 1));
        }
        keys.push(line.to_owned());
    }
    if keys.is_empty() { Err(KeyFault::Nothing) } else { Ok(keys) }
}
