#!/usr/bin/env python3
"""Writes the kernels of tests/cases/kernel: small ELF files with Xen notes, packed by the tools that Linux's build uses.

Needs gzip, bzip2, xz, lz4 and zstd. What is expected of a kernel is not written here: see tests/kernel.rs.
"""
import pathlib
import struct
import subprocess

ROOM = pathlib.Path(__file__).parent / "cases/kernel"
TYPES = ["INFO", "ENTRY", "HYPERCALL_PAGE", "VIRT_BASE", "PADDR_OFFSET", "XEN_VERSION", "GUEST_OS", "GUEST_VERSION",
         "LOADER", "PAE_MODE", "FEATURES", "BSD_SYMTAB", "HV_START_LOW", "L1_MFN_VALID", "SUSPEND_CANCEL", "INIT_P2M",
         "MOD_START_PFN", "SUPPORTED_FEATURES", "PHYS32_ENTRY", "PHYS32_RELOC"]


def pad(data, step=4):
    return data + b"\0" * (-len(data) % step)


def note(kind, desc, owner=b"Xen\0"):
    """One note; a text gets its NUL, a number has 8 bytes unless it is (number, 4)."""
    if isinstance(desc, str):
        desc = desc.encode() + b"\0"
    elif isinstance(desc, tuple):
        desc = struct.pack("<I" if desc[1] == 4 else "<Q", desc[0])
    elif isinstance(desc, int):
        desc = struct.pack("<Q", desc)
    number = TYPES.index(kind) if isinstance(kind, str) else kind
    return struct.pack("<III", len(owner), len(desc), number) + pad(owner) + pad(desc)


def elf(bits=64, notes=b"", segment=True, section=False, guest=None, filler=4096, machine=None, note_at=None):
    """An ELF file: text, notes in a segment or a section or both, __xen_guest, section names and headers."""
    wide = bits == 64
    ehsize, phsize, shsize = (64, 56, 64) if wide else (52, 32, 40)
    machine = machine or (62 if wide else 3)
    text = bytes(i * 7 & 0xFF for i in range(filler))
    text_at = ehsize + 2 * phsize
    notes_at = text_at + len(text)
    body = text + pad(notes)
    guest_at = ehsize + 2 * phsize + len(body)
    if guest is not None:
        body += pad(guest.encode() + b"\0")
    names = b"\0.text\0.notes\0__xen_guest\0.shstrtab\0"
    names_at = ehsize + 2 * phsize + len(body)
    body += pad(names, 8)
    sections = [(b"", 0, 0, 0, 0), (b".text", 1, text_at, len(text), 16)]
    if section:
        sections.append((b".notes", 7, notes_at, len(notes), 4))
    if guest is not None:
        sections.append((b"__xen_guest", 1, guest_at, len(guest) + 1, 1))
    sections.append((b".shstrtab", 3, names_at, len(names), 1))
    shoff = ehsize + 2 * phsize + len(body)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + b"\0" * 9
    entry = 0xFFFFFFFF81000000 if wide else 0xC0100000
    rest = (2, machine, 1, entry, ehsize, shoff, 0, ehsize, phsize, 2, shsize, len(sections), len(sections) - 1)
    head = ident + struct.pack("<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH", *rest)
    base = 0x1000000

    def ph(kind, at, size, align):
        if wide:
            return struct.pack("<IIQQQQQQ", kind, 5, at, base, base, size, size, align)
        return struct.pack("<IIIIIIII", kind, at, base, base, size, size, 5, align)

    second = ph(4, notes_at if note_at is None else note_at, len(notes), 4) if segment else ph(0, 0, 0, 0)
    heads = b"".join(
        struct.pack("<IIQQQQIIQQ" if wide else "<IIIIIIIIII", names.index(name + b"\0"), kind, 0, 0, at, size, 0, 0,
                    align, 0)
        for name, kind, at, size, align in sections)
    return head + ph(1, text_at, len(text), 4096) + second + body + heads


def linux(dom0=True, pvh=True, pv=True, features="!writable_page_tables", reloc=False):
    """The notes of a 64-bit Linux, in the order of 6.12."""
    found = note("PHYS32_RELOC", struct.pack("<III", 0x200000, 0x1000000, 0x3FFFFFFF)) if reloc else b""
    found += note("PHYS32_ENTRY", 0x1000A30) if pvh else b""
    found += note("GUEST_OS", "linux") + note("GUEST_VERSION", "2.6") + note("XEN_VERSION", "xen-3.0")
    if pv:
        found += note("VIRT_BASE", 0xFFFFFFFF80000000) + note("INIT_P2M", 0x8000000000)
        found += note("ENTRY", 0xFFFFFFFF8334E600) + note("FEATURES", features) + note("PAE_MODE", "yes")
        found += note("L1_MFN_VALID", struct.pack("<QQ", 1, 1)) + note("MOD_START_PFN", (1, 4))
        found += note("PADDR_OFFSET", 0)
        found += note("SUPPORTED_FEATURES", (0x8801 if dom0 else 0x8001, 4))
    return found + note("LOADER", "generic") + note("SUSPEND_CANCEL", (1, 4))


def linux32(pae="yes", bits=4):
    """The notes of a 32-bit Linux of 2.6.26."""
    return (note("GUEST_OS", "linux") + note("GUEST_VERSION", "2.6") + note("XEN_VERSION", "xen-3.0")
            + note("VIRT_BASE", (0xC0000000, bits)) + note("ENTRY", (0xC0101000, bits))
            + note("HYPERCALL_PAGE", (0xC0102000, bits)) + note("FEATURES", "!writable_page_tables|pae_pgdir_above_4gb")
            + note("PAE_MODE", pae) + note("LOADER", "generic"))


def pack(data, *command):
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


PACKERS = {
    "gzip": ("gzip", "-n", "-9"),
    "bzip2": ("bzip2", "-9"),
    "lzma": ("xz", "--format=lzma", "-9"),
    "xz": ("xz", "--check=crc32", "--x86", "--lzma2=dict=32MiB"),
    "lz4": ("lz4", "-l", "-9", "--stdout"),
    "zstd": ("zstd", "-22", "--ultra", "--quiet", "--stdout"),
}


def packed(name, data):
    return pack(data, *PACKERS[name])


def bzimage(payload, protocol=0x020F, release=b"6.12.117+deb12-amd64 (debian-kernel@lists.debian.org) #1 SMP\0",
            pe=False, length=None):
    """Two sectors of set-up code, the payload behind 32 bytes of code that is not real."""
    setup = bytearray(3 * 512)
    setup[0x1F1] = 2
    setup[0x1FE:0x200] = b"\x55\xaa"
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<HIHH", setup, 0x206, protocol, 0, 0x1000, 0x400 - 0x200 + 0x40)
    setup[0x440:0x440 + len(release)] = release
    if protocol >= 0x208:
        struct.pack_into("<II", setup, 0x248, 32, len(payload) if length is None else length)
    if pe:
        setup[0:2] = b"MZ"
    return bytes(setup) + b"\x90" * 32 + payload


def with_size(data, plain):
    return data + struct.pack("<I", len(plain))


def pe(machine, sections, at=0x80, size=1024):
    data = bytearray(size)
    data[0:2] = b"MZ"
    struct.pack_into("<I", data, 0x3C, at)
    data[at:at + 4] = b"PE\0\0"
    struct.pack_into("<HHIIIHH", data, at + 4, machine, len(sections), 0, 0, 0, 240, 0x206)
    for index, name in enumerate(sections):
        offset = at + 24 + 240 + 40 * index
        data[offset:offset + len(name)] = name
    return bytes(data)


def write(name, kernel, made, **files):
    case = ROOM / name
    case.mkdir(parents=True, exist_ok=True)
    (case / "kernel").write_bytes(kernel)
    (case / "made-by").write_text(made + "\n")
    for file, text in files.items():
        (case / file).write_text(text)
    assert len(kernel) < 50 << 10, (name, len(kernel))


PV_2 = "GUEST_OS=linux,GUEST_VER=2.6,XEN_VER=2.0,VIRT_BASE=0xC0000000,LOADER=generic,PT_MODE_WRITABLE"
PV_3 = ("GUEST_OS=linux,GUEST_VER=2.6,XEN_VER=xen-3.0,VIRT_BASE=0xC0000000,HYPERCALL_PAGE=0x104,"
        "FEATURES=!writable_page_tables|pae_pgdir_above_4gb,PAE={},LOADER=generic")
CONFIG = "CONFIG_XEN=y\nCONFIG_XEN_PV=y\nCONFIG_XEN_PVHVM=y\nCONFIG_XEN_PVHVM_GUEST=y\n"
OLD_XEN = "2.0\n3.0\n"
BOTH = "4.14\n4.17\n4.20\n"


def images():
    """bzImages of each packing, and the files that are none."""
    debian = elf(notes=linux(reloc=True))
    for name in ["gzip", "bzip2", "lzma", "xz", "lz4", "zstd"]:
        data = packed(name, debian)
        write(f"bzimage-{name}", bzimage(data if name == "gzip" else with_size(data, debian)),
              f"a 64-bit Linux as in Debian's 6.12, packed with: {' '.join(PACKERS[name])}", xen=BOTH)
    write("bzimage-lzo", bzimage(b"\x89LZO\0\r\n\x1a\n" + bytes(64)), "a payload that begins as lzop's do")
    write("bzimage-not-packed", bzimage(debian), "a bzImage whose payload is the ELF file itself")
    write("bzimage-efi-stub", bzimage(packed("gzip", debian), pe=True), "a bzImage that begins like a PE file too")
    write("bzimage-2.04", bzimage(packed("gzip", b"\xfa" * 4096), protocol=0x0204, release=b"2.6.18-6-686\0"),
          "a bzImage of Linux 2.6.18: no payload is named, what is packed is no ELF file", xen=OLD_XEN + BOTH)
    write("bzimage-payload-behind-end", bzimage(packed("gzip", debian), length=1 << 20), "a payload of 1 MiB in 5 KiB")
    write("bzimage-payload-unknown", bzimage(b"????" * 64), "a payload without a magic number")
    write("bzimage-payload-cut", bzimage(packed("gzip", debian)[:300]), "a payload that ends early")
    write("vmlinux-gzip", packed("gzip", debian), "a vmlinux packed with gzip -n -9", xen=BOTH)
    far = elf(notes=linux(reloc=True), segment=False, section=True, filler=900000)
    write("vmlinux-zstd-blocks", packed("zstd", far), "a vmlinux of eight blocks of zstd, its notes in the last")
    big = bytearray(20 << 20)
    head = elf(notes=linux(), note_at=19 << 20)
    big[:len(head)] = head
    for name in ["gzip", "bzip2", "xz", "zstd"]:
        write(f"bomb-{name}", packed(name, bytes(big)), "20 MiB of zeros behind an ELF header whose notes lie at 19 MiB")
    write("arm64-image", b"MZ" + bytes(0x36) + b"ARM\x64" + bytes(1024), "the header of a 64-bit Arm kernel")
    write("arm64-elf", elf(machine=183), "an ELF file for 64-bit Arm")
    write("uki", pe(0x8664, [b".text", b".linux", b".initrd"]), "a PE file with the sections of a unified kernel image")
    write("efi-program", pe(0x8664, [b".text"]), "a PE file")
    banner = b"Xen version %d.%d%s (%s@%s)"
    multiboot = struct.pack("<III", 0x1BADB002, 3, -(0x1BADB002 + 3) & 0xFFFFFFFF)
    xen = bytearray(elf(bits=32, segment=False))
    xen[0x200:0x200 + 12] = multiboot
    xen[0x400:0x400 + len(banner)] = banner
    write("xen", packed("gzip", bytes(xen)), "a Multiboot kernel with Xen's banner, packed with gzip")
    write("not-a-kernel", b"#!/bin/sh\nexit 0\n", "a shell script")
    write("empty", b"", "nothing")
    write("seven-bytes", b"\x7fELF\x02\x01\x01", "the first bytes of an ELF file")


def kernels():
    """ELF files by what their notes say."""
    write("2006-xen-2.0", elf(32, segment=False, guest=PV_2), "a 32-bit kernel for Xen 2.0: __xen_guest", xen=OLD_XEN + BOTH)
    write("2006-xen-3.0", elf(32, segment=False, guest=PV_3.format("no")),
          "a 32-bit kernel for Xen 3.0 without PAE: __xen_guest", xen=OLD_XEN + BOTH)
    write("2006-xen-3.0-pae", elf(32, segment=False, guest=PV_3.format("yes[extended-cr3]")),
          "a 32-bit kernel for Xen 3.0 with PAE: __xen_guest", xen=OLD_XEN + BOTH)
    write("2006-xen-3.0-packed", packed("gzip", elf(32, segment=False, guest=PV_3.format("yes"), filler=700000)),
          "a vmlinux of 2006 packed with gzip, its section far from its headers", xen="3.0\n")
    write("2006-no-section", elf(32, segment=False), "a kernel that was not built for Xen", xen=OLD_XEN)
    write("2005-unstable", elf(32, segment=False, guest=PV_2.replace("XEN_VER=2.0", "XEN_VER=3.0")),
          "a kernel of the months between 2.0 and 3.0: XEN_VER=3.0", xen=OLD_XEN)
    write("linux-32-pae", elf(32, linux32()), "a 32-bit Linux 2.6.26 with PAE", xen="3.4\n" + BOTH)
    write("linux-32-no-pae", elf(32, linux32("no")), "a 32-bit Linux without PAE", xen="3.0\n4.2\n4.4\n")
    write("linux-32-bimodal", elf(32, linux32("bimodal")), "a 32-bit Linux that runs with PAE and without", xen="3.0\n4.4\n")
    write("linux-32-pvh", bzimage(packed("gzip", elf(32, linux32() + note("PHYS32_ENTRY", (0x1000000, 4)))),
                                  release=b"5.10.0-34-686-pae (debian-kernel@lists.debian.org) #1 SMP\0"),
          "a 32-bit Linux with PAE and CONFIG_XEN_PVH, as in Debian's 5.10-686-pae", xen=BOTH)
    write("linux-64-section-notes", elf(notes=linux(), segment=False, section=True), "notes that no segment covers")
    write("linux-64-no-dom0", elf(notes=linux(dom0=False)), "a Linux with PV and without dom0: bit 11 is not set")
    write("linux-64-dom0-bit-alone", elf(notes=linux()), "bit 11 is set, and nothing else says whether it can be dom0")
    write("linux-64-dom0-bit-without-option", elf(notes=linux()), "bit 11 is set as in Debian's 6.1 cloud kernel, "
          "whose configuration has no CONFIG_XEN_DOM0", config=CONFIG + "CONFIG_XEN_PVH=y\n# CONFIG_XEN_DOM0 is not set\n")
    write("linux-64-no-pv", elf(notes=linux(pv=False)), "a Linux with CONFIG_XEN and without CONFIG_XEN_PV",
          config="CONFIG_XEN=y\n# CONFIG_XEN_PV is not set\nCONFIG_XEN_PVHVM=y\nCONFIG_XEN_PVH=y\n")
    write("linux-64-no-pvh", elf(notes=linux(pvh=False)), "a Linux without CONFIG_XEN_PVH",
          config=CONFIG + "# CONFIG_XEN_PVH is not set\nCONFIG_XEN_DOM0=y\n")
    write("linux-pvh-of-others", bzimage(packed("gzip", elf(notes=note("PHYS32_ENTRY", 0x1000000)))),
          "a Linux with CONFIG_PVH and without CONFIG_XEN: the note alone")
    write("linux-pvh-of-others-config", bzimage(packed("gzip", elf(notes=note("PHYS32_ENTRY", 0x1000000)))),
          "the same with its configuration", config="CONFIG_PVH=y\n# CONFIG_XEN is not set\n")
    write("linux-64-unheard-feature", elf(notes=linux(features="!levitation")), "a required feature that Xen has not")
    write("grub-pvh", elf(32, note("PHYS32_ENTRY", (0x100000, 4))), "the one note of grub-i386-xen_pvh.bin", xen=BOTH)
    grub = (note("GUEST_OS", "GRUB") + note("LOADER", "generic") + note("XEN_VERSION", "xen-3.0")
            + note("ENTRY", (0, 4)) + note("VIRT_BASE", (0, 4)))
    write("grub-pv", elf(notes=grub), "the notes of grub-x86_64-xen.bin", xen=BOTH)
    write("grub-pv-32", elf(32, grub + struct.pack("<III", 4, 12, 9) + b"Xen\0yes,"),
          "the notes of grub-i386-xen.bin, whose last one says that it is longer than its segment", xen=BOTH)
    every = b"".join(note(kind, value) for kind, value in [
        ("INFO", "KEY=VALUE"), ("ENTRY", 1), ("HYPERCALL_PAGE", 2), ("VIRT_BASE", 3), ("PADDR_OFFSET", (4, 4)),
        ("XEN_VERSION", "xen-3.0"), ("GUEST_OS", "linux"), ("GUEST_VERSION", "2.6"), ("LOADER", "generic"),
        ("PAE_MODE", "yes"), ("FEATURES", "!dom0|hvm_callback_vector"), ("BSD_SYMTAB", "yes"), ("HV_START_LOW", 5),
        ("L1_MFN_VALID", struct.pack("<QQQQ", 1, 1, 3, 2)), ("SUSPEND_CANCEL", 1), ("INIT_P2M", 6),
        ("MOD_START_PFN", 1), ("SUPPORTED_FEATURES", 0x8801), ("PHYS32_ENTRY", (7, 4)),
        ("PHYS32_RELOC", struct.pack("<III", 1, 2, 3))])
    other = note(3, b"\1" * 20, b"GNU\0")
    write("every-type", elf(notes=other + every + note(99, b"\1\2\3")), "all types of elfnote.h, one beyond, one of GNU's")
    write("wrong-sizes", elf(notes=note("ENTRY", b"\1\2\3") + note("PHYS32_ENTRY", b"") + note("PHYS32_RELOC", b"\1")
                             + note("L1_MFN_VALID", b"\1") + note("XEN_VERSION", b"\x1b[31m\xff")),
          "notes whose bytes do not fit their types, and a text with an escape sequence")
    write("program", elf(segment=False), "an ELF file for amd64 without any note")


images()
kernels()
