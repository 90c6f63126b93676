//! No input makes a parser of this room fall or run away: files of a broken disk, of a guest, of somebody unkind.

use std::path::Path;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::{boot, distro, network, packages, services};

/// Text of the words that the formats are made of, so that their grammar is reached.
fn texts() -> impl Strategy<Value = String> {
    let words = [
        "if",
        "then",
        "elif",
        "else",
        "fi",
        "case",
        "in",
        "esac",
        "for",
        "do",
        "done",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ";",
        ";;",
        "&&",
        "||",
        "|",
        "&",
        "!",
        "<<",
        ">",
        "$(",
        "${",
        "`",
        "'",
        "\"",
        "\\",
        "\n",
        "A=",
        "$A",
        "${A:-",
        "GRUB_DEFAULT=",
        "menuentry",
        "submenu",
        "set",
        "multiboot2",
        "/boot/xen-4.17.gz",
        "#",
        "=",
        ":",
        "network:",
        "  ethernets:",
        "    eno1:",
        "      match:",
        "Package: x",
        "Status: install ok installed",
        "[Match]",
        "Name=",
        "# GRUB Environment Block\n",
        " - ",
        "26 1 254:2 / / rw",
        "\\040",
        "f()",
        ".",
        "eval",
        "äé",
        "\0",
    ];
    let word = prop_oneof![
        proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        "\\PC{0,6}",
        Just(" ".to_owned())
    ];
    proptest::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn words_of_the_formats(text in texts()) {
        all(&text);
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        all(&String::from_utf8_lossy(&bytes));
    }
}

fn all(text: &str) {
    boot::hostile(text);
    network::hostile(text);
    services::hostile(text);
    let _ = distro::parse(text);
    let _ = packages::status(text);
    let _ = packages::auto_marks(text);
    let _ = packages::line_sources(Path::new("/x"), text);
    let _ = packages::deb822_sources(Path::new("/x"), text);
}
