//! Archives as programs write them, as forgers do, and as nobody does.

use super::*;
use flate2::{Compression, write::DeflateEncoder, write::GzEncoder};
use std::io::Write as _;

const PE: &[u8] = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0\xb8\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x80\0\0\0";
const EXE: &str = "application/vnd.microsoft.portable-executable";

fn deflated(data: &[u8]) -> Vec<u8> {
    let mut to = DeflateEncoder::new(Vec::new(), Compression::fast());
    to.write_all(data).unwrap();
    to.finish().unwrap()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut to = GzEncoder::new(Vec::new(), Compression::fast());
    to.write_all(data).unwrap();
    to.finish().unwrap()
}

/// Name, flags, method, content. Without central headers if `local` alone.
fn zip(files: &[(&str, u16, u16, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, flags, method, data) in files {
        let packed = if *method == 8 { deflated(data) } else { data.to_vec() };
        let mut fixed = vec![20, 0];
        fixed.extend(flags.to_le_bytes());
        fixed.extend(method.to_le_bytes());
        fixed.extend([0; 8]);
        fixed.extend((packed.len() as u32).to_le_bytes());
        fixed.extend((data.len() as u32).to_le_bytes());
        fixed.extend((name.len() as u16).to_le_bytes());
        fixed.extend([0, 0]);
        directory.extend([b"PK\x01\x02\x14\0", &fixed[..], &[0; 10], &(out.len() as u32).to_le_bytes()].concat());
        directory.extend(name.as_bytes());
        out.extend([b"PK\x03\x04", &fixed[..], name.as_bytes(), &packed].concat());
    }
    let at = out.len();
    out.extend(directory);
    out.extend([b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0", &(at as u32).to_le_bytes()[..], &[0, 0]].concat());
    out
}

fn tar(files: &[(&str, &[u8], u8)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, data, kind) in files {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = *kind;
        let sum: u64 = header.iter().map(|octet| u64::from(*octet)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        out.extend(header);
        out.extend(*data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

/// A compound file's header and one sector of its directory.
fn compound(name: &str, kind: u8, class: &[u8]) -> Vec<u8> {
    let mut out = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
    out.resize(512, 0);
    let mut entry: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let length = entry.len() as u8 + 2;
    entry.resize(64, 0);
    entry.extend([length, 0, kind, 1]);
    entry.resize(80, 0);
    entry.extend(class);
    entry.resize(128, 0);
    out.extend(entry);
    out.resize(1024, 0);
    out
}

fn rar5(name: &str, encrypted: bool) -> Vec<u8> {
    let extra: &[u8] = if encrypted { &[2, 1, 0] } else { &[] };
    let mut header = vec![2, 3, extra.len() as u8, 4, 0, 2, 0, 0, 0, name.len() as u8];
    header.extend(name.as_bytes());
    header.extend(extra);
    let mut out = b"Rar!\x1a\x07\x01\0".to_vec();
    out.extend([0, 0, 0, 0, header.len() as u8]);
    out.extend(header);
    out.extend(b"data\0\0\0\0\x03\x05\0\0");
    out
}

fn rar4(name: &str, flags: u16) -> Vec<u8> {
    let mut out = b"Rar!\x1a\x07\0".to_vec();
    out.extend(b"\0\0\x73\0\0\x0d\0\0\0\0\0\0\0");
    out.extend(b"\0\0\x74");
    out.extend([&flags.to_le_bytes()[..], &(32 + name.len() as u16).to_le_bytes(), &[4, 0, 0, 0]].concat());
    out.extend([0; 15]);
    out.extend([&(name.len() as u16).to_le_bytes()[..], &[0; 4], name.as_bytes(), b"data"].concat());
    out.extend(b"\0\0\x7b\0\0\x07\0");
    out
}

fn look(bytes: &[u8], extension: &str) -> (Vec<String>, Vec<&'static str>) {
    let found = Search::default().look(bytes, extension);
    (found.names, found.kinds.into_iter().collect())
}

#[test]
fn what_archives_hold() {
    let inner = zip(&[("deep.scr", 0, 0, PE)]);
    let tarred = tar(&[("a/b.exe", PE, b'0')]);
    let long = "x/".repeat(80) + "long.vbs";
    let mut hidden = zip(&[("b.js", 0, 0, b"x")]);
    // Only the central header still tells the name.
    let at = hidden.windows(4).position(|w| w == b"b.js").unwrap();
    hidden[at + 3] = b'p';
    let msi = [&[0x84, 0x10], compound::INSTALLER].concat();
    type Row<'a> = (&'a str, Vec<u8>, &'a [&'a str], &'a [&'a str]);
    let cases: &[Row<'_>] = &[
        ("packed", zip(&[("a.txt", 0, 8, b"hello"), ("b.exe", 0, 8, PE)]), &["a.txt", "b.exe"], &[EXE]),
        ("stored, renamed", zip(&[("a.txt", 0, 0, PE)]), &["a.txt"], &[EXE]),
        ("one of each ending", zip(&[("a.jpg", 0, 0, b"x"), ("b.jpg", 0, 0, b"x")]), &["a.jpg"], &[]),
        ("directory and file differ", hidden, &["b.jp", "b.js"], &[]),
        ("an archive in it", zip(&[("in.zip", 0, 8, &inner)]), &["in.zip", "deep.scr"], &["application/zip", EXE]),
        ("stored in it", zip(&[("in.zip", 0, 0, &inner)]), &["in.zip", "deep.scr"], &["application/zip", EXE]),
        ("password", zip(&[("a.pdf", 1, 0, b"x")]), &["a.pdf"], &[ENCRYPTED]),
        ("AES", zip(&[("a.pdf", 1, 99, b"x")]), &["a.pdf"], &[ENCRYPTED]),
        (
            "macros",
            zip(&[("[Content_Types].xml", 0, 8, b"<x/>"), ("word/vbaProject.bin", 0, 8, b"x")]),
            &["[Content_Types].xml", "word/vbaProject.bin"],
            &[MACROS],
        ),
        ("LZMA", zip(&[("a.pdf", 0, 14, b"x")]), &["a.pdf"], &[UNLISTED]),
        ("before it", [b"junk".to_vec(), zip(&[("b.exe", 0, 8, b"x")])].concat(), &["b.exe"], &[]),
        ("tar", tarred.clone(), &["a/b.exe"], &[EXE]),
        (
            "long name",
            tar(&[("././@LongLink", long.as_bytes(), b'L'), ("x", b"y", b'0')]),
            &[&long[long.len() - 120..]],
            &[],
        ),
        ("pax", tar(&[("x", b"19 path=deep/b.vbs\n", b'x'), ("x", b"y", b'0')]), &["deep/b.vbs"], &[]),
        (
            "zip in tar.gz",
            gzip(&tar(&[("in.zip", &inner, b'0'), ("b.com", b"x", b'0')])),
            &["in.zip", "deep.scr", "b.com"],
            &["application/zip", EXE],
        ),
        ("tgz", gzip(&tarred), &["a/b.exe"], &[EXE]),
        ("gz", gzip(PE), &[], &[EXE]),
        ("gz in gz", gzip(&gzip(PE)), &[], &["application/gzip", EXE]),
        ("7z", b"7z\xbc\xaf\x27\x1c\0\x04".to_vec(), &[], &[UNLISTED]),
        ("rar 5", rar5("b.exe", false), &["b.exe"], &[]),
        ("rar 5, password", rar5("b.jpg", true), &["b.jpg"], &[ENCRYPTED]),
        ("rar 5, cut", rar5("b.exe", false)[..20].to_vec(), &[], &[UNLISTED]),
        ("rar 4", rar4("b.exe", 0x8000), &["b.exe"], &[]),
        ("rar 4, password", rar4("b.jpg", 0x8004), &["b.jpg"], &[ENCRYPTED]),
        ("old Word with macros", compound("_VBA_PROJECT", 2, &[]), &[], &[MACROS]),
        ("old Word", compound("WordDocument", 2, &[]), &[], &[]),
        ("docx with a password", compound("EncryptedPackage", 2, &[]), &[], &[ENCRYPTED]),
        ("installer", compound("Root Entry", 5, &msi), &[], &["application/x-msi"]),
    ];
    for (what, bytes, names, kinds) in cases {
        let mut kinds = kinds.to_vec();
        kinds.sort_unstable();
        let (got_names, got_kinds) = look(bytes, "zip");
        assert_eq!(
            (got_names.iter().map(String::as_str).collect::<Vec<_>>(), got_kinds),
            (names.to_vec(), kinds),
            "{what}"
        );
    }
}

#[test]
fn kinds_by_content() {
    let cases: &[(&[u8], Option<&str>)] = &[
        (PE, Some(EXE)),
        (b"MZ-1500 is a computer, and this is a text about it that is long enough to be taken for something", None),
        (b"#!/bin/sh\nrm", Some("application/x-shellscript")),
        (b"#! /usr/bin/env python", Some("application/x-shellscript")),
        (b"#!important news", None),
        (b"\x7fELF\x02\x01\x01\0", Some("application/x-executable")),
        (b"\xcf\xfa\xed\xfe\x07\0\0\x01", Some("application/x-mach-binary")),
        (b"L\0\0\0\x01\x14\x02\0\0\0\0\0", Some("application/x-ms-shortcut")),
        (b"MSCF\0\0\0\0", Some("application/vnd.ms-cab-compressed")),
        (b"%PDF-1.4", Some("application/pdf")),
        (b"hello", None),
    ];
    for (head, want) in cases {
        assert_eq!(kind_of(head), *want, "{}", String::from_utf8_lossy(head));
    }
}

/// Archives that are small and unpack to much, hold very many files, or nest for ever: bounded work, and they say that they were not read whole.
#[test]
fn bombs_end() {
    let zeros = vec![0; 100 << 20];
    let many: Vec<u8> = (0..MOST_ENTRIES + 10).flat_map(|n| zip(&[(&format!("{n:08}.x{n:06}"), 0, 0, b"")])).collect();
    let mut nested = gzip(PE);
    for _ in 0..10 {
        nested = gzip(&nested);
    }
    let large = tar(&[("a", &zeros, b'0'), ("b.exe", b"x", b'0')]);
    let inner = zip(&[("a", 0, 8, &[zip(&[("x", 0, 0, b"y")]), zeros].concat())]);
    for (what, bytes) in [("many", many), ("nested", nested), ("tar.gz", gzip(&large)), ("inner", inner)] {
        let (names, kinds) = look(&bytes, "");
        assert!(kinds.contains(&UNLISTED) && names.len() <= MOST_NAMES, "{what}: {kinds:?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_octets(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600),
        kind in 0..8_usize,
        at in 0..600_usize,
    ) {
        let starts: &[Vec<u8>] = &[
            zip(&[("a.txt", 0, 8, b"hello"), ("b.exe", 0, 0, PE)]),
            tar(&[("a", b"b", b'0')]),
            gzip(&tar(&[("a", b"b", b'0')])),
            rar5("a", false),
            rar4("a", 0x8000),
            compound("x", 2, &[]),
            b"PK\x03\x04".to_vec(),
            Vec::new(),
        ];
        let mut whole = starts[kind].clone();
        let at = at.min(whole.len());
        whole.splice(at.., bytes);
        let _ = look(&whole, "zip");
    }
}
