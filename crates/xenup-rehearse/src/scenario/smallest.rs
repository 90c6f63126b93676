//! The smallest guest: an initramfs whose init says one word on the console and waits.
//!
//! Decides its bytes. An init is a dozen instructions of machine code, one for each word size: a kernel is then started
//! without a shell and a C library of its kind, and nothing of this machine goes into the guest. Never ends a guest:
//! whoever started it does.

/// What the init says.
pub const WORD: &str = "xenup-role-up";
/// What the init is called in the initramfs, for 64-bit kernels and for 32-bit ones.
pub const INITS: [&str; 2] = ["init64", "init32"];

/// Where each ELF file is loaded, as ld(1) places programs.
const BASE_64: u32 = 0x40_0000;
const BASE_32: u32 = 0x0804_8000;
/// The headers before the code: one for the file, one for its only segment.
const HEADERS_64: u16 = 64 + 56;
const HEADERS_32: u16 = 52 + 32;

/// The bytes of [`add_code`]'s instructions.
const CODE: u32 = 31;

/// What tells the code for one kind of system calls from that for another.
struct Calls {
    /// `mov REGISTER, value` for the number of the call and its three arguments.
    registers: [u8; 4],
    write: u32,
    pause: u8,
    call: [u8; 2],
}

/// write(1, text, its length), then pause() for ever, and behind that the text, which lies at `address`.
fn add_code(elf: &mut Vec<u8>, calls: &Calls, address: u32, text: &str) {
    let values = [calls.write, 1, address, text.len() as u32];
    for (opcode, value) in calls.registers.into_iter().zip(values) {
        elf.push(opcode);
        put32(elf, &[value]);
    }
    elf.extend(calls.call);
    // again: mov eax, pause; call; jmp again
    elf.extend([0xb8, calls.pause, 0, 0, 0]);
    elf.extend(calls.call);
    elf.extend([0xeb, 0xf7]);
    elf.extend(text.bytes());
}

/// By the system calls of x86-64: eax, edi, esi, edx and syscall.
fn init64() -> Vec<u8> {
    const CALLS: Calls =
        Calls { registers: [0xb8, 0xbf, 0xbe, 0xba], write: 1, pause: 34, call: [0x0f, 0x05] };
    let text = format!("{WORD}\n");
    let at = BASE_64 + u32::from(HEADERS_64);
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    put16(&mut elf, &[2, 62]);
    put32(&mut elf, &[1]);
    put64(&mut elf, &[u64::from(at), 64, 0]);
    put32(&mut elf, &[0]);
    put16(&mut elf, &[64, 56, 1, 0, 0, 0]);
    let length = u64::from(HEADERS_64) + u64::from(CODE) + text.len() as u64;
    put32(&mut elf, &[1, 5]);
    put64(&mut elf, &[0, u64::from(BASE_64), u64::from(BASE_64), length, length, 4096]);
    add_code(&mut elf, &CALLS, at + CODE, &text);
    elf
}

/// By those of i386: eax, ebx, ecx, edx and int 0x80.
fn init32() -> Vec<u8> {
    const CALLS: Calls =
        Calls { registers: [0xb8, 0xbb, 0xb9, 0xba], write: 4, pause: 29, call: [0xcd, 0x80] };
    let text = format!("{WORD}\n");
    let at = BASE_32 + u32::from(HEADERS_32);
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    put16(&mut elf, &[2, 3]);
    put32(&mut elf, &[1, at, 52, 0, 0]);
    put16(&mut elf, &[52, 32, 1, 0, 0, 0]);
    let length = u32::from(HEADERS_32) + CODE + text.len() as u32;
    put32(&mut elf, &[1, 0, BASE_32, BASE_32, length, length, 5, 4096]);
    add_code(&mut elf, &CALLS, at + CODE, &text);
    elf
}

/// The initramfs, in cpio(5)'s form "newc": a console, and an init for each word size.
#[must_use]
pub fn initramfs() -> Vec<u8> {
    let [name64, name32] = INITS;
    let (init64, init32) = (init64(), init32());
    let mut archive = Vec::new();
    let entries: [(&str, u32, u32, &[u8]); 5] = [
        ("dev", 0o040_755, 0, &[]),
        ("dev/console", 0o020_600, 1, &[]),
        (name64, 0o100_755, 0, &init64),
        (name32, 0o100_755, 0, &init32),
        ("TRAILER!!!", 0, 0, &[]),
    ];
    for (number, (name, mode, minor, content)) in (1_u32..).zip(entries) {
        // The console is device 5,1.
        let (major, size) = (minor * 5, content.len() as u32);
        let name_size = name.len() as u32 + 1;
        let fields = [number, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name_size, 0];
        archive.extend(b"070701");
        for field in fields {
            archive.extend(format!("{field:08x}").bytes());
        }
        archive.extend(name.bytes());
        archive.push(0);
        pad(&mut archive);
        archive.extend(content);
        pad(&mut archive);
    }
    archive
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

fn put16(to: &mut Vec<u8>, values: &[u16]) {
    to.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn put32(to: &mut Vec<u8>, values: &[u32]) {
    to.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn put64(to: &mut Vec<u8>, values: &[u64]) {
    to.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the programs under test are run")]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    use super::{INITS, WORD, init32, init64, initramfs};
    use xenup_system::files;
    use xenup_system::process::Tool;

    #[test]
    fn each_init_says_its_word_and_waits() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [("init64", init64()), ("init32", init32())] {
            let path = folder.path().join(name);
            files::write(&path, &bytes).unwrap();
            files::set_mode(&path, 0o755).unwrap();
            let mut child = match Command::new(&path).stdout(Stdio::piped()).spawn() {
                Ok(child) => child,
                Err(error) => {
                    println!("SKIPPED: {name} does not run here: {error}");
                    continue;
                }
            };
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            let still_runs = child.try_wait().unwrap().is_none();
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!((line.trim_end(), still_runs), (WORD, true), "{name}");
        }
    }

    #[test]
    fn cpio_lists_the_initramfs() {
        let listed = Tool::new("cpio").args(["--list", "--quiet"]).stdin(initramfs()).run();
        let Ok(listed) = listed else { return println!("SKIPPED: cpio is not installed") };
        let names: Vec<String> = listed.text().lines().map(str::to_owned).collect();
        assert_eq!(names, ["dev", "dev/console", INITS[0], INITS[1]]);
    }
}
