//! Outlook's winmail.dat (MS-OXTNEF): the text and the files in it, as a MIME entity that is then cleaned by the same rules as any other.
//! Everything else in it (properties of the author's mailbox) is left behind.

use super::text::parameter;
use super::transfer::encode_base64;
use super::work;

const SIGNATURE: &[u8] = &[0x78, 0x9f, 0x3e, 0x22];
const BODY: u32 = 0x0002_800c;
const CODEPAGE: u32 = 0x0006_9007;
const PROPERTIES: u32 = 0x0006_9003;
const FILE_BEGINS: u32 = 0x0006_9002;
const FILE_TITLE: u32 = 0x0001_8010;
const FILE_DATA: u32 = 0x0006_800f;
const FILE_PROPERTIES: u32 = 0x0006_9005;
const HTML: u16 = 0x1013;
const LONG_NAME: u16 = 0x3707;
const CONTENT_TYPE: u16 = 0x370e;
/// Steps that an attribute or a property costs.
const ATTRIBUTE: usize = 50;
/// Files in one, and properties of one.
const MOST: usize = 200;
const MOST_PROPERTIES: usize = 2000;

#[derive(Default)]
struct File<'a> {
    name: String,
    kind: String,
    data: &'a [u8],
}

/// Opens `bytes`; `None` if it is none, is broken, or holds neither text nor file.
#[must_use]
pub fn open(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = bytes.strip_prefix(SIGNATURE)?.get(2..)?;
    let (mut text, mut html, mut files): (&[u8], &[u8], Vec<File<'_>>) = (&[], &[], Vec::new());
    let mut charset = "windows-1252".to_owned();
    while !rest.is_empty() && !work::is_over() {
        work::count(ATTRIBUTE);
        let id = number(rest, 1)?;
        let length = usize::try_from(number(rest, 5)?).ok()?;
        let data = rest.get(9..length.checked_add(9)?)?;
        rest = rest.get(length + 11..)?;
        match id {
            BODY => text = data,
            CODEPAGE => charset = format!("cp{}", number(data, 0)?),
            PROPERTIES => properties(data, |tag, value| {
                if tag == HTML {
                    html = value;
                }
            }),
            FILE_BEGINS if files.len() >= MOST => return None,
            FILE_BEGINS => files.push(File::default()),
            FILE_TITLE => files.last_mut()?.name = ansi(data, &charset),
            FILE_DATA => files.last_mut()?.data = data,
            FILE_PROPERTIES => {
                let file = files.last_mut()?;
                properties(data, |tag, value| match tag {
                    LONG_NAME => file.name = string(value, &charset),
                    CONTENT_TYPE => file.kind = string(value, &charset),
                    _ => {}
                });
            }
            _ => {}
        }
    }
    let text = text.split(|byte| *byte == 0).next().unwrap_or(&[]);
    files.retain(|file| !file.data.is_empty());
    (!text.is_empty() || !html.is_empty() || !files.is_empty()).then(|| entity(text, html, &charset, &files))
}

fn entity(text: &[u8], html: &[u8], charset: &str, files: &[File<'_>]) -> Vec<u8> {
    // Bodies are base 64, in which no boundary can stand.
    let mut out = b"Content-Type: multipart/mixed; boundary=\"-\"\r\n\r\n".to_vec();
    let mut part = |kind: &str, disposition: &str, data: &[u8]| {
        let header = format!("---\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n{disposition}\r\n");
        out.extend_from_slice(header.as_bytes());
        encode_base64(data, &mut out);
    };
    if !html.is_empty() {
        part(&format!("text/html; charset={charset}"), "", html);
    } else if !text.is_empty() {
        part(&format!("text/plain; charset={charset}"), "", text);
    }
    for file in files {
        let token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '.' | '+');
        let plain = file.kind.contains('/') && file.kind.chars().all(token) && !file.kind.starts_with("m");
        let kind = if plain { file.kind.as_str() } else { "application/octet-stream" };
        let mut disposition = String::from("Content-Disposition: attachment");
        parameter(&mut disposition, "filename", &file.name);
        disposition.push_str("\r\n");
        part(kind, &disposition, file.data);
    }
    out.extend_from_slice(b"-----\r\n");
    out
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn ansi(bytes: &[u8], charset: &str) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or(&[]);
    super::text::decode_charset(bytes, charset).into_owned()
}

/// A property's string: UTF-16 if every other octet of its start is zero, else in the file's charset.
fn string(bytes: &[u8], charset: &str) -> String {
    if bytes.len().is_multiple_of(2) && bytes.ends_with(&[0, 0]) {
        let units: Vec<u16> =
            bytes.chunks_exact(2).filter_map(|unit| unit.try_into().ok().map(u16::from_le_bytes)).collect();
        return String::from_utf16_lossy(&units).trim_end_matches('\0').to_owned();
    }
    ansi(bytes, charset)
}

/// Calls `each` with the id and value of strings and binaries in a list of MAPI properties (MS-OXTNEF 2.1.3.4); ends where it does not understand.
fn properties<'a>(data: &'a [u8], mut each: impl FnMut(u16, &'a [u8])) {
    let mut at = 4;
    let mut read = || -> Option<()> {
        for _ in 0..usize::try_from(number(data, 0)?).ok()?.min(MOST_PROPERTIES) {
            work::count(ATTRIBUTE);
            let tag = number(data, at)?;
            let (kind, id) = ((tag & 0xffff) as u16, (tag >> 16) as u16);
            at += 4;
            if id >= 0x8000 {
                // A named property: whose it is, and its name.
                let kind = number(data, at + 16)?;
                at += 20;
                let length = usize::try_from(number(data, at)?).ok()?;
                at += 4 + if kind == 0 { 0 } else { length.checked_next_multiple_of(4)? };
            }
            let count = |at: &mut usize| {
                let count = usize::try_from(number(data, *at)?).ok()?;
                *at += 4;
                Some(count)
            };
            let width = match kind & 0x0fff {
                0x02 | 0x0b | 0x03 | 0x04 | 0x0a => 4,
                0x05 | 0x06 | 0x07 | 0x14 | 0x40 => 8,
                0x48 => 16,
                0x0d | 0x1e | 0x1f | 0x102 => {
                    for _ in 0..count(&mut at)?.min(MOST_PROPERTIES) {
                        let length = count(&mut at)?;
                        work::count(ATTRIBUTE + length);
                        each(id, data.get(at..at.checked_add(length)?)?);
                        at = at.checked_add(length.checked_next_multiple_of(4)?)?;
                    }
                    continue;
                }
                _ => return None,
            };
            let values = if kind & 0x1000 == 0 { 1 } else { count(&mut at)? };
            at = at.checked_add(values.checked_mul(width)?)?;
        }
        Some(())
    };
    let _ = read();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::mime::Part;

    fn attribute(id: u32, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap().to_le_bytes();
        [&[1][..], &id.to_le_bytes(), &length, data, &[0, 0]].concat()
    }

    fn winmail() -> Vec<u8> {
        let name: Vec<u8> = "長い名前.pdf\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut list = 3_u32.to_le_bytes().to_vec();
        list.extend_from_slice(&[3, 0, 0x20, 0x0e, 9, 0, 0, 0]); // a number
        list.extend_from_slice(&[&[0x0b, 0, 0x01, 0x80][..], &[0; 16], &[0; 8], &[1, 0, 0, 0]].concat()); // a named flag
        list.extend_from_slice(&[0x1f, 0, 0x07, 0x37, 1, 0, 0, 0]);
        list.extend_from_slice(&u32::try_from(name.len()).unwrap().to_le_bytes());
        list.extend_from_slice(&name);
        list.resize(list.len().next_multiple_of(4), 0);
        [
            [SIGNATURE, &[1, 0]].concat(),
            attribute(CODEPAGE, &[0xa4, 3, 0, 0, 0, 0, 0, 0]),
            attribute(0x0000_8000, b"Secret sender"),
            attribute(BODY, b"\x93\xfa\x96\x7b\0"),
            attribute(FILE_BEGINS, &[0; 14]),
            attribute(FILE_TITLE, b"SHORT~1.PDF\0"),
            attribute(FILE_DATA, b"%PDF-1.4"),
            attribute(FILE_PROPERTIES, &list),
        ]
        .concat()
    }

    #[test]
    fn text_and_files_come_out() {
        let entity = open(&winmail()).unwrap();
        assert!(memchr::memmem::find(&entity, b"Secret").is_none());
        let whole = Part::read(&entity, false);
        let children: Vec<Part<'_>> = whole.children().unwrap().into_iter().map(|raw| Part::read(raw, false)).collect();
        assert_eq!(children.len(), 2);
        assert_eq!(children[0].kind.get("charset"), Some("cp932"));
        assert_eq!(children[0].decoded().as_ref(), b"\x93\xfa\x96\x7b");
        assert_eq!(children[1].file_name(), Some("長い名前.pdf"));
        assert_eq!(children[1].decoded().as_ref(), b"%PDF-1.4");
        assert_eq!(open(b""), None);
        assert_eq!(open(&[SIGNATURE, &[1, 0]].concat()), None, "nothing in it");
    }

    proptest::proptest! {
        #[test]
        fn broken_ones(edits in proptest::collection::vec((proptest::num::usize::ANY, proptest::num::u8::ANY), 0..8), cut in proptest::num::usize::ANY) {
            let mut file = winmail();
            for (at, byte) in edits {
                let at = 6 + at % (file.len() - 6);
                file[at] = byte;
            }
            let _ = open(&file);
            file.truncate(cut % file.len());
            let _ = open(&file);
        }
    }
}
