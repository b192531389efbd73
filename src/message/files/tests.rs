//! Files of each kind, as they go in and as they come out.

use super::*;
use crate::config::{Limits, Metadata};
use crate::message::Replacements;
use crate::message::rewrite::tests::plain_order;
use crate::message::rewrite::{Rewritten, rewrite};
use crate::message::scrub::Replacement;
use crate::types::{Address, AddressKey, Alias};
use std::io::Cursor;
use zip::write::SimpleFileOptions;

const OWN: &str = "a.real@home.example";

fn key() -> [AddressKey; 1] {
    [Address::parse(OWN).unwrap().key()]
}

pub(in crate::message) fn replacements() -> Vec<Replacement> {
    key().iter().map(|key| Replacement::new(key, Some(&Alias::from_text("alias@m.test")))).collect()
}

fn ordered<T>(limits: &Limits, run: impl FnOnce(&Order<'_>) -> T) -> T {
    let keys = key();
    let other = [Address::parse("b.real@shop.example").unwrap().key()];
    let (author, receiver) = (Alias::from_text("alias@m.test"), Alias::from_text("other@m.test"));
    let replacements = Replacements::new((&keys, &author), (&other, &receiver));
    let metadata = Metadata { pictures: false, pdf: false, office: false };
    let plain = plain_order((&author, &receiver), &replacements, &metadata, limits);
    run(&Order { documents: Some(Secrets::of_author(&keys)), ..plain })
}

pub(super) fn looked(file: &[u8]) -> (Vec<u8>, Vec<Left>) {
    ordered(&Limits::default(), |order| super::looked(file, order))
}

fn zipped(comment: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        let way = if *name == "mimetype" { zip::CompressionMethod::Stored } else { zip::CompressionMethod::Deflated };
        zip.start_file(*name, SimpleFileOptions::default().compression_method(way)).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.set_comment(comment).unwrap();
    zip.finish().unwrap().into_inner()
}

/// All that an archive says: names, comment, members.
fn unzipped(file: &[u8]) -> String {
    let mut zip = zip::ZipArchive::new(Cursor::new(file)).unwrap();
    let mut out = String::from_utf8_lossy(zip.comment()).into_owned();
    for n in 0..zip.len() {
        let mut file = zip.by_index(n).unwrap();
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        out.push_str(&format!("\n{}: ", file.name().unwrap()));
        out.push_str(&if content.starts_with(b"PK") {
            unzipped(&content)
        } else {
            String::from_utf8_lossy(&content).into_owned()
        });
    }
    out
}

const TYPES: (&str, &[u8]) = ("[Content_Types].xml", b"<Types/>");

#[test]
fn archives_and_documents() {
    let inner = zipped("", &[("b.csv", b"name;a.real@home.example\n")]);
    let message = b"Received: from host.home.example ([192.0.2.9])\r\nFrom: A <a.real@home.example>\r\nSubject: x\r\nContent-Transfer-Encoding: base64\r\n\r\nYS5yZWFsQGhvbWUuZXhhbXBsZQ==\r\n";
    let utf16: Vec<u8> = "\u{feff}me: a.real@home.example".encode_utf16().flat_map(u16::to_le_bytes).collect();
    // what it is, file, what has to be in it afterwards
    let cases: Vec<(&str, Vec<u8>, Vec<&str>)> = vec![
        ("member", zipped("", &[("a.txt", b"mail a.real@home.example")]), vec!["\na.txt: mail alias@m.test"]),
        ("name", zipped("", &[("x/a.real@home.example.txt", b"x"), ("empty/", b"")]), vec!["\nx/alias@m.test.txt: x", "\nempty/: "]),
        ("same name twice", zipped("", &[("a.real@home.example.txt", b"x"), ("A.Real@home.example.txt", b"y")]), vec!["alias@m.test.txt: x", "alias@m.test (1).txt: y"]),
        ("comment", zipped("by a.real@home.example", &[("a.txt", b"x")]), vec!["by alias@m.test\na.txt: x"]),
        ("nested", zipped("", &[("deep/in.zip", &inner), ("c.bin", b"\0\x01")]), vec!["b.csv: name;alias@m.test", "c.bin: \0\x01"]),
        ("message", zipped("", &[("m.eml", message)]), vec!["From: alias@m.test", "Subject: x", "alias@m.test"]),
        ("card", zipped("", &[("m.vcf", b"BEGIN:VCARD\r\nVERSION:3.0\r\nEMAIL:a.real@home.example\r\nEND:VCARD\r\n")]), vec!["EMAIL:alias@m.test"]),
        ("web page", zipped("", &[("m.html", b"<!DOCTYPE html><html><script>1</script><b>a.real</b>&#64;home.example")]), vec!["<script>1</script><b>alias@m.test</b>"]),
        (
            "text document",
            zipped("", &[
                TYPES,
                ("word/document.xml", b"<w:p><w:r><w:t>a.re</w:t></w:r><w:r><w:t>al@home.example</w:t></w:r></w:p>"),
                ("word/_rels/document.xml.rels", b"<Relationship Target=\"mailto:a.real@home.example\"/>"),
                ("word/comments.xml", b"<w:comment><w:t>a.real@home.example</w:t></w:comment>"),
                ("docProps/core.xml", b"<dc:creator>a.real@home.example</dc:creator>"),
            ]),
            vec!["<w:t>alias@m.test</w:t></w:r><w:r><w:t></w:t>", "mailto:alias@m.test", "comment><w:t>alias@m.test", "creator>alias@m.test"],
        ),
        ("table", zipped("", &[TYPES, ("xl/sharedStrings.xml", b"<si><t>a.real@home.example</t></si>")]), vec!["<t>alias@m.test</t>"]),
        ("table in a document", zipped("", &[TYPES, ("word/embeddings/a.xlsx", &inner)]), vec!["alias@m.test"]),
        (
            "open document",
            zipped("", &[("mimetype", b"application/vnd.oasis.opendocument.text"), ("content.xml", b"<text:a xlink:href=\"mailto:a.real@home.example\">a.<text:span>real@home.example</text:span></text:a>")]),
            vec!["\nmimetype: application/vnd.oasis", "mailto:alias@m.test\">alias@m.test<text:span></text:span>"],
        ),
    ];
    for (what, file, wanted) in cases {
        let (out, left) = looked(&file);
        let told = unzipped(&out);
        assert_eq!(left, [], "{what}: {told}");
        assert!(!told.to_lowercase().contains("a.real@"), "{what}: {told}");
        assert!(!told.contains("192.0.2.9"), "{what}: {told}");
        for want in wanted {
            assert!(told.contains(want), "{what}: {want}: {told}");
        }
        assert_eq!(looked(&out), (out.clone(), Vec::new()), "twice is once: {what}");
    }
    // Text of other charsets, packed or not.
    for file in [utf16.clone(), b"caf\xe9 a.real@home.example".to_vec()] {
        let (out, left) = looked(&file);
        assert!(left.is_empty() && out.len() == file.len() - if file == utf16 { 14 } else { 7 });
    }
    let (out, _) = looked(&zipped("", &[("u.txt", &utf16)]));
    assert!(
        unzipped(&out).contains(
            &String::from_utf8_lossy(&"alias@m.test".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>())
                .into_owned()
        )
    );
}

#[test]
fn what_cannot_be_replaced_stays_and_is_told() {
    let document = ("word/document.xml", &b"<w:t>a.real@home.example</w:t>"[..]);
    let lock = ("word/settings.xml", &b"<w:documentProtection w:edit=\"readOnly\" w:enforcement=\"1\"/>"[..]);
    let compound = [
        &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1][..],
        &"a.real@home.example".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(),
    ]
    .concat();
    let inner = zipped("", &[TYPES, document, lock]);
    // what it is, file, why
    let cases = [
        ("signed", zipped("", &[TYPES, document, ("_xmlsignatures/origin.sigs", b"")]), Some(Cannot::Signed)),
        ("signed, and nothing in it", zipped("", &[TYPES, ("_xmlsignatures/origin.sigs", b"")]), None),
        (
            "signed open document",
            zipped(
                "",
                &[
                    ("mimetype", b"application/vnd.oasis.opendocument.text"),
                    ("content.xml", document.1),
                    ("META-INF/documentsignatures.xml", b""),
                ],
            ),
            Some(Cannot::Signed),
        ),
        ("locked", inner.clone(), Some(Cannot::Locked)),
        ("locked in an archive", zipped("", &[("a.docx", &inner)]), Some(Cannot::Locked)),
        ("compound file", compound, Some(Cannot::Unsupported)),
        ("octets", b"\0\x01a.real@home.example\0".to_vec(), Some(Cannot::Unsupported)),
        ("truncated archive", zipped("", &[("a.txt", &b"x".repeat(99))])[..60].to_vec(), Some(Cannot::Unread)),
        ("too large a part", zipped("", &[("a.txt", &vec![b'x'; 17 << 20])]), Some(Cannot::Unread)),
        ("the receiver's", zipped("", &[("a.txt", b"b.real@shop.example")]), None),
    ];
    for (what, file, why) in cases {
        let (out, left) = looked(&file);
        assert_eq!(left.iter().map(|left| left.why).collect::<Vec<_>>(), why.into_iter().collect::<Vec<_>>(), "{what}");
        assert!(out == file, "{what} is changed");
    }
    // A lock that is not in force is none.
    for (part, lock) in [
        ("word/settings.xml", "<w:documentProtection w:enforcement=\"0\"/>"),
        ("xl/workbook.xml", "<workbookPr/><workbookProtection/>"),
        ("xl/workbook.xml", "<fileSharing readOnlyRecommended=\"1\"/>"),
    ] {
        assert!(looked(&zipped("", &[TYPES, document, (part, lock.as_bytes())])).1.is_empty(), "{lock}");
    }
    let closed = ("xl/workbook.xml", &b"<workbookProtection lockStructure=\"1\"/>"[..]);
    assert_eq!(looked(&zipped("", &[TYPES, document, closed])).1.len(), 1);
}

#[test]
fn names_that_are_no_utf8_stay() {
    let mut file = zipped("", &[("aaaa.txt", b"a.real@home.example"), ("bbbb.txt", b"x")]);
    // Signs in Shift_JIS, whose second octet is a backslash.
    for (from, to) in [(b"aaaa", b"\x95\\aa"), (b"bbbb", b"\x95\\bb")] {
        let places: Vec<usize> = memchr::memmem::find_iter(&file, from).collect();
        places.iter().for_each(|at| file[*at..at + 4].copy_from_slice(to));
    }
    let (out, left) = looked(&file);
    let names: Vec<_> = package::Package::read(&out).unwrap().entries.iter().map(|entry| entry.name.to_vec()).collect();
    assert_eq!(names, [&b"\x95\\aa.txt"[..], b"\x95\\bb.txt"]);
    assert!(left.is_empty() && out.len() < file.len() && out.ends_with(&[0, 0]));
}

#[test]
fn gzip_is_opened() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(b"mail a.real@home.example").unwrap();
    let (out, left) = looked(&packed.finish().unwrap());
    let mut text = String::new();
    GzDecoder::new(&out[..]).read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), left.as_slice()), ("mail alias@m.test", &[][..]));
}

/// A card of another charset is a text of it.
#[test]
fn cards_of_other_charsets() {
    let card = b"BEGIN:VCARD\r\nVERSION:2.1\r\nFN:Ren\xe9\r\nEMAIL:a.real@home.example\r\nEND:VCARD\r\n";
    let mut message = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n".to_vec();
    crate::message::transfer::encode_base64(card, &mut message);
    let out = ordered(&Limits::default(), |order| rewrite(&message, order)).unwrap();
    let file = crate::message::mime::Part::read(&out.bytes, false).decoded().into_owned();
    let file = String::from_utf8_lossy(&file);
    assert!(file.contains("EMAIL:alias@m.test") && out.left.is_empty(), "{file}");
}

#[test]
fn time_that_is_used_up_is_no_refusal() {
    let limits = Limits { message_work: 1, ..Limits::default() };
    let text = "x ".repeat(1 << 20);
    let file = zipped("", &[("a.txt", text.as_bytes()), ("b.txt", b"a.real@home.example")]);
    let mut message = b"Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n".to_vec();
    crate::message::transfer::encode_base64(&file, &mut message);
    let Rewritten { left, .. } = ordered(&limits, |order| rewrite(&message, order)).unwrap();
    let [(part, left)] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!((part.as_str(), left.why, left.kind), ("1", Cannot::Unread, "application/zip"));
}

fn pdf(objects: &[String]) -> Vec<u8> {
    let mut out = b"%PDF-1.4\n".to_vec();
    let mut table = String::from("0000000000 65535 f \n");
    for (n, object) in objects.iter().enumerate() {
        table.push_str(&format!("{:010} 00000 n \n", out.len()));
        out.extend(format!("{} 0 obj\n", n + 1).bytes());
        // As octets, so that a stream may hold any.
        out.extend(object.chars().map(|c| u8::try_from(u32::from(c)).unwrap()));
        out.extend(b"\nendobj\n");
    }
    let at = out.len();
    out.extend(
        format!("xref\n0 {0}\n{table}trailer\n<</Size {0}/Root 1 0 R>>\nstartxref\n{at}\n%%EOF\n", objects.len() + 1)
            .bytes(),
    );
    out
}

fn stream(dictionary: &str, data: &[u8]) -> String {
    let data: String = data.iter().map(|byte| char::from(*byte)).collect();
    format!("<<{dictionary}/Length {}>>\nstream\n{data}\nendstream", data.chars().count())
}

fn deflated(data: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), Compression::best());
    packed.write_all(data).unwrap();
    packed.finish().unwrap()
}

/// What a file says, its streams unpacked.
fn read_pdf(bytes: &[u8]) -> String {
    let mut out = String::from_utf8_lossy(bytes).into_owned();
    for at in memchr::memmem::find_iter(bytes, b"stream\n") {
        let mut text = Vec::new();
        let _ = flate2::read::ZlibDecoder::new(&bytes[at + 7..]).read_to_end(&mut text);
        out.push_str(&String::from_utf8_lossy(&text));
    }
    out
}

#[test]
fn pdf_links_and_text() {
    let drawn = b"BT /F1 12 Tf 20 200 Td [(mail a.re) -10 (al@home.example)] TJ ET";
    let page = |content: String, font: &str, more: &str| {
        vec![
            "<</Type/Catalog/Pages 2 0 R>>".to_owned(),
            "<</Type/Pages/Kids[3 0 R]/Count 1>>".to_owned(),
            format!(
                "<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>{more}>>"
            ),
            content,
            font.to_owned(),
        ]
    };
    let helvetica = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>";
    let link = "/Annots[<</Type/Annot/Subtype/Link/Rect[0 0 9 9]/A<</S/URI/URI(mailto:a.real@home.example)>>>>]";
    let plain = pdf(&page(stream("", drawn), helvetica, ""));
    let packed = pdf(&page(stream("/Filter/FlateDecode", &deflated(drawn)), helvetica, ""));
    let linked = pdf(&page(stream("", b""), helvetica, link));
    let both = pdf(&page(stream("/Filter[/FlateDecode]", &deflated(drawn)), helvetica, link));
    for (what, file, wants) in [
        ("plain", &plain, &["[(mail alias@m.test) -10 ()] TJ"][..]),
        ("packed", &packed, &["[(mail alias@m.test) -10 ()] TJ"]),
        ("link", &linked, &["/URI(mailto:alias@m.test)"]),
        ("both", &both, &["(mail alias@m.test)", "(mailto:alias@m.test)"]),
    ] {
        let (out, left) = looked(file);
        let told = read_pdf(&out);
        assert_eq!(left, [], "{what}: {told}");
        assert!(!told.contains("a.re") && !told.contains("al@home"), "{what}: {told}");
        assert!(wants.iter().all(|want| told.contains(want)), "{what}: {told}");
        assert_eq!(looked(&out), (out.clone(), Vec::new()), "twice is once: {what}");
    }
    // One rule for what cannot be replaced, packed or not.
    let subset = "<</Type/Font/Subtype/Type0/BaseFont/ABCDEF+Arial/Encoding/Identity-H/ToUnicode 6 0 R>>";
    let codes: String = OWN.bytes().map(|byte| format!("{:04X}", byte - 30)).collect();
    let glyphs = format!("BT /F1 12 Tf <{codes}> Tj ET");
    let map = stream("", b"1 beginbfrange <0000> <00FF> <001E> endbfrange");
    let with_map = |content: String| pdf(&[page(content, subset, ""), vec![map.clone()]].concat());
    let signed = |file: Vec<u8>| [file, b"9 0 obj<</ByteRange[0 1 2 3]>>endobj".to_vec()].concat();
    for (what, file, why) in [
        ("a font's own codes", with_map(stream("", glyphs.as_bytes())), Cannot::Unsupported),
        (
            "the same, packed",
            with_map(stream("/Filter/FlateDecode", &deflated(glyphs.as_bytes()))),
            Cannot::Unsupported,
        ),
        ("signed", signed(plain.clone()), Cannot::Signed),
        ("signed, packed", signed(packed.clone()), Cannot::Signed),
        ("with a password", [packed.clone(), b"<</Encrypt 9 0 R>>".to_vec()].concat(), Cannot::Unread),
    ] {
        let (out, left) = looked(&file);
        assert_eq!(left.iter().map(|left| left.why).collect::<Vec<_>>(), [why], "{what}");
        assert!(out == file, "{what} is changed");
    }
}

#[test]
fn pdf_objects_in_objects() {
    let link = "<</Type/Annot/Subtype/Link/Rect[0 0 9 9]/A<</S/URI/URI(mailto:a.real@home.example)>>>>";
    let table = format!("4 0 5 {} ", link.len() + 1);
    let content = format!("{table}{link} <</Kept(other@home.example)>>");
    let mut objects = vec!["<</Type/Catalog/Pages 2 0 R>>".to_owned(), "<</Type/Pages/Kids[]/Count 0>>".to_owned()];
    objects.push(stream(
        &format!("/Type/ObjStm/N 2/First {}/Filter/FlateDecode", table.len()),
        &deflated(content.as_bytes()),
    ));
    let (out, left) = looked(&pdf(&objects));
    let told = read_pdf(&out);
    assert_eq!(left, [], "{told}");
    assert!(told.contains("4 0 obj\n<</Type/Annot") && told.contains("URI(mailto:alias@m.test)"), "{told}");
    assert!(told.contains("/Kept(other@home.example)") && !told.contains("a.real"), "{told}");
}

proptest::proptest! {
    #[test]
    fn broken_files_harm_nobody(which in 0_usize..4, edits in proptest::collection::vec((proptest::num::usize::ANY, proptest::num::u8::ANY), 0..12), cut in proptest::num::usize::ANY, cuts: bool) {
        let document = zipped("c", &[TYPES, ("word/document.xml", b"<w:t>a.real@home.example</w:t>"), ("a.txt", b"x")]);
        let drawn = stream("/Filter/FlateDecode", &deflated(b"(a.real@home.example) Tj"));
        let file = pdf(&["<</Type/Catalog/Pages 2 0 R/A(a.real@home.example)>>".to_owned(), drawn]);
        let rtf = b"{\\rtf1 a.real\\'40home.example}".to_vec();
        let inner = zipped("", &[("a.docx", &document), ("b.pdf", &file), ("c.rtf", &rtf)]);
        let mut file = vec![document, file, rtf, inner].swap_remove(which);
        for (at, byte) in edits {
            let at = at % file.len();
            file[at] = byte;
        }
        if cuts {
            file.truncate(cut % file.len());
        }
        let _ = looked(&file);
    }
}
