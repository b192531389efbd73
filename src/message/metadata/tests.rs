use super::*;
use std::io::Write as _;

/// A file that is alone in its message.
fn clean(bytes: &[u8], options: &Metadata) -> Cleaned {
    super::clean(bytes, options, &mut MOST_UNPACKED.clone())
}

/// An EXIF block with a camera, a place and an orientation.
fn exif(orientation: u16) -> Vec<u8> {
    let mut tiff = b"II*\0\x08\0\0\0".to_vec();
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        let mut out = Vec::new();
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&value.to_le_bytes());
        out
    };
    let entries = [
        entry(0x010f, 2, 10, 62), // Make, behind the directory
        entry(0x0112, 3, 1, u32::from(orientation)),
        entry(0x8825, 4, 1, 72), // GPS directory
    ];
    tiff.extend_from_slice(&3_u16.to_le_bytes());
    for entry in &entries {
        tiff.extend_from_slice(entry);
    }
    tiff.extend_from_slice(&[0; 4]);
    tiff.resize(62, 0);
    tiff.extend_from_slice(b"SecretCam\0");
    tiff.extend_from_slice(&[1, 0, 1, 0, 2, 0, 12, 0, 0, 0, 90, 0, 0, 0, 0, 0, 0, 0]);
    tiff.extend_from_slice(b"SecretPlace\0");
    tiff
}

fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![0xff, marker];
    out.extend_from_slice(&u16::try_from(content.len() + 2).unwrap().to_be_bytes());
    out.extend_from_slice(content);
    out
}

fn jpeg(orientation: u16) -> Vec<u8> {
    let exif = [b"Exif\0\0".as_slice(), &exif(orientation)].concat();
    [
        vec![0xff, 0xd8],
        segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
        segment(0xe1, &exif),
        segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0Secret"),
        segment(0xe2, b"ICC_PROFILE\0\x01\x01profile"),
        segment(0xed, b"Photoshop 3.0\0Secret"),
        segment(0xfe, b"Secret comment"),
        segment(0xdb, &[0; 65]),
        segment(0xda, &[1, 1, 0, 0, 63, 0]),
        b"data\xff\x00\xff\xd0more".to_vec(),
        segment(0xc4, &[0; 20]),
        segment(0xda, &[1, 1, 0, 0, 63, 0]),
        b"\xff\x00second scan\xff\xd9trailing Secret".to_vec(),
    ]
    .concat()
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(data);
    [&u32::try_from(data.len()).unwrap().to_be_bytes(), kind.as_slice(), data, &crc.sum().to_be_bytes()].concat()
}

fn png() -> Vec<u8> {
    [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]),
        chunk(b"gAMA", &[0, 0, 0xb1, 0x8f]),
        chunk(b"tEXt", b"Author\0Secret"),
        chunk(b"eXIf", &exif(6)),
        chunk(b"tIME", &[0; 7]),
        chunk(b"IDAT", b"picture"),
        chunk(b"IEND", b""),
        b"Secret".to_vec(),
    ]
    .concat()
}

fn riff(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut out = [kind.as_slice(), &u32::try_from(data.len()).unwrap().to_le_bytes(), data].concat();
    out.resize(out.len() + data.len() % 2, 0);
    out
}

fn webp() -> Vec<u8> {
    let chunks = [
        riff(b"VP8X", &[0x2c, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        riff(b"ICCP", b"profile"),
        riff(b"VP8L", b"picture"),
        riff(b"EXIF", &exif(6)),
        riff(b"XMP ", b"Secret"),
    ]
    .concat();
    [b"RIFF".as_slice(), &u32::try_from(chunks.len() + 4).unwrap().to_le_bytes(), b"WEBP", &chunks].concat()
}

fn gif() -> Vec<u8> {
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xfe\x06Secret\0!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0!\xff\x0bXMP DataXMP\x06Secret\0!\xf9\x04\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0;Secret".to_vec()
}

fn pdf() -> Vec<u8> {
    let xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><dc:creator>Secret</dc:creator></rdf:RDF></x:xmpmeta>";
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    // Not to be packed to nothing.
    packed.write_all(xmp).unwrap();
    packed.write_all(&(0..400_u32).flat_map(|n| (n * 7919 % 251).to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    let packed = packed.finish().unwrap();
    let mut out = b"%PDF-1.4\n1 0 obj\n<</Title(Offer)/Author (Secret \\(x\\) (y))/Creator<FEFF0053>/CreationDate(D:20261121+09'00')>>\nendobj\n".to_vec();
    out.extend_from_slice(
        format!("2 0 obj\n<</Type /Metadata /Subtype /XML /Length {}>>\nstream\n", xmp.len()).as_bytes(),
    );
    out.extend_from_slice(xmp);
    out.extend_from_slice(
        format!(
            "\nendstream\nendobj\n3 0 obj\n<</Type/Metadata/Filter/FlateDecode/Length {}>>\nstream\r\n",
            packed.len()
        )
        .as_bytes(),
    );
    out.extend_from_slice(&packed);
    out.extend_from_slice(
        b"\nendstream\nendobj\n4 0 obj (Author stays) endobj\ntrailer <</Info 1 0 R /Root 5 0 R>>\n%%EOF",
    );
    out
}

fn zip(parts: &[(&str, &str)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in parts {
        let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(text.as_bytes()).unwrap();
        let (data, method) =
            if *name == "mimetype" { (text.as_bytes().to_vec(), 0_u16) } else { (packed.finish().unwrap(), 8) };
        let mut crc = flate2::Crc::new();
        crc.update(text.as_bytes());
        let size = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
        let name_length = u16::try_from(name.len()).unwrap().to_le_bytes();
        let fixed = [
            &20_u16.to_le_bytes()[..],
            &[0, 0],
            &method.to_le_bytes(),
            &[0; 4],
            &crc.sum().to_le_bytes(),
            &size(data.len()),
            &size(text.len()),
            &name_length,
        ]
        .concat();
        let offset = size(out.len());
        out.extend_from_slice(&[b"PK\x03\x04".as_slice(), &fixed, &[6, 0], name.as_bytes(), b"Secret", &data].concat());
        directory
            .extend_from_slice(&[b"PK\x01\x02\x14\0".as_slice(), &fixed, &[0; 12], &offset, name.as_bytes()].concat());
    }
    let count = u16::try_from(parts.len()).unwrap().to_le_bytes();
    let (size, offset) =
        (u32::try_from(directory.len()).unwrap().to_le_bytes(), u32::try_from(out.len()).unwrap().to_le_bytes());
    [&out[..], &directory, b"PK\x05\x06\0\0\0\0", &count, &count, &size, &offset, &[6, 0], b"Secret"].concat()
}

const CORE: &str = "<?xml version=\"1.0\"?><cp:coreProperties><dc:title>Offer</dc:title><dc:creator>Secret</dc:creator><cp:lastModifiedBy x=\"y\">Secret</cp:lastModifiedBy></cp:coreProperties>";

fn docx() -> Vec<u8> {
    zip(&[
        ("[Content_Types].xml", "<Types/>"),
        ("docProps/core.xml", CORE),
        ("word/document.xml", "<w:ins w:author=\"Secret\"><w:t>text</w:t></w:ins>"),
        ("word/comments.xml", "<w:comment w:initials=\"Secret\"/>"),
        ("word/styles.xml", "<w:t>styles</w:t>"),
    ])
}

fn odt() -> Vec<u8> {
    zip(&[
        ("mimetype", "application/vnd.oasis.opendocument.text"),
        ("meta.xml", "<office:meta><meta:initial-creator>Secret</meta:initial-creator></office:meta>"),
    ])
}

fn heic() -> Vec<u8> {
    let boxed = |kind: &[u8; 4], body: &[u8]| {
        [&u32::try_from(body.len() + 8).unwrap().to_be_bytes(), kind.as_slice(), body].concat()
    };
    let exif = [b"\0\0\0\0".as_slice(), &exif(6)].concat();
    let exif_length = u16::try_from(exif.len()).unwrap().to_be_bytes();
    let infe = boxed(b"infe", &[&[2, 0, 0, 0, 0, 1, 0, 0], b"Exif\0".as_slice()].concat());
    let infe2 = boxed(b"infe", &[&[2, 0, 0, 0, 0, 2, 0, 0], b"mime\0application/rdf+xml\0".as_slice()].concat());
    let iinf = boxed(b"iinf", &[&[0, 0, 0, 0, 0, 2], infe.as_slice(), &infe2].concat());
    // two items in idat, offsets and lengths of two octets
    let mut iloc = vec![1, 0, 0, 0, 0x22, 0x00, 0, 2];
    iloc.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 1, 0, 0]);
    iloc.extend_from_slice(&exif_length);
    iloc.extend_from_slice(&[0, 2, 0, 1, 0, 0, 0, 1]);
    iloc.extend_from_slice(&exif_length);
    iloc.extend_from_slice(&[0, 6]);
    let iloc = boxed(b"iloc", &iloc);
    let idat = boxed(b"idat", &[exif.as_slice(), b"Secretpicture"].concat());
    let meta = boxed(b"meta", &[&[0; 4], iinf.as_slice(), &iloc, &idat].concat());
    [boxed(b"ftyp", b"heic\0\0\0\0mif1heic"), meta, boxed(b"mdat", b"picture")].concat()
}

fn tiff_file() -> Vec<u8> {
    [exif(3), b"picture".to_vec()].concat()
}

fn all() -> Vec<(&'static str, Vec<u8>, &'static [u8])> {
    vec![
        ("jpeg", jpeg(6), b"second scan"),
        ("png", png(), b"picture"),
        ("webp", webp(), b"picture"),
        ("gif", gif(), b"NETSCAPE2.0"),
        ("pdf", pdf(), b"(Author stays)"),
        ("docx", docx(), b"word/document.xml"),
        ("odt", odt(), b"mimetype"),
        ("heic", heic(), b"picture"),
        ("tiff", tiff_file(), b"picture"),
    ]
}

fn changed(bytes: &[u8]) -> Vec<u8> {
    match clean(bytes, &Metadata::default()) {
        Cleaned::Changed(out) => out,
        other => panic!("{other:?}"),
    }
}

#[test]
fn traces_go_and_the_content_stays() {
    for (name, file, content) in all() {
        let out = changed(&file);
        assert_eq!(memchr::memmem::find(&out, b"Secret"), None, "{name}");
        assert!(memchr::memmem::find(&out, content).is_some(), "{name}");
        assert_eq!(clean(&out, &Metadata::default()), Cleaned::Unchanged, "twice is once: {name}");
        let off = Metadata { pictures: false, pdf: false, office: false };
        assert_eq!(clean(&file, &off), Cleaned::Unchanged, "{name}");
    }
}

#[test]
fn orientation_and_colours_are_kept() {
    let out = changed(&jpeg(6));
    let at = memchr::memmem::find(&out, b"Exif\0\0").unwrap() + 6;
    assert_eq!(tiff::orientation(&out[at..]), Some(6));
    assert!(memchr::memmem::find(&out, b"ICC_PROFILE").is_some() && out[2..4] == [0xff, 0xe0]);
    assert_eq!(memchr::memmem::find(&changed(&jpeg(1)), b"Exif"), None, "upright needs no word");
    let out = changed(&png());
    assert_eq!(tiff::orientation(&out[memchr::memmem::find(&out, b"eXIf").unwrap() + 4..]), Some(6));
    let out = changed(&webp());
    assert_eq!(tiff::orientation(&out[memchr::memmem::find(&out, b"EXIF").unwrap() + 8..]), Some(6));
    assert_eq!(out[20], 0x28, "no XMP any more");
    assert_eq!(tiff::orientation(&changed(&tiff_file())), Some(3));
}

#[test]
fn nothing_moves_in_files_with_offsets() {
    for file in [pdf(), heic(), tiff_file()] {
        assert_eq!(changed(&file).len(), file.len());
    }
    let text = String::from_utf8_lossy(&changed(&pdf())).into_owned();
    assert!(text.contains("/Title(Offer)/Author (                ") && text.contains("/Creator<00000000>"), "{text}");
    // the packed stream unpacks to an empty packet
    let xmp = unpacked(&changed(&pdf()), b"stream\r\n");
    assert!(xmp.starts_with("<x:xmpmeta") && xmp.trim_end().ends_with("</x:xmpmeta>"), "{xmp}");
}

/// What is packed behind the first place where a name stands.
fn unpacked_entry(file: &[u8], name: &[u8]) -> String {
    let at = memchr::memmem::find(file, name).unwrap() + name.len();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::DeflateDecoder::new(&file[at..]), &mut text).unwrap();
    text
}

fn unpacked(file: &[u8], before: &[u8]) -> String {
    let at = memchr::memmem::find(file, before).unwrap() + before.len();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::ZlibDecoder::new(&file[at..]), &mut text).unwrap();
    text
}

/// The information dictionary in an object stream, one of its values in an object of its own, a picture with a place.
#[test]
fn object_streams_are_packed_anew() {
    let objects = [
        "<</Title(Offer)/Author(Secret)/Creator 9 0 R/CreationDate(D:20261121083751+09'00')/Kids 3 0 R>>",
        "<</Type/Pages>>",
        "(Secret Writer)",
    ];
    let table = format!("12 0 3 {} 9 {} ", objects[0].len() + 1, objects[0].len() + objects[1].len() + 2);
    let content = format!("{table}{}", objects.join("\n"));
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(content.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let head = format!(
        "%PDF-1.5\n5 0 obj\n<</Type/ObjStm/N 3/First {}/Length {}/Filter/FlateDecode>>\nstream\n",
        table.len(),
        packed.len()
    );
    let jpeg = [b"7 0 obj <<>>\nstream\n", &jpeg(1)[..40], b"\nendstream endobj\n"].concat();
    let file = [
        head.as_bytes(),
        &packed,
        b"\nendstream\nendobj\n",
        &jpeg,
        b"8 0 obj <</Type/XRef/Info 12 0 R>> stream\nx\nendstream",
    ]
    .concat();
    let out = changed(&file);
    assert_eq!(out.len(), file.len());
    let text = unpacked(&out, b">>\nstream\n");
    assert!(
        !text.contains("Secret") && text.contains("/Title(Offer)/Author(      )/Creator 9 0 R/CreationDate(  "),
        "{text}"
    );
    assert!(text.starts_with(&table) && text.contains("<</Type/Pages>>\n(             )"), "{text}");
    assert_eq!(clean(&out, &Metadata::default()), Cleaned::Unchanged);
}

#[test]
fn what_cannot_be_cleaned_is_told() {
    let core = "x".repeat(17 << 20);
    let video = b"\0\0\0\x14ftypisom\0\0\0\0isom".to_vec();
    // file, why
    let cases = [
        (b"\xff\xd8\xff\xe1\xff\xff".to_vec(), Why::Damaged),
        (b"%PDF-1.4 trailer <</Encrypt 1 0 R>>".to_vec(), Why::Encrypted),
        (b"%PDF-1.4 <</ByteRange [0 1 2 3]>>".to_vec(), Why::Signed),
        (b"%PDF-1.5 <</Info 7 0 R>>".to_vec(), Why::Unsupported),
        (zip(&[("a.txt", "x")]), Why::Unsupported),
        (zip(&[("[Content_Types].xml", "x"), ("docProps/core.xml", &core)]), Why::Unsupported),
        (b"{\\rtf1}".to_vec(), Why::Unsupported),
        (video, Why::Unsupported),
        (b"II+\0\x08\0\0\0".to_vec(), Why::Unsupported),
        // archives that are not opened, sounds, and pictures of other kinds
        (b"7z\xbc\xaf\x27\x1c\0\x04".to_vec(), Why::Unsupported),
        (b"\xfd7zXZ\0".to_vec(), Why::Unsupported),
        (b"\x28\xb5\x2f\xfd\x04".to_vec(), Why::Unsupported),
        (b"Rar!\x1a\x07\x01\0".to_vec(), Why::Unsupported),
        (b"\x1f\x8b\x08\0".to_vec(), Why::Unsupported),
        (b"ID3\x03\0".to_vec(), Why::Unsupported),
        (b"8BPS\0\x01".to_vec(), Why::Unsupported),
        (b"RIFF\0\0\0\0AVI LIST".to_vec(), Why::Unsupported),
    ];
    for (file, why) in cases {
        assert_eq!(
            clean(&file, &Metadata::default()),
            Cleaned::CannotClean(why),
            "{}",
            String::from_utf8_lossy(&file[..20.min(file.len())])
        );
    }
    assert_eq!(clean(b"just text", &Metadata::default()), Cleaned::Unchanged);
}

/// Documents in an archive, in a folder, beside a list: cleaned, and told. What an inner bomb holds is not unpacked over and over.
#[test]
fn files_in_archives() {
    let offer = "%PDF-1.4\n1 0 obj\n<</Author(Secret)>>\nendobj\ntrailer <</Info 1 0 R>>";
    let file = zip(&[("offers/a.pdf", offer), ("list.csv", "a,b")]);
    let Cleaned::Partly(out, Why::Unsupported) = clean(&file, &Metadata::default()) else { panic!("not cleaned") };
    assert!(memchr::memmem::find(&out, b"offers/a.pdf").is_some());
    assert!(unpacked_entry(&out, b"a.pdf").contains("/Author(      )"), "{out:?}");
    assert!(out.ends_with(&[0, 0]) && clean(&out, &Metadata::default()) == Cleaned::CannotClean(Why::Unsupported));

    let zeros = "\0".repeat(15 << 20);
    let bomb = zip(&[("[Content_Types].xml", "x"), ("word/media/a", &zeros), ("word/media/b", &zeros)]);
    let mut unpacked = MOST_UNPACKED;
    for _ in 0..5 {
        let _ = super::clean(&bomb, &Metadata::default(), &mut unpacked);
    }
    assert!(
        unpacked == 0
            && super::clean(&bomb, &Metadata::default(), &mut unpacked) == Cleaned::CannotClean(Why::Unsupported)
    );
}

proptest::proptest! {
    #[test]
    fn broken_files_harm_nobody(which in 0_usize..9, edits in proptest::collection::vec((proptest::num::usize::ANY, proptest::num::u8::ANY), 0..12), cut in proptest::num::usize::ANY, cuts: bool) {
        let mut file = all()[which].1.clone();
        for (at, byte) in edits {
            let at = at % file.len();
            file[at] = byte;
        }
        if cuts {
            file.truncate(cut % file.len());
        }
        if let Cleaned::Changed(out) = clean(&file, &Metadata::default()) {
            proptest::prop_assert!(out.len() <= file.len() * 2 + 70_000);
        }
    }

    #[test]
    fn any_octets(magic in 0_usize..9, rest in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let file = &all()[magic].1;
        let _ = clean(&[&file[..12], &rest].concat(), &Metadata::default());
    }
}
