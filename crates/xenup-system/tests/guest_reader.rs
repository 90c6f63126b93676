//! What the reader of a guest's disk can do, and what not. The program of these tests is its own child: called with the
//! name of a deed it serves as the reader and does it.
#![allow(clippy::disallowed_methods, reason = "tests make files and try what is forbidden")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use xenup_system::guest_reader::{GuestReader, GuestReaderError, Handed, Read, serve};

/// What a child finds: words.
type Words = Vec<String>;

type Test = fn(&Path);

fn main() {
    let deed = std::env::args().nth(1).unwrap_or_default();
    if let Some(deed) = deed.strip_prefix("deed-") {
        serve(|handed| do_it(deed, handed)).expect("the child could not serve");
        return;
    }
    let tests: [(&str, Test); 6] = [
        ("the child reads what it is handed", reads_what_it_is_handed),
        ("the child has no rights", has_no_rights),
        ("a child that goes wrong is an error", going_wrong_is_an_error),
        ("backing files outside the folder are refused", backing_files_outside_are_refused),
        ("what is no image is refused", no_image_is_refused),
        ("a file's bytes come through", a_file_comes_through),
    ];
    for (name, test) in tests.into_iter().filter(|(name, _)| name.contains(&deed)) {
        let folder = tempfile::tempdir().unwrap();
        test(folder.path());
        println!("{name} ... ok");
    }
}

fn do_it(deed: &str, handed: &Handed) -> Result<(Words, Vec<u8>), String> {
    let word = |what: bool| if what { "could" } else { "could not" }.to_owned();
    let said = match deed {
        "read" => {
            let mut bytes = [0; 5];
            handed.image.read_at(2, &mut bytes).map_err(|error| error.to_string())?;
            vec![String::from_utf8_lossy(&bytes).into_owned(), handed.image.size().to_string()]
        }
        "rights" => vec![
            word(fs::read("/etc/passwd").is_ok()),
            word(fs::write("/tmp/xenup-must-not-be", "x").is_ok()),
            word(std::net::TcpStream::connect("127.0.0.1:9").is_err_and(|error| {
                // Refused by the peer is a connection that was tried.
                error.kind() == std::io::ErrorKind::ConnectionRefused
            })),
            word(std::process::Command::new("/bin/true").status().is_ok()),
            word(Vec::<u8>::new().try_reserve_exact(400 << 20).is_ok()),
            std::env::vars()
                .map(|(name, _)| name)
                .filter(|name| name != "PATH" && name != "LC_ALL")
                .collect(),
            fs::read_to_string("/proc/self/status").unwrap_or_else(|_| "unreadable".to_owned()),
        ],
        "chain" => (0..2)
            .map(|depth| match xenup_disk::image::BackingFiles::open(handed, depth, "") {
                Ok(file) => format!("{} bytes", file.size()),
                Err(error) => error,
            })
            .collect(),
        "file" => return Ok((Vec::new(), b"line\nand\0bytes".repeat(100_000))),
        "refuse" => return Err("no".to_owned()),
        "panic" => panic!("the child panics"),
        "spin" => loop {
            std::hint::black_box(());
        },
        "allocate" => vec![String::from_utf8_lossy(&vec![b'x'; 300 << 20]).into_owned()],
        "shout" => vec!["x".repeat(6 << 20)],
        other => return Err(format!("what is {other}")),
    };
    Ok((said, Vec::new()))
}

fn reader(deed: &str) -> GuestReader {
    GuestReader::own(&format!("deed-{deed}")).time(Duration::from_secs(120))
}

fn ask(deed: &str, image: &Path) -> Result<Read<Words>, GuestReaderError> {
    reader(deed).read(image)
}

fn image(folder: &Path) -> std::path::PathBuf {
    let image = folder.join("image");
    fs::write(&image, "a hello from the image").unwrap();
    image
}

fn reads_what_it_is_handed(folder: &Path) {
    let read = ask("read", &image(folder)).unwrap();
    assert_eq!(read.found, ["hello", "22"]);
    assert!(read.sandbox.limits);
    let is_root = rustix::process::geteuid().is_root();
    assert!(read.sandbox.nobody || !is_root, "{:?}", read.sandbox);
}

fn has_no_rights(folder: &Path) {
    let read = ask("rights", &image(folder)).unwrap();
    let [passwd, file, tcp, program, memory, environment, status] = read.found.as_slice() else {
        panic!("{:?}", read.found)
    };
    assert_eq!((file.as_str(), program.as_str(), memory.as_str()), ("could not", "could not", "could not"));
    assert_eq!(environment, "");
    if read.sandbox.landlock == "none" {
        println!("SKIPPED: this kernel has no Landlock");
    } else {
        assert_eq!((passwd.as_str(), status.as_str()), ("could not", "unreadable"));
    }
    if read.sandbox.landlock == "full" {
        assert_eq!(tcp, "could not");
    }
}

fn going_wrong_is_an_error(folder: &Path) {
    let image = image(folder);
    for (deed, words) in [("panic", "exit status 101"), ("allocate", "signal"), ("shout", "wrote more than")]
    {
        let error = ask(deed, &image).unwrap_err();
        let GuestReaderError::Child { source, .. } = &error else { panic!("{deed}: {error}") };
        assert!(source.to_string().contains(words), "{deed}: {source}");
    }
    let slow = reader("spin").time(Duration::from_millis(300)).read::<Words>(&image).unwrap_err();
    let GuestReaderError::Child { source, .. } = &slow else { panic!("{slow}") };
    assert!(source.to_string().contains("not done after"), "{source}");
    let refused = ask("refuse", &image).unwrap_err();
    assert!(matches!(&refused, GuestReaderError::Refused { why, .. } if why == "no"), "{refused}");
}

/// A qcow2 header of version 2 that names a backing file.
fn overlay(name: &str) -> Vec<u8> {
    let mut bytes = vec![0; 65536];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, b"QFI\xfb");
    put(4, &2_u32.to_be_bytes());
    put(8, &1024_u64.to_be_bytes());
    put(16, &u32::try_from(name.len()).unwrap().to_be_bytes());
    put(20, &16_u32.to_be_bytes());
    put(24, &65536_u64.to_be_bytes());
    put(36, &1_u32.to_be_bytes());
    put(40, &512_u64.to_be_bytes());
    put(1024, name.as_bytes());
    bytes
}

fn backing_files_outside_are_refused(folder: &Path) {
    let (inside, outside) = (folder.join("inside"), folder.join("outside"));
    fs::create_dir_all(inside.join("below")).unwrap();
    fs::write(&outside, "secret").unwrap();
    fs::write(inside.join("base"), "seven b").unwrap();
    fs::write(inside.join("below/base"), "12345").unwrap();
    std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
    let top = inside.join("top");
    let chain = |name: &str| {
        fs::write(&top, overlay(name)).unwrap();
        ask("chain", &top).unwrap().found
    };
    let absolute = |path: &Path| path.canonicalize().unwrap().display().to_string();
    let outside_words = "it lies outside the image's own folder";
    for (name, first) in [
        ("base", "7 bytes"),
        ("./base", "7 bytes"),
        ("below/base", "5 bytes"),
        (&absolute(&inside.join("base")), "7 bytes"),
        ("../outside", outside_words),
        (&absolute(&outside), outside_words),
        ("/etc/passwd", outside_words),
        ("below/../../outside", outside_words),
        ("link", "it is a symbolic link"),
        ("below", "it is no regular file"),
        ("nbd://198.51.100.1/disk", "it is no plain file"),
        ("json:{\"driver\":\"file\"}", "it is no plain file"),
    ] {
        let found = chain(name);
        assert_eq!(found, [first, "it was not handed to the reader"], "{name}");
    }
    let raw = reader("chain").format(Some("raw")).read::<Words>(&top).unwrap();
    assert_eq!(raw.found[0], "it was not handed to the reader");
}

fn no_image_is_refused(folder: &Path) {
    let missing = ask("read", &folder.join("missing")).unwrap_err();
    assert!(missing.to_string().starts_with("cannot open"), "{missing}");
    let directory = ask("read", folder).unwrap_err();
    assert!(directory.to_string().contains("neither a regular file nor"), "{directory}");
    let device = ask("read", Path::new("/dev/null")).unwrap_err();
    assert!(device.to_string().contains("neither a regular file nor"), "{device}");
}

fn a_file_comes_through(folder: &Path) {
    let read = reader("file").kernel(0).read::<Words>(&image(folder)).unwrap();
    assert_eq!(read.file, b"line\nand\0bytes".repeat(100_000));
}
