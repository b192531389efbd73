//! tar (POSIX ustar, GNU, the old format): addresses in its files and in their names.
//!
//! Names in pax headers stay: each of their lines tells its own length.

use super::{Cannot, DEPTH, Look, member};
use crate::message::archive::tar::octal;
use crate::message::contents::{Told, file_name};
use crate::message::quoted::Quoting;
use crate::message::rewrite::Order;
use crate::message::work;

const BLOCK: usize = 512;
/// Steps that an entry costs besides its octets.
const ENTRY: usize = 1000;
/// Fields of a header: name, size, checksum.
const NAME: std::ops::Range<usize> = 0..100;
const SIZE: std::ops::Range<usize> = 124..136;
const SUM: std::ops::Range<usize> = 148..156;

pub(super) fn look(bytes: &[u8], order: &Order<'_>, told: &mut Told<'_>) -> Look {
    if told.depth >= DEPTH {
        return Look { changed: None, left: Some(Cannot::Unread) };
    }
    let strict = order.replacements.strict();
    let names = Order { replacements: &strict, quotes: Quoting::Ignored, ..order.clone() };
    let mut out = Vec::with_capacity(bytes.len());
    let (mut at, mut changed, before) = (0, false, told.left.len());
    while let Some(header) = bytes.get(at..at + BLOCK).filter(|header| crate::message::archive::is_tar(header)) {
        if work::is_over() {
            break;
        }
        work::pack(ENTRY);
        let Some(size) = header.get(SIZE).and_then(octal).and_then(|size| usize::try_from(size).ok()) else { break };
        let Some(content) = bytes.get(at + BLOCK..(at + BLOCK).saturating_add(size)) else { break };
        let mut header = header.to_vec();
        let name: Vec<u8> = header.get(NAME).unwrap_or(&[]).iter().copied().take_while(|byte| *byte != 0).collect();
        let name = String::from_utf8_lossy(&name).into_owned();
        let scrubbed = name.split('/').map(|step| file_name(step, &names)).collect::<Vec<_>>().join("/");
        if scrubbed != name && scrubbed.len() <= NAME.len() {
            changed = true;
            write(&mut header, NAME, scrubbed.as_bytes());
        }
        let cleaned = match header.get(156) {
            Some(b'0' | 0) => member(&name, content, order, told),
            // The name of the entry behind it, in the form of GNU.
            Some(b'L') => {
                let text = String::from_utf8_lossy(content).trim_end_matches('\0').to_owned();
                let scrubbed = text.split('/').map(|step| file_name(step, &names)).collect::<Vec<_>>().join("/");
                (scrubbed != text).then(|| [scrubbed.as_bytes(), b"\0"].concat())
            }
            _ => None,
        };
        if let Some(cleaned) = &cleaned {
            changed = true;
            write(&mut header, SIZE, format!("{:011o}", cleaned.len()).as_bytes());
        }
        seal(&mut header);
        out.extend_from_slice(&header);
        out.extend_from_slice(cleaned.as_deref().unwrap_or(content));
        out.resize(out.len().next_multiple_of(BLOCK), 0);
        at = (at + BLOCK + size).next_multiple_of(BLOCK);
    }
    let left = told.left.split_off(before).first().map(|left| left.why);
    // What stands behind: two empty blocks, or what is not read.
    out.extend_from_slice(bytes.get(at..).unwrap_or(&[]));
    Look { changed: Some(out).filter(|_| changed), left }
}

fn write(header: &mut [u8], field: std::ops::Range<usize>, text: &[u8]) {
    if let Some(field) = header.get_mut(field) {
        field.fill(0);
        field.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    }
}

/// Writes the checksum of a header.
fn seal(header: &mut [u8]) {
    if let Some(field) = header.get_mut(SUM) {
        field.fill(b' ');
    }
    let sum: u64 = header.iter().map(|octet| u64::from(*octet)).sum();
    write(header, SUM, format!("{sum:06o}\0 ").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::files::tests::looked;

    fn entry(kind: u8, name: &str, content: &[u8]) -> Vec<u8> {
        let mut header = vec![0; BLOCK];
        write(&mut header, NAME, name.as_bytes());
        write(&mut header, SIZE, format!("{:011o}", content.len()).as_bytes());
        header[156] = kind;
        seal(&mut header);
        header.extend_from_slice(content);
        header.resize(header.len().next_multiple_of(BLOCK), 0);
        header
    }

    #[test]
    fn files_and_names() {
        let long = format!("{}/a.real@home.example.txt\0", "x".repeat(120));
        let end = vec![0; 2 * BLOCK];
        let file = [
            entry(b'0', "a.txt", b"mail a.real@home.example"),
            entry(b'L', "././@LongLink", long.as_bytes()),
            entry(b'0', "a.real@home.example.txt", b"x"),
            end.clone(),
        ]
        .concat();
        let (out, left) = looked(&file);
        let long = format!("{}/alias@m.test.txt\0", "x".repeat(120));
        let want = [
            entry(b'0', "a.txt", b"mail alias@m.test"),
            entry(b'L', "././@LongLink", long.as_bytes()),
            entry(b'0', "alias@m.test.txt", b"x"),
            end,
        ]
        .concat();
        assert!(out == want && left.is_empty(), "{left:?}");
    }
}
