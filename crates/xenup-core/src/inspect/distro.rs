//! Which Debian. Decides what os-release(5) says; never guesses a release from package versions.

use super::facts::Distro;
use super::reader::Reader;

/// Gathers os-release.
pub(super) fn gather(reader: &Reader<'_>) -> Distro {
    // /etc/os-release is a link on Debian; a tree may have only its target.
    let text = reader.text("/etc/os-release").or_else(|| reader.text("/usr/lib/os-release"));
    parse(&text.unwrap_or_default())
}

/// Reads os-release(5): shell-like assignments without expansion.
pub(crate) fn parse(text: &str) -> Distro {
    let mut distro = Distro::default();
    for line in text.lines() {
        let Some((name, value)) = line.trim().split_once('=') else { continue };
        let field = match name {
            "ID" => &mut distro.id,
            "VERSION_ID" => &mut distro.version,
            "VERSION_CODENAME" => &mut distro.codename,
            "PRETTY_NAME" => &mut distro.name,
            _ => continue,
        };
        *field = unquoted(value);
    }
    distro
}

/// Returns one field of os-release(5).
pub(super) fn field(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(unquoted(value))
}

/// Takes quotes and backslashes off a value.
pub(super) fn unquoted(value: &str) -> String {
    let value = value.trim();
    if let Some(inner) = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return inner.to_owned();
    }
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn quotes_are_taken_off() {
        let distro = super::parse(
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\n# VERSION_ID=1\n\
             VERSION_CODENAME=bookworm\nID='debian'\nHOME_URL=\"https://www.debian.org/\"\n",
        );
        assert_eq!((&distro.id[..], &distro.version[..], &distro.codename[..]), ("debian", "12", "bookworm"));
        assert_eq!(distro.name, "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(super::unquoted(r#""a \"b\" \$c""#), r#"a "b" $c"#);
    }
}
