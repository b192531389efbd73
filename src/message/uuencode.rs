//! Files that old mail programs put into the text (POSIX uuencode): taken apart, cleaned, put back. File names are scrubbed with the text around them.

use super::work;

/// Gives each whole file in `text` to `clean`, and writes what comes back in its place. `None`: nothing changed.
pub fn clean(text: &str, mut clean: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> Option<String> {
    if !text.starts_with("begin ") && !text.contains("\nbegin ") {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut changed = false;
    // The file that is being read: what it held, and where its lines begin.
    let mut open: Option<(Vec<u8>, usize)> = None;
    let (mut done, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        if work::is_over() {
            break;
        }
        work::count(line.len());
        at += line.len();
        let bare = line.trim_end_matches(['\r', '\n']);
        open = match open.take() {
            None => is_begin(bare).then(|| (Vec::new(), at)),
            Some((file, start)) if bare == "end" => {
                if let Some(cleaned) = clean(&file) {
                    changed = true;
                    out.push_str(text.get(done..start).unwrap_or(""));
                    encode(&cleaned, &mut out);
                    done = at - line.len();
                }
                None
            }
            Some((mut file, start)) => decode_line(bare, &mut file).map(|()| (file, start)),
        };
    }
    out.push_str(text.get(done..).unwrap_or(""));
    changed.then_some(out)
}

/// Names of the files that a text says it holds, uuencoded or by yEnc.
#[must_use]
pub fn names(text: &[u8]) -> Vec<String> {
    /// More than anybody sends, fewer than a text of a hundred thousand such lines.
    const MOST: usize = 200;
    const LONGEST_LINE: usize = 1000;
    work::skip(text.len() * 3);
    // Almost all mail ends here.
    if memchr::memmem::find(text, b"begin ").is_none() {
        return Vec::new();
    }
    let line_at = |at: usize| {
        if at > 0 && text.get(at - 1) != Some(&b'\n') {
            return None;
        }
        let line = text.get(at..text.len().min(at + LONGEST_LINE))?.split(|octet| *octet == b'\n').next()?;
        work::count(line.len());
        Some(String::from_utf8_lossy(line).trim_end().to_owned())
    };
    let uuencoded = memchr::memmem::find_iter(text, b"begin ").filter_map(|at| {
        let line = line_at(at).filter(|line| is_begin(line))?;
        line.splitn(3, ' ').nth(2).map(str::to_owned)
    });
    // yEnc 1.3: `=ybegin line=128 size=584 name=setup.exe`, the name to the end of the line.
    let yencoded = memchr::memmem::find_iter(text, b"=ybegin ").filter_map(|at| {
        let line = line_at(at)?;
        line.split_once(" name=").map(|(_, name)| name.trim().to_owned())
    });
    uuencoded.take(MOST).chain(yencoded.take(MOST)).collect()
}

/// The file that a body encodes; `None` if it is none. What stands before it and after it is dropped, a missing end forgiven.
#[must_use]
pub fn decode(body: &[u8]) -> Option<Vec<u8>> {
    work::count(body.len() * 2);
    let text = String::from_utf8_lossy(body);
    let mut lines = text.lines().skip_while(|line| !is_begin(line));
    lines.next()?;
    let mut out = Vec::with_capacity(body.len() / 4 * 3);
    for line in lines.take_while(|line| *line != "end") {
        decode_line(line.trim_end_matches('\r'), &mut out)?;
    }
    Some(out)
}

/// `begin 644 name`
fn is_begin(line: &str) -> bool {
    let mut words = line.splitn(3, ' ');
    let mode_ok = |mode: &str| (3..=4).contains(&mode.len()) && mode.bytes().all(|b| (b'0'..=b'7').contains(&b));
    words.next() == Some("begin")
        && words.next().is_some_and(mode_ok)
        && words.next().is_some_and(|name| !name.is_empty())
}

/// Adds what a line holds; `None` if it is no such line.
fn decode_line(line: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut values = line.bytes().map(|byte| (b' '..=b'`').contains(&byte).then(|| (byte - b' ') & 63));
    let Some(length) = values.next() else { return Some(()) };
    let length = usize::from(length?);
    let values: Vec<u8> = values.collect::<Option<_>>()?;
    // Spaces at the end of a line are lost on the way; a checksum may stand there.
    if values.len() > length.div_ceil(3) * 4 + 2 {
        return None;
    }
    let start = out.len();
    for group in values.chunks(4) {
        let bits = (0..4).fold(0_u32, |bits, n| bits << 6 | u32::from(group.get(n).copied().unwrap_or(0)));
        out.extend(bits.to_be_bytes().iter().skip(1));
    }
    out.resize(start + length, 0);
    Some(())
}

/// Lines of a uuencoded file, without its first and last.
pub(super) fn encode(file: &[u8], out: &mut String) {
    let written = |value: u32| char::from(if value & 63 == 0 { b'`' } else { b' ' + (value & 63) as u8 });
    for line in file.chunks(45).chain([&[][..]]) {
        out.push(written(u32::try_from(line.len()).unwrap_or(0)));
        for group in line.chunks(3) {
            let bits = (0..3).fold(0_u32, |bits, n| bits << 8 | u32::from(group.get(n).copied().unwrap_or(0)));
            [18, 12, 6, 0].iter().for_each(|shift| out.push(written(bits >> shift)));
        }
        out.push_str("\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_text() {
        let text = "Hello\r\nbegin 644 cat.txt\r\n#0V%T\r\n`\r\nend\r\nbye\r\n";
        assert_eq!(
            clean(text, |file| (file == b"Cat").then(|| b"Dog".to_vec())).unwrap(),
            "Hello\r\nbegin 644 cat.txt\r\n#1&]G\r\n`\r\nend\r\nbye\r\n"
        );
        assert_eq!(clean(text, |_| None), None);
        assert_eq!(decode(text.as_bytes()).as_deref(), Some(&b"Cat"[..]));
        assert_eq!(decode(b"begin 644 cat.txt\n#0V%T\n").as_deref(), Some(&b"Cat"[..]));
        assert_eq!(decode(b"Cat"), None);
        // words, not a file
        for text in [
            "begin 644 x\r\nDear {customer}, we begin\r\nend\r\n",
            "begin again\r\nend\r\n",
            "begin 644 x\r\n#0V%T\r\n",
        ] {
            assert_eq!(clean(text, |_| Some(Vec::new())), None, "{text}");
        }
    }

    #[test]
    fn names_of_files_in_text() {
        // text, names
        let cases: &[(&[u8], &[&str])] = &[
            (b"begin 644 a b.exe\r\n", &["a b.exe"]),
            (b"hi\nbegin 644 a.txt\n#0V%T\n`\nend\n=ybegin line=128 size=3 name=set up.exe\r\n\x8b\xff\n=yend size=3\n", &["a.txt", "set up.exe"]),
            (b"=ybegin part=1 line=128 size=3 name=x.scr", &["x.scr"]),
            (b"we begin 644 x.exe and =ybegin name=y.exe\nbegin here\n", &[]),
        ];
        for (text, want) in cases {
            assert_eq!(names(text), *want, "{}", String::from_utf8_lossy(text));
        }
    }

    proptest::proptest! {
        #[test]
        fn files_come_back(file in proptest::collection::vec(proptest::num::u8::ANY, 0..200), text in "\\PC{0,80}") {
            let mut encoded = String::from("begin 644 x\r\n");
            encode(&file, &mut encoded);
            encoded.push_str("end\r\n");
            let mut seen = Vec::new();
            let _ = clean(&encoded, |found| { seen = found.to_vec(); None });
            proptest::prop_assert_eq!(seen, file);
            let _ = clean(&format!("begin 644 x\n{text}\nend\n"), |_| Some(Vec::new()));
        }
    }
}
