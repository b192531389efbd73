//! yEnc 1.3: files that news programs put into a text, in octets that no charset has. Mail programs show them as rubbish, and a text that has to change would
//! destroy them. So they become uuencoded files, which many programs open, and which are cleaned as such.

use super::{uuencode, work};
use std::borrow::Cow;

/// In place of a file of which the text holds a piece, or that is damaged: it cannot be cleaned, nor opened by itself.
const REMOVED: &[u8] =
    b"[yEnc: this file is not whole, cannot be made anonymous and was taken out. Please attach it as one file.]\r\n";

/// `text` with its yEnc files uuencoded. `None`: it has none.
pub(super) fn uuencoded(text: &[u8]) -> Option<Vec<u8>> {
    work::skip(text.len());
    memchr::memmem::find(text, b"=ybegin ")?;
    work::count(text.len() * 2);
    let mut out = Vec::with_capacity(text.len() / 3 * 4);
    let mut changed = false;
    let mut lines = text.split_inclusive(|octet| *octet == b'\n');
    while let Some(line) = lines.next().filter(|_| !work::is_over()) {
        let Some(file) = File::begins(line) else {
            out.extend_from_slice(line);
            continue;
        };
        changed = true;
        work::count(REMOVED.len());
        match file.read(&mut lines) {
            Some((name, data)) => {
                out.extend_from_slice(b"begin 644 ");
                out.extend_from_slice(&name);
                out.extend_from_slice(b"\r\n");
                let mut encoded = String::new();
                uuencode::encode(&data, &mut encoded);
                out.extend_from_slice(encoded.as_bytes());
                out.extend_from_slice(b"end\r\n");
            }
            None => out.extend_from_slice(REMOVED),
        }
    }
    changed.then_some(out)
}

/// What `=ybegin` says.
struct File<'a> {
    name: &'a [u8],
    size: usize,
}

impl<'a> File<'a> {
    /// `=ybegin line=128 size=584 name=photo.jpg`, the name to the end of the line.
    fn begins(line: &'a [u8]) -> Option<Self> {
        let line = line.trim_ascii_end();
        line.strip_prefix(b"=ybegin ")?;
        let at = memchr::memmem::find(line, b" name=")?;
        let (fields, name) = (line.get(..at)?, line.get(at + 6..)?);
        let field = |name: &[u8]| {
            let words = fields.split(|octet| *octet == b' ');
            let digits = words.into_iter().find_map(|word| word.strip_prefix(name))?;
            std::str::from_utf8(digits).ok()?.parse().ok()
        };
        field(b"line=")?;
        Some(Self { name: name.trim_ascii(), size: field(b"size=")? })
    }

    /// Reads up to `=yend`, or the end of the text. `None`: this is not the whole file.
    fn read(self, lines: &mut dyn Iterator<Item = &[u8]>) -> Option<(Cow<'a, [u8]>, Vec<u8>)> {
        let mut data = Vec::new();
        for line in lines {
            if line.starts_with(b"=yend ") {
                let name = if self.name.is_empty() { b"file" } else { self.name };
                return (data.len() == self.size).then_some((Cow::Borrowed(name), data));
            }
            if line.starts_with(b"=ypart ") {
                continue;
            }
            let mut octets = line.iter().filter(|octet| !matches!(octet, b'\r' | b'\n'));
            while let Some(octet) = octets.next() {
                let shift =
                    if *octet == b'=' { octets.next().map(|octet| octet.wrapping_sub(64)) } else { Some(*octet) };
                data.extend(shift.map(|octet| octet.wrapping_sub(42)));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(data: &[u8], width: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for line in data.chunks(width) {
            for octet in line.iter().map(|octet| octet.wrapping_add(42)) {
                match octet {
                    0 | b'\r' | b'\n' | b'=' => out.extend([b'=', octet.wrapping_add(64)]),
                    octet => out.push(octet),
                }
            }
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    fn whole(head: &str, data: &[u8], end: &str) -> Vec<u8> {
        [format!("hi\r\n{head}\r\n").as_bytes(), &encoded(data, 5), end.as_bytes()].concat()
    }

    #[test]
    fn files_in_text() {
        let removed = String::from_utf8_lossy(REMOVED);
        // head, end, what becomes of it
        let cases = [
            (
                "=ybegin line=128 size=3 name=a b.txt",
                "=yend size=3\r\nbye",
                Some("hi\r\nbegin 644 a b.txt\r\n#0V%T\r\n`\r\nend\r\nbye".to_owned()),
            ),
            (
                "=ybegin part=1 total=1 line=128 size=3 name=a\r\n=ypart begin=1 end=3",
                "=yend size=3 part=1",
                Some("hi\r\nbegin 644 a\r\n#0V%T\r\n`\r\nend\r\n".to_owned()),
            ),
            (
                "=ybegin line=128 size=3 name=",
                "=yend size=3\n",
                Some("hi\r\nbegin 644 file\r\n#0V%T\r\n`\r\nend\r\n".to_owned()),
            ),
            (
                "=ybegin part=1 line=128 size=9 name=a\r\n=ypart begin=1 end=3",
                "=yend size=3 part=1\r\nbye",
                Some(format!("hi\r\n{removed}bye")),
            ),
            ("=ybegin line=128 size=3 name=a", "", Some(format!("hi\r\n{removed}"))),
            ("=ybegin with a word", "=yend x", None),
            ("we say =ybegin line=1 size=3 name=a", "=yend size=3", None),
        ];
        for (head, end, want) in cases {
            let got = uuencoded(&whole(head, b"Cat", end)).map(|text| String::from_utf8(text).unwrap());
            assert_eq!(got, want, "{head}");
        }
    }

    proptest::proptest! {
        #[test]
        fn files_come_back(data in proptest::collection::vec(proptest::num::u8::ANY, 0..300), text in "(=ybegin|=yend |line=1 |size=1 |name=|\n|.){0,12}") {
            let file = whole(&format!("=ybegin line=5 size={} name=x", data.len()), &data, "=yend size=0\r\n");
            let out = uuencoded(&file).unwrap();
            proptest::prop_assert_eq!(uuencode::decode(&out), Some(data));
            let _ = uuencoded(text.as_bytes());
        }
    }
}
